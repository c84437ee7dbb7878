package store

import (
	"context"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

const deviceColumns = `devices.tenant, devices.hash, devices.user_code_hash, devices.app_id, devices.scopes, devices.warehouse, devices.address,
	devices.created_at, devices.expires_at, devices.polled_at, devices.pause, devices.answered_at, devices.denied`

func intoDevice(d *grant.Device) []any {
	return []any{
		&d.Tenant,
		hashColumn{&d.Hash},
		hashColumn{&d.UserCode},
		&d.AppID,
		scopesColumn{&d.Scopes},
		&d.Warehouse, &d.Address,
		timeColumn{&d.CreatedAt},
		timeColumn{&d.ExpiresAt},
		timeColumn{&d.PolledAt},
		durationColumn{&d.Pause},
		timeColumn{&d.AnsweredAt},
		flagColumn{&d.Denied},
	}
}

// CreateDevice keeps a device that asks to be let in, or answers grant.ErrExists when its user code
// is taken.
func (s *Store) CreateDevice(ctx context.Context, d grant.Device) error {
	return s.write(ctx, "create device", func(t *tx) error {
		return t.one(grant.ErrExists, `INSERT INTO devices (tenant, hash, user_code_hash, app_id, scopes, warehouse, address,
				created_at, expires_at, polled_at, pause, answered_at, denied)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT DO NOTHING`,
			d.Tenant, d.Hash[:], d.UserCode[:], d.AppID, d.Scopes.String(), d.Warehouse, d.Address,
			milliseconds(d.CreatedAt), milliseconds(d.ExpiresAt), milliseconds(d.PolledAt), d.Pause.Milliseconds(), milliseconds(d.AnsweredAt), flag(d.Denied))
	})
}

// Device finds a device by its own code.
func (s *Store) Device(ctx context.Context, tenant string, hash grant.Hash) (grant.Device, error) {
	return s.findDevice(ctx, `hash`, tenant, hash)
}

// DeviceByUserCode finds a device by the code that a person enters.
func (s *Store) DeviceByUserCode(ctx context.Context, tenant string, userCode grant.Hash) (grant.Device, error) {
	return s.findDevice(ctx, `user_code_hash`, tenant, userCode)
}

func (s *Store) findDevice(ctx context.Context, by, tenant string, hash grant.Hash) (grant.Device, error) {
	var d grant.Device
	err := s.read(ctx, "find device", func(t *tx) error {
		return t.row(intoDevice(&d), `SELECT `+deviceColumns+` FROM devices WHERE devices.tenant = $1 AND devices.`+by+` = $2`, tenant, hash[:])
	})
	return d, err
}

// NotePoll keeps when a device has asked, and how long it has to pause from now on. It answers
// grant.ErrConflict when the device has asked elsewhere since it was looked up.
func (s *Store) NotePoll(ctx context.Context, d grant.Device, at time.Time, pause time.Duration) error {
	return s.write(ctx, "note poll", func(t *tx) error {
		return t.one(grant.ErrConflict, `UPDATE devices SET polled_at = $1, pause = $2 WHERE tenant = $3 AND hash = $4 AND polled_at = $5`,
			milliseconds(at), pause.Milliseconds(), d.Tenant, d.Hash[:], milliseconds(d.PolledAt))
	})
}

// AllowDevice keeps a person's yes to a device: the grant, and the code that the device redeems. It
// answers grant.ErrConflict when the device has been answered, or its app was removed.
func (s *Store) AllowDevice(ctx context.Context, d grant.Device, g grant.Grant, code grant.Code, at time.Time) error {
	grantRow, err := rowOfGrant(g)
	if err != nil {
		return err
	}
	return s.chain(ctx, "allow device", grant.ErrConflict, statement{
		query: `UPDATE devices SET answered_at = $1 WHERE tenant = $2 AND hash = $3 AND answered_at = 0
			AND EXISTS (SELECT 1 FROM apps WHERE apps.tenant = devices.tenant AND apps.id = devices.app_id)`,
		args: []any{milliseconds(at), d.Tenant, d.Hash[:]},
	}, grantRow, rowOfCode(code))
}

// DenyDevice keeps a person's no.
func (s *Store) DenyDevice(ctx context.Context, d grant.Device, at time.Time) error {
	return s.write(ctx, "deny device", func(t *tx) error {
		return t.one(grant.ErrConflict, `UPDATE devices SET answered_at = $1, denied = 1 WHERE tenant = $2 AND hash = $3 AND answered_at = 0`,
			milliseconds(at), d.Tenant, d.Hash[:])
	})
}
