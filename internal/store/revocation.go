package store

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

// chosen is the condition of a grant.Filter; its parameters are $1 to $5.
const chosen = ` WHERE grants.tenant = $1 AND grants.revoked_at = 0
	AND ($2 = '' OR grants.id = $2) AND ($3 = '' OR grants.app_id = $3)
	AND ($4 = '' OR grants.person_id = $4) AND ($5 = '' OR grants.warehouse = $5)`

// FindGrants lists grants that are alive, the newest first, at most limit of them.
func (s *Store) FindGrants(ctx context.Context, tenant string, f grant.Filter, limit int) ([]grant.Grant, error) {
	var grants []grant.Grant
	err := s.read(ctx, "list grants", func(t *tx) error {
		return t.rows(func(scan func(...any) error) error {
			var g grant.Grant
			err := scan(intoGrant(&g)...)
			grants = append(grants, g)
			return err
		}, `SELECT `+grantColumns+` FROM grants`+chosen+` AND (grants.expires_at = 0 OR grants.expires_at > $6)
			ORDER BY grants.created_at DESC, grants.id LIMIT $7`,
			tenant, f.GrantID, f.AppID, f.PersonID, f.Warehouse, milliseconds(s.now()), limit)
	})
	return grants, err
}

// RevokeGrants ends all grants that a filter chooses, and tells how many those were. The empty
// filter chooses all of the tenant.
func (s *Store) RevokeGrants(ctx context.Context, tenant string, f grant.Filter, why string, at time.Time) (int, error) {
	var changed int64
	err := s.write(ctx, "revoke grants", func(t *tx) (err error) {
		changed, err = t.exec(`UPDATE grants SET revoked_at = $6, revoked_why = $7`+chosen,
			tenant, f.GrantID, f.AppID, f.PersonID, f.Warehouse, milliseconds(at), why)
		return err
	})
	return int(changed), err
}

// People lists everybody of a tenant, by database user.
func (s *Store) People(ctx context.Context, tenant string) ([]grant.Person, error) {
	var people []grant.Person
	err := s.read(ctx, "list people", func(t *tx) error {
		return t.rows(func(scan func(...any) error) error {
			var p grant.Person
			err := scan(intoPerson(&p)...)
			people = append(people, p)
			return err
		}, `SELECT `+personColumns+` FROM people WHERE people.tenant = $1 ORDER BY people.database_user_folded`, tenant)
	})
	return people, err
}

// FindPerson finds a person by id or database user.
func (s *Store) FindPerson(ctx context.Context, tenant, name string) (grant.Person, error) {
	return s.person(ctx, `WHERE people.tenant = $1 AND (people.id = $2 OR people.database_user_folded = $3)`, tenant, name, strings.ToLower(name))
}

// DisablePerson keeps a person out, and ends their browser sessions, so that none comes back
// when they are let in again. Their grants stay, and are good for nothing until then.
func (s *Store) DisablePerson(ctx context.Context, tenant, id string, at time.Time) error {
	return s.write(ctx, "disable person", func(t *tx) error {
		return t.one(grant.ErrNotFound, `UPDATE people SET disabled = 1, signed_out_at = $1 WHERE tenant = $2 AND id = $3`, milliseconds(at), tenant, id)
	})
}

// EnablePerson lets a person in again.
func (s *Store) EnablePerson(ctx context.Context, tenant, id string) error {
	return s.write(ctx, "enable person", func(t *tx) error {
		return t.one(grant.ErrNotFound, `UPDATE people SET disabled = 0 WHERE tenant = $1 AND id = $2`, tenant, id)
	})
}

// SignOutPerson ends the browser sessions of a person that began before.
func (s *Store) SignOutPerson(ctx context.Context, tenant, id string, at time.Time) error {
	return s.write(ctx, "sign person out", func(t *tx) error {
		return t.one(grant.ErrNotFound, `UPDATE people SET signed_out_at = $1 WHERE tenant = $2 AND id = $3`, milliseconds(at), tenant, id)
	})
}

// claimsAtOnce is how many claims one statement looks at. The number of parameters is always
// the same, so that the databases parse it once.
const claimsAtOnce = 64

// Ended tells which of many claims are not good any more: the grant is revoked, expired or gone,
// its person or app disabled or gone, or the token revoked.
func (s *Store) Ended(ctx context.Context, claims []grant.Claim) ([]grant.Claim, error) {
	byTenant := map[string][]grant.Claim{}
	for _, claim := range claims {
		byTenant[claim.Tenant] = append(byTenant[claim.Tenant], claim)
	}
	var ended []grant.Claim
	err := s.read(ctx, "look for ended grants", func(t *tx) error {
		for tenant, all := range byTenant {
			for some := range slices.Chunk(all, claimsAtOnce) {
				found, err := endedOf(t, tenant, some, milliseconds(s.now()))
				if err != nil {
					return err
				}
				ended = append(ended, found...)
			}
		}
		return nil
	})
	return ended, err
}

var endedQuery = `SELECT grants.id, NULL FROM grants
	JOIN people ON people.tenant = grants.tenant AND people.id = grants.person_id
	JOIN apps ON apps.tenant = grants.tenant AND apps.id = grants.app_id
	WHERE grants.tenant = $1 AND grants.revoked_at = 0 AND (grants.expires_at = 0 OR grants.expires_at > $2)
	AND people.disabled = 0 AND apps.disabled = 0 AND grants.id IN (` + placeholders(3) + `)
	UNION ALL SELECT NULL, hash FROM access_tokens
	WHERE tenant = $1 AND revoked_at > 0 AND hash IN (` + placeholders(3+claimsAtOnce) + `)`

func placeholders(first int) string {
	all := make([]string, claimsAtOnce)
	for i := range all {
		all[i] = "$" + strconv.Itoa(first+i)
	}
	return strings.Join(all, ", ")
}

// endedOf asks for the good grants and the revoked tokens in one statement: a grant that is not
// found is no good.
func endedOf(t *tx, tenant string, claims []grant.Claim, now int64) ([]grant.Claim, error) {
	arguments := []any{tenant, now}
	for i := range claimsAtOnce {
		arguments = append(arguments, claims[min(i, len(claims)-1)].GrantID)
	}
	for i := range claimsAtOnce {
		arguments = append(arguments, claims[min(i, len(claims)-1)].Token[:])
	}
	good, revoked := map[string]bool{}, map[grant.Hash]bool{}
	err := t.rows(func(scan func(...any) error) error {
		var id *string
		var token []byte
		if err := scan(&id, &token); err != nil {
			return err
		}
		if id != nil {
			good[*id] = true
			return nil
		}
		var hash grant.Hash
		err := hashColumn{&hash}.Scan(token)
		revoked[hash] = true
		return err
	}, endedQuery, arguments...)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(claims), func(c grant.Claim) bool { return good[c.GrantID] && !revoked[c.Token] }), nil
}
