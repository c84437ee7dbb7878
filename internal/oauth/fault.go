package oauth

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/web"
)

// A fault is an error of the protocol: a code that RFC 6749 or a later one defines, and a text
// for the developer of the app. The text is fixed, in the characters that RFC 6749 §5.2
// allows: nothing of the request is ever in it, so there is nothing to inject (TK-13).
type fault struct {
	code        string
	description string
	status      int           // of a JSON answer; 0 is 400
	retryAfter  time.Duration // with 429
}

func (f *fault) Error() string { return f.code + ": " + f.description }

func invalidRequest(description string) *fault {
	return &fault{code: "invalid_request", description: description}
}

func invalidScope(description string) *fault {
	return &fault{code: "invalid_scope", description: description}
}

func invalidTarget() *fault { // RFC 8707 §2
	return &fault{code: "invalid_target", description: "resource must be the one value named in the protected resource metadata; it can also be left out"}
}

// invalidGrant has one text for every reason, except where the difference helps an honest app
// and tells a thief nothing.
func invalidGrant(description string) *fault {
	return &fault{code: "invalid_grant", description: description}
}

// invalidClient asks for HTTP authentication, as RFC 6749 §5.2 wants it after a failed one and
// RFC 9110 §15.5.2 of every 401.
func invalidClient(description string) *fault {
	return &fault{code: "invalid_client", description: description, status: http.StatusUnauthorized}
}

// slowDown borrows its code from RFC 8628 §3.5; RFC 6749 has none for this.
func slowDown(wait time.Duration) *fault {
	return &fault{
		code: "slow_down", description: "too many requests of this client from this address; wait as long as Retry-After says",
		status: http.StatusTooManyRequests, retryAfter: wait,
	}
}

// writeFault answers with the JSON error of RFC 6749 §5.2. What is no fault is ours: the caller
// learns that it may try again (503, never a 4xx that would make it drop its tokens), the log
// learns the rest.
func (s *Server) writeFault(w http.ResponseWriter, r *http.Request, err error) {
	var f *fault
	if !errors.As(err, &f) {
		s.logger.ErrorContext(r.Context(), "request failed", "path", r.URL.Path, "error", err, "request_id", web.RequestID(r.Context()))
		f = &fault{
			code: "temporarily_unavailable", description: "the gateway cannot answer right now; try again shortly",
			status: http.StatusServiceUnavailable, retryAfter: 5 * time.Second,
		}
	}
	status := f.status
	if status == 0 {
		status = http.StatusBadRequest
	}
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="shiftgrant", charset="UTF-8"`)
	}
	if f.retryAfter > 0 {
		seconds := int((f.retryAfter + time.Second - 1) / time.Second)
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
	}
	writeJSON(w, status, struct {
		Error       string `json:"error"`
		Description string `json:"error_description,omitempty"`
		RequestID   string `json:"request_id,omitempty"`
	}{f.code, f.description, web.RequestID(r.Context())})
}

// writeJSON answers with headers that keep secrets out of caches (OAuth 2.1 §3.2.3).
func writeJSON(w http.ResponseWriter, status int, body any) {
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	header.Set("Pragma", "no-cache")
	header.Set("X-Content-Type-Options", "nosniff")
	encoded, err := json.Marshal(body)
	if err != nil {
		http.Error(w, `{"error":"server_error"}`, http.StatusInternalServerError)
		return
	}
	w.WriteHeader(status)
	_, _ = w.Write(encoded) // the caller is gone: nobody left to tell
}
