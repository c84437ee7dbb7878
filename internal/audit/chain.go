package audit

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
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
	name string // the beginning of the SHA-256 of the line of record 1: no two chains have the same
}

const nameLength = 20

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
	c.last, c.head = c.last+1, digest(line)
	if c.last == 1 {
		c.name = c.head[:nameLength]
	}
}

func digest(line []byte) string {
	hash := sha256.Sum256(line)
	return hex.EncodeToString(hash[:])
}

// chainBefore is the chain up to the first line of a file, which says its name where it is not
// the first of all.
func chainBefore(line []byte) (before chain, ok bool) {
	p, ok := placeOf(line)
	if !ok {
		return chain{}, false
	}
	before = chain{last: p.Number - 1, head: *p.Previous}
	if p.Number > 1 {
		var record Record
		_ = json.Unmarshal(line, &record) // what does not say its chain gets a name of its own
		before.name = cmp.Or(record.Chain, digest(line)[:nameLength])
	}
	return before, true
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
