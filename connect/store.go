package connect

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrNoSession is what a SessionStore returns for a session that is not there, or has expired.
var ErrNoSession = errors.New("no such session")

// A SessionStore keeps who is signed in. It never sees a token or a cookie: id is a hash of the
// cookie's value, and data is sealed. Save must be durable when it returns, if sessions are to
// survive a crash.
type SessionStore interface {
	Load(ctx context.Context, id string) ([]byte, error) // ErrNoSession
	Save(ctx context.Context, id string, data []byte, expires time.Time) error
	Delete(ctx context.Context, id string) error // of one that is not there is no error
}

// A Locker is a SessionStore that several processes share: Lock keeps the others from refreshing
// the same session until unlock is called or ctx ends.
type Locker interface {
	Lock(ctx context.Context, id string) (unlock func(), err error)
}

// maxMemorySessions bounds MemorySessions; beyond it, those that end first are dropped.
const maxMemorySessions = 100_000

// MemorySessions keeps sessions until the process ends: for development and tests.
type MemorySessions struct {
	mu       sync.Mutex
	sessions map[string]memorySession
	sweepAt  time.Time
}

type memorySession struct {
	data    []byte
	expires time.Time
}

// NewMemorySessions makes an empty store.
func NewMemorySessions() *MemorySessions {
	return &MemorySessions{sessions: map[string]memorySession{}}
}

// Load implements SessionStore.
func (m *MemorySessions) Load(_ context.Context, id string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	found, ok := m.sessions[id]
	if !ok || !time.Now().Before(found.expires) {
		return nil, ErrNoSession
	}
	return found.data, nil
}

// Save implements SessionStore.
func (m *MemorySessions) Save(_ context.Context, id string, data []byte, expires time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep(time.Now())
	if _, known := m.sessions[id]; !known && len(m.sessions) >= maxMemorySessions {
		m.dropFirst()
	}
	m.sessions[id] = memorySession{data, expires}
	return nil
}

// Delete implements SessionStore.
func (m *MemorySessions) Delete(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sessions, id)
	return nil
}

// sweep removes what has expired, once a minute at most.
func (m *MemorySessions) sweep(now time.Time) {
	if now.Before(m.sweepAt) {
		return
	}
	m.sweepAt = now.Add(time.Minute)
	for id, session := range m.sessions {
		if !now.Before(session.expires) {
			delete(m.sessions, id)
		}
	}
}

func (m *MemorySessions) dropFirst() {
	first, at := "", time.Time{}
	for id, session := range m.sessions {
		if first == "" || session.expires.Before(at) {
			first, at = id, session.expires
		}
	}
	delete(m.sessions, first)
}
