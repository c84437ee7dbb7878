package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

// ErrNoSession says that there is no session of this id, or not any more.
var ErrNoSession = errors.New("no such session")

// Sessions keeps browser sessions. It sees sealed bytes, and of a session's id only a hash.
type Sessions struct{ store *Store }

// Sessions is the part of the store that keeps browser sessions.
func (s *Store) Sessions() *Sessions { return &Sessions{s} }

// Load gives a session's bytes, or ErrNoSession.
func (s *Sessions) Load(ctx context.Context, id string) ([]byte, error) {
	var data []byte
	row := s.store.readers.QueryRowContext(ctx, `SELECT data FROM sessions WHERE id = $1 AND expires_at > $2`, id, millis(time.Now()))
	err := scan(row, &data)
	if errors.Is(err, grant.ErrNotFound) {
		return nil, ErrNoSession
	}
	if err != nil {
		return nil, fmt.Errorf("load session: %w", err)
	}
	return data, nil
}

// Save keeps a session's bytes until it expires.
func (s *Sessions) Save(ctx context.Context, id string, data []byte, expires time.Time) error {
	return s.store.writer.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := exec(ctx, tx, `INSERT INTO sessions (id, data, expires_at) VALUES ($1, $2, $3)
			ON CONFLICT (id) DO UPDATE SET data = excluded.data, expires_at = excluded.expires_at`, id, data, millis(expires))
		return err
	})
}

// Delete ends a session. One that is not there is no error.
func (s *Sessions) Delete(ctx context.Context, id string) error {
	return s.store.writer.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := exec(ctx, tx, `DELETE FROM sessions WHERE id = $1`, id)
		return err
	})
}
