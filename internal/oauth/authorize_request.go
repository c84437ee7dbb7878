package oauth

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

// maxAuthorizeQuery bounds an authorization request. It travels through the person's sign-in
// inside a sealed cookie, and browsers keep cookies of 4 KiB.
const maxAuthorizeQuery = 2 << 10

// An authorizeRequest is what an app asks through the person's browser. Everything in it may
// have been written by anybody.
type authorizeRequest struct {
	clientID    string
	redirectURI string
	state       string
	nonce       string
	challenge   string
	scopes      grant.Scopes // as asked; resolveScopes completes them
	resource    string
	prompt      prompt
	maxAge      time.Duration // negative: not asked
	// since and anew are set by ourselves on the way through a sign-in that the app wants to be
	// fresh: the person must have signed in after it, and the IdP was asked not to rely on an
	// earlier time.
	since time.Time
	anew  bool
	// fault is the first error beyond client and redirect URI. It may be told to the app only
	// when those two have been found good.
	fault *fault
}

// A prompt is the set of values of the parameter (OpenID Connect Core §3.1.2.1).
type prompt struct{ none, login, consent bool }

// These carry since, in Unix milliseconds, and anew. Whoever forges them only skips a second
// sign-in that the app asked for; the app sees auth_time and is not misled.
const (
	sinceParameter = "shiftgrant_since"
	anewParameter  = "shiftgrant_anew"
)

// parseAuthorizeRequest reads a query. Repeated client_id or redirect_uri count as absent, so
// that nothing is ever sent to either of two places.
func parseAuthorizeRequest(p parameters) *authorizeRequest {
	q := &authorizeRequest{maxAge: -1}
	if !p.repeated("client_id") {
		q.clientID = p.get("client_id")
	}
	if !p.repeated("redirect_uri") {
		q.redirectURI = p.get("redirect_uri")
	}
	if state := p.get("state"); !p.repeated("state") && isVisible(state) {
		q.state = state
	}
	q.fault = q.parse(p)
	return q
}

// parse checks everything that needs no knowledge of the app, in the order of OAuth 2.1 §4.1.1.
func (q *authorizeRequest) parse(p parameters) *fault {
	// OAuth 2.1 §3.1.
	if p.anyRepeated() {
		return invalidRequest("a parameter is given more than once")
	}
	// RFC 6749 appendix A.5 and, for the nonce, the same good sense.
	if !isVisible(p.get("state")) || !isVisible(p.get("nonce")) {
		return invalidRequest("state and nonce may have only printable ASCII characters")
	}
	q.nonce = p.get("nonce")
	if f := parseResponse(p); f != nil {
		return f
	}
	if f := refuseUnsupported(p); f != nil {
		return f
	}
	if f := q.parseChallenge(p); f != nil {
		return f
	}
	scopes, err := grant.ParseScopes(p.get("scope"))
	if err != nil {
		return invalidScope("scope must be a list of names with one space between them")
	}
	q.scopes = scopes
	q.resource = p.get("resource")
	if p.repeated("resource") { // RFC 8707 §2: one of several would have to be left out
		return invalidTarget()
	}
	return q.parsePrompt(p)
}

// parseResponse holds what comes back to a code in the query, the one way that keeps tokens
// out of the browser (AZ-04).
func parseResponse(p parameters) *fault {
	switch p.get("response_type") {
	case "code":
	case "":
		return invalidRequest("add response_type=code")
	default: // RFC 6749 §4.1.2.1
		return &fault{code: "unsupported_response_type", description: "only response_type=code is supported"}
	}
	switch p.get("response_mode") {
	case "", "query":
		return nil
	}
	return invalidRequest("only response_mode=query is supported")
}

// refuseUnsupported names what would change the meaning of the request if it were ignored.
func refuseUnsupported(p parameters) *fault {
	for _, unsupported := range []struct {
		parameter string
		fault     fault
	}{
		// OpenID Connect Core §3.1.2.6. An external request_uri would also make us fetch it.
		{"request", fault{code: "request_not_supported", description: "request objects are not supported: send the parameters themselves"}},
		{"request_uri", fault{code: "request_uri_not_supported", description: "request_uri is not supported: send the parameters themselves"}},
		{"registration", fault{code: "registration_not_supported", description: "registration in the request is not supported: ask the administrator to register the app"}},
		// RFC 9396 §5: ignoring a narrower request would grant a wider one.
		{"authorization_details", fault{code: "invalid_authorization_details", description: "authorization_details is not supported: use scope"}},
	} {
		if p.get(unsupported.parameter) != "" {
			return &unsupported.fault
		}
	}
	return nil
}

// parseChallenge wants PKCE of every app, by S256 (AZ-05, AZ-06).
func (q *authorizeRequest) parseChallenge(p parameters) *fault {
	challenge := p.get("code_challenge")
	// RFC 7636 §4.4.1; OAuth 2.1 §4.1.1 asks it of every client.
	if challenge == "" {
		return invalidRequest("add code_challenge and code_challenge_method=S256 (PKCE)")
	}
	// RFC 7636 §4.3: without a method the challenge would be plain.
	if p.get("code_challenge_method") != "S256" {
		return invalidRequest("add code_challenge_method=S256 beside code_challenge (PKCE); no other method is supported")
	}
	// RFC 7636 §4.2: the base64url of a SHA-256, which has one spelling.
	hash, err := base64.RawURLEncoding.Strict().DecodeString(challenge)
	if err != nil || len(hash) != 32 || strings.ContainsAny(challenge, "\r\n") {
		return invalidRequest("code_challenge must be the 43 characters of the base64url-encoded SHA-256 of code_verifier")
	}
	q.challenge = challenge
	return nil
}

// parsePrompt reads what OpenID Connect Core §3.1.2.1 adds. login_hint and other hints are
// left alone: where a person signs in is theirs to choose.
func (q *authorizeRequest) parsePrompt(p parameters) *fault {
	for value := range strings.FieldsSeq(p.get("prompt")) {
		switch value {
		case "none":
			q.prompt.none = true
		case "login", "select_account":
			q.prompt.login = true
		case "consent":
			q.prompt.consent = true
		default:
			return invalidRequest("prompt must be none, login, consent or select_account")
		}
	}
	if q.prompt.none && (q.prompt.login || q.prompt.consent) {
		return invalidRequest("prompt=none cannot stand beside another prompt")
	}
	if text := p.get("max_age"); text != "" {
		seconds, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return invalidRequest("max_age must be a number of seconds")
		}
		q.maxAge = time.Duration(seconds) * time.Second
	}
	if milliseconds, err := strconv.ParseInt(p.get(sinceParameter), 10, 64); err == nil {
		q.since = time.UnixMilli(milliseconds)
	}
	q.anew = p.get(anewParameter) == "1"
	return nil
}
