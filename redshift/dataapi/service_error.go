package dataapi

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/shiftgrant/shiftgrant/redshift/identity"
)

// A ServiceError is a refusal of the Data API itself. What Redshift says about SQL is a
// *redshift.Error, what AWS says about credentials an *redshift.AccessError.
type ServiceError struct {
	Operation string
	Code      string // "ValidationException"
	Message   string
	Status    int    // of HTTP
	RequestID string // AWS support asks for it
}

func (e *ServiceError) Error() string {
	text := fmt.Sprintf("data API %s: %s (HTTP %d)", e.Operation, e.Code, e.Status)
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// newServiceError reads an error as JSON 1.1 services send it: the type in a header, or else in
// the body, each with decoration.
func newServiceError(op operation, response *http.Response, body []byte) *ServiceError {
	e := &ServiceError{Operation: string(op), Status: response.StatusCode, RequestID: response.Header.Get("X-Amzn-Requestid")}
	var document struct {
		Type    string `json:"__type"`
		Message string // all but throttling
		Lower   string `json:"message"`
	}
	if json.Unmarshal(body, &document) == nil {
		e.Message = document.Message
		if e.Message == "" {
			e.Message = document.Lower
		}
	}
	e.Code = cmp.Or(identity.ErrorCode(response.Header, document.Type), http.StatusText(response.StatusCode))
	return e
}

// refusesCredentials reports whether other credentials may help.
func (e *ServiceError) refusesCredentials() bool {
	if e == nil {
		return false
	}
	switch e.Code {
	case "ExpiredTokenException", "ExpiredToken", "UnrecognizedClientException", "InvalidClientTokenId",
		"InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignatureException",
		"MissingAuthenticationTokenException":
		return true
	}
	return false
}

// deniesAccess reports that the credentials are good, and not for this.
func (e *ServiceError) deniesAccess() bool {
	return e != nil && (e.Code == "AccessDeniedException" || e.Code == "AccessDenied")
}

// refusesAccess reports a fault of the set-up of access.
func (e *ServiceError) refusesAccess() bool { return e.refusesCredentials() || e.deniesAccess() }

const (
	refusedKeys = "AWS does not accept the credentials: check this machine's clock, and that the role still exists"
	badlySigned = "AWS does not accept the signature: check this machine's clock, and the region"
	denied      = "the role's policy has to allow redshift-data:{operation} on this warehouse"
	faultOfAWS  = "the Data API has a fault: try again in a moment"
	notRun      = "the statement was not run: is the warehouse available, and does the database user exist there?"
)

// remedies say what to do about the errors that the Data API documents, and about those of signatures.
// Limits are told as a BusyError.
var remedies = map[string]string{
	"AccessDeniedException": denied, "AccessDenied": denied,
	"ExpiredTokenException": refusedKeys, "ExpiredToken": refusedKeys, "UnrecognizedClientException": refusedKeys, "InvalidClientTokenId": refusedKeys,
	"IncompleteSignatureException": refusedKeys, "MissingAuthenticationTokenException": refusedKeys,
	"InvalidSignatureException": badlySigned, "SignatureDoesNotMatch": badlySigned,
	"ValidationException":         "the Data API did not accept the request: check the cluster or workgroup, the region, the database and the database user",
	"ResourceNotFoundException":   "there is no such warehouse, or no such statement any more: AWS keeps statements and results for a day",
	"DatabaseConnectionException": "the Data API could not connect to the warehouse: is it available, paused, resizing?",
	"ExecuteStatementException":   notRun, "BatchExecuteStatementException": notRun,
	"QueryTimeoutException":   "the warehouse took too long to answer: is it busy?",
	"InternalServerException": faultOfAWS, "InternalFailure": faultOfAWS, "ServiceUnavailable": faultOfAWS,
}

// withRemedy adds what to do, where that is known.
func (e *ServiceError) withRemedy() error {
	remedy, known := remedies[e.Code]
	if !known {
		return e
	}
	return fmt.Errorf("%s (%w)", strings.ReplaceAll(remedy, "{operation}", e.Operation), e)
}

// quota reports whether a limit was met, of calls or of statements.
func (e *ServiceError) quota() bool {
	switch e.Code {
	case "ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded",
		"ActiveStatementsExceededException", "ActiveSessionsExceededException", "ActiveWaitingRequestsExceededException":
		return true
	}
	return e.Status == http.StatusTooManyRequests
}

// passing reports whether the same call may succeed in a moment.
func (e *ServiceError) passing() bool { return e.quota() || e.Status >= http.StatusInternalServerError }

// limits of AWS for each account and region; none can be raised. DescribeStatement's is 100.
var limits = map[operation]string{
	executeStatement:     "30 ExecuteStatement calls a second",
	getStatementResult:   "20 results a second",
	getStatementResultV2: "20 results a second",
	cancelStatement:      "3 CancelStatement calls a second",
	describeStatement:    "100 DescribeStatement calls a second",
}

func (e *ServiceError) limit() string {
	switch e.Code {
	case "ActiveStatementsExceededException":
		return "500 running statements in the warehouse"
	case "ActiveSessionsExceededException":
		return "500 sessions in the warehouse"
	case "ActiveWaitingRequestsExceededException":
		return "waiting requests for one statement"
	}
	return limits[operation(e.Operation)] + " in the AWS account"
}

// isCode reports whether err is a ServiceError with this code.
func isCode(err error, code string) bool {
	fault, ok := errors.AsType[*ServiceError](err)
	return ok && fault.Code == code
}

// missing is how the Data API says that a statement does not exist, and also that it has no
// result: not yet, not any more, or not ever.
const missing = "ResourceNotFoundException"
