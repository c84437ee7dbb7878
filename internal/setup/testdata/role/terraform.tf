# What the warehouse sales needs so that people reach it through https://grants.example.com
# (chain role, AWS account 123456789012). For the provider hashicorp/aws, in region eu-central-1.
# To remove it: take it out of the configuration and apply, or `terraform destroy`.
#
# arn:aws:iam::210987654321:role/gateway is of another account, where it needs:
#
# {"Version": "2012-10-17", "Statement": [
#   {"Effect": "Allow", "Action": ["sts:AssumeRole", "sts:TagSession"], "Resource": ["arn:aws:iam::123456789012:role/shiftgrant"]}
# ]}
terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0"
    }
  }
}

# People's sessions.
resource "aws_iam_role" "people" {
  name                 = "shiftgrant"
  max_session_duration = 3600
  assume_role_policy   = <<-JSON
    {"Version": "2012-10-17", "Statement": [
      {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::210987654321:role/gateway"}, "Action": ["sts:AssumeRole", "sts:TagSession"], "Condition": {"StringEquals": {"sts:ExternalId": "c2f0"}}}
    ]}
  JSON
}

resource "aws_iam_role_policy" "people" {
  name   = "shiftgrant-sales"
  role   = aws_iam_role.people.id
  policy = <<-JSON
    {"Version": "2012-10-17", "Statement": [
      {"Effect": "Allow", "Action": ["redshift-data:ExecuteStatement"], "Resource": ["arn:aws:redshift:eu-central-1:123456789012:cluster:sales-prod"]},
      {"Effect": "Allow", "Action": ["redshift-data:DescribeStatement", "redshift-data:GetStatementResult", "redshift-data:CancelStatement"], "Resource": ["*"], "Condition": {"StringEquals": {"redshift-data:statement-owner-iam-userid": "$${aws:userid}"}}},
      {"Effect": "Allow", "Action": ["redshift:GetClusterCredentials"], "Resource": ["arn:aws:redshift:eu-central-1:123456789012:dbuser:sales-prod/$${aws:PrincipalTag/RedshiftDbUser}", "arn:aws:redshift:eu-central-1:123456789012:dbname:sales-prod/dev"]}
    ]}
  JSON
}
