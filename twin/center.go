package twin

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/shiftgrant/shiftgrant/twin/controlplane"
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

// databaseUser is the name that Redshift gives to somebody from Identity Center.
func databaseUser(userName string) string { return IdentityNamespace + ":" + userName }

// addUsers makes the database users that identity providers bring, with the rights of the people
// who they are, and the one whose password is in a secret.
func addUsers(ctx context.Context, database *postgres.Server) error {
	if err := database.AddUser(ctx, ServiceUser, "shared"); err != nil {
		return err
	}
	for _, p := range people {
		for _, name := range []string{databaseUser(p.Email), EntraNamespace + ":" + p.Email, EntraNamespace + ":" + p.Username} {
			if err := database.AddUser(ctx, name, p.Username); err != nil {
				return fmt.Errorf("add database user %s: %w", name, err)
			}
		}
	}
	return nil
}

// What Redshift says about tokens of Identity Center.
const (
	spentToken = "Token credentials expired or invalid."
	wrongType  = "TYPE_INVALID_TOKEN"
	wrongScope = "Invalid scope. User's credentials are not authorized to connect to Amazon Redshift. Verify your AWS IdC configuration and try again."
)

// byToken says who logs in to Redshift's port with a token.
func byToken(center *identitycenter.Center, passwords *controlplane.Server, native *native) func(context.Context, string, map[string]string) (string, error) {
	return func(ctx context.Context, token string, parameters map[string]string) (string, error) {
		switch parameters["idp_type"] {
		case "AwsIdc":
		case "AzureAD":
			return native.check(ctx, token, parameters["identity_namespace"])
		default:
			return "", &wire.Denial{Message: fmt.Sprintf("identity provider type %q is not supported", parameters["idp_type"])}
		}
		if asked := parameters["identity_namespace"]; asked != "" && !strings.EqualFold(asked, IdentityNamespace) {
			return "", &wire.Denial{Message: "AWS IdC identity provider does not exist", Detail: "the namespace is " + IdentityNamespace}
		}
		switch parameters["token_type"] {
		case "EXT_JWT":
			person, err := center.TrustForRedshift(ctx, token)
			return databaseUser(person.UserName), refusedToken(err)
		case "ACCESS_TOKEN":
			person, mayConnect, err := center.Holder(token)
			if err == nil && !mayConnect {
				return "", &wire.Denial{Message: wrongScope}
			}
			return databaseUser(person.UserName), refusedToken(err)
		case "SUBJECT_TOKEN":
			name, err := passwords.CheckToken(token, Cluster, Workgroup)
			if err != nil {
				return "", &wire.Denial{Message: spentToken, Detail: err.Error()}
			}
			return databaseUser(name), nil
		}
		return "", &wire.Denial{Message: wrongType, Detail: "token_type is EXT_JWT, ACCESS_TOKEN or SUBJECT_TOKEN"}
	}
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
