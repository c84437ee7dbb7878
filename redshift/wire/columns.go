package wire

import (
	"strconv"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/shiftgrant/shiftgrant/redshift"
)

// typeNames are those of pg_type, by object id: PostgreSQL's, and Redshift's own from 3000 on.
var typeNames = map[uint32]string{
	16: "bool", 18: "char", 19: "name", 20: "int8", 21: "int2", 23: "int4", 25: "text", 26: "oid",
	700: "float4", 701: "float8", 702: "abstime", 1033: "aclitem", 1042: "bpchar", 1043: "varchar",
	1082: "date", 1083: "time", 1114: "timestamp", 1184: "timestamptz", 1186: "interval",
	1188: "intervaly2m", 1190: "intervald2s", 1266: "timetz", 1700: "numeric", 1790: "refcursor",
	3000: "geometry", 3001: "geography", 3999: "geometryhex", 4000: "super", 4600: "useritem", 4602: "roleitem",
	6551: "varbyte",
}

// headerSize is what a type modifier counts beside the length.
const headerSize = 4

func columnsOf(fields []pgproto3.FieldDescription) []redshift.Column {
	columns := make([]redshift.Column, len(fields))
	for i := range fields {
		columns[i] = redshift.Column{Name: string(fields[i].Name), Type: typeOf(fields[i].DataTypeOID, fields[i].TypeModifier)}
	}
	return columns
}

// typeOf takes a type that nobody knows here for text, in which form it arrives.
func typeOf(oid uint32, modifier int32) redshift.Type {
	name, known := typeNames[oid]
	if !known {
		return redshift.Type{Name: "oid " + strconv.FormatUint(uint64(oid), 10)}
	}
	t := redshift.Type{Name: name, Kind: redshift.KindOf(name)}
	if modifier < headerSize {
		return t
	}
	switch name {
	case "numeric":
		t.Precision, t.Scale = int(modifier-headerSize)>>16, int(modifier-headerSize)&0xffff
	case "bpchar", "varchar", "varbyte":
		t.Length = int(modifier - headerSize)
	}
	return t
}
