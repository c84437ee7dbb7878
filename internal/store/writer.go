package store

import (
	"context"
	"database/sql"
	"errors"
	"sync/atomic"
)

// maxTogether bounds how long the first of a group waits for the last.
const maxTogether = 128

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
}

// queued is a write that waits for its turn, then for the disk.
type queued struct {
	do    func(*tx) error
	taken atomic.Bool // by the writer, or back by a caller that left
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
		one.taken.Store(true)
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
			w.commit(w.gather(first))
		case <-w.closing:
			for {
				select {
				case first := <-w.queue:
					w.commit(w.gather(first))
				default:
					return
				}
			}
		}
	}
}

// gather takes what waits now.
func (w *writer) gather(first *queued) []*queued {
	group := []*queued{}
	for next := first; ; {
		if !next.taken.Swap(true) {
			group = append(group, next)
		}
		if len(group) == maxTogether {
			return group
		}
		select {
		case next = <-w.queue:
		default:
			return group
		}
	}
}

func (w *writer) commit(group []*queued) {
	if len(group) == 0 {
		return
	}
	answers, together := w.transaction(group)
	for i, one := range group {
		if !together {
			alone, _ := w.transaction(group[i : i+1])
			one.ended <- alone[0]
			continue
		}
		one.ended <- answers[i]
	}
}

// transaction runs a group in one transaction and returns the answer to each. It returns false
// when nothing was done because the group does not go together.
func (w *writer) transaction(group []*queued) (answers []error, together bool) {
	answers = make([]error, len(group))
	// All fail as one: even an answer like ErrConflict may rest on a neighbour's change.
	failed := func(err error) ([]error, bool) {
		w.rollback()
		for i := range answers {
			answers[i] = err
		}
		return answers, true
	}
	if err := w.exec("BEGIN IMMEDIATE"); err != nil {
		return failed(err)
	}
	for i, one := range group {
		t := &tx{ctx: context.Background(), on: w.statements}
		err := one.do(t)
		switch {
		case err == nil || isAnswer(err) && t.changed == 0:
			answers[i] = err
		case len(group) == 1:
			return failed(err)
		default:
			w.rollback()
			return nil, false
		}
	}
	if err := w.exec("COMMIT"); err != nil {
		return failed(err)
	}
	return answers, true
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
	return w.connection.Close()
}
