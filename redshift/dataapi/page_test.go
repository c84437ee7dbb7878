package dataapi

import (
	"bytes"
	stdjson "encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

func TestPageEnvelopeIsCheckedAsAWhole(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		format, answer string
	}{
		"nothing":                  {CSV, ``},
		"no object":                {CSV, `[]`},
		"null":                     {CSV, `null`},
		"cut":                      {CSV, `{"Records":[{"CSVRecords":"a\n"}]`},
		"something behind":         {CSV, `{"Records":[]} {}`},
		"a name twice":             {CSV, `{"Records":[],"Records":[]}`},
		"records of another kind":  {CSV, `{"Records":[{"ArrowRecords":"a"}]}`},
		"records that are null":    {CSV, `{"Records":null}`},
		"a chunk that is a number": {CSV, `{"Records":[{"CSVRecords":1}]}`},
		"half a surrogate pair":    {CSV, `{"Records":[{"CSVRecords":"\ud83d"}]}`},
		"a raw line end":           {CSV, "{\"Records\":[{\"CSVRecords\":\"a\n\"}]}"},
		"invalid UTF-8":            {CSV, "{\"Records\":[{\"CSVRecords\":\"\xff\"}]}"},
		"a token that is a number": {CSV, `{"Records":[],"NextToken":1}`},
		"columns as an object":     {CSV, `{"Records":[],"ColumnMetadata":{}}`},
		"a field of two kinds":     {JSON, `{"Records":[[{"longValue":1,"stringValue":"a"}]]}`},
		"a field of no kind":       {JSON, `{"Records":[[{}]]}`},
		"a field of a new kind":    {JSON, `{"Records":[[{"dateValue":"x"}]]}`},
		"isNull that is false":     {JSON, `{"Records":[[{"isNull":false}]]}`},
		"a number as a string":     {JSON, `{"Records":[[{"stringValue":1}]]}`},
		"a long as a string":       {JSON, `{"Records":[[{"longValue":"1"}]]}`},
		"a blob that is no base64": {JSON, `{"Records":[[{"blobValue":"*"}]]}`},
		"a row that is no array":   {JSON, `{"Records":[{}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := decodePage([]byte(row.answer), row.format); err == nil {
				t.Error("it was taken")
			}
		})
	}
}

func TestPageEnvelopeInAnyOrder(t *testing.T) {
	t.Parallel()
	answer := `{"Unknown":{"a":[1,{}]},"NextToken":"n\u0041","Records":[{"CSVRecords":"a\r\n"},{"CSVRecords":""},{"CSVRecords":"1"},{"CSVRecords":"\u00e9\ud83d\ude00\/\\\b\f\t\n"}],
		"TotalNumRows":7,"ColumnMetadata":[{"name":"a","typeName":"super"}]}`
	p, err := decodePage([]byte(answer), CSV)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(p.rows.(*csvReader).data), "a\r\n1\né😀/\\\b\f\t\n"; got != want {
		t.Errorf("data %q, want %q", got, want)
	}
	if p.token != "nA" || p.total != 7 || len(p.columns) != 1 || p.columns[0].Name != "a" {
		t.Errorf("page %+v", p)
	}
}

func TestPageIsDecodedWithFewAllocations(t *testing.T) {
	answer := benchmarkPage(t, 10_000)
	work := make([]byte, len(answer))
	allocations := testing.AllocsPerRun(5, func() {
		if _, err := decodePage(work[:copy(work, answer)], CSV); err != nil {
			t.Error(err)
		}
	})
	if allocations > 100 {
		t.Errorf("%v allocations for a page", allocations)
	}
}

// FuzzCursor compares what the cursor takes for JSON with what jsontext does.
func FuzzCursor(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,-0.5e+7,true,false,null,"\u00e9\ud83d\ude00\n"]}`, `01`, `"\ud83d"`, `"\ud83d\u0041"`, `[1,]`, `{"a"}`, `-`, `1.`, `1e`, `tru`, " 1 ", `[[]]`, "\"\x1f\"", `"\x"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c := &cursor{text: text}
		_, err := c.skip(0)
		if err == nil {
			err = c.end()
		}
		got := err == nil && utf8.Valid(text)
		want := jsontext.Value(text).IsValid(jsontext.AllowDuplicateNames(true))
		if got != want && !strings.Contains(fmt.Sprint(err), "too deeply") {
			t.Fatalf("%q is JSON: %v (%v), want %v", text, got, err, want)
		}
	})
}

// FuzzPage compares what is unescaped in place with what package json makes of it.
func FuzzPage(f *testing.F) {
	for _, seed := range []string{
		`{"Records":[{"CSVRecords":"a,b\n1,\"\"\n"}],"NextToken":"t","TotalNumRows":1}`,
		`{"Records":[{"CSVRecords":"\u00e9\ud83d\ude00"},{"CSVRecords":"x"}]}`,
		`{"Records":[]}`, `{"ReCords":0}`, `{`, ``, `{"Records":[{}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		var want struct{ Records []struct{ CSVRecords string } }
		jsonErr := json.Unmarshal(answer, &want)
		p, err := decodePage(bytes.Clone(answer), CSV)
		if err != nil {
			return
		}
		if jsonErr != nil {
			t.Fatalf("%q was taken; package json says %v", answer, jsonErr)
		}
		var joined strings.Builder
		for _, record := range want.Records {
			joined.WriteString(record.CSVRecords)
			if record.CSVRecords != "" && !strings.HasSuffix(record.CSVRecords, "\n") {
				joined.WriteByte('\n')
			}
		}
		if got := string(p.rows.(*csvReader).data); got != joined.String() {
			t.Fatalf("%q: data %q, want %q", answer, got, joined.String())
		}
	})
}

// FuzzFields reads a page of fields and compares each string with jsontext's reading.
func FuzzFields(f *testing.F) {
	for _, seed := range []string{
		`{"Records":[[{"longValue":1},{"stringValue":"a\u00e9\n"}],[{"isNull":true},{"doubleValue":"NaN"}]]}`,
		`{"Records":[[{"blobValue":"AP8="},{"booleanValue":true}]]}`, `{"Records":[[]]}`, `{"Records":[`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		p, err := decodePage(bytes.Clone(answer), JSON)
		if err != nil {
			return
		}
		if !jsontext.Value(answer).IsValid() {
			t.Fatalf("%q was taken and is no JSON", answer)
		}
		var want struct{ Records [][]map[string]any }
		decoder := stdjson.NewDecoder(bytes.NewReader(answer))
		decoder.UseNumber()
		if err := decoder.Decode(&want); err != nil {
			t.Fatal(err)
		}
		if p.rows.(*fieldReader).widths == nil {
			return
		}
		for _, row := range want.Records {
			values := make([][]byte, len(row))
			if err := p.rows.next(values); err != nil {
				t.Fatalf("%q: %v", answer, err)
			}
			for i, field := range row {
				if s, ok := field["stringValue"].(string); ok && s != string(values[i]) {
					t.Fatalf("%q: %q, want %q", answer, values[i], s)
				}
				if n, ok := field["longValue"].(stdjson.Number); ok && n.String() != string(values[i]) {
					t.Fatalf("%q: %q, want %q", answer, values[i], n)
				}
				if _, null := field["isNull"]; null != (values[i] == nil) {
					t.Fatalf("%q: NULL is %v, want %v", answer, values[i] == nil, null)
				}
			}
		}
		if err := p.rows.next(nil); err != io.EOF {
			t.Fatalf("%q: %v after the last row", answer, err)
		}
	})
}

func benchmarkPage(tb testing.TB, rows int) []byte {
	tb.Helper()
	row := "123456,plain text,2026-11-23 13:00:00,12.50,\"with, comma\",,17,x\n"
	chunk, err := stdjson.Marshal(strings.Repeat(row, rows))
	if err != nil {
		tb.Fatal(err)
	}
	return []byte(`{` + twoColumns + `,"Records":[{"CSVRecords":` + string(chunk) + `}],"TotalNumRows":1}`)
}

func BenchmarkPage(b *testing.B) {
	answer := benchmarkPage(b, 20_000)
	work := make([]byte, len(answer))
	b.SetBytes(int64(len(answer)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodePage(work[:copy(work, answer)], CSV); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFields(b *testing.B) {
	row := `[{"longValue":123456},{"stringValue":"plain text"},{"stringValue":"2026-11-23 13:00:00"},{"isNull":true},{"doubleValue":1.5},{"booleanValue":true}]`
	answer := []byte(`{` + twoColumns + `,"Records":[` + strings.TrimSuffix(strings.Repeat(row+",", 6000), ",") + `],"TotalNumRows":1}`)
	work := make([]byte, len(answer))
	b.SetBytes(int64(len(answer)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodePage(work[:copy(work, answer)], JSON); err != nil {
			b.Fatal(err)
		}
	}
}
