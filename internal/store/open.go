// Package store keeps what the gateway must not forget: apps, people, grants, tokens, browser
// sessions and the statements of the SQL API, in SQLite.
//
// Of codes and tokens it holds SHA-256 only, and of sessions sealed bytes: a stolen file opens
// nothing. Each row belongs to a tenant, and every look-up names it.
//
// A change is durable before its method returns. Changes of concurrent callers share one
// transaction and one fsync (writer.go), each in a savepoint of its own, so that one caller's
// failure takes back that caller's part alone.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the database driver
)

//go:embed migrations/*.sql
var migrations embed.FS

// ErrUnavailable is wrapped by every failure of the database itself: a full disk, a lost file.
var ErrUnavailable = errors.New("the store is unavailable")

// Config says where the store is.
type Config struct {
	Path string // of the database file; its folder must exist
}

// Store is safe for concurrent use.
type Store struct {
	readers *sql.DB
	writer  *writer
}

// readerCount bounds concurrent look-ups; each holds one connection.
const readerCount = 8

// Open opens the database, and makes or migrates it first.
func Open(ctx context.Context, config Config) (*Store, error) {
	if err := os.MkdirAll(filepath.Dir(config.Path), 0o700); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	// The driver would make the file readable by others.
	file, err := os.OpenFile(config.Path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	writing, err := sql.Open("sqlite", dataSource(config.Path, "rwc"))
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", config.Path, err)
	}
	writing.SetMaxOpenConns(1)
	if err := migrate(ctx, writing); err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", config.Path, err), writing.Close())
	}
	reading, err := sql.Open("sqlite", dataSource(config.Path, "ro"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", config.Path, err), writing.Close())
	}
	reading.SetMaxOpenConns(readerCount)
	reading.SetMaxIdleConns(readerCount)
	return &Store{readers: reading, writer: newWriter(writing)}, nil
}

// dataSource asks for what durability and concurrency need: a write-ahead log, an fsync for each
// commit, and patience with other processes.
func dataSource(path, mode string) string {
	options := url.Values{"mode": {mode}, "_txlock": {"immediate"}, "_pragma": {
		"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)",
	}}
	return (&url.URL{Scheme: "file", Opaque: path, RawQuery: options.Encode()}).String()
}

// migrate brings the database up to this program, and refuses one that is ahead of it.
func migrate(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files)
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	current, newest, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the database's version: %w", err)
	}
	if current > newest {
		return fmt.Errorf("the database has version %d and this program knows %d: start the newer program, or restore an older backup", current, newest)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// Ping reports whether the store can be read.
func (s *Store) Ping(ctx context.Context) error { return unavailable(s.readers.PingContext(ctx)) }

// Close ends running changes and closes the database.
func (s *Store) Close() error { return errors.Join(s.readers.Close(), s.writer.close()) }

// unavailable marks errors of the database.
func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// millis is how a time is stored; the zero time is 0.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func timeOf(millis int64) time.Time {
	if millis == 0 {
		return time.Time{}
	}
	return time.UnixMilli(millis).UTC()
}
