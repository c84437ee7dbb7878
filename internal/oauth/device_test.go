package oauth_test

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/oauth"
)

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// newDeviceWorld lets the public app in by a code, and no other.
func newDeviceWorld(t *testing.T) *world {
	t.Helper()
	return newWorld(t, func(c *oauth.Config) { c.DeviceApps = []string{public.ID} })
}

func (w *world) beginDevice(scope string) (code, userCode string) {
	w.t.Helper()
	got := w.post("/oauth2/device_authorization", url.Values{"client_id": {public.ID}, "scope": {scope}})
	code, userCode = got.string("device_code"), got.string("user_code")
	if !strings.HasPrefix(code, "sg_dc_") || !regexp.MustCompile(`^[B-Z]{4}-[B-Z]{4}$`).MatchString(userCode) {
		w.t.Fatalf("device authorization: %+v", got)
	}
	return code, userCode
}

func (w *world) poll(app grant.App, code string) reply {
	w.t.Helper()
	return w.post("/oauth2/token", proof(app, url.Values{"grant_type": {deviceGrant}, "device_code": {code}}))
}

var sealedRequest = regexp.MustCompile(`name="request" value="([^"]+)"`)

func sealedIn(t *testing.T, page string) string {
	t.Helper()
	found := sealedRequest.FindStringSubmatch(page)
	if found == nil {
		t.Fatalf("the page has no form:\n%s", page)
	}
	return found[1]
}

// ask enters a code as a person and gives the page that follows.
func (w *world) enter(who, userCode string) string {
	w.t.Helper()
	form := sealedIn(w.t, read(w.t, w.request("GET", "/device", who, nil)))
	return read(w.t, w.request("POST", "/device", who, url.Values{"request": {form}, "user_code": {userCode}}, "Sec-Fetch-Site", "same-origin"))
}

func (w *world) answerDevice(who, userCode, decision string) string {
	w.t.Helper()
	asked := sealedIn(w.t, w.enter(who, userCode))
	return read(w.t, w.request("POST", "/device/decision", who, url.Values{"request": {asked}, "decision": {decision}}, "Sec-Fetch-Site", "same-origin"))
}

func TestTK21ADeviceIsLetInByWhoEntersItsCode(t *testing.T) {
	t.Parallel()
	w := newDeviceWorld(t)
	code, userCode := w.beginDevice("sql:read offline_access openid")
	if got := w.poll(public, code); got.string("error") != "authorization_pending" {
		t.Errorf("before the answer: %+v", got)
	}
	// As people type it.
	typed := strings.ToLower(strings.ReplaceAll(userCode, "-", " "))
	if page := w.answerDevice("alice", typed, "allow"); !strings.Contains(page, "The device is let in") {
		t.Fatalf("after the answer:\n%s", page)
	}
	w.pass(5 * time.Second)
	got := w.poll(public, code)
	if got.string("access_token") == "" || got.string("refresh_token") == "" || got.string("id_token") == "" || got.string("scope") != "sql:read offline_access openid warehouse:tickit" {
		t.Fatalf("after the answer: %+v", got)
	}
	if err := w.works(got.string("access_token")); err != nil {
		t.Error(err)
	}
	// One use: a second one ends what the first got.
	if again := w.poll(public, code); again.string("error") != "invalid_grant" {
		t.Errorf("the second use: %+v", again)
	}
	if w.works(got.string("access_token")) == nil {
		t.Error("a device code that was used twice left its tokens alive")
	}
}

func TestTK21ADeviceThatAsksTooOftenIsSlowedDown(t *testing.T) {
	t.Parallel()
	w := newDeviceWorld(t)
	code, _ := w.beginDevice("sql:read")
	for _, step := range []struct {
		after time.Duration
		want  string
	}{
		{0, "authorization_pending"},
		{5 * time.Second, "authorization_pending"},
		{time.Second, "slow_down"},                  // 10 s from now on
		{6 * time.Second, "slow_down"},              // 15 s
		{15 * time.Second, "authorization_pending"}, // as told
		{6 * time.Second, "slow_down"},              // it stays so
		{10 * time.Minute, "expired_token"},
	} {
		w.pass(step.after)
		if got := w.poll(public, code); got.string("error") != step.want {
			t.Errorf("after %s: %+v, want %s", step.after, got, step.want)
		}
	}
}

func TestTK21ANoIsTold(t *testing.T) {
	t.Parallel()
	w := newDeviceWorld(t)
	code, userCode := w.beginDevice("sql:read")
	if page := w.answerDevice("alice", userCode, "deny"); !strings.Contains(page, "Nothing was let in") {
		t.Errorf("the page:\n%s", page)
	}
	if got := w.poll(public, code); got.string("error") != "access_denied" {
		t.Errorf("the poll: %+v", got)
	}
	if page := w.enter("bob", userCode); !strings.Contains(page, "No device is waiting") {
		t.Errorf("a code that was answered is taken again:\n%s", page)
	}
}

// T04: a device code is for the app that asked, and for nothing else.
func TestT04ADeviceCodeIsBoundToItsApp(t *testing.T) {
	t.Parallel()
	w := newDeviceWorld(t)
	code, userCode := w.beginDevice("sql:read")
	w.answerDevice("alice", userCode, "allow")
	if got := w.poll(spa, code); got.string("error") != "invalid_grant" {
		t.Errorf("another app: %+v", got)
	}
	asCode := w.post("/oauth2/token", url.Values{"grant_type": {"authorization_code"}, "client_id": {public.ID}, "code": {code}, "redirect_uri": {"http://127.0.0.1/callback"}, "code_verifier": {verifier}})
	if asCode.string("error") != "invalid_grant" {
		t.Errorf("as an authorization code: %+v", asCode)
	}
	if got := w.poll(public, code); got.string("access_token") == "" {
		t.Errorf("its own app, after that: %+v", got)
	}
	if got := w.post("/oauth2/device_authorization", url.Values{"client_id": {spa.ID}}); got.string("error") != "unauthorized_client" {
		t.Errorf("an app that the operator did not name: %+v", got)
	}
}

// TK-22: a link with the code in it lets nobody in by itself, and a form from elsewhere does not.
func TestTK22OnlyThePersonsOwnAnswerCounts(t *testing.T) {
	t.Parallel()
	w := newDeviceWorld(t)
	code, userCode := w.beginDevice("sql:read")
	if page := read(t, w.request("GET", "/device?user_code="+userCode, "alice", nil)); !strings.Contains(page, userCode) || !strings.Contains(page, "If somebody sent you a code") {
		t.Errorf("the page of a link:\n%s", page)
	}
	if page := read(t, w.request("GET", `/device?user_code="><script>`, "alice", nil)); strings.Contains(page, "<script") {
		t.Error("what a link brings along is on the page")
	}
	asked := sealedIn(t, w.enter("alice", userCode))
	allow := url.Values{"request": {asked}, "decision": {"allow"}}
	if response := w.request("POST", "/device/decision", "alice", allow, "Sec-Fetch-Site", "cross-site"); response.StatusCode != 403 {
		t.Errorf("a form of another site: %d", response.StatusCode)
	}
	if response := w.request("POST", "/device/decision", "bob", allow, "Sec-Fetch-Site", "same-origin"); response.StatusCode != 400 {
		t.Errorf("a form of another person: %d", response.StatusCode)
	}
	if got := w.poll(public, code); got.string("error") != "authorization_pending" {
		t.Errorf("after all that: %+v", got)
	}
	if response := w.request("GET", "/device?user_code="+userCode, "", nil); response.StatusCode != 303 && response.StatusCode != 302 && response.StatusCode != 200 {
		t.Errorf("somebody who is not signed in: %d", response.StatusCode)
	}
}

func TestTK21CodesCannotBeGuessedForLong(t *testing.T) {
	t.Parallel()
	w := newDeviceWorld(t)
	_, userCode := w.beginDevice("sql:read")
	for range 20 {
		if page := w.enter("alice", "BBBB-BBBB"); !strings.Contains(page, "No device is waiting") {
			t.Fatalf("a wrong code:\n%s", page)
		}
	}
	if page := w.enter("alice", userCode); !strings.Contains(page, "Too many wrong codes") {
		t.Errorf("after many wrong codes:\n%s", page)
	}
	if page := w.enter("bob", userCode); !strings.Contains(page, `value="allow"`) {
		t.Errorf("somebody else is kept out too:\n%s", page)
	}
}

func TestADeviceThatIsSwitchedOffIsNowhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if response := w.request("GET", "/device", "alice", nil); response.StatusCode != 404 {
		t.Errorf("the page: %d", response.StatusCode)
	}
}

// Credentials leave the gateway only for an app that is registered for them, on a warehouse whose
// operator gives them.
func TestScopeCredentialsIsNeverAmongAny(t *testing.T) {
	t.Parallel()
	named := public
	named.ID, named.Scopes = "named", grant.Scopes{grant.ScopeRead, grant.ScopeCredentials}
	for _, row := range []struct {
		name  string
		app   grant.App
		gives bool
		want  bool
	}{
		{"an app of any scope", public, true, false},
		{"an app that is registered for it", named, true, true},
		{"a warehouse that gives none", named, false, false},
	} {
		w := newWorld(t, func(c *oauth.Config) { c.Warehouses[0].GivesCredentials = row.gives })
		w.putApp(named)
		page := read(t, w.authorize("alice", good(row.app, "scope", "sql:read credentials")))
		if got := strings.Contains(page, "Take temporary passwords and AWS keys"); got != row.want {
			t.Errorf("%s: asked %v, want %v:\n%s", row.name, got, row.want, page)
		}
	}
}
