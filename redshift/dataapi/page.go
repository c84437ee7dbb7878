package dataapi

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"github.com/shiftgrant/shiftgrant/redshift"
)

// A page is one part of a result. Its values are pieces of the answer they came in.
type page struct {
	answer  []byte // the memory, to be used again once the page was read
	columns []redshift.Column
	total   int64  // rows of the whole result; -1 where not told
	token   string // of the next page; "" for none
	rows    rowReader
}

// A rowReader gives rows until io.EOF.
type rowReader interface {
	next(values [][]byte) error
}

// decodePage reads the envelope of GetStatementResult and GetStatementResultV2. The whole
// answer is checked before the first row is read. Strings are unescaped in place, in the memory
// of the answer, after the cursor has passed over all of it.
func decodePage(answer []byte, format string) (*page, error) {
	if !utf8.Valid(answer) {
		return nil, errors.New("the answer is not UTF-8")
	}
	p := &page{answer: answer, total: -1}
	c := &cursor{text: answer}
	csv, fields := csvRecords{}, fieldRecords{}
	seen := map[string]bool{}
	err := c.members(func(name []byte) error {
		if seen[string(name)] {
			return fmt.Errorf("the answer has %q twice", name)
		}
		seen[string(name)] = true
		switch {
		case string(name) == "Records" && format == CSV:
			return csv.decode(c)
		case string(name) == "Records":
			return fields.decode(c)
		}
		return p.decodeMember(string(name), c)
	})
	if err != nil {
		return nil, err
	}
	if err := c.end(); err != nil {
		return nil, err
	}
	if format == CSV {
		p.rows = &csvReader{data: csv.join(answer)}
		return p, nil
	}
	p.rows, err = fields.reader(answer)
	return p, err
}

// decodeMember reads what is not rows, and small.
func (p *page) decodeMember(name string, c *cursor) error {
	place, err := c.skip(0)
	if err != nil {
		return err
	}
	text := c.text[place.start:place.end]
	switch name {
	case "NextToken":
		err = json.Unmarshal(text, &p.token)
	case "TotalNumRows":
		err = json.Unmarshal(text, &p.total)
	case "ColumnMetadata":
		err = p.decodeColumns(text)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

type columnMetadata struct {
	Name      string `json:"name"`
	Label     string `json:"label"`
	TypeName  string `json:"typeName"`
	Precision int    `json:"precision"`
	Scale     int    `json:"scale"`
	Length    int    `json:"length"`
}

func (p *page) decodeColumns(text []byte) error {
	var metadata []columnMetadata
	if err := json.Unmarshal(text, &metadata); err != nil {
		return err
	}
	p.columns = make([]redshift.Column, len(metadata))
	for i, m := range metadata {
		p.columns[i] = m.column()
	}
	return nil
}

func (m columnMetadata) column() redshift.Column {
	name := m.Label // what the query calls it; name is what the table does
	if name == "" {
		name = m.Name
	}
	t := redshift.Type{Kind: redshift.KindOf(m.TypeName), Name: m.TypeName}
	switch {
	case t.Kind == redshift.Numeric:
		t.Precision, t.Scale = m.Precision, m.Scale
	case t.Kind == redshift.Varbyte, m.TypeName == "varchar", m.TypeName == "bpchar", m.TypeName == "char":
		if t.Length = m.Length; t.Length == 0 {
			t.Length = m.Precision // where Redshift's JDBC driver has a string's length
		}
	}
	return redshift.Column{Name: name, Type: t}
}

// csvRecords are the chunks of a page of GetStatementResultV2.
type csvRecords struct{ chunks []span }

func (r *csvRecords) decode(c *cursor) error {
	return c.elements(func() error {
		before := len(r.chunks)
		err := c.members(func(name []byte) error {
			if string(name) != "CSVRecords" {
				return fmt.Errorf("records of a kind %q are not known", name)
			}
			chunk, _, err := c.readString()
			r.chunks = append(r.chunks, chunk)
			return err
		})
		if err == nil && len(r.chunks) != before+1 {
			return errors.New("a record has not one piece of CSV")
		}
		return err
	})
}

// join moves the chunks together, as text. A row does not go on in the next chunk, so one that
// lacks its line's end gets it: there is room, for each chunk's quotes fell away.
func (r *csvRecords) join(answer []byte) []byte {
	if len(r.chunks) == 0 {
		return nil
	}
	start := r.chunks[0].start
	end := start
	for _, chunk := range r.chunks {
		before := end
		end = unescape(answer, end, chunk)
		if end > before && answer[end-1] != '\n' {
			answer[end] = '\n'
			end++
		}
	}
	return answer[start:end]
}

// unescape writes the text of a valid JSON string to answer[at:], which must not lie behind
// the string, and gives the end of what was written. Text is never longer than its escapes.
func unescape(answer []byte, at int, quoted span) int {
	from, end := quoted.start+1, quoted.end-1
	for from < end {
		plain := bytes.IndexByte(answer[from:end], '\\')
		if plain < 0 {
			plain = end - from
		}
		at += copy(answer[at:], answer[from:from+plain])
		from += plain
		if from >= end {
			break
		}
		switch c := answer[from+1]; c {
		case 'u':
			var r rune
			r, from = escapedRune(answer, from)
			at += utf8.EncodeRune(answer[at:at+utf8.UTFMax], r)
		default:
			answer[at] = plainEscape(c)
			at++
			from += 2
		}
	}
	return at
}

func plainEscape(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c // " \ /
}

// escapedRune reads \uXXXX, or two of them that are a surrogate pair.
func escapedRune(answer []byte, from int) (rune, int) {
	first := hexRune(answer[from+2 : from+6])
	from += 6
	if utf16.IsSurrogate(first) { // the cursor accepts whole pairs only
		first = utf16.DecodeRune(first, hexRune(answer[from+2:from+6]))
		from += 6
	}
	return first, from
}

func hexRune(digits []byte) rune {
	value, err := strconv.ParseUint(string(digits), 16, 16)
	if err != nil {
		return utf8.RuneError
	}
	return rune(value)
}

// fieldRecords are the rows of a page of GetStatementResult: one value of the Field union
// after the other.
type fieldRecords struct {
	fields []field
	widths []int
}

type field struct {
	kind kind
	span
}

func (r *fieldRecords) decode(c *cursor) error {
	members := 0
	member := func(name []byte) error {
		members++
		kind, err := fieldKind(name, c.peek())
		if err != nil {
			return err
		}
		place, err := c.scalar()
		r.fields = append(r.fields, field{kind, place})
		return err
	}
	element := func() error {
		members = 0
		err := c.members(member)
		if err == nil && members != 1 {
			return fmt.Errorf("a field has %d values where one should be", members)
		}
		return err
	}
	return c.elements(func() error {
		before := len(r.fields)
		err := c.elements(element)
		r.widths = append(r.widths, len(r.fields)-before)
		return err
	})
}

// A kind is a member of the Field union.
type kind uint8

const (
	isNull kind = iota
	isText
	isNumber
	isBoolean
	isBlob
)

// fieldKind checks a member of the union against the first byte of the JSON that it may be.
func fieldKind(name []byte, first byte) (kind, error) {
	number := first == '-' || isDigit(first)
	switch {
	case string(name) == "stringValue" && first == '"':
		return isText, nil
	case string(name) == "longValue" && number, string(name) == "doubleValue" && number:
		return isNumber, nil
	case string(name) == "doubleValue" && first == '"': // "NaN", "Infinity", "-Infinity"
		return isText, nil
	case string(name) == "booleanValue" && (first == 't' || first == 'f'):
		return isBoolean, nil
	case string(name) == "isNull" && first == 't':
		return isNull, nil
	case string(name) == "blobValue" && first == '"':
		return isBlob, nil
	}
	return 0, fmt.Errorf("a field is %q with a value that begins with %q, which is not known", name, first)
}

// reader turns the fields into Redshift's text form: numbers are copied as they are, strings
// unescaped where they stand.
func (r *fieldRecords) reader(answer []byte) (*fieldReader, error) {
	reader := &fieldReader{widths: r.widths, values: make([][]byte, len(r.fields))}
	for i, f := range r.fields {
		text := answer[f.start:f.end:f.end]
		if f.kind == isText || f.kind == isBlob {
			text = answer[f.start:unescape(answer, f.start, f.span):f.end]
		}
		switch f.kind {
		case isNull:
			continue
		case isBlob:
			raw, err := base64.StdEncoding.AppendDecode(nil, text)
			if err != nil {
				return nil, errors.New("a binary field is not base64")
			}
			text = hex.AppendEncode(make([]byte, 0, 2*len(raw)), raw)
		}
		reader.values[i] = text
	}
	return reader, nil
}

// A fieldReader gives rows of values that were found before.
type fieldReader struct {
	widths []int
	values [][]byte
}

func (r *fieldReader) next(values [][]byte) error {
	if len(r.widths) == 0 {
		return io.EOF
	}
	width := r.widths[0]
	if width != len(values) {
		return errCSVWidth
	}
	copy(values, r.values[:width])
	r.widths, r.values = r.widths[1:], r.values[width:]
	return nil
}
