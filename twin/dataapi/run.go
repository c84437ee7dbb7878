package dataapi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/shiftgrant/shiftgrant/twin/postgres"
)

const connectPatience = 30 * time.Second

// run takes a statement through its life.
func (h *Handler) run(st *statement) {
	defer st.cancel()
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-st.ctx.Done():
		h.end(st, aborted, cancelText)
		return
	}
	h.advance(st, picked, 0)
	conn, err := h.connection(st)
	if err != nil && st.ctx.Err() != nil {
		h.end(st, aborted, cancelText)
		return
	}
	if err != nil {
		h.end(st, failed, failureText(err))
		return
	}
	begun := time.Now()
	h.advance(st, started, conn.PID())
	status, failure := h.runPieces(st, conn)
	h.mu.Lock()
	st.duration = time.Since(begun)
	h.mu.Unlock()
	if st.session == nil {
		closeConnection(conn)
	}
	h.end(st, status, failure)
}

// connection is the session's own, or a new one.
func (h *Handler) connection(st *statement) (*pgconn.PgConn, error) {
	if st.session != nil && st.session.conn != nil {
		return st.session.conn, nil
	}
	ctx, cancel := context.WithTimeout(st.ctx, connectPatience)
	defer cancel()
	conn, err := st.target.server.Connect(ctx, st.target.user, st.target.database)
	if err == nil && st.session != nil {
		h.mu.Lock()
		st.session.conn = conn
		h.mu.Unlock()
	}
	return conn, err
}

func closeConnection(conn *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // nothing is lost: the statement has ended
}

func (h *Handler) advance(st *statement, status string, pid uint32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	st.status, st.updated = status, h.config.Now()
	if pid != 0 {
		st.pid = pid
	}
}

// end makes a statement final, with every piece that never ran.
func (h *Handler) end(st *statement, status, failure string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.config.Now()
	for _, piece := range st.pieces {
		if !st.batch {
			piece.settle(status, failure, now)
		} else {
			piece.settle(aborted, "", now)
		}
	}
	st.status, st.failure, st.updated = status, failure, now
	if st.session != nil {
		h.release(st.session, st)
	}
	close(st.done)
}

// runPieces runs one statement after the other; a batch in one transaction unless told
// otherwise. In AUTO_COMMIT mode a failure does not stop the rest (a guess).
func (h *Handler) runPieces(st *statement, conn *pgconn.PgConn) (status, failure string) {
	transaction := st.batch && st.mode == "TRANSACTION"
	if transaction {
		if err := control(conn, "BEGIN"); err != nil {
			return failed, failureText(err)
		}
	}
	status = finished
	for i, piece := range st.pieces {
		err := h.runPiece(st, piece, conn)
		if err == nil {
			continue
		}
		if st.ctx.Err() != nil {
			status, failure = aborted, cancelText
			break
		}
		if status == finished {
			status, failure = failed, failureText(err)
			if st.batch {
				failure = fmt.Sprintf("Query #%d failed with %s", i+1, failure)
			}
		}
		if st.mode != "AUTO_COMMIT" {
			break
		}
	}
	if !transaction {
		return status, failure
	}
	if status != finished {
		if err := control(conn, "ROLLBACK"); err != nil {
			h.log.Debug("rollback failed", "statement", st.id, "error", err)
		}
		return status, failure
	}
	if err := control(conn, "COMMIT"); err != nil {
		return failed, failureText(err)
	}
	return status, failure
}

// control runs our own BEGIN, COMMIT or ROLLBACK.
func control(conn *pgconn.PgConn, sql string) error {
	_, err := conn.Exec(context.Background(), sql).ReadAll()
	return err
}

// runPiece runs one SQL statement by the extended protocol, so that the database itself refuses
// a second one behind a semicolon.
func (h *Handler) runPiece(st *statement, p *piece, conn *pgconn.PgConn) error {
	begun := time.Now()
	h.mu.Lock()
	h.queries++
	p.queryID, p.queryUUID = h.queries, newUUID()
	p.status, p.updated = started, h.config.Now()
	h.mu.Unlock()

	outcome, err := h.query(st, p, conn)

	h.mu.Lock()
	defer h.mu.Unlock()
	p.duration = time.Since(begun)
	now := h.config.Now()
	switch {
	case err != nil && st.ctx.Err() != nil:
		p.settle(aborted, cancelText, now)
	case err != nil:
		p.settle(failed, failureText(err), now)
	default:
		p.rows, p.hasResult, p.result = outcome.rows, outcome.result != nil, outcome.result
		p.settle(finished, "", now)
	}
	return err
}

type outcome struct {
	rows   int64 // returned, or changed
	result *result
}

// query sends the SQL and records what comes back.
func (h *Handler) query(st *statement, p *piece, conn *pgconn.PgConn) (outcome, error) {
	names, values := bound(p.sql, st.parameters)
	sql, err := postgres.Translate(p.sql, names...)
	if err != nil {
		return outcome{}, err
	}
	if st.ctx.Err() != nil {
		return outcome{}, st.ctx.Err()
	}
	ended := cancelWith(st.ctx, conn)
	reader := conn.ExecParams(context.Background(), sql, values, nil, nil, nil)
	fields := slices.Clone(reader.FieldDescriptions()) // the connection reuses its own
	recorder := h.newRecorder(st.format, fields)
	overflow := error(nil)
	for reader.NextRow() {
		if overflow != nil {
			continue // read on to the end of the cancelled query
		}
		if overflow = recorder.row(reader.Values()); overflow != nil {
			cancelQuery(conn)
		}
	}
	tag, err := reader.Close()
	ended()
	if overflow != nil {
		err = overflow // and not the cancellation that followed
	}
	if err != nil {
		recorder.discard()
		return outcome{}, err
	}
	if len(fields) == 0 {
		return outcome{rows: tag.RowsAffected()}, nil
	}
	result, err := recorder.finish()
	if err != nil {
		return outcome{}, err
	}
	if err := describeOrigins(conn, fields, result.columns); err != nil {
		return outcome{}, err
	}
	return outcome{rows: result.rows, result: result}, nil
}

// bound picks the parameters that a statement of a batch uses, in the order in which they get
// their numbers. They travel beside the SQL, as text of a type that the database infers.
func bound(sql string, parameters []parameter) (names []string, values [][]byte) {
	for _, name := range postgres.Parameters(sql) {
		for _, p := range parameters {
			if p.Name == name {
				names = append(names, name)
				values = append(values, []byte(p.Value))
			}
		}
	}
	return names, values
}

// cancelWith cancels the running query in the database when ctx ends, and asks again until the
// query has ended: a cancellation that arrives before the query does is lost. The function that
// it returns must be called before the connection is used again, and only once: a cancellation
// under way would hit the next query.
func cancelWith(ctx context.Context, conn *pgconn.PgConn) (ended func()) {
	over, canceled := make(chan struct{}), make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(canceled)
		for {
			cancelQuery(conn)
			select {
			case <-over:
				return
			case <-time.After(cancelAgain):
			}
		}
	})
	return func() {
		close(over)
		if !stop() {
			<-canceled
		}
	}
}

const cancelAgain = 50 * time.Millisecond

func cancelQuery(conn *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), closingPatience)
	defer cancel()
	_ = conn.CancelRequest(ctx) // best effort, as the protocol has it
}

const cancelText = "ERROR: Query cancelled on user's request"

// failureText is the Error of a failed statement, as JDBC words it, without an SQLSTATE and
// without a position (the translation may have moved it).
func failureText(err error) string {
	var login *postgres.LoginError
	var refusal *pgconn.PgError
	switch {
	case errors.As(err, &login):
		return login.Error()
	case errors.As(err, &refusal):
		text := refusal.Severity + ": " + refusal.Message
		if refusal.Detail != "" {
			text += "\n  Detail: " + refusal.Detail
		}
		if refusal.Hint != "" {
			text += "\n  Hint: " + refusal.Hint
		}
		return text
	default:
		return "ERROR: " + strings.TrimPrefix(err.Error(), "ERROR: ")
	}
}
