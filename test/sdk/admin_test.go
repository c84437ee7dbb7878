package sdk

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssoadmin"
	"github.com/aws/aws-sdk-go-v2/service/ssoadmin/document"
	admintypes "github.com/aws/aws-sdk-go-v2/service/ssoadmin/types"
	"github.com/aws/aws-sdk-go-v2/service/ssooidc"

	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/identitycenter"
	"github.com/shiftgrant/shiftgrant/twin/twintest"
)

// What a customer's administrator does by hand is enough for a gateway of another issuer.
func TestASetUpByTheAPIWorks(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	played := twintest.Start(t, twin.Config{})
	admin := ssoadmin.NewFromConfig(as(played, keys(twin.DeveloperKeys("admin"))))
	instances := must(admin.ListInstances(t.Context(), &ssoadmin.ListInstancesInput{}))(t)
	instance := instances.Instances[0].InstanceArn
	issuer := must(admin.CreateTrustedTokenIssuer(t.Context(), &ssoadmin.CreateTrustedTokenIssuerInput{
		InstanceArn: instance, Name: aws.String("gw"), TrustedTokenIssuerType: admintypes.TrustedTokenIssuerTypeOidcJwt,
		TrustedTokenIssuerConfiguration: &admintypes.TrustedTokenIssuerConfigurationMemberOidcJwtConfiguration{Value: admintypes.OidcJwtConfiguration{
			IssuerUrl: aws.String(g.URL), ClaimAttributePath: aws.String("email"), IdentityStoreAttributePath: aws.String("emails.value"), JwksRetrievalOption: admintypes.JwksRetrievalOptionOpenIdDiscovery,
		}},
	}))(t)
	made := must(admin.CreateApplication(t.Context(), &ssoadmin.CreateApplicationInput{InstanceArn: instance, Name: aws.String("gateway"), ApplicationProviderArn: aws.String(identitycenter.CustomApplication)}))(t)
	ask := func() error {
		_, err := ssooidc.NewFromConfig(as(played, keys(twin.GatewayKeys()))).CreateTokenWithIAM(t.Context(), &ssooidc.CreateTokenWithIAMInput{
			ClientId: made.ApplicationArn, GrantType: aws.String(jwtBearer), Assertion: g.assertion(t, "bob@example.com", map[string]any{"aud": "mine"}),
		})
		return err
	}
	refusedWith(t, "without an authentication method", ask(), "AccessDeniedException")
	var policy any
	if err := json.Unmarshal([]byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"`+twin.GatewayRoleARN+`"},"Action":"sso-oauth:CreateTokenWithIAM","Resource":"*"}]}`), &policy); err != nil {
		t.Fatal(err)
	}
	must(admin.PutApplicationAuthenticationMethod(t.Context(), &ssoadmin.PutApplicationAuthenticationMethodInput{
		ApplicationArn: made.ApplicationArn, AuthenticationMethodType: admintypes.AuthenticationMethodTypeIam,
		AuthenticationMethod: &admintypes.AuthenticationMethodMemberIam{Value: admintypes.IamAuthenticationMethod{ActorPolicy: document.NewLazyDocument(policy)}},
	}))(t)
	refusedWith(t, "without a grant", ask(), "UnauthorizedClientException")
	must(admin.PutApplicationGrant(t.Context(), &ssoadmin.PutApplicationGrantInput{
		ApplicationArn: made.ApplicationArn, GrantType: admintypes.GrantTypeJwtBearer,
		Grant: &admintypes.GrantMemberJwtBearer{Value: admintypes.JwtBearerGrant{AuthorizedTokenIssuers: []admintypes.AuthorizedTokenIssuer{
			{TrustedTokenIssuerArn: issuer.TrustedTokenIssuerArn, AuthorizedAudiences: []string{"mine"}},
		}}},
	}))(t)
	refusedWith(t, "without an assignment", ask(), "AccessDeniedException")
	must(admin.PutApplicationAssignmentConfiguration(t.Context(), &ssoadmin.PutApplicationAssignmentConfigurationInput{ApplicationArn: made.ApplicationArn, AssignmentRequired: aws.Bool(false)}))(t)
	must(admin.PutApplicationAccessScope(t.Context(), &ssoadmin.PutApplicationAccessScopeInput{ApplicationArn: made.ApplicationArn, Scope: aws.String(identitycenter.RedshiftScope), AuthorizedTargets: []string{twin.RedshiftApplicationARN}}))(t)
	refusedWith(t, "after all of it", ask(), "")
	readBack(t, admin, made.ApplicationArn, issuer.TrustedTokenIssuerArn)

	must(admin.DeleteApplication(t.Context(), &ssoadmin.DeleteApplicationInput{ApplicationArn: made.ApplicationArn}))(t)
	must(admin.DeleteTrustedTokenIssuer(t.Context(), &ssoadmin.DeleteTrustedTokenIssuerInput{TrustedTokenIssuerArn: issuer.TrustedTokenIssuerArn}))(t)
	_, err := admin.DescribeApplication(t.Context(), &ssoadmin.DescribeApplicationInput{ApplicationArn: made.ApplicationArn})
	var gone *admintypes.ResourceNotFoundException
	if !errors.As(err, &gone) {
		t.Errorf("a deleted application: %v", err)
	}
}

// readBack sees what was set.
func readBack(t *testing.T, admin *ssoadmin.Client, application, issuer *string) {
	t.Helper()
	described := must(admin.DescribeTrustedTokenIssuer(t.Context(), &ssoadmin.DescribeTrustedTokenIssuerInput{TrustedTokenIssuerArn: issuer}))(t)
	if c, ok := described.TrustedTokenIssuerConfiguration.(*admintypes.TrustedTokenIssuerConfigurationMemberOidcJwtConfiguration); !ok || *c.Value.ClaimAttributePath != "email" {
		t.Errorf("issuer %+v", described)
	}
	grants := must(admin.ListApplicationGrants(t.Context(), &ssoadmin.ListApplicationGrantsInput{ApplicationArn: application}))(t)
	if g, ok := grants.Grants[0].Grant.(*admintypes.GrantMemberJwtBearer); !ok || g.Value.AuthorizedTokenIssuers[0].AuthorizedAudiences[0] != "mine" {
		t.Errorf("grants %+v", grants.Grants)
	}
	if scopes := must(admin.ListApplicationAccessScopes(t.Context(), &ssoadmin.ListApplicationAccessScopesInput{ApplicationArn: application}))(t); *scopes.Scopes[0].Scope != identitycenter.RedshiftScope {
		t.Errorf("scopes %+v", scopes.Scopes)
	}
	methods := must(admin.ListApplicationAuthenticationMethods(t.Context(), &ssoadmin.ListApplicationAuthenticationMethodsInput{ApplicationArn: application}))(t)
	if m, ok := methods.AuthenticationMethods[0].AuthenticationMethod.(*admintypes.AuthenticationMethodMemberIam); !ok || m.Value.ActorPolicy == nil {
		t.Errorf("methods %+v", methods.AuthenticationMethods)
	}
	if a := must(admin.DescribeApplication(t.Context(), &ssoadmin.DescribeApplicationInput{ApplicationArn: application}))(t); a.Status != admintypes.ApplicationStatusEnabled || a.CreatedDate.IsZero() {
		t.Errorf("application %+v", a)
	}
	if a := must(admin.GetApplicationAssignmentConfiguration(t.Context(), &ssoadmin.GetApplicationAssignmentConfigurationInput{ApplicationArn: application}))(t); *a.AssignmentRequired {
		t.Error("an assignment is still required")
	}
}
