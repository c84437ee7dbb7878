package iam

import (
	"encoding/xml"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/shiftgrant/shiftgrant/twin/awsjson"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
	"github.com/shiftgrant/shiftgrant/twin/sts"
)

func (s *Server) role(name string) (sts.Role, error) {
	r, found := s.config.STS.Role(name)
	if !found {
		return sts.Role{}, missing("The role with name " + name)
	}
	return r, nil
}

// roleNote finds what is kept of the role that a form names. The lock is held.
func (s *Server) roleNote(form url.Values) (*note, error) {
	r, err := s.role(form.Get("RoleName"))
	if err != nil {
		return nil, err
	}
	return s.noteOf(s.config.STS.RoleARN(r.Name)), nil
}

// roleView is a role as IAM shows it, its policy escaped as in a URL.
type roleView struct {
	Path        string
	Name        string `xml:"RoleName"`
	ID          string `xml:"RoleId"`
	ARN         string `xml:"Arn"`
	Created     string `xml:"CreateDate"`
	Trust       string `xml:"AssumeRolePolicyDocument"`
	Description string `xml:",omitempty"`
	Longest     int    `xml:"MaxSessionDuration"`
	Tags        []tag  `xml:"Tags>member"`
}

type roleShown struct {
	XMLName xml.Name
	Role    roleView
}

// shown is one role as the result of an action. The lock is held.
func (s *Server) shown(action string, r sts.Role) roleShown {
	return roleShown{XMLName: xml.Name{Local: action + "Result"}, Role: s.view(r)}
}

func (s *Server) view(r sts.Role) roleView {
	n := s.noteOf(s.config.STS.RoleARN(r.Name))
	return roleView{
		Path: "/", Name: r.Name, ID: r.ID, ARN: s.config.STS.RoleARN(r.Name), Created: n.date(), Trust: url.QueryEscape(r.TrustPolicy),
		Description: n.description, Longest: int(r.MaxSession.Seconds()), Tags: n.tags,
	}
}

// longest reads MaxSessionDuration; STS knows its bounds.
func longest(form url.Values, otherwise time.Duration) (time.Duration, error) {
	given := form.Get("MaxSessionDuration")
	if given == "" {
		return otherwise, nil
	}
	seconds, err := strconv.Atoi(given)
	if err != nil || seconds < 3600 || seconds > 43200 {
		return 0, awsjson.Refuse("ValidationException", "1 validation error detected: Value at 'maxSessionDuration' failed to satisfy constraint: Member must have value between 3600 and 43200")
	}
	return time.Duration(seconds) * time.Second, nil
}

func (s *Server) createRole(_ sigv4.Credential, form url.Values) (any, error) {
	life, err := longest(form, time.Hour)
	if err != nil {
		return nil, err
	}
	if path := form.Get("Path"); path != "" && path != "/" {
		return nil, awsjson.Refuse("InvalidInput", "the twin's roles have the path /")
	}
	tags, err := readTags(form)
	if err != nil {
		return nil, err
	}
	made := sts.Role{Name: form.Get("RoleName"), TrustPolicy: form.Get("AssumeRolePolicyDocument"), MaxSession: life}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.config.STS.Role(made.Name); taken {
		return nil, conflict("EntityAlreadyExists", "Role with name "+made.Name+" already exists.")
	}
	s.made++
	made.ID = fmt.Sprintf("AROATWINMADE%09d", s.made)
	if err := s.config.STS.PutRole(made); err != nil {
		return nil, awsjson.Refuse("MalformedPolicyDocument", "%s", err)
	}
	n := s.newNote(s.config.STS.RoleARN(made.Name))
	n.description = form.Get("Description")
	if err := n.put(tags); err != nil {
		return nil, err
	}
	return s.shown("CreateRole", made), nil
}

func (s *Server) getRole(_ sigv4.Credential, form url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.role(form.Get("RoleName"))
	if err != nil {
		return nil, err
	}
	return s.shown("GetRole", r), nil
}

type rolesListed struct {
	XMLName   xml.Name   `xml:"ListRolesResult"`
	Roles     []roleView `xml:"Roles>member"`
	Truncated bool       `xml:"IsTruncated"`
}

func (s *Server) listRoles(sigv4.Credential, url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var listed rolesListed
	for _, r := range s.config.STS.Roles() {
		listed.Roles = append(listed.Roles, s.view(r))
	}
	return listed, nil
}

type roleUpdated struct {
	XMLName xml.Name `xml:"UpdateRoleResult"`
}

func (s *Server) updateRole(_ sigv4.Credential, form url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.role(form.Get("RoleName"))
	if err != nil {
		return nil, err
	}
	if r.MaxSession, err = longest(form, r.MaxSession); err != nil {
		return nil, err
	}
	if form.Has("Description") {
		s.noteOf(s.config.STS.RoleARN(r.Name)).description = form.Get("Description")
	}
	return roleUpdated{}, s.config.STS.PutRole(r)
}

func (s *Server) updateTrust(_ sigv4.Credential, form url.Values) (any, error) {
	r, err := s.role(form.Get("RoleName"))
	if err != nil {
		return nil, err
	}
	r.TrustPolicy = form.Get("PolicyDocument")
	if err := s.config.STS.PutRole(r); err != nil {
		return nil, awsjson.Refuse("MalformedPolicyDocument", "%s", err)
	}
	return nil, nil
}

func (s *Server) deleteRole(_ sigv4.Credential, form url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.roleNote(form)
	if err != nil {
		return nil, err
	}
	if len(n.policies) > 0 {
		return nil, conflict("DeleteConflict", "Cannot delete entity, must delete policies first.")
	}
	s.config.STS.RemoveRole(form.Get("RoleName"))
	delete(s.notes, s.config.STS.RoleARN(form.Get("RoleName")))
	return nil, nil
}

func (s *Server) putPolicy(_ sigv4.Credential, form url.Values) (any, error) {
	name, document := form.Get("PolicyName"), form.Get("PolicyDocument")
	if _, err := parsePolicy(document); err != nil || name == "" {
		return nil, awsjson.Refuse("MalformedPolicyDocument", "a PolicyName and a policy of the Version 2012-10-17 with a list of statements are needed: %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.roleNote(form)
	if err != nil {
		return nil, err
	}
	n.policies[name] = document
	return nil, nil
}

type policyShown struct {
	XMLName  xml.Name `xml:"GetRolePolicyResult"`
	Role     string   `xml:"RoleName"`
	Name     string   `xml:"PolicyName"`
	Document string   `xml:"PolicyDocument"`
}

// policyOf finds an inline policy. The lock is held.
func (s *Server) policyOf(form url.Values) (n *note, name, document string, err error) {
	if n, err = s.roleNote(form); err != nil {
		return nil, "", "", err
	}
	name = form.Get("PolicyName")
	document, found := n.policies[name]
	if !found {
		return nil, "", "", missing("The role policy with name " + name)
	}
	return n, name, document, nil
}

func (s *Server) getPolicy(_ sigv4.Credential, form url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, name, document, err := s.policyOf(form)
	if err != nil {
		return nil, err
	}
	return policyShown{Role: form.Get("RoleName"), Name: name, Document: url.QueryEscape(document)}, nil
}

func (s *Server) deletePolicy(_ sigv4.Credential, form url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, name, _, err := s.policyOf(form)
	if err != nil {
		return nil, err
	}
	delete(n.policies, name)
	return nil, nil
}

type policiesListed struct {
	XMLName   xml.Name `xml:"ListRolePoliciesResult"`
	Names     []string `xml:"PolicyNames>member"`
	Truncated bool     `xml:"IsTruncated"`
}

func (s *Server) listPolicies(_ sigv4.Credential, form url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.roleNote(form)
	if err != nil {
		return nil, err
	}
	return policiesListed{Names: slices.Sorted(maps.Keys(n.policies))}, nil
}

type tagsListed struct {
	XMLName   xml.Name
	Tags      []tag `xml:"Tags>member"`
	Truncated bool  `xml:"IsTruncated"`
}

func (s *Server) listTags(result string, named func(url.Values) (*note, error)) func(sigv4.Credential, url.Values) (any, error) {
	return func(_ sigv4.Credential, form url.Values) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		n, err := named(form)
		if err != nil {
			return nil, err
		}
		return tagsListed{XMLName: xml.Name{Local: result}, Tags: n.tags}, nil
	}
}

// emptyList is the answer about what the twin's roles never have, and those who delete a role ask for.
type emptyList struct {
	XMLName   xml.Name
	List      emptyElement
	Truncated bool `xml:"IsTruncated"`
}

type emptyElement struct{ XMLName xml.Name }

func (s *Server) listNone(result, element string, form url.Values) (any, error) {
	if _, err := s.role(form.Get("RoleName")); err != nil {
		return nil, err
	}
	return emptyList{XMLName: xml.Name{Local: result}, List: emptyElement{XMLName: xml.Name{Local: element}}}, nil
}

func (s *Server) listAttached(_ sigv4.Credential, form url.Values) (any, error) {
	return s.listNone("ListAttachedRolePoliciesResult", "AttachedPolicies", form)
}

func (s *Server) listProfiles(_ sigv4.Credential, form url.Values) (any, error) {
	return s.listNone("ListInstanceProfilesForRoleResult", "InstanceProfiles", form)
}
