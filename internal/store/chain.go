package store

import (
	"fmt"
	"strconv"
	"strings"
)

// A chain is how the gateway writes when it must be fast: one statement that decides, and rows
// that are added if it hit one. SQLite has no way to the server to save and runs them one by one.
// PostgreSQL gets all of it as one statement, which is one way there and back, and a transaction
// by itself.

// statement is a query with its parameters $1, $2, … in order.
type statement struct {
	query string
	args  []any
	// share names a table whose rows that are read must not be deleted before the end. SQLite has
	// one writer and needs no such lock.
	share string
	end   string // of the query, behind that lock
}

func (s *statement) onSQLite() string { return s.query + s.end }

func (s *statement) onPostgres() string {
	if s.share == "" {
		return s.query + s.end
	}
	return s.query + " FOR SHARE OF " + s.share + s.end
}

// row is what is added to a table: "table (column, …)", and a value for each column.
type row struct {
	into   string
	values []any
}

func (r *row) insert() string {
	return "INSERT INTO " + r.into + " VALUES (" + parameters(1, len(r.values)) + ")"
}

// insertIfHit adds the row if the statement that is called hit changed one. first is the number of
// its first parameter.
func (r *row) insertIfHit(first int) string {
	return "INSERT INTO " + r.into + " SELECT " + parameters(first, len(r.values)) + " FROM hit"
}

func parameters(first, count int) string {
	numbered := make([]string, count)
	for i := range numbered {
		numbered[i] = "$" + strconv.Itoa(first+i)
	}
	return strings.Join(numbered, ", ")
}

// asOne makes one statement of a chain. It changes as many rows as its last part does: one, or
// none if the first hit nothing.
func asOne(first statement, rows []row) statement {
	if len(rows) == 0 {
		return statement{query: first.onPostgres(), args: first.args}
	}
	var query strings.Builder
	fmt.Fprintf(&query, "WITH hit AS (%s RETURNING 1)", first.onPostgres())
	args := append([]any{}, first.args...)
	for i, r := range rows {
		insert := r.insertIfHit(len(args) + 1)
		if i < len(rows)-1 {
			fmt.Fprintf(&query, ", row%d AS (%s)", i, insert)
		} else {
			fmt.Fprintf(&query, " %s", insert)
		}
		args = append(args, r.values...)
	}
	return statement{query: query.String(), args: args}
}
