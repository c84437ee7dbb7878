package spool

import (
	"context"

	"github.com/shiftgrant/shiftgrant/redshift"
)

// reader gives the rows of some blocks of a statement that has ended. It holds one block.
type reader struct {
	ctx    context.Context
	st     *statement
	file   *file // nil without rows
	next   int   // block
	to     int   // the block after the last one
	buffer []byte
	rest   []byte // of the block, not read yet
	left   int64  // rows in it
	values [][]byte
	count  int64
	err    error
	closed bool
}

func (r *reader) Columns() []redshift.Column { return r.st.columns }

func (r *reader) Next() bool {
	for r.left == 0 {
		if r.err != nil || r.closed || r.next == r.to || !r.open() {
			return false
		}
	}
	r.rest, r.err = readRow(r.rest, r.values)
	if r.err != nil {
		r.left, r.next = 0, r.to
		return false
	}
	r.left--
	r.count++
	return true
}

// open reads the next block.
func (r *reader) open() bool {
	if r.err = r.ctx.Err(); r.err != nil {
		return false
	}
	if r.buffer == nil {
		r.buffer = make([]byte, 0, min(r.file.longest, r.st.spool.config.BlockSize+gcmTag))
	}
	if r.rest, r.err = r.file.open(r.next, r.buffer); r.err != nil {
		return false
	}
	r.buffer = r.rest
	if cap(r.buffer) > 2*r.st.spool.config.BlockSize+gcmTag {
		r.buffer = nil // a huge row is not held longer than its block
	}
	r.left = r.file.blocks[r.next].rows
	r.next++
	return true
}

func (r *reader) Values() [][]byte { return r.values }
func (r *reader) Err() error       { return r.err }

func (r *reader) Summary() redshift.Summary {
	summary := r.st.summary
	summary.RowCount = r.count
	if r.to < r.st.blocks { // what was cut is missing at the end of the last partition
		summary.Truncated, summary.Limit = false, ""
	}
	return summary
}

// Close gives the block back. Who reads after that gets nothing.
func (r *reader) Close() error {
	if r.closed {
		return nil
	}
	r.closed, r.left, r.buffer, r.rest, r.values = true, 0, nil, nil, nil
	r.st.spool.leave(r.st)
	return nil
}
