package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations
var migrations embed.FS

// dialect is what differs between the databases when the schema is made.
type dialect struct {
	name    goose.Dialect
	folder  string
	options func(latest int64) ([]goose.ProviderOption, error)
}

var onSQLite = dialect{
	name: goose.DialectSQLite3, folder: "migrations/sqlite",
	options: func(latest int64) ([]goose.ProviderOption, error) {
		// The lock is a transaction around all steps, so the steps have none of their own.
		return []goose.ProviderOption{goose.WithSessionLocker(exclusive{latest}), goose.WithIsolateDDL(true)}, nil
	},
}

var onPostgres = dialect{
	name: goose.DialectPostgres, folder: "migrations/postgres",
	options: func(int64) ([]goose.ProviderOption, error) {
		locker, err := lock.NewPostgresSessionLocker()
		return []goose.ProviderOption{goose.WithSessionLocker(locker)}, err
	},
}

// migrate brings the schema up to date, one process at a time.
func migrate(ctx context.Context, db *sql.DB, on dialect) error {
	steps, latest, err := on.steps()
	if err != nil {
		return err
	}
	version, err := schemaVersion(ctx, db)
	switch {
	case err != nil:
		return err
	case version > latest:
		return fmt.Errorf("%w: its schema is version %d, and this program knows %d: run the newer program, or restore a backup from before it", ErrNewer, version, latest)
	case version == latest:
		return nil
	}
	options, err := on.options(latest)
	if err != nil {
		return err
	}
	options = append(options, goose.WithLogger(goose.NopLogger()), goose.WithDisableGlobalRegistry(true))
	provider, err := goose.NewProvider(on.name, db, steps, options...)
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("bring the schema from version %d to %d: %w", version, latest, err)
	}
	return nil
}

// steps returns the migrations and the version after the last of them.
func (d dialect) steps() (fs.FS, int64, error) {
	steps, err := fs.Sub(migrations, d.folder)
	if err != nil {
		return nil, 0, err
	}
	names, err := fs.Glob(steps, "*.sql")
	if err != nil || len(names) == 0 {
		return nil, 0, fmt.Errorf("no migrations in %s: %w", d.folder, err)
	}
	latest, err := goose.NumericComponent(names[len(names)-1])
	return steps, latest, err
}

const versionQuery = `SELECT max(version_id) FROM goose_db_version WHERE is_applied`

// schemaVersion is 0 for a database without our tables.
func schemaVersion(ctx context.Context, db *sql.DB) (int64, error) {
	var version sql.NullInt64
	err := db.QueryRowContext(ctx, versionQuery).Scan(&version)
	if err != nil && isNoTable(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read schema version: %w", err)
	}
	return version.Int64, nil
}

// exclusive makes a migration of SQLite one transaction that excludes all other writers. It is
// committed only if it got to the latest version.
type exclusive struct{ latest int64 }

func (exclusive) SessionLock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE")
	return err
}

func (e exclusive) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	var version sql.NullInt64
	err := conn.QueryRowContext(ctx, versionQuery).Scan(&version)
	if err == nil && version.Int64 == e.latest {
		_, err = conn.ExecContext(ctx, "COMMIT")
		return err
	}
	_, rollbackErr := conn.ExecContext(ctx, "ROLLBACK")
	return errors.Join(err, rollbackErr)
}
