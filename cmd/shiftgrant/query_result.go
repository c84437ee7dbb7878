package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"golang.org/x/text/runes"
	"golang.org/x/text/transform"

	"github.com/shiftgrant/shiftgrant/connect"
)

// copyResult passes a result on as it comes, and holds it to its end mark.
func copyResult(out io.Writer, response *http.Response, format string, progress *progress) (resultEnd, error) {
	last := &lastLine{}
	if isTerminal(out) {
		harmless := transform.NewWriter(out, runes.Map(printableInLines))
		defer func() { _ = harmless.Close() }() // what is left is part of a character
		out = harmless
	}
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
