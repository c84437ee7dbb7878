package pages_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/pages"
)

func shown(t *testing.T, show func(p *pages.Pages, w http.ResponseWriter, r *http.Request)) (int, string) {
	t.Helper()
	p, err := pages.New(pages.Config{BaseURL: "https://grants.example"})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	show(p, w, httptest.NewRequest(http.MethodGet, "/device", nil))
	return w.Code, w.Body.String()
}

// RFC 8628 §5.4: who is about to let a stranger in is told so before, in words.
func TestTheDevicePageWarnsOfACodeThatSomebodySent(t *testing.T) {
	t.Parallel()
	status, page := shown(t, func(p *pages.Pages, w http.ResponseWriter, r *http.Request) {
		p.Device(w, r, http.StatusOK, pages.Device{Person: grant.Person{Name: "Alice"}, UserCode: "WDJB-MJHT", Form: pages.Form{Action: "/device"}, SwitchPerson: pages.Form{Action: "/signout"}})
	})
	if status != http.StatusOK || !strings.Contains(page, "If somebody sent you a code") || !strings.Contains(page, `value="WDJB-MJHT"`) || strings.Contains(page, "<script") {
		t.Errorf("%d %s", status, page)
	}
}

func TestConsentToADeviceSaysWhereItAskedFrom(t *testing.T) {
	t.Parallel()
	status, page := shown(t, func(p *pages.Pages, w http.ResponseWriter, r *http.Request) {
		p.Consent(w, r, pages.Consent{
			App: grant.App{ID: "cli", Name: "Command line", Type: grant.Public}, Device: &pages.AskingDevice{Address: "203.0.113.7", AskedAt: time.Date(2026, 11, 23, 12, 34, 0, 0, time.UTC)},
			Person: grant.Person{Name: "Alice"}, Scopes: grant.Scopes{grant.ScopeRead}, Form: pages.Form{Action: "/device/decision"},
		})
	})
	for _, words := range []string{"203.0.113.7", "12:34 UTC", "If somebody sent you the code or a link, press Deny"} {
		if status != http.StatusOK || !strings.Contains(page, words) {
			t.Errorf("%d, without %q: %s", status, words, page)
		}
	}
	if strings.Contains(page, "You go back to") {
		t.Error("a device has nowhere to go back to")
	}
}

func TestCredentialsAreSpelledOutAtConsent(t *testing.T) {
	t.Parallel()
	consent := pages.Consent{App: grant.App{Name: "Command line"}, Scopes: grant.Scopes{grant.ScopeRead, grant.ScopeCredentials}, Limits: grant.Limits{ReadOnly: true}}
	if question := consent.Question(); !strings.Contains(question, "read and change") {
		t.Errorf("the question is %q: who holds a password can change data", question)
	}
	for _, refusal := range consent.Refusals() {
		if strings.Contains(refusal, "Change") {
			t.Errorf("the page promises %q", refusal)
		}
	}
	rights := consent.Rights()
	if len(rights) != 2 || !rights[1].Strong || !strings.Contains(rights[1].Detail, "even after you disconnect") {
		t.Errorf("rights %+v", rights)
	}
}

func TestTheAnswerToADeviceIsTold(t *testing.T) {
	t.Parallel()
	for allowed, words := range map[bool]string{true: "The device is let in", false: "Nothing was let in"} {
		status, page := shown(t, func(p *pages.Pages, w http.ResponseWriter, r *http.Request) {
			p.DeviceAnswered(w, r, pages.DeviceAnswered{App: "Command line", Allowed: allowed, Connections: "/t/acme/connections"})
		})
		if status != http.StatusOK || !strings.Contains(page, words) {
			t.Errorf("%d %s", status, page)
		}
	}
}
