package connect_test

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/connect"
)

func TestAnswersThatAreRefusedBeforeTheIssuerIsAsked(t *testing.T) {
	t.Parallel()
	set := func(name string, values ...string) func(*issuer, *app, url.Values) {
		return func(_ *issuer, _ *app, answer url.Values) {
			if answer[name] = values; values == nil {
				delete(answer, name)
			}
		}
	}
	foreign := func(_ *issuer, a *app, _ url.Values) { clear(a.cookies) }
	for name, c := range map[string]struct {
		change func(*issuer, *app, url.Values)
		want   connect.Kind
	}{
		"no state":                      {set("state"), connect.Foreign},
		"an empty state":                {set("state", ""), connect.Foreign},
		"another state":                 {set("state", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), connect.Foreign},
		"state twice":                   {func(_ *issuer, _ *app, v url.Values) { v.Add("state", v.Get("state")) }, connect.Foreign},
		"code twice":                    {func(_ *issuer, _ *app, v url.Values) { v.Add("code", "other") }, connect.Foreign},
		"iss twice":                     {func(_ *issuer, _ *app, v url.Values) { v.Add("iss", v.Get("iss")) }, connect.Foreign},
		"error twice":                   {set("error", "access_denied", "access_denied"), connect.Foreign},
		"another browser":               {foreign, connect.Foreign},
		"iss of another issuer":         {set("iss", "https://idp.example"), connect.Refused},
		"iss empty":                     {set("iss", ""), connect.Refused},
		"no iss, though it is promised": {set("iss"), connect.Refused},
		"an error of another issuer": {func(i *issuer, a *app, v url.Values) {
			set("iss", "https://idp.example")(i, a, v)
			v.Set("error", "access_denied")
		}, connect.Refused},
		"neither code nor error":     {set("code"), connect.Refused},
		"an empty code":              {set("code", ""), connect.Refused},
		"access_denied":              {set("error", "access_denied"), connect.Denied},
		"login_required":             {set("error", "login_required"), connect.Denied},
		"consent_required":           {set("error", "consent_required"), connect.Denied},
		"server_error":               {set("error", "server_error"), connect.Unavailable},
		"temporarily_unavailable":    {set("error", "temporarily_unavailable"), connect.Unavailable},
		"invalid_scope":              {set("error", "invalid_scope"), connect.Refused},
		"an error with hostile text": {set("error", "<script>\r\n"), connect.Refused},
		"ten minutes later":          {func(i *issuer, _ *app, _ url.Values) { i.pass(10 * time.Minute) }, connect.Expired},
		"an hour later":              {func(i *issuer, _ *app, _ url.Values) { i.pass(time.Hour) }, connect.Foreign},
		"a cookie of another key": {func(_ *issuer, a *app, _ url.Values) {
			for _, cookie := range a.cookies {
				cookie.Value = flip(cookie.Value)
			}
		}, connect.Foreign},
		"a cookie of another sign-in under this name": {func(_ *issuer, a *app, v url.Values) {
			var mine string
			for name := range a.cookies {
				mine = name
			}
			other := newAppAt(a)
			for _, cookie := range other.cookies {
				a.cookies[mine].Value = cookie.Value
			}
			_ = v
		}, connect.Foreign},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newIssuer(t)
			a := newApp(t, i, nil)
			answer := i.authorize(a.login(t, "/login"))
			c.change(i, a, answer)
			response := a.callback(answer)
			a.refused(t, name, c.want)
			if n := i.count("/token"); n != 0 {
				t.Errorf("the issuer was asked %d times", n)
			}
			if location := response.Header.Get("Location"); location != "" {
				t.Errorf("sent on to %s", location)
			}
			if text := a.failures[0].Error(); strings.ContainsAny(text, "\r\n") {
				t.Errorf("the error holds what came: %q", text)
			}
		})
	}
}

// newAppAt begins another sign-in at the same client, in another browser.
func newAppAt(a *app) *app {
	other := &app{Client: a.Client, issuer: a.issuer, cookies: map[string]*http.Cookie{}}
	other.do(other.Login, http.MethodGet, "/login")
	return other
}

func TestACallbackWorksOnce(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	a := newApp(t, i, nil)
	request := a.login(t, "/login")
	var transaction *http.Cookie
	for _, cookie := range a.cookies {
		transaction = cookie
	}
	answer := i.authorize(request)
	if got := a.callback(answer); got.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d, %v", got.StatusCode, a.failures)
	}
	session := a.cookies["connect"].Value
	for name, cookie := range map[string]*http.Cookie{"without its cookie": nil, "with a copy of its cookie": transaction} {
		if cookie != nil {
			a.cookies[cookie.Name] = cookie
		}
		a.callback(answer)
		if last := a.failures[len(a.failures)-1]; last.Kind != connect.Expired {
			t.Errorf("%s: %v", name, last)
		}
	}
	if n := i.count("/token"); n != 1 {
		t.Errorf("the issuer was asked %d times", n)
	}
	if _, err := a.session(); err != nil || a.cookies["connect"].Value != session {
		t.Errorf("a replay has ended the session: %v", err)
	}
}

// An answer that comes without its sign-in's cookie was finished before if this browser is signed in
// by it, and is foreign otherwise.
func TestAnswersThatComeAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		browser func(*testing.T, *app) *app // where it comes again
		want    connect.Kind
	}{
		"to the same browser": {func(_ *testing.T, a *app) *app { return a }, connect.Expired},
		"to the same browser, signed in anew since": {func(t *testing.T, a *app) *app {
			a.signIn(t)
			return a
		}, connect.Expired},
		"to the same browser, but another process": {func(t *testing.T, a *app) *app {
			other := newApp(t, a.issuer, func(c *connect.Config) { c.Sessions = a.store })
			other.cookies = a.cookies
			return other
		}, connect.Expired},
		"to another browser": {func(_ *testing.T, a *app) *app {
			return &app{Client: a.Client, issuer: a.issuer, cookies: map[string]*http.Cookie{}}
		}, connect.Foreign},
		"to another browser, and another process": {func(t *testing.T, a *app) *app {
			return newApp(t, a.issuer, func(c *connect.Config) { c.Sessions = a.store })
		}, connect.Foreign},
		"to the browser of somebody who is signed in at another process": {func(t *testing.T, a *app) *app {
			other := newApp(t, a.issuer, func(c *connect.Config) { c.Sessions = a.store })
			other.signIn(t)
			return other
		}, connect.Foreign},
		"after signing out": {func(_ *testing.T, a *app) *app {
			a.do(a.Logout, http.MethodPost, "http://localhost:7421/logout")
			return a
		}, connect.Foreign},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newIssuer(t)
			var failure *connect.Error
			a := newApp(t, i, func(config *connect.Config) {
				config.OnError = func(_ http.ResponseWriter, _ *http.Request, failed *connect.Error) { failure = failed }
			})
			answer := i.authorize(a.login(t, "/login"))
			a.callback(answer)
			if _, err := a.session(); err != nil {
				t.Fatal(err)
			}
			again := c.browser(t, a)
			asked := i.count("/token")
			again.callback(answer)
			if len(again.failures) > 0 {
				failure = again.failures[0]
			}
			if failure == nil || failure.Kind != c.want {
				t.Errorf("%v, want kind %d", failure, c.want)
			}
			if n := i.count("/token") - asked; n != 0 {
				t.Errorf("the issuer was asked %d times", n)
			}
		})
	}
}

// A stolen answer, in the thief's browser, does nothing; the person's own sign-in goes on.
func TestAnAnswerOfSomebodyElseSignsNobodyIn(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	mallory, ann := newApp(t, i, nil), newApp(t, i, nil)
	answer := i.authorize(mallory.login(t, "/login"))
	ann.login(t, "/login")
	ann.callback(answer)
	ann.refused(t, "mallory's answer in ann's browser", connect.Foreign)
}

func TestWhatTheTokenEndpointAnswers(t *testing.T) {
	t.Parallel()
	respond := func(status int, contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	const kind = "application/json"
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   connect.Kind
	}{
		"a code that is too old": {respond(400, kind, `{"error":"invalid_grant"}`), connect.Expired},
		"a wrong secret":         {respond(401, kind, `{"error":"invalid_client"}`), connect.Refused},
		"another error":          {respond(400, kind, `{"error":"invalid_request"}`), connect.Refused},
		"500":                    {respond(500, kind, `{}`), connect.Unavailable},
		"503 that says no":       {respond(503, kind, `{"error":"invalid_grant"}`), connect.Unavailable},
		"429":                    {respond(429, kind, `{}`), connect.Unavailable},
		"HTML":                   {respond(200, "text/html", `<html>`), connect.Refused},
		"no token":               {respond(200, kind, `{"token_type":"Bearer"}`), connect.Refused},
		"another type of token":  {respond(200, kind, `{"access_token":"a","token_type":"mac"}`), connect.Refused},
		"no ID token":            {respond(200, kind, `{"access_token":"a","token_type":"Bearer"}`), connect.Refused},
		"a token twice":          {respond(200, kind, `{"access_token":"a","access_token":"b","token_type":"Bearer"}`), connect.Refused},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://evil.example/", http.StatusTemporaryRedirect)
		}, connect.Refused},
		"an endless answer": {respond(200, kind, `{"access_token":"`+strings.Repeat("a", 2<<20)+`"}`), connect.Refused},
		"nothing":           {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, connect.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newIssuer(t)
			a := newApp(t, i, nil)
			i.token = c.answer
			a.callback(i.authorize(a.login(t, "/login")))
			a.refused(t, name, c.want)
		})
	}
}

func TestTheExchangeCarriesWhatItMust(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{"secret of the app", ""} {
		i := newIssuer(t)
		a := newApp(t, i, func(c *connect.Config) { c.ClientSecret = secret })
		var user, password string
		i.token = func(w http.ResponseWriter, r *http.Request) {
			user, password, _ = r.BasicAuth()
			i.exchange(w, r)
		}
		a.signIn(t)
		form := i.asked[0]
		if form.Get("code_verifier") == "" || form.Get("redirect_uri") != "http://localhost:7421/callback" || form.Has("client_secret") {
			t.Errorf("asked %v", form)
		}
		if want, _ := url.QueryUnescape(password); want != secret || secret == "" && form.Get("client_id") != clientID || secret != "" && user != clientID {
			t.Errorf("user %q, password %q, form %v", user, password, form)
		}
	}
}

// What people see where the app has no page of its own.
func TestPlainPages(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	const hostile = `"><script>alert(1)</script>`
	for name, c := range map[string]struct {
		prepare func(*testing.T, *app) url.Values
		status  int
		says    string
	}{
		"refused": {func(t *testing.T, a *app) url.Values {
			answer := i.authorize(a.login(t, "/login?return_to=/x"))
			answer.Set("iss", hostile)
			return answer
		}, 502, "could not be signed in"},
		"denied": {func(t *testing.T, a *app) url.Values {
			answer := i.authorize(a.login(t, "/login"))
			answer.Set("error", "access_denied")
			answer.Set("error_description", hostile)
			return answer
		}, 403, "denied"},
		"foreign": {func(*testing.T, *app) url.Values { return url.Values{"state": {hostile}, "code": {hostile}} }, 400, "is not known here"},
		"expired": {func(t *testing.T, a *app) url.Values {
			answer := i.authorize(a.login(t, "/login"))
			a.callback(answer)
			return answer
		}, 400, "expired"},
		"unavailable": {func(t *testing.T, a *app) url.Values {
			answer := i.authorize(a.login(t, "/login"))
			answer.Set("error", "server_error")
			return answer
		}, 503, "does not answer"},
		"late": {func(t *testing.T, a *app) url.Values {
			answer := i.authorize(a.login(t, "/login"))
			i.pass(11 * time.Minute)
			return answer
		}, 400, "took too long"},
	} {
		a := newApp(t, i, func(config *connect.Config) { config.OnError = nil })
		checkPage(t, name, a.callback(c.prepare(t, a)), c.status, c.says)
	}
}

// checkPage checks that a page says what it should, and has nothing of the request in it.
func checkPage(t *testing.T, name string, page *http.Response, status int, says string) {
	t.Helper()
	raw, err := io.ReadAll(page.Body)
	body := string(raw)
	if err != nil || page.StatusCode != status || !strings.Contains(body, says) || strings.Contains(body, "script") || !strings.Contains(body, `lang="en"`) {
		t.Errorf("%s: %d, %v\n%s", name, page.StatusCode, err, body)
	}
	for header, want := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
		"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
	} {
		if got := page.Header.Get(header); got != want {
			t.Errorf("%s: %s is %q, want %q", name, header, got, want)
		}
	}
}

// Those of Login and Logout have the same headers as those of Callback.
func TestPlainPagesBesideTheCallback(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	store := &failing{SessionStore: connect.NewMemorySessions()}
	a := newApp(t, i, func(c *connect.Config) { c.OnError, c.Sessions, c.AfterLogin = nil, store, "/home?tab=1&day=<2>" })
	const tooLong = "This link is too long"
	checkPage(t, "a long path", a.do(a.Login, http.MethodGet, "/login?return_to=/script"+strings.Repeat("x", 4000)), 414, tooLong)
	a.signIn(t)
	store.err = errors.New("the store is down")
	checkPage(t, "signing out without a store", a.do(a.Logout, http.MethodPost, "http://localhost:7421/logout"), 503, "Nothing was changed")
	store.err = nil
	if _, err := a.session(); err != nil {
		t.Errorf("it was said that nothing has changed: %v", err)
	}
	i.set(func() { i.metadata = map[string]any{"issuer": "https://idp.example"} })
	i.pass(2 * time.Hour)
	away := newApp(t, i, func(c *connect.Config) { c.OnError, c.AfterLogin = nil, "/home?tab=1&day=<2>" })
	checkPage(t, "an issuer that is away", away.do(away.Login, http.MethodGet, "/login?return_to=/script"), 503, `<a href="/home?tab=1&amp;day=&lt;2&gt;">`)
}

func TestAPathThatFitsNoCookieIsSaid(t *testing.T) {
	t.Parallel()
	a := newApp(t, newIssuer(t), nil)
	a.do(a.Login, http.MethodGet, "/login?return_to=/"+strings.Repeat("x", 4000))
	if len(a.failures) != 1 || a.failures[0].Kind != connect.TooLong || len(a.cookies) != 0 {
		t.Errorf("%v, cookies %d", a.failures, len(a.cookies))
	}
}

func TestErrorsKeepTheirCause(t *testing.T) {
	t.Parallel()
	cause := errors.New("the cause")
	if failed := error(&connect.Error{Err: cause}); !errors.Is(failed, cause) || !strings.Contains(failed.Error(), "the cause") {
		t.Error(failed)
	}
}
