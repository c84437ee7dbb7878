package idp

import (
	"crypto/rand"
	"encoding/base64"
	"time"
)

// shelf keeps things until they expire, and never more than maxState of them. Its user holds
// the provider's lock.
type shelf[V any] struct{ items map[string]item[V] }

type item[V any] struct {
	value   V
	expires time.Time
}

func newShelf[V any]() *shelf[V] { return &shelf[V]{map[string]item[V]{}} }

func (s *shelf[V]) put(key string, value V, now, expires time.Time) {
	if len(s.items) >= maxState {
		s.makeRoom(now)
	}
	s.items[key] = item[V]{value, expires}
}

// makeRoom drops what has expired or, if nothing has, what would expire first.
func (s *shelf[V]) makeRoom(now time.Time) {
	var first string
	for key, it := range s.items {
		if !now.Before(it.expires) {
			delete(s.items, key)
			continue
		}
		if first == "" || it.expires.Before(s.items[first].expires) {
			first = key
		}
	}
	if len(s.items) >= maxState {
		delete(s.items, first)
	}
}

func (s *shelf[V]) get(key string, now time.Time) (V, bool) {
	it, found := s.items[key]
	if !found || !now.Before(it.expires) {
		var none V
		return none, false
	}
	return it.value, true
}

func (s *shelf[V]) drop(key string) { delete(s.items, key) }

// newSecret is a fresh unguessable value; the prefix says in logs and dumps what it was.
func newSecret(prefix string) string {
	bytes := make([]byte, 32)
	_, _ = rand.Read(bytes) // never fails; see crypto/rand
	return prefix + base64.RawURLEncoding.EncodeToString(bytes)
}

// session is a browser in which somebody is signed in.
type session struct {
	person   Person
	authTime time.Time
}

// ticket is an authorization request that waits for somebody to sign in. It belongs to the
// browser that brought it, so that nobody can have a stranger's browser finish theirs.
type ticket struct {
	request authorization
	browser string
}

// grant is what one sign-in gave one client. All tokens of a code share it; ending it ends
// them.
type grant struct {
	client   string
	person   Person
	scopes   []string
	authTime time.Time
	expires  time.Time
	ended    bool
	// refreshes says that it has refresh tokens.
	refreshes bool
}

// code is an authorization code, kept after use to notice a replay.
type code struct {
	request authorization
	grant   *grant
	used    bool
}

// accessToken may have fewer scopes than its grant.
type accessToken struct {
	grant  *grant
	scopes []string
}

// refreshToken is one generation of a grant's refresh token, kept after use likewise.
type refreshToken struct {
	grant  *grant
	used   bool
	usedAt time.Time // for the first time
}
