package audit

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// maxLine is more than any record has; what is longer is none.
const maxLine = 4 << 20

// chain is where the next record goes: its number follows last, and it names head.
type chain struct {
	last int64
	head string // SHA-256 of the line of record last, in hexadecimal; "" before the first
}

// place is how a record says where it is in the chain, in front of everything else.
type place struct {
	Number   int64   `json:"n"`
	Previous *string `json:"previous"`
}

// appendLine appends the next record of the chain to text, and moves on.
func (c *chain) appendLine(text, body []byte) []byte {
	start := len(text)
	text = append(text, `{"n":`...)
	text = strconv.AppendInt(text, c.last+1, 10)
	text = append(text, `,"previous":"`...)
	text = append(text, c.head...)
	text = append(text, `",`...)
	text = append(text, body[1:]...)
	c.move(text[start:])
	return append(text, '\n')
}

func (c *chain) move(line []byte) {
	hash := sha256.Sum256(line)
	c.last, c.head = c.last+1, hex.EncodeToString(hash[:])
}

// encode is a record as JSON, without its place.
func encode(record Record) ([]byte, error) {
	record.Time = record.Time.UTC()
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(record); err != nil {
		return nil, fmt.Errorf("encode audit record: %w", err)
	}
	body := printable(bytes.TrimSuffix(buffer.Bytes(), []byte{'\n'}))
	if bytes.Contains(body, []byte("sg_")) {
		body = token.ReplaceAll(body, []byte("${1}****"))
	}
	if len(body) > maxLine/2 {
		return nil, fmt.Errorf("the record has %d bytes", len(body))
	}
	return body, nil
}

// token matches our tokens in a text that holds them against all advice.
var token = regexp.MustCompile(`(sg_[a-z]{2}_)[0-9A-Za-z]{43,}`)

// printable escapes what JSON leaves as it is but a terminal or a reader's eye would follow:
// DEL, the C1 controls, and characters that turn text around or cannot be seen.
func printable(body []byte) []byte {
	isPlain := func(r rune) bool { return r < 0x7f || unicode.IsPrint(r) }
	if !bytes.ContainsFunc(body, func(r rune) bool { return !isPlain(r) }) {
		return body
	}
	escaped := make([]byte, 0, len(body)+64)
	for _, r := range string(body) {
		switch first, second := utf16.EncodeRune(r); {
		case isPlain(r):
			escaped = utf8.AppendRune(escaped, r)
		case first == utf8.RuneError:
			escaped = fmt.Appendf(escaped, `\u%04x`, r)
		default:
			escaped = fmt.Appendf(escaped, `\u%04x\u%04x`, first, second)
		}
	}
	return escaped
}

// placeOf reads the place of a line, if it is a record.
func placeOf(line []byte) (place, bool) {
	var p place
	if !bytes.HasPrefix(line, []byte(`{"n":`)) {
		return p, false
	}
	err := json.Unmarshal(line, &p)
	return p, err == nil && p.Number > 0 && p.Previous != nil
}

// A Verified chain has no gap and no change between its first and its last record.
type Verified struct {
	First, Last int64  // numbers of the records; 0 where there is none
	Head        string // SHA-256 of the last line: kept elsewhere, it shows later that the end is still there
}

// Verify reads records and checks their chain. The error names the first line that does not
// follow from the one before it. A record whose First is not 1 goes on from a file that was
// moved away: verify them together, the older first.
func Verify(r io.Reader) (Verified, error) {
	var checked Verified
	var at chain
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 1<<16), maxLine)
	for number := 1; lines.Scan(); number++ {
		line := lines.Bytes()
		p, ok := placeOf(line)
		if !ok {
			return checked, fmt.Errorf("audit record: line %d is no record", number)
		}
		if number == 1 {
			checked.First = p.Number
			at = chain{p.Number - 1, *p.Previous}
		}
		if p.Number != at.last+1 || *p.Previous != at.head || p.Number == 1 && at.head != "" {
			return checked, fmt.Errorf("audit record: line %d (record %d) does not follow from the line before it, of record %d: one of them was changed, or something between them is missing", number, p.Number, at.last)
		}
		at.move(line)
		checked.Last, checked.Head = at.last, at.head
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return checked, fmt.Errorf("audit record: the line after record %d is no record: it is too long", checked.Last)
	} else if err != nil {
		return checked, fmt.Errorf("read audit record: %w", err)
	}
	return checked, nil
}
