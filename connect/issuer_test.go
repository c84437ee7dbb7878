package connect_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/shiftgrant/shiftgrant/connect"
)

// clock is a time that tests turn.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// issuer plays an authorization server, by the book unless it is told otherwise.
type issuer struct {
	*clock
	server *httptest.Server
	key    *ecdsa.PrivateKey

	mu       sync.Mutex
	metadata map[string]any // in place of what it says of itself; nil values are left out
	idToken  func(nonce, access string) string
	token    http.HandlerFunc // in place of the token endpoint; it may call exchange
	query    http.HandlerFunc // POST /v1/query
	codes    map[string]url.Values
	refresh  string // the one that is good
	calls    map[string]int
	revoked  []url.Values
	asked    []url.Values // of the token endpoint
	serial   int
	// keyIssuer is named beside the key, as Microsoft Entra ID does.
	keyIssuer string
}

const clientID = "stargazer"

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{clock: &clock{now: time.Now()}, key: key, codes: map[string]url.Values{}, calls: map[string]int{}}
	mux := http.NewServeMux()
	for pattern, handler := range map[string]http.HandlerFunc{
		"GET /.well-known/openid-configuration":                    i.describe,
		"GET /.well-known/oauth-authorization-server":              i.describe,
		"GET /organizations/v2.0/.well-known/openid-configuration": i.describe,
		"GET /jwks":      i.keys,
		"POST /token":    i.answerToken,
		"POST /revoke":   i.revoke,
		"POST /v1/query": i.answerQuery,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			i.mu.Lock()
			i.calls[r.URL.Path]++
			i.mu.Unlock()
			handler(w, r)
		})
	}
	i.server = httptest.NewServer(mux)
	t.Cleanup(i.server.Close)
	return i
}

func (i *issuer) count(path string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.calls[path]
}

// set changes the issuer under its lock.
func (i *issuer) set(change func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	change()
}

func writeJSON(w http.ResponseWriter, status int, document any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(document)
}

func (i *issuer) describe(w http.ResponseWriter, _ *http.Request) {
	said := map[string]any{
		"issuer": i.server.URL, "authorization_endpoint": i.server.URL + "/authorize", "token_endpoint": i.server.URL + "/token",
		"revocation_endpoint": i.server.URL + "/revoke", "jwks_uri": i.server.URL + "/jwks",
		"authorization_response_iss_parameter_supported": true, "code_challenge_methods_supported": []string{"S256"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic"},
	}
	i.mu.Lock()
	maps.Copy(said, i.metadata)
	i.mu.Unlock()
	maps.DeleteFunc(said, func(_ string, value any) bool { return value == nil })
	writeJSON(w, http.StatusOK, said)
}

func (i *issuer) keys(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	key, err := json.Marshal(jose.JSONWebKey{Key: &i.key.PublicKey, KeyID: "one", Algorithm: "ES256", Use: "sig"})
	if err != nil {
		panic(err)
	}
	var shown map[string]any
	if err := json.Unmarshal(key, &shown); err != nil {
		panic(err)
	}
	if i.keyIssuer != "" {
		shown["issuer"] = i.keyIssuer
	}
	writeJSON(w, http.StatusOK, map[string]any{"keys": []any{shown}})
}

// authorize is the person saying yes: the callback's parameters.
func (i *issuer) authorize(request url.Values) url.Values {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.serial++
	code := fmt.Sprintf("code-%d", i.serial)
	i.codes[code] = request
	return url.Values{"code": {code}, "state": request["state"], "iss": {i.server.URL}}
}

func (i *issuer) answerToken(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	form, _ := url.ParseQuery(string(body))
	r.Body, r.PostForm, r.Form = io.NopCloser(strings.NewReader(string(body))), form, form
	i.mu.Lock()
	i.asked = append(i.asked, form)
	script := i.token
	i.mu.Unlock()
	if script == nil {
		script = i.exchange
	}
	script(w, r)
}

// exchange is a token endpoint by the book.
func (i *issuer) exchange(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	refuse := func() { writeJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"}) }
	answer := map[string]any{"token_type": "Bearer", "expires_in": 600}
	i.serial++
	access := fmt.Sprintf("access-%d", i.serial)
	switch r.PostForm.Get("grant_type") {
	case "authorization_code":
		request := i.codes[r.PostForm.Get("code")]
		delete(i.codes, r.PostForm.Get("code"))
		hash := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
		if request == nil || request.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(hash[:]) || request.Get("redirect_uri") != r.PostForm.Get("redirect_uri") {
			refuse()
			return
		}
		if strings.Contains(request.Get("scope"), "openid") {
			answer["id_token"] = i.makeIDToken(request.Get("nonce"), access)
		}
	case "refresh_token":
		if i.refresh == "" || r.PostForm.Get("refresh_token") != i.refresh {
			refuse()
			return
		}
	}
	i.refresh = fmt.Sprintf("refresh-%d", i.serial)
	answer["access_token"], answer["refresh_token"] = access, i.refresh
	writeJSON(w, http.StatusOK, answer)
}

func (i *issuer) makeIDToken(nonce, access string) string {
	if i.idToken != nil {
		return i.idToken(nonce, access)
	}
	return i.sign(i.claims(nonce, access))
}

func (i *issuer) claims(nonce, access string) map[string]any {
	now := i.Now().Unix()
	hash := sha256.Sum256([]byte(access))
	return map[string]any{
		"iss": i.server.URL, "sub": "idp|ann", "aud": clientID, "iat": now, "exp": now + 600, "nonce": nonce, "auth_time": now - 5,
		"name": "Ann Analyst", "email": "ann@example.com", "email_verified": true, "preferred_username": "ann",
		"at_hash": base64.RawURLEncoding.EncodeToString(hash[:16]),
	}
}

func (i *issuer) sign(claims any) string {
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	return signRaw(jose.ES256, jose.JSONWebKey{Key: i.key, KeyID: "one"}, payload)
}

func signRaw(algorithm jose.SignatureAlgorithm, key any, payload []byte) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		panic(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		panic(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return compact
}

func (i *issuer) revoke(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.revoked = append(i.revoked, r.PostForm)
	if r.PostForm.Get("token") == i.refresh {
		i.refresh = ""
	}
	w.WriteHeader(http.StatusOK)
}

func (i *issuer) answerQuery(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	script := i.query
	i.mu.Unlock()
	script(w, r)
}

// app is an app with its one browser.
type app struct {
	*connect.Client
	issuer   *issuer
	cookies  map[string]*http.Cookie
	failures []*connect.Error
	store    connect.SessionStore
}

var testKey = []byte("0123456789abcdef0123456789abcdef")

// newApp is a confidential app on http://localhost, unless change says otherwise.
func newApp(t *testing.T, i *issuer, change func(*connect.Config)) *app {
	t.Helper()
	a := &app{issuer: i, cookies: map[string]*http.Cookie{}, store: connect.NewMemorySessions()}
	config := connect.Config{
		Issuer: i.server.URL, ClientID: clientID, ClientSecret: "secret of the app", RedirectURL: "http://localhost:7421/callback",
		Scopes: []string{"openid", "offline_access", "sql:read"}, Key: testKey, Sessions: a.store, AfterLogin: "/home", AfterLogout: "/bye",
		HTTPClient: i.server.Client(), Now: i.Now,
		OnError: func(w http.ResponseWriter, _ *http.Request, failure *connect.Error) {
			a.failures = append(a.failures, failure)
			w.WriteHeader(http.StatusTeapot)
		},
	}
	if change != nil {
		change(&config)
	}
	client, err := connect.New(config)
	if err != nil {
		t.Fatal(err)
	}
	a.Client = client
	return a
}

// do makes a request with the browser's cookies and keeps those that come back.
func (a *app) do(handler http.HandlerFunc, method, target string, header ...string) *http.Response {
	request := httptest.NewRequest(method, target, nil)
	for n := 0; n+1 < len(header); n += 2 {
		request.Header.Set(header[n], header[n+1])
	}
	a.sendCookies(request)
	recorder := httptest.NewRecorder()
	handler(recorder, request)
	response := recorder.Result()
	for _, cookie := range response.Cookies() {
		if cookie.MaxAge < 0 {
			delete(a.cookies, cookie.Name)
		} else {
			cookie.Expires = a.issuer.Now().Add(time.Duration(cookie.MaxAge) * time.Second)
			a.cookies[cookie.Name] = cookie
		}
	}
	return response
}

// sendCookies does as browsers do: what has expired is not sent.
func (a *app) sendCookies(request *http.Request) {
	for _, cookie := range a.cookies {
		if a.issuer.Now().Before(cookie.Expires) {
			request.AddCookie(cookie)
		}
	}
}

// login begins a sign-in and gives the authorization request.
func (a *app) login(t *testing.T, target string) url.Values {
	t.Helper()
	response := a.do(a.Login, http.MethodGet, target)
	location, err := response.Location()
	if err != nil || response.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d, %v: %v", response.StatusCode, err, a.failures)
	}
	return location.Query()
}

// callback brings an answer back.
func (a *app) callback(answer url.Values) *http.Response {
	return a.do(a.Callback, http.MethodGet, "/callback?"+answer.Encode())
}

// signIn goes the whole way.
func (a *app) signIn(t *testing.T) *connect.Session {
	t.Helper()
	response := a.callback(a.issuer.authorize(a.login(t, "/login")))
	if response.StatusCode != http.StatusSeeOther {
		t.Fatalf("callback: %d, %v", response.StatusCode, a.failures)
	}
	session, err := a.session()
	if err != nil {
		t.Fatal(err)
	}
	return session
}

// session is the browser's.
func (a *app) session() (*connect.Session, error) {
	request := httptest.NewRequest(http.MethodGet, "/home", nil)
	a.sendCookies(request)
	return a.Session(request)
}

// refused checks that the last callback was refused in a way, and left nobody signed in.
func (a *app) refused(t *testing.T, what string, want connect.Kind) {
	t.Helper()
	if len(a.failures) == 0 {
		t.Errorf("%s: not refused", what)
		return
	}
	if last := a.failures[len(a.failures)-1]; last.Kind != want {
		t.Errorf("%s: kind %d (%v), want %d", what, last.Kind, last, want)
	}
	if _, err := a.session(); !errors.Is(err, connect.ErrSignedOut) {
		t.Errorf("%s: somebody is signed in: %v", what, err)
	}
}

// direct calls a server without a network, for tests within synctest.
type direct struct{ handler http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	recorder := httptest.NewRecorder()
	d.handler.ServeHTTP(recorder, r)
	return recorder.Result(), nil
}

// spy is a store that tells what it was given.
type spy struct {
	connect.SessionStore
	mu    sync.Mutex
	saved [][]byte
	ids   []string
}

func (s *spy) Save(ctx context.Context, id string, data []byte, expires time.Time) error {
	s.mu.Lock()
	s.saved, s.ids = append(s.saved, data), append(s.ids, id)
	s.mu.Unlock()
	return s.SessionStore.Save(ctx, id, data, expires)
}
