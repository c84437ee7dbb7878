#!/bin/sh
# What the warehouse sales needs so that people reach it through https://grants.example.com
# (chain identity_center, AWS account 123456789012), by the AWS CLI. It makes:
#
#   an OIDC provider in IAM: https://grants.example.com, for the audience redshift-gateway
#   the role shiftgrant-redshift: Redshift, when it asks Identity Center
#   the role shiftgrant-gateway: the gateway itself
#   the role shiftgrant-people: people's sessions
#   in Identity Center: the trusted token issuer shiftgrant-grants-example-com, and Redshift's application
#   in Identity Center: the application shiftgrant-sales, at which the gateway exchanges assertions
#
# Run it as an administrator. It may be run again: what is there already is brought to this state.
# shellcheck disable=SC2016 # what looks like a variable in a policy is IAM's
set -eu
export AWS_REGION=eu-central-1 AWS_DEFAULT_REGION=eu-central-1 AWS_PAGER=

# Where Identity Center is administered from another account than the warehouse, name a profile of the
# AWS CLI for each: CENTER=… WAREHOUSE=… sh this-file
center() { aws ${CENTER:+--profile "$CENTER"} "$@"; }
warehouse() { aws ${WAREHOUSE:+--profile "$WAREHOUSE"} "$@"; }

account=$(warehouse sts get-caller-identity --query Account --output text)
[ "$account" = 123456789012 ] || { echo "this is for AWS account 123456789012, and the credentials are of $account" >&2; exit 1; }

# What IAM has just made is not known everywhere at once.
again() { for pause in 1 2 4 8 16; do "$@" 2>/dev/null && return; sleep $pause; done; "$@"; }

# The account takes assertions of https://grants.example.com, for one audience.
provider=arn:aws:iam::123456789012:oidc-provider/grants.example.com
warehouse iam get-open-id-connect-provider --open-id-connect-provider-arn "$provider" >/dev/null 2>&1 ||
  warehouse iam create-open-id-connect-provider --url 'https://grants.example.com' --client-id-list 'redshift-gateway' >/dev/null
warehouse iam add-client-id-to-open-id-connect-provider --open-id-connect-provider-arn "$provider" --client-id 'redshift-gateway'

# Redshift, when it asks Identity Center.
trust='{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Principal": {"Service": ["redshift.amazonaws.com", "redshift-serverless.amazonaws.com"]}, "Action": ["sts:AssumeRole", "sts:SetContext"]}
]}'
warehouse iam get-role --role-name shiftgrant-redshift >/dev/null 2>&1 ||
  again warehouse iam create-role --role-name shiftgrant-redshift --max-session-duration 3600 --assume-role-policy-document "$trust" >/dev/null
again warehouse iam update-assume-role-policy --role-name shiftgrant-redshift --policy-document "$trust"
warehouse iam put-role-policy --role-name shiftgrant-redshift --policy-name identity-center --policy-document '{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": ["sso:DescribeApplication", "sso:DescribeInstance"], "Resource": ["*"]}
]}'

# The gateway itself.
trust='{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Principal": {"Federated": "arn:aws:iam::123456789012:oidc-provider/grants.example.com"}, "Action": ["sts:AssumeRoleWithWebIdentity"], "Condition": {"StringEquals": {"grants.example.com:aud": "redshift-gateway", "grants.example.com:sub": "shiftgrant-gateway"}}}
]}'
warehouse iam get-role --role-name shiftgrant-gateway >/dev/null 2>&1 ||
  again warehouse iam create-role --role-name shiftgrant-gateway --max-session-duration 3600 --assume-role-policy-document "$trust" >/dev/null
again warehouse iam update-assume-role-policy --role-name shiftgrant-gateway --policy-document "$trust"

# People's sessions.
trust='{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:role/shiftgrant-gateway"}, "Action": ["sts:AssumeRole", "sts:SetContext"]}
]}'
warehouse iam get-role --role-name shiftgrant-people >/dev/null 2>&1 ||
  again warehouse iam create-role --role-name shiftgrant-people --max-session-duration 3600 --assume-role-policy-document "$trust" >/dev/null
again warehouse iam update-assume-role-policy --role-name shiftgrant-people --policy-document "$trust"
warehouse iam put-role-policy --role-name shiftgrant-people --policy-name shiftgrant-sales --policy-document '{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": ["redshift-data:ExecuteStatement"], "Resource": ["arn:aws:redshift:eu-central-1:123456789012:cluster:sales-prod"]},
  {"Effect": "Allow", "Action": ["redshift-data:DescribeStatement", "redshift-data:GetStatementResult", "redshift-data:CancelStatement"], "Resource": ["*"], "Condition": {"StringEquals": {"redshift-data:statement-owner-iam-userid": "${aws:userid}"}}}
]}'

# Identity Center takes assertions of https://grants.example.com: its people are told apart by e-mail address.
instance=$(center sso-admin list-instances --query 'Instances[0].InstanceArn' --output text)
[ "$instance" != None ] || { echo "these credentials see no instance of Identity Center in eu-central-1" >&2; exit 1; }
issuer=$(center sso-admin list-trusted-token-issuers --instance-arn "$instance" --query "TrustedTokenIssuers[?Name=='shiftgrant-grants-example-com'].TrustedTokenIssuerArn | [0]" --output text)
[ "$issuer" != None ] || issuer=$(center sso-admin create-trusted-token-issuer --instance-arn "$instance" --name shiftgrant-grants-example-com \
  --trusted-token-issuer-type OIDC_JWT --query TrustedTokenIssuerArn --output text --trusted-token-issuer-configuration \
  '{"OidcJwtConfiguration":{"ClaimAttributePath":"email","IdentityStoreAttributePath":"emails.value","IssuerUrl":"https://grants.example.com","JwksRetrievalOption":"OPEN_ID_DISCOVERY"}}')
of=$(center sso-admin describe-trusted-token-issuer --trusted-token-issuer-arn "$issuer" --query TrustedTokenIssuerConfiguration.OidcJwtConfiguration.IssuerUrl --output text)
[ "$of" = 'https://grants.example.com' ] || { echo "the trusted token issuer shiftgrant-grants-example-com is of $of, which is somebody else: rename it" >&2; exit 1; }

# Redshift's own application in Identity Center, which takes the assertions on the warehouse's port.
redshift_role=$(warehouse iam get-role --role-name shiftgrant-redshift --query Role.Arn --output text)
redshift=$(warehouse redshift describe-redshift-idc-applications --query "RedshiftIdcApplications[?IdentityNamespace=='awsidc'].RedshiftIdcApplicationArn | [0]" --output text)
if [ "$redshift" = None ]; then
  create() { redshift=$(warehouse redshift create-redshift-idc-application --idc-instance-arn "$instance" --redshift-idc-application-name shiftgrant \
    --identity-namespace 'awsidc' --idc-display-name Redshift --iam-role-arn "$redshift_role" \
    --authorized-token-issuer-list "TrustedTokenIssuerArn=$issuer,AuthorizedAudiencesList=redshift-gateway" \
    --query RedshiftIdcApplication.RedshiftIdcApplicationArn --output text); }
  again create
else
  there=$(warehouse redshift describe-redshift-idc-applications --redshift-idc-application-arn "$redshift" --output text --query \
    "RedshiftIdcApplications[0].AuthorizedTokenIssuerList[].join('', ['TrustedTokenIssuerArn=', TrustedTokenIssuerArn, ',AuthorizedAudiencesList=', join(',', AuthorizedAudiencesList)])")
  [ "$there" != None ] || there=
  case "$there" in
  *"$issuer"*) ;;
  *) # shellcheck disable=SC2086 # the list is meant to be split
    warehouse redshift modify-redshift-idc-application --redshift-idc-application-arn "$redshift" \
      --authorized-token-issuer-list $there "TrustedTokenIssuerArn=$issuer,AuthorizedAudiencesList=redshift-gateway" >/dev/null ;;
  esac
fi
managed=$(warehouse redshift describe-redshift-idc-applications --redshift-idc-application-arn "$redshift" --query 'RedshiftIdcApplications[0].IdcManagedApplicationArn' --output text)

# The gateway's application, at which it exchanges an assertion for a person's context. Everybody in
# Identity Center may come: who may read what is the warehouse's to say.
application=$(center sso-admin list-applications --instance-arn "$instance" --query "Applications[?Name=='shiftgrant-sales'].ApplicationArn | [0]" --output text)
[ "$application" != None ] || application=$(center sso-admin create-application --instance-arn "$instance" --name shiftgrant-sales \
  --application-provider-arn arn:aws:sso::aws:applicationProvider/custom --query ApplicationArn --output text)
again center sso-admin put-application-authentication-method --application-arn "$application" --authentication-method-type IAM --authentication-method \
  '{"Iam":{"ActorPolicy":{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:role/shiftgrant-gateway"},"Action":["sso-oauth:CreateTokenWithIAM"],"Resource":["*"]}]}}}'
center sso-admin put-application-grant --application-arn "$application" --grant-type urn:ietf:params:oauth:grant-type:jwt-bearer --grant \
  '{"JwtBearer":{"AuthorizedTokenIssuers":[{"TrustedTokenIssuerArn":"'"$issuer"'","AuthorizedAudiences":["redshift-gateway"]}]}}'
center sso-admin put-application-access-scope --application-arn "$application" --scope redshift:connect --authorized-targets "$managed"
center sso-admin put-application-assignment-configuration --application-arn "$application" --no-assignment-required

# What the gateway itself may do names the application.
warehouse iam put-role-policy --role-name shiftgrant-gateway --policy-name shiftgrant-sales --policy-document '{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": ["sso-oauth:CreateTokenWithIAM"], "Resource": ["'"$application"'"]},
  {"Effect": "Allow", "Action": ["sts:AssumeRole", "sts:SetContext"], "Resource": ["arn:aws:iam::123456789012:role/shiftgrant-people"]}
]}'

cat <<END
Done. What is left:

- in the gateway's configuration, under identity of the warehouse sales:
    application: $application
- in the warehouse, as its administrator, what this prints:
    shiftgrant setup sales --as sql --schema SCHEMA --group GROUP --redshift-application $managed --redshift-role $redshift_role
- see that it holds:
    shiftgrant doctor sales --as NAME --email ADDRESS
END

# To remove all of it again, run the rest of this file without the "# " before each line.
#
# #!/bin/sh
# # Take away what `shiftgrant setup sales --as cli` made in AWS account 123456789012. Nobody comes by it from then on;
# # sessions that are open end within the hour. What is gone already, and a role that another warehouse
# # uses too, is passed over with a complaint.
# set -u
# export AWS_REGION=eu-central-1 AWS_DEFAULT_REGION=eu-central-1 AWS_PAGER=
# center() { aws ${CENTER:+--profile "$CENTER"} "$@"; }
# warehouse() { aws ${WAREHOUSE:+--profile "$WAREHOUSE"} "$@"; }
# instance=$(center sso-admin list-instances --query 'Instances[0].InstanceArn' --output text)
# application=$(center sso-admin list-applications --instance-arn "$instance" --query "Applications[?Name=='shiftgrant-sales'].ApplicationArn | [0]" --output text)
# [ "$application" = None ] || center sso-admin delete-application --application-arn "$application"
# warehouse iam delete-role-policy --role-name shiftgrant-gateway --policy-name shiftgrant-sales
# warehouse iam delete-role --role-name shiftgrant-gateway
# warehouse iam delete-role-policy --role-name shiftgrant-people --policy-name shiftgrant-sales
# warehouse iam delete-role --role-name shiftgrant-people
#
# # Other warehouses may be reached by these. Where there is none: ALL=yes sh this-file
# if [ "${ALL:-no}" = yes ]; then
#   issuer=$(center sso-admin list-trusted-token-issuers --instance-arn "$instance" --query "TrustedTokenIssuers[?Name=='shiftgrant-grants-example-com'].TrustedTokenIssuerArn | [0]" --output text)
#   redshift=$(warehouse redshift describe-redshift-idc-applications --query "RedshiftIdcApplications[?RedshiftIdcApplicationName=='shiftgrant'].RedshiftIdcApplicationArn | [0]" --output text)
#   if [ "$redshift" != None ]; then
#     warehouse redshift delete-redshift-idc-application --redshift-idc-application-arn "$redshift"
#   else # one that was there before is not ours to delete: it goes on without the issuer
#     redshift=$(warehouse redshift describe-redshift-idc-applications --query "RedshiftIdcApplications[?IdentityNamespace=='awsidc'].RedshiftIdcApplicationArn | [0]" --output text)
#     left=$(warehouse redshift describe-redshift-idc-applications --redshift-idc-application-arn "$redshift" --output text --query \
#       "RedshiftIdcApplications[0].AuthorizedTokenIssuerList[?TrustedTokenIssuerArn!='$issuer'].join('', ['TrustedTokenIssuerArn=', TrustedTokenIssuerArn, ',AuthorizedAudiencesList=', join(',', AuthorizedAudiencesList)])")
#     [ "$left" != None ] && [ -n "$left" ] || left='[]'
#     # shellcheck disable=SC2086 # the list is meant to be split
#     warehouse redshift modify-redshift-idc-application --redshift-idc-application-arn "$redshift" --authorized-token-issuer-list $left >/dev/null
#   fi
#   [ "$issuer" = None ] || center sso-admin delete-trusted-token-issuer --trusted-token-issuer-arn "$issuer"
#   warehouse iam delete-role-policy --role-name shiftgrant-redshift --policy-name identity-center
#   warehouse iam delete-role --role-name shiftgrant-redshift
#   warehouse iam delete-open-id-connect-provider --open-id-connect-provider-arn arn:aws:iam::123456789012:oidc-provider/grants.example.com
# fi
