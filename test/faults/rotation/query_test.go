package rotation

import (
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"
)

// query looks into the store beside the gateways.
func (c *cluster) query(t *testing.T, query string, args []any, into ...any) {
	t.Helper()
	db, err := c.open()
	if err != nil {
		t.Fatal(err)
	}
	err = db.QueryRowContext(t.Context(), query, args...).Scan(into...)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatalf("%v of %s", err, query)
	}
}

func (c *cluster) open() (*sql.DB, error) {
	if c.direct != "" {
		return sql.Open("pgx", c.direct)
	}
	return sql.Open("sqlite", "file:"+filepath.Join(c.gateways[0].data, "shiftgrant.db")+"?_pragma=busy_timeout(5000)")
}
