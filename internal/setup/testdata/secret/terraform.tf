# What the warehouse sales needs so that people reach it through https://grants.example.com
# (chain secret, AWS account 123456789012). For the provider hashicorp/aws, in region eu-central-1.
# To remove it: take it out of the configuration and apply, or `terraform destroy`.
#
# An account has one OIDC provider for a URL. If it has grants.example.com already:
#   terraform import aws_iam_openid_connect_provider.shiftgrant arn:aws:iam::123456789012:oidc-provider/grants.example.com
terraform {
  required_version = ">= 1.11"
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

# The gateway itself.
resource "aws_iam_role" "gateway" {
  name                 = "shiftgrant-gateway"
  max_session_duration = 3600
  assume_role_policy   = <<-JSON
    {"Version": "2012-10-17", "Statement": [
      {"Effect": "Allow", "Principal": {"Federated": "arn:aws:iam::123456789012:oidc-provider/grants.example.com"}, "Action": ["sts:AssumeRoleWithWebIdentity"], "Condition": {"StringEquals": {"grants.example.com:aud": "redshift-gateway", "grants.example.com:sub": "shiftgrant-gateway"}}}
    ]}
  JSON
}

resource "aws_iam_role_policy" "gateway" {
  name   = "shiftgrant-sales"
  role   = aws_iam_role.gateway.id
  policy = <<-JSON
    {"Version": "2012-10-17", "Statement": [
      {"Effect": "Allow", "Action": ["secretsmanager:GetSecretValue"], "Resource": ["arn:aws:secretsmanager:eu-central-1:123456789012:secret:shiftgrant/sales-??????"]},
      {"Effect": "Allow", "Action": ["redshift-data:ExecuteStatement"], "Resource": ["arn:aws:redshift:eu-central-1:123456789012:cluster:sales-prod"]},
      {"Effect": "Allow", "Action": ["redshift-data:DescribeStatement", "redshift-data:GetStatementResult", "redshift-data:CancelStatement"], "Resource": ["*"], "Condition": {"StringEquals": {"redshift-data:statement-owner-iam-userid": "$${aws:userid}"}}}
    ]}
  JSON
}

# The secret with the password of the one database user, which is in no state of Terraform.
ephemeral "aws_secretsmanager_random_password" "service" {
  password_length     = 40
  exclude_punctuation = true
}

resource "aws_secretsmanager_secret" "service" {
  name                    = "shiftgrant/sales"
  recovery_window_in_days = 7
}

resource "aws_secretsmanager_secret_version" "service" {
  secret_id                = aws_secretsmanager_secret.service.id
  secret_string_wo         = jsonencode({ username = "shiftgrant", password = ephemeral.aws_secretsmanager_random_password.service.random_password })
  secret_string_wo_version = 1
}
