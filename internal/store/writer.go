package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
)

// maxBatch bounds how many changes share one transaction, and so how long the first of them
// waits.
const maxBatch = 256

// A change runs inside a transaction. It must not call the store.
type change func(ctx context.Context, tx *sql.Tx) error

// writer runs changes one after another on one connection, and commits as many together as
// have come while the last commit was under way.
type writer struct {
	db      *sql.DB
	queue   chan *job
	closing chan struct{}
	done    chan struct{}
	once    sync.Once
}

type job struct {
	ctx    context.Context
	change change
	result chan error
	err    error
}

func newWriter(db *sql.DB) *writer {
	w := &writer{db: db, queue: make(chan *job, maxBatch), closing: make(chan struct{}), done: make(chan struct{})}
	go w.run()
	return w
}

// errClosed is what callers get that come after Close.
var errClosed = errors.New("store is closed")

// do runs a change and returns when it is durable, or has failed and left nothing. A caller
// that leaves early does not know which of the two it is.
func (w *writer) do(ctx context.Context, change change) error {
	j := &job{ctx: ctx, change: change, result: make(chan error, 1)}
	select {
	case w.queue <- j:
	case <-ctx.Done():
		return ctx.Err()
	case <-w.closing:
		return unavailable(errClosed)
	}
	select {
	case err := <-j.result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-w.done:
		return unavailable(errClosed)
	}
}

func (w *writer) run() {
	defer close(w.done)
	for {
		select {
		case <-w.closing:
			return
		case first := <-w.queue:
			w.commit(w.collect(first))
		}
	}
}

// collect takes what is waiting.
func (w *writer) collect(first *job) []*job {
	batch := []*job{first}
	for len(batch) < maxBatch {
		select {
		case next := <-w.queue:
			batch = append(batch, next)
		default:
			return batch
		}
	}
	return batch
}

// commit runs a batch in one transaction and tells each caller how it went.
func (w *writer) commit(batch []*job) {
	err := w.transact(batch)
	for _, j := range batch {
		if j.err == nil && err != nil {
			j.err = unavailable(err)
		}
		j.result <- j.err
	}
}

func (w *writer) transact(batch []*job) error {
	// The batch belongs to many callers; none of them may end it for the others.
	ctx := context.Background()
	tx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback() // no effect after the commit
	for _, j := range batch {
		if j.err = j.ctx.Err(); j.err != nil {
			continue
		}
		if err := savepoint(ctx, tx, j); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// savepoint runs one change so that its failure takes back nothing of the others. The error it
// returns is one of the transaction itself.
func savepoint(ctx context.Context, tx *sql.Tx, j *job) error {
	if _, err := tx.ExecContext(ctx, "SAVEPOINT change"); err != nil {
		return err
	}
	if j.err = j.change(ctx, tx); j.err != nil {
		if _, err := tx.ExecContext(ctx, "ROLLBACK TO SAVEPOINT change"); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, "RELEASE SAVEPOINT change")
	return err
}

func (w *writer) close() error {
	w.once.Do(func() { close(w.closing) })
	<-w.done
	return w.db.Close()
}
