package dataapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
)

const statementID = "d9b6c0c9-0747-4bf4-b142-e8883122f766"

// A fake is a Data API that answers what a test scripted: for each operation one answer after
// the other, the last one again and again.
type fake struct {
	t       *testing.T
	server  *httptest.Server
	mu      sync.Mutex
	answers map[string][]answer
	calls   []call
}

type call struct {
	op   string
	body map[string]any
	key  string // access key id
}

// An answer is a body, or what to do instead. A status of 0 is 200.
type answer struct {
	status int
	body   string
	header http.Header
	during func(*http.Request) // before the answer is sent
}

func newFake(t *testing.T, script map[string][]answer) *fake {
	t.Helper()
	f := &fake{t: t, answers: script}
	f.server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.server.Close)
	return f
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		f.t.Errorf("read the request: %v", err)
	}
	op := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "RedshiftData.")
	c := call{op: op}
	if err := json.Unmarshal(body, &c.body); err != nil {
		f.t.Errorf("%s: body %q: %v", op, body, err)
	}
	_, rest, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	c.key, _, _ = strings.Cut(rest, "/")
	f.mu.Lock()
	f.calls = append(f.calls, c)
	script := f.answers[op]
	if len(script) > 1 {
		f.answers[op] = script[1:]
	}
	f.mu.Unlock()
	if len(script) == 0 {
		f.t.Errorf("%s was called, which the test does not expect", op)
		w.WriteHeader(http.StatusNotImplemented)
		return
	}
	a := script[0]
	if a.during != nil {
		a.during(r)
	}
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	_, _ = io.WriteString(w, a.body)
}

// ops are the operations called so far.
func (f *fake) ops() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	names := make([]string, len(f.calls))
	for i, c := range f.calls {
		names[i] = c.op
	}
	return strings.Join(names, " ")
}

func (f *fake) call(n int) call {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n >= len(f.calls) {
		f.t.Fatalf("there were only %d calls", len(f.calls))
	}
	return f.calls[n]
}

// session is a session with the fake that never really pauses.
func (f *fake) session(change ...func(*Config)) *Session {
	f.t.Helper()
	config := Config{
		Region: "us-east-1", Endpoint: f.server.URL, Cluster: "tickit", Database: "dev",
		Credentials: identity.Static("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "", "alice"),
		HTTPClient:  f.server.Client(),
	}
	for _, c := range change {
		c(&config)
	}
	s := New(config)
	s.pause = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	f.t.Cleanup(func() { s.Close() })
	return s
}

func asJSON(c *Config) { c.ResultFormat = JSON }

var submitted = answer{body: `{"Id":"` + statementID + `","CreatedAt":1.598323175823E9}`}

func fault(status int, code, message string) answer {
	return answer{status: status, body: fmt.Sprintf(`{"__type":%q,"Message":%q}`, code, message)}
}

var noResult = fault(400, "ResourceNotFoundException", "Query does not have result. Please check query status with DescribeStatement.")

const twoColumns = `"ColumnMetadata":[
	{"name":"id","label":"id","typeName":"int4","precision":10,"scale":0,"length":0},
	{"name":"name","label":"name","typeName":"varchar","precision":20,"scale":0,"length":0}]`

// csvPage is a page of GetStatementResultV2.
func csvPage(token string, total int, chunks ...string) answer {
	records := make([]string, len(chunks))
	for i, chunk := range chunks {
		quoted, _ := json.Marshal(chunk)
		records[i] = `{"CSVRecords":` + string(quoted) + `}`
	}
	next := ""
	if token != "" {
		next = fmt.Sprintf(`,"NextToken":%q`, token)
	}
	return answer{body: fmt.Sprintf(`{%s,"Records":[%s],"ResultFormat":"CSV","TotalNumRows":%d%s}`,
		twoColumns, strings.Join(records, ","), total, next)}
}

func state(status redshift.State, more string) answer {
	return answer{body: fmt.Sprintf(`{"Id":%q,"Status":%q,"Duration":5000000,"RedshiftQueryId":42%s}`, statementID, status, more)}
}

// all reads rows as text, NULL as "∅".
func all(t *testing.T, rows redshift.Rows) []string {
	t.Helper()
	var out []string
	for rows.Next() {
		var line []string
		for _, value := range rows.Values() {
			if value == nil {
				line = append(line, "∅")
				continue
			}
			line = append(line, string(value))
		}
		out = append(out, strings.Join(line, "|"))
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("rows ended with %v", err)
	}
	if err := rows.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	return out
}

// changing is a provider whose credentials are new after each invalidation.
type changing struct {
	mu      sync.Mutex
	version int
}

func (c *changing) Credentials(ctx context.Context) (identity.Credentials, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return identity.Static(fmt.Sprintf("ASIA%d", c.version), "secret", "token", "alice").Credentials(ctx)
}

func (c *changing) Invalidate(refused identity.Credentials) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if refused.AccessKeyID == fmt.Sprintf("ASIA%d", c.version) {
		c.version++
	}
}
