package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/shiftgrant/shiftgrant/connect"
)

// laidOut is a result as a terminal with so many places on a line shows it.
func laidOut(space int, columns []connect.Column, rows ...[]any) string {
	var out strings.Builder
	t := newResultTable(&out, columns, false)
	t.space = space
	for _, row := range rows {
		t.add(row, func() {})
	}
	t.end(int64(len(rows)))
	return out.String()
}

var twoColumns = []connect.Column{{Name: "id", Type: "integer"}, {Name: "text", Type: "varchar"}}

func TestTablesAreAlignedWhateverIsInThem(t *testing.T) {
	t.Parallel()
	columns := []connect.Column{{Name: "都市", Type: "varchar"}, {Name: "n", Type: "numeric"}, {Name: "last", Type: "varchar"}}
	got := laidOut(80, columns,
		[]any{"東京", json.Number("1.50"), "a"},
		[]any{"e\u0301te\u0301", nil, "👩‍👩‍👧"},
		[]any{"line\nbreak\t", json.Number("-20"), "\x1b[2J"},
	)
	want := `都市              n  last
─────────────  ────  ────
東京           1.50  a
` + "e\u0301te\u0301            NULL  👩‍👩‍👧" + `
line\nbreak\t   -20  �[2J
(3 rows)
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestARowThatDoesNotFitIsCutOrShownAsARecord(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("long ", 20)
	for name, row := range map[string]struct {
		got  string
		want string
	}{
		"several rows are cut": {laidOut(40, twoColumns, []any{json.Number("1"), long}, []any{json.Number("2"), "b"}), `id  text
──  ────────────────────────────────────
 1  long long long long long long long …
 2  b
(2 rows; values that end in … were cut to fit: --format records or csv has them whole)
`},
		"one row is a record": {laidOut(40, twoColumns, []any{json.Number("1"), long}), `─ 1 ───
id    1
text  long long long long long long long long long long long long long long long long long long long long
(1 row)
`},
		"a line too narrow for columns": {laidOut(20, twoColumns, []any{json.Number("1"), long}, []any{nil, "b"}), `─ 1 ───
id    1
text  long long long long long long long long long long long long long long long long long long long long
─ 2 ───
id    NULL
text  b
(2 rows)
`},
		"no terminal": {laidOut(0, twoColumns, []any{json.Number("1"), "a"}, []any{json.Number("2"), strings.Repeat("b", 60)}), `id  text
──  ────────────────────────────────────────────────────────────
 1  a
 2  bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
(2 rows)
`},
		"no rows": {laidOut(80, twoColumns), "id  text\n──  ────\n(0 rows)\n"},
	} {
		if diff := cmp.Diff(row.want, row.got); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

func TestAValueOfAnyLengthIsShownInSoManyPlaces(t *testing.T) {
	t.Parallel()
	if got := places(cellOf(strings.Repeat("語", 1<<20)).text); got > longestCell || got < longestCell-2 {
		t.Errorf("a value of a million characters takes %d places", got)
	}
	for text, want := range map[string]string{"abcdef": "abc…", "abcd": "abcd", "語語語": "語…", "": ""} {
		if got := shorten(text, 4); got != want {
			t.Errorf("%q in four places is %q, want %q", text, got, want)
		}
	}
}

func TestAnErrorIsShownWhereItIs(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		sql      string
		position int
		want     string
	}{
		{"select x", 8, "\n  line 1: select x\n                 ^"},
		{"select 1,\r\n\tx, 語\r\nfrom t", 16, "\n  line 2:  x, 語\n              ^"},
		{"selec", 6, "\n  line 1: selec\n               ^"},
		{"select 1", 0, ""},
		{"select 1", 99, ""},
		{"select '" + strings.Repeat("a", 100) + "' x", 111, "\n  line 1: …" + strings.Repeat("a", 58) + "' x\n" + strings.Repeat(" ", 71) + "^"},
	} {
		if got := pointAt(row.sql, row.position); got != row.want {
			t.Errorf("position %d of %q is shown as %s\nwant %s", row.position, row.sql, got, row.want)
		}
	}
}

func TestStyleIsForTerminals(t *testing.T) {
	t.Parallel()
	if got := (style{true}).bold(0, "a") + (style{true}).dim(0, "") + (style{}).dim(0, "b"); got != "\x1b[1ma\x1b[0mb" {
		t.Errorf("styled %q", got)
	}
	if styleOf(&strings.Builder{}).on {
		t.Error("what is no terminal is styled")
	}
}
