package identitycenter

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/shiftgrant/shiftgrant/twin/jwks"
)

// leeway is for clocks that run a little ahead; nothing is forgiven at the end of a life.
const leeway = time.Minute

// audiences is a string or an array of strings.
type audiences []string

func (a *audiences) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*a = audiences{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(a))
}

// Trust is the check of a trusted token issuer's token for an application: who it is for. The
// token's jti is used up by it, because Identity Center takes a token once.
func (c *Center) Trust(ctx context.Context, applicationARN, token string) (Person, error) {
	issuer, allowed, err := c.issuerOf(applicationARN, token)
	if err != nil {
		return Person{}, err
	}
	payload, err := c.verify(ctx, issuer.URL, token)
	if err != nil {
		return Person{}, err
	}
	var claims struct {
		Issuer    string    `json:"iss"`
		Subject   string    `json:"sub"`
		Audience  audiences `json:"aud"`
		Expires   float64   `json:"exp"`
		IssuedAt  float64   `json:"iat"`
		NotBefore float64   `json:"nbf"`
		ID        string    `json:"jti"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return Person{}, refuse(InvalidRequest, "the claims of the token cannot be read")
	}
	now := c.config.Now()
	switch expires := moment(claims.Expires); {
	case claims.Issuer != issuer.URL || claims.Subject == "" || claims.Expires == 0:
		return Person{}, refuse(InvalidRequest, "the token needs iss, sub, aud and exp")
	case !slices.ContainsFunc(claims.Audience, func(aud string) bool { return slices.Contains(allowed, aud) }):
		return Person{}, refuse(InvalidGrant, "the token is for another audience")
	case !now.Before(expires):
		return Person{}, refuse(ExpiredToken, "the token has expired")
	case moment(claims.IssuedAt).After(now.Add(leeway)), moment(claims.NotBefore).After(now.Add(leeway)):
		return Person{}, refuse(InvalidGrant, "the token is from the future (iat, nbf)")
	case claims.ID == "":
		return Person{}, refuse(InvalidRequest, "the token needs a jti")
	case !c.first(claims.Issuer, claims.ID, expires):
		return Person{}, refuse(InvalidGrant, "the token was exchanged before: its jti is known")
	}
	return c.named(applicationARN, issuer, payload)
}

// Takes reports whether an application takes the tokens of the issuer that a token names, whatever
// else is wrong with it.
func (c *Center) Takes(applicationARN, token string) error {
	_, _, err := c.issuerOf(applicationARN, token)
	return err
}

func moment(seconds float64) time.Time { return time.UnixMilli(int64(seconds * 1000)) }

// issuerOf finds which of the application's issuers a token says it is of, and for which audiences
// the application takes its tokens.
func (c *Center) issuerOf(applicationARN, token string) (Issuer, []string, error) {
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return Issuer{}, nil, refuse(InvalidRequest, "the assertion is no JWT that is signed with RS256")
	}
	var claims struct {
		Issuer string `json:"iss"`
	}
	if err := json.Unmarshal(signed.UnsafePayloadWithoutVerification(), &claims); err != nil {
		return Issuer{}, nil, refuse(InvalidRequest, "the claims of the token cannot be read")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	application, err := c.application(applicationARN)
	if err != nil || application.Disabled {
		return Issuer{}, nil, refuse(InvalidClient, "there is no such application")
	}
	grant, found := application.Grants[JWTBearer]
	if !found {
		return Issuer{}, nil, refuse(UnauthorizedClient, "the application has no JWT bearer grant")
	}
	for _, trusted := range grant.Issuers {
		for _, known := range c.issuers {
			if known.ARN == trusted.IssuerARN && known.URL == claims.Issuer {
				return *known, trusted.Audiences, nil
			}
		}
	}
	return Issuer{}, nil, refuse(InvalidGrant, "the token's iss is none of the application's trusted token issuers")
}

// verify checks the signature with the issuer's keys, as they are published.
func (c *Center) verify(ctx context.Context, issuer, token string) ([]byte, error) {
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return nil, refuse(InvalidRequest, "the assertion is no JWT that is signed with RS256")
	}
	header := signed.Signatures[0].Protected
	key, err := c.keys.Key(ctx, issuer, header.KeyID)
	c.mu.Lock()
	forgotten := c.keysForgotten
	c.mu.Unlock()
	switch {
	case errors.Is(err, jwks.ErrNoKey) || forgotten:
		return nil, refuse(InvalidGrant, "the token is signed with a key that its issuer does not publish")
	case err != nil:
		c.logger.Info("identity center cannot read an issuer's keys", "issuer", issuer, "error", err)
		return nil, refuse(InvalidRequest, "the keys of the token's issuer could not be fetched")
	}
	if err := jwks.Suits(key, header.Algorithm); err != nil {
		return nil, refuse(InvalidGrant, "the token's signature does not hold")
	}
	payload, err := signed.Verify(key.Key)
	if err != nil {
		return nil, refuse(InvalidGrant, "the token's signature does not hold")
	}
	return payload, nil
}

// first remembers a token's id until the token ends, and reports whether it is new.
func (c *Center) first(issuer, id string, expires time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.config.Now()
	for known, until := range c.seen {
		if now.After(until) {
			delete(c.seen, known)
		}
	}
	if _, seen := c.seen[issuer+"\x00"+id]; seen {
		return false
	}
	c.seen[issuer+"\x00"+id] = expires
	return true
}

// storeNames are the attributes of the identity store that a claim can be compared with.
var storeNames = map[string]string{"emails.value": "e-mail address", "userName": "user name", "externalId": "external id"}

// named finds the person that the mapped claim names.
func (c *Center) named(applicationARN string, issuer Issuer, payload []byte) (Person, error) {
	value := claimAt(payload, issuer.ClaimPath)
	c.mu.Lock()
	defer c.mu.Unlock()
	p, found := c.person(issuer.StorePath, value)
	if !found {
		return Person{}, refuse(InvalidGrant, "nobody has the token's %s", storeNames[issuer.StorePath])
	}
	application, err := c.application(applicationARN)
	if err != nil {
		return Person{}, refuse(InvalidClient, "there is no such application")
	}
	if !application.lets(p) {
		return Person{}, refuse(AccessDenied, "the person is not assigned to the application")
	}
	return p, nil
}

// claimAt reads a claim by its path, such as "email" or "profile.email".
func claimAt(payload []byte, path string) string {
	var value any
	if json.Unmarshal(payload, &value) != nil {
		return ""
	}
	for name := range strings.SplitSeq(path, ".") {
		members, ok := value.(map[string]any)
		if !ok {
			return ""
		}
		value = members[name]
	}
	text, _ := value.(string)
	return text
}
