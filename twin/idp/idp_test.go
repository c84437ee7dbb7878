package idp_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/shiftgrant/shiftgrant/twin/idp"
)

const callback = "http://localhost:7420/signin/callback/twin"

// world is a provider, and a client of it that nobody here wrote: go-oidc and x/oauth2.
type world struct {
	*idp.Provider
	issuer   string
	discover *oidc.Provider
	client   oauth2.Config
	mu       sync.Mutex
	now      time.Time
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{now: time.Now()}
	// The issuer's port is known when the server listens, before there is a provider.
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.ServeHTTP(rw, r) }))
	w.issuer = "http://" + server.Listener.Addr().String() + "/idp"
	var err error
	w.Provider, err = idp.New(idp.Config{
		Issuer: w.issuer,
		Clients: []idp.Client{
			{ID: "shiftgrant", Secret: "s3cret/+ü", RedirectURIs: []string{callback, callback + "?via=1"}, PostLogoutRedirectURIs: []string{"http://localhost:7420/bye"}},
			{ID: "public", RedirectURIs: []string{"http://127.0.0.1/cb"}},
		},
		People: []idp.Person{
			{Username: "alice", Password: "twin", Subject: "idp|7f3a", Name: "Alice Anders", Email: "alice@example.com", Groups: []string{"analysts"}},
			{Username: "bob", Password: "twin", Subject: "idp|b04d", Name: "Bob Berger", Email: "bob@example.com"},
		},
		Now: w.clock,
	})
	if err != nil {
		t.Fatal(err)
	}
	server.Start()
	t.Cleanup(server.Close)
	if w.discover, err = oidc.NewProvider(t.Context(), w.issuer); err != nil {
		t.Fatal(err)
	}
	w.client = oauth2.Config{
		ClientID: "shiftgrant", ClientSecret: "s3cret/+ü", RedirectURL: callback, Endpoint: w.discover.Endpoint(),
		Scopes: []string{"openid", "profile", "email", "groups", "offline_access"},
	}
	return w
}

// browser keeps cookies and does not follow redirects.
func browser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

type page struct {
	status   int
	location *url.URL
	header   http.Header
	body     string
}

func open(t *testing.T, client *http.Client, address string) page {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, client, request)
}

func do(t *testing.T, client *http.Client, request *http.Request) page {
	t.Helper()
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	location, _ := response.Location()
	return page{response.StatusCode, location, response.Header, string(body)}
}

var (
	actionPattern = regexp.MustCompile(`<form method="post" action="([^"]+)"`)
	ticketPattern = regexp.MustCompile(`name="ticket" value="([^"]+)"`)
)

// submit answers the sign-in page.
func (w *world) submit(t *testing.T, client *http.Client, signIn page, values url.Values) page {
	t.Helper()
	action, ticket := actionPattern.FindStringSubmatch(signIn.body), ticketPattern.FindStringSubmatch(signIn.body)
	if action == nil || ticket == nil {
		t.Fatalf("status %d and no sign-in form: %s", signIn.status, signIn.body)
	}
	values.Set("ticket", ticket[1])
	return w.post(t, client, action[1], values)
}

func (w *world) post(t *testing.T, client *http.Client, path string, values url.Values) page {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, strings.TrimSuffix(w.issuer, "/idp")+path, strings.NewReader(values.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Sec-Fetch-Site", "same-origin")
	return do(t, client, request)
}

// code is a complete sign-in as alice by script: the code, and the verifier that goes with it.
func (w *world) code(t *testing.T, options ...oauth2.AuthCodeOption) (code, verifier string) {
	t.Helper()
	w.SetScript(idp.Script{SignInAs: "alice"})
	verifier = oauth2.GenerateVerifier()
	options = append(options, oauth2.S256ChallengeOption(verifier), oidc.Nonce("n-1"))
	got := open(t, browser(t), w.client.AuthCodeURL("st", options...))
	if got.location == nil || got.location.Query().Get("code") == "" {
		t.Fatalf("status %d, location %v", got.status, got.location)
	}
	return got.location.Query().Get("code"), verifier
}

func (w *world) tokens(t *testing.T) *oauth2.Token {
	t.Helper()
	code, verifier := w.code(t)
	tokens, err := w.client.Exchange(t.Context(), code, oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func (w *world) verify(ctx context.Context, tokens *oauth2.Token) (*oidc.IDToken, error) {
	raw, _ := tokens.Extra("id_token").(string)
	return w.discover.VerifierContext(ctx, &oidc.Config{ClientID: "shiftgrant", Now: w.clock}).Verify(ctx, raw)
}

// refusal is the error code of a failed token request.
func refusal(err error) string {
	var failed *oauth2.RetrieveError
	if errors.As(err, &failed) {
		return failed.ErrorCode
	}
	return fmt.Sprint(err)
}

func TestAPersonSignsInWithAnIndependentClient(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]url.Values{
		"with one click":    {"person": {"alice"}},
		"with a password":   {"username": {"alice"}, "password": {"twin"}},
		"in spite of a gap": {"username": {" alice "}, "password": {"twin"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, client := newWorld(t), browser(t)
			verifier := oauth2.GenerateVerifier()
			signIn := open(t, client, w.client.AuthCodeURL("state with ü&=", oauth2.S256ChallengeOption(verifier), oidc.Nonce("n-1")))
			if signIn.status != http.StatusOK || !strings.Contains(signIn.body, "no production system") {
				t.Fatalf("status %d: %s", signIn.status, signIn.body)
			}
			done := w.submit(t, client, signIn, answer)
			if done.status != http.StatusSeeOther || !strings.HasPrefix(done.location.String(), callback+"?") {
				t.Fatalf("status %d to %v", done.status, done.location)
			}
			response := done.location.Query()
			if response.Get("state") != "state with ü&=" || response.Get("iss") != w.issuer {
				t.Errorf("state %q, iss %q", response.Get("state"), response.Get("iss"))
			}
			tokens, err := w.client.Exchange(t.Context(), response.Get("code"), oauth2.VerifierOption(verifier))
			if err != nil {
				t.Fatal(err)
			}
			idToken, err := w.verify(t.Context(), tokens)
			if err != nil {
				t.Fatal(err)
			}
			if err := idToken.VerifyAccessToken(tokens.AccessToken); err != nil {
				t.Errorf("at_hash: %v", err)
			}
			var claims struct {
				Name     string   `json:"name"`
				Email    string   `json:"email"`
				Verified bool     `json:"email_verified"`
				Username string   `json:"preferred_username"`
				Groups   []string `json:"groups"`
				AuthTime int64    `json:"auth_time"`
			}
			if err := idToken.Claims(&claims); err != nil {
				t.Fatal(err)
			}
			if idToken.Subject != "idp|7f3a" || idToken.Nonce != "n-1" || claims.Name != "Alice Anders" || claims.Email != "alice@example.com" ||
				!claims.Verified || claims.Username != "alice" || !slices.Equal(claims.Groups, []string{"analysts"}) || claims.AuthTime != w.clock().Unix() {
				t.Errorf("subject %q, nonce %q, claims %+v", idToken.Subject, idToken.Nonce, claims)
			}
			info, err := w.discover.UserInfo(t.Context(), oauth2.StaticTokenSource(tokens))
			if err != nil || info.Subject != idToken.Subject || info.Email != "alice@example.com" {
				t.Errorf("userinfo %+v, error %v", info, err)
			}
		})
	}
}

func TestClaimsFollowTheScopes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.client.Scopes = []string{"openid", "unheard-of"}
	tokens := w.tokens(t)
	if tokens.RefreshToken != "" {
		t.Error("a refresh token without offline_access")
	}
	if scope := tokens.Extra("scope"); scope != "openid" {
		t.Errorf("scope %v", scope)
	}
	idToken, err := w.verify(t.Context(), tokens)
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := idToken.Claims(&claims); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"name", "email", "groups", "preferred_username"} {
		if _, found := claims[name]; found {
			t.Errorf("%s was told without its scope", name)
		}
	}
}

func TestPublicClientsAreServed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.client.ClientID, w.client.ClientSecret, w.client.RedirectURL = "public", "", "http://127.0.0.1/cb"
	w.client.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	if tokens := w.tokens(t); tokens.RefreshToken == "" {
		t.Error("no refresh token")
	}
}

func TestABadClientOrRedirectGetsAPageAndNoRedirect(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, change := range map[string]func(url.Values){
		"no client":              func(q url.Values) { q.Del("client_id") },
		"an unknown client":      func(q url.Values) { q.Set("client_id", "<b>nobody</b>") },
		"no redirect":            func(q url.Values) { q.Del("redirect_uri") },
		"another redirect":       func(q url.Values) { q.Set("redirect_uri", "https://evil.example/") },
		"a redirect with more":   func(q url.Values) { q.Set("redirect_uri", callback+"/") },
		"another port":           func(q url.Values) { q.Set("redirect_uri", "http://localhost:7421/signin/callback/twin") },
		"two redirects":          func(q url.Values) { q.Add("redirect_uri", callback) },
		"two clients":            func(q url.Values) { q.Add("client_id", "shiftgrant") },
		"another client's":       func(q url.Values) { q.Set("client_id", "public") },
		"and a bad request, too": func(q url.Values) { q.Set("redirect_uri", "https://evil.example/"); q.Del("response_type") },
	} {
		got := open(t, browser(t), w.changed(t, change))
		if got.status != http.StatusBadRequest || got.location != nil || strings.Contains(got.body, "<b>nobody") || strings.Contains(got.body, "evil") {
			t.Errorf("%s: status %d, location %v", name, got.status, got.location)
		}
	}
}

// changed is a good authorization URL with something changed.
func (w *world) changed(t *testing.T, change func(url.Values)) string {
	t.Helper()
	address, err := url.Parse(w.client.AuthCodeURL("st", oauth2.S256ChallengeOption(oauth2.GenerateVerifier())))
	if err != nil {
		t.Fatal(err)
	}
	query := address.Query()
	change(query)
	address.RawQuery = query.Encode()
	return address.String()
}

func TestABadRequestIsToldToTheClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	set := func(name, value string) func(url.Values) { return func(q url.Values) { q.Set(name, value) } }
	for name, test := range map[string]struct {
		change func(url.Values)
		want   string
	}{
		"no response_type":       {func(q url.Values) { q.Del("response_type") }, "invalid_request"},
		"the implicit flow":      {set("response_type", "token"), "unsupported_response_type"},
		"the hybrid flow":        {set("response_type", "code id_token"), "unsupported_response_type"},
		"answers in a form":      {set("response_mode", "form_post"), "invalid_request"},
		"no scope":               {func(q url.Values) { q.Del("scope") }, "invalid_scope"},
		"no openid":              {set("scope", "profile"), "invalid_scope"},
		"no challenge":           {func(q url.Values) { q.Del("code_challenge") }, "invalid_request"},
		"no challenge method":    {func(q url.Values) { q.Del("code_challenge_method") }, "invalid_request"},
		"a plain challenge":      {set("code_challenge_method", "plain"), "invalid_request"},
		"a short challenge":      {set("code_challenge", "abc"), "invalid_request"},
		"a request object":       {set("request", "e30"), "request_not_supported"},
		"a request by reference": {set("request_uri", "https://x"), "request_uri_not_supported"},
		"a parameter twice":      {func(q url.Values) { q.Add("scope", "openid") }, "invalid_request"},
		"an unknown prompt":      {set("prompt", "consent"), "invalid_request"},
		"none and login":         {set("prompt", "none login"), "invalid_request"},
		"a negative max_age":     {set("max_age", "-1"), "invalid_request"},
		"a max_age in words":     {set("max_age", "soon"), "invalid_request"},
		"nobody, silently":       {set("prompt", "none"), "login_required"},
	} {
		got := open(t, browser(t), w.changed(t, test.change))
		if got.location == nil {
			t.Errorf("%s: status %d and no redirect", name, got.status)
			continue
		}
		q := got.location.Query()
		if q.Get("error") != test.want || q.Get("state") != "st" || q.Get("iss") != w.issuer || q.Has("code") || q.Get("error_description") == "" {
			t.Errorf("%s: %v, want %s", name, q, test.want)
		}
	}
}

func TestARedirectURIMayHaveAQuery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.client.RedirectURL = callback + "?via=1"
	w.SetScript(idp.Script{Deny: true})
	got := open(t, browser(t), w.changed(t, func(url.Values) {}))
	if got.location == nil || !strings.HasPrefix(got.location.String(), callback+"?via=1&") || got.location.Query().Get("error") != "access_denied" {
		t.Errorf("redirected to %v", got.location)
	}
}

func TestTheAuthorizationRequestMayBePosted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address, err := url.Parse(w.changed(t, func(url.Values) {}))
	if err != nil {
		t.Fatal(err)
	}
	if got := w.post(t, browser(t), address.Path, address.Query()); got.status != http.StatusOK || !strings.Contains(got.body, "Who are you?") {
		t.Errorf("status %d", got.status)
	}
}

func TestThePageIsSafeInABrowser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := open(t, browser(t), w.changed(t, func(q url.Values) { q.Set("login_hint", `"><script>alert(1)</script>`) }))
	policy := got.header.Get("Content-Security-Policy")
	for _, directive := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self' http://localhost:*"} {
		if !strings.Contains(policy, directive) {
			t.Errorf("policy %q has no %q", policy, directive)
		}
	}
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
		"X-Frame-Options": "DENY", "Cross-Origin-Opener-Policy": "same-origin",
	} {
		if got.header.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, got.header.Get(name), want)
		}
	}
	if strings.Contains(got.body, "<script") || !strings.Contains(got.body, `<html lang="en">`) {
		t.Errorf("page: %s", got.body)
	}
	for _, cookie := range got.header.Values("Set-Cookie") {
		if !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Lax") || !strings.HasPrefix(cookie, "twin_idp_") {
			t.Errorf("cookie %q", cookie)
		}
	}
}

func TestAWrongPasswordAsksAgain(t *testing.T) {
	t.Parallel()
	w, client := newWorld(t), browser(t)
	signIn := open(t, client, w.changed(t, func(url.Values) {}))
	for name, answer := range map[string]url.Values{
		"a wrong password": {"username": {"alice"}, "password": {"wrong"}},
		"no password":      {"username": {"alice"}},
		"nobody":           {"username": {"nobody"}, "password": {"twin"}},
		"no answer":        {},
		"an unknown name":  {"person": {"nobody"}},
		"continue as none": {"answer": {"continue"}},
	} {
		if got := w.submit(t, client, signIn, answer); got.status != http.StatusUnprocessableEntity || !strings.Contains(got.body, `role="alert"`) {
			t.Errorf("%s: status %d", name, got.status)
		}
	}
	if got := w.submit(t, client, signIn, url.Values{"person": {"bob"}}); got.location == nil || got.location.Query().Get("code") == "" {
		t.Errorf("and then rightly: status %d to %v", got.status, got.location)
	}
}

func TestAPersonCanCancel(t *testing.T) {
	t.Parallel()
	w, client := newWorld(t), browser(t)
	signIn := open(t, client, w.changed(t, func(url.Values) {}))
	got := w.submit(t, client, signIn, url.Values{"answer": {"cancel"}})
	if got.location == nil || got.location.Query().Get("error") != "access_denied" {
		t.Errorf("status %d to %v", got.status, got.location)
	}
}

func TestASignInBelongsToItsBrowser(t *testing.T) {
	t.Parallel()
	w, client := newWorld(t), browser(t)
	signIn := open(t, client, w.changed(t, func(url.Values) {}))
	stranger := browser(t)
	open(t, stranger, w.changed(t, func(url.Values) {}))
	for name, other := range map[string]*http.Client{"another browser": stranger, "a browser without cookies": browser(t)} {
		if got := w.submit(t, other, signIn, url.Values{"person": {"alice"}}); got.status != http.StatusBadRequest || got.location != nil {
			t.Errorf("%s: status %d to %v", name, got.status, got.location)
		}
	}
	open(t, client, w.changed(t, func(url.Values) {})) // a second tab
	if got := w.submit(t, client, signIn, url.Values{"person": {"alice"}}); got.location == nil {
		t.Errorf("the browser itself: status %d", got.status)
	}
	if got := w.submit(t, client, signIn, url.Values{"person": {"alice"}}); got.status != http.StatusBadRequest {
		t.Errorf("the same form again: status %d", got.status)
	}
	late := open(t, client, w.changed(t, func(url.Values) {}))
	w.advance(10 * time.Minute)
	if got := w.submit(t, client, late, url.Values{"person": {"alice"}}); got.status != http.StatusBadRequest {
		t.Errorf("after ten minutes: status %d", got.status)
	}
}

func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	t.Parallel()
	w, client := newWorld(t), browser(t)
	signIn := open(t, client, w.changed(t, func(url.Values) {}))
	form := url.Values{"ticket": {ticketPattern.FindStringSubmatch(signIn.body)[1]}, "person": {"alice"}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, strings.TrimSuffix(w.issuer, "/idp")+actionPattern.FindStringSubmatch(signIn.body)[1], strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Sec-Fetch-Site", "cross-site")
	if got := do(t, client, request); got.status != http.StatusForbidden {
		t.Errorf("status %d", got.status)
	}
}

func TestABrowserStaysSignedIn(t *testing.T) {
	t.Parallel()
	w, client := newWorld(t), browser(t)
	address := func(extra ...string) string {
		return w.changed(t, func(q url.Values) {
			for i := 0; i < len(extra); i += 2 {
				q.Set(extra[i], extra[i+1])
			}
		})
	}
	w.submit(t, client, open(t, client, address()), url.Values{"person": {"alice"}})

	again := open(t, client, address())
	if !strings.Contains(again.body, "Continue as Alice Anders") || !strings.Contains(again.body, "somebody else") {
		t.Fatalf("page: %s", again.body)
	}
	if got := w.submit(t, client, again, url.Values{"answer": {"continue"}}); got.location == nil || got.location.Query().Get("code") == "" {
		t.Errorf("continue: status %d to %v", got.status, got.location)
	}
	if got := open(t, client, address("prompt", "none")); got.location == nil || got.location.Query().Get("code") == "" {
		t.Errorf("prompt=none: status %d to %v", got.status, got.location)
	}
	if got := open(t, client, address("prompt", "login")); strings.Contains(got.body, "Continue as") || got.location != nil {
		t.Errorf("prompt=login offers to continue")
	}
	w.advance(time.Minute)
	if got := open(t, client, address("max_age", "30")); strings.Contains(got.body, "Continue as") {
		t.Error("max_age=30 after a minute offers to continue")
	}
	if got := open(t, client, address("max_age", "30", "prompt", "none")); got.location.Query().Get("error") != "login_required" {
		t.Errorf("max_age=30 and prompt=none after a minute: %v", got.location)
	}
	if got := open(t, client, address("max_age", "90")); !strings.Contains(got.body, "Continue as") {
		t.Error("max_age=90 after a minute does not offer to continue")
	}
	// Somebody else sits down: the session becomes theirs.
	w.submit(t, client, open(t, client, address()), url.Values{"person": {"bob"}})
	if got := open(t, client, address("login_hint", "bob@example.com")); !strings.Contains(got.body, "Continue as Bob Berger") || strings.Contains(got.body, "Continue as Alice") || !strings.Contains(got.body, "hinted") {
		t.Error("bob is not the one who is signed in")
	}
	w.advance(8 * time.Hour)
	if got := open(t, client, address()); strings.Contains(got.body, "Continue as") {
		t.Error("the session outlived its time")
	}
}

func TestCodesAreStrict(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	exchange := func(code, verifier string, options ...oauth2.AuthCodeOption) string {
		_, err := w.client.Exchange(t.Context(), code, append(options, oauth2.VerifierOption(verifier))...)
		return refusal(err)
	}
	code, verifier := w.code(t)
	for name, got := range map[string]string{
		"another verifier": exchange(code, oauth2.GenerateVerifier()),
		"a short verifier": exchange(code, "short"),
		"an unknown code":  exchange("twin-code-x", verifier),
		"another redirect": exchange(code, verifier, oauth2.SetAuthURLParam("redirect_uri", callback+"?via=1")),
		"another client": func() string {
			c := w.client
			c.ClientID, c.ClientSecret = "public", ""
			_, err := c.Exchange(t.Context(), code, oauth2.VerifierOption(verifier))
			return refusal(err)
		}(),
	} {
		if got != "invalid_grant" {
			t.Errorf("%s: %s", name, got)
		}
	}
	if _, err := w.client.Exchange(t.Context(), code); refusal(err) != "invalid_request" {
		t.Errorf("no verifier: %s", refusal(err))
	}
	tokens, err := w.client.Exchange(t.Context(), code, oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatalf("a failed attempt used the code up: %v", err)
	}
	if got := exchange(code, verifier); got != "invalid_grant" {
		t.Errorf("a second time: %s", got)
	}
	if _, err := w.discover.UserInfo(t.Context(), oauth2.StaticTokenSource(tokens)); err == nil {
		t.Error("the replay of the code did not end the access token")
	}
	if _, err := w.refresh(t, tokens.RefreshToken); refusal(err) != "invalid_grant" {
		t.Errorf("the replay of the code did not end the refresh token: %s", refusal(err))
	}
	late, lateVerifier := w.code(t)
	w.advance(time.Minute)
	if got := exchange(late, lateVerifier); got != "invalid_grant" {
		t.Errorf("after a minute: %s", got)
	}
}

func (w *world) refresh(t *testing.T, token string) (*oauth2.Token, error) {
	t.Helper()
	return w.client.TokenSource(t.Context(), &oauth2.Token{RefreshToken: token}).Token()
}

func TestRefreshTokensRotate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.tokens(t)
	second, err := w.refresh(t, first.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	if second.RefreshToken == first.RefreshToken || second.AccessToken == first.AccessToken {
		t.Error("nothing rotated")
	}
	idToken, err := w.verify(t.Context(), second)
	if err != nil || idToken.Subject != "idp|7f3a" || idToken.Nonce != "" {
		t.Errorf("refreshed ID token %+v, error %v", idToken, err)
	}
	if _, err := w.refresh(t, first.RefreshToken); refusal(err) != "invalid_grant" {
		t.Errorf("the first again: %s", refusal(err))
	}
	if _, err := w.refresh(t, second.RefreshToken); refusal(err) != "invalid_grant" {
		t.Errorf("reuse did not end the family: %s", refusal(err))
	}
	if _, err := w.discover.UserInfo(t.Context(), oauth2.StaticTokenSource(second)); err == nil {
		t.Error("reuse did not end the access token")
	}
	other := w.tokens(t)
	w.SetScript(idp.Script{RefuseRefresh: true})
	if _, err := w.refresh(t, other.RefreshToken); refusal(err) != "invalid_grant" {
		t.Errorf("a scripted refusal: %s", refusal(err))
	}
	w.SetScript(idp.Script{})
	if _, err := w.refresh(t, other.RefreshToken); err != nil {
		t.Errorf("after the script: %v", err)
	}
}

func TestRotationDoesNotProlongTheGrant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tokens := w.tokens(t)
	for range 2 {
		w.advance(14 * 24 * time.Hour)
		var err error
		if tokens, err = w.refresh(t, tokens.RefreshToken); err != nil {
			t.Fatal(err)
		}
	}
	w.advance(2 * 24 * time.Hour)
	if _, err := w.refresh(t, tokens.RefreshToken); refusal(err) != "invalid_grant" {
		t.Errorf("after 30 days: %s", refusal(err))
	}
}

// raw posts to the token endpoint what no client would.
func (w *world) raw(t *testing.T, endpoint string, change func(*http.Request), form url.Values) (int, map[string]any, http.Header) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if change != nil {
		change(request)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var document map[string]any
	_ = json.NewDecoder(response.Body).Decode(&document)
	return response.StatusCode, document, response.Header
}

func TestTokenRequestsAreStrict(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	secret := url.QueryEscape("s3cret/+ü")
	basic := func(r *http.Request) { r.SetBasicAuth("shiftgrant", secret) }
	refresh := w.tokens(t).RefreshToken
	for name, test := range map[string]struct {
		change func(*http.Request)
		form   url.Values
		want   string
	}{
		"no grant type":          {basic, url.Values{}, "400 invalid_request"},
		"the password grant":     {basic, url.Values{"grant_type": {"password"}}, "400 unsupported_grant_type"},
		"no code":                {basic, url.Values{"grant_type": {"authorization_code"}}, "400 invalid_request"},
		"no refresh token":       {basic, url.Values{"grant_type": {"refresh_token"}}, "400 invalid_request"},
		"a parameter twice":      {basic, url.Values{"grant_type": {"refresh_token", "refresh_token"}}, "400 invalid_request"},
		"parameters in the URL":  {func(r *http.Request) { basic(r); r.URL.RawQuery = "grant_type=refresh_token" }, url.Values{}, "400 invalid_request"},
		"JSON":                   {func(r *http.Request) { basic(r); r.Header.Set("Content-Type", "application/json") }, url.Values{}, "400 invalid_request"},
		"no client":              {nil, url.Values{"grant_type": {"refresh_token"}}, "401 invalid_client"},
		"a wrong secret":         {func(r *http.Request) { r.SetBasicAuth("shiftgrant", "x") }, url.Values{"grant_type": {"refresh_token"}}, "401 invalid_client"},
		"a wrong secret in body": {nil, url.Values{"client_id": {"shiftgrant"}, "client_secret": {"x"}}, "401 invalid_client"},
		"no secret":              {nil, url.Values{"client_id": {"shiftgrant"}}, "401 invalid_client"},
		"a secret nobody gave":   {nil, url.Values{"client_id": {"public"}, "client_secret": {"x"}}, "401 invalid_client"},
		"a bearer token":         {func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, url.Values{}, "401 invalid_client"},
		"two ways to say who":    {basic, url.Values{"client_secret": {"s3cret/+ü"}}, "400 invalid_request"},
		"two clients":            {basic, url.Values{"client_id": {"public"}}, "400 invalid_request"},
		"more than was granted":  {basic, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}, "scope": {"openid admin"}}, "400 invalid_scope"},
		"another client's token": {nil, url.Values{"client_id": {"public"}, "grant_type": {"refresh_token"}, "refresh_token": {refresh}}, "400 invalid_grant"},
	} {
		status, document, header := w.raw(t, w.client.Endpoint.TokenURL, test.change, test.form)
		if got := fmt.Sprint(status, " ", document["error"]); got != test.want || header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %s %v, want %s", name, got, document, test.want)
		}
		if sent := test.change != nil; status == http.StatusUnauthorized && sent != (header.Get("WWW-Authenticate") != "") {
			t.Errorf("%s: WWW-Authenticate %q", name, header.Get("WWW-Authenticate"))
		}
	}
	status, document, _ := w.raw(t, w.client.Endpoint.TokenURL, basic, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}, "scope": {"openid"}})
	if status != http.StatusOK || document["scope"] != "openid" {
		t.Fatalf("less than was granted: %d %v", status, document)
	}
	next, _ := document["refresh_token"].(string)
	if again, err := w.refresh(t, next); err != nil || again.Extra("scope") != "openid profile email groups offline_access" {
		t.Errorf("and then all of it again: error %v", err)
	}
}

func TestUserinfoAsksForAToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tokens := w.tokens(t)
	for name, test := range map[string]struct{ authorization, challenge string }{
		"nothing":          {"", `Bearer realm="twin"`},
		"another scheme":   {"Basic eA==", `Bearer realm="twin"`},
		"an unknown token": {"Bearer x", `Bearer realm="twin", error="invalid_token", error_description="unknown, expired or revoked"`},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.discover.UserInfoEndpoint(), nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", test.authorization)
		if got := do(t, http.DefaultClient, request); got.status != http.StatusUnauthorized || got.header.Get("WWW-Authenticate") != test.challenge {
			t.Errorf("%s: %d %q", name, got.status, got.header.Get("WWW-Authenticate"))
		}
	}
	w.advance(5 * time.Minute)
	if _, err := w.discover.UserInfo(t.Context(), oauth2.StaticTokenSource(&oauth2.Token{AccessToken: tokens.AccessToken})); err == nil {
		t.Error("an expired access token was taken")
	}
}

// endpoints of the discovery document that go-oidc does not read.
func (w *world) endpoints(t *testing.T) (found struct {
	Revocation string `json:"revocation_endpoint"`
	EndSession string `json:"end_session_endpoint"`
	Issuer     bool   `json:"authorization_response_iss_parameter_supported"`
},
) {
	t.Helper()
	if err := w.discover.Claims(&found); err != nil {
		t.Fatal(err)
	}
	return found
}

func TestTokensCanBeRevoked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	endpoint := w.endpoints(t).Revocation
	revoke := func(token string) int {
		status, _, _ := w.raw(t, endpoint, nil, url.Values{"client_id": {"shiftgrant"}, "client_secret": {"s3cret/+ü"}, "token": {token}})
		return status
	}
	alive := func(tokens *oauth2.Token) bool {
		_, err := w.discover.UserInfo(t.Context(), oauth2.StaticTokenSource(tokens))
		return err == nil
	}
	tokens := w.tokens(t)
	if status := revoke("unknown"); status != http.StatusOK {
		t.Errorf("an unknown token: %d", status)
	}
	if status, _, _ := w.raw(t, endpoint, nil, url.Values{"client_id": {"public"}, "token": {tokens.RefreshToken}}); status != http.StatusOK || !alive(tokens) {
		t.Errorf("another client's token: %d, alive %t", status, alive(tokens))
	}
	if status, _, _ := w.raw(t, endpoint, nil, url.Values{"client_id": {"shiftgrant"}, "token": {tokens.RefreshToken}}); status != http.StatusUnauthorized {
		t.Errorf("without the secret: %d", status)
	}
	if status, _, _ := w.raw(t, endpoint, nil, url.Values{"client_id": {"public"}}); status != http.StatusBadRequest {
		t.Errorf("without a token: %d", status)
	}
	if status := revoke(tokens.AccessToken); status != http.StatusOK || alive(tokens) {
		t.Errorf("an access token: %d, alive %t", status, alive(tokens))
	}
	next, err := w.refresh(t, tokens.RefreshToken)
	if err != nil {
		t.Fatalf("revoking the access token ended the refresh token: %v", err)
	}
	if status := revoke(next.RefreshToken); status != http.StatusOK || alive(next) {
		t.Errorf("a refresh token: %d, its access token alive %t", status, alive(next))
	}
	if _, err := w.refresh(t, next.RefreshToken); refusal(err) != "invalid_grant" {
		t.Errorf("a revoked refresh token: %s", refusal(err))
	}
}

func TestSigningOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	endpoint := w.endpoints(t).EndSession
	raw, _ := w.tokens(t).Extra("id_token").(string)
	w.SetScript(idp.Script{})
	signedIn := func(client *http.Client) bool {
		return strings.Contains(open(t, client, w.changed(t, func(url.Values) {})).body, "Continue as")
	}
	fresh := func() *http.Client {
		client := browser(t)
		w.submit(t, client, open(t, client, w.changed(t, func(url.Values) {})), url.Values{"person": {"alice"}})
		return client
	}
	t.Run("asks first when nobody vouches for it", func(t *testing.T) {
		client := fresh()
		asked := open(t, client, endpoint)
		if !strings.Contains(asked.body, "Sign out?") || !signedIn(client) {
			t.Errorf("page: %s", asked.body)
		}
		path := actionPattern.FindStringSubmatch(asked.body)[1]
		if done := w.post(t, client, path, url.Values{"confirmed": {"yes"}}); !strings.Contains(done.body, "You are signed out") || signedIn(client) {
			t.Errorf("signed in after confirming: %s", done.body)
		}
	})
	t.Run("with an ID token, and back to the client", func(t *testing.T) {
		client := fresh()
		w.advance(time.Hour) // an expired hint will do
		got := open(t, client, endpoint+"?"+url.Values{"id_token_hint": {raw}, "post_logout_redirect_uri": {"http://localhost:7420/bye"}, "state": {"s&1"}}.Encode())
		if got.location == nil || got.location.String() != "http://localhost:7420/bye?state=s%261" || signedIn(client) {
			t.Errorf("status %d to %v", got.status, got.location)
		}
	})
	t.Run("never to where nobody has registered", func(t *testing.T) {
		client := fresh()
		for _, query := range []url.Values{
			{"id_token_hint": {raw}, "post_logout_redirect_uri": {"https://evil.example/"}},
			{"post_logout_redirect_uri": {"http://localhost:7420/bye"}},
			{"client_id": {"public"}, "post_logout_redirect_uri": {"http://localhost:7420/bye"}},
			{"client_id": {"shiftgrant", "public"}},
		} {
			if got := open(t, client, endpoint+"?"+query.Encode()); got.status != http.StatusBadRequest || got.location != nil || !signedIn(client) {
				t.Errorf("%v: status %d to %v", query, got.status, got.location)
			}
		}
	})
	t.Run("not by somebody else's ID token", func(t *testing.T) {
		client := browser(t)
		w.submit(t, client, open(t, client, w.changed(t, func(url.Values) {})), url.Values{"person": {"bob"}})
		if got := open(t, client, endpoint+"?id_token_hint="+raw); !strings.Contains(got.body, "Sign out?") {
			t.Errorf("page: %s", got.body)
		}
		if got := open(t, client, endpoint+"?id_token_hint=x.y.z"); !strings.Contains(got.body, "Sign out?") {
			t.Errorf("page: %s", got.body)
		}
	})
}

func TestScriptedMisbehaviour(t *testing.T) {
	t.Parallel()
	exchange := func(w *world, script idp.Script) (*oauth2.Token, error) {
		code, verifier := w.code(t)
		w.SetScript(script)
		return w.client.Exchange(t.Context(), code, oauth2.VerifierOption(verifier))
	}
	t.Run("ID tokens that must not be believed", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		for name, test := range map[string]struct {
			script idp.Script
			says   string
		}{
			"wrong audience": {idp.Script{WrongAudience: true}, "audience"},
			"expired":        {idp.Script{ExpiredIDToken: true}, "expired"},
		} {
			tokens, err := exchange(w, test.script)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.verify(t.Context(), tokens); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%s: %v", name, err)
			}
		}
		tokens, err := exchange(w, idp.Script{WrongNonce: true})
		if err != nil {
			t.Fatal(err)
		}
		if idToken, err := w.verify(t.Context(), tokens); err != nil || idToken.Nonce == "n-1" {
			t.Errorf("wrong nonce: %v", err)
		}
	})
	t.Run("a token endpoint that fails for a while", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.client.Endpoint.AuthStyle = oauth2.AuthStyleInHeader // else x/oauth2 tries both styles
		code, verifier := w.code(t)
		w.SetScript(idp.Script{TokenFailures: 2})
		for i, want := range []int{503, 503, 200} {
			_, err := w.client.Exchange(t.Context(), code, oauth2.VerifierOption(verifier))
			var failed *oauth2.RetrieveError
			if got := map[bool]int{true: 200}[err == nil]; errors.As(err, &failed) {
				got = failed.Response.StatusCode
				if got != want {
					t.Errorf("attempt %d: %d, want %d", i+1, got, want)
				}
			} else if got != want {
				t.Errorf("attempt %d: %v, want %d", i+1, err, want)
			}
		}
	})
	t.Run("a person who refuses", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.SetScript(idp.Script{Deny: true})
		if got := open(t, browser(t), w.changed(t, func(url.Values) {})); got.location.Query().Get("error") != "access_denied" {
			t.Errorf("redirected to %v", got.location)
		}
	})
	t.Run("an unknown person", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.SetScript(idp.Script{SignInAs: "nobody"})
		if got := open(t, browser(t), w.changed(t, func(url.Values) {})); got.status != http.StatusInternalServerError {
			t.Errorf("status %d", got.status)
		}
	})
	t.Run("down and up again", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.Stop()
		if _, err := oidc.NewProvider(t.Context(), w.issuer); err == nil {
			t.Error("a stopped provider answers")
		}
		w.Start()
		if _, err := oidc.NewProvider(t.Context(), w.issuer); err != nil {
			t.Error(err)
		}
	})
	t.Run("slow, until the caller gives up", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.SetScript(idp.Script{Delay: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if _, err := oidc.NewProvider(ctx, w.issuer); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		w.SetScript(idp.Script{Delay: time.Millisecond})
		if _, err := oidc.NewProvider(t.Context(), w.issuer); err != nil {
			t.Error(err)
		}
	})
}

func TestKeysRotate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	kid := func(tokens *oauth2.Token) string {
		raw, _ := tokens.Extra("id_token").(string)
		header, err := base64.RawURLEncoding.DecodeString(strings.Split(raw, ".")[0])
		if err != nil {
			t.Fatal(err)
		}
		var h struct{ Alg, Kid, Typ string }
		if err := json.Unmarshal(header, &h); err != nil || h.Alg != "RS256" {
			t.Fatalf("header %s", header)
		}
		return h.Kid
	}
	old := w.tokens(t)
	if err := w.RotateKey(); err != nil {
		t.Fatal(err)
	}
	fresh := w.tokens(t)
	if kid(old) == kid(fresh) {
		t.Error("the key did not rotate")
	}
	for _, tokens := range []*oauth2.Token{old, fresh} {
		if _, err := w.verify(t.Context(), tokens); err != nil {
			t.Error(err)
		}
	}
	w.ForgetOldKeys()
	again, err := oidc.NewProvider(t.Context(), w.issuer)
	if err != nil {
		t.Fatal(err)
	}
	w.discover = again
	if _, err := w.verify(t.Context(), old); err == nil {
		t.Error("a forgotten key still verifies")
	}
	if _, err := w.verify(t.Context(), fresh); err != nil {
		t.Error(err)
	}
}

func TestTheProviderHasNoGuessablePaths(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if !w.endpoints(t).Issuer {
		t.Error("the issuer parameter is not announced")
	}
	for _, path := range []string{"/authorize", "/oauth2/authorize", "/token", "/jwks", "/.well-known/jwks.json", "/userinfo", "/logout", "/"} {
		if got := open(t, browser(t), w.issuer+path); got.status != http.StatusNotFound {
			t.Errorf("%s: status %d", path, got.status)
		}
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]idp.Config{
		"no issuer":              {},
		"an issuer with a slash": {Issuer: "http://localhost/idp/"},
		"an issuer with a query": {Issuer: "http://localhost/idp?x"},
		"a client without id":    {Issuer: "http://localhost/idp", Clients: []idp.Client{{RedirectURIs: []string{callback}}}},
		"a client without URI":   {Issuer: "http://localhost/idp", Clients: []idp.Client{{ID: "a"}}},
		"a URI with a fragment":  {Issuer: "http://localhost/idp", Clients: []idp.Client{{ID: "a", RedirectURIs: []string{callback + "#x"}}}},
		"a relative URI":         {Issuer: "http://localhost/idp", Clients: []idp.Client{{ID: "a", RedirectURIs: []string{"/callback"}}}},
		"a person without name":  {Issuer: "http://localhost/idp", People: []idp.Person{{Subject: "x"}}},
		"a person without sub":   {Issuer: "http://localhost/idp", People: []idp.Person{{Username: "x"}}},
		"two people of one sub":  {Issuer: "http://localhost/idp", People: []idp.Person{{Username: "x", Subject: "s"}, {Username: "y", Subject: "s"}}},
	} {
		if _, err := idp.New(config); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func FuzzAuthorize(f *testing.F) {
	f.Add("response_type=code&scope=openid&client_id=a&redirect_uri=http%3A%2F%2Fapp%2Fcb&code_challenge_method=S256&code_challenge=" + strings.Repeat("A", 43))
	f.Add("client_id=a&redirect_uri=http%3A%2F%2Fapp%2Fcb&state=%00&prompt=none&max_age=1")
	provider, err := idp.New(idp.Config{Issuer: "http://localhost/idp", Clients: []idp.Client{{ID: "a", RedirectURIs: []string{"http://app/cb"}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, query string) {
		request := httptest.NewRequest("GET", "/idp/front-door", nil)
		request.URL.RawQuery = query
		response := httptest.NewRecorder()
		provider.ServeHTTP(response, request)
		location := response.Header().Get("Location")
		if location != "" && !strings.HasPrefix(location, "http://app/cb?") {
			t.Fatalf("redirected to %q", location)
		}
		if response.Code >= 500 || location != "" != (response.Code == http.StatusSeeOther) {
			t.Fatalf("status %d, location %q", response.Code, location)
		}
		if strings.Contains(location, "code=") {
			t.Fatal("a code without anybody signing in")
		}
	})
}
