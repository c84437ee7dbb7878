// Package ssoadmin plays the administration of IAM Identity Center, as far as setting up a gateway
// needs it: trusted token issuers, applications, and what belongs to an application.
//
// It is a stand-in for development and tests: who may administrate is not checked beyond the
// signature. What it changes is in twin/identitycenter.
package ssoadmin

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/shiftgrant/shiftgrant/twin/awsjson"
	"github.com/shiftgrant/shiftgrant/twin/identitycenter"
	"github.com/shiftgrant/shiftgrant/twin/script"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
)

// Target is the prefix of X-Amz-Target.
const Target = "SWBExternalService."

// Config is what the service needs.
type Config struct {
	Center   *identitycenter.Center
	Registry *sigv4.Registry
	Region   string
	Now      func() time.Time // nil is time.Now
}

// Server is an http.Handler.
type Server struct {
	*awsjson.Service
	// Script tells operations to refuse.
	Script *script.Script

	center *identitycenter.Center
	region string
}

// New makes the service.
func New(config Config) *Server {
	s := &Server{Script: &script.Script{}, center: config.Center, region: config.Region}
	s.Service = &awsjson.Service{
		Target:   Target,
		Verifier: sigv4.Verifier{Registry: config.Registry, Region: config.Region, Service: "sso", Now: config.Now},
		Script:   s.Script,
		Operations: map[string]awsjson.Operation{
			"ListInstances":                         bind(s.listInstances),
			"CreateTrustedTokenIssuer":              bind(s.createIssuer),
			"DescribeTrustedTokenIssuer":            bind(s.describeIssuer),
			"ListTrustedTokenIssuers":               bind(s.listIssuers),
			"DeleteTrustedTokenIssuer":              bind(s.deleteIssuer),
			"CreateApplication":                     bind(s.createApplication),
			"DescribeApplication":                   bind(s.describeApplication),
			"ListApplications":                      bind(s.listApplications),
			"DeleteApplication":                     bind(s.deleteApplication),
			"PutApplicationGrant":                   bind(s.putGrant),
			"GetApplicationGrant":                   bind(s.getGrant),
			"ListApplicationGrants":                 bind(s.listGrants),
			"DeleteApplicationGrant":                bind(s.deleteGrant),
			"PutApplicationAuthenticationMethod":    bind(s.putMethod),
			"GetApplicationAuthenticationMethod":    bind(s.getMethod),
			"ListApplicationAuthenticationMethods":  bind(s.listMethods),
			"DeleteApplicationAuthenticationMethod": bind(s.deleteMethod),
			"PutApplicationAssignmentConfiguration": bind(s.putAssignment),
			"GetApplicationAssignmentConfiguration": bind(s.getAssignment),
			"CreateApplicationAssignment":           bind(s.assign),
			"DeleteApplicationAssignment":           bind(s.unassign),
			"PutApplicationAccessScope":             bind(s.putScope),
			"GetApplicationAccessScope":             bind(s.getScope),
			"ListApplicationAccessScopes":           bind(s.listScopes),
			"DeleteApplicationAccessScope":          bind(s.deleteScope),
		},
	}
	return s
}

// bind leaves out the context and the caller, which nothing here asks for, and gives errors of the
// instance their types.
func bind[Request any](run func(Request) (any, error)) awsjson.Operation {
	return awsjson.Bind(func(_ context.Context, _ sigv4.Credential, q Request) (any, error) {
		answer, err := run(q)
		return answer, typed(err)
	})
}

func typed(err error) error {
	_, done := errors.AsType[*awsjson.Error](err)
	switch {
	case err == nil || done:
		return err
	case errors.Is(err, identitycenter.ErrNotFound):
		return awsjson.Refuse("ResourceNotFoundException", "there is no such resource in this instance")
	case errors.Is(err, identitycenter.ErrConflict):
		return awsjson.Refuse("ConflictException", "there is a trusted token issuer with this name or URL already")
	case errors.Is(err, identitycenter.ErrLimit):
		return awsjson.Refuse("ServiceQuotaExceededException", "the instance has no room for another one")
	}
	return awsjson.Refuse("ValidationException", "%s", err)
}

// instanceOnly is a request about the instance as a whole.
type instanceOnly struct {
	InstanceArn string
	MaxResults  int
	NextToken   string
	Filter      map[string]string
}

func (s *Server) checkInstance(arn string) error {
	if arn != s.center.InstanceARN() {
		return awsjson.Refuse("ResourceNotFoundException", "there is no such instance; it is %s", s.center.InstanceARN())
	}
	return nil
}

func (s *Server) identityStoreARN() string {
	return "arn:aws:identitystore::" + s.center.Account() + ":identitystore/" + s.center.IdentityStoreID()
}

func (s *Server) listInstances(instanceOnly) (any, error) {
	return map[string]any{"Instances": []any{map[string]any{
		"InstanceArn": s.center.InstanceARN(), "IdentityStoreId": s.center.IdentityStoreID(),
		"OwnerAccountId": s.center.Account(), "Name": "twin", "Status": "ACTIVE",
	}}}, nil
}

type issuerConfiguration struct {
	OidcJwtConfiguration struct {
		IssuerUrl                  string
		ClaimAttributePath         string
		IdentityStoreAttributePath string
		JwksRetrievalOption        string
	}
}

type createIssuerRequest struct {
	InstanceArn                     string
	Name                            string
	TrustedTokenIssuerType          string
	TrustedTokenIssuerConfiguration issuerConfiguration
	ClientToken                     string
	Tags                            []map[string]string
}

func (s *Server) createIssuer(q createIssuerRequest) (any, error) {
	if err := s.checkInstance(q.InstanceArn); err != nil {
		return nil, err
	}
	c := q.TrustedTokenIssuerConfiguration.OidcJwtConfiguration
	if q.TrustedTokenIssuerType != "OIDC_JWT" || c.JwksRetrievalOption != "OPEN_ID_DISCOVERY" {
		return nil, errors.New("the type is OIDC_JWT, the JwksRetrievalOption OPEN_ID_DISCOVERY")
	}
	made, err := s.center.CreateIssuer(identitycenter.Issuer{Name: q.Name, URL: c.IssuerUrl, ClaimPath: c.ClaimAttributePath, StorePath: c.IdentityStoreAttributePath})
	if err != nil {
		return nil, err
	}
	return map[string]string{"TrustedTokenIssuerArn": made.ARN}, nil
}

type issuerOnly struct{ TrustedTokenIssuerArn string }

func (s *Server) describeIssuer(q issuerOnly) (any, error) {
	for _, i := range s.center.Issuers() {
		if i.ARN != q.TrustedTokenIssuerArn {
			continue
		}
		return map[string]any{
			"TrustedTokenIssuerArn": i.ARN, "Name": i.Name, "TrustedTokenIssuerType": "OIDC_JWT",
			"TrustedTokenIssuerConfiguration": map[string]any{"OidcJwtConfiguration": map[string]string{
				"IssuerUrl": i.URL, "ClaimAttributePath": i.ClaimPath, "IdentityStoreAttributePath": i.StorePath, "JwksRetrievalOption": "OPEN_ID_DISCOVERY",
			}},
		}, nil
	}
	return nil, identitycenter.ErrNotFound
}

func (s *Server) listIssuers(q instanceOnly) (any, error) {
	if err := s.checkInstance(q.InstanceArn); err != nil {
		return nil, err
	}
	all := []any{}
	for _, i := range s.center.Issuers() {
		all = append(all, map[string]string{"TrustedTokenIssuerArn": i.ARN, "Name": i.Name, "TrustedTokenIssuerType": "OIDC_JWT"})
	}
	return map[string]any{"TrustedTokenIssuers": all}, nil
}

func (s *Server) deleteIssuer(q issuerOnly) (any, error) {
	return nil, s.center.DeleteIssuer(q.TrustedTokenIssuerArn)
}

type createApplicationRequest struct {
	InstanceArn            string
	ApplicationProviderArn string
	Name                   string
	Description            string
	PortalOptions          json.RawMessage
	Tags                   []map[string]string
	Status                 string
	ClientToken            string
}

func (s *Server) createApplication(q createApplicationRequest) (any, error) {
	if err := s.checkInstance(q.InstanceArn); err != nil {
		return nil, err
	}
	made, err := s.center.CreateApplication(q.ApplicationProviderArn, q.Name, q.Description)
	if err != nil {
		return nil, err
	}
	if q.Status == "DISABLED" {
		err = s.center.Change(made.ARN, func(a *identitycenter.Application) error { a.Disabled = true; return nil })
	}
	return map[string]string{"ApplicationArn": made.ARN, "InstanceArn": s.center.InstanceARN(), "IdentityStoreArn": s.identityStoreARN()}, err
}

type applicationOnly struct {
	ApplicationArn string
	MaxResults     int
	NextToken      string
}

func (s *Server) describeApplication(q applicationOnly) (any, error) {
	a, err := s.center.Application(q.ApplicationArn)
	if err != nil {
		return nil, err
	}
	return s.described(a), nil
}

func (s *Server) described(a identitycenter.Application) map[string]any {
	status := "ENABLED"
	if a.Disabled {
		status = "DISABLED"
	}
	return map[string]any{
		"ApplicationArn": a.ARN, "ApplicationProviderArn": a.Provider, "Name": a.Name, "Description": a.Description, "Status": status,
		"ApplicationAccount": s.center.Account(), "InstanceArn": s.center.InstanceARN(), "IdentityStoreArn": s.identityStoreARN(),
		"CreatedDate": awsjson.Epoch(a.Created), "CreatedFrom": s.region,
	}
}

func (s *Server) listApplications(q instanceOnly) (any, error) {
	if err := s.checkInstance(q.InstanceArn); err != nil {
		return nil, err
	}
	all := []any{}
	for _, a := range s.center.Applications() {
		if asked := q.Filter["ApplicationProvider"]; asked == "" || asked == a.Provider {
			all = append(all, s.described(a))
		}
	}
	return map[string]any{"Applications": all}, nil
}

func (s *Server) deleteApplication(q applicationOnly) (any, error) {
	return nil, s.center.DeleteApplication(q.ApplicationArn)
}

type assignmentRequest struct {
	ApplicationArn     string
	AssignmentRequired *bool
}

func (s *Server) putAssignment(q assignmentRequest) (any, error) {
	if q.AssignmentRequired == nil {
		return nil, errors.New("AssignmentRequired is needed")
	}
	return nil, s.center.Change(q.ApplicationArn, func(a *identitycenter.Application) error {
		a.AssignmentRequired = *q.AssignmentRequired
		return nil
	})
}

func (s *Server) getAssignment(q applicationOnly) (any, error) {
	a, err := s.center.Application(q.ApplicationArn)
	return map[string]bool{"AssignmentRequired": a.AssignmentRequired}, err
}

type principalRequest struct{ ApplicationArn, PrincipalId, PrincipalType string }

func (s *Server) assign(q principalRequest) (any, error) {
	if q.PrincipalType != "USER" || !slices.ContainsFunc(s.center.People(), func(p identitycenter.Person) bool { return p.UserID == q.PrincipalId }) {
		return nil, awsjson.Refuse("ResourceNotFoundException", "the twin assigns users of the identity store (PrincipalType USER)")
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
