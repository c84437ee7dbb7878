package doctor_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
)

// An idp is an identity provider that is wrong in a chosen way.
type idp struct {
	said     string // the issuer; "" is the truth
	keys     string // the key set; "" has a key
	sign     http.HandlerFunc
	redeem   http.HandlerFunc
	ahead    string // a Date
	discover http.HandlerFunc
}

func (p idp) start(t *testing.T) (issuer string) {
	t.Helper()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	if p.said == "" {
		p.said = server.URL
	}
	if p.keys == "" {
		p.keys = `{"keys":[{"kty":"RSA"}]}`
	}
	if p.sign == nil {
		p.sign = returnWith("login_required")
	}
	if p.redeem == nil {
		p.redeem = oauthError(http.StatusBadRequest, "invalid_grant")
	}
	if p.discover == nil {
		p.discover = func(w http.ResponseWriter, _ *http.Request) {
			if p.ahead != "" {
				w.Header().Set("Date", p.ahead)
			}
			document := map[string]string{"issuer": p.said, "authorization_endpoint": server.URL + "/authorize", "token_endpoint": server.URL + "/token", "jwks_uri": server.URL + "/keys"}
			if err := json.NewEncoder(w).Encode(document); err != nil {
				t.Error(err)
			}
		}
	}
	mux.HandleFunc("/.well-known/openid-configuration", p.discover)
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(p.keys)) })
	mux.HandleFunc("/authorize", p.sign)
	mux.HandleFunc("/token", p.redeem)
	return server.URL
}

// returnWith sends the browser back with an error.
func returnWith(code string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Query().Get("redirect_uri")+"?error="+code, http.StatusFound)
	}
}

func oauthError(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"error":"` + code + `"}`))
	}
}

// page answers with a page that says something.
func page(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte("<html>" + text + "</html>"))
	}
}
