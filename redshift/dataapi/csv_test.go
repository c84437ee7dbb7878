package dataapi

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// readCSV reads all rows of a width, NULL as "∅".
func readCSV(data string, width int) ([][]string, error) {
	reader := &csvReader{data: []byte(data)}
	values := make([][]byte, width)
	var rows [][]string
	for {
		switch err := reader.next(values); err {
		case nil:
		case io.EOF:
			return rows, nil
		default:
			return rows, err
		}
		row := make([]string, width)
		for i, value := range values {
			if row[i] = string(value); value == nil {
				row[i] = "∅"
			}
		}
		rows = append(rows, row)
	}
}

func TestCSVReader(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		data string
		want [][]string
		err  error
	}{
		"plain":                            {"1,a\n2,b\n", [][]string{{"1", "a"}, {"2", "b"}}, nil},
		"NULL and the empty string":        {",\"\"\n\"\",\n", [][]string{{"∅", ""}, {"", "∅"}}, nil},
		"comma and line ends in quotes":    {"\"a,b\",\"c\nd\r\n\"\n", [][]string{{"a,b", "c\nd\r\n"}}, nil},
		"doubled quotes":                   {"\"\"\"a\"\"\",\"\"\"\"\"\"\n", [][]string{{`"a"`, `""`}}, nil},
		"many doubled quotes":              {"\"a\"\"b\"\"c\",x\n", [][]string{{`a"b"c`, "x"}}, nil},
		"no line end at the end":           {"1,a\n2,", [][]string{{"1", "a"}, {"2", "∅"}}, nil},
		"quote as the last byte":           {`1,"a"`, [][]string{{"1", "a"}}, nil},
		"spaces are values":                {" , \n", [][]string{{" ", " "}}, nil},
		"a CR belongs to the value":        {"1,a\r\n", [][]string{{"1", "a\r"}}, nil},
		"a quote inside":                   {"1,a\"b\n", [][]string{{"1", `a"b`}}, nil},
		"nothing":                          {"", nil, nil},
		"too few fields":                   {"1\n", nil, errCSVWidth},
		"too many fields":                  {"1,2,3\n", nil, errCSVWidth},
		"an empty line":                    {"1,2\n\n", [][]string{{"1", "2"}}, errCSVWidth},
		"a quote that does not end":        {"1,\"a\n", nil, errCSVQuote},
		"text behind a quote":              {"\"1\"x,2\n", nil, errCSVQuote},
		"a CR behind a quote and no LF":    {"\"1\"\r,2\n", nil, errCSVQuote},
		"line ends of both kinds (quoted)": {"1,\"a\"\r\n2,\"b\"\n", [][]string{{"1", "a"}, {"2", "b"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := readCSV(row.data, 2)
			if !errors.Is(err, row.err) {
				t.Errorf("error %v, want %v", err, row.err)
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCSVSingleColumnOfNulls(t *testing.T) {
	t.Parallel()
	got, err := readCSV("\n\"\"\nx\n\n", 1)
	if diff := cmp.Diff([][]string{{"∅"}, {""}, {"x"}, {"∅"}}, got); diff != "" || err != nil {
		t.Errorf("error %v, rows (-want +got):\n%s", err, diff)
	}
}

func TestCSVLinesEndAsTheHeaderDid(t *testing.T) {
	t.Parallel()
	for _, header := range []string{"a,b\r\n", "\"a\",\"b\"\r\n"} {
		reader := &csvReader{data: []byte(header + "1,x\r\n,\r\n")}
		names, err := reader.header()
		if err != nil || !slices.Equal(names, []string{"a", "b"}) {
			t.Fatalf("header %q, %v", names, err)
		}
		values := make([][]byte, 2)
		if err := reader.next(values); err != nil || string(values[1]) != "x" {
			t.Errorf("%q: values %q, %v", header, values, err)
		}
		if err := reader.next(values); err != nil || values[0] != nil || values[1] != nil {
			t.Errorf("%q: values %q, %v; want NULLs", header, values, err)
		}
	}
}

func TestCSVReaderAllocatesNothing(t *testing.T) {
	data := []byte(strings.Repeat("123,plain,\"with \"\"quotes\"\"\",,\"\"\n", 1000))
	work := make([]byte, len(data))
	values := make([][]byte, 5)
	allocations := testing.AllocsPerRun(10, func() {
		reader := csvReader{data: work[:copy(work, data)]}
		for reader.next(values) == nil {
		}
	})
	if allocations > 0 {
		t.Errorf("%v allocations for 5,000 values, want none", allocations)
	}
}

// FuzzCSVReader compares with encoding/csv where both know the same language, and writes what
// was read to read it again.
func FuzzCSVReader(f *testing.F) {
	for _, seed := range []string{"1,a\n", ",\"\"\n", "\"a\"\"b\nc\",d\r\n", "\n", "\"", "a\"b,c\n", "1,2,3\n"} {
		f.Add(seed, 2)
	}
	f.Fuzz(func(t *testing.T, data string, width int) {
		if width < 1 || width > 8 {
			return
		}
		rows, err := readCSV(data, width)
		var again bytes.Buffer
		for _, row := range rows {
			writeCSV(&again, row)
		}
		back, backErr := readCSV(again.String(), width)
		if diff := cmp.Diff(rows, back); diff != "" || backErr != nil {
			t.Fatalf("%q: read, written and read again (%v):\n%s", data, backErr, diff)
		}
		if err != nil || strings.ContainsAny(data, "\r∅") || width == 1 { // encoding/csv drops CR and empty lines
			return
		}
		std := csv.NewReader(strings.NewReader(data))
		std.FieldsPerRecord, std.LazyQuotes = width, true
		want, stdErr := std.ReadAll()
		if stdErr != nil {
			return
		}
		for i, row := range rows {
			for j, value := range row {
				if value == "∅" {
					rows[i][j] = ""
				}
			}
		}
		if diff := cmp.Diff(want, rows); diff != "" && !strings.Contains(data, "\n\n") && !strings.HasPrefix(data, "\n") {
			t.Fatalf("%q: encoding/csv reads it differently (-std +ours):\n%s", data, diff)
		}
	})
}

func writeCSV(out *bytes.Buffer, row []string) {
	for i, value := range row {
		if i > 0 {
			out.WriteByte(',')
		}
		if value != "∅" {
			out.WriteString(`"` + strings.ReplaceAll(value, `"`, `""`) + `"`)
		}
	}
	out.WriteByte('\n')
}

func BenchmarkCSVReader(b *testing.B) {
	data := []byte(strings.Repeat("123456,plain text,2026-11-23 13:00:00,12.50,\"with, comma\",,17,x\n", 10000))
	work := make([]byte, len(data))
	values := make([][]byte, 8)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		reader := csvReader{data: work[:copy(work, data)]}
		for reader.next(values) == nil {
		}
	}
}
