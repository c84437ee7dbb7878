package oauth_test

import (
	"encoding/json"
	"flag"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/shiftgrant/shiftgrant/internal/oauth"
)

var update = flag.Bool("update", false, "write the golden files")

// MD-01, MD-02, MD-03: the documents, byte for byte.
func TestMD01Metadata(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for path, golden := range map[string]string{
		"/.well-known/oauth-authorization-server": "testdata/authorization-server.json",
		"/.well-known/openid-configuration":       "testdata/authorization-server.json",
		"/.well-known/oauth-protected-resource":   "testdata/protected-resource.json",
	} {
		response := w.request("GET", path, "", nil)
		got := read(t, response)
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != 200 || response.Header.Get("Content-Type") != "application/json" || got != string(want) {
			t.Errorf("%s: %d\n%s", path, response.StatusCode, cmp.Diff(string(want), got))
		}
	}
}

// MD-01: the path of an issuer goes in between, and leads back to the same issuer.
func TestMD01IssuerWithAPath(t *testing.T) {
	t.Parallel()
	const issuer = "https://grants.example/t/acme"
	w := newWorld(t, func(c *oauth.Config) { c.Issuer = issuer })
	for _, path := range []string{
		"/.well-known/oauth-authorization-server/t/acme", "/.well-known/openid-configuration/t/acme", "/t/acme/.well-known/openid-configuration",
	} {
		var got map[string]any
		if err := json.Unmarshal([]byte(read(t, w.request("GET", path, "", nil))), &got); err != nil || got["issuer"] != issuer || got["token_endpoint"] != issuer+"/oauth2/token" {
			t.Errorf("%s: %v %v", path, got, err)
		}
	}
	var resource map[string]any
	path := "/.well-known/oauth-protected-resource/t/acme"
	if err := json.Unmarshal([]byte(read(t, w.request("GET", path, "", nil))), &resource); err != nil || resource["resource"] != issuer {
		t.Errorf("%s: %v %v", path, resource, err)
	}
	if got := w.server.ResourceMetadataURL(); got != "https://grants.example"+path {
		t.Errorf("the challenge names %s", got)
	}
	for _, path := range []string{"/.well-known/oauth-authorization-server", "/oauth2/token", "/.well-known/oauth-protected-resource"} {
		if response := w.request("GET", path, "", nil); response.StatusCode != 404 {
			t.Errorf("%s of another tenant: %d", path, response.StatusCode)
		}
	}
	if response := w.request("GET", "/t/acme/oauth2/authorize?"+good(public).Encode(), "alice", nil); response.StatusCode != 200 {
		t.Errorf("authorize: %d", response.StatusCode)
	}
}

// MD-04, T25: nothing follows the headers of a request.
func TestMD04NothingComesFromHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	evil := []string{
		"X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "http", "X-Forwarded-For", "6.6.6.6", "X-Forwarded-Prefix", "/evil",
		"X_Forwarded_Host", "evil.example", "Forwarded", "host=evil.example;proto=http", "X-Original-URL", "/evil", "X-Rewrite-URL", "/evil",
		"X-Host", "evil.example", "X-Forwarded-User", "alice", "X-Forwarded-Uri", "/evil", "User-Agent", "GoogleHC/1.0",
	}
	for _, host := range []string{"grants.example", "evil.example", "evil.example:443", ""} {
		request := func(method, target, who string, form url.Values) *http.Response {
			return w.requestTo(host, method, target, who, form, evil...)
		}
		for _, path := range []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/.well-known/oauth-protected-resource", "/oauth2/jwks"} {
			plain, got := read(t, w.request("GET", path, "", nil)), request("GET", path, "", nil)
			if body := read(t, got); body != plain {
				t.Errorf("host %q, %s: %s", host, path, cmp.Diff(plain, body))
			}
		}
		response := request("GET", "/oauth2/authorize?"+good(public, "scope", "nonsense").Encode(), "alice", nil)
		if got := answer(t, response); got.Get("iss") != issuerURL || !strings.HasPrefix(response.Header.Get("Location"), public.RedirectURIs[0]+"?") {
			t.Errorf("host %q: redirected to %q", host, response.Header.Get("Location"))
		}
		if got := request("GET", "/oauth2/userinfo", "alice", nil); got.StatusCode != 401 || strings.Contains(got.Header.Get("WWW-Authenticate"), "evil") {
			t.Errorf("host %q: userinfo %d %s", host, got.StatusCode, got.Header.Get("WWW-Authenticate"))
		}
		if got := request("GET", "/connections", "", nil); got.StatusCode != 303 || got.Header.Get("Location") != "/signin" {
			t.Errorf("host %q: connections %d to %q", host, got.StatusCode, got.Header.Get("Location"))
		}
	}
}

// AZ-09 is the other half: pages never answer other origins.
func TestOtherOriginsMayCallEndpointsButNotPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for path, open := range map[string]bool{
		"/oauth2/token": true, "/oauth2/revoke": true, "/oauth2/userinfo": true, "/oauth2/jwks": true,
		"/.well-known/oauth-authorization-server": true, "/.well-known/openid-configuration": true, "/.well-known/oauth-protected-resource": true,
		"/oauth2/authorize": false, "/oauth2/authorize/decision": false, "/connections": false, "/": false,
	} {
		for _, method := range []string{"OPTIONS", "GET", "POST"} {
			response := w.request(method, path, "alice", url.Values{}, "Origin", "https://evil.example", "Access-Control-Request-Method", "POST")
			header := response.Header
			if got := header.Get("Access-Control-Allow-Origin"); (got == "*") != open || got != "" && got != "*" {
				t.Errorf("%s %s: allows %q", method, path, got)
			}
			if header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s %s: with cookies", method, path)
			}
			if method == "OPTIONS" && open && response.StatusCode != 204 {
				t.Errorf("%s %s: %d", method, path, response.StatusCode)
			}
		}
	}
}

func TestJWKSAreTheIssuers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := read(t, w.request("GET", "/oauth2/jwks", "", nil))
	if got != string(signer(t).JWKS()) || !strings.Contains(got, `"RSA"`) || strings.Contains(got, `"d"`) {
		t.Errorf("%s", got)
	}
	if response := w.request("POST", "/oauth2/jwks", "", url.Values{}); response.StatusCode != 405 || response.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d, Allow %q", response.StatusCode, response.Header.Get("Allow"))
	}
}

// RS-01, RS-03, RS-05.
func TestUserinfo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	full, _ := w.connect("alice", public, "scope", "openid profile email sql:read")
	brief, _ := w.connect("alice", public, "scope", "openid")
	data, _ := w.connect("alice", public, "scope", "sql:read")
	const metadata = `resource_metadata="https://grants.example/.well-known/oauth-protected-resource"`
	for _, c := range []struct {
		name, target string
		bearer       string
		status       int
		words        []string
		without      []string
	}{
		{"everything", "", full, 200, []string{`"sub":"per_alice"`, `"name":"Alice"`, `"email":"alice@example.com"`, `"email_verified":false`, `"preferred_username":"alice"`, `"database_user":"alice"`, `"warehouse":"tickit"`}, nil},
		{"who somebody is, and no more", "", brief, 200, []string{`{"sub":"per_alice"}`}, nil},
		{"RS-03: not enough", "", data, 403, []string{`error="insufficient_scope"`, `scope="openid"`, metadata}, nil},
		{"RS-03: no token", "", "", 401, []string{`Bearer realm="shiftgrant"`, metadata}, []string{"error="}},
		{"RS-01: a token in the query", "?access_token=" + full, "", 401, []string{metadata}, []string{"error="}},
		{"RS-01: two tokens", "?access_token=" + full, full, 400, []string{`error="invalid_request"`}, nil},
		{"junk", "", "junk", 401, []string{`error="invalid_token"`, metadata}, nil},
		{"another kind of token", "", strings.Replace(full, "sg_at_", "sg_rt_", 1), 401, []string{`error="invalid_token"`}, nil},
	} {
		for _, method := range []string{"GET", "POST"} {
			headers := []string{}
			if c.bearer != "" {
				headers = []string{"Authorization", "Bearer " + c.bearer}
			}
			response := w.request(method, "/oauth2/userinfo"+c.target, "", nil, headers...)
			text := response.Header.Get("WWW-Authenticate") + read(t, response)
			if response.StatusCode != c.status {
				t.Errorf("%s by %s: %d %s", c.name, method, response.StatusCode, text)
			}
			for _, words := range c.words {
				if !strings.Contains(text, words) {
					t.Errorf("%s by %s: %s has no %s", c.name, method, text, words)
				}
			}
			for _, words := range c.without {
				if strings.Contains(text, words) {
					t.Errorf("%s by %s: %s has %s", c.name, method, text, words)
				}
			}
			if response.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: may be cached", c.name)
			}
		}
	}
	w.store.fail(errDown)
	w.pass(1e9)
	if response := w.request("GET", "/oauth2/userinfo", "", nil, "Authorization", "Bearer "+full); response.StatusCode != 503 {
		t.Errorf("store down: %d, and the app would drop its token", response.StatusCode)
	}
}
