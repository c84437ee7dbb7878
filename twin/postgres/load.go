package postgres

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

//go:embed schema.sql
var schema string

//go:embed administration.sql
var administrationSQL string

// dataMark is written into the database with the data, in the same transaction. A kept folder
// whose mark differs holds nothing, or another version's data.
const dataMark = "sample data of the twin, version 2"

// dataBreak is the line of schema.sql at which the rows are copied in.
const dataBreak = "-- data: the rows are copied in here (data.go)\n"

// load fills a new cluster. A loaded one is left as people made it.
func (s *Server) load(ctx context.Context) error {
	maintenance, err := s.connect(ctx, superuser, "postgres")
	if err != nil {
		return err
	}
	mark, err := one(ctx, maintenance, "SELECT coalesce(max(shobj_description(oid, 'pg_database')), 'none') FROM pg_database WHERE datname = '"+Database+"'")
	switch {
	case err != nil:
	case mark == dataMark:
		return maintenance.Close(ctx)
	case mark != "none":
		err = fmt.Errorf("%w: %s holds %s, and this is %s: choose another folder or remove it", ErrFolder, s.data, mark, dataMark)
	default:
		// A start that was interrupted leaves a database without a mark.
		err = run(ctx, maintenance, "DROP DATABASE IF EXISTS "+Database, "CREATE DATABASE "+Database)
	}
	if err := errors.Join(err, maintenance.Close(ctx)); err != nil {
		return err
	}
	return s.fill(ctx)
}

// fill makes everything in one transaction: a start that is interrupted leaves nothing behind.
func (s *Server) fill(ctx context.Context) error {
	conn, err := s.connect(ctx, superuser, Database)
	if err != nil {
		return err
	}
	before, after, found := strings.Cut(schema, dataBreak)
	if !found {
		return errors.Join(errors.New("schema.sql has no place for the rows"), conn.Close(ctx))
	}
	err = run(ctx, conn, "SET allow_system_table_mods = on", "BEGIN", before)
	if err == nil {
		err = copyRows(ctx, conn)
	}
	if err == nil {
		err = run(ctx, conn, after, administrationSQL, "COMMENT ON DATABASE "+Database+" IS '"+dataMark+"'", "COMMIT")
	}
	return errors.Join(err, conn.Close(ctx))
}

// copyRows generates the sample data and streams it in, table by table.
func copyRows(ctx context.Context, conn *pgconn.PgConn) error {
	data := generate()
	for _, table := range data.tables() {
		reader, writer := io.Pipe()
		go func() { writer.CloseWithError(writeRows(writer, table)) }()
		_, err := conn.CopyFrom(ctx, reader, "COPY tickit."+table.name+" FROM STDIN (FREEZE)")
		reader.Close() // ends the writer, should the copy have failed half-way
		if err != nil {
			return fmt.Errorf("copy into tickit.%s: %w", table.name, err)
		}
	}
	return nil
}

// writeRows writes COPY's text format in pieces of 64 KB.
func writeRows(w io.Writer, table table) error {
	var line row
	for i := range table.rows {
		table.row(i, &line)
		line.end()
		if len(line.text) < 64<<10 && i < table.rows-1 {
			continue
		}
		if _, err := w.Write(line.text); err != nil {
			return err
		}
		line.text = line.text[:0]
	}
	return nil
}

// run executes our own SQL, of which one string may hold several statements.
func run(ctx context.Context, conn *pgconn.PgConn, statements ...string) error {
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement).ReadAll(); err != nil {
			var failure *pgconn.PgError
			if errors.As(err, &failure) && failure.Position > 0 {
				line := 1 + bytes.Count([]byte(statement)[:min(int(failure.Position), len(statement))], []byte("\n"))
				return fmt.Errorf("line %d: %w", line, err)
			}
			return err
		}
	}
	return nil
}

// one reads a single value.
func one(ctx context.Context, conn *pgconn.PgConn, query string) (string, error) {
	results, err := conn.Exec(ctx, query).ReadAll()
	if err != nil {
		return "", err
	}
	return string(results[0].Rows[0][0]), nil
}
