package gateway

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

func TestTenantsDeriveOtherKeysFromTheSameRoot(t *testing.T) {
	t.Parallel()
	var root keyRing
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := root.open(folder, Keys{}, nil); err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, name := range []string{grant.DefaultTenant, "acme", "globex"} {
		own, err := root.of(&Config{Data: folder, tenant: name})
		if err != nil {
			t.Fatal(err)
		}
		session, _, err := own.derive("sign-in sessions")
		if err != nil {
			t.Fatal(err)
		}
		for what, key := range map[string][]byte{"sessions": session, "rotation": own.rotation[0].Bytes} {
			if other, same := seen[string(key)]; same {
				t.Errorf("the key of %s for %s is that of %s", name, what, other)
			}
			seen[string(key)] = name + " for " + what
		}
		if own.ring != root.ring || own.rotation[0].Version != root.rotation[0].Version {
			t.Errorf("%s has a ring or versions of its own", name)
		}
		if isRoot := bytes.Equal(own.rotation[0].Bytes, root.rotation[0].Bytes); isRoot != (name == grant.DefaultTenant) {
			t.Errorf("%s derives refresh tokens by the root itself: %v", name, isRoot)
		}
	}
}

// get gives the status and the body of a path.
func get(t *testing.T, address string) (status int, body string) {
	t.Helper()
	response, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(content)
}

func TestGatewayOfTenantsOnlyHasNothingAtItsBase(t *testing.T) {
	t.Parallel()
	// A unix socket's path is short.
	folder, err := os.MkdirTemp("", "sg-tenants-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + listener.Addr().String()
	g, err := New(t.Context(), Config{
		Issuer: base, Data: folder,
		Tenants: []Tenant{{
			Name:      "acme",
			Upstreams: []Upstream{{Name: "okta", Issuer: "https://acme.okta.example", ClientID: "abc"}},
			Warehouses: []Warehouse{{
				Name: "orders", Region: "eu-west-1", Workgroup: "orders", Database: "dev",
				Identity: Identity{RoleARN: "arn:aws:iam::210987654321:role/shiftgrant"},
			}},
		}},
	}, Options{Listener: listener, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	for path, want := range map[string]int{
		"/": 404, "/connections": 404, "/oauth2/token": 404, "/oauth2/jwks": 404, "/.well-known/openid-configuration": 404, "/signin": 404, "/v1/warehouses": 404,
		"/healthz": 200, "/t/acme/": 200, "/t/acme/oauth2/jwks": 200, "/.well-known/oauth-authorization-server/t/acme": 200,
	} {
		if got, _ := get(t, base+path); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	if _, home := get(t, base+"/t/acme/"); !strings.Contains(home, "acme") {
		t.Errorf("the front page does not say whose it is:\n%s", home)
	}
	// The default tenant's keys would be made by a gateway that has one.
	for _, c := range []struct {
		folder string
		want   int
	}{{"", 0}, {"t/acme", 1}} {
		keys, err := filepath.Glob(filepath.Join(folder, "keys", "issuer", c.folder, "signing-*"))
		if err != nil || len(keys) != c.want {
			t.Errorf("signing keys in %q: %v, %v", c.folder, keys, err)
		}
	}
}
