// Package sqlapi is the HTTP door: SQL in, rows out, with an access token.
//
//	curl https://gateway.example/v1/query -H "Authorization: Bearer $TOKEN" \
//		-H 'Content-Type: application/sql' --data-binary 'select 1'
//
// POST /v1/query answers when the statement has ended. POST /v1/statements can answer before
// that, with an id by which the app asks again. Both stream rows as JSON, NDJSON or CSV.
//
// What to fear here: a token that is not looked at on every route, an id that works for somebody
// else, a body that two parsers read differently, a result that ends early and looks whole, and
// words of AWS that reach an app. So every route begins in serve, which lets nobody in without an
// access; an id is looked up together with its owner, and a foreign one is the same 404 as one
// that never was; bodies are read strictly; every format has an end mark; and errors of AWS go
// to the log, under the request id that the app gets.
package sqlapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/encode"
	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/warehouse"
	"github.com/shiftgrant/shiftgrant/internal/web"
)

// An Authenticator knows what a bearer token stands for. grant.ErrMalformed, ErrNotFound,
// ErrExpired and ErrRevoked refuse the token; any other error means that it cannot tell.
type Authenticator interface {
	Authenticate(ctx context.Context, presented string) (*grant.Access, error)
}

// Config is what the door needs.
type Config struct {
	Authenticator Authenticator
	Warehouses    *warehouse.Warehouses
	Statements    Statements
	// Base is the path before all others, that of the tenant's issuer; "" for none.
	Base string
	// ResourceMetadata is the URL of the protected resource metadata, named in challenges.
	ResourceMetadata string
	MaxBody          int64 // 1 MiB
	Logger           *slog.Logger
	Now              func() time.Time
}

// API is the door.
type API struct {
	config      Config
	started     time.Time
	compressors encode.Compressors
}

// New checks the configuration.
func New(config Config) (*API, error) {
	if config.Authenticator == nil || config.Warehouses == nil || config.Statements == nil {
		return nil, errors.New("SQL API: authenticator, warehouses and statements are required")
	}
	if config.MaxBody == 0 {
		config.MaxBody = 1 << 20
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	return &API{config: config, started: config.Now()}, nil
}

// Register adds the routes.
func (a *API) Register(mux *http.ServeMux) {
	for _, route := range []struct {
		method, path string
		answer       handler
	}{
		{"POST", "/v1/query", a.query},
		{"POST", "/v1/statements", a.submit},
		{"GET", "/v1/statements/{id}", a.status},
		{"GET", "/v1/statements/{id}/rows", a.rows},
		{"POST", "/v1/statements/{id}/cancel", a.cancel},
		{"GET", "/v1/warehouses", a.warehouses},
	} {
		mux.HandleFunc(route.method+" "+a.config.Base+route.path, a.serve(route.answer))
	}
}

// A handler answers a request of an app that has access. An error it returns is for the caller
// to be told; nothing was written then.
type handler func(w http.ResponseWriter, r *http.Request, access *grant.Access) error

// serve is the way into every route.
func (a *API) serve(answer handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("X-Content-Type-Options", "nosniff")
		access := a.authenticate(w, r)
		if access == nil {
			return
		}
		if err := answer(w, r, access); err != nil {
			a.writeError(w, r, err)
		}
	}
}

// authenticate gives the access of the request's token, or answers itself and gives nil
// (RFC 6750 §3).
func (a *API) authenticate(w http.ResponseWriter, r *http.Request) *grant.Access {
	challenge := web.Challenge{ResourceMetadata: a.config.ResourceMetadata}
	presented, err := web.BearerToken(r)
	switch {
	case errors.Is(err, web.ErrTwoTokens):
		challenge.Error = web.InvalidRequest
		challenge.Write(w, r, web.Problem{Type: "invalid-request", Detail: web.ErrTwoTokens.Error()})
		return nil
	case err != nil:
		challenge.Write(w, r, web.Problem{Type: "no-token", Detail: web.ErrNoToken.Error()})
		return nil
	}
	access, err := a.config.Authenticator.Authenticate(r.Context(), presented)
	switch {
	case err == nil && access != nil:
		return access
	case errors.Is(err, grant.ErrMalformed), errors.Is(err, grant.ErrNotFound), errors.Is(err, grant.ErrExpired), errors.Is(err, grant.ErrRevoked):
		challenge.Error, challenge.Description = web.InvalidToken, "The access token is unknown, expired or revoked"
		challenge.Write(w, r, web.Problem{Type: "invalid-token", Detail: "The access token is unknown, expired or revoked. Refresh it, or connect again."})
	default:
		// Not knowing is neither yes nor no: a 401 would make apps throw good tokens away.
		a.config.Logger.Error("authenticate", "error", err, "request_id", web.RequestID(r.Context()))
		w.Header().Set("Retry-After", "5")
		web.WriteProblem(w, r, web.Problem{
			Type: "unavailable", Status: http.StatusServiceUnavailable, Detail: "The token cannot be checked at the moment. Keep it, and try again.",
		})
	}
	return nil
}
