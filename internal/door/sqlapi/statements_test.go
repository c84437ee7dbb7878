package sqlapi

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/store"
	"github.com/shiftgrant/shiftgrant/redshift"
)

// start submits a statement in the background and gives its id.
func start(t *testing.T, g *gateway, sql string) string {
	t.Helper()
	got := g.do("POST", "/v1/statements", "ann", `{"sql":"`+sql+`","wait":"0s"}`)
	if got.StatusCode == 200 {
		return got.document(t)["statement_id"].(string)
	}
	document := got.document(t)
	id, _ := document["statement_id"].(string)
	if got.StatusCode != 202 || document["status"] != "RUNNING" || !strings.HasPrefix(id, "st_") ||
		got.Header.Get("Location") != "/v1/statements/"+id || got.Header.Get("Retry-After") != "1" {
		t.Fatalf("%d %v %s", got.StatusCode, got.Header, got.body)
	}
	return id
}

func TestStatementWithinItsWait(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	got := g.do("POST", "/v1/statements", "ann", `{"sql":"select 1"}`)
	id, _ := got.document(t)["statement_id"].(string)
	if got.StatusCode != 200 || !strings.HasPrefix(id, "st_") || got.Header.Get("Location") != "/v1/statements/"+id || !strings.HasSuffix(got.body, `"row_count":2,"truncated":false,"complete":true}`+"\n") {
		t.Fatalf("%d %s", got.StatusCode, got.body)
	}
	again := g.do("GET", "/v1/statements/"+id+"/rows?int64=string", "ann", "", "Accept", "application/x-ndjson")
	if again.StatusCode != 200 || !strings.HasPrefix(again.body, `{"statement_id":"`+id+`","columns":[`) || !strings.Contains(again.body, `["9007199254740993",null]`) {
		t.Errorf("%d %s", again.StatusCode, again.body)
	}
}

func TestStatementInTheBackground(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	id := start(t, g, "select hang")
	status := g.do("GET", "/v1/statements/"+id, "ann", "")
	if document := status.document(t); status.StatusCode != 200 || document["status"] != "RUNNING" || document["rows"] != nil || status.Header.Get("Retry-After") != "1" {
		t.Errorf("running: %d %s", status.StatusCode, status.body)
	}
	early := g.do("GET", "/v1/statements/"+id+"/rows", "ann", "")
	if p := early.problem(t); p.Status != 409 || p.Type != "statement-running" || early.Header.Get("Retry-After") != "1" {
		t.Errorf("rows of a running statement: %+v", p)
	}
	time.AfterFunc(20*time.Millisecond, g.cluster.finish)
	status = g.do("GET", "/v1/statements/"+id+"?wait=10s", "ann", "")
	document := status.document(t)
	if document["status"] != "FINISHED" || document["row_count"] != 2.0 || document["rows"] != "/v1/statements/"+id+"/rows" || document["duration_ms"] != 1500.0 ||
		document["created_at"] != "2026-11-23T12:00:00Z" || document["expires_at"] != "2026-11-24T12:00:00Z" || document["warehouse"] != "tickit" || status.Header.Get("Retry-After") != "" {
		t.Errorf("finished: %s", status.body)
	}
	rows := g.do("GET", "/v1/statements/"+id+"/rows", "ann", "", "Accept", "text/csv")
	if rows.body != "id,name\r\n1,alice\r\n9007199254740993,\r\n" || rows.Trailer.Get("Shiftgrant-Complete") != "true" {
		t.Errorf("rows: %q %v", rows.body, rows.Trailer)
	}
	for _, query := range []string{"?wait=", "?wait=61s", "?wait=1s&wait=2s"} {
		if p := g.do("GET", "/v1/statements/"+id+query, "ann", "").problem(t); p.Status != 400 {
			t.Errorf("%s: %+v", query, p)
		}
	}
}

func TestFailedStatementTellsWhy(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	g.cluster.failures["select x"] = &redshift.Error{SQLState: "42703", Message: "column x does not exist", Position: 8}
	p := g.do("POST", "/v1/statements", "ann", `{"sql":"select x","request_id":"r"}`).problem(t)
	if p.Status != 422 || p.SQLState != "42703" || p.Position != 8 {
		t.Errorf("%+v", p)
	}
	for id := range g.statements.rows {
		document := g.do("GET", "/v1/statements/"+id, "ann", "").document(t)
		failure, _ := document["error"].(map[string]any)
		if document["status"] != "FAILED" || failure["sqlstate"] != "42703" || failure["detail"] != "column x does not exist" {
			t.Errorf("%v", document)
		}
		if p := g.do("GET", "/v1/statements/"+id+"/rows", "ann", "").problem(t); p.Status != 422 {
			t.Errorf("rows: %+v", p)
		}
	}
}

func TestWaitThatRunsOut(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	p := g.do("POST", "/v1/statements", "ann", `{"sql":"select hang","wait":"10ms","on_timeout":"cancel","request_id":"r"}`).problem(t)
	if p.Status != 408 || p.Type != "statement-timeout" || len(g.cluster.canceled) != 1 {
		t.Errorf("%+v, %d cancelled", p, len(g.cluster.canceled))
	}
	if p := g.do("POST", "/v1/statements", "ann", `{"sql":"select hang","request_id":"r"}`).problem(t); p.Status != 409 || p.Type != "statement-canceled" {
		t.Errorf("the same request after that: %+v", p)
	}
	if ran := g.cluster.statements(); len(ran) != 1 {
		t.Errorf("%d statements ran", len(ran))
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	id := start(t, g, "select hang")
	if p := g.do("POST", "/v1/statements/"+id+"/cancel", "ann", `{"why":"x"}`).problem(t); p.Status != 400 {
		t.Errorf("with a body: %+v", p)
	}
	for range 2 {
		got := g.do("POST", "/v1/statements/"+id+"/cancel", "ann", "{}")
		if got.StatusCode != 200 || got.document(t)["status"] != "CANCELED" {
			t.Errorf("%d %s", got.StatusCode, got.body)
		}
	}
	if len(g.cluster.canceled) != 1 {
		t.Errorf("Redshift was told %d times", len(g.cluster.canceled))
	}
	if document := g.do("GET", "/v1/statements/"+id, "ann", "").document(t); document["status"] != "CANCELED" {
		t.Errorf("%v", document)
	}
	if p := g.do("GET", "/v1/statements/"+id+"/rows", "ann", "").problem(t); p.Status != 409 || p.Type != "statement-canceled" {
		t.Errorf("rows: %+v", p)
	}
	done := start(t, g, "select 1")
	got := g.do("POST", "/v1/statements/"+done+"/cancel", "ann", "")
	if got.StatusCode != 200 || got.document(t)["status"] != "FINISHED" || !g.statements.rows[done].CanceledAt.IsZero() {
		t.Errorf("cancelling what has ended: %d %s", got.StatusCode, got.body)
	}
}

// Possession of an id is not authority: whoever is not its owner gets what they would get for
// an id that never was, on every route.
func TestForeignStatementIsAnUnknownOne(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	id := start(t, g, "select hang")
	read := grant.ScopeRead
	g.tokens.accesses["another tenant"] = accessOf("acme", "ann", "stargazer", "gra_1", read)
	g.tokens.accesses["another person"] = accessOf("default", "bob", "stargazer", "gra_1", read)
	g.tokens.accesses["another app"] = accessOf("default", "ann", "comet", "gra_1", read)
	g.tokens.accesses["another grant"] = accessOf("default", "ann", "stargazer", "gra_2", read)
	elsewhere := accessOf("default", "ann", "stargazer", "gra_1", read)
	elsewhere.Grant.Warehouse = "secret-warehouse"
	g.tokens.accesses["another warehouse"] = elsewhere
	for token := range g.tokens.accesses {
		if !strings.HasPrefix(token, "another") {
			continue
		}
		for _, route := range []struct{ method, path string }{{"GET", ""}, {"GET", "?wait=1s"}, {"GET", "/rows"}, {"POST", "/cancel"}} {
			foreign := g.do(route.method, "/v1/statements/"+id+route.path, token, "")
			unknown := g.do(route.method, "/v1/statements/st_0000000000000000000000"+route.path, token, "")
			strip := func(a answer) string {
				return strings.ReplaceAll(a.body, a.Header.Get("X-Request-Id"), "")
			}
			if p := foreign.problem(t); p.Status != 404 || strip(foreign) != strip(unknown) || foreign.StatusCode != unknown.StatusCode {
				t.Errorf("%s, %s %s: %s, of an unknown one: %s", token, route.method, route.path, foreign.body, unknown.body)
			}
		}
	}
	if len(g.cluster.canceled) > 0 {
		t.Error("somebody else cancelled it")
	}
	if got := g.do("GET", "/v1/statements/"+id, "ann", ""); got.StatusCode != 200 {
		t.Errorf("its owner: %d", got.StatusCode)
	}
}

func TestRetriedRequestIsTheSameStatement(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	body := `{"sql":"select 1","parameters":{"a":null},"request_id":"order-7"}`
	first := g.do("POST", "/v1/statements", "ann", body).document(t)["statement_id"]
	second := g.do("POST", "/v1/statements", "ann", body)
	if second.StatusCode != 200 || second.document(t)["statement_id"] != first || len(g.cluster.statements()) != 1 {
		t.Errorf("%s after %v, %d ran", second.body, first, len(g.cluster.statements()))
	}
	for _, other := range []string{
		`{"sql":"select 2","parameters":{"a":null},"request_id":"order-7"}`,
		`{"sql":"select 1","parameters":{"a":""},"request_id":"order-7"}`,
		`{"sql":"select 1","parameters":{"a":"null"},"request_id":"order-7"}`,
		`{"sql":"select 1","parameters":{"b":null},"request_id":"order-7"}`,
		`{"sql":"select 1","request_id":"order-7"}`,
	} {
		if p := g.do("POST", "/v1/statements", "ann", other).problem(t); p.Status != 409 || p.Type != "request-id-used" {
			t.Errorf("%s: %+v", other, p)
		}
	}
	g.tokens.accesses["bob"] = accessOf("default", "bob", "stargazer", "gra_2", grant.ScopeRead)
	if got := g.do("POST", "/v1/statements", "bob", body); got.StatusCode != 200 || got.document(t)["statement_id"] == first {
		t.Errorf("the same request_id of another grant: %s", got.body)
	}
	keys := map[string]bool{}
	for _, statement := range g.cluster.statements() {
		keys[statement.IdempotencyKey] = true
		if len(statement.IdempotencyKey) != 64 {
			t.Errorf("idempotency key %q", statement.IdempotencyKey)
		}
	}
	if len(keys) != 2 {
		t.Errorf("idempotency keys %v, want one for each grant", keys)
	}
}

func TestRetryAfterASubmissionThatWasCutOff(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	body := `{"sql":"select 1","request_id":"r"}`
	g.cluster.failures["submit"] = errors.New("connection reset")
	if p := g.do("POST", "/v1/statements", "ann", body).problem(t); p.Status != 502 {
		t.Fatalf("%+v", p)
	}
	for id := range g.statements.rows {
		got := g.do("GET", "/v1/statements/"+id, "ann", "")
		if p := got.problem(t); p.Status != 409 || p.Type != "statement-starting" || got.Header.Get("Retry-After") == "" {
			t.Errorf("%+v", p)
		}
	}
	delete(g.cluster.failures, "submit")
	if got := g.do("POST", "/v1/statements", "ann", body); got.StatusCode != 200 || len(g.statements.rows) != 1 {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
}

func TestExpiredStatementIsGone(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	id := start(t, g, "select 1")
	g.statements.change(func(s *store.Statement) { s.ExpiresAt = g.now })
	for _, path := range []string{"", "/rows"} {
		if p := g.do("GET", "/v1/statements/"+id+path, "ann", "").problem(t); p.Status != 410 {
			t.Errorf("%s: %+v", path, p)
		}
	}
	g.statements.change(func(s *store.Statement) { s.ExpiresAt = g.now.Add(time.Hour); s.RemoteID = "forgotten" })
	if p := g.do("GET", "/v1/statements/"+id+"/rows", "ann", "").problem(t); p.Status != 410 {
		t.Errorf("forgotten by Redshift: %+v", p)
	}
}

func TestStoreThatIsDownIsNoAnswer(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	g.statements.err = errors.New("database is locked: /var/lib/shiftgrant.db")
	for _, route := range routes {
		if route.path == "/v1/query" || route.path == "/v1/warehouses" {
			continue // these keep nothing
		}
		got := g.do(route.method, route.path, "ann", route.body)
		if p := got.problem(t); p.Status != 503 || got.Header.Get("Retry-After") == "" || strings.Contains(got.body, "var/lib") {
			t.Errorf("%s %s: %s", route.method, route.path, got.body)
		}
	}
	got := g.do("POST", "/v1/statements", "ann", `{"sql":"select hang"}`)
	if got.problem(t).Status != 503 || <-g.cluster.canceled != "select hang" {
		t.Errorf("a statement that cannot be kept goes on: %s", got.body)
	}
}
