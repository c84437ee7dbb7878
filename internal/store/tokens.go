package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

// Code gives an authorization code, redeemed or not, or grant.ErrNotFound.
func (s *Store) Code(ctx context.Context, tenant string, hash grant.Hash) (grant.Code, error) {
	var c grant.Code
	row := s.readers.QueryRowContext(ctx, `SELECT tenant, hash, grant_id, app_id, redirect_uri, challenge, nonce, scopes, auth_time, created_at, expires_at, redeemed_at
		FROM codes WHERE tenant = $1 AND hash = $2`, tenant, hash[:])
	err := scan(row, &c.Tenant, hashColumn{&c.Hash}, &c.GrantID, &c.AppID, &c.RedirectURI, &c.Challenge, &c.Nonce, scopesColumn{&c.Scopes},
		timeColumn{&c.AuthTime}, timeColumn{&c.CreatedAt}, timeColumn{&c.ExpiresAt}, timeColumn{&c.RedeemedAt})
	if err != nil {
		return grant.Code{}, fmt.Errorf("look up code: %w", err)
	}
	return c, nil
}

// RedeemCode marks a code as redeemed and keeps what it was traded for, all or nothing.
// grant.ErrConflict means that it was redeemed before.
func (s *Store) RedeemCode(ctx context.Context, code grant.Code, at time.Time, access grant.Issued, family *grant.Family) error {
	return s.writer.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		redeemed, err := exec(ctx, tx, `UPDATE codes SET redeemed_at = $1 WHERE tenant = $2 AND hash = $3 AND redeemed_at = 0`, millis(at), code.Tenant, code.Hash[:])
		if err != nil {
			return err
		}
		if redeemed == 0 {
			return grant.ErrConflict
		}
		if family != nil {
			if err := insertFamily(ctx, tx, code.Tenant, family); err != nil {
				return err
			}
		}
		return insertAccess(ctx, tx, access)
	})
}

func insertAccess(ctx context.Context, tx *sql.Tx, access grant.Issued) error {
	_, err := exec(ctx, tx, `INSERT INTO access_tokens (tenant, hash, grant_id, family_id, scopes, created_at, expires_at, revoked_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 0)`,
		access.Tenant, access.Hash[:], access.GrantID, access.FamilyID, access.Scopes.String(), millis(access.CreatedAt), millis(access.ExpiresAt))
	return err
}

func insertFamily(ctx context.Context, tx *sql.Tx, tenant string, f *grant.Family) error {
	_, err := exec(ctx, tx, `INSERT INTO families (tenant, id, grant_id, app_id, scopes, generation, current_hash, previous, key_id, rotated_at, created_at, idle_until, expires_at, revoked_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0)`,
		tenant, f.ID, f.GrantID, f.AppID, f.Scopes.String(), f.Generation, f.Current[:], f.Previous[:], f.KeyID,
		millis(f.RotatedAt), millis(f.CreatedAt), millis(f.IdleUntil), millis(f.ExpiresAt))
	if err != nil {
		return err
	}
	return insertRefresh(ctx, tx, tenant, f.Current, f.ID, f.ExpiresAt)
}

func insertRefresh(ctx context.Context, tx *sql.Tx, tenant string, hash grant.Hash, family string, expires time.Time) error {
	_, err := exec(ctx, tx, `INSERT INTO refresh_tokens (tenant, hash, family_id, expires_at) VALUES ($1, $2, $3, $4)`, tenant, hash[:], family, millis(expires))
	return err
}

// Access gives what an access token stands for: the token, its grant, person and app in one
// look-up. It judges only whether the token itself was revoked (grant.ErrRevoked); expiry, and
// the state of the grant, the person and the app, are the caller's to judge. A token whose app
// or person is gone is grant.ErrNotFound.
func (s *Store) Access(ctx context.Context, tenant string, hash grant.Hash) (*grant.Access, error) {
	access := &grant.Access{}
	var revokedAt time.Time
	fields := []any{scopesColumn{&access.Scopes}, timeColumn{&access.ExpiresAt}, timeColumn{&revokedAt}}
	fields = append(fields, grantFields(&access.Grant)...)
	fields = append(fields, personFields(&access.Person)...)
	fields = append(fields, appFields(&access.App)...)
	row := s.readers.QueryRowContext(ctx, `SELECT t.scopes, t.expires_at, t.revoked_at, `+grantColumns+`, `+personColumns+`, `+appColumns+`
		FROM access_tokens t
		JOIN grants g ON g.tenant = t.tenant AND g.id = t.grant_id
		JOIN people p ON p.tenant = g.tenant AND p.id = g.person_id
		JOIN apps a ON a.tenant = g.tenant AND a.id = g.app_id
		WHERE t.tenant = $1 AND t.hash = $2`, tenant, hash[:])
	if err := scan(row, fields...); err != nil {
		return nil, fmt.Errorf("look up access token: %w", err)
	}
	if !revokedAt.IsZero() {
		return nil, grant.ErrRevoked
	}
	return access, nil
}

// RevokeAccess ends one access token. One that is not there, or ended before, is no error.
func (s *Store) RevokeAccess(ctx context.Context, tenant string, hash grant.Hash, at time.Time) error {
	return s.writer.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := exec(ctx, tx, `UPDATE access_tokens SET revoked_at = $1 WHERE tenant = $2 AND hash = $3 AND revoked_at = 0`, millis(at), tenant, hash[:])
		return err
	})
}

// FamilyOf finds the family of a refresh token of any generation, or returns grant.ErrNotFound.
func (s *Store) FamilyOf(ctx context.Context, tenant string, refresh grant.Hash) (grant.Family, error) {
	var f grant.Family
	row := s.readers.QueryRowContext(ctx, `SELECT f.id, f.grant_id, f.app_id, f.scopes, f.generation, f.current_hash, f.previous, f.key_id,
			f.rotated_at, f.created_at, f.idle_until, f.expires_at, f.revoked_at
		FROM refresh_tokens r JOIN families f ON f.tenant = r.tenant AND f.id = r.family_id
		WHERE r.tenant = $1 AND r.hash = $2`, tenant, refresh[:])
	err := scan(row, &f.ID, &f.GrantID, &f.AppID, scopesColumn{&f.Scopes}, &f.Generation, hashColumn{&f.Current}, hashColumn{&f.Previous}, &f.KeyID,
		timeColumn{&f.RotatedAt}, timeColumn{&f.CreatedAt}, timeColumn{&f.IdleUntil}, timeColumn{&f.ExpiresAt}, timeColumn{&f.RevokedAt})
	if err != nil {
		return grant.Family{}, fmt.Errorf("look up refresh token: %w", err)
	}
	return f, nil
}

// Rotate makes the next generation current, if the family still is at the generation that the
// caller saw and alive; otherwise grant.ErrConflict, and nothing has changed.
func (s *Store) Rotate(ctx context.Context, family grant.Family, next grant.Hash, at, idleUntil time.Time, keyID string, access grant.Issued) error {
	return s.writer.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		moved, err := exec(ctx, tx, `UPDATE families SET previous = current_hash, current_hash = $1, generation = generation + 1, key_id = $2, rotated_at = $3, idle_until = $4
			WHERE tenant = $5 AND id = $6 AND generation = $7 AND revoked_at = 0`,
			next[:], keyID, millis(at), millis(idleUntil), access.Tenant, family.ID, family.Generation)
		if err != nil {
			return err
		}
		if moved == 0 {
			return grant.ErrConflict
		}
		if err := insertRefresh(ctx, tx, access.Tenant, next, family.ID, family.ExpiresAt); err != nil {
			return err
		}
		return insertAccess(ctx, tx, access)
	})
}

// Reissue keeps one more access token of a family, for an answer that is given again. It
// returns grant.ErrRevoked when the family or the grant has ended.
func (s *Store) Reissue(ctx context.Context, access grant.Issued) error {
	return s.writer.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		added, err := exec(ctx, tx, `INSERT INTO access_tokens (tenant, hash, grant_id, family_id, scopes, created_at, expires_at, revoked_at)
			SELECT $1, $2, $3, $4, $5, $6, $7, 0 FROM families f JOIN grants g ON g.tenant = f.tenant AND g.id = f.grant_id
			WHERE f.tenant = $8 AND f.id = $9 AND f.revoked_at = 0 AND g.revoked_at = 0`,
			access.Tenant, access.Hash[:], access.GrantID, access.FamilyID, access.Scopes.String(), millis(access.CreatedAt), millis(access.ExpiresAt),
			access.Tenant, access.FamilyID)
		if err == nil && added == 0 {
			return grant.ErrRevoked
		}
		return err
	})
}

// RevokeFamily ends a family of refresh tokens and its grant, and so all access tokens.
func (s *Store) RevokeFamily(ctx context.Context, tenant, id, why string, at time.Time) error {
	return s.writer.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := exec(ctx, tx, `UPDATE families SET revoked_at = $1 WHERE tenant = $2 AND id = $3 AND revoked_at = 0`, millis(at), tenant, id); err != nil {
			return err
		}
		return revokeGrants(ctx, tx, at, why, `tenant = $3 AND id IN (SELECT grant_id FROM families WHERE tenant = $4 AND id = $5)`, tenant, tenant, id)
	})
}
