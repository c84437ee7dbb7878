package oauth

import (
	"errors"
	"net/http"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/web"
)

// userinfo says who the person of an access token is (OpenID Connect Core §5.3), as far as its
// scopes allow, and who they are in Redshift.
func (s *Server) userinfo(w http.ResponseWriter, r *http.Request) {
	access, ok := s.authenticateBearer(w, r)
	if !ok {
		return
	}
	if !access.Scopes.Has(grant.ScopeOpenID) {
		s.challenge(web.InsufficientScope, "this needs the scope openid", grant.ScopeOpenID).
			Write(w, r, web.Problem{Type: "insufficient-scope", Title: "The token does not allow this", Detail: "Ask for the scope openid."})
		return
	}
	writeJSON(w, http.StatusOK, claimsOf(access))
}

// A userinfoResponse has OpenID Connect's names, and two of ours.
type userinfoResponse struct {
	Subject       string `json:"sub"`
	Name          string `json:"name,omitempty"`
	Username      string `json:"preferred_username,omitempty"`
	Email         string `json:"email,omitempty"`
	EmailVerified *bool  `json:"email_verified,omitempty"` // false: the gateway sends no mail to find out
	DatabaseUser  string `json:"database_user,omitempty"`
	Warehouse     string `json:"warehouse,omitempty"`
}

func claimsOf(access *grant.Access) userinfoResponse {
	person := &access.Person
	claims := userinfoResponse{Subject: person.ID, Warehouse: access.Grant.Warehouse}
	if access.Scopes.Has(grant.ScopeProfile) {
		claims.Name, claims.Username, claims.DatabaseUser = person.Name, person.DatabaseUser, person.DatabaseUser
	}
	if access.Scopes.Has(grant.ScopeEmail) && person.Email != "" {
		claims.Email, claims.EmailVerified = person.Email, new(bool)
	}
	return claims
}

// authenticateBearer has answered itself when it returns false.
func (s *Server) authenticateBearer(w http.ResponseWriter, r *http.Request) (*grant.Access, bool) {
	presented, err := web.BearerToken(r)
	switch {
	case errors.Is(err, web.ErrTwoTokens):
		s.challenge(web.InvalidRequest, "send one token, in the Authorization header", "").
			Write(w, r, web.Problem{Type: "invalid-request", Title: "More than one token", Detail: "Send one token, in the Authorization header."})
		return nil, false
	case err != nil: // RFC 6750 §3.1: no error code for a request without a token
		s.challenge("", "", grant.ScopeOpenID).
			Write(w, r, web.Problem{Type: "no-token", Title: "A token is needed", Detail: "Send the header Authorization: Bearer and an access token."})
		return nil, false
	}
	access, err := s.Authenticate(r.Context(), presented)
	if err == nil {
		return access, true
	}
	if isNoGood(err) {
		s.challenge(web.InvalidToken, "the token is unknown, expired or revoked", "").
			Write(w, r, web.Problem{Type: "invalid-token", Title: "The token is no good", Detail: "It is unknown, expired or revoked. Get a new one."})
		return nil, false
	}
	s.writeFault(w, r, err)
	return nil, false
}

// isNoGood tells a token that is no good from a store that cannot tell.
func isNoGood(err error) bool {
	for _, refusal := range []error{grant.ErrMalformed, grant.ErrNotFound, grant.ErrExpired, grant.ErrRevoked} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}

func (s *Server) challenge(code, description, scope string) web.Challenge {
	return web.Challenge{ResourceMetadata: s.ResourceMetadataURL(), Error: code, Description: description, Scope: scope}
}
