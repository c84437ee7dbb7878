// Package redshift is the port through which everything here talks to Amazon Redshift: a
// [Session] is one person in one warehouse, a [Statement] is one piece of SQL, and [Rows]
// are its result.
//
// Transports implement it: redshift/dataapi over HTTPS and redshift/wire over the
// PostgreSQL protocol. A row is a slice of values in Redshift's own text form, so that a
// transport can hand on what it received and an encoder can copy it: nothing is parsed on
// the way, and no value is allocated.
//
// A session is not a boundary by itself. What a person may read is decided by Redshift, for
// the database user that the session's credentials were issued to.
package redshift

import (
	"context"
	"time"
)

// A Session runs statements in one warehouse as one person. It may be used by several
// goroutines at once unless its transport says otherwise.
type Session interface {
	// Query runs one statement and gives its rows as they arrive. When ctx ends, or the rows
	// are closed early, the statement is cancelled in Redshift. A failure of the SQL itself is
	// an *Error, from Query or later from Rows.Err.
	Query(ctx context.Context, statement Statement) (Rows, error)
	// Close gives the session back. Running statements of Query are cancelled.
	Close() error
}

// Detached is implemented by sessions whose statements can outlive the call that started
// them. An id is valid for the same person on any session of the same warehouse; it is never
// authority by itself and must not leave the gateway.
type Detached interface {
	// Submit starts a statement and returns as soon as Redshift has taken it.
	Submit(ctx context.Context, statement Statement) (id string, err error)
	// Fetch gives the rows of a finished statement, waiting up to wait for it to finish.
	// Errors: ErrRunning when it has not, *Error when its SQL failed, ErrCanceled, ErrNotFound.
	// Ending ctx or closing the rows does not cancel the statement.
	Fetch(ctx context.Context, id string, wait time.Duration) (Rows, error)
	// Describe tells how a statement is doing, waiting up to wait for it to finish.
	Describe(ctx context.Context, id string, wait time.Duration) (Execution, error)
	// Cancel asks Redshift to stop a statement. Cancelling a finished one is no error.
	Cancel(ctx context.Context, id string) error
}

// Spooled is a Detached that runs its statements, and keeps their results, in this process. They
// end with it; any number of callers may wait for one; and a large result can be read in parts.
type Spooled interface {
	Detached
	// FetchPartition gives the rows of one partition of a result, as Fetch gives all of them:
	// the partitions one after the other are the result. ErrNoPartition where there is none.
	FetchPartition(ctx context.Context, id string, partition int, wait time.Duration) (Rows, error)
}

// A Statement is one piece of SQL. Transports send it so that Redshift itself refuses a
// second statement behind a semicolon.
type Statement struct {
	SQL        string
	Parameters []Parameter
	// Label joins our audit record to Redshift's own log: the Data API's StatementName, or
	// query_group on the wire.
	Label string
	// ReadOnly has a transport that can do so run the statement in a transaction that is read
	// only and rolled back: one wall more, behind the database user's rights.
	ReadOnly bool
	// IdempotencyKey makes a repeated submission the same statement (Data API ClientToken,
	// 1–64 characters). A transport makes one up where it is empty.
	IdempotencyKey string
	// Resubmitted says that the key was used before. A transport that would not know for certain
	// does not run the statement then: ErrForgotten.
	Resubmitted bool
	// MaxRows and MaxBytes are how much of the result the caller can take; 0 is all. A transport
	// that keeps results need not keep more, and then says so in the Summary.
	MaxRows, MaxBytes int64
}

// A Parameter replaces :name in the SQL. It is sent beside the SQL, never pasted into it.
type Parameter struct {
	Name  string
	Value *string // nil is NULL; a pointer to "" is the empty string
}

// Rows is a result being read.
//
//	for rows.Next() {
//		use(rows.Values())
//	}
//	return rows.Err()
type Rows interface {
	// Columns describes the result. It is empty for a statement that returns none.
	Columns() []Column
	// Next moves to the next row. It is false at the end and on failure; Err tells which.
	Next() bool
	// Values is the current row in Redshift's text form; nil is NULL. The slices are valid
	// until the next call of Next.
	Values() [][]byte
	// Err is what ended the rows early: an *Error, ErrCanceled, or a failure of the transport.
	Err() error
	// Summary is complete once Next returned false.
	Summary() Summary
	// Close frees the result. It may be called twice.
	Close() error
}

// Summary is what is known of a statement when its rows have been read.
type Summary struct {
	RowCount     int64         // rows read by the caller
	RowsAffected int64         // rows changed by INSERT, UPDATE, DELETE; -1 where not known
	Truncated    bool          // a limit ended the rows before the result did
	Limit        string        // which one: "max_rows" or "max_bytes"
	Duration     time.Duration // time in Redshift; 0 where not known
	QueryID      int64         // Redshift's query id; 0 where not known
}

// State is how far a statement is (Data API StatusString).
type State string

// The states of a statement. Submitted, Picked and Started are on their way; the others final.
const (
	Submitted State = "SUBMITTED"
	Picked    State = "PICKED"
	Started   State = "STARTED"
	Finished  State = "FINISHED"
	Failed    State = "FAILED"
	Aborted   State = "ABORTED"
)

// Final reports whether a statement in this state will not change any more.
func (s State) Final() bool { return s == Finished || s == Failed || s == Aborted }

// Execution is a statement as Describe sees it.
type Execution struct {
	ID         string
	State      State
	Error      error // why State is Failed: an *Error where Redshift refused the statement
	HasResult  bool  // Fetch will give columns
	RowCount   int64 // rows of the result, so far while it runs; -1 where not known
	Bytes      int64 // size of the result, so far while it runs; -1 where not known
	Truncated  bool  // MaxRows or MaxBytes ended the result
	Partitions []Partition
	CreatedAt  time.Time
	UpdatedAt  time.Time
	ExpiresAt  time.Time // until when the result is kept; zero where not known
	Duration   time.Duration
	QueryID    int64
}

// A Partition is a part of a result that can be fetched by itself.
type Partition struct {
	RowCount int64
	Bytes    int64
}
