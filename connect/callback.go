package connect

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/oauth2"
)

// algorithms are the signatures that an ID token may have: asymmetric ones only, so that a
// public key can never be taken for a shared secret.
var algorithms = []string{
	oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA,
}

// clockSkew is how far the issuer's clock may be ahead or behind.
const clockSkew = 60 * time.Second

// Callback takes the issuer's answer, and starts a session.
func (c *Client) Callback(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer") // the URL holds a code
	returnTo, failure := c.finish(w, r)
	if failure != nil {
		c.fail(w, r, failure)
		return
	}
	http.Redirect(w, r, returnTo, http.StatusSeeOther)
}

// finish goes through the answer in the order that protects: whose sign-in is this, who
// answers, what do they say.
func (c *Client) finish(w http.ResponseWriter, r *http.Request) (returnTo string, failure *Error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || repeated(query) || query.Get("state") == "" {
		return "", &Error{Kind: Foreign, Err: errForeign}
	}
	t, failure := c.takeTransaction(w, r, query.Get("state"))
	if failure != nil {
		return "", failure
	}
	metadata, err := c.metadata(r.Context())
	if err != nil {
		return "", &Error{Kind: Unavailable, ReturnTo: t.ReturnTo, Err: err}
	}
	// RFC 9207 §2.4: compared as it stands, and on a mismatch nothing else of the answer is
	// looked at, not even its error.
	if iss, given := query["iss"]; given && iss[0] != t.Issuer || !given && metadata.IssInResponses {
		return "", &Error{Kind: Refused, ReturnTo: t.ReturnTo, Err: errIssuer}
	}
	if code := query.Get("error"); code != "" {
		return "", answeredError(code, t.ReturnTo)
	}
	if query.Get("code") == "" {
		return "", &Error{Kind: Refused, ReturnTo: t.ReturnTo, Err: errors.New("the answer has neither code nor error")}
	}
	if failure := c.complete(w, r, metadata, t, query.Get("code")); failure != nil {
		failure.ReturnTo = t.ReturnTo
		return "", failure
	}
	return t.ReturnTo, nil
}

// answeredError sorts the errors of RFC 6749 §4.1.2.1 and OpenID Connect Core §3.1.2.6.
func answeredError(code, returnTo string) *Error {
	failure := &Error{Kind: Refused, ReturnTo: returnTo, Err: fmt.Errorf("the issuer answered %q", printable(code))}
	switch code {
	case "access_denied", "consent_required", "interaction_required", "login_required", "account_selection_required":
		failure.Kind = Denied
	case "server_error", "temporarily_unavailable":
		failure.Kind = Unavailable
	}
	return failure
}

// complete exchanges the code, checks who it is, and starts the session.
func (c *Client) complete(w http.ResponseWriter, r *http.Request, m *metadata, t transaction, code string) *Error {
	ctx := c.tokenContext(r.Context())
	token, err := c.oauth(m).Exchange(ctx, code, oauth2.VerifierOption(t.Verifier))
	if err != nil {
		return exchangeError(err)
	}
	if !strings.EqualFold(token.Type(), "Bearer") {
		return &Error{Kind: Refused, Err: errors.New("the token is not a bearer token")}
	}
	identity := Identity{Issuer: c.config.Issuer}
	if c.asksForOpenID() {
		if identity, err = c.verifyIDToken(r.Context(), m, token, t.Nonce); err != nil {
			return &Error{Kind: Refused, Err: fmt.Errorf("verify ID token: %w", err)}
		}
	}
	held := c.tokensOf(token)
	if !c.asksForOpenID() && c.config.Identify != nil {
		if identity, err = c.identify(r.Context(), held); err != nil {
			return &Error{Kind: Refused, Err: fmt.Errorf("identify: %w", err)}
		}
	}
	if c.config.OnLogin != nil {
		if err := c.config.OnLogin(r.Context(), r, identity); err != nil {
			return &Error{Kind: Refused, Err: err}
		}
	}
	if c.config.KeepTokens != nil {
		kept, err := c.config.KeepTokens(r.Context(), identity, held)
		if err != nil {
			return &Error{Kind: Unavailable, Err: err}
		}
		if kept {
			held = Tokens{}
		}
	}
	if err := c.startSession(w, r, t.State, identity, held); err != nil {
		return &Error{Kind: Unavailable, Err: err}
	}
	return nil
}

// identify has the program say who signed in. The issuer is the one that was asked.
func (c *Client) identify(ctx context.Context, held Tokens) (Identity, error) {
	identity, err := c.config.Identify(ctx, held)
	switch {
	case err != nil:
		return Identity{}, err
	case identity.Subject == "":
		return Identity{}, errors.New("the subject is missing")
	}
	identity.Issuer = c.config.Issuer
	setDefault(&identity.AuthTime, c.now())
	return identity, nil
}

// exchangeError tells an issuer that refuses from one that cannot be reached.
func exchangeError(err error) *Error {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.Response != nil && refused.Response.StatusCode < 500 && refused.Response.StatusCode != http.StatusTooManyRequests {
		// A code that is too old, or was used, is nobody's fault: start again.
		kind := Refused
		if refused.ErrorCode == "invalid_grant" {
			kind = Expired
		}
		return &Error{Kind: kind, Err: fmt.Errorf("exchange code: status %d, error %q", refused.Response.StatusCode, printable(refused.ErrorCode))}
	}
	if errors.As(err, &refused) && refused.Response != nil {
		return &Error{Kind: Unavailable, Err: fmt.Errorf("exchange code: status %d", refused.Response.StatusCode)}
	}
	var network *url.Error
	if errors.As(err, &network) && !errors.Is(err, errTokenAnswer) {
		return &Error{Kind: Unavailable, Err: fmt.Errorf("exchange code: %w", network.Err)}
	}
	return &Error{Kind: Refused, Err: fmt.Errorf("exchange code: %w", errTokenAnswer)}
}

// verifyIDToken is OpenID Connect Core §3.1.3.7, in its order.
func (c *Client) verifyIDToken(ctx context.Context, m *metadata, token *oauth2.Token, nonce string) (Identity, error) {
	raw, ok := token.Extra("id_token").(string)
	if !ok || raw == "" {
		return Identity{}, errors.New("there is none, although openid was asked for")
	}
	if strings.ContainsFunc(raw, unicode.IsSpace) { // which go-jose would take out
		return Identity{}, errors.New("there is white space in it")
	}
	verifier := oidc.NewVerifier(c.config.Issuer, m.keys, &oidc.Config{
		ClientID: c.config.ClientID, SupportedSigningAlgs: algorithms, Now: c.now,
		SkipIssuerCheck: m.forTenants, SkipExpiryCheck: true, // both are done below, in our own way
	})
	verified, err := verifier.Verify(oidc.ClientContext(ctx, c.http), raw)
	if err != nil {
		return Identity{}, err
	}
	claims, err := readClaims(verified)
	if err != nil {
		return Identity{}, fmt.Errorf("decode claims: %w", err)
	}
	if m.forTenants {
		if err := c.checkTenant(m, verified.Issuer, claims, raw); err != nil {
			return Identity{}, err
		}
	}
	if err := c.checkTimes(verified, claims); err != nil {
		return Identity{}, err
	}
	azp, hasAZP := claims["azp"]
	switch {
	case verified.Subject == "":
		return Identity{}, errors.New("sub is missing")
	case len(verified.Audience) > 1 && !hasAZP:
		return Identity{}, errors.New("it has several audiences and no azp")
	case hasAZP && azp != c.config.ClientID:
		return Identity{}, errors.New("azp is another client")
	case !constantTimeEqual(verified.Nonce, nonce):
		return Identity{}, errors.New("nonce is not the one that was sent")
	}
	if verified.AccessTokenHash != "" {
		if err := verified.VerifyAccessToken(token.AccessToken); err != nil {
			return Identity{}, fmt.Errorf("at_hash: %w", err)
		}
	}
	return newIdentity(verified.Issuer, verified.Subject, claims, c.now()), nil
}

// checkTimes allows for clocks that differ a little, and says by how much where it is more.
func (c *Client) checkTimes(verified *oidc.IDToken, claims map[string]any) error {
	now, notBefore := c.now(), time.Time{}
	if value, given := claims["nbf"]; given {
		seconds, ok := value.(float64)
		if !ok {
			return errors.New("nbf is no time")
		}
		notBefore = time.Unix(int64(seconds), 0)
	}
	off := func(d time.Duration) string {
		return fmt.Sprintf("%s by this machine's clock, of which %s are allowed for: set the clock right that is wrong, here or at the issuer", d.Round(time.Second), clockSkew)
	}
	switch {
	case verified.Expiry.IsZero() || verified.Expiry.Unix() == 0:
		return errors.New("exp is missing")
	case verified.IssuedAt.IsZero() || verified.IssuedAt.Unix() == 0:
		return errors.New("iat is missing")
	case !now.Before(verified.Expiry.Add(clockSkew)):
		return fmt.Errorf("it has expired: exp has been over for %s", off(now.Sub(verified.Expiry)))
	case verified.IssuedAt.After(now.Add(clockSkew)):
		return fmt.Errorf("iat is in the future by %s", off(verified.IssuedAt.Sub(now)))
	case notBefore.After(now.Add(clockSkew)):
		return fmt.Errorf("nbf is in the future by %s", off(notBefore.Sub(now)))
	}
	return nil
}

// registered are the claims that are verified.
var registered = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "azp", "nonce", "at_hash", "auth_time", "email_verified", "tid"}

// readClaims reads the claims strictly: none is there twice, and none that is verified is there in
// other letters, which a careless reader takes for it.
func readClaims(verified *oidc.IDToken) (map[string]any, error) {
	var raw jsontext.Value
	if err := verified.Claims(&raw); err != nil {
		return nil, err
	}
	claims := map[string]any{}
	if err := json.Unmarshal(raw, &claims); err != nil {
		return nil, err
	}
	for name := range claims {
		if lower := strings.ToLower(name); lower != name && slices.Contains(registered, lower) {
			return nil, fmt.Errorf("there is a claim that differs from %s only in its letters' case", lower)
		}
	}
	return claims, nil
}

// Identity is who signed in, as the issuer says. Issuer and Subject together are the person;
// everything else may change, and decides nothing.
type Identity struct {
	Issuer        string         `json:"issuer"`
	Subject       string         `json:"subject"`
	Name          string         `json:"name,omitempty"`
	Email         string         `json:"email,omitempty"`
	EmailVerified bool           `json:"email_verified,omitempty"`
	Username      string         `json:"username,omitempty"` // preferred_username
	AuthTime      time.Time      `json:"auth_time"`          // when they signed in at the issuer
	Claims        map[string]any `json:"claims,omitempty"`   // all of the ID token
}

func newIdentity(issuer, subject string, claims map[string]any, now time.Time) Identity {
	text := func(name string) string {
		value, _ := claims[name].(string)
		return value
	}
	identity := Identity{
		Issuer: issuer, Subject: subject, Name: text("name"), Email: text("email"), Username: text("preferred_username"),
		AuthTime: now, Claims: claims,
	}
	// Only the boolean counts: "false" as a text is true to a careless reader.
	identity.EmailVerified, _ = claims["email_verified"].(bool)
	if seconds, ok := claims["auth_time"].(float64); ok && seconds > 0 {
		identity.AuthTime = time.Unix(int64(seconds), 0)
	}
	return identity
}

func constantTimeEqual(a, b string) bool {
	return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}

// printable makes somebody else's text fit for a log line.
func printable(text string) string {
	runes := []rune(text)
	runes = slices.DeleteFunc(runes, func(r rune) bool { return r < 0x20 || r > 0x7e })
	return string(runes[:min(len(runes), 80)])
}
