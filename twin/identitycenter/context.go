package identitycenter

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/shiftgrant/shiftgrant/twin/sigv4"
)

// ContextProvider is the ARN under which STS takes identity contexts.
const ContextProvider = "arn:aws:iam::aws:contextProvider/IdentityCenter"

// The kinds of contexts: with the first a role's session acts for the person, the second only lets
// the person be seen in CloudTrail.
const (
	identityKind = "identity"
	auditKind    = "audit"
)

// sealedContext is what a context string holds.
type sealedContext struct {
	Kind    string
	User    Person
	Scopes  []string
	Expires time.Time
}

// seal makes a context string.
func (c *Center) seal(kind string, s *session) string {
	plain, err := json.Marshal(sealedContext{kind, s.person, s.scopes, c.config.Now().Add(accessLife)})
	if err != nil {
		panic(err) // it is made of strings and a time
	}
	return base64.StdEncoding.EncodeToString(c.sealer.Seal(nil, nil, plain, []byte("context")))
}

// ErrContext says that a string is no identity context of this instance, ErrContextExpired that it
// was one.
var (
	ErrContext        = errors.New("the identity context is not one of this Identity Center")
	ErrContextExpired = errors.New("the identity context has expired")
)

// Context opens a context string. The person is nil for an audit context, which lets nobody act.
func (c *Center) Context(assertion string) (*sigv4.Person, error) {
	sealed, err := base64.StdEncoding.DecodeString(assertion)
	if err != nil {
		return nil, ErrContext
	}
	plain, err := c.sealer.Open(nil, nil, sealed, []byte("context"))
	if err != nil {
		return nil, ErrContext
	}
	var opened sealedContext
	if err := json.Unmarshal(plain, &opened); err != nil {
		return nil, ErrContext
	}
	if !c.config.Now().Before(opened.Expires) {
		return nil, ErrContextExpired
	}
	if opened.Kind != identityKind {
		return nil, nil
	}
	return &sigv4.Person{
		UserID: opened.User.UserID, UserName: opened.User.UserName, Groups: opened.User.Groups,
		MayConnect: slices.Contains(opened.Scopes, RedshiftScope),
	}, nil
}

// signer signs ID tokens.
type signer struct{ jose.Signer }

func newSigner() (*signer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	options := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", "twin-identity-center")
	made, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, options)
	return &signer{made}, err
}

// idToken is a session's, with the two contexts as claims.
func (c *Center) idToken(s *session, identityContext string) (string, error) {
	now := c.config.Now()
	return jwt.Signed(c.signer).Claims(map[string]any{
		"iss": c.IssuerURL(), "sub": s.person.UserID, "aud": s.client, "iat": now.Unix(), "exp": now.Add(accessLife).Unix(), "jti": newUUID(),
		"aws:identity_store_id": identityStoreID, "aws:identity_store_arn": "arn:aws:identitystore::" + c.config.Account + ":identitystore/" + identityStoreID,
		"aws:instance_account": c.config.Account, "aws:credential_id": newUUID(), "act": map[string]string{"sub": s.client},
		"sts:identity_context": identityContext, "sts:audit_context": c.seal(auditKind, s),
	}).Serialize()
}

func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	text := hex.EncodeToString(b[:])
	return strings.Join([]string{text[:8], text[8:12], text[12:16], text[16:20], text[20:]}, "-")
}
