package store

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

// Sessions keeps browser sessions. It sees neither cookies nor contents: the ids are hashes
// and the data is sealed.
type Sessions struct{ store *Store }

// Sessions returns the store as one of browser sessions.
func (s *Store) Sessions() *Sessions { return &Sessions{s} }

// Load finds a session, or answers ErrNoSession.
func (s *Sessions) Load(ctx context.Context, id string) ([]byte, error) {
	var data []byte
	err := s.store.read(ctx, "find session", func(t *tx) error {
		err := t.row([]any{&data}, `SELECT data FROM sessions WHERE id = $1 AND expires_at > $2`, id, milliseconds(s.store.now()))
		if errors.Is(err, grant.ErrNotFound) {
			return ErrNoSession
		}
		return err
	})
	return data, err
}

// Save keeps a session until it expires.
func (s *Sessions) Save(ctx context.Context, id string, data []byte, expires time.Time) error {
	data = append([]byte{}, bytes.Clone(data)...) // never NULL
	return s.store.chain(ctx, "save session", nil, statement{
		query: `INSERT INTO sessions (id, data, expires_at) VALUES ($1, $2, $3)
			ON CONFLICT (id) DO UPDATE SET data = excluded.data, expires_at = excluded.expires_at`,
		args: []any{id, data, milliseconds(expires)},
	})
}

// Delete forgets a session.
func (s *Sessions) Delete(ctx context.Context, id string) error {
	return s.store.chain(ctx, "delete session", nil, statement{query: `DELETE FROM sessions WHERE id = $1`, args: []any{id}})
}
