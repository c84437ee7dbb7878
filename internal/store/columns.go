package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

// scanner is a *sql.Row or *sql.Rows.
type scanner interface{ Scan(fields ...any) error }

// scan reads a row; no row is grant.ErrNotFound.
func scan(row scanner, fields ...any) error {
	err := row.Scan(fields...)
	if errors.Is(err, sql.ErrNoRows) {
		return grant.ErrNotFound
	}
	return unavailable(err)
}

// list reads all rows of a query.
func list[T any](ctx context.Context, db *sql.DB, read func(*sql.Rows) (T, error), query string, arguments ...any) ([]T, error) {
	rows, err := db.QueryContext(ctx, query, arguments...)
	if err != nil {
		return nil, unavailable(err)
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		one, err := read(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, unavailable(rows.Err())
}

// exec runs a statement inside a change and tells how many rows it touched.
func exec(ctx context.Context, tx *sql.Tx, statement string, arguments ...any) (int64, error) {
	result, err := tx.ExecContext(ctx, statement, arguments...)
	if err != nil {
		return 0, unavailable(err)
	}
	changed, err := result.RowsAffected()
	return changed, unavailable(err)
}

type timeColumn struct{ time *time.Time }

// Scan implements sql.Scanner.
func (c timeColumn) Scan(value any) error {
	millis, ok := value.(int64)
	if !ok {
		return fmt.Errorf("a stored time is a %T", value)
	}
	*c.time = timeOf(millis)
	return nil
}

type scopesColumn struct{ scopes *grant.Scopes }

// Scan implements sql.Scanner.
func (c scopesColumn) Scan(value any) error {
	text, ok := value.(string)
	if !ok {
		return fmt.Errorf("stored scopes are a %T", value)
	}
	scopes, err := grant.ParseScopes(text)
	*c.scopes = scopes
	return err
}

type hashColumn struct{ hash *grant.Hash }

// Scan implements sql.Scanner.
func (c hashColumn) Scan(value any) error {
	bytes, ok := value.([]byte)
	if !ok || len(bytes) != len(c.hash) {
		return errors.New("a stored hash has the wrong length")
	}
	copy(c.hash[:], bytes)
	return nil
}

type jsonColumn struct{ value any }

// Scan implements sql.Scanner.
func (c jsonColumn) Scan(value any) error {
	switch text := value.(type) {
	case string:
		return json.Unmarshal([]byte(text), c.value)
	case []byte:
		return json.Unmarshal(text, c.value)
	}
	return fmt.Errorf("stored JSON is a %T", value)
}
