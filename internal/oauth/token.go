package oauth

import (
	"net/http"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/secret"
	"github.com/shiftgrant/shiftgrant/internal/signin"
)

// token is the token endpoint (OAuth 2.1 §3.2). What it answers is committed before.
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	issued, err := s.issueTokens(r)
	if err != nil {
		s.writeFault(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, issued.response(s.now()))
}

func (s *Server) issueTokens(r *http.Request) (*tokens, error) {
	form, err := readForm(r)
	if err != nil {
		return nil, err
	}
	app, err := s.authenticateClient(r, form)
	if err != nil {
		return nil, err
	}
	request, f := parseTokenRequest(form)
	if f != nil {
		return nil, f
	}
	// RFC 8707 §2.2.
	if request.resource != "" && !s.isOurResource(request.resource) {
		return nil, invalidTarget()
	}
	switch {
	case !request.refresh.IsZero():
		return s.refresh(r.Context(), app, request)
	case !request.device.IsZero():
		return s.redeemDevice(r.Context(), app, request)
	}
	return s.redeem(r.Context(), app, request)
}

// tokens are what one request is answered with.
type tokens struct {
	access  secret.Text
	expires time.Time
	scopes  grant.Scopes
	refresh secret.Text // zero without offline_access
	id      secret.Text // zero without openid
}

// A tokenResponse is RFC 6749 §5.1. The scope is always told, and it names the warehouse.
type tokenResponse struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	Scope        string `json:"scope"`
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
}

func (t *tokens) response(now time.Time) tokenResponse {
	return tokenResponse{
		AccessToken: t.access.Reveal(), TokenType: "Bearer",
		ExpiresIn: max(int64(t.expires.Sub(now)/time.Second), 0), Scope: t.scopes.String(),
		RefreshToken: t.refresh.Reveal(), IDToken: t.id.Reveal(),
	}
}

// newAccess makes an access token of a grant; it never outlives the grant.
func (s *Server) newAccess(app *grant.App, g *grant.Grant, familyID string, scopes grant.Scopes) (secret.Text, grant.Issued) {
	token, now := grant.NewToken(grant.AccessToken), s.now()
	expires := now.Add(s.accessLifetimeOf(app))
	if !g.ExpiresAt.IsZero() && g.ExpiresAt.Before(expires) {
		expires = g.ExpiresAt
	}
	return token, grant.Issued{
		Hash: grant.HashToken(token.Reveal()), Tenant: s.tenant, GrantID: g.ID, FamilyID: familyID,
		Scopes: scopes, CreatedAt: now, ExpiresAt: expires,
	}
}

// checkStanding refuses a code or a refresh token whose grant or person has come to an end (TK-09).
func (s *Server) checkStanding(app *grant.App, standing *grant.Standing) error {
	g := &standing.Grant
	switch {
	case g.AppID == app.ID && g.RevokedWhy == signin.NoLongerWelcome:
		return signInAgain()
	case g.AppID != app.ID || g.Alive(s.now()) != nil || standing.Person.Disabled:
		return invalidGrant("the person or an administrator has ended this connection, or it has expired; ask for consent again")
	}
	return nil
}
