package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/connect"
	"github.com/shiftgrant/shiftgrant/internal/login"
)

// A cuttingGateway plays its answers one after the other, and cuts the connection at each that is empty.
type cuttingGateway struct {
	mu      sync.Mutex
	answers []cannedAnswer
	calls   []string
	called  chan string
}

type cannedAnswer struct {
	status int
	body   string
}

func (g *cuttingGateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	g.mu.Lock()
	g.calls = append(g.calls, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+string(body)))
	var next cannedAnswer
	if len(g.answers) > 0 {
		next, g.answers = g.answers[0], g.answers[1:]
	}
	g.mu.Unlock()
	if g.called != nil {
		g.called <- r.URL.Path
	}
	switch {
	case next.status == 0:
		panic(http.ErrAbortHandler)
	case next.status == http.StatusProcessing: // it waits, as the gateway does for a statement
		<-r.Context().Done()
		return
	}
	if next.status >= 400 {
		w.Header().Set("Content-Type", "application/problem+json")
	}
	w.WriteHeader(next.status)
	_, _ = io.WriteString(w, next.body)
}

// statement is one in the background of a gateway, with a person signed in.
func (g *cuttingGateway) statement(t *testing.T) *backgroundStatement {
	t.Helper()
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	shelf := &login.Shelf{Folder: t.TempDir()}
	if _, err := shelf.Put(login.Login{Profile: "work", Gateway: server.URL, Tokens: connect.Tokens{Access: "token", Expires: time.Now().Add(time.Hour)}}); err != nil {
		t.Fatal(err)
	}
	session := &login.Session{Shelf: shelf, Now: time.Now, HTTP: gatewayHTTP()}
	if err := session.Open("work"); err != nil {
		t.Fatal(err)
	}
	s := newBackgroundStatement(session, []byte("{}"), "text/csv", startProgress(t.Context(), io.Discard, false))
	s.pause = time.Millisecond
	return s
}

const (
	running = `{"statement_id":"st_1","status":"RUNNING","row_count":7}`
	ended   = `{"statement_id":"st_1","status":"FINISHED","row_count":9,"rows":"/v1/statements/st_1/rows"}`
)

func TestAStatementInTheBackgroundOutlivesItsConnections(t *testing.T) {
	t.Parallel()
	cut, away := cannedAnswer{}, cannedAnswer{502, ""}
	g := &cuttingGateway{answers: []cannedAnswer{cut, {202, running}, cut, away, {200, running}, cut, {200, ended}, cut, {200, "a\n1\n"}}}
	response, err := g.statement(t).ask(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if rows, err := io.ReadAll(response.Body); err != nil || string(rows) != "a\n1\n" {
		t.Errorf("rows %q, %v", rows, err)
	}
	const start, look, rows = "POST /v1/statements {}", "GET /v1/statements/st_1?wait=25s", "GET /v1/statements/st_1/rows"
	if want := []string{start, start, look, look, look, look, look, rows, rows}; !slices.Equal(g.calls, want) {
		t.Errorf("calls %q, want %q", g.calls, want)
	}
}

func TestAStatementInTheBackgroundIsCancelledWithItsCommand(t *testing.T) {
	t.Parallel()
	for name, answers := range map[string][]cannedAnswer{
		"as it runs":   {{202, running}, {102, ""}, {200, running}},
		"as it begins": {{102, ""}, {202, running}, {200, running}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := &cuttingGateway{answers: answers, called: make(chan string, 9)}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s := g.statement(t)
			done := make(chan error, 1)
			go func() {
				_, err := s.ask(ctx)
				done <- err
			}()
			for range slices.IndexFunc(answers, func(a cannedAnswer) bool { return a.status == 102 }) + 1 {
				<-g.called
			}
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("%v, want %v", err, context.Canceled)
			}
			if last := g.calls[len(g.calls)-1]; last != "POST /v1/statements/st_1/cancel" {
				t.Errorf("calls %q: it was not cancelled", g.calls)
			}
		})
	}
}

func TestAStatementInTheBackgroundThatFailsSaysWhy(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		answers []cannedAnswer
		want    string
	}{
		{[]cannedAnswer{{202, running}, {200, `{"statement_id":"st_1","status":"FAILED","error":{"title":"Redshift refused the statement","detail":"division by zero","sqlstate":"22012"}}`}}, "division by zero (SQLSTATE 22012)"},
		{[]cannedAnswer{{202, running}, {200, `{"statement_id":"st_1","status":"CANCELED"}`}}, "cancelled elsewhere"},
		{[]cannedAnswer{{422, `{"title":"Redshift refused the statement","detail":"no such table"}`}}, "no such table"},
		{[]cannedAnswer{{202, `{}`}}, "it has no id"},
		{nil, "ask the gateway"}, // cut each time
	} {
		g := &cuttingGateway{answers: row.answers}
		if _, err := g.statement(t).ask(t.Context()); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%v, want %q", err, row.want)
		}
	}
}
