package sqlapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/audit"
	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/spool"
	"github.com/shiftgrant/shiftgrant/internal/store"
	"github.com/shiftgrant/shiftgrant/internal/warehouse"
	"github.com/shiftgrant/shiftgrant/internal/web"
	"github.com/shiftgrant/shiftgrant/redshift"
)

// cluster plays Redshift. A statement does what its text says: see result.
type cluster struct {
	mu       sync.Mutex
	ran      []redshift.Statement
	running  map[string]chan struct{} // by remote id, closed at the end
	sql      map[string]string
	aborted  map[string]bool
	canceled chan string // tells of each cancelled statement
	failures map[string]error
	spool    *spool.Spool // keeps results; nil has the transport keep them
}

func (c *cluster) Connect(_ context.Context, person grant.Person) (redshift.Session, error) {
	if c.spool != nil {
		return onSpool{&session{c}, c.spool.For(spool.Owner{Tenant: person.Tenant, Person: person.ID}, &session{c})}, nil
	}
	return &session{c}, nil
}

// onSpool has results in the background kept beside the session.
type onSpool struct {
	redshift.Session
	*spool.Statements
}

func (c *cluster) statements() []redshift.Statement {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.ran)
}

func (c *cluster) last(t *testing.T) redshift.Statement {
	t.Helper()
	ran := c.statements()
	if len(ran) == 0 {
		t.Fatal("nothing was run")
	}
	return ran[len(ran)-1]
}

// finish ends all that runs in the background.
func (c *cluster) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, done := range c.running {
		select {
		case <-done:
		default:
			close(done)
		}
	}
}

type session struct{ *cluster }

func (s *session) Close() error { return nil }

func (s *session) Query(ctx context.Context, statement redshift.Statement) (redshift.Rows, error) {
	s.mu.Lock()
	s.ran = append(s.ran, statement)
	s.mu.Unlock()
	if statement.SQL == "select hang" {
		<-ctx.Done()
		s.canceled <- statement.SQL
		return nil, ctx.Err()
	}
	return s.result(ctx, statement.SQL)
}

func (s *session) Submit(_ context.Context, statement redshift.Statement) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.failures["submit"]; err != nil {
		return "", err
	}
	s.ran = append(s.ran, statement)
	id := "arn:aws:remote:" + statement.IdempotencyKey
	if statement.IdempotencyKey == "" {
		id += grant.NewID("x")
	}
	if s.running[id] == nil {
		s.running[id], s.sql[id] = make(chan struct{}), statement.SQL
		if !strings.Contains(statement.SQL, "hang") {
			close(s.running[id])
		}
	}
	return id, nil
}

func (s *session) await(ctx context.Context, id string, wait time.Duration) error {
	s.mu.Lock()
	done, aborted := s.running[id], s.aborted[id]
	s.mu.Unlock()
	if done == nil {
		return redshift.ErrNotFound
	}
	if aborted {
		return redshift.ErrCanceled
	}
	select {
	case <-done:
		return nil
	default:
	}
	select {
	case <-done:
		return nil
	case <-time.After(wait):
		return redshift.ErrRunning
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *session) Fetch(ctx context.Context, id string, wait time.Duration) (redshift.Rows, error) {
	if err := s.await(ctx, id, wait); err != nil {
		return nil, err
	}
	return s.result(context.Background(), s.sql[id])
}

func (s *session) Describe(ctx context.Context, id string, wait time.Duration) (redshift.Execution, error) {
	execution := redshift.Execution{ID: id, State: redshift.Started, RowCount: -1, Duration: 1500 * time.Millisecond}
	err := s.await(ctx, id, wait)
	switch {
	case errors.Is(err, redshift.ErrCanceled):
		execution.State = redshift.Aborted
	case err == nil:
		execution.State, execution.RowCount = redshift.Finished, 2
		if _, err := s.result(ctx, s.sql[id]); err != nil {
			var refusal *redshift.Error
			execution.State, execution.RowCount = redshift.Failed, -1
			errors.As(err, &refusal)
			execution.Error = refusal
		}
	case !errors.Is(err, redshift.ErrRunning):
		return redshift.Execution{}, err
	}
	return execution, nil
}

func (s *session) Cancel(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.running[id]:
		return nil // it has ended
	default:
	}
	if !s.aborted[id] {
		s.aborted[id] = true
		s.canceled <- s.sql[id]
	}
	return nil
}

// result is what a statement gives: one of failures, "select long" 20,000 rows, "select broken"
// as many and a failure, anything else two rows.
func (s *session) result(ctx context.Context, sql string) (redshift.Rows, error) {
	if err := s.failures[sql]; err != nil {
		return nil, err
	}
	r := &result{ctx: ctx, total: 2}
	switch sql {
	case "select long":
		r.total = 20000
	case "select broken":
		r.total, r.failure = 20000, &redshift.Error{SQLState: "XX000", Message: "disk full"}
	case "select broken at once":
		r.total, r.failure = 0, &redshift.Error{SQLState: "22012", Message: "division by zero"}
	case "insert":
		r.total, r.none = 0, true
	}
	return r, nil
}

type result struct {
	ctx     context.Context
	at      int
	total   int
	none    bool
	failure error
}

func (r *result) Columns() []redshift.Column {
	if r.none {
		return nil
	}
	return []redshift.Column{
		{Name: "id", Type: redshift.Type{Kind: redshift.BigInt, Name: "int8"}}, {Name: "name", Type: redshift.Type{Kind: redshift.Text, Name: "varchar"}},
	}
}

func (r *result) Next() bool {
	if r.at >= r.total || r.ctx.Err() != nil {
		return false
	}
	r.at++
	return true
}

func (r *result) Values() [][]byte {
	if r.at%2 == 0 {
		return [][]byte{[]byte("9007199254740993"), nil}
	}
	return [][]byte{[]byte("1"), []byte("alice")}
}

func (r *result) Err() error {
	if r.failure != nil {
		return r.failure
	}
	return r.ctx.Err()
}

func (r *result) Summary() redshift.Summary {
	return redshift.Summary{RowCount: int64(r.at), RowsAffected: 4}
}
func (r *result) Close() error { return nil }

// statements is a store in memory.
type statements struct {
	mu   sync.Mutex
	rows map[string]store.Statement
	err  error
}

func (s *statements) CreateStatement(_ context.Context, statement store.Statement) (store.Statement, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return store.Statement{}, s.err
	}
	for _, other := range s.rows {
		if statement.RequestID != "" && other.Tenant == statement.Tenant && other.GrantID == statement.GrantID && other.RequestID == statement.RequestID {
			return other, grant.ErrExists
		}
	}
	s.rows[statement.ID] = statement
	return statement, nil
}

func (s *statements) UpdateStatement(_ context.Context, statement store.Statement) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.rows[statement.ID] = statement
	return nil
}

func (s *statements) Statement(_ context.Context, tenant, id string) (store.Statement, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return store.Statement{}, s.err
	}
	if row, ok := s.rows[id]; ok && row.Tenant == tenant {
		return row, nil
	}
	return store.Statement{}, grant.ErrNotFound
}

func (s *statements) change(change func(*store.Statement)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, row := range s.rows {
		change(&row)
		s.rows[id] = row
	}
}

// tokens are accesses by token; those of errors fail.
type tokens struct {
	accesses map[string]*grant.Access
	errors   map[string]error
}

func (a tokens) Authenticate(_ context.Context, presented string) (*grant.Access, error) {
	if err := a.errors[presented]; err != nil {
		return nil, err
	}
	if access := a.accesses[presented]; access != nil {
		return access, nil
	}
	return nil, grant.ErrNotFound
}

type discard struct{ err error }

func (d *discard) Write(context.Context, audit.Record) error { return d.err }

// gateway is the door with everything behind it in memory.
type gateway struct {
	*httptest.Server
	t          *testing.T
	cluster    *cluster
	statements *statements
	tokens     tokens
	audit      *discard
	now        time.Time
}

func accessOf(tenant, person, app, grantID string, scopes ...string) *grant.Access {
	return &grant.Access{
		Grant:  grant.Grant{ID: grantID, Tenant: tenant, AppID: app, PersonID: person, Warehouse: "tickit"},
		Person: grant.Person{ID: person, Tenant: tenant, DatabaseUser: "db_" + person},
		App:    grant.App{ID: app},
		Scopes: scopes,
	}
}

func newGateway(t *testing.T) *gateway {
	t.Helper()
	g := &gateway{
		t: t, audit: &discard{}, now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
		cluster: &cluster{
			running: map[string]chan struct{}{}, sql: map[string]string{}, aborted: map[string]bool{}, canceled: make(chan string, 16), failures: map[string]error{},
		},
		statements: &statements{rows: map[string]store.Statement{}},
		tokens:     tokens{map[string]*grant.Access{}, map[string]error{}},
	}
	g.tokens.accesses["ann"] = accessOf("default", "ann", "stargazer", "gra_1", grant.ScopeRead, grant.WarehouseScope("tickit"))
	g.tokens.accesses["writer"] = accessOf("default", "ann", "stargazer", "gra_1", grant.ScopeRead, grant.ScopeWrite)
	g.tokens.accesses["person only"] = accessOf("default", "ann", "stargazer", "gra_1", grant.ScopeOpenID)
	warehouses, err := warehouse.New(warehouse.Config{Audit: g.audit, QueueWait: 200 * time.Millisecond, MaxConcurrentPerPerson: 100, Warehouses: []warehouse.Warehouse{
		{Name: "tickit", DisplayName: "Tickit", Description: "Tickets", Region: "us-east-1", Database: "dev", Transport: "dataapi", Connector: g.cluster},
		{Name: "secret-warehouse", Connector: g.cluster},
	}})
	if err != nil {
		t.Fatal(err)
	}
	api, err := New(Config{
		Authenticator: g.tokens, Warehouses: warehouses, Statements: g.statements, MaxBody: 4096,
		ResourceMetadata: "https://gateway.example/.well-known/oauth-protected-resource", Now: func() time.Time { return g.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	api.Register(mux)
	g.Server = httptest.NewUnstartedServer(web.Log(testLogger(t), mux))
	g.Config.ErrorLog = nil
	g.Start()
	t.Cleanup(func() {
		g.cluster.finish()
		warehouses.Close()
		g.Close()
	})
	return g
}

// answer is a response that was read to its end, or as far as it came.
type answer struct {
	*http.Response
	body string
	cut  error
}

func (g *gateway) do(method, path, token, body string, header ...string) answer {
	g.t.Helper()
	request, err := http.NewRequestWithContext(g.t.Context(), method, g.URL+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := g.Client().Do(request)
	if err != nil {
		g.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	a := answer{response, string(text), err}
	if response.Header.Get("Cache-Control") != "no-store" || response.Header.Get("X-Content-Type-Options") != "nosniff" || response.Header.Get("Access-Control-Allow-Origin") != "" {
		g.t.Errorf("%s %s: headers %v", method, path, response.Header)
	}
	if strings.Contains(a.body, "arn:") {
		g.t.Errorf("%s %s tells of AWS: %s", method, path, a.body)
	}
	return a
}

// problem reads the body as a problem document.
func (a answer) problem(t *testing.T) (p struct {
	Type, Title, Detail, SQLState, Hint string
	Status, Position                    int
	RequestID                           string `json:"request_id"`
},
) {
	t.Helper()
	if got := a.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Fatalf("Content-Type %q: %s", got, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	if p.Status != a.StatusCode || p.RequestID == "" || p.RequestID != a.Header.Get(web.RequestIDHeader) {
		t.Errorf("problem %+v of a %d with request id %q", p, a.StatusCode, a.Header.Get(web.RequestIDHeader))
	}
	p.Type = strings.TrimPrefix(p.Type, "urn:shiftgrant:problem:")
	return p
}

// document reads the body as a JSON object.
func (a answer) document(t *testing.T) map[string]any {
	t.Helper()
	var document map[string]any
	if err := json.Unmarshal([]byte(a.body), &document); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	return document
}
