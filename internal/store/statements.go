package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

// A Statement is what is kept of one that an app submitted.
type Statement struct {
	ID          string
	Tenant      string
	GrantID     string
	PersonID    string
	AppID       string
	Warehouse   string
	RemoteID    string     // the transport's id; "" until Redshift took it
	RequestID   string     // the app's own name for it, unique within the grant; "" for none
	Fingerprint grant.Hash // of what was asked for
	MaxRows     int64
	CreatedAt   time.Time
	ExpiresAt   time.Time
	CanceledAt  time.Time
}

const statementColumns = `id, tenant, grant_id, person_id, app_id, warehouse, remote_id, request_id, fingerprint, max_rows, created_at, expires_at, canceled_at`

func statementFields(s *Statement) []any {
	return []any{
		&s.ID, &s.Tenant, &s.GrantID, &s.PersonID, &s.AppID, &s.Warehouse, &s.RemoteID, &s.RequestID,
		hashColumn{&s.Fingerprint},
		&s.MaxRows,
		timeColumn{&s.CreatedAt},
		timeColumn{&s.ExpiresAt},
		timeColumn{&s.CanceledAt},
	}
}

// CreateStatement keeps a new statement. When the grant has one of the same RequestID, it gives
// that one and grant.ErrExists.
func (s *Store) CreateStatement(ctx context.Context, statement Statement) (Statement, error) {
	kept := statement
	err := s.writer.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		added, err := exec(ctx, tx, `INSERT INTO statements (`+statementColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
			ON CONFLICT (tenant, grant_id, request_id) WHERE request_id <> '' DO NOTHING`,
			statement.ID, statement.Tenant, statement.GrantID, statement.PersonID, statement.AppID, statement.Warehouse, statement.RemoteID, statement.RequestID,
			statement.Fingerprint[:], statement.MaxRows, millis(statement.CreatedAt), millis(statement.ExpiresAt), millis(statement.CanceledAt))
		if err != nil || added > 0 {
			return err
		}
		row := tx.QueryRowContext(ctx, `SELECT `+statementColumns+` FROM statements WHERE tenant = $1 AND grant_id = $2 AND request_id = $3`,
			statement.Tenant, statement.GrantID, statement.RequestID)
		if err := scan(row, statementFields(&kept)...); err != nil {
			return err
		}
		return grant.ErrExists
	})
	if err != nil && !errors.Is(err, grant.ErrExists) {
		return Statement{}, fmt.Errorf("keep statement: %w", err)
	}
	return kept, err
}

// UpdateStatement sets RemoteID and CanceledAt, or returns grant.ErrNotFound.
func (s *Store) UpdateStatement(ctx context.Context, statement Statement) error {
	return s.writer.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		changed, err := exec(ctx, tx, `UPDATE statements SET remote_id = $1, canceled_at = $2 WHERE tenant = $3 AND id = $4`,
			statement.RemoteID, millis(statement.CanceledAt), statement.Tenant, statement.ID)
		if err == nil && changed == 0 {
			return grant.ErrNotFound
		}
		return err
	})
}

// Statement gives a statement by its id, or grant.ErrNotFound.
func (s *Store) Statement(ctx context.Context, tenant, id string) (Statement, error) {
	var found Statement
	row := s.readers.QueryRowContext(ctx, `SELECT `+statementColumns+` FROM statements WHERE tenant = $1 AND id = $2`, tenant, id)
	if err := scan(row, statementFields(&found)...); err != nil {
		return Statement{}, fmt.Errorf("look up statement: %w", err)
	}
	return found, nil
}
