package dataapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shiftgrant/shiftgrant/internal/issuer"
	"github.com/shiftgrant/shiftgrant/internal/secret"
	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/dataapi"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/twintest"
)

// warehouse is a twin whose AWS account trusts an issuer of this test: the whole way from a
// person to rows, with every signature checked by somebody else's code.
type warehouse struct {
	twin   *twin.Twin
	chain  *identity.WebIdentity
	client *http.Client
}

func newWarehouse(t *testing.T) *warehouse {
	t.Helper()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	keys, err := issuer.OpenKeys(t.TempDir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	signs, err := issuer.New(issuer.Config{URL: server.URL, Keys: keys, ReservedAudiences: []string{twin.Audience}})
	if err != nil {
		t.Fatal(err)
	}
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": server.URL, "jwks_uri": server.URL + "/jwks"})
	})
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(signs.JWKS())
	})
	world := twintest.Start(t, twin.Config{Issuer: server.URL})
	client := dataapi.NewHTTPClient()
	t.Cleanup(client.CloseIdleConnections)
	chain, err := identity.NewWebIdentity(identity.WebIdentityConfig{
		RoleARN: twin.RoleARN, Region: twin.Region, Endpoint: world.URL(), Audience: twin.Audience, HTTPClient: client,
		Assert: func(ctx context.Context, s identity.Subject) (secret.Text, error) {
			return signs.Assertion(ctx, issuer.Subject{ID: s.ID, Audience: twin.Audience, Email: s.Email, DatabaseUser: s.DatabaseUser})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(chain.Close)
	return &warehouse{world, chain, client}
}

func (w *warehouse) session(t *testing.T, user, format string) *dataapi.Session {
	t.Helper()
	s := dataapi.New(dataapi.Config{
		Region: twin.Region, Endpoint: w.twin.URL(), Cluster: twin.Cluster, Database: twin.Database, HTTPClient: w.client,
		Credentials:  w.chain.For(identity.Subject{ID: "per_" + user, DatabaseUser: user}),
		ResultFormat: format,
	})
	t.Cleanup(func() { s.Close() })
	return s
}

func rowsOf(t *testing.T, s *dataapi.Session, sql string, parameters ...redshift.Parameter) [][]string {
	t.Helper()
	rows, err := s.Query(t.Context(), redshift.Statement{SQL: sql, Parameters: parameters})
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	defer rows.Close()
	var out [][]string
	for rows.Next() {
		var line []string
		for _, value := range rows.Values() {
			if value == nil {
				line = append(line, "NULL")
				continue
			}
			line = append(line, "="+string(value))
		}
		out = append(out, line)
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return out
}

func TestAgainstTheTwin(t *testing.T) {
	t.Parallel()
	w := newWarehouse(t)
	for _, format := range []string{dataapi.CSV, dataapi.JSON} {
		t.Run(format, func(t *testing.T) {
			alice, bob := w.session(t, "alice", format), w.session(t, "bob", format)
			t.Run("everybody is themself", func(t *testing.T) {
				for user, s := range map[string]*dataapi.Session{"alice": alice, "bob": bob} {
					if diff := cmp.Diff([][]string{{"=" + user}}, rowsOf(t, s, "select current_user")); diff != "" {
						t.Errorf("current_user (-want +got):\n%s", diff)
					}
				}
			})
			t.Run("values arrive as they are", func(t *testing.T) {
				text, empty := "it's :n \"é\"\n,", ""
				got := rowsOf(t, alice, `select :text, :none::varchar, :empty, 'a"b' || chr(10), 12.50::numeric(10,2), 9007199254740993, ':text'`,
					redshift.Parameter{Name: "text", Value: &text}, redshift.Parameter{Name: "none"}, redshift.Parameter{Name: "empty", Value: &empty})
				want := [][]string{{"=" + text, "NULL", "=", "=a\"b\n", "=12.50", "=9007199254740993", "=:text"}}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("row (-want +got):\n%s", diff)
				}
			})
			t.Run("a refusal is Redshift's", func(t *testing.T) {
				_, err := bob.Query(t.Context(), redshift.Statement{SQL: "select * from finance.commission_ledger"})
				var refusal *redshift.Error
				if !errors.As(err, &refusal) || refusal.SQLState != "42501" || refusal.Message != "permission denied for schema finance" {
					t.Errorf("error %+v", err)
				}
			})
			t.Run("all pages arrive", func(t *testing.T) {
				got := rowsOf(t, alice, "select salesid, buyerid, saletime from tickit.sales order by salesid")
				if len(got) < 170_000 || got[len(got)-1][0] != "="+strconv.Itoa(len(got)) {
					t.Errorf("%d rows", len(got))
				}
			})
			t.Run("a small query is two calls", func(t *testing.T) {
				faults := w.twin.DataAPI.Faults()
				count := func() (calls int) {
					for _, op := range []string{"ExecuteStatement", "DescribeStatement", "GetStatementResult", "GetStatementResultV2", "CancelStatement"} {
						calls += faults.Calls(op)
					}
					return calls
				}
				before := count()
				rowsOf(t, alice, "select 1")
				if calls := count() - before; calls != 2 {
					t.Errorf("%d calls", calls)
				}
			})
			t.Run("a change tells how many rows", func(t *testing.T) {
				rowsOf(t, alice, "create table if not exists sandbox.t_"+format+" (a int)")
				rows, err := alice.Query(t.Context(), redshift.Statement{SQL: "insert into sandbox.t_" + format + " select 1 union all select 2"})
				if err != nil {
					t.Fatal(err)
				}
				if rows.Next() || rows.Summary().RowsAffected != 2 || len(rows.Columns()) != 0 {
					t.Errorf("summary %+v, columns %v", rows.Summary(), rows.Columns())
				}
			})
			t.Run("a submitted statement is fetched later, by its owner alone", func(t *testing.T) {
				id, err := alice.Submit(t.Context(), redshift.Statement{SQL: "select 1 as one"})
				if err != nil {
					t.Fatal(err)
				}
				rows, err := alice.Fetch(t.Context(), id, 10*time.Second)
				if err != nil {
					t.Fatal(err)
				}
				if !rows.Next() || string(rows.Values()[0]) != "1" || rows.Columns()[0].Name != "one" {
					t.Errorf("columns %v, error %v", rows.Columns(), rows.Err())
				}
				rows.Close()
				execution, err := alice.Describe(t.Context(), id, 0)
				if err != nil || execution.State != redshift.Finished || !execution.HasResult || execution.RowCount != 1 {
					t.Errorf("execution %+v, %v", execution, err)
				}
				if err := alice.Cancel(t.Context(), id); err != nil {
					t.Errorf("cancel a finished statement: %v", err)
				}
				if _, err := bob.Fetch(t.Context(), id, 0); err == nil {
					t.Error("bob has alice's rows")
				}
			})
			t.Run("a running statement is cancelled", func(t *testing.T) {
				id, err := alice.Submit(t.Context(), redshift.Statement{SQL: "select pg_sleep(60)"})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := alice.Fetch(t.Context(), id, 0); !errors.Is(err, redshift.ErrRunning) {
					t.Errorf("error %v, want ErrRunning", err)
				}
				for state := redshift.Submitted; state != redshift.Started; {
					execution, err := alice.Describe(t.Context(), id, 0)
					if err != nil || execution.State.Final() {
						t.Fatalf("execution %+v, %v", execution, err)
					}
					state = execution.State
				}
				if err := alice.Cancel(t.Context(), id); err != nil {
					t.Fatal(err)
				}
				if _, err := alice.Fetch(t.Context(), id, 10*time.Second); !errors.Is(err, redshift.ErrCanceled) {
					t.Errorf("error %v, want ErrCanceled", err)
				}
			})
		})
	}
	t.Run("nobody becomes somebody else", func(t *testing.T) {
		s := dataapi.New(dataapi.Config{
			Region: twin.Region, Endpoint: w.twin.URL(), Cluster: twin.Cluster, Database: twin.Database, HTTPClient: w.client,
			Credentials: impostor{w.chain.For(identity.Subject{ID: "per_bob", DatabaseUser: "bob"})},
		})
		defer s.Close()
		_, err := s.Query(t.Context(), redshift.Statement{SQL: "select current_user"})
		if err == nil || !strings.Contains(err.Error(), "not authorized") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("faults of the service pass unnoticed", func(t *testing.T) {
		faults := w.twin.DataAPI.Faults()
		defer faults.Reset()
		alice := w.session(t, "alice", dataapi.CSV)
		faults.Throttle("ExecuteStatement", 2)
		faults.Fail("GetStatementResultV2", 1)
		faults.Expire("ExecuteStatement", 1)
		rowsOf(t, alice, "select 1")
		rowsOf(t, alice, "create table sandbox.once (a int)")
		faults.DropAnswer("ExecuteStatement", 1) // AWS took it, and the answer was lost
		rowsOf(t, alice, "insert into sandbox.once values (1)")
		if diff := cmp.Diff([][]string{{"=1"}}, rowsOf(t, alice, "select count(*) from sandbox.once")); diff != "" {
			t.Errorf("inserted (-want +got):\n%s", diff)
		}
	})
}

// impostor says to be alice with bob's keys.
type impostor struct{ identity.Provider }

func (i impostor) Credentials(ctx context.Context) (identity.Credentials, error) {
	credentials, err := i.Provider.Credentials(ctx)
	credentials.DatabaseUser = "alice"
	return credentials, err
}
