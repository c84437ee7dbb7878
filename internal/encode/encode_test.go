package encode

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/shiftgrant/shiftgrant/redshift"
)

// table is a result in memory; ∅ in a test's text stands for NULL.
type table struct {
	columns []redshift.Column
	rows    [][][]byte
	err     error
	before  func(row int)
	summary redshift.Summary
	at      int
}

func (t *table) Columns() []redshift.Column { return t.columns }

func (t *table) Next() bool {
	if t.before != nil {
		t.before(t.at)
	}
	t.at++
	return t.at <= len(t.rows)
}
func (t *table) Values() [][]byte { return t.rows[t.at-1] }
func (t *table) Err() error       { return t.err }
func (t *table) Close() error     { return nil }

func (t *table) Summary() redshift.Summary {
	s := t.summary
	s.RowCount = int64(min(t.at, len(t.rows)))
	return s
}

func column(name, typeName string) redshift.Column {
	return redshift.Column{Name: name, Type: redshift.Type{Kind: redshift.KindOf(typeName), Name: typeName}}
}

func tableOf(columns []redshift.Column, rows ...[]string) *table {
	t := &table{columns: columns, summary: redshift.Summary{RowsAffected: -1}}
	for _, row := range rows {
		values := make([][]byte, len(row))
		for i, value := range row {
			if value != "∅" {
				values[i] = []byte(value)
			}
		}
		t.rows = append(t.rows, values)
	}
	return t
}

// everyKind has one column of each kind and rows with what is special about each.
func everyKind() *table {
	kinds := []string{
		"varchar", "bool", "int2", "int4", "int8", "float4", "float8", "numeric", "date", "time", "timetz", "timestamp", "timestamptz",
		"intervaly2m", "intervald2s", "super", "varbyte", "geometry", "geography", "bpchar", "hllsketch",
	}
	var columns []redshift.Column
	for _, kind := range kinds {
		columns = append(columns, column(kind+"_column", kind))
	}
	columns[0].Type.Length = 256
	columns[7].Type.Precision, columns[7].Type.Scale = 18, 0
	columns[16].Type.Length = 64
	columns[19].Type.Length = 3
	null := strings.Split(strings.TrimSuffix(strings.Repeat("∅,", len(kinds)), ","), ",")
	return tableOf(columns,
		[]string{
			"plain", "t", "-32768", "2147483647", "9223372036854775807", "1.5", "-1e-07", "0.10", "2026-11-23", "15:04:05.999999", "15:04:05+00",
			"2026-11-23 15:04:05.999999", "2026-11-23 15:04:05+00", "1 year 2 mons", "3 days 04:05:06", `{"a":[1,null]}`, "00ff", "0101", "0101", "de ", "AQ==",
		},
		null,
		[]string{
			"", "false", "0", "-0", "-9223372036854775808", "NaN", "-Infinity", "NaN", "4713-01-01 BC", "24:00:00", "00:00:00-12:30",
			"infinity", "epoch", "", "", "[1,\n 2,\r\n{\"a\":\"b\"}]", "", "", "", "   ", "",
		},
		[]string{
			"quote \" comma , back \\ slash / tab \t line\nend\r\x00\x1f é 日本 😀 \u2028", "true", "1", "1", "1", "1e+20", "Infinity", "123456789012345678901234567890.123",
			"2026-01-01", "00:00:00", "00:00:00+00", "2026-01-01 00:00:00", "2026-01-01 00:00:00+00", "-1 mons", "1 day", `not json`, "0A", "0102", "0102", "\"q\"", "a,b",
		},
		[]string{
			"bad \xff\xc3( utf-8", "maybe", "007", "+1", "1_000", "1.", ".5", "1,5", "x", "x", "x", "x", "x", "x", "x", "{\"a\":\"\xff\"}", "x", "x", "x", "x", "x",
		},
	)
}

func TestEveryKindInEveryFormat(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		format  Format
		options Options
		golden  string
	}{
		{JSON, Options{StatementID: "st_1"}, "every_kind.json"},
		{JSON, Options{Int64AsString: true}, "every_kind_int64.json"},
		{NDJSON, Options{StatementID: "st_1"}, "every_kind.ndjson"},
		{CSV, Options{}, "every_kind.csv"},
	} {
		var got bytes.Buffer
		summary, err := Write(&got, c.format, everyKind(), c.options)
		if err != nil || summary.RowCount != 5 {
			t.Fatalf("%s: %+v, %v", c.golden, summary, err)
		}
		golden(t, c.golden, got.Bytes())
	}
}

// golden compares with a file of testdata; UPDATE=1 writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := "testdata/" + name
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs:\n%s", name, got)
	}
}

func TestEnds(t *testing.T) {
	t.Parallel()
	one := []redshift.Column{column("a", "int4")}
	huge := make([][]string, 30000) // more than a buffer, so that the first byte is out
	for i := range huge {
		huge[i] = []string{"12345"}
	}
	failure := &redshift.Error{Message: "disk full"}
	problem := Options{Problem: func(err error) []byte { return []byte(`{"detail":"` + err.(*redshift.Error).Message + `"}`) }}
	for _, c := range []struct {
		name    string
		format  Format
		table   *table
		options Options
		wantEnd string
		wantErr bool
	}{
		{"JSON without rows", JSON, tableOf(one), Options{}, `{"columns":[{"name":"a","type":"integer"}],"rows":[],"row_count":0,"truncated":false,"complete":true}` + "\n", false},
		{"JSON of a statement without result", JSON, &table{summary: redshift.Summary{RowsAffected: 7, Duration: 1500 * time.Microsecond}}, Options{}, `{"columns":[],"rows":[],"row_count":0,"rows_affected":7,"truncated":false,"duration_ms":1,"complete":true}` + "\n", false},
		{"CSV of a statement without result", CSV, &table{}, Options{}, "", false},
		{"CSV without rows", CSV, tableOf(one), Options{}, "a\r\n", false},
		{"JSON cut by a limit", JSON, &table{columns: one, summary: redshift.Summary{Truncated: true, Limit: "max_rows"}}, Options{}, `"rows":[],"row_count":0,"truncated":true,"limit":"max_rows","complete":true}` + "\n", false},
		{"NDJSON cut by a limit", NDJSON, &table{columns: one, summary: redshift.Summary{Truncated: true, Limit: "max_bytes"}}, Options{}, "]}\n" + `{"row_count":0,"truncated":true,"limit":"max_bytes","complete":true}` + "\n", false},
		{"JSON that fails midway", JSON, &table{columns: one, rows: tableOf(one, huge...).rows, err: failure}, problem, "[12345]\n" + `],"error":{"detail":"disk full"},"complete":false}` + "\n", true},
		{"JSON that fails midway, unexplained", JSON, &table{columns: one, rows: tableOf(one, huge...).rows, err: failure}, Options{}, `,"complete":false}` + "\n", true},
		{"NDJSON that fails midway", NDJSON, &table{columns: one, rows: tableOf(one, huge...).rows, err: failure}, problem, "[12345]\n" + `{"error":{"detail":"disk full"},"complete":false}` + "\n", true},
		{"CSV that fails midway", CSV, &table{columns: one, rows: tableOf(one, huge...).rows, err: failure}, problem, "12345\r\n", true},
		{"JSON that fails at once", JSON, &table{columns: one, err: failure}, problem, "", true},
	} {
		var got bytes.Buffer
		_, err := Write(&got, c.format, c.table, c.options)
		if (err != nil) != c.wantErr || err != nil && !errors.Is(err, failure) {
			t.Errorf("%s: error %v", c.name, err)
		}
		if !strings.HasSuffix(got.String(), c.wantEnd) || c.wantEnd == "" && got.Len() > 0 {
			t.Errorf("%s: ends with %q, want %q", c.name, got.String()[max(0, got.Len()-200):], c.wantEnd)
		}
		if c.format == JSON && got.Len() > 0 && !json.Valid(got.Bytes()) {
			t.Errorf("%s: no valid JSON", c.name)
		}
	}
}

func TestReaderThatIsGoneEndsTheWriting(t *testing.T) {
	t.Parallel()
	endless := &table{columns: []redshift.Column{column("a", "int4")}}
	endless.rows = make([][][]byte, 1_000_000)
	for i := range endless.rows {
		endless.rows[i] = [][]byte{[]byte("1234567890")}
	}
	reader, writer := io.Pipe()
	reader.Close()
	_, err := Write(writer, NDJSON, endless, Options{})
	var gone *WriteError
	if !errors.As(err, &gone) || !errors.Is(err, io.ErrClosedPipe) {
		t.Fatalf("error %v, want a WriteError", err)
	}
	if endless.at > 10000 {
		t.Errorf("%d rows were read for nobody", endless.at)
	}
}

func TestSlowRowsAreSeenBeforeTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var got bytes.Buffer
		flushed := 0
		slow := tableOf([]redshift.Column{column("a", "int4")}, []string{"1"}, []string{"2"}, []string{"3"})
		slow.before = func(row int) {
			if row == 2 && !strings.Contains(got.String(), "[1]") {
				t.Errorf("after two seconds the reader has %q", got.String())
			}
			time.Sleep(time.Second)
		}
		_, err := Write(&got, NDJSON, slow, Options{Flush: func() error { flushed++; return nil }})
		if err != nil || flushed < 2 {
			t.Errorf("flushed %d times, %v", flushed, err)
		}
	})
}

func TestMemoryDoesNotGrowWithTheResult(t *testing.T) {
	t.Parallel()
	widest := 0
	big := &table{columns: []redshift.Column{column("a", "varchar")}, rows: make([][][]byte, 5000)}
	for i := range big.rows {
		big.rows[i] = [][]byte{bytes.Repeat([]byte("x"), 1000)}
	}
	big.rows[2500] = [][]byte{bytes.Repeat([]byte("y"), 3<<20)}
	_, err := Write(writerFunc(func(p []byte) (int, error) {
		widest = max(widest, cap(p))
		if !bytes.Contains(p, []byte("y")) && cap(p) > largestBuffer {
			t.Errorf("a buffer of %d bytes was kept", cap(p))
		}
		return len(p), nil
	}), JSON, big, Options{})
	if err != nil || widest < 3<<20 {
		t.Fatalf("widest write %d, %v", widest, err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestRowsAreWrittenWithoutAllocation(t *testing.T) {
	all := everyKind()
	for format := range formats {
		layout := formats[format].layout(all.columns, Options{})
		buffer := make([]byte, 0, bufferSize)
		row := all.rows[0]
		if n := testing.AllocsPerRun(1000, func() { buffer = layout.row(buffer[:0], row) }); n > 0 {
			t.Errorf("%s: %v allocations a row", Format(format), n)
		}
	}
}

func BenchmarkRow(b *testing.B) {
	all := everyKind()
	for format := range formats {
		b.Run(Format(format).String(), func(b *testing.B) {
			layout := formats[format].layout(all.columns, Options{})
			buffer := make([]byte, 0, bufferSize)
			size := 0
			for _, value := range all.rows[0] {
				size += len(value)
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				buffer = layout.row(buffer[:0], all.rows[0])
			}
		})
	}
}

// BenchmarkWrite writes rows as large results have them: numbers, a decimal, a date, a time and a
// short text.
func BenchmarkWrite(b *testing.B) {
	columns := []redshift.Column{
		{Name: "id", Type: redshift.Type{Kind: redshift.BigInt}},
		{Name: "customer", Type: redshift.Type{Kind: redshift.Integer}},
		{Name: "price", Type: redshift.Type{Kind: redshift.Numeric, Precision: 12, Scale: 2}},
		{Name: "ratio", Type: redshift.Type{Kind: redshift.Double}},
		{Name: "paid", Type: redshift.Type{Kind: redshift.Boolean}},
		{Name: "day", Type: redshift.Type{Kind: redshift.Date}},
		{Name: "at", Type: redshift.Type{Kind: redshift.Timestamp}},
		{Name: "note", Type: redshift.Type{Kind: redshift.Text}},
	}
	row := [][]byte{
		[]byte("712345"), []byte("934711"), []byte("123.45"), []byte("101763.57142857143"), []byte("t"), []byte("2024-02-29"),
		[]byte("2020-11-03 20:45:11.25"), []byte("order number 712345"),
	}
	rows := slices.Repeat([][][]byte{row}, 100_000)
	for format := range formats {
		b.Run(Format(format).String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Write(io.Discard, Format(format), &table{columns: columns, rows: rows}, Options{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(rows)), "ns/row")
		})
	}
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte("a\"b\\c\n"), uint8(0))
	f.Add([]byte("12345678\x1f"), uint8(0))
	f.Add([]byte("-0.5e+7"), uint8(6))
	f.Add([]byte("[1,\n2]"), uint8(15))
	f.Add([]byte("\xf0\x9f\x98\x80\xff"), uint8(0))
	f.Fuzz(func(t *testing.T, value []byte, kind uint8) {
		columns := []redshift.Column{{Name: string(value), Type: redshift.Type{Kind: redshift.Kind(kind % 19), Name: string(value)}}}
		for _, format := range []Format{JSON, NDJSON} {
			var got bytes.Buffer
			if _, err := Write(&got, format, &table{columns: columns, rows: [][][]byte{{value}}}, Options{StatementID: string(value)}); err != nil {
				t.Fatal(err)
			}
			if !utf8.Valid(got.Bytes()) {
				t.Fatalf("%q is not UTF-8", got.Bytes())
			}
			row := got.Bytes()
			if format == NDJSON {
				lines := bytes.Split(got.Bytes(), []byte("\n"))
				if len(lines) != 4 || !json.Valid(lines[0]) || !json.Valid(lines[2]) {
					t.Fatalf("%q is not three lines of JSON", got.Bytes())
				}
				row = append(append([]byte(`{"rows":[`), lines[1]...), "]}"...)
			}
			var document struct{ Rows [][]any }
			if err := json.Unmarshal(row, &document); err != nil || len(document.Rows) != 1 || len(document.Rows[0]) != 1 {
				t.Fatalf("%q: %v", row, err)
			}
			if kind%19 == 0 && utf8.Valid(value) && document.Rows[0][0] != string(value) {
				t.Fatalf("%q came back as %q", value, document.Rows[0][0])
			}
		}
	})
}
