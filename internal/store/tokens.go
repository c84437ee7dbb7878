package store

import (
	"bytes"
	"context"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

// Code finds an authorization code, redeemed or not, with what it stands for: one look-up and
// not two.
func (s *Store) Code(ctx context.Context, tenant string, hash grant.Hash) (grant.Code, grant.Standing, error) {
	var c grant.Code
	var standing grant.Standing
	err := s.read(ctx, "find code", func(t *tx) error {
		return t.row(append([]any{
			&c.Tenant,
			hashColumn{&c.Hash},
			&c.GrantID, &c.AppID, &c.RedirectURI, &c.Challenge, &c.Nonce,
			scopesColumn{&c.Scopes},
			timeColumn{&c.AuthTime},
			timeColumn{&c.CreatedAt},
			timeColumn{&c.ExpiresAt},
			timeColumn{&c.RedeemedAt},
		}, intoStanding(&standing)...), `SELECT codes.tenant, codes.hash, codes.grant_id, codes.app_id, codes.redirect_uri, codes.challenge, codes.nonce,
			codes.scopes, codes.auth_time, codes.created_at, codes.expires_at, codes.redeemed_at, `+standingColumns+`
			FROM codes`+joinStanding("codes")+`WHERE codes.tenant = $1 AND codes.hash = $2`, tenant, hash[:])
	})
	return c, standing, err
}

// RedeemCode trades a code for an access token and, unless family is nil, a first refresh
// token. It answers grant.ErrConflict when the code was redeemed before, or its grant revoked.
func (s *Store) RedeemCode(ctx context.Context, code grant.Code, at time.Time, access grant.Issued, family *grant.Family) error {
	rows := []row{accessRow(&access)}
	if f := family; f != nil {
		rows = append(rows, row{
			`families (tenant, id, grant_id, app_id, scopes, generation, current_hash, previous_hash, key_id, rotated_at, created_at, idle_until, expires_at)`,
			[]any{
				code.Tenant, f.ID, f.GrantID, f.AppID, f.Scopes.String(), f.Generation, bytes.Clone(f.Current[:]), bytes.Clone(f.Previous[:]), f.KeyID,
				milliseconds(f.RotatedAt), milliseconds(f.CreatedAt), milliseconds(f.IdleUntil), milliseconds(f.ExpiresAt),
			},
		}, refreshRow(code.Tenant, f, f.Current, f.Generation))
	}
	return s.chain(ctx, "redeem code", grant.ErrConflict, statement{
		query: `UPDATE codes SET redeemed_at = $1 WHERE tenant = $2 AND hash = $3 AND redeemed_at = 0
			AND EXISTS (SELECT 1 FROM grants WHERE grants.tenant = codes.tenant AND grants.id = codes.grant_id AND grants.revoked_at = 0)`,
		args: []any{milliseconds(at), code.Tenant, code.Hash[:]},
	}, rows...)
}

// Hashes in rows are copies: the caller's may change once the caller has left the queue.

func accessRow(i *grant.Issued) row {
	return row{`access_tokens (tenant, hash, grant_id, family_id, scopes, created_at, expires_at, revoked_at)`, append(issuedValues(i), int64(0))}
}

func refreshRow(tenant string, f *grant.Family, hash grant.Hash, generation int64) row {
	return row{`refresh_tokens (tenant, hash, family_id, generation, expires_at)`, []any{tenant, hash[:], f.ID, generation, milliseconds(f.ExpiresAt)}}
}

func issuedValues(i *grant.Issued) []any {
	return []any{i.Tenant, bytes.Clone(i.Hash[:]), i.GrantID, i.FamilyID, i.Scopes.String(), milliseconds(i.CreatedAt), milliseconds(i.ExpiresAt)}
}

// Access finds what an access token stands for. It answers grant.ErrRevoked for a token that
// was revoked, alone or with its grant; whether it has expired, and whether person and app are
// in good standing, is for the caller to judge. The app comes without its secrets.
func (s *Store) Access(ctx context.Context, tenant string, hash grant.Hash) (*grant.Access, error) {
	a := &grant.Access{}
	err := s.read(ctx, "find access token", func(t *tx) error {
		var revokedAt int64
		into := []any{scopesColumn{&a.Scopes}, timeColumn{&a.ExpiresAt}, &revokedAt}
		into = append(into, intoGrant(&a.Grant)...)
		into = append(into, intoPerson(&a.Person)...)
		into = append(into, intoApp(&a.App)...)
		err := t.row(into, accessQuery, tenant, hash[:])
		if err == nil && (revokedAt != 0 || !a.Grant.RevokedAt.IsZero()) {
			return grant.ErrRevoked
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

const accessQuery = `SELECT access_tokens.scopes, access_tokens.expires_at, access_tokens.revoked_at, ` +
	grantColumns + `, ` + personColumns + `, ` + appColumns + ` FROM access_tokens
	JOIN grants ON grants.tenant = access_tokens.tenant AND grants.id = access_tokens.grant_id
	JOIN people ON people.tenant = grants.tenant AND people.id = grants.person_id
	JOIN apps ON apps.tenant = grants.tenant AND apps.id = grants.app_id
	WHERE access_tokens.tenant = $1 AND access_tokens.hash = $2`

// RevokeAccess ends one access token. One that is not there is as good as revoked.
func (s *Store) RevokeAccess(ctx context.Context, tenant string, hash grant.Hash, at time.Time) error {
	return s.chain(ctx, "revoke access token", nil, statement{
		query: `UPDATE access_tokens SET revoked_at = $1 WHERE tenant = $2 AND hash = $3 AND revoked_at = 0`,
		args:  []any{milliseconds(at), tenant, hash[:]},
	})
}

// FamilyOf finds the family of a refresh token of any generation, alive or not, with what it stands
// for.
func (s *Store) FamilyOf(ctx context.Context, tenant string, refresh grant.Hash) (grant.Family, grant.Standing, error) {
	var f grant.Family
	var standing grant.Standing
	err := s.read(ctx, "find refresh token", func(t *tx) error {
		return t.row(append([]any{
			&f.ID, &f.GrantID, &f.AppID,
			scopesColumn{&f.Scopes},
			&f.Generation,
			hashColumn{&f.Current},
			hashColumn{&f.Previous},
			&f.KeyID,
			timeColumn{&f.RotatedAt},
			timeColumn{&f.CreatedAt},
			timeColumn{&f.IdleUntil},
			timeColumn{&f.ExpiresAt},
		}, intoStanding(&standing)...), `SELECT families.id, families.grant_id, families.app_id, families.scopes, families.generation, families.current_hash,
			families.previous_hash, families.key_id, families.rotated_at, families.created_at, families.idle_until, families.expires_at, `+standingColumns+`
			FROM refresh_tokens
			JOIN families ON families.tenant = refresh_tokens.tenant AND families.id = refresh_tokens.family_id`+joinStanding("families")+`
			WHERE refresh_tokens.tenant = $1 AND refresh_tokens.hash = $2`, tenant, refresh[:])
	})
	f.RevokedAt = standing.Grant.RevokedAt
	return f, standing, err
}

// Rotate moves a family from the generation that the caller saw to the next, and keeps the
// access token that comes with it. It answers grant.ErrConflict when somebody else was first,
// or the grant was revoked.
func (s *Store) Rotate(ctx context.Context, family grant.Family, next grant.Hash, at, idleUntil time.Time, keyID string, access grant.Issued) error {
	return s.chain(ctx, "rotate refresh token", grant.ErrConflict, statement{
		query: `UPDATE families
			SET generation = generation + 1, previous_hash = current_hash, current_hash = $1, key_id = $2, rotated_at = $3, idle_until = $4
			WHERE tenant = $5 AND id = $6 AND generation = $7
			AND EXISTS (SELECT 1 FROM grants WHERE grants.tenant = families.tenant AND grants.id = families.grant_id AND grants.revoked_at = 0)`,
		args: []any{next[:], keyID, milliseconds(at), milliseconds(idleUntil), access.Tenant, family.ID, family.Generation},
	}, refreshRow(access.Tenant, &family, next, family.Generation+1), accessRow(&access))
}

// Reissue keeps one more access token of a family, or answers grant.ErrRevoked.
func (s *Store) Reissue(ctx context.Context, access grant.Issued) error {
	return s.chain(ctx, "reissue access token", grant.ErrRevoked, statement{
		query: `INSERT INTO access_tokens (tenant, hash, grant_id, family_id, scopes, created_at, expires_at, revoked_at)
			SELECT families.tenant, $1, families.grant_id, families.id, $2, $3, $4, 0
			FROM families JOIN grants ON grants.tenant = families.tenant AND grants.id = families.grant_id
			WHERE families.tenant = $5 AND families.id = $6 AND grants.revoked_at = 0`,
		args: []any{access.Hash[:], access.Scopes.String(), milliseconds(access.CreatedAt), milliseconds(access.ExpiresAt), access.Tenant, access.FamilyID},
	})
}

// RevokeFamily ends a family by ending its grant: whoever holds one of its tokens may hold
// whatever else the grant has given.
func (s *Store) RevokeFamily(ctx context.Context, tenant, id, why string, at time.Time) error {
	return s.write(ctx, "revoke refresh tokens", func(t *tx) error {
		var grantID string
		if err := t.row([]any{&grantID}, `SELECT grant_id FROM families WHERE tenant = $1 AND id = $2`, tenant, id); err != nil {
			return err
		}
		return revoke(t, tenant, grantID, why, at)
	})
}
