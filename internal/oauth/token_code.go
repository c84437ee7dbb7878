package oauth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/issuer"
	"github.com/shiftgrant/shiftgrant/internal/secret"
)

// redeem trades a code for tokens (OAuth 2.1 §4.1.3).
func (s *Server) redeem(ctx context.Context, app *grant.App, request *tokenRequest) (*tokens, error) {
	code, standing, err := s.findCode(ctx, app, request)
	if err != nil {
		return nil, err
	}
	// Only a request that is right in everything else counts as a replay. Otherwise whoever saw
	// a code in a URL could end the grant by presenting it again (OAuth 2.1 §7.5.2).
	if !code.RedeemedAt.IsZero() {
		return nil, s.codeReplayed(ctx, code)
	}
	if !s.now().Before(code.ExpiresAt) {
		return nil, invalidGrant("the code has expired; it is good for one minute")
	}
	issued, err := s.useUp(ctx, app, standing, code)
	if errors.Is(err, grant.ErrConflict) {
		return nil, s.codeLost(ctx, app, request)
	}
	return issued, err
}

// useUp trades a good code for tokens. It returns grant.ErrConflict when somebody else was faster.
func (s *Server) useUp(ctx context.Context, app *grant.App, standing *grant.Standing, code *grant.Code) (*tokens, error) {
	if err := s.checkStanding(app, standing); err != nil {
		return nil, err
	}
	issued, access, family, err := s.tokensFor(ctx, app, standing, code)
	if err != nil {
		return nil, err
	}
	if err := s.record(ctx, event{kind: issuedTokens, grant: &standing.Grant}); err != nil {
		return nil, err
	}
	if err := s.store.RedeemCode(ctx, *code, s.now(), access, family); err != nil {
		return nil, fmt.Errorf("redeem code: %w", err)
	}
	return issued, nil
}

// findCode finds the code and checks what it is bound to. None of these faults uses it up.
func (s *Server) findCode(ctx context.Context, app *grant.App, request *tokenRequest) (*grant.Code, *grant.Standing, error) {
	unknown := invalidGrant("the code is unknown, or was issued to another client")
	hash, err := grant.ParseToken(grant.AuthCode, request.code.Reveal())
	if err != nil {
		return nil, nil, unknown
	}
	code, standing, err := s.store.Code(ctx, s.tenant, hash)
	if errors.Is(err, grant.ErrNotFound) {
		return nil, nil, unknown
	}
	if err != nil {
		return nil, nil, fmt.Errorf("look up code: %w", err)
	}
	switch {
	case code.AppID != app.ID:
		return nil, nil, unknown
	case code.RedirectURI != request.redirectURI:
		return nil, nil, invalidGrant("redirect_uri differs from the one of the authorization request")
	case !matchesChallenge(code.Challenge, request.verifier):
		return nil, nil, invalidGrant("code_verifier does not match code_challenge (PKCE)")
	}
	return &code, &standing, nil
}

// matchesChallenge is RFC 7636 §4.6 for S256. A code without a challenge matches nothing.
func matchesChallenge(challenge string, verifier secret.Text) bool {
	hash := sha256.Sum256([]byte(verifier.Reveal()))
	computed := base64.RawURLEncoding.EncodeToString(hash[:])
	return subtle.ConstantTimeCompare([]byte(computed), []byte(challenge)) == 1
}

// codeLost says why a code could not be redeemed that looked good a moment ago: somebody else
// was faster, or the grant was ended.
func (s *Server) codeLost(ctx context.Context, app *grant.App, request *tokenRequest) error {
	code, _, err := s.findCode(ctx, app, request)
	if err != nil {
		return err
	}
	if code.RedeemedAt.IsZero() {
		return invalidGrant("the connection was ended; ask for consent again")
	}
	return s.codeReplayed(ctx, code)
}

// codeReplayed ends the grant of a code that is redeemed a second time: one of the two who
// held it, and its verifier, stole it, and there is no telling which (OAuth 2.1 §4.1.3).
func (s *Server) codeReplayed(ctx context.Context, code *grant.Code) error {
	refused := invalidGrant("the code was used before; the tokens that it gave are revoked")
	g, err := s.store.Grant(ctx, s.tenant, code.GrantID)
	if err != nil {
		return fmt.Errorf("look up grant: %w", err)
	}
	if !g.RevokedAt.IsZero() {
		return refused
	}
	if err := s.endGrant(ctx, g, "authorization code used twice"); err != nil {
		return err
	}
	return refused
}

// tokensFor makes everything that a code is traded for, and stores nothing. What can fail comes
// before the code is used up.
func (s *Server) tokensFor(ctx context.Context, app *grant.App, standing *grant.Standing, code *grant.Code) (*tokens, grant.Issued, *grant.Family, error) {
	var family *grant.Family
	g, familyID := &standing.Grant, ""
	issued := &tokens{scopes: code.Scopes}
	if code.Scopes.Has(grant.ScopeOffline) {
		issued.refresh = grant.NewToken(grant.RefreshToken)
		family = s.newFamily(app, g, code.Scopes, issued.refresh)
		familyID = family.ID
	}
	token, access := s.newAccess(app, g, familyID, code.Scopes)
	issued.access, issued.expires = token, access.ExpiresAt
	if code.Scopes.Has(grant.ScopeOpenID) {
		id, err := s.issue.IDToken(ctx, idTokenFor(app, &standing.Person, code, token))
		if err != nil {
			return nil, grant.Issued{}, nil, fmt.Errorf("sign ID token: %w", err)
		}
		issued.id = id
	}
	return issued, access, family, nil
}

// newFamily starts a line of refresh tokens, which ends with the grant (TK-08).
func (s *Server) newFamily(app *grant.App, g *grant.Grant, scopes grant.Scopes, first secret.Text) *grant.Family {
	now := s.now()
	return &grant.Family{
		ID: grant.NewID("fam"), GrantID: g.ID, AppID: app.ID, Scopes: scopes,
		Generation: 1, Current: grant.HashToken(first.Reveal()), KeyID: s.newest,
		RotatedAt: now, CreatedAt: now, IdleUntil: s.idleUntil(app, g.ExpiresAt), ExpiresAt: g.ExpiresAt,
	}
}

// idleUntil is when a refresh token that is not used dies.
func (s *Server) idleUntil(app *grant.App, end time.Time) time.Time {
	idle := s.now().Add(orDefault(app.RefreshIdleLifetime, s.idleLifetime))
	if end.Before(idle) {
		return end
	}
	return idle
}

// idTokenFor says who signed in, as far as the scopes allow.
func idTokenFor(app *grant.App, person *grant.Person, code *grant.Code, access secret.Text) issuer.IDToken {
	token := issuer.IDToken{Subject: person.ID, Audience: app.ID, Nonce: code.Nonce, AuthTime: code.AuthTime, AccessToken: access}
	if code.Scopes.Has(grant.ScopeProfile) {
		token.Name, token.Username = person.Name, person.DatabaseUser
	}
	if code.Scopes.Has(grant.ScopeEmail) {
		token.Email = person.Email
	}
	return token
}
