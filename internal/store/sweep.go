package store

import (
	"context"
	"time"
)

const (
	// keepTokens is how long codes and tokens stay after they expired, so that a late comer
	// hears "expired" or "used twice" and not "unknown".
	keepTokens = time.Hour
	// keepGrants is how long a grant that ended stays, to tell why it ended.
	keepGrants = 30 * 24 * time.Hour
)

// sweeps lists what is deleted: in $1 a time before which it ended, in $2 how many at most.
var sweeps = []struct {
	query string
	keep  time.Duration
}{
	{`DELETE FROM codes WHERE (tenant, hash) IN (SELECT tenant, hash FROM codes WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)`, keepTokens},
	{`DELETE FROM devices WHERE (tenant, hash) IN (SELECT tenant, hash FROM devices WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)`, keepTokens},
	{`DELETE FROM access_tokens WHERE (tenant, hash) IN (SELECT tenant, hash FROM access_tokens WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)`, keepTokens},
	{`DELETE FROM refresh_tokens WHERE (tenant, hash) IN (SELECT tenant, hash FROM refresh_tokens WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)`, keepTokens},
	{`DELETE FROM families WHERE (tenant, id) IN (SELECT tenant, id FROM families WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)`, keepTokens},
	{`DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)`, 0},
	{`DELETE FROM statements WHERE (tenant, id) IN (SELECT tenant, id FROM statements WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)`, 0},
	{`DELETE FROM grants WHERE (tenant, id) IN (SELECT tenant, id FROM grants WHERE expires_at > 0 AND expires_at < $1 ORDER BY expires_at LIMIT $2)`, keepGrants},
	{`DELETE FROM grants WHERE (tenant, id) IN (SELECT tenant, id FROM grants WHERE revoked_at > 0 AND revoked_at < $1 ORDER BY revoked_at LIMIT $2)`, keepGrants},
}

// Sweep deletes what has ended, at most limit rows in one transaction, so that nobody waits
// long behind it. It goes on until nothing is left or ctx ends.
func (s *Store) Sweep(ctx context.Context, now time.Time, limit int) (deleted int, err error) {
	for _, sweep := range sweeps {
		before := milliseconds(now.Add(-sweep.keep))
		for more := true; more; {
			var n int64
			err := s.write(ctx, "sweep", func(t *tx) (err error) {
				n, err = t.exec(sweep.query, before, limit)
				return err
			})
			if err != nil {
				return deleted, err
			}
			deleted += int(n)
			more = n > 0 && n >= int64(limit)
		}
	}
	return deleted, nil
}
