package redshift

import "strings"

// A Column is one column of a result.
type Column struct {
	Name string
	Type Type
}

// A Type is a Redshift data type with its modifiers.
type Type struct {
	Kind Kind
	// Name is what Redshift calls it on this transport: "int4", "varchar". For a type that
	// this package does not know, it is all there is.
	Name      string
	Precision int // NUMERIC
	Scale     int // NUMERIC
	Length    int // CHAR, VARCHAR, VARBYTE
}

// Kind groups types by the shape of their text form.
type Kind uint8

// The kinds. Text is also what an unknown type is taken for: its text form passes unchanged.
const (
	Text        Kind = iota // CHAR, VARCHAR, TEXT, NAME, and unknown types
	Boolean                 // t or f; true or false
	SmallInt                // 16 bits
	Integer                 // 32 bits
	BigInt                  // 64 bits
	Real                    // 32 bits; NaN, Infinity, -Infinity
	Double                  // 64 bits; NaN, Infinity, -Infinity
	Numeric                 // exact decimal digits
	Date                    // 2006-01-02
	Time                    // 15:04:05.999999
	TimeTZ                  // 15:04:05.999999+00
	Timestamp               // 2006-01-02 15:04:05.999999
	TimestampTZ             // 2006-01-02 15:04:05.999999+00
	IntervalYM              // INTERVAL YEAR TO MONTH
	IntervalDS              // INTERVAL DAY TO SECOND
	Super                   // a JSON text
	Varbyte                 // hexadecimal
	Geometry                // hexadecimal EWKB
	Geography               // hexadecimal EWKB
)

var kindNames = [...]string{
	"varchar", "boolean", "smallint", "integer", "bigint", "real", "double precision", "numeric",
	"date", "time", "timetz", "timestamp", "timestamptz", "interval year to month",
	"interval day to second", "super", "varbyte", "geometry", "geography",
}

// String is Redshift's documented name of the kind, in lower case.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "varchar"
}

// kinds maps the names that the Data API's typeName and PostgreSQL's pg_type.typname use.
var kinds = map[string]Kind{
	"bool": Boolean, "boolean": Boolean,
	"int2": SmallInt, "smallint": SmallInt,
	"int4": Integer, "int": Integer, "integer": Integer, "serial": Integer,
	"int8": BigInt, "bigint": BigInt, "oid": BigInt,
	"float4": Real, "real": Real,
	"float8": Double, "float": Double, "double precision": Double,
	"numeric": Numeric, "decimal": Numeric,
	"date": Date, "time": Time, "timetz": TimeTZ,
	"time without time zone": Time, "time with time zone": TimeTZ,
	"timestamp": Timestamp, "timestamptz": TimestampTZ,
	"timestamp without time zone": Timestamp, "timestamp with time zone": TimestampTZ,
	"intervaly2m": IntervalYM, "interval year to month": IntervalYM,
	"intervald2s": IntervalDS, "interval day to second": IntervalDS, "interval": IntervalDS,
	"super": Super, "varbyte": Varbyte, "geometry": Geometry, "geography": Geography,
}

// KindOf finds the kind of a type by its name, Text where the name is not known.
func KindOf(name string) Kind { return kinds[strings.ToLower(name)] }
