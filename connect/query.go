package connect

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A Parameter replaces :Name in the SQL. Value is nil, a string, a bool, any integer or float, a
// time.Time, or a []byte of text.
type Parameter struct {
	Name  string
	Value any
}

// An APIError is the SQL API's refusal (RFC 9457). Detail is for the author of the SQL.
type APIError struct {
	Status    int    `json:"status"`
	Title     string `json:"title"`
	Detail    string `json:"detail"`
	SQLState  string `json:"sqlstate"`
	Position  int    `json:"position"` // 1-based character in the SQL; 0 where not known
	Hint      string `json:"hint"`
	RequestID string `json:"request_id"`
}

func (e *APIError) Error() string {
	text := e.Title
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	if e.SQLState != "" {
		text += " (SQLSTATE " + e.SQLState + ")"
	}
	if e.RequestID != "" {
		text += " [request " + e.RequestID + "]"
	}
	return text
}

// ErrCut says that a result ended before its end mark: rows are missing.
var ErrCut = errors.New("the result was cut short")

// errorLimit bounds a problem document.
const errorLimit = 64 << 10

// HTTPClient makes requests to the SQL API as the person. It refuses to send the token anywhere
// else.
func (s *Session) HTTPClient() *http.Client {
	base := http.DefaultTransport
	if configured := s.client.config.HTTPClient; configured != nil && configured.Transport != nil {
		base = configured.Transport
	}
	return &http.Client{
		Transport:     bearer{s, base},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

type bearer struct {
	session *Session
	next    http.RoundTripper
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	// Other paths of the host may be other tenants', which have no business with the token.
	api := b.session.client.api
	beneath := strings.HasPrefix(path.Clean("/"+r.URL.Path)+"/", strings.TrimSuffix(api.Path, "/")+"/")
	if r.URL.Scheme != api.Scheme || r.URL.Host != api.Host || !beneath {
		return nil, errors.New("connect: this client is for the SQL API alone")
	}
	token, err := b.session.Token(r.Context())
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+token)
	return b.next.RoundTrip(r)
}

// Query runs one statement as the person and gives its rows as they arrive. When ctx ends, or the
// rows are closed early, the statement is cancelled. Errors: *APIError when the gateway or
// Redshift refuses, ErrSignedOut when the connection has ended.
func (s *Session) Query(ctx context.Context, query string, parameters ...Parameter) (*Rows, error) {
	body, err := encodeQuery(query, parameters)
	if err != nil {
		return nil, err
	}
	token, err := s.Token(ctx)
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	rows, err := s.query(ctx, token, body)
	var refused *APIError
	if !errors.As(err, &refused) || refused.Status != http.StatusUnauthorized {
		return rows, err
	}
	// The token ended before its time: its grant was revoked, or only it was. The refresh tells.
	if token, err = s.refresh(ctx, token); err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	rows, err = s.query(ctx, token, body)
	if errors.As(err, &refused) && refused.Status == http.StatusUnauthorized {
		return nil, fmt.Errorf("query: %w: %w", ErrSignedOut, refused)
	}
	return rows, err
}

func encodeQuery(query string, parameters []Parameter) ([]byte, error) {
	type parameter struct {
		Name  string `json:"name"`
		Value any    `json:"value"`
	}
	document := struct {
		Query      string      `json:"query"`
		Parameters []parameter `json:"parameters,omitempty"`
	}{Query: query}
	for _, p := range parameters {
		switch value := p.Value.(type) {
		case nil, string, bool, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, float32, float64:
		case time.Time:
			p.Value = value.Format("2006-01-02 15:04:05.999999Z07:00")
		case []byte:
			p.Value = string(value)
		default:
			return nil, fmt.Errorf("query: parameter %s has type %T: give nil, a string, a bool, a number, a time or text", p.Name, p.Value)
		}
		document.Parameters = append(document.Parameters, parameter(p))
	}
	return json.Marshal(document)
}

func (s *Session) query(ctx context.Context, token string, body []byte) (*Rows, error) {
	ctx, cancel := context.WithCancel(ctx)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.client.api.JoinPath("v1", "query").String(), bytes.NewReader(body))
	if err != nil {
		cancel()
		return nil, fmt.Errorf("query: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/x-ndjson")
	// net/http would ask for gzip, which is slower than the network between an app and its gateway.
	request.Header.Set("Accept-Encoding", "identity")
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if configured := s.client.config.HTTPClient; configured != nil {
		client.Transport = configured.Transport
	}
	response, err := client.Do(request)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("query: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		defer cancel()
		defer response.Body.Close()
		return nil, readProblem(response)
	}
	return openRows(response.Body, cancel)
}

func readProblem(response *http.Response) error {
	problem := &APIError{}
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	body, err := io.ReadAll(io.LimitReader(response.Body, errorLimit))
	if err != nil || kind != "application/problem+json" || json.Unmarshal(body, problem) != nil {
		problem = &APIError{Title: "the SQL API answered " + response.Status}
	}
	problem.Status = response.StatusCode
	return problem
}

// A Column is one column of a result; Type is Redshift's name, such as "bigint" or "varchar".
type Column struct {
	Name      string `json:"name"`
	Type      string `json:"type"`
	Precision int    `json:"precision"`
	Scale     int    `json:"scale"`
	Length    int    `json:"length"`
}

// Rows is a result being read. It is not safe for concurrent use.
//
//	defer rows.Close()
//	for rows.Next() {
//		err := rows.Scan(&name, &amount)
//	}
//	return rows.Err()
type Rows struct {
	body    io.ReadCloser
	decoder *jsontext.Decoder
	cancel  context.CancelFunc
	columns []Column
	values  []any
	ended   bool
	err     error

	rowCount  int64
	truncated bool
}

// trailer is the last line of a result.
type trailer struct {
	RowCount  int64     `json:"row_count"`
	Truncated bool      `json:"truncated"`
	Complete  bool      `json:"complete"`
	Error     *APIError `json:"error"`
}

// ReadRows reads a result of the SQL API in NDJSON that the program has asked for by itself.
func ReadRows(body io.ReadCloser) (*Rows, error) { return openRows(body, func() {}) }

// ReadProblem makes an *APIError of an answer of the SQL API that is none of rows.
func ReadProblem(response *http.Response) error { return readProblem(response) }

// openRows reads the first line, which has the columns.
func openRows(body io.ReadCloser, cancel context.CancelFunc) (*Rows, error) {
	r := &Rows{body: body, cancel: cancel, decoder: jsontext.NewDecoder(body)}
	var head struct {
		Columns []Column  `json:"columns"`
		Error   *APIError `json:"error"`
	}
	if err := json.UnmarshalDecode(r.decoder, &head); err != nil {
		_ = r.Close()
		return nil, fmt.Errorf("query: read columns: %w: %w", ErrCut, err)
	}
	if head.Error != nil {
		_ = r.Close()
		return nil, head.Error
	}
	r.columns = head.Columns
	return r, nil
}

// Columns describes the result.
func (r *Rows) Columns() []Column { return r.columns }

// Next moves to the next row. It is false at the end and on failure; Err tells which.
func (r *Rows) Next() bool {
	if r.ended || r.err != nil {
		return false
	}
	switch r.decoder.PeekKind() {
	case '[':
		r.err = r.readRow()
	case '{':
		r.ended = true
		r.err = r.readTrailer()
	default:
		r.err = ErrCut
	}
	return r.err == nil && !r.ended
}

func (r *Rows) readRow() error {
	if _, err := r.decoder.ReadToken(); err != nil {
		return fmt.Errorf("%w: %w", ErrCut, err)
	}
	r.values = r.values[:0]
	for r.decoder.PeekKind() != ']' {
		if r.decoder.PeekKind() == jsontext.KindInvalid {
			return ErrCut
		}
		if len(r.values) == len(r.columns) {
			return errors.New("a row has more values than there are columns")
		}
		value, err := r.readValue()
		if err != nil {
			return err
		}
		r.values = append(r.values, value)
	}
	if _, err := r.decoder.ReadToken(); err != nil {
		return fmt.Errorf("%w: %w", ErrCut, err)
	}
	r.rowCount++
	if len(r.values) != len(r.columns) {
		return fmt.Errorf("a row has %d values for %d columns", len(r.values), len(r.columns))
	}
	return nil
}

// readValue keeps a number's text, because a float64 would not hold every one.
func (r *Rows) readValue() (any, error) {
	switch r.decoder.PeekKind() {
	case '[', '{': // SUPER
		raw, err := r.decoder.ReadValue()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCut, err)
		}
		return raw.Clone(), nil
	}
	token, err := r.decoder.ReadToken()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCut, err)
	}
	switch token.Kind() {
	case 'n':
		return nil, nil
	case 't', 'f':
		return token.Bool(), nil
	case '0':
		return Number(token.String()), nil
	}
	return token.String(), nil
}

func (r *Rows) readTrailer() error {
	var end trailer
	if err := json.UnmarshalDecode(r.decoder, &end); err != nil {
		return fmt.Errorf("%w: %w", ErrCut, err)
	}
	if end.Error != nil {
		return end.Error
	}
	if !end.Complete || end.RowCount != r.rowCount {
		return ErrCut
	}
	r.truncated = end.Truncated
	return nil
}

// Number is a number's exact text.
type Number string

// Values is the current row: nil, bool, Number, string, or jsontext.Value for SUPER. It is valid
// until the next call of Next.
func (r *Rows) Values() []any { return r.values }

// Scan copies the current row into pointers to string, bool, int, int64, float64, time.Time or
// any, or into a sql.Scanner such as *sql.Null[string], which is what a column that can be NULL
// needs.
func (r *Rows) Scan(destinations ...any) error {
	if len(destinations) != len(r.values) {
		return fmt.Errorf("scan: %d destinations for %d columns", len(destinations), len(r.values))
	}
	for i, destination := range destinations {
		if err := scanValue(r.values[i], destination); err != nil {
			return fmt.Errorf("scan column %s: %w", r.columns[i].Name, err)
		}
	}
	return nil
}

func scanValue(value, destination any) (err error) {
	if scanner, ok := destination.(sql.Scanner); ok {
		switch v := value.(type) {
		case Number:
			value = string(v)
		case jsontext.Value:
			value = string(v)
		}
		return scanner.Scan(value)
	}
	if anything, ok := destination.(*any); ok {
		*anything = value
		return nil
	}
	if value == nil {
		return fmt.Errorf("it is NULL, and %T cannot say so: use a sql.Null", destination)
	}
	text := fmt.Sprint(value)
	switch d := destination.(type) {
	case *string:
		*d = text
	case *bool:
		*d, err = strconv.ParseBool(text)
	case *int:
		*d, err = strconv.Atoi(text)
	case *int64:
		*d, err = strconv.ParseInt(text, 10, 64)
	case *float64:
		*d, err = strconv.ParseFloat(text, 64)
	case *time.Time:
		*d, err = parseTime(text)
	default:
		return fmt.Errorf("%T is no destination that Scan knows", destination)
	}
	return err
}

// parseTime reads Redshift's text forms of DATE, TIMESTAMP and TIMESTAMPTZ.
func parseTime(text string) (time.Time, error) {
	for _, layout := range []string{time.DateOnly, "2006-01-02 15:04:05", "2006-01-02 15:04:05Z07", "2006-01-02 15:04:05Z07:00"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errors.New("not a date or time")
}

// Err is what ended the rows early: an *APIError, ErrCut, or a failure of the network.
func (r *Rows) Err() error { return r.err }

// RowCount is how many rows have been read. When Next has returned false without an error, it is how
// many the gateway sent.
func (r *Rows) RowCount() int64 { return r.rowCount }

// Truncated tells that a limit of the grant ended the rows before the result did.
func (r *Rows) Truncated() bool { return r.truncated }

// Close frees the result, and cancels the statement if it was not read to its end. It may be
// called twice.
func (r *Rows) Close() error {
	r.cancel()
	return r.body.Close()
}
