# What the warehouse sales needs so that people reach it through https://grants.example.com
# (chain web_identity, AWS account 123456789012). For the provider hashicorp/aws, in region eu-central-1.
# To remove it: take it out of the configuration and apply, or `terraform destroy`.
#
# An account has one OIDC provider for a URL. If it has grants.example.com already:
#   terraform import aws_iam_openid_connect_provider.shiftgrant arn:aws-us-gov:iam::123456789012:oidc-provider/grants.example.com
terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0"
    }
  }
}

resource "aws_iam_openid_connect_provider" "shiftgrant" {
  url            = "https://grants.example.com"
  client_id_list = ["redshift-gateway"]
}

# People's sessions.
resource "aws_iam_role" "people" {
  name                 = "shiftgrant"
  path                 = "/apps/"
  max_session_duration = 3600
  assume_role_policy   = <<-JSON
    {"Version": "2012-10-17", "Statement": [
      {"Effect": "Allow", "Principal": {"Federated": "arn:aws-us-gov:iam::123456789012:oidc-provider/grants.example.com"}, "Action": ["sts:AssumeRoleWithWebIdentity", "sts:TagSession", "sts:SetSourceIdentity"], "Condition": {"StringEquals": {"grants.example.com:aud": "redshift-gateway"}}}
    ]}
  JSON
}

resource "aws_iam_role_policy" "people" {
  name   = "shiftgrant-sales"
  role   = aws_iam_role.people.id
  policy = <<-JSON
    {"Version": "2012-10-17", "Statement": [
      {"Effect": "Allow", "Action": ["redshift:GetClusterCredentials"], "Resource": ["arn:aws-us-gov:redshift:eu-central-1:123456789012:dbuser:sales-prod/$${aws:PrincipalTag/RedshiftDbUser}", "arn:aws-us-gov:redshift:eu-central-1:123456789012:dbname:sales-prod/dev"]}
    ]}
  JSON
}
