// Package secretsmanager plays the part of AWS Secrets Manager that programs need to log in:
// GetSecretValue.
//
// It is a stand-in for development and tests, no production system: its secrets are in memory in the
// clear. Requests must be signed, and members that are not known are refused.
package secretsmanager

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strings"
	"sync"
	"time"

	"github.com/shiftgrant/shiftgrant/twin/awsjson"
	"github.com/shiftgrant/shiftgrant/twin/script"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
)

// Target is the prefix of X-Amz-Target.
const Target = "secretsmanager."

// Config is what the service needs.
type Config struct {
	Registry *sigv4.Registry
	Region   string
	Account  string
	Now      func() time.Time // nil is time.Now
}

// Server is an http.Handler.
type Server struct {
	*awsjson.Service
	// Script tells operations to refuse.
	Script *script.Script

	config Config

	mu      sync.Mutex
	secrets map[string]*secret // by ARN
}

type secret struct {
	name    string
	value   string
	version string
	created time.Time
	denied  bool
}

// New makes a service without secrets.
func New(config Config) *Server {
	if config.Now == nil {
		config.Now = time.Now
	}
	s := &Server{config: config, Script: &script.Script{}, secrets: map[string]*secret{}}
	s.Service = &awsjson.Service{
		Target:     Target,
		Verifier:   sigv4.Verifier{Registry: config.Registry, Region: config.Region, Service: "secretsmanager", Now: config.Now},
		Script:     s.Script,
		Operations: map[string]awsjson.Operation{"GetSecretValue": awsjson.Bind(s.getSecretValue)},
	}
	return s
}

// Put stores a secret under a name, or a new version of the one that has it. The suffix is what AWS
// adds to the name in the ARN: six characters.
func (s *Server) Put(name, suffix, value string) (arn string) {
	arn = strings.Join([]string{"arn:aws:secretsmanager", s.config.Region, s.config.Account, "secret", name + "-" + suffix}, ":")
	var version [16]byte
	rand.Read(version[:]) // never fails (crypto/rand)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets[arn] = &secret{name: name, value: value, version: hex.EncodeToString(version[:]), created: s.config.Now()}
	return arn
}

// Delete removes a secret.
func (s *Server) Delete(arn string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.secrets, arn)
}

// Deny makes a secret's policy refuse everybody, or nobody.
func (s *Server) Deny(arn string, denied bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := s.secrets[arn]; found != nil {
		found.denied = denied
	}
}

// Value reads a secret for a caller of the same account: for the twin's own services, which read it
// in the caller's name.
func (s *Server) Value(caller sigv4.Credential, id string) (value string, err error) {
	_, found, err := s.find(caller, id)
	return found.value, err
}

func (s *Server) find(caller sigv4.Credential, id string) (arn string, found secret, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for arn, kept := range s.secrets {
		if id != arn && id != kept.name {
			continue
		}
		if kept.denied || caller.Account != s.config.Account {
			return "", secret{}, awsjson.Refuse("AccessDeniedException", "User: %s is not authorized to perform: secretsmanager:GetSecretValue on resource: %s because no identity-based policy allows the secretsmanager:GetSecretValue action", caller.ARN(), arn)
		}
		return arn, *kept, nil
	}
	return "", secret{}, awsjson.Refuse("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
}

type valueRequest struct {
	SecretID     string `json:"SecretId"`
	VersionID    string `json:"VersionId"`
	VersionStage string
}

func (s *Server) getSecretValue(_ context.Context, caller sigv4.Credential, q valueRequest) (any, error) {
	if q.SecretID == "" {
		return nil, awsjson.Refuse("InvalidParameterException", "SecretId is needed")
	}
	arn, found, err := s.find(caller, q.SecretID)
	if err != nil {
		return nil, err
	}
	if q.VersionStage != "" && q.VersionStage != "AWSCURRENT" || q.VersionID != "" && q.VersionID != found.version {
		return nil, awsjson.Refuse("ResourceNotFoundException", "Secrets Manager can't find the specified secret value for the version.")
	}
	return map[string]any{
		"ARN": arn, "Name": found.name, "VersionId": found.version, "SecretString": found.value,
		"VersionStages": []string{"AWSCURRENT"}, "CreatedDate": awsjson.Epoch(found.created),
	}, nil
}
