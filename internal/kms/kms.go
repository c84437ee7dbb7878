// Package kms lets AWS KMS keep the gateway's own keys: what lies on disk, or in a secret store, is
// sealed by a key that never leaves KMS, and the gateway opens it once, when it starts.
//
// So a copy of the data folder is worth nothing without the right to call kms:Decrypt, each use of
// which is in CloudTrail. What it does not change: a running gateway holds its keys in memory.
package kms

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/shiftgrant/shiftgrant/redshift/identity"
)

const (
	callTimeout = 10 * time.Second
	answerLimit = 64 << 10
)

// Config names the key.
type Config struct {
	// KeyARN is a symmetric key, or an alias of one, by its ARN: the region is in it.
	KeyARN string
	// Endpoint overrides https://kms.<region>.amazonaws.com, for a VPC endpoint or a test.
	Endpoint    string
	Credentials identity.Provider
	HTTPClient  *http.Client // nil: one with a timeout that follows no redirect
	Now         func() time.Time
}

// Key is a key in AWS KMS.
type Key struct {
	config Config
	region string
	signer *v4.Signer
}

// Region takes the region out of a key's ARN.
func Region(keyARN string) (string, error) {
	part := strings.SplitN(keyARN, ":", 6) // arn:aws:kms:REGION:ACCOUNT:key/ID
	if len(part) != 6 || part[0] != "arn" || part[2] != "kms" || part[3] == "" || !strings.HasPrefix(part[5], "key/") && !strings.HasPrefix(part[5], "alias/") {
		return "", errors.New("not the ARN of a KMS key: write arn:aws:kms:REGION:ACCOUNT:key/ID, or alias/NAME at its end")
	}
	return part[3], nil
}

// New makes no call.
func New(config Config) (*Key, error) {
	region, err := Region(config.KeyARN)
	if err != nil {
		return nil, err
	}
	if config.Endpoint == "" {
		if config.Endpoint, err = identity.Endpoint("kms", region); err != nil {
			return nil, err
		}
	}
	if config.HTTPClient == nil {
		config.HTTPClient = &http.Client{Timeout: callTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Key{config: config, region: region, signer: v4.NewSigner()}, nil
}

// Encrypt seals up to 4 KiB for one purpose (operation Encrypt).
func (k *Key) Encrypt(ctx context.Context, plain []byte, purpose map[string]string) ([]byte, error) {
	var answer struct{ CiphertextBlob []byte }
	err := k.call(ctx, "Encrypt", map[string]any{"KeyId": k.config.KeyARN, "Plaintext": plain, "EncryptionContext": purpose}, &answer)
	if err == nil && len(answer.CiphertextBlob) == 0 {
		err = errors.New("the answer of KMS holds nothing: is the endpoint right?")
	}
	return answer.CiphertextBlob, err
}

// Decrypt opens what Encrypt sealed for the same purpose (operation Decrypt).
func (k *Key) Decrypt(ctx context.Context, sealed []byte, purpose map[string]string) ([]byte, error) {
	var answer struct{ Plaintext []byte }
	err := k.call(ctx, "Decrypt", map[string]any{"KeyId": k.config.KeyARN, "CiphertextBlob": sealed, "EncryptionContext": purpose}, &answer)
	if err == nil && len(answer.Plaintext) == 0 {
		err = errors.New("the answer of KMS holds nothing: is the endpoint right?")
	}
	return answer.Plaintext, err
}

// call is one call of the JSON 1.1 protocol.
func (k *Key) call(ctx context.Context, operation string, question map[string]any, answer any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
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
	hash := sha256.Sum256(body)
	if err := k.signer.SignHTTP(ctx, aws.Credentials{
		AccessKeyID: credentials.AccessKeyID, SecretAccessKey: credentials.SecretAccessKey.Reveal(), SessionToken: credentials.SessionToken.Reveal(),
	}, request, hex.EncodeToString(hash[:]), "kms", k.region, k.config.Now()); err != nil {
		return fmt.Errorf("sign the request to KMS: %w", err)
	}
	response, err := k.config.HTTPClient.Do(request)
	if err != nil {
		return fmt.Errorf("call KMS: %w", err)
	}
	defer response.Body.Close()
	received, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	if err != nil {
		return fmt.Errorf("read the answer of KMS: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return refusal(operation, response, received)
	}
	if err := json.Unmarshal(received, answer); err != nil {
		return errors.New("the answer of KMS is not what was asked for: is the endpoint right?")
	}
	return nil
}

// remedies says what to do about the errors that Encrypt and Decrypt document.
var remedies = map[string]string{
	"AccessDeniedException":         "allow the gateway kms:Encrypt and kms:Decrypt on the key, in its key policy or by IAM",
	"NotFoundException":             "there is no such key in this account and region",
	"DisabledException":             "the key is disabled: enable it",
	"KMSInvalidStateException":      "the key cannot be used in its state: is it to be deleted?",
	"InvalidCiphertextException":    "this was not sealed by this key for this purpose: is it the right file, whole?",
	"IncorrectKeyException":         "this was sealed by another key: configure that one",
	"InvalidKeyUsageException":      "the key is not one for ENCRYPT_DECRYPT",
	"UnrecognizedClientException":   "AWS does not know the gateway's own credentials",
	"ExpiredTokenException":         "the gateway's own AWS credentials have expired",
	"InvalidSignatureException":     "AWS refused the signature: check the secret key, and this machine's clock",
	"KeyUnavailableException":       "KMS cannot use the key now: try again in a moment",
	"DependencyTimeoutException":    "KMS has a fault: try again in a moment",
	"KMSInternalException":          "KMS has a fault: try again in a moment",
	"ThrottlingException":           "KMS is limiting calls: try again in a moment",
	"IncorrectEndpointException":    "the endpoint is not one of KMS",
	"UnsupportedOperationException": "the key cannot be used for this: it has to be a symmetric one",
	"ValidationException":           "AWS did not accept the form of the request: check the key's ARN",
}

func refusal(operation string, response *http.Response, body []byte) error {
	var document struct {
		Type string `json:"__type"`
	}
	code := response.Header.Get("X-Amzn-Errortype")
	if json.Unmarshal(body, &document) == nil && document.Type != "" {
		code = document.Type
	}
	code, _, _ = strings.Cut(code[strings.LastIndexByte(code, '#')+1:], ":")
	if remedy, known := remedies[code]; known {
		return fmt.Errorf("KMS refused %s with %s: %s", operation, code, remedy)
	}
	return fmt.Errorf("KMS refused %s with status %d", operation, response.StatusCode)
}
