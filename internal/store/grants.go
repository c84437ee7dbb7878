package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

const grantColumns = `g.tenant, g.id, g.app_id, g.person_id, g.warehouse, g.scopes, g.limits, g.created_at, g.expires_at, g.revoked_at, g.revoked_why`

func grantFields(g *grant.Grant) []any {
	return []any{
		&g.Tenant, &g.ID, &g.AppID, &g.PersonID, &g.Warehouse,
		scopesColumn{&g.Scopes},
		jsonColumn{&g.Limits},
		timeColumn{&g.CreatedAt},
		timeColumn{&g.ExpiresAt},
		timeColumn{&g.RevokedAt},
		&g.RevokedWhy,
	}
}

// CreateGrant keeps a consent and the code that answers it, both or neither. grant.ErrExists
// means that this consent was given before.
func (s *Store) CreateGrant(ctx context.Context, g grant.Grant, code grant.Code) error {
	limits, err := json.Marshal(g.Limits)
	if err != nil {
		return fmt.Errorf("encode limits: %w", err)
	}
	return s.writer.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		added, err := exec(ctx, tx, `INSERT INTO grants (tenant, id, app_id, person_id, warehouse, scopes, limits, created_at, expires_at, revoked_at, revoked_why)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, '') ON CONFLICT (tenant, id) DO NOTHING`,
			g.Tenant, g.ID, g.AppID, g.PersonID, g.Warehouse, g.Scopes.String(), string(limits), millis(g.CreatedAt), millis(g.ExpiresAt))
		if err != nil {
			return err
		}
		if added == 0 {
			return grant.ErrExists
		}
		_, err = exec(ctx, tx, `INSERT INTO codes (tenant, hash, grant_id, app_id, redirect_uri, challenge, nonce, scopes, auth_time, created_at, expires_at, redeemed_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0)`,
			code.Tenant, code.Hash[:], code.GrantID, code.AppID, code.RedirectURI, code.Challenge, code.Nonce, code.Scopes.String(),
			millis(code.AuthTime), millis(code.CreatedAt), millis(code.ExpiresAt))
		return err
	})
}

// Grant gives a grant, alive or not, or grant.ErrNotFound.
func (s *Store) Grant(ctx context.Context, tenant, id string) (grant.Grant, error) {
	var g grant.Grant
	row := s.readers.QueryRowContext(ctx, `SELECT `+grantColumns+` FROM grants g WHERE g.tenant = $1 AND g.id = $2`, tenant, id)
	if err := scan(row, grantFields(&g)...); err != nil {
		return grant.Grant{}, fmt.Errorf("look up grant: %w", err)
	}
	return g, nil
}

// Grants gives a person's grants that were not revoked, the newest first.
func (s *Store) Grants(ctx context.Context, tenant, personID string) ([]grant.Grant, error) {
	return list(ctx, s.readers, func(rows *sql.Rows) (grant.Grant, error) {
		var g grant.Grant
		return g, scan(rows, grantFields(&g)...)
	}, `SELECT `+grantColumns+` FROM grants g WHERE g.tenant = $1 AND g.person_id = $2 AND g.revoked_at = 0 ORDER BY g.created_at DESC, g.id`, tenant, personID)
}

// RevokeGrant ends a grant with all that descends from it. Doing it again changes nothing;
// grant.ErrNotFound means that there never was one.
func (s *Store) RevokeGrant(ctx context.Context, tenant, id, why string, at time.Time) error {
	return s.writer.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var found int
		if err := scan(tx.QueryRowContext(ctx, `SELECT 1 FROM grants WHERE tenant = $1 AND id = $2`, tenant, id), &found); err != nil {
			return err
		}
		return revokeGrants(ctx, tx, at, why, `tenant = $3 AND id = $4`, tenant, id)
	})
}

// revokeGrants ends the living grants that a condition names; its parameters start at $3.
// Tokens need no row of their own changed: each look-up judges the grant too.
func revokeGrants(ctx context.Context, tx *sql.Tx, at time.Time, why, condition string, arguments ...any) error {
	_, err := exec(ctx, tx, `UPDATE grants SET revoked_at = $1, revoked_why = $2 WHERE `+condition+` AND revoked_at = 0`,
		append([]any{millis(at), why}, arguments...)...)
	return err
}
