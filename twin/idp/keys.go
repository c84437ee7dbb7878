package idp

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net/http"
	"sync"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// keyRing holds the signing keys, the newest first. Older ones stay published so that tokens
// signed before a rotation still verify.
type keyRing struct {
	mu   sync.Mutex
	keys []jose.JSONWebKey
}

const keptKeys = 3

func newKeyRing() (*keyRing, error) {
	ring := &keyRing{}
	return ring, ring.rotate()
}

func (k *keyRing) rotate() error {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("make signing key: %w", err)
	}
	key := jose.JSONWebKey{Key: private, KeyID: newSecret("twin-")[:16], Algorithm: string(jose.RS256), Use: "sig"}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys = append([]jose.JSONWebKey{key}, k.keys...)
	if len(k.keys) > keptKeys {
		k.keys = k.keys[:keptKeys]
	}
	return nil
}

func (k *keyRing) forgetOld() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys = k.keys[:1]
}

func (k *keyRing) published() jose.JSONWebKeySet {
	k.mu.Lock()
	defer k.mu.Unlock()
	var set jose.JSONWebKeySet
	for _, key := range k.keys {
		set.Keys = append(set.Keys, key.Public())
	}
	return set
}

func (k *keyRing) sign(claims any) (string, error) {
	k.mu.Lock()
	key := k.keys[0]
	k.mu.Unlock()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return jwt.Signed(signer).Claims(claims).Serialize()
}

// verify reads the claims of a token that this provider signed, whatever its age.
func (k *keyRing) verify(token string, claims any) error {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return err
	}
	return parsed.Claims(k.published(), claims)
}

// RotateKey makes a new signing key and publishes it before the older ones.
func (p *Provider) RotateKey() error { return p.keys.rotate() }

// ForgetOldKeys publishes the newest key alone: tokens signed before no longer verify.
func (p *Provider) ForgetOldKeys() { p.keys.forgetOld() }

func (p *Provider) jwks(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "public, max-age=60")
	if p.config.Profile.Tenants {
		p.keysByTenant(w)
		return
	}
	writeJSON(w, http.StatusOK, p.keys.published())
}
