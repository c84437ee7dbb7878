package oauth_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

// T20, past failure 19, CR-05: hostile text in every parameter of every endpoint comes back
// nowhere, and breaks no header.
func TestT20NothingIsReflected(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const mark = "svg-onload-7731"
	hostile := []string{`"><svg onload=` + mark + `>`, "a\r\nX-Injected: " + mark + "\r\n\r\n<p>", mark + "\x00\xff", "{{.}}" + mark, "javascript:" + mark}
	check := func(what string, response *http.Response) {
		t.Helper()
		// The one place where a request goes into a page is the address for coming back to it,
		// form-encoded, in the form for switching to another person.
		body := returnTo.ReplaceAllString(read(t, response), "")
		if strings.Contains(body, mark) || strings.Contains(body, "goroutine ") || strings.Contains(body, ".go:") {
			t.Errorf("%s: reflected or traced: %s", what, body)
		}
		for name, values := range response.Header {
			for _, value := range values {
				if name == "X-Injected" || strings.ContainsAny(value, "\r\n<>\"") && name != "Www-Authenticate" || name != "Location" && strings.Contains(value, mark) {
					t.Errorf("%s: header %s: %q", what, name, value)
				}
			}
		}
		if response.StatusCode == 500 {
			t.Errorf("%s: 500", what)
		}
	}
	authorize := good(stargazer, "response_mode", "query", "nonce", "n", "prompt", "consent", "max_age", "1000000", "login_hint", "x", "ui_locales", "x",
		"resource", issuerURL, "request", "", "id_token_hint", "x")
	token := proof(stargazer, url.Values{
		"grant_type": {"authorization_code"}, "code": {"x"}, "redirect_uri": {stargazer.RedirectURIs[0]}, "code_verifier": {verifier},
		"refresh_token": {"x"}, "scope": {"x"}, "resource": {issuerURL}, "token": {"x"}, "token_type_hint": {"x"}, "decision": {"x"},
	})
	for _, text := range hostile {
		for _, name := range []string{
			"client_id", "redirect_uri", "response_type", "response_mode", "code_challenge", "code_challenge_method", "scope", "state", "nonce",
			"prompt", "max_age", "login_hint", "ui_locales", "resource", "request", "request_uri", "registration", "id_token_hint", "authorization_details", text,
		} {
			for _, who := range []string{"", "alice"} {
				values := with(authorize, name, text)
				check(name+" at authorize as "+who, w.authorize(who, values))
				check(name+" posted to authorize", w.request("POST", "/oauth2/authorize", who, values))
			}
		}
		for name := range token {
			for _, path := range []string{"/oauth2/token", "/oauth2/revoke", "/oauth2/authorize/decision", "/connections"} {
				check(name+" at "+path, w.request("POST", path, "alice", with(token, name, text)))
				check(name+" in the query of "+path, w.request("POST", path+"?"+url.Values{name: {text}}.Encode(), "alice", token))
			}
		}
		check("bearer", w.request("GET", "/oauth2/userinfo", "", nil, "Authorization", "Bearer "+strings.Map(printable, text)))
		check("basic", w.request("POST", "/oauth2/token", "", token, "Authorization", "Basic "+strings.Map(printable, text)))
		check("origin", w.request("POST", "/connections", "alice", token, "Origin", strings.Map(printable, text)))
	}
}

var returnTo = regexp.MustCompile(`name="return_to" value="/oauth2/authorize\?[A-Za-z0-9%._&#;=-]*"`)

func with(values url.Values, name, text string) url.Values {
	changed := url.Values{}
	for n, v := range values {
		changed[n] = v
	}
	changed.Set(name, text)
	return changed
}

func printable(c rune) rune {
	if c < 0x20 || c > 0x7e {
		return -1
	}
	return c
}

// RS-09, T11: no secret of any walk is in the log or in the audit record.
func TestRS09SecretsAreNotLogged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var secrets []string
	for _, app := range []grant.App{stargazer, public} {
		code := w.code("alice", good(app, "scope", "sql:read offline_access openid"))
		got := w.redeem(app, code)
		next := w.refresh(app, got.string("refresh_token"))
		secrets = append(secrets, code, got.string("access_token"), got.string("refresh_token"), got.string("id_token"),
			next.string("access_token"), next.string("refresh_token"), secretOf(app.ID))
		for _, down := range []error{errDown, nil} {
			w.store.fail(down)
			w.redeem(app, code)
			w.refresh(app, next.string("refresh_token"))
			w.revoke(app, next.string("refresh_token"))
			w.request("GET", "/oauth2/userinfo?access_token="+next.string("access_token"), "", nil)
			w.request("GET", "/oauth2/userinfo", "", nil, "Authorization", "Bearer "+next.string("access_token"))
			w.request("GET", "/oauth2/authorize?code="+code, "alice", nil)
			w.post("/oauth2/token", url.Values{"client_id": {app.ID}, "client_secret": {"sg_cs_wrong-canary"}, "grant_type": {"password"}, "password": {"sg_cs_wrong-canary"}})
		}
	}
	secrets = append(secrets, verifier, "sg_cs_wrong-canary")
	log := w.log.String()
	if !strings.Contains(log, "canary: dial tcp") {
		t.Error("the log does not say what was wrong inside")
	}
	for _, secret := range secrets {
		if secret == "" || strings.Contains(log, secret) {
			t.Errorf("%.6s… is empty or in the log", secret)
		}
	}
	for _, entry := range w.audit.records {
		for _, secret := range secrets {
			if strings.Contains(entry.Kind+entry.Detail+entry.Outcome+entry.Grant+entry.App+entry.Person, secret) {
				t.Errorf("%.6s… is in the record", secret)
			}
		}
		if entry.Tenant != grant.DefaultTenant || entry.App == "" || entry.Grant == "" || entry.RequestID == "" || entry.Time.IsZero() {
			t.Errorf("the record lacks something: %+v", entry)
		}
	}
}
