// Package store keeps what the gateway must not forget: apps, people, grants, codes, tokens,
// sessions and statements.
//
// A method that changes something returns nil only when the change is on disk, and an error
// only when nothing of it is: half a change does not exist. Where the store cannot tell
// (disk full, database gone, caller left), the error wraps [ErrUnavailable], which must reach
// the outside as "try again later" and never as "no such token".
//
// One portable SQL serves SQLite and PostgreSQL. On SQLite all writes go through one writer,
// which commits those that wait together (writer.go); reads have connections of their own and
// wait for nobody. A method is one read or one write and never calls another, so nothing can
// wait for itself.
//
// What it guards against: a code or refresh token that counts twice, since each is used up by
// one conditional UPDATE; a revocation that misses something, since everything below a grant
// is judged by the grant's own row; one tenant's data seen from another, since the tenant is
// part of every key; and a stolen file, since tokens are stored as hashes and sessions as
// bytes sealed elsewhere. It does not encrypt names, e-mail addresses or redirect URIs.
package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

var (
	// ErrUnavailable is wrapped by every error that is not an answer: the store could not read
	// or write, or the caller did not wait for it.
	ErrUnavailable = errors.New("the store is unavailable")
	// ErrNoSession says that there is no such browser session, or that it has expired.
	ErrNoSession = errors.New("no such session")
	// ErrNewer says that the database was last used by a newer program.
	ErrNewer = errors.New("the database is newer than this program")
)

// Config says where the store is. Give Path or DSN.
type Config struct {
	Path string // of an SQLite database, made if it is not there
	DSN  string // of a PostgreSQL database: "postgres://…"
	Now  func() time.Time
}

// Store is safe for concurrent use.
type Store struct {
	database database
	now      func() time.Time
	closing  func() error // once
}

// database is SQLite or PostgreSQL. The functions that it runs return an answer (isAnswer) or
// the driver's error.
type database interface {
	read(ctx context.Context, do func(*tx) error) error
	write(ctx context.Context, do func(*tx) error) error
	// chain is a write of one statement that must hit a row, or the answer is missed, and of rows
	// that are added if it does.
	chain(ctx context.Context, missed error, first statement, rows []row) error
	close() error
}

// Open opens the store and brings its schema up to date.
func Open(ctx context.Context, config Config) (*Store, error) {
	if (config.Path == "") == (config.DSN == "") {
		return nil, errors.New("open store: give either the path of an SQLite database or the DSN of a PostgreSQL database")
	}
	s := &Store{now: config.Now}
	if s.now == nil {
		s.now = time.Now
	}
	var err error
	if config.DSN != "" {
		s.database, err = openPostgres(ctx, config.DSN)
	} else {
		s.database, err = openSQLite(ctx, config.Path)
	}
	if err != nil {
		return nil, err
	}
	s.closing = sync.OnceValue(s.database.close)
	return s, nil
}

// Close waits for the writes that were accepted and closes the database. It may be called twice.
func (s *Store) Close() error { return s.closing() }

// Ping says whether the store can be read and written.
func (s *Store) Ping(ctx context.Context) error {
	return s.write(ctx, "write to the store", func(t *tx) error {
		_, err := t.exec(`UPDATE pulse SET at = $1 WHERE id = 1`, milliseconds(s.now()))
		return err
	})
}

func (s *Store) read(ctx context.Context, doing string, do func(*tx) error) error {
	return explain(doing, s.database.read(ctx, do))
}

func (s *Store) write(ctx context.Context, doing string, do func(*tx) error) error {
	return explain(doing, s.database.write(ctx, do))
}

func (s *Store) chain(ctx context.Context, doing string, missed error, first statement, rows ...row) error {
	return explain(doing, s.database.chain(ctx, missed, first, rows))
}

// explain says what was being done, and marks what is not an answer.
func explain(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case isAnswer(err):
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fmt.Errorf("%s: %w: %w", doing, ErrUnavailable, err)
}

// isAnswer tells what the database answered from a failure to answer.
func isAnswer(err error) bool {
	for _, answer := range []error{
		grant.ErrNotFound, grant.ErrRevoked, grant.ErrConflict, grant.ErrExists, grant.ErrDatabaseUserTaken, ErrNoSession,
	} {
		if errors.Is(err, answer) {
			return true
		}
	}
	return false
}
