package idp

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// tokenResponse is RFC 6749 §5.1 and OpenID Connect Core §3.1.3.3.
type tokenResponse struct {
	Scope        string `json:"scope,omitempty"`
	ExpiresIn    int    `json:"expires_in"`
	IDToken      string `json:"id_token"`
	RefreshToken string `json:"refresh_token,omitempty"`
	TokenType    string `json:"token_type"`
	AccessToken  string `json:"access_token"`
}

// token is the token endpoint.
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	if p.takeTokenFailure() {
		// As a broken proxy in front of an IdP would: not even JSON.
		http.Error(w, "the twin's IdP was told to fail", http.StatusServiceUnavailable)
		return
	}
	response, refused := p.exchange(r)
	if refused != nil {
		p.refuseToken(w, r, refused)
		return
	}
	if p.takeLostAnswer() {
		panic(http.ErrAbortHandler) // the work is done, and nobody is told
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, response)
}

func (p *Provider) refuseToken(w http.ResponseWriter, r *http.Request, refused *oauthError) {
	p.config.Logger.Info("idp refused token request", "error", refused.code, "description", refused.description)
	if refused.status == http.StatusUnauthorized && r.Header.Get("Authorization") != "" {
		w.Header().Set("WWW-Authenticate", `Basic realm="twin"`) // RFC 6749 §5.2
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, refused.status, map[string]string{"error": refused.code, "error_description": refused.description})
}

func (p *Provider) exchange(r *http.Request) (*tokenResponse, *oauthError) {
	form, refused := readForm(r)
	if refused != nil {
		return nil, refused
	}
	for _, values := range form {
		if len(values) > 1 {
			return nil, refuse("invalid_request", "a parameter was given twice")
		}
	}
	client, refused := p.authenticate(r, form)
	if refused != nil {
		return nil, refused
	}
	switch form.Get("grant_type") {
	case "authorization_code":
		return p.redeemCode(client, form)
	case "refresh_token":
		return p.redeemRefresh(client, form)
	case "":
		return nil, refuse("invalid_request", "add grant_type")
	}
	return nil, refuse("unsupported_grant_type", "the grant types are authorization_code and refresh_token")
}

// authenticate finds out which client asks, by one method and not two (RFC 6749 §2.3).
func (p *Provider) authenticate(r *http.Request, form url.Values) (Client, *oauthError) {
	failed := &oauthError{"invalid_client", "the client is unknown or its secret is wrong", http.StatusUnauthorized}
	id, secret := form.Get("client_id"), form.Get("client_secret")
	if r.Header.Get("Authorization") != "" {
		user, password, ok := r.BasicAuth()
		if !ok {
			return Client{}, failed
		}
		// RFC 6749 §2.3.1: both are form-encoded before they go into the header.
		decoded, err := url.QueryUnescape(user)
		decodedSecret, errSecret := url.QueryUnescape(password)
		if err != nil || errSecret != nil {
			return Client{}, failed
		}
		if form.Has("client_secret") || id != "" && id != decoded {
			return Client{}, refuse("invalid_request", "authenticate in the header or in the body, not in both")
		}
		id, secret = decoded, decodedSecret
	}
	client, known := p.client(id)
	if !known || subtle.ConstantTimeCompare([]byte(client.Secret), []byte(secret)) != 1 {
		return Client{}, failed
	}
	return client, nil
}

var verifierPattern = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)

func (p *Provider) redeemCode(client Client, form url.Values) (*tokenResponse, *oauthError) {
	if form.Get("code") == "" || form.Get("redirect_uri") == "" || form.Get("code_verifier") == "" {
		return nil, refuse("invalid_request", "code, redirect_uri and code_verifier are needed")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.config.Now()
	c, found := p.codes.get(form.Get("code"), now)
	if !found || c.request.client != client.ID {
		return nil, refuse("invalid_grant", "the code is unknown or has expired")
	}
	if c.request.redirectURI != form.Get("redirect_uri") {
		return nil, refuse("invalid_grant", "the redirect_uri is not that of the authorization request")
	}
	verifier := form.Get("code_verifier")
	sum := sha256.Sum256([]byte(verifier))
	challenge := base64.RawURLEncoding.EncodeToString(sum[:])
	if !verifierPattern.MatchString(verifier) || subtle.ConstantTimeCompare([]byte(challenge), []byte(c.request.challenge)) != 1 {
		return nil, refuse("invalid_grant", "the code_verifier does not match the code_challenge")
	}
	if c.used {
		// RFC 6749 §4.1.2: somebody else may have the tokens, so they end.
		c.grant.ended = true
		return nil, refuse("invalid_grant", "the code was used before; what it gave has been revoked")
	}
	c.used = true
	return p.issue(c.grant, c.request.nonce, c.grant.scopes, c.grant.refreshes, now)
}

func (p *Provider) redeemRefresh(client Client, form url.Values) (*tokenResponse, *oauthError) {
	if form.Get("refresh_token") == "" {
		return nil, refuse("invalid_request", "refresh_token is needed")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.script.RefuseRefresh {
		return nil, refuse("invalid_grant", "the twin's IdP was told to refuse")
	}
	now := p.config.Now()
	presented, found := p.refresh.get(form.Get("refresh_token"), now)
	if !found || presented.grant.client != client.ID || presented.grant.ended {
		return nil, refuse("invalid_grant", "the refresh token is unknown, expired or revoked")
	}
	if presented.used && !p.takesAgain(presented, now) {
		// RFC 9700 §4.14.2: which of two holders is the thief cannot be told, so both lose.
		presented.grant.ended = true
		return nil, refuse("invalid_grant", "the refresh token was used before; what it belongs to has been revoked")
	}
	scopes := presented.grant.scopes
	if asked := form.Get("scope"); asked != "" {
		scopes = strings.Fields(asked)
		for _, scope := range scopes {
			if !slices.Contains(presented.grant.scopes, scope) {
				return nil, refuse("invalid_scope", "a refresh cannot ask for more than was granted")
			}
		}
	}
	if !presented.used {
		presented.used, presented.usedAt = true, now
	}
	// OpenID Connect Core §12.2: the new ID token has no nonce.
	return p.issue(presented.grant, "", scopes, p.config.Profile.Rotation != NoRotation, now)
}

// issue makes the tokens of one exchange. The caller holds the lock.
func (p *Provider) issue(g *grant, nonce string, scopes []string, refreshes bool, now time.Time) (*tokenResponse, *oauthError) {
	access, err := p.accessToken(g, now)
	if err != nil {
		p.config.Logger.Error("idp could not sign", "error", err)
		return nil, &oauthError{"server_error", "the access token could not be signed", http.StatusInternalServerError}
	}
	idToken, err := p.idToken(g, nonce, scopes, access, now)
	if err != nil {
		p.config.Logger.Error("idp could not sign", "error", err)
		return nil, &oauthError{"server_error", "the ID token could not be signed", http.StatusInternalServerError}
	}
	p.access.put(access, accessToken{g, scopes}, now, now.Add(p.config.AccessLife))
	response := &tokenResponse{
		AccessToken: access, TokenType: "Bearer", ExpiresIn: int(p.config.AccessLife.Seconds()),
		IDToken: idToken, Scope: strings.Join(scopes, " "),
	}
	if p.config.Profile.SilentScope {
		response.Scope = ""
	}
	if refreshes {
		response.RefreshToken = newSecret("twin-rt-")
		p.refresh.put(response.RefreshToken, &refreshToken{grant: g}, now, p.refreshExpires(g, now))
	}
	return response, nil
}

// accessToken is opaque, or has the form that Cognito gives them, or Entra ID those for an API.
func (p *Provider) accessToken(g *grant, now time.Time) (string, error) {
	client, _ := p.client(g.client)
	if p.config.Profile.AccessByClient {
		return p.keys.sign(map[string]any{
			"iss": p.config.Issuer, "client_id": g.client, "sub": g.person.Subject, "username": g.person.Username, "token_use": "access", "jti": newSecret(""),
			"scope": strings.Join(g.scopes, " "), "iat": now.Unix(), "exp": now.Add(p.config.AccessLife).Unix(),
		})
	}
	if client.AccessAudience == "" {
		return newSecret("twin-at-"), nil
	}
	return p.keys.sign(map[string]any{
		"iss": p.config.Issuer, "aud": client.AccessAudience, "sub": g.person.Subject, "upn": g.person.Email, "appid": g.client, "jti": newSecret(""),
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(p.config.AccessLife).Unix(),
	})
}

// idToken is OpenID Connect Core §2, spoiled where the script says so. The caller holds the
// lock.
func (p *Provider) idToken(g *grant, nonce string, scopes []string, access string, now time.Time) (string, error) {
	claims := personClaims(g.person, scopes)
	if client, _ := p.client(g.client); client.Claims != nil {
		maps.Copy(claims, client.Claims(g.person))
	}
	told := now.Add(p.script.ClockAhead)
	claims["iss"] = p.issuer(g.person.Tenant)
	claims["aud"] = g.client
	claims["iat"] = told.Unix()
	claims["exp"] = told.Add(p.config.AccessLife).Unix()
	claims["auth_time"] = g.authTime.Add(p.script.ClockAhead).Unix()
	claims["at_hash"] = leftHalfHash(access)
	p.addGroups(claims, g.person)
	if p.config.Profile.Claims != nil {
		maps.Copy(claims, p.config.Profile.Claims(g.person, g.client))
		maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	if p.script.WrongNonce {
		claims["nonce"] = nonce + "-of-somebody-else"
	}
	if p.script.WrongAudience {
		claims["aud"] = "somebody-else"
	}
	if p.script.ExpiredIDToken {
		claims["iat"], claims["exp"] = now.Add(-2*time.Hour).Unix(), now.Add(-time.Hour).Unix()
	}
	return p.keys.sign(claims)
}

// personClaims gives what the scopes allow (OpenID Connect Core §5.4; groups is ours).
func personClaims(person Person, scopes []string) map[string]any {
	claims := map[string]any{"sub": person.Subject}
	if slices.Contains(scopes, "profile") {
		claims["name"] = person.Name
		claims["preferred_username"] = person.Username
	}
	if slices.Contains(scopes, "email") {
		claims["email"] = person.Email
		claims["email_verified"] = true
	}
	if slices.Contains(scopes, "groups") {
		claims["groups"] = slices.Concat([]string{}, person.Groups)
	}
	return claims
}

// leftHalfHash is at_hash for RS256 (OpenID Connect Core §3.1.3.6).
func leftHalfHash(access string) string {
	sum := sha256.Sum256([]byte(access))
	return base64.RawURLEncoding.EncodeToString(sum[:sha256.Size/2])
}
