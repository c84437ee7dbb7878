package dataapi

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
)

// An apiError is an error in the form of JSON 1.1.
type apiError struct {
	status   int
	code     string
	message  string
	lower    bool   // AWS's front end writes "message", the service "Message"
	resource string // ResourceId of ResourceNotFoundException
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

func (e *apiError) write(w http.ResponseWriter) {
	body := map[string]string{"__type": e.code}
	switch {
	case e.lower:
		body["message"] = e.message
	case e.message != "":
		body["Message"] = e.message
	}
	if e.code == "ResourceNotFoundException" {
		body["ResourceId"] = e.resource
	}
	encoded, err := json.Marshal(body, json.Deterministic(true))
	if err != nil {
		encoded = []byte(`{"__type":"InternalServerException"}`)
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("x-amzn-ErrorType", e.code)
	w.WriteHeader(e.status)
	_, _ = w.Write(encoded) // the status is out: there is nobody left to tell
}

func validation(format string, arguments ...any) *apiError {
	return &apiError{status: http.StatusBadRequest, code: "ValidationException", message: fmt.Sprintf(format, arguments...)}
}

// constraint is the front end's way to say that a member's value is out of bounds.
func constraint(value any, member, rule string) *apiError {
	return validation("1 validation error detected: Value '%v' at '%s' failed to satisfy constraint: Member must %s", value, member, rule)
}

func serialization(message string) *apiError {
	return &apiError{status: http.StatusBadRequest, code: "SerializationException", message: message}
}

func internal() *apiError {
	return &apiError{status: http.StatusInternalServerError, code: "InternalServerException", message: "Internal server error"}
}

func throttled() *apiError {
	return &apiError{status: http.StatusBadRequest, code: "ThrottlingException", message: "Rate exceeded", lower: true}
}

func expiredToken() *apiError {
	return &apiError{status: http.StatusBadRequest, code: "ExpiredTokenException", message: "The security token included in the request is expired", lower: true}
}

func notFound(id, message string) *apiError {
	return &apiError{status: http.StatusNotFound, code: "ResourceNotFoundException", message: message, resource: id}
}

// noResult means "not yet" as well as "never": DescribeStatement tells which.
func noResult(id string) *apiError {
	return notFound(id, "Query does not have result. Please check query status with DescribeStatement.")
}

func exceeded(code, message string) *apiError {
	return &apiError{status: http.StatusBadRequest, code: code, message: message}
}

func denied(caller Caller, action, resource string) *apiError {
	on := ""
	if resource != "" {
		on = " on resource: " + resource
	}
	return &apiError{
		status: http.StatusBadRequest, code: "AccessDeniedException",
		message: fmt.Sprintf("User: %s is not authorized to perform: %s%s because no identity-based policy allows the %s action", caller.arn(), action, on, action),
	}
}

func connectionFailed(err error) *apiError {
	return &apiError{status: http.StatusInternalServerError, code: "DatabaseConnectionException", message: failureText(err)}
}

// decode reads a request strictly: a misspelt or doubled member is refused, where AWS would
// ignore it and leave its sender in the dark.
func decode[T any](body []byte) (T, error) {
	var request T
	if err := json.Unmarshal(body, &request, json.RejectUnknownMembers(true)); err != nil {
		return request, serialization("request body: " + strings.TrimPrefix(err.Error(), "json: "))
	}
	return request, nil
}

// An answer that writes itself carries a page as it lies in the spool.
type selfWriting interface {
	writeTo(w http.ResponseWriter) error
}

func writeAnswer(w http.ResponseWriter, answer any) error {
	w.Header().Set("Content-Type", contentType)
	if writer, ok := answer.(selfWriting); ok {
		return writer.writeTo(w)
	}
	return json.MarshalWrite(w, answer)
}
