package oauth_test

import (
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

// AZ-01, AZ-02, T01: every row of the vectors, at the endpoint.
func TestAZ01RedirectURIMatchesExactly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file, err := os.ReadFile("../grant/testdata/redirect_uris.tsv")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(file)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if grant.CheckRedirectURI(fields[0]) != nil {
			continue // cannot be registered: AZ-02, tested in grant
		}
		rows++
		app := stargazer
		app.RedirectURIs = []string{fields[0]}
		w.putApp(app)
		response := w.authorize("alice", good(app, "redirect_uri", fields[1]))
		switch allowed := fields[2] == "allow"; {
		case allowed && response.StatusCode != 200:
			t.Errorf("%s for %s: %d, want the consent page", fields[1], fields[0], response.StatusCode)
		case !allowed && (response.StatusCode != 400 || response.Header.Get("Location") != ""):
			t.Errorf("%s for %s: %d to %q, want a 400 page (%s)", fields[1], fields[0], response.StatusCode, response.Header.Get("Location"), fields[3])
		}
	}
	if rows < 26 {
		t.Errorf("read %d rows", rows)
	}
}

// AZ-03: a bad client or redirect URI is shown and never redirected, whatever else is wrong.
func TestAZ03BadClientOrRedirectIsNeverRedirected(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	disabled := stargazer
	disabled.ID, disabled.Disabled = "disabled", true
	w.putApp(disabled)
	faults := [][]string{
		{"client_id", ""},
		{"client_id", "nobody"},
		{"client_id", "disabled"},
		{"client_id", "stargazer\n"},
		{"client_id", strings.Repeat("a", 300)},
		{"redirect_uri", ""},
		{"redirect_uri", "https://evil.example/callback"},
		{"redirect_uri", "javascript:alert(1)"},
	}
	others := [][]string{
		nil, {"response_type", "token"}, {"prompt", "none"}, {"scope", "nonsense"}, {"code_challenge", ""}, {"request_uri", "https://evil.example/r"},
	}
	for _, fault := range faults {
		for _, other := range others {
			for _, who := range []string{"", "alice"} {
				response := w.authorize(who, good(stargazer, append(fault[:2:2], other...)...))
				if response.StatusCode != 400 || response.Header.Get("Location") != "" {
					t.Errorf("%q with %q as %q: %d to %q", fault, other, who, response.StatusCode, response.Header.Get("Location"))
				}
			}
		}
	}
	// A repeated one is neither of the two.
	for _, name := range []string{"client_id", "redirect_uri"} {
		values := good(stargazer)
		values.Add(name, values.Get(name))
		if response := w.authorize("alice", values); response.StatusCode != 400 || response.Header.Get("Location") != "" {
			t.Errorf("repeated %s: %d to %q", name, response.StatusCode, response.Header.Get("Location"))
		}
	}
}

// What is told to the app when client and redirect URI are good and a person is signed in.
func TestFaultsAreToldToTheApp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct {
		id, name string
		change   []string
		code     string
		words    string
	}{
		{"AZ-04", "implicit", []string{"response_type", "token"}, "unsupported_response_type", "code"},
		{"AZ-04", "hybrid", []string{"response_type", "code id_token"}, "unsupported_response_type", "code"},
		{"AZ-04", "no response type", []string{"response_type", ""}, "invalid_request", "response_type"},
		{"AZ-04", "fragment", []string{"response_mode", "fragment"}, "invalid_request", "query"},
		{"AZ-04", "form post", []string{"response_mode", "form_post"}, "invalid_request", "query"},
		{"AZ-05", "no PKCE", []string{"code_challenge", "", "code_challenge_method", ""}, "invalid_request", "add code_challenge and code_challenge_method=S256 (PKCE)"},
		{"AZ-05", "method without challenge", []string{"code_challenge", ""}, "invalid_request", "add code_challenge and code_challenge_method=S256 (PKCE)"},
		{"AZ-06", "plain", []string{"code_challenge_method", "plain"}, "invalid_request", "S256"},
		{"AZ-06", "plain by default", []string{"code_challenge_method", ""}, "invalid_request", "S256"},
		{"AZ-06", "S256 in other letters", []string{"code_challenge_method", "s256"}, "invalid_request", "S256"},
		{"AZ-06", "S512", []string{"code_challenge_method", "S512"}, "invalid_request", "S256"},
		{"AZ-05", "short challenge", []string{"code_challenge", challenge[:42]}, "invalid_request", "43"},
		{"AZ-05", "long challenge", []string{"code_challenge", challenge + "A"}, "invalid_request", "43"},
		{"AZ-05", "padded challenge", []string{"code_challenge", challenge[:42] + "="}, "invalid_request", "43"},
		{"AZ-05", "challenge with stray bits", []string{"code_challenge", challenge[:42] + "N"}, "invalid_request", "43"},
		{"AZ-05", "challenge of other characters", []string{"code_challenge", "+" + challenge[1:]}, "invalid_request", "43"},
		{"AZ-05", "challenge with a line break", []string{"code_challenge", challenge[:20] + "\n" + challenge[20:]}, "invalid_request", "43"},
		{"AZ-08", "nonce with a line break", []string{"nonce", "a\r\nb"}, "invalid_request", "ASCII"},
		{"AZ-18", "request object", []string{"request", "eyJ"}, "request_not_supported", "parameters"},
		{"AZ-18", "request URI", []string{"request_uri", "https://evil.example/r"}, "request_uri_not_supported", "parameters"},
		{"", "registration", []string{"registration", "{}"}, "registration_not_supported", "register"},
		{"AZ-19", "authorization details", []string{"authorization_details", "[]"}, "invalid_authorization_details", "scope"},
		{"AZ-20", "foreign resource", []string{"resource", "https://other.example"}, "invalid_target", "resource"},
		{"AZ-20", "resource in other letters", []string{"resource", "https://GRANTS.example"}, "invalid_target", "resource"},
		{"", "unknown scope", []string{"scope", "sql:read admin"}, "invalid_scope", "scopes_supported"},
		{"", "unknown warehouse", []string{"scope", "sql:read warehouse:other"}, "invalid_scope", "scopes_supported"},
		{"", "warehouse without SQL", []string{"scope", "openid warehouse:tickit"}, "invalid_scope", "sql:read"},
		{"", "nothing of use", []string{"scope", "offline_access"}, "invalid_scope", "at least one"},
		{"", "malformed scope", []string{"scope", "sql:read  openid"}, "invalid_scope", "one space"},
		{"", "prompt none and login", []string{"prompt", "none login"}, "invalid_request", "prompt"},
		{"", "unknown prompt", []string{"prompt", "dance"}, "invalid_request", "prompt"},
		{"", "max_age of words", []string{"max_age", "soon"}, "invalid_request", "max_age"},
		{"", "negative max_age", []string{"max_age", "-1"}, "invalid_request", "max_age"},
		{"", "no prompt, but a question", []string{"prompt", "none"}, "consent_required", "consent"},
		{"", "no prompt, but an old sign-in", []string{"prompt", "none", "max_age", "60"}, "login_required", "sign in"},
	} {
		got := answer(t, w.authorize("alice", good(stargazer, c.change...)))
		if got.Get("error") != c.code || !strings.Contains(got.Get("error_description"), c.words) {
			t.Errorf("%s %s: %s %q, want %s with %q", c.id, c.name, got.Get("error"), got.Get("error_description"), c.code, c.words)
		}
		// AZ-07, AZ-08: errors carry iss and state too, and nothing else.
		if got.Get("iss") != issuerURL || got.Get("state") != good(stargazer).Get("state") || len(got) != 4 {
			t.Errorf("%s: answer %q", c.name, got)
		}
	}
}

// AZ-07, AZ-08: the answer of a good request.
func TestAZ07IssAndAZ08StateComeBackExactly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, state := range []string{"", "a", "a b&c=d#e%20?", strings.Repeat("s", 500), "\"'<>\\{}|^`"} {
		response := w.decide("alice", question(t, w.authorize("alice", good(observer, "state", state, "prompt", "consent"))), "allow")
		got := answer(t, response)
		if got.Get("state") != state || got.Get("iss") != issuerURL || got.Get("code") == "" || got.Get("tenant") != "1" {
			t.Errorf("state %q: %q", state, response.Header.Get("Location"))
		}
		if !strings.HasPrefix(response.Header.Get("Location"), observer.RedirectURIs[0]+"&") {
			t.Errorf("redirected to %q", response.Header.Get("Location"))
		}
		if state == "" && got.Has("state") {
			t.Error("an empty state came back: it counts as absent")
		}
	}
	// Not printable: neither echoed nor used.
	got := answer(t, w.authorize("alice", good(stargazer, "state", "a\r\nb")))
	if got.Get("error") != "invalid_request" || got.Has("state") {
		t.Errorf("a state with a line break: %q", got)
	}
}

// AZ-08, T19: every parameter twice, in the query, in the body, and in both.
func TestAZ08RepeatedParametersAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	all := good(stargazer, "response_mode", "query", "nonce", "n", "prompt", "consent", "max_age", "100000", "login_hint", "x", "resource", issuerURL, "made_up", "x")
	if response := w.authorize("alice", all); response.StatusCode != 200 {
		t.Fatalf("the request itself: %d %s", response.StatusCode, response.Header.Get("Location"))
	}
	for name, value := range all {
		for _, second := range []string{value[0], "other", ""} {
			values := url.Values{}
			for n, v := range all {
				values[n] = append([]string{}, v...)
			}
			values.Add(name, second)
			response := w.authorize("alice", values)
			if name == "client_id" || name == "redirect_uri" {
				if response.StatusCode != 400 || response.Header.Get("Location") != "" {
					t.Errorf("%s twice: %d", name, response.StatusCode)
				}
				continue
			}
			want := "invalid_request"
			if name == "resource" {
				want = "invalid_target"
			}
			got := answer(t, response)
			if got.Get("error") != want || name == "state" && got.Has("state") {
				t.Errorf("%s twice, then %q: %q", name, second, got)
			}
			// Posted, it never gets as far as a redirect to the app.
			if posted := w.request("POST", "/oauth2/authorize", "alice", values); name != "resource" && posted.StatusCode != 400 {
				t.Errorf("%s twice in a post: %d", name, posted.StatusCode)
			}
		}
		if both := w.request("POST", "/oauth2/authorize?"+url.Values{name: value}.Encode(), "alice", all); both.StatusCode != 400 {
			t.Errorf("%s in query and body: %d", name, both.StatusCode)
		}
	}
}

func TestPostedRequestBecomesAGet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	response := w.request("POST", "/oauth2/authorize", "", good(stargazer))
	if response.StatusCode != 303 || response.Header.Get("Location") != "/oauth2/authorize?"+good(stargazer).Encode() {
		t.Errorf("%d to %q", response.StatusCode, response.Header.Get("Location"))
	}
}

func TestEmptyParameterIsAbsentAndUnknownIgnored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	values := good(stargazer)
	for _, name := range []string{"response_mode", "request", "request_uri", "registration", "prompt", "max_age", "resource", "nonce", "authorization_details"} {
		values.Set(name, "")
	}
	values.Set("made_up", "x")
	if response := w.authorize("alice", values); response.StatusCode != 200 {
		t.Errorf("%d to %q, want the consent page", response.StatusCode, response.Header.Get("Location"))
	}
}

// AZ-13: nobody is redirected to an app before they are signed in.
func TestAZ13NobodyIsRedirectedBeforeSignIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, change := range [][]string{{"response_type", "token"}, {"scope", "nonsense"}, {"code_challenge", ""}, {"prompt", "none", "scope", "nonsense"}, {"state", "\n"}} {
		response := w.authorize("", good(stargazer, change...))
		if response.StatusCode != 400 || response.Header.Get("Location") != "" {
			t.Errorf("%q: %d to %q, want a page", change, response.StatusCode, response.Header.Get("Location"))
		}
	}
	page := read(t, w.authorize("", good(stargazer, "code_challenge", "", "code_challenge_method", "")))
	if !strings.Contains(page, "add code_challenge and code_challenge_method=S256 (PKCE)") {
		t.Errorf("the page does not say what to add:\n%s", page)
	}
	if response := w.authorize("", good(stargazer)); response.StatusCode != 303 || response.Header.Get("Location") != "/signin" {
		t.Errorf("a good request: %d to %q, want the sign-in", response.StatusCode, response.Header.Get("Location"))
	}
	if want := "/oauth2/authorize?" + good(stargazer).Encode(); len(w.signIn.begun) != 1 || w.signIn.begun[0] != want {
		t.Errorf("the sign-in leads back to %q, want %q", w.signIn.begun, want)
	}
	// The one exception, for apps that an administrator registered.
	if got := answer(t, w.authorize("", good(stargazer, "prompt", "none"))); got.Get("error") != "login_required" {
		t.Errorf("prompt=none: %q", got)
	}
	unreviewed := stargazer
	unreviewed.ID, unreviewed.Origin = "unreviewed", "elsewhere"
	w.putApp(unreviewed)
	if response := w.authorize("", good(unreviewed, "prompt", "none")); response.StatusCode != 400 || response.Header.Get("Location") != "" {
		t.Errorf("prompt=none of an app that nobody reviewed: %d to %q", response.StatusCode, response.Header.Get("Location"))
	}
}

func TestFreshSignInIsAskedForOnce(t *testing.T) {
	t.Parallel()
	for _, change := range [][]string{{"prompt", "login"}, {"prompt", "select_account"}, {"max_age", "60"}, {"max_age", "0"}} {
		w := newWorld(t)
		if response := w.authorize("alice", good(stargazer, change...)); response.Header.Get("Location") != "/signin" {
			t.Fatalf("%q: %d, want the sign-in", change, response.StatusCode)
		}
		// Back from an IdP that did not ask again: the app is told, and there is no loop.
		back := w.request("GET", w.signIn.begun[0], "alice", nil)
		if got := answer(t, back); got.Get("error") != "login_required" {
			t.Errorf("%q, not signed in anew: %q", change, got)
		}
		// Back from one that did.
		w.signIn.fresh = true
		if back := w.request("GET", w.signIn.begun[0], "alice", nil); back.StatusCode != 200 {
			t.Errorf("%q, signed in anew: %d to %q", change, back.StatusCode, back.Header.Get("Location"))
		}
		w.signIn.fresh = false
		w.pass(16 * 60e9)
		if late := w.request("GET", w.signIn.begun[0], "alice", nil); late.Header.Get("Location") != "/signin" {
			t.Errorf("%q, much later: %d", change, late.StatusCode)
		}
	}
}

// Nobody is signed in here, but at the IdP, since long ago: it is asked once more, and then not
// again.
func TestOldSignInAtTheIdPIsAskedAnewOnce(t *testing.T) {
	t.Parallel()
	for _, change := range [][]string{{"prompt", "login"}, {"max_age", "60"}} {
		w := newWorld(t)
		w.authorize("", good(stargazer, change...))
		if back := w.request("GET", w.signIn.begun[0], "alice", nil); back.Header.Get("Location") != "/signin" {
			t.Fatalf("%q: %d to %q, want the sign-in", change, back.StatusCode, back.Header.Get("Location"))
		}
		if got := answer(t, w.request("GET", w.signIn.begun[1], "alice", nil)); got.Get("error") != "login_required" {
			t.Errorf("%q: %q", change, got)
		}
		w.signIn.fresh = true
		for _, path := range w.signIn.begun {
			if back := w.request("GET", path, "alice", nil); back.StatusCode != 200 {
				t.Errorf("%q, signed in anew: %d", change, back.StatusCode)
			}
		}
	}
}

func TestTooLongRequestGetsAPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, method := range []string{"GET", "POST"} {
		target, form := "/oauth2/authorize?"+good(stargazer, "state", strings.Repeat("s", 2<<10)).Encode(), url.Values(nil)
		want := http.StatusRequestURITooLong
		if method == "POST" {
			target, form, want = "/oauth2/authorize", good(stargazer, "state", strings.Repeat("s", 17<<10)), http.StatusRequestEntityTooLarge
		}
		if response := w.request(method, target, "alice", form); response.StatusCode != want {
			t.Errorf("%s: %d, want %d", method, response.StatusCode, want)
		}
	}
	for _, query := range []string{"%zz", "client_id=a;redirect_uri=b", "a=%"} {
		if response := w.request("GET", "/oauth2/authorize?"+query, "alice", nil); response.StatusCode != 400 {
			t.Errorf("%q: %d", query, response.StatusCode)
		}
	}
}

// AZ-09, AZ-10, AZ-11, AZ-12: what surrounds the pages.
func TestPagesAreConfined(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, response := range map[string]*http.Response{
		"consent":     w.authorize("alice", good(stargazer)),
		"error":       w.authorize("alice", good(stargazer, "client_id", "nobody")),
		"fault":       w.authorize("", good(stargazer, "scope", "nonsense")),
		"expired":     w.decide("alice", "nonsense", "allow"),
		"connections": w.request("GET", "/connections", "alice", nil),
		"home":        w.request("GET", "/", "", nil),
		"wrong verb":  w.request("DELETE", "/oauth2/authorize", "alice", nil, "Origin", "https://evil.example"),
	} {
		header := response.Header
		if !strings.Contains(header.Get("Content-Security-Policy"), "frame-ancestors 'none'") || header.Get("X-Frame-Options") != "DENY" {
			t.Errorf("AZ-11 %s: can be framed", name)
		}
		if header.Get("Referrer-Policy") != "no-referrer" || !strings.Contains(header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("AZ-12 %s: leaks a referrer, or loads from elsewhere", name)
		}
		if header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("AZ-09 %s: can be read by other origins", name)
		}
		if header.Get("Cache-Control") != "no-store" || header.Get("X-Content-Type-Options") != "nosniff" ||
			header.Get("Strict-Transport-Security") == "" || header.Get("Cross-Origin-Opener-Policy") == "" {
			t.Errorf("CR-04 %s: %v", name, header)
		}
	}
	for name, response := range map[string]*http.Response{
		"allow":   w.decide("alice", question(t, w.authorize("alice", good(public))), "allow"),
		"deny":    w.decide("alice", question(t, w.authorize("alice", good(public))), "deny"),
		"fault":   w.authorize("alice", good(stargazer, "scope", "nonsense")),
		"by post": w.request("POST", "/oauth2/authorize", "", good(stargazer)),
	} {
		if response.StatusCode != 303 || response.Header.Get("Cache-Control") != "no-store" || response.Header.Get("Referrer-Policy") != "no-referrer" || read(t, response) != "" {
			t.Errorf("AZ-10 %s: %d %v", name, response.StatusCode, response.Header)
		}
		if response.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("AZ-09 %s: can be read by other origins", name)
		}
	}
}
