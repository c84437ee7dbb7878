package warehouse

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/redshift"
)

const (
	read  = grant.ScopeRead
	write = grant.ScopeWrite
)

func TestGrantReachesItsWarehouseOnly(t *testing.T) {
	t.Parallel()
	w, _, _ := house(t, nil)
	noWarehouse, narrowed, gone, schemas := access("ann", read), access("ann", read, "warehouse:other"), access("ann", read), access("ann", read)
	noWarehouse.Grant.Warehouse = ""
	gone.Grant.Warehouse = "removed"
	schemas.Grant.Limits.Schemas = []string{"sales"}
	for _, c := range []struct {
		name      string
		access    *grant.Access
		warehouse string
		want      error // nil: any
		opens     bool
	}{
		{"by default", access("ann", read), "", nil, true},
		{"by name", access("ann", read, "warehouse:tickit"), "tickit", nil, true},
		{"another that exists", access("ann", read), "other", ErrUnknown, false},
		{"another that does not", access("ann", read), "nothing", ErrUnknown, false},
		{"a token narrowed to another", narrowed, "", ErrUnknown, false},
		{"a grant for none", noWarehouse, "", ErrScope, false},
		{"one no longer configured", gone, "", ErrUnknown, false},
		{"a limit that is not enforced", schemas, "", nil, false},
	} {
		session, err := w.Open(t.Context(), c.access, c.warehouse)
		if (err == nil) != c.opens || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if err == nil {
			session.Close()
		}
	}
	if list := w.List(access("ann", read, write)); len(list) != 1 || list[0].Name != "tickit" || list[0].DatabaseUser != "ann" || !slices.Equal(list[0].Capabilities, []string{read, write}) {
		t.Errorf("List = %+v", list)
	}
	if list := w.List(noWarehouse); len(list) != 0 {
		t.Errorf("List of a grant for none = %+v", list)
	}
}

func TestScopeIsAskedForBeforeTheStatement(t *testing.T) {
	t.Parallel()
	w, c, j := house(t, nil)
	readOnly := access("ann", read, write)
	readOnly.Grant.Limits.ReadOnly = true
	readOnlyRead := access("ann", read)
	readOnlyRead.Grant.Limits.ReadOnly = true
	for _, test := range []struct {
		name   string
		access *grant.Access
		sql    string
		needs  string // "" when it runs
	}{
		{"read with read", access("ann", read), "select 1", ""},
		{"read with write", access("ann", write), "select 1", ""},
		{"write with write", access("ann", write), "delete from t", ""},
		{"write with read", access("ann", read), "delete from t", "sql:write warehouse:tickit"},
		{"unknown with read", access("ann", read), "frobnicate", "sql:write warehouse:tickit"},
		{"read with neither", access("ann", "openid"), "select 1", "sql:read warehouse:tickit"},
		{"write with neither", access("ann", "openid"), "delete from t", "sql:write warehouse:tickit"},
		{"read in a read-only grant", readOnly, "select 1", ""},
		{"write in a read-only grant", readOnly, "delete from t", "sql:write warehouse:tickit"},
		{"write with read in a read-only grant", readOnlyRead, "delete from t", "sql:write warehouse:tickit"},
	} {
		before := len(j.all())
		_, err := open(t, w, test.access).Query(t.Context(), redshift.Statement{SQL: test.sql})
		var scope *ScopeError
		switch {
		case test.needs == "" && err != nil:
			t.Errorf("%s: %v", test.name, err)
		case test.needs != "" && (!errors.As(err, &scope) || !errors.Is(err, ErrScope) || scope.Needs.String() != test.needs || scope.Why == ""):
			t.Errorf("%s: %v, want scope %s", test.name, err, test.needs)
		case test.needs != "" && len(j.all()) != before:
			t.Errorf("%s: a refused statement is on record as started", test.name)
		}
		if scope != nil && scope.ReadOnly != (test.access == readOnly) {
			t.Errorf("%s: ReadOnly = %t", test.name, scope.ReadOnly)
		}
	}
	if got := len(c.seen()); got == 0 {
		t.Error("nothing ran")
	}
	for _, sql := range []string{"", "select 1; select 2"} {
		var refused *RefusedError
		if _, err := open(t, w, access("ann", read, write)).Query(t.Context(), redshift.Statement{SQL: sql}); !errors.As(err, &refused) {
			t.Errorf("%q: %v, want a RefusedError for everybody", sql, err)
		}
	}
}

func TestStatementIsOnRecordBeforeItRuns(t *testing.T) {
	t.Parallel()
	w, c, j := house(t, nil)
	rows, err := open(t, w, access("ann", read)).Query(t.Context(), redshift.Statement{SQL: "select 1"})
	if err != nil {
		t.Fatal(err)
	}
	drain(t, rows)
	want := []string{"audit statement.started", "query select 1", "audit statement.ended", "close rows"}
	if got := c.seen(); !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
	start, end := j.only(t, StatementStarted), j.only(t, StatementEnded)
	if start.Statement != "select 1" || len(start.SHA256) != 64 || start.App != "stargazer" || start.Person != "per_ann" || start.Warehouse != "tickit" || start.DatabaseAs != "ann" {
		t.Errorf("start %+v", start)
	}
	if end.Outcome != Succeeded || end.Rows != 3 || end.Bytes != 3 || end.QueryID != 77 || end.Label != start.Label || end.Statement != "" {
		t.Errorf("end %+v", end)
	}
	if label := c.ran[0].Label; label != start.Label || !strings.HasPrefix(label, "sg:stargazer:gra_1:") {
		t.Errorf("label %q, on record %q", label, start.Label)
	}
}

func TestNothingRunsUnrecorded(t *testing.T) {
	t.Parallel()
	w, c, j := house(t, nil)
	j.err = errors.New("disk full")
	session := open(t, w, access("ann", read))
	if _, err := session.Query(t.Context(), redshift.Statement{SQL: "select 1"}); !errors.Is(err, ErrAudit) {
		t.Errorf("Query: %v, want ErrAudit", err)
	}
	if _, err := session.Submit(t.Context(), redshift.Statement{SQL: "select 1"}); !errors.Is(err, ErrAudit) {
		t.Errorf("Submit: %v, want ErrAudit", err)
	}
	if got := c.seen(); len(got) > 0 {
		t.Errorf("these happened all the same: %q", got)
	}
}

func TestHashedStatementsLeaveNoText(t *testing.T) {
	t.Parallel()
	w, _, j := house(t, func(c *Config) { c.HashStatements = true })
	rows, err := open(t, w, access("ann", read)).Query(t.Context(), redshift.Statement{SQL: "select 'secret'"})
	if err != nil {
		t.Fatal(err)
	}
	drain(t, rows)
	if start := j.only(t, StatementStarted); start.Statement != "" || start.SHA256 == "" {
		t.Errorf("start %+v", start)
	}
}

func TestOutcomesOnRecord(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, sql, outcome, state string
		stop                      func(rows redshift.Rows, cancel context.CancelFunc)
	}{
		{"refused by Redshift", "select fail", Failed, "42703", nil},
		{"closed early", "select 1", Canceled, "", func(rows redshift.Rows, _ context.CancelFunc) { rows.Next(); rows.Close(); rows.Close() }},
		{"the app went away", "select 1", Canceled, "", func(rows redshift.Rows, cancel context.CancelFunc) { cancel(); rows.Next(); rows.Close() }},
	} {
		w, _, j := house(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		rows, err := open(t, w, access("ann", read)).Query(ctx, redshift.Statement{SQL: c.sql})
		if (err == nil) != (c.stop != nil) {
			t.Fatalf("%s: %v", c.name, err)
		}
		if c.stop != nil {
			c.stop(rows, cancel)
		}
		if end := j.only(t, StatementEnded); end.Outcome != c.outcome || end.SQLState != c.state {
			t.Errorf("%s: %+v", c.name, end)
		}
	}
}

func TestLimitsEndTheRowsAndSaySo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                      string
		rows                      int
		config, limit, ask, bytes int64
		want                      int64
		wantLimit                 string
	}{
		{"no limit", 5, 0, 0, 0, 0, 5, ""},
		{"exactly as many", 5, 5, 5, 5, 50, 5, ""},
		{"the gateway's", 5, 4, 0, 0, 0, 4, "max_rows"},
		{"the grant's", 5, 4, 3, 0, 0, 3, "max_rows"},
		{"the request's", 5, 4, 3, 2, 0, 2, "max_rows"},
		{"a request cannot widen", 5, 2, 0, 100, 0, 2, "max_rows"},
		{"bytes", 5, 0, 0, 0, 35, 3, "max_bytes"},
		{"the first row is too large", 5, 0, 0, 0, 9, 0, "max_bytes"},
	} {
		w, cluster, j := house(t, func(config *Config) { config.MaxRows = c.config })
		cluster.rowCount, cluster.width = c.rows, 10
		a := access("ann", read)
		a.Grant.Limits = grant.Limits{MaxRows: c.limit, MaxBytes: c.bytes}
		session := open(t, w, a)
		session.LimitRows(c.ask)
		rows, err := session.Query(t.Context(), redshift.Statement{SQL: "select 1"})
		if err != nil {
			t.Fatal(err)
		}
		summary := drain(t, rows)
		if summary.RowCount != c.want || summary.Limit != c.wantLimit || summary.Truncated != (c.wantLimit != "") {
			t.Errorf("%s: %+v, want %d rows, limit %q", c.name, summary, c.want, c.wantLimit)
		}
		if end := j.only(t, StatementEnded); end.Rows != c.want || end.Truncated != summary.Truncated || end.Outcome != Succeeded {
			t.Errorf("%s: on record %+v", c.name, end)
		}
		if rows.Next() {
			t.Errorf("%s: Next after the end", c.name)
		}
	}
}

func TestStatementThatRunsTooLongIsCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, c, j := house(t, func(config *Config) { config.StatementTimeout = time.Minute })
		session := open(t, w, access("ann", read))
		started := time.Now()
		if _, err := session.Query(t.Context(), redshift.Statement{SQL: "select hang"}); !errors.Is(err, ErrTimeout) {
			t.Errorf("%v, want ErrTimeout", err)
		}
		if after := time.Since(started); after != time.Minute {
			t.Errorf("cancelled after %s", after)
		}
		if !slices.Contains(c.seen(), "cancel select hang") {
			t.Errorf("Redshift was not told: %q", c.seen())
		}
		if end := j.only(t, StatementEnded); end.Outcome != TimedOut || end.Duration != time.Minute {
			t.Errorf("on record %+v", end)
		}
	})
}

func TestNobodyTakesMoreThanTheirShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, _, j := house(t, func(config *Config) { config.MaxConcurrentPerPerson, config.MaxConcurrentPerWarehouse = 2, 3 })
		ann, bob, eve := open(t, w, access("ann", read)), open(t, w, access("bob", read)), open(t, w, access("eve", read))
		var held []redshift.Rows
		run := func(session *Session) error {
			rows, err := session.Query(t.Context(), redshift.Statement{SQL: "select 1"})
			if err == nil {
				held = append(held, rows)
			}
			return err
		}
		for _, session := range []*Session{ann, ann, bob} {
			if err := run(session); err != nil {
				t.Fatal(err)
			}
		}
		var busy *redshift.BusyError
		started := time.Now()
		if err := run(ann); !errors.As(err, &busy) || busy.Limit != "2 statements of one person at once" {
			t.Errorf("ann's third: %v", err)
		}
		if waited := time.Since(started); waited != 5*time.Second {
			t.Errorf("it waited for %s", waited)
		}
		if err := run(eve); !errors.As(err, &busy) || busy.Limit != "3 statements in this warehouse at once" {
			t.Errorf("eve's first: %v", err)
		}
		waits := make(chan error)
		go func() { waits <- run(eve) }()
		synctest.Wait()
		held[0].Close()
		if err := <-waits; err != nil {
			t.Errorf("eve, once ann had finished: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := ann.Query(ctx, redshift.Statement{SQL: "select 1"}); !errors.Is(err, context.Canceled) {
			t.Errorf("who went away in the queue: %v", err)
		}
		for _, rows := range held[1:] {
			rows.Close()
		}
		if len(w.slots.people) != 0 {
			t.Errorf("%d people are remembered for nothing", len(w.slots.people))
		}
		if starts := len(j.all()); starts != 8 {
			t.Errorf("%d records, want start and end of four statements", starts)
		}
	})
}

func TestSessionsAreKeptForTheSamePerson(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, c, _ := house(t, func(config *Config) { config.MaxSessions = 2 })
		use := func(a *grant.Access) {
			session, err := w.Open(t.Context(), a, "")
			if err != nil {
				t.Fatal(err)
			}
			session.Close()
			session.Close() // a second Close changes nothing
		}
		renamed, elsewhere := access("ann", read), access("ann", read)
		renamed.Person.DatabaseUser = "ann2"
		elsewhere.Grant.Tenant = "acme"
		for range 3 {
			use(access("ann", read))
		}
		if c.connects != 1 {
			t.Errorf("%d connections for one person", c.connects)
		}
		use(renamed)   // the same person as another database user
		use(elsewhere) // the same id in another tenant: closes ann's, which was unused longest
		synctest.Wait()
		if want := []string{"ann", "ann2", "ann"}; !slices.Equal(c.people, want) || !slices.Equal(c.seen(), []string{"close ann"}) {
			t.Errorf("connected %q, events %q", c.people, c.seen())
		}
		time.Sleep(11 * time.Minute)
		if closed := c.seen(); len(closed) != 3 || len(w.pool.kept) != 0 {
			t.Errorf("after ten idle minutes %d are kept, events %q", len(w.pool.kept), closed)
		}
		// With all in use a further one is not kept, and works.
		first, second, third := open(t, w, access("a", read)), open(t, w, access("b", read)), open(t, w, access("c", read))
		third.Close()
		synctest.Wait()
		if closed := c.seen(); closed[len(closed)-1] != "close c" {
			t.Errorf("events %q", closed)
		}
		first.Close()
		w.Close()
		second.Close()
		synctest.Wait()
		if closed := c.seen(); closed[len(closed)-1] != "close b" {
			t.Errorf("after Close, events %q", closed)
		}
		if _, err := w.Open(t.Context(), access("a", read), ""); err == nil {
			t.Error("a closed gateway opens a warehouse")
		}
	})
}

func TestConnectorsRefusalIsTold(t *testing.T) {
	t.Parallel()
	w, c, _ := house(t, nil)
	c.refuse = &redshift.AccessError{Step: "assume role", Code: "AccessDenied", Err: errors.New("no")}
	var refused *redshift.AccessError
	if _, err := w.Open(t.Context(), access("ann", read), ""); !errors.As(err, &refused) {
		t.Errorf("%v, want the AccessError", err)
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	t.Parallel()
	c := newCluster()
	for name, config := range map[string]Config{
		"no audit":     {},
		"no connector": {Audit: &journal{cluster: c}, Warehouses: []Warehouse{{Name: "a"}}},
		"a name twice": {Audit: &journal{cluster: c}, Warehouses: []Warehouse{{Name: "a", Connector: c}, {Name: "a", Connector: c}}},
	} {
		if _, err := New(config); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestPersonBeginsSoManyStatementsAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, _, _ := house(t, func(config *Config) { config.MaxPerMinutePerPerson = 2 })
		query := func(person string) error {
			rows, err := open(t, w, access(person, read)).Query(t.Context(), redshift.Statement{SQL: "select 1"})
			if err == nil {
				if u := w.Usage(); u.Running != 1 || u.People != 1 || u.Sessions == 0 {
					t.Errorf("%+v while one runs", u)
				}
				drain(t, rows)
			}
			return err
		}
		for range 2 {
			if err := query("ann"); err != nil {
				t.Fatal(err)
			}
		}
		var busy *redshift.BusyError
		if err := query("ann"); !errors.As(err, &busy) || busy.RetryAfter <= 0 {
			t.Errorf("the third: %v, want a BusyError", err)
		}
		if err := query("bob"); err != nil {
			t.Errorf("somebody else: %v", err)
		}
		time.Sleep(time.Minute)
		if err := query("ann"); err != nil {
			t.Errorf("a minute later: %v", err)
		}
		w.Close()
	})
}

// F22: a fault of ours ends one statement, on record, and keeps no place from the next.
func TestF22PanicKeepsNoPlace(t *testing.T) {
	t.Parallel()
	w, _, j := house(t, func(config *Config) { config.MaxConcurrentPerPerson, config.MaxConcurrentPerWarehouse = 1, 1 })
	for range 3 {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			session := open(t, w, access("ann", grant.ScopeRead))
			_, _ = session.Query(t.Context(), redshift.Statement{SQL: "select panic"})
		}()
	}
	rows, err := open(t, w, access("ann", grant.ScopeRead)).Query(t.Context(), redshift.Statement{SQL: "select 1"})
	if err != nil {
		t.Fatalf("the next statement: %v", err)
	}
	drain(t, rows)
	ended := 0
	for _, record := range j.all() {
		if record.Kind == StatementEnded {
			ended++
		}
	}
	if ended != 4 {
		t.Errorf("%d ends on record, want 4", ended)
	}
}
