package sqlapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/redshift"
)

// testLogger keeps the log out of the way and holds it to hold no secret.
func testLogger(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(writerFunc(func(line []byte) (int, error) {
		if bytes.Contains(line, []byte("Bearer")) {
			t.Errorf("the log has a token: %s", line)
		}
		return len(line), nil
	}), nil))
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestQueryInEveryFormat(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	columns := `"columns":[{"name":"id","type":"bigint"},{"name":"name","type":"varchar"}]`
	for _, c := range []struct {
		name, path, accept, contentType, want string
	}{
		{"JSON", "/v1/query", "", "application/json", "{" + columns + ",\"rows\":[\n[1,\"alice\"],\n[9007199254740993,null]\n],\"row_count\":2,\"truncated\":false,\"complete\":true}\n"},
		{"JSON with int64 as strings", "/v1/query?int64=string", "application/json", "application/json", "{" + columns + ",\"rows\":[\n[\"1\",\"alice\"],\n[\"9007199254740993\",null]\n],\"row_count\":2,\"truncated\":false,\"complete\":true}\n"},
		{"NDJSON", "/v1/query", "application/x-ndjson", "application/x-ndjson", "{" + columns + "}\n[1,\"alice\"]\n[9007199254740993,null]\n{\"row_count\":2,\"truncated\":false,\"complete\":true}\n"},
		{"CSV", "/v1/query", "text/csv", "text/csv; charset=utf-8; header=present", "id,name\r\n1,alice\r\n9007199254740993,\r\n"},
	} {
		got := g.do("POST", c.path, "ann", `{"query":"select 1"}`, "Accept", c.accept)
		if got.StatusCode != 200 || got.body != c.want || got.Header.Get("Content-Type") != c.contentType {
			t.Errorf("%s: %d %s %q", c.name, got.StatusCode, got.Header.Get("Content-Type"), got.body)
		}
		complete := got.Trailer.Get("Shiftgrant-Complete")
		if c.name == "CSV" && (complete != "true" || got.Trailer.Get("Shiftgrant-Row-Count") != "2" || got.Trailer.Get("Shiftgrant-Truncated") != "false") {
			t.Errorf("CSV: trailers %v", got.Trailer)
		}
	}
	if label := g.cluster.last(t).Label; !strings.HasPrefix(label, "sg:stargazer:gra_1:req_") {
		t.Errorf("label %q", label)
	}
}

func TestRawSQL(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	for _, path := range []string{"/v1/query", "/v1/statements"} {
		got := g.do("POST", path, "ann", "select 1 -- {\n", "Content-Type", "application/sql; charset=UTF-8")
		if got.StatusCode != 200 || !strings.Contains(got.body, `"complete":true`) {
			t.Errorf("%s: %d %s", path, got.StatusCode, got.body)
		}
		if sql := g.cluster.last(t).SQL; sql != "select 1 -- {\n" {
			t.Errorf("%s ran %q", path, sql)
		}
	}
}

func TestTruncationIsTold(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	got := g.do("POST", "/v1/query", "ann", `{"query":"select 1","max_rows":1}`)
	if got.StatusCode != 200 || !strings.HasSuffix(got.body, `"row_count":1,"truncated":true,"limit":"max_rows","complete":true}`+"\n") {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	got = g.do("POST", "/v1/query", "ann", `{"query":"select 1","max_rows":1}`, "Accept", "text/csv")
	if got.Trailer.Get("Shiftgrant-Truncated") != "max_rows" || got.Trailer.Get("Shiftgrant-Complete") != "true" {
		t.Errorf("CSV: trailers %v", got.Trailer)
	}
}

func TestStatementWithoutResult(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	got := g.do("POST", "/v1/query", "writer", `{"query":"insert"}`)
	if got.body != `{"columns":[],"rows":[],"row_count":0,"rows_affected":4,"truncated":false,"complete":true}`+"\n" {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	got = g.do("POST", "/v1/query", "writer", `{"query":"insert"}`, "Accept", "text/csv")
	if got.StatusCode != 200 || got.body != "" || got.Trailer.Get("Shiftgrant-Complete") != "true" {
		t.Errorf("CSV: %d %q, trailers %v", got.StatusCode, got.body, got.Trailer)
	}
}

func TestParametersReachRedshift(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	for _, c := range []struct{ parameters, want string }{
		{`[{"name":"a","value":"x"},{"value":null,"name":"b"},{"name":"c","value":""}]`, "a=x b=NULL c="},
		{`{"a":1.50,"b":12345678901234567890123,"c":-1e-7,"d":true,"e":false,"f":null,"g":"it's"}`, "a=1.50 b=12345678901234567890123 c=-1e-7 d=true e=false f=NULL g=it's"},
		{`[]`, ""},
		{`{}`, ""},
		{`null`, ""},
	} {
		got := g.do("POST", "/v1/query", "ann", `{"query":"select :a","parameters":`+c.parameters+`}`)
		var sent []string
		for _, parameter := range g.cluster.last(t).Parameters {
			value := "NULL"
			if parameter.Value != nil {
				value = *parameter.Value
			}
			sent = append(sent, parameter.Name+"="+value)
		}
		if text := strings.Join(sent, " "); got.StatusCode != 200 || text != c.want {
			t.Errorf("%s: %d, sent %q, want %q", c.parameters, got.StatusCode, text, c.want)
		}
	}
}

func TestBodiesThatAreRefused(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	for _, c := range []struct {
		path, body  string
		status      int
		detail      string
		contentType string
	}{
		{"/v1/query", ``, 415, "application/sql", ""},
		{"/v1/query", `query=select+1`, 415, "application/sql", "application/x-www-form-urlencoded"},
		{"/v1/query", `{"query":"select 1"}`, 415, "UTF-8", "application/json; charset=latin1"},
		{"/v1/query", `{"Query":"select 1"}`, 400, queryMembers, ""},
		{"/v1/query", `{"query":"select 1","QUERY":"drop"}`, 400, queryMembers, ""},
		{"/v1/query", `{"query":"select 1","query":"select 2"}`, 400, "twice", ""},
		{"/v1/query", `{"query":"select 1"} {}`, 400, "not one JSON value", ""},
		{"/v1/query", `{"query":"select 1"}trailing`, 400, "not one JSON value", ""},
		{"/v1/query", `{"query":"select 1"`, 400, "not one JSON value", ""},
		{"/v1/query", "{\"query\":\"\xff\"}", 400, "UTF-8", ""},
		{"/v1/query", `{}`, 400, "query is missing", ""},
		{"/v1/query", `{"query":""}`, 400, "query is missing", ""},
		{"/v1/query", `{"query":null}`, 400, "query is missing", ""},
		{"/v1/query", `{"query":1}`, 400, queryMembers, ""},
		{"/v1/query", `["select 1"]`, 400, queryMembers, ""},
		{"/v1/query", `null`, 400, queryMembers, ""},
		{"/v1/query", `{"query":"select 1","max_rows":0}`, 400, "max_rows", ""},
		{"/v1/query", `{"query":"select 1","max_rows":1.5}`, 400, queryMembers, ""},
		{"/v1/query", `{"query":"select 1","wait":"1s"}`, 400, queryMembers, ""},
		{"/v1/query", `{"query":"select 1","evil<script>":1}`, 400, queryMembers, ""},
		{"/v1/query", `{"query":"` + strings.Repeat("x", 5000) + `"}`, 413, "4096", ""},
		{"/v1/query", strings.Repeat("x", 5000), 413, "4096", "application/sql"},
		{"/v1/query", `{"query":"select 1; drop table t"}`, 400, "more than one statement", ""},
		{"/v1/query", `{"query":" -- "}`, 400, "no statement", ""},
		{"/v1/query", `{"query":"select '\u0000'"}`, 400, "NUL", ""},
		{"/v1/statements", `{"query":"select 1"}`, 400, statementMembers, ""},
		{"/v1/statements", `{"statement":"select 1"}`, 400, statementMembers, ""},
		{"/v1/statements", `{"sql":"select 1","wait":"61s"}`, 400, "wait", ""},
		{"/v1/statements", `{"sql":"select 1","wait":"-1s"}`, 400, "wait", ""},
		{"/v1/statements", `{"sql":"select 1","wait":30}`, 400, statementMembers, ""},
		{"/v1/statements", `{"sql":"select 1","wait":""}`, 400, "wait", ""},
		{"/v1/statements", `{"sql":"select 1","on_timeout":"CANCEL"}`, 400, "on_timeout", ""},
		{"/v1/statements", `{"sql":"select 1","request_id":""}`, 400, "request_id", ""},
		{"/v1/statements", `{"sql":"select 1","request_id":"a b"}`, 400, "request_id", ""},
		{"/v1/statements", `{"sql":"select 1","request_id":"` + strings.Repeat("a", 65) + `"}`, 400, "request_id", ""},
		{"/v1/query", `{"query":"select 1","parameters":"x"}`, 400, "parameters is", ""},
		{"/v1/query", `{"query":"select 1","parameters":[1]}`, 400, "parameters is", ""},
		{"/v1/query", `{"query":"select 1","parameters":[{"name":"a"}]}`, 400, "parameters is", ""},
		{"/v1/query", `{"query":"select 1","parameters":[{"value":"a"}]}`, 400, "parameters is", ""},
		{"/v1/query", `{"query":"select 1","parameters":[{"name":null,"value":"a"}]}`, 400, "parameters is", ""},
		{"/v1/query", `{"query":"select 1","parameters":[{"name":"a","value":"a","type":"int"}]}`, 400, "parameters is", ""},
		{"/v1/query", `{"query":"select 1","parameters":[{"name":"a","value":[1]}]}`, 400, "parameters is", ""},
		{"/v1/query", `{"query":"select 1","parameters":{"a":{"b":1}}}`, 400, "parameters is", ""},
		{"/v1/query", `{"query":"select 1","parameters":{"a":1,"a":2}}`, 400, "twice", ""},
		{"/v1/query", `{"query":"select 1","parameters":[{"name":"a","value":1},{"name":"a","value":1}]}`, 400, "same name", ""},
		{"/v1/query", `{"query":"select 1","parameters":{"a;b":1}}`, 400, "name of a parameter", ""},
		{"/v1/query", `{"query":"select 1","parameters":{"":1}}`, 400, "name of a parameter", ""},
		{"/v1/query", `{"query":"select 1","parameters":{"a":"\u0000"}}`, 400, "NUL", ""},
		{"/v1/query?int64=yes", `{"query":"select 1"}`, 400, "int64", ""},
	} {
		header := []string{}
		if c.contentType != "" {
			header = []string{"Content-Type", c.contentType}
		}
		got := g.do("POST", c.path, "ann", c.body, header...)
		if p := got.problem(t); p.Status != c.status || !strings.Contains(p.Detail, c.detail) {
			t.Errorf("%s %.60s: %d %q, want %d with %q", c.path, c.body, p.Status, p.Detail, c.status, c.detail)
		}
		if strings.Contains(got.body, "evil") || strings.Contains(got.body, "script") {
			t.Errorf("%s: input came back: %s", c.body, got.body)
		}
	}
	got := g.do("POST", "/v1/query", "ann", `{"query":"select 1"}`, "Content-Encoding", "gzip")
	if got.problem(t).Status != 415 {
		t.Errorf("a compressed body: %s", got.body)
	}
	if ran := g.cluster.statements(); len(ran) > 0 {
		t.Errorf("these ran: %+v", ran)
	}
}

func TestWhatCannotBeWrittenIsNotRun(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	for _, path := range []string{"/v1/query", "/v1/statements"} {
		body := `{"query":"select 1"}`
		if path == "/v1/statements" {
			body = `{"sql":"select 1"}`
		}
		p := g.do("POST", path, "ann", body, "Accept", "text/html").problem(t)
		if p.Status != 406 || !strings.Contains(p.Detail, "application/json, application/x-ndjson, text/csv") {
			t.Errorf("%s: %+v", path, p)
		}
	}
	if ran := g.cluster.statements(); len(ran) > 0 {
		t.Errorf("these ran: %+v", ran)
	}
}

var routes = []struct{ method, path, body string }{
	{"POST", "/v1/query", `{"query":"select 1"}`},
	{"POST", "/v1/statements", `{"sql":"select 1"}`},
	{"GET", "/v1/statements/st_1", ""},
	{"GET", "/v1/statements/st_1/rows", ""},
	{"POST", "/v1/statements/st_1/cancel", ""},
	{"GET", "/v1/warehouses", ""},
}

func TestNobodyGetsInWithoutAToken(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	g.tokens.errors["malformed"] = grant.ErrMalformed
	g.tokens.errors["expired"] = fmt.Errorf("look up: %w", grant.ErrExpired)
	g.tokens.errors["revoked"] = grant.ErrRevoked
	g.tokens.errors["store down"] = errors.New("disk on fire at /var/lib")
	metadata := `resource_metadata="https://gateway.example/.well-known/oauth-protected-resource"`
	for _, route := range routes {
		for _, c := range []struct {
			name, token, query string
			status             int
			challenge          string // in WWW-Authenticate; "" for no header
		}{
			{"no token", "", "", 401, ""},
			{"in the query", "", "?access_token=ann", 401, ""},
			{"in both", "ann", "?access_token=ann", 400, `error="invalid_request"`},
			{"malformed", "malformed", "", 401, `error="invalid_token"`},
			{"unknown", "unknown", "", 401, `error="invalid_token"`},
			{"expired", "expired", "", 401, `error="invalid_token"`},
			{"revoked", "revoked", "", 401, `error="invalid_token"`},
			{"store down", "store down", "", 503, ""},
		} {
			got := g.do(route.method, route.path+c.query, c.token, route.body)
			challenge := got.Header.Get("WWW-Authenticate")
			switch {
			case got.problem(t).Status != c.status:
				t.Errorf("%s %s: %d", route.path, c.name, got.StatusCode)
			case c.status == 503 && (challenge != "" || got.Header.Get("Retry-After") == "" || strings.Contains(got.body, "fire")):
				t.Errorf("%s %s: %v %s", route.path, c.name, got.Header, got.body)
			case c.status != 503 && !strings.Contains(challenge, metadata), c.challenge == "" && strings.Contains(challenge, "error="), !strings.Contains(challenge, c.challenge):
				t.Errorf("%s %s: WWW-Authenticate %s", route.path, c.name, challenge)
			}
		}
	}
	if len(g.cluster.statements()) > 0 {
		t.Error("something ran")
	}
}

func TestScopeThatIsMissingIsNamed(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	readOnly := accessOf("default", "ann", "stargazer", "gra_1", grant.ScopeRead, grant.ScopeWrite)
	readOnly.Grant.Limits.ReadOnly = true
	g.tokens.accesses["read-only"] = readOnly
	for _, c := range []struct{ token, method, path, body, scope, problem string }{
		{"ann", "POST", "/v1/query", `{"query":"delete from t"}`, "sql:write warehouse:tickit", "insufficient-scope"},
		{"ann", "POST", "/v1/statements", `{"sql":"delete from t","request_id":"r"}`, "sql:write warehouse:tickit", "insufficient-scope"},
		{"person only", "POST", "/v1/query", `{"query":"select 1"}`, "sql:read warehouse:tickit", "insufficient-scope"},
		{"person only", "GET", "/v1/statements/st_1", "", "sql:read", "insufficient-scope"},
		{"read-only", "POST", "/v1/query", `{"query":"delete from t"}`, "", "read-only"},
	} {
		got := g.do(c.method, c.path, c.token, c.body)
		challenge := got.Header.Get("WWW-Authenticate")
		if p := got.problem(t); p.Status != 403 || p.Type != c.problem {
			t.Errorf("%s %s: %+v", c.token, c.path, p)
		}
		if c.scope != "" && !(strings.Contains(challenge, `error="insufficient_scope"`) && strings.Contains(challenge, `scope="`+c.scope+`"`)) || c.scope == "" && challenge != "" {
			t.Errorf("%s %s: WWW-Authenticate %s, want scope %q", c.token, c.path, challenge, c.scope)
		}
	}
	if len(g.statements.rows) > 0 || len(g.cluster.statements()) > 0 {
		t.Error("a refused statement left something behind")
	}
}

func TestErrorsHaveTheirStatus(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	aws := errors.New("AccessDenied: User arn:aws:sts::123456789012:assumed-role/x is not authorized")
	for name, c := range map[string]struct {
		err    error
		status int
		detail string
	}{
		"sql":       {&redshift.Error{SQLState: "42501", Message: "permission denied for schema finance", Hint: "ask", Position: 15}, 422, "permission denied for schema finance"},
		"detail":    {&redshift.Error{SQLState: "XX000", Message: "bad", Detail: "worse"}, 422, "bad. worse"},
		"busy":      {&redshift.BusyError{Limit: "30 calls a second", RetryAfter: 1500 * time.Millisecond}, 429, "30 calls a second"},
		"access":    {&redshift.AccessError{Step: "assume arn:aws:iam::123456789012:role/x", Code: "AccessDenied", Err: aws}, 502, "set-up"},
		"transport": {aws, 502, "request id"},
		"cancelled": {redshift.ErrCanceled, 409, "cancelled"},
		"deadline":  {context.DeadlineExceeded, 503, "ended"},
		"gone":      {redshift.ErrNotFound, 410, "not kept"},
	} {
		g.cluster.failures["select "+name] = c.err
		for _, route := range []struct{ path, member string }{{"/v1/query", "query"}, {"/v1/statements", "sql"}} {
			got := g.do("POST", route.path, "ann", `{"`+route.member+`":"select `+name+`"}`)
			p := got.problem(t)
			if p.Status != c.status || !strings.Contains(p.Detail, c.detail) || strings.Contains(got.body, "123456789012") {
				t.Errorf("%s %s: %s", route.path, name, got.body)
			}
			if name == "sql" && (p.SQLState != "42501" || p.Hint != "ask" || p.Position != 15) {
				t.Errorf("%s: %s", name, got.body)
			}
			if name == "busy" && got.Header.Get("Retry-After") != "2" {
				t.Errorf("busy: Retry-After %q", got.Header.Get("Retry-After"))
			}
		}
	}
	p := g.do("POST", "/v1/query", "ann", `{"query":"select 1","warehouse":"secret-warehouse"}`).problem(t)
	q := g.do("POST", "/v1/query", "ann", `{"query":"select 1","warehouse":"no such"}`).problem(t)
	if p.Status != 403 || p.Detail != q.Detail || p.Type != q.Type {
		t.Errorf("another warehouse that exists: %+v, one that does not: %+v", p, q)
	}
	g.audit.err = errors.New("disk full")
	got := g.do("POST", "/v1/query", "ann", `{"query":"select 1"}`)
	if p := got.problem(t); p.Status != 503 || got.Header.Get("Retry-After") == "" {
		t.Errorf("without an audit record: %+v", p)
	}
}

func TestFailureInMidstreamIsNeverAShortSuccess(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	got := g.do("POST", "/v1/query", "ann", `{"query":"select broken"}`)
	var document struct {
		Rows     [][]any
		Complete *bool
		Error    struct{ SQLState, Detail string }
	}
	if err := json.Unmarshal([]byte(got.body), &document); err != nil || document.Complete == nil || *document.Complete || len(document.Rows) != 20000 || document.Error.SQLState != "XX000" {
		t.Errorf("JSON: %v, ends with %s", err, got.body[max(0, len(got.body)-300):])
	}
	got = g.do("POST", "/v1/query", "ann", `{"query":"select broken"}`, "Accept", "application/x-ndjson")
	lines := strings.Split(strings.TrimSuffix(got.body, "\n"), "\n")
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, `{"error":{`) || !strings.HasSuffix(last, `"complete":false}`) || !strings.Contains(last, "disk full") {
		t.Errorf("NDJSON ends with %s", last)
	}
	got = g.do("POST", "/v1/query", "ann", `{"query":"select broken"}`, "Accept", "text/csv")
	if got.cut == nil || got.Trailer.Get("Shiftgrant-Complete") != "" {
		t.Errorf("CSV: error %v, trailers %v", got.cut, got.Trailer)
	}
	for _, accept := range []string{"application/json", "application/x-ndjson", "text/csv"} {
		got = g.do("POST", "/v1/query", "ann", `{"query":"select broken at once"}`, "Accept", accept)
		if p := got.problem(t); p.Status != 422 || p.SQLState != "22012" {
			t.Errorf("%s: a failure before the first byte: %+v", accept, p)
		}
	}
}

func TestStatementIsCancelledWhenTheAppGoesAway(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	for _, c := range []struct{ path, body string }{
		{"/v1/query", `{"query":"select hang"}`},
		{"/v1/statements", `{"sql":"select hang"}`},
		{"/v1/statements", `{"sql":"select hang","request_id":"r","on_timeout":"cancel"}`},
	} {
		ctx, leave := context.WithCancel(t.Context())
		request, err := http.NewRequestWithContext(ctx, "POST", g.URL+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer ann")
		request.Header.Set("Content-Type", "application/json")
		before := len(g.cluster.statements())
		gone := make(chan error)
		go func() {
			response, err := g.Client().Do(request)
			if err == nil {
				_, _ = io.Copy(io.Discard, response.Body)
				response.Body.Close()
			}
			gone <- err
		}()
		for len(g.cluster.statements()) == before {
			time.Sleep(time.Millisecond)
		}
		leave()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Fatalf("%s: %v", c.path, err)
		}
		select {
		case <-g.cluster.canceled:
		case <-time.After(10 * time.Second):
			t.Errorf("%s: Redshift was not told", c.body)
		}
	}
}

func TestWarehousesOfTheGrant(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	got := g.do("GET", "/v1/warehouses", "ann", "")
	want := `{"warehouses":[{"name":"tickit","display_name":"Tickit","description":"Tickets","transport":"dataapi","region":"us-east-1","database":"dev","database_user":"db_ann","capabilities":["sql:read"]}]}` + "\n"
	if got.StatusCode != 200 || got.body != want {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	none := accessOf("default", "ann", "stargazer", "gra_1", grant.ScopeOpenID)
	none.Grant.Warehouse = ""
	g.tokens.accesses["none"] = none
	if got := g.do("GET", "/v1/warehouses", "none", ""); got.body != `{"warehouses":[]}`+"\n" {
		t.Errorf("of a grant for none: %s", got.body)
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"query":"select 1"}`, `{"sql":"select 1","wait":"1s","on_timeout":"cancel","max_rows":1,"request_id":"a","warehouse":"w"}`,
		`{"query":"x","parameters":[{"name":"a","value":null}]}`, `{"query":"x","parameters":{"a":1e5}}`, `{"parameters":[{"name":`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, decode := range []func([]byte) (*request, error){decodeQuery, decodeStatement} {
			q, err := decode(body)
			if err != nil {
				var ours *problemError
				if !errors.As(err, &ours) || ours.Status != 400 || ours.Detail == "" {
					t.Fatalf("%q: %v", body, err)
				}
				continue
			}
			if q.sql == "" || q.wait < 0 || q.wait > longestWait || q.maxRows < 0 {
				t.Fatalf("%q: %+v", body, q)
			}
			// What we take, everybody must read as the same object.
			var document map[string]any
			if err := json.Unmarshal(body, &document); err != nil || document["query"] != q.sql && document["sql"] != q.sql {
				t.Fatalf("%q is read as %+v: %v", body, q, err)
			}
		}
	})
}
