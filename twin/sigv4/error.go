package sigv4

import (
	"errors"
	"net/http"
)

// Protocol is the dialect of a service, which decides how the same failure is called.
type Protocol int

const (
	// JSON is AWS JSON 1.0 and 1.1, as of redshift-data: every refusal has status 400.
	JSON Protocol = iota
	// Query is the XML protocol of STS and IAM.
	Query
)

// An Error is a refusal as the service would word it.
type Error struct {
	Code    string
	Message string
	Status  int
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

type kind int

const (
	missing kind = iota
	incomplete
	unrecognized
	expired
	mismatch
	denied
)

// fault is a refusal before it is spelled; an empty message takes the kind's own.
type fault struct {
	kind    kind
	message string
}

func (f fault) Error() string { return f.message }

// spellings gives each kind its name in both protocols, and the words AWS uses.
var spellings = map[kind]struct {
	json, query Error
}{
	missing: {
		Error{"MissingAuthenticationTokenException", "Missing Authentication Token", http.StatusBadRequest},
		Error{"MissingAuthenticationToken", "Request is missing Authentication Token", http.StatusForbidden},
	},
	incomplete: {
		Error{"IncompleteSignatureException", "The request signature does not conform to AWS standards.", http.StatusBadRequest},
		Error{"IncompleteSignature", "The request signature does not conform to AWS standards.", http.StatusBadRequest},
	},
	unrecognized: {
		Error{"UnrecognizedClientException", "The security token included in the request is invalid.", http.StatusBadRequest},
		Error{"InvalidClientTokenId", "The security token included in the request is invalid.", http.StatusForbidden},
	},
	expired: {
		Error{"ExpiredTokenException", "The security token included in the request is expired", http.StatusBadRequest},
		Error{"ExpiredToken", "The security token included in the request is expired", http.StatusForbidden},
	},
	mismatch: {
		Error{"InvalidSignatureException", signatureDiffers, http.StatusBadRequest},
		Error{"SignatureDoesNotMatch", signatureDiffers, http.StatusForbidden},
	},
	denied: {
		Error{"AccessDeniedException", "", http.StatusBadRequest},
		Error{"AccessDenied", "", http.StatusForbidden},
	},
}

const signatureDiffers = "The request signature we calculated does not match the signature you provided. " +
	"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."

// spell words a fault in the verifier's protocol.
func (v Verifier) spell(err error) *Error {
	var f fault
	if !errors.As(err, &f) {
		f = fault{incomplete, err.Error()}
	}
	spelled := spellings[f.kind].json
	if v.Protocol == Query {
		spelled = spellings[f.kind].query
	}
	if f.message != "" {
		spelled.Message = f.message
	}
	return &spelled
}
