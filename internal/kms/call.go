package kms

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
)

// call makes a call of the JSON 1.1 protocol, a few times where KMS could not answer just then. All
// its operations may be repeated: each only computes.
func (k *Key) call(ctx context.Context, operation string, question map[string]any, answer any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	pause := firstPause
	for try := 1; ; try++ {
		err := k.try(within, operation, body, answer)
		if ctx.Err() != nil {
			return fmt.Errorf("call KMS: %w", ctx.Err())
		}
		if try == maxTries || !k.again(err, try) {
			return err
		}
		select {
		case <-time.After(pause/2 + rand.N(pause/2)):
		case <-within.Done():
			return err
		}
		pause *= 2
	}
}

// again reports whether another try may help. Credentials that AWS refuses are asked for anew once.
func (k *Key) again(err error, try int) bool {
	if _, lost := errors.AsType[*lostError](err); lost {
		return true
	}
	refused, ok := errors.AsType[*refusedError](err)
	switch {
	case !ok:
		return false
	case staleCredentials[refused.code]:
		forgetting, ok := k.config.Credentials.(identity.Invalidator)
		if ok && try == 1 {
			forgetting.Invalidate(refused.credentials)
			return true
		}
		return false
	}
	return passing[refused.code] || refused.status >= http.StatusInternalServerError
}

// A lostError is a call that got no answer. It does not unwrap: that a try took too long is no word
// about the time that the caller has.
type lostError struct {
	doing string
	err   error
}

func (e *lostError) Error() string { return e.doing + ": " + e.err.Error() }

func (k *Key) try(ctx context.Context, operation string, body []byte, answer any) error {
	credentials, err := k.config.Credentials.Credentials(ctx)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, k.config.Endpoint, bytes.NewReader(body))
	if err != nil {
		return errors.New("the endpoint of KMS is not a URL")
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.1")
	request.Header.Set("X-Amz-Target", "TrentService."+operation)
	if err := credentials.Sign(ctx, k.signer, request, body, "kms", k.region, k.config.Now()); err != nil {
		return fmt.Errorf("sign the request to KMS: %w", err)
	}
	response, err := k.config.HTTPClient.Do(request)
	if err != nil {
		return &lostError{"call KMS", err}
	}
	defer response.Body.Close()
	received, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	if err != nil {
		return &lostError{"read the answer of KMS", err}
	}
	if response.StatusCode != http.StatusOK {
		return &refusedError{operation, codeOf(response, received), response.StatusCode, credentials}
	}
	if err := json.Unmarshal(received, answer); err != nil {
		return errors.New("the answer of KMS is not what was asked for: is the endpoint right?")
	}
	return nil
}

func codeOf(response *http.Response, body []byte) string {
	var document struct {
		Type string `json:"__type"`
	}
	code := response.Header.Get("X-Amzn-Errortype")
	if json.Unmarshal(body, &document) == nil && document.Type != "" {
		code = document.Type
	}
	code, _, _ = strings.Cut(code[strings.LastIndexByte(code, '#')+1:], ":")
	return code
}

// A refusedError is an answer that KMS gave in place of a result.
type refusedError struct {
	operation   string
	code        string
	status      int
	credentials identity.Credentials // those that the call was made with
}

// Error has AWS's code where it is a known one, and what to do about it.
func (e *refusedError) Error() string {
	remedy, known := remedies[e.code]
	if special, ok := remediesFor(e.operation)[e.code]; ok {
		remedy, known = special, true
	}
	if !known {
		return fmt.Sprintf("KMS refused %s with status %d", e.operation, e.status)
	}
	return fmt.Sprintf("KMS refused %s with %s: %s", e.operation, e.code, remedy)
}

// Unwrap tells those who wait for a signature that it is a matter of how many there are.
func (e *refusedError) Unwrap() error {
	if e.code == "ThrottlingException" && e.operation == "Sign" {
		return &redshift.BusyError{Limit: "signatures by AWS KMS", RetryAfter: time.Second}
	}
	return nil
}

// staleCredentials are what AWS says of credentials that may be replaced by newer ones.
var staleCredentials = map[string]bool{"ExpiredTokenException": true, "UnrecognizedClientException": true}

// passing are faults of the moment.
var passing = map[string]bool{
	"ThrottlingException": true, "KeyUnavailableException": true, "DependencyTimeoutException": true, "KMSInternalException": true,
}

// remedies says what to do about the errors that the operations here document.
var remedies = map[string]string{
	"NotFoundException":           "there is no such key in this account and region",
	"DisabledException":           "the key is disabled: enable it",
	"KMSInvalidStateException":    "the key cannot be used in its state: is it to be deleted?",
	"InvalidCiphertextException":  "this was not sealed by this key for this purpose: is it the right file, whole?",
	"IncorrectKeyException":       "this was sealed by another key: configure that one",
	"UnrecognizedClientException": "AWS does not know the gateway's own credentials",
	"ExpiredTokenException":       "the gateway's own AWS credentials have expired",
	"InvalidSignatureException":   "AWS refused the signature: check the secret key, and this machine's clock",
	"KeyUnavailableException":     "KMS cannot use the key now: try again in a moment",
	"DependencyTimeoutException":  "KMS has a fault: try again in a moment",
	"KMSInternalException":        "KMS has a fault: try again in a moment",
	"ThrottlingException":         "KMS is limiting calls: try again in a moment",
	"IncorrectEndpointException":  "the endpoint is not one of KMS",
	"ValidationException":         "AWS did not accept the form of the request: check the key's ARN",
}

// remediesFor are those that depend on what the key is for.
func remediesFor(operation string) map[string]string {
	if operation == "Encrypt" || operation == "Decrypt" {
		return map[string]string{
			"AccessDeniedException":         "allow the gateway kms:Encrypt and kms:Decrypt on the key, in its key policy or by IAM",
			"InvalidKeyUsageException":      "the key is not one for ENCRYPT_DECRYPT",
			"UnsupportedOperationException": "the key cannot be used for this: it has to be a symmetric one",
		}
	}
	return map[string]string{
		"AccessDeniedException":         "allow the gateway kms:GetPublicKey and kms:Sign on the key, in its key policy or by IAM",
		"InvalidKeyUsageException":      "the key is not one for SIGN_VERIFY; make one that is, of key spec RSA_2048",
		"UnsupportedOperationException": "the key cannot be used for this: it has to be one for SIGN_VERIFY, of key spec RSA_2048",
		"ThrottlingException":           "the account uses up what KMS does with RSA keys in a second in this region: try again in a moment, and have AWS raise the quota",
	}
}
