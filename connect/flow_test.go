package connect_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/connect"
)

func TestWholeFlow(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	store := &spy{SessionStore: connect.NewMemorySessions()}
	a := newApp(t, i, func(c *connect.Config) { c.Sessions = store })

	request := a.login(t, "/login?return_to=/reports%3Fday=1")
	for name, want := range map[string]string{
		"response_type": "code", "client_id": clientID, "redirect_uri": "http://localhost:7421/callback", "scope": "openid offline_access sql:read",
		"code_challenge_method": "S256",
	} {
		if request.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, request.Get(name), want)
		}
	}
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		if len(request.Get(name)) < 43 {
			t.Errorf("%s is %q: less than 256 bits", name, request.Get(name))
		}
	}
	response := a.callback(i.authorize(request))
	if location := response.Header.Get("Location"); response.StatusCode != http.StatusSeeOther || location != "/reports?day=1" {
		t.Fatalf("%d to %q, %v", response.StatusCode, location, a.failures)
	}
	if response.Header.Get("Cache-Control") != "no-store" || response.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("headers of the callback: %v", response.Header)
	}
	session, err := a.session()
	if err != nil {
		t.Fatal(err)
	}
	who := session.Identity()
	if who.Subject != "idp|ann" || who.Name != "Ann Analyst" || who.Email != "ann@example.com" || !who.EmailVerified || who.Username != "ann" || who.Issuer != i.server.URL {
		t.Errorf("identity %+v", who)
	}
	token, err := session.Token(t.Context())
	if err != nil || !strings.HasPrefix(token, "access-") {
		t.Errorf("token %q, %v", token, err)
	}
	for _, cookie := range a.cookies {
		if strings.Contains(cookie.Value, "access-") || strings.Contains(cookie.Value, "refresh-") {
			t.Errorf("the browser has a token: %s", cookie.Name)
		}
		for _, id := range store.ids {
			if strings.Contains(cookie.Value, id) {
				t.Error("the store knows the cookie's value")
			}
		}
	}
	for _, data := range store.saved {
		if bytes.Contains(data, []byte("access-")) || bytes.Contains(data, []byte("ann")) {
			t.Error("the store sees what it keeps")
		}
	}
	if len(a.cookies) != 1 {
		t.Errorf("cookies left: %v", a.cookies)
	}
}

func TestCookies(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	for _, c := range []struct {
		redirect, prefix string
		secure           bool
	}{
		{"http://localhost:7421/callback", "connect", false},
		{"https://app.example/callback", "__Host-connect", true},
	} {
		a := newApp(t, i, func(config *connect.Config) { config.RedirectURL = c.redirect })
		request := a.login(t, "/login")
		for name, cookie := range a.cookies {
			if !strings.HasPrefix(name, c.prefix+"_tx_") || strings.Contains(name+cookie.Value, request.Get("state")) {
				t.Errorf("%s: transaction cookie %s", c.redirect, name)
			}
			checkCookie(t, cookie, c.secure)
		}
		a.callback(i.authorize(request))
		if cookie := a.cookies[c.prefix]; cookie == nil {
			t.Errorf("%s: no session cookie among %v", c.redirect, a.cookies)
		} else {
			checkCookie(t, cookie, c.secure)
		}
	}
}

func checkCookie(t *testing.T, cookie *http.Cookie, secure bool) {
	t.Helper()
	if !cookie.HttpOnly || cookie.Secure != secure || cookie.Path != "/" || cookie.Domain != "" || cookie.SameSite != http.SameSiteLaxMode || cookie.MaxAge <= 0 {
		t.Errorf("cookie %s", cookie.Raw)
	}
}

func TestSessionCookieChangesAtSignIn(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	a := newApp(t, i, nil)
	a.signIn(t)
	before := a.cookies["connect"]
	a.signIn(t)
	if a.cookies["connect"].Value == before.Value {
		t.Error("the session's id stays the same")
	}
	request := httptest.NewRequest(http.MethodGet, "/", nil)
	request.AddCookie(before)
	if _, err := a.Session(request); !errors.Is(err, connect.ErrSignedOut) {
		t.Errorf("the session before goes on: %v", err)
	}
}

func TestTwoTabsSignInAtOnce(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	a := newApp(t, i, nil)
	one, two := a.login(t, "/login?return_to=/one"), a.login(t, "/login?return_to=/two")
	for _, c := range []struct {
		request url.Values
		want    string
	}{{two, "/two"}, {one, "/one"}} {
		if got := a.callback(i.authorize(c.request)); got.Header.Get("Location") != c.want {
			t.Errorf("%d to %q, want %s", got.StatusCode, got.Header.Get("Location"), c.want)
		}
	}
}

func TestSignInsThatWereLeftAreBounded(t *testing.T) {
	t.Parallel()
	a := newApp(t, newIssuer(t), nil)
	for range 20 {
		a.login(t, "/login")
	}
	if len(a.cookies) > 4 {
		t.Errorf("%d cookies", len(a.cookies))
	}
}

func TestLogout(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	a := newApp(t, i, nil)
	a.signIn(t)
	for _, c := range []struct {
		method, header, value string
		status                int
	}{
		{http.MethodGet, "Sec-Fetch-Site", "same-origin", 405},
		{http.MethodHead, "Sec-Fetch-Site", "same-origin", 405},
		{http.MethodPost, "Sec-Fetch-Site", "cross-site", 403},
		{http.MethodPost, "Sec-Fetch-Site", "same-site", 403},
		{http.MethodPost, "Origin", "https://evil.example", 403},
		{http.MethodPost, "Origin", "http://localhost:7420", 403},
		{http.MethodPost, "Origin", "null", 403},
	} {
		if got := a.do(a.Logout, c.method, "http://localhost:7421/logout", c.header, c.value); got.StatusCode != c.status {
			t.Errorf("%s with %s %s: %d, want %d", c.method, c.header, c.value, got.StatusCode, c.status)
		}
		if _, err := a.session(); err != nil {
			t.Fatalf("signed out by that: %v", err)
		}
	}
	held := a.cookies["connect"]
	got := a.do(a.Logout, http.MethodPost, "http://localhost:7421/logout", "Sec-Fetch-Site", "same-origin")
	if got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != "/bye" || len(a.cookies) != 0 {
		t.Errorf("%d to %q, cookies %v", got.StatusCode, got.Header.Get("Location"), a.cookies)
	}
	a.cookies["connect"] = held
	if _, err := a.session(); !errors.Is(err, connect.ErrSignedOut) {
		t.Errorf("the cookie still works: %v", err)
	}
	if len(i.revoked) != 1 || !strings.HasPrefix(i.revoked[0].Get("token"), "refresh-") || i.revoked[0].Get("token_type_hint") != "refresh_token" {
		t.Errorf("revoked %v", i.revoked)
	}
	if got := a.do(a.Logout, http.MethodPost, "http://localhost:7421/logout", "Sec-Fetch-Site", "same-origin"); got.StatusCode != http.StatusSeeOther {
		t.Errorf("a second time: %d", got.StatusCode)
	}
}

func TestLogoutWorksWhileTheIssuerIsAway(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	a := newApp(t, i, nil)
	a.signIn(t)
	i.server.CloseClientConnections()
	i.server.Close()
	if got := a.do(a.Logout, http.MethodPost, "http://localhost:7421/logout"); got.StatusCode != http.StatusSeeOther {
		t.Errorf("%d", got.StatusCode)
	}
	if _, err := a.session(); !errors.Is(err, connect.ErrSignedOut) {
		t.Errorf("still signed in: %v", err)
	}
}

func TestOnLoginCanRefuse(t *testing.T) {
	t.Parallel()
	a := newApp(t, newIssuer(t), func(c *connect.Config) {
		c.OnLogin = func(_ context.Context, _ *http.Request, who connect.Identity) error {
			if who.Username == "ann" {
				return errors.New("not here")
			}
			return nil
		}
	})
	a.callback(a.issuer.authorize(a.login(t, "/login")))
	a.refused(t, "refused by the app", connect.Refused)
}

func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		steps []time.Duration
		ended bool
	}{
		"used each day":       {[]time.Duration{24 * time.Hour, 24 * time.Hour, 24 * time.Hour, 24 * time.Hour}, false},
		"not used for a week": {[]time.Duration{8 * 24 * time.Hour}, true},
		"a month old": {func() (days []time.Duration) {
			for range 31 {
				days = append(days, 24*time.Hour)
			}
			return days
		}(), true},
	} {
		i := newIssuer(t)
		// The memory store has the real clock; what ends here is decided by the client's.
		a := newApp(t, i, nil)
		a.signIn(t)
		var err error
		for _, step := range c.steps {
			i.pass(step)
			_, err = a.session()
		}
		if errors.Is(err, connect.ErrSignedOut) != c.ended || err != nil && !c.ended {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestANewKeySignsNobodyOutWhileTheOldIsGiven(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	a := newApp(t, i, nil)
	a.signIn(t)
	next := []byte("another key of exactly 32 bytes!")
	for name, c := range map[string]struct {
		previous [][]byte
		want     error
	}{"with the old one": {[][]byte{testKey}, nil}, "without": {nil, connect.ErrSignedOut}} {
		other := newApp(t, i, func(config *connect.Config) {
			config.Key, config.PreviousKeys, config.Sessions = next, c.previous, a.store
		})
		other.cookies = a.cookies
		if _, err := other.session(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*connect.Config){
		"issuer without TLS":      func(c *connect.Config) { c.Issuer = "http://grants.example.com" },
		"no issuer":               func(c *connect.Config) { c.Issuer = "" },
		"redirect without TLS":    func(c *connect.Config) { c.RedirectURL = "http://app.example/callback" },
		"redirect with fragment":  func(c *connect.Config) { c.RedirectURL = "https://app.example/callback#x" },
		"redirect that is a path": func(c *connect.Config) { c.RedirectURL = "/callback" },
		"no client":               func(c *connect.Config) { c.ClientID = "" },
		"short key":               func(c *connect.Config) { c.Key = testKey[:31] },
		"no key":                  func(c *connect.Config) { c.Key = nil },
		"short previous key":      func(c *connect.Config) { c.PreviousKeys = [][]byte{{1}} },
		"AfterLogin elsewhere":    func(c *connect.Config) { c.AfterLogin = "https://evil.example/" },
		"AfterLogout elsewhere":   func(c *connect.Config) { c.AfterLogout = "//evil.example/" },
		"API without TLS":         func(c *connect.Config) { c.API = "http://grants.example.com" },
	} {
		config := connect.Config{Issuer: "https://grants.example.com", ClientID: clientID, RedirectURL: "https://app.example/callback", Key: testKey}
		if _, err := connect.New(config); err != nil {
			t.Fatal(err)
		}
		change(&config)
		if _, err := connect.New(config); err == nil || !strings.HasPrefix(err.Error(), "connect: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
