package grant

import (
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"strconv"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/secret"
)

// Refresh rotation by the same-successor rule.
//
// A family of refresh tokens has a generation n; only the newest is current. The successor
// of a token is derived from the token itself, so the same answer can be given again without
// keeping it: a client whose answer was lost, or two tabs that refresh at once, get the same
// next token. The rule, for a presented token of generation p in a family at generation n
// (reference: the model of security.md §4.2):
//
//	p == n                              advance: n+1 becomes current
//	p == n-1, the current one never used,
//	          and within the retry time  repeat: the same n again
//	anything else                       the family is dead: somebody holds an old token
//
// A repeat never makes a second live leaf, and a thief and a client that both go on with the
// same token are found out at the first step where they diverge.
type Rotation int

// What to do with a presented refresh token.
const (
	Advance Rotation = iota // make the next generation current and return it
	Repeat                  // return the current generation again
	Reuse                   // revoke the family
)

// Retry times of the rule: how long a lost answer can be asked for again. An authenticated
// client has proved more than a bearer, so it gets longer.
const (
	RetryBearer        = 60 * time.Second
	RetryAuthenticated = 24 * time.Hour
)

// A Family is one line of refresh tokens. Using a token of generation n is what moves the
// family to n+1, so the current one is by definition unused.
type Family struct {
	ID         string // "fam_…"
	GrantID    string
	AppID      string
	Scopes     Scopes
	Generation int64 // of the current token
	Current    Hash
	Previous   Hash // generation-1; zero for a family never refreshed
	KeyID      string
	RotatedAt  time.Time
	CreatedAt  time.Time
	IdleUntil  time.Time // the current token is dead after this
	ExpiresAt  time.Time // the family is dead after this, whatever is refreshed
	RevokedAt  time.Time
}

// Decide applies the rule to a presented token that is known to belong to the family.
func (f *Family) Decide(presented Hash, now time.Time, retry time.Duration) Rotation {
	switch {
	case presented == f.Current:
		return Advance
	case presented == f.Previous && f.Generation > 1 && now.Before(f.RotatedAt.Add(retry)):
		return Repeat
	}
	return Reuse
}

// Successor derives the refresh token that follows predecessor in a family:
// HKDF-SHA-256(ikm = predecessor, salt = rotation key, info = family ‖ generation).
// Generation is that of the successor.
func Successor(predecessor secret.Text, rotationKey []byte, family string, generation int64) (secret.Text, error) {
	info := "shiftgrant refresh " + family + " " + strconv.FormatInt(generation, 10)
	entropy, err := hkdf.Key(sha256.New, []byte(predecessor.Reveal()), rotationKey, info, 32)
	if err != nil {
		return secret.Text{}, fmt.Errorf("derive refresh token: %w", err)
	}
	return tokenFrom(RefreshToken, entropy), nil
}
