// Package iam plays the part of AWS IAM that sets up who may become whom: OIDC providers and roles
// with their policies. What it makes is in the twin's STS at once.
//
// It is a stand-in for development and tests: who may administrate is not checked beyond the
// signature, and of a role's policies only the trust policy is ever evaluated; the others are kept,
// and have to be JSON.
package iam

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/shiftgrant/shiftgrant/twin/awsjson"
	"github.com/shiftgrant/shiftgrant/twin/awsquery"
	"github.com/shiftgrant/shiftgrant/twin/script"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
	"github.com/shiftgrant/shiftgrant/twin/sts"
)

// Version is that of the API.
const Version = "2010-05-08"

// Config is what the service needs.
type Config struct {
	STS      *sts.Server
	Registry *sigv4.Registry
	Region   string
	Account  string
	Now      func() time.Time // nil is time.Now
}

// Server is an http.Handler.
type Server struct {
	*awsquery.Service
	// Script tells actions to refuse.
	Script *script.Script

	config Config

	mu       sync.Mutex
	policies map[string]map[string]string // by role and name
	made     int
}

// New makes the service.
func New(config Config) *Server {
	if config.Now == nil {
		config.Now = time.Now
	}
	s := &Server{config: config, Script: &script.Script{}, policies: map[string]map[string]string{}}
	s.Service = &awsquery.Service{
		Name: "iam", Namespace: "https://iam.amazonaws.com/doc/" + Version + "/", Script: s.Script,
		Verifier: sigv4.Verifier{Registry: config.Registry, Region: config.Region, Service: "iam", Protocol: sigv4.Query, Now: config.Now},
		Actions: map[string]awsquery.Action{
			"CreateOpenIDConnectProvider":             {Parameters: []string{"Url", "ClientIDList", "ThumbprintList", "Tags.Key", "Tags.Value"}, Run: s.createProvider},
			"AddClientIDToOpenIDConnectProvider":      {Parameters: []string{"OpenIDConnectProviderArn", "ClientID"}, Run: s.addAudience},
			"RemoveClientIDFromOpenIDConnectProvider": {Parameters: []string{"OpenIDConnectProviderArn", "ClientID"}, Run: s.removeAudience},
			"GetOpenIDConnectProvider":                {Parameters: []string{"OpenIDConnectProviderArn"}, Run: s.getProvider},
			"ListOpenIDConnectProviders":              {Run: s.listProviders},
			"DeleteOpenIDConnectProvider":             {Parameters: []string{"OpenIDConnectProviderArn"}, Run: s.deleteProvider},
			"CreateRole":                              {Parameters: []string{"RoleName", "Path", "AssumeRolePolicyDocument", "Description", "MaxSessionDuration", "Tags.Key", "Tags.Value"}, Run: s.createRole},
			"GetRole":                                 {Parameters: []string{"RoleName"}, Run: s.getRole},
			"UpdateAssumeRolePolicy":                  {Parameters: []string{"RoleName", "PolicyDocument"}, Run: s.updateTrust},
			"DeleteRole":                              {Parameters: []string{"RoleName"}, Run: s.deleteRole},
			"PutRolePolicy":                           {Parameters: []string{"RoleName", "PolicyName", "PolicyDocument"}, Run: s.putPolicy},
			"GetRolePolicy":                           {Parameters: []string{"RoleName", "PolicyName"}, Run: s.getPolicy},
			"ListRolePolicies":                        {Parameters: []string{"RoleName", "Marker", "MaxItems"}, Run: s.listPolicies},
			"DeleteRolePolicy":                        {Parameters: []string{"RoleName", "PolicyName"}, Run: s.deletePolicy},
		},
	}
	return s
}

func missing(what string) error {
	return &awsjson.Error{Status: http.StatusNotFound, Code: "NoSuchEntity", Message: what + " cannot be found."}
}

func conflict(code, message string) error {
	return &awsjson.Error{Status: http.StatusConflict, Code: code, Message: message}
}

// providerOf finds a provider by its ARN.
func (s *Server) providerOf(arn string) (sts.Provider, error) {
	for _, p := range s.config.STS.Providers() {
		if found, _ := s.config.STS.ProviderARN(p.URL); found == arn {
			return p, nil
		}
	}
	return sts.Provider{}, missing("OpenIDConnect Provider " + arn)
}

type providerMade struct {
	XMLName xml.Name `xml:"CreateOpenIDConnectProviderResult"`
	ARN     string   `xml:"OpenIDConnectProviderArn"`
}

func (s *Server) createProvider(_ sigv4.Credential, form url.Values) (any, error) {
	made := sts.Provider{URL: form.Get("Url"), ClientIDs: awsquery.List(form, "ClientIDList.member")}
	if _, taken := s.config.STS.ProviderARN(made.URL); taken {
		return nil, conflict("EntityAlreadyExists", "Provider with url "+made.URL+" already exists.")
	}
	if err := s.config.STS.PutProvider(made); err != nil {
		return nil, awsjson.Refuse("ValidationException", "%s", err)
	}
	arn, _ := s.config.STS.ProviderARN(made.URL)
	return providerMade{ARN: arn}, nil
}

type providerShown struct {
	XMLName   xml.Name `xml:"GetOpenIDConnectProviderResult"`
	URL       string   `xml:"Url"`
	ClientIDs []string `xml:"ClientIDList>member"`
}

func (s *Server) getProvider(_ sigv4.Credential, form url.Values) (any, error) {
	p, err := s.providerOf(form.Get("OpenIDConnectProviderArn"))
	if err != nil {
		return nil, err
	}
	_, name, _ := strings.Cut(p.URL, "://") // AWS leaves the scheme out
	return providerShown{URL: name, ClientIDs: p.ClientIDs}, nil
}

// addAudience is idempotent, as AWS's is.
func (s *Server) addAudience(_ sigv4.Credential, form url.Values) (any, error) {
	return s.changeAudiences(form, func(all []string, one string) []string {
		if slices.Contains(all, one) {
			return all
		}
		return append(slices.Clone(all), one)
	})
}

func (s *Server) removeAudience(_ sigv4.Credential, form url.Values) (any, error) {
	return s.changeAudiences(form, func(all []string, one string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(id string) bool { return id == one })
	})
}

func (s *Server) changeAudiences(form url.Values, change func(all []string, one string) []string) (any, error) {
	p, err := s.providerOf(form.Get("OpenIDConnectProviderArn"))
	if err != nil {
		return nil, err
	}
	if form.Get("ClientID") == "" {
		return nil, awsjson.Refuse("ValidationException", "The ClientID must not be empty.")
	}
	p.ClientIDs = change(p.ClientIDs, form.Get("ClientID"))
	if err := s.config.STS.PutProvider(p); err != nil {
		return nil, awsjson.Refuse("ValidationException", "%s", err)
	}
	return nil, nil
}

type providersListed struct {
	XMLName xml.Name        `xml:"ListOpenIDConnectProvidersResult"`
	Entries []providerEntry `xml:"OpenIDConnectProviderList>member"`
}

// providerEntry is one of a list.
type providerEntry struct {
	ARN string `xml:"Arn"`
}

func (s *Server) listProviders(sigv4.Credential, url.Values) (any, error) {
	var listed providersListed
	for _, p := range s.config.STS.Providers() {
		arn, _ := s.config.STS.ProviderARN(p.URL)
		listed.Entries = append(listed.Entries, providerEntry{arn})
	}
	return listed, nil
}

func (s *Server) deleteProvider(_ sigv4.Credential, form url.Values) (any, error) {
	p, err := s.providerOf(form.Get("OpenIDConnectProviderArn"))
	if err != nil {
		return nil, err
	}
	s.config.STS.RemoveProvider(p.URL)
	return nil, nil
}

type roleShown struct {
	XMLName xml.Name
	Path    string `xml:"Role>Path"`
	Name    string `xml:"Role>RoleName"`
	ID      string `xml:"Role>RoleId"`
	ARN     string `xml:"Role>Arn"`
	Created string `xml:"Role>CreateDate"`
	Trust   string `xml:"Role>AssumeRolePolicyDocument"`
	Longest int    `xml:"Role>MaxSessionDuration"`
}

// shown is a role as IAM shows it, its policy escaped as in a URL.
func (s *Server) shown(action string, r sts.Role) roleShown {
	return roleShown{
		XMLName: xml.Name{Local: action + "Result"}, Path: "/", Name: r.Name, ID: r.ID, ARN: s.config.STS.RoleARN(r.Name),
		Created: s.config.Now().UTC().Format(time.RFC3339), Trust: url.QueryEscape(r.TrustPolicy), Longest: int(r.MaxSession.Seconds()),
	}
}

func (s *Server) role(name string) (sts.Role, error) {
	r, found := s.config.STS.Role(name)
	if !found {
		return sts.Role{}, missing("The role with name " + name)
	}
	return r, nil
}

func (s *Server) createRole(_ sigv4.Credential, form url.Values) (any, error) {
	made := sts.Role{Name: form.Get("RoleName"), TrustPolicy: form.Get("AssumeRolePolicyDocument"), MaxSession: time.Hour}
	if text := form.Get("MaxSessionDuration"); text != "" {
		seconds, err := strconv.Atoi(text)
		if err != nil {
			return nil, awsjson.Refuse("ValidationException", "MaxSessionDuration is a number of seconds")
		}
		made.MaxSession = time.Duration(seconds) * time.Second
	}
	if path := form.Get("Path"); path != "" && path != "/" {
		return nil, awsjson.Refuse("ValidationException", "the twin's roles have the path /")
	}
	if _, taken := s.config.STS.Role(made.Name); taken {
		return nil, conflict("EntityAlreadyExists", "Role with name "+made.Name+" already exists.")
	}
	s.mu.Lock()
	s.made++
	made.ID = fmt.Sprintf("AROATWINMADE%09d", s.made)
	s.mu.Unlock()
	if err := s.config.STS.PutRole(made); err != nil {
		return nil, awsjson.Refuse("MalformedPolicyDocument", "%s", err)
	}
	return s.shown("CreateRole", made), nil
}

func (s *Server) getRole(_ sigv4.Credential, form url.Values) (any, error) {
	r, err := s.role(form.Get("RoleName"))
	if err != nil {
		return nil, err
	}
	return s.shown("GetRole", r), nil
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
	r, err := s.role(form.Get("RoleName"))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.policies[r.Name]) > 0 {
		return nil, conflict("DeleteConflict", "Cannot delete entity, must delete policies first.")
	}
	s.config.STS.RemoveRole(r.Name)
	return nil, nil
}

func (s *Server) putPolicy(_ sigv4.Credential, form url.Values) (any, error) {
	r, err := s.role(form.Get("RoleName"))
	if err != nil {
		return nil, err
	}
	name, document := form.Get("PolicyName"), form.Get("PolicyDocument")
	var parsed struct {
		Version   string
		Statement []json.RawMessage
	}
	if err := json.Unmarshal([]byte(document), &parsed); err != nil || parsed.Version != "2012-10-17" || len(parsed.Statement) == 0 || name == "" {
		return nil, awsjson.Refuse("MalformedPolicyDocument", "a PolicyName and a policy of the Version 2012-10-17 with a list of statements are needed")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.policies[r.Name] == nil {
		s.policies[r.Name] = map[string]string{}
	}
	s.policies[r.Name][name] = document
	return nil, nil
}

type policyShown struct {
	XMLName  xml.Name `xml:"GetRolePolicyResult"`
	Role     string   `xml:"RoleName"`
	Name     string   `xml:"PolicyName"`
	Document string   `xml:"PolicyDocument"`
}

func (s *Server) getPolicy(_ sigv4.Credential, form url.Values) (any, error) {
	role, name := form.Get("RoleName"), form.Get("PolicyName")
	s.mu.Lock()
	defer s.mu.Unlock()
	document, found := s.policies[role][name]
	if !found {
		return nil, missing("The role policy with name " + name)
	}
	return policyShown{Role: role, Name: name, Document: url.QueryEscape(document)}, nil
}

type policiesListed struct {
	XMLName   xml.Name `xml:"ListRolePoliciesResult"`
	Names     []string `xml:"PolicyNames>member"`
	Truncated bool     `xml:"IsTruncated"`
}

func (s *Server) listPolicies(_ sigv4.Credential, form url.Values) (any, error) {
	r, err := s.role(form.Get("RoleName"))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return policiesListed{Names: slices.Sorted(maps.Keys(s.policies[r.Name]))}, nil
}

func (s *Server) deletePolicy(_ sigv4.Credential, form url.Values) (any, error) {
	role, name := form.Get("RoleName"), form.Get("PolicyName")
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, found := s.policies[role][name]; !found {
		return nil, missing("The role policy with name " + name)
	}
	delete(s.policies[role], name)
	return nil, nil
}
