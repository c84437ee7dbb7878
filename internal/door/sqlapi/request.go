package sqlapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/shiftgrant/shiftgrant/internal/web"
	"github.com/shiftgrant/shiftgrant/redshift"
)

// request is the body of both POST routes.
type request struct {
	sql        string
	parameters []redshift.Parameter
	warehouse  string
	maxRows    int64
	wait       time.Duration
	onTimeout  string
	requestID  string // the app's own name for the statement; "" for none
}

// The documents of the two routes, read strictly: a member with another spelling is an error and
// not something ignored.
type queryDocument struct {
	Query      *string    `json:"query"`
	Parameters parameters `json:"parameters"`
	Warehouse  string     `json:"warehouse"`
	MaxRows    *int64     `json:"max_rows"`
}

type statementDocument struct {
	SQL        *string    `json:"sql"`
	Parameters parameters `json:"parameters"`
	Warehouse  string     `json:"warehouse"`
	MaxRows    *int64     `json:"max_rows"`
	Wait       *string    `json:"wait"`
	OnTimeout  *string    `json:"on_timeout"`
	RequestID  *string    `json:"request_id"`
}

const (
	queryMembers     = "query, parameters, warehouse, max_rows"
	statementMembers = "sql, parameters, warehouse, max_rows, wait, on_timeout, request_id"

	defaultWait = 30 * time.Second
	longestWait = 60 * time.Second

	onTimeoutContinue = "continue"
	onTimeoutCancel   = "cancel"
)

// readQuery reads the body of POST /v1/query.
func (a *API) readQuery(w http.ResponseWriter, r *http.Request) (*request, error) {
	body, raw, err := a.readBody(w, r)
	if err != nil {
		return nil, err
	}
	if raw {
		return &request{sql: string(body)}, nil
	}
	return decodeQuery(body)
}

func decodeQuery(body []byte) (*request, error) {
	var document queryDocument
	if err := decode(body, &document, queryMembers); err != nil {
		return nil, err
	}
	q := &request{parameters: document.Parameters, warehouse: document.Warehouse}
	if err := q.setSQL(document.Query, "query"); err != nil {
		return nil, err
	}
	return q, q.setMaxRows(document.MaxRows)
}

// readStatement reads the body of POST /v1/statements.
func (a *API) readStatement(w http.ResponseWriter, r *http.Request) (*request, error) {
	body, raw, err := a.readBody(w, r)
	if err != nil {
		return nil, err
	}
	if raw {
		return &request{sql: string(body), wait: defaultWait, onTimeout: onTimeoutContinue}, nil
	}
	return decodeStatement(body)
}

func decodeStatement(body []byte) (*request, error) {
	var document statementDocument
	if err := decode(body, &document, statementMembers); err != nil {
		return nil, err
	}
	q := &request{parameters: document.Parameters, warehouse: document.Warehouse, wait: defaultWait, onTimeout: onTimeoutContinue}
	if err := q.setSQL(document.SQL, "sql"); err != nil {
		return nil, err
	}
	if err := q.setMaxRows(document.MaxRows); err != nil {
		return nil, err
	}
	if document.Wait != nil {
		var err error
		if q.wait, err = parseWait(*document.Wait); err != nil {
			return nil, err
		}
	}
	if document.OnTimeout != nil {
		q.onTimeout = *document.OnTimeout
		if q.onTimeout != onTimeoutContinue && q.onTimeout != onTimeoutCancel {
			return nil, badRequest(`on_timeout is "continue" or "cancel".`)
		}
	}
	if document.RequestID != nil {
		q.requestID = *document.RequestID
		if !isRequestID(q.requestID) {
			return nil, badRequest("request_id is 1 to 64 letters, digits and - . _ : characters.")
		}
	}
	return q, nil
}

func (q *request) setSQL(sql *string, member string) error {
	if sql == nil || *sql == "" {
		return badRequest("The member " + member + " is missing: it holds the SQL.")
	}
	q.sql = *sql
	return nil
}

func (q *request) setMaxRows(maxRows *int64) error {
	if maxRows == nil {
		return nil
	}
	if *maxRows < 1 {
		return badRequest("max_rows is at least 1. Leave it out for no limit of yours.")
	}
	q.maxRows = *maxRows
	return nil
}

func parseWait(value string) (time.Duration, error) {
	wait, err := time.ParseDuration(value)
	if err != nil || wait < 0 || wait > longestWait {
		return 0, badRequest(`wait is a time from "0s" to "60s".`)
	}
	return wait, nil
}

func isRequestID(id string) bool {
	return id != "" && len(id) <= 64 && !strings.ContainsFunc(id, func(c rune) bool {
		return !('0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || strings.ContainsRune("-._:", c))
	})
}

// readBody reads the whole body, so that the end of the connection is seen while the statement
// runs. raw says that it is SQL and not JSON.
func (a *API) readBody(w http.ResponseWriter, r *http.Request) (body []byte, raw bool, err error) {
	mediaType, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := strings.ToLower(parameters["charset"])
	raw = mediaType == "application/sql"
	switch {
	case err != nil || !raw && mediaType != "application/json":
		return nil, false, unsupported("Send Content-Type: application/json with a JSON object, or application/sql with the statement itself.")
	case charset != "" && charset != "utf-8":
		return nil, false, unsupported("Send the body in UTF-8.")
	case r.Header.Get("Content-Encoding") != "":
		return nil, false, unsupported("Send the body without Content-Encoding.")
	}
	body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, a.config.MaxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, false, &problemError{Problem: web.Problem{
			Type: "too-large", Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("The body is larger than %d bytes.", a.config.MaxBody),
		}}
	case err != nil:
		return nil, false, badRequest("The body could not be read to its end.")
	}
	return body, raw, nil
}

func unsupported(detail string) error {
	return &problemError{Problem: web.Problem{Type: "unsupported-media-type", Status: http.StatusUnsupportedMediaType, Detail: detail}}
}

// decode refuses duplicate names, other spellings of a name, unknown names and trailing bytes.
// What it says never repeats the input.
func decode(body []byte, document any, members string) error {
	err := json.Unmarshal(body, document, json.RejectUnknownMembers(true))
	var ours *problemError
	var syntax *jsontext.SyntacticError
	switch {
	case err == nil:
		if kind := jsontext.Value(body).Kind(); kind != jsontext.KindBeginObject {
			return badRequest("The body is one JSON object with " + members + ".")
		}
		return nil
	case errors.As(err, &ours):
		return ours
	case errors.Is(err, jsontext.ErrDuplicateName):
		return badRequest("The body names a member twice.")
	case errors.As(err, &syntax):
		return badRequest(fmt.Sprintf("The body is not one JSON value in UTF-8: see byte %d.", syntax.ByteOffset))
	}
	return badRequest("The body is one JSON object with " + members + ", each of its documented type and no others.")
}

// parameters are an array of {"name", "value"}, or an object of values by name.
type parameters []redshift.Parameter

var errParameters = badRequest(`parameters is [{"name": "n", "value": …}, …] or {"n": …}, where a value is a string, number, boolean or null.`)

// UnmarshalJSONFrom keeps numbers as they are written, so that none loses digits.
func (p *parameters) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	opening, err := decoder.ReadToken()
	if err != nil {
		return err
	}
	switch opening.Kind() {
	case jsontext.KindNull:
		return nil
	case jsontext.KindBeginArray:
		err = p.readArray(decoder)
	case jsontext.KindBeginObject:
		err = p.readObject(decoder)
	default:
		return errParameters
	}
	if err != nil {
		return err
	}
	_, err = decoder.ReadToken() // the end
	return err
}

func (p *parameters) readObject(decoder *jsontext.Decoder) error {
	for decoder.PeekKind() == jsontext.KindString {
		name, err := decoder.ReadToken()
		if err != nil {
			return err
		}
		text := name.String()
		value, err := readValue(decoder)
		if err != nil {
			return err
		}
		if err := p.add(text, value); err != nil {
			return err
		}
	}
	return nil
}

func (p *parameters) readArray(decoder *jsontext.Decoder) error {
	for decoder.PeekKind() == jsontext.KindBeginObject {
		if _, err := decoder.ReadToken(); err != nil {
			return err
		}
		var name, value *string
		var hasName, hasValue bool
		for decoder.PeekKind() == jsontext.KindString {
			member, err := decoder.ReadToken()
			if err != nil {
				return err
			}
			switch member.String() {
			case "name":
				hasName = decoder.PeekKind() == jsontext.KindString
				name, err = readValue(decoder)
			case "value":
				hasValue = true
				value, err = readValue(decoder)
			default:
				return errParameters
			}
			if err != nil {
				return err
			}
		}
		if _, err := decoder.ReadToken(); err != nil {
			return err
		}
		if !hasName || !hasValue {
			return errParameters
		}
		if err := p.add(*name, value); err != nil {
			return err
		}
	}
	if kind := decoder.PeekKind(); kind != jsontext.KindEndArray && kind != jsontext.KindInvalid {
		return errParameters
	}
	return nil
}

// readValue gives nil for null.
func readValue(decoder *jsontext.Decoder) (*string, error) {
	switch decoder.PeekKind() {
	case jsontext.KindBeginObject, jsontext.KindBeginArray:
		return nil, errParameters
	}
	token, err := decoder.ReadToken()
	if err != nil || token.Kind() == jsontext.KindNull {
		return nil, err
	}
	text := token.String()
	if strings.ContainsRune(text, 0) {
		return nil, badRequest("A parameter contains a NUL character, which Redshift cannot store.")
	}
	return &text, nil
}

func (p *parameters) add(name string, value *string) error {
	if !isParameterName(name) {
		return badRequest("The name of a parameter is up to 128 letters, digits and underscores, as in :name.")
	}
	if slices.ContainsFunc(*p, func(other redshift.Parameter) bool { return other.Name == name }) {
		return badRequest("Two parameters have the same name.")
	}
	*p = append(*p, redshift.Parameter{Name: name, Value: value})
	return nil
}

func isParameterName(name string) bool {
	return name != "" && len(name) <= 128 && !strings.ContainsFunc(name, func(c rune) bool {
		return !('0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || c == '_')
	})
}

// readWait reads ?wait= of the routes that look at a statement.
func readWait(r *http.Request) (time.Duration, error) {
	values := r.URL.Query()["wait"]
	switch len(values) {
	case 0:
		return 0, nil
	case 1:
		return parseWait(values[0])
	}
	return 0, badRequest("wait is given twice.")
}

// wholeResult stands for no partition.
const wholeResult = -1

// readPartition reads ?partition=.
func readPartition(r *http.Request) (int, error) {
	values := r.URL.Query()["partition"]
	if len(values) == 0 {
		return wholeResult, nil
	}
	number, err := strconv.ParseUint(values[0], 10, 31)
	if err != nil || len(values) > 1 {
		return 0, badRequest("partition is one number, from 0 on.")
	}
	return int(number), nil
}

// readInt64 reads ?int64=.
func readInt64(r *http.Request) (asString bool, err error) {
	switch values := r.URL.Query()["int64"]; {
	case len(values) == 0 || slices.Equal(values, []string{"number"}):
		return false, nil
	case slices.Equal(values, []string{"string"}):
		return true, nil
	}
	return false, badRequest("int64 is number or string.")
}

// noBody refuses a body where none is meant.
func noBody(r *http.Request) error {
	rest, err := io.ReadAll(io.LimitReader(r.Body, 64))
	if err != nil || len(bytes.TrimSpace(rest)) > 0 && !bytes.Equal(bytes.TrimSpace(rest), []byte("{}")) {
		return badRequest("This request takes no body.")
	}
	return nil
}
