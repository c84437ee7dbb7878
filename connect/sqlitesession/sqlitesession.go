// Package sqlitesession keeps the sessions of package connect in one SQLite file, so that people
// stay signed in when the app restarts. The file holds sealed bytes under hashed ids; without
// the key of connect's Config it opens nothing.
//
// A session is durable when Save returns. Several processes on one machine may share the file:
// one of them at a time refreshes a session's tokens.
package sqlitesession

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the database driver

	"github.com/shiftgrant/shiftgrant/connect"
)

// Store implements connect.SessionStore and connect.Locker.
type Store struct {
	db *sql.DB
	// now is the clock that sessions expire by.
	now func() time.Time
}

const schema = `CREATE TABLE IF NOT EXISTS sessions (
	id      TEXT PRIMARY KEY,
	data    BLOB NOT NULL,
	expires INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS sessions_by_expiry ON sessions (expires);
CREATE TABLE IF NOT EXISTS locks (
	id     TEXT PRIMARY KEY,
	holder TEXT NOT NULL,
	until  INTEGER NOT NULL
);`

// sweepLimit bounds how many dead sessions one Save takes along.
const sweepLimit = 20

// Open opens the file, or makes it with mode 0600.
func Open(ctx context.Context, path string) (*Store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open sessions: %w", err)
	}
	// Before SQLite does it: the -wal and -shm files beside it get the same mode.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open sessions: %w", err)
	}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("open sessions: %w", err)
	}
	options := url.Values{"_txlock": {"immediate"}, "_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: options.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("open sessions %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, errors.Join(fmt.Errorf("open sessions %s: %w", path, err), db.Close())
	}
	return &Store{db, time.Now}, nil
}

// Load implements connect.SessionStore.
func (s *Store) Load(ctx context.Context, id string) ([]byte, error) {
	var data []byte
	err := s.db.QueryRowContext(ctx, `SELECT data FROM sessions WHERE id = ? AND expires > ?`, id, s.now().UnixMilli()).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, connect.ErrNoSession
	}
	if err != nil {
		return nil, fmt.Errorf("load session: %w", err)
	}
	return data, nil
}

// Save implements connect.SessionStore. Each one also removes a few sessions that have expired.
func (s *Store) Save(ctx context.Context, id string, data []byte, expires time.Time) error {
	_, err := s.db.ExecContext(ctx, `DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires <= ? LIMIT ?)`, s.now().UnixMilli(), sweepLimit)
	if err == nil {
		_, err = s.db.ExecContext(ctx, `INSERT INTO sessions (id, data, expires) VALUES (?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET data = excluded.data, expires = excluded.expires`, id, data, expires.UnixMilli())
	}
	if err != nil {
		return fmt.Errorf("save session: %w", err)
	}
	return nil
}

// Delete implements connect.SessionStore.
func (s *Store) Delete(ctx context.Context, id string) error {
	if _, err := s.db.ExecContext(ctx, `DELETE FROM sessions WHERE id = ?`, id); err != nil {
		return fmt.Errorf("delete session: %w", err)
	}
	return nil
}

const (
	// lockLife frees what a process that crashed has held. It is longer than a refresh can take.
	lockLife  = 30 * time.Second
	lockPause = 20 * time.Millisecond
	callLimit = 5 * time.Second
)

// Lock implements connect.Locker, for processes that share the file.
func (s *Store) Lock(ctx context.Context, id string) (unlock func(), err error) {
	holder, pause := rand.Text(), time.NewTicker(lockPause)
	defer pause.Stop()
	for {
		taken, err := s.tryLock(ctx, id, holder)
		if err != nil {
			return nil, fmt.Errorf("lock session: %w", err)
		}
		if taken {
			return func() { s.unlock(ctx, id, holder) }, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("lock session: %w", ctx.Err())
		case <-pause.C:
		}
	}
}

func (s *Store) tryLock(ctx context.Context, id, holder string) (bool, error) {
	now := s.now()
	result, err := s.db.ExecContext(ctx, `INSERT INTO locks (id, holder, until) VALUES (?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET holder = excluded.holder, until = excluded.until WHERE until <= ?`,
		id, holder, now.Add(lockLife).UnixMilli(), now.UnixMilli())
	if err != nil {
		return false, err
	}
	rows, err := result.RowsAffected()
	return rows == 1, err
}

// unlock leaves a lock alone that somebody else holds by now. One that it cannot remove ends by
// itself.
func (s *Store) unlock(ctx context.Context, id, holder string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callLimit)
	defer cancel()
	_, _ = s.db.ExecContext(ctx, `DELETE FROM locks WHERE id = ? AND holder = ?`, id, holder)
}

// Close closes the file.
func (s *Store) Close() error { return s.db.Close() }
