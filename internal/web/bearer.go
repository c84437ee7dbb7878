package web

import (
	"errors"
	"net/http"
	"strings"
)

// ErrNoToken says that a request carries no bearer token. The answer is a 401 whose challenge
// has no error code: the caller may simply not have known that it needs one (RFC 6750 §3.1).
var ErrNoToken = errors.New("no bearer token: send the header Authorization: Bearer <access token>")

// ErrTwoTokens says that a request carries a token in more than one way, so that two parties
// who read it could act on different tokens. The answer is a 400 (RFC 6750 §3.1).
var ErrTwoTokens = errors.New("more than one token: send one Authorization header and nothing else")

// BearerToken reads the token of the Authorization header, and only that. A token in the query
// string would end up in logs and histories, so it is never taken (OAuth 2.1 §5.1.2): alone it
// counts as no token, beside a header it is a second one.
func BearerToken(r *http.Request) (string, error) {
	headers := r.Header.Values("Authorization")
	switch {
	case len(headers) == 0:
		return "", ErrNoToken
	case len(headers) > 1 || r.URL.RawQuery != "" && hasQueryToken(r):
		return "", ErrTwoTokens
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", ErrNoToken
	}
	return token, nil
}

func hasQueryToken(r *http.Request) bool {
	// Parts that do not parse are left out, which is right: nobody could read a token there.
	return r.URL.Query().Has("access_token")
}

// The error codes of a bearer challenge (RFC 6750 §3.1). No code at all is for a request that
// carried no token.
const (
	InvalidRequest    = "invalid_request"    // 400
	InvalidToken      = "invalid_token"      // 401
	InsufficientScope = "insufficient_scope" // 403
)

// A Challenge is the WWW-Authenticate header of a refusal. It says where a client that knows
// nothing yet finds out how to get a token (RFC 9728 §5.1).
type Challenge struct {
	ResourceMetadata string // URL of the protected resource metadata
	Error            string // one of the codes above; "" when no token was sent
	Description      string // a fixed text for developers
	Scope            string // all scopes that the request needs, space-separated
}

// Status is the HTTP status that belongs to the error code.
func (c Challenge) Status() int {
	switch c.Error {
	case InvalidRequest:
		return http.StatusBadRequest
	case InsufficientScope:
		return http.StatusForbidden
	}
	return http.StatusUnauthorized
}

// String is the value of the header.
func (c Challenge) String() string {
	header := `Bearer realm="shiftgrant"`
	for _, parameter := range []struct{ name, value string }{
		{"error", c.Error},
		{"error_description", c.Description},
		{"scope", c.Scope},
		{"resource_metadata", c.ResourceMetadata},
	} {
		if parameter.value != "" {
			header += ", " + parameter.name + `="` + quotable(parameter.value) + `"`
		}
	}
	return header
}

// Write refuses a request: the challenge, its status unless the problem has one, and the
// problem as the body.
func (c Challenge) Write(w http.ResponseWriter, r *http.Request, problem Problem) {
	w.Header().Set("WWW-Authenticate", c.String())
	if problem.Status == 0 {
		problem.Status = c.Status()
	}
	WriteProblem(w, r, problem)
}

// quotable leaves out what RFC 6750 §3 allows in no attribute: quotes, backslashes, and
// anything but printable ASCII.
func quotable(value string) string {
	return strings.Map(func(c rune) rune {
		if c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return -1
		}
		return c
	}, value)
}
