package connect_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/connect"
)

// result answers a query with lines.
func result(lines ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		_, _ = io.WriteString(w, strings.Join(lines, "\n"))
	}
}

const (
	head  = `{"columns":[{"name":"name","type":"varchar","length":20},{"name":"amount","type":"bigint"}]}`
	whole = `{"row_count":2,"truncated":false,"complete":true}`
)

func TestQueryStreamsTypedRows(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	var got map[string]any
	var header http.Header
	i.query = func(w http.ResponseWriter, r *http.Request) {
		header = r.Header
		_ = json.NewDecoder(r.Body).Decode(&got)
		result(
			`{"columns":[{"name":"a","type":"varchar"},{"name":"b","type":"bigint"},{"name":"c","type":"double precision"},{"name":"d","type":"boolean"},{"name":"e","type":"timestamp"},{"name":"f","type":"super"},{"name":"g","type":"date"}]}`,
			`["text",9007199254740993,0.5,true,"2026-01-02 03:04:05.678",{"k":[1]},"2026-01-02"]`, whole)(w, r)
	}
	session := newApp(t, i, nil).signIn(t)
	rows, err := session.Query(t.Context(), "select * from t where a = :a and n = :n and d > :d", connect.Parameter{Name: "a", Value: "x"},
		connect.Parameter{Name: "n", Value: nil}, connect.Parameter{Name: "d", Value: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got["parameters"]) != "[map[name:a value:x] map[name:n value:<nil>] map[name:d value:2026-01-02 03:04:05Z]]" || got["query"] == "" {
		t.Errorf("sent %v", got)
	}
	if !strings.HasPrefix(header.Get("Authorization"), "Bearer access-") || header.Get("Accept") != "application/x-ndjson" {
		t.Errorf("headers %v", header)
	}
	var (
		text     string
		big      int64
		fraction float64
		flag     bool
		at, day  time.Time
		super    any
	)
	if !rows.Next() {
		t.Fatal(rows.Err())
	}
	if err := rows.Scan(&text, &big, &fraction, &flag, &at, &super, &day); err != nil {
		t.Fatal(err)
	}
	if text != "text" || big != 9007199254740993 || fraction != 0.5 || !flag || at.Nanosecond() != 678e6 || fmt.Sprintf("%s", super) != `{"k":[1]}` || day.Day() != 2 {
		t.Error(text, big, fraction, flag, at, super, day)
	}
	if columns := rows.Columns(); columns[1].Name != "b" || columns[1].Type != "bigint" {
		t.Errorf("columns %v", columns)
	}
}

func TestScanSaysWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	i.query = result(head, `[null,"many"]`, `["x",2]`, whole)
	session := newApp(t, i, nil).signIn(t)
	rows, err := session.Query(t.Context(), "select 1")
	if err != nil || !rows.Next() {
		t.Fatal(err)
	}
	var (
		text   string
		number int
		maybe  sql.Null[string]
		other  struct{}
		free   any
	)
	for _, c := range []struct {
		into []any
		want string
	}{
		{[]any{&text}, "1 destinations for 2 columns"},
		{[]any{&text, &free}, "sql.Null"},
		{[]any{&free, &number}, "column amount"},
		{[]any{&free, &other}, "no destination"},
		{[]any{&maybe, &free}, ""},
	} {
		err := rows.Scan(c.into...)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%T: %v, want %q", c.into, err, c.want)
		}
	}
	if maybe.Valid {
		t.Error("NULL is valid")
	}
	if err := rows.Close(); err != nil {
		t.Error(err)
	}
	if _, err := session.Query(t.Context(), "select :a", connect.Parameter{Name: "a", Value: struct{}{}}); err == nil || !strings.Contains(err.Error(), "parameter a has type struct") {
		t.Errorf("%v", err)
	}
}

// However a result is cut, it does not look whole.
func TestCutResultsAreErrors(t *testing.T) {
	t.Parallel()
	complete := strings.Join([]string{head, `["a",1]`, `["b",2]`, whole}, "\n")
	for end := range len(complete) - 1 {
		if err := drain(t, complete[:end]); !errors.Is(err, connect.ErrCut) {
			t.Fatalf("cut after %d bytes: %v\n%s", end, err, complete[:end])
		}
	}
	if err := drain(t, complete); err != nil {
		t.Error(err)
	}
	for name, lines := range map[string][]string{
		"no end":                  {head, `["a",1]`},
		"an end that is none":     {head, `["a",1]`, `{"row_count":1,"truncated":false}`},
		"an incomplete one":       {head, `["a",1]`, `{"row_count":1,"complete":false}`},
		"fewer rows than counted": {head, `["a",1]`, `{"row_count":2,"complete":true}`},
		"more rows than counted":  {head, `["a",1]`, `["a",1]`, `{"row_count":1,"complete":true}`},
		"a text in between":       {head, `"a"`, whole},
		"nothing":                 {},
		"no columns":              {`["a",1]`, whole},
	} {
		if err := drain(t, strings.Join(lines, "\n")); !errors.Is(err, connect.ErrCut) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, line := range map[string]string{"a short row": `["a"]`, "a long row": `["a",1,2]`} {
		if err := drain(t, strings.Join([]string{head, line, whole}, "\n")); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// drain reads a result to its end.
func drain(t *testing.T, body string) error {
	t.Helper()
	i := newIssuer(t)
	i.query = result(body)
	rows, err := newApp(t, i, nil).signIn(t).Query(t.Context(), "select 1")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
	}
	return rows.Err()
}

func TestRefusalsAreTyped(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	session := newApp(t, i, nil).signIn(t)
	problem := func(status int, kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	const details = `{"title":"The statement failed","status":400,"detail":"permission denied for schema finance","sqlstate":"42501","position":15,"hint":"ask","request_id":"req_1"}`
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"a refusal":              {problem(400, "application/problem+json", details), "permission denied for schema finance (SQLSTATE 42501) [request req_1]"},
		"one within the result":  {result(head, `["a",1]`, `{"error":`+details+`}`), "permission denied for schema finance (SQLSTATE 42501) [request req_1]"},
		"one before the columns": {result(`{"error":` + details + `}`), "42501"},
		"a page of a proxy":      {problem(502, "text/html", "<html>"), "the SQL API answered 502"},
		"a problem that is none": {problem(500, "application/problem+json", "{"), "the SQL API answered 500"},
		"an endless one":         {problem(500, "application/problem+json", `{"title":"`+strings.Repeat("x", 1<<20)+`"}`), "the SQL API answered 500"},
		"a redirect to elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://evil.example/", http.StatusTemporaryRedirect)
		}, "307"},
	} {
		i.set(func() { i.query = c.answer })
		rows, err := session.Query(t.Context(), "select 1")
		if err == nil {
			for rows.Next() {
			}
			err = errors.Join(rows.Err(), rows.Close())
		}
		var refused *connect.APIError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 500 {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestAnAccessTokenThatEndedEarlyIsReplacedOnce(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	session := newApp(t, i, nil).signIn(t)
	old, _ := session.Token(t.Context())
	refuse := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(401)
		_, _ = io.WriteString(w, `{"title":"no"}`)
	}
	i.set(func() {
		i.query = func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "Bearer "+old {
				refuse(w, r)
				return
			}
			result(head, whole[:13]+`0,"truncated":false,"complete":true}`)(w, r)
		}
	})
	rows, err := session.Query(t.Context(), "select 1")
	if err != nil || rows.Next() || rows.Err() != nil {
		t.Errorf("%v", err)
	}
	i.set(func() { i.query = refuse })
	if _, err := session.Query(t.Context(), "select 1"); !errors.Is(err, connect.ErrSignedOut) || i.count("/v1/query") != 4 {
		t.Errorf("refused twice: %v, %d queries", err, i.count("/v1/query"))
	}
	i.set(func() { i.refresh = "" })
	if _, err := session.Query(t.Context(), "select 1"); !errors.Is(err, connect.ErrSignedOut) {
		t.Errorf("refused, and no refresh: %v", err)
	}
}

func TestTruncationIsTold(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	i.query = result(head, `["a",1]`, `{"row_count":1,"truncated":true,"complete":true}`)
	rows, err := newApp(t, i, nil).signIn(t).Query(t.Context(), "select 1")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
	}
	if rows.Err() != nil || !rows.Truncated() || rows.RowCount() != 1 {
		t.Errorf("%v, truncated %v, %d rows", rows.Err(), rows.Truncated(), rows.RowCount())
	}
}

func TestLeavingCancelsTheQuery(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*connect.Rows, context.CancelFunc){
		"by closing the rows": func(rows *connect.Rows, _ context.CancelFunc) { _ = rows.Close() },
		"by the context":      func(_ *connect.Rows, cancel context.CancelFunc) { cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newIssuer(t)
			gone := make(chan struct{})
			i.query = func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, head+"\n")
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
				close(gone)
			}
			session := newApp(t, i, nil).signIn(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			rows, err := session.Query(ctx, "select 1")
			if err != nil {
				t.Fatal(err)
			}
			leave(rows, cancel)
			select {
			case <-gone:
			case <-time.After(10 * time.Second):
				t.Error("the gateway is not told")
			}
			if rows.Next() {
				t.Error("there is a row")
			}
		})
	}
}

func TestTheHTTPClientIsForTheAPIAlone(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	i.query = func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Header.Get("Authorization")) }
	session := newApp(t, i, nil).signIn(t)
	client := session.HTTPClient()
	response, err := client.Post(i.server.URL+"/v1/query", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(response.Body)
	if !strings.HasPrefix(string(body), "Bearer access-") {
		t.Errorf("sent %q", body)
	}
	_ = response.Body.Close()
	for _, elsewhere := range []string{"http://127.0.0.1:1/", "https://" + strings.TrimPrefix(i.server.URL, "http://") + "/v1/query"} {
		if response, err := client.Get(elsewhere); err == nil || !strings.Contains(err.Error(), "for the SQL API alone") {
			t.Errorf("%s: %v, %v", elsewhere, response, err)
		}
	}
}

func TestHTTPClientKeepsTheTokenInItsTenant(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	acme := i.server.URL + "/t/acme"
	client := newApp(t, i, func(c *connect.Config) { c.API = acme }).signIn(t).HTTPClient()
	response, err := client.Get(acme + "/v1/warehouses") // which this issuer does not have
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	for _, elsewhere := range []string{"/t/globex/v1/warehouses", "/t/acme2/v1/warehouses", "/t/acme/../globex/v1/warehouses", "/t/acme/%2e%2e/globex", "/v1/warehouses", ""} {
		if response, err := client.Get(i.server.URL + elsewhere); err == nil || !strings.Contains(err.Error(), "for the SQL API alone") {
			t.Errorf("%s: %v, %v", elsewhere, response, err)
		}
	}
}

func FuzzRows(f *testing.F) {
	f.Add(strings.Join([]string{head, `["a",1]`, `["b",2]`, whole}, "\n"))
	f.Add(`{"columns":[]}`)
	f.Add(`{"columns":[{"name":"a","type":"super"}]}` + "\n" + `[{"a":[[[[1]]]]}]` + "\n" + `{"row_count":1,"complete":true}`)
	f.Add(`{"error":{"title":"x"}}`)
	f.Add(head + "\n[null,1e400]\n" + whole)
	f.Fuzz(func(t *testing.T, body string) {
		rows, err := connect.OpenRows(io.NopCloser(strings.NewReader(body)))
		if err != nil {
			return
		}
		seen := int64(0)
		for rows.Next() {
			if seen++; len(rows.Values()) != len(rows.Columns()) {
				t.Errorf("%d values for %d columns", len(rows.Values()), len(rows.Columns()))
			}
		}
		if rows.Err() == nil && rows.RowCount() != seen {
			t.Errorf("%d rows were counted, %d seen", rows.RowCount(), seen)
		}
	})
}
