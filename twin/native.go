package twin

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/shiftgrant/shiftgrant/twin/jwks"
	"github.com/shiftgrant/shiftgrant/twin/postgres"
	"github.com/shiftgrant/shiftgrant/twin/wire"
)

// native plays Redshift's own identity providers of the type azure (CREATE IDENTITY PROVIDER …
// TYPE azure NAMESPACE 'aad'): Redshift itself checks the tokens of an issuer, and people are
// database users named for the namespace and their upn.
type native struct {
	keys *jwks.Source
	now  func() time.Time
}

// check is the database user of a token that a provider takes.
func (n *native) check(ctx context.Context, token string, provider postgres.IdentityProvider) (string, error) {
	payload, err := n.verify(ctx, token, provider.Issuer)
	if err != nil {
		return "", &wire.Denial{Message: "Azure token validation failed", Detail: err.Error()}
	}
	var claims struct {
		Issuer    string          `json:"iss"`
		Audience  json.RawMessage `json:"aud"`
		Expires   float64         `json:"exp"`
		NotBefore float64         `json:"nbf"`
		UPN       string          `json:"upn"`
		Preferred string          `json:"preferred_username"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return "", &wire.Denial{Message: "invalid token", Detail: err.Error()}
	}
	name, now := cmp.Or(claims.UPN, claims.Preferred), n.now()
	switch {
	case claims.Issuer != provider.Issuer:
		return "", &wire.Denial{Message: "invalid token", Detail: "the iss is another issuer's"}
	case !slices.ContainsFunc(audiencesOf(claims.Audience), func(aud string) bool { return slices.Contains(provider.Audience, aud) }):
		return "", &wire.Denial{Message: "invalid token", Detail: "the aud is not that of the identity provider"}
	case !now.Before(time.Unix(int64(claims.Expires), 0)):
		return "", &wire.Denial{Message: spentToken}
	case time.Unix(int64(claims.NotBefore), 0).After(now.Add(time.Minute)):
		return "", &wire.Denial{Message: "invalid token", Detail: "the token is not valid yet"}
	case name == "":
		return "", &wire.Denial{Message: "invalid token", Detail: "the token has neither upn nor preferred_username"}
	}
	return provider.Namespace + ":" + strings.ToLower(name), nil
}

func (n *native) verify(ctx context.Context, token, issuer string) ([]byte, error) {
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return nil, err
	}
	header := signed.Signatures[0].Protected
	key, err := n.keys.Key(ctx, issuer, header.KeyID)
	if err != nil {
		return nil, err
	}
	if err := jwks.Suits(key, header.Algorithm); err != nil {
		return nil, err
	}
	return signed.Verify(key.Key)
}

// audiencesOf reads a string or an array of strings.
func audiencesOf(value json.RawMessage) []string {
	var one string
	if json.Unmarshal(value, &one) == nil {
		return []string{one}
	}
	var many []string
	if json.Unmarshal(value, &many) != nil {
		return nil
	}
	return many
}
