package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
)

// PoolConfig says how one person's connections are made and kept.
type PoolConfig struct {
	// Config is where to; its Login is replaced by what Login gives.
	Config Config
	// Login gives the proof for a new connection. After the server has refused one that may have
	// aged, it is asked once more, with renew set.
	Login identity.LoginProvider

	// Opened is told of each connection before a statement runs on it, and returns what to call when
	// it is closed; its error is that of the statement. Nil tells nobody.
	Opened func(ctx context.Context, trace Trace) (closed func(), err error)

	MaxConnections int           // 0 is 10
	Idle           time.Duration // until an unused connection is closed; 0 is 5 minutes
	Now            func() time.Time
}

// A Pool is one person's connections to one warehouse: a redshift.Session that several goroutines
// can use at once. It must never serve two people.
type Pool struct {
	config PoolConfig
	places *semaphore.Weighted

	mu     sync.Mutex
	idle   []*kept // the one used last at the end
	timer  *time.Timer
	closed bool
	inUse  map[*kept]struct{}
}

// kept is a connection with its end.
type kept struct {
	*Session
	expires time.Time
	since   time.Time // idle
	closed  func()
}

func (k *kept) end() {
	_ = k.Close()
	if k.closed != nil {
		k.closed()
	}
}

var _ redshift.Session = (*Pool)(nil)

// NewPool makes a pool. It connects when it is used.
func NewPool(config PoolConfig) *Pool {
	if config.MaxConnections == 0 {
		config.MaxConnections = 10
	}
	if config.Idle == 0 {
		config.Idle = 5 * time.Minute
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Config.TLS == nil {
		config.Config.TLS = &tls.Config{}
	}
	if config.Config.TLS.ClientSessionCache == nil {
		config.Config.TLS = config.Config.TLS.Clone()
		config.Config.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	return &Pool{config: config, places: semaphore.NewWeighted(int64(config.MaxConnections)), inUse: map[*kept]struct{}{}}
}

// Query runs one statement on a connection of its own.
func (p *Pool) Query(ctx context.Context, statement redshift.Statement) (redshift.Rows, error) {
	if err := p.places.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	one, err := p.borrow(ctx)
	if err != nil {
		p.places.Release(1)
		return nil, err
	}
	rows, err := one.Query(ctx, statement)
	if err != nil {
		p.giveBack(one)
		return nil, err
	}
	return &pooledRows{Rows: rows, back: sync.OnceFunc(func() { p.giveBack(one) })}, nil
}

// pooledRows give their connection back when they are closed.
type pooledRows struct {
	redshift.Rows
	back func()
}

func (r *pooledRows) Close() error {
	err := r.Rows.Close()
	r.back()
	return err
}

// borrow takes an idle connection, or makes one.
func (p *Pool) borrow(ctx context.Context) (*kept, error) {
	for {
		one, err := p.takeIdle()
		if err != nil {
			return nil, err
		}
		if one == nil {
			break
		}
		if one.alive(p.config.Now()) {
			return one, nil
		}
		p.forget(one)
	}
	return p.connect(ctx, false)
}

// takeIdle gives the connection that was used last, or nil.
func (p *Pool) takeIdle() (*kept, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	if len(p.idle) == 0 {
		return nil, nil
	}
	one := p.idle[len(p.idle)-1]
	p.idle = p.idle[:len(p.idle)-1]
	p.inUse[one] = struct{}{}
	return one, nil
}

func (p *Pool) connect(ctx context.Context, renew bool) (*kept, error) {
	login, err := p.config.Login.Login(ctx, renew)
	if err != nil {
		return nil, err
	}
	config := p.config.Config
	config.Login = login
	session, err := Connect(ctx, config)
	if !renew && aged(login, err) {
		return p.connect(ctx, true)
	}
	if err != nil {
		return nil, err
	}
	one := &kept{Session: session, expires: login.Expires}
	if p.config.Opened != nil {
		if one.closed, err = p.config.Opened(ctx, session.Trace()); err != nil {
			_ = session.Close()
			return nil, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		one.end()
		return nil, ErrClosed
	}
	p.inUse[one] = struct{}{}
	return one, nil
}

// giveBack keeps a connection for the next statement, if it is fit.
func (p *Pool) giveBack(one *kept) {
	defer p.places.Release(1)
	p.mu.Lock()
	now := p.config.Now()
	fit := !p.closed && one.Healthy() && (one.expires.IsZero() || now.Before(one.expires))
	if fit {
		delete(p.inUse, one)
		one.since = now
		p.idle = append(p.idle, one)
		if p.timer == nil {
			p.timer = time.AfterFunc(p.config.Idle, p.sweep)
		}
	}
	p.mu.Unlock()
	if !fit {
		p.forget(one)
	}
}

func (p *Pool) forget(one *kept) {
	p.mu.Lock()
	delete(p.inUse, one)
	p.mu.Unlock()
	one.end()
}

// sweep closes what was idle for long, or has come to its end.
func (p *Pool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer = nil
	now := p.config.Now()
	left := p.idle[:0]
	for _, one := range p.idle {
		if now.Sub(one.since) >= p.config.Idle || !one.expires.IsZero() && !now.Before(one.expires) {
			one.end()
		} else {
			left = append(left, one)
		}
	}
	clear(p.idle[len(left):])
	p.idle = left
	if len(p.idle) > 0 && !p.closed {
		p.timer = time.AfterFunc(p.config.Idle/2, p.sweep)
	}
}

// Connections is how many there are, in use and idle.
func (p *Pool) Connections() (inUse, idle int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.inUse), len(p.idle)
}

// Close ends all connections; what runs on them ends with them.
func (p *Pool) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	for _, one := range p.idle {
		one.end()
	}
	p.idle = nil
	for one := range p.inUse {
		_ = one.connection.Close() // whoever uses it is told by the failure of what they do
	}
	return nil
}

// aliveAfter is how long a connection can be idle without a look at whether it still is one.
const aliveAfter = time.Second

// alive looks whether the server has ended the connection, or has said something, which it does
// before it ends one.
func (k *kept) alive(now time.Time) bool {
	if now.Sub(k.since) < aliveAfter {
		return true
	}
	if k.connection.SetReadDeadline(time.Now().Add(time.Millisecond)) != nil {
		return false
	}
	_, err := k.connection.Read(make([]byte, 1))
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		return false
	}
	return k.connection.SetReadDeadline(time.Time{}) == nil
}

// Ping makes sure that a connection can be had.
func (p *Pool) Ping(ctx context.Context) error {
	rows, err := p.Query(ctx, redshift.Statement{SQL: "select 1"})
	if err != nil {
		return err
	}
	for rows.Next() {
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	return nil
}
