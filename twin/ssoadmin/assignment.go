package ssoadmin

import (
	"slices"

	"github.com/shiftgrant/shiftgrant/twin/awsjson"
	"github.com/shiftgrant/shiftgrant/twin/identitycenter"
)

// The kinds of principals that are assigned.
const (
	user  = "USER"
	group = "GROUP"
)

type principalRequest struct{ ApplicationArn, PrincipalId, PrincipalType string }

// kindOf is what an id of the identity store is of; "" for one that it does not know.
func (s *Server) kindOf(id string) string {
	for _, p := range s.center.People() {
		if p.UserID == id {
			return user
		}
		if slices.ContainsFunc(p.Groups, func(name string) bool { return identitycenter.GroupID(name) == id }) {
			return group
		}
	}
	return ""
}

func (s *Server) checkPrincipal(q principalRequest) error {
	if q.PrincipalType != user && q.PrincipalType != group {
		return awsjson.Refuse("ValidationException", "the PrincipalType is USER or GROUP")
	}
	if s.kindOf(q.PrincipalId) != q.PrincipalType {
		return awsjson.Refuse("ResourceNotFoundException", "%s not found in the identity store", q.PrincipalType)
	}
	return nil
}

func (s *Server) assign(q principalRequest) (any, error) {
	if err := s.checkPrincipal(q); err != nil {
		return nil, err
	}
	return nil, s.center.Change(q.ApplicationArn, func(a *identitycenter.Application) error {
		if !slices.Contains(a.Assigned, q.PrincipalId) {
			a.Assigned = append(a.Assigned, q.PrincipalId)
		}
		return nil
	})
}

func (s *Server) unassign(q principalRequest) (any, error) {
	return nil, s.center.Change(q.ApplicationArn, func(a *identitycenter.Application) error {
		a.Assigned = slices.DeleteFunc(a.Assigned, func(id string) bool { return id == q.PrincipalId })
		return nil
	})
}

func (s *Server) assignment(application, id string) map[string]string {
	return map[string]string{"ApplicationArn": application, "PrincipalId": id, "PrincipalType": s.kindOf(id)}
}

func (s *Server) describeAssignment(q principalRequest) (any, error) {
	a, err := s.center.Application(q.ApplicationArn)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(a.Assigned, q.PrincipalId) || s.kindOf(q.PrincipalId) != q.PrincipalType {
		return nil, identitycenter.ErrNotFound
	}
	return s.assignment(a.ARN, q.PrincipalId), nil
}

func (s *Server) listAssignments(q applicationOnly) (any, error) {
	a, err := s.center.Application(q.ApplicationArn)
	if err != nil {
		return nil, err
	}
	all := []any{}
	for _, id := range a.Assigned {
		all = append(all, s.assignment(a.ARN, id))
	}
	return map[string]any{"ApplicationAssignments": all}, nil
}
