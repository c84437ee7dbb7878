package store

import (
	"bytes"
	"context"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

// AddRunning keeps that a gateway has something open in a warehouse.
func (s *Store) AddRunning(ctx context.Context, r grant.Running) error {
	return s.chain(ctx, "keep what runs", nil, statement{
		query: `INSERT INTO running (tenant, id, holder, person_id, warehouse, kind, sealed, alive_until) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		args:  []any{r.Tenant, r.ID, r.Holder, r.PersonID, r.Warehouse, string(r.Kind), bytes.Clone(r.Sealed), milliseconds(r.AliveUntil)},
	})
}

// RemoveRunning forgets it. What is not there is as good as forgotten.
func (s *Store) RemoveRunning(ctx context.Context, tenant, id string) error {
	return s.chain(ctx, "forget what ran", nil, statement{query: `DELETE FROM running WHERE tenant = $1 AND id = $2`, args: []any{tenant, id}})
}

// KeepRunning says that a gateway lives, and with it all that it has open.
func (s *Store) KeepRunning(ctx context.Context, tenant, holder string, until time.Time) error {
	return s.chain(ctx, "keep what runs", nil, statement{
		query: `UPDATE running SET alive_until = $1 WHERE tenant = $2 AND holder = $3`, args: []any{milliseconds(until), tenant, holder},
	})
}

// ClaimRunning gives some of what gateways that died have left open to another, until a time. Of
// several who ask, one gets each.
func (s *Store) ClaimRunning(ctx context.Context, tenant, holder string, now, until time.Time, limit int) ([]grant.Running, error) {
	var found, claimed []grant.Running
	err := s.read(ctx, "find what was left running", func(t *tx) error {
		return t.rows(func(scan func(...any) error) error {
			var r grant.Running
			err := scan(&r.Tenant, &r.ID, &r.Holder, &r.PersonID, &r.Warehouse, &r.Kind, &r.Sealed, timeColumn{&r.AliveUntil})
			found = append(found, r)
			return err
		}, `SELECT tenant, id, holder, person_id, warehouse, kind, sealed, alive_until FROM running
			WHERE tenant = $1 AND alive_until < $2 ORDER BY alive_until LIMIT $3`, tenant, milliseconds(now), limit)
	})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	err = s.write(ctx, "claim what was left running", func(t *tx) error {
		claimed = claimed[:0]
		for _, r := range found {
			n, err := t.exec(`UPDATE running SET holder = $1, alive_until = $2 WHERE tenant = $3 AND id = $4 AND holder = $5 AND alive_until = $6`,
				holder, milliseconds(until), tenant, r.ID, r.Holder, milliseconds(r.AliveUntil))
			if err != nil {
				return err
			}
			if n > 0 {
				r.Holder, r.AliveUntil = holder, until
				claimed = append(claimed, r)
			}
		}
		return nil
	})
	return claimed, err
}
