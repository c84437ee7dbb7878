package sqlapi

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/store"
	"github.com/shiftgrant/shiftgrant/internal/warehouse"
	"github.com/shiftgrant/shiftgrant/internal/web"
	"github.com/shiftgrant/shiftgrant/redshift"
)

// Statements is what the door needs of a store. The id of a statement is random and says nothing;
// who may use it is in the row.
type Statements interface {
	// CreateStatement keeps a new statement. When the grant has one of the same RequestID, it
	// gives that one and grant.ErrExists.
	CreateStatement(ctx context.Context, statement store.Statement) (store.Statement, error)
	// UpdateStatement sets RemoteID and CanceledAt.
	UpdateStatement(ctx context.Context, statement store.Statement) error
	// Statement finds one by its id, or grant.ErrNotFound.
	Statement(ctx context.Context, tenant, id string) (store.Statement, error)
}

var errStore = errors.New("the store of statements failed")

// Redshift keeps results for a day, and so the ids are kept.
const statementLifetime = 24 * time.Hour

// Telling Redshift to stop is not given up because the app went away.
const cancelTime = 15 * time.Second

// submit answers POST /v1/statements.
func (a *API) submit(w http.ResponseWriter, r *http.Request, access *grant.Access) error {
	want, err := readPreference(r)
	if err != nil {
		return err
	}
	q, err := a.readStatement(w, r)
	if err != nil {
		return err
	}
	session, err := a.config.Warehouses.Open(r.Context(), access, q.warehouse)
	if err != nil {
		return err
	}
	defer session.Close()
	session.LimitRows(q.maxRows)
	statement, err := a.start(r.Context(), session, access, q)
	if err != nil {
		return err
	}
	rows, err := session.Fetch(r.Context(), statement.RemoteID, q.wait)
	switch {
	case r.Context().Err() != nil:
		// Without an id of its own nobody could find the statement again.
		if q.requestID == "" || q.onTimeout == onTimeoutCancel {
			a.stop(r.Context(), session, statement)
		}
		if err == nil {
			_ = rows.Close()
		}
		return r.Context().Err()
	case errors.Is(err, redshift.ErrRunning) && q.onTimeout == onTimeoutCancel:
		a.stop(r.Context(), session, statement)
		return &problemError{Problem: web.Problem{
			Type: "statement-timeout", Status: http.StatusRequestTimeout,
			Detail: "The statement had not ended within wait and was cancelled, as on_timeout says.",
		}}
	case errors.Is(err, redshift.ErrRunning):
		w.Header().Set("Location", a.statementPath(statement))
		w.Header().Set("Retry-After", "1")
		return writeJSON(w, http.StatusAccepted, a.describe(r.Context(), statement, redshift.Execution{State: redshift.Started, RowCount: -1, Bytes: -1}))
	case err != nil:
		return err
	}
	w.Header().Set("Location", a.statementPath(statement)) // it may end sooner than a wait of nothing
	w.Header().Set(transportHeader, session.Transport(true))
	return a.stream(w, r, rows, want, statement.ID)
}

// statementPath is where a statement is asked about.
func (a *API) statementPath(statement store.Statement) string {
	return a.config.Base + "/v1/statements/" + statement.ID
}

// start submits a statement, or finds the one that an earlier try submitted.
//
// With a request_id the row is there before Redshift is asked and the transport's idempotency
// key follows from it: whenever the first try was cut off, the next finds or repeats the same
// statement.
func (a *API) start(ctx context.Context, session *warehouse.Session, access *grant.Access, q *request) (store.Statement, error) {
	// Before a row is made: one that may not run leaves nothing behind.
	if err := session.Check(q.sql); err != nil {
		return store.Statement{}, err
	}
	now := a.config.Now().Truncate(time.Millisecond) // as the store keeps it
	statement := store.Statement{
		ID: grant.NewID("st"), Tenant: access.Grant.Tenant, GrantID: access.Grant.ID, PersonID: access.Person.ID, AppID: access.App.ID,
		Warehouse: session.Warehouse(), RequestID: q.requestID, Fingerprint: q.fingerprint(), MaxRows: q.maxRows,
		CreatedAt: now, ExpiresAt: now.Add(statementLifetime),
	}
	run := redshift.Statement{SQL: q.sql, Parameters: q.parameters}
	if q.requestID == "" {
		return a.submitNew(ctx, session, statement, run)
	}
	kept, err := a.config.Statements.CreateStatement(ctx, statement)
	switch {
	case errors.Is(err, grant.ErrExists) && kept.Fingerprint != statement.Fingerprint:
		return store.Statement{}, &problemError{Problem: web.Problem{
			Type: "request-id-used", Status: http.StatusConflict, Detail: "This request_id belongs to another statement of this connection. Use a new one for each.",
		}}
	case errors.Is(err, grant.ErrExists):
		// This gateway knows what it has submitted; of what one before it has, nobody may know.
		statement, run.Resubmitted = kept, kept.CreatedAt.Before(a.started)
	case err != nil:
		return store.Statement{}, fmt.Errorf("%w: create statement: %w", errStore, err)
	}
	if !statement.CanceledAt.IsZero() {
		return store.Statement{}, redshift.ErrCanceled
	}
	if statement.RemoteID != "" {
		return statement, nil
	}
	key := sha256.Sum256([]byte(statement.Tenant + "\x00" + statement.GrantID + "\x00" + q.requestID))
	run.IdempotencyKey = hex.EncodeToString(key[:])
	if statement.RemoteID, err = session.Submit(ctx, run); err != nil {
		return store.Statement{}, err
	}
	if err := a.config.Statements.UpdateStatement(ctx, statement); err != nil {
		return store.Statement{}, fmt.Errorf("%w: keep statement: %w", errStore, err)
	}
	return statement, nil
}

// submitNew runs a statement that only this request knows of. Where it cannot be kept nobody
// could find it again, so it is cancelled.
func (a *API) submitNew(ctx context.Context, session *warehouse.Session, statement store.Statement, run redshift.Statement) (store.Statement, error) {
	var err error
	if statement.RemoteID, err = session.Submit(ctx, run); err != nil {
		return store.Statement{}, err
	}
	if _, err := a.config.Statements.CreateStatement(ctx, statement); err != nil {
		a.cancelRemote(ctx, session, statement.RemoteID)
		return store.Statement{}, fmt.Errorf("%w: keep statement: %w", errStore, err)
	}
	return statement, nil
}

// fingerprint tells apart what a request asks for. Lengths keep one field from running into the
// next.
func (q *request) fingerprint() grant.Hash {
	digest := sha256.New()
	write := func(part string) {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		digest.Write(length[:])
		digest.Write([]byte(part))
	}
	write(q.sql)
	for _, parameter := range q.parameters {
		write(parameter.Name)
		if parameter.Value == nil {
			write("null")
			continue
		}
		write("value")
		write(*parameter.Value)
	}
	return grant.Hash(digest.Sum(nil))
}

// stop cancels a statement for good: it outlives the request, and a retry finds it cancelled.
func (a *API) stop(ctx context.Context, session *warehouse.Session, statement store.Statement) {
	a.cancelRemote(ctx, session, statement.RemoteID)
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), cancelTime)
	defer done()
	statement.CanceledAt = a.config.Now()
	if err := a.config.Statements.UpdateStatement(ctx, statement); err != nil {
		a.config.Logger.Error("keep that a statement was cancelled", "error", err, "request_id", web.RequestID(ctx))
	}
}

func (a *API) cancelRemote(ctx context.Context, session *warehouse.Session, remoteID string) {
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), cancelTime)
	defer done()
	if err := session.Cancel(ctx, remoteID); err != nil {
		a.config.Logger.Error("cancel statement", "error", err, "request_id", web.RequestID(ctx))
	}
}

// find gives the statement of a path and a session to ask about it. Possession of an id is not
// authority (ASVS 8.2.2): whoever is not its owner learns nothing, not even that it exists.
func (a *API) find(r *http.Request, access *grant.Access) (store.Statement, *warehouse.Session, error) {
	if !access.Scopes.Has(grant.ScopeRead) && !access.Scopes.Has(grant.ScopeWrite) {
		return store.Statement{}, nil, &warehouse.ScopeError{Needs: grant.Scopes{grant.ScopeRead}, Why: "the token is not for running SQL"}
	}
	statement, err := a.config.Statements.Statement(r.Context(), access.Grant.Tenant, r.PathValue("id"))
	switch {
	case errors.Is(err, grant.ErrNotFound):
		return store.Statement{}, nil, errUnknownStatement
	case err != nil:
		return store.Statement{}, nil, fmt.Errorf("%w: find statement: %w", errStore, err)
	case statement.Tenant != access.Grant.Tenant, statement.PersonID != access.Person.ID, statement.AppID != access.App.ID,
		statement.GrantID != access.Grant.ID, statement.Warehouse != access.Grant.Warehouse:
		return store.Statement{}, nil, errUnknownStatement
	case !a.config.Now().Before(statement.ExpiresAt):
		return store.Statement{}, nil, errGone
	case statement.RemoteID == "":
		return store.Statement{}, nil, &problemError{Problem: web.Problem{
			Type: "statement-starting", Status: http.StatusConflict,
			Detail: "The statement has not reached Redshift yet. Ask again, or repeat the POST with the same request_id.",
		}, retryAfter: time.Second}
	}
	session, err := a.config.Warehouses.Open(r.Context(), access, statement.Warehouse)
	return statement, session, err
}

// status answers GET /v1/statements/{id}.
func (a *API) status(w http.ResponseWriter, r *http.Request, access *grant.Access) error {
	wait, err := readWait(r)
	if err != nil {
		return err
	}
	statement, session, err := a.find(r, access)
	if err != nil {
		return err
	}
	defer session.Close()
	execution, err := session.Describe(r.Context(), statement.RemoteID, wait)
	if err != nil {
		return err
	}
	if !execution.State.Final() {
		w.Header().Set("Retry-After", "1")
	}
	return writeJSON(w, http.StatusOK, a.describe(r.Context(), statement, execution))
}

// rows answers GET /v1/statements/{id}/rows, as often as asked until they are gone.
func (a *API) rows(w http.ResponseWriter, r *http.Request, access *grant.Access) error {
	want, err := readPreference(r)
	if err != nil {
		return err
	}
	wait, err := readWait(r)
	if err != nil {
		return err
	}
	partition, err := readPartition(r)
	if err != nil {
		return err
	}
	statement, session, err := a.find(r, access)
	if err != nil {
		return err
	}
	defer session.Close()
	session.LimitRows(statement.MaxRows)
	var rows redshift.Rows
	if partition == wholeResult {
		rows, err = session.Fetch(r.Context(), statement.RemoteID, wait)
	} else {
		rows, err = session.FetchPartition(r.Context(), statement.RemoteID, partition, wait)
	}
	if err != nil {
		return err
	}
	w.Header().Set(transportHeader, session.Transport(true))
	return a.stream(w, r, rows, want, statement.ID)
}

// cancel answers POST /v1/statements/{id}/cancel. Cancelling what has ended changes nothing.
func (a *API) cancel(w http.ResponseWriter, r *http.Request, access *grant.Access) error {
	if err := noBody(r); err != nil {
		return err
	}
	statement, session, err := a.find(r, access)
	if err != nil {
		return err
	}
	defer session.Close()
	if err := session.Cancel(r.Context(), statement.RemoteID); err != nil {
		return err
	}
	execution, err := session.Describe(r.Context(), statement.RemoteID, 0)
	if err != nil {
		return err
	}
	if execution.State == redshift.Finished || execution.State == redshift.Failed {
		return writeJSON(w, http.StatusOK, a.describe(r.Context(), statement, execution))
	}
	statement.CanceledAt = a.config.Now()
	if err := a.config.Statements.UpdateStatement(r.Context(), statement); err != nil {
		return fmt.Errorf("%w: keep that a statement was cancelled: %w", errStore, err)
	}
	if execution.State.Final() {
		return writeJSON(w, http.StatusOK, a.describe(r.Context(), statement, execution))
	}
	return writeJSON(w, http.StatusAccepted, a.describe(r.Context(), statement, execution))
}

// statusDocument is how a statement is doing.
type statusDocument struct {
	StatementID string              `json:"statement_id"`
	Status      string              `json:"status"`
	Warehouse   string              `json:"warehouse"`
	RequestID   string              `json:"request_id,omitempty"`
	RowCount    *int64              `json:"row_count,omitempty"`  // so far, while it runs
	ByteCount   *int64              `json:"byte_count,omitempty"` // so far, while it runs
	Truncated   bool                `json:"truncated,omitempty"`
	CreatedAt   time.Time           `json:"created_at"`
	ExpiresAt   time.Time           `json:"expires_at"`
	DurationMS  int64               `json:"duration_ms,omitempty"`
	Rows        string              `json:"rows,omitempty"` // where they are, once there are any
	Partitions  []partitionDocument `json:"partitions,omitempty"`
	Error       json.RawMessage     `json:"error,omitempty"`
}

// partitionDocument is a part of a result that can be read by itself, at the same time as others.
type partitionDocument struct {
	RowCount  int64  `json:"row_count"`
	ByteCount int64  `json:"byte_count"`
	Rows      string `json:"rows"`
}

// The statuses of a statement.
const (
	statusRunning  = "RUNNING"
	statusFinished = "FINISHED"
	statusFailed   = "FAILED"
	statusCanceled = "CANCELED"
)

func (a *API) describe(ctx context.Context, statement store.Statement, execution redshift.Execution) statusDocument {
	document := statusDocument{
		StatementID: statement.ID, Status: statusRunning, Warehouse: statement.Warehouse, RequestID: statement.RequestID,
		CreatedAt: statement.CreatedAt.UTC(), ExpiresAt: statement.ExpiresAt.UTC(), DurationMS: execution.Duration.Milliseconds(),
		RowCount: unlessUnknown(execution.RowCount), ByteCount: unlessUnknown(execution.Bytes), Truncated: execution.Truncated,
	}
	if !execution.ExpiresAt.IsZero() && execution.ExpiresAt.Before(statement.ExpiresAt) {
		document.ExpiresAt = execution.ExpiresAt.UTC().Truncate(time.Millisecond)
	}
	switch execution.State {
	case redshift.Finished:
		document.Status = statusFinished
		document.Rows = a.statementPath(statement) + "/rows"
		if len(execution.Partitions) == 1 {
			break // it is what Rows gives
		}
		for number, partition := range execution.Partitions {
			document.Partitions = append(document.Partitions, partitionDocument{partition.RowCount, partition.Bytes, document.Rows + "?partition=" + strconv.Itoa(number)})
		}
	case redshift.Failed:
		document.Status = statusFailed
		failure := execution.Error
		if failure == nil {
			failure = &redshift.Error{Message: "the statement failed"}
		}
		problem, _ := a.explain(ctx, failure)
		document.Error = problem.JSON("")
	case redshift.Aborted:
		document.Status = statusCanceled
	}
	return document
}

func unlessUnknown(count int64) *int64 {
	if count < 0 {
		return nil
	}
	return &count
}
