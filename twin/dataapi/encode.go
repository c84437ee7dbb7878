package dataapi

import (
	"bytes"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// appendRecord appends one row as a list of Fields.
func appendRecord(to []byte, columns []column, values [][]byte) []byte {
	to = append(to, '[')
	for i, value := range values {
		if i > 0 {
			to = append(to, ',')
		}
		to = appendField(to, columns[i].shape, value)
	}
	return append(to, ']')
}

// appendField appends one value as the Field union.
func appendField(to []byte, shape shape, value []byte) []byte {
	switch {
	case value == nil:
		return append(to, `{"isNull":true}`...)
	case shape == integer:
		to = append(to, `{"longValue":`...)
		to = append(to, value...)
	case shape == boolean:
		to = append(to, `{"booleanValue":`...)
		to = append(to, truth(value)...)
	case shape == double && isFinite(value):
		to = append(to, `{"doubleValue":`...)
		to = append(to, value...)
	case shape == double: // JSON has no number for these
		to = append(to, `{"doubleValue":`...)
		to = appendString(to, string(value))
	default:
		to = append(to, `{"stringValue":`...)
		to = appendString(to, redshiftText(shape, value))
	}
	return append(to, '}')
}

// redshiftText is a value in the text form of the Data API's JSON.
func redshiftText(shape shape, value []byte) string {
	s := string(value)
	switch {
	case shape == timestamp && !strings.Contains(s, ".") && !strings.Contains(s, "infinity"):
		return s + ".0"
	case shape == hexadecimal:
		return strings.TrimPrefix(s, `\x`)
	default:
		return s
	}
}

func truth(value []byte) string {
	if len(value) == 1 && value[0] == 't' {
		return "true"
	}
	return "false"
}

func isFinite(value []byte) bool {
	return !bytes.ContainsAny(value, "NI") // NaN, Infinity, -Infinity
}

// appendString appends a JSON string. PostgreSQL's text is valid UTF-8.
func appendString(to []byte, s string) []byte {
	quoted, err := jsontext.AppendQuote(to, s)
	if err != nil {
		quoted, _ = jsontext.AppendQuote(to, strings.ToValidUTF8(s, "\ufffd")) // cannot fail any more
	}
	return quoted
}

// appendHeader appends the first line of a CSV result.
func appendHeader(to []byte, columns []column) []byte {
	for i, c := range columns {
		if i > 0 {
			to = append(to, ',')
		}
		to = appendCSV(to, []byte(c.Name))
	}
	return append(to, '\n')
}

// appendLine appends one row of CSV. NULL is nothing, the empty string is "" (our guess: AWS
// does not say how it tells them apart).
func appendLine(to []byte, columns []column, values [][]byte) []byte {
	for i, value := range values {
		if i > 0 {
			to = append(to, ',')
		}
		switch shape := columns[i].shape; {
		case value == nil:
		case shape == boolean:
			to = append(to, truth(value)...)
		case shape == hexadecimal:
			to = append(to, bytes.TrimPrefix(value, []byte(`\x`))...)
		default:
			to = appendCSV(to, value)
		}
	}
	return append(to, '\n')
}

// appendCSV quotes where RFC 4180 asks for it, and the empty string.
func appendCSV(to, value []byte) []byte {
	if len(value) > 0 && !bytes.ContainsAny(value, ",\"\r\n") {
		return append(to, value...)
	}
	to = append(to, '"')
	for _, c := range value {
		if c == '"' {
			to = append(to, '"')
		}
		to = append(to, c)
	}
	return append(to, '"')
}
