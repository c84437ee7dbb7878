package encode

import (
	"encoding/binary"
	"encoding/json"
	"unicode/utf8"

	"github.com/shiftgrant/shiftgrant/redshift"
)

// valueWriter chooses once for a column how its values are written as JSON.
func valueWriter(kind redshift.Kind, options Options) func(b, value []byte) []byte {
	switch kind {
	case redshift.BigInt:
		if options.Int64AsString {
			return appendString
		}
		return appendNumber
	case redshift.SmallInt, redshift.Integer, redshift.Real, redshift.Double:
		return appendNumber
	case redshift.Boolean:
		return appendBoolean
	case redshift.Super:
		return appendSuper
	}
	return appendString
}

// appendNumber copies what is a number in JSON too. NaN, Infinity, and anything that only looks
// like a number becomes a string: better another type than a document that cannot be read.
func appendNumber(b, value []byte) []byte {
	if isNumber(value) {
		return append(b, value...)
	}
	return appendString(b, value)
}

// isNumber checks the grammar of RFC 8259 §6.
func isNumber(v []byte) bool {
	if len(v) > 0 && v[0] == '-' {
		v = v[1:]
	}
	whole := digits(v)
	if whole == 0 || whole > 1 && v[0] == '0' {
		return false
	}
	v = v[whole:]
	if len(v) > 0 && v[0] == '.' {
		decimals := digits(v[1:])
		if decimals == 0 {
			return false
		}
		v = v[1+decimals:]
	}
	if len(v) > 0 && (v[0] == 'e' || v[0] == 'E') {
		v = v[1:]
		if len(v) > 0 && (v[0] == '+' || v[0] == '-') {
			v = v[1:]
		}
		return len(v) > 0 && digits(v) == len(v)
	}
	return len(v) == 0
}

func digits(v []byte) int {
	for i, c := range v {
		if c < '0' || c > '9' {
			return i
		}
	}
	return len(v)
}

func appendBoolean(b, value []byte) []byte {
	if truth := truthOf(value); truth != "" {
		return append(b, truth...)
	}
	return appendString(b, value)
}

// truthOf knows the wire's t and f and the Data API's true and false; "" is neither.
func truthOf(value []byte) string {
	switch string(value) {
	case "t", "true":
		return "true"
	case "f", "false":
		return "false"
	}
	return ""
}

// appendSuper writes SUPER as the JSON that it is. A line break can only stand between its tokens,
// where a space means the same and keeps an NDJSON row on its line.
func appendSuper(b, value []byte) []byte {
	if !json.Valid(value) || !utf8.Valid(value) {
		return appendString(b, value)
	}
	start := len(b)
	b = append(b, value...)
	for i := start; i < len(b); i++ {
		if b[i] == '\n' || b[i] == '\r' {
			b[i] = ' '
		}
	}
	return b
}

const hexDigits = "0123456789abcdef"

// appendString writes a JSON string. Most need no escape: they are walked eight bytes at a time
// and copied in one piece.
func appendString(b, v []byte) []byte {
	b = append(b, '"')
	for {
		n := plain(v)
		b = append(b, v[:n]...)
		if n == len(v) {
			return append(b, '"')
		}
		v = v[n:]
		size := 1
		switch c := v[0]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c == '\t':
			b = append(b, `\t`...)
		case c < utf8.RuneSelf:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			var r rune
			r, size = utf8.DecodeRune(v)
			b = utf8.AppendRune(b, r) // an invalid byte decodes as U+FFFD
		}
		v = v[size:]
	}
}

// plain is the length of the prefix that a JSON string takes as it is: printable ASCII without
// quote and backslash. The expressions find such a byte among eight at once: a byte of
// (x-k) &^ x & 0x80 is set where x is less than k.
func plain(v []byte) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(v); i += 8 {
		x := binary.LittleEndian.Uint64(v[i:])
		quote, backslash := x^(ones*'"'), x^(ones*'\\')
		special := (x - ones*0x20) &^ x
		special |= (quote - ones) &^ quote
		special |= (backslash - ones) &^ backslash
		if (special|x)&tops != 0 {
			break
		}
	}
	for ; i < len(v); i++ {
		if c := v[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			break
		}
	}
	return i
}
