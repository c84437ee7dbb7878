package dataapi

import (
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// A session is a database connection that outlives a statement: temporary tables, settings and
// open transactions stay. It runs one statement at a time and queues none. The handler's mutex
// guards it.
type session struct {
	id        string
	caller    Caller
	target    target
	keepAlive time.Duration
	created   time.Time
	updated   time.Time // since when the time to live counts
	current   *statement
	conn      *pgconn.PgConn
	closed    bool
}

func (s *session) status() string {
	switch {
	case s.closed:
		return "CLOSED"
	case s.current != nil:
		return "BUSY"
	default:
		return "AVAILABLE"
	}
}

func (s *session) expires() time.Time { return s.updated.Add(s.keepAlive) }

func (s *session) overdue(now time.Time) bool {
	return !s.closed && s.current == nil && !now.Before(s.expires())
}

// openSession makes a session; its connection comes with the first statement. The mutex is held.
func (h *Handler) openSession(caller Caller, to target, seconds int) (*session, error) {
	if h.config.Quotas.On {
		open := 0
		for _, s := range h.sessions {
			if !s.closed && s.target.warehouse() == to.warehouse() {
				open++
			}
		}
		if open >= h.config.Quotas.sessions() {
			return nil, exceeded("ActiveSessionsExceededException", "Active sessions exceeded the allowed quota (500).")
		}
	}
	now := h.config.Now()
	s := &session{id: newUUID(), caller: caller, target: to, keepAlive: time.Duration(seconds) * time.Second, created: now, updated: now}
	h.sessions[s.id] = s
	return s, nil
}

// joinSession finds the session that a statement wants to run in. The mutex is held.
func (h *Handler) joinSession(caller Caller, request submission) (*session, error) {
	if len(request.sessionID) != uuidLength || !isStatementID(request.sessionID) {
		return nil, constraint(request.sessionID, "sessionId", `satisfy regular expression pattern: [a-z0-9]{8}(-[a-z0-9]{4}){3}-[a-z0-9]{12}(:\d{0,2})?`)
	}
	s := h.sessions[request.sessionID]
	if s == nil || s.caller.Account != caller.Account || s.caller.RoleName != caller.RoleName {
		return nil, notFound(request.sessionID, "Session does not exist.")
	}
	if s.caller.UserID != caller.UserID {
		return nil, denied(caller, "redshift-data:ExecuteStatement", "")
	}
	w := request.where
	switch {
	case s.closed:
		return nil, validation("Session is not available: it has expired or was closed.")
	case s.current != nil:
		// The text is a guess.
		return nil, validation("Session is busy: there is already an active query running in it.")
	case w.ClusterIdentifier != "" && w.ClusterIdentifier != s.target.cluster,
		w.WorkgroupName != "" && workgroupName(w.WorkgroupName) != s.target.workgroup,
		w.Database != "" && w.Database != s.target.database,
		w.DbUser != "" && w.DbUser != s.target.user:
		return nil, validation("The session was opened with another cluster, workgroup, database or database user.")
	}
	if request.keepAlive != nil {
		s.keepAlive = time.Duration(*request.keepAlive) * time.Second
	}
	return s, nil
}

// release ends a statement's hold. A session that is to live 0 seconds, or whose connection has
// gone, ends with it. The mutex is held.
func (h *Handler) release(s *session, st *statement) {
	if s.current == st {
		s.current, s.updated = nil, h.config.Now()
	}
	if s.keepAlive == 0 || s.conn == nil || s.conn.IsClosed() || s.closed {
		h.closeSession(s)
	}
}

// closeSession gives the connection back. The mutex is held.
func (h *Handler) closeSession(s *session) {
	if !s.closed {
		s.closed, s.updated = true, h.config.Now()
	}
	if s.conn != nil && s.current == nil {
		closeConnection(s.conn)
		s.conn = nil
	}
}
