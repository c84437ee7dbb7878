package signin

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"sync"
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
	mux      *http.ServeMux
	gateway  string
	browser  *http.Client
	log      *journalOfLines
}

// journalOfLines is what is logged.
type journalOfLines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journalOfLines) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(line)
}

func (j *journalOfLines) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// carolAt is carol as a provider of some kind knows her.
type carolAt struct {
	preset   string
	profile  twinidp.Profile
	path     string         // of the issuer; "" is /idp
	carol    twinidp.Person // beside what she has anyway
	upstream Upstream       // what an operator configures beside the preset
}

func newBrowser(t *testing.T) *browserAtGateway {
	t.Helper()
	return newBrowserAt(t, carolAt{preset: Generic, upstream: Upstream{Scopes: []string{"openid", "profile", "offline_access"}}})
}

func newBrowserAt(t *testing.T, at carolAt) *browserAtGateway {
	t.Helper()
	b := newGateway(t)
	at.carol.Username, at.carol.Password, at.carol.Subject, at.carol.Name = "carol", "twin", "idp|carol", "Carol"
	at.carol.Email = "carol@example.com"
	provider := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { b.provider.ServeHTTP(w, r) }))
	issuer := "http://" + provider.Listener.Addr().String() + cmp.Or(at.path, "/idp")
	var err error
	b.provider, err = twinidp.New(twinidp.Config{
		Issuer: issuer, Now: b.clock.Now, Profile: at.profile,
		Clients: []twinidp.Client{{ID: "gateway", Secret: "gateway-secret", RedirectURIs: []string{b.gateway + "/signin/callback/corp"}}},
		People:  []twinidp.Person{at.carol},
	})
	if err != nil {
		t.Fatal(err)
	}
	provider.Start()
	t.Cleanup(provider.Close)
	b.provider.SetScript(twinidp.Script{SignInAs: "carol"})
	at.upstream.Issuer, at.upstream.ClientID, at.upstream.ClientSecret = issuer, "gateway", secret.New("gateway-secret")
	b.serve(at.preset, at.upstream)
	return b
}

// newGateway has an address, and serves nothing yet.
func newGateway(t *testing.T) *browserAtGateway {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &browserAtGateway{world: newWorld(t), mux: http.NewServeMux(), log: &journalOfLines{}}
	b.browser = &http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}}
	gateway := httptest.NewServer(b.mux)
	t.Cleanup(gateway.Close)
	b.gateway = gateway.URL
	return b
}

// serve signs people in at an upstream called corp.
func (b *browserAtGateway) serve(kind string, upstream Upstream) {
	b.t.Helper()
	shown, err := pages.New(pages.Config{BaseURL: b.gateway})
	if err != nil {
		b.t.Fatal(err)
	}
	preset, _ := PresetNamed(kind)
	upstream.Name, upstream.DisplayName = "corp", "Corp"
	if fault := preset.Check(upstream); fault != nil {
		b.t.Fatalf("preset %s: %+v", kind, fault)
	}
	b.signIn, err = New(Config{
		BaseURL: b.gateway, Tenant: grant.DefaultTenant, People: b.store, Sessions: connect.NewMemorySessions(), Key: make([]byte, 32), Pages: shown,
		Audit: b.audit, Tokens: b.store, Envelope: seal.Envelope{Wrapper: b.ring}, Now: b.clock.Now,
		Logger: slog.New(slog.NewTextHandler(b.log, nil)), Upstreams: []Upstream{preset.Fill(upstream)},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.signIn.Register(b.mux)
	b.mux.HandleFunc("GET /who", func(w http.ResponseWriter, r *http.Request) {
		current, err := b.signIn.Person(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, current.Person.DatabaseUser)
	})
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

func (b *browserAtGateway) signsOut() {
	b.t.Helper()
	request, err := http.NewRequest(http.MethodPost, b.gateway+"/signout", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	request.Header.Set("Sec-Fetch-Site", "same-origin")
	response, err := b.browser.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	_ = response.Body.Close()
}

func TestSigningOutHereLeavesTheAppsAlone(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	b.get("/signin?return_to=/who")
	b.signsOut()
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
