package encode

import (
	"encoding/binary"
	"fmt"

	"github.com/shiftgrant/shiftgrant/redshift"
)

// Rows are collected into record batches of at most so many rows or, roughly, bytes.
const (
	batchRows  = 8192
	batchBytes = 256 << 10 // collected, and then as much again to be written
)

// arrowLayout is an Arrow IPC stream: a schema, record batches, and the end-of-stream mark, without
// which a reader knows that something is missing. As in CSV, there is no place for an error.
type arrowLayout struct {
	columns []*arrowColumn
	schema  []byte
	rows    int
	failure error
}

func newArrow(columns []redshift.Column, _ Options) layout {
	l := &arrowLayout{}
	for _, column := range columns {
		l.columns = append(l.columns, newArrowColumn(column))
	}
	l.schema = schemaMessage(l.columns)
	return l
}

func (l *arrowLayout) begin(b []byte) []byte { return append(b, l.schema...) }

func (l *arrowLayout) row(b []byte, values [][]byte) []byte {
	size := 0
	for i, value := range values {
		if err := l.columns[i].append(value); err != nil && l.failure == nil {
			l.failure = fmt.Errorf("column %s: %w", l.columns[i].name, err)
		}
		size += len(l.columns[i].data)
	}
	if l.rows++; l.rows >= batchRows || size >= batchBytes {
		return l.pending(b)
	}
	return b
}

// pending writes the rows that were collected, so that a slow result is seen while it grows.
func (l *arrowLayout) pending(b []byte) []byte {
	if l.rows == 0 || l.failure != nil {
		return b
	}
	b = appendBatch(b, l.columns, l.rows)
	for _, column := range l.columns {
		column.reset()
	}
	l.rows = 0
	return b
}

// err is a value that Arrow cannot hold.
func (l *arrowLayout) err() error { return l.failure }

func (l *arrowLayout) end(b []byte, _ redshift.Summary) []byte {
	b = l.pending(b)
	return append(b, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0)
}

func (l *arrowLayout) fail(b, _ []byte) []byte { return b }

// An arrowColumn collects the values of one column in Arrow's memory format.
type arrowColumn struct {
	name     string
	redshift redshift.Type
	kind     arrowKind
	decimals int // of a decimal

	count    int
	nulls    int
	validity []byte // one bit a row; empty while there is no NULL
	offsets  []byte // of texts and bytes: int32, one more than there are rows
	data     []byte
}

// arrowKind is how a column's values are stored.
type arrowKind uint8

const (
	arrowText arrowKind = iota
	arrowBytes
	arrowBool
	arrowInt16
	arrowInt32
	arrowInt64
	arrowFloat32
	arrowFloat64
	arrowDecimal
	arrowDate
	arrowTime
	arrowTimestamp
	arrowTimestampTZ
)

// arrowKinds are those that are not text. What Arrow has no like for, or a form that differs from
// reader to reader (intervals, times with a zone), is text.
var arrowKinds = map[redshift.Kind]arrowKind{
	redshift.Boolean: arrowBool, redshift.SmallInt: arrowInt16, redshift.Integer: arrowInt32, redshift.BigInt: arrowInt64,
	redshift.Real: arrowFloat32, redshift.Double: arrowFloat64, redshift.Date: arrowDate, redshift.Time: arrowTime,
	redshift.Timestamp: arrowTimestamp, redshift.TimestampTZ: arrowTimestampTZ,
	redshift.Varbyte: arrowBytes, redshift.Geometry: arrowBytes, redshift.Geography: arrowBytes,
}

// largestPrecision is that of Arrow's 128-bit decimal, and of Redshift's NUMERIC.
const largestPrecision = 38

func newArrowColumn(column redshift.Column) *arrowColumn {
	c := &arrowColumn{name: column.Name, redshift: column.Type, kind: arrowKinds[column.Type.Kind]}
	// A NUMERIC whose scale nobody has told stays exact only as text.
	if t := column.Type; t.Kind == redshift.Numeric && t.Precision > 0 && t.Precision <= largestPrecision {
		c.kind, c.decimals = arrowDecimal, t.Scale
	}
	c.reset()
	return c
}

func (c *arrowColumn) reset() {
	c.count, c.nulls = 0, 0
	c.validity, c.offsets, c.data = c.validity[:0], c.offsets[:0], c.data[:0]
	if c.kind == arrowText || c.kind == arrowBytes {
		c.offsets = binary.LittleEndian.AppendUint32(c.offsets, 0)
	}
}

// append adds a value in Redshift's text form; nil is NULL.
func (c *arrowColumn) append(value []byte) error {
	if value == nil {
		c.appendNull()
		return nil
	}
	if c.nulls > 0 {
		c.setValid(true)
	}
	c.count++
	var err error
	switch c.kind {
	case arrowText:
		c.data = appendValid(c.data, value)
		c.offsets = binary.LittleEndian.AppendUint32(c.offsets, uint32(len(c.data)))
	case arrowBytes:
		c.data, err = appendHex(c.data, value)
		c.offsets = binary.LittleEndian.AppendUint32(c.offsets, uint32(len(c.data)))
	case arrowBool:
		err = c.appendBool(value)
	default:
		c.data, err = appendFixed(c.data, c.kind, c.decimals, value)
	}
	return err
}

// widths of values of a fixed size, in bytes.
var widths = [...]int{
	arrowInt16: 2, arrowInt32: 4, arrowInt64: 8, arrowFloat32: 4, arrowFloat64: 8, arrowDecimal: 16,
	arrowDate: 4, arrowTime: 8, arrowTimestamp: 8, arrowTimestampTZ: 8,
}

var zeros [16]byte

func (c *arrowColumn) appendNull() {
	if c.nulls == 0 { // all before were there
		for i := range c.count {
			c.setBit(&c.validity, i, true)
		}
	}
	c.nulls++
	c.setValid(false)
	switch c.kind {
	case arrowText, arrowBytes:
		c.offsets = binary.LittleEndian.AppendUint32(c.offsets, uint32(len(c.data)))
	case arrowBool:
		c.setBit(&c.data, c.count, false)
	default:
		c.data = append(c.data, zeros[:widths[c.kind]]...)
	}
	c.count++
}

func (c *arrowColumn) setValid(valid bool) { c.setBit(&c.validity, c.count, valid) }

// setBit sets the bit of a row, the lowest of a byte first.
func (c *arrowColumn) setBit(bits *[]byte, row int, set bool) {
	if row/8 >= len(*bits) {
		*bits = append(*bits, 0)
	}
	if set {
		(*bits)[row/8] |= 1 << (row % 8)
	}
}

func (c *arrowColumn) appendBool(value []byte) error {
	truth := truthOf(value)
	c.setBit(&c.data, c.count-1, truth == "true")
	if truth == "" {
		return errValue
	}
	return nil
}
