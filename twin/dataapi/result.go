package dataapi

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5/pgconn"
)

// Limits of a result.
const (
	maxResult = 500 << 20
	maxRow    = 64 << 10
	// Results up to keptResult stay in memory, as long as all of them together take no more
	// than keptTotal; the others lie in files.
	keptResult = 32 << 10
	keptTotal  = 64 << 20
	// A page of CSV comes in this many pieces at least when it is full: clients must join them.
	piecesOfPage = 4
)

// A result is pages in the form in which they are sent: the inside of the Records array.
type result struct {
	columns []column
	rows    int64
	bytes   int64
	pages   []page
	memory  []byte
	path    string // where there is no memory
}

type page struct{ offset, length int64 }

// A spool is the folder of results that are too large for memory.
type spool struct {
	mu     sync.Mutex
	folder string
	kept   int64
	closed bool
}

// create makes a file for a result, and the folder for the first one.
func (s *spool) create() (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, os.ErrClosed
	}
	if s.folder == "" {
		folder, err := os.MkdirTemp("", "twin-results-") // 0700
		if err != nil {
			return nil, fmt.Errorf("make a folder for results: %w", err)
		}
		s.folder = folder
	}
	return os.CreateTemp(s.folder, "result-")
}

// keep reports whether n bytes more may stay in memory.
func (s *spool) keep(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n > keptResult || s.kept+int64(n) > keptTotal {
		return false
	}
	s.kept += int64(n)
	return true
}

func (s *spool) drop(r *result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept -= int64(len(r.memory))
	if r.path != "" {
		_ = os.Remove(r.path) // remove takes what is left
	}
}

func (s *spool) remove() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.folder == "" {
		return nil
	}
	return os.RemoveAll(s.folder)
}

// A recorder writes rows into pages as they arrive; it holds one page in memory.
type recorder struct {
	spool   *spool
	csv     bool
	limit   int // of a page
	result  *result
	page    []byte
	line    []byte // scratch
	piece   []byte // CSV not yet quoted into the page
	written int64
	file    *os.File
}

func (h *Handler) newRecorder(format string, fields []pgconn.FieldDescription) *recorder {
	r := &recorder{spool: h.spool, csv: format == "CSV", limit: h.config.PageBytes, result: &result{columns: columnsOf(fields)}}
	if r.csv && len(fields) > 0 {
		r.piece = appendHeader(nil, r.result.columns)
	}
	return r
}

// row adds one row.
func (r *recorder) row(values [][]byte) error {
	size := 0
	for i, value := range values {
		size += len(value)
		if r.result.columns[i].shape == decimal {
			r.result.columns[i].notice(value)
		}
	}
	if size > maxRow {
		return errors.New("ERROR: The row size exceeds the limit of 64 KB")
	}
	if r.csv {
		r.line = appendLine(r.line[:0], r.result.columns, values)
	} else {
		r.line = appendRecord(r.line[:0], r.result.columns, values)
	}
	r.result.rows++
	r.result.bytes += int64(len(r.line))
	if r.result.bytes > maxResult {
		return errors.New("ERROR: The query result exceeds the limit of 500 MB")
	}
	return r.add()
}

// add puts the line into the page, beginning a new page or piece where this one is full.
func (r *recorder) add() error {
	if !r.csv {
		if len(r.page) > 0 && len(r.page)+len(r.line) > r.limit {
			if err := r.flush(); err != nil {
				return err
			}
		}
		if len(r.page) > 0 {
			r.page = append(r.page, ',')
		}
		r.page = append(r.page, r.line...)
		return nil
	}
	if len(r.piece) > 0 && len(r.piece)+len(r.line) > r.limit/piecesOfPage {
		r.endPiece()
	}
	if len(r.page) > 0 && len(r.page)+len(r.piece)+len(r.line) > r.limit {
		if err := r.flush(); err != nil {
			return err
		}
	}
	r.piece = append(r.piece, r.line...)
	return nil
}

// endPiece quotes a piece of CSV into the page.
func (r *recorder) endPiece() {
	if len(r.piece) == 0 {
		return
	}
	if len(r.page) > 0 {
		r.page = append(r.page, ',')
	}
	r.page = append(r.page, `{"CSVRecords":`...)
	r.page = appendString(r.page, string(r.piece))
	r.page = append(r.page, '}')
	r.piece = r.piece[:0]
}

// flush writes the page to the file.
func (r *recorder) flush() error {
	r.endPiece()
	if r.file == nil {
		file, err := r.spool.create()
		if err != nil {
			return fmt.Errorf("spool the result: %w", err)
		}
		r.file, r.result.path = file, file.Name()
	}
	if _, err := r.file.Write(r.page); err != nil {
		return fmt.Errorf("spool the result: %w", err)
	}
	r.endPage()
	return nil
}

func (r *recorder) endPage() {
	r.result.pages = append(r.result.pages, page{r.written, int64(len(r.page))})
	r.written += int64(len(r.page))
	r.page = r.page[:0]
}

// finish ends the last page. There is always one, if only with the header.
func (r *recorder) finish() (*result, error) {
	r.endPiece()
	if r.file == nil && r.spool.keep(len(r.page)) {
		r.result.memory = append([]byte{}, r.page...)
		r.endPage()
		return r.result, nil
	}
	if err := r.flush(); err != nil {
		r.discard()
		return nil, err
	}
	if err := r.file.Close(); err != nil {
		return nil, fmt.Errorf("spool the result: %w", err)
	}
	return r.result, nil
}

// discard forgets a result that will not be finished.
func (r *recorder) discard() {
	if r.file != nil {
		_ = r.file.Close() // it is removed anyway
		_ = os.Remove(filepath.Clean(r.result.path))
	}
}

// read gives the inside of one page.
func (r *result) read(number int) ([]byte, error) {
	p := r.pages[number]
	if r.path == "" {
		return r.memory[p.offset : p.offset+p.length], nil
	}
	file, err := os.Open(r.path)
	if err != nil {
		return nil, fmt.Errorf("read spooled result: %w", err)
	}
	defer file.Close()
	content := make([]byte, p.length)
	if _, err := file.ReadAt(content, p.offset); err != nil {
		return nil, fmt.Errorf("read spooled result: %w", err)
	}
	return content, nil
}

// A pageAnswer is a page on its way out; its records are copied as they are.
type pageAnswer struct {
	records []byte
	columns []column
	total   int64
	csv     bool
	next    string
}

func (a pageAnswer) writeTo(w http.ResponseWriter) error {
	columns, err := json.Marshal(a.columns)
	if err != nil {
		return fmt.Errorf("encode column metadata: %w", err)
	}
	rest := append([]byte(`],"ColumnMetadata":`), columns...)
	rest = append(rest, `,"TotalNumRows":`...)
	rest = strconv.AppendInt(rest, a.total, 10)
	if a.csv {
		rest = append(rest, `,"ResultFormat":"CSV"`...)
	}
	if a.next != "" {
		rest = appendString(append(rest, `,"NextToken":`...), a.next)
	}
	rest = append(rest, '}')
	const opening = `{"Records":[`
	w.Header().Set("Content-Length", strconv.Itoa(len(opening)+len(a.records)+len(rest)))
	for _, part := range [][]byte{[]byte(opening), a.records, rest} {
		if _, err := w.Write(part); err != nil {
			return fmt.Errorf("write page: %w", err)
		}
	}
	return nil
}
