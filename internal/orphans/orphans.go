// Package orphans finds what a gateway that died left running in a warehouse, and has it cancelled.
//
// A warehouse notices late, or never, that nobody waits for a statement any more. So each gateway
// keeps a row in the store for what it has open there, with what it takes to stop it, and says
// every few seconds that it lives. Rows of a gateway that has been silent for a lease belong to
// whoever claims them first, who stops what they stand for.
//
// What to fear: a gateway that lives and is taken for dead, because the store was away for longer
// than a lease. So nobody judges others before it has itself been heard by the store for a whole
// lease without a break.
package orphans

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/seal"
)

// Store keeps the rows.
type Store interface {
	AddRunning(ctx context.Context, r grant.Running) error
	RemoveRunning(ctx context.Context, tenant, id string) error
	KeepRunning(ctx context.Context, tenant, holder string, until time.Time) error
	ClaimRunning(ctx context.Context, tenant, holder string, now, until time.Time, limit int) ([]grant.Running, error)
}

// Config is what a register needs.
type Config struct {
	Store  Store
	Ring   *seal.Ring
	Tenant string
	Holder string // this gateway, in this run
	// Stop stops something that another gateway has left: trace is what its Add was given.
	Stop func(ctx context.Context, left grant.Running, trace []byte) error
	// Lease is how long a gateway may be silent; 0 is 12 s. It says that it lives three times as often.
	Lease  time.Duration
	Logger *slog.Logger
	Now    func() time.Time
}

const (
	defaultLease = 12 * time.Second
	callTime     = 5 * time.Second
	claimSome    = 100
	attempts     = 5
)

// Register tells the store what this gateway has open, and looks after what others left.
type Register struct {
	config Config

	stopping context.Context
	stop     context.CancelFunc
	tasks    sync.WaitGroup

	heard time.Time // by the store since then, without a break; of the watching goroutine
}

// New starts to watch. Close ends it.
func New(config Config) *Register {
	if config.Lease == 0 {
		config.Lease = defaultLease
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Register{config: config}
	r.stopping, r.stop = context.WithCancel(context.Background())
	r.tasks.Go(r.watch)
	return r
}

// Add keeps that something is open in a warehouse, durably, and returns what forgets it.
func (r *Register) Add(ctx context.Context, person grant.Person, warehouse string, kind grant.RunningKind, trace []byte) (remove func(), err error) {
	row := grant.Running{
		Tenant: r.config.Tenant, ID: grant.NewID("run"), Holder: r.config.Holder, PersonID: person.ID, Warehouse: warehouse, Kind: kind,
		AliveUntil: r.config.Now().Add(r.config.Lease),
	}
	if row.Sealed, err = r.config.Ring.Seal(trace, place(&row)); err != nil {
		return nil, err
	}
	if err := r.config.Store.AddRunning(ctx, row); err != nil {
		return nil, err
	}
	return sync.OnceFunc(func() { r.tasks.Go(func() { r.remove(row.ID) }) }), nil
}

// AddSoon is Add for who cannot wait: between the start of what it is about and the row there is a
// moment, and a row that cannot be kept is logged.
func (r *Register) AddSoon(person grant.Person, warehouse string, kind grant.RunningKind, trace []byte) (remove func()) {
	ended := make(chan struct{})
	r.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), callTime)
		defer cancel()
		forget, err := r.Add(ctx, person, warehouse, kind, trace)
		if err != nil {
			r.config.Logger.Warn("keep what runs in a warehouse: should this gateway die, it goes on", "error", err)
			return
		}
		<-ended
		forget()
	})
	return sync.OnceFunc(func() { close(ended) })
}

func place(row *grant.Running) seal.Place {
	return seal.Place{Tenant: row.Tenant, Owner: row.PersonID, Purpose: "running " + string(row.Kind) + " " + row.ID}
}

// remove does not hold up the caller, who has an answer to give. A row that stays is cancelled in
// vain some day.
func (r *Register) remove(id string) {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	if err := r.config.Store.RemoveRunning(ctx, r.config.Tenant, id); err != nil {
		r.config.Logger.Warn("forget what ran in a warehouse", "error", err)
	}
}

func (r *Register) watch() {
	tick := time.NewTicker(r.config.Lease / 3)
	defer tick.Stop()
	for {
		r.round()
		select {
		case <-tick.C:
		case <-r.stopping.Done():
			return
		}
	}
}

// round says that this gateway lives, and looks for those that do not.
func (r *Register) round() {
	ctx, cancel := context.WithTimeout(r.stopping, callTime)
	defer cancel()
	now := r.config.Now()
	if err := r.config.Store.KeepRunning(ctx, r.config.Tenant, r.config.Holder, now.Add(r.config.Lease)); err != nil {
		r.heard = time.Time{}
		return
	}
	if r.heard.IsZero() {
		r.heard = now
	}
	if now.Sub(r.heard) < r.config.Lease {
		return
	}
	left, err := r.config.Store.ClaimRunning(ctx, r.config.Tenant, r.config.Holder, now, now.Add(r.config.Lease), claimSome)
	if err != nil {
		r.config.Logger.Warn("look for what other gateways left running", "error", err)
		return
	}
	for _, one := range left {
		r.tasks.Go(func() { r.end(one) })
	}
}

// end stops one thing, and tries for a while. Should this gateway end meanwhile, the row is another's.
func (r *Register) end(one grant.Running) {
	logger := r.config.Logger.With("warehouse", one.Warehouse, "person", one.PersonID, "kind", one.Kind)
	trace, err := r.config.Ring.Open(one.Sealed, place(&one))
	for attempt := 1; err == nil; attempt++ {
		if err = r.stopOnce(one, trace); err == nil {
			logger.Info("cancelled what a gateway left running")
			break
		}
		if attempt == attempts {
			break
		}
		err = nil
		select {
		case <-time.After(r.config.Lease / 3):
		case <-r.stopping.Done():
			return
		}
	}
	if err != nil {
		logger.Error("cancel what a gateway left running: it ends by itself", "error", err)
	}
	r.remove(one.ID)
}

func (r *Register) stopOnce(one grant.Running, trace []byte) error {
	ctx, cancel := context.WithTimeout(r.stopping, callTime)
	defer cancel()
	return r.config.Stop(ctx, one, trace)
}

// Close forgets nothing that is still open: whoever has it has forgotten it by then, or another
// gateway ends it.
func (r *Register) Close() {
	r.stop()
	r.tasks.Wait()
}
