package store

import (
	"context"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

const grantColumns = `grants.tenant, grants.id, grants.app_id, grants.person_id, grants.warehouse, grants.scopes, grants.limits,
	grants.created_at, grants.expires_at, grants.revoked_at, grants.revoked_why`

func intoGrant(g *grant.Grant) []any {
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

// CreateGrant keeps a consent and the code that answers it. It answers grant.ErrConflict when
// the consent is there already, or the app was removed in the meantime.
func (s *Store) CreateGrant(ctx context.Context, g grant.Grant, code grant.Code) error {
	kept, err := rowOfGrant(g)
	if err != nil {
		return err
	}
	return s.chain(ctx, "create grant", grant.ErrConflict, statement{
		query: `INSERT INTO ` + kept.into + `
			SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11 FROM apps WHERE apps.tenant = $12 AND apps.id = $13`,
		share: "apps", end: ` ON CONFLICT (tenant, id) DO NOTHING`, args: append(kept.values, g.Tenant, g.AppID),
	}, rowOfCode(code))
}

func rowOfGrant(g grant.Grant) (row, error) {
	unlimited := !g.Limits.ReadOnly && len(g.Limits.Schemas) == 0 && g.Limits.MaxRows == 0 && g.Limits.MaxBytes == 0
	limits, err := jsonText(g.Limits, unlimited)
	return row{`grants (tenant, id, app_id, person_id, warehouse, scopes, limits, created_at, expires_at, revoked_at, revoked_why)`, []any{
		g.Tenant, g.ID, g.AppID, g.PersonID, g.Warehouse, g.Scopes.String(), limits,
		milliseconds(g.CreatedAt), milliseconds(g.ExpiresAt), milliseconds(g.RevokedAt), g.RevokedWhy,
	}}, err
}

func rowOfCode(code grant.Code) row {
	return row{`codes (tenant, hash, grant_id, app_id, redirect_uri, challenge, nonce, scopes, auth_time, created_at, expires_at, redeemed_at)`, []any{
		code.Tenant, code.Hash[:], code.GrantID, code.AppID, code.RedirectURI, code.Challenge, code.Nonce, code.Scopes.String(),
		milliseconds(code.AuthTime), milliseconds(code.CreatedAt), milliseconds(code.ExpiresAt), milliseconds(code.RedeemedAt),
	}}
}

// Grant finds a grant, alive or not.
func (s *Store) Grant(ctx context.Context, tenant, id string) (grant.Grant, error) {
	var g grant.Grant
	err := s.read(ctx, "find grant", func(t *tx) error {
		return t.row(intoGrant(&g), `SELECT `+grantColumns+` FROM grants WHERE grants.tenant = $1 AND grants.id = $2`, tenant, id)
	})
	return g, err
}

// What is looked up with everything that a grant has given.

const standingColumns = grantColumns + `, ` + personColumns

func intoStanding(s *grant.Standing) []any {
	return append(intoGrant(&s.Grant), intoPerson(&s.Person)...)
}

// joinStanding joins the grant of a table's rows, and its person.
func joinStanding(table string) string {
	return ` JOIN grants ON grants.tenant = ` + table + `.tenant AND grants.id = ` + table + `.grant_id
			JOIN people ON people.tenant = grants.tenant AND people.id = grants.person_id `
}

// Grants lists a person's grants that are alive, the newest first.
func (s *Store) Grants(ctx context.Context, tenant, personID string) ([]grant.Grant, error) {
	var grants []grant.Grant
	err := s.read(ctx, "list grants", func(t *tx) error {
		return t.rows(func(scan func(...any) error) error {
			var g grant.Grant
			err := scan(intoGrant(&g)...)
			grants = append(grants, g)
			return err
		}, `SELECT `+grantColumns+` FROM grants WHERE grants.tenant = $1 AND grants.person_id = $2
			AND grants.revoked_at = 0 AND (grants.expires_at = 0 OR grants.expires_at > CAST($3 AS BIGINT))
			ORDER BY grants.created_at DESC, grants.id`, tenant, personID, milliseconds(s.now()))
	})
	return grants, err
}

// A bare parameter in these two beside the partial index on expires_at, or as a LIMIT, makes SQLite
// plan the query anew for each value; an expression does not.

// RecentGrants lists a person's living grants of one app on one warehouse, the newest first and
// only a few of them: an app that signs people in often makes many.
func (s *Store) RecentGrants(ctx context.Context, tenant, personID, appID, warehouse string) ([]grant.Grant, error) {
	var grants []grant.Grant
	err := s.read(ctx, "list recent grants", func(t *tx) error {
		return t.rows(func(scan func(...any) error) error {
			var g grant.Grant
			err := scan(intoGrant(&g)...)
			grants = append(grants, g)
			return err
		}, `SELECT `+grantColumns+` FROM grants WHERE grants.tenant = $1 AND grants.person_id = $2 AND grants.app_id = $3 AND grants.warehouse = $4
			AND grants.revoked_at = 0 AND (grants.expires_at = 0 OR grants.expires_at > CAST($5 AS BIGINT))
			ORDER BY grants.created_at DESC LIMIT 4`, tenant, personID, appID, warehouse, milliseconds(s.now()))
	})
	return grants, err
}

// RevokeGrant ends a grant and with it everything that descends from it. One that is revoked
// already stays as it is.
func (s *Store) RevokeGrant(ctx context.Context, tenant, id, why string, at time.Time) error {
	return s.write(ctx, "revoke grant", func(t *tx) error {
		return revoke(t, tenant, id, why, at)
	})
}

// revoke is the one way in which codes, families and tokens die before their time: all of them
// are looked up together with their grant.
func revoke(t *tx, tenant, grantID, why string, at time.Time) error {
	changed, err := t.exec(`UPDATE grants SET revoked_at = $1, revoked_why = $2 WHERE tenant = $3 AND id = $4 AND revoked_at = 0`,
		milliseconds(at), why, tenant, grantID)
	if err != nil || changed > 0 {
		return err
	}
	var found int64
	return t.row([]any{&found}, `SELECT 1 FROM grants WHERE tenant = $1 AND id = $2`, tenant, grantID)
}
