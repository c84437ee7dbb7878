package sts

import (
	"encoding/xml"
	"errors"
	"net/http"

	"github.com/shiftgrant/shiftgrant/twin/sigv4"
)

// An Error is a refusal as STS words it.
type Error struct {
	Code    string
	Message string
	Status  int
	cause   error // for the log only
}

func (e *Error) Error() string {
	if e.cause != nil {
		return e.Code + ": " + e.Message + ": " + e.cause.Error()
	}
	return e.Code + ": " + e.Message
}

func (e *Error) Unwrap() error { return e.cause }

func validation(message string) *Error {
	return &Error{Code: "ValidationError", Message: message, Status: http.StatusBadRequest}
}

func invalidAction(message string) *Error {
	return &Error{Code: "InvalidAction", Message: message, Status: http.StatusBadRequest}
}

func malformedQuery(message string) *Error {
	return &Error{Code: "MalformedQueryString", Message: message, Status: http.StatusBadRequest}
}

// invalidToken is for a token that is no token of this provider.
func invalidToken(message string, cause error) *Error {
	return &Error{Code: "InvalidIdentityToken", Message: message, Status: http.StatusBadRequest, cause: cause}
}

func expiredToken(message string) *Error {
	return &Error{Code: "ExpiredTokenException", Message: message, Status: http.StatusBadRequest}
}

// rejectedClaim is for a genuine token whose claims do not hold.
func rejectedClaim(message string) *Error {
	return &Error{Code: "IDPRejectedClaim", Message: message, Status: http.StatusForbidden}
}

// communication is for an issuer that does not answer as it should; callers retry it.
func communication(cause error) *Error {
	return &Error{
		Code: "IDPCommunicationError", Status: http.StatusBadRequest, cause: cause,
		Message: "The identity provider could not be reached, or did not answer as OpenID Connect discovery asks",
	}
}

func accessDenied(message string) *Error {
	return &Error{Code: "AccessDenied", Message: message, Status: http.StatusForbidden}
}

func malformedPolicy(message string) *Error {
	return &Error{Code: "MalformedPolicyDocument", Message: message, Status: http.StatusBadRequest}
}

// asError finds the wording of any error, those of signatures included.
func asError(err error) *Error {
	var ours *Error
	if errors.As(err, &ours) {
		return ours
	}
	var signature *sigv4.Error
	if errors.As(err, &signature) {
		return &Error{Code: signature.Code, Message: signature.Message, Status: signature.Status}
	}
	return &Error{Code: "InternalFailure", Message: "the twin's STS failed; its log says why", Status: http.StatusInternalServerError, cause: err}
}

type errorDocument struct {
	XMLName   xml.Name `xml:"ErrorResponse"`
	Namespace string   `xml:"xmlns,attr"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

func writeError(w http.ResponseWriter, e *Error, requestID string) {
	kind := "Sender"
	if e.Status >= http.StatusInternalServerError {
		kind = "Receiver"
	}
	writeXML(w, e.Status, errorDocument{Namespace: namespace, Type: kind, Code: e.Code, Message: e.Message, RequestID: requestID})
}

func writeXML(w http.ResponseWriter, status int, document any) {
	body, err := xml.Marshal(document)
	if err != nil {
		http.Error(w, "the answer could not be written", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/xml")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
