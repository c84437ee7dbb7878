// Package sigv4 verifies requests signed with AWS Signature Version 4, as a service of AWS
// does, for the twin.
//
// It is a stand-in for development and tests, no production system: secrets lie in memory in
// the clear. It is deliberately strict where AWS is lenient or vague, so that a client which
// passes here passes there: only the header form is taken, every X-Amz-… header that is sent
// must be signed, an unsigned payload is refused, and signed header names must be sorted.
//
// What a verifier has to fear: that something the service acts on was not covered by the
// signature. So the caller hands over the exact body it will act on, and the hash is always
// computed from that, never taken from a header.
package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	algorithm = "AWS4-HMAC-SHA256"
	longDate  = "20060102T150405Z"
	shortDate = "20060102"
	maxSkew   = 5 * time.Minute
)

// A Verifier checks signatures for one service in one region.
type Verifier struct {
	Registry *Registry
	Region   string
	Service  string // the signing name, such as "redshift-data" or "sts"
	// Protocol decides how errors are spelled; the zero value is JSON.
	Protocol Protocol
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Verify returns the credential that signed the request with this body. Its error is always an
// *Error. The checks go from the form of the request to the secret, so that an answer names
// the first thing to repair.
func (v Verifier) Verify(r *http.Request, body []byte) (Credential, error) {
	authorization, err := parseAuthorization(r.Header)
	if err != nil {
		return Credential{}, v.spell(err)
	}
	if err := checkSignedHeaders(r.Header, authorization.signedHeaders); err != nil {
		return Credential{}, v.spell(err)
	}
	signedAt, err := v.checkDate(r.Header, authorization.scope)
	if err != nil {
		return Credential{}, v.spell(err)
	}
	if err := v.checkScope(authorization.scope); err != nil {
		return Credential{}, v.spell(err)
	}
	credential, found := v.Registry.Find(authorization.accessKeyID)
	if !found || !sameToken(r.Header.Values("X-Amz-Security-Token"), credential.SessionToken) {
		return Credential{}, v.spell(fault{kind: unrecognized})
	}
	payloadHash, err := hashPayload(r.Header, body)
	if err != nil {
		return Credential{}, v.spell(err)
	}
	toSign := stringToSign(signedAt, authorization.scope, canonicalRequest(r, authorization.signedHeaders, payloadHash))
	if !hmac.Equal(sign(credential.SecretAccessKey, authorization.scope, toSign), authorization.signature) {
		return Credential{}, v.spell(fault{kind: mismatch})
	}
	if !credential.Expires.IsZero() && !v.now().Before(credential.Expires) {
		return Credential{}, v.spell(fault{kind: expired})
	}
	if action := v.action(r, body); action != "" && v.Registry.Allows != nil && !v.Registry.Allows(credential, action) {
		return Credential{}, v.spell(fault{denied, "User: " + credential.ARN() + " is not authorized to perform: " + action + " because no identity-based policy allows the " + action + " action"})
	}
	return credential, nil
}

// action is what policies call the operation; "" for services in which other policies decide: the
// trust policy of a role, and the application's of who may act for it.
func (v Verifier) action(r *http.Request, body []byte) string {
	if v.Service == "sts" || v.Service == "sso-oauth" {
		return ""
	}
	operation := r.Header.Get("X-Amz-Target")
	operation = operation[strings.LastIndexByte(operation, '.')+1:]
	if v.Protocol == Query {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return ""
		}
		operation = form.Get("Action")
	}
	if v.Service == "redshift-data" {
		operation = strings.TrimSuffix(operation, "V2") // GetStatementResultV2 has no right of its own
	}
	return v.Service + ":" + operation
}

func (v Verifier) now() time.Time {
	if v.Now == nil {
		return time.Now()
	}
	return v.Now()
}

// checkDate holds X-Amz-Date against the credential scope and the clock.
func (v Verifier) checkDate(header http.Header, scope scope) (time.Time, error) {
	values := header.Values("X-Amz-Date")
	if len(values) != 1 {
		return time.Time{}, fault{incomplete, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. The twin takes one X-Amz-Date."}
	}
	signedAt, err := time.Parse(longDate, values[0])
	if err != nil {
		return time.Time{}, fault{incomplete, "Date must be in ISO-8601 'basic format', such as 20260102T030405Z."}
	}
	if scope.date != signedAt.Format(shortDate) {
		return time.Time{}, fault{mismatch, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP."}
	}
	now := v.now().UTC()
	if earliest := now.Add(-maxSkew); signedAt.Before(earliest.Truncate(time.Second)) {
		return time.Time{}, fault{mismatch, "Signature expired: " + values[0] + " is now earlier than " + earliest.Format(longDate) +
			" (" + now.Format(longDate) + " - 5 min.)"}
	}
	if latest := now.Add(maxSkew); signedAt.After(latest) {
		return time.Time{}, fault{mismatch, "Signature not yet current: " + values[0] + " is still later than " + latest.Format(longDate) +
			" (" + now.Format(longDate) + " + 5 min.)"}
	}
	return signedAt, nil
}

func (v Verifier) checkScope(scope scope) error {
	if scope.region != v.Region {
		return fault{mismatch, "Credential should be scoped to a valid region, such as '" + v.Region + "'. "}
	}
	if scope.service != v.Service {
		return fault{mismatch, "Credential should be scoped to correct service: '" + v.Service + "'. "}
	}
	return nil
}

// sameToken compares the session token in constant time. Static keys have none and must not
// come with one.
func sameToken(sent []string, want string) bool {
	if want == "" {
		return len(sent) == 0
	}
	return len(sent) == 1 && subtle.ConstantTimeCompare([]byte(sent[0]), []byte(want)) == 1
}

// hashPayload hashes what the service will act on. A header that says otherwise is an error
// and not a choice.
func hashPayload(header http.Header, body []byte) (string, error) {
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	for _, said := range header.Values("X-Amz-Content-Sha256") {
		if said != hash {
			return "", fault{mismatch, "The value passed in as x-amz-content-sha256 does not match the digest calculated from the body."}
		}
	}
	return hash, nil
}

func stringToSign(signedAt time.Time, scope scope, canonical string) string {
	sum := sha256.Sum256([]byte(canonical))
	return strings.Join([]string{algorithm, signedAt.Format(longDate), scope.String(), hex.EncodeToString(sum[:])}, "\n")
}

// sign derives the key of the day, region and service, and signs with it.
func sign(secret string, scope scope, toSign string) []byte {
	key := []byte("AWS4" + secret)
	for _, part := range []string{scope.date, scope.region, scope.service, terminator, toSign} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return key
}

// checkSignedHeaders refuses a request in which something that AWS acts on is not signed.
func checkSignedHeaders(header http.Header, signed []string) error {
	if !slices.Contains(signed, "host") {
		return fault{incomplete, "'Host' must be a 'SignedHeader' in the AWS Authorization."}
	}
	for name := range header {
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, "x-amz-") && !slices.Contains(signed, lower) {
			return fault{incomplete, "Every 'X-Amz-…' header must be a 'SignedHeader' in the AWS Authorization."}
		}
	}
	return nil
}
