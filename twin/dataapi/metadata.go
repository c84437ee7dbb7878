package dataapi

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// A column is ColumnMetadata. Length is 0 in results and set by DescribeTable, as in AWS's
// examples; of character types the precision is the length.
type column struct {
	IsCaseSensitive bool   `json:"isCaseSensitive"`
	IsCurrency      bool   `json:"isCurrency"`
	IsSigned        bool   `json:"isSigned"`
	Label           string `json:"label"`
	Length          int    `json:"length"`
	Name            string `json:"name"`
	Nullable        int    `json:"nullable"` // 0 no, 1 yes, 2 not known
	Precision       int    `json:"precision"`
	Scale           int    `json:"scale"`
	SchemaName      string `json:"schemaName"`
	TableName       string `json:"tableName"`
	TypeName        string `json:"typeName"`
	ColumnDefault   string `json:"columnDefault,omitzero"`
	shape           shape
}

// shape is how a value is written in JSON.
type shape uint8

const (
	text shape = iota
	integer
	double
	boolean
	timestamp
	hexadecimal
	decimal
)

// A dataType is one of PostgreSQL's types as Redshift would present it.
type dataType struct {
	name      string
	precision int
	scale     int
	shape     shape
	signed    bool
	sensitive bool
}

const maxVarchar = 65535

// types by OID. What Redshift lacks is shown as varchar.
var types = map[uint32]dataType{
	16:   {name: "bool", precision: 1, shape: boolean},
	17:   {name: "varbyte", precision: maxVarchar, shape: hexadecimal},
	18:   {name: "char", precision: 1, sensitive: true},
	19:   {name: "name", precision: 64, sensitive: true},
	20:   {name: "int8", precision: 19, shape: integer, signed: true},
	21:   {name: "int2", precision: 5, shape: integer, signed: true},
	23:   {name: "int4", precision: 10, shape: integer, signed: true},
	26:   {name: "oid", precision: 10, shape: integer},
	114:  {name: "super", precision: maxVarchar, sensitive: true},
	700:  {name: "float4", precision: 8, scale: 8, shape: double, signed: true},
	701:  {name: "float8", precision: 17, scale: 17, shape: double, signed: true},
	1042: {name: "bpchar", precision: maxVarchar, sensitive: true},
	1043: {name: "varchar", precision: maxVarchar, sensitive: true},
	1082: {name: "date", precision: 13},
	1083: {name: "time", precision: 15, scale: 6},
	1114: {name: "timestamp", precision: 29, scale: 6, shape: timestamp},
	1184: {name: "timestamptz", precision: 35, scale: 6},
	1186: {name: "intervald2s", precision: 49, scale: 6},
	1266: {name: "timetz", precision: 21, scale: 6},
	1700: {name: "numeric", precision: 38, shape: decimal, signed: true},
	3802: {name: "super", precision: maxVarchar, sensitive: true},
}

var otherType = dataType{name: "varchar", precision: maxVarchar, sensitive: true}

// columnsOf describes a result as far as its row description tells.
func columnsOf(fields []pgconn.FieldDescription) []column {
	columns := make([]column, len(fields))
	for i, field := range fields {
		kind, known := types[field.DataTypeOID]
		if !known {
			kind = otherType
		}
		c := column{
			Name: field.Name, Label: field.Name, TypeName: kind.name, Precision: kind.precision, Scale: kind.scale,
			IsSigned: kind.signed, IsCaseSensitive: kind.sensitive, Nullable: 1, shape: kind.shape,
		}
		c.modify(int(field.TypeModifier))
		columns[i] = c
	}
	return columns
}

// modify applies a type's modifier: varchar(n), char(n), numeric(p, s). PostgreSQL counts four
// bytes of header.
func (c *column) modify(modifier int) {
	modifier -= 4
	if modifier < 0 {
		return
	}
	switch c.TypeName {
	case "varchar", "bpchar":
		c.Precision = modifier
	case "numeric":
		c.Precision, c.Scale = modifier>>16, modifier&0xffff
		c.shape = text // the scale is known and need not be found
	}
}

// notice widens the scale of a computed numeric, whose type does not tell it, to what comes.
func (c *column) notice(value []byte) {
	for i, b := range value {
		if b == '.' {
			c.Scale = max(c.Scale, len(value)-i-1)
			return
		}
	}
}

const originsQuery = `SELECT n.nspname, c.relname, CASE WHEN a.attnotnull THEN 0 ELSE 1 END
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE a.attrelid = $1::text::oid AND a.attnum = $2::text::int2`

// describeOrigins adds the table that a column comes from.
func describeOrigins(conn *pgconn.PgConn, fields []pgconn.FieldDescription, columns []column) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	batch := &pgconn.Batch{}
	var wanted []int
	for i, field := range fields {
		if field.TableOID == 0 {
			continue
		}
		wanted = append(wanted, i)
		batch.ExecParams(originsQuery, [][]byte{
			strconv.AppendUint(nil, uint64(field.TableOID), 10), strconv.AppendUint(nil, uint64(field.TableAttributeNumber), 10),
		}, nil, nil, nil)
	}
	if len(wanted) == 0 {
		return nil
	}
	results, err := conn.ExecBatch(ctx, batch).ReadAll()
	if err != nil {
		return fmt.Errorf("describe the columns of the result: %w", err)
	}
	for k, i := range wanted {
		if rows := results[k].Rows; len(rows) == 1 {
			columns[i].SchemaName, columns[i].TableName = string(rows[0][0]), string(rows[0][1])
			columns[i].Nullable = int(rows[0][2][0] - '0')
		}
	}
	return nil
}
