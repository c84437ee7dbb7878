package store

import (
	"context"
	"database/sql"
	"time"
)

// keepEnded is how long rows stay after their end, so that late questions about them still get
// the right answer: "expired", "used before".
const keepEnded = 24 * time.Hour

// Sweep deletes up to limit rows of each kind that ended more than a day ago, and tells how many
// it deleted. Each kind is a change of its own, so that no writer waits long.
func (s *Store) Sweep(ctx context.Context, now time.Time, limit int) (int, error) {
	total := 0
	for _, table := range []struct{ name, key string }{
		{"codes", "hash"},
		{"access_tokens", "hash"},
		{"refresh_tokens", "hash"},
		{"families", "id"},
		{"sessions", "id"},
		{"statements", "id"},
		{"grants", "id"},
	} {
		err := s.writer.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
			deleted, err := exec(ctx, tx, `DELETE FROM `+table.name+` WHERE `+table.key+` IN (SELECT `+table.key+` FROM `+table.name+` WHERE expires_at < $1 LIMIT $2)`,
				millis(now.Add(-keepEnded)), limit)
			total += int(deleted)
			return err
		})
		if err != nil {
			return total, err
		}
	}
	return total, nil
}
