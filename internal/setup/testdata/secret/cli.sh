#!/bin/sh
# What the warehouse sales needs so that people reach it through https://grants.example.com
# (chain secret, AWS account 123456789012), by the AWS CLI. It makes:
#
#   an OIDC provider in IAM: https://grants.example.com, for the audience redshift-gateway
#   the role shiftgrant-gateway: the gateway itself
#   the secret shiftgrant/sales in Secrets Manager
#
# Run it as an administrator. It may be run again: what is there already is brought to this state.
# shellcheck disable=SC2016 # what looks like a variable in a policy is IAM's
set -eu
export AWS_REGION=eu-central-1 AWS_DEFAULT_REGION=eu-central-1 AWS_PAGER=

account=$(aws sts get-caller-identity --query Account --output text)
[ "$account" = 123456789012 ] || { echo "this is for AWS account 123456789012, and the credentials are of $account" >&2; exit 1; }

# What IAM has just made is not known everywhere at once.
again() { for pause in 1 2 4 8 16; do "$@" 2>/dev/null && return; sleep $pause; done; "$@"; }

# The account takes assertions of https://grants.example.com, for one audience.
provider=arn:aws:iam::123456789012:oidc-provider/grants.example.com
aws iam get-open-id-connect-provider --open-id-connect-provider-arn "$provider" >/dev/null 2>&1 ||
  aws iam create-open-id-connect-provider --url 'https://grants.example.com' --client-id-list 'redshift-gateway' >/dev/null
aws iam add-client-id-to-open-id-connect-provider --open-id-connect-provider-arn "$provider" --client-id 'redshift-gateway'

# The gateway itself.
trust='{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Principal": {"Federated": "arn:aws:iam::123456789012:oidc-provider/grants.example.com"}, "Action": ["sts:AssumeRoleWithWebIdentity"], "Condition": {"StringEquals": {"grants.example.com:aud": "redshift-gateway", "grants.example.com:sub": "shiftgrant-gateway"}}}
]}'
aws iam get-role --role-name shiftgrant-gateway >/dev/null 2>&1 ||
  again aws iam create-role --role-name shiftgrant-gateway --max-session-duration 3600 --assume-role-policy-document "$trust" >/dev/null
again aws iam update-assume-role-policy --role-name shiftgrant-gateway --policy-document "$trust"
aws iam put-role-policy --role-name shiftgrant-gateway --policy-name shiftgrant-sales --policy-document '{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": ["secretsmanager:GetSecretValue"], "Resource": ["arn:aws:secretsmanager:eu-central-1:123456789012:secret:shiftgrant/sales-??????"]},
  {"Effect": "Allow", "Action": ["redshift-data:ExecuteStatement"], "Resource": ["arn:aws:redshift:eu-central-1:123456789012:cluster:sales-prod"]},
  {"Effect": "Allow", "Action": ["redshift-data:DescribeStatement", "redshift-data:GetStatementResult", "redshift-data:CancelStatement"], "Resource": ["*"], "Condition": {"StringEquals": {"redshift-data:statement-owner-iam-userid": "${aws:userid}"}}}
]}'

# The secret with the password of the one database user, if it is not there yet.
aws secretsmanager describe-secret --secret-id 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:shiftgrant/sales' >/dev/null 2>&1 || {
  password=$(aws secretsmanager get-random-password --password-length 40 --exclude-punctuation --require-each-included-type --query RandomPassword --output text)
  # By standard input: the arguments of a command are for everybody on the machine to see.
  printf '{"username":"shiftgrant","password":"%s"}' "$password" |
    aws secretsmanager create-secret --name 'shiftgrant/sales' --secret-string file:///dev/stdin >/dev/null
}

cat <<END
Done. What is left:
- in the warehouse, as its administrator, what this prints:
    shiftgrant setup sales --as sql --schema SCHEMA
- see that it holds:
    shiftgrant doctor sales
END

# To remove all of it again, run the rest of this file without the "# " before each line.
#
# #!/bin/sh
# # Take away what `shiftgrant setup sales --as cli` made in AWS account 123456789012. Nobody comes by it from then on;
# # sessions that are open end within the hour. What is gone already, and a role that another warehouse
# # uses too, is passed over with a complaint.
# set -u
# export AWS_REGION=eu-central-1 AWS_DEFAULT_REGION=eu-central-1 AWS_PAGER=
# aws iam delete-role-policy --role-name shiftgrant-gateway --policy-name shiftgrant-sales
# aws iam delete-role --role-name shiftgrant-gateway
# aws secretsmanager delete-secret --secret-id 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:shiftgrant/sales' --recovery-window-in-days 7
#
# # Other warehouses may be reached by these. Where there is none: ALL=yes sh this-file
# if [ "${ALL:-no}" = yes ]; then
#   aws iam delete-open-id-connect-provider --open-id-connect-provider-arn arn:aws:iam::123456789012:oidc-provider/grants.example.com
# fi
