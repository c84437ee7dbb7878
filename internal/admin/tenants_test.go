package admin_test

import (
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/admin"
	"github.com/shiftgrant/shiftgrant/internal/grant"
)

// startTenants serves tenants that have an app each, of their own name.
func startTenants(t *testing.T, names ...string) *admin.Client {
	t.Helper()
	handlers := map[string]http.Handler{}
	for _, name := range names {
		store := &fakeStore{apps: map[string]grant.App{name: {Tenant: name, ID: name, Type: grant.Public}}}
		handlers[name] = admin.Handler(admin.Config{Store: store, Tenant: name, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	}
	path := filepath.Join(t.TempDir(), "admin.sock")
	listener, err := admin.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: admin.Tenants(handlers, slog.New(slog.DiscardHandler)), ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return admin.NewClient(path)
}

func TestEachTenantIsAdministratedApart(t *testing.T) {
	t.Parallel()
	client := startTenants(t, grant.DefaultTenant, "acme")
	for tenant, c := range map[string]*admin.Client{
		grant.DefaultTenant: client, "acme": client.For("acme"),
	} {
		if apps, err := c.Apps(t.Context()); err != nil || len(apps) != 1 || apps[0].ID != tenant {
			t.Errorf("apps of %s: %v, %v", tenant, apps, err)
		}
	}
	if apps, err := client.For("acme").For(grant.DefaultTenant).Apps(t.Context()); err != nil || apps[0].ID != grant.DefaultTenant {
		t.Errorf("back at the default tenant: %v, %v", apps, err)
	}
	for _, name := range []string{"globex", "", "../acme", "acme/../.."} {
		if apps, err := client.For(name).Apps(t.Context()); err == nil || !strings.Contains(err.Error(), "it has acme, default.") {
			t.Errorf("tenant %q: %v, %v", name, apps, err)
		}
	}
}

func TestGatewayWithoutADefaultTenantSaysSo(t *testing.T) {
	t.Parallel()
	client := startTenants(t, "acme")
	if apps, err := client.Apps(t.Context()); err == nil || !strings.Contains(err.Error(), "--tenant") {
		t.Errorf("apps %v, %v", apps, err)
	}
	if apps, err := client.For("acme").Apps(t.Context()); err != nil || len(apps) != 1 {
		t.Errorf("apps %v, %v", apps, err)
	}
}
