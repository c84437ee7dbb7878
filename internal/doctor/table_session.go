package doctor

import "time"

// sessionLinks are the ways to run a statement: the warehouse's own port, and the Data API.
func sessionLinks() []Link {
	return []Link{
		{
			Name: "network", Title: "network to the warehouse", Needs: []string{"configuration"}, Limit: slow, check: checkNetwork, applies: hasPort,
			Tries: "opens a TCP connection to `host`",
			Causes: []Cause{
				{Name: "no_name", What: "the name {host} cannot be resolved", Remedy: "correct `host` of warehouse {warehouse}: `aws redshift describe-clusters --query 'Clusters[].Endpoint'`; use a DNS server that knows the VPC's names"},
				{Name: "refused", What: "{host} refuses connections on port {port}", Remedy: "check the port; is the warehouse available (paused, resizing)?"},
				{Name: "timeout", What: "{host} does not answer on port {port}", Remedy: "let this machine through: an inbound rule for port {port} in the warehouse's security group, routing or peering to its VPC, or publicly accessible. Without: `transport: dataapi`"},
			},
		},
		{
			Name: "encryption", Title: "TLS of the warehouse", Needs: []string{"settings", "network"}, Limit: slow, check: checkEncryption, applies: hasPort,
			Tries: "asks for TLS and verifies the certificate and its name, before any login",
			Causes: []Cause{
				{Name: "none", What: "what listens at {host}:{port} speaks no TLS: {fault}", Remedy: "check host and port; is it Redshift that listens there?"},
				{Name: "untrusted", What: "the certificate of {host} is not trusted here: {fault}", Remedy: "Redshift's are of Amazon's public authority: update the system's certificates (Debian: `apt-get install ca-certificates`); for another authority give its file as `ca`"},
				{Name: "wrong_name", What: "the certificate at {host} is for another name: {fault}", Remedy: "write as `host` the name that the certificate is for, which is the warehouse's endpoint and no alias or address of it"},
				{Name: "other", What: "TLS with {host} fails: {fault}", Remedy: "look for a middlebox between here and the warehouse; Redshift needs TLS 1.2 or later"},
			},
		},
		{
			Name: "password", Title: "database password from AWS", Needs: []string{"credentials"}, Limit: slow, check: checkPassword, applies: hasPassword,
			Tries: "asks for a temporary one (GetClusterCredentials; a workgroup: GetCredentials)",
			Causes: []Cause{
				{Name: "unreachable", What: "AWS Redshift's control plane in {region} does not answer", Remedy: controlPlane},
				{Name: "denied", What: "the role may not ask for a password of {user} on {target}: {fault}", Remedy: "`aws iam put-role-policy --role-name {role_name} --policy-name redshift --policy-document '{permissions}'`"},
				{Name: "no_warehouse", What: "there is no {target} in {region} of account {account}: {fault}", Remedy: noWarehouse},
				{Name: "paused", What: "{target} does not give passwords at the moment: {fault}", Remedy: "is it paused? `aws redshift resume-cluster --cluster-identifier {target}`"},
				{Name: "other", What: "AWS gives no password: {fault}", Remedy: "compare the account with docs/connect-your-aws.md"},
			},
		},
		{
			Name: "auth_token", Title: "token of Identity Center from AWS", Needs: []string{"credentials"}, Limit: slow, check: checkAuthToken, applies: hasAuthToken,
			Tries: "asks for one for the person of --as (GetIdentityCenterAuthToken)",
			Causes: []Cause{
				{Name: "unreachable", What: "AWS Redshift's control plane in {region} does not answer", Remedy: controlPlane},
				{Name: "denied", What: "the role may not ask for a token for {target}: {fault}", Remedy: "`aws iam put-role-policy --role-name {role_name} --policy-name redshift --policy-document '{permissions}'`"},
				{Name: "scope", What: "the person's credentials are not for Redshift: {fault}", Remedy: connectScope},
				{Name: "no_context", What: "AWS does not see the person in the credentials: {fault}", Remedy: "the role has to be assumed with an identity context of Identity Center: look at the links center and assume, and whether `identity.people_role_arn` is the role meant"},
				{Name: "no_warehouse", What: "there is no {target} in {region} of account {account}: {fault}", Remedy: noWarehouse},
				{Name: "paused", What: "{target} gives no tokens at the moment: {fault}", Remedy: "is it paused or resizing? `aws redshift describe-clusters --cluster-identifier {target} --query 'Clusters[].ClusterStatus'`"},
				{Name: "busy", What: "AWS is limiting calls: {fault}", Remedy: "try again in a moment"},
				{Name: "other", What: "AWS gives no token: {fault}", Remedy: "look the code up in AWS's documentation of GetIdentityCenterAuthToken, and compare the account with docs/connect-your-aws.md"},
			},
		},
		{
			Name: "native", Title: "identity provider of the warehouse", Needs: []string{"encryption"}, Limit: slow, check: checkNative, applies: isNative,
			Tries: "offers the warehouse a token of Microsoft Entra ID that nobody issued: the refusal tells whether it takes such tokens",
			Causes: []Cause{
				{Name: "no_provider", What: "{target} knows no identity provider of this kind, or of this namespace: {fault}", Remedy: "there, as an administrator: CREATE IDENTITY PROVIDER \"entra\" TYPE azure NAMESPACE '…' PARAMETERS '{\"issuer\":\"{upstream_issuer}\",\"client_id\":\"…\",\"client_secret\":\"…\",\"audience\":[\"…\"]}'; the same NAMESPACE as `identity.namespace`"},
				{Name: "other", What: "{target} answers otherwise than to a token that nobody issued: {fault}", Remedy: "look at the warehouse's SYS_CONNECTION_LOG, and for a middlebox between here and it"},
			},
		},
		{
			Name: "login", Title: "login to the database", Needs: []string{"encryption", "password", "auth_token", "secret", "native", "clock", "issuer"}, Limit: 30 * time.Second, check: checkLogin, applies: hasPort,
			Tries: "starts a session as the person of --as, or as the one user that everybody is, and ends it",
			Causes: []Cause{
				{Name: "no_user", What: "{target} has no database user {user}, or refuses them: {fault}", Remedy: "there, as an administrator: CREATE USER \"{user}\" PASSWORD DISABLE; GRANT ROLE … TO \"{user}\"; (docs/connect-your-aws.md has a role that only reads)"},
				{Name: "no_database", What: "{target} has no database {database}, or {user} may not connect to it: {fault}", Remedy: "correct `database` of warehouse {warehouse}"},
				{Name: "no_provider", What: "{target} does not know the identity provider: {fault}", Remedy: "there, as an administrator: CREATE IDENTITY PROVIDER \"idc\" TYPE AWSIDC NAMESPACE 'awsidc' APPLICATION_ARN '…' IAM_ROLE '…'; (docs/connect-your-aws.md has all steps); set `identity.namespace` where there are several"},
				{Name: "no_email", What: "this chain knows people by their e-mail address, and the identity provider has told none of {user}", Remedy: noEmail},
				{Name: "wrong_password", What: "{target} does not take the password of the one user that everybody is: {fault}", Remedy: "put the right one {password_kept}; a new one: ALTER USER \"…\" PASSWORD '…', there, as an administrator. Five failures lock a user from patch 204 on"},
				{Name: "scope", What: "the person may not connect to Redshift: {fault}", Remedy: "assign them to Redshift's application in Identity Center, whose ARN `aws redshift describe-redshift-idc-applications --query 'RedshiftIdcApplications[].IdcManagedApplicationArn'` shows: `aws sso-admin create-application-assignment --application-arn … --principal-type USER --principal-id …`"},
				{Name: "old", What: "{target} does not know this way to log in: {fault}", Remedy: "let it be updated: a maintenance window soon (`aws redshift describe-clusters --cluster-identifier {target} --query 'Clusters[].ClusterRevisionNumber'` shows the patch)"},
				{Name: "token", What: "{target} refuses the identity token: {fault}", Remedy: "`aws sso-admin list-trusted-token-issuers --instance-arn …` has to show one for {issuer}\n" +
					"`aws redshift describe-redshift-idc-applications` has to show it as authorized, with the audience {audience}; else: `aws redshift modify-redshift-idc-application --redshift-idc-application-arn … --authorized-token-issuer-list TrustedTokenIssuerArn=…,AuthorizedAudiencesList={audience}`\n" +
					"and a person in Identity Center has to have {email} as primary e-mail address"},
				{Name: "expired", What: "{target} says that the password or token has expired: {fault}", Remedy: "set this machine's clock: `timedatectl set-ntp true`"},
				{Name: "full", What: "{target} has no room for another connection: {fault}", Remedy: "end connections there (`select * from stv_sessions`), or raise the user's CONNECTION LIMIT"},
				{Name: "other", What: "the session does not start: {fault}", Remedy: "look at the warehouse's SYS_CONNECTION_LOG, and for a middlebox between here and it"},
			},
		},
		{
			Name: "dataapi", Title: "Redshift Data API", Needs: []string{"settings", "credentials", "secret"}, Limit: patient, check: checkDataAPI, applies: hasDataAPI,
			Tries: "runs `select 1` as the person of --as, or as the one user that everybody is",
			Causes: []Cause{
				{Name: "unreachable", What: "the Data API in {region} does not answer", Remedy: "let this machine reach redshift-data.{region}.amazonaws.com, or set `data_api_endpoint` to a VPC endpoint"},
				{Name: "denied", What: "the role may not use the Data API on {target}, or not become {user}: {fault}", Remedy: "`aws iam put-role-policy --role-name {role_name} --policy-name redshift --policy-document '{permissions}'`"},
				{Name: "no_warehouse", What: "there is no {target} in {region} of account {account}: {fault}", Remedy: noWarehouse},
				{Name: "scope", What: "the person may not connect to Redshift: {fault}", Remedy: connectScope},
				{Name: "wrong_password", What: "{target} does not take the password in {secret}: {fault}", Remedy: "`aws secretsmanager put-secret-value --secret-id {secret} --secret-string '{\"username\":\"…\",\"password\":\"…\"}'`; a new password: ALTER USER \"…\" PASSWORD '…', there, as an administrator"},
				{Name: "no_user", What: "{target} has no database user {user}: {fault}", Remedy: "there, as an administrator: CREATE USER \"{user}\" PASSWORD DISABLE; GRANT ROLE … TO \"{user}\"; (docs/connect-your-aws.md has a role that only reads)"},
				{Name: "no_database", What: "{target} has no database {database}: {fault}", Remedy: "correct `database` of warehouse {warehouse}"},
				{Name: "busy", What: "the Data API is limiting calls: {fault}", Remedy: "try again in a moment; if it stays so, who else uses the Data API of this account?"},
				{Name: "other", What: "the Data API cannot run a statement: {fault}", Remedy: "look at the warehouse in the AWS console: is it available, paused, resizing?"},
			},
		},
	}
}

// sqlLinks are asked in SQL, over the wire where that goes, or else by the Data API.
func sqlLinks() []Link {
	either := []string{"login", "dataapi"}
	return []Link{
		{
			Name: "current_user", Title: "who that is in Redshift", NeedsOne: either, Limit: 30 * time.Second, check: checkCurrentUser,
			Tries: "`select current_user`",
			Causes: []Cause{
				{Name: "other", What: "in {target} that is {said}, and not {user}", Remedy: "the chain gives people another name than the configuration: check the session tag RedshiftDbUser in the role's policies (GetClusterCredentials on dbuser:{target}/${aws:PrincipalTag/RedshiftDbUser}), or who has that e-mail address in Identity Center"},
				{Name: "shared", Weak: true, What: "everybody who comes by this role is {said}: a serverless workgroup takes the database user from the role", Remedy: "for people to be themselves in a workgroup use `identity.chain: identity_center`; or keep this, and give {said} only what all of them may read"},
				{Name: "everybody", Weak: true, What: "everybody who comes by this warehouse is {said}, as the chain {chain} has it: Redshift does not know people apart, and only the gateway's audit record does", Remedy: "for people to be themselves take a chain that has them (docs/chains.md); or keep this, and give {said} only what all of them may read"},
				{Name: "failed", What: "the question cannot be asked: {fault}", Remedy: "look at the warehouse in the AWS console: is it available, paused, resizing?"},
			},
		},
		{
			Name: "grants", Title: "what that user may read", Needs: []string{"current_user"}, Limit: 30 * time.Second, check: checkGrants,
			Tries: "counts the tables and views with SELECT, in schemas with USAGE",
			Causes: []Cause{
				{Name: "nothing", What: "{said} may read no table in {database}", Remedy: "there, as an administrator: GRANT USAGE ON SCHEMA … TO \"{said}\"; GRANT SELECT ON ALL TABLES IN SCHEMA … TO \"{said}\"; docs/connect-your-aws.md has a role for it"},
				{Name: "failed", What: "the catalog cannot be read: {fault}", Remedy: "as an administrator: GRANT USAGE ON SCHEMA pg_catalog TO PUBLIC, which is the default"},
			},
		},
		{
			Name: "read_only", Title: "how strong read-only is", Needs: []string{"current_user"}, Limit: 30 * time.Second, check: checkReadOnly,
			Tries: "asks what the user could change if a statement reached the database",
			Causes: []Cause{
				{Name: "superuser", Weak: true, What: "{said} is a superuser: read-only is best effort ({walls})", Remedy: "map people to users of their own: `identity` must not lead to an administrator. Or take the right away: ALTER USER \"{said}\" NOCREATEUSER"},
				{Name: "may_write", Weak: true, What: "{said} may change data ({rights}): for them read-only is best effort ({walls})", Remedy: "nothing, if they are meant to write; the scope sql:read then depends on the gateway. To make it the database's: {revokes}"},
				{Name: "leftovers", Weak: true, What: "{said} has rights that Redshift gives to everybody ({rights}): no data can be changed, and what remains is best effort ({walls})", Remedy: "as an administrator: {revokes}"},
				{Name: "failed", What: "the rights cannot be read: {fault}", Remedy: "look at the warehouse in the AWS console"},
			},
		},
		{
			Name: "version", Title: "version of Redshift", Needs: []string{"current_user"}, Limit: 30 * time.Second, check: checkVersion,
			Tries: "`select version()`",
			Causes: []Cause{
				{Name: "old", Weak: true, What: "{target} runs Redshift {said}, which is from before patch 197: before patch 204, BEGIN READ ONLY fails on Spectrum, datashare and federated tables", Remedy: "let it be updated: a maintenance window soon, and the track \"current\" (`aws redshift modify-cluster --cluster-identifier {target} --maintenance-track-name current`)"},
				{Name: "failed", What: "it does not say: {fault}", Remedy: "look at the warehouse in the AWS console"},
			},
		},
	}
}

const (
	controlPlane = "let this machine reach redshift.{region}.amazonaws.com (a workgroup: redshift-serverless.{region}.amazonaws.com), or set `redshift_endpoint` to a VPC endpoint"
	noWarehouse  = "correct `cluster` or `workgroup` and `region` of warehouse {warehouse}: `aws redshift describe-clusters`, `aws redshift-serverless list-workgroups`"
	connectScope = "assign them to Redshift's application in Identity Center, and let the gateway's application reach that one: `aws sso-admin put-application-access-scope --application-arn {application} --scope redshift:connect --authorized-targets …` (`aws redshift describe-redshift-idc-applications --query 'RedshiftIdcApplications[].IdcManagedApplicationArn'`)"
)
