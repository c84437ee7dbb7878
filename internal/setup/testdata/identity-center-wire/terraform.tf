# What the warehouse sales needs so that people reach it through https://grants.example.com
# (chain identity_center). For the provider hashicorp/aws, in region eu-central-1.
# To remove it: take it out of the configuration and apply, or `terraform destroy`.
terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.28"
    }
  }
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

# For `shiftgrant setup sales --as sql`.
output "redshift_application" {
  value = aws_redshift_idc_application.redshift.idc_managed_application_arn
}

output "redshift_role" {
  value = aws_iam_role.redshift.arn
}
