package twin

// Played are the operations that the twin plays, by the name that AWS's CLI has for the service.
func (t *Twin) Played() map[string][]string {
	played := map[string][]string{
		"iam": t.IAM.Names(), "identitystore": t.Directory.Names(), "kms": t.KMS.Names(), "redshift-data": t.DataAPI.Names(), "secretsmanager": t.Secrets.Names(),
		"sso-admin": t.Admin.Names(), "sso-oidc": t.OIDC.Names(), "sts": t.STS.Names(),
	}
	played["redshift"], played["redshift-serverless"] = t.Passwords.Names()
	return played
}
