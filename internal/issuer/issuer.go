// Package issuer makes the gateway an OpenID Connect issuer: it signs short statements about
// people that outsiders verify with its public keys.
//
// There are two kinds. An assertion tells an AWS account who a person is; it buys credentials.
// An ID token tells an app who signed in; it buys nothing. Both are signed by the same keys
// under the same issuer URL, so what keeps them apart is their audience: assertions go only to
// the reserved audiences of the configuration, and no ID token is ever made for one of those.
// An app must therefore never be registered under a reserved audience as its id ([Issuer.Reserved]
// tells). An ID token also never carries a claim that AWS reads.
//
// The private key is the most powerful thing the gateway holds: who has it can be anybody in
// every warehouse that trusts this issuer. It stays in a file of mode 0600 (keys.go), or where no
// program can read it (remote.go). It is never printed, and an assertion made with it lives five
// minutes at most.
//
// ID tokens have no key of their own, although they are worth less: AWS trusts every key of the
// published set, so that a lesser key would have to be guarded as well as the other.
//
// Signing costs about a millisecond of a core, or a call. Nothing signs while an access token is
// checked.
package issuer

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/secret"
)

// Config is what an issuer is made of.
type Config struct {
	// URL is the issuer identifier, byte for byte as AWS and the apps have it registered.
	URL  string
	Keys *Keys
	// ReservedAudiences are the audiences that assertions are made for, and nothing else is.
	ReservedAudiences []string
	Now               func() time.Time
}

// Issuer signs. It may be used by several goroutines at once.
type Issuer struct {
	url      string
	keys     *Keys
	reserved []string
	now      func() time.Time
}

// New makes an issuer.
func New(config Config) (*Issuer, error) {
	if config.URL == "" {
		return nil, errors.New("issuer: the URL is missing")
	}
	if config.Keys == nil {
		return nil, errors.New("issuer: there are no keys; open them with OpenKeys")
	}
	if slices.Contains(config.ReservedAudiences, "") {
		return nil, errors.New("issuer: a reserved audience is empty")
	}
	now := config.Now
	if now == nil {
		now = time.Now
	}
	return &Issuer{url: config.URL, keys: config.Keys, reserved: slices.Clone(config.ReservedAudiences), now: now}, nil
}

// URL is the issuer identifier.
func (i *Issuer) URL() string { return i.url }

// Reserved reports whether an audience belongs to assertions, so that no app may have it as
// its id.
func (i *Issuer) Reserved(audience string) bool { return slices.Contains(i.reserved, audience) }

// JWKS is the set of public keys (RFC 7517 §5): those in use, those that will be, and those
// whose signatures may still be about.
func (i *Issuer) JWKS() []byte { return i.keys.published(i.now()) }

// sign makes a compact JWS (RFC 7515 §7.1) of claims with the key that is in use. Who waits is the
// caller: a key that is kept elsewhere is asked over the network.
func (i *Issuer) sign(ctx context.Context, claims any, now time.Time) (secret.Text, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return secret.Text{}, fmt.Errorf("encode claims: %w", err)
	}
	key := i.keys.signing(now)
	header, err := json.Marshal(joseHeader{Algorithm: "RS256", KeyID: key.id, Type: "JWT"})
	if err != nil {
		return secret.Text{}, fmt.Errorf("encode the header: %w", err)
	}
	input := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
	digest := sha256.Sum256([]byte(input))
	signature, err := key.sign(ctx, digest[:])
	if err != nil {
		return secret.Text{}, fmt.Errorf("sign with key %w", err)
	}
	return secret.New(input + "." + base64.RawURLEncoding.EncodeToString(signature)), nil
}

// joseHeader is RFC 7515 §4.1.
type joseHeader struct {
	Algorithm string `json:"alg"`
	KeyID     string `json:"kid"`
	Type      string `json:"typ"`
}

// newTokenID is a jti: 128 random bits, never used twice.
func newTokenID() string {
	var id [16]byte
	rand.Read(id[:]) // never fails since Go 1.24
	return base64.RawURLEncoding.EncodeToString(id[:])
}
