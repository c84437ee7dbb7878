package identitycenter

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	clientLife = 90 * 24 * time.Hour
	codeLife   = 5 * time.Minute
	deviceLife = 10 * time.Minute
	// Interval is how long a device waits between two questions.
	Interval   = time.Second
	maxClients = 1000
	maxPending = 1000
)

// A Client is a public one, which registered itself.
type Client struct {
	ID, Secret   string
	Name         string
	RedirectURIs []string
	GrantTypes   []string
	Scopes       []string
	Issued       time.Time
	Expires      time.Time
}

// Register takes a public client.
func (c *Center) Register(made Client) (Client, error) {
	for _, redirect := range made.RedirectURIs {
		u, err := url.Parse(redirect)
		if err != nil || u.Scheme != "http" || !loopback(u.Hostname()) || u.Fragment != "" {
			return Client{}, refuse("invalid_redirect_uri", "a public client's redirect URI is http on loopback, such as http://127.0.0.1:7890/")
		}
	}
	for _, kind := range made.GrantTypes {
		if !slices.Contains([]string{AuthorizationCode, RefreshToken, DeviceCode}, kind) {
			return Client{}, refuse(UnsupportedGrant, "a public client's grant types are authorization_code, refresh_token and %s", DeviceCode)
		}
	}
	for _, scope := range made.Scopes {
		if !slices.Contains([]string{RedshiftScope, "sso:account:access", "openid", "aws", "sts:identity_context"}, scope) {
			return Client{}, refuse(InvalidScope, "the twin does not know the scope %s", scope)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.clients) >= maxClients {
		return Client{}, refuse(SlowDown, "the twin takes no more clients")
	}
	made.ID, made.Secret = rand.Text(), rand.Text()+rand.Text()
	made.Issued = c.config.Now()
	made.Expires = made.Issued.Add(clientLife)
	c.clients[made.ID] = &made
	return made, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// authenticate knows a public client by its secret. The lock is held.
func (c *Center) authenticate(id, secret, grantType string) (*Client, error) {
	client, found := c.clients[id]
	switch {
	case !found || subtle.ConstantTimeCompare([]byte(client.Secret), []byte(secret)) != 1:
		return nil, refuse(InvalidClient, "the client is unknown or its secret is wrong")
	case !c.config.Now().Before(client.Expires):
		return nil, refuse(InvalidClient, "the registration has expired: register again")
	case len(client.GrantTypes) > 0 && !slices.Contains(client.GrantTypes, grantType):
		return nil, refuse(UnauthorizedClient, "the client did not register for %s", grantType)
	}
	return client, nil
}

// An Authorization is a request to /authorize.
type Authorization struct {
	Client      string // a public client's id or an application's ARN
	RedirectURI string
	Challenge   string // S256
	Scopes      []string
}

type authorization struct {
	Authorization
	person  Person
	expires time.Time
}

// Check holds a request to what the client may ask for, before anybody signs in.
func (c *Center) Check(a Authorization) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.check(a)
}

func (c *Center) check(a Authorization) error {
	var redirects []string
	if client, found := c.clients[a.Client]; found {
		redirects = client.RedirectURIs
		for _, scope := range a.Scopes {
			if !slices.Contains(client.Scopes, scope) && !slices.Contains(basicScopes, scope) {
				return refuse(InvalidScope, "the client did not register for the scope %s", scope)
			}
		}
	} else if application, err := c.application(a.Client); err == nil {
		redirects = application.Grants[AuthorizationCode].RedirectURIs
	} else {
		return refuse(InvalidClient, "there is no such client")
	}
	if !slices.Contains(redirects, a.RedirectURI) {
		return refuse("invalid_redirect_uri", "the redirect URI is not one of the client's")
	}
	if len(a.Challenge) != 43 {
		return refuse(InvalidRequest, "a code_challenge with the method S256 is needed")
	}
	return nil
}

// Allow gives a code to a person who signed in.
func (c *Center) Allow(a Authorization, userName string) (code string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.check(a); err != nil {
		return "", err
	}
	p, found := c.person("userName", userName)
	if !found {
		return "", refuse(AccessDenied, "there is no such person")
	}
	if len(c.codes) >= maxPending {
		clear(c.codes)
	}
	code = rand.Text()
	c.codes[code] = &authorization{a, p, c.config.Now().Add(codeLife)}
	return code, nil
}

// ByCode gives a public client tokens for a code.
func (c *Center) ByCode(id, secret, code, redirectURI, verifier string) (Tokens, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	client, err := c.authenticate(id, secret, AuthorizationCode)
	if err != nil {
		return Tokens{}, err
	}
	found, err := c.redeem(id, code, redirectURI, verifier)
	if err != nil {
		return Tokens{}, err
	}
	if len(found.Scopes) == 0 {
		found.Scopes = client.Scopes
	}
	return c.beginPublic(client, found.person, found.Scopes)
}

// ByCodeOf gives an application tokens for a code.
func (c *Center) ByCodeOf(applicationARN, code, redirectURI, verifier string) (Tokens, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	application, err := c.application(applicationARN)
	if err != nil {
		return Tokens{}, refuse(InvalidClient, "there is no such application")
	}
	if _, granted := application.Grants[AuthorizationCode]; !granted {
		return Tokens{}, refuse(UnauthorizedClient, "the application has no authorization code grant")
	}
	found, err := c.redeem(applicationARN, code, redirectURI, verifier)
	if err != nil {
		return Tokens{}, err
	}
	if !application.lets(found.person) {
		return Tokens{}, refuse(AccessDenied, "the person is not assigned to the application")
	}
	return c.begin(found.person, applicationARN, nil)
}

// redeem uses a code up. The lock is held.
func (c *Center) redeem(client, code, redirectURI, verifier string) (*authorization, error) {
	found, known := c.codes[code]
	delete(c.codes, code)
	sum := sha256.Sum256([]byte(verifier))
	switch {
	case !known || found.Client != client:
		return nil, refuse(InvalidGrant, "the code is unknown or was used")
	case !c.config.Now().Before(found.expires):
		return nil, refuse(InvalidGrant, "the code has expired")
	case found.RedirectURI != redirectURI:
		return nil, refuse(InvalidGrant, "the redirect URI is not that of the authorization request")
	case base64.RawURLEncoding.EncodeToString(sum[:]) != found.Challenge:
		return nil, refuse(InvalidGrant, "the code_verifier does not fit the code_challenge")
	}
	return found, nil
}

// beginPublic makes a session of a public client. The lock is held.
func (c *Center) beginPublic(client *Client, p Person, scopes []string) (Tokens, error) {
	s := &session{person: p, client: client.ID, scopes: scopes, expires: c.config.Now().Add(sessionLife)}
	refreshable := len(client.GrantTypes) == 0 || slices.Contains(client.GrantTypes, RefreshToken)
	return c.issue(s, refreshable, false)
}

// ByRefreshOf gives a public client new tokens.
func (c *Center) ByRefreshOf(id, secret, refresh string) (Tokens, error) {
	c.mu.Lock()
	_, err := c.authenticate(id, secret, RefreshToken)
	c.mu.Unlock()
	if err != nil {
		return Tokens{}, err
	}
	return c.ByRefresh(id, refresh)
}

// A device waits for a person to approve it elsewhere.
type device struct {
	client   string
	userCode string
	expires  time.Time
	asked    time.Time
	person   *Person
	denied   bool
}

// BeginDevice starts the device flow of a public client.
func (c *Center) BeginDevice(id, secret string) (deviceCode, userCode string, life time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.authenticate(id, secret, DeviceCode); err != nil {
		return "", "", 0, err
	}
	if len(c.devices) >= maxPending {
		clear(c.devices)
	}
	text := rand.Text()
	deviceCode, userCode = rand.Text(), text[:4]+"-"+text[4:8]
	c.devices[deviceCode] = &device{client: id, userCode: userCode, expires: c.config.Now().Add(deviceLife)}
	return deviceCode, userCode, deviceLife, nil
}

// Approve is the person's answer on the device page; "" as name denies.
func (c *Center) Approve(userCode, userName string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.devices {
		if d.userCode != strings.ToUpper(userCode) || !c.config.Now().Before(d.expires) || d.person != nil || d.denied {
			continue
		}
		if userName == "" {
			d.denied = true
			return nil
		}
		p, found := c.person("userName", userName)
		if !found {
			return refuse(AccessDenied, "there is no such person")
		}
		d.person = &p
		return nil
	}
	return refuse(InvalidRequest, "no device waits with this code")
}

// ByDevice gives a public client tokens once somebody approved its device.
func (c *Center) ByDevice(id, secret, deviceCode string) (Tokens, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	client, err := c.authenticate(id, secret, DeviceCode)
	if err != nil {
		return Tokens{}, err
	}
	d, found := c.devices[deviceCode]
	now := c.config.Now()
	switch {
	case !found || d.client != id:
		return Tokens{}, refuse(InvalidGrant, "the device code is unknown or was used")
	case !now.Before(d.expires):
		return Tokens{}, refuse(ExpiredToken, "the device code has expired")
	case d.denied:
		return Tokens{}, refuse(AccessDenied, "the person said no")
	case d.person == nil && now.Sub(d.asked) < Interval:
		return Tokens{}, refuse(SlowDown, "ask once a second")
	case d.person == nil:
		d.asked = now
		return Tokens{}, refuse(AuthorizationPending, "nobody has approved the device yet")
	}
	delete(c.devices, deviceCode)
	return c.beginPublic(client, *d.person, client.Scopes)
}
