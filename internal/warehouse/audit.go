package warehouse

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/redshift"
)

// Audit keeps what was run. Write returns only when the record cannot be lost.
type Audit interface {
	Write(ctx context.Context, record Record) error
}

// The kinds of record.
const (
	StatementStarted = "statement.started"
	StatementEnded   = "statement.ended"
)

// A Record says that a statement is about to run, or how it ended. It never holds the values of
// parameters.
type Record struct {
	Kind       string
	At         time.Time
	Tenant     string
	PersonID   string
	AppID      string
	GrantID    string
	Warehouse  string
	RequestID  string
	Label      string // what Redshift's own log knows the statement by
	Statement  string // of a start: its text, or …
	SHA256     string // … the digest of its text
	Outcome    string // of an end: one of the outcomes
	SQLState   string
	RowCount   int64 // rows handed to the app
	Truncated  bool
	Duration   time.Duration // from the request to the end
	QueryID    int64         // Redshift's; 0 where not known
	DatabaseAs string        // the database user
}

// The outcomes of a statement.
const (
	Succeeded = "succeeded"
	Failed    = "failed"    // Redshift refused it; SQLState says why
	Canceled  = "canceled"  // by the app, or because it went away
	TimedOut  = "timed out" // ran longer than allowed
	Refused   = "refused"   // never reached Redshift: a full queue, no credentials
	Repeated  = "repeated"  // the same statement once more, by its idempotency key; it ran once
	Lost      = "lost"      // how it ended is not known
)

var errRepeated = errors.New("this statement was submitted before")

func outcomeOf(err error) (outcome, sqlState string) {
	var refusal *redshift.Error
	var busy *redshift.BusyError
	var access *redshift.AccessError
	switch {
	case err == nil:
		return Succeeded, ""
	case errors.As(err, &refusal):
		return Failed, refusal.SQLState
	case errors.Is(err, ErrTimeout):
		return TimedOut, ""
	case errors.Is(err, redshift.ErrCanceled), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Canceled, ""
	case errors.As(err, &busy), errors.As(err, &access):
		return Refused, ""
	case errors.Is(err, errRepeated):
		return Repeated, ""
	}
	return Lost, ""
}

func recordOf(access *grant.Access, warehouse, requestID, label string) Record {
	return Record{
		Tenant: access.Grant.Tenant, PersonID: access.Person.ID, AppID: access.App.ID, GrantID: access.Grant.ID,
		Warehouse: warehouse, RequestID: requestID, Label: label, DatabaseAs: access.Person.DatabaseUser,
	}
}

func digest(sql string) string {
	sum := sha256.Sum256([]byte(sql))
	return hex.EncodeToString(sum[:])
}
