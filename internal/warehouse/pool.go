package warehouse

import (
	"container/list"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/shiftgrant/shiftgrant/redshift"
)

// poolKey is who a session belongs to. The database user is part of it so that a binding that an
// operator changed never meets an old session.
type poolKey struct {
	tenant, person, databaseUser, warehouse string
}

// pool keeps sessions for the next request of the same person. It is bounded: the session that
// was idle longest goes first.
type pool struct {
	max    int
	idle   time.Duration
	logger *slog.Logger

	mu     sync.Mutex
	kept   map[poolKey]*keptSession
	unused *list.List // of *keptSession without users, the longest unused first
	closed bool

	shutting sync.WaitGroup
}

type keptSession struct {
	redshift.Session
	pool    *pool
	key     poolKey
	users   int
	dropped bool          // closed by its last user
	place   *list.Element // in unused
	expiry  *time.Timer
}

func newPool(max int, idle time.Duration, logger *slog.Logger) *pool {
	return &pool{max: max, idle: idle, logger: logger, kept: map[poolKey]*keptSession{}, unused: list.New()}
}

var errClosed = errors.New("the gateway is shutting down")

func (p *pool) acquire(ctx context.Context, key poolKey, connect func(context.Context) (redshift.Session, error)) (*keptSession, error) {
	if kept := p.take(key, nil); kept != nil {
		return kept, nil
	}
	session, err := connect(ctx)
	if err != nil {
		return nil, err
	}
	kept := p.take(key, session)
	if kept == nil {
		return nil, errors.Join(errClosed, session.Close())
	}
	if kept.Session != session {
		p.shut(session) // another request of the same person was faster
	}
	return kept, nil
}

// take finds a kept session, or keeps the one that was made for lack of it.
func (p *pool) take(key poolKey, made redshift.Session) *keptSession {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	kept := p.kept[key]
	if kept == nil {
		if made == nil {
			return nil
		}
		kept = &keptSession{Session: made, pool: p, key: key}
		if len(p.kept) >= p.max {
			kept.dropped = !p.evict()
		}
		if !kept.dropped {
			p.kept[key] = kept
		}
	}
	kept.users++
	if kept.place != nil {
		p.unused.Remove(kept.place)
		kept.place = nil
		kept.expiry.Stop()
	}
	return kept
}

// evict makes room by closing the session that was unused longest; false when all are in use.
func (p *pool) evict() bool {
	oldest := p.unused.Front()
	if oldest == nil {
		return false
	}
	p.drop(oldest.Value.(*keptSession))
	return true
}

// drop forgets an unused session and closes it, without holding up the others.
func (p *pool) drop(kept *keptSession) {
	p.unused.Remove(kept.place)
	kept.place = nil
	kept.expiry.Stop()
	delete(p.kept, kept.key)
	p.shutting.Go(func() { p.shut(kept.Session) })
}

func (p *pool) shut(session redshift.Session) {
	if err := session.Close(); err != nil {
		p.logger.Warn("close session", "error", err)
	}
}

// retain adds a user to a session in use.
func (k *keptSession) retain() {
	k.pool.mu.Lock()
	defer k.pool.mu.Unlock()
	k.users++
}

// release is what each user calls once.
func (k *keptSession) release() {
	p := k.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if k.users--; k.users > 0 {
		return
	}
	if k.dropped || p.closed {
		p.shutting.Go(func() { p.shut(k.Session) })
		return
	}
	k.place = p.unused.PushBack(k)
	k.expiry = time.AfterFunc(p.idle, func() { p.expire(k) })
}

func (p *pool) expire(k *keptSession) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if k.place != nil && !p.closed {
		p.drop(k)
	}
}

// close closes what is unused now and lets the users of the others close theirs.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	for p.evict() {
	}
	p.mu.Unlock()
	p.shutting.Wait()
}
