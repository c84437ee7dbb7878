// Package faults makes happen what goes wrong around a gateway: networks that cut, throttle and
// hold, an IdP and AWS that are down, clocks that differ, disks that are full. Each test is named
// after the row of the fault table that it shows.
//
// A short form runs with the other tests. `make test-faults` sets SHIFTGRANT_FAULTS=long, and the
// same tests take as long, and as many rounds, as the table asks.
package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/shiftgrant/shiftgrant/internal/gateway"
	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/person"
	"github.com/shiftgrant/shiftgrant/twin/twintest"
)

// long chooses between the short and the long form of a test.
func long[T any](short, long T) T {
	if os.Getenv("SHIFTGRANT_FAULTS") == "long" {
		return long
	}
	return short
}

// A site is a gateway in this process, between a twin and a test. What it says to AWS goes
// through proxies that can fail.
type site struct {
	url     string
	data    string
	twin    *twin.Twin
	dataAPI *faultProxy
	sts     *faultProxy
	wire    *faultProxy // nil unless statements go that way
	log     *siteLog
	config  gateway.Config
	now     func() time.Time
	stdout  io.Writer // gets the copy of the audit record

	mu   sync.Mutex
	stop func() error
}

// siteLog is what the gateway logged.
type siteLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *siteLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *siteLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

const (
	siteApp      = "fault-test"
	siteRedirect = "http://127.0.0.1/callback"
	siteScopes   = "sql:read sql:write warehouse:tickit offline_access"
)

// startSite starts a twin and a gateway. The changes, if there are any, are made to its
// configuration before.
func startSite(t *testing.T, changes ...func(*site)) *site {
	t.Helper()
	s, listener := newSite(t, changes...)
	s.serve(t, listener)
	return s
}

// newSite starts no gateway yet: it is to listen at what stands for the site's URL.
func newSite(t *testing.T, changes ...func(*site)) (*site, net.Listener) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{url: fmt.Sprintf("http://localhost:%d", listener.Addr().(*net.TCPAddr).Port), log: &siteLog{}}
	s.twin = twintest.Start(t, twin.Config{Issuer: s.url, EntraAudience: "api://redshift", GatewayRedirectURIs: []string{s.url + "/signin/callback/twin"}})
	s.dataAPI, s.sts = startProxy(t, s.twin.URL()), startProxy(t, s.twin.URL())
	// A unix socket's path is short.
	if s.data, err = os.MkdirTemp("", "sg-fault-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(s.data) })
	s.config = gateway.Config{
		Issuer: s.url, Data: s.data,
		Upstreams: []gateway.Upstream{{Name: "twin", Issuer: s.twin.IdPIssuer(), ClientID: twin.ClientID, ClientSecret: gateway.SecretOf(secretText(twin.DefaultClientSecret))}},
		Warehouses: []gateway.Warehouse{{
			Name: "tickit", Region: twin.Region, Cluster: twin.Cluster, Database: twin.Database, DataAPIEndpoint: s.dataAPI.url,
			Identity: gateway.Identity{RoleARN: twin.RoleARN, STSEndpoint: s.sts.url},
		}},
		Apps: []gateway.App{{ID: siteApp, Type: "public", RedirectURIs: []string{siteRedirect}, Scopes: strings.Fields(siteScopes)}},
	}
	s.now, s.stdout = time.Now, io.Discard
	for _, change := range changes {
		change(s)
	}
	return s, listener
}

// serve starts the gateway on a listener.
func (s *site) serve(t *testing.T, listener net.Listener) {
	t.Helper()
	server, err := gateway.New(t.Context(), s.config, gateway.Options{
		Logger: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Listener: listener,
		Now: func() time.Time { return s.now() }, Stdout: s.stdout,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	stop := sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	s.mu.Lock()
	s.stop = stop
	s.mu.Unlock()
	t.Cleanup(func() { _ = stop() })
	s.eventually(t, "the gateway is ready", func() error { return s.ready() })
}

// end stops the gateway as SIGTERM does.
func (s *site) end() error {
	s.mu.Lock()
	stop := s.stop
	s.mu.Unlock()
	return stop()
}

// ready asks /readyz.
func (s *site) ready() error {
	response, err := http.Get(s.url + "/readyz")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("readyz answers %d", response.StatusCode)
	}
	return nil
}

// eventually tries until something is so, for ten seconds.
func (s *site) eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v\n%s", what, err, s.log)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// oauth is the app's view of the gateway.
func (s *site) oauth() *oauth2.Config {
	return &oauth2.Config{
		ClientID: siteApp, RedirectURL: siteRedirect, Scopes: []string{siteScopes},
		Endpoint: oauth2.Endpoint{AuthURL: s.url + "/oauth2/authorize", TokenURL: s.url + "/oauth2/token", AuthStyle: oauth2.AuthStyleInParams},
	}
}

// signIn walks somebody through the flow, for an app that may ask for more than usual.
func (s *site) signIn(ctx context.Context, name string, more ...string) (*oauth2.Token, error) {
	app, verifier := s.oauth(), oauth2.GenerateVerifier()
	app.Scopes = append(app.Scopes, more...)
	callback, err := person.New(name, twin.Password).Authorize(ctx, app.AuthCodeURL("state", oauth2.S256ChallengeOption(verifier)), person.Allow)
	if err != nil {
		return nil, err
	}
	if refused := callback.Query().Get("error"); refused != "" {
		return nil, errors.New(refused)
	}
	return app.Exchange(ctx, callback.Query().Get("code"), oauth2.VerifierOption(verifier))
}

// token is signIn that must succeed.
func (s *site) token(t *testing.T, name string, more ...string) *oauth2.Token {
	t.Helper()
	token, err := s.signIn(t.Context(), name, more...)
	if err != nil {
		t.Fatalf("sign %s in: %v\n%s", name, err, s.log)
	}
	return token
}

// refresh trades the refresh token.
func (s *site) refresh(ctx context.Context, token *oauth2.Token) (*oauth2.Token, error) {
	return s.oauth().TokenSource(ctx, &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
}

// answer is what the SQL API said.
type answer struct {
	status int
	header http.Header
	body   string
	rows   [][]any
}

// sql runs one statement.
func (s *site) sql(ctx context.Context, token *oauth2.Token, text string) (answer, error) {
	return s.statement(ctx, s.url, token, map[string]any{"sql": text})
}

func (s *site) statement(ctx context.Context, base string, token *oauth2.Token, statement map[string]any) (answer, error) {
	body, err := json.Marshal(statement)
	if err != nil {
		return answer{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/statements", bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Authorization", "Bearer "+token.AccessToken)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	received, err := io.ReadAll(response.Body)
	got := answer{status: response.StatusCode, header: response.Header, body: string(received)}
	if err != nil {
		return got, err
	}
	var result struct {
		Rows [][]any `json:"rows"`
	}
	if response.StatusCode == http.StatusOK {
		if err := json.Unmarshal(received, &result); err != nil {
			return got, fmt.Errorf("the answer is no JSON: %w", err)
		}
	}
	got.rows = result.Rows
	return got, nil
}

// mustSQL is sql that must succeed.
func (s *site) mustSQL(t *testing.T, token *oauth2.Token, text string) answer {
	t.Helper()
	got, err := s.sql(t.Context(), token, text)
	if err != nil || got.status != http.StatusOK {
		t.Fatalf("%s: %d %v %s\n%s", text, got.status, err, got.body, s.log)
	}
	return got
}

// auditText is the audit record as it is now.
func (s *site) auditText(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(s.data, "audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// hygienic checks that an error says nothing that it should not.
func hygienic(t *testing.T, what string, got answer) {
	t.Helper()
	for _, leak := range []string{"goroutine ", "panic", ".go:", "127.0.0.1", "dial tcp", "connection re", "sg_at_", "AKIA", "ASIA", "SQLITE", os.TempDir()} {
		if strings.Contains(got.body, leak) {
			t.Errorf("%s: the answer holds %q: %s", what, leak, got.body)
		}
	}
	if got.header.Get("X-Request-Id") == "" {
		t.Errorf("%s: the answer has no request id", what)
	}
}

// hostOf is the address behind a URL.
func hostOf(t *testing.T, address string) string {
	t.Helper()
	parsed, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Host
}
