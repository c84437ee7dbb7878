package web_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/shiftgrant/shiftgrant/internal/web"
)

// RS-01: the Authorization header is the only way, and there is one of it.
func TestBearerTokenComesFromTheHeaderAlone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		target  string
		headers []string
		token   string
		err     error
	}{
		{"a token", "/", []string{"Bearer sg_at_x"}, "sg_at_x", nil},
		{"the scheme in other letters", "/", []string{"bEARER sg_at_x"}, "sg_at_x", nil},
		{"a token beside an innocent query", "/?a=b", []string{"Bearer sg_at_x"}, "sg_at_x", nil},
		{"nothing", "/", nil, "", web.ErrNoToken},
		{"a token in the query", "/?access_token=sg_at_x", nil, "", web.ErrNoToken},
		{"another scheme", "/", []string{"Basic c2c6YXQ="}, "", web.ErrNoToken},
		{"a scheme alone", "/", []string{"Bearer"}, "", web.ErrNoToken},
		{"an empty token", "/", []string{"Bearer "}, "", web.ErrNoToken},
		{"two headers", "/", []string{"Bearer sg_at_x", "Bearer sg_at_y"}, "", web.ErrTwoTokens},
		{"two headers, one of another scheme", "/", []string{"Basic c2c6YXQ=", "Bearer sg_at_y"}, "", web.ErrTwoTokens},
		{"header and query", "/?access_token=sg_at_y", []string{"Bearer sg_at_x"}, "", web.ErrTwoTokens},
	} {
		r := httptest.NewRequest("GET", c.target, nil)
		r.Header["Authorization"] = c.headers
		token, err := web.BearerToken(r)
		if token != c.token || !errors.Is(err, c.err) {
			t.Errorf("%s: %q, %v; want %q, %v", c.name, token, err, c.token, c.err)
		}
	}
}

// RS-03, MD-03.
func TestChallengeNamesTheMetadata(t *testing.T) {
	t.Parallel()
	const metadata = "https://grants.example/.well-known/oauth-protected-resource"
	for _, c := range []struct {
		name      string
		challenge web.Challenge
		status    int
		header    string
	}{
		{
			"no token was sent",
			web.Challenge{ResourceMetadata: metadata, Scope: "sql:read"},
			401,
			`Bearer realm="shiftgrant", scope="sql:read", resource_metadata="` + metadata + `"`,
		},
		{
			"a token that is no good",
			web.Challenge{ResourceMetadata: metadata, Error: web.InvalidToken, Description: "expired"},
			401,
			`Bearer realm="shiftgrant", error="invalid_token", error_description="expired", resource_metadata="` + metadata + `"`,
		},
		{
			"scopes are missing",
			web.Challenge{Error: web.InsufficientScope, Scope: "sql:read sql:write"},
			403,
			`Bearer realm="shiftgrant", error="insufficient_scope", scope="sql:read sql:write"`,
		},
		{"two tokens", web.Challenge{Error: web.InvalidRequest}, 400, `Bearer realm="shiftgrant", error="invalid_request"`},
		{"a text that would break out", web.Challenge{Scope: "a\"\r\nX: y\\ä"}, 401, `Bearer realm="shiftgrant", scope="aX: y"`},
	} {
		response := httptest.NewRecorder()
		c.challenge.Write(response, httptest.NewRequest("GET", "/", nil), web.Problem{Type: "test"})
		if got := response.Header().Get("WWW-Authenticate"); response.Code != c.status || got != c.header {
			t.Errorf("%s: %d %s\nwant %d %s", c.name, response.Code, got, c.status, c.header)
		}
		if response.Header().Get("Content-Type") != "application/problem+json" || http.StatusText(response.Code) == "" {
			t.Errorf("%s: no problem document", c.name)
		}
	}
}
