package encode

import (
	"strconv"
	"strings"

	"github.com/shiftgrant/shiftgrant/redshift"
)

// jsonLayout is both JSON and NDJSON: they differ in what stands around the rows.
type jsonLayout struct {
	values      []func(b, value []byte) []byte // how each column is written
	columns     []redshift.Column
	statementID string
	lines       bool // NDJSON
	rows        int64
}

func newJSON(columns []redshift.Column, options Options) layout {
	return newJSONLayout(columns, options, false)
}

func newNDJSON(columns []redshift.Column, options Options) layout {
	return newJSONLayout(columns, options, true)
}

func newJSONLayout(columns []redshift.Column, options Options, lines bool) *jsonLayout {
	l := &jsonLayout{columns: columns, statementID: options.StatementID, lines: lines}
	for _, column := range columns {
		l.values = append(l.values, valueWriter(column.Type.Kind, options))
	}
	return l
}

func (l *jsonLayout) begin(b []byte) []byte {
	b = append(b, '{')
	if l.statementID != "" {
		b = append(b, `"statement_id":`...)
		b = append(appendString(b, []byte(l.statementID)), ',')
	}
	b = appendColumns(append(b, `"columns":`...), l.columns)
	if l.lines {
		return append(b, "}\n"...)
	}
	return append(b, `,"rows":[`...)
}

func (l *jsonLayout) row(b []byte, values [][]byte) []byte {
	if !l.lines {
		if l.rows > 0 {
			b = append(b, ',')
		}
		b = append(b, '\n')
	}
	l.rows++
	b = append(b, '[')
	for i, value := range values {
		if i > 0 {
			b = append(b, ',')
		}
		if value == nil {
			b = append(b, "null"...)
			continue
		}
		b = l.values[i](b, value)
	}
	b = append(b, ']')
	if l.lines {
		b = append(b, '\n')
	}
	return b
}

func (l *jsonLayout) end(b []byte, summary redshift.Summary) []byte {
	b = l.closeRows(b)
	b = strconv.AppendInt(append(b, `"row_count":`...), summary.RowCount, 10)
	if len(l.columns) == 0 && summary.RowsAffected >= 0 {
		b = strconv.AppendInt(append(b, `,"rows_affected":`...), summary.RowsAffected, 10)
	}
	b = strconv.AppendBool(append(b, `,"truncated":`...), summary.Truncated)
	if summary.Truncated {
		b = appendString(append(b, `,"limit":`...), []byte(summary.Limit))
	}
	if summary.Duration > 0 {
		b = strconv.AppendInt(append(b, `,"duration_ms":`...), summary.Duration.Milliseconds(), 10)
	}
	return append(b, ",\"complete\":true}\n"...)
}

func (l *jsonLayout) fail(b, problem []byte) []byte {
	b = l.closeRows(b)
	b = append(append(b, `"error":`...), problem...)
	return append(b, ",\"complete\":false}\n"...)
}

// closeRows leaves an object open: the document itself, or the last line.
func (l *jsonLayout) closeRows(b []byte) []byte {
	switch {
	case l.lines:
		return append(b, '{')
	case l.rows > 0:
		b = append(b, '\n')
	}
	return append(b, "],"...)
}

// appendColumns describes the result: names, types, and the modifiers that a type has.
func appendColumns(b []byte, columns []redshift.Column) []byte {
	b = append(b, '[')
	for i, column := range columns {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(append(b, `{"name":`...), []byte(column.Name))
		b = appendString(append(b, `,"type":`...), []byte(typeName(column.Type)))
		if column.Type.Kind == redshift.Numeric && column.Type.Precision > 0 {
			b = strconv.AppendInt(append(b, `,"precision":`...), int64(column.Type.Precision), 10)
			b = strconv.AppendInt(append(b, `,"scale":`...), int64(column.Type.Scale), 10)
		}
		if column.Type.Length > 0 && (column.Type.Kind == redshift.Text || column.Type.Kind == redshift.Varbyte) {
			b = strconv.AppendInt(append(b, `,"length":`...), int64(column.Type.Length), 10)
		}
		b = append(b, '}')
	}
	return append(b, ']')
}

// typeName is Redshift's documented name of a type; one that we do not know keeps the name that
// the transport gave it, such as hllsketch.
func typeName(t redshift.Type) string {
	if t.Kind != redshift.Text {
		return t.Kind.String()
	}
	switch name := strings.ToLower(t.Name); name {
	case "", "text", "name", "character varying":
		return "varchar"
	case "bpchar", "character":
		return "char"
	default:
		return name
	}
}
