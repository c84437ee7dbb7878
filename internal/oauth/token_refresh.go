package oauth

import (
	"context"
	"errors"
	"fmt"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/secret"
	"github.com/shiftgrant/shiftgrant/internal/signin"
)

// maxConflicts is how often a refresh looks again when the family moved on under it. Each time
// somebody else has succeeded, and two successors later the token is old news.
const maxConflicts = 4

// refresh trades a refresh token for the next one and an access token (OAuth 2.1 §4.3.1), by
// the rule of grant.Rotation.
func (s *Server) refresh(ctx context.Context, app *grant.App, request *tokenRequest) (*tokens, error) {
	hash, err := grant.ParseToken(grant.RefreshToken, request.refresh.Reveal())
	if err != nil {
		return nil, unknownRefresh()
	}
	for range maxConflicts {
		issued, err := s.refreshOnce(ctx, app, request, hash)
		if !errors.Is(err, grant.ErrConflict) {
			return issued, err
		}
	}
	return nil, errors.New("refresh: the family kept changing")
}

func unknownRefresh() *fault {
	return invalidGrant("the refresh token is unknown, expired, revoked, or was issued to another client")
}

// refreshOnce decides on what the store shows now. It returns grant.ErrConflict when that has
// changed before the decision could be committed.
func (s *Server) refreshOnce(ctx context.Context, app *grant.App, request *tokenRequest, presented grant.Hash) (*tokens, error) {
	family, standing, err := s.liveFamily(ctx, app, presented)
	if err != nil {
		return nil, err
	}
	retry := grant.RetryBearer
	if app.Type == grant.Confidential {
		retry = grant.RetryAuthenticated
	}
	now := s.now()
	decision := family.Decide(presented, now, retry)
	// An old token is somebody else's, whatever else is wrong with the request: look at nothing
	// else first, or a thief could probe without being noticed.
	if decision == grant.Reuse {
		return nil, s.refreshReused(ctx, family)
	}
	if !now.Before(family.IdleUntil) {
		return nil, unknownRefresh()
	}
	if err := s.checkStanding(app, standing); err != nil {
		return nil, err
	}
	scopes, f := narrowScopes(family.Scopes, request.scope)
	if f != nil {
		return nil, f
	}
	if err := s.checkStillWelcome(ctx, standing); err != nil {
		return nil, err
	}
	token, access := s.newAccess(app, &standing.Grant, family.ID, scopes)
	issued := &tokens{access: token, expires: access.ExpiresAt, scopes: scopes}
	if err := s.record(ctx, event{kind: refreshed, grant: &standing.Grant}); err != nil {
		return nil, err
	}
	if decision == grant.Repeat {
		issued.refresh, err = s.repeat(ctx, family, request.refresh, access)
	} else {
		issued.refresh, err = s.advance(ctx, app, family, request.refresh, access)
	}
	if err != nil {
		return nil, err
	}
	return issued, nil
}

// liveFamily finds the family of a token of any generation, if it may still be used by this
// app. A token of another app is unknown, and its family is left in peace: otherwise one app
// could end the grants of another.
func (s *Server) liveFamily(ctx context.Context, app *grant.App, presented grant.Hash) (*grant.Family, *grant.Standing, error) {
	family, standing, err := s.store.FamilyOf(ctx, s.tenant, presented)
	if errors.Is(err, grant.ErrNotFound) {
		return nil, nil, unknownRefresh()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("look up refresh token: %w", err)
	}
	switch {
	case family.AppID != app.ID:
		return nil, nil, unknownRefresh()
	case !family.RevokedAt.IsZero() && standing.Grant.RevokedWhy == signin.NoLongerWelcome:
		return nil, nil, signInAgain()
	case !family.RevokedAt.IsZero() || !s.now().Before(family.ExpiresAt):
		return nil, nil, unknownRefresh()
	}
	return &family, &standing, nil
}

// advance makes the next generation current.
func (s *Server) advance(ctx context.Context, app *grant.App, family *grant.Family, presented secret.Text, access grant.Issued) (secret.Text, error) {
	next, err := grant.Successor(presented, s.keys[s.newest], family.ID, family.Generation+1)
	if err != nil {
		return secret.Text{}, err
	}
	idleUntil := s.idleUntil(app, family.ExpiresAt)
	err = s.store.Rotate(ctx, *family, grant.HashToken(next.Reveal()), s.now(), idleUntil, s.newest, access)
	if err != nil {
		return secret.Text{}, fmt.Errorf("rotate refresh token: %w", err)
	}
	return next, nil
}

// repeat derives the current generation again, for a client whose answer was lost.
func (s *Server) repeat(ctx context.Context, family *grant.Family, presented secret.Text, access grant.Issued) (secret.Text, error) {
	key, ok := s.keys[family.KeyID]
	if !ok {
		return secret.Text{}, fmt.Errorf("repeat refresh token: rotation key %s is not configured any more", family.KeyID)
	}
	current, err := grant.Successor(presented, key, family.ID, family.Generation)
	if err != nil {
		return secret.Text{}, err
	}
	if grant.HashToken(current.Reveal()) != family.Current {
		return secret.Text{}, fmt.Errorf("repeat refresh token: rotation key %s is not the one that made it", family.KeyID)
	}
	err = s.store.Reissue(ctx, access)
	if errors.Is(err, grant.ErrRevoked) {
		return secret.Text{}, unknownRefresh()
	}
	if err != nil {
		return secret.Text{}, fmt.Errorf("reissue access token: %w", err)
	}
	return current, nil
}

// refreshReused ends a family of which somebody holds an old token: the app and a thief have
// gone separate ways, and there is no telling which of them this is.
func (s *Server) refreshReused(ctx context.Context, family *grant.Family) error {
	const why = "refresh token used twice"
	ctx = context.WithoutCancel(ctx) // a thief who hangs up is found out all the same
	if err := s.store.RevokeFamily(ctx, s.tenant, family.ID, why, s.now()); err != nil {
		return fmt.Errorf("revoke family: %w", err)
	}
	s.cache.forget(family.GrantID)
	s.recordEnd(ctx, reused, grant.Grant{ID: family.GrantID, AppID: family.AppID, Scopes: family.Scopes, RevokedWhy: why})
	return invalidGrant("the refresh token was used before; the connection is ended, ask for consent again")
}

// checkStillWelcome asks beyond the store whether the person may still be here (TK-09).
func (s *Server) checkStillWelcome(ctx context.Context, standing *grant.Standing) error {
	if s.stillWelcome == nil {
		return nil
	}
	err := s.stillWelcome(ctx, standing.Person)
	if !errors.Is(err, grant.ErrRevoked) {
		return err
	}
	if err := s.endGrant(ctx, standing.Grant, signin.NoLongerWelcome); err != nil {
		return err
	}
	return signInAgain()
}

// signInAgain says the one thing that helps, to every app of the person in the same words.
func signInAgain() *fault {
	return invalidGrant("sign in again: " + signin.NoLongerWelcome + ", so the connection has ended")
}

// endGrant revokes a grant and everything that descends from it. It is done whether or not it
// can be recorded, and whether or not the caller waits: a full audit disk must not keep a thief
// in.
func (s *Server) endGrant(ctx context.Context, g grant.Grant, why string) error {
	ctx = context.WithoutCancel(ctx)
	if err := s.store.RevokeGrant(ctx, s.tenant, g.ID, why, s.now()); err != nil {
		return fmt.Errorf("revoke grant: %w", err)
	}
	s.cache.forget(g.ID)
	g.RevokedWhy = why
	s.recordEnd(ctx, grantRevoked, g)
	return nil
}
