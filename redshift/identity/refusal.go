package identity

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/shiftgrant/shiftgrant/redshift"
)

// A refusal is what an AWS service says in place of an answer, in its own words.
type refusal struct {
	Status  int
	Code    string
	Message string
}

func (e *refusal) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("AWS answered %s (HTTP %d)", e.Code, e.Status)
	}
	return fmt.Sprintf("AWS answered %s: %s", e.Code, e.Message)
}

// passing reports whether the same call may succeed in a moment.
func (e *refusal) passing() bool {
	switch e.Code {
	case "IDPCommunicationError", "Throttling", "ThrottlingException", "RequestLimitExceeded":
		return true
	}
	return e.Status >= http.StatusInternalServerError || e.Status == http.StatusTooManyRequests
}

// parseXMLRefusal reads an error of the Query protocol.
func parseXMLRefusal(status int, body []byte) *refusal {
	var document struct {
		XMLName xml.Name `xml:"ErrorResponse"`
		Code    string   `xml:"Error>Code"`
		Message string   `xml:"Error>Message"`
	}
	if err := xml.Unmarshal(body, &document); err != nil || document.Code == "" {
		return &refusal{Status: status, Code: http.StatusText(status)}
	}
	return &refusal{Status: status, Code: document.Code, Message: document.Message}
}

// parseJSONRefusal reads an error of the JSON protocol.
func parseJSONRefusal(response *http.Response, body []byte) *refusal {
	var document struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(body, &document); err != nil {
		document.Type = http.StatusText(response.StatusCode)
	}
	return &refusal{Status: response.StatusCode, Code: ErrorCode(response.Header, document.Type), Message: document.Message}
}

// ErrorCode is the code of an error of the JSON protocol, by the answer's header or else by what its
// document calls __type; "" where neither says one. Both may have more around it:
// "ValidationException:http://internal…", "com.amazonaws.redshiftdata#ValidationException".
func ErrorCode(header http.Header, documentType string) string {
	code := header.Get("X-Amzn-ErrorType")
	if code == "" {
		code = documentType
	}
	code, _, _ = strings.Cut(code, ":")
	return code[strings.LastIndexByte(code, '#')+1:]
}

// refusesCredentials reports whether other credentials may do.
func refusesCredentials(err error) bool {
	refused, ok := errors.AsType[*refusal](err)
	return ok && (refused.Code == "ExpiredToken" || refused.Code == "ExpiredTokenException" || refused.Code == "InvalidClientTokenId" || refused.Code == "UnrecognizedClientException")
}

// withFreshKeys calls with keys of the provider and, where AWS refuses just these, once more with
// new ones.
func withFreshKeys(ctx context.Context, provider Provider, call func(Credentials) error) error {
	keys, err := provider.Credentials(ctx)
	if err != nil {
		return err
	}
	err = call(keys)
	forgetting, ok := provider.(Invalidator)
	if !ok || !refusesCredentials(err) {
		return err
	}
	forgetting.Invalidate(keys)
	if keys, err = provider.Credentials(ctx); err != nil {
		return err
	}
	return call(keys)
}

// explainRefusal makes an AccessError that says what to change. What is one already stays it.
func explainRefusal(step string, err error, remedies map[string]string, fill *strings.Replacer) error {
	if err == nil {
		return nil
	}
	if access, ok := errors.AsType[*redshift.AccessError](err); ok {
		return access
	}
	refused, ok := errors.AsType[*refusal](err)
	if !ok {
		return &redshift.AccessError{Step: step, Err: err}
	}
	access := &redshift.AccessError{Step: step, Code: refused.Code, Err: refused}
	if remedy, known := remedies[refused.Code]; known {
		access.Err = fmt.Errorf("%s (%w)", fill.Replace(remedy), access.Err)
	}
	return access
}

// keyRemedies are those of keys that AWS refuses, at whichever service.
var keyRemedies = map[string]string{
	"ExpiredToken":                "the gateway's own AWS keys have expired, and so have those that were fetched anew: check where they come from, and this machine's clock",
	"ExpiredTokenException":       "the gateway's own AWS keys have expired, and so have those that were fetched anew: check where they come from, and this machine's clock",
	"InvalidClientTokenId":        "AWS does not know the gateway's own keys: check AWS_ACCESS_KEY_ID and AWS_SESSION_TOKEN",
	"UnrecognizedClientException": "AWS does not know the gateway's own keys: check AWS_ACCESS_KEY_ID and AWS_SESSION_TOKEN",
	"SignatureDoesNotMatch":       "the secret of the gateway's own keys is not theirs: check AWS_SECRET_ACCESS_KEY",
	"InvalidSignatureException":   "the secret of the gateway's own keys is not theirs, or this machine's clock is wrong: check AWS_SECRET_ACCESS_KEY",
}

// sessionRemedies are those of a person's keys, which the gateway gets for them.
var sessionRemedies = map[string]string{
	"ExpiredToken":                sessionRefused,
	"ExpiredTokenException":       sessionRefused,
	"InvalidClientTokenId":        sessionRefused,
	"UnrecognizedClientException": sessionRefused,
	"SignatureDoesNotMatch":       wrongSignature,
	"InvalidSignatureException":   wrongSignature,
}

const (
	sessionRefused = "AWS does not accept the person's credentials, and not those that were fetched anew: check this machine's clock, and that the role still exists"
	wrongSignature = "AWS does not accept the signature: check this machine's clock, and the region"
	limited        = "AWS is limiting calls: try again in a moment"
	atFault        = "the service has a fault: try again in a moment"
)

// passingRemedies are those of what ends by itself, at whichever service.
var passingRemedies = map[string]string{
	"Throttling": limited, "ThrottlingException": limited, "RequestLimitExceeded": limited,
	"InternalFailure": atFault, "InternalServerException": atFault, "ServiceUnavailable": atFault,
}

// with adds the remedies of others where there is none of one's own.
func with(own map[string]string, others ...map[string]string) map[string]string {
	for _, other := range others {
		for code, remedy := range other {
			if _, has := own[code]; !has {
				own[code] = remedy
			}
		}
	}
	return own
}
