# What the warehouse sales needs so that people reach it through https://grants.example.com
# (chain web_identity, AWS account 123456789012). For the provider hashicorp/aws, in region eu-central-1.
# To remove it: take it out of the configuration and apply, or `terraform destroy`.
#
# An account has one OIDC provider for a URL. If it has example.okta.com/oauth2/default already:
#   terraform import aws_iam_openid_connect_provider.shiftgrant arn:aws:iam::123456789012:oidc-provider/example.okta.com/oauth2/default
terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0"
    }
  }
}

resource "aws_iam_openid_connect_provider" "shiftgrant" {
  url            = "https://example.okta.com/oauth2/default"
  client_id_list = ["0oa1b2c3d4"]
}

# People's sessions.
resource "aws_iam_role" "people" {
  name                 = "shiftgrant"
  max_session_duration = 3600
  assume_role_policy   = <<-JSON
    {"Version": "2012-10-17", "Statement": [
      {"Effect": "Allow", "Principal": {"Federated": "arn:aws:iam::123456789012:oidc-provider/example.okta.com/oauth2/default"}, "Action": ["sts:AssumeRoleWithWebIdentity", "sts:TagSession", "sts:SetSourceIdentity"], "Condition": {"StringEquals": {"example.okta.com/oauth2/default:aud": "0oa1b2c3d4"}}}
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
