package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

//go:embed migrations
var migrations embed.FS

// dialect is what differs between the databases when the schema is made.
type dialect struct {
	name   goose.Dialect
	folder string
	begin  []string // a transaction that no other migration runs beside
}

var onSQLite = dialect{
	name: goose.DialectSQLite3, folder: "migrations/sqlite",
	begin: []string{"BEGIN IMMEDIATE"},
}

var onPostgres = dialect{
	name: goose.DialectPostgres, folder: "migrations/postgres",
	begin: []string{"BEGIN", "SELECT pg_advisory_xact_lock(74207422)"},
}

// migrate brings the schema up to date, one process at a time. Those that start at the same
// instant wait for the first, and find its work done.
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
		return checkCompatible(ctx, db, version, latest)
	}
	for step := version + 1; step <= latest; step++ {
		if err := on.apply(ctx, db, steps, step); err != nil {
			return fmt.Errorf("bring the schema from version %d to %d: %w", step-1, step, err)
		}
	}
	return nil
}

// apply makes one step in one transaction, unless another process has made it.
//
// It asks for this step and no other, because whoever asks goose for all steps lets it make its
// own table first, outside the lock.
func (d dialect) apply(ctx context.Context, db *sql.DB, steps fs.FS, step int64) error {
	provider, err := goose.NewProvider(d.name, db, steps,
		// The lock is a transaction around the step, so the step has none of its own.
		goose.WithSessionLocker(exclusive{d.begin, step}), goose.WithIsolateDDL(true),
		goose.WithLogger(goose.NopLogger()), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	_, err = provider.ApplyVersion(ctx, step, true)
	if errors.Is(err, goose.ErrAlreadyApplied) {
		return nil
	}
	return err
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

// checkCompatible lets a program start on a schema that is newer than the program, where the steps
// since then have only added to it: that is how two versions share a database while one replaces
// the other, and how one goes back to the version before.
func checkCompatible(ctx context.Context, db *sql.DB, version, latest int64) error {
	var oldest int64
	if err := db.QueryRowContext(ctx, `SELECT max(oldest) FROM schema_compatible`).Scan(&oldest); err != nil {
		return fmt.Errorf("read which programs the schema is for: %w", err)
	}
	if oldest > latest {
		return fmt.Errorf("%w: its schema is version %d, and this program knows %d: run the newer program, or restore a backup from before it", ErrNewer, version, latest)
	}
	return nil
}

// exclusive makes a step one transaction that excludes all other steps. It is committed only if
// the step was made.
type exclusive struct {
	begin []string
	step  int64
}

func (e exclusive) SessionLock(ctx context.Context, conn *sql.Conn) error {
	for _, statement := range e.begin {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func (e exclusive) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	var version sql.NullInt64
	err := conn.QueryRowContext(ctx, versionQuery).Scan(&version)
	if err == nil && version.Int64 >= e.step {
		_, err = conn.ExecContext(ctx, "COMMIT")
		return err
	}
	// Why the step failed is told elsewhere; that the version could not be read follows from it.
	_, err = conn.ExecContext(ctx, "ROLLBACK")
	return err
}
