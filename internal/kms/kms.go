// Package kms lets AWS KMS keep the gateway's own keys, in two ways.
//
// What seals is itself sealed (Encrypt, Decrypt): it lies on disk, or in a secret store, closed by a
// key that never leaves KMS, and the gateway opens it once, when it starts. So a copy of the data
// folder is worth nothing without the right to call kms:Decrypt, each use of which is in CloudTrail.
// What it does not change: a running gateway holds these keys in memory.
//
// What signs can stay in KMS altogether (PublicKey, Sign): each signature is a call. Then there is no
// signing key to steal from the gateway at all. What it does not change: whoever is in the process
// can have things signed for as long as they are, and CloudTrail shows how many, not about whom.
package kms

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/shiftgrant/shiftgrant/redshift/identity"
)

const (
	// tryTimeout is for one try of a call, callTimeout for all.
	tryTimeout  = 5 * time.Second
	callTimeout = 15 * time.Second
	maxTries    = 3
	// firstPause is before the second try; it doubles, and half of it is left to chance.
	firstPause  = 200 * time.Millisecond
	answerLimit = 64 << 10
)

// Config names the key.
type Config struct {
	// KeyARN is a key, or an alias of one, by its ARN: the region is in it. Encrypt and Decrypt are for
	// symmetric keys, PublicKey and Sign for RSA keys.
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
		config.HTTPClient = &http.Client{Timeout: tryTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
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
