package encode

import (
	"bytes"
	"unicode/utf8"

	"github.com/shiftgrant/shiftgrant/redshift"
)

// csvLayout is RFC 4180 with a header row. CSV has no place for an end mark or an error: both are
// the door's, as HTTP trailers and as a broken connection.
type csvLayout struct {
	columns []redshift.Column
}

func newCSV(columns []redshift.Column, _ Options) layout { return &csvLayout{columns} }

func (l *csvLayout) begin(b []byte) []byte {
	if len(l.columns) == 0 {
		return b
	}
	for i, column := range l.columns {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendField(b, []byte(column.Name))
	}
	return append(b, "\r\n"...)
}

func (l *csvLayout) row(b []byte, values [][]byte) []byte {
	for i, value := range values {
		if i > 0 {
			b = append(b, ',')
		}
		if value == nil {
			continue // NULL is nothing at all
		}
		if l.columns[i].Type.Kind == redshift.Boolean {
			if truth := truthOf(value); truth != "" {
				b = append(b, truth...)
				continue
			}
		}
		b = appendField(b, value)
	}
	return append(b, "\r\n"...)
}

func (l *csvLayout) end(b []byte, _ redshift.Summary) []byte { return b }

func (l *csvLayout) fail(b, _ []byte) []byte { return b }

// appendField quotes where RFC 4180 §2 asks for it, and the empty string, which is not NULL. Most
// values are short: one walk over the bytes costs less than two searches.
func appendField(b, v []byte) []byte {
	var quoted, wide bool
	for _, c := range v {
		quoted = quoted || c == '"' || c == ',' || c == '\r' || c == '\n'
		wide = wide || c >= utf8.RuneSelf
	}
	if wide && !utf8.Valid(v) {
		v = bytes.ToValidUTF8(v, []byte("\uFFFD"))
	}
	if len(v) > 0 && !quoted {
		return append(b, v...)
	}
	b = append(b, '"')
	for {
		quote := bytes.IndexByte(v, '"')
		if quote < 0 {
			return append(append(b, v...), '"')
		}
		b = append(append(b, v[:quote+1]...), '"')
		v = v[quote+1:]
	}
}
