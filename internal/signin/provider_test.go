package signin

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/connect"
	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/pages"
	"github.com/shiftgrant/shiftgrant/internal/seal"
	"github.com/shiftgrant/shiftgrant/internal/secret"
	twinidp "github.com/shiftgrant/shiftgrant/twin/idp"
)

// browserAtGateway is alice's browser at a gateway that signs her in at the twin's IdP.
type browserAtGateway struct {
	*world
	signIn   *SignIn
	provider *twinidp.Provider
	gateway  string
	browser  *http.Client
}

func newBrowser(t *testing.T) *browserAtGateway {
	t.Helper()
	b := &browserAtGateway{world: newWorld(t)}
	mux := http.NewServeMux()
	gateway := httptest.NewServer(mux)
	t.Cleanup(gateway.Close)
	b.gateway = gateway.URL
	provider := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { b.provider.ServeHTTP(w, r) }))
	issuer := "http://" + provider.Listener.Addr().String() + "/idp"
	var err error
	b.provider, err = twinidp.New(twinidp.Config{
		Issuer: issuer, Now: b.clock.Now,
		Clients: []twinidp.Client{{ID: "gateway", Secret: "gateway-secret", RedirectURIs: []string{b.gateway + "/signin/callback/corp"}}},
		People:  []twinidp.Person{{Username: "carol", Password: "twin", Subject: "idp|carol", Name: "Carol"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	provider.Start()
	t.Cleanup(provider.Close)
	b.provider.SetScript(twinidp.Script{SignInAs: "carol"})
	shown, err := pages.New(pages.Config{BaseURL: b.gateway})
	if err != nil {
		t.Fatal(err)
	}
	b.signIn, err = New(Config{
		BaseURL: b.gateway, Tenant: grant.DefaultTenant, People: b.store, Sessions: connect.NewMemorySessions(), Key: make([]byte, 32), Pages: shown,
		Audit: b.audit, Tokens: b.store, Envelope: seal.Envelope{Wrapper: b.ring}, Logger: slog.New(slog.DiscardHandler), Now: b.clock.Now,
		Upstreams: []Upstream{{
			Name: "corp", DisplayName: "Corp", Issuer: issuer, ClientID: "gateway", ClientSecret: secret.New("gateway-secret"),
			Scopes: []string{"openid", "profile", "offline_access"},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.signIn.Register(mux)
	mux.HandleFunc("GET /who", func(w http.ResponseWriter, r *http.Request) {
		current, err := b.signIn.Person(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, current.Person.DatabaseUser)
	})
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b.browser = &http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}}
	return b
}

// get follows all redirects.
func (b *browserAtGateway) get(path string) (status int, body string) {
	b.t.Helper()
	response, err := b.browser.Get(b.gateway + path)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return response.StatusCode, string(content)
}

func (b *browserAtGateway) wantSignedIn(want bool) {
	b.t.Helper()
	if status, body := b.get("/who"); (status == http.StatusOK) != want {
		b.t.Errorf("%d %q, want signed in %v", status, body, want)
	}
}

func (b *browserAtGateway) carol() grant.Person {
	b.t.Helper()
	person, err := b.store.FindPerson(context.Background(), grant.DefaultTenant, "carol")
	if err != nil {
		b.t.Fatal(err)
	}
	return person
}

func TestSignInKeepsWhatTheProviderIsAskedWith(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	if status, body := b.get("/signin?return_to=/who"); status != http.StatusOK || body != "carol" {
		t.Fatalf("sign-in: %d %s", status, body)
	}
	for range 3 { // the provider gives each token once
		b.clock.pass(time.Hour)
		if err := b.signIn.StillWelcome(t.Context(), b.carol()); err != nil {
			t.Fatal(err)
		}
	}
	if u, err := b.store.UpstreamToken(t.Context(), grant.DefaultTenant, b.carol().ID); err != nil || u.Generation != 4 {
		t.Errorf("generation %d, %v", u.Generation, err)
	}
	b.provider.SetScript(twinidp.Script{SignInAs: "carol", TokenFailures: 1})
	b.clock.pass(time.Hour)
	if err := b.signIn.StillWelcome(t.Context(), b.carol()); err != nil {
		t.Errorf("a provider that fails: %v", err)
	}
	b.wantSignedIn(true)
	b.provider.SetScript(twinidp.Script{SignInAs: "carol", RefuseRefresh: true})
	b.clock.pass(time.Minute)
	if err := b.signIn.StillWelcome(t.Context(), b.carol()); !errors.Is(err, grant.ErrRevoked) {
		t.Errorf("a provider that refuses: %v", err)
	}
	b.wantSignedIn(false)
}

func TestSigningOutHereLeavesTheAppsAlone(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	b.get("/signin?return_to=/who")
	request, err := http.NewRequest(http.MethodPost, b.gateway+"/signout", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Sec-Fetch-Site", "same-origin")
	response, err := b.browser.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	b.wantSignedIn(false)
	b.clock.pass(time.Hour)
	if err := b.signIn.StillWelcome(t.Context(), b.carol()); err != nil {
		t.Errorf("the provider does not know the person any more: %v", err)
	}
}

func TestOperatorEndsBrowserSessions(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	b.get("/signin?return_to=/who")
	b.clock.pass(time.Minute)
	b.wantSignedIn(true)
	if err := b.store.SignOutPerson(t.Context(), grant.DefaultTenant, b.carol().ID, b.clock.Now()); err != nil {
		t.Fatal(err)
	}
	b.wantSignedIn(false)
	b.clock.pass(time.Minute)
	b.get("/signin?return_to=/who")
	b.wantSignedIn(true)
	if err := b.store.DisablePerson(t.Context(), grant.DefaultTenant, b.carol().ID, b.clock.Now()); err != nil {
		t.Fatal(err)
	}
	b.wantSignedIn(false)
	b.clock.pass(time.Minute)
	if status, _ := b.get("/signin?return_to=/who"); status != http.StatusForbidden {
		t.Errorf("a disabled person signs in: %d", status)
	}
	if err := b.store.EnablePerson(t.Context(), grant.DefaultTenant, b.carol().ID); err != nil {
		t.Fatal(err)
	}
	b.wantSignedIn(false)
}
