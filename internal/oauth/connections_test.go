package oauth_test

import (
	"errors"
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

func (w *world) disconnectForms(who string) []string {
	w.t.Helper()
	var forms []string
	page := read(w.t, w.request("GET", "/connections", who, nil))
	for _, found := range regexp.MustCompile(`name="request" value="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		forms = append(forms, html.UnescapeString(found[1]))
	}
	return forms
}

func TestPersonSeesAndEndsTheirConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, refresh := w.connect("alice", public)
	second, _ := w.connect("alice", public, "scope", "sql:read sql:write offline_access")
	w.pass(time.Second)
	elsewhere, _ := w.connect("alice", stargazer)
	bobs, _ := w.connect("bob", public)
	for _, access := range []string{first, second, elsewhere, bobs} { // now they are cached
		if err := w.works(access); err != nil {
			t.Fatal(err)
		}
	}
	forms := w.disconnectForms("alice")
	if len(forms) != 2 {
		t.Fatalf("%d connections, want one for each app", len(forms))
	}
	page := read(t, w.request("GET", "/connections", "alice", nil))
	for _, words := range []string{"Command line", "Stargazer", "TICKIT sales", "Change and delete data"} {
		if !strings.Contains(page, words) {
			t.Errorf("the page does not say %q", words)
		}
	}

	// Who may not.
	for name, c := range map[string]struct {
		who, sealed string
		headers     []string
	}{
		"another person":  {"bob", forms[1], nil},
		"another session": {"alice@2", forms[1], nil},
		"nobody":          {"", forms[1], nil},
		"another site":    {"alice", forms[1], []string{"Sec-Fetch-Site", "cross-site"}},
		"a consent form":  {"alice", question(t, w.authorize("alice", good(public))), nil},
		"nothing":         {"alice", "", nil},
	} {
		if response := w.request("POST", "/connections", c.who, url.Values{"request": {c.sealed}}, c.headers...); response.StatusCode < 400 {
			t.Errorf("%s: %d", name, response.StatusCode)
		}
	}
	if w.audit.count("grant.revoked") != 0 {
		t.Fatal("a connection was ended by somebody else")
	}

	// Command line was connected before Stargazer, so it comes second.
	response := w.request("POST", "/connections", "alice", url.Values{"request": {forms[1]}})
	if page := read(t, response); response.StatusCode != 200 || !strings.Contains(page, "disconnected") || strings.Contains(page, "Command line") {
		t.Errorf("%d\n%s", response.StatusCode, page)
	}
	for access, want := range map[string]error{first: grant.ErrRevoked, second: grant.ErrRevoked, elsewhere: nil, bobs: nil} {
		if err := w.works(access); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("right after: %v, want %v", err, want)
		}
	}
	if got := w.refresh(public, refresh); got.status != 400 {
		t.Errorf("refresh: %d %s", got.status, got.text)
	}
	if w.audit.count("grant.revoked") != 2 {
		t.Errorf("%d records", w.audit.count("grant.revoked"))
	}
	// Twice is as good as once; late is not.
	if response := w.request("POST", "/connections", "alice", url.Values{"request": {forms[1]}}); response.StatusCode != 200 {
		t.Errorf("twice: %d", response.StatusCode)
	}
	w.pass(12 * time.Hour)
	if response := w.request("POST", "/connections", "alice", url.Values{"request": {forms[0]}}); response.StatusCode != 400 {
		t.Errorf("a day later: %d", response.StatusCode)
	}
}

func TestHomeIsForEverybody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.connect("alice", public)
	if page := read(t, w.request("GET", "/", "", nil)); !strings.Contains(page, issuerURL+"/.well-known/oauth-authorization-server") || !strings.Contains(page, "Sign in") {
		t.Errorf("signed out:\n%s", page)
	}
	if page := read(t, w.request("GET", "/", "alice", nil)); !strings.Contains(page, "See your connected app<") {
		t.Errorf("signed in:\n%s", page)
	}
	if response := w.request("GET", "/nowhere", "", nil); response.StatusCode != 404 {
		t.Errorf("an address that is not there: %d", response.StatusCode)
	}
	w.signIn.err = errDown
	for _, path := range []string{"/", "/connections", "/oauth2/authorize?" + good(public).Encode()} {
		response := w.request("GET", path, "alice", nil)
		if text := read(t, response); response.StatusCode != 503 || strings.Contains(text, "canary") {
			t.Errorf("%.20s with a sign-in that is down: %d %s", path, response.StatusCode, text)
		}
	}
}
