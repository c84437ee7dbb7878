package secretsmanager

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/shiftgrant/shiftgrant/twin/awsjson"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
)

const (
	maxValue       = 64 << 10
	maxTags        = 50
	shortestWindow = 7
	longestWindow  = 30
)

var namePattern = regexp.MustCompile(`^[A-Za-z0-9/_+=.@-]{1,512}$`)

func newID() string {
	var id [16]byte
	rand.Read(id[:]) // never fails (crypto/rand)
	text := hex.EncodeToString(id[:])
	return strings.Join([]string{text[:8], text[8:12], text[12:16], text[16:20], text[20:]}, "-")
}

// identified is the answer about a secret as a whole.
func (k *secret) identified() map[string]any { return map[string]any{"ARN": k.arn, "Name": k.name} }

// A content is what a request brings to be kept.
type content struct {
	ClientRequestToken string
	SecretString       *string
	SecretBinary       []byte
}

// version makes a version of it; the client's token is its id, so that a request that comes again
// makes no second one.
func (c content) version(now time.Time) (version, error) {
	switch {
	case (c.SecretString == nil) == (c.SecretBinary == nil):
		return version{}, awsjson.Refuse("InvalidParameterException", "You must provide either SecretString or SecretBinary.")
	case c.SecretString != nil && len(*c.SecretString) > maxValue, len(c.SecretBinary) > maxValue:
		return version{}, awsjson.Refuse("InvalidParameterException", "a secret has at most 65536 bytes")
	case c.ClientRequestToken != "" && (len(c.ClientRequestToken) < 32 || len(c.ClientRequestToken) > 64):
		return version{}, awsjson.Refuse("InvalidParameterException", "ClientRequestToken has 32 to 64 characters")
	}
	return version{id: cmp.Or(c.ClientRequestToken, newID()), text: c.SecretString, bytes: c.SecretBinary, created: now}, nil
}

func (v version) same(other version) bool {
	return v.id == other.id && string(v.bytes) == string(other.bytes) && (v.text == nil) == (other.text == nil) && (v.text == nil || *v.text == *other.text)
}

type createRequest struct {
	content
	Name        string
	Description string
	KmsKeyID    string `json:"KmsKeyId"`
	Tags        []tag
}

func (s *Server) createSecret(_ context.Context, caller sigv4.Credential, q createRequest) (any, error) {
	if !namePattern.MatchString(q.Name) {
		return nil, awsjson.Refuse("InvalidParameterException", "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!")
	}
	if caller.Account != s.config.Account {
		return nil, awsjson.Refuse("AccessDeniedException", "User: %s is not authorized to perform: secretsmanager:CreateSecret on resource: %s", caller.ARN(), q.Name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	now := s.config.Now()
	made := &secret{name: q.Name, description: q.Description, created: now, changed: now}
	if err := made.tag(q.Tags); err != nil {
		return nil, err
	}
	answer := func(k *secret) map[string]any {
		shown := k.identified()
		if len(k.versions) > 0 {
			shown["VersionId"] = k.versions[len(k.versions)-1].id
		}
		return shown
	}
	if q.SecretString != nil || q.SecretBinary != nil {
		first, err := q.version(now)
		if err != nil {
			return nil, err
		}
		made.put(first)
	}
	for _, kept := range s.secrets {
		switch {
		case kept.name != q.Name:
		case !kept.deleted.IsZero():
			return nil, awsjson.Refuse("InvalidRequestException", "You can't create this secret because a secret with this name is already scheduled for deletion.")
		case len(made.versions) > 0 && len(kept.versions) > 0 && kept.versions[0].same(made.versions[0]):
			return answer(kept), nil
		default:
			return nil, awsjson.Refuse("ResourceExistsException", "The operation failed because the secret %s already exists.", q.Name)
		}
	}
	made.arn = s.arn(q.Name, newID()[:6])
	s.secrets[made.arn] = made
	return answer(made), nil
}

type secretRequest struct {
	SecretID string `json:"SecretId"`
}

func (s *Server) describeSecret(_ context.Context, caller sigv4.Credential, q secretRequest) (any, error) {
	return s.finding(caller, q.SecretID, "DescribeSecret", func(kept *secret) (any, error) {
		return kept.described(), nil
	})
}

func (k *secret) described() map[string]any {
	shown := k.identified()
	maps.Copy(shown, map[string]any{
		"Tags": slices.Concat([]tag{}, k.tags), "CreatedDate": awsjson.Epoch(k.created), "LastChangedDate": awsjson.Epoch(k.changed), "VersionIdsToStages": k.stages(),
	})
	if k.description != "" {
		shown["Description"] = k.description
	}
	if !k.deleted.IsZero() {
		shown["DeletedDate"] = awsjson.Epoch(k.deleted)
	}
	return shown
}

type listRequest struct {
	MaxResults             int
	NextToken              string
	SortOrder              string
	IncludePlannedDeletion bool
}

func (s *Server) listSecrets(_ context.Context, caller sigv4.Credential, q listRequest) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	all := []any{}
	for _, arn := range slices.Sorted(maps.Keys(s.secrets)) {
		kept := s.secrets[arn]
		if caller.Account != s.config.Account || !kept.deleted.IsZero() && !q.IncludePlannedDeletion {
			continue
		}
		shown := kept.described()
		shown["SecretVersionsToStages"] = shown["VersionIdsToStages"]
		delete(shown, "VersionIdsToStages")
		all = append(all, shown)
	}
	return map[string]any{"SecretList": all}, nil
}

type putRequest struct {
	content
	SecretID      string `json:"SecretId"`
	VersionStages []string
}

func (s *Server) putSecretValue(_ context.Context, caller sigv4.Credential, q putRequest) (any, error) {
	if len(q.VersionStages) > 0 && !slices.Equal(q.VersionStages, []string{current}) {
		return nil, awsjson.Refuse("InvalidParameterException", "the twin's versions have the stages AWSCURRENT and AWSPREVIOUS")
	}
	return s.using(caller, q.SecretID, "PutSecretValue", func(kept *secret) (any, error) {
		made, err := q.version(s.config.Now())
		if err != nil {
			return nil, err
		}
		answer := kept.identified()
		answer["VersionId"], answer["VersionStages"] = made.id, []string{current}
		for _, known := range kept.versions {
			if known.id != made.id {
				continue
			}
			if !known.same(made) {
				return nil, awsjson.Refuse("ResourceExistsException", "A resource with the ID you requested already exists.")
			}
			return answer, nil
		}
		kept.put(made)
		return answer, nil
	})
}

type deleteRequest struct {
	SecretID string `json:"SecretId"`
	Window   *int   `json:"RecoveryWindowInDays"`
	Force    bool   `json:"ForceDeleteWithoutRecovery"`
}

func (s *Server) deleteSecret(_ context.Context, caller sigv4.Credential, q deleteRequest) (any, error) {
	if q.Force && q.Window != nil {
		return nil, awsjson.Refuse("InvalidParameterException", "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.")
	}
	days := longestWindow
	if q.Window != nil {
		days = *q.Window
	}
	if days < shortestWindow || days > longestWindow {
		return nil, awsjson.Refuse("InvalidParameterException", "RecoveryWindowInDays value must be between 7 and 30 days (inclusive).")
	}
	return s.using(caller, q.SecretID, "DeleteSecret", func(kept *secret) (any, error) {
		kept.deleted = s.config.Now().Add(time.Duration(days) * 24 * time.Hour)
		if q.Force {
			kept.deleted = s.config.Now()
		}
		answer := kept.identified()
		answer["DeletionDate"] = awsjson.Epoch(kept.deleted)
		return answer, nil
	})
}

func (s *Server) restoreSecret(_ context.Context, caller sigv4.Credential, q secretRequest) (any, error) {
	return s.finding(caller, q.SecretID, "RestoreSecret", func(kept *secret) (any, error) {
		kept.deleted = time.Time{}
		return kept.identified(), nil
	})
}

type tagRequest struct {
	SecretID string `json:"SecretId"`
	Tags     []tag
	TagKeys  []string
}

func (k *secret) tag(tags []tag) error {
	changed := slices.Clone(k.tags)
	for _, t := range tags {
		if t.Key == "" || len(t.Key) > 128 || len(t.Value) > 256 || strings.HasPrefix(t.Key, "aws:") {
			return awsjson.Refuse("InvalidParameterException", "a tag's key has 1 to 128 characters and does not begin with aws:, its value at most 256")
		}
		changed = append(slices.DeleteFunc(changed, func(old tag) bool { return old.Key == t.Key }), t)
	}
	if len(changed) > maxTags {
		return awsjson.Refuse("InvalidParameterException", "a secret has at most 50 tags")
	}
	k.tags = changed
	return nil
}

func (s *Server) tagResource(_ context.Context, caller sigv4.Credential, q tagRequest) (any, error) {
	return s.using(caller, q.SecretID, "TagResource", func(kept *secret) (any, error) {
		return nil, kept.tag(q.Tags)
	})
}

func (s *Server) untagResource(_ context.Context, caller sigv4.Credential, q tagRequest) (any, error) {
	return s.using(caller, q.SecretID, "UntagResource", func(kept *secret) (any, error) {
		kept.tags = slices.DeleteFunc(kept.tags, func(t tag) bool { return slices.Contains(q.TagKeys, t.Key) })
		return nil, nil
	})
}
