package identity

import (
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/shiftgrant/shiftgrant/redshift"
)

// An stsError is a refusal in STS's own words.
type stsError struct {
	Status  int
	Code    string
	Message string
}

func (e *stsError) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("STS answered %s (HTTP %d)", e.Code, e.Status)
	}
	return fmt.Sprintf("STS answered %s: %s", e.Code, e.Message)
}

// passing reports whether the same call may succeed in a moment.
func (e *stsError) passing() bool {
	switch e.Code {
	case "IDPCommunicationError", "Throttling", "ThrottlingException", "RequestLimitExceeded":
		return true
	}
	return e.Status >= http.StatusInternalServerError || e.Status == http.StatusTooManyRequests
}

func parseSTSError(status int, body []byte) *stsError {
	var document struct {
		XMLName xml.Name `xml:"ErrorResponse"`
		Code    string   `xml:"Error>Code"`
		Message string   `xml:"Error>Message"`
	}
	if err := xml.Unmarshal(body, &document); err != nil || document.Code == "" {
		return &stsError{Status: status, Code: http.StatusText(status)}
	}
	return &stsError{Status: status, Code: document.Code, Message: document.Message}
}

// remedies says what to do about each error that AssumeRoleWithWebIdentity documents. {role} is
// the role, %[2]s the audience.
var remedies = map[string]string{
	"AccessDenied":              "the role's trust policy does not accept this identity: it has to allow sts:AssumeRoleWithWebIdentity, sts:TagSession and sts:SetSourceIdentity for this issuer with audience {audience}; check also that {role} exists",
	"InvalidIdentityToken":      "the AWS account does not accept the assertion: register this gateway's issuer URL as an IAM OpenID Connect provider there, with audience {audience}",
	"IDPRejectedClaim":          "a claim of the assertion was refused: compare the audience {audience} with the IAM provider's list, and check this machine's clock",
	"IDPCommunicationError":     "AWS could not read the issuer's discovery document or keys: they must be reachable from the internet over https without redirects, and quickly",
	"ExpiredTokenException":     "the assertion had expired when it arrived: check this machine's clock",
	"RegionDisabledException":   "STS is not active in this region for the role's account: activate the region under IAM, Account settings, or use another region",
	"MalformedPolicyDocument":   "AWS refused a policy: check the policies of {role}",
	"PackedPolicyTooLarge":      "the session's tags and policies are too large together: shorten the database user",
	"ValidationError":           "AWS did not accept the form of the request: check the role's ARN, and that the session's length is within the role's MaxSessionDuration",
	"RequestExpired":            "the request arrived too late: check this machine's clock",
	"Throttling":                "STS is limiting calls: try again in a moment",
	"ThrottlingException":       "STS is limiting calls: try again in a moment",
	"InternalFailure":           "STS has a fault: try again in a moment",
	"ServiceUnavailable":        "STS is not available: try again in a moment",
	"ServiceUnavailableFailure": "STS is not available: try again in a moment",
}

// explain makes an AccessError that says what to change.
func (w *WebIdentity) explain(step string, err error) error {
	refusal, refused := errors.AsType[*stsError](err)
	if !refused {
		return &redshift.AccessError{Step: step, Err: fmt.Errorf("call STS at %s: %w", w.endpoint, err)}
	}
	access := &redshift.AccessError{Step: step, Code: refusal.Code, Err: refusal}
	if remedy, known := remedies[refusal.Code]; known {
		fill := strings.NewReplacer("{role}", w.config.RoleARN, "{audience}", strconv.Quote(w.config.Audience))
		access.Err = fmt.Errorf("%s (%w)", fill.Replace(remedy), refusal)
	}
	return access
}
