#!/bin/sh
# What the warehouse sales needs so that people reach it through https://grants.example.com
# (chain identity_center), by the AWS CLI. It makes:
#
#   the role shiftgrant-redshift: Redshift, when it asks Identity Center
#   in Identity Center: the trusted token issuer shiftgrant-grants-example-com, and Redshift's application
#
# Run it as an administrator. It may be run again: what is there already is brought to this state.
# shellcheck disable=SC2016 # what looks like a variable in a policy is IAM's
set -eu
export AWS_REGION=eu-central-1 AWS_DEFAULT_REGION=eu-central-1 AWS_PAGER=

# Where Identity Center is administered from another account than the warehouse, name a profile of the
# AWS CLI for each: CENTER=… WAREHOUSE=… sh this-file
center() { aws ${CENTER:+--profile "$CENTER"} "$@"; }
warehouse() { aws ${WAREHOUSE:+--profile "$WAREHOUSE"} "$@"; }

# What IAM has just made is not known everywhere at once.
again() { for pause in 1 2 4 8 16; do "$@" 2>/dev/null && return; sleep $pause; done; "$@"; }

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

cat <<END
Done. What is left:
- in the warehouse, as its administrator, what this prints:
    shiftgrant setup sales --as sql --schema SCHEMA --group GROUP --redshift-application $managed --redshift-role $redshift_role
- see that it holds:
    shiftgrant doctor sales --as NAME --email ADDRESS
END

# To remove all of it again, run the rest of this file without the "# " before each line.
#
# #!/bin/sh
# # Take away what `shiftgrant setup sales --as cli` made. Nobody comes by it from then on;
# # sessions that are open end within the hour. What is gone already, and a role that another warehouse
# # uses too, is passed over with a complaint.
# set -u
# export AWS_REGION=eu-central-1 AWS_DEFAULT_REGION=eu-central-1 AWS_PAGER=
# center() { aws ${CENTER:+--profile "$CENTER"} "$@"; }
# warehouse() { aws ${WAREHOUSE:+--profile "$WAREHOUSE"} "$@"; }
# instance=$(center sso-admin list-instances --query 'Instances[0].InstanceArn' --output text)
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
# fi
