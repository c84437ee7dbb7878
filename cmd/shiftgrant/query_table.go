package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"unicode"

	"golang.org/x/term"
	"golang.org/x/text/width"

	"github.com/shiftgrant/shiftgrant/connect"
)

const (
	// sampleRows are looked at for the width of columns; what comes later may be wider.
	sampleRows = 500
	// narrowest is how far a column of text is cut so that a row fits on a line.
	narrowest = 24
	// longestCell is more than anybody reads of a value on a terminal.
	longestCell = 10_000
)

// printTable prints rows for people, as they come after the first few hundred.
func printTable(out io.Writer, response *http.Response, format string, progress *progress) (end resultEnd, err error) {
	rows, err := connect.ReadRows(response.Body)
	if err != nil {
		return resultEnd{}, err
	}
	t := newResultTable(out, rows.Columns(), format == "records")
	if !isTerminal(out) { // where nobody sees rows come, they need not be written one by one
		gathered := bufio.NewWriterSize(out, 64<<10)
		t.out = gathered
		defer func() { err = errors.Join(err, gathered.Flush()) }()
	}
	for rows.Next() {
		progress.row()
		t.add(rows.Values(), progress.stop)
	}
	progress.stop()
	if err := rows.Err(); err != nil {
		return resultEnd{}, err
	}
	t.end(rows.RowCount())
	return resultEnd{rows.RowCount(), rows.Truncated()}, t.err
}

// A resultTable lays out rows: in columns, or, where they do not fit on a terminal's line, with a line
// for each value.
type resultTable struct {
	out     io.Writer
	style   style
	columns []connect.Column
	names   []string
	widths  []int
	space   int // places on a line; 0: as many as are needed
	records bool
	cut     bool
	sample  [][]tableCell
	begun   bool
	printed int64
	err     error
}

// A tableCell is a value as it can be shown on one line.
type tableCell struct {
	text string
	null bool
}

func newResultTable(out io.Writer, columns []connect.Column, records bool) *resultTable {
	t := &resultTable{out: out, style: styleOf(out), columns: columns, space: terminalWidth(out), records: records}
	for _, column := range columns {
		name := printable(column.Name)
		t.names, t.widths = append(t.names, name), append(t.widths, places(name))
	}
	return t
}

// add prints a row, or keeps it until there are enough to see how wide columns are. Before
// anything is printed, whatever else is on the terminal has to go.
func (t *resultTable) add(values []any, before func()) {
	cells := make([]tableCell, len(values))
	for i, value := range values {
		cells[i] = cellOf(value)
	}
	if t.begun {
		t.row(cells)
		return
	}
	t.sample = append(t.sample, cells)
	if len(t.sample) == sampleRows {
		before()
		t.begin()
	}
}

func (t *resultTable) begin() {
	t.begun = true
	t.choose()
	if !t.records {
		rules := make([]string, len(t.columns))
		for i := range t.columns {
			rules[i] = strings.Repeat("─", t.widths[i])
		}
		t.line(t.names, t.style.bold)
		t.line(rules, t.style.dim)
	}
	for _, cells := range t.sample {
		t.row(cells)
	}
	t.sample = nil
}

// choose finds the widths of columns. Where they do not fit, wide columns of text are cut; one row, or
// more columns than that helps, is shown with a line for each value.
func (t *resultTable) choose() {
	if t.records {
		return
	}
	for _, cells := range t.sample {
		for i, cell := range cells {
			t.widths[i] = max(t.widths[i], places(cell.text))
		}
	}
	if t.space == 0 || t.lineWidth() <= t.space {
		return
	}
	if len(t.sample) == 1 {
		t.records = true
		return
	}
	for t.lineWidth() > t.space {
		widest := -1
		for i := range t.columns {
			if !t.isNumber(i) && t.widths[i] > max(narrowest, places(t.names[i])) && (widest < 0 || t.widths[i] > t.widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			t.records = true
			return
		}
		t.widths[widest] = max(narrowest, places(t.names[widest]), t.widths[widest]-(t.lineWidth()-t.space))
	}
}

func (t *resultTable) lineWidth() int {
	sum := 2 * (len(t.widths) - 1)
	for _, w := range t.widths {
		sum += w
	}
	return sum
}

func (t *resultTable) row(cells []tableCell) {
	t.printed++
	if t.records {
		t.record(cells)
		return
	}
	texts := make([]string, len(cells))
	for i, cell := range cells {
		texts[i] = cell.text
		if t.space > 0 && !t.isNumber(i) {
			texts[i] = shorten(cell.text, t.widths[i])
			t.cut = t.cut || texts[i] != cell.text
		}
	}
	t.line(texts, func(i int, text string) string {
		if i < len(cells) && cells[i].null {
			return t.style.dim(i, text)
		}
		return text
	})
}

// record prints a row with a line for each value.
func (t *resultTable) record(cells []tableCell) {
	widest := 0
	for _, name := range t.names {
		widest = max(widest, places(name))
	}
	var b strings.Builder
	head := fmt.Sprintf("─ %d ", t.printed)
	b.WriteString(t.style.dim(0, head+strings.Repeat("─", max(widest+2-places(head), 3))) + "\n")
	for i, cell := range cells {
		text := cell.text
		if cell.null {
			text = t.style.dim(i, text)
		}
		space := strings.Repeat(" ", widest-places(t.names[i])+2)
		b.WriteString(strings.TrimRight(t.style.bold(i, t.names[i])+space+text, " ") + "\n")
	}
	t.write(b.String())
}

func (t *resultTable) line(texts []string, styled func(int, string) string) {
	var b strings.Builder
	for i, text := range texts {
		space := strings.Repeat(" ", max(t.widths[i]-places(text), 0))
		switch {
		case t.isNumber(i):
			b.WriteString(space + styled(i, text))
		case i == len(texts)-1:
			b.WriteString(styled(i, text))
		default:
			b.WriteString(styled(i, text) + space)
		}
		if i < len(texts)-1 {
			b.WriteString("  ")
		}
	}
	t.write(strings.TrimRight(b.String(), " ") + "\n")
}

func (t *resultTable) write(text string) {
	if _, err := io.WriteString(t.out, text); err != nil && t.err == nil {
		t.err = fmt.Errorf("print the result: %w", err)
	}
}

func (t *resultTable) isNumber(column int) bool {
	switch t.columns[column].Type {
	case "smallint", "integer", "bigint", "numeric", "real", "double precision":
		return true
	}
	return false
}

func (t *resultTable) end(rows int64) {
	if !t.begun {
		t.begin()
	}
	word, note := "rows", ""
	if rows == 1 {
		word = "row"
	}
	if t.cut {
		note = "; values that end in … were cut to fit: --format records or csv has them whole"
	}
	t.write(fmt.Sprintf("(%d %s%s)\n", rows, word, note))
}

var onOneLine = strings.NewReplacer("\n", `\n`, "\r", `\r`, "\t", `\t`)

// cellOf is a value as it can be shown on one line of a terminal.
func cellOf(value any) tableCell {
	var text string
	switch v := value.(type) {
	case nil:
		return tableCell{"NULL", true}
	case string:
		text = v
		if len(text) > 4*longestCell { // before it is walked
			text = text[:4*longestCell] + "…"
		}
		text = onOneLine.Replace(text)
	case fmt.Stringer:
		text = v.String()
	default:
		text = fmt.Sprint(value)
	}
	return tableCell{shorten(printable(text), longestCell), false}
}

// shorten cuts a text to so many places, and says so by its last.
func shorten(text string, most int) string {
	if len(text) <= most || places(text) <= most {
		return text
	}
	taken := 0
	for at, r := range text {
		if taken += places(string(r)); taken > most-1 {
			return text[:at] + "…"
		}
	}
	return text
}

// places is how much of a line a text takes: East Asian characters and emoji two places each, and
// marks upon another character, or emoji joined to one, none.
func places(text string) int {
	sum, joined := 0, false
	for _, r := range text {
		switch {
		case r < 0x300:
			sum++
		case joined, unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		default:
			sum++
			if kind := width.LookupRune(r).Kind(); kind == width.EastAsianWide || kind == width.EastAsianFullwidth {
				sum++
			}
		}
		joined = r == zeroWidthJoiner
	}
	return sum
}

const zeroWidthJoiner = '\u200d'

// terminalWidth is how many places a line of a terminal has; 0 for what is none.
func terminalWidth(w io.Writer) int {
	file, isFile := w.(*os.File)
	if !isFile {
		return 0
	}
	columns, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return 0
	}
	return columns
}

// A style marks text on a terminal, unless NO_COLOR (no-color.org) or TERM=dumb ask for none.
type style struct{ on bool }

func styleOf(w io.Writer) style {
	return style{isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

func (s style) bold(_ int, text string) string { return s.mark("1", text) }
func (s style) dim(_ int, text string) string  { return s.mark("2", text) }

func (s style) mark(code, text string) string {
	if !s.on || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}
