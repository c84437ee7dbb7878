package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/shiftgrant/shiftgrant/connect"
)

// copyResult passes a result on as it comes, and holds it to its end mark.
func copyResult(out io.Writer, response *http.Response, format string, progress *progress) (resultEnd, error) {
	last := &lastLine{}
	if format == "csv" {
		out = &unixLines{out: out}
	}
	if _, err := io.Copy(out, io.TeeReader(response.Body, io.MultiWriter(last, progress))); err != nil {
		return resultEnd{}, fmt.Errorf("%w: %w", connect.ErrCut, err)
	}
	if format == "csv" || format == "arrow" {
		return endInTrailer(response.Trailer)
	}
	return last.end()
}

// unixLines ends the lines of CSV as programs on a pipe have it: RFC 4180's carriage returns, which
// stand outside of quotes, are left out.
type unixLines struct {
	out    io.Writer
	quoted bool
	buffer []byte
}

func (u *unixLines) Write(p []byte) (int, error) {
	u.buffer = u.buffer[:0]
	for _, c := range p {
		if c == '"' {
			u.quoted = !u.quoted
		}
		if c != '\r' || u.quoted {
			u.buffer = append(u.buffer, c)
		}
	}
	if _, err := u.out.Write(u.buffer); err != nil {
		return 0, err
	}
	return len(p), nil
}

// endInTrailer reads the end mark of formats that have no place for one.
func endInTrailer(trailer http.Header) (resultEnd, error) {
	rows, err := strconv.ParseInt(trailer.Get("Shiftgrant-Row-Count"), 10, 64)
	if trailer.Get("Shiftgrant-Complete") != "true" || err != nil {
		return resultEnd{}, connect.ErrCut
	}
	// It names the limit that ended the rows early.
	return resultEnd{rows, trailer.Get("Shiftgrant-Truncated") != "false"}, nil
}

// lastLine keeps the last line that was written, up to a length that no end mark has.
type lastLine struct{ line []byte }

const longestEnd = 64 << 10

func (l *lastLine) Write(p []byte) (int, error) {
	rest := p
	// A line that the end of p completes stays: it may be the last.
	if i := bytes.LastIndexByte(bytes.TrimSuffix(rest, []byte("\n")), '\n'); i >= 0 {
		l.line, rest = l.line[:0], rest[i+1:]
	} else if bytes.HasSuffix(l.line, []byte("\n")) {
		l.line = l.line[:0]
	}
	if len(l.line) < longestEnd {
		l.line = append(l.line, rest...)
	}
	return len(p), nil
}

// end reads the last line of JSON and NDJSON. That of JSON goes on after the rows.
func (l *lastLine) end() (resultEnd, error) {
	line := bytes.TrimSpace(l.line)
	if after, isJSON := bytes.CutPrefix(line, []byte("],")); isJSON {
		line = append([]byte("{"), after...)
	}
	var end struct {
		RowCount  int64             `json:"row_count"`
		Truncated bool              `json:"truncated"`
		Complete  bool              `json:"complete"`
		Error     *connect.APIError `json:"error"`
	}
	err := json.Unmarshal(line, &end)
	switch {
	case err == nil && end.Error != nil:
		return resultEnd{}, end.Error
	case err != nil || !end.Complete:
		return resultEnd{}, connect.ErrCut
	}
	return resultEnd{end.RowCount, end.Truncated}, nil
}

// sampleRows are looked at for the width of columns; what comes later may be wider.
const sampleRows = 500

// printTable prints rows in columns, as they come after the first few hundred.
func printTable(out io.Writer, response *http.Response, _ string, progress *progress) (resultEnd, error) {
	rows, err := connect.ReadRows(response.Body)
	if err != nil {
		return resultEnd{}, err
	}
	t := newResultTable(out, rows.Columns())
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

// A resultTable lays out rows.
type resultTable struct {
	out     io.Writer
	columns []connect.Column
	widths  []int
	sample  [][]string
	begun   bool
	err     error
}

func newResultTable(out io.Writer, columns []connect.Column) *resultTable {
	t := &resultTable{out: out, columns: columns}
	for _, column := range columns {
		t.widths = append(t.widths, width(printable(column.Name)))
	}
	return t
}

// add prints a row, or keeps it until there are enough to see how wide columns are. Before
// anything is printed, whatever else is on the terminal has to go.
func (t *resultTable) add(values []any, before func()) {
	cells := make([]string, len(values))
	for i, value := range values {
		cells[i] = cell(value)
	}
	if t.begun {
		t.line(cells)
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
	for _, cells := range t.sample {
		for i, text := range cells {
			t.widths[i] = max(t.widths[i], width(text))
		}
	}
	names, rules := make([]string, len(t.columns)), make([]string, len(t.columns))
	for i, column := range t.columns {
		names[i], rules[i] = printable(column.Name), strings.Repeat("─", t.widths[i])
	}
	t.line(names)
	t.line(rules)
	for _, cells := range t.sample {
		t.line(cells)
	}
	t.sample = nil
}

func (t *resultTable) line(cells []string) {
	var b strings.Builder
	for i, text := range cells {
		if i > 0 {
			b.WriteString("  ")
		}
		space := strings.Repeat(" ", max(t.widths[i]-width(text), 0))
		if t.isNumber(i) {
			b.WriteString(space + text)
		} else {
			b.WriteString(text + space)
		}
	}
	if _, err := io.WriteString(t.out, strings.TrimRight(b.String(), " ")+"\n"); err != nil && t.err == nil {
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
	word := "rows"
	if rows == 1 {
		word = "row"
	}
	if _, err := fmt.Fprintf(t.out, "(%d %s)\n", rows, word); err != nil && t.err == nil {
		t.err = fmt.Errorf("print the result: %w", err)
	}
}

// cell is a value as it can be shown on one line of a terminal.
func cell(value any) string {
	switch v := value.(type) {
	case nil:
		return "NULL"
	case string:
		return printable(strings.NewReplacer("\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(v))
	case fmt.Stringer:
		return printable(v.String())
	}
	return printable(fmt.Sprint(value))
}

// width is how many places a text takes, as far as characters can be counted.
func width(text string) int { return utf8.RuneCountInString(text) }
