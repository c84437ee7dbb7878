// Package web is what every HTTP handler of the gateway stands on: request ids, recovery
// from a panic, the access log, and errors as application/problem+json.
//
// A request id is always made here and never taken from the caller, so that an entry in the
// log cannot be forged. What goes to the caller is a fixed text and that id; what went wrong
// goes to the log, under the same id.
package web

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

// RequestIDHeader carries the request id in every response.
const RequestIDHeader = "X-Request-Id"

type contextKey int

const requestIDKey contextKey = iota

// RequestID is the id of the request being served, "" outside of one.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey).(string)
	return id
}

// Log wraps a handler: it gives each request an id and a log line, turns a panic into a plain
// 500, and keeps query strings, which may hold codes, out of the log.
func Log(logger *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := grant.NewID("req")
		r = r.WithContext(context.WithValue(r.Context(), requestIDKey, id))
		w.Header().Set(RequestIDHeader, id)
		recorder := &recorder{ResponseWriter: w}
		started := time.Now()
		defer func() {
			if panicked := recover(); panicked != nil {
				if panicked == http.ErrAbortHandler {
					logger.Warn("response cut short", "request_id", id, "method", r.Method, "path", loggedPath(r))
					panic(panicked)
				}
				logger.Error("panic", "request_id", id, "path", loggedPath(r), "panic", panicked, "stack", string(debug.Stack()))
				if recorder.status != 0 {
					panic(http.ErrAbortHandler)
				}
				WriteProblem(recorder, r, Problem{Status: http.StatusInternalServerError})
			}
			logger.Info("request", "request_id", id, "method", r.Method, "path", loggedPath(r),
				"status", recorder.status, "bytes", recorder.bytes, "duration", time.Since(started), "remote", r.RemoteAddr)
		}()
		next.ServeHTTP(recorder, r)
	})
}

// tokenInPath is the form of our tokens.
var tokenInPath = regexp.MustCompile(`sg_[a-z]{2}_[0-9A-Za-z]+`)

// loggedPath is a path without what a confused caller may have put there.
func loggedPath(r *http.Request) string {
	if !strings.Contains(r.URL.Path, "sg_") {
		return r.URL.Path // as nearly always: no search by pattern
	}
	return tokenInPath.ReplaceAllString(r.URL.Path, "sg_****")
}

// DropSlowReaders gives each write to the caller this long, so that a caller who does not read
// cannot hold a response, and the statement behind it, for ever. A result may still take as
// long as it needs while it is being read.
func DropSlowReaders(patience time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limited := &impatient{w, http.NewResponseController(w), patience}
		next.ServeHTTP(limited, r)
		// What is still buffered goes out when the handler has returned.
		_ = limited.control.SetWriteDeadline(time.Now().Add(patience))
	})
}

// impatient has a deadline only while it writes: one that passes while a statement computes
// could not be taken back on every protocol.
type impatient struct {
	http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration
}

func (w *impatient) Write(b []byte) (n int, err error) {
	err = w.within(func() error {
		n, err = w.ResponseWriter.Write(b)
		return err
	})
	return n, err
}

// FlushError is what http.ResponseController.Flush calls.
func (w *impatient) FlushError() error { return w.within(w.control.Flush) }

func (w *impatient) within(write func() error) error {
	if err := w.control.SetWriteDeadline(time.Now().Add(w.patience)); err != nil {
		return fmt.Errorf("set write deadline: %w", err)
	}
	if err := write(); err != nil {
		return err
	}
	return w.control.SetWriteDeadline(time.Time{})
}

// Unwrap lets http.ResponseController reach the server's own writer.
func (w *impatient) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= 200 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the server's own writer.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// A Problem is an error for a program (RFC 9457).
type Problem struct {
	// Type is the short name of the problem, such as "invalid-token". It becomes the URI
	// "urn:shiftgrant:problem:invalid-token"; empty is about:blank.
	Type   string
	Title  string // what happened; empty takes the status text
	Status int
	Detail string // what to do
	// SQLState and Position are set for errors of a statement.
	SQLState string
	Position int // 1-based character in the SQL
	Hint     string
}

// document has the members of RFC 9457 §3.1 and ours.
func (p Problem) document(requestID string) any {
	document := struct {
		Type      string `json:"type"`
		Title     string `json:"title"`
		Status    int    `json:"status"`
		Detail    string `json:"detail,omitempty"`
		SQLState  string `json:"sqlstate,omitempty"`
		Position  int    `json:"position,omitempty"`
		Hint      string `json:"hint,omitempty"`
		RequestID string `json:"request_id,omitempty"`
	}{"about:blank", p.Title, p.Status, p.Detail, p.SQLState, p.Position, p.Hint, requestID}
	if p.Type != "" {
		document.Type = "urn:shiftgrant:problem:" + p.Type
	}
	if document.Title == "" {
		document.Title = http.StatusText(p.Status)
	}
	return document
}

// JSON is the problem document of a request, as WriteProblem sends it.
func (p Problem) JSON(requestID string) []byte {
	body, err := json.Marshal(p.document(requestID))
	if err != nil {
		return []byte(`{"type":"about:blank","title":"Internal Server Error","status":500}`)
	}
	return body
}

// WriteProblem answers with application/problem+json.
func WriteProblem(w http.ResponseWriter, r *http.Request, p Problem) {
	header := w.Header()
	header.Set("Content-Type", "application/problem+json")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(p.JSON(RequestID(r.Context())), '\n'))
}
