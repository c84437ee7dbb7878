package store

import (
	"context"
	"slices"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

const appColumns = `apps.tenant, apps.id, apps.name, apps.homepage, apps.type, apps.redirect_uris, apps.scopes,
	apps.access_token_lifetime, apps.refresh_idle_lifetime, apps.refresh_total_lifetime, apps.disabled, apps.origin, apps.created_at`

func intoApp(a *grant.App) []any {
	return []any{
		&a.Tenant, &a.ID, &a.Name, &a.Homepage, (*string)(&a.Type),
		jsonColumn{&a.RedirectURIs},
		scopesColumn{&a.Scopes},
		durationColumn{&a.AccessTokenLifetime},
		durationColumn{&a.RefreshIdleLifetime},
		durationColumn{&a.RefreshTotalLifetime},
		flagColumn{&a.Disabled},
		(*string)(&a.Origin),
		timeColumn{&a.CreatedAt},
	}
}

func appValues(a *grant.App) ([]any, error) {
	redirectURIs, err := jsonText(a.RedirectURIs, len(a.RedirectURIs) == 0)
	return []any{
		a.Tenant, a.ID, a.Name, a.Homepage, string(a.Type), redirectURIs, a.Scopes.String(),
		a.AccessTokenLifetime.Milliseconds(), a.RefreshIdleLifetime.Milliseconds(), a.RefreshTotalLifetime.Milliseconds(),
		flag(a.Disabled), string(a.Origin), milliseconds(a.CreatedAt),
	}, err
}

const insertApp = `INSERT INTO apps (tenant, id, name, homepage, type, redirect_uris, scopes,
	access_token_lifetime, refresh_idle_lifetime, refresh_total_lifetime, disabled, origin, created_at)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) `

const appsWithSecrets = `SELECT ` + appColumns + `, secrets.id, secrets.hash, secrets.created_at
	FROM apps LEFT JOIN app_secrets secrets ON secrets.tenant = apps.tenant AND secrets.app_id = apps.id `

// App finds an app with its secrets.
func (s *Store) App(ctx context.Context, tenant, id string) (grant.App, error) {
	var apps []grant.App
	err := s.read(ctx, "find app", func(t *tx) (err error) {
		apps, err = readApps(t, appsWithSecrets+`WHERE apps.tenant = $1 AND apps.id = $2 ORDER BY secrets.created_at, secrets.id`, tenant, id)
		if err == nil && len(apps) == 0 {
			return grant.ErrNotFound
		}
		return err
	})
	if err != nil {
		return grant.App{}, err
	}
	return apps[0], nil
}

// Apps lists the apps of a tenant by name.
func (s *Store) Apps(ctx context.Context, tenant string) ([]grant.App, error) {
	var apps []grant.App
	err := s.read(ctx, "list apps", func(t *tx) (err error) {
		apps, err = readApps(t, appsWithSecrets+`WHERE apps.tenant = $1 ORDER BY apps.name, apps.id, secrets.created_at, secrets.id`, tenant)
		return err
	})
	return apps, err
}

// readApps gathers the rows of each app, one a secret.
func readApps(t *tx, query string, args ...any) ([]grant.App, error) {
	var apps []grant.App
	err := t.rows(func(scan func(...any) error) error {
		var app grant.App
		var secretID *string
		var hash []byte
		var createdAt *int64
		if err := scan(append(intoApp(&app), &secretID, &hash, &createdAt)...); err != nil {
			return err
		}
		if len(apps) == 0 || apps[len(apps)-1].ID != app.ID {
			apps = append(apps, app)
		}
		if secretID == nil || createdAt == nil {
			return nil
		}
		secret := grant.AppSecret{ID: *secretID, CreatedAt: time.UnixMilli(*createdAt).UTC()}
		last := &apps[len(apps)-1]
		last.Secrets = append(last.Secrets, secret)
		return hashColumn{&last.Secrets[len(last.Secrets)-1].Hash}.Scan(hash)
	}, query, args...)
	return apps, err
}

// CreateApp registers an app, or answers grant.ErrExists.
func (s *Store) CreateApp(ctx context.Context, app grant.App) error {
	values, err := appValues(&app)
	if err != nil {
		return err
	}
	secrets := slices.Clone(app.Secrets)
	return s.write(ctx, "create app", func(t *tx) error {
		if err := t.one(grant.ErrExists, insertApp+`ON CONFLICT (tenant, id) DO NOTHING`, values...); err != nil {
			return err
		}
		return insertSecrets(t, app.Tenant, app.ID, secrets)
	})
}

// PutApp registers an app or replaces what is registered. A secret that it had already keeps
// its id and time, and the app keeps its time.
func (s *Store) PutApp(ctx context.Context, app grant.App) error {
	values, err := appValues(&app)
	if err != nil {
		return err
	}
	secrets := slices.Clone(app.Secrets)
	return s.write(ctx, "put app", func(t *tx) error {
		_, err := t.exec(insertApp+`ON CONFLICT (tenant, id) DO UPDATE SET
			name = excluded.name, homepage = excluded.homepage, type = excluded.type,
			redirect_uris = excluded.redirect_uris, scopes = excluded.scopes,
			access_token_lifetime = excluded.access_token_lifetime, refresh_idle_lifetime = excluded.refresh_idle_lifetime,
			refresh_total_lifetime = excluded.refresh_total_lifetime, disabled = excluded.disabled, origin = excluded.origin`, values...)
		if err != nil {
			return err
		}
		return replaceSecrets(t, app.Tenant, app.ID, secrets)
	})
}

// SetAppSecrets replaces the secrets of an app.
func (s *Store) SetAppSecrets(ctx context.Context, tenant, id string, secrets []grant.AppSecret) error {
	secrets = slices.Clone(secrets)
	return s.write(ctx, "set app secrets", func(t *tx) error {
		var found int64
		if err := t.row([]any{&found}, `SELECT 1 FROM apps WHERE tenant = $1 AND id = $2`+t.share, tenant, id); err != nil {
			return err
		}
		return replaceSecrets(t, tenant, id, secrets)
	})
}

func replaceSecrets(t *tx, tenant, appID string, secrets []grant.AppSecret) error {
	known := map[grant.Hash]grant.AppSecret{}
	err := t.rows(func(scan func(...any) error) error {
		var secret grant.AppSecret
		err := scan(&secret.ID, hashColumn{&secret.Hash}, timeColumn{&secret.CreatedAt})
		known[secret.Hash] = secret
		return err
	}, `SELECT id, hash, created_at FROM app_secrets WHERE tenant = $1 AND app_id = $2`, tenant, appID)
	if err != nil {
		return err
	}
	if _, err := t.exec(`DELETE FROM app_secrets WHERE tenant = $1 AND app_id = $2`, tenant, appID); err != nil {
		return err
	}
	kept := slices.Clone(secrets)
	for i := range kept {
		if before, ok := known[kept[i].Hash]; ok {
			kept[i] = before
		}
	}
	return insertSecrets(t, tenant, appID, kept)
}

func insertSecrets(t *tx, tenant, appID string, secrets []grant.AppSecret) error {
	for _, secret := range secrets {
		_, err := t.exec(`INSERT INTO app_secrets (tenant, app_id, id, hash, created_at) VALUES ($1, $2, $3, $4, $5)`,
			tenant, appID, secret.ID, secret.Hash[:], milliseconds(secret.CreatedAt))
		if err != nil {
			return err
		}
	}
	return nil
}

// RemoveApp forgets an app and revokes all its grants.
func (s *Store) RemoveApp(ctx context.Context, tenant, id string, at time.Time) error {
	return s.write(ctx, "remove app", func(t *tx) error {
		// First the app: from here on nobody can add a grant to it.
		if err := t.one(grant.ErrNotFound, `DELETE FROM apps WHERE tenant = $1 AND id = $2`, tenant, id); err != nil {
			return err
		}
		_, err := t.exec(`UPDATE grants SET revoked_at = $1, revoked_why = $2 WHERE tenant = $3 AND app_id = $4 AND revoked_at = 0`,
			milliseconds(at), "the app was removed", tenant, id)
		return err
	})
}
