package wire_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shiftgrant/shiftgrant/internal/secret"
	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
	"github.com/shiftgrant/shiftgrant/redshift/wire"
	twinwire "github.com/shiftgrant/shiftgrant/twin/wire"
)

// read runs a statement to its end.
func read(t *testing.T, s *wire.Session, statement redshift.Statement) (columns []redshift.Column, values [][]string, summary redshift.Summary, err error) {
	t.Helper()
	rows, err := s.Query(t.Context(), statement)
	if err != nil {
		return nil, nil, redshift.Summary{}, err
	}
	for rows.Next() {
		var row []string
		for _, value := range rows.Values() {
			if value == nil {
				row = append(row, "NULL")
			} else {
				row = append(row, "="+string(value))
			}
		}
		values = append(values, row)
	}
	err = rows.Err()
	return rows.Columns(), values, rows.Summary(), errors.Join(err, rows.Close())
}

// one gives the only value of a statement.
func one(t *testing.T, s *wire.Session, sql string) string {
	t.Helper()
	_, values, _, err := read(t, s, redshift.Statement{SQL: sql})
	if err != nil || len(values) != 1 || len(values[0]) != 1 {
		t.Fatalf("%s: %v, %v", sql, values, err)
	}
	return strings.TrimPrefix(values[0][0], "=")
}

func TestEveryWayToLogIn(t *testing.T) {
	t.Parallel()
	for name, method := range map[string]twinwire.Method{"cleartext": twinwire.Cleartext, "MD5": twinwire.MD5, "digest": twinwire.Digest} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPort(t, func(c *twinwire.Config) { c.Method = method })
			if got := one(t, p.connect(t, nil), "select current_user"); got != "alice" {
				t.Errorf("current_user is %q", got)
			}
			config := p.config()
			config.Login.Password = secret.New("another password")
			var refused *redshift.AccessError
			if _, err := wire.Connect(t.Context(), config); !errors.As(err, &refused) || refused.Code != "28000" {
				t.Errorf("a wrong password: %v, want an AccessError with 28000", err)
			}
		})
	}
}

func TestTokenLogsIn(t *testing.T) {
	t.Parallel()
	var seen map[string]string
	p := newPort(t, func(c *twinwire.Config) {
		c.Token = func(_ context.Context, token string, parameters map[string]string) (string, error) {
			seen = parameters
			if token != "a token" {
				return "", &twinwire.Denial{Message: "the token is not valid"}
			}
			return "bob", nil
		}
	})
	asBob := func(value string) func(*wire.Config) {
		return func(c *wire.Config) {
			c.Login = identity.Login{Token: &identity.Token{Value: secret.New(value), IdentityProvider: "AwsIdc", Type: "EXT_JWT", Namespace: "awsidc"}}
		}
	}
	if got := one(t, p.connect(t, asBob("a token")), "select current_user"); got != "bob" {
		t.Errorf("current_user is %q", got)
	}
	for name, want := range map[string]string{"user": "", "idp_type": "AwsIdc", "token_type": "EXT_JWT", "identity_namespace": "awsidc", "database": "dev"} {
		if seen[name] != want {
			t.Errorf("start-up parameter %s is %q, want %q", name, seen[name], want)
		}
	}
	config := p.config()
	asBob("another")(&config)
	_, err := wire.Connect(t.Context(), config)
	if err == nil || !strings.Contains(err.Error(), "the token is not valid") || strings.Contains(err.Error(), "another") {
		t.Errorf("a wrong token: %v", err)
	}
}

func TestServerIsVerifiedBeforeAnythingIsSaid(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 10)
	p := newPort(t, func(c *twinwire.Config) {
		c.Password = func(login string, _ func(string) bool) (string, error) { asked <- login; return "alice", nil }
	})
	for name, change := range map[string]func(*wire.Config){
		"an authority that is not known": func(c *wire.Config) { c.TLS = &tls.Config{} },
		"another name":                   func(c *wire.Config) { c.Host = "warehouse.example" },
		"no TLS of its own choice":       func(c *wire.Config) { c.TLS = nil },
	} {
		config := p.config()
		change(&config)
		if _, err := wire.Connect(t.Context(), config); err == nil || !strings.Contains(err.Error(), "TLS") {
			t.Errorf("%s: %v, want an error of TLS", name, err)
		}
	}
	if len(asked) > 0 {
		t.Errorf("the server got to ask %s for a password", <-asked)
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]wire.Config{
		"nothing":          {},
		"no proof":         {Host: "h", Database: "d"},
		"two proofs":       {Host: "h", Database: "d", Login: identity.Login{Password: secret.New("x"), Token: &identity.Token{}}},
		"no database name": {Host: "h", Login: identity.Login{Password: secret.New("x")}},
	} {
		if _, err := wire.Connect(t.Context(), config); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestValuesAndColumns(t *testing.T) {
	t.Parallel()
	s := newPort(t, nil).connect(t, nil)
	columns, values, summary, err := read(t, s, redshift.Statement{SQL: `select 1::int2 a, 2 b, 3::int8 c, 1.50::numeric(10,2) d, true e, 'x'::varchar(7) f, null::text g, ''::text h,
		date '2026-11-23' i, timestamp '2026-11-23 01:02:03.5' j, timestamptz '2026-11-23 01:02:03+00' k, 'NaN'::float8 l, '\x01'::bytea m`})
	if err != nil {
		t.Fatal(err)
	}
	want := []redshift.Column{
		{Name: "a", Type: redshift.Type{Kind: redshift.SmallInt, Name: "int2"}},
		{Name: "b", Type: redshift.Type{Kind: redshift.Integer, Name: "int4"}},
		{Name: "c", Type: redshift.Type{Kind: redshift.BigInt, Name: "int8"}},
		{Name: "d", Type: redshift.Type{Kind: redshift.Numeric, Name: "numeric", Precision: 10, Scale: 2}},
		{Name: "e", Type: redshift.Type{Kind: redshift.Boolean, Name: "bool"}},
		{Name: "f", Type: redshift.Type{Kind: redshift.Text, Name: "varchar", Length: 7}},
		{Name: "g", Type: redshift.Type{Kind: redshift.Text, Name: "text"}},
		{Name: "h", Type: redshift.Type{Kind: redshift.Text, Name: "text"}},
		{Name: "i", Type: redshift.Type{Kind: redshift.Date, Name: "date"}},
		{Name: "j", Type: redshift.Type{Kind: redshift.Timestamp, Name: "timestamp"}},
		{Name: "k", Type: redshift.Type{Kind: redshift.TimestampTZ, Name: "timestamptz"}},
		{Name: "l", Type: redshift.Type{Kind: redshift.Double, Name: "float8"}},
		{Name: "m", Type: redshift.Type{Kind: redshift.Text, Name: "oid 17"}},
	}
	if diff := cmp.Diff(want, columns); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
	row := []string{"=1", "=2", "=3", "=1.50", "=t", "=x", "NULL", "=", "=2026-11-23", "=2026-11-23 01:02:03.5", "=2026-11-23 01:02:03+00", "=NaN", `=\x01`}
	if diff := cmp.Diff([][]string{row}, values); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	if summary.RowCount != 1 || summary.RowsAffected != -1 || summary.Duration <= 0 {
		t.Errorf("summary %+v", summary)
	}
}

func TestParametersGoBesideTheSQL(t *testing.T) {
	t.Parallel()
	s := newPort(t, nil).connect(t, nil)
	text := func(value string) *string { return &value }
	_, values, _, err := read(t, s, redshift.Statement{
		SQL: `select :a::text, :b::text, :c::text, ':a', :a::text || '!', :n::int + 1 -- :a`,
		Parameters: []redshift.Parameter{
			{Name: "a", Value: text(`'; drop table sandbox.t; --`)}, {Name: "b"}, {Name: "c", Value: text("")}, {Name: "n", Value: text("41")},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`='; drop table sandbox.t; --`, "NULL", "=", "=:a", `='; drop table sandbox.t; --!`, "=42"}
	if diff := cmp.Diff([][]string{want}, values); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
}

func TestErrorsAreTheServersWithPlaceInTheWrittenText(t *testing.T) {
	t.Parallel()
	s := newPort(t, nil).connect(t, nil)
	value := "x"
	for name, c := range map[string]struct {
		statement redshift.Statement
		want      redshift.Error
	}{
		"a column that is not there": {redshift.Statement{SQL: "select nosuch from tickit.sales"}, redshift.Error{SQLState: "42703", Message: `column "nosuch" does not exist`, Position: 8}},
		"behind parameters": {
			redshift.Statement{SQL: "select 'é', :a::text, :parameter::text, nosuch", Parameters: []redshift.Parameter{{Name: "a", Value: &value}, {Name: "parameter", Value: &value}}},
			redshift.Error{SQLState: "42703", Message: `column "nosuch" does not exist`, Position: 41},
		},
		"a second statement":     {redshift.Statement{SQL: "select 1; select 2"}, redshift.Error{SQLState: "42601", Message: "cannot insert multiple commands into a prepared statement"}},
		"a schema without right": {redshift.Statement{SQL: "create table finance.x (a int)"}, redshift.Error{SQLState: "42501", Message: "permission denied for schema finance", Position: 14}},
		"in the middle":          {redshift.Statement{SQL: "select 1/(3-i) from generate_series(1,5) i"}, redshift.Error{SQLState: "22012", Message: "division by zero"}},
	} {
		_, _, _, err := read(t, s, c.statement)
		var refused *redshift.Error
		if !errors.As(err, &refused) {
			t.Errorf("%s: %v, want a *redshift.Error", name, err)
			continue
		}
		if diff := cmp.Diff(&c.want, refused); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if !s.Healthy() || one(t, s, "select 7") != "7" {
			t.Errorf("%s poisons the next statement", name)
		}
	}
}

func TestRowsAffected(t *testing.T) {
	t.Parallel()
	s := newPort(t, nil).connect(t, nil)
	for _, c := range []struct {
		sql  string
		want int64
	}{
		{"create table sandbox.affected (a int)", -1},
		{"insert into sandbox.affected select generate_series(1, 5)", 5},
		{"update sandbox.affected set a = a + 1 where a > 3", 2},
		{"delete from sandbox.affected", 5},
		{"drop table sandbox.affected", -1},
		{"", -1},
	} {
		if _, _, summary, err := read(t, s, redshift.Statement{SQL: c.sql}); err != nil || summary.RowsAffected != c.want {
			t.Errorf("%s: %d, %v; want %d", c.sql, summary.RowsAffected, err, c.want)
		}
	}
}

func TestLabelIsSetWithTheStatement(t *testing.T) {
	t.Parallel()
	s := newPort(t, nil).connect(t, nil)
	for _, label := range []string{"gw:app:req_1", "gw:it's", "", "gw:app:req_2"} {
		_, values, _, err := read(t, s, redshift.Statement{SQL: "select current_setting('redshift.query_group', true)", Label: label})
		if err != nil || values[0][0] != "="+label && (label != "" || values[0][0] != "NULL") {
			t.Errorf("label %q: %v, %v", label, values, err)
		}
	}
	if _, _, _, err := read(t, s, redshift.Statement{SQL: "select nosuch", Label: "gw:failed"}); err == nil {
		t.Fatal("no error")
	}
	_, values, _, err := read(t, s, redshift.Statement{SQL: "select current_setting('redshift.query_group', true)", Label: "gw:failed"})
	if err != nil || values[0][0] != "=gw:failed" {
		t.Errorf("after a failure: %v, %v", values, err)
	}
}

func TestStatementsLeaveNoTraces(t *testing.T) {
	t.Parallel()
	s := newPort(t, nil).connect(t, func(c *wire.Config) { c.StatementTimeout = time.Minute })
	for _, sql := range []string{
		"set search_path to finance", "create temp table trace (a int)", "select pg_advisory_lock(4711)", "prepare trace as select 1",
		"set statement_timeout to 0", "begin", "set timezone to 'Asia/Tokyo'", "rollback",
	} {
		if _, _, _, err := read(t, s, redshift.Statement{SQL: sql}); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	for sql, want := range map[string]string{
		"select current_setting('search_path')":                                                `"$user", public`,
		"select count(*) from pg_class where relname = 'trace'":                                "0",
		"select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()": "0",
		"select count(*) from pg_prepared_statements where name <> ''":                         "0",
		"select current_setting('statement_timeout')":                                          "1min",
		"select current_setting('timezone')":                                                   "UTC",
	} {
		if got := one(t, s, sql); got != want {
			t.Errorf("%s is %s, want %s", sql, got, want)
		}
	}
}

func TestReadOnlyStatementsCannotWrite(t *testing.T) {
	t.Parallel()
	s := newPort(t, nil).connect(t, nil)
	if _, _, _, err := read(t, s, redshift.Statement{SQL: "create table sandbox.walls (a int)"}); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		"insert into sandbox.walls values (1)", "set transaction read write", "select 1 into sandbox.walls2",
		"explain analyze insert into sandbox.walls values (1)", "select set_config('transaction_read_only', 'off', true)",
		"begin; insert into sandbox.walls values (1); commit", "drop table sandbox.walls", "create temp table walls (a int) on commit drop",
	} {
		_, _, _, err := read(t, s, redshift.Statement{SQL: sql, ReadOnly: true})
		var refused *redshift.Error
		if !errors.As(err, &refused) && !strings.HasPrefix(sql, "create temp") {
			t.Errorf("%s: %v, want a refusal", sql, err)
		}
		if !s.Healthy() {
			t.Fatalf("%s leaves the session unfit", sql)
		}
	}
	columns, values, summary, err := read(t, s, redshift.Statement{SQL: "select count(*) as n from sandbox.walls", ReadOnly: true, Label: "gw:x"})
	if err != nil || len(columns) != 1 || columns[0].Name != "n" || summary.RowCount != 1 || values[0][0] != "=0" {
		t.Errorf("what may be read: %v %v %+v %v", columns, values, summary, err)
	}
	if _, _, _, err := read(t, s, redshift.Statement{SQL: "drop table sandbox.walls"}); err != nil {
		t.Error(err)
	}
}

const endless = "select count(*) from tickit.sales a, tickit.sales b, tickit.sales c"

func TestContextEndsTheStatementInTheDatabase(t *testing.T) {
	t.Parallel()
	p := newPort(t, nil)
	s, other := p.connect(t, nil), p.connect(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for running(t, other, "canceled_by_context") == "0" && ctx.Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		cancel()
	}()
	rows, err := s.Query(ctx, redshift.Statement{SQL: endless + " -- canceled_by_context"})
	if err == nil {
		for rows.Next() {
		}
		err = rows.Err()
	}
	if !errors.Is(err, redshift.ErrCanceled) {
		t.Errorf("error %v, want ErrCanceled", err)
	}
	if !s.Healthy() || one(t, s, "select 1") != "1" {
		t.Error("the session cannot go on")
	}
	if got := running(t, s, "canceled_by_context"); got != "0" {
		t.Errorf("%s still run", got)
	}
}

func running(t *testing.T, s *wire.Session, mark string) string {
	return one(t, s, "select count(*) from pg_stat_activity where state = 'active' and pid <> pg_backend_pid() and query like '%"+mark+"'")
}

func TestRowsThatAreClosedEarlyAreCancelled(t *testing.T) {
	t.Parallel()
	s := newPort(t, nil).connect(t, nil)
	rows, err := s.Query(t.Context(), redshift.Statement{SQL: "select repeat('x', 1000) from tickit.sales"})
	if err != nil {
		t.Fatal(err)
	}
	if !rows.Next() {
		t.Fatal(rows.Err())
	}
	if _, err := s.Query(t.Context(), redshift.Statement{SQL: "select 1"}); !errors.Is(err, wire.ErrBusy) {
		t.Errorf("a second statement: %v, want ErrBusy", err)
	}
	if err := rows.Close(); err != nil {
		t.Fatal(err)
	}
	if err := rows.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
	if rows.Next() {
		t.Error("there are rows after Close")
	}
	if !s.Healthy() || one(t, s, "select 1") != "1" {
		t.Error("the session cannot go on")
	}
}

func TestRowsAreManyAndWhole(t *testing.T) {
	t.Parallel()
	s := newPort(t, nil).connect(t, nil)
	rows, err := s.Query(t.Context(), redshift.Statement{SQL: "select i, i::int8 * i, 'row ' || i from generate_series(1, 200000) i"})
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for i := 1; rows.Next(); i++ {
		if got := fmt.Sprintf("%s %s", rows.Values()[0], rows.Values()[2]); got != fmt.Sprintf("%d row %d", i, i) {
			t.Fatalf("row %d is %s", i, got)
		}
	}
	if rows.Err() != nil || rows.Summary().RowCount != 200000 {
		t.Errorf("%d rows, %v", rows.Summary().RowCount, rows.Err())
	}
}

func TestServersTimeLimitIsAnErrorOfTheStatement(t *testing.T) {
	t.Parallel()
	s := newPort(t, nil).connect(t, func(c *wire.Config) { c.StatementTimeout = 50 * time.Millisecond })
	_, _, _, err := read(t, s, redshift.Statement{SQL: endless})
	var refused *redshift.Error
	if !errors.As(err, &refused) || refused.SQLState != "57014" {
		t.Errorf("error %v, want SQLSTATE 57014", err)
	}
	if one(t, s, "select 1") != "1" {
		t.Error("the session cannot go on")
	}
}

func TestConnectionThatEndsIsAnError(t *testing.T) {
	t.Parallel()
	p := newPort(t, nil)
	s := p.connect(t, nil)
	rows, err := s.Query(t.Context(), redshift.Statement{SQL: "select repeat('x', 1000) from tickit.sales"})
	if err != nil {
		t.Fatal(err)
	}
	if !rows.Next() {
		t.Fatal(rows.Err())
	}
	_ = p.server.Close()
	for rows.Next() {
	}
	if rows.Err() == nil || s.Healthy() {
		t.Errorf("a result that was cut ended with %v; healthy %v", rows.Err(), s.Healthy())
	}
	if _, err := s.Query(t.Context(), redshift.Statement{SQL: "select 1"}); !errors.Is(err, wire.ErrClosed) {
		t.Errorf("the next statement: %v, want ErrClosed", err)
	}
	if _, err := wire.Connect(t.Context(), p.config()); err == nil {
		t.Error("a server that is gone answers")
	}
}
