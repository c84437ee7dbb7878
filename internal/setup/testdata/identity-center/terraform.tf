# What the warehouse sales needs so that people reach it through https://grants.example.com
# (chain identity_center, AWS account 123456789012). For the provider hashicorp/aws, in region eu-central-1.
# To remove it: take it out of the configuration and apply, or `terraform destroy`.
#
# An account has one OIDC provider for a URL. If it has grants.example.com already:
#   terraform import aws_iam_openid_connect_provider.shiftgrant arn:aws:iam::123456789012:oidc-provider/grants.example.com
terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.28"
    }
  }
}

resource "aws_iam_openid_connect_provider" "shiftgrant" {
  url            = "https://grants.example.com"
  client_id_list = ["redshift-gateway"]
}

# Redshift, when it asks Identity Center.
resource "aws_iam_role" "redshift" {
  name                 = "shiftgrant-redshift"
  max_session_duration = 3600
  assume_role_policy   = <<-JSON
    {"Version": "2012-10-17", "Statement": [
      {"Effect": "Allow", "Principal": {"Service": ["redshift.amazonaws.com", "redshift-serverless.amazonaws.com"]}, "Action": ["sts:AssumeRole", "sts:SetContext"]}
    ]}
  JSON
}

resource "aws_iam_role_policy" "redshift" {
  name   = "identity-center"
  role   = aws_iam_role.redshift.id
  policy = <<-JSON
    {"Version": "2012-10-17", "Statement": [
      {"Effect": "Allow", "Action": ["sso:DescribeApplication", "sso:DescribeInstance"], "Resource": ["*"]}
    ]}
  JSON
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
      {"Effect": "Allow", "Action": ["sso-oauth:CreateTokenWithIAM"], "Resource": ["${aws_ssoadmin_application.shiftgrant.id}"]},
      {"Effect": "Allow", "Action": ["sts:AssumeRole", "sts:SetContext"], "Resource": ["arn:aws:iam::123456789012:role/shiftgrant-people"]}
    ]}
  JSON
}

# People's sessions.
resource "aws_iam_role" "people" {
  name                 = "shiftgrant-people"
  max_session_duration = 3600
  assume_role_policy   = <<-JSON
    {"Version": "2012-10-17", "Statement": [
      {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:role/shiftgrant-gateway"}, "Action": ["sts:AssumeRole", "sts:SetContext"]}
    ]}
  JSON

  depends_on = [aws_iam_role.gateway] # a trust policy names nobody who is not there
}

resource "aws_iam_role_policy" "people" {
  name   = "shiftgrant-sales"
  role   = aws_iam_role.people.id
  policy = <<-JSON
    {"Version": "2012-10-17", "Statement": [
      {"Effect": "Allow", "Action": ["redshift-data:ExecuteStatement"], "Resource": ["arn:aws:redshift:eu-central-1:123456789012:cluster:sales-prod"]},
      {"Effect": "Allow", "Action": ["redshift-data:DescribeStatement", "redshift-data:GetStatementResult", "redshift-data:CancelStatement"], "Resource": ["*"], "Condition": {"StringEquals": {"redshift-data:statement-owner-iam-userid": "$${aws:userid}"}}}
    ]}
  JSON
}

data "aws_ssoadmin_instances" "all" {}

resource "aws_ssoadmin_trusted_token_issuer" "shiftgrant" {
  name                      = "shiftgrant-grants-example-com"
  instance_arn              = tolist(data.aws_ssoadmin_instances.all.arns)[0]
  trusted_token_issuer_type = "OIDC_JWT"

  trusted_token_issuer_configuration {
    oidc_jwt_configuration {
      claim_attribute_path          = "email"
      identity_store_attribute_path = "emails.value"
      issuer_url                    = "https://grants.example.com"
      jwks_retrieval_option         = "OPEN_ID_DISCOVERY"
    }
  }
}

# Redshift's own application in Identity Center. Where there is one already, import it by its ARN, and
# add the block to what it has.
resource "aws_redshift_idc_application" "redshift" {
  redshift_idc_application_name = "shiftgrant"
  idc_display_name              = "Redshift"
  idc_instance_arn              = tolist(data.aws_ssoadmin_instances.all.arns)[0]
  iam_role_arn                  = aws_iam_role.redshift.arn
  identity_namespace            = "awsidc"

  authorized_token_issuer_list {
    trusted_token_issuer_arn  = aws_ssoadmin_trusted_token_issuer.shiftgrant.arn
    authorized_audiences_list = ["redshift-gateway"]
  }
}

# The gateway's application, at which it exchanges an assertion for a person's context.
resource "aws_ssoadmin_application" "shiftgrant" {
  name                     = "shiftgrant-sales"
  instance_arn             = tolist(data.aws_ssoadmin_instances.all.arns)[0]
  application_provider_arn = "arn:aws:sso::aws:applicationProvider/custom"
}

resource "aws_ssoadmin_application_access_scope" "connect" {
  application_arn    = aws_ssoadmin_application.shiftgrant.id
  scope              = "redshift:connect"
  authorized_targets = [aws_redshift_idc_application.redshift.idc_managed_application_arn]
}

resource "aws_ssoadmin_application_assignment_configuration" "everybody" {
  application_arn     = aws_ssoadmin_application.shiftgrant.id
  assignment_required = false # who may read what is the warehouse's to say
}

# Who may act for the application, and whose assertions it takes. Releases of the provider differ in
# whether they have resources for these two, so the AWS CLI says them.
resource "terraform_data" "application" {
  triggers_replace = [aws_ssoadmin_application.shiftgrant.id, aws_ssoadmin_trusted_token_issuer.shiftgrant.id]

  provisioner "local-exec" {
    command = <<-SH
      set -eu
      aws sso-admin put-application-authentication-method --application-arn "$APPLICATION" --authentication-method-type IAM --authentication-method "$METHOD"
      aws sso-admin put-application-grant --application-arn "$APPLICATION" --grant-type urn:ietf:params:oauth:grant-type:jwt-bearer --grant "$GRANT"
    SH
    environment = {
      AWS_REGION  = "eu-central-1"
      APPLICATION = aws_ssoadmin_application.shiftgrant.id
      METHOD      = "{\"Iam\":{\"ActorPolicy\":{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"arn:aws:iam::123456789012:role/shiftgrant-gateway\"},\"Action\":[\"sso-oauth:CreateTokenWithIAM\"],\"Resource\":[\"*\"]}]}}}"
      GRANT = jsonencode({ JwtBearer = { AuthorizedTokenIssuers = [{
        TrustedTokenIssuerArn = aws_ssoadmin_trusted_token_issuer.shiftgrant.id
        AuthorizedAudiences   = ["redshift-gateway"]
      }] } })
    }
  }

  depends_on = [aws_iam_role.gateway]
}

# For the gateway's configuration, under identity of the warehouse sales.
output "application" {
  value = aws_ssoadmin_application.shiftgrant.id
}

# For `shiftgrant setup sales --as sql`.
output "redshift_application" {
  value = aws_redshift_idc_application.redshift.idc_managed_application_arn
}

output "redshift_role" {
  value = aws_iam_role.redshift.arn
}
