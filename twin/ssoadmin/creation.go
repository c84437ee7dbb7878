package ssoadmin

import (
	"reflect"
	"slices"

	"github.com/shiftgrant/shiftgrant/twin/awsjson"
	"github.com/shiftgrant/shiftgrant/twin/identitycenter"
)

// A creation is what was asked for with a client's token, and answered.
type creation struct {
	request any
	answer  any
}

// once answers a request whose token was seen as it was answered then, so that a request that is sent
// again makes no second one. Without a token it makes one each time.
func (s *Server) once(token string, request any, create func() (arn string, answer any, err error), tags []tag) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if before, seen := s.asked[token]; seen {
		if !reflect.DeepEqual(before.request, request) {
			return nil, awsjson.Refuse("ConflictException", "the ClientToken was used for another request")
		}
		return before.answer, nil
	}
	if err := checkTags(tags); err != nil {
		return nil, err
	}
	arn, answer, err := create()
	if err != nil {
		return nil, err
	}
	s.tags[arn] = slices.Clone(tags)
	if token != "" {
		s.asked[token] = creation{request, answer}
	}
	return answer, nil
}

type tag struct{ Key, Value string }

const maxTags = 50

func checkTags(tags []tag) error {
	if len(tags) > maxTags {
		return awsjson.Refuse("ServiceQuotaExceededException", "a resource has at most 50 tags")
	}
	for _, t := range tags {
		if t.Key == "" || len(t.Key) > 128 || len(t.Value) > 256 {
			return awsjson.Refuse("ValidationException", "a tag's key has 1 to 128 characters, its value at most 256")
		}
	}
	return nil
}

type tagRequest struct {
	InstanceArn string
	ResourceArn string
	Tags        []tag
	TagKeys     []string
	NextToken   string
}

// has reports whether a resource is there.
func (s *Server) has(arn string) error {
	if _, err := s.center.Application(arn); err == nil || arn == s.center.InstanceARN() {
		return nil
	}
	if slices.ContainsFunc(s.center.Issuers(), func(i identitycenter.Issuer) bool { return i.ARN == arn }) {
		return nil
	}
	return identitycenter.ErrNotFound
}

func (s *Server) tagResource(q tagRequest) (any, error) {
	if err := s.has(q.ResourceArn); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := slices.Clone(s.tags[q.ResourceArn])
	for _, t := range q.Tags {
		changed = append(slices.DeleteFunc(changed, func(old tag) bool { return old.Key == t.Key }), t)
	}
	if err := checkTags(changed); err != nil {
		return nil, err
	}
	s.tags[q.ResourceArn] = changed
	return nil, nil
}

func (s *Server) untagResource(q tagRequest) (any, error) {
	if err := s.has(q.ResourceArn); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tags[q.ResourceArn] = slices.DeleteFunc(s.tags[q.ResourceArn], func(t tag) bool { return slices.Contains(q.TagKeys, t.Key) })
	return nil, nil
}

func (s *Server) listTags(q tagRequest) (any, error) {
	if err := s.has(q.ResourceArn); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return map[string]any{"Tags": slices.Concat([]tag{}, s.tags[q.ResourceArn])}, nil
}
