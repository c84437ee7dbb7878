package sts

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/shiftgrant/shiftgrant/twin/jwks"
)

const (
	minToken = 4
	maxToken = 20_000
	// leeway is for clocks that run a little ahead; nothing is forgiven at the end of a life.
	leeway = time.Minute
)

// algorithms are those that AWS documents for web identity tokens.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512}

// identity is what a verified token says.
type identity struct {
	provider       *provider
	subject        string
	audience       string // azp where there is one, as in AWS's condition key
	original       string // the aud claim, where azp took its place
	tokenID        string
	tags           map[string]string
	transitive     []string
	sourceIdentity string
}

// claims is a token's payload. The members that are read must be of their type; others are
// left alone.
type claims struct {
	Issuer          string          `json:"iss"`
	Subject         string          `json:"sub"`
	Audience        audience        `json:"aud"`
	AuthorizedParty string          `json:"azp"`
	Expires         *jsontext.Value `json:"exp"`
	IssuedAt        *jsontext.Value `json:"iat"`
	NotBefore       *jsontext.Value `json:"nbf"`
	TokenID         string          `json:"jti"`
	Tags            *tagsClaim      `json:"https://aws.amazon.com/tags"`
	SourceIdentity  *string         `json:"https://aws.amazon.com/source_identity"`
}

type tagsClaim struct {
	PrincipalTags map[string][]string `json:"principal_tags"`
	Transitive    []string            `json:"transitive_tag_keys"`
}

// audience is a string or an array of strings.
type audience []string

func (a *audience) UnmarshalJSON(data []byte) error {
	var list texts
	if err := list.UnmarshalJSON(data); err != nil {
		return err
	}
	*a = audience(list)
	return nil
}

// verify takes a token through every check. The order is that of trust: who claims to have
// issued it, whether they did, and only then what it says.
func (s *Server) verify(ctx context.Context, token string) (identity, error) {
	if len(token) < minToken || len(token) > maxToken {
		return identity{}, validation("1 validation error detected: Value at 'webIdentityToken' failed to satisfy constraint: " +
			"Member must have length between 4 and 20000")
	}
	signed, kid, err := parseToken(token)
	if err != nil {
		return identity{}, err
	}
	issuer, err := unverifiedIssuer(signed.UnsafePayloadWithoutVerification())
	if err != nil {
		return identity{}, err
	}
	p, registered := s.provider(issuer)
	if !registered {
		return identity{}, invalidToken("No OpenIDConnect provider found in your account for the token's iss", errors.New("iss "+strconv.Quote(issuer)))
	}
	payload, err := s.verifySignature(ctx, p, signed, kid)
	if err != nil {
		return identity{}, err
	}
	// Duplicate names are refused here: which of two subjects counts must not be a matter of
	// the parser.
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil {
		return identity{}, invalidToken("The claims of the ID Token are not valid", err)
	}
	who := identity{provider: p, subject: c.Subject, tokenID: c.TokenID}
	if c.Issuer != p.URL {
		return identity{}, invalidToken("Incorrect token issuer", nil)
	}
	if err := who.readAudience(c); err != nil {
		return identity{}, err
	}
	if err := s.checkTimes(c); err != nil {
		return identity{}, err
	}
	if c.Subject == "" || len(c.Subject) > 255 {
		return identity{}, invalidToken("The ID Token must have a sub of 1 to 255 bytes", nil)
	}
	return who, who.readSession(c)
}

// parseToken reads the header: a compact JWS with one of the algorithms and a key id.
func parseToken(token string) (*jose.JSONWebSignature, string, error) {
	const notAToken = "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"
	if strings.Count(token, ".") != 2 || strings.ContainsAny(token, " \t\r\n=") {
		return nil, "", invalidToken(notAToken, nil)
	}
	signed, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil {
		return nil, "", invalidToken(notAToken, err)
	}
	header := signed.Signatures[0].Protected
	if header.KeyID == "" {
		return nil, "", invalidToken("The ID Token must have a kid in its header", nil)
	}
	return signed, header.KeyID, nil
}

func unverifiedIssuer(payload []byte) (string, error) {
	var c struct {
		Issuer string `json:"iss"`
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		return "", invalidToken("The claims of the ID Token are not valid", err)
	}
	if c.Issuer == "" {
		return "", invalidToken("The ID Token must have an iss", nil)
	}
	return c.Issuer, nil
}

func (s *Server) verifySignature(ctx context.Context, p *provider, signed *jose.JSONWebSignature, kid string) ([]byte, error) {
	key, err := s.keys.Key(ctx, p.URL, kid)
	if errors.Is(err, jwks.ErrNoKey) {
		return nil, invalidToken("Couldn't retrieve verification key from your identity provider, "+
			"please reference AssumeRoleWithWebIdentity documentation for requirements", err)
	}
	if err != nil {
		return nil, communication(err)
	}
	if err := jwks.Suits(key, signed.Signatures[0].Protected.Algorithm); err != nil {
		return nil, invalidToken("The ID Token's signature could not be verified", err)
	}
	payload, err := signed.Verify(key.Key)
	if err != nil {
		return nil, invalidToken("The ID Token's signature could not be verified", err)
	}
	return payload, nil
}

// readAudience chooses the audience as AWS does: azp takes the place of aud where it is given.
// A token for several audiences that does not name its party is refused.
func (i *identity) readAudience(c claims) error {
	if len(c.Audience) == 0 {
		return invalidToken("The ID Token must have an aud", nil)
	}
	i.audience = c.Audience[0]
	if c.AuthorizedParty != "" {
		i.audience, i.original = c.AuthorizedParty, c.Audience[0]
	} else if len(c.Audience) > 1 {
		return invalidToken("Incorrect token audience", errors.New("several audiences and no azp"))
	}
	for _, id := range i.provider.ClientIDs {
		if id == i.audience {
			return nil
		}
	}
	return invalidToken("Incorrect token audience", nil)
}

// checkTimes asks for exp and iat, and holds nbf where there is one.
func (s *Server) checkTimes(c claims) error {
	now := s.config.Now()
	expires, present, err := numericDate(c.Expires)
	if err != nil || !present {
		return invalidToken("The ID Token must have an exp that is a number", err)
	}
	issued, present, err := numericDate(c.IssuedAt)
	if err != nil || !present {
		return invalidToken("The ID Token must have an iat that is a number", err)
	}
	if !now.Before(expires) {
		return expiredToken("Token expired: current date/time " + strconv.FormatInt(now.Unix(), 10) +
			" must be before the expiration date/time " + strconv.FormatInt(expires.Unix(), 10))
	}
	if issued.After(now.Add(leeway)) {
		return rejectedClaim("The ID Token's iat is in the future")
	}
	if !issued.Before(expires) {
		return rejectedClaim("The ID Token's exp is not after its iat")
	}
	notBefore, present, err := numericDate(c.NotBefore)
	if err != nil {
		return invalidToken("The ID Token's nbf must be a number", err)
	}
	if present && notBefore.After(now.Add(leeway)) {
		return rejectedClaim("The ID Token is not valid yet (nbf)")
	}
	return nil
}

// numericDate is RFC 7519 §2: seconds since 1970, possibly with a fraction.
func numericDate(value *jsontext.Value) (_ time.Time, present bool, _ error) {
	if value == nil {
		return time.Time{}, false, nil
	}
	seconds, err := strconv.ParseFloat(string(*value), 64)
	if err != nil || seconds < 0 || seconds > 1<<40 {
		return time.Time{}, false, errors.New("not a time in seconds since 1970")
	}
	whole := int64(seconds)
	return time.Unix(whole, int64((seconds-float64(whole))*1e9)), true, nil
}

// readSession reads the two claims by which a token sets up the session.
func (i *identity) readSession(c claims) error {
	if c.SourceIdentity != nil {
		if !sessionPattern.MatchString(*c.SourceIdentity) {
			return validation("The token's source_identity must be 2 to 64 letters, digits and _+=,.@-")
		}
		i.sourceIdentity = *c.SourceIdentity
	}
	if c.Tags == nil {
		return nil
	}
	i.tags = map[string]string{}
	for key, values := range c.Tags.PrincipalTags {
		if len(values) != 1 {
			return invalidToken("Each of the token's principal_tags must be an array of one string", nil)
		}
		i.tags[key] = values[0]
	}
	if err := checkTags(i.tags); err != nil {
		return err
	}
	for _, key := range c.Tags.Transitive {
		if _, found := i.tags[key]; !found {
			return validation("The token's transitive_tag_keys must be among its principal_tags")
		}
	}
	i.transitive = c.Tags.Transitive
	return nil
}
