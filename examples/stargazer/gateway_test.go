package stargazer_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	clientID     = "stargazer"
	clientSecret = "shine-on"
)

// fakeGateway is as much of a gateway as Stargazer sees: it authorizes at once, as alice, and
// answers queries from a table.
type fakeGateway struct {
	*httptest.Server
	key *rsa.PrivateKey

	mu      sync.Mutex
	codes   map[string]url.Values // authorization requests by their code
	tokens  map[string]bool       // access and refresh tokens that are alive
	denies  bool                  // the person says no
	down    bool                  // every answer is 503
	revoked []string
	asked   []string
	answers map[string]string // SQL to NDJSON; or to a problem, when it begins with {"type"
}

func newGateway(t *testing.T) *fakeGateway {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	g := &fakeGateway{key: key, codes: map[string]url.Values{}, tokens: map[string]bool{}, answers: map[string]string{
		"select current_user": "{\"columns\":[{\"name\":\"current_user\",\"type\":\"varchar\"}]}\n[\"alice\"]\n{\"row_count\":1,\"truncated\":false,\"complete\":true}\n",
	}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/oauth-authorization-server", g.metadata)
	mux.HandleFunc("GET /.well-known/openid-configuration", g.metadata)
	mux.HandleFunc("GET /keys", g.keys)
	mux.HandleFunc("GET /authorize", g.authorize)
	mux.HandleFunc("POST /token", g.token)
	mux.HandleFunc("POST /revoke", g.revoke)
	mux.HandleFunc("POST /v1/query", g.query)
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.is(&g.down) {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(g.Close)
	return g
}

func (g *fakeGateway) is(flag *bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return *flag
}

func (g *fakeGateway) set(flag *bool, value bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	*flag = value
}

func (g *fakeGateway) metadata(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer": g.URL, "authorization_endpoint": g.URL + "/authorize", "token_endpoint": g.URL + "/token",
		"revocation_endpoint": g.URL + "/revoke", "jwks_uri": g.URL + "/keys",
		"response_types_supported": []string{"code"}, "grant_types_supported": []string{"authorization_code", "refresh_token"},
		"code_challenge_methods_supported": []string{"S256"}, "id_token_signing_alg_values_supported": []string{"RS256"},
		"subject_types_supported": []string{"public"}, "authorization_response_iss_parameter_supported": true,
		"token_endpoint_auth_methods_supported":      []string{"client_secret_basic"},
		"revocation_endpoint_auth_methods_supported": []string{"client_secret_basic"},
	})
}

func (g *fakeGateway) keys(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: g.key.Public(), KeyID: "1", Algorithm: "RS256", Use: "sig"}}})
}

func (g *fakeGateway) authorize(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	answer := url.Values{"state": {query.Get("state")}, "iss": {g.URL}}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.denies {
		answer.Set("error", "access_denied")
	} else {
		code := rand.Text()
		g.codes[code] = query
		answer.Set("code", code)
	}
	http.Redirect(w, r, query.Get("redirect_uri")+"?"+answer.Encode(), http.StatusSeeOther)
}

func (g *fakeGateway) token(w http.ResponseWriter, r *http.Request) {
	id, password, _ := r.BasicAuth()
	g.mu.Lock()
	defer g.mu.Unlock()
	request, ok := g.codes[r.FormValue("code")]
	delete(g.codes, r.FormValue("code"))
	challenge := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	switch {
	case id != clientID || password != clientSecret:
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
	case !ok || request.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(challenge[:]):
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
	default:
		access, refresh := rand.Text(), rand.Text()
		g.tokens[access], g.tokens[refresh] = true, true
		writeJSON(w, http.StatusOK, map[string]any{
			"access_token": access, "refresh_token": refresh, "token_type": "Bearer", "expires_in": 600,
			"scope": request.Get("scope"), "id_token": g.idToken(request.Get("nonce")),
		})
	}
}

func (g *fakeGateway) idToken(nonce string) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: g.key, KeyID: "1"}}, nil)
	if err != nil {
		panic(err)
	}
	now := time.Now()
	token, err := jwt.Signed(signer).Claims(map[string]any{
		"iss": g.URL, "sub": "per_alice", "aud": clientID, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "nonce": nonce,
		"name": "Alice Anders", "email": "alice@example.com", "preferred_username": "alice",
	}).Serialize()
	if err != nil {
		panic(err)
	}
	return token
}

func (g *fakeGateway) revoke(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.revoked = append(g.revoked, r.FormValue("token"))
	clear(g.tokens)
	w.WriteHeader(http.StatusOK)
}

func (g *fakeGateway) query(w http.ResponseWriter, r *http.Request) {
	var request struct{ Query, SQL string }
	body, _ := io.ReadAll(r.Body)
	if err := json.Unmarshal(body, &request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	sql := request.Query + request.SQL
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = append(g.asked, sql)
	answer := g.answers[sql]
	switch {
	case !g.tokens[token]:
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		writeProblem(w, http.StatusUnauthorized, `{"type":"urn:shiftgrant:problem:invalid-token","title":"The token is not valid","status":401}`)
	case answer == "":
		writeProblem(w, http.StatusUnprocessableEntity, `{"type":"urn:shiftgrant:problem:sql","title":"relation does not exist","status":422,"sqlstate":"42P01","request_id":"req_1"}`)
	case strings.HasPrefix(answer, `{"type"`):
		writeProblem(w, http.StatusUnprocessableEntity, answer)
	default:
		w.Header().Set("Content-Type", "application/x-ndjson")
		_, _ = io.WriteString(w, answer)
	}
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}

func writeProblem(w http.ResponseWriter, status int, document string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, document)
}
