package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"

	"modernc.org/sqlite"
)

// sqliteDatabase is one file: a writer, and connections that only read.
type sqliteDatabase struct {
	writing *sql.DB
	writer  *writer
	reading *sql.DB
	reads   *prepared
}

// Settings of every connection. FULL makes a commit durable in WAL mode; foreign keys are off
// in SQLite unless asked for; temporary data stays in memory, because files elsewhere would
// not be 0600 in a folder of ours.
var sqliteSettings = []string{"busy_timeout(5000)", "foreign_keys(1)", "synchronous(FULL)", "temp_store(MEMORY)", "cache_size(-4000)"}

func openSQLite(ctx context.Context, path string) (*sqliteDatabase, error) {
	if err := createPrivately(path); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	// SQLite on Linux is otherwise built to use fdatasync, which is as durable and writes less.
	// Where the system has none, SQLite goes on with fsync.
	if _, err := sqlite.Fdatasync(true); err != nil && !errors.Is(err, sqlite.ErrFdatasyncUnavailable) {
		return nil, fmt.Errorf("open store: %w", err)
	}
	d := &sqliteDatabase{}
	if err := d.open(ctx, path); err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, errors.Join(err, d.close()))
	}
	return d, nil
}

// createPrivately makes sure that nobody else can read the file, nor the -wal and -shm files
// beside it, to which SQLite gives the same mode.
func createPrivately(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(file.Chmod(0o600), file.Close())
}

func (d *sqliteDatabase) open(ctx context.Context, path string) error {
	var err error
	if d.writing, err = sqlitePool(path, 1, "journal_mode(WAL)", "wal_autocheckpoint(4000)"); err != nil {
		return err
	}
	if err := migrate(ctx, d.writing, onSQLite); err != nil {
		return err
	}
	// Reads are short and use the processor only, so more connections than that would wait.
	if d.reading, err = sqlitePool(path, 2*min(runtime.GOMAXPROCS(0), runtime.NumCPU()), "query_only(1)"); err != nil {
		return err
	}
	d.reads = &prepared{on: d.reading, statements: map[string]*sql.Stmt{}}
	connection, err := d.writing.Conn(ctx)
	if err != nil {
		return err
	}
	d.writer = startWriter(connection)
	return nil
}

func sqlitePool(path string, size int, settings ...string) (*sql.DB, error) {
	path, err := filepath.Abs(path) // a URL would take the first folder of another for a host
	if err != nil {
		return nil, err
	}
	query := url.Values{"_pragma": append(settings, sqliteSettings...)}
	pool, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}).String())
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(size)
	pool.SetMaxIdleConns(size)
	return pool, nil
}

// read does not pass the caller's context on: a look-up takes microseconds, and watching a
// context takes about as long.
func (d *sqliteDatabase) read(ctx context.Context, do func(*tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return do(&tx{ctx: context.WithoutCancel(ctx), on: d.reads})
}

func (d *sqliteDatabase) write(ctx context.Context, do func(*tx) error) error {
	return d.writer.write(ctx, do)
}

func (d *sqliteDatabase) chain(ctx context.Context, missed error, first statement, rows []row) error {
	return d.write(ctx, func(t *tx) error {
		if err := t.one(missed, first.onSQLite(), first.args...); err != nil {
			return err
		}
		for _, r := range rows {
			if _, err := t.exec(r.insert(), r.values...); err != nil {
				return err
			}
		}
		return nil
	})
}

// close leaves one file: the log is copied into the database and removed.
func (d *sqliteDatabase) close() error {
	var err error
	if d.writer != nil {
		err = d.writer.close()
	}
	if d.reading != nil {
		err = errors.Join(err, d.reads.close(), d.reading.Close())
	}
	if d.writing != nil {
		err = errors.Join(err, d.writing.Close())
	}
	return err
}
