// Package ssoadmin plays the administration of IAM Identity Center, as far as setting up a gateway
// needs it: trusted token issuers, applications, and what belongs to an application.
//
// It is a stand-in for development and tests: everybody who signs may administrate, but for roles that
// were made in twin/iam, which may what their policies say. What it changes is in twin/identitycenter.
package ssoadmin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"sync"
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

	center  *identitycenter.Center
	region  string
	created time.Time

	mu    sync.Mutex
	asked map[string]creation // by the client's token
	tags  map[string][]tag    // by ARN
}

// New makes the service.
func New(config Config) *Server {
	if config.Now == nil {
		config.Now = time.Now
	}
	s := &Server{
		Script: &script.Script{}, center: config.Center, region: config.Region, created: config.Now(),
		asked: map[string]creation{}, tags: map[string][]tag{},
	}
	s.Service = &awsjson.Service{
		Target:   Target,
		Verifier: sigv4.Verifier{Registry: config.Registry, Region: config.Region, Service: "sso", Now: config.Now},
		Script:   s.Script,
		Operations: map[string]awsjson.Operation{
			"ListInstances":                         bind(s.listInstances),
			"DescribeInstance":                      bind(s.describeInstance),
			"UpdateTrustedTokenIssuer":              bind(s.updateIssuer),
			"UpdateApplication":                     bind(s.updateApplication),
			"DescribeApplicationAssignment":         bind(s.describeAssignment),
			"ListApplicationAssignments":            bind(s.listAssignments),
			"TagResource":                           bind(s.tagResource),
			"UntagResource":                         bind(s.untagResource),
			"ListTagsForResource":                   bind(s.listTags),
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
		return awsjson.Refuse("ConflictException", "there is one with this name or URL already")
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
	return map[string]any{"Instances": []any{s.instance()}}, nil
}

func (s *Server) describeInstance(q instanceOnly) (any, error) {
	return s.instance(), s.checkInstance(q.InstanceArn)
}

func (s *Server) instance() any {
	return map[string]any{
		"InstanceArn": s.center.InstanceARN(), "IdentityStoreId": s.center.IdentityStoreID(),
		"OwnerAccountId": s.center.Account(), "Name": "twin", "Status": "ACTIVE", "CreatedDate": awsjson.Epoch(s.created),
	}
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
	Tags                            []tag
}

func (s *Server) createIssuer(q createIssuerRequest) (any, error) {
	if err := s.checkInstance(q.InstanceArn); err != nil {
		return nil, err
	}
	c := q.TrustedTokenIssuerConfiguration.OidcJwtConfiguration
	if q.TrustedTokenIssuerType != "OIDC_JWT" || c.JwksRetrievalOption != "OPEN_ID_DISCOVERY" {
		return nil, errors.New("the type is OIDC_JWT, the JwksRetrievalOption OPEN_ID_DISCOVERY")
	}
	return s.once(q.ClientToken, q, func() (string, any, error) {
		made, err := s.center.CreateIssuer(identitycenter.Issuer{Name: q.Name, URL: c.IssuerUrl, ClaimPath: c.ClaimAttributePath, StorePath: c.IdentityStoreAttributePath})
		return made.ARN, map[string]string{"TrustedTokenIssuerArn": made.ARN}, err
	}, q.Tags)
}

type updateIssuerRequest struct {
	TrustedTokenIssuerArn           string
	Name                            string
	TrustedTokenIssuerConfiguration struct {
		OidcJwtConfiguration *struct {
			ClaimAttributePath         string
			IdentityStoreAttributePath string
			JwksRetrievalOption        string
		}
	}
}

// updateIssuer changes what is given; the URL of an issuer cannot be.
func (s *Server) updateIssuer(q updateIssuerRequest) (any, error) {
	for _, i := range s.center.Issuers() {
		if i.ARN != q.TrustedTokenIssuerArn {
			continue
		}
		i.Name = cmp.Or(q.Name, i.Name)
		if c := q.TrustedTokenIssuerConfiguration.OidcJwtConfiguration; c != nil {
			i.ClaimPath, i.StorePath = cmp.Or(c.ClaimAttributePath, i.ClaimPath), cmp.Or(c.IdentityStoreAttributePath, i.StorePath)
		}
		return nil, s.center.UpdateIssuer(i)
	}
	return nil, identitycenter.ErrNotFound
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
	Tags                   []tag
	Status                 string
	ClientToken            string
}

func (s *Server) createApplication(q createApplicationRequest) (any, error) {
	if err := s.checkInstance(q.InstanceArn); err != nil {
		return nil, err
	}
	if q.Status != "" && q.Status != "ENABLED" && q.Status != "DISABLED" {
		return nil, errors.New("the Status is ENABLED or DISABLED")
	}
	return s.once(q.ClientToken, q, func() (string, any, error) {
		made, err := s.center.CreateApplication(q.ApplicationProviderArn, q.Name, q.Description)
		if err != nil {
			return "", nil, err
		}
		err = s.center.Change(made.ARN, func(a *identitycenter.Application) error {
			a.Disabled, a.Portal = q.Status == "DISABLED", q.PortalOptions
			return nil
		})
		return made.ARN, map[string]string{"ApplicationArn": made.ARN, "InstanceArn": s.center.InstanceARN(), "IdentityStoreArn": s.identityStoreARN()}, err
	}, q.Tags)
}

type updateApplicationRequest struct {
	ApplicationArn string
	Name           string
	Description    *string
	Status         string
	PortalOptions  json.RawMessage
}

func (s *Server) updateApplication(q updateApplicationRequest) (any, error) {
	return nil, s.center.Change(q.ApplicationArn, func(a *identitycenter.Application) error {
		if q.Status != "" && q.Status != "ENABLED" && q.Status != "DISABLED" {
			return errors.New("the Status is ENABLED or DISABLED")
		}
		a.Name, a.Disabled = cmp.Or(q.Name, a.Name), q.Status == "DISABLED" || q.Status == "" && a.Disabled
		if q.Description != nil {
			a.Description = *q.Description
		}
		if q.PortalOptions != nil {
			a.Portal = q.PortalOptions
		}
		return nil
	})
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
	described := map[string]any{
		"ApplicationArn": a.ARN, "ApplicationProviderArn": a.Provider, "Name": a.Name, "Description": a.Description, "Status": status,
		"ApplicationAccount": s.center.Account(), "InstanceArn": s.center.InstanceARN(), "IdentityStoreArn": s.identityStoreARN(),
		"CreatedDate": awsjson.Epoch(a.Created), "CreatedFrom": s.region,
	}
	if a.Portal != nil {
		described["PortalOptions"] = a.Portal
	}
	return described
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
