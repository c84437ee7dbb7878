package acceptance

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/person"
)

// A target is the server that is attacked, as an app and a browser see it.
type target struct {
	url   string // its issuer
	scope string // for a refresh token and reading from one warehouse

	phone  client // public, on loopback
	tablet client // another public one
	portal client // confidential; on a foreign server there may be none

	world *world // nil for somebody else's server

	mu      sync.Mutex
	people  map[string]*person.Person
	secrets map[string]string // what was handed out, and what it is
}

// A client is a registered app.
type client struct{ id, secret, redirect string }

// chooseTarget starts a world, or takes the server that the environment names.
func chooseTarget(t *testing.T) *target {
	t.Helper()
	environment := func(name, otherwise string) string {
		return cmp.Or(os.Getenv("SHIFTGRANT_ACCEPTANCE_"+name), otherwise)
	}
	address := strings.TrimSuffix(environment("URL", ""), "/")
	if address == "" {
		return startWorld(t)
	}
	return &target{
		url: address, scope: environment("SCOPE", "sql:read offline_access"),
		phone:  client{id: environment("PUBLIC", "phone"), redirect: environment("PUBLIC_REDIRECT", loopbackRedirect)},
		tablet: client{id: environment("OTHER", "tablet"), redirect: environment("OTHER_REDIRECT", loopbackRedirect)},
		portal: client{id: environment("CONFIDENTIAL", ""), secret: environment("SECRET", ""), redirect: environment("REDIRECT", "")},
		people: map[string]*person.Person{}, secrets: map[string]string{},
	}
}

// replicas are where each of its gateways answers.
func (g *target) replicas() []string {
	if g.world == nil {
		return []string{g.url}
	}
	var addresses []string
	for _, one := range g.world.gateways {
		addresses = append(addresses, one.address())
	}
	return addresses
}

const loopbackRedirect = "http://127.0.0.1/callback"

// keep remembers a secret that was handed out.
func (g *target) keep(kind, value string) string {
	if value != "" {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.secrets[value] = kind
	}
	return value
}

// browser is the one of somebody who stays signed in.
func (g *target) browser(name string) *person.Person {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.people[name] == nil {
		username, password, _ := strings.Cut(os.Getenv("SHIFTGRANT_ACCEPTANCE_PERSON"), ":")
		if g.world != nil {
			username, password = name, twin.Password
		}
		g.people[name] = person.New(username, password)
	}
	return g.people[name]
}

// allow opens an authorization URL as somebody and consents. It gives what the app is called with.
// A foreign server's people sign in by a command, which is given the URL and prints that address.
func (g *target) allow(ctx context.Context, name, authorize string) (*url.URL, error) {
	if command := os.Getenv("SHIFTGRANT_ACCEPTANCE_AUTHORIZE"); command != "" && g.world == nil {
		output, err := exec.CommandContext(ctx, command, authorize).Output()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", command, err)
		}
		return url.Parse(strings.TrimSpace(string(output)))
	}
	return g.browser(name).Authorize(ctx, authorize, person.Allow)
}

// An asking is an authorization request with what the app keeps of it.
type asking struct {
	client   client
	state    string
	verifier string
	query    url.Values
}

func (g *target) ask(c client, scope string) asking {
	verifier := g.keep("code verifier", oauth2.GenerateVerifier())
	state := oauth2.GenerateVerifier()[:22]
	return asking{client: c, state: state, verifier: verifier, query: url.Values{
		"response_type": {"code"}, "client_id": {c.id}, "redirect_uri": {c.redirect}, "scope": {scope}, "state": {state},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)}, "code_challenge_method": {"S256"},
	}}
}

func (q asking) url(g *target) string { return g.url + "/oauth2/authorize?" + q.query.Encode() }

// code gets a code for somebody's consent.
func (g *target) code(t testing.TB, name string, q asking) string {
	t.Helper()
	callback, err := g.allow(t.Context(), name, q.url(g))
	if err != nil {
		t.Fatal(err)
	}
	answer := callback.Query()
	if answer.Get("code") == "" || answer.Get("state") != q.state || answer.Get("iss") != g.url {
		t.Fatalf("the app was called with %s", callback)
	}
	return g.keep("code", answer.Get("code"))
}

// redemption is the form that trades a code.
func (q asking) redemption(code string) url.Values {
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {q.client.redirect}, "code_verifier": {q.verifier}}
	return q.client.sign(form)
}

// sign adds who the client is.
func (c client) sign(form url.Values) url.Values {
	form.Set("client_id", c.id)
	if c.secret != "" {
		form.Set("client_secret", c.secret)
	}
	return form
}

func (c client) refresh(token string) url.Values {
	return c.sign(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

// A reply is an answer, read whole.
type reply struct {
	status int
	header http.Header
	body   string

	Access      string `json:"access_token"`
	Refresh     string `json:"refresh_token"`
	ID          string `json:"id_token"`
	Scope       string `json:"scope"`
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

func (r reply) String() string {
	text := strings.TrimSpace(r.body)
	return fmt.Sprintf("%d %s", r.status, text[:min(len(text), 400)])
}

// plain follows no redirect and keeps no cookie.
var plain = &http.Client{
	Timeout:       time.Minute,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// send makes one request. Somebody else's server may have limits that the rows run into: there it
// waits as long as it is told to.
func (g *target) send(ctx context.Context, method, address string, header http.Header, body string) (reply, error) {
	for {
		got, err := g.sendOnce(ctx, method, address, header, body)
		wait, numeric := strconv.Atoi(got.header.Get("Retry-After"))
		if err != nil || g.world != nil || got.status != http.StatusTooManyRequests || numeric != nil {
			return got, err
		}
		select {
		case <-time.After(time.Duration(wait) * time.Second):
		case <-ctx.Done():
			return got, ctx.Err()
		}
	}
}

// sendOnce puts a header "Host" where HTTP has it.
func (g *target) sendOnce(ctx context.Context, method, address string, header http.Header, body string) (reply, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	for name, values := range header {
		request.Header[name] = values
	}
	if host := header.Get("Host"); host != "" {
		request.Host = host
	}
	response, err := plain.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	received, err := io.ReadAll(response.Body)
	if err != nil {
		return reply{}, err
	}
	got := reply{status: response.StatusCode, header: response.Header, body: string(received)}
	if strings.HasSuffix(strings.Split(response.Header.Get("Content-Type"), ";")[0], "json") {
		_ = json.Unmarshal(received, &got) // what is no object has none of the members
	}
	g.keep("access token", got.Access)
	g.keep("refresh token", got.Refresh)
	g.keep("ID token", got.ID)
	return got, nil
}

func (g *target) do(t testing.TB, method, address string, header http.Header, body string) reply {
	t.Helper()
	got, err := g.send(t.Context(), method, address, header, body)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

var formHeader = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}

// post sends a form to an endpoint of the issuer.
func (g *target) post(t testing.TB, path string, form url.Values) reply {
	t.Helper()
	return g.do(t, http.MethodPost, g.url+path, formHeader, form.Encode())
}

func (g *target) token(t testing.TB, form url.Values) reply {
	t.Helper()
	return g.post(t, "/oauth2/token", form)
}

// connect lets somebody allow an app, and gives the app's tokens.
func (g *target) connect(t testing.TB, name string, c client, scope string) reply {
	t.Helper()
	q := g.ask(c, scope)
	got := g.token(t, q.redemption(g.code(t, name, q)))
	if got.status != http.StatusOK || got.Access == "" {
		t.Fatalf("redeem the code of %s: %s", c.id, got)
	}
	return got
}

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

// works tells whether an access token is good, at one replica.
func (g *target) works(t testing.TB, replica, token string) bool {
	t.Helper()
	got := g.do(t, http.MethodGet, replica+"/v1/warehouses", bearer(token), "")
	if got.status != http.StatusOK && got.status != http.StatusUnauthorized {
		t.Fatalf("GET /v1/warehouses: %s", got)
	}
	return got.status == http.StatusOK
}

// signedIn is the Cookie header of somebody's browser.
func (g *target) signedIn(t testing.TB, name string) http.Header {
	t.Helper()
	if cookie := os.Getenv("SHIFTGRANT_ACCEPTANCE_COOKIE"); cookie != "" && g.world == nil {
		return http.Header{"Cookie": {cookie}}
	}
	home, err := url.Parse(g.url)
	if err != nil {
		t.Fatal(err)
	}
	if len(g.browser(name).Cookies(home)) == 0 {
		g.connect(t, name, g.phone, g.scope)
	}
	if len(g.browser(name).Cookies(home)) == 0 {
		t.Fatal("nobody is signed in: put the Cookie header of a browser where somebody is into SHIFTGRANT_ACCEPTANCE_COOKIE")
	}
	var pairs []string
	for _, cookie := range g.browser(name).Cookies(home) {
		pairs = append(pairs, cookie.Name+"="+g.keep("session cookie", cookie.Value))
	}
	return http.Header{"Cookie": {strings.Join(pairs, "; ")}}
}

// urlQuery is a text as it stands in a query.
func urlQuery(text string) string { return url.QueryEscape(text) }

// wellFormed makes up a token: all is right but that nobody issued it.
func wellFormed(prefix string) string {
	const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	token := []byte(prefix)
	for range 43 {
		token = append(token, base62[rand.IntN(len(base62))])
	}
	sum, digits := crc32.ChecksumIEEE(token), make([]byte, 6)
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = base62[sum%62]
		sum /= 62
	}
	return string(append(token, digits...))
}
