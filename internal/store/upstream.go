package store

import (
	"bytes"
	"context"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

const upstreamColumns = `tenant, person_id, upstream, generation, sealed, key_version, checked_at, failing_since, retry_at,
	fence, holder, lease_until, attempt_at, ended_at`

func intoUpstream(u *grant.UpstreamToken) []any {
	return []any{
		&u.Tenant, &u.PersonID, &u.Upstream, &u.Generation, &u.Sealed, &u.KeyVersion,
		timeColumn{&u.CheckedAt},
		timeColumn{&u.FailingSince},
		timeColumn{&u.RetryAt},
		&u.Fence, &u.Holder,
		timeColumn{&u.LeaseUntil},
		timeColumn{&u.AttemptAt},
		timeColumn{&u.EndedAt},
	}
}

// UpstreamToken finds what there is to ask about a person with.
func (s *Store) UpstreamToken(ctx context.Context, tenant, personID string) (grant.UpstreamToken, error) {
	var u grant.UpstreamToken
	err := s.read(ctx, "find upstream token", func(t *tx) error {
		return t.row(intoUpstream(&u), `SELECT `+upstreamColumns+` FROM upstream_tokens WHERE tenant = $1 AND person_id = $2`, tenant, personID)
	})
	return u, err
}

// KeepUpstream keeps the token of a sign-in, whose generation follows the one that there was. It
// takes any lease away: who is asking with the token before writes nothing more. It answers
// grant.ErrConflict when another generation came first.
func (s *Store) KeepUpstream(ctx context.Context, u grant.UpstreamToken) error {
	values := []any{u.Tenant, u.PersonID, u.Upstream, u.Generation, bytes.Clone(u.Sealed), u.KeyVersion, milliseconds(u.CheckedAt)}
	before := u.Generation - 1
	return s.write(ctx, "keep upstream token", func(t *tx) error {
		if u.Generation == 1 {
			return t.one(grant.ErrConflict, `INSERT INTO upstream_tokens (`+upstreamColumns+`)
				VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, 1, '', 0, 0, 0) ON CONFLICT (tenant, person_id) DO NOTHING`, values...)
		}
		return t.one(grant.ErrConflict, `UPDATE upstream_tokens SET upstream = $3, generation = $4, sealed = $5, key_version = $6, checked_at = $7,
			failing_since = 0, retry_at = 0, fence = fence + 1, holder = '', lease_until = 0, attempt_at = 0, ended_at = 0
			WHERE tenant = $1 AND person_id = $2 AND generation = $8`, append(values, before)...)
	})
}

// VouchUpstream keeps that a person has just signed in at an upstream that gave no new token: a
// token that still works was checked by that, and one that has ended is forgotten.
func (s *Store) VouchUpstream(ctx context.Context, tenant, personID string, at time.Time) error {
	return s.write(ctx, "keep upstream check", func(t *tx) error {
		if _, err := t.exec(`DELETE FROM upstream_tokens WHERE tenant = $1 AND person_id = $2 AND ended_at > 0`, tenant, personID); err != nil {
			return err
		}
		_, err := t.exec(`UPDATE upstream_tokens SET checked_at = $1 WHERE tenant = $2 AND person_id = $3`, milliseconds(at), tenant, personID)
		return err
	})
}

// LeaseUpstream lets one holder ask, until a time: it takes the lease from the one who was seen
// in u, if that is over, and writes that a call begins. It returns the fence with which the
// holder writes how it ended, or answers grant.ErrConflict when somebody else was first.
func (s *Store) LeaseUpstream(ctx context.Context, u grant.UpstreamToken, holder string, now, until time.Time) (fence int64, err error) {
	err = s.write(ctx, "lease upstream token", func(t *tx) error {
		fence = u.Fence + 1
		return t.one(grant.ErrConflict, `UPDATE upstream_tokens SET fence = fence + 1, holder = $1, lease_until = $2, attempt_at = $3
			WHERE tenant = $4 AND person_id = $5 AND fence = $6 AND generation = $7 AND ended_at = 0 AND lease_until <= $3`,
			holder, milliseconds(until), milliseconds(now), u.Tenant, u.PersonID, u.Fence, u.Generation)
	})
	return fence, err
}

// CommitUpstream keeps the answer of the upstream: the fields Generation, Sealed, KeyVersion and
// CheckedAt of next. It answers grant.ErrConflict when the fence of next is not the newest.
func (s *Store) CommitUpstream(ctx context.Context, next grant.UpstreamToken) error {
	sealed := bytes.Clone(next.Sealed)
	return s.write(ctx, "commit upstream token", func(t *tx) error {
		return t.one(grant.ErrConflict, `UPDATE upstream_tokens SET generation = $1, sealed = $2, key_version = $3, checked_at = $4,
			failing_since = 0, retry_at = 0, holder = '', lease_until = 0, attempt_at = 0
			WHERE tenant = $5 AND person_id = $6 AND fence = $7 AND lease_until > 0`,
			next.Generation, sealed, next.KeyVersion, milliseconds(next.CheckedAt), next.Tenant, next.PersonID, next.Fence)
	})
}

// FailUpstream gives the lease back after a call that came to nothing. That a call was begun
// stays written: the upstream may have used the token up.
func (s *Store) FailUpstream(ctx context.Context, u grant.UpstreamToken, at, retryAt time.Time) error {
	return s.write(ctx, "give upstream lease back", func(t *tx) error {
		return t.one(grant.ErrConflict, `UPDATE upstream_tokens SET holder = '', lease_until = 0, retry_at = $1,
			failing_since = CASE WHEN failing_since = 0 THEN $2 ELSE failing_since END
			WHERE tenant = $3 AND person_id = $4 AND fence = $5`, milliseconds(retryAt), milliseconds(at), u.Tenant, u.PersonID, u.Fence)
	})
}

// EndUpstream keeps that the upstream no longer vouches for a person: their grants and browser
// sessions end with it. It tells how many grants those were.
func (s *Store) EndUpstream(ctx context.Context, u grant.UpstreamToken, why string, at time.Time) (int, error) {
	var revoked int64
	err := s.write(ctx, "end upstream token", func(t *tx) error {
		err := t.one(grant.ErrConflict, `UPDATE upstream_tokens SET ended_at = $1, holder = '', lease_until = 0
			WHERE tenant = $2 AND person_id = $3 AND fence = $4`, milliseconds(at), u.Tenant, u.PersonID, u.Fence)
		if err != nil {
			return err
		}
		if _, err := t.exec(`UPDATE people SET signed_out_at = $1 WHERE tenant = $2 AND id = $3`, milliseconds(at), u.Tenant, u.PersonID); err != nil {
			return err
		}
		revoked, err = t.exec(`UPDATE grants SET revoked_at = $1, revoked_why = $2 WHERE tenant = $3 AND person_id = $4 AND revoked_at = 0`,
			milliseconds(at), why, u.Tenant, u.PersonID)
		return err
	})
	return int(revoked), err
}

// UpstreamTokensToReseal gives some tokens that an older key than the newest has sealed, those
// that follow a tenant's person.
func (s *Store) UpstreamTokensToReseal(ctx context.Context, newest int64, tenant, personID string, limit int) ([]grant.UpstreamToken, error) {
	var tokens []grant.UpstreamToken
	err := s.read(ctx, "find upstream tokens to seal again", func(t *tx) error {
		return t.rows(func(scan func(...any) error) error {
			var u grant.UpstreamToken
			err := scan(intoUpstream(&u)...)
			tokens = append(tokens, u)
			return err
		}, `SELECT `+upstreamColumns+` FROM upstream_tokens WHERE key_version < $1 AND ended_at = 0 AND (tenant, person_id) > ($2, $3)
			ORDER BY tenant, person_id LIMIT $4`, newest, tenant, personID, limit)
	})
	return tokens, err
}

// ResealUpstream keeps the same token sealed by another key. It answers grant.ErrConflict when
// there is another token by now.
func (s *Store) ResealUpstream(ctx context.Context, u grant.UpstreamToken) error {
	sealed := bytes.Clone(u.Sealed)
	return s.write(ctx, "seal upstream token again", func(t *tx) error {
		return t.one(grant.ErrConflict, `UPDATE upstream_tokens SET sealed = $1, key_version = $2
			WHERE tenant = $3 AND person_id = $4 AND generation = $5 AND key_version < $2`, sealed, u.KeyVersion, u.Tenant, u.PersonID, u.Generation)
	})
}
