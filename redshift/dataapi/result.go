package dataapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/placeholder"
)

// hint is what is known or guessed of a statement before AWS is asked.
type hint int

const (
	rowsLikely   hint = iota // ask for the rows first, and wait there
	noRowsLikely             // ask for the state first, and wait there
	rowsCertain              // it has finished, with rows
)

func expectation(answer executeAnswer, sql string) hint {
	switch {
	case answer.Status == redshift.Finished && answer.HasResultSet:
		return rowsCertain
	case !answer.Status.Final() && placeholder.AsksForRows(sql):
		return rowsLikely
	}
	return noRowsLikely
}

// result gives the rows of a statement, waiting until a time, or for as long as it takes where
// until is zero. The page of rows itself is waited for in AWS: no question about the state
// comes before it. When AWS has no rows to give, which may mean not yet, none, or failure, the
// state decides.
func (s *Session) result(ctx context.Context, id string, expected hint, until time.Time) (*rows, error) {
	if expected != noRowsLikely {
		first, err := s.page(ctx, id, "", s.waitSeconds(until), nil)
		if err == nil {
			return s.newRows(ctx, id, first, nil)
		}
		if !isCode(err, missing) {
			return nil, err
		}
	}
	state, err := s.awaitFinal(ctx, id, until)
	if err != nil {
		return nil, err
	}
	switch state.Status {
	case redshift.Finished:
	case redshift.Failed:
		return nil, state.failure()
	case redshift.Aborted:
		return nil, redshift.ErrCanceled
	default:
		return nil, redshift.ErrRunning
	}
	if !state.HasResultSet {
		return s.newRows(ctx, id, &page{rows: &fieldReader{}, total: -1}, &state)
	}
	first, err := s.page(ctx, id, "", 0, nil)
	if isCode(err, missing) {
		return nil, redshift.ErrNotFound // a result is kept for 24 hours
	}
	if err != nil {
		return nil, err
	}
	return s.newRows(ctx, id, first, &state)
}

// awaitFinal describes a statement until it has ended or the time has come.
func (s *Session) awaitFinal(ctx context.Context, id string, until time.Time) (describeAnswer, error) {
	for quick := 0; ; {
		asked := s.config.Now()
		answer := describeAnswer{ResultRows: -1, ResultSize: -1}
		wait := s.waitSeconds(until)
		err := s.ask(ctx, describeStatement, statementRequest{ID: id, WaitTimeSeconds: wait}, &answer)
		if isCode(err, missing) {
			return answer, redshift.ErrNotFound
		}
		if err != nil || answer.Status.Final() || wait == 0 {
			return answer, err
		}
		if s.config.Now().Sub(asked) >= time.Second {
			continue
		}
		// The server does not wait, as servers that do not know WaitTimeSeconds.
		quick++
		if s.pause(ctx, min(backoff(quick), time.Second)) != nil {
			return answer, fmt.Errorf("wait for statement %s: %w", id, context.Cause(ctx))
		}
	}
}

// waitSeconds is how long AWS may wait with its answer: the time that is left, in whole
// seconds, up to the most that it allows.
func (s *Session) waitSeconds(until time.Time) int {
	if until.IsZero() {
		return int(longestWait / time.Second)
	}
	left := until.Sub(s.config.Now())
	return int((min(max(left, 0), longestWait) + time.Second - 1) / time.Second)
}

// page fetches one page of a result, into buffer where it fits.
func (s *Session) page(ctx context.Context, id, token string, wait int, buffer []byte) (*page, error) {
	op := getStatementResultV2
	if s.config.ResultFormat == JSON {
		op = getStatementResult
	}
	answer, err := s.call(ctx, op, statementRequest{ID: id, NextToken: token, WaitTimeSeconds: wait}, buffer)
	if err != nil {
		return nil, err
	}
	p, err := decodePage(answer, s.config.ResultFormat)
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", op, err)
	}
	if token != "" && token == p.token {
		return nil, fmt.Errorf("read the answer of %s: the next page is the same again", op)
	}
	return p, nil
}

// newRows begins to read a result. described is what is known of the statement, or nil.
func (s *Session) newRows(ctx context.Context, id string, first *page, described *describeAnswer) (*rows, error) {
	r := &rows{
		session: s, ctx: ctx, id: id, columns: first.columns, page: first,
		values: make([][]byte, len(first.columns)), total: first.total, summary: redshift.Summary{RowsAffected: -1},
	}
	if described != nil {
		execution := described.execution()
		r.summary.Duration, r.summary.QueryID = execution.Duration, execution.QueryID
		if !described.HasResultSet {
			r.summary.RowsAffected = described.ResultRows
		}
	}
	if reader, ok := first.rows.(*csvReader); ok {
		if err := skipHeader(reader, first.columns); err != nil {
			return nil, err
		}
	}
	r.prefetch(first.token, nil)
	return r, nil
}

// skipHeader reads the first line of the first page and makes sure that it is the header: to
// drop a row of somebody's data because AWS sends no header would be worse than an error.
func skipHeader(reader *csvReader, columns []redshift.Column) error {
	names, err := reader.header()
	if err != nil {
		return fmt.Errorf("read the header of the result: %w", err)
	}
	fits := len(names) == 0 || slices.EqualFunc(names, columns, func(name string, c redshift.Column) bool {
		return strings.EqualFold(name, c.Name)
	})
	if !fits {
		return errors.New(`the first line of the result is not its header; set the result format to "json"`)
	}
	return nil
}

// rows is a result of the Data API, read page by page. While one page is read, the next one is
// under way: one, so that two pages are the most that a result of any size takes.
type rows struct {
	session *Session
	ctx     context.Context // of the query: pages are fetched under it
	finish  func()
	id      string
	columns []redshift.Column
	page    *page // being read; nil at the end
	ahead   chan fetched
	values  [][]byte
	total   int64
	summary redshift.Summary
	err     error
	closed  bool
}

type fetched struct {
	page *page
	err  error
}

func (r *rows) Columns() []redshift.Column { return r.columns }

func (r *rows) Next() bool {
	for r.page != nil && !r.closed {
		err := r.page.rows.next(r.values)
		if err == nil {
			r.summary.RowCount++
			return true
		}
		if err != io.EOF {
			r.fail(fmt.Errorf("read row %d of the result: %w", r.summary.RowCount+1, err))
			return false
		}
		r.turn()
	}
	return false
}

// turn goes to the next page, or ends.
func (r *rows) turn() {
	spare := r.page.answer
	r.page = nil
	if r.ahead == nil {
		r.end()
		return
	}
	select {
	case next := <-r.ahead:
		r.ahead = nil
		if next.err != nil {
			r.fail(fmt.Errorf("fetch the next page of the result: %w", afterExecution(next.err)))
			return
		}
		r.page = next.page
		r.prefetch(next.page.token, spare)
	case <-r.ctx.Done():
		r.fail(fmt.Errorf("fetch the next page of the result: %w", context.Cause(r.ctx)))
	}
}

// prefetch asks for a page while the one before is being read. spare is the memory of the page
// that was read last: two buffers serve the whole result.
func (r *rows) prefetch(token string, spare []byte) {
	if token == "" {
		return
	}
	ahead := make(chan fetched, 1)
	r.ahead = ahead
	task := func() {
		next, err := r.session.page(r.ctx, r.id, token, 0, spare)
		ahead <- fetched{next, err}
	}
	if !r.session.spawn(task) {
		ahead <- fetched{err: errClosed}
	}
}

// end is the end of a result that was read to its end. Fewer rows than AWS announced would be
// a short success, which nobody notices.
func (r *rows) end() {
	if r.summary.RowCount < r.total {
		r.fail(fmt.Errorf("the result ended after %d rows; AWS announced %d", r.summary.RowCount, r.total))
		return
	}
	r.finish()
}

func (r *rows) fail(err error) {
	r.err, r.page = err, nil
	r.finish()
}

func (r *rows) Values() [][]byte          { return r.values }
func (r *rows) Err() error                { return r.err }
func (r *rows) Summary() redshift.Summary { return r.summary }

// Close ends reading and the fetch that is under way. The statement itself has ended: the Data
// API gives rows only of a finished one.
func (r *rows) Close() error {
	if !r.closed {
		r.closed, r.page = true, nil
		r.finish()
	}
	return nil
}
