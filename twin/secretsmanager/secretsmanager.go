// Package secretsmanager plays the part of AWS Secrets Manager that programs need to log in,
// GetSecretValue, and the part that sets it up: secrets, their versions and their policies.
//
// It is a stand-in for development and tests, no production system: its secrets are in memory in the
// clear. Requests must be signed, and members that are not known are refused. Who may do what is
// decided by the account and by the secret's own policy, of which statements without a condition are
// evaluated; of identities, only roles that were made in twin/iam have policies.
package secretsmanager

import (
	"context"
	"slices"
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

// The stages of versions.
const (
	current  = "AWSCURRENT"
	previous = "AWSPREVIOUS"
)

type secret struct {
	arn, name, description string
	tags                   []tag
	created, changed       time.Time
	versions               []version // the newest last: it is the current one
	policy                 string
	deleted                time.Time // when it will be gone; zero for a secret that stays
	denied                 bool
}

// A version holds text or bytes.
type version struct {
	id      string
	text    *string
	bytes   []byte
	created time.Time
}

type tag struct{ Key, Value string }

// New makes a service without secrets.
func New(config Config) *Server {
	if config.Now == nil {
		config.Now = time.Now
	}
	s := &Server{config: config, Script: &script.Script{}, secrets: map[string]*secret{}}
	s.Service = &awsjson.Service{
		Target:   Target,
		Verifier: sigv4.Verifier{Registry: config.Registry, Region: config.Region, Service: "secretsmanager", Now: config.Now},
		Script:   s.Script,
		Operations: map[string]awsjson.Operation{
			"GetSecretValue":       awsjson.Bind(s.getSecretValue),
			"CreateSecret":         awsjson.Bind(s.createSecret),
			"DescribeSecret":       awsjson.Bind(s.describeSecret),
			"ListSecrets":          awsjson.Bind(s.listSecrets),
			"PutSecretValue":       awsjson.Bind(s.putSecretValue),
			"DeleteSecret":         awsjson.Bind(s.deleteSecret),
			"RestoreSecret":        awsjson.Bind(s.restoreSecret),
			"PutResourcePolicy":    awsjson.Bind(s.putResourcePolicy),
			"GetResourcePolicy":    awsjson.Bind(s.getResourcePolicy),
			"DeleteResourcePolicy": awsjson.Bind(s.deleteResourcePolicy),
			"TagResource":          awsjson.Bind(s.tagResource),
			"UntagResource":        awsjson.Bind(s.untagResource),
			"GetRandomPassword":    awsjson.Bind(s.getRandomPassword),
		},
	}
	return s
}

// Put stores a secret under a name, or a new version of the one that has it. The suffix is what AWS
// adds to the name in the ARN: six characters.
func (s *Server) Put(name, suffix, value string) (arn string) {
	arn = s.arn(name, suffix)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.config.Now()
	kept := s.secrets[arn]
	if kept == nil {
		kept = &secret{arn: arn, name: name, created: now}
		s.secrets[arn] = kept
	}
	kept.put(version{id: newID(), text: &value, created: now})
	return arn
}

func (s *Server) arn(name, suffix string) string {
	return strings.Join([]string{"arn:aws:secretsmanager", s.config.Region, s.config.Account, "secret", name + "-" + suffix}, ":")
}

// put makes a version the current one. Of those before it the last is kept.
func (k *secret) put(v version) {
	k.versions = append(k.versions, v)
	k.versions = k.versions[max(0, len(k.versions)-2):]
	k.changed = v.created
}

// stages are those of each version, by its id.
func (k *secret) stages() map[string][]string {
	all := map[string][]string{}
	for i, v := range k.versions {
		all[v.id] = []string{map[bool]string{true: current, false: previous}[i == len(k.versions)-1]}
	}
	return all
}

// Delete removes a secret.
func (s *Server) Delete(arn string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.secrets, arn)
}

// SecretNames are those of the secrets that are not being deleted.
func (s *Server) SecretNames() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	var names []string
	for _, kept := range s.secrets {
		if kept.deleted.IsZero() {
			names = append(names, kept.name)
		}
	}
	return names
}

// Deny makes a secret's policy refuse everybody, or nobody.
func (s *Server) Deny(arn string, denied bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := s.secrets[arn]; found != nil {
		found.denied = denied
	}
}

// Value reads a secret for a caller: for the twin's own services, which read it in the caller's name.
func (s *Server) Value(caller sigv4.Credential, id string) (value string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, v, err := s.value(caller, valueRequest{SecretID: id})
	if err != nil || v.text == nil {
		return "", err
	}
	return *v.text, nil
}

func notFound() error {
	return awsjson.Refuse("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
}

// find finds a secret by its name or ARN for somebody who may act on it. The lock is held.
func (s *Server) find(caller sigv4.Credential, id, action string) (*secret, error) {
	if id == "" {
		return nil, awsjson.Refuse("InvalidParameterException", "SecretId is needed")
	}
	s.sweep()
	for arn, kept := range s.secrets {
		// An ARN may leave out the six characters that AWS adds to the name.
		if id != arn && id != arn[:len(arn)-len("-xxxxxx")] && (id != kept.name || caller.Account != s.config.Account) {
			continue
		}
		if kept.denied || !kept.allows(caller, s.config.Account, "secretsmanager:"+action) {
			return nil, awsjson.Refuse("AccessDeniedException", "User: %s is not authorized to perform: secretsmanager:%s on resource: %s because no identity-based policy allows the secretsmanager:%[2]s action", caller.ARN(), action, arn)
		}
		return kept, nil
	}
	return nil, notFound()
}

// sweep removes what was to be deleted by now.
func (s *Server) sweep() {
	now := s.config.Now()
	for arn, kept := range s.secrets {
		if !kept.deleted.IsZero() && !now.Before(kept.deleted) {
			delete(s.secrets, arn)
		}
	}
}

// use is find for what a secret that is being deleted does not do.
func (s *Server) use(caller sigv4.Credential, id, action string) (*secret, error) {
	kept, err := s.find(caller, id, action)
	if err == nil && !kept.deleted.IsZero() {
		return nil, awsjson.Refuse("InvalidRequestException", "You can't perform this operation on the secret because it was marked for deletion.")
	}
	return kept, err
}

// finding runs what an operation does with a secret, using the same for one that is not marked for
// deletion.
func (s *Server) finding(caller sigv4.Credential, id, action string, run func(*secret) (any, error)) (any, error) {
	return s.locked(s.find, caller, id, action, run)
}

func (s *Server) using(caller sigv4.Credential, id, action string, run func(*secret) (any, error)) (any, error) {
	return s.locked(s.use, caller, id, action, run)
}

func (s *Server) locked(find func(caller sigv4.Credential, id, action string) (*secret, error), caller sigv4.Credential, id, action string, run func(*secret) (any, error)) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept, err := find(caller, id, action)
	if err != nil {
		return nil, err
	}
	return run(kept)
}

type valueRequest struct {
	SecretID     string `json:"SecretId"`
	VersionID    string `json:"VersionId"`
	VersionStage string
}

// value finds a version, the current one unless another is asked for. The lock is held.
func (s *Server) value(caller sigv4.Credential, q valueRequest) (*secret, version, error) {
	kept, err := s.use(caller, q.SecretID, "GetSecretValue")
	if err != nil {
		return nil, version{}, err
	}
	stages := kept.stages()
	if q.VersionStage == "" && q.VersionID == "" {
		q.VersionStage = current
	}
	for _, v := range kept.versions {
		if (q.VersionID == "" || q.VersionID == v.id) && (q.VersionStage == "" || slices.Contains(stages[v.id], q.VersionStage)) {
			return kept, v, nil
		}
	}
	return nil, version{}, awsjson.Refuse("ResourceNotFoundException", "Secrets Manager can't find the specified secret value for the version.")
}

func (s *Server) getSecretValue(_ context.Context, caller sigv4.Credential, q valueRequest) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept, v, err := s.value(caller, q)
	if err != nil {
		return nil, err
	}
	answer := map[string]any{
		"ARN": kept.arn, "Name": kept.name, "VersionId": v.id, "VersionStages": kept.stages()[v.id], "CreatedDate": awsjson.Epoch(v.created),
	}
	if v.text != nil {
		answer["SecretString"] = *v.text
	} else {
		answer["SecretBinary"] = v.bytes
	}
	return answer, nil
}
