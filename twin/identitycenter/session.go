package identitycenter

import (
	"context"
	"crypto/rand"
	"slices"
	"time"
)

const (
	accessLife  = time.Hour
	sessionLife = 8 * time.Hour
	maxSessions = 10_000
)

// basicScopes are those that every token has.
var basicScopes = []string{"openid", "aws", "sts:identity_context"}

// A session is a person at an application or a public client.
type session struct {
	person  Person
	client  string // the application's ARN or the public client's id
	scopes  []string
	expires time.Time // of the session, and so of its refresh token
	until   time.Time // of the access token
	// exchanged says that the session came of another one's token: it gives none in turn.
	exchanged bool
}

// Tokens are what a grant gives.
type Tokens struct {
	AccessToken     string
	RefreshToken    string // "" where the application has no such grant
	IDToken         string // "" for public clients
	IdentityContext string // as above
	ExpiresIn       time.Duration
	Scopes          []string
}

// ByAssertion gives tokens for a trusted token issuer's token (the JWT bearer grant).
func (c *Center) ByAssertion(ctx context.Context, applicationARN, assertion string, scopes []string) (Tokens, error) {
	p, err := c.Trust(ctx, applicationARN, assertion)
	if err != nil {
		return Tokens{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.begin(p, applicationARN, scopes)
}

// begin makes a session at an application and its tokens. The lock is held.
func (c *Center) begin(p Person, applicationARN string, scopes []string) (Tokens, error) {
	application, err := c.application(applicationARN)
	if err != nil {
		return Tokens{}, refuse(InvalidClient, "there is no such application")
	}
	return c.beginSession(&session{person: p, client: applicationARN}, application, scopes)
}

// beginSession gives a new session its scopes and its tokens. The lock is held.
func (c *Center) beginSession(s *session, application *Application, scopes []string) (Tokens, error) {
	allowed := slices.Clone(basicScopes)
	for scope := range application.Scopes {
		allowed = append(allowed, scope)
	}
	for _, asked := range scopes {
		if !slices.Contains(allowed, asked) {
			return Tokens{}, refuse(InvalidScope, "the application has no scope %s", asked)
		}
	}
	if len(scopes) == 0 {
		slices.Sort(allowed[len(basicScopes):])
		scopes = allowed
	}
	s.scopes, s.expires = scopes, c.config.Now().Add(sessionLife)
	_, refreshable := application.Grants[RefreshToken]
	return c.issue(s, refreshable, true)
}

// issue gives a session new tokens. The lock is held.
func (c *Center) issue(s *session, refreshable, identity bool) (Tokens, error) {
	c.sweep()
	if len(c.access) >= maxSessions {
		return Tokens{}, refuse(SlowDown, "the twin keeps no more sessions")
	}
	s.until = c.config.Now().Add(accessLife)
	given := Tokens{AccessToken: "aoaTWIN" + rand.Text(), ExpiresIn: accessLife, Scopes: s.scopes}
	c.access[given.AccessToken] = s
	if refreshable {
		given.RefreshToken = "aorTWIN" + rand.Text()
		c.sessions[given.RefreshToken] = s
	}
	if identity {
		given.IdentityContext = c.seal(identityKind, s)
		var err error
		if given.IDToken, err = c.idToken(s, given.IdentityContext); err != nil {
			return Tokens{}, err
		}
	}
	return given, nil
}

func (c *Center) sweep() {
	now := c.config.Now()
	for token, s := range c.access {
		if now.After(s.expires) {
			delete(c.access, token)
		}
	}
	for token, s := range c.sessions {
		if now.After(s.expires) {
			delete(c.sessions, token)
		}
	}
}

// ByRefresh gives an application or a public client new tokens. The refresh token is replaced: AWS
// does not say whether its own can be used again, so a client must not count on it.
func (c *Center) ByRefresh(client, refresh string) (Tokens, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, found := c.sessions[refresh]
	if !found || s.client != client {
		return Tokens{}, refuse(InvalidGrant, "the refresh token is unknown, used, or another client's")
	}
	if !c.config.Now().Before(s.expires) {
		return Tokens{}, refuse(ExpiredToken, "the session has ended")
	}
	p, found := c.person("userId", s.person.UserID)
	if !found {
		return Tokens{}, refuse(InvalidGrant, "the person is no longer in the identity store")
	}
	application, err := c.application(client)
	if err == nil {
		if _, granted := application.Grants[RefreshToken]; !granted {
			return Tokens{}, refuse(UnauthorizedClient, "the application has no refresh token grant")
		}
		if !application.lets(p) {
			return Tokens{}, refuse(AccessDenied, "the person is not assigned to the application")
		}
	}
	delete(c.sessions, refresh)
	renewed := *s
	renewed.person = p
	return c.issue(&renewed, true, err == nil)
}

// ByExchange gives an application tokens for another one's access token (the token exchange grant). The
// other application has to name this one among the targets of a scope, and a token that came of an
// exchange is not exchanged again.
func (c *Center) ByExchange(applicationARN, subject string, scopes []string) (Tokens, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	application, err := c.application(applicationARN)
	if err != nil || application.Disabled {
		return Tokens{}, refuse(InvalidClient, "there is no such application")
	}
	if _, granted := application.Grants[TokenExchange]; !granted {
		return Tokens{}, refuse(UnauthorizedClient, "the application has no token exchange grant")
	}
	s, found := c.access[subject]
	switch {
	case !found:
		return Tokens{}, refuse(InvalidGrant, "the subject token is unknown")
	case !c.config.Now().Before(s.until):
		return Tokens{}, refuse(ExpiredToken, "the subject token has expired")
	case s.exchanged:
		return Tokens{}, refuse(InvalidGrant, "the subject token was exchanged already")
	}
	from, err := c.application(s.client)
	if err != nil || !from.targets(applicationARN) {
		return Tokens{}, refuse(AccessDenied, "the application that the subject token is of has no scope with this one among its authorized targets")
	}
	if !application.lets(s.person) {
		return Tokens{}, refuse(AccessDenied, "the person is not assigned to the application")
	}
	return c.beginSession(&session{person: s.person, client: applicationARN, exchanged: true}, application, scopes)
}

// targets reports whether a scope of the application is for another one.
func (a *Application) targets(arn string) bool {
	for _, targets := range a.Scopes {
		if slices.Contains(targets, arn) {
			return true
		}
	}
	return false
}

// Holder is the person of an access token that a public client or an application got, and whether
// the token is for Redshift.
func (c *Center) Holder(accessToken string) (p Person, mayConnect bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, found := c.access[accessToken]
	if !found || !c.config.Now().Before(s.until) {
		return Person{}, false, refuse(ExpiredToken, "the access token is unknown or has expired")
	}
	return s.person, slices.Contains(s.scopes, RedshiftScope), nil
}
