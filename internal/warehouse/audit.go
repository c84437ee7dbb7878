package warehouse

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"github.com/shiftgrant/shiftgrant/internal/audit"
	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/redshift"
)

// Audit keeps what was run. Write returns only when the record cannot be lost. A record never
// holds the values of parameters.
type Audit interface {
	Write(ctx context.Context, record audit.Record) error
}

// The kinds of record.
const (
	StatementStarted = "statement.started"
	StatementEnded   = "statement.ended"
)

// The outcomes of a statement.
const (
	Succeeded = "succeeded"
	Failed    = "failed"    // Redshift refused it; SQLState says why
	Canceled  = "canceled"  // by the app, or because it went away
	TimedOut  = "timed out" // ran longer than allowed
	Revoked   = "revoked"   // cancelled, because its grant or token ended
	Refused   = "refused"   // never reached Redshift: a full queue, no credentials
	TooLarge  = "too large" // cancelled, because its result is larger than what may be kept
	Repeated  = "repeated"  // the same statement once more, by its idempotency key; it ran once
	Lost      = "lost"      // how it ended is not known
)

var errRepeated = errors.New("this statement was submitted before")

func outcomeOf(err error) (outcome, sqlState string) {
	var refusal *redshift.Error
	var busy *redshift.BusyError
	var access *redshift.AccessError
	var tooLarge *redshift.TooLargeError
	switch {
	case err == nil:
		return Succeeded, ""
	case errors.As(err, &refusal):
		return Failed, refusal.SQLState
	case errors.Is(err, ErrTimeout):
		return TimedOut, ""
	case errors.Is(err, ErrRevoked):
		return Revoked, ""
	case errors.Is(err, redshift.ErrCanceled), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Canceled, ""
	case errors.As(err, &tooLarge), errors.Is(err, redshift.ErrRowTooLarge):
		return TooLarge, ""
	case errors.As(err, &busy), errors.As(err, &access):
		return Refused, ""
	case errors.Is(err, errRepeated):
		return Repeated, ""
	}
	return Lost, ""
}

func recordOf(access *grant.Access, warehouse, requestID, label string) audit.Record {
	return audit.Record{
		Tenant: access.Grant.Tenant, Person: access.Person.ID, DatabaseAs: access.Person.DatabaseUser, App: access.App.ID,
		Grant: access.Grant.ID, Warehouse: warehouse, RequestID: requestID, Label: label,
	}
}

func digest(sql string) string {
	sum := sha256.Sum256([]byte(sql))
	return hex.EncodeToString(sum[:])
}
