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

// quotedFor marks the bytes for which RFC 4180 §2 asks for quotes.
var quotedFor = [256]byte{'"': 1, ',': 1, '\r': 1, '\n': 1}

// appendField quotes where it must, and the empty string, which is not NULL. Most values are short:
// one look at each byte costs less than two searches.
func appendField(b, v []byte) []byte {
	var quoted, all byte
	for _, c := range v {
		quoted |= quotedFor[c]
		all |= c
	}
	if all >= utf8.RuneSelf && !utf8.Valid(v) {
		v = bytes.ToValidUTF8(v, []byte("\uFFFD"))
	}
	if quoted == 0 && len(v) > 0 {
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
