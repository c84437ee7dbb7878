package sdk

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/redshiftdata"

	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
	"github.com/shiftgrant/shiftgrant/twin/twintest"
)

// shell runs a script of AWS's CLI against the twin; its last line is given.
func shell(t *testing.T, played *twin.Twin, who sigv4.Credential, script string, variables map[string]string) (string, error) {
	t.Helper()
	run := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
	run.Env = append(
		os.Environ(), "AWS_ACCESS_KEY_ID="+who.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+who.SecretAccessKey, "AWS_DEFAULT_REGION="+twin.Region,
		"AWS_ENDPOINT_URL="+played.URL(), "AWS_PAGER=", "AWS_MAX_ATTEMPTS=1", "AWS_CONFIG_FILE="+filepath.Join(t.TempDir(), "none"),
	)
	for name, value := range variables {
		run.Env = append(run.Env, name+"="+value)
	}
	output, err := run.CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	if err != nil {
		return string(output), err
	}
	return lines[len(lines)-1], nil
}

// What a customer is told to run, from nothing to an identity context, and back to nothing. The SQL
// between is in the test.
const setUp = `
IDP=$(aws iam create-open-id-connect-provider --url "$GATEWAY" --client-id-list redshift-gateway --query OpenIDConnectProviderArn --output text)
aws iam create-role --role-name gw --max-session-duration 3600 --assume-role-policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
  "Principal":{"Federated":"'$IDP'"},"Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession","sts:SetSourceIdentity"],
  "Condition":{"StringEquals":{"'${GATEWAY#http://}':aud":"redshift-gateway"}}}]}' --query Role.Arn --output text
aws iam create-role --role-name idc --assume-role-policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
  "Principal":{"Service":["redshift.amazonaws.com","redshift-serverless.amazonaws.com"]},"Action":["sts:AssumeRole","sts:SetContext"]}]}' --query Role.Arn --output text
aws iam create-role --role-name people --assume-role-policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
  "Principal":{"AWS":"arn:aws:iam::123456789012:role/gw"},"Action":["sts:AssumeRole","sts:SetContext"]}]}' --query Role.Arn --output text
aws iam put-role-policy --role-name people --policy-name redshift --policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
  "Action":["redshift-data:ExecuteStatement","redshift-data:DescribeStatement","redshift-data:GetStatementResult"],"Resource":"*"}]}'
INSTANCE=$(aws sso-admin list-instances --query 'Instances[0].InstanceArn' --output text)
TTI=$(aws sso-admin create-trusted-token-issuer --instance-arn $INSTANCE --name gw --trusted-token-issuer-type OIDC_JWT \
  --trusted-token-issuer-configuration '{"OidcJwtConfiguration":{"IssuerUrl":"'$GATEWAY'","ClaimAttributePath":"email","IdentityStoreAttributePath":"emails.value","JwksRetrievalOption":"OPEN_ID_DISCOVERY"}}' \
  --query TrustedTokenIssuerArn --output text)
MADE=$(aws redshift create-redshift-idc-application --idc-instance-arn $INSTANCE --redshift-idc-application-name redshift-acme --identity-namespace awsidc \
  --idc-display-name Redshift --iam-role-arn arn:aws:iam::123456789012:role/idc \
  --authorized-token-issuer-list TrustedTokenIssuerArn=$TTI,AuthorizedAudiencesList=redshift-gateway --query 'RedshiftIdcApplication.[RedshiftIdcApplicationArn,IdcManagedApplicationArn]' --output text)
read -r REDSHIFT MANAGED <<<"$MADE"
APP=$(aws sso-admin create-application --instance-arn $INSTANCE --name redshift-gateway --application-provider-arn arn:aws:sso::aws:applicationProvider/custom --query ApplicationArn --output text)
aws sso-admin put-application-authentication-method --application-arn $APP --authentication-method-type IAM --authentication-method \
  '{"Iam":{"ActorPolicy":{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:role/gw"},"Action":"sso-oauth:CreateTokenWithIAM","Resource":"*"}]}}}'
aws sso-admin put-application-grant --application-arn $APP --grant-type urn:ietf:params:oauth:grant-type:jwt-bearer \
  --grant '{"JwtBearer":{"AuthorizedTokenIssuers":[{"TrustedTokenIssuerArn":"'$TTI'","AuthorizedAudiences":["redshift-gateway"]}]}}'
aws sso-admin put-application-access-scope --application-arn $APP --scope redshift:connect --authorized-targets $MANAGED
aws sso-admin put-application-assignment-configuration --application-arn $APP --no-assignment-required
printf '{"provider":"%s","issuer":"%s","redshift":"%s","managed":"%s","application":"%s"}\n' $IDP $TTI $REDSHIFT $MANAGED $APP
`

const chain = `
keys() { read -r AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN; export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN; }
KEYS='Credentials.[AccessKeyId,SecretAccessKey,SessionToken]'
keys < <(aws sts assume-role-with-web-identity --role-arn arn:aws:iam::123456789012:role/gw --role-session-name gateway --web-identity-token "$TOKEN" --query "$KEYS" --output text)
CONTEXT=$(aws sso-oidc create-token-with-iam --client-id $APP --grant-type urn:ietf:params:oauth:grant-type:jwt-bearer --assertion "$TOKEN" --query awsAdditionalDetails.identityContext --output text)
keys < <(aws sts assume-role --role-arn arn:aws:iam::123456789012:role/people --role-session-name ann \
  --provided-contexts ProviderArn=arn:aws:iam::aws:contextProvider/IdentityCenter,ContextAssertion="$CONTEXT" --query "$KEYS" --output text)
ID=$(aws redshift-data execute-statement --cluster-identifier tickit --database dev --sql 'select current_user from tickit.venue limit 1' --query Id --output text)
until [ "$(aws redshift-data describe-statement --id $ID --query Status --output text)" = FINISHED ]; do :; done
aws redshift-data get-statement-result --id $ID --query 'Records[0][0].stringValue' --output text
`

const tearDown = `
aws sso-admin delete-application --application-arn $APP
aws redshift delete-redshift-idc-application --redshift-idc-application-arn $REDSHIFT
aws sso-admin delete-trusted-token-issuer --trusted-token-issuer-arn $TTI
aws iam delete-role-policy --role-name people --policy-name redshift
for role in gw idc people; do aws iam delete-role --role-name $role; done
aws iam delete-open-id-connect-provider --open-id-connect-provider-arn $IDP
aws iam list-open-id-connect-providers --query "contains(OpenIDConnectProviderList[].Arn, '$IDP')"
`

func TestASetUpByAWSsCLILeadsToAPerson(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	played := twintest.Start(t, twin.Config{})
	before := account(played)
	admin := twin.DeveloperKeys("admin")
	last, err := shell(t, played, admin, setUp, map[string]string{"GATEWAY": g.URL})
	if err != nil {
		t.Fatalf("%v: %s", err, last)
	}
	var made struct{ Provider, Issuer, Redshift, Managed, Application string }
	if err := json.Unmarshal([]byte(last), &made); err != nil {
		t.Fatalf("%v: %s", err, last)
	}
	for _, sql := range []string{
		`DROP IDENTITY PROVIDER idc CASCADE`,
		`CREATE IDENTITY PROVIDER "acme" TYPE AWSIDC NAMESPACE 'awsidc' APPLICATION_ARN '` + made.Managed + `' IAM_ROLE 'arn:aws:iam::123456789012:role/idc'`,
		`CREATE ROLE "awsidc:analysts"`,
		`GRANT USAGE ON SCHEMA tickit TO ROLE "awsidc:analysts"`,
		`GRANT SELECT FOR TABLES IN SCHEMA tickit TO ROLE "awsidc:analysts"`,
	} {
		if _, err := statement(t, played, keys(admin), redshiftdata.ExecuteStatementInput{DbUser: aws.String("admin"), Sql: aws.String(sql)}); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	user, err := shell(t, played, admin, chain, map[string]string{"APP": made.Application, "TOKEN": *g.assertion(t, "bob@example.com", nil)})
	if err != nil || user != "awsidc:bob@example.com" {
		t.Errorf("the chain ends as %s, %v", user, err)
	}
	user, err = login(t, played, *g.assertion(t, "alice@example.com", nil), map[string]string{"idp_type": "AwsIdc", "token_type": "EXT_JWT"})
	if err != nil || user != "awsidc:alice@example.com" {
		t.Errorf("Redshift's port knows %s, %v", user, err)
	}
	left, err := shell(t, played, admin, tearDown, map[string]string{"APP": made.Application, "REDSHIFT": made.Redshift, "TTI": made.Issuer, "IDP": made.Provider})
	if err != nil || left != "false" {
		t.Errorf("the tear-down ends with %s, %v", left, err)
	}
	if after := account(played); !slices.Equal(before, after) {
		t.Errorf("the tear-down leaves %q where there was %q", after, before)
	}
}

// account is what a set-up adds to and a tear-down takes away from; the twin starts with some of each.
func account(played *twin.Twin) (names []string) {
	for _, p := range played.STS.Providers() {
		names = append(names, p.URL)
	}
	for _, r := range played.STS.Roles() {
		names = append(names, r.Name)
	}
	for _, i := range played.Center.Issuers() {
		names = append(names, i.ARN)
	}
	for _, a := range played.Center.Applications() {
		names = append(names, a.ARN)
	}
	return names
}
