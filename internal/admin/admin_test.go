package admin_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/admin"
	"github.com/shiftgrant/shiftgrant/internal/audit"
	"github.com/shiftgrant/shiftgrant/internal/grant"
)

// fakeStore keeps apps in memory.
type fakeStore struct {
	mu     sync.Mutex
	apps   map[string]grant.App
	grants []grant.Grant
	people map[string]grant.Person
	keys   ring
}

func (s *fakeStore) App(_ context.Context, _, id string) (grant.App, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	app, ok := s.apps[id]
	if !ok {
		return grant.App{}, grant.ErrNotFound
	}
	return app, nil
}

func (s *fakeStore) Apps(context.Context, string) ([]grant.App, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var apps []grant.App
	for _, app := range s.apps {
		apps = append(apps, app)
	}
	return apps, nil
}

func (s *fakeStore) CreateApp(_ context.Context, app grant.App) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.apps[app.ID]; taken {
		return grant.ErrExists
	}
	s.apps[app.ID] = app
	return nil
}

func (s *fakeStore) RemoveApp(_ context.Context, _, id string, _ time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.apps, id)
	return nil
}

func (s *fakeStore) SetAppSecrets(_ context.Context, _, id string, secrets []grant.AppSecret) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	app := s.apps[id]
	app.Secrets = slices.Clone(secrets)
	s.apps[id] = app
	return nil
}

type fixture struct {
	*admin.Client
	store *fakeStore
	audit []string
	// auditFails makes the record unavailable.
	auditFails bool
}

func start(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{store: &fakeStore{apps: map[string]grant.App{}}}
	// A unix socket's path is limited to about 100 bytes, which t.TempDir can exceed.
	dir, err := os.MkdirTemp("", "sg")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "admin.sock")
	listener, err := admin.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("socket mode %v, %v, want 0600", info.Mode(), err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: admin.Handler(admin.Config{
		Store: f.store, Keys: &f.store.keys, Tenant: grant.DefaultTenant, Logger: slog.New(slog.DiscardHandler),
		CheckID: func(id string) error {
			if id == "redshift-gateway" {
				return errors.New("reserved")
			}
			return nil
		},
		Audit: func(_ context.Context, record audit.Record) error {
			if f.auditFails {
				return errors.New("disk full")
			}
			f.audit = append(f.audit, strings.Join(slices.DeleteFunc([]string{record.Kind, record.App, record.Person, record.Grant}, func(s string) bool { return s == "" }), " "))
			return nil
		},
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		_ = os.RemoveAll(dir)
	})
	f.Client = admin.NewClient(path)
	return f
}

var stargazer = admin.App{ID: "stargazer", Name: "Stargazer", Type: "confidential", RedirectURIs: []string{"https://stargazer.example/callback"}}

func TestSecretIsShownOnceAndKeptAsHash(t *testing.T) {
	t.Parallel()
	f := start(t)
	registered, err := f.AddApp(t.Context(), stargazer)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := grant.ParseToken(grant.ClientSecret, registered.Secret)
	if err != nil {
		t.Fatalf("secret is not one of ours: %v", err)
	}
	if stored := f.store.apps["stargazer"].Secrets; len(stored) != 1 || stored[0].Hash != hash {
		t.Errorf("stored secrets %+v, want the hash of the one shown", stored)
	}
	apps, err := f.Apps(t.Context())
	if err != nil || len(apps) != 1 || len(apps[0].Secrets) != 1 || apps[0].Secrets[0].ID == "" {
		t.Errorf("Apps = %+v, %v", apps, err)
	}
	if want := []string{"app.added stargazer"}; !slices.Equal(f.audit, want) {
		t.Errorf("audit %q, want %q", f.audit, want)
	}
}

func TestRotationKeepsTheSecretBefore(t *testing.T) {
	t.Parallel()
	f := start(t)
	first, err := f.AddApp(t.Context(), stargazer)
	if err != nil {
		t.Fatal(err)
	}
	secrets := []string{first.Secret}
	for range 2 {
		rotated, err := f.RotateSecret(t.Context(), "stargazer")
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, rotated.Secret)
	}
	var live []grant.Hash
	for _, s := range f.store.apps["stargazer"].Secrets {
		live = append(live, s.Hash)
	}
	want := []grant.Hash{grant.HashToken(secrets[1]), grant.HashToken(secrets[2])}
	if !slices.Equal(live, want) {
		t.Errorf("live secrets %v, want the last two of three", live)
	}
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.store.apps["fixed"] = grant.App{ID: "fixed", Type: grant.Confidential, Origin: grant.FromConfig}
	f.store.apps["phone"] = grant.App{ID: "phone", Type: grant.Public, Origin: grant.FromAdmin}
	change := func(edit func(*admin.App)) error {
		app := stargazer
		edit(&app)
		_, err := f.AddApp(t.Context(), app)
		return err
	}
	rotate := func(id string) error { _, err := f.RotateSecret(t.Context(), id); return err }
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"reserved id", change(func(a *admin.App) { a.ID = "redshift-gateway" }), "reserved"},
		{"no type", change(func(a *admin.App) { a.Type = "" }), "public or confidential"},
		{"no redirect", change(func(a *admin.App) { a.RedirectURIs = nil }), "give at least one"},
		{"bad redirect", change(func(a *admin.App) { a.RedirectURIs = []string{"http://x.example/"} }), "use https"},
		{"two scopes in one", change(func(a *admin.App) { a.Scopes = []string{"sql:read sql:write"} }), "string of its own"},
		{"taken id", change(func(a *admin.App) { a.ID = "phone" }), "Choose another id"},
		{"remove an unknown app", f.RemoveApp(t.Context(), "nobody"), "nothing of this name"},
		{"remove a configured app", f.RemoveApp(t.Context(), "fixed"), "configuration file"},
		{"rotate a configured app", rotate("fixed"), "configuration file"},
		{"rotate a public app", rotate("phone"), "no secret"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, c.err, c.want)
		}
	}
}

func TestNothingChangesUnaudited(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.auditFails = true
	if _, err := f.AddApp(t.Context(), stargazer); err == nil {
		t.Error("an app was added without an audit record")
	}
	if len(f.store.apps) != 0 {
		t.Errorf("apps %v, want none", f.store.apps)
	}
}

func TestClientSaysWhenNoGatewayRuns(t *testing.T) {
	t.Parallel()
	_, err := admin.NewClient(filepath.Join(t.TempDir(), "admin.sock")).Apps(t.Context())
	if err == nil || !strings.Contains(err.Error(), "shiftgrant serve") {
		t.Errorf("error %v, want one that says how to start the gateway", err)
	}
}

func TestOneGatewayPerDataFolder(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "sg")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "admin.sock")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := admin.Listen(path)
	if err != nil {
		t.Fatalf("a socket left behind: %v", err)
	}
	defer listener.Close()
	if _, err := admin.Listen(path); err == nil || !strings.Contains(err.Error(), "another gateway") {
		t.Errorf("second gateway: %v", err)
	}
}
