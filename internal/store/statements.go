package store

import (
	"context"
	"errors"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

// A Statement is one that an app asked for and may ask about again.
type Statement struct {
	ID          string
	Tenant      string
	GrantID     string // its owner, with …
	PersonID    string
	AppID       string
	Warehouse   string
	RemoteID    string     // what the transport knows it by; "" before it was sent
	RequestID   string     // the app's, by which a repeated request is recognised; "" for none
	Fingerprint grant.Hash // of what was asked for
	MaxRows     int64
	CreatedAt   time.Time
	ExpiresAt   time.Time
	CanceledAt  time.Time // zero unless it was canceled
}

const statementColumns = `tenant, id, grant_id, person_id, app_id, warehouse, remote_id, request_id, fingerprint, max_rows,
	created_at, expires_at, canceled_at`

func intoStatement(s *Statement) []any {
	return []any{
		&s.Tenant, &s.ID, &s.GrantID, &s.PersonID, &s.AppID, &s.Warehouse, &s.RemoteID, &s.RequestID,
		hashColumn{&s.Fingerprint},
		&s.MaxRows,
		timeColumn{&s.CreatedAt},
		timeColumn{&s.ExpiresAt},
		timeColumn{&s.CanceledAt},
	}
}

// CreateStatement keeps a new statement. When the grant has one of the same RequestID, it
// returns that one and grant.ErrExists.
func (s *Store) CreateStatement(ctx context.Context, statement Statement) (Statement, error) {
	kept := statement
	err := s.write(ctx, "create statement", func(t *tx) error {
		added, err := t.exec(`INSERT INTO statements (`+statementColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
			ON CONFLICT (tenant, grant_id, request_id) WHERE request_id <> '' DO NOTHING`,
			statement.Tenant, statement.ID, statement.GrantID, statement.PersonID, statement.AppID, statement.Warehouse,
			statement.RemoteID, statement.RequestID, statement.Fingerprint[:], statement.MaxRows,
			milliseconds(statement.CreatedAt), milliseconds(statement.ExpiresAt), milliseconds(statement.CanceledAt))
		if err != nil || added > 0 {
			return err
		}
		err = t.row(intoStatement(&kept), `SELECT `+statementColumns+` FROM statements WHERE tenant = $1 AND grant_id = $2 AND request_id = $3`,
			statement.Tenant, statement.GrantID, statement.RequestID)
		if err != nil {
			return err
		}
		return grant.ErrExists
	})
	if err != nil && !errors.Is(err, grant.ErrExists) {
		return Statement{}, err
	}
	return kept, err
}

// UpdateStatement keeps the remote id and the cancellation, which can be set but not taken
// back.
func (s *Store) UpdateStatement(ctx context.Context, changed Statement) error {
	return s.chain(ctx, "update statement", grant.ErrNotFound, statement{
		query: `UPDATE statements SET remote_id = $1,
			canceled_at = CASE WHEN canceled_at = 0 THEN $2 ELSE canceled_at END WHERE tenant = $3 AND id = $4`,
		args: []any{changed.RemoteID, milliseconds(changed.CanceledAt), changed.Tenant, changed.ID},
	})
}

// Statement finds a statement. Whose it is, is for the caller to check.
func (s *Store) Statement(ctx context.Context, tenant, id string) (Statement, error) {
	var found Statement
	err := s.read(ctx, "find statement", func(t *tx) error {
		return t.row(intoStatement(&found), `SELECT `+statementColumns+` FROM statements WHERE tenant = $1 AND id = $2`, tenant, id)
	})
	return found, err
}
