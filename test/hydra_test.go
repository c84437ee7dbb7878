package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"golang.org/x/oauth2"

	"github.com/shiftgrant/shiftgrant/twin/person"
	"github.com/shiftgrant/shiftgrant/twin/postgres"
)

// hydra is a running Ory Hydra, a certified OpenID provider in Go, on a PostgreSQL of its own. It has
// no pages: who signs in is decided by the program that it sends browsers to, which here says bob.
type hydra struct {
	issuer, admin string
	log           *lockedBuffer
}

// buildHydra builds it, where it is not built yet, from the module in test/idps, which keeps its dependencies
// away from the product.
func buildHydra(t *testing.T) string {
	t.Helper()
	build := exec.CommandContext(t.Context(), "go", "tool", "-n", "hydra")
	var said bytes.Buffer
	build.Dir, build.Env, build.Stderr = "idps", append(os.Environ(), "CGO_ENABLED=0"), &said
	path, err := build.Output()
	if err != nil {
		t.Fatalf("build Hydra: %v\n%s", err, &said)
	}
	return strings.TrimSpace(string(path))
}

// hydraDatabase is an empty one, in a PostgreSQL that ends with the test.
func hydraDatabase(t *testing.T) string {
	t.Helper()
	server, err := postgres.Start(t.Context(), postgres.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	folder, port := server.Socket()
	at := func(database string) string {
		query := url.Values{"host": {folder}, "port": {strconv.Itoa(port)}, "sslmode": {"disable"}}
		return "postgres://rdsdb@/" + database + "?" + query.Encode()
	}
	conn, err := pgx.Connect(t.Context(), at("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = conn.Exec(t.Context(), "CREATE DATABASE hydra TEMPLATE template0")
	if err := errors.Join(err, conn.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	return at("hydra")
}

// startHydra serves, with one client for the gateway.
func startHydra(t *testing.T, redirect, secret string) *hydra {
	t.Helper()
	binary, dsn := buildHydra(t), hydraDatabase(t)
	public, admin := freePort(t), freePort(t)
	h := &hydra{issuer: fmt.Sprintf("http://localhost:%d", public), admin: fmt.Sprintf("http://localhost:%d", admin), log: &lockedBuffer{}}
	pages := httptest.NewServer(http.HandlerFunc(h.decide))
	t.Cleanup(pages.Close)
	environment := append(os.Environ(), "DSN="+dsn, "SECRETS_SYSTEM=a-secret-of-this-test-alone", "SQA_OPT_OUT=true", "LOG_LEVEL=warn",
		"URLS_SELF_ISSUER="+h.issuer, "URLS_LOGIN="+pages.URL+"/login", "URLS_CONSENT="+pages.URL+"/consent",
		"SERVE_PUBLIC_HOST=127.0.0.1", fmt.Sprint("SERVE_PUBLIC_PORT=", public), "SERVE_ADMIN_HOST=127.0.0.1", fmt.Sprint("SERVE_ADMIN_PORT=", admin))
	migrate := exec.CommandContext(t.Context(), binary, "migrate", "sql", "--read-from-env", "--yes")
	migrate.Env = environment
	if output, err := migrate.CombinedOutput(); err != nil {
		t.Fatalf("make Hydra's tables: %v\n%s", err, output)
	}
	serve := exec.Command(binary, "serve", "all", "--dev", "--sqa-opt-out")
	serve.Env, serve.Stdout, serve.Stderr = environment, h.log, h.log
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = serve.Process.Kill()
		_ = serve.Wait()
	})
	waitFor(t, h.admin+"/health/ready", h.log)
	h.call(t, http.MethodPost, "/admin/clients", map[string]any{
		"client_id": "shiftgrant", "client_secret": secret, "redirect_uris": []string{redirect}, "scope": "openid profile email offline_access",
		"grant_types": []string{"authorization_code", "refresh_token"}, "response_types": []string{"code"}, "token_endpoint_auth_method": "client_secret_basic",
	})
	return h
}

// call asks Hydra's administration.
func (h *hydra) call(t *testing.T, method, path string, question any) {
	t.Helper()
	if _, err := h.ask(method, path, question); err != nil {
		t.Fatalf("%v\n%s", err, h.log)
	}
}

func (h *hydra) ask(method, path string, question any) (map[string]any, error) {
	body, err := json.Marshal(question)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequest(method, h.admin+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNoContent {
		return nil, nil
	}
	var answer map[string]any
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || response.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s %s: %s: %v, %w", method, path, response.Status, answer, err)
	}
	return answer, nil
}

// decide is the program that says who signs in, and to what they consent.
func (h *hydra) decide(w http.ResponseWriter, r *http.Request) {
	kind := strings.TrimPrefix(r.URL.Path, "/")
	challenge := url.Values{kind + "_challenge": {r.URL.Query().Get(kind + "_challenge")}}.Encode()
	accepted := map[string]any{"subject": "hydra|bob"}
	if kind == "consent" {
		asked, err := h.ask(http.MethodGet, "/admin/oauth2/auth/requests/consent?"+challenge, nil)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		accepted = map[string]any{"grant_scope": asked["requested_scope"], "session": map[string]any{
			"id_token": map[string]any{"preferred_username": "bob", "name": "Bob of Hydra", "email": "bob@example.com", "email_verified": true},
		}}
	}
	answer, err := h.ask(http.MethodPut, "/admin/oauth2/auth/requests/"+kind+"/accept?"+challenge, accepted)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	http.Redirect(w, r, fmt.Sprint(answer["redirect_to"]), http.StatusFound)
}

func TestHydraSignsPeopleInAndIsAskedAboutThemAgain(t *testing.T) {
	t.Parallel()
	const secret, appRedirect = "a-secret-of-the-company-idp", "http://127.0.0.1:49154/callback"
	port := freePort(t)
	gatewayURL := fmt.Sprintf("http://localhost:%d", port)
	h := startHydra(t, gatewayURL+"/signin/callback/company", secret)
	g := startGateway(t, gatewayConfig{
		port: port, upstream: h.issuer, clientSecret: secret, redirect: appRedirect,
		upstreamKeys: "scopes: [openid, profile, email, offline_access]\ncheck_every: 1ms", // the gateway asks Hydra each time
	})
	app := oauth2.Config{
		ClientID: "test-app", RedirectURL: appRedirect, Scopes: []string{"openid", "profile", "offline_access", "sql:read"},
		Endpoint: oauth2.Endpoint{AuthURL: gatewayURL + "/oauth2/authorize", TokenURL: gatewayURL + "/oauth2/token", AuthStyle: oauth2.AuthStyleInParams},
	}
	verifier := oauth2.GenerateVerifier()
	back, err := person.New("bob", "").Authorize(t.Context(), app.AuthCodeURL("state", oauth2.S256ChallengeOption(verifier)), person.Allow)
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, g.log, h.log)
	}
	tokens, err := app.Exchange(t.Context(), back.Query().Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	refresh := func() error {
		fresh, err := app.TokenSource(t.Context(), &oauth2.Token{RefreshToken: tokens.RefreshToken}).Token()
		if err == nil {
			tokens = fresh
		}
		return err
	}
	for range 3 { // Hydra takes each of its refresh tokens once
		if err := refresh(); err != nil {
			t.Fatalf("%v\n%s\n%s", err, g.log, h.log)
		}
	}
	h.call(t, http.MethodDelete, "/admin/oauth2/auth/sessions/consent?subject=hydra%7Cbob&all=true", nil)
	var refused *oauth2.RetrieveError
	if err := refresh(); !errors.As(err, &refused) || refused.ErrorCode != "invalid_grant" {
		t.Errorf("Hydra knows bob no longer, and a refresh gives %v\n%s", err, g.log)
	}
}
