package warehouse

import (
	"github.com/shiftgrant/shiftgrant/redshift"
)

// rows ends a result at the grant's limits and tells so.
type rows struct {
	redshift.Rows
	run      *run // nil for a result that is read once more
	guard    *guard
	release  func() // of what the guard is bound to; nil for nothing
	maxRows  int64
	maxBytes int64

	count, bytes int64
	limit        string // which limit ended the rows
	over         bool
	revoked      bool
}

// Next looks one row beyond a limit, so that a result that just fits is not called cut.
func (r *rows) Next() bool {
	if r.over {
		return false
	}
	if r.guard.ended.Load() { // rows that have arrived already are not handed on either
		r.revoked = true
		return r.finish("")
	}
	if !r.Rows.Next() {
		return r.finish("")
	}
	if r.maxRows > 0 && r.count >= r.maxRows {
		return r.finish("max_rows")
	}
	row := int64(0)
	for _, value := range r.Rows.Values() {
		row += int64(len(value))
	}
	if r.maxBytes > 0 && r.bytes+row > r.maxBytes {
		return r.finish("max_bytes")
	}
	r.count, r.bytes = r.count+1, r.bytes+row
	return true
}

func (r *rows) finish(limit string) bool {
	r.over, r.limit = true, limit
	if r.run != nil {
		_ = r.run.endAfter(r.bytes, r.Err(), r.Summary())
	}
	return false
}

// Err is nil where a limit ended the rows: that is told by Summary.
func (r *rows) Err() error {
	if r.limit != "" {
		return nil
	}
	// Rows that were all read before are whole, whatever happened since.
	if r.revoked {
		return ErrRevoked
	}
	err := r.guard.or(r.Rows.Err())
	if r.run != nil {
		err = r.run.causeOr(err)
	}
	return err
}

func (r *rows) Summary() redshift.Summary {
	summary := r.Rows.Summary()
	summary.RowCount = r.count
	if r.limit != "" {
		summary.Truncated, summary.Limit = true, r.limit
	}
	return summary
}

// Close of rows that were not read to the end cancels what still runs.
func (r *rows) Close() error {
	err := r.Rows.Close()
	if r.run != nil {
		outcome := r.Err()
		if !r.over && outcome == nil {
			outcome = redshift.ErrCanceled
		}
		_ = r.run.endAfter(r.bytes, outcome, r.Summary())
		r.run.cancel()
	}
	if r.release != nil {
		r.release()
	}
	r.over = true
	return err
}
