package stargazer

import (
	"fmt"
	"strings"
	"testing"
)

// table makes a result of "name type" columns and rows of "|"-separated values, ∅ being NULL.
func table(columns string, rows ...string) ([]column, [][]cell) {
	var cols []column
	for field := range strings.SplitSeq(columns, ",") {
		name, kind, _ := strings.Cut(field, " ")
		cols = append(cols, column{name, kind})
	}
	var cellRows [][]cell
	for _, row := range rows {
		var values []cell
		for value := range strings.SplitSeq(row, "|") {
			values = append(values, cell{Text: value, Null: value == "∅"})
		}
		cellRows = append(cellRows, values)
	}
	return cols, cellRows
}

func TestOnlyASuitableResultIsDrawn(t *testing.T) {
	t.Parallel()
	many := make([]string, 61)
	for i := range many {
		many[i] = fmt.Sprintf("n%d|%d", i, i)
	}
	for _, test := range []struct {
		name    string
		columns string
		rows    []string
		want    string // "bars", "line" or "" for none
	}{
		{"names and a number", "event varchar,revenue numeric", []string{"a|2.50", "b|1"}, "bars"},
		{"a text beside them", "state varchar,venues bigint,names varchar", []string{"a|2|x", "b|1|∅"}, "bars"},
		{"days", "day date,n integer", []string{"2008-01-01|1", "2008-01-02|2"}, "line"},
		{"moments, with losses", "at timestamp,n double precision", []string{"2008-01-01 00:00:00|-1.5", "2008-01-02 00:00:00|2e3"}, "line"},
		{"one row", "event varchar,revenue numeric", []string{"a|1"}, ""},
		{"too many rows", "event varchar,revenue numeric", many, ""},
		{"as many as fit", "event varchar,revenue numeric", many[:60], "bars"},
		{"two numbers", "event varchar,revenue numeric,tickets bigint", []string{"a|1|1", "b|2|2"}, ""},
		{"a number first", "id integer,revenue numeric", []string{"1|1", "2|2"}, ""},
		{"no number", "a varchar,b varchar", []string{"a|1", "b|2"}, ""},
		{"a gap", "event varchar,revenue numeric", []string{"a|1", "b|∅"}, ""},
		{"a nameless bar", "event varchar,revenue numeric", []string{"∅|1", "b|1"}, ""},
		{"a bar below zero", "event varchar,revenue numeric", []string{"a|1", "b|-1"}, ""},
		{"no number after all", "event varchar,revenue real", []string{"a|NaN", "b|1"}, ""},
		{"infinity", "event varchar,revenue real", []string{"a|Infinity", "b|1"}, ""},
	} {
		got := ""
		if c := chartOf(table(test.columns, test.rows...)); c != nil && c.Lines {
			got = "line"
		} else if c != nil {
			got = "bars"
		}
		if got != test.want {
			t.Errorf("%s: drew %q, want %q", test.name, got, test.want)
		}
	}
}

func TestBarsAreInProportion(t *testing.T) {
	t.Parallel()
	c := chartOf(table("event varchar,revenue numeric", "Mamma Mia!|1234567.5", "An event with a very long name|308641.875", "Nothing|0"))
	if c == nil {
		t.Fatal("no chart")
	}
	var got strings.Builder
	fmt.Fprintln(&got, c.Title, c.Height)
	for _, b := range c.Bars {
		fmt.Fprintln(&got, b.Label, b.Value, b.Width)
	}
	want := "revenue by event 132\nMamma Mia! 1,234,567.5 100.00%\nAn event with a very long n… 308,641.88 25.00%\nNothing 0 0.00%\n"
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &got, want)
	}
	if want := "3 values. The highest is 1,234,567.5 for Mamma Mia!, the lowest 0 for Nothing."; c.Summary != want {
		t.Errorf("summary %q, want %q", c.Summary, want)
	}
}

func TestTimeRunsToTheRightFromZero(t *testing.T) {
	t.Parallel()
	c := chartOf(table("month date,n integer", "2008-03-01|50", "2008-02-01|100", "2008-01-01|25"))
	if c == nil {
		t.Fatal("no chart")
	}
	if want := "0.0,750.0 500.0,0.0 1000.0,500.0"; c.Path != want {
		t.Errorf("path %q, want %q", c.Path, want)
	}
	if len(c.Grid) != 3 || c.Grid[0].Label != "0" || c.Grid[2].Label != "100" {
		t.Errorf("grid %v, want 0, 50, 100", c.Grid)
	}
	if c.Ticks[0].Label != "2008-01-01" || c.Ticks[1].Label != "2008-03-01" {
		t.Errorf("ticks %v", c.Ticks)
	}
}

func FuzzChart(f *testing.F) {
	f.Add("a", "1", "b", "2", true)
	f.Add("2008-01-01 00:00:00", "-1e300", "2008-01-02", "1e308", false)
	f.Add("", "0", "", "-0", false)
	f.Fuzz(func(t *testing.T, label1, number1, label2, number2 string, dates bool) {
		columns := []column{{"label", "varchar"}, {"value", "double precision"}}
		if dates {
			columns[0].Type = "date"
		}
		c := chartOf(columns, [][]cell{{{Text: label1}, {Text: number1}}, {{Text: label2}, {Text: number2}}})
		if c == nil {
			return
		}
		drawn := fmt.Sprint(c.Path, c.Bars, c.Points)
		if strings.Contains(drawn, "NaN") || strings.Contains(drawn, "Inf") {
			t.Errorf("%q %q: drew %s", number1, number2, drawn)
		}
		if len(c.Grid) > 12 {
			t.Errorf("%q %q: %d grid lines", number1, number2, len(c.Grid))
		}
	})
}
