package signin

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/shiftgrant/shiftgrant/connect"
	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/secret"
)

// Some warehouses take the tokens of an upstream themselves. What the upstream gave last about a
// person is therefore held in memory, never in the store, while it is good; when it is not, the
// upstream is asked again as StillWelcome asks, by one gateway at a time, though not each gateway
// holds what another was given.

// Lent are tokens of an upstream about one person.
type Lent struct {
	ID      secret.Text // zero where the upstream gave none
	Access  secret.Text
	Expires time.Time // of what ends first
}

const (
	// lentLeft is the least life of what is lent: whoever gets it has to present it yet.
	lentLeft = time.Minute
	maxLent  = 10_000
)

// ErrNotLent says that an upstream has given nothing that can be lent, and in the words around it
// what to do.
var ErrNotLent = errors.New("there is no token of the person's identity provider")

// Lend gives tokens of the named upstream about a person who signed in there.
func (s *SignIn) Lend(ctx context.Context, person grant.Person, upstream string) (Lent, error) {
	if s.keeper == nil {
		return Lent{}, fmt.Errorf("%w: none are kept", ErrNotLent)
	}
	return s.keeper.Lend(ctx, person, upstream)
}

// Lend asks the upstream where nothing is held. It returns grant.ErrRevoked for its no.
func (k *Keeper) Lend(ctx context.Context, person grant.Person, upstream string) (Lent, error) {
	if held, ok := k.lentTo(person, upstream); ok {
		return held, nil
	}
	if err := k.share(ctx, "lend\x00"+keyOf(person), func(ctx context.Context) error { return k.askToLend(ctx, person, upstream) }); err != nil {
		return Lent{}, err
	}
	if held, ok := k.lentTo(person, upstream); ok {
		return held, nil
	}
	return Lent{}, fmt.Errorf("%w: %s does not answer, or its tokens end within %s", ErrNotLent, upstream, lentLeft)
}

func (k *Keeper) askToLend(ctx context.Context, person grant.Person, upstream string) error {
	u, err := k.Tokens.UpstreamToken(ctx, person.Tenant, person.ID)
	switch {
	case errors.Is(err, grant.ErrNotFound):
		return fmt.Errorf("%w: %s gave no refresh token; add offline_access to its scopes (or what makes it give one), and sign in again", ErrNotLent, upstream)
	case err != nil:
		return fmt.Errorf("find upstream token: %w", err)
	case u.Upstream != upstream:
		return fmt.Errorf("%w: they signed in at %s, and this warehouse takes those of %s", ErrNotLent, u.Upstream, upstream)
	}
	return k.check(ctx, person, true)
}

// hold keeps in memory what an upstream gave.
func (k *Keeper) hold(tenant, personID, upstream string, given connect.Tokens) {
	if !k.inquiries[upstream].Lends {
		return
	}
	lent := Lent{ID: secret.New(given.ID), Access: secret.New(given.Access), Expires: given.Expires}
	if ends := expiryOf(given.ID); !ends.IsZero() && (lent.Expires.IsZero() || ends.Before(lent.Expires)) {
		lent.Expires = ends
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.lent == nil || len(k.lent) >= maxLent {
		k.lent = map[string]Lent{}
	}
	k.lent[upstream+"\x00"+keyOf(grant.Person{Tenant: tenant, ID: personID})] = lent
}

func (k *Keeper) lentTo(person grant.Person, upstream string) (Lent, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	held, ok := k.lent[upstream+"\x00"+keyOf(person)]
	return held, ok && k.Now().Add(lentLeft).Before(held.Expires)
}

// letGo forgets what is held about somebody whom the upstream has refused.
func (k *Keeper) letGo(tenant, personID, upstream string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.lent, upstream+"\x00"+keyOf(grant.Person{Tenant: tenant, ID: personID}))
}

// expiryOf reads when a JWT ends; the zero time where it does not say.
func expiryOf(token string) time.Time {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}
	}
	var claims struct {
		Expires float64 `json:"exp"`
	}
	if json.Unmarshal(payload, &claims) != nil || claims.Expires == 0 {
		return time.Time{}
	}
	return time.Unix(int64(claims.Expires), 0)
}
