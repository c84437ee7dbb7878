package warehouse

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/shiftgrant/shiftgrant/redshift"
)

// A statement in the background keeps its place among those that run at once, may not run longer
// than any other, and gets its record of the end, although no request waits for it. For that it
// is watched.
//
// Redshift allows few to wait for one statement, so one waits at a time: who holds the turn. The
// others wait for that one.
type watch struct {
	run      *run
	id       string
	kept     *keptSession
	detached redshift.Detached
	ours     bool          // it runs in this process, and ends with it
	turn     chan struct{} // holds one value, which is the turn
	done     chan struct{} // closed when the statement has ended
	finish   sync.Once
}

const (
	// A caller who waits for its own statement comes first and usually sees the end.
	watchPause = time.Second
	watchWait  = 20 * time.Second
	cancelTime = 15 * time.Second
)

// watches are the statements in the background, by their warehouse and id.
type watches struct {
	mu      sync.Mutex
	running map[watchKey]*watch
	stop    context.CancelFunc
	ctx     context.Context
	tasks   sync.WaitGroup
}

type watchKey struct{ tenant, warehouse, id string }

func newWatches() *watches {
	w := &watches{running: map[watchKey]*watch{}}
	w.ctx, w.stop = context.WithCancel(context.Background())
	return w
}

func (w *watches) close() {
	w.stop()
	w.tasks.Wait()
}

func (w *watches) find(key watchKey) *watch {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.running[key]
}

// add begins to watch; false when the statement is being watched already.
func (w *watches) add(key watchKey, added *watch) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running[key] != nil {
		return false
	}
	w.running[key] = added
	added.kept.retain()
	w.tasks.Go(func() {
		defer added.kept.release()
		added.watch()
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.running, key)
	})
	return true
}

// Submit starts a statement in the background.
func (s *Session) Submit(ctx context.Context, statement redshift.Statement) (string, error) {
	detached, ok := s.kept.Session.(redshift.Detached)
	if !ok {
		return "", ErrNotDetached
	}
	run, err := s.begin(ctx, &statement)
	if err != nil {
		return "", err
	}
	defer run.endIfPanicking()
	statement.MaxRows, statement.MaxBytes = s.limits()
	id, err := detached.Submit(ctx, statement)
	if err != nil {
		return "", run.end(err, redshift.Summary{})
	}
	run.within(s.house.watches.ctx)
	_, ours := detached.(redshift.Spooled)
	added := &watch{run: run, id: id, kept: s.kept, detached: detached, ours: ours, turn: make(chan struct{}, 1), done: make(chan struct{})}
	added.turn <- struct{}{}
	if !s.house.watches.add(s.watchKey(id), added) {
		// The same statement once more, by its idempotency key: it runs once and ends once.
		_ = run.end(errRepeated, redshift.Summary{})
		run.cancel()
	}
	return id, nil
}

func (s *Session) watchKey(id string) watchKey {
	return watchKey{s.access.Grant.Tenant, s.target.Name, id}
}

// Fetch gives the rows of a finished statement, within the grant's limits.
func (s *Session) Fetch(ctx context.Context, id string, wait time.Duration) (redshift.Rows, error) {
	detached, ok := s.kept.Session.(redshift.Detached)
	if !ok {
		return nil, ErrNotDetached
	}
	return s.fetch(ctx, detached.Fetch, id, wait)
}

// FetchPartition gives those of one partition of it.
func (s *Session) FetchPartition(ctx context.Context, id string, partition int, wait time.Duration) (redshift.Rows, error) {
	spooled, ok := s.kept.Session.(redshift.Spooled)
	if !ok {
		return nil, redshift.ErrNoPartition
	}
	return s.fetch(ctx, func(ctx context.Context, id string, wait time.Duration) (redshift.Rows, error) {
		return spooled.FetchPartition(ctx, id, partition, wait)
	}, id, wait)
}

// fetcher asks a transport for rows.
type fetcher func(ctx context.Context, id string, wait time.Duration) (redshift.Rows, error)

func (s *Session) fetch(ctx context.Context, ask fetcher, id string, wait time.Duration) (redshift.Rows, error) {
	guard := s.house.overseer.guard(s.access.Claim())
	ctx, unbind := guard.bind(ctx)
	release := func() {
		guard.release()
		unbind()
	}
	watched := s.house.watches.find(s.watchKey(id))
	result, err := watched.fetch(ctx, ask, id, wait)
	if err != nil {
		defer release()
		return nil, guard.or(err)
	}
	fetched := s.limit(result, nil, guard)
	fetched.release = release
	if watched != nil {
		fetched.run = watched.run // whose end goes on record with the rows that were read
	}
	return fetched, nil
}

// fetch asks when it is our turn. A nil watch is of a statement that has ended.
func (w *watch) fetch(ctx context.Context, ask fetcher, id string, wait time.Duration) (result redshift.Rows, err error) {
	if w == nil {
		return ask(ctx, id, wait)
	}
	err = w.inTurn(ctx, wait, func(wait time.Duration) (ended bool, err error) {
		result, err = ask(ctx, id, wait)
		return err == nil || w.isEnd(err), err
	})
	switch {
	case err == nil:
		w.finish.Do(func() { close(w.done) })
	case w.isEnd(err):
		w.end(err, redshift.Summary{})
	}
	return result, err
}

// Describe tells how a statement is doing.
func (s *Session) Describe(ctx context.Context, id string, wait time.Duration) (redshift.Execution, error) {
	detached, ok := s.kept.Session.(redshift.Detached)
	if !ok {
		return redshift.Execution{}, ErrNotDetached
	}
	watched := s.house.watches.find(s.watchKey(id))
	if watched == nil {
		return detached.Describe(ctx, id, wait)
	}
	var execution redshift.Execution
	err := watched.inTurn(ctx, wait, func(wait time.Duration) (ended bool, err error) {
		execution, err = detached.Describe(ctx, id, wait)
		return err == nil && execution.State.Final(), err
	})
	if errors.Is(err, redshift.ErrRunning) {
		return detached.Describe(ctx, id, 0)
	}
	if err == nil && execution.State.Final() {
		watched.describe(execution)
	}
	return execution, err
}

// Cancel asks Redshift to stop a statement.
func (s *Session) Cancel(ctx context.Context, id string) error {
	detached, ok := s.kept.Session.(redshift.Detached)
	if !ok {
		return ErrNotDetached
	}
	return detached.Cancel(ctx, id)
}

// isEnd tells the error of a statement from that of asking. What runs here can be asked without
// anything failing on the way.
func (w *watch) isEnd(err error) bool {
	if w.ours {
		return !errors.Is(err, redshift.ErrRunning) && !errors.Is(err, redshift.ErrNoPartition) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
	}
	var refusal *redshift.Error
	return errors.As(err, &refusal) || errors.Is(err, redshift.ErrCanceled) || errors.Is(err, redshift.ErrNotFound)
}

// inTurn asks Redshift when it is our turn, or at once when another's turn saw the end.
// redshift.ErrRunning is all there is to say when neither comes within wait.
func (w *watch) inTurn(ctx context.Context, wait time.Duration, ask func(wait time.Duration) (ended bool, err error)) error {
	started := time.Now()
	patience := time.NewTimer(wait)
	defer patience.Stop()
	select {
	case <-w.turn: // before the timer, which may be over at once
	default:
		select {
		case <-w.turn:
		case <-w.done:
			_, err := ask(0)
			return err
		case <-patience.C:
			return redshift.ErrRunning
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	ended, err := ask(max(0, wait-time.Since(started)))
	if ended {
		w.finish.Do(func() { close(w.done) })
	}
	w.turn <- struct{}{}
	return err
}

// watch waits for the end when nobody else does, and ends what runs too long.
func (w *watch) watch() {
	for {
		if !w.sleep(watchPause) {
			return
		}
		var execution redshift.Execution
		err := w.inTurn(w.run.ctx, watchWait, func(wait time.Duration) (ended bool, err error) {
			execution, err = w.detached.Describe(w.run.ctx, w.id, wait)
			return err == nil && execution.State.Final(), err
		})
		switch {
		case err == nil && execution.State.Final():
			w.describe(execution)
			return
		case errors.Is(err, redshift.ErrNotFound):
			w.end(err, redshift.Summary{})
			return
		}
	}
}

// sleep pauses; false when there is nothing left to watch.
func (w *watch) sleep(pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-w.done:
		return false
	case <-w.run.ctx.Done():
		switch why := w.run.causeOr(errStopped); {
		case why != errStopped:
			w.stop(why)
		case w.ours:
			w.stop(redshift.ErrCanceled)
		}
		return false
	}
}

// errStopped is that the gateway ends; a statement that is not its own goes on.
var errStopped = errors.New("nobody watches any more")

// stop cancels what ran too long, or has lost its grant.
func (w *watch) stop(why error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.run.ctx), cancelTime)
	defer cancel()
	if err := w.detached.Cancel(ctx, w.id); err != nil {
		w.run.house.config.Logger.Error("cancel a statement", "why", why, "error", err, "label", w.run.record.Label)
	}
	w.end(why, redshift.Summary{})
}

// describe records the end of a statement as Redshift tells it.
func (w *watch) describe(execution redshift.Execution) {
	var err error
	switch {
	case execution.State == redshift.Aborted:
		err = redshift.ErrCanceled
	case execution.Error != nil:
		err = execution.Error
	case execution.State == redshift.Failed:
		err = &redshift.Error{Message: "the statement failed"}
	}
	w.end(err, redshift.Summary{RowCount: max(0, execution.RowCount), QueryID: execution.QueryID})
}

func (w *watch) end(err error, summary redshift.Summary) {
	w.finish.Do(func() { close(w.done) })
	_ = w.run.end(err, summary)
	w.run.cancel()
}
