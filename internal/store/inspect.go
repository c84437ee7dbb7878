package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// A Condition is what Inspect found.
type Condition struct {
	Exists  bool  // a gateway has made its tables
	Version int64 // of the schema; a gateway brings an older one up to date when it starts
}

// Inspect looks at a store, beside the gateways that use it, and changes nothing: it makes no
// database and brings no schema up to date. An error says why a gateway could not start on it.
func Inspect(ctx context.Context, config Config) (found Condition, err error) {
	on, database, err := inspected(config)
	if database == nil {
		return Condition{}, err
	}
	defer func() { err = errors.Join(err, database.Close()) }()
	if found.Version, err = schemaVersion(ctx, database); err != nil {
		return Condition{}, err
	}
	found.Exists = found.Version > 0
	_, latest, err := on.steps()
	if err == nil && found.Version > latest {
		err = checkCompatible(ctx, database, found.Version, latest)
	}
	if err == nil && config.DSN == "" {
		err = quickCheck(ctx, database)
	}
	return found, err
}

// inspected opens the database for reading; nil is one that is not there yet.
func inspected(config Config) (dialect, *sql.DB, error) {
	if config.DSN != "" {
		parsed, err := pgx.ParseConfig(config.DSN)
		if err != nil {
			// The parser's error holds the DSN, and with it perhaps a password.
			return dialect{}, nil, errors.New("the PostgreSQL DSN cannot be read: write it as postgres://user@host:5432/database")
		}
		return onPostgres, stdlib.OpenDB(*parsed), nil
	}
	if _, err := os.Stat(config.Path); errors.Is(err, fs.ErrNotExist) {
		return dialect{}, nil, nil
	}
	database, err := sqlitePool(config.Path, 1, "query_only(1)")
	return onSQLite, database, err
}

// quickCheck finds pages that are damaged, without comparing indexes to their tables.
func quickCheck(ctx context.Context, database *sql.DB) error {
	var verdict string
	if err := database.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&verdict); err != nil {
		return fmt.Errorf("check the database: %w", err)
	}
	if verdict != "ok" {
		return fmt.Errorf("check the database: %s", verdict)
	}
	return nil
}
