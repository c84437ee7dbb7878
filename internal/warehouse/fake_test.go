package warehouse

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/audit"
	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/redshift"
)

// cluster is a Redshift of rows: a statement "rows" has as many as rowCount says, "fail" fails,
// "hang" runs until it is cancelled.
type cluster struct {
	mu       sync.Mutex
	rowCount int
	width    int
	events   []string
	ran      []redshift.Statement
	people   []string // who was connected, in order
	connects int
	refuse   error
	attached bool                     // sessions cannot detach
	ours     bool                     // they run their statements in this process
	failure  error                    // of a statement that failed; nil is Redshift's
	running  map[string]chan struct{} // submitted statements by id, closed when they end
	outcome  map[string]redshift.State
	waiting  int // callers that wait in Describe or Fetch
	crowd    int // the most at one time
}

func newCluster() *cluster {
	return &cluster{rowCount: 3, width: 1, running: map[string]chan struct{}{}, outcome: map[string]redshift.State{}}
}

func (c *cluster) note(event string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = append(c.events, event)
}

func (c *cluster) seen() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.events)
}

func (c *cluster) Connect(_ context.Context, person grant.Person) (redshift.Session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refuse != nil {
		return nil, c.refuse
	}
	c.connects++
	c.people = append(c.people, person.DatabaseUser)
	s := &fakeSession{cluster: c, user: person.DatabaseUser}
	if c.attached {
		return struct{ redshift.Session }{s}, nil
	}
	if c.ours {
		return ours{s}, nil
	}
	return s, nil
}

// end finishes a submitted statement.
func (c *cluster) end(id string, state redshift.State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outcome[id] == "" {
		c.outcome[id] = state
		close(c.running[id])
	}
}

type fakeSession struct {
	*cluster
	user string
}

func (s *fakeSession) Close() error {
	s.note("close " + s.user)
	return nil
}

func (s *fakeSession) Query(ctx context.Context, statement redshift.Statement) (redshift.Rows, error) {
	s.note("query " + statement.SQL)
	s.mu.Lock()
	s.ran = append(s.ran, statement)
	s.mu.Unlock()
	switch statement.SQL {
	case "select fail":
		return nil, &redshift.Error{SQLState: "42703", Message: "column fail does not exist"}
	case "select panic":
		panic("a fault of ours")
	case "select hang":
		<-ctx.Done()
		s.note("cancel " + statement.SQL)
		return nil, ctx.Err()
	}
	return &fakeRows{ctx: ctx, cluster: s.cluster}, nil
}

func (s *fakeSession) Submit(_ context.Context, statement redshift.Statement) (string, error) {
	s.note("submit " + statement.SQL)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ran = append(s.ran, statement)
	id := "remote-" + statement.IdempotencyKey
	if s.running[id] == nil {
		s.running[id] = make(chan struct{})
	}
	return id, nil
}

// await waits as Redshift does and keeps count of how many wait at once.
func (s *fakeSession) await(ctx context.Context, id string, wait time.Duration) error {
	s.mu.Lock()
	done := s.running[id]
	s.waiting++
	s.crowd = max(s.crowd, s.waiting)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.waiting--
		s.mu.Unlock()
	}()
	if done == nil {
		return redshift.ErrNotFound
	}
	select {
	case <-done:
		return nil
	default:
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-timer.C:
		return redshift.ErrRunning
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *fakeSession) Fetch(ctx context.Context, id string, wait time.Duration) (redshift.Rows, error) {
	if err := s.await(ctx, id, wait); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.outcome[id] {
	case redshift.Failed:
		if s.failure != nil {
			return nil, s.failure
		}
		return nil, &redshift.Error{SQLState: "22012", Message: "division by zero"}
	case redshift.Aborted:
		return nil, redshift.ErrCanceled
	}
	return &fakeRows{ctx: context.Background(), cluster: s.cluster}, nil
}

func (s *fakeSession) Describe(ctx context.Context, id string, wait time.Duration) (redshift.Execution, error) {
	err := s.await(ctx, id, wait)
	if err != nil && !errors.Is(err, redshift.ErrRunning) {
		return redshift.Execution{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	execution := redshift.Execution{ID: id, State: redshift.Started, RowCount: -1}
	if outcome := s.outcome[id]; outcome != "" {
		execution.State, execution.RowCount, execution.QueryID = outcome, int64(s.rowCount), 77
	}
	if execution.State == redshift.Failed {
		execution.Error = &redshift.Error{SQLState: "22012", Message: "division by zero"}
	}
	return execution, nil
}

func (s *fakeSession) Cancel(_ context.Context, id string) error {
	s.note("cancel " + id)
	s.end(id, redshift.Aborted)
	return nil
}

type fakeRows struct {
	ctx     context.Context
	cluster *cluster
	at      int
}

func (r *fakeRows) Columns() []redshift.Column {
	return []redshift.Column{{Name: "n", Type: redshift.Type{Kind: redshift.Text}}}
}

func (r *fakeRows) Next() bool {
	if r.ctx.Err() != nil || r.at >= r.cluster.rowCount {
		return false
	}
	r.at++
	return true
}
func (r *fakeRows) Values() [][]byte { return [][]byte{make([]byte, r.cluster.width)} }
func (r *fakeRows) Err() error       { return r.ctx.Err() } // as transports do that look at the last moment
func (r *fakeRows) Summary() redshift.Summary {
	return redshift.Summary{RowCount: int64(r.at), RowsAffected: -1, QueryID: 77}
}

func (r *fakeRows) Close() error {
	r.cluster.note("close rows")
	return nil
}

// journal is an audit record in memory that can be made to fail.
type journal struct {
	cluster *cluster
	mu      sync.Mutex
	records []audit.Record
	err     error
}

func (j *journal) Write(_ context.Context, record audit.Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return j.err
	}
	j.records = append(j.records, record)
	j.cluster.note("audit " + record.Kind)
	return nil
}

func (j *journal) all() []audit.Record {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.records)
}

// only gives the one record of a kind.
func (j *journal) only(t *testing.T, kind string) audit.Record {
	t.Helper()
	var found []audit.Record
	for _, record := range j.all() {
		if record.Kind == kind {
			found = append(found, record)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d records of %s, want one: %+v", len(found), kind, j.all())
	}
	return found[0]
}

// house is a gateway's warehouses over a fake cluster.
func house(t *testing.T, change func(*Config)) (*Warehouses, *cluster, *journal) {
	t.Helper()
	c := newCluster()
	j := &journal{cluster: c}
	config := Config{Audit: j, Warehouses: []Warehouse{
		{Name: "tickit", DisplayName: "Tickit", Database: "dev", Region: "us-east-1", Transport: "dataapi", Connector: c},
		{Name: "other", Connector: c},
	}}
	if change != nil {
		change(&config)
	}
	w, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w, c, j
}

func access(person string, scopes ...string) *grant.Access {
	return &grant.Access{
		Grant:  grant.Grant{ID: "gra_1", Tenant: "default", AppID: "stargazer", PersonID: "per_" + person, Warehouse: "tickit"},
		Person: grant.Person{ID: "per_" + person, Tenant: "default", DatabaseUser: person},
		App:    grant.App{ID: "stargazer"},
		Scopes: append(grant.Scopes{}, scopes...),
	}
}

func open(t *testing.T, w *Warehouses, a *grant.Access) *Session {
	t.Helper()
	session, err := w.Open(t.Context(), a, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close() })
	return session
}

// drain reads rows to the end and closes them.
func drain(t *testing.T, rows redshift.Rows) redshift.Summary {
	t.Helper()
	for rows.Next() {
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	summary := rows.Summary()
	if err := rows.Close(); err != nil {
		t.Fatal(err)
	}
	return summary
}
