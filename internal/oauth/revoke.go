package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

// revoke is the revocation endpoint (RFC 7009).
func (s *Server) revoke(w http.ResponseWriter, r *http.Request) {
	if err := s.revokeToken(r); err != nil {
		s.writeFault(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
}

// revokeToken returns nil for a token that is revoked, and for one that never was (RFC 7009
// §2.2). A store that cannot tell is an error: the app must not believe that a token is dead
// which is not.
func (s *Server) revokeToken(r *http.Request) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	app, err := s.authenticateClient(r, form)
	if err != nil {
		return err
	}
	presented := form.get("token")
	if presented == "" {
		return invalidRequest("add token")
	}
	// Our tokens say what they are, so token_type_hint is not needed (RFC 7009 §2.1).
	if hash, err := grant.ParseToken(grant.RefreshToken, presented); err == nil {
		return s.revokeRefresh(r.Context(), app, hash)
	}
	if hash, err := grant.ParseToken(grant.AccessToken, presented); err == nil {
		return s.revokeAccess(r.Context(), app, hash)
	}
	return nil
}

// revokeRefresh ends the whole connection, by a token of any generation.
func (s *Server) revokeRefresh(ctx context.Context, app *grant.App, hash grant.Hash) error {
	family, _, err := s.store.FamilyOf(ctx, s.tenant, hash)
	if errors.Is(err, grant.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up refresh token: %w", err)
	}
	if family.AppID != app.ID {
		return foreignToken()
	}
	if !family.RevokedAt.IsZero() {
		return nil
	}
	const why = "by the app"
	if err := s.store.RevokeFamily(ctx, s.tenant, family.ID, why, s.now()); err != nil {
		return fmt.Errorf("revoke family: %w", err)
	}
	s.cache.forget(family.GrantID)
	s.recordEnd(ctx, grantRevoked, grant.Grant{ID: family.GrantID, AppID: app.ID, Scopes: family.Scopes, RevokedWhy: why})
	return nil
}

// revokeAccess ends one access token. The refresh token beside it lives on.
func (s *Server) revokeAccess(ctx context.Context, app *grant.App, hash grant.Hash) error {
	access, err := s.store.Access(ctx, s.tenant, hash)
	if errors.Is(err, grant.ErrNotFound) || errors.Is(err, grant.ErrRevoked) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up access token: %w", err)
	}
	if access.App.ID != app.ID {
		return foreignToken()
	}
	if err := s.store.RevokeAccess(ctx, s.tenant, hash, s.now()); err != nil {
		return fmt.Errorf("revoke access token: %w", err)
	}
	s.cache.forget(access.Grant.ID)
	return nil
}

// foreignToken refuses the token of another app (RFC 7009 §2.1). Who has a token can find out
// by using it that it is one, so this gives nothing away.
func foreignToken() *fault {
	return invalidGrant("the token was issued to another client")
}
