package spool

import (
	"container/list"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/shiftgrant/shiftgrant/redshift"
)

// errKeyUsed is a fault of the caller: a key belongs to one statement.
var errKeyUsed = errors.New("this idempotency key belongs to another statement")

// A Querier runs statements: a redshift.Session, which its owner closes.
type Querier interface {
	Query(ctx context.Context, statement redshift.Statement) (redshift.Rows, error)
}

// Statements are those of one owner.
type Statements struct {
	spool *Spool
	owner Owner
	on    Querier
}

var _ redshift.Spooled = (*Statements)(nil)

// For gives the statements of an owner, and says where new ones run.
func (s *Spool) For(owner Owner, on Querier) *Statements {
	return &Statements{s, owner, on}
}

// A statement is one from its submission until it is forgotten.
type statement struct {
	spool   *Spool
	id      string
	owner   Owner
	key     idempotencyKey
	digest  [sha256.Size]byte
	query   redshift.Statement
	on      Querier
	created time.Time
	ctx     context.Context
	cancel  context.CancelFunc
	done    chan struct{} // closed when it does not run any more

	// What it has so far, for who asks.
	rows, bytes atomic.Int64

	// Guarded by the spool.
	file      *file // nil without rows
	stored    int64 // bytes on disk
	readers   int
	forgotten bool
	place     *list.Element // among those that have ended

	// Not changed any more after done.
	err        error
	endedAt    time.Time
	expires    time.Time // zero while it runs
	columns    []redshift.Column
	summary    redshift.Summary
	blocks     int
	partitions []partition // one at least, where it has not failed
}

// A partition is a run of blocks that is read by itself.
type partition struct {
	redshift.Partition
	first int // block
}

// end is until when a statement is known. It is asked under the spool's lock.
func (st *statement) end() time.Time {
	if st.expires.IsZero() {
		return st.spool.config.Now().Add(1) // as long as it runs
	}
	return st.expires
}

// Submit starts a statement. It goes on whatever happens to ctx.
func (s *Statements) Submit(ctx context.Context, query redshift.Statement) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	st := &statement{
		spool: s.spool, id: rand.Text(), owner: s.owner, key: idempotencyKey{s.owner, query.IdempotencyKey}, digest: digest(query),
		query: query, on: s.on, created: s.spool.config.Now(), done: make(chan struct{}),
	}
	st.ctx, st.cancel = context.WithCancel(s.spool.ctx)
	known, err := s.spool.add(st)
	if err != nil || known != nil {
		st.cancel()
	}
	switch {
	case err != nil:
		return "", err
	case known != nil:
		return known.id, nil
	}
	return st.id, nil
}

// digest tells statements apart. Lengths keep one part from running into the next.
func digest(query redshift.Statement) (sum [sha256.Size]byte) {
	hash := sha256.New()
	write := func(part string) {
		_ = binary.Write(hash, binary.BigEndian, int64(len(part)))
		hash.Write([]byte(part))
	}
	write(query.SQL)
	for _, parameter := range query.Parameters {
		write(parameter.Name)
		if parameter.Value != nil {
			write("value")
			write(*parameter.Value)
		} else {
			write("null")
		}
	}
	hash.Sum(sum[:0])
	return sum
}

// run is all of a statement.
func (st *statement) run() {
	defer st.cancel()
	err := st.copy()
	var refusal *redshift.Error
	if err != nil && st.ctx.Err() != nil && !errors.As(err, &refusal) {
		err = redshift.ErrCanceled
	}
	st.query, st.on = redshift.Statement{}, nil // it may be large, and is not needed any more
	st.spool.finish(st, err)
}

// copy runs the statement and writes its rows.
func (st *statement) copy() (err error) {
	defer func() { // there is no request whose end this could be
		if fault := recover(); fault != nil {
			st.spool.config.Logger.Error("a statement failed by a fault of ours", "fault", fault, "stack", string(debug.Stack()), "label", st.query.Label)
			err = errors.New("the gateway failed")
		}
	}()
	rows, err := st.on.Query(st.ctx, st.query)
	if err != nil {
		return err
	}
	defer rows.Close()
	st.columns = slices.Clone(rows.Columns())
	into := &writer{st: st}
	limit, err := into.writeAll(rows)
	if err != nil {
		return err
	}
	st.summary = rows.Summary()
	st.summary.RowCount = st.rows.Load()
	if limit != "" {
		st.summary.Truncated, st.summary.Limit = true, limit
	}
	return into.end()
}

// await waits for the end; redshift.ErrRunning when it does not come within wait.
func (st *statement) await(ctx context.Context, wait time.Duration) error {
	select {
	case <-st.done:
		return nil
	default:
	}
	patience := time.NewTimer(wait)
	defer patience.Stop()
	select {
	case <-st.done:
		return nil
	case <-patience.C:
		return redshift.ErrRunning
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Fetch gives the rows of a statement that has ended.
func (s *Statements) Fetch(ctx context.Context, id string, wait time.Duration) (redshift.Rows, error) {
	return s.fetch(ctx, id, wait, func(_ *statement, blocks int) (from, to int, err error) { return 0, blocks, nil })
}

// FetchPartition gives a part of them.
func (s *Statements) FetchPartition(ctx context.Context, id string, number int, wait time.Duration) (redshift.Rows, error) {
	return s.fetch(ctx, id, wait, func(st *statement, blocks int) (from, to int, err error) {
		if number < 0 || number >= len(st.partitions) {
			return 0, 0, redshift.ErrNoPartition
		}
		to = blocks
		if number+1 < len(st.partitions) {
			to = st.partitions[number+1].first
		}
		return st.partitions[number].first, to, nil
	})
}

func (s *Statements) fetch(ctx context.Context, id string, wait time.Duration, which func(st *statement, blocks int) (from, to int, err error)) (redshift.Rows, error) {
	st, err := s.spool.find(s.owner, id)
	if err != nil {
		return nil, err
	}
	if err := st.await(ctx, wait); err != nil {
		return nil, err
	}
	if st.err != nil {
		return nil, st.err
	}
	from, to, err := which(st, st.blocks)
	if err != nil {
		return nil, err
	}
	opened, err := s.spool.enter(st)
	if err != nil {
		return nil, err
	}
	return &reader{ctx: ctx, st: st, file: opened, next: from, to: to, values: make([][]byte, len(st.columns))}, nil
}

// Describe tells how a statement is doing, and what there is of its rows so far.
func (s *Statements) Describe(ctx context.Context, id string, wait time.Duration) (redshift.Execution, error) {
	st, err := s.spool.find(s.owner, id)
	if err != nil {
		return redshift.Execution{}, err
	}
	switch err := st.await(ctx, wait); {
	case errors.Is(err, redshift.ErrRunning):
		now := s.spool.config.Now()
		return redshift.Execution{
			ID: id, State: redshift.Started, RowCount: st.rows.Load(), Bytes: st.bytes.Load(),
			CreatedAt: st.created, UpdatedAt: now, Duration: now.Sub(st.created),
		}, nil
	case err != nil:
		return redshift.Execution{}, err
	}
	return st.execution(), nil
}

// execution describes a statement that has ended.
func (st *statement) execution() redshift.Execution {
	e := redshift.Execution{
		ID: st.id, State: redshift.Finished, HasResult: len(st.columns) > 0, RowCount: st.rows.Load(), Bytes: st.bytes.Load(), Truncated: st.summary.Truncated,
		CreatedAt: st.created, UpdatedAt: st.endedAt, ExpiresAt: st.expires, Duration: st.summary.Duration, QueryID: st.summary.QueryID,
	}
	if e.Duration == 0 {
		e.Duration = st.endedAt.Sub(st.created)
	}
	if st.err != nil {
		e.State, e.Error, e.HasResult, e.RowCount, e.Bytes = redshift.Failed, st.err, false, -1, -1
	}
	if errors.Is(st.err, redshift.ErrCanceled) {
		e.State, e.Error = redshift.Aborted, nil
	}
	for _, part := range st.partitions {
		e.Partitions = append(e.Partitions, part.Partition)
	}
	return e
}

// Cancel stops a statement, and waits for that.
func (s *Statements) Cancel(ctx context.Context, id string) error {
	st, err := s.spool.find(s.owner, id)
	if err != nil {
		return err
	}
	st.cancel()
	select {
	case <-st.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the end of a cancelled statement: %w", ctx.Err())
	}
}
