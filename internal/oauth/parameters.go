package oauth

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"

	"github.com/shiftgrant/shiftgrant/internal/secret"
)

// maxForm bounds the body of every form that is posted here.
const maxForm = 16 << 10

// parameters are those of one request. An empty value counts as absent (RFC 6749 §3.1), and
// what nobody asks for is ignored.
type parameters struct{ values url.Values }

var errEncoding = errors.New("not application/x-www-form-urlencoded")

func parseParameters(encoded string) (parameters, error) {
	values, err := url.ParseQuery(encoded)
	if err != nil {
		// The parser's own error quotes the input, which may be a secret.
		return parameters{}, errEncoding
	}
	return parameters{values}, nil
}

func (p parameters) get(name string) string { return p.values.Get(name) }

func (p parameters) secret(name string) secret.Text { return secret.New(p.values.Get(name)) }

// has reports whether a parameter is there at all, even empty.
func (p parameters) has(name string) bool { return p.values.Has(name) }

// repeated reports whether a parameter is given more than once, even with one value empty: two
// readers of such a request could act on different values (OAuth 2.1 §3.1).
func (p parameters) repeated(name string) bool { return len(p.values[name]) > 1 }

// anyRepeated leaves out resource, which RFC 8707 §2 allows to repeat; it has its own check.
func (p parameters) anyRepeated() bool {
	for name := range p.values {
		if name != "resource" && p.repeated(name) {
			return true
		}
	}
	return false
}

// readForm reads a posted form strictly: its type is checked, its size bounded, a query string
// beside it refused, and so is a parameter that comes twice (TK-01).
func readForm(r *http.Request) (parameters, error) {
	if r.URL.RawQuery != "" {
		return parameters{}, invalidRequest("send the parameters in the body, not in the URL")
	}
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/x-www-form-urlencoded" {
		return parameters{}, invalidRequest("send the parameters as Content-Type: application/x-www-form-urlencoded")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxForm+1))
	if err != nil {
		return parameters{}, fmt.Errorf("%w: read form: %w", invalidRequest("the body ended early"), err)
	}
	if len(body) > maxForm {
		return parameters{}, &fault{code: "invalid_request", description: "the body is longer than 16 KiB", status: http.StatusRequestEntityTooLarge}
	}
	form, err := parseParameters(string(body))
	if err != nil {
		return parameters{}, invalidRequest("the body is not valid application/x-www-form-urlencoded")
	}
	if form.anyRepeated() {
		return parameters{}, invalidRequest("a parameter is given more than once")
	}
	return form, nil
}

// isVisible reports whether text has only the characters of %x20-7E (VSCHAR in RFC 6749 app. A).
func isVisible(text string) bool {
	for i := range len(text) {
		if text[i] < 0x20 || text[i] > 0x7e {
			return false
		}
	}
	return true
}
