package spool

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shiftgrant/shiftgrant/redshift"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// warehouse is a Querier with rows of its own. It can be made to wait before a row.
type warehouse struct {
	rows    [][][]byte
	fail    error // after the rows
	refuse  error // before them
	panics  bool
	gate    map[int]chan struct{} // before the row of this number
	reached chan int              // tells that it waits there

	mu      sync.Mutex
	queries []redshift.Statement
	closed  int
}

func (w *warehouse) Query(ctx context.Context, statement redshift.Statement) (redshift.Rows, error) {
	w.mu.Lock()
	w.queries = append(w.queries, statement)
	w.mu.Unlock()
	if w.panics {
		panic("a fault of ours")
	}
	if w.refuse != nil {
		return nil, w.refuse
	}
	return &result{ctx: ctx, of: w, at: -1}, nil
}

func (w *warehouse) ran() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.queries)
}

type result struct {
	ctx context.Context
	of  *warehouse
	at  int
	err error
}

func (r *result) Columns() []redshift.Column {
	if len(r.of.rows) == 0 {
		return nil
	}
	return make([]redshift.Column, len(r.of.rows[0]))
}

func (r *result) Next() bool {
	if gate := r.of.gate[r.at+1]; gate != nil {
		r.of.reached <- r.at + 1
		select {
		case <-gate:
		case <-r.ctx.Done():
			r.err = context.Cause(r.ctx)
			return false
		}
	}
	if r.at+1 == len(r.of.rows) {
		r.err = r.of.fail
		return false
	}
	r.at++
	return true
}

func (r *result) Values() [][]byte { return r.of.rows[r.at] }
func (r *result) Err() error       { return r.err }
func (r *result) Summary() redshift.Summary {
	return redshift.Summary{RowCount: int64(r.at + 1), RowsAffected: -1, QueryID: 77, Duration: time.Second}
}

func (r *result) Close() error {
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	r.of.closed++
	return nil
}

// clock stands still until it is told.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

var ann = Owner{"default", "per_ann", "tickit"}

// open gives a spool with small blocks.
func open(t *testing.T, change func(*Config)) (*Spool, *clock) {
	t.Helper()
	now := &clock{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	config := Config{Folder: t.TempDir(), BlockSize: 1000, PartitionSize: 3000, Now: now.Now}
	if change != nil {
		change(&config)
	}
	s, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, now
}

// rowsOf makes n rows of a number, a text of the given size, and a NULL or an empty string.
func rowsOf(n, size int) [][][]byte {
	all := make([][][]byte, n)
	for i := range all {
		last := []byte(nil)
		if i%2 == 0 {
			last = []byte{}
		}
		all[i] = [][]byte{[]byte(strings.Repeat("7", i%5+1)), []byte(strings.Repeat(string(rune('a'+i%26)), size)), last}
	}
	return all
}

// submit starts a statement and waits for its end.
func submit(t *testing.T, s *Statements, query redshift.Statement) string {
	t.Helper()
	id, err := s.Submit(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Describe(t.Context(), id, time.Minute); err != nil {
		t.Fatal(err)
	}
	return id
}

// read copies what is left of a result, and closes it.
func read(t *testing.T, rows redshift.Rows) [][][]byte {
	t.Helper()
	var all [][][]byte
	for rows.Next() {
		row := make([][]byte, len(rows.Values()))
		for i, value := range rows.Values() {
			if value != nil {
				row[i] = append([]byte{}, value...)
			}
		}
		all = append(all, row)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		t.Fatal(err)
	}
	return all
}
