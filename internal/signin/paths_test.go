package signin

import (
	"strings"
	"testing"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

func TestSignInLeadsBackIntoItsTenant(t *testing.T) {
	t.Parallel()
	for base, paths := range map[string]map[string]string{
		"": {
			"/": "/", "/connections": "/connections", "/oauth2/authorize?client_id=a&scope=x%20y": "/oauth2/authorize?client_id=a&scope=x%20y",
			"": "/", "//evil.example/": "/", "https://evil.example/": "/", "connections": "/",
		},
		"/t/acme": {
			"/t/acme/": "/t/acme/", "/t/acme/device?user_code=A": "/t/acme/device?user_code=A",
			"/": "/t/acme/", "": "/t/acme/", "/t/globex/": "/t/acme/", "/t/acme2/": "/t/acme/", "/t/acme/../globex/": "/t/acme/", "/t/acme/%2e%2e/globex/": "/t/acme/",
			"//evil.example/t/acme/": "/t/acme/",
		},
	} {
		s := &SignIn{base: base}
		for path, want := range paths {
			if got := s.localPath(path); got != want {
				t.Errorf("at %q, %q leads to %q, want %q", base, path, got, want)
			}
		}
	}
}

func TestCookiesOfTenantsDoNotCollide(t *testing.T) {
	t.Parallel()
	owners := map[string]string{} // by prefix
	for _, tenant := range []string{grant.DefaultTenant, "okta", "tx", "a", "a-b"} {
		for _, name := range []string{"okta", "tx", "a", "b", "a-b", "okta-a"} {
			prefix := (&SignIn{config: Config{Tenant: tenant}}).cookiePrefix(&upstream{Upstream: Upstream{Name: name}})
			if other, taken := owners[prefix]; taken {
				t.Errorf("%s is of %s/%s and of %s", prefix, tenant, name, other)
			}
			owners[prefix] = tenant + "/" + name
		}
	}
	// Sign-ins are found by how their cookies' names begin, and removed when they are too many.
	for mine, owner := range owners {
		for other := range owners {
			if other != mine && (strings.HasPrefix(other, mine+"_tx_") || strings.HasPrefix(other+"_tx_00000000", mine+"_tx_")) {
				t.Errorf("%s takes %s for a sign-in of its own", owner, other)
			}
		}
	}
}
