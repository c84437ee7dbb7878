package oauth_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

// AZ-14, AZ-15: what a person sees before saying yes.
func TestAZ14ConsentSaysWhoWhatWhereAndForHowLong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	page := read(t, w.authorize("alice", good(stargazer, "scope", "sql:read sql:write offline_access openid profile email")))
	for _, words := range []string{
		"Stargazer", "stargazer</code>", "stargazer.example", "TICKIT sales", "Alice", "alice@example.com",
		"Change and delete data", "Keep access while you are away", "February 21, 2027", // 90 days on
		"Not you?", `action="/signout"`, `value="allow"`, `value="deny"`, "Registered by your administrator",
	} {
		if !strings.Contains(page, words) {
			t.Errorf("the page does not say %q:\n%s", words, page)
		}
	}
	if brief := read(t, w.authorize("alice", good(stargazer, "scope", "sql:read"))); !strings.Contains(brief, "For 10 minutes") {
		t.Errorf("the page of an app that cannot refresh does not say how long:\n%s", brief)
	}
	if local := read(t, w.authorize("alice", good(public))); !strings.Contains(local, "on this computer") || !strings.Contains(local, "127.0.0.1") {
		t.Errorf("AZ-15: no warning of an app on this computer:\n%s", local)
	}
}

// AZ-14, past failure 12: who cannot prove to be the same app is asked about every time.
func TestAZ14ConsentIsRememberedForProvenAppsOnly(t *testing.T) {
	t.Parallel()
	unreviewed := stargazer
	unreviewed.ID, unreviewed.Origin = "unreviewed", "elsewhere"
	for _, c := range []struct {
		name    string
		app     grant.App
		who     string
		again   []string
		between func(*world)
		silent  bool
	}{
		{name: "a confidential app over https", app: stargazer, silent: true},
		{name: "the same without a prompt", app: stargazer, again: []string{"prompt", "none"}, silent: true},
		{name: "the same with less", app: stargazer, again: []string{"scope", "sql:read"}, silent: true},
		{name: "the same with more", app: stargazer, again: []string{"scope", "sql:read sql:write offline_access"}},
		{name: "when it wants a prompt", app: stargazer, again: []string{"prompt", "consent"}},
		{name: "another person", app: stargazer, who: "bob"},
		{name: "a confidential app on loopback", app: desk},
		{name: "a public app over https", app: spa},
		{name: "a public app on loopback", app: public},
		{name: "a public app with a scheme of its own", app: phone},
		{name: "an app that nobody reviewed", app: unreviewed},
		{name: "after the consent has ended", app: stargazer, between: func(w *world) { w.pass(91 * 24 * time.Hour) }},
		{name: "after it was revoked", app: stargazer, between: func(w *world) { w.revokeAll("per_alice") }},
	} {
		w := newWorld(t)
		w.putApp(unreviewed)
		w.connect("alice", c.app)
		if c.between != nil {
			c.between(w)
		}
		who := "alice"
		if c.who != "" {
			who = c.who
		}
		response := w.authorize(who, good(c.app, c.again...))
		if silent := response.StatusCode == http.StatusSeeOther && answer(t, response).Has("code"); silent != c.silent {
			t.Errorf("%s: silent %t, want %t (%d %s)", c.name, silent, c.silent, response.StatusCode, response.Header.Get("Location"))
		}
	}
}

func TestConsentOfAnotherAppDoesNotCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.connect("alice", stargazer)
	if response := w.authorize("alice", good(observer)); response.StatusCode != 200 {
		t.Errorf("past failure 13: %d to %q", response.StatusCode, response.Header.Get("Location"))
	}
}

func TestRememberedConsentIsNotProlonged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.connect("alice", stargazer)
	w.pass(30 * 24 * time.Hour)
	if code := answer(t, w.authorize("alice", good(stargazer))).Get("code"); w.redeem(stargazer, code).status != 200 {
		t.Fatal("the remembered consent gives no tokens")
	}
	grants, err := w.store.Grants(t.Context(), grant.DefaultTenant, "per_alice")
	if err != nil || len(grants) != 2 || !grants[0].ExpiresAt.Equal(grants[1].ExpiresAt) {
		t.Errorf("grants %+v, %v: want two that end together", grants, err)
	}
}

func TestNewScopesAreMarkedSinceLastTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.connect("alice", stargazer)
	page := read(t, w.authorize("alice", good(stargazer, "scope", "sql:read sql:write offline_access")))
	if !strings.Contains(page, "It now asks for more") {
		t.Errorf("nothing is marked as new:\n%s", page)
	}
}

// AZ-16: an answer counts only from the session that was asked, and only for what was shown.
func TestAZ16ConsentIsBoundToTheSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	shown := w.authorize("alice", good(stargazer))
	if len(shown.Cookies()) > 0 {
		t.Errorf("the page sets a cookie before approval: %v", shown.Cookies())
	}
	sealed := question(t, shown)
	altered := []byte(sealed)
	altered[len(altered)/2] ^= 1
	for _, c := range []struct {
		name, who, sealed string
		headers           []string
		status            int
	}{
		{"another person", "bob", sealed, nil, 400},
		{"another session of the same person", "alice@2", sealed, nil, 400},
		{"another person in the same session", "bob@session-of-alice", sealed, nil, 400},
		{"nobody", "", sealed, nil, 400},
		{"an altered question", "alice", string(altered), nil, 400},
		{"no question", "alice", "", nil, 400},
		{"another site, by Sec-Fetch-Site", "alice", sealed, []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"another site, by Origin", "alice", sealed, []string{"Origin", "https://evil.example"}, 403},
		{"a sandboxed page", "alice", sealed, []string{"Origin", "null"}, 403},
		{"a neighbour", "alice", sealed, []string{"Sec-Fetch-Site", "same-site"}, 403},
	} {
		response := w.decide(c.who, c.sealed, "allow", c.headers...)
		if response.StatusCode != c.status || response.Header.Get("Location") != "" {
			t.Errorf("%s: %d to %q, want %d", c.name, response.StatusCode, response.Header.Get("Location"), c.status)
		}
	}
	if n := w.store.count("CreateGrant"); n != 0 {
		t.Errorf("%d grants were made", n)
	}
	if response := w.request("GET", "/oauth2/authorize/decision?request="+url.QueryEscape(sealed)+"&decision=allow", "alice", nil); response.StatusCode != 405 || response.Header.Get("Allow") != "POST" {
		t.Errorf("by GET: %d, Allow %q", response.StatusCode, response.Header.Get("Allow"))
	}
	// The gateway's own page may, also when a proxy has changed the Host.
	if response := w.decide("alice", sealed, "allow", "Origin", issuerURL, "Sec-Fetch-Site", "same-origin"); answer(t, response).Get("code") == "" {
		t.Error("the page itself is refused")
	}
}

func TestQuestionIsAnsweredOnceAndInTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sealed := question(t, w.authorize("alice", good(stargazer)))
	if got := answer(t, w.decide("alice", sealed, "allow")); got.Get("code") == "" {
		t.Fatalf("answer %q", got)
	}
	if again := w.decide("alice", sealed, "allow"); again.StatusCode != 400 || !strings.Contains(read(t, again), "answered already") {
		t.Errorf("a second yes: %d", again.StatusCode)
	}
	late := question(t, w.authorize("alice", good(public)))
	w.pass(10 * time.Minute)
	if response := w.decide("alice", late, "allow"); response.StatusCode != 400 {
		t.Errorf("a yes after ten minutes: %d", response.StatusCode)
	}
}

func TestDenyIsToldToTheApp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, decision := range []string{"deny", "", "Allow", "yes"} {
		got := answer(t, w.decide("alice", question(t, w.authorize("alice", good(stargazer))), decision))
		if got.Get("error") != "access_denied" || got.Has("code") || got.Get("iss") != issuerURL || got.Get("state") != good(stargazer).Get("state") {
			t.Errorf("decision %q: %q", decision, got)
		}
	}
	if w.store.count("CreateGrant") != 0 || w.audit.count("consent") != 4 {
		t.Errorf("%d grants, %d records", w.store.count("CreateGrant"), w.audit.count("consent"))
	}
}

func TestWhatChangedWhileThePersonWasThinkingCounts(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*world){
		"the app is switched off": func(w *world) {
			app := stargazer
			app.Disabled = true
			w.putApp(app)
		},
		"the redirect URI is not registered any more": func(w *world) {
			app := stargazer
			app.RedirectURIs = []string{"https://stargazer.example/elsewhere"}
			w.putApp(app)
		},
		"the app may not ask for this any more": func(w *world) {
			app := stargazer
			app.Scopes = grant.Scopes{"openid"}
			w.putApp(app)
		},
		"the person is disabled": func(w *world) { w.store.changePerson("per_alice", func(p *grant.Person) { p.Disabled = true }) },
	} {
		w := newWorld(t)
		sealed := question(t, w.authorize("alice", good(stargazer)))
		change(w)
		response := w.decide("alice", sealed, "allow")
		if response.StatusCode < 400 || response.Header.Get("Location") != "" || w.store.count("CreateGrant") != 0 {
			t.Errorf("%s: %d to %q", name, response.StatusCode, response.Header.Get("Location"))
		}
	}
}

func TestDisabledPersonGetsAPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.store.changePerson("per_alice", func(p *grant.Person) { p.Disabled = true })
	if response := w.authorize("alice", good(stargazer)); response.StatusCode != 403 || response.Header.Get("Location") != "" {
		t.Errorf("%d to %q", response.StatusCode, response.Header.Get("Location"))
	}
}

// Nothing is granted that is not in the record.
func TestConsentThatCannotBeRecordedIsNotGiven(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sealed := question(t, w.authorize("alice", good(stargazer)))
	w.audit.fail(errDown)
	if response := w.decide("alice", sealed, "allow"); response.StatusCode != 503 || w.store.count("CreateGrant") != 0 {
		t.Errorf("%d, %d grants", response.StatusCode, w.store.count("CreateGrant"))
	}
}

// TK-12 and the registration of the app.
func TestScopesAreCompletedAndBounded(t *testing.T) {
	t.Parallel()
	limited := stargazer
	limited.ID, limited.Scopes = "limited", grant.Scopes{"sql:read", "openid"}
	bound := stargazer
	bound.ID, bound.Scopes = "bound", grant.Scopes{"sql:read", "warehouse:lake"}
	for _, c := range []struct {
		name       string
		app        grant.App
		asked      string
		warehouses []string
		standard   string
		want       string // "" is invalid_scope
	}{
		{"no scope is sql:read on the only warehouse", stargazer, "", []string{"tickit"}, "", "sql:read warehouse:tickit"},
		{"no scope is sql:read on the default warehouse", stargazer, "", []string{"tickit", "lake"}, "lake", "sql:read warehouse:lake"},
		{"without a default it must be named", stargazer, "sql:read", []string{"tickit", "lake"}, "", ""},
		{"named", stargazer, "sql:read warehouse:lake", []string{"tickit", "lake"}, "tickit", "sql:read warehouse:lake"},
		{"two named", stargazer, "sql:read warehouse:lake warehouse:tickit", []string{"tickit", "lake"}, "tickit", ""},
		{"who somebody is needs no warehouse", stargazer, "openid email", []string{"tickit"}, "", "openid email"},
		{"a limited app within its limits", limited, "sql:read openid", []string{"tickit"}, "", "sql:read openid warehouse:tickit"},
		{"a limited app beyond them", limited, "sql:read sql:write", []string{"tickit"}, "", ""},
		{"a limited app that wants to stay", limited, "sql:read offline_access", []string{"tickit"}, "", ""},
		{"an app with a warehouse of its own", bound, "sql:read", []string{"tickit", "lake"}, "tickit", "sql:read warehouse:lake"},
		{"the same elsewhere", bound, "sql:read warehouse:tickit", []string{"tickit", "lake"}, "tickit", ""},
	} {
		w := newWorldWith(t, c.standard, c.warehouses...)
		w.putApp(limited)
		w.putApp(bound)
		response := w.authorize("alice", good(c.app, "scope", c.asked))
		if c.want == "" {
			if got := answer(t, response); got.Get("error") != "invalid_scope" {
				t.Errorf("%s: %q", c.name, got)
			}
			continue
		}
		code := answer(t, w.decide("alice", question(t, response), "allow")).Get("code")
		if got := w.redeem(c.app, code); got.status != 200 || got.string("scope") != c.want {
			t.Errorf("%s: %d %q, want %q", c.name, got.status, got.string("scope"), c.want)
		}
	}
}
