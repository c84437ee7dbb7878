package twin

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/shiftgrant/shiftgrant/twin/identitycenter"
	"github.com/shiftgrant/shiftgrant/twin/postgres"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
	"github.com/shiftgrant/shiftgrant/twin/sts"
	"github.com/shiftgrant/shiftgrant/twin/wire"
)

// newCenter plays the Identity Center in which somebody ran the gateway's set-up: it has the same
// people as the IdP, trusts the gateway's tokens, and has two applications that take them.
func newCenter(config Config) (*identitycenter.Center, error) {
	var store []identitycenter.Person
	for _, p := range people {
		store = append(store, identitycenter.Person{UserID: "9067642ac7-" + strings.TrimPrefix(p.Subject, "idp|"), UserName: p.Email, Email: p.Email, Groups: p.Groups})
	}
	center, err := identitycenter.New(identitycenter.Config{Account: Account, Region: Region, People: store, Logger: config.Logger, Now: config.Now})
	if err != nil {
		return nil, err
	}
	own, err := center.CreateApplication(identitycenter.CustomApplication, "shiftgrant", "the gateway")
	if err != nil {
		return nil, err
	}
	redshift, err := center.CreateApplication(identitycenter.RedshiftApplication, "redshift-"+Cluster, "Redshift itself")
	if err != nil {
		return nil, err
	}
	for _, arn := range []string{own.ARN, redshift.ARN} {
		if err := center.Change(arn, func(a *identitycenter.Application) error {
			a.AssignmentRequired = false
			if a.Provider == identitycenter.CustomApplication {
				a.Actors = []string{GatewayRoleARN}
			}
			a.Scopes[identitycenter.RedshiftScope] = []string{redshift.ARN}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return center, grantTo(center, config.Issuer, own.ARN, redshift.ARN)
}

// grantTo lets both applications take the gateway's tokens, if there is a gateway.
func grantTo(center *identitycenter.Center, gateway, own, redshift string) error {
	if gateway == "" {
		return nil
	}
	issuer, err := center.CreateIssuer(identitycenter.Issuer{Name: "shiftgrant", URL: gateway, ClaimPath: "email", StorePath: "emails.value"})
	if err != nil {
		return err
	}
	takes := func(audiences ...string) identitycenter.Grant {
		return identitycenter.Grant{Issuers: []identitycenter.TrustedIssuer{{IssuerARN: issuer.ARN, Audiences: audiences}}}
	}
	return errors.Join(
		center.PutGrant(own, identitycenter.JWTBearer, takes(Audience, IdentityCenterAudience)),
		center.PutGrant(own, identitycenter.RefreshToken, identitycenter.Grant{}),
		center.PutGrant(redshift, identitycenter.JWTBearer, takes(IdentityCenterAudience)),
	)
}

// openContext tells STS on whose behalf a context lets a session act.
func openContext(center *identitycenter.Center) func(string) (*sigv4.Person, error) {
	return func(assertion string) (*sigv4.Person, error) {
		person, err := center.Context(assertion)
		if errors.Is(err, identitycenter.ErrContextExpired) {
			return nil, sts.ErrContextExpired
		}
		return person, err
	}
}

// What Redshift says about tokens of Identity Center.
const (
	spentToken = "Token credentials expired or invalid."
	wrongType  = "TYPE_INVALID_TOKEN"
	wrongScope = "Invalid scope. User's credentials are not authorized to connect to Amazon Redshift. Verify your AWS IdC configuration and try again."
)

// byToken says who logs in to Redshift's port with a token.
func (t *Twin) byToken(ctx context.Context, token string, parameters map[string]string) (string, error) {
	kind, known := map[string]string{"AwsIdc": postgres.AWSIDC, "AzureAD": postgres.Azure}[parameters["idp_type"]]
	if !known {
		return "", &wire.Denial{Message: fmt.Sprintf("identity provider type %q is not supported", parameters["idp_type"])}
	}
	providers, err := t.providers(ctx, kind, parameters)
	if err != nil {
		return "", err
	}
	if kind == postgres.Azure {
		return t.native.check(ctx, token, providers[0])
	}
	switch parameters["token_type"] {
	case "EXT_JWT":
		provider := takes(t.Center, providers, token)
		person, err := t.Center.Trust(ctx, provider.Application, token)
		return provider.Namespace + ":" + person.UserName, refusedToken(err)
	case "ACCESS_TOKEN":
		person, mayConnect, err := t.Center.Holder(token)
		if err == nil && !mayConnect {
			return "", &wire.Denial{Message: wrongScope}
		}
		return providers[0].Namespace + ":" + person.UserName, refusedToken(err)
	case "SUBJECT_TOKEN":
		name, err := t.Passwords.CheckToken(token, Cluster, Workgroup)
		if err != nil {
			return "", &wire.Denial{Message: spentToken, Detail: err.Error()}
		}
		return providers[0].Namespace + ":" + name, nil
	}
	return "", &wire.Denial{Message: wrongType, Detail: "token_type is EXT_JWT, ACCESS_TOKEN or SUBJECT_TOKEN"}
}

// providers are the database's identity providers of a type that a client may mean: at least one.
func (t *Twin) providers(ctx context.Context, kind string, parameters map[string]string) ([]postgres.IdentityProvider, error) {
	all, err := t.Postgres.IdentityProviders(ctx)
	if err != nil {
		return nil, err
	}
	namespace, name := parameters["identity_namespace"], parameters["provider_name"]
	var meant []postgres.IdentityProvider
	var namespaces []string
	for _, p := range all {
		if p.Type != kind {
			continue
		}
		namespaces = append(namespaces, p.Namespace)
		if (namespace == "" || strings.EqualFold(namespace, p.Namespace)) && (name == "" || strings.EqualFold(name, p.Name)) {
			meant = append(meant, p)
		}
	}
	if len(meant) > 0 {
		return meant, nil
	}
	called := map[string]string{postgres.AWSIDC: "AWS IdC", postgres.Azure: "Azure"}[kind]
	return nil, &wire.Denial{Message: called + " identity provider does not exist", Detail: fmt.Sprintf("the namespaces are %q", namespaces)}
}

// takes is the provider whose application takes the tokens of a token's issuer; if none does, the last
// one, which says why.
func takes(center *identitycenter.Center, providers []postgres.IdentityProvider, token string) postgres.IdentityProvider {
	for _, p := range providers {
		if center.Takes(p.Application, token) == nil {
			return p
		}
	}
	return providers[len(providers)-1]
}

// refusedToken words the instance's no as Redshift does where that is known, and else with the
// instance's own words.
func refusedToken(err error) error {
	refused, ok := errors.AsType[*identitycenter.Refusal](err)
	if !ok {
		return err
	}
	if refused.Reason == identitycenter.ExpiredToken || strings.Contains(refused.Message, "exchanged before") {
		return &wire.Denial{Message: spentToken, Detail: refused.Message}
	}
	return &wire.Denial{Message: "Identity Center: " + refused.Message}
}
