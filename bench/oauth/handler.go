package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/audit"
	"github.com/shiftgrant/shiftgrant/internal/issuer"
	"github.com/shiftgrant/shiftgrant/internal/oauth"
	"github.com/shiftgrant/shiftgrant/internal/pages"
	"github.com/shiftgrant/shiftgrant/internal/seal"
	"github.com/shiftgrant/shiftgrant/internal/secret"
	"github.com/shiftgrant/shiftgrant/internal/signin"
	"github.com/shiftgrant/shiftgrant/internal/store"
	"github.com/shiftgrant/shiftgrant/internal/web"
)

// answer is what both handlers say.
var answer = []byte(`{"warehouses":[{"name":"tickit","transport":"dataapi","region":"us-east-1","database":"dev","database_user":"alice"}]}` + "\n")

// serveHandler is the program in its other role: a handler that answers, or one that checks a
// token before.
func serveHandler(ctx context.Context, what string, arguments []string) error {
	address, path := arguments[0], arguments[1]
	handle := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", handle)
	if what == "checked" {
		s, err := store.Open(ctx, store.Config{Path: path})
		if err != nil {
			return err
		}
		defer s.Close()
		server, err := newServer(s)
		if err != nil {
			return err
		}
		mux.HandleFunc("/v1/warehouses", func(w http.ResponseWriter, r *http.Request) {
			presented, err := web.BearerToken(r)
			if err == nil {
				_, err = server.Authenticate(r.Context(), presented)
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusUnauthorized)
				return
			}
			handle(w, r)
		})
	} else {
		mux.HandleFunc("/v1/warehouses", handle)
	}
	listening := &http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		_ = listening.Close()
	}()
	if err := listening.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// newServer is an authorization server whose other doors stay shut.
func newServer(s *store.Store) (*oauth.Server, error) {
	ring, err := seal.NewRing(seal.Key{Version: 1, Bytes: make([]byte, seal.KeySize)})
	if err != nil {
		return nil, err
	}
	return oauth.New(oauth.Config{
		Issuer: "http://localhost", Store: s, SignIn: shut{}, Issue: shut{}, Audit: shut{}, Pages: &pages.Pages{}, Ring: ring,
		Warehouses: []pages.Warehouse{{Name: "tickit"}}, RotationKeys: []seal.Key{{Version: 1, Bytes: make([]byte, seal.KeySize)}},
	})
}

var errShut = errors.New("this server only checks tokens")

type shut struct{}

func (shut) Write(context.Context, audit.Record) error { return errShut }

func (shut) IDToken(context.Context, issuer.IDToken) (secret.Text, error) {
	return secret.Text{}, errShut
}
func (shut) JWKS() []byte                                  { return nil }
func (shut) Person(*http.Request) (*signin.Current, error) { return nil, errShut }

func (shut) Begin(w http.ResponseWriter, _ *http.Request, _ string) {
	w.WriteHeader(http.StatusForbidden)
}
func (shut) SignOutForm(*signin.Current, string) (form pages.Form) { return form }

// measureHandler starts the program in its other role and calls it with the tokens of the
// gateway, whose store it reads.
func (w *world) measureHandler(ctx context.Context, what string, g *process, people []*client, duration time.Duration) (r *result, err error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	p := &process{world: w}
	if err := p.start(ctx, "http://"+address+"/healthz", nil, w.self, "-serve", what, address, filepath.Join(w.folder, "gateway-"+g.store, "shiftgrant.db")); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	clients := make([]*client, len(people))
	for i, c := range people {
		clients[i] = &client{address: address, access: c.access}
	}
	r, err = measure(ctx, p.pid(), clients, duration, (*client).call)
	for _, c := range clients {
		c.close()
	}
	if err != nil {
		return nil, fmt.Errorf("%s handler: %w", what, err)
	}
	return r, nil
}
