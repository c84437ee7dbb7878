package ssoadmin

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/shiftgrant/shiftgrant/twin/awsjson"
	"github.com/shiftgrant/shiftgrant/twin/identitycenter"
)

// grant is a union: one member, which fits the type.
type grant struct {
	AuthorizationCode *struct {
		RedirectUris []string `json:",omitempty"`
	} `json:",omitempty"`
	JwtBearer *struct {
		AuthorizedTokenIssuers []authorizedIssuer `json:",omitempty"`
	} `json:",omitempty"`
	RefreshToken  *struct{} `json:",omitempty"`
	TokenExchange *struct{} `json:",omitempty"`
}

type authorizedIssuer struct {
	TrustedTokenIssuerArn string
	AuthorizedAudiences   []string
}

type grantRequest struct {
	ApplicationArn string
	GrantType      string
	Grant          grant
	NextToken      string
}

func (s *Server) putGrant(q grantRequest) (any, error) {
	var given identitycenter.Grant
	kinds := []string{}
	if code := q.Grant.AuthorizationCode; code != nil {
		kinds = append(kinds, identitycenter.AuthorizationCode)
		given.RedirectURIs = code.RedirectUris
	}
	if bearer := q.Grant.JwtBearer; bearer != nil {
		kinds = append(kinds, identitycenter.JWTBearer)
		for _, i := range bearer.AuthorizedTokenIssuers {
			given.Issuers = append(given.Issuers, identitycenter.TrustedIssuer{IssuerARN: i.TrustedTokenIssuerArn, Audiences: i.AuthorizedAudiences})
		}
	}
	if q.Grant.RefreshToken != nil {
		kinds = append(kinds, identitycenter.RefreshToken)
	}
	if q.Grant.TokenExchange != nil {
		kinds = append(kinds, identitycenter.TokenExchange)
	}
	if !slices.Equal(kinds, []string{q.GrantType}) {
		return nil, errors.New("the Grant must have exactly the one member that fits the GrantType")
	}
	return nil, s.center.PutGrant(q.ApplicationArn, q.GrantType, given)
}

// written is a grant as it is asked for.
func written(kind string, g identitycenter.Grant) any {
	switch kind {
	case identitycenter.AuthorizationCode:
		return map[string]any{"AuthorizationCode": map[string]any{"RedirectUris": g.RedirectURIs}}
	case identitycenter.JWTBearer:
		issuers := []authorizedIssuer{}
		for _, i := range g.Issuers {
			issuers = append(issuers, authorizedIssuer{i.IssuerARN, i.Audiences})
		}
		return map[string]any{"JwtBearer": map[string]any{"AuthorizedTokenIssuers": issuers}}
	case identitycenter.RefreshToken:
		return map[string]any{"RefreshToken": struct{}{}}
	}
	return map[string]any{"TokenExchange": struct{}{}}
}

func (s *Server) getGrant(q grantRequest) (any, error) {
	a, err := s.center.Application(q.ApplicationArn)
	if err != nil {
		return nil, err
	}
	found, has := a.Grants[q.GrantType]
	if !has {
		return nil, identitycenter.ErrNotFound
	}
	return map[string]any{"Grant": written(q.GrantType, found)}, nil
}

func (s *Server) listGrants(q applicationOnly) (any, error) {
	a, err := s.center.Application(q.ApplicationArn)
	if err != nil {
		return nil, err
	}
	all := []any{}
	for _, kind := range slices.Sorted(maps.Keys(a.Grants)) {
		all = append(all, map[string]any{"GrantType": kind, "Grant": written(kind, a.Grants[kind])})
	}
	return map[string]any{"Grants": all}, nil
}

func (s *Server) deleteGrant(q grantRequest) (any, error) {
	return nil, s.center.DeleteGrant(q.ApplicationArn, q.GrantType)
}

type methodRequest struct {
	ApplicationArn           string
	AuthenticationMethodType string
	AuthenticationMethod     struct {
		Iam *struct{ ActorPolicy json.RawMessage }
	}
	NextToken string
}

// actorPolicy is as much of a policy as says who may call CreateTokenWithIAM.
type actorPolicy struct {
	Version   string
	Statement []struct {
		Sid       string
		Effect    string
		Principal struct{ AWS awsjson.Texts }
		Action    awsjson.Texts
		Resource  awsjson.Texts
	}
}

func (p actorPolicy) actors() ([]string, error) {
	var actors []string
	for _, statement := range p.Statement {
		if statement.Effect != "Allow" || !slices.Equal(statement.Action, awsjson.Texts{"sso-oauth:CreateTokenWithIAM"}) {
			return nil, errors.New("the ActorPolicy: the twin knows statements that allow sso-oauth:CreateTokenWithIAM")
		}
		actors = append(actors, statement.Principal.AWS...)
	}
	if p.Version != "2012-10-17" || len(actors) == 0 {
		return nil, errors.New("the ActorPolicy: the Version 2012-10-17 and a Principal are needed")
	}
	return actors, nil
}

func (s *Server) putMethod(q methodRequest) (any, error) {
	if q.AuthenticationMethodType != "IAM" || q.AuthenticationMethod.Iam == nil {
		return nil, errors.New("the AuthenticationMethodType must be IAM")
	}
	document := q.AuthenticationMethod.Iam.ActorPolicy
	var policy actorPolicy
	if err := json.Unmarshal(document, &policy); err != nil {
		return nil, fmt.Errorf("the ActorPolicy: %w", err)
	}
	actors, err := policy.actors()
	if err != nil {
		return nil, err
	}
	return nil, s.center.Change(q.ApplicationArn, func(a *identitycenter.Application) error {
		a.Actors, a.Policy = actors, document
		return nil
	})
}

func (s *Server) getMethod(q methodRequest) (any, error) {
	a, err := s.center.Application(q.ApplicationArn)
	if err != nil {
		return nil, err
	}
	if a.Policy == nil || q.AuthenticationMethodType != "IAM" {
		return nil, identitycenter.ErrNotFound
	}
	return map[string]any{"AuthenticationMethod": iamMethod(a)}, nil
}

func iamMethod(a identitycenter.Application) any {
	return map[string]any{"Iam": map[string]any{"ActorPolicy": a.Policy}}
}

func (s *Server) listMethods(q applicationOnly) (any, error) {
	a, err := s.center.Application(q.ApplicationArn)
	if err != nil {
		return nil, err
	}
	all := []any{}
	if a.Policy != nil {
		all = append(all, map[string]any{"AuthenticationMethodType": "IAM", "AuthenticationMethod": iamMethod(a)})
	}
	return map[string]any{"AuthenticationMethods": all}, nil
}

func (s *Server) deleteMethod(q methodRequest) (any, error) {
	return nil, s.center.Change(q.ApplicationArn, func(a *identitycenter.Application) error {
		if len(a.Actors) == 0 || q.AuthenticationMethodType != "IAM" {
			return identitycenter.ErrNotFound
		}
		a.Actors, a.Policy = nil, nil
		return nil
	})
}

type scopeRequest struct {
	ApplicationArn    string
	Scope             string
	AuthorizedTargets []string
}

func (s *Server) putScope(q scopeRequest) (any, error) {
	if q.Scope == "" || len(q.AuthorizedTargets) > 10 {
		return nil, errors.New("the Scope is needed, and at most 10 AuthorizedTargets")
	}
	return nil, s.center.Change(q.ApplicationArn, func(a *identitycenter.Application) error {
		a.Scopes[q.Scope] = q.AuthorizedTargets
		return nil
	})
}

func (s *Server) getScope(q scopeRequest) (any, error) {
	a, err := s.center.Application(q.ApplicationArn)
	if err != nil {
		return nil, err
	}
	targets, found := a.Scopes[q.Scope]
	if !found {
		return nil, identitycenter.ErrNotFound
	}
	return map[string]any{"Scope": q.Scope, "AuthorizedTargets": targets}, nil
}

func (s *Server) listScopes(q applicationOnly) (any, error) {
	a, err := s.center.Application(q.ApplicationArn)
	if err != nil {
		return nil, err
	}
	all := []any{}
	for _, scope := range slices.Sorted(maps.Keys(a.Scopes)) {
		all = append(all, map[string]any{"Scope": scope, "AuthorizedTargets": a.Scopes[scope]})
	}
	return map[string]any{"Scopes": all}, nil
}

func (s *Server) deleteScope(q scopeRequest) (any, error) {
	return nil, s.center.Change(q.ApplicationArn, func(a *identitycenter.Application) error {
		if _, found := a.Scopes[q.Scope]; !found {
			return identitycenter.ErrNotFound
		}
		delete(a.Scopes, q.Scope)
		return nil
	})
}
