package oauth

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

const (
	// cacheTime is how long a revocation in another process can stay unseen here.
	cacheTime = time.Second
	// cacheSize bounds the memory of the cache: two halves of this many entries of about 1 kB.
	cacheSize = 10_000
)

// Authenticate finds what a presented access token stands for. Junk is told by its checksum,
// without a look-up. The answer is judged anew each time: expiry, the grant, the person and the
// app must all be good, and what is missing is not (RS-02).
//
// The errors grant.ErrMalformed, ErrNotFound, ErrExpired and ErrRevoked mean that the token is
// no good; any other error, that nobody can tell now. The caller must not change the answer.
func (s *Server) Authenticate(ctx context.Context, presented string) (*grant.Access, error) {
	hash, err := grant.ParseToken(grant.AccessToken, presented)
	if err != nil {
		return nil, err
	}
	now := s.now()
	access, epoch := s.cache.get(hash, now)
	if access == nil {
		if access, err = s.lookUp(ctx, hash, now); err != nil {
			return nil, err
		}
		s.cache.put(hash, access, now, epoch)
	}
	if err := s.judge(access, now); err != nil {
		return nil, err
	}
	return access, nil
}

func (s *Server) lookUp(ctx context.Context, hash grant.Hash, now time.Time) (*grant.Access, error) {
	access, err := s.store.Access(ctx, s.tenant, hash)
	if errors.Is(err, grant.ErrNotFound) || errors.Is(err, grant.ErrRevoked) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("look up access token: %w", err)
	}
	access.Token, access.CheckedAt = hash, now
	return access, nil
}

// judge fails closed: a record with a hole in it is no access.
func (s *Server) judge(access *grant.Access, now time.Time) error {
	switch {
	case access.ExpiresAt.IsZero() || access.Grant.ID == "" || access.Person.ID == "" || access.App.ID == "":
		return fmt.Errorf("%w: the stored token is incomplete", grant.ErrRevoked)
	case access.Grant.Tenant != s.tenant || access.Person.Tenant != s.tenant || access.App.Tenant != s.tenant:
		return fmt.Errorf("%w: the token is of another tenant", grant.ErrRevoked)
	case access.Grant.AppID != access.App.ID || access.Grant.PersonID != access.Person.ID:
		return fmt.Errorf("%w: the stored token contradicts its grant", grant.ErrRevoked)
	case !now.Before(access.ExpiresAt):
		return grant.ErrExpired
	case access.Person.Disabled || access.App.Disabled:
		return grant.ErrRevoked
	}
	return access.Grant.Alive(now)
}

// accessCache keeps what was just looked up, for a second. Its server has one tenant and one
// resource, so the token's hash is the whole key.
//
// It remembers no refusals: well-formed tokens can be made up without end, and would only push
// out the good ones.
type accessCache struct {
	mu     sync.Mutex
	recent map[grant.Hash]cachedAccess
	older  map[grant.Hash]cachedAccess
	// epoch counts revocations. A look-up that was under way during one is not kept: it may
	// have read what was there before.
	epoch uint64
}

type cachedAccess struct {
	access *grant.Access
	until  time.Time
}

// get returns nil for what is not known, and the epoch to hand to put.
func (c *accessCache) get(hash grant.Hash, now time.Time) (*grant.Access, uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	entry, ok := c.recent[hash]
	if !ok {
		entry, ok = c.older[hash]
	}
	// A clock that was set back must not make an entry live longer.
	if !ok || !now.Before(entry.until) || entry.until.Sub(now) > cacheTime {
		return nil, c.epoch
	}
	return entry.access, c.epoch
}

// put keeps what was looked up since epoch; lookedUp is when that began.
func (c *accessCache) put(hash grant.Hash, access *grant.Access, lookedUp time.Time, epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if epoch != c.epoch {
		return
	}
	if c.recent == nil || len(c.recent) >= cacheSize {
		c.recent, c.older = make(map[grant.Hash]cachedAccess), c.recent
	}
	c.recent[hash] = cachedAccess{access, lookedUp.Add(cacheTime)}
}

// forget drops the tokens of a grant that has just changed in the store.
func (c *accessCache) forget(grantID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	for _, entries := range []map[grant.Hash]cachedAccess{c.recent, c.older} {
		for hash, entry := range entries {
			if entry.access.Grant.ID == grantID {
				delete(entries, hash)
			}
		}
	}
}
