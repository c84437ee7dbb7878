// Package encode writes a result as JSON, NDJSON, CSV or an Arrow stream while it is being read.
//
//	format, err := encode.Negotiate(r.Header.Get("Accept"))
//	…
//	summary, err := encode.Write(w, format, rows, encode.Options{})
//
// A value arrives as Redshift's text form and leaves as the format's. Numbers and dates are
// the same in both, so they are copied and not parsed; strings are walked once for what must
// be escaped. No value is allocated, and memory is one buffer and one row, whatever the size of
// the result.
//
// What to fear is a short result that looks whole. Every format therefore says when it is
// complete: JSON and NDJSON end with the number of rows and "complete":true, Arrow with its
// end-of-stream mark, CSV has HTTP trailers, which the door sends. A failure after the first byte is part of the document in
// JSON and NDJSON; CSV and Arrow have no place for one, so their connection must be broken.
//
// How values look:
//
//   - SMALLINT, INTEGER, BIGINT, REAL and DOUBLE PRECISION are JSON numbers. NaN, Infinity and
//     -Infinity, which JSON does not have, are strings. BIGINT is a string on demand, for
//     readers whose numbers end at 2^53.
//   - NUMERIC is a string: exact, with all its digits.
//   - BOOLEAN is true or false, SUPER is JSON itself, NULL is null.
//   - Everything else is a string. What is not UTF-8 becomes U+FFFD.
//   - In Arrow, values have Arrow's types: integers, floating point, 128-bit decimals where the scale
//     is known, dates, times and timestamps in microseconds, bytes for VARBYTE; the rest is text. A
//     value that its type cannot hold, such as a date before our era, ends the result.
//   - In CSV, NULL is an empty field and the empty string is "". In a result of one column, NULL
//     is an empty line.
package encode

import (
	"cmp"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/shiftgrant/shiftgrant/redshift"
)

// Options change how a result is written.
type Options struct {
	// StatementID is the "statement_id" of JSON and NDJSON; empty leaves it out.
	StatementID string
	// Int64AsString writes BIGINT as JSON strings.
	Int64AsString bool
	// Problem makes a JSON object of what ended the rows early. Nil gives a fixed text.
	Problem func(error) []byte
	// Flush hands on what was written, so that a slow result is seen while it grows.
	Flush func() error
}

// A WriteError says that the reader could not be reached: nothing more can be told to it.
type WriteError struct{ Err error }

func (e *WriteError) Error() string { return fmt.Sprintf("write result: %v", e.Err) }
func (e *WriteError) Unwrap() error { return e.Err }

const (
	bufferSize    = 64 << 10
	smallBuffer   = 4 << 10 // most results are small
	largestBuffer = 1 << 20 // one grown beyond this for a huge row is not kept
	flushInterval = 250 * time.Millisecond
)

// Write writes all rows and the end mark. A failure of the rows is returned after it was written
// as the format can; one that comes before anything was handed to w is only returned, so that the
// caller can still answer otherwise. A *WriteError says that the reader is gone. Write does not
// close the rows.
func Write(w io.Writer, format Format, rows redshift.Rows, options Options) (redshift.Summary, error) {
	columns := rows.Columns()
	layout := formats[format].layout(columns, options)
	out := &output{to: w, flush: options.Flush, buffer: make([]byte, 0, smallBuffer)}
	// A ticker's channel costs a look at the clock for each row that asks it, this costs a load.
	var due atomic.Bool
	timer := time.AfterFunc(flushInterval, func() { due.Store(true) })
	defer timer.Stop()

	collecting, _ := layout.(collector)
	out.buffer = layout.begin(out.buffer)
	for rows.Next() {
		out.buffer = layout.row(out.buffer, rows.Values())
		switch {
		case due.Load():
			due.Store(false)
			if collecting != nil {
				out.buffer = collecting.pending(out.buffer)
			}
			out.write()
			out.push()
			timer.Reset(flushInterval)
		case len(out.buffer) >= bufferSize:
			out.write()
		}
		if out.err != nil {
			return rows.Summary(), &WriteError{out.err}
		}
		if collecting != nil && collecting.err() != nil {
			break
		}
	}
	failure := rows.Err()
	if collecting != nil {
		out.buffer = collecting.pending(out.buffer)
		failure = cmp.Or(failure, collecting.err())
	}
	if failure != nil && !out.begun {
		return rows.Summary(), failure
	}
	if failure != nil {
		out.buffer = layout.fail(out.buffer, problemOf(failure, options))
	} else {
		out.buffer = layout.end(out.buffer, rows.Summary())
	}
	out.write()
	if out.err != nil {
		return rows.Summary(), &WriteError{out.err}
	}
	return rows.Summary(), failure
}

func problemOf(failure error, options Options) []byte {
	if options.Problem == nil {
		return []byte(`{"type":"about:blank","title":"The result ended early","status":500}`)
	}
	return options.Problem(failure)
}

// output is the one buffer. After a failure it does nothing.
type output struct {
	to     io.Writer
	flush  func() error
	buffer []byte
	begun  bool
	err    error
}

func (o *output) write() {
	if o.err == nil && len(o.buffer) > 0 {
		o.begun = true
		_, o.err = o.to.Write(o.buffer)
	}
	if cap(o.buffer) > largestBuffer {
		o.buffer = make([]byte, 0, bufferSize)
	}
	o.buffer = o.buffer[:0]
}

func (o *output) push() {
	if o.err == nil && o.flush != nil {
		o.err = o.flush()
	}
}

// A collector is a layout that holds rows back until there are enough of them, and that has values
// which it cannot write.
type collector interface {
	pending(b []byte) []byte
	err() error
}

// A layout appends the parts of a result to a buffer.
type layout interface {
	begin(b []byte) []byte
	row(b []byte, values [][]byte) []byte
	end(b []byte, summary redshift.Summary) []byte
	fail(b []byte, problem []byte) []byte
}
