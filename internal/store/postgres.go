package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// postgresDatabase is a pool of connections. PostgreSQL groups commits itself.
type postgresDatabase struct{ pool *sql.DB }

const postgresConnections = 16

func openPostgres(ctx context.Context, dsn string) (*postgresDatabase, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		// The parser's error holds the DSN, and with it perhaps a password.
		return nil, errors.New("open store: the PostgreSQL DSN cannot be read: write it as postgres://user@host:5432/database")
	}
	pool := stdlib.OpenDB(*config, stdlib.OptionResetSession(dropEnded))
	pool.SetMaxOpenConns(postgresConnections)
	pool.SetMaxIdleConns(postgresConnections)
	if err := migrate(ctx, pool, onPostgres); err != nil {
		return nil, fmt.Errorf("open store on %s: %w", config.Host, errors.Join(err, pool.Close()))
	}
	return &postgresDatabase{pool}, nil
}

// dropEnded keeps a connection that the server ended, as one that restarts does, from being used:
// the pool takes another, and nobody hears of it.
func dropEnded(_ context.Context, conn *pgx.Conn) error {
	if ended(conn.PgConn().Conn()) {
		return driver.ErrBadConn
	}
	return nil
}

// postgresPatience bounds one read or write, waiting for a connection included: a caller whose
// database does not answer is told to come again while it still listens.
const postgresPatience = 5 * time.Second

func (d *postgresDatabase) read(ctx context.Context, do func(*tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, postgresPatience)
	defer cancel()
	return do(&tx{ctx: ctx, on: d.pool})
}

func (d *postgresDatabase) chain(ctx context.Context, missed error, first statement, rows []row) error {
	ctx, cancel := context.WithTimeout(ctx, postgresPatience)
	defer cancel()
	whole := asOne(first, rows)
	return (&tx{ctx: ctx, on: d.pool}).one(missed, whole.query, whole.args...)
}

func (d *postgresDatabase) write(ctx context.Context, do func(*tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, postgresPatience)
	defer cancel()
	transaction, err := d.pool.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(&tx{ctx: ctx, on: transaction, share: " FOR SHARE"}); err != nil {
		// What matters is why it is undone; a connection that cannot is dropped by the pool.
		_ = transaction.Rollback()
		return err
	}
	return transaction.Commit()
}

func (d *postgresDatabase) close() error { return d.pool.Close() }

// isNoTable reports whether a query failed because its table is not there.
func isNoTable(err error) bool {
	if refusal, ok := errors.AsType[*pgconn.PgError](err); ok {
		return refusal.Code == "42P01" // undefined_table
	}
	return strings.Contains(err.Error(), "no such table")
}
