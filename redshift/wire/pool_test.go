package wire_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/secret"
	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
	"github.com/shiftgrant/shiftgrant/redshift/wire"
	twinwire "github.com/shiftgrant/shiftgrant/twin/wire"
)

// logins is a LoginProvider that never fails.
type logins func(renew bool) identity.Login

func (l logins) Login(_ context.Context, renew bool) (identity.Login, error) { return l(renew), nil }

func (p *port) pool(t *testing.T, change func(*wire.PoolConfig)) *wire.Pool {
	t.Helper()
	config := wire.PoolConfig{
		Config: p.config(),
		Login:  logins(func(bool) identity.Login { return p.config().Login }),
	}
	if change != nil {
		change(&config)
	}
	pool := wire.NewPool(config)
	t.Cleanup(func() { _ = pool.Close() })
	return pool
}

// processID runs a statement and gives the server's process that ran it.
func processID(t *testing.T, pool *wire.Pool) string {
	t.Helper()
	rows, err := pool.Query(t.Context(), redshift.Statement{SQL: "select pg_backend_pid()"})
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	if !rows.Next() {
		t.Fatal(rows.Err())
	}
	id := string(rows.Values()[0])
	for rows.Next() {
	}
	return id
}

func TestPoolUsesAConnectionAgain(t *testing.T) {
	t.Parallel()
	pool := newPort(t, nil).pool(t, nil)
	first := processID(t, pool)
	if second := processID(t, pool); second != first {
		t.Errorf("the second statement ran in process %s, the first in %s", second, first)
	}
	rows, err := pool.Query(t.Context(), redshift.Statement{SQL: "select nosuch"})
	if err == nil {
		t.Fatal("no error", rows.Close())
	}
	if third := processID(t, pool); third != first {
		t.Error("a statement that failed cost the connection")
	}
	if inUse, idle := pool.Connections(); inUse != 0 || idle != 1 {
		t.Errorf("%d in use and %d idle", inUse, idle)
	}
}

func TestPoolRunsManyAtOnceAndNoMore(t *testing.T) {
	t.Parallel()
	pool := newPort(t, nil).pool(t, func(c *wire.PoolConfig) { c.MaxConnections = 3 })
	var most atomic.Int64
	var group sync.WaitGroup
	for i := range 30 {
		group.Go(func() {
			rows, err := pool.Query(t.Context(), redshift.Statement{SQL: fmt.Sprintf("select %d from generate_series(1, 1000)", i)})
			if err != nil {
				t.Error(err)
				return
			}
			inUse, _ := pool.Connections()
			most.Store(max(most.Load(), int64(inUse)))
			for rows.Next() {
				if string(rows.Values()[0]) != fmt.Sprint(i) {
					t.Errorf("statement %d got %s", i, rows.Values()[0])
				}
			}
			if err := errors.Join(rows.Err(), rows.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if most.Load() > 3 {
		t.Errorf("%d connections at once", most.Load())
	}
	if inUse, idle := pool.Connections(); inUse != 0 || idle > 3 || idle == 0 {
		t.Errorf("%d in use and %d idle", inUse, idle)
	}
}

func TestPoolWaitsAsLongAsItsCaller(t *testing.T) {
	t.Parallel()
	pool := newPort(t, nil).pool(t, func(c *wire.PoolConfig) { c.MaxConnections = 1 })
	rows, err := pool.Query(t.Context(), redshift.Statement{SQL: "select 1"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := pool.Query(ctx, redshift.Statement{SQL: "select 2"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if err := rows.Close(); err != nil {
		t.Error(err)
	}
	processID(t, pool)
}

func TestPoolForgetsWhatTheServerEnded(t *testing.T) {
	t.Parallel()
	p := newPort(t, nil)
	pool, other := p.pool(t, nil), p.connect(t, nil)
	first := processID(t, pool)
	if got := one(t, other, "select pg_terminate_backend("+first+")"); got != "t" {
		t.Fatalf("terminate: %s", got)
	}
	time.Sleep(1100 * time.Millisecond) // until the pool looks before it uses
	if second := processID(t, pool); second == first {
		t.Error("the dead process answers")
	}
}

func TestPoolEndsConnectionsWithTheirLogin(t *testing.T) {
	t.Parallel()
	p := newPort(t, nil)
	var now atomic.Int64
	begun := time.Now()
	clock := func() time.Time { return begun.Add(time.Duration(now.Load())) }
	pool := p.pool(t, func(c *wire.PoolConfig) {
		c.Now = clock
		c.Login = logins(func(bool) identity.Login {
			login := p.config().Login
			login.Expires = clock().Add(15 * time.Minute)
			return login
		})
	})
	first := processID(t, pool)
	now.Store(int64(14 * time.Minute))
	if processID(t, pool) != first {
		t.Error("the connection ended before its login")
	}
	now.Store(int64(15 * time.Minute))
	processID(t, pool) // the last on this connection
	if processID(t, pool) == first {
		t.Error("the connection outlived its login")
	}
}

func TestPoolRenewsAnExpiredLoginOnce(t *testing.T) {
	t.Parallel()
	valid := atomic.Bool{}
	p := newPort(t, func(c *twinwire.Config) {
		c.Method = twinwire.Cleartext
		c.Password = func(string, func(string) bool) (string, error) {
			if !valid.Load() {
				return "", &twinwire.Denial{Message: "IAM Authentication token has expired"}
			}
			return "alice", nil
		}
	})
	var asked []bool
	login := func(ready bool) logins {
		return func(renew bool) identity.Login {
			asked = append(asked, renew)
			valid.Store(ready && renew)
			return identity.Login{User: "IAM:alice", Password: secret.New(password)}
		}
	}
	processID(t, p.pool(t, func(c *wire.PoolConfig) { c.Login = login(true) }))
	if fmt.Sprint(asked) != "[false true]" {
		t.Errorf("the login was asked for with %v", asked)
	}
	asked = nil
	_, err := p.pool(t, func(c *wire.PoolConfig) { c.Login = login(false) }).Query(t.Context(), redshift.Statement{SQL: "select 1"})
	var refused *redshift.AccessError
	if !errors.As(err, &refused) || fmt.Sprint(asked) != "[false true]" {
		t.Errorf("error %v; the login was asked for with %v", err, asked)
	}
}

func TestClosingThePoolEndsWhatRuns(t *testing.T) {
	t.Parallel()
	p := newPort(t, nil)
	pool, other := p.pool(t, nil), p.connect(t, nil)
	ended := make(chan error)
	go func() {
		rows, err := pool.Query(context.WithoutCancel(t.Context()), redshift.Statement{SQL: endless + " -- closed_pool"})
		if err == nil {
			for rows.Next() {
			}
			err = errors.Join(rows.Err(), rows.Close())
		}
		ended <- err
	}()
	for running(t, other, "closed_pool") == "0" {
		time.Sleep(10 * time.Millisecond)
	}
	if err := pool.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("the statement ended well")
	}
	if _, err := pool.Query(t.Context(), redshift.Statement{SQL: "select 1"}); !errors.Is(err, wire.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
