package dataapi

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// The catalog's operations ask the database as the caller's database user, who sees what that
// user may use.

type catalogRequest struct {
	where             `json:",inline"`
	ConnectedDatabase string
	SchemaPattern     string
	TablePattern      string
	Schema            string
	Table             string
	MaxResults        *int
	NextToken         string
}

const catalogPatience = time.Minute

// A catalogQuery is one question to the catalog.
type catalogQuery struct {
	operation string
	sql       string
	values    func(catalogRequest) []string
	forbidden func(catalogRequest) bool // members that the operation does not have
}

// rows runs the query and cuts one page out of its rows.
func (h *Handler) rows(ctx context.Context, caller Caller, body []byte, q catalogQuery) (request catalogRequest, rows [][][]byte, next string, err error) {
	if request, err = decode[catalogRequest](body); err != nil {
		return request, nil, "", err
	}
	if q.forbidden(request) {
		return request, nil, "", serialization("request body: a member that " + q.operation + " does not have")
	}
	limit, err := pageSize(request.MaxResults, 1000)
	if err != nil {
		return request, nil, "", err
	}
	offset, err := h.openToken(request.NextToken, caller, q.operation)
	if err != nil {
		return request, nil, "", err
	}
	to, err := h.target(caller, request.where)
	if err != nil {
		return request, nil, "", err
	}
	if request.ConnectedDatabase != "" {
		to.database = request.ConnectedDatabase
	}
	all, err := ask(ctx, to, q.sql, q.values(request))
	if err != nil {
		return request, nil, "", err
	}
	page, position := cut(all, offset, limit)
	if position > 0 {
		next = h.sealToken(position, caller, q.operation)
	}
	return request, page, next, nil
}

// ask opens a connection as the caller's database user for one query.
func ask(ctx context.Context, to target, sql string, values []string) ([][][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, catalogPatience)
	defer cancel()
	conn, err := to.server.Connect(ctx, to.user, to.database)
	if err != nil {
		return nil, connectionFailed(err)
	}
	defer closeConnection(conn)
	bound := make([][]byte, len(values))
	for i, value := range values {
		bound[i] = []byte(value)
	}
	result := conn.ExecParams(ctx, sql, bound, nil, nil, nil).Read()
	if result.Err != nil {
		return nil, fmt.Errorf("ask the catalog: %w", result.Err)
	}
	return result.Rows, nil
}

// pattern is a LIKE pattern, everything if empty.
func pattern(p string) string {
	if p == "" {
		return "%"
	}
	return p
}

func (h *Handler) listDatabases(ctx context.Context, caller Caller, body []byte) (any, error) {
	_, rows, next, err := h.rows(ctx, caller, body, catalogQuery{
		operation: "ListDatabases",
		sql:       "SELECT database_name FROM pg_catalog.svv_redshift_databases ORDER BY 1",
		values:    func(catalogRequest) []string { return nil },
		forbidden: func(r catalogRequest) bool {
			return r.ConnectedDatabase+r.SchemaPattern+r.TablePattern+r.Schema+r.Table != ""
		},
	})
	if err != nil {
		return nil, err
	}
	return struct {
		Databases []string
		NextToken string `json:",omitzero"`
	}{names(rows), next}, nil
}

func (h *Handler) listSchemas(ctx context.Context, caller Caller, body []byte) (any, error) {
	_, rows, next, err := h.rows(ctx, caller, body, catalogQuery{
		operation: "ListSchemas",
		sql:       "SELECT schema_name FROM pg_catalog.svv_all_schemas WHERE schema_name LIKE $1 ORDER BY 1",
		values:    func(r catalogRequest) []string { return []string{pattern(r.SchemaPattern)} },
		forbidden: func(r catalogRequest) bool { return r.TablePattern+r.Schema+r.Table != "" },
	})
	if err != nil {
		return nil, err
	}
	return struct {
		Schemas   []string
		NextToken string `json:",omitzero"`
	}{names(rows), next}, nil
}

func names(rows [][][]byte) []string {
	names := []string{}
	for _, row := range rows {
		names = append(names, string(row[0]))
	}
	return names
}

type tableMember struct {
	Name   string `json:"name"`
	Schema string `json:"schema"`
	Type   string `json:"type"`
}

func (h *Handler) listTables(ctx context.Context, caller Caller, body []byte) (any, error) {
	_, rows, next, err := h.rows(ctx, caller, body, catalogQuery{
		operation: "ListTables",
		sql: `SELECT table_name, schema_name, CASE WHEN schema_name IN ('pg_catalog', 'information_schema') THEN 'SYSTEM ' ELSE '' END || table_type
FROM pg_catalog.svv_all_tables WHERE schema_name LIKE $1 AND table_name LIKE $2 ORDER BY 2, 1`,
		values:    func(r catalogRequest) []string { return []string{pattern(r.SchemaPattern), pattern(r.TablePattern)} },
		forbidden: func(r catalogRequest) bool { return r.Schema+r.Table != "" },
	})
	if err != nil {
		return nil, err
	}
	tables := []tableMember{}
	for _, row := range rows {
		tables = append(tables, tableMember{Name: string(row[0]), Schema: string(row[1]), Type: string(row[2])})
	}
	return struct {
		Tables    []tableMember
		NextToken string `json:",omitzero"`
	}{tables, next}, nil
}

func (h *Handler) describeTable(ctx context.Context, caller Caller, body []byte) (any, error) {
	request, rows, next, err := h.rows(ctx, caller, body, catalogQuery{
		operation: "DescribeTable",
		sql: `SELECT v.schema_name, v.table_name, v.column_name, v.is_nullable, v.column_default, a.atttypid, a.atttypmod
FROM pg_catalog.svv_all_columns v
JOIN pg_catalog.pg_namespace n ON n.nspname = v.schema_name
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = v.table_name
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = v.ordinal_position
WHERE ($1 = '' OR v.schema_name = $1) AND ($2 = '' OR v.table_name = $2)
ORDER BY v.schema_name, v.table_name, v.ordinal_position`,
		values:    func(r catalogRequest) []string { return []string{r.Schema, r.Table} },
		forbidden: func(r catalogRequest) bool { return r.SchemaPattern+r.TablePattern != "" },
	})
	if err != nil {
		return nil, err
	}
	columns := []column{}
	for _, row := range rows {
		c, err := tableColumn(row)
		if err != nil {
			return nil, fmt.Errorf("describe %s: %w", request.Table, err)
		}
		columns = append(columns, c)
	}
	return struct {
		TableName  string
		ColumnList []column
		NextToken  string `json:",omitzero"`
	}{request.Table, columns, next}, nil
}

func tableColumn(row [][]byte) (column, error) {
	oid, err := strconv.ParseUint(string(row[5]), 10, 32)
	if err != nil {
		return column{}, fmt.Errorf("type of column %s: %w", row[2], err)
	}
	modifier, err := strconv.ParseInt(string(row[6]), 10, 32)
	if err != nil {
		return column{}, fmt.Errorf("type of column %s: %w", row[2], err)
	}
	c := columnsOf([]pgconn.FieldDescription{{Name: string(row[2]), DataTypeOID: uint32(oid), TypeModifier: int32(modifier)}})[0]
	c.SchemaName, c.TableName, c.ColumnDefault = string(row[0]), string(row[1]), string(row[4])
	c.Length = c.Precision
	if string(row[3]) == "NO" {
		c.Nullable = 0
	}
	return c, nil
}
