package oauth

import (
	"strings"

	"github.com/shiftgrant/shiftgrant/internal/secret"
)

// A tokenRequest is what an app sends to the token endpoint, beside proving itself.
type tokenRequest struct {
	// For grant_type authorization_code (OAuth 2.1 §4.1.3).
	code        secret.Text
	redirectURI string
	verifier    secret.Text
	// For the grant type of a device (RFC 8628 §3.4).
	device secret.Text
	// For grant_type refresh_token (OAuth 2.1 §4.3.1).
	refresh secret.Text
	scope   string

	resource string
}

// parseTokenRequest checks the form of a request. Exactly one of code, device and refresh is set
// in what it returns.
func parseTokenRequest(form parameters) (*tokenRequest, *fault) {
	if form.repeated("resource") {
		return nil, invalidTarget()
	}
	q := &tokenRequest{resource: form.get("resource")}
	switch form.get("grant_type") {
	case "authorization_code":
		return q, q.parseCode(form)
	case "refresh_token":
		return q, q.parseRefresh(form)
	case deviceGrantType:
		if q.device = form.secret("device_code"); q.device.IsZero() {
			return nil, invalidRequest("add device_code")
		}
		return q, nil
	case "":
		return nil, invalidRequest("add grant_type=authorization_code or grant_type=refresh_token")
	}
	// RFC 9700 §2.4: there is no password grant, and there will be none.
	return nil, &fault{code: "unsupported_grant_type", description: "only authorization_code and refresh_token are supported"}
}

func (q *tokenRequest) parseCode(form parameters) *fault {
	q.code, q.redirectURI, q.verifier = form.secret("code"), form.get("redirect_uri"), form.secret("code_verifier")
	switch {
	case q.code.IsZero():
		return invalidRequest("add code")
	case q.redirectURI == "":
		return invalidRequest("add redirect_uri, as it was in the authorization request")
	case q.verifier.IsZero(): // every code has a challenge (TK-04)
		return invalidRequest("add code_verifier (PKCE)")
	case !isVerifier(q.verifier.Reveal()):
		return invalidRequest("code_verifier must be 43 to 128 of the characters A-Z a-z 0-9 - . _ ~")
	}
	return nil
}

func (q *tokenRequest) parseRefresh(form parameters) *fault {
	q.refresh, q.scope = form.secret("refresh_token"), form.get("scope")
	if q.refresh.IsZero() {
		return invalidRequest("add refresh_token")
	}
	return nil
}

// isVerifier is the grammar of RFC 7636 §4.1.
func isVerifier(verifier string) bool {
	if len(verifier) < 43 || len(verifier) > 128 {
		return false
	}
	return !strings.ContainsFunc(verifier, func(c rune) bool {
		return !('A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.ContainsRune("-._~", c))
	})
}
