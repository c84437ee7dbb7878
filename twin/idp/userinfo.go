package idp

import (
	"net/http"
	"strings"
)

// userinfo is OpenID Connect Core §5.3. The token is taken from the header alone.
func (p *Provider) userinfo(w http.ResponseWriter, r *http.Request) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	w.Header().Set("Cache-Control", "no-store")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		w.Header().Set("WWW-Authenticate", `Bearer realm="twin"`) // RFC 6750 §3.1: no error code without a token
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	p.mu.Lock()
	access, found := p.access.get(token, p.config.Now())
	alive := found && !access.grant.ended
	p.mu.Unlock()
	if !alive {
		w.Header().Set("WWW-Authenticate", `Bearer realm="twin", error="invalid_token", error_description="unknown, expired or revoked"`)
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "invalid_token"})
		return
	}
	writeJSON(w, http.StatusOK, personClaims(access.grant.person, access.scopes))
}

// revoke is RFC 7009: what is unknown, or another client's, is answered like success.
func (p *Provider) revoke(w http.ResponseWriter, r *http.Request) {
	form, refused := readForm(r)
	if refused != nil {
		p.refuseToken(w, r, refused)
		return
	}
	client, refused := p.authenticate(r, form)
	if refused == nil && len(form["token"]) != 1 {
		refused = refuse("invalid_request", "token is needed, once")
	}
	if refused != nil {
		p.refuseToken(w, r, refused)
		return
	}
	p.end(client, form.Get("token"))
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
}

// end takes one access token back or, by a refresh token, all that its grant gave.
func (p *Provider) end(client Client, token string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.config.Now()
	if access, found := p.access.get(token, now); found && access.grant.client == client.ID {
		p.access.drop(token)
		if p.config.Profile.RevokeAll {
			p.endAll(access.grant)
		}
	}
	if refresh, found := p.refresh.get(token, now); found && refresh.grant.client == client.ID {
		refresh.grant.ended = true
	}
}
