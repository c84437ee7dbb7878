package warehouse

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

// A revocation must reach what runs already. While anything runs, the store is asked once a
// second about all of it together; what has lost its grant is cancelled, and its rows end with
// an error. A store that cannot answer ends nothing: a statement that was good a second ago
// goes on, as long as any may, and nothing new begins.

// ErrRevoked says that the grant or token ended before the statement did.
var ErrRevoked = fmt.Errorf("the statement was cancelled: its grant or access token has ended: %w", grant.ErrRevoked)

// ErrLiveness says that nobody can tell whether the grant is still good, so nothing was run.
var ErrLiveness = errors.New("whether the grant is still good cannot be told")

// Grants knows which claims are still good.
type Grants interface {
	// Ended tells which of many claims are good no more.
	Ended(ctx context.Context, claims []grant.Claim) ([]grant.Claim, error)
}

const (
	// lookAgain is how long a revocation can stay unseen.
	lookAgain = time.Second
	lookTime  = 4 * time.Second
)

// overseer knows all that runs here.
type overseer struct {
	config *Config
	ctx    context.Context
	stop   context.CancelFunc
	tasks  sync.WaitGroup

	mu     sync.Mutex
	guards map[*guard]struct{}
	looks  bool // a task looks after the guards
}

// A guard watches over one thing that runs, until it is released.
type guard struct {
	overseer *overseer
	claim    grant.Claim
	ctx      context.Context
	end      context.CancelCauseFunc
	ended    atomic.Bool // what ctx says, for the price of a load
}

func newOverseer(config *Config) *overseer {
	o := &overseer{config: config, guards: map[*guard]struct{}{}}
	o.ctx, o.stop = context.WithCancel(context.Background())
	return o
}

func (o *overseer) close() {
	o.stop()
	o.tasks.Wait()
}

// guard begins to watch over what runs on a claim.
func (o *overseer) guard(claim grant.Claim) *guard {
	g := &guard{overseer: o, claim: claim}
	g.ctx, g.end = context.WithCancelCause(context.Background())
	if o.config.Grants == nil {
		return g
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.guards[g] = struct{}{}
	if !o.looks && o.ctx.Err() == nil {
		o.looks = true
		o.tasks.Go(o.look)
	}
	return g
}

// release may be called more than once.
func (g *guard) release() {
	g.overseer.mu.Lock()
	defer g.overseer.mu.Unlock()
	delete(g.overseer.guards, g)
	g.end(nil)
}

// bind gives a context that ends with ctx, or with the claim: then its cause is ErrRevoked.
func (g *guard) bind(ctx context.Context) (context.Context, context.CancelFunc) {
	bound, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(g.ctx, func() {
		if g.ended.Load() {
			cancel(ErrRevoked)
		}
	})
	return bound, func() {
		stop()
		cancel(nil)
	}
}

// or gives ErrRevoked in place of an error that it explains.
func (g *guard) or(err error) error {
	if err != nil && g.ended.Load() {
		return ErrRevoked
	}
	return err
}

// look goes on while anything runs.
func (o *overseer) look() {
	ticker := time.NewTicker(lookAgain)
	defer ticker.Stop()
	for {
		select {
		case <-o.ctx.Done():
			return
		case <-ticker.C:
		}
		claims := o.claims()
		if claims == nil {
			return
		}
		o.endThoseOf(claims)
	}
}

// claims are those of all that runs, each once; nil when nothing does, and then the task is over.
func (o *overseer) claims() []grant.Claim {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.guards) == 0 {
		o.looks = false
		return nil
	}
	seen := map[grant.Claim]bool{}
	var claims []grant.Claim
	for g := range o.guards {
		if !seen[g.claim] {
			seen[g.claim] = true
			claims = append(claims, g.claim)
		}
	}
	return claims
}

func (o *overseer) endThoseOf(claims []grant.Claim) {
	ctx, cancel := context.WithTimeout(o.ctx, lookTime)
	defer cancel()
	ended, err := o.config.Grants.Ended(ctx, claims)
	if err != nil {
		if o.ctx.Err() == nil {
			o.config.Logger.Error("look for statements whose grant has ended", "error", err)
		}
		return
	}
	over := map[grant.Claim]bool{}
	for _, claim := range ended {
		over[claim] = true
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for g := range o.guards {
		if over[g.claim] {
			g.ended.Store(true)
			g.end(ErrRevoked)
		}
	}
}

// stillGood asks again about an access that was found good too long ago: it may have waited for
// its turn since.
func (o *overseer) stillGood(ctx context.Context, access *grant.Access) error {
	if o.config.Grants == nil {
		return nil
	}
	age := o.config.Now().Sub(access.CheckedAt)
	if 0 <= age && age < lookAgain {
		return nil
	}
	ended, err := o.config.Grants.Ended(ctx, []grant.Claim{access.Claim()})
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrLiveness, err)
	case len(ended) > 0:
		return ErrRevoked
	}
	return nil
}
