// Package kms plays the part of AWS KMS that keeps other people's keys: Encrypt and Decrypt with
// symmetric keys, each bound to an encryption context, Sign and GetPublicKey with RSA keys, and
// DescribeKey.
//
// It is a stand-in for development and tests, no production system: its keys are in memory, made
// anew at each start unless they are given. Requests must be signed, and parameters that are not
// known are refused.
package kms

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shiftgrant/shiftgrant/twin/script"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
)

// Target is the prefix of X-Amz-Target.
const Target = "TrentService."

const (
	maxBody  = 64 << 10
	maxPlain = 4 << 10
	keySize  = 32
)

// Config is what the service needs.
type Config struct {
	Registry *sigv4.Registry
	Region   string
	Account  string
	Now      func() time.Time // nil is time.Now
}

func (c Config) now() time.Time {
	if c.Now == nil {
		return time.Now()
	}
	return c.Now()
}

// Server is an http.Handler.
type Server struct {
	// Script tells operations to refuse.
	Script script.Script

	config   Config
	verifier sigv4.Verifier

	mu   sync.Mutex
	keys map[string]*key // by ARN
}

type key struct {
	created  time.Time
	secret   [keySize]byte   // of a symmetric key
	private  *rsa.PrivateKey // of a signing key; nil for the others
	disabled bool
	denied   bool
}

// New makes a service without keys.
func New(config Config) *Server {
	return &Server{
		config:   config,
		verifier: sigv4.Verifier{Registry: config.Registry, Region: config.Region, Service: "kms", Now: config.Now},
		keys:     map[string]*key{},
	}
}

// CreateKey makes a symmetric key and returns its ARN. A secret of 32 bytes brings a key back from
// an earlier start; nil makes one.
func (s *Server) CreateKey(id string, secret []byte) string {
	arn := s.arn(id)
	made := &key{created: s.config.now()}
	if copy(made.secret[:], secret) != keySize {
		rand.Read(made.secret[:]) // never fails since Go 1.24
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[arn] = made
	return arn
}

func (s *Server) arn(id string) string {
	return "arn:aws:kms:" + s.config.Region + ":" + s.config.Account + ":key/" + id
}

// Disable disables a key, or enables it again.
func (s *Server) Disable(arn string, disabled bool) {
	s.change(arn, func(k *key) { k.disabled = disabled })
}

// Deny makes the key's policy refuse everybody, or nobody.
func (s *Server) Deny(arn string, denied bool) { s.change(arn, func(k *key) { k.denied = denied }) }

func (s *Server) change(arn string, change func(*key)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.keys[arn]; k != nil {
		change(k)
	}
}

// A failure is a refusal with AWS's code.
type failure struct {
	status        int
	code, message string
}

func (f *failure) Error() string { return f.code + ": " + f.message }

func refuse(code, message string) *failure {
	return &failure{status: http.StatusBadRequest, code: code, message: message}
}

type question struct {
	KeyID               string `json:"KeyId"`
	Plaintext           []byte
	CiphertextBlob      []byte
	EncryptionContext   map[string]string
	EncryptionAlgorithm string
	Message             []byte
	MessageType         string
	SigningAlgorithm    string
}

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Amzn-RequestId", rand.Text())
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	answer, err := s.answer(r)
	if err != nil {
		refused := asFailure(err)
		w.Header().Set("X-Amzn-ErrorType", refused.code)
		w.WriteHeader(refused.status)
		_ = json.NewEncoder(w).Encode(map[string]string{"__type": refused.code, "message": refused.message})
		return
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func asFailure(err error) *failure {
	if ours, ok := errors.AsType[*failure](err); ok {
		return ours
	}
	if signature, ok := errors.AsType[*sigv4.Error](err); ok {
		return &failure{signature.Status, signature.Code, signature.Message}
	}
	return &failure{http.StatusInternalServerError, "KMSInternalException", "the twin's KMS failed"}
}

func (s *Server) answer(r *http.Request) (any, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return nil, err
	}
	if _, err := s.verifier.Verify(r, body); err != nil {
		return nil, err
	}
	var q question
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&q); err != nil {
		return nil, refuse("SerializationException", "the twin takes KeyId, Plaintext, CiphertextBlob, EncryptionContext, EncryptionAlgorithm, Message, MessageType and SigningAlgorithm")
	}
	operation := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), Target)
	if refusal, refused := s.Script.Next(operation); refused {
		return nil, &failure{refusal.Status, refusal.Code, refusal.Message}
	}
	if q.EncryptionAlgorithm != "" && q.EncryptionAlgorithm != "SYMMETRIC_DEFAULT" {
		return nil, refuse("InvalidKeyUsageException", "the twin's keys are symmetric")
	}
	run, known := s.operations()[operation]
	if !known {
		return nil, refuse("UnknownOperationException", "the twin's KMS knows "+strings.Join(s.Names(), ", "))
	}
	return run(q)
}

func (s *Server) operations() map[string]func(question) (any, error) {
	return map[string]func(question) (any, error){
		"Encrypt": s.encrypt, "Decrypt": s.decrypt, "Sign": s.sign, "GetPublicKey": s.getPublicKey, "DescribeKey": s.describeKey,
	}
}

// Names are those of the operations.
func (s *Server) Names() []string { return slices.Sorted(maps.Keys(s.operations())) }

// find finds a key that may be used. Keys are named by their ARN or by their id.
func (s *Server) find(name string) (arn string, k key, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !strings.HasPrefix(name, "arn:") {
		name = s.arn(name)
	}
	found := s.keys[name]
	switch {
	case found == nil:
		return "", key{}, refuse("NotFoundException", "Key '"+name+"' does not exist")
	case found.denied:
		return "", key{}, refuse("AccessDeniedException", "User is not authorized to perform this action because no resource-based policy allows it")
	case found.disabled:
		return "", key{}, refuse("DisabledException", name+" is disabled.")
	}
	return name, *found, nil
}

// use finds a symmetric key.
func (s *Server) use(arn string) (cipher.AEAD, error) {
	_, k, err := s.find(arn)
	if err != nil {
		return nil, err
	}
	if k.private != nil {
		return nil, refuse("InvalidKeyUsageException", arn+" key usage is SIGN_VERIFY which is not valid for this operation.")
	}
	block, err := aes.NewCipher(k.secret[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func (s *Server) encrypt(q question) (any, error) {
	if len(q.Plaintext) == 0 || len(q.Plaintext) > maxPlain {
		return nil, refuse("ValidationException", "Plaintext has 1 to 4096 bytes")
	}
	aead, err := s.use(q.KeyID)
	if err != nil {
		return nil, err
	}
	blob := append([]byte(q.KeyID), 0)
	return map[string]any{"CiphertextBlob": aead.Seal(blob, nil, q.Plaintext, canonical(q.EncryptionContext)), "KeyId": q.KeyID, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}, nil
}

func (s *Server) decrypt(q question) (any, error) {
	arn, sealed, found := bytes.Cut(q.CiphertextBlob, []byte{0})
	if !found {
		return nil, refuse("InvalidCiphertextException", "")
	}
	if q.KeyID != "" && q.KeyID != string(arn) {
		return nil, refuse("IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform this operation.")
	}
	aead, err := s.use(string(arn))
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, nil, sealed, canonical(q.EncryptionContext))
	if err != nil {
		return nil, refuse("InvalidCiphertextException", "")
	}
	return map[string]any{"Plaintext": plain, "KeyId": string(arn), "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}, nil
}

// canonical writes a context so that the order of its pairs says nothing.
func canonical(context map[string]string) []byte {
	names := make([]string, 0, len(context))
	for name := range context {
		names = append(names, name)
	}
	slices.Sort(names)
	var out []byte
	for _, name := range names {
		out = append(append(append(append(out, name...), 0), context[name]...), 0)
	}
	return out
}
