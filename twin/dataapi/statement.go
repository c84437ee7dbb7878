package dataapi

import (
	"context"
	"slices"
	"time"
)

// The states of a statement.
const (
	submitted = "SUBMITTED"
	picked    = "PICKED"
	started   = "STARTED"
	finished  = "FINISHED"
	failed    = "FAILED"
	aborted   = "ABORTED"
)

func final(status string) bool { return status == finished || status == failed || status == aborted }

// A target is where and as whom a statement runs.
type target struct {
	cluster   string // or
	workgroup string
	database  string
	user      string
	server    Database
}

func (t target) warehouse() string { return t.cluster + "|" + t.workgroup }

type parameter struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// A statement is one call of ExecuteStatement or BatchExecuteStatement. The handler's mutex
// guards what changes.
type statement struct {
	id         string
	caller     Caller
	target     target
	name       string
	format     string // JSON or CSV
	parameters []parameter
	batch      bool
	mode       string // of a batch: TRANSACTION or AUTO_COMMIT
	session    *session

	ctx    context.Context // ends when the statement is cancelled
	cancel context.CancelFunc
	done   chan struct{} // closed when it is final

	status   string
	failure  string
	created  time.Time
	updated  time.Time
	duration time.Duration
	pid      uint32
	waiters  int
	pieces   []*piece
}

// A piece is one SQL statement: the only one of ExecuteStatement, or one of a batch.
type piece struct {
	id   string
	sql  string
	done chan struct{}

	status    string
	failure   string
	created   time.Time
	updated   time.Time
	duration  time.Duration
	queryID   int64 // 0 until it runs
	queryUUID string
	rows      int64 // -1: not known
	hasResult bool
	result    *result
}

func (p *piece) size() int64 {
	if p.result == nil {
		return -1
	}
	return p.result.bytes
}

// settle makes a piece final.
func (p *piece) settle(status, failure string, at time.Time) {
	if final(p.status) {
		return
	}
	p.status, p.failure, p.updated = status, failure, at
	close(p.done)
}

// remembered is what a ClientToken stands for.
type remembered struct {
	request string // everything that decides what the statement does
	id      string
	expires time.Time
}

// find gives a caller's own statement, and its piece where the id names one. An id of another
// role does not exist; one of another session of the same role is refused by the policy's owner
// condition.
func (h *Handler) find(caller Caller, id, action string) (*statement, *piece, error) {
	if !isStatementID(id) {
		return nil, nil, constraint(id, "id", `satisfy regular expression pattern: [a-z0-9]{8}(-[a-z0-9]{4}){3}-[a-z0-9]{12}(:\d{0,2})?`)
	}
	h.expire()
	st := h.statements[id[:uuidLength]]
	if st == nil || st.caller.Account != caller.Account || st.caller.RoleName != caller.RoleName {
		return nil, nil, notFound(id, "Query does not exist.")
	}
	if st.caller.UserID != caller.UserID {
		return nil, nil, denied(caller, "redshift-data:"+action, "")
	}
	if len(id) == uuidLength {
		return st, nil, nil
	}
	i := slices.IndexFunc(st.pieces, func(p *piece) bool { return st.batch && p.id == id })
	if i < 0 {
		return nil, nil, notFound(id, "Query does not exist.")
	}
	return st, st.pieces[i], nil
}

const uuidLength = 36

// isStatementID checks a UUID with an optional :n.
func isStatementID(id string) bool {
	if len(id) < uuidLength || len(id) > uuidLength+3 || len(id) == uuidLength+1 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case i == uuidLength:
			if c != ':' {
				return false
			}
		case i > uuidLength:
			if c < '0' || c > '9' {
				return false
			}
		case (c < 'a' || c > 'z') && (c < '0' || c > '9'):
			return false
		}
	}
	return true
}

// wait waits until done is closed, or the time given by WaitTimeSeconds is over, or the caller
// has gone. The mutex is not held.
func (h *Handler) wait(ctx context.Context, st *statement, done <-chan struct{}, seconds *int) error {
	if seconds == nil {
		return nil
	}
	if *seconds < 1 {
		return constraint(*seconds, "waitTimeSeconds", "have value greater than or equal to 1")
	}
	if *seconds > 30 {
		return constraint(*seconds, "waitTimeSeconds", "have value less than or equal to 30")
	}
	select {
	case <-done:
		return nil
	default:
	}
	if err := h.addWaiter(st); err != nil {
		return err
	}
	defer h.removeWaiter(st)
	timer := time.NewTimer(time.Duration(*seconds) * time.Second)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	case <-h.stopped.Done():
	}
	return nil
}

func (h *Handler) addWaiter(st *statement) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if st.waiters >= h.config.MaxWaiters {
		return exceeded("ActiveWaitingRequestsExceededException", "The number of active requests with WaitTimeSeconds for the same SQL statement exceeds the limit.")
	}
	st.waiters++
	return nil
}

func (h *Handler) removeWaiter(st *statement) {
	h.mu.Lock()
	defer h.mu.Unlock()
	st.waiters--
}

// expire forgets what is too old, and the oldest finished statements when there are too many.
// The mutex is held.
func (h *Handler) expire() {
	now := h.config.Now()
	h.order = slices.DeleteFunc(h.order, func(st *statement) bool {
		excess := len(h.statements) > maxStatements && final(st.status)
		if !excess && now.Sub(st.created) < retention {
			return false
		}
		h.forget(st)
		return true
	})
	for token, remembered := range h.idempotent {
		if !now.Before(remembered.expires) {
			delete(h.idempotent, token)
		}
	}
	for _, session := range h.sessions {
		if session.overdue(now) {
			h.closeSession(session)
		}
		if session.closed && now.Sub(session.updated) >= retention {
			delete(h.sessions, session.id)
		}
	}
}

// forget drops a statement with its results, and stops it should it still run.
func (h *Handler) forget(st *statement) {
	st.cancel()
	delete(h.statements, st.id)
	for _, piece := range st.pieces {
		if piece.result != nil {
			h.spool.drop(piece.result)
		}
	}
}
