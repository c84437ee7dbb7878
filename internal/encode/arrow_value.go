package encode

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"math/bits"
	"strconv"
	"unicode/utf8"
	"unsafe"
)

// errValue says that a value cannot be written in Arrow's form. It does not repeat the value.
var errValue = errors.New("a value cannot be held by its Arrow type: ask for another format")

// appendValid copies UTF-8, with U+FFFD for what is none.
func appendValid(b, value []byte) []byte {
	if utf8.Valid(value) {
		return append(b, value...)
	}
	for len(value) > 0 {
		r, size := utf8.DecodeRune(value)
		b = utf8.AppendRune(b, r)
		value = value[size:]
	}
	return b
}

// appendHex decodes hexadecimal, with or without PostgreSQL's \x before it.
func appendHex(b, value []byte) ([]byte, error) {
	if len(value) >= 2 && value[0] == '\\' && value[1] == 'x' {
		value = value[2:]
	}
	decoded, err := hex.AppendDecode(b, value)
	if err != nil {
		return b, errValue
	}
	return decoded, nil
}

// appendFixed appends a value of a fixed size.
func appendFixed(b []byte, kind arrowKind, decimals int, value []byte) ([]byte, error) {
	// strconv takes strings; this one does not outlive the call, nor change during it.
	text := unsafe.String(unsafe.SliceData(value), len(value))
	switch kind {
	case arrowInt16:
		n, err := strconv.ParseInt(text, 10, 16)
		return binary.LittleEndian.AppendUint16(b, uint16(n)), orValue(err)
	case arrowInt32:
		n, err := strconv.ParseInt(text, 10, 32)
		return binary.LittleEndian.AppendUint32(b, uint32(n)), orValue(err)
	case arrowInt64:
		n, err := strconv.ParseInt(text, 10, 64)
		return binary.LittleEndian.AppendUint64(b, uint64(n)), orValue(err)
	case arrowFloat32:
		f, err := strconv.ParseFloat(text, 32)
		return binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(f))), orValue(err)
	case arrowFloat64:
		f, err := strconv.ParseFloat(text, 64)
		return binary.LittleEndian.AppendUint64(b, math.Float64bits(f)), orValue(err)
	case arrowDecimal:
		high, low, err := parseDecimal(value, decimals)
		return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(b, low), high), err
	case arrowDate:
		days, rest, err := parseDate(value)
		if err == nil && len(rest) > 0 {
			err = errValue
		}
		return binary.LittleEndian.AppendUint32(b, uint32(int32(days))), err
	case arrowTime:
		micros, rest, err := parseTimeOfDay(value)
		if err == nil && len(rest) > 0 {
			err = errValue
		}
		return binary.LittleEndian.AppendUint64(b, uint64(micros)), err
	}
	micros, err := parseTimestamp(value, kind == arrowTimestampTZ)
	return binary.LittleEndian.AppendUint64(b, uint64(micros)), err
}

func orValue(err error) error {
	if err != nil {
		return errValue
	}
	return nil
}

// parseDecimal gives the digits of a decimal as a 128-bit integer in two's complement, scaled by
// decimals.
func parseDecimal(value []byte, decimals int) (high, low uint64, err error) {
	negative := len(value) > 0 && value[0] == '-'
	if negative {
		value = value[1:]
	}
	digits, after := 0, -1 // digits behind the point; -1 before one was seen
	for _, c := range value {
		if c == '.' && after < 0 {
			after = 0
			continue
		}
		if c < '0' || c > '9' || after == decimals {
			return 0, 0, errValue
		}
		if high, low, err = timesTenPlus(high, low, uint64(c-'0')); err != nil {
			return 0, 0, err
		}
		digits++
		if after >= 0 {
			after++
		}
	}
	if digits == 0 {
		return 0, 0, errValue
	}
	for range decimals - max(after, 0) {
		if high, low, err = timesTenPlus(high, low, 0); err != nil {
			return 0, 0, err
		}
	}
	if negative {
		var borrow uint64
		low, borrow = bits.Sub64(0, low, 0)
		high, _ = bits.Sub64(0, high, borrow)
	}
	return high, low, nil
}

func timesTenPlus(high, low, digit uint64) (uint64, uint64, error) {
	carry, product := bits.Mul64(low, 10)
	overflow, upper := bits.Mul64(high, 10)
	product, c := bits.Add64(product, digit, 0)
	upper, c2 := bits.Add64(upper, carry, c)
	if overflow != 0 || c2 != 0 || upper >= 1<<63 {
		return 0, 0, errValue
	}
	return upper, product, nil
}

// number reads digits, at least one and at most nine.
func number(v []byte) (n int, rest []byte, err error) {
	i := 0
	for i < len(v) && i < 9 && '0' <= v[i] && v[i] <= '9' {
		n = 10*n + int(v[i]-'0')
		i++
	}
	if i == 0 {
		return 0, nil, errValue
	}
	return n, v[i:], nil
}

// separated reads a separator and the digits behind it.
func separated(v []byte, separator byte) (n int, rest []byte, err error) {
	if len(v) == 0 || v[0] != separator {
		return 0, nil, errValue
	}
	return number(v[1:])
}

// parseDate reads 2006-01-02 as days since 1970. A year before our era, "infinity" and the like
// are beyond it.
func parseDate(v []byte) (days int64, rest []byte, err error) {
	year, rest, err := number(v)
	if err != nil {
		return 0, nil, err
	}
	month, rest, err := separated(rest, '-')
	if err != nil {
		return 0, nil, err
	}
	day, rest, err := separated(rest, '-')
	if err != nil || year < 1 || month < 1 || month > 12 || day < 1 || day > 31 {
		return 0, nil, errValue
	}
	return daysSince1970(year, month, day), rest, nil
}

// daysSince1970 counts days of the Gregorian calendar, in years that begin in March so that the
// leap day comes last.
func daysSince1970(year, month, day int) int64 {
	y, m := int64(year), int64(month)
	if m <= 2 {
		y--
		m += 12
	}
	const toMarch0000 = 719468 // days from 0000-03-01 to 1970-01-01
	return 365*y + y/4 - y/100 + y/400 + (153*(m-3)+2)/5 + int64(day) - 1 - toMarch0000
}

const (
	microsecond = 1
	second      = 1_000_000 * microsecond
	minute      = 60 * second
	hour        = 60 * minute
	dayLength   = 24 * hour
)

// parseTimeOfDay reads 15:04:05.999999 as microseconds.
func parseTimeOfDay(v []byte) (micros int64, rest []byte, err error) {
	h, rest, err := number(v)
	if err != nil {
		return 0, nil, err
	}
	m, rest, err := separated(rest, ':')
	if err != nil {
		return 0, nil, err
	}
	s, rest, err := separated(rest, ':')
	if err != nil || h > 24 || m > 59 || s > 60 {
		return 0, nil, errValue
	}
	micros = int64(h)*hour + int64(m)*minute + int64(s)*second
	if len(rest) == 0 || rest[0] != '.' {
		return micros, rest, nil
	}
	rest = rest[1:]
	for unit := int64(second / 10); len(rest) > 0 && '0' <= rest[0] && rest[0] <= '9'; unit /= 10 {
		micros += int64(rest[0]-'0') * unit
		rest = rest[1:]
	}
	return micros, rest, nil
}

// parseTimestamp reads 2006-01-02 15:04:05.999999, with an offset such as +00 or -03:30 where the
// type has one, as microseconds since 1970 in UTC.
func parseTimestamp(v []byte, zoned bool) (int64, error) {
	days, rest, err := parseDate(v)
	if err != nil {
		return 0, err
	}
	if len(rest) == 0 || rest[0] != ' ' && rest[0] != 'T' {
		return 0, errValue
	}
	micros, rest, err := parseTimeOfDay(rest[1:])
	if err != nil {
		return 0, err
	}
	micros += days * dayLength
	if !zoned {
		if len(rest) > 0 {
			return 0, errValue
		}
		return micros, nil
	}
	offset, err := parseOffset(rest)
	return micros - offset, err
}

func parseOffset(v []byte) (micros int64, err error) {
	if len(v) == 1 && v[0] == 'Z' {
		return 0, nil
	}
	if len(v) == 0 || v[0] != '+' && v[0] != '-' {
		return 0, errValue
	}
	h, rest, err := number(v[1:])
	if err != nil {
		return 0, err
	}
	micros = int64(h) * hour
	for _, unit := range []int64{minute, second} {
		if len(rest) == 0 {
			break
		}
		var n int
		if n, rest, err = separated(rest, ':'); err != nil {
			return 0, err
		}
		micros += int64(n) * unit
	}
	if len(rest) > 0 {
		return 0, errValue
	}
	if v[0] == '-' {
		micros = -micros
	}
	return micros, nil
}
