package web

import (
	"crypto/sha256"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limiterSize is how many keys a limiter remembers at least. One key takes about 200 bytes.
const limiterSize = 20_000

// A Limiter bounds how often something happens for each key, in bounded memory. When it is
// full, the keys that were not seen lately are forgotten: who wants to be forgotten must make
// as many requests of other clients, and gains a few guesses at 256 random bits.
type Limiter struct {
	limit rate.Limit
	burst int

	mu     sync.Mutex
	recent map[limitKey]*rate.Limiter
	older  map[limitKey]*rate.Limiter
}

type limitKey [sha256.Size]byte

// NewLimiter allows that many events in each period, and as many at once.
func NewLimiter(events int, period time.Duration) *Limiter {
	return &Limiter{limit: rate.Every(period / time.Duration(events)), burst: events, recent: map[limitKey]*rate.Limiter{}}
}

// keyOf is short whatever a caller puts into its parts.
func keyOf(parts []string) limitKey { return sha256.Sum256([]byte(strings.Join(parts, "\x00"))) }

func (l *Limiter) of(parts []string) *rate.Limiter {
	key := keyOf(parts)
	l.mu.Lock()
	defer l.mu.Unlock()
	if found, ok := l.recent[key]; ok {
		return found
	}
	if len(l.recent) >= limiterSize {
		l.recent, l.older = make(map[limitKey]*rate.Limiter, limiterSize), l.recent
	}
	found, ok := l.older[key]
	if !ok {
		found = rate.NewLimiter(l.limit, l.burst)
	}
	l.recent[key] = found
	return found
}

// Take counts one event of who the parts name together, and returns 0, or how long to wait when
// there are too many.
func (l *Limiter) Take(now time.Time, parts ...string) time.Duration {
	bucket := l.of(parts)
	if bucket.AllowN(now, 1) {
		return 0
	}
	return l.wait(bucket, now)
}

// Full returns how long to wait before one more event is allowed, without counting one.
func (l *Limiter) Full(now time.Time, parts ...string) time.Duration {
	return l.wait(l.of(parts), now)
}

func (l *Limiter) wait(bucket *rate.Limiter, now time.Time) time.Duration {
	missing := 1 - bucket.TokensAt(now)
	if missing <= 0 {
		return 0
	}
	return max(time.Duration(missing/float64(l.limit)*float64(time.Second)), time.Second)
}
