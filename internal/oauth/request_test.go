package oauth

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

func FuzzAuthorizeRequest(f *testing.F) {
	f.Add("client_id=a&redirect_uri=https%3A%2F%2Fa.example&response_type=code&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256&state=s&scope=sql:read")
	f.Add("prompt=none+login&max_age=0&shiftgrant_since=1&resource=a&resource=b")
	f.Add("client_id=a&client_id=b;c=%zz")
	f.Fuzz(func(t *testing.T, query string) {
		p, err := parseParameters(query)
		if err != nil {
			return
		}
		q := parseAuthorizeRequest(p)
		if len(p.values["client_id"]) > 1 && q.clientID != "" || len(p.values["redirect_uri"]) > 1 && q.redirectURI != "" {
			t.Error("one of two values was chosen")
		}
		if !isVisible(q.state) || len(p.values["state"]) > 1 && q.state != "" {
			t.Errorf("state %q would be echoed", q.state)
		}
		if q.fault != nil {
			checkDescription(t, q.fault)
			return
		}
		if len(q.challenge) != 43 || p.get("code_challenge_method") != "S256" || p.get("response_type") != "code" || p.anyRepeated() {
			t.Errorf("accepted %q", query)
		}
		if q.prompt.none && (q.prompt.login || q.prompt.consent) {
			t.Errorf("accepted prompts %q", p.get("prompt"))
		}
	})
}

func FuzzTokenRequest(f *testing.F) {
	f.Add("grant_type=authorization_code&code=c&redirect_uri=r&code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk&client_id=a", "")
	f.Add("grant_type=refresh_token&refresh_token=r&client_id=a&client_secret=s", "Basic YTpi")
	f.Add("grant_type=refresh_token&refresh_token=r", "Basic JTAwOiUwMA==")
	f.Fuzz(func(t *testing.T, body, authorization string) {
		r, err := http.NewRequest("POST", "/oauth2/token", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		form, err := readForm(r)
		if err != nil {
			return
		}
		if form.anyRepeated() || len(body) > maxForm {
			t.Errorf("accepted %q", body)
		}
		if client, fault := readClient(r.Header, form); fault != nil {
			checkDescription(t, fault)
		} else if client.id == "" || authorization != "" && form.has("client_secret") {
			t.Errorf("client %q of %q", client.id, body)
		}
		q, fault := parseTokenRequest(form)
		if fault != nil {
			checkDescription(t, fault)
			return
		}
		if q.code.IsZero() == q.refresh.IsZero() || !q.code.IsZero() && (!isVerifier(q.verifier.Reveal()) || q.redirectURI == "") {
			t.Errorf("accepted %q", body)
		}
	})
}

// checkDescription is TK-13.
func checkDescription(t *testing.T, f *fault) {
	t.Helper()
	for _, c := range f.code + f.description {
		if c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			t.Errorf("%q has %q", f.Error(), c)
		}
	}
}

func TestCacheMemoryIsBounded(t *testing.T) {
	t.Parallel()
	cache, now := &accessCache{}, time.Unix(0, 0)
	for i := range 3 * cacheSize {
		hash := grant.HashToken(time.Unix(int64(i), 0).String())
		cache.put(hash, &grant.Access{}, now, 0)
		if access, _ := cache.get(hash, now); access == nil {
			t.Fatal("what was put is not there")
		}
	}
	if n := len(cache.recent) + len(cache.older); n > 2*cacheSize {
		t.Errorf("%d entries", n)
	}
}
