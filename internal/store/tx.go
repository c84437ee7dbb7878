package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

// executor is what statements run on: a transaction, or a pool of connections for reading.
type executor interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// tx runs the statements of one store method.
type tx struct {
	ctx context.Context
	on  executor
	// share, at the end of a SELECT, keeps its rows from being deleted until the transaction
	// ends. SQLite has one writer and needs none.
	share   string
	changed int64 // rows, up to now
}

// exec returns how many rows it changed.
func (t *tx) exec(query string, args ...any) (int64, error) {
	result, err := t.on.ExecContext(t.ctx, query, args...)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	t.changed += n
	return n, err
}

// one is exec for a change that must hit a row; otherwise the answer is missed.
func (t *tx) one(missed error, query string, args ...any) error {
	n, err := t.exec(query, args...)
	if err == nil && n == 0 {
		return missed
	}
	return err
}

// row reads the one row of a query, or answers grant.ErrNotFound.
func (t *tx) row(into []any, query string, args ...any) error {
	found := false
	err := t.rows(func(scan func(...any) error) error {
		found = true
		return scan(into...)
	}, query, args...)
	if err == nil && !found {
		return grant.ErrNotFound
	}
	return err
}

// rows calls each for every row of a query.
func (t *tx) rows(each func(scan func(...any) error) error, query string, args ...any) error {
	rows, err := t.on.QueryContext(t.ctx, query, args...)
	if err != nil {
		return err
	}
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return errors.Join(err, rows.Close())
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

// prepared keeps the statements of a connection, or of a pool, from being parsed again.
type prepared struct {
	on interface {
		PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
	}
	mu         sync.RWMutex
	statements map[string]*sql.Stmt
}

func (p *prepared) statement(ctx context.Context, query string) (*sql.Stmt, error) {
	p.mu.RLock()
	statement := p.statements[query]
	p.mu.RUnlock()
	if statement != nil {
		return statement, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if statement := p.statements[query]; statement != nil {
		return statement, nil
	}
	statement, err := p.on.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	p.statements[query] = statement
	return statement, nil
}

// close lets go of the statements. database/sql does not do that for those of a connection when
// the connection is closed, and SQLite keeps a connection, its files and its locks for as long
// as one of its statements is there.
func (p *prepared) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, statement := range p.statements {
		errs = append(errs, statement.Close())
	}
	clear(p.statements)
	return errors.Join(errs...)
}

func (p *prepared) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	statement, err := p.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	return statement.ExecContext(ctx, args...)
}

func (p *prepared) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	statement, err := p.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	return statement.QueryContext(ctx, args...)
}

// How values are stored: the function of each pair makes an argument, the type reads a column.

func milliseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

type timeColumn struct{ *time.Time }

func (c timeColumn) Scan(value any) error {
	stored, ok := value.(int64)
	if !ok {
		return unexpected("a time", value)
	}
	*c.Time = time.Time{}
	if stored != 0 {
		*c.Time = time.UnixMilli(stored).UTC()
	}
	return nil
}

type durationColumn struct{ *time.Duration }

func (c durationColumn) Scan(value any) error {
	stored, ok := value.(int64)
	if !ok {
		return unexpected("a duration", value)
	}
	*c.Duration = time.Duration(stored) * time.Millisecond
	return nil
}

func flag(set bool) int64 {
	if set {
		return 1
	}
	return 0
}

type flagColumn struct{ set *bool }

func (c flagColumn) Scan(value any) error {
	stored, ok := value.(int64)
	if !ok {
		return unexpected("0 or 1", value)
	}
	*c.set = stored != 0
	return nil
}

type hashColumn struct{ *grant.Hash }

func (c hashColumn) Scan(value any) error {
	stored, ok := value.([]byte)
	if !ok || len(stored) != len(c.Hash) {
		return unexpected("a hash", value)
	}
	copy(c.Hash[:], stored)
	return nil
}

type scopesColumn struct{ *grant.Scopes }

func (c scopesColumn) Scan(value any) error {
	stored, ok := value.(string)
	if !ok {
		return unexpected("scopes", value)
	}
	*c.Scopes = strings.Fields(stored)
	if stored == "" {
		*c.Scopes = nil
	}
	return nil
}

// jsonText is "" for the zero value.
func jsonText(value any, zero bool) (string, error) {
	if zero {
		return "", nil
	}
	text, err := json.Marshal(value)
	return string(text), err
}

type jsonColumn struct{ into any }

func (c jsonColumn) Scan(value any) error {
	stored, ok := value.(string)
	if !ok {
		return unexpected("JSON", value)
	}
	if stored == "" {
		return nil
	}
	return json.Unmarshal([]byte(stored), c.into)
}

func unexpected(wanted string, value any) error {
	return fmt.Errorf("the database holds %T where %s should be", value, wanted)
}
