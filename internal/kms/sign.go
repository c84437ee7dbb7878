package kms

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
)

const (
	// rs256 is what JOSE calls RS256 (RFC 7518 §3.3), which is all that AWS and Redshift take.
	rs256 = "RSASSA_PKCS1_V1_5_SHA_256"
	// minimumBits is RFC 7518 §3.3.
	minimumBits = 2048
)

// PublicKey is the public half of an RSA key that signs (operation GetPublicKey). It never changes.
func (k *Key) PublicKey(ctx context.Context) (*rsa.PublicKey, error) {
	var answer struct {
		PublicKey         []byte
		KeySpec           string
		KeyUsage          string
		SigningAlgorithms []string
	}
	if err := k.call(ctx, "GetPublicKey", map[string]any{"KeyId": k.config.KeyARN}, &answer); err != nil {
		return nil, err
	}
	if answer.KeyUsage != "SIGN_VERIFY" {
		return nil, fmt.Errorf("the key is for %s, not for SIGN_VERIFY; make one that is, of key spec RSA_2048", answer.KeyUsage)
	}
	parsed, err := x509.ParsePKIXPublicKey(answer.PublicKey)
	if err != nil {
		return nil, errors.New("the public key that KMS gave cannot be read: is the endpoint right?")
	}
	public, ok := parsed.(*rsa.PublicKey)
	if !ok || public.N.BitLen() < minimumBits || !slices.Contains(answer.SigningAlgorithms, rs256) {
		return nil, fmt.Errorf("the key is of key spec %s, and AWS takes signatures of RSA keys; make one of key spec RSA_2048", answer.KeySpec)
	}
	return public, nil
}

// Sign makes an RS256 signature over a SHA-256 digest (operation Sign). It does not look whether the
// signature is good.
func (k *Key) Sign(ctx context.Context, digest []byte) ([]byte, error) {
	if len(digest) != sha256.Size {
		return nil, fmt.Errorf("sign: a digest has %d bytes, not %d", sha256.Size, len(digest))
	}
	var answer struct{ Signature []byte }
	err := k.call(ctx, "Sign", map[string]any{"KeyId": k.config.KeyARN, "Message": digest, "MessageType": "DIGEST", "SigningAlgorithm": rs256}, &answer)
	return answer.Signature, err
}
