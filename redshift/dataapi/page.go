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
	"github.com/go-json-experiment/json/jsontext"

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

// A span is a JSON value's place in the answer.
type span struct{ start, end int }

// decodePage reads the envelope of GetStatementResult and GetStatementResultV2. The whole
// answer is checked before the first row is read. The decoder notes where strings are; they
// are unescaped in place after it has finished, because the decoder reads the same memory.
func decodePage(answer []byte, format string) (*page, error) {
	p := &page{answer: answer, total: -1}
	decoder := jsontext.NewDecoder(bytes.NewBuffer(answer))
	var records func() error
	csv, fields := &csvRecords{}, &fieldRecords{}
	if format == CSV {
		records = func() error { return csv.decode(decoder) }
	} else {
		records = func() error { return fields.decode(decoder) }
	}
	err := eachMember(decoder, func(name string) error {
		switch name {
		case "Records":
			return records()
		case "ColumnMetadata":
			return p.decodeColumns(decoder)
		case "NextToken":
			return json.UnmarshalDecode(decoder, &p.token)
		case "TotalNumRows":
			return json.UnmarshalDecode(decoder, &p.total)
		}
		return decoder.SkipValue()
	})
	if err != nil {
		return nil, err
	}
	if _, err := decoder.ReadToken(); err != io.EOF {
		return nil, errors.New("something follows the answer's JSON")
	}
	if format == CSV {
		p.rows = &csvReader{data: csv.join(answer)}
		return p, nil
	}
	p.rows, err = fields.reader(answer)
	return p, err
}

// eachMember reads an object; member has to read the value.
func eachMember(decoder *jsontext.Decoder, member func(name string) error) error {
	token, err := decoder.ReadToken()
	if err != nil {
		return err
	}
	if token.Kind() != '{' {
		return fmt.Errorf("there is %v where an object should be", token.Kind())
	}
	for decoder.PeekKind() != '}' {
		name, err := decoder.ReadToken()
		if err != nil {
			return err
		}
		if err := member(name.String()); err != nil {
			return err
		}
	}
	_, err = decoder.ReadToken()
	return err
}

// eachElement reads an array; element has to read the value.
func eachElement(decoder *jsontext.Decoder, element func() error) error {
	token, err := decoder.ReadToken()
	if err != nil {
		return err
	}
	if token.Kind() != '[' {
		return fmt.Errorf("there is %v where an array should be", token.Kind())
	}
	for decoder.PeekKind() != ']' {
		if err := element(); err != nil {
			return err
		}
	}
	_, err = decoder.ReadToken()
	return err
}

// readString notes the place of a string, quotes included.
func readString(decoder *jsontext.Decoder) (span, error) {
	if kind := decoder.PeekKind(); kind != '"' && kind != 0 {
		return span{}, fmt.Errorf("there is %v where a string should be", kind)
	}
	return readSpan(decoder)
}

func readSpan(decoder *jsontext.Decoder) (span, error) {
	value, err := decoder.ReadValue()
	end := int(decoder.InputOffset())
	return span{end - len(value), end}, err
}

type columnMetadata struct {
	Name      string `json:"name"`
	Label     string `json:"label"`
	TypeName  string `json:"typeName"`
	Precision int    `json:"precision"`
	Scale     int    `json:"scale"`
	Length    int    `json:"length"`
}

func (p *page) decodeColumns(decoder *jsontext.Decoder) error {
	var metadata []columnMetadata
	if err := json.UnmarshalDecode(decoder, &metadata); err != nil {
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

func (r *csvRecords) decode(decoder *jsontext.Decoder) error {
	return eachElement(decoder, func() error {
		return eachMember(decoder, func(name string) error {
			if name != "CSVRecords" {
				return fmt.Errorf("records of a kind %q are not known", name)
			}
			chunk, err := readString(decoder)
			r.chunks = append(r.chunks, chunk)
			return err
		})
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
	if utf16.IsSurrogate(first) { // the decoder accepts whole pairs only
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
	kind string // of the union: "stringValue"
	span
}

func (r *fieldRecords) decode(decoder *jsontext.Decoder) error {
	return eachElement(decoder, func() error {
		before := len(r.fields)
		err := eachElement(decoder, func() error { return r.decodeField(decoder) })
		r.widths = append(r.widths, len(r.fields)-before)
		return err
	})
}

func (r *fieldRecords) decodeField(decoder *jsontext.Decoder) error {
	members := 0
	err := eachMember(decoder, func(name string) error {
		members++
		kind, err := fieldKind(name, decoder.PeekKind())
		if err != nil {
			return err
		}
		place, err := readSpan(decoder)
		r.fields = append(r.fields, field{kind, place})
		return err
	})
	if err == nil && members != 1 {
		return fmt.Errorf("a field has %d values where one should be", members)
	}
	return err
}

// fieldKind checks a member of the union against the JSON that it may be.
func fieldKind(name string, kind jsontext.Kind) (string, error) {
	fits := false
	switch name {
	case "stringValue", "blobValue":
		fits = kind == '"'
	case "longValue":
		fits = kind == '0'
	case "doubleValue":
		fits = kind == '0' || kind == '"' // "NaN", "Infinity", "-Infinity" are strings
	case "booleanValue":
		fits = kind == 't' || kind == 'f'
	case "isNull":
		fits = kind == 't'
	}
	if !fits {
		return "", fmt.Errorf("a field is %q with %v, which is not known", name, kind)
	}
	return name, nil
}

// reader turns the fields into Redshift's text form: numbers are copied as they are, strings
// unescaped where they stand.
func (r *fieldRecords) reader(answer []byte) (*fieldReader, error) {
	reader := &fieldReader{widths: r.widths, values: make([][]byte, len(r.fields))}
	for i, f := range r.fields {
		text := answer[f.start:f.end:f.end]
		if f.end > f.start && answer[f.start] == '"' {
			text = answer[f.start:unescape(answer, f.start, f.span):f.end]
		}
		switch f.kind {
		case "isNull":
			continue
		case "blobValue":
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
