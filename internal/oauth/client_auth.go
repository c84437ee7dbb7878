package oauth

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/secret"
)

// A presentedClient is who a caller says it is, and its proof.
type presentedClient struct {
	id     string
	secret secret.Text // zero for none
}

// readClient finds the client of a request: HTTP Basic, or client_id and client_secret in the
// form, or client_id alone for a public app. More than one way is refused (OAuth 2.1 §2.4).
func readClient(header http.Header, form parameters) (presentedClient, *fault) {
	// RFC 7523 assertions are not supported. Treating such a request as one of a public app
	// would be worse than saying so.
	if form.has("client_assertion") || form.has("client_assertion_type") {
		return presentedClient{}, invalidClient("client_assertion is not supported: use client_secret_basic or client_secret_post")
	}
	authorizations := header.Values("Authorization")
	if len(authorizations) == 0 {
		if form.get("client_id") == "" {
			return presentedClient{}, invalidClient("add client_id, or authenticate with HTTP Basic")
		}
		return presentedClient{form.get("client_id"), form.secret("client_secret")}, nil
	}
	if len(authorizations) > 1 || form.has("client_secret") {
		return presentedClient{}, invalidRequest("authenticate the client in one way only")
	}
	client, f := readBasic(authorizations[0])
	if f != nil {
		return presentedClient{}, f
	}
	if id := form.get("client_id"); id != "" && id != client.id {
		return presentedClient{}, invalidRequest("client_id differs from the client that the Authorization header names")
	}
	return client, nil
}

// readBasic reads HTTP Basic as RFC 6749 §2.3.1 has it: both parts are form-encoded first.
func readBasic(authorization string) (presentedClient, *fault) {
	malformed := invalidClient("the Authorization header must be Basic, with the form-encoded client_id and client_secret (RFC 6749 section 2.3.1)")
	scheme, encoded, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "Basic") {
		return presentedClient{}, malformed
	}
	decoded, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return presentedClient{}, malformed
	}
	rawID, rawSecret, found := strings.Cut(string(decoded), ":")
	id, idErr := url.QueryUnescape(rawID)
	password, secretErr := url.QueryUnescape(rawSecret)
	if !found || id == "" || idErr != nil || secretErr != nil {
		return presentedClient{}, malformed
	}
	return presentedClient{id, secret.New(password)}, nil
}

// authenticateClient reads and proves the client of a token or revocation request, within the
// limits of its address.
func (s *Server) authenticateClient(r *http.Request, form parameters) (*grant.App, error) {
	presented, f := readClient(r.Header, form)
	if f != nil {
		return nil, f
	}
	address, now := s.clientAddress(r), s.now()
	if wait := s.requests.Take(now, address, presented.id); wait > 0 {
		return nil, slowDown(wait)
	}
	if wait := s.failures.Full(now, address, presented.id); wait > 0 {
		return nil, slowDown(wait)
	}
	app, err := s.proveClient(r.Context(), presented)
	if errors.As(err, &f) {
		s.failures.Take(now, address, presented.id)
	}
	return app, err
}

// proveClient finds the app and checks its secret. An app that does not exist, is switched off,
// or has another secret gets the same answer.
func (s *Server) proveClient(ctx context.Context, presented presentedClient) (*grant.App, error) {
	const refused = "client authentication failed: check client_id and client_secret"
	app, err := s.findApp(ctx, presented.id)
	if err != nil && !errors.Is(err, grant.ErrNotFound) {
		return nil, err
	}
	exists := err == nil && !app.Disabled
	if exists && app.Type == grant.Public {
		// Nobody gives a public app a secret: whoever sends one takes it for another app, or
		// believes that it is protected by one.
		if !presented.secret.IsZero() {
			return nil, invalidClient("this app is registered as public: leave out client_secret")
		}
		return app, nil
	}
	// The comparison is made for an app that does not exist, too.
	var secrets []grant.AppSecret
	if exists {
		secrets = app.Secrets
	}
	if !matchesSecret(secrets, presented.secret) {
		return nil, invalidClient(refused)
	}
	return app, nil
}

// matchesSecret compares with every live secret in constant time, whichever matches.
func matchesSecret(secrets []grant.AppSecret, presented secret.Text) bool {
	hash := grant.HashToken(presented.Reveal())
	matches := subtle.ConstantTimeCompare(hash[:], make([]byte, len(hash)))
	for _, live := range secrets {
		matches |= subtle.ConstantTimeCompare(hash[:], live.Hash[:])
	}
	return matches == 1 && !presented.IsZero()
}

// findApp looks an app up, or takes what was found less than a second ago: nobody changes it. An
// id that no app can have costs no look-up.
func (s *Server) findApp(ctx context.Context, id string) (*grant.App, error) {
	if id == "" || len(id) > 256 || !isVisible(id) {
		return nil, grant.ErrNotFound
	}
	now := s.now()
	if app := s.apps.get(id, now); app != nil {
		return app, nil
	}
	app, err := s.store.App(ctx, s.tenant, id)
	if err != nil {
		return nil, err
	}
	s.apps.put(&app, now)
	return &app, nil
}
