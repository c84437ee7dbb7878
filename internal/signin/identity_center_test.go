package signin

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/identitycenter"
	"github.com/shiftgrant/shiftgrant/internal/secret"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
	twincenter "github.com/shiftgrant/shiftgrant/twin/identitycenter"
	"github.com/shiftgrant/shiftgrant/twin/identitystore"
	"github.com/shiftgrant/shiftgrant/twin/script"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
	"github.com/shiftgrant/shiftgrant/twin/ssooidc"
)

const (
	region   = "eu-central-1"
	roleARN  = "arn:aws:iam::123456789012:role/gateway"
	carolsID = "9067642ac7-carol"
)

// centerWorld is a gateway whose people sign in at an IAM Identity Center.
type centerWorld struct {
	*browserAtGateway
	center      *twincenter.Center
	application string
	tokens      *ssooidc.Server
	directory   *identitystore.Server
	keys        *changingKeys
}

// changingKeys are the gateway's own: what is fetched after Invalidate is good.
type changingKeys struct {
	stale   atomic.Bool
	fetched atomic.Int64
}

func (k *changingKeys) Credentials(context.Context) (identity.Credentials, error) {
	k.fetched.Add(1)
	if k.stale.Load() {
		return identity.Credentials{AccessKeyID: "ASIASTALE", SecretAccessKey: secret.New("stale"), SessionToken: secret.New("stale")}, nil
	}
	return identity.Credentials{AccessKeyID: "ASIAGATEWAY", SecretAccessKey: secret.New("own"), SessionToken: secret.New("session")}, nil
}

func (k *changingKeys) Invalidate(identity.Credentials) { k.stale.Store(false) }

func newCenterWorld(t *testing.T) *centerWorld {
	t.Helper()
	w := &centerWorld{browserAtGateway: newGateway(t), keys: &changingKeys{}}
	registry := sigv4.NewRegistry(0)
	err := registry.Add(sigv4.Credential{
		AccessKeyID: "ASIAGATEWAY", SecretAccessKey: "own", SessionToken: "session",
		Account: "123456789012", RoleARN: roleARN, RoleName: "gateway", RoleID: "AROAGATEWAY", SessionName: "gateway",
	})
	if err != nil {
		t.Fatal(err)
	}
	people := []twincenter.Person{{UserID: carolsID, UserName: "carol", Email: "carol@example.com"}}
	if w.center, err = twincenter.New(twincenter.Config{Account: "123456789012", Region: region, People: people, Now: w.clock.Now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.center.Close)
	w.makeApplication()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	if w.tokens, err = ssooidc.New(ssooidc.Config{URL: server.URL, Center: w.center, Registry: registry, Region: region, Password: "twin", Now: w.clock.Now}); err != nil {
		t.Fatal(err)
	}
	w.tokens.Register(mux)
	w.directory = identitystore.New(identitystore.Config{Center: w.center, Registry: registry, Region: region, Now: w.clock.Now})
	mux.Handle("POST /{$}", w.directory)
	adapter, err := identitycenter.New(identitycenter.Config{
		ApplicationARN: w.application, Region: region, Scopes: []string{"openid", "sts:identity_context"}, Endpoint: server.URL, StoreEndpoint: server.URL,
		Credentials: w.keys, Logger: slog.New(slog.NewTextHandler(w.log, nil)), Now: w.clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := identitycenter.IssuerOf(w.application)
	if err != nil {
		t.Fatal(err)
	}
	w.serve(IdentityCenter, Upstream{Issuer: issuer, ClientID: w.application, Adapter: adapter})
	return w
}

// makeApplication is what the administrator does once.
func (w *centerWorld) makeApplication() {
	w.t.Helper()
	made, err := w.center.CreateApplication(twincenter.CustomApplication, "shiftgrant", "")
	if err != nil {
		w.t.Fatal(err)
	}
	w.application = made.ARN
	w.change(func(a *twincenter.Application) { a.AssignmentRequired, a.Actors = false, []string{roleARN} })
	err = errors.Join(
		w.center.PutGrant(made.ARN, twincenter.AuthorizationCode, twincenter.Grant{RedirectURIs: []string{w.gateway + "/signin/callback/corp"}}),
		w.center.PutGrant(made.ARN, twincenter.RefreshToken, twincenter.Grant{}),
	)
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *centerWorld) change(change func(*twincenter.Application)) {
	w.t.Helper()
	if err := w.center.Change(w.application, func(a *twincenter.Application) error { change(a); return nil }); err != nil {
		w.t.Fatal(err)
	}
}

// press goes to the page of Identity Center, and presses carol's name.
func (w *centerWorld) press() (status int, body string) {
	w.t.Helper()
	page, err := w.browser.Get(w.gateway + "/signin?return_to=/who")
	if err != nil {
		w.t.Fatal(err)
	}
	shown, err := io.ReadAll(page.Body)
	_ = page.Body.Close()
	if err != nil || page.StatusCode != http.StatusOK {
		return page.StatusCode, string(shown)
	}
	request, err := http.NewRequest(http.MethodPost, page.Request.URL.String(), strings.NewReader(url.Values{"person": {"carol"}}.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Sec-Fetch-Site", "same-origin")
	response, err := w.browser.Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return response.StatusCode, string(content)
}

func TestPeopleSignInAndStayWelcomeAtIdentityCenter(t *testing.T) {
	t.Parallel()
	w := newCenterWorld(t)
	if status, body := w.press(); status != http.StatusOK || body != "carol" {
		t.Fatalf("%d %s\n%s", status, body, w.log)
	}
	carol := w.carol()
	if carol.Issuer != w.center.IssuerURL() || carol.Subject != carolsID || carol.Email != "carol@example.com" {
		t.Errorf("%+v", carol)
	}
	w.staysWelcome(carol)
	w.keys.stale.Store(true)
	w.staysWelcome(carol) // the gateway's own keys were refused, and others fetched
	w.center.RemovePerson("carol")
	w.clock.pass(time.Hour)
	if err := w.signIn.StillWelcome(t.Context(), carol); !errors.Is(err, grant.ErrRevoked) {
		t.Errorf("deleted from the directory: %v", err)
	}
}

func TestIdentityCentersSessionEndsASignIn(t *testing.T) {
	t.Parallel()
	w := newCenterWorld(t)
	if status, body := w.press(); status != http.StatusOK {
		t.Fatalf("%d %s\n%s", status, body, w.log)
	}
	carol := w.carol()
	w.clock.pass(8 * time.Hour)
	if err := w.signIn.StillWelcome(t.Context(), carol); !errors.Is(err, grant.ErrRevoked) {
		t.Errorf("%v\n%s", err, w.log)
	}
}

func TestRefusalOfTheGatewayEndsNobodysSignIn(t *testing.T) {
	t.Parallel()
	w := newCenterWorld(t)
	if status, body := w.press(); status != http.StatusOK {
		t.Fatalf("%d %s\n%s", status, body, w.log)
	}
	carol := w.carol()
	w.change(func(a *twincenter.Application) { a.Actors = nil })
	w.clock.pass(time.Hour)
	if err := w.signIn.StillWelcome(t.Context(), carol); err != nil {
		t.Errorf("%v, and the person has not left", err)
	}
	if log := w.log.String(); !strings.Contains(log, "authentication method of the application") || strings.Contains(log, "aorTWIN") {
		t.Errorf("the log names no remedy, or a token:\n%s", log)
	}
}

func TestWhatIsWrongAtIdentityCenterIsLogged(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		breaks func(*centerWorld)
		status int
		says   string
	}{
		"the gateway is no actor": {func(w *centerWorld) {
			w.change(func(a *twincenter.Application) { a.Actors = nil })
		}, http.StatusForbidden, "sso-oauth:CreateTokenWithIAM"},
		"the person is not assigned": {func(w *centerWorld) {
			w.change(func(a *twincenter.Application) { a.AssignmentRequired = true })
		}, http.StatusForbidden, "assigned to the application"},
		"the gateway may not look people up": {func(w *centerWorld) {
			w.directory.Script.Refuse("DescribeUser", script.AccessDenied)
		}, http.StatusForbidden, "identitystore:DescribeUser"},
		"no redirect URI": {func(w *centerWorld) {
			w.change(func(a *twincenter.Application) { delete(a.Grants, twincenter.AuthorizationCode) })
		}, http.StatusBadRequest, ""},
	} {
		w := newCenterWorld(t)
		test.breaks(w)
		if status, body := w.press(); status != test.status || !strings.Contains(w.log.String(), test.says) {
			t.Errorf("%s: %d %s\n%s", name, status, body, w.log)
		}
	}
}
