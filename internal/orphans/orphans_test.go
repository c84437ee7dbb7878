package orphans

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/seal"
)

// shelf is a store that two gateways share.
type shelf struct {
	mu   sync.Mutex
	rows map[string]grant.Running
	down bool
}

var errDown = errors.New("the store is down")

func (s *shelf) with(do func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return errDown
	}
	do()
	return nil
}

func (s *shelf) AddRunning(_ context.Context, r grant.Running) error {
	return s.with(func() { s.rows[r.ID] = r })
}

func (s *shelf) RemoveRunning(_ context.Context, _, id string) error {
	return s.with(func() { delete(s.rows, id) })
}

func (s *shelf) KeepRunning(_ context.Context, _, holder string, until time.Time) error {
	return s.with(func() {
		for id, row := range s.rows {
			if row.Holder == holder {
				row.AliveUntil = until
				s.rows[id] = row
			}
		}
	})
}

func (s *shelf) ClaimRunning(_ context.Context, _, holder string, now, until time.Time, _ int) (claimed []grant.Running, err error) {
	err = s.with(func() {
		for id, row := range s.rows {
			if row.AliveUntil.Before(now) {
				row.Holder, row.AliveUntil = holder, until
				s.rows[id] = row
				claimed = append(claimed, row)
			}
		}
	})
	return claimed, err
}

func (s *shelf) size() (n int) {
	_ = s.with(func() { n = len(s.rows) })
	return n
}

type gateway struct {
	*Register
	mu      sync.Mutex
	stopped []string
	fails   int
}

func (g *gateway) stop(_ context.Context, left grant.Running, trace []byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fails > 0 {
		g.fails--
		return errors.New("the warehouse does not answer")
	}
	g.stopped = append(g.stopped, left.Warehouse+" "+left.PersonID+" "+string(trace))
	return nil
}

func (g *gateway) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.stopped)
}

func start(t *testing.T, store *shelf, name string) *gateway {
	t.Helper()
	ring, err := seal.NewRing(seal.Key{Version: 1, Bytes: make([]byte, seal.KeySize)})
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{}
	g.Register = New(Config{Store: store, Ring: ring, Tenant: "default", Holder: name, Stop: g.stop})
	return g
}

var ann = grant.Person{ID: "per_ann"}

func TestWhatADeadGatewayLeftIsStoppedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{rows: map[string]grant.Running{}}
		dies, one, two := start(t, store, "dies"), start(t, store, "one"), start(t, store, "two")
		defer one.Close()
		defer two.Close()
		if _, err := dies.Add(t.Context(), ann, "tickit", grant.RunningConnection, []byte("trace")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if one.count()+two.count() != 0 {
			t.Fatal("a gateway that lives is taken for dead")
		}
		dies.Close()
		time.Sleep(20 * time.Second)
		if got := append(one.stopped, two.stopped...); len(got) != 1 || got[0] != "tickit per_ann trace" {
			t.Errorf("stopped %q, want it once", got)
		}
		if store.size() != 0 {
			t.Errorf("%d rows stay", store.size())
		}
	})
}

func TestWhatHasEndedIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{rows: map[string]grant.Running{}}
		g := start(t, store, "one")
		defer g.Close()
		remove, err := g.Add(t.Context(), ann, "tickit", grant.RunningConnection, []byte("trace"))
		if err != nil {
			t.Fatal(err)
		}
		ended := g.AddSoon(ann, "tickit", grant.RunningStatement, []byte("id"))
		synctest.Wait()
		if store.size() != 2 {
			t.Errorf("%d rows, want 2", store.size())
		}
		remove()
		remove()
		ended()
		ended()
		synctest.Wait()
		if store.size() != 0 {
			t.Errorf("%d rows stay", store.size())
		}
	})
}

func TestStoppingIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{rows: map[string]grant.Running{}}
		dies, other := start(t, store, "dies"), start(t, store, "other")
		defer other.Close()
		if _, err := dies.Add(t.Context(), ann, "tickit", grant.RunningStatement, []byte("id")); err != nil {
			t.Fatal(err)
		}
		other.mu.Lock()
		other.fails = 2
		other.mu.Unlock()
		dies.Close()
		time.Sleep(40 * time.Second)
		if other.count() != 1 || store.size() != 0 {
			t.Errorf("stopped %d, %d rows", other.count(), store.size())
		}
	})
}

// While the store is away nobody can say that they live, and after it nobody is judged by that.
func TestStoreThatWasAwayKillsNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{rows: map[string]grant.Running{}}
		one, two := start(t, store, "one"), start(t, store, "two")
		defer one.Close()
		defer two.Close()
		if _, err := one.Add(t.Context(), ann, "tickit", grant.RunningConnection, []byte("trace")); err != nil {
			t.Fatal(err)
		}
		for _, down := range []bool{true, false} {
			store.mu.Lock()
			store.down = down
			store.mu.Unlock()
			time.Sleep(2 * time.Minute)
		}
		if one.count()+two.count() != 0 {
			t.Error("a gateway that lives is taken for dead")
		}
	})
}

func TestNothingIsOpenedThatCannotBeKept(t *testing.T) {
	t.Parallel()
	store := &shelf{rows: map[string]grant.Running{}, down: true}
	g := start(t, store, "one")
	defer g.Close()
	if _, err := g.Add(t.Context(), ann, "tickit", grant.RunningConnection, []byte("trace")); !errors.Is(err, errDown) {
		t.Errorf("%v, want the store's error", err)
	}
}
