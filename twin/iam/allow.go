package iam

import (
	"encoding/json"
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/shiftgrant/shiftgrant/twin/awsjson"
)

// A statement is as much of one as is evaluated.
type statement struct {
	Effect    string
	Action    awsjson.Texts
	Resource  awsjson.Texts
	Condition map[string]json.RawMessage
}

func parsePolicy(document string) ([]statement, error) {
	var parsed struct {
		Version   string
		Statement []statement
	}
	if err := json.Unmarshal([]byte(document), &parsed); err != nil {
		return nil, err
	}
	if parsed.Version != "2012-10-17" || len(parsed.Statement) == 0 {
		return nil, errors.New("there is another Version, or no statement")
	}
	for _, s := range parsed.Statement {
		if s.Effect != "Allow" && s.Effect != "Deny" || len(s.Action) == 0 || len(s.Resource) == 0 {
			return nil, errors.New("a statement needs an Effect, an Action and a Resource")
		}
	}
	return parsed.Statement, nil
}

// Made reports whether a role was made here, and so does only what its policies allow.
func (s *Server) Made(role string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.notes[s.config.STS.RoleARN(role)]
	return n != nil && n.made
}

// Allows reports whether the policies of a role let it do something, such as redshift:DescribeClusters.
// Resources and conditions are not looked at; a statement that denies under a condition is left out.
func (s *Server) Allows(role, action string) bool {
	if !s.Made(role) {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	allowed := false
	for _, document := range s.noteOf(s.config.STS.RoleARN(role)).policies {
		statements, err := parsePolicy(document)
		if err != nil {
			return false
		}
		for _, one := range statements {
			switch covered := slices.ContainsFunc(one.Action, func(pattern string) bool { return covers(pattern, action) }); {
			case covered && one.Effect == "Deny" && len(one.Condition) == 0:
				return false
			case covered && one.Effect == "Allow":
				allowed = true
			}
		}
	}
	return allowed
}

// covers matches actions without regard to case; they have no slash.
func covers(pattern, action string) bool {
	matched, err := path.Match(strings.ToLower(pattern), strings.ToLower(action))
	return err == nil && matched
}
