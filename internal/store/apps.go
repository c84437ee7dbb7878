package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

const appColumns = `a.tenant, a.id, a.name, a.homepage, a.type, a.redirect_uris, a.scopes, a.secrets,
	a.access_life, a.idle_life, a.total_life, a.disabled, a.origin, a.created_at`

// storedSecret is how a client secret stands in the column secrets.
type storedSecret struct {
	ID        string `json:"id"`
	Hash      []byte `json:"hash"`
	CreatedAt int64  `json:"created_at"`
}

// App gives an app with its secrets' hashes, or grant.ErrNotFound.
func (s *Store) App(ctx context.Context, tenant, id string) (grant.App, error) {
	row := s.readers.QueryRowContext(ctx, `SELECT `+appColumns+` FROM apps a WHERE a.tenant = $1 AND a.id = $2`, tenant, id)
	var app grant.App
	if err := scan(row, appFields(&app)...); err != nil {
		return grant.App{}, fmt.Errorf("look up app: %w", err)
	}
	return app, nil
}

// Apps gives all apps by name.
func (s *Store) Apps(ctx context.Context, tenant string) ([]grant.App, error) {
	return list(ctx, s.readers, func(rows *sql.Rows) (grant.App, error) {
		var app grant.App
		return app, scan(rows, appFields(&app)...)
	}, `SELECT `+appColumns+` FROM apps a WHERE a.tenant = $1 ORDER BY a.name, a.id`, tenant)
}

const insertApp = `INSERT INTO apps (tenant, id, name, homepage, type, redirect_uris, scopes, secrets,
	access_life, idle_life, total_life, disabled, origin, created_at)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`

// CreateApp registers an app, or returns grant.ErrExists.
func (s *Store) CreateApp(ctx context.Context, app grant.App) error {
	return s.writer.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		values, err := appValues(app)
		if err != nil {
			return err
		}
		changed, err := exec(ctx, tx, insertApp+` ON CONFLICT (tenant, id) DO NOTHING`, values...)
		if err == nil && changed == 0 {
			return grant.ErrExists
		}
		return err
	})
}

// PutApp registers an app or replaces it, keeping its time of creation: for apps of the
// configuration file.
func (s *Store) PutApp(ctx context.Context, app grant.App) error {
	return s.writer.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		values, err := appValues(app)
		if err != nil {
			return err
		}
		_, err = exec(ctx, tx, insertApp+` ON CONFLICT (tenant, id) DO UPDATE SET
			name = excluded.name, homepage = excluded.homepage, type = excluded.type,
			redirect_uris = excluded.redirect_uris, scopes = excluded.scopes, secrets = excluded.secrets,
			access_life = excluded.access_life, idle_life = excluded.idle_life, total_life = excluded.total_life,
			disabled = excluded.disabled, origin = excluded.origin`, values...)
		return err
	})
}

// RemoveApp removes an app and revokes all its grants. One that is not there is no error.
func (s *Store) RemoveApp(ctx context.Context, tenant, id string, at time.Time) error {
	return s.writer.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := exec(ctx, tx, `DELETE FROM apps WHERE tenant = $1 AND id = $2`, tenant, id); err != nil {
			return err
		}
		return revokeGrants(ctx, tx, at, "the app was removed", `tenant = $3 AND app_id = $4`, tenant, id)
	})
}

// SetAppSecrets replaces an app's secrets, or returns grant.ErrNotFound.
func (s *Store) SetAppSecrets(ctx context.Context, tenant, id string, secrets []grant.AppSecret) error {
	encoded, err := encodeSecrets(secrets)
	if err != nil {
		return err
	}
	return s.writer.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		changed, err := exec(ctx, tx, `UPDATE apps SET secrets = $1 WHERE tenant = $2 AND id = $3`, encoded, tenant, id)
		if err == nil && changed == 0 {
			return grant.ErrNotFound
		}
		return err
	})
}

func appValues(app grant.App) ([]any, error) {
	uris, err := json.Marshal(app.RedirectURIs)
	if err != nil {
		return nil, fmt.Errorf("encode redirect URIs: %w", err)
	}
	secrets, err := encodeSecrets(app.Secrets)
	if err != nil {
		return nil, err
	}
	return []any{
		app.Tenant, app.ID, app.Name, app.Homepage, string(app.Type), string(uris), app.Scopes.String(), secrets,
		int64(app.AccessTokenLifetime), int64(app.RefreshIdleLifetime), int64(app.RefreshTotalLifetime),
		app.Disabled, string(app.Origin), millis(app.CreatedAt),
	}, nil
}

func encodeSecrets(secrets []grant.AppSecret) (string, error) {
	stored := make([]storedSecret, 0, len(secrets))
	for _, secret := range secrets {
		stored = append(stored, storedSecret{secret.ID, secret.Hash[:], millis(secret.CreatedAt)})
	}
	encoded, err := json.Marshal(stored)
	if err != nil {
		return "", fmt.Errorf("encode secrets: %w", err)
	}
	return string(encoded), nil
}

// appFields receive appColumns.
func appFields(app *grant.App) []any {
	return []any{
		&app.Tenant, &app.ID, &app.Name, &app.Homepage, &app.Type,
		jsonColumn{&app.RedirectURIs},
		scopesColumn{&app.Scopes},
		secretsColumn{&app.Secrets},
		&app.AccessTokenLifetime, &app.RefreshIdleLifetime, &app.RefreshTotalLifetime, &app.Disabled, &app.Origin,
		timeColumn{&app.CreatedAt},
	}
}

type secretsColumn struct{ secrets *[]grant.AppSecret }

// Scan implements sql.Scanner.
func (c secretsColumn) Scan(value any) error {
	var stored []storedSecret
	if err := (jsonColumn{&stored}).Scan(value); err != nil {
		return err
	}
	for _, secret := range stored {
		if len(secret.Hash) != len(grant.Hash{}) {
			return errors.New("a stored client secret has a hash of the wrong length")
		}
		*c.secrets = append(*c.secrets, grant.AppSecret{ID: secret.ID, Hash: grant.Hash(secret.Hash), CreatedAt: timeOf(secret.CreatedAt)})
	}
	return nil
}
