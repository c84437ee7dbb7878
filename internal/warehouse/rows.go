package warehouse

import (
	"github.com/shiftgrant/shiftgrant/redshift"
)

// rows ends a result at the grant's limits and tells so.
type rows struct {
	redshift.Rows
	run      *run // nil for a result that is read once more
	maxRows  int64
	maxBytes int64

	count, bytes int64
	limit        string // which limit ended the rows
	over         bool
}

// Next looks one row beyond a limit, so that a result that just fits is not called cut.
func (r *rows) Next() bool {
	if r.over {
		return false
	}
	if !r.Rows.Next() {
		return r.finish("")
	}
	if r.maxRows > 0 && r.count >= r.maxRows {
		return r.finish("max_rows")
	}
	if r.maxBytes > 0 {
		for _, value := range r.Rows.Values() {
			r.bytes += int64(len(value))
		}
		if r.bytes > r.maxBytes {
			return r.finish("max_bytes")
		}
	}
	r.count++
	return true
}

func (r *rows) finish(limit string) bool {
	r.over, r.limit = true, limit
	if r.run != nil {
		_ = r.run.end(r.Err(), r.Summary())
	}
	return false
}

// Err is nil where a limit ended the rows: that is told by Summary.
func (r *rows) Err() error {
	if r.limit != "" {
		return nil
	}
	err := r.Rows.Err()
	if r.run != nil {
		err = r.run.timeoutOr(err)
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
		_ = r.run.end(outcome, r.Summary())
		r.run.cancel()
	}
	r.over = true
	return err
}
