#!/bin/sh
# What the warehouse sales needs so that people reach it through https://grants.example.com
# (chain role, AWS account 123456789012), by the AWS CLI. It makes:
#
#   the role shiftgrant: people's sessions
#
# Run it as an administrator. It may be run again: what is there already is brought to this state.
#
# arn:aws:iam::210987654321:role/gateway is of another account, where it needs, by whoever administers that:
#
# {"Version": "2012-10-17", "Statement": [
#   {"Effect": "Allow", "Action": ["sts:AssumeRole", "sts:TagSession"], "Resource": ["arn:aws:iam::123456789012:role/shiftgrant"]}
# ]}
# shellcheck disable=SC2016 # what looks like a variable in a policy is IAM's
set -eu
export AWS_REGION=eu-central-1 AWS_DEFAULT_REGION=eu-central-1 AWS_PAGER=

account=$(aws sts get-caller-identity --query Account --output text)
[ "$account" = 123456789012 ] || { echo "this is for AWS account 123456789012, and the credentials are of $account" >&2; exit 1; }

# What IAM has just made is not known everywhere at once.
again() { for pause in 1 2 4 8 16; do "$@" 2>/dev/null && return; sleep $pause; done; "$@"; }

# People's sessions.
trust='{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::210987654321:role/gateway"}, "Action": ["sts:AssumeRole", "sts:TagSession"], "Condition": {"StringEquals": {"sts:ExternalId": "c2f0"}}}
]}'
aws iam get-role --role-name shiftgrant >/dev/null 2>&1 ||
  again aws iam create-role --role-name shiftgrant --max-session-duration 3600 --assume-role-policy-document "$trust" >/dev/null
again aws iam update-assume-role-policy --role-name shiftgrant --policy-document "$trust"
aws iam put-role-policy --role-name shiftgrant --policy-name shiftgrant-sales --policy-document '{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": ["redshift-data:ExecuteStatement"], "Resource": ["arn:aws:redshift:eu-central-1:123456789012:cluster:sales-prod"]},
  {"Effect": "Allow", "Action": ["redshift-data:DescribeStatement", "redshift-data:GetStatementResult", "redshift-data:CancelStatement"], "Resource": ["*"], "Condition": {"StringEquals": {"redshift-data:statement-owner-iam-userid": "${aws:userid}"}}},
  {"Effect": "Allow", "Action": ["redshift:GetClusterCredentials"], "Resource": ["arn:aws:redshift:eu-central-1:123456789012:dbuser:sales-prod/${aws:PrincipalTag/RedshiftDbUser}", "arn:aws:redshift:eu-central-1:123456789012:dbname:sales-prod/dev"]}
]}'

cat <<END
Done. What is left:
- in the warehouse, as its administrator, what this prints:
    shiftgrant setup sales --principal arn:aws:iam::210987654321:role/gateway --as sql --schema SCHEMA --person NAME
- see that it holds:
    shiftgrant doctor sales --as DBUSER
END

# To remove all of it again, run the rest of this file without the "# " before each line.
#
# #!/bin/sh
# # Take away what `shiftgrant setup sales --principal arn:aws:iam::210987654321:role/gateway --as cli` made in AWS account 123456789012. Nobody comes by it from then on;
# # sessions that are open end within the hour. What is gone already, and a role that another warehouse
# # uses too, is passed over with a complaint.
# set -u
# export AWS_REGION=eu-central-1 AWS_DEFAULT_REGION=eu-central-1 AWS_PAGER=
# aws iam delete-role-policy --role-name shiftgrant --policy-name shiftgrant-sales
# aws iam delete-role --role-name shiftgrant
