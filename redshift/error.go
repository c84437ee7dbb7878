package redshift

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrRunning says that a statement has not finished within the time waited.
	ErrRunning = errors.New("statement is still running")
	// ErrCanceled says that a statement was cancelled before it finished.
	ErrCanceled = errors.New("statement was cancelled")
	// ErrNotFound says that no such statement exists for this person, or not any more.
	ErrNotFound = errors.New("no such statement")
	// ErrRowTooLarge says that a row is larger than a transport reads.
	ErrRowTooLarge = errors.New("a row of the result is too large to be read")
	// ErrForgotten says that a statement was submitted before, and that nobody knows any more
	// whether it ran.
	ErrForgotten = errors.New("nobody knows whether the statement ran")
	// ErrNoPartition says that a result has no partition of this number.
	ErrNoPartition = errors.New("the result has no such partition")
)

// An Error is Redshift's own refusal of a statement. Its texts are for the person who wrote
// the SQL.
type Error struct {
	SQLState string // five characters (SQL:2016 §24.1); "" where the transport does not tell
	Message  string // without the leading "ERROR: "
	Detail   string
	Hint     string
	Position int // 1-based character in the SQL; 0 where not known
}

func (e *Error) Error() string {
	if e.SQLState == "" {
		return "redshift: " + e.Message
	}
	return fmt.Sprintf("redshift: %s (SQLSTATE %s)", e.Message, e.SQLState)
}

// A BusyError says that a quota or a queue is full. Nothing was executed; the same call may
// succeed after RetryAfter.
type BusyError struct {
	Limit      string // which limit, in words: "30 ExecuteStatement calls a second"
	RetryAfter time.Duration
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("redshift is busy: %s; try again in %s", e.Limit, e.RetryAfter)
}

// A TooLargeError says that a result is larger than what may be kept of it, and that the statement
// was cancelled.
type TooLargeError struct {
	Limit string // which limit, in words: "4294967296 bytes of one statement"
}

func (e *TooLargeError) Error() string {
	return "the result is too large to be kept: " + e.Limit
}

// An AccessError says that credentials for this person could not be had, or were refused.
// It is a fault of the set-up, not of the SQL.
type AccessError struct {
	Step string // what was being done: "assume arn:aws:iam::…:role/x"
	Code string // AWS's error code, such as "AccessDenied"
	Err  error
}

func (e *AccessError) Error() string { return fmt.Sprintf("%s: %v", e.Step, e.Err) }
func (e *AccessError) Unwrap() error { return e.Err }
