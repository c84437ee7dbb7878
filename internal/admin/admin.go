// Package admin is how an operator changes a running gateway: HTTP over a unix socket in the
// data folder, readable by its owner only. The public listener has no admin API, so there is
// no key for it that could leak.
//
// Who can open the socket can register apps and read nothing secret back: a client secret is
// shown once, when it is made.
package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/shiftgrant/shiftgrant/internal/audit"
	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/secret"
	"github.com/shiftgrant/shiftgrant/internal/web"
)

// Store is what the admin API needs of the store.
type Store interface {
	App(ctx context.Context, tenant, id string) (grant.App, error)
	Apps(ctx context.Context, tenant string) ([]grant.App, error)
	CreateApp(ctx context.Context, app grant.App) error
	RemoveApp(ctx context.Context, tenant, id string, at time.Time) error
	SetAppSecrets(ctx context.Context, tenant, id string, secrets []grant.AppSecret) error

	FindGrants(ctx context.Context, tenant string, f grant.Filter, limit int) ([]grant.Grant, error)
	// RevokeGrants tells how many it ended.
	RevokeGrants(ctx context.Context, tenant string, f grant.Filter, why string, at time.Time) (int, error)

	People(ctx context.Context, tenant string) ([]grant.Person, error)
	// FindPerson takes an id or a database user.
	FindPerson(ctx context.Context, tenant, name string) (grant.Person, error)
	DisablePerson(ctx context.Context, tenant, id string, at time.Time) error
	EnablePerson(ctx context.Context, tenant, id string) error
	SignOutPerson(ctx context.Context, tenant, id string, at time.Time) error
}

// Config is what the admin API is built from.
type Config struct {
	Store  Store
	Keys   Keys
	Tenant string
	// CheckID refuses app ids that mean something else; nil refuses none.
	CheckID func(id string) error
	// Audit makes a change durable in the record before it happens.
	Audit  func(ctx context.Context, record audit.Record) error
	Now    func() time.Time
	Logger *slog.Logger
}

// App is an app as the admin API shows it.
type App struct {
	ID           string    `json:"id"`
	Name         string    `json:"name"`
	Homepage     string    `json:"homepage,omitzero"`
	Type         string    `json:"type"`
	RedirectURIs []string  `json:"redirect_uris"`
	Scopes       []string  `json:"scopes,omitempty"`
	Secrets      []Secret  `json:"secrets,omitempty"`
	Origin       string    `json:"origin,omitzero"`
	CreatedAt    time.Time `json:"created_at,omitzero"`
}

// Secret names a client secret without showing it.
type Secret struct {
	ID        string    `json:"id"`
	CreatedAt time.Time `json:"created_at"`
}

// Registered is the answer to a new app or a rotated secret: the one time that the secret is
// shown.
type Registered struct {
	App    App    `json:"app"`
	Secret string `json:"secret,omitzero"`
}

type server struct{ Config }

// Handler serves the admin API.
func Handler(config Config) http.Handler {
	if config.Now == nil {
		config.Now = time.Now
	}
	s := &server{config}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /apps", s.list)
	mux.HandleFunc("POST /apps", s.add)
	mux.HandleFunc("DELETE /apps/{id}", s.remove)
	mux.HandleFunc("POST /apps/{id}/secrets", s.rotate)
	mux.HandleFunc("GET /keys", s.listKeys)
	mux.HandleFunc("POST /keys", s.rotateKey)
	mux.HandleFunc("GET /grants", s.listGrants)
	mux.HandleFunc("POST /grants/revoke", s.revokeGrants)
	mux.HandleFunc("GET /people", s.listPeople)
	mux.HandleFunc("POST /people/{name}/{change}", s.changePerson)
	return web.Log(config.Logger, mux)
}

// Listen opens the socket, owner only. A socket left behind by a killed gateway is replaced;
// one that answers is an error, because then another gateway has this data folder.
func Listen(path string) (net.Listener, error) {
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = conn.Close()
		return nil, fmt.Errorf("open admin socket %s: another gateway is running on this data folder; stop it first", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open admin socket: %w", err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("open admin socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = listener.Close()
		return nil, fmt.Errorf("open admin socket: %w", err)
	}
	return listener, nil
}

func (s *server) list(w http.ResponseWriter, r *http.Request) {
	apps, err := s.Store.Apps(r.Context(), s.Tenant)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	shown := make([]App, 0, len(apps))
	for _, app := range apps {
		shown = append(shown, show(app))
	}
	s.answer(w, r, http.StatusOK, shown)
}

func (s *server) add(w http.ResponseWriter, r *http.Request) {
	var asked App
	if err := json.UnmarshalRead(http.MaxBytesReader(w, r.Body, 64<<10), &asked, json.RejectUnknownMembers(true)); err != nil {
		web.WriteProblem(w, r, web.Problem{Status: http.StatusBadRequest, Title: "The request is not an app", Detail: "Send one JSON object with id, name, type and redirect_uris."})
		return
	}
	app, err := s.newApp(asked)
	if err != nil {
		web.WriteProblem(w, r, web.Problem{Status: http.StatusBadRequest, Title: "The app cannot be registered", Detail: err.Error()})
		return
	}
	var shown secret.Text
	if app.Type == grant.Confidential {
		var stored grant.AppSecret
		shown, stored = s.newSecret()
		app.Secrets = []grant.AppSecret{stored}
	}
	if err := s.record(r, audit.Record{Kind: "app.added", App: app.ID}); err != nil {
		s.fail(w, r, err)
		return
	}
	if err := s.Store.CreateApp(r.Context(), app); err != nil {
		s.fail(w, r, err)
		return
	}
	s.answer(w, r, http.StatusCreated, Registered{App: show(app), Secret: shown.Reveal()})
}

// newApp checks what was asked for, in the order in which a person would mend it.
func (s *server) newApp(asked App) (grant.App, error) {
	if s.CheckID != nil {
		if err := s.CheckID(asked.ID); err != nil {
			return grant.App{}, fmt.Errorf("id: %w", err)
		}
	}
	if asked.Name == "" {
		asked.Name = asked.ID
	}
	if asked.Type != string(grant.Public) && asked.Type != string(grant.Confidential) {
		return grant.App{}, errors.New("type: write public or confidential")
	}
	if err := grant.CheckHomepage(asked.Homepage); err != nil {
		return grant.App{}, fmt.Errorf("homepage: %w", err)
	}
	if len(asked.RedirectURIs) == 0 {
		return grant.App{}, errors.New("redirect_uris: give at least one")
	}
	for _, uri := range asked.RedirectURIs {
		if err := grant.CheckRedirectURI(uri); err != nil {
			return grant.App{}, fmt.Errorf("redirect_uris: %w", err)
		}
	}
	for _, scope := range asked.Scopes {
		if !grant.KnownScopes.Has(scope) && len(grant.Scopes{scope}.Warehouses()) == 0 || strings.Contains(scope, " ") {
			return grant.App{}, fmt.Errorf("scopes: give each as a string of its own, one of %s or warehouse:NAME", grant.KnownScopes)
		}
	}
	return grant.App{
		Tenant: s.Tenant, ID: asked.ID, Name: asked.Name, Homepage: asked.Homepage,
		Type: grant.ClientType(asked.Type), RedirectURIs: asked.RedirectURIs, Scopes: asked.Scopes,
		Origin: grant.FromAdmin, CreatedAt: s.Now(),
	}, nil
}

func (s *server) remove(w http.ResponseWriter, r *http.Request) {
	app, ok := s.changeable(w, r)
	if !ok {
		return
	}
	if err := s.record(r, audit.Record{Kind: "app.removed", App: app.ID}); err != nil {
		s.fail(w, r, err)
		return
	}
	if err := s.Store.RemoveApp(r.Context(), s.Tenant, app.ID, s.Now()); err != nil {
		s.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// rotate adds a secret and keeps the one before it, so that the app can change over without a
// gap; the one before that ends.
func (s *server) rotate(w http.ResponseWriter, r *http.Request) {
	app, ok := s.changeable(w, r)
	if !ok {
		return
	}
	if app.Type != grant.Confidential {
		web.WriteProblem(w, r, web.Problem{Status: http.StatusConflict, Title: "A public app has no secret", Detail: "Register it again as confidential if it runs on a server of yours."})
		return
	}
	shown, stored := s.newSecret()
	app.Secrets = append(app.Secrets, stored)
	app.Secrets = app.Secrets[max(len(app.Secrets)-grant.MaxAppSecrets, 0):]
	if err := s.record(r, audit.Record{Kind: "app.secret_rotated", App: app.ID}); err != nil {
		s.fail(w, r, err)
		return
	}
	if err := s.Store.SetAppSecrets(r.Context(), s.Tenant, app.ID, app.Secrets); err != nil {
		s.fail(w, r, err)
		return
	}
	s.answer(w, r, http.StatusOK, Registered{App: show(app), Secret: shown.Reveal()})
}

// changeable finds the app of the path and answers for those that cannot be changed here.
func (s *server) changeable(w http.ResponseWriter, r *http.Request) (grant.App, bool) {
	app, err := s.Store.App(r.Context(), s.Tenant, r.PathValue("id"))
	if err != nil {
		s.fail(w, r, err)
		return grant.App{}, false
	}
	if app.Origin == grant.FromConfig {
		web.WriteProblem(w, r, web.Problem{Status: http.StatusConflict, Title: "This app comes from the configuration file", Detail: "Change it there and restart the gateway."})
		return grant.App{}, false
	}
	return app, true
}

func (s *server) newSecret() (secret.Text, grant.AppSecret) {
	token := grant.NewToken(grant.ClientSecret)
	return token, grant.AppSecret{ID: grant.NewID("sec"), Hash: grant.HashToken(token.Reveal()), CreatedAt: s.Now()}
}

// record writes down what is about to change.
func (s *server) record(r *http.Request, change audit.Record) error {
	change.Tenant, change.RequestID, change.Outcome = s.Tenant, web.RequestID(r.Context()), "by admin"
	return s.Audit(r.Context(), change)
}

func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, grant.ErrNotFound):
		web.WriteProblem(w, r, web.Problem{Status: http.StatusNotFound, Title: "There is nothing of this name", Detail: "shiftgrant apps list, people list and grants list show what there is."})
	case errors.Is(err, grant.ErrExists):
		web.WriteProblem(w, r, web.Problem{Status: http.StatusConflict, Title: "An app with this id exists", Detail: "Choose another id, or remove the app first."})
	default:
		s.Logger.Error("admin request failed", "request_id", web.RequestID(r.Context()), "error", err)
		web.WriteProblem(w, r, web.Problem{Status: http.StatusServiceUnavailable, Title: "The gateway could not do this now", Detail: "Look into its log for the request id, and try again."})
	}
}

func (s *server) answer(w http.ResponseWriter, r *http.Request, status int, body any) {
	encoded, err := json.Marshal(body)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(encoded, '\n'))
}

func show(app grant.App) App {
	shown := App{
		ID: app.ID, Name: app.Name, Homepage: app.Homepage, Type: string(app.Type),
		RedirectURIs: app.RedirectURIs, Scopes: app.Scopes, Origin: string(app.Origin), CreatedAt: app.CreatedAt,
	}
	for _, s := range app.Secrets {
		shown.Secrets = append(shown.Secrets, Secret{s.ID, s.CreatedAt})
	}
	return shown
}
