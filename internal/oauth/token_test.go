package oauth_test

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/oauth"
)

// The whole way, for each kind of app.
func TestCodeIsTradedForTokens(t *testing.T) {
	t.Parallel()
	for _, app := range []grant.App{stargazer, desk, public, phone} {
		w := newWorld(t)
		got := w.redeem(app, w.code("alice", good(app, "scope", "sql:read offline_access openid profile email", "nonce", "n-1")))
		if got.status != 200 || got.string("token_type") != "Bearer" || got.body["expires_in"] != 600.0 ||
			got.string("scope") != "sql:read offline_access openid profile email warehouse:tickit" {
			t.Errorf("%s: %d %s", app.ID, got.status, got.text)
		}
		// TK-11.
		if got.header.Get("Cache-Control") != "no-store" || got.header.Get("Pragma") != "no-cache" || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: headers %v", app.ID, got.header)
		}
		access, err := w.server.Authenticate(t.Context(), got.string("access_token"))
		if err != nil || access.Person.ID != "per_alice" || access.App.ID != app.ID || access.Grant.Warehouse != "tickit" || !access.Grant.Limits.ReadOnly {
			t.Errorf("%s: access %+v, %v", app.ID, access, err)
		}
		claims := decodePart(t, got.string("id_token"), 1)
		for _, want := range []string{`"aud":"` + app.ID + `"`, `"sub":"per_alice"`, `"nonce":"n-1"`, `"iss":"` + issuerURL + `"`, `"preferred_username":"alice"`, `"auth_time":1795433400`, `"at_hash":`} {
			if !strings.Contains(claims, want) {
				t.Errorf("%s: ID token %s has no %s", app.ID, claims, want)
			}
		}
		if refreshed := w.refresh(app, got.string("refresh_token")); refreshed.status != 200 {
			t.Errorf("%s: refresh: %d %s", app.ID, refreshed.status, refreshed.text)
		}
	}
}

func TestTokensAreThoseThatWereAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.redeem(stargazer, w.code("alice", good(stargazer, "scope", "sql:read sql:write")))
	if got.status != 200 || got.body["refresh_token"] != nil || got.body["id_token"] != nil {
		t.Errorf("neither offline_access nor openid, but %s", got.text)
	}
	// Without offline_access the grant ends with its token: nothing can be asked of it later.
	w.pass(11*time.Minute + time.Second)
	if grants, _ := w.store.Grants(t.Context(), grant.DefaultTenant, "per_alice"); len(grants) != 0 {
		t.Error("the grant outlives its token")
	}
}

// TK-01, T19.
func TestTK01ParametersComeOnceAndInTheBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	form := func() url.Values {
		return proof(stargazer, url.Values{"grant_type": {"authorization_code"}, "code": {w.code("alice", good(stargazer, "prompt", "consent"))}, "redirect_uri": {stargazer.RedirectURIs[0]}, "code_verifier": {verifier}})
	}
	for name, value := range form() {
		twice := form()
		twice.Add(name, value[0])
		if got := w.post("/oauth2/token", twice); got.status != 400 || got.string("error") != "invalid_request" {
			t.Errorf("%s twice: %d %s", name, got.status, got.text)
		}
		if got := w.post("/oauth2/token?"+url.Values{name: value}.Encode(), form()); got.status != 400 || got.string("error") != "invalid_request" {
			t.Errorf("%s in the query: %d %s", name, got.status, got.text)
		}
		without := form()
		without.Del(name)
		if got := w.post("/oauth2/token", without); got.status < 400 || got.status > 401 {
			t.Errorf("without %s: %d %s", name, got.status, got.text)
		}
	}
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "PATCH"} {
		response := w.request(method, "/oauth2/token", "", form())
		if response.StatusCode != 405 || response.Header.Get("Allow") != "POST" {
			t.Errorf("%s: %d, Allow %q", method, response.StatusCode, response.Header.Get("Allow"))
		}
	}
	for _, contentType := range []string{"application/json", "text/plain", "", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded, text/plain"} {
		if got := w.post("/oauth2/token", form(), "Content-Type", contentType); got.status != 400 || got.string("error") != "invalid_request" {
			t.Errorf("Content-Type %q: %d %s", contentType, got.status, got.text)
		}
	}
	if got := w.post("/oauth2/token", form(), "Content-Type", "application/x-www-form-urlencoded; charset=UTF-8"); got.status != 200 {
		t.Errorf("with a charset: %d %s", got.status, got.text)
	}
	if got := w.post("/oauth2/token", url.Values{"code": {strings.Repeat("x", 17<<10)}}); got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("17 KiB: %d %s", got.status, got.text)
	}
}

// TK-02, T02, T04: what a code is bound to; and TK-03: none of it burns the code.
func TestTK02CodeIsBoundToClientRedirectAndChallenge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	code := w.code("alice", good(stargazer))
	other := strings.Repeat("v", 43)
	for _, c := range []struct {
		name   string
		app    grant.App
		change []string
		code   string
	}{
		{"another client", observer, []string{"redirect_uri", stargazer.RedirectURIs[0]}, "invalid_grant"},
		{"a public client", public, []string{"redirect_uri", stargazer.RedirectURIs[0]}, "invalid_grant"},
		{"another redirect URI", stargazer, []string{"redirect_uri", "https://stargazer.example/callback/"}, "invalid_grant"},
		{"no redirect URI", stargazer, []string{"redirect_uri", ""}, "invalid_request"},
		{"another verifier", stargazer, []string{"code_verifier", other}, "invalid_grant"},
		{"the challenge as verifier", stargazer, []string{"code_verifier", challenge}, "invalid_grant"},
		{"TK-04: no verifier", stargazer, []string{"code_verifier", ""}, "invalid_request"},
		{"a short verifier", stargazer, []string{"code_verifier", verifier[:42]}, "invalid_request"},
		{"a long verifier", stargazer, []string{"code_verifier", strings.Repeat("v", 129)}, "invalid_request"},
		{"a verifier of other characters", stargazer, []string{"code_verifier", strings.Repeat("v", 42) + "+"}, "invalid_request"},
		{"an unknown code", stargazer, []string{"code", grant.NewToken(grant.AuthCode).Reveal()}, "invalid_grant"},
		{"a malformed code", stargazer, []string{"code", code[:len(code)-1] + "!"}, "invalid_grant"},
		{"another resource", stargazer, []string{"resource", "https://other.example"}, "invalid_target"},
		{"AZ-04, TK-18: the password grant", stargazer, []string{"grant_type", "password"}, "unsupported_grant_type"},
		{"client credentials", stargazer, []string{"grant_type", "client_credentials"}, "unsupported_grant_type"},
	} {
		if got := w.redeem(c.app, code, c.change...); got.status != 400 || got.string("error") != c.code {
			t.Errorf("%s: %d %s, want %s", c.name, got.status, got.text, c.code)
		}
	}
	if got := w.redeem(stargazer, code, "resource", issuerURL); got.status != 200 {
		t.Errorf("TK-03: after all that, the code itself: %d %s", got.status, got.text)
	}
	// A wrong replay ends nothing, a right one ends the grant.
	access := func() string {
		return w.redeem(stargazer, w.code("alice", good(stargazer, "prompt", "consent"))).string("access_token")
	}()
	if err := w.works(access); err != nil {
		t.Fatal(err)
	}
}

// T02 for a public client: the verifier is all that protects it.
func TestT02PKCEMatrix(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, v := range []string{strings.Repeat("a", 43), strings.Repeat("Z", 128), verifier, strings.Repeat("-._~", 11)} {
		code := w.code("alice", good(public, "code_challenge", challengeOf(v)))
		for _, wrong := range []string{verifier[1:] + "A", challengeOf(v), strings.ToUpper(v) + "x"} {
			if got := w.redeem(public, code, "code_verifier", wrong); got.status == 200 {
				t.Errorf("verifier %q for the challenge of %q: accepted", wrong, v)
			}
		}
		if got := w.redeem(public, code, "code_verifier", v); got.status != 200 {
			t.Errorf("verifier %q: %d %s", v, got.status, got.text)
		}
	}
}

func TestTK02CodeLastsAMinute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	code := w.code("alice", good(public))
	w.pass(59 * time.Second)
	if got := w.redeem(public, code); got.status != 200 {
		t.Errorf("after 59 s: %d %s", got.status, got.text)
	}
	code = w.code("alice", good(public))
	w.pass(60 * time.Second)
	if got := w.redeem(public, code); got.status != 400 || got.string("error") != "invalid_grant" {
		t.Errorf("after 60 s: %d %s", got.status, got.text)
	}
}

// TK-03.
func TestTK03ReplayedCodeEndsTheGrant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	code := w.code("alice", good(public))
	first := w.redeem(public, code)
	for _, change := range [][]string{{"code_verifier", strings.Repeat("v", 43)}, {"redirect_uri", "http://127.0.0.1:1/callback"}} {
		if got := w.redeem(public, code, change...); got.status != 400 {
			t.Errorf("%q: %d", change, got.status)
		}
	}
	if got := w.redeem(phone, code, "redirect_uri", public.RedirectURIs[0]); got.status != 400 {
		t.Errorf("another client: %d", got.status)
	}
	if err := w.works(first.string("access_token")); err != nil || w.audit.count("grant.revoked") != 0 {
		t.Fatalf("a replay by somebody who knows less ended the grant: %v", err)
	}
	if got := w.redeem(public, code); got.status != 400 || got.string("error") != "invalid_grant" {
		t.Errorf("a full replay: %d %s", got.status, got.text)
	}
	if err := w.works(first.string("access_token")); !errors.Is(err, grant.ErrRevoked) {
		t.Errorf("after a full replay the access token: %v", err)
	}
	if got := w.refresh(public, first.string("refresh_token")); got.status != 400 || got.string("error") != "invalid_grant" {
		t.Errorf("after a full replay the refresh token: %d %s", got.status, got.text)
	}
	if w.audit.count("grant.revoked") != 1 {
		t.Errorf("%d records", w.audit.count("grant.revoked"))
	}
}

func TestTK03ReplayCountsAlsoWhenTheCodeHasExpired(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	code := w.code("alice", good(public))
	access := w.redeem(public, code).string("access_token")
	w.pass(2 * time.Minute)
	if got := w.redeem(public, code); got.status != 400 || got.string("error") != "invalid_grant" {
		t.Errorf("%d %s", got.status, got.text)
	}
	if err := w.works(access); !errors.Is(err, grant.ErrRevoked) {
		t.Errorf("the thief, or the app, keeps its token: %v", err)
	}
}

// T03: fifty at once.
func TestT03ParallelRedemptionsHaveOneWinner(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for round := range 5 {
		code := w.code("alice", good(public))
		replies := make([]reply, 50)
		var wait sync.WaitGroup
		for i := range replies {
			wait.Go(func() { replies[i] = w.redeem(public, code) })
		}
		wait.Wait()
		won := 0
		for _, got := range replies {
			switch {
			case got.status == 200:
				won++
				if err := w.works(got.string("access_token")); !errors.Is(err, grant.ErrRevoked) {
					t.Errorf("round %d: the winner's token after the replays: %v", round, err)
				}
			case got.string("error") != "invalid_grant":
				t.Errorf("round %d: %d %s", round, got.status, got.text)
			}
		}
		if won != 1 {
			t.Errorf("round %d: %d winners", round, won)
		}
	}
}

// A code that cannot be traded because something of ours is down is still good afterwards.
func TestCodeSurvivesAFaultOfOurs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	code := w.code("alice", good(public))
	w.store.fail(errDown)
	if got := w.redeem(public, code); got.status != 503 || got.header.Get("Retry-After") == "" || got.string("error") != "temporarily_unavailable" {
		t.Errorf("store down: %d %s", got.status, got.text)
	}
	w.store.fail(nil)
	w.audit.fail(errDown)
	if got := w.redeem(public, code); got.status != 503 {
		t.Errorf("audit down: %d %s", got.status, got.text)
	}
	w.audit.fail(nil)
	if got := w.redeem(public, code); got.status != 200 {
		t.Errorf("afterwards: %d %s", got.status, got.text)
	}
}

// TK-14, TK-15.
func TestTK15ClientAuthentication(t *testing.T) {
	t.Parallel()
	basic := func(id, secret string) []string {
		return []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))}
	}
	for _, c := range []struct {
		name    string
		form    url.Values
		headers []string
		status  int
		code    string
	}{
		{"basic", url.Values{}, basic("stargazer", secretOf("stargazer")), 200, ""},
		{"basic, form-encoded", url.Values{}, basic("star%67azer", url.QueryEscape(secretOf("stargazer"))), 200, ""},
		{"basic with the same client_id", url.Values{"client_id": {"stargazer"}}, basic("stargazer", secretOf("stargazer")), 200, ""},
		{"basic in other letters", url.Values{}, []string{"Authorization", "bAsIc " + base64.StdEncoding.EncodeToString([]byte("stargazer:"+secretOf("stargazer")))}, 200, ""},
		{"post", url.Values{"client_id": {"stargazer"}, "client_secret": {secretOf("stargazer")}}, nil, 200, ""},
		{"the older of two secrets", url.Values{"client_id": {"stargazer"}, "client_secret": {"an older secret"}}, nil, 200, ""},
		{"the older secret by basic", url.Values{}, basic("stargazer", "an+older+secret"), 200, ""},
		{"basic and post", url.Values{"client_id": {"stargazer"}, "client_secret": {secretOf("stargazer")}}, basic("stargazer", secretOf("stargazer")), 400, "invalid_request"},
		{"basic and an empty secret", url.Values{"client_secret": {""}}, basic("stargazer", secretOf("stargazer")), 400, "invalid_request"},
		{"basic and another client_id", url.Values{"client_id": {"observer"}}, basic("stargazer", secretOf("stargazer")), 400, "invalid_request"},
		{"an assertion", url.Values{"client_id": {"stargazer"}, "client_assertion": {"x"}}, nil, 401, "invalid_client"},
		{"an assertion beside a secret", url.Values{"client_id": {"stargazer"}, "client_secret": {secretOf("stargazer")}, "client_assertion_type": {"x"}}, nil, 401, "invalid_client"},
		{"no secret", url.Values{"client_id": {"stargazer"}}, nil, 401, "invalid_client"},
		{"an empty secret", url.Values{"client_id": {"stargazer"}, "client_secret": {""}}, nil, 401, "invalid_client"},
		{"an empty secret by basic", url.Values{}, basic("stargazer", ""), 401, "invalid_client"},
		{"another app's secret", url.Values{"client_id": {"stargazer"}, "client_secret": {secretOf("observer")}}, nil, 401, "invalid_client"},
		{"a public app's name with a secret", url.Values{"client_id": {"cli-demo"}, "client_secret": {secretOf("stargazer")}}, nil, 401, "invalid_client"},
		{"nobody", url.Values{}, nil, 401, "invalid_client"},
		{"basic without a colon", url.Values{}, []string{"Authorization", "Basic c3RhcmdhemVy"}, 401, "invalid_client"},
		{"basic that is no base64", url.Values{}, []string{"Authorization", "Basic %%%"}, 401, "invalid_client"},
		{"basic with a bad escape", url.Values{}, basic("star%zz", "x"), 401, "invalid_client"},
		{"another scheme", url.Values{"client_id": {"stargazer"}}, []string{"Authorization", "Bearer x"}, 401, "invalid_client"},
	} {
		w := newWorld(t)
		c.form.Set("grant_type", "authorization_code")
		c.form.Set("code", w.code("alice", good(stargazer)))
		c.form.Set("redirect_uri", stargazer.RedirectURIs[0])
		c.form.Set("code_verifier", verifier)
		got := w.post("/oauth2/token", c.form, c.headers...)
		if got.status != c.status || got.string("error") != c.code {
			t.Errorf("%s: %d %s, want %d %s", c.name, got.status, got.text, c.status, c.code)
		}
		if challenged := strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Basic "); challenged != (c.status == 401) {
			t.Errorf("TK-14 %s: WWW-Authenticate %q", c.name, got.header.Get("WWW-Authenticate"))
		}
	}
}

func TestUnknownClientAndWrongSecretLookTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	off := stargazer
	off.ID, off.Disabled = "off", true
	w.putApp(off)
	texts := map[string]bool{}
	for _, client := range [][2]string{{"stargazer", "wrong"}, {"nobody", "wrong"}, {"off", secretOf("off")}, {"nobody\x00", "wrong"}, {strings.Repeat("n", 300), "wrong"}} {
		got := w.post("/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {client[0]}, "client_secret": {client[1]}})
		if got.status != 401 {
			t.Errorf("%q: %d", client[0], got.status)
		}
		delete(got.body, "request_id")
		texts[got.string("error")+got.string("error_description")+got.header.Get("WWW-Authenticate")] = true
	}
	if len(texts) != 1 {
		t.Errorf("different answers: %v", texts)
	}
}

// TK-14: brute force.
func TestTK14GuessingASecretIsSlowedDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *oauth.Config) { c.FailedClientAuthPerHour = 5 })
	try := func(app, secret string) reply {
		return w.post("/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}, "client_id": {app}, "client_secret": {secret}})
	}
	for range 5 {
		if got := try("stargazer", "wrong"); got.status != 401 {
			t.Fatalf("%d %s", got.status, got.text)
		}
	}
	got := try("stargazer", secretOf("stargazer"))
	if got.status != 429 || got.header.Get("Retry-After") != "720" {
		t.Errorf("the sixth, though right: %d, Retry-After %q", got.status, got.header.Get("Retry-After"))
	}
	if got := try("observer", secretOf("observer")); got.status != 400 {
		t.Errorf("another app at the same address: %d %s", got.status, got.text)
	}
	w.pass(12 * time.Minute)
	if got := try("stargazer", secretOf("stargazer")); got.status != 400 || got.string("error") != "invalid_grant" {
		t.Errorf("later: %d %s", got.status, got.text)
	}
}

func TestRequestsOfOneClientAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *oauth.Config) { c.TokenRequestsPerMinute = 3 })
	for i := range 4 {
		got := w.refresh(public, "x")
		if slowed := got.status == 429; slowed != (i == 3) {
			t.Errorf("request %d: %d %s", i+1, got.status, got.text)
		}
	}
}

// TK-13: what developers read has only the characters that it may have.
func TestTK13DescriptionsHaveOnlyAllowedCharacters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	code := w.code("alice", good(public))
	var texts []string
	for _, form := range []url.Values{
		{},
		{"client_id": {"cli-demo"}},
		{"client_id": {"cli-demo"}, "grant_type": {"\"\r\n\\é"}},
		{"client_id": {"\"\r\n\\é"}, "client_secret": {"x"}},
		{"client_id": {"cli-demo"}, "grant_type": {"refresh_token"}, "refresh_token": {"\"\r\n\\é"}},
		{"client_id": {"cli-demo"}, "grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {"\"\r\n"}, "code_verifier": {verifier}},
	} {
		got := w.post("/oauth2/token", form)
		if got.string("error_description") == "" || got.string("request_id") == "" {
			t.Errorf("%q: %s", form, got.text)
		}
		texts = append(texts, got.string("error_description"), got.string("error"))
	}
	for _, change := range [][]string{{"scope", "\"\r\n"}, {"prompt", "\"\r\n"}, {"state", "\"\r\n"}, {"response_type", "\"\r\n"}, {"resource", "\"\r\n"}} {
		got := answer(t, w.authorize("alice", good(public, change...)))
		texts = append(texts, got.Get("error_description"), got.Get("error"))
	}
	for _, text := range texts {
		for _, c := range text {
			if c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
				t.Errorf("%q has %q", text, c)
			}
		}
	}
}

func TestTK19LifetimesOfTheAppCount(t *testing.T) {
	t.Parallel()
	short := public
	short.AccessTokenLifetime = time.Minute
	w := newWorld(t)
	w.putApp(short)
	got := w.redeem(short, w.code("alice", good(short)))
	if got.body["expires_in"] != 60.0 {
		t.Errorf("expires_in %v", got.body["expires_in"])
	}
	w.pass(59 * time.Second)
	if err := w.works(got.string("access_token")); err != nil {
		t.Errorf("after 59 s: %v", err)
	}
	w.pass(time.Second)
	if err := w.works(got.string("access_token")); !errors.Is(err, grant.ErrExpired) {
		t.Errorf("after 60 s: %v", err)
	}
}

func decodePart(t *testing.T, token string, part int) string {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("no JWT: %q", token)
	}
	decoded, err := base64.RawURLEncoding.DecodeString(parts[part])
	if err != nil {
		t.Fatal(err)
	}
	return string(decoded)
}
