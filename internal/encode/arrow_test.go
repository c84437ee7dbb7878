package encode

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/google/go-cmp/cmp"

	"github.com/shiftgrant/shiftgrant/redshift"
)

// readArrow reads a stream with a reader that nobody here wrote, and gives the schema and the values
// as that reader prints them.
func readArrow(t *testing.T, stream []byte) (fields []string, rows [][]string) {
	t.Helper()
	reader, err := ipc.NewReader(bytes.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Release()
	for _, field := range reader.Schema().Fields() {
		was, _ := field.Metadata.GetValue("redshift_type")
		fields = append(fields, fmt.Sprintf("%s: %s, was %s", field.Name, field.Type, was))
	}
	for reader.Next() {
		batch := reader.RecordBatch()
		for row := range int(batch.NumRows()) {
			var values []string
			for _, column := range batch.Columns() {
				if column.IsNull(row) {
					values = append(values, "∅")
					continue
				}
				values = append(values, printed(column, row))
			}
			rows = append(rows, values)
		}
	}
	if reader.Err() != nil {
		t.Fatal(reader.Err())
	}
	return fields, rows
}

// printed gives the exact value where the reader's own text form rounds.
func printed(column arrow.Array, row int) string {
	switch c := column.(type) {
	case *array.Timestamp:
		return c.Value(row).ToTime(arrow.Microsecond).Format("2006-01-02 15:04:05.999999")
	case *array.Time64:
		return c.Value(row).ToTime(arrow.Microsecond).Format("15:04:05.999999")
	case *array.Binary:
		return fmt.Sprintf("%x", c.Value(row))
	case *array.Decimal128:
		return c.Value(row).ToString(c.DataType().(*arrow.Decimal128Type).Scale)
	case *array.Float64:
		return strconv.FormatFloat(c.Value(row), 'g', -1, 64)
	}
	return column.ValueStr(row)
}

func numeric(name string, precision, scale int) redshift.Column {
	return redshift.Column{Name: name, Type: redshift.Type{Kind: redshift.Numeric, Name: "numeric", Precision: precision, Scale: scale}}
}

func TestArrowHoldsEveryType(t *testing.T) {
	t.Parallel()
	columns := []redshift.Column{
		column("i2", "int2"), column("i4", "int4"), column("i8", "int8"), column("f4", "float4"), column("f8", "float8"),
		numeric("n", 10, 2), numeric("wide", 38, 0), column("unscaled", "numeric"), column("b", "bool"), column("s", "varchar"),
		column("d", "date"), column("t", "time"), column("ts", "timestamp"), column("tz", "timestamptz"), column("x", "varbyte"),
		column("super", "super"), column("iv", "intervald2s"),
	}
	null := strings.Split(strings.Repeat("∅ ", len(columns)-1)+"∅", " ")
	rows := [][]string{
		{
			"-32768", "2147483647", "-9223372036854775808", "1.5", "0.1", "-1.5", "-99999999999999999999999999999999999999", "1.10", "t", "é\x00 x",
			"2026-11-23", "23:59:59.5", "2026-11-23 01:02:03.000004", "2026-11-23 01:02:03+05:30", "00ff", `{"a": [1]}`, "1 day",
		},
		null,
		{
			"1", "2", "3", "NaN", "-Infinity", "12345678.90", "0", "7", "false", "",
			"0001-01-01", "00:00:00", "1969-12-31 23:59:59.999999", "9999-12-31 00:00:00-01", `\xab`, "null", "",
		},
	}
	var b bytes.Buffer
	if _, err := Write(&b, Arrow, tableOf(columns, rows...), Options{}); err != nil {
		t.Fatal(err)
	}
	fields, got := readArrow(t, b.Bytes())
	wantFields := []string{
		"i2: int16, was smallint", "i4: int32, was integer", "i8: int64, was bigint", "f4: float32, was real", "f8: float64, was double precision",
		"n: decimal(10, 2), was numeric", "wide: decimal(38, 0), was numeric", "unscaled: utf8, was numeric", "b: bool, was boolean", "s: utf8, was varchar",
		"d: date32, was date", "t: time64[us], was time", "ts: timestamp[us], was timestamp", "tz: timestamp[us, tz=UTC], was timestamptz", "x: binary, was varbyte",
		"super: utf8, was super", "iv: utf8, was interval day to second",
	}
	if diff := cmp.Diff(wantFields, fields); diff != "" {
		t.Errorf("schema (-want +got):\n%s", diff)
	}
	want := [][]string{
		{
			"-32768", "2147483647", "-9223372036854775808", "1.5", "0.1", "-1.50", "-99999999999999999999999999999999999999", "1.10", "true", "é\x00 x",
			"2026-11-23", "23:59:59.5", "2026-11-23 01:02:03.000004", "2026-11-22 19:32:03", "00ff", `{"a": [1]}`, "1 day",
		},
		null,
		{
			"1", "2", "3", "NaN", "-Inf", "12345678.90", "0", "7", "false", "",
			"0001-01-01", "00:00:00", "1969-12-31 23:59:59.999999", "9999-12-31 01:00:00", "ab", "null", "",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
}

func TestArrowIsWholeOnlyWithItsEndMark(t *testing.T) {
	t.Parallel()
	columns := []redshift.Column{column("n", "int4"), column("s", "varchar"), column("b", "bool")}
	var rows [][]string
	for i := range 3*batchRows + 17 {
		row := []string{fmt.Sprint(i), "text " + fmt.Sprint(i), fmt.Sprint(i%3 == 0)}
		if i%5 == 4 {
			row[i%3] = "∅"
		}
		rows = append(rows, row)
	}
	var b bytes.Buffer
	summary, err := Write(&b, Arrow, tableOf(columns, rows...), Options{})
	if err != nil || summary.RowCount != int64(len(rows)) {
		t.Fatalf("%d rows, %v", summary.RowCount, err)
	}
	if !bytes.HasSuffix(b.Bytes(), []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}) {
		t.Error("the end-of-stream mark is missing")
	}
	if _, got := readArrow(t, b.Bytes()); cmp.Diff(rows, got) != "" {
		t.Errorf("%d rows came back, or others", len(got))
	}
	for name, table := range map[string]*table{"no rows": tableOf(columns), "no columns": tableOf(nil)} {
		var b bytes.Buffer
		if _, err := Write(&b, Arrow, table, Options{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, got := readArrow(t, b.Bytes()); len(got) != 0 {
			t.Errorf("%s: %v", name, got)
		}
	}
	failing := tableOf(columns, rows...)
	failing.err = errors.New("cut")
	b.Reset()
	if _, err := Write(&b, Arrow, failing, Options{}); err == nil || bytes.HasSuffix(b.Bytes(), []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}) {
		t.Errorf("a result that failed looks whole; error %v", err)
	}
}

func TestArrowRefusesWhatItCannotHold(t *testing.T) {
	t.Parallel()
	for value, c := range map[string]redshift.Column{
		"infinity": column("d", "date"), "0044-03-15 BC": column("d", "date"), "2026-13-01": column("d", "date"), "2026-01-01 ": column("d", "date"),
		"32768": column("n", "int2"), "": column("n", "int8"), "1.234": numeric("n", 10, 2), "NaN": numeric("n", 10, 2), "-": numeric("n", 10, 2),
		"170141183460469231731687303715884105728": numeric("n", 38, 0), "maybe": column("b", "bool"), "0g": column("x", "varbyte"),
		"25:00:00": column("t", "time"), "2026-01-01 00:00:00+x": column("tz", "timestamptz"), "2026-01-01 00:00:00+00": column("ts", "timestamp"),
		"1e400x": column("f", "float8"),
	} {
		var b bytes.Buffer
		_, err := Write(&b, Arrow, tableOf([]redshift.Column{c}, []string{value}), Options{})
		if !errors.Is(err, errValue) || b.Len() > 0 || !strings.Contains(err.Error(), "column "+c.Name) || value != "" && len(value) > 2 && strings.Contains(err.Error(), value) {
			t.Errorf("%q as %s: %v, with %d bytes written", value, c.Type.Name, err, b.Len())
		}
	}
}

// FuzzArrowValues compares with the standard library's readings.
func FuzzArrowValues(f *testing.F) {
	for _, seed := range []string{"2026-11-23 01:02:03.5+05:30", "0001-01-01 00:00:00Z", "-12.5", "99999999999999999999999999999999999999", "1.", ".5"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if micros, err := parseTimestamp([]byte(text), true); err == nil {
			for _, form := range []string{"2006-01-02 15:04:05Z07", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05Z07:00:00"} {
				if want, err := time.Parse(form, text); err == nil && want.UnixMicro() != micros {
					t.Fatalf("%q is %d, want %d", text, micros, want.UnixMicro())
				}
			}
		}
		high, low, err := parseDecimal([]byte(text), 3)
		if err != nil {
			return
		}
		got := new(big.Int).Lsh(big.NewInt(int64(high)), 64)
		got.Add(got, new(big.Int).SetUint64(low))
		want, ok := new(big.Rat).SetString(strings.TrimSuffix(text, "."))
		if !ok || new(big.Rat).SetFrac(got, big.NewInt(1000)).Cmp(want) != 0 {
			t.Fatalf("%q is %s thousandths", text, got)
		}
	})
}
