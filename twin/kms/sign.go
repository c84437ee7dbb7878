package kms

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"fmt"
)

const (
	signingKeyBits = 2048
	// maxMessage is how much Sign hashes itself; longer messages come as a digest.
	maxMessage = 4 << 10
)

// CreateSigningKey makes an RSA key of 2048 bits for signatures, and returns its ARN.
func (s *Server) CreateSigningKey(id string) (arn string, err error) {
	private, err := rsa.GenerateKey(rand.Reader, signingKeyBits)
	if err != nil {
		return "", fmt.Errorf("make a signing key: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[s.arn(id)] = &key{created: s.config.now(), private: private}
	return s.arn(id), nil
}

// signingAlgorithms are those of RSA keys.
var signingAlgorithms = []string{
	"RSASSA_PKCS1_V1_5_SHA_256", "RSASSA_PKCS1_V1_5_SHA_384", "RSASSA_PKCS1_V1_5_SHA_512",
	"RSASSA_PSS_SHA_256", "RSASSA_PSS_SHA_384", "RSASSA_PSS_SHA_512",
}

func (s *Server) signingKey(name string) (arn string, private *rsa.PrivateKey, err error) {
	arn, k, err := s.find(name)
	if err != nil {
		return "", nil, err
	}
	if k.private == nil {
		return "", nil, refuse("InvalidKeyUsageException", arn+" key usage is ENCRYPT_DECRYPT which is not valid for this operation.")
	}
	return arn, k.private, nil
}

func (s *Server) sign(q question) (any, error) {
	arn, private, err := s.signingKey(q.KeyID)
	if err != nil {
		return nil, err
	}
	hashed, hash, err := q.digest()
	if err != nil {
		return nil, err
	}
	var signature []byte
	switch q.SigningAlgorithm {
	case "RSASSA_PKCS1_V1_5_SHA_256", "RSASSA_PKCS1_V1_5_SHA_384", "RSASSA_PKCS1_V1_5_SHA_512":
		signature, err = rsa.SignPKCS1v15(nil, private, hash, hashed)
	default:
		signature, err = rsa.SignPSS(rand.Reader, private, hash, hashed, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	}
	if err != nil {
		return nil, err
	}
	return map[string]any{"KeyId": arn, "Signature": signature, "SigningAlgorithm": q.SigningAlgorithm}, nil
}

// digest is the hash of the message, which the caller may have made.
func (q question) digest() ([]byte, crypto.Hash, error) {
	var hash crypto.Hash
	var hashed []byte
	switch q.SigningAlgorithm {
	case "RSASSA_PKCS1_V1_5_SHA_256", "RSASSA_PSS_SHA_256":
		sum := sha256.Sum256(q.Message)
		hash, hashed = crypto.SHA256, sum[:]
	case "RSASSA_PKCS1_V1_5_SHA_384", "RSASSA_PSS_SHA_384":
		sum := sha512.Sum384(q.Message)
		hash, hashed = crypto.SHA384, sum[:]
	case "RSASSA_PKCS1_V1_5_SHA_512", "RSASSA_PSS_SHA_512":
		sum := sha512.Sum512(q.Message)
		hash, hashed = crypto.SHA512, sum[:]
	default:
		return nil, 0, refuse("ValidationException", "SigningAlgorithm is one of those of RSA keys, such as "+signingAlgorithms[0])
	}
	switch {
	case q.MessageType == "DIGEST" && len(q.Message) == hash.Size():
		return q.Message, hash, nil
	case q.MessageType == "DIGEST":
		return nil, 0, refuse("ValidationException", "Digest is invalid length for algorithm "+q.SigningAlgorithm+".")
	case q.MessageType != "" && q.MessageType != "RAW":
		return nil, 0, refuse("ValidationException", "MessageType is RAW or DIGEST")
	case len(q.Message) == 0 || len(q.Message) > maxMessage:
		return nil, 0, refuse("ValidationException", "Message has 1 to 4096 bytes; hash longer ones and send the DIGEST")
	}
	return hashed, hash, nil
}

func (s *Server) getPublicKey(q question) (any, error) {
	arn, private, err := s.signingKey(q.KeyID)
	if err != nil {
		return nil, err
	}
	encoded, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"KeyId": arn, "PublicKey": encoded, "KeySpec": "RSA_2048", "CustomerMasterKeySpec": "RSA_2048",
		"KeyUsage": "SIGN_VERIFY", "SigningAlgorithms": signingAlgorithms,
	}, nil
}
