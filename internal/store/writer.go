package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"runtime"
	"sync/atomic"
	"time"
)

const (
	// maxTogether and maxPatience bound how long the first of a group waits for the last.
	maxTogether = 128
	maxPatience = 2 * time.Millisecond
)

// writer is the one who writes. What costs in a durable write is waiting for the disk, so all
// writes that come while it waits go into the next transaction together and wait once.
//
// Each caller still gets its own answer, and a write that fails leaves nothing behind. Nearly
// all that fail have changed nothing, like the second to redeem a code, and the others go on
// around them. When one fails after changing something, the transaction is undone and each
// write of the group runs again by itself.
type writer struct {
	connection *sql.Conn
	statements *prepared
	queue      chan *queued
	closing    chan struct{}
	closed     chan struct{}

	// Of the last group, for the next one to go by.
	lastTogether int
	lastCommit   time.Duration
}

// queued is a write that waits for its turn, then for the disk.
type queued struct {
	do    func(*tx) error
	left  atomic.Bool // the caller: it need not be done any more
	ended chan error
}

var errClosed = errors.New("the store is closed")

func startWriter(connection *sql.Conn) *writer {
	w := &writer{
		connection: connection,
		statements: &prepared{on: connection, statements: map[string]*sql.Stmt{}},
		queue:      make(chan *queued, maxTogether),
		closing:    make(chan struct{}),
		closed:     make(chan struct{}),
	}
	go w.run()
	return w
}

// write returns when the change is durable or will never be. Only a caller that leaves while
// its change is on the way to the disk does not learn which.
func (w *writer) write(ctx context.Context, do func(*tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	one := &queued{do: do, ended: make(chan error, 1)}
	select {
	case w.queue <- one:
	case <-ctx.Done():
		return ctx.Err()
	case <-w.closing:
		return errClosed
	}
	select {
	case err := <-one.ended:
		return err
	case <-ctx.Done():
		one.left.Store(true)
		return ctx.Err()
	case <-w.closed:
		select {
		case err := <-one.ended:
			return err
		default:
			return errClosed
		}
	}
}

func (w *writer) run() {
	defer close(w.closed)
	for {
		select {
		case first := <-w.queue:
			w.commit(first)
		case <-w.closing:
			for {
				select {
				case first := <-w.queue:
					w.commit(first)
				default:
					return
				}
			}
		}
	}
}

// next returns the next write of a group that has some already, or nil when it is time to
// commit.
//
// Callers who got their answers together come back about together. Whoever is first among them
// waits for as many as there were last time, for a small part of the time that they would
// otherwise wait for each other's commits; a caller who is alone does not wait.
func (w *writer) next(have int, patience <-chan time.Time) *queued {
	if have == maxTogether {
		return nil
	}
	if len(w.queue) == 0 {
		runtime.Gosched() // who is ready to run may be about to write
	}
	select {
	case next := <-w.queue:
		return next
	default:
	}
	if have >= w.lastTogether {
		return nil
	}
	select {
	case next := <-w.queue:
		return next
	case <-patience:
		return nil
	}
}

// commit runs a group of writes and answers each.
func (w *writer) commit(first *queued) {
	group, answers, err := w.together(first)
	w.lastTogether = len(group)
	switch {
	case errors.Is(err, errApart):
		for _, one := range group {
			one.ended <- w.alone(one)
		}
	case err != nil:
		// All fail as one: even an answer like ErrConflict may rest on a neighbour's change.
		for _, one := range group {
			one.ended <- err
		}
	default:
		for i, one := range group {
			one.ended <- answers[i]
		}
	}
}

// errApart says that nothing was done, because one of a group left half a change.
var errApart = errors.New("these writes do not go together")

// together runs in one transaction what is in the queue and what comes in the meantime.
func (w *writer) together(first *queued) (group []*queued, answers []error, err error) {
	patience := time.NewTimer(min(w.lastCommit/4, maxPatience))
	defer patience.Stop()
	group = append(group, first)
	committing := time.Now()
	err = w.transaction(func() error {
		for len(answers) < len(group) {
			answer, whole := w.attempt(group[len(answers)])
			if !whole {
				return errApart
			}
			answers = append(answers, answer)
			if next := w.next(len(group), patience.C); next != nil {
				group = append(group, next)
			}
		}
		committing = time.Now()
		return nil
	})
	w.lastCommit = time.Since(committing)
	return group, answers, err
}

// alone runs one write in a transaction of its own.
func (w *writer) alone(one *queued) error {
	var answer error
	err := w.transaction(func() error {
		var whole bool
		if answer, whole = w.attempt(one); !whole {
			return answer
		}
		return nil
	})
	return cmp.Or(err, answer)
}

// attempt returns the answer of a write, and whether the transaction can go on: if it failed, it
// must have changed nothing.
func (w *writer) attempt(one *queued) (answer error, whole bool) {
	if one.left.Load() {
		return context.Canceled, true // nobody hears it
	}
	t := &tx{ctx: context.Background(), on: w.statements}
	err := one.do(t)
	return err, err == nil || isAnswer(err) && t.changed == 0
}

func (w *writer) transaction(do func() error) error {
	if err := w.exec("BEGIN IMMEDIATE"); err != nil {
		w.rollback()
		return err
	}
	if err := do(); err != nil {
		w.rollback()
		return err
	}
	if err := w.exec("COMMIT"); err != nil {
		w.rollback()
		return err
	}
	return nil
}

func (w *writer) exec(statement string) error {
	_, err := w.statements.ExecContext(context.Background(), statement)
	return err
}

// rollback has no error to report: after some failures, such as a full disk, SQLite has undone
// the transaction already and says that there is none.
func (w *writer) rollback() { _ = w.exec("ROLLBACK") }

// close waits for the writes in the queue.
func (w *writer) close() error {
	close(w.closing)
	<-w.closed
	return errors.Join(w.statements.close(), w.connection.Close())
}
