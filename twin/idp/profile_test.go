package idp_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/shiftgrant/shiftgrant/twin/idp"
)

const tenant = "0b5c2f6e-1111-4222-8333-944455556666"

// like is a provider with a profile, at a path.
func like(t *testing.T, profile idp.Profile, path string) *world {
	t.Helper()
	w := &world{now: time.Now()}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.ServeHTTP(rw, r) }))
	w.issuer = "http://" + server.Listener.Addr().String() + path
	var err error
	w.Provider, err = idp.New(idp.Config{
		Issuer: w.issuer, Profile: profile, Now: w.clock,
		Clients: []idp.Client{{ID: "shiftgrant", Secret: "s3cret", RedirectURIs: []string{callback}}},
		People:  []idp.Person{{Username: "alice", Password: "twin", Subject: "idp|7f3a", Name: "Alice", Email: "alice@example.com", Tenant: tenant}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server.Start()
	t.Cleanup(server.Close)
	expected := w.issuer
	if profile.Tenants {
		expected = strings.Replace(w.issuer, "organizations", "{tenantid}", 1)
	}
	if w.discover, err = oidc.NewProvider(oidc.InsecureIssuerURLContext(t.Context(), expected), w.issuer); err != nil {
		t.Fatal(err)
	}
	w.client = oauth2.Config{ClientID: "shiftgrant", ClientSecret: "s3cret", RedirectURL: callback, Endpoint: w.discover.Endpoint(), Scopes: []string{"openid", "profile"}}
	return w
}

func payload(t *testing.T, token string) map[string]any {
	t.Helper()
	var claims map[string]any
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no JWT", token)
	}
	decoded, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(decoded, &claims) != nil {
		t.Fatalf("%q is no JWT: %v", token, err)
	}
	return claims
}

func TestCognitosWays(t *testing.T) {
	t.Parallel()
	w := like(t, idp.Cognito(), "/idp")
	w.SetScript(idp.Script{SignInAs: "alice"})
	for what, change := range map[string]struct {
		change func(url.Values)
		want   string
	}{
		"offline_access":    {func(q url.Values) { q.Set("scope", "openid offline_access") }, "invalid_scope"},
		"a state in JSON":   {func(q url.Values) { q.Set("state", `{"to":"/"}`) }, "invalid_request"},
		"an opaque state":   {func(q url.Values) { q.Set("state", "aB-_9") }, ""},
		"no scope: all are": {func(q url.Values) { q.Del("scope") }, ""},
	} {
		if got := open(t, browser(t), w.changed(t, change.change)); got.location == nil || got.location.Query().Get("error") != change.want {
			t.Errorf("%s: %v, want error %q", what, got.location, change.want)
		}
	}
	tokens := w.tokens(t)
	if claims := payload(t, tokens.AccessToken); claims["client_id"] != "shiftgrant" || claims["aud"] != nil {
		t.Errorf("access token %v", claims)
	}
	if tokens.RefreshToken == "" || tokens.Extra("scope") != nil {
		t.Errorf("refresh token %q, scope %v", tokens.RefreshToken, tokens.Extra("scope"))
	}
}

func TestTenantsAreIssuersOfTheirOwn(t *testing.T) {
	t.Parallel()
	w := like(t, idp.Entra(), "/organizations/v2.0")
	idToken, _ := w.tokens(t).Extra("id_token").(string)
	claims := payload(t, idToken)
	if claims["iss"] != strings.Replace(w.issuer, "organizations", tenant, 1) || claims["tid"] != tenant || claims["oid"] == nil || claims["sub"] == "idp|7f3a" || claims["email_verified"] != nil {
		t.Errorf("%v", claims)
	}
}

func TestProfilesRotateInTheirWays(t *testing.T) {
	t.Parallel()
	session := idp.Keycloak()
	for name, test := range map[string]struct {
		profile      idp.Profile
		offline      bool
		wait         time.Duration // between the first use and the second
		new, againOK bool
	}{
		"once":                      {idp.Profile{Refresh: idp.Always}, false, 0, true, false},
		"okta, within the grace":    {idp.Okta(), true, 29 * time.Second, true, true},
		"okta, after the grace":     {idp.Okta(), true, 30 * time.Second, true, false},
		"entra":                     {idp.Entra(), true, time.Hour, true, true},
		"cognito":                   {idp.Cognito(), false, time.Hour, false, true},
		"keycloak, of a session":    {session, false, 31 * time.Minute, true, false},
		"keycloak, offline":         {session, true, 31 * time.Minute, true, true},
		"keycloak, within the rest": {session, false, 29 * time.Minute, true, true},
	} {
		path := "/idp"
		if test.profile.Tenants {
			path = "/organizations/v2.0"
		}
		w := like(t, test.profile, path)
		if test.offline {
			w.client.Scopes = append(w.client.Scopes, "offline_access")
		}
		first := w.tokens(t).RefreshToken
		second, err := w.refresh(t, first)
		if err != nil || (second.Extra("refresh_token") != nil) != test.new {
			t.Errorf("%s: %v, another token %v", name, err, second.Extra("refresh_token"))
		}
		w.advance(test.wait)
		if _, err := w.refresh(t, first); (err == nil) != test.againOK {
			t.Errorf("%s: the old token after %s: %v", name, test.wait, err)
		}
	}
}

func TestGoogleGivesARefreshTokenToWhoConsents(t *testing.T) {
	t.Parallel()
	w := like(t, idp.Google(), "/idp")
	offline, consent := oauth2.AccessTypeOffline, oauth2.SetAuthURLParam("prompt", "consent")
	for step, test := range []struct {
		options []oauth2.AuthCodeOption
		given   bool
	}{{nil, false}, {[]oauth2.AuthCodeOption{offline}, false}, {[]oauth2.AuthCodeOption{offline, consent}, true}, {[]oauth2.AuthCodeOption{consent}, false}} {
		code, verifier := w.code(t, test.options...)
		tokens, err := w.client.Exchange(t.Context(), code, oauth2.VerifierOption(verifier))
		if err != nil || (tokens.RefreshToken != "") != test.given {
			t.Errorf("step %d: %v, %v", step, tokens, err)
		}
	}
}
