package warehouse

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/audit"
	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/web"
	"github.com/shiftgrant/shiftgrant/redshift"
)

// Session is one grant in its warehouse. It is a redshift.Session, and a redshift.Spooled where its
// transport is one, that keeps within the grant; a door opens one for each request.
type Session struct {
	house   *Warehouses
	target  *Warehouse
	access  *grant.Access
	kept    *keptSession
	maxRows int64
	closed  sync.Once
}

var (
	_ redshift.Session = (*Session)(nil)
	_ redshift.Spooled = (*Session)(nil)
)

// Warehouse is the name of the warehouse that was opened.
func (s *Session) Warehouse() string { return s.target.Name }

// Transport is how statements travel: those that a request waits for, or those in the background.
func (s *Session) Transport(background bool) string {
	if _, ours := s.kept.Session.(redshift.Spooled); background && !ours {
		return "dataapi" // the only other transport that keeps results
	}
	return s.target.Transport
}

// LimitRows ends results after max rows. It can only make the limit smaller; 0 changes nothing.
func (s *Session) LimitRows(max int64) { s.maxRows = smaller(s.maxRows, max) }

// smaller of two limits, where 0 is none.
func smaller(a, b int64) int64 {
	if a <= 0 || b > 0 && b < a {
		return b
	}
	return a
}

// Close gives the session back.
func (s *Session) Close() error {
	s.closed.Do(s.kept.release)
	return nil
}

// Check says whether the grant may run a text, without running it: a *RefusedError or a
// *ScopeError.
func (s *Session) Check(sql string) error {
	class, err := classify(sql, s.house.config.MaxSQL)
	if err != nil {
		return err
	}
	scopes := s.access.Scopes
	switch {
	case s.mayWrite(), class.reads && (scopes.Has(grant.ScopeRead) || scopes.Has(grant.ScopeWrite)):
		return nil
	case class.reads:
		return s.needs(grant.ScopeRead, "the token is not for running SQL")
	}
	return s.needs(grant.ScopeWrite, class.why)
}

func (s *Session) mayWrite() bool {
	return s.access.Scopes.Has(grant.ScopeWrite) && !s.access.Grant.Limits.ReadOnly
}

func (s *Session) needs(scope, why string) error {
	return &ScopeError{
		Needs:    grant.Scopes{scope, grant.WarehouseScope(s.target.Name)},
		ReadOnly: s.access.Scopes.Has(scope), // the token would allow it, so it is the grant that does not
		Why:      why,
	}
}

// Query runs one statement within the grant's limits. Its rows must be closed: only then is the
// statement's place free for the next.
func (s *Session) Query(ctx context.Context, statement redshift.Statement) (redshift.Rows, error) {
	run, err := s.begin(ctx, &statement)
	if err != nil {
		return nil, err
	}
	run.within(ctx)
	defer run.endIfPanicking()
	result, err := s.kept.Query(run.ctx, statement)
	if err != nil {
		defer run.cancel()
		return nil, run.end(err, redshift.Summary{})
	}
	return s.limit(result, run, run.guard), nil
}

func (s *Session) limit(result redshift.Rows, run *run, guard *guard) *rows {
	maxRows, maxBytes := s.limits()
	return &rows{Rows: result, run: run, guard: guard, maxRows: maxRows, maxBytes: maxBytes}
}

// limits of a result; 0 is none.
func (s *Session) limits() (rows, bytes int64) {
	return smaller(s.maxRows, s.access.Grant.Limits.MaxRows), s.access.Grant.Limits.MaxBytes
}

// begin does what comes before a statement, in this order: may it run, is there a place for it,
// is its grant good still, is it on record.
func (s *Session) begin(ctx context.Context, statement *redshift.Statement) (*run, error) {
	if err := s.Check(statement.SQL); err != nil {
		return nil, err
	}
	guard := s.house.overseer.guard(s.access.Claim())
	release, err := s.place(ctx, guard)
	if err != nil {
		guard.release()
		return nil, err
	}
	statement.Label, statement.ReadOnly = label(s.access, web.RequestID(ctx)), !s.mayWrite()
	run := &run{
		house: s.house, ctx: ctx, cancel: func() {}, release: release, guard: guard, started: s.house.config.Now(),
		record: recordOf(s.access, s.target.Name, web.RequestID(ctx), statement.Label),
	}
	start := run.record
	start.Kind, start.Time, start.SHA256 = StatementStarted, run.started, digest(statement.SQL)
	if !s.house.config.HashStatements {
		start.Statement = statement.SQL
	}
	if err := s.house.config.Audit.Write(ctx, start); err != nil {
		release()
		guard.release()
		return nil, fmt.Errorf("%w: %w", ErrAudit, err)
	}
	return run, nil
}

// place waits for a place to run, and looks at the grant again when it has one.
func (s *Session) place(ctx context.Context, guard *guard) (release func(), err error) {
	ctx, unbind := guard.bind(ctx)
	defer unbind()
	person := s.access.Grant.Tenant + "\x00" + s.access.Person.ID
	release, err = s.house.slots.acquire(ctx, person, s.target.Name)
	if err != nil {
		return nil, guard.or(err)
	}
	if err := s.house.overseer.stillGood(ctx, s.access); err != nil {
		release()
		return nil, guard.or(err)
	}
	return release, nil
}

// label is what joins Redshift's log to our record. It fits the Data API's StatementName and
// query_group.
func label(access *grant.Access, requestID string) string {
	app := strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || r == '\'' || r == '"' || r == '\\' || r == ':' {
			return '_'
		}
		return r
	}, access.App.ID)
	if len(app) > 64 {
		app = app[:64]
	}
	return "sg:" + app + ":" + access.Grant.ID + ":" + requestID
}

// run is a statement from its record of start to its record of end.
type run struct {
	house   *Warehouses
	ctx     context.Context
	cancel  context.CancelFunc
	release func()
	guard   *guard
	started time.Time
	record  audit.Record
	ended   sync.Once
}

// within gives the statement its time, and an end with its grant.
func (r *run) within(ctx context.Context) {
	bound, unbind := r.guard.bind(ctx)
	timed, cancel := context.WithTimeoutCause(bound, r.house.config.StatementTimeout, ErrTimeout)
	r.ctx, r.cancel = timed, func() {
		cancel()
		unbind()
	}
}

// causeOr tells a limit of ours, and a revocation, from the end of the request.
func (r *run) causeOr(err error) error {
	for _, cause := range []error{ErrTimeout, ErrRevoked} {
		if err != nil && errors.Is(context.Cause(r.ctx), cause) {
			return cause
		}
	}
	return err
}

var errPanicked = errors.New("the gateway failed")

// endIfPanicking is deferred: a fault of ours must not keep a place for ever.
func (r *run) endIfPanicking() {
	if fault := recover(); fault != nil {
		r.cancel()
		_ = r.end(errPanicked, redshift.Summary{})
		panic(fault)
	}
}

// end writes the record of the end and frees the place. The first call counts. It does not cancel:
// rows that are being read may still need the context.
func (r *run) end(err error, summary redshift.Summary) error {
	return r.endAfter(0, err, summary)
}

// endAfter is end, when so many bytes were handed on.
func (r *run) endAfter(bytes int64, err error, summary redshift.Summary) error {
	err = r.causeOr(err)
	r.ended.Do(func() {
		r.release()
		r.guard.release()
		end := r.record
		end.Kind, end.Time = StatementEnded, r.house.config.Now()
		end.Outcome, end.SQLState = outcomeOf(err)
		end.Bytes = bytes
		end.Rows, end.Truncated, end.QueryID = summary.RowCount, summary.Truncated, summary.QueryID
		end.Duration = end.Time.Sub(r.started)
		// The app may be gone; what it did is recorded all the same.
		ctx, stop := context.WithTimeout(context.WithoutCancel(r.ctx), 5*time.Second)
		defer stop()
		if failure := r.house.config.Audit.Write(ctx, end); failure != nil {
			r.house.config.Logger.Error("write audit record of a statement's end", "error", failure, "request_id", end.RequestID, "label", end.Label)
		}
	})
	return err
}
