package doctor

import "strings"

// accessLinks are how an identity becomes credentials of AWS.
func accessLinks() []Link {
	return []Link{
		{
			Name: "settings", Title: "settings of the warehouse", Needs: []string{"configuration", "files", "kms"}, Limit: quick, check: checkSettings,
			Tries: "puts the way into the warehouse together as the gateway does, without a step on it",
			Causes: []Cause{
				{Name: "invalid", What: "this warehouse cannot be set up: {fault}", Remedy: "correct warehouse {warehouse} in {config}; docs/configuration.md has every key"},
			},
		},
		{
			Name: "sts", Title: "AWS STS", Needs: []string{"configuration"}, Limit: slow, check: checkSTS, applies: usesSTS,
			Tries: "calls it without credentials, and expects its own refusal",
			Causes: []Cause{
				{Name: "unreachable", What: "{sts} does not answer", Remedy: "let this machine reach it: `curl -v {sts}`; DNS, firewall, HTTPS_PROXY, or a VPC endpoint for STS with `identity.sts_endpoint`"},
				{Name: "not_sts", What: "what answers at {sts} is not STS: {fault}", Remedy: "correct `region` or `identity.sts_endpoint` of warehouse {warehouse}; look whether a proxy answers in its place"},
			},
		},
		{
			Name: "own_role", Title: "role of the gateway itself", Needs: []string{"settings", "sts", "clock", "issuer"}, Limit: patient, check: checkOwnRole, applies: becomesRole,
			Tries:  "trades an assertion about the gateway for the credentials of `identity.gateway_role_arn`",
			Causes: webIdentityCauses("{own_role}", "{own_role_name}", "{own_account}", "{own_trust_policy}"),
		},
		{
			Name: "own_keys", Title: "AWS keys of the gateway's own", Needs: []string{"settings", "sts", "clock", "own_role"}, Limit: slow, check: checkOwnKeys, applies: usesOwnKeys,
			Tries: "looks for them where AWS's tools do (environment, web identity, container, instance), and asks STS, signed with them, whose they are (GetCallerIdentity)",
			Causes: []Cause{
				{Name: "none", What: "this process finds no AWS keys of its own, which the chain {chain} needs: {fault}", Remedy: "give the gateway's process a role (instance profile, task role, IRSA), or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; run doctor with the environment of the gateway's service"},
				{Name: "refused", What: "AWS does not take the gateway's own keys: {fault}", Remedy: "replace them where they come from (the environment of the gateway's service: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN belong together); `aws sts get-caller-identity` asks the same"},
				{Name: "expired", What: "the gateway's own keys have expired: {fault}", Remedy: "AWS_SESSION_TOKEN in the environment ends with its session: give the process a role in its place, whose keys are renewed by themselves"},
				{Name: "unasked", Weak: true, What: "there are keys, and STS does not say whose they are: {fault}", Remedy: "nothing, if this machine is to reach no STS: the chain {chain} does without; the links behind show whether the keys are right"},
			},
		},
		{
			Name: "federation", Title: "identity provider as AWS sees it", Needs: []string{"settings", "sts", "clock"}, Limit: slow, check: checkFederation, applies: isFederated,
			Tries: "offers STS a token in the name of the upstream that nobody issued: the refusal tells whether the account knows the upstream",
			Causes: []Cause{
				{Name: "no_provider", What: "AWS account {account} does not know {upstream_issuer} as an identity provider (InvalidIdentityToken)", Remedy: "register it there: `aws iam create-open-id-connect-provider --url {upstream_issuer} --client-id-list {client_id}`"},
				{Name: "audience", What: "the identity provider in AWS account {account} does not list the client {client_id}", Remedy: "`aws iam add-client-id-to-open-id-connect-provider --open-id-connect-provider-arn {provider_arn} --client-id {client_id}`"},
				{Name: "keys_unread", What: "AWS cannot read the keys of {upstream_issuer} (IDPCommunicationError)", Remedy: "it has to answer AWS from the internet, over https and without redirects: `curl -v {upstream_issuer}/.well-known/openid-configuration` from elsewhere; tell who runs it"},
				{Name: "region", What: "STS is not active in {region} for account {account}", Remedy: "activate the region there (IAM, Account settings, or `aws account enable-region --region-name {region}`), or use another"},
				{Name: "other", What: "STS answers otherwise than to a token that nobody issued: {fault}", Remedy: "correct `identity.role_arn` and `identity.sts_endpoint` of warehouse {warehouse}; look whether a proxy answers in the place of STS"},
			},
		},
		{
			Name: "role", Title: "trust of the role", Needs: []string{"settings", "sts", "clock", "issuer", "federation"}, Limit: patient, check: checkRole, applies: isWebIdentity,
			Tries:  "trades an assertion about you (or about shiftgrant-doctor) for the role's credentials",
			Causes: webIdentityCauses("{role}", "{role_name}", "{account}", "{trust_policy}"),
		},
	}
}

// webIdentityCauses are what AWS finds wrong with an assertion that is traded for a role, of people or of
// the gateway itself; the arguments are the places in texts that stand for it.
func webIdentityCauses(role, name, account, policy string) []Cause {
	of := strings.NewReplacer("{of}", role, "{of_name}", name, "{of_account}", account, "{of_policy}", policy)
	causes := []Cause{
		{Name: "no_provider", What: "AWS account {of_account} does not know this gateway as an identity provider (InvalidIdentityToken)", Remedy: "register it there: `aws iam create-open-id-connect-provider --url {issuer} --client-id-list {audience}`\n`shiftgrant setup {warehouse} --as cli` prints all that the chain needs"},
		{Name: "audience", What: "the identity provider in AWS account {of_account} does not list the audience {audience}", Remedy: "`aws iam add-client-id-to-open-id-connect-provider --open-id-connect-provider-arn arn:aws:iam::{of_account}:oidc-provider/{issuer_name} --client-id {audience}`; or set `identity.audience` to one that it lists"},
		{Name: "untrusted", What: "the role {of} does not trust this gateway, or does not exist (AccessDenied)", Remedy: "`aws iam get-role --role-name {of_name}` shows its trust policy; if it lacks something:\n`aws iam update-assume-role-policy --role-name {of_name} --policy-document '{of_policy}'`"},
		{Name: "claims", What: "AWS refuses a claim of the assertion (IDPRejectedClaim)", Remedy: "compare the clocks; `aws iam get-open-id-connect-provider --open-id-connect-provider-arn arn:aws:iam::{of_account}:oidc-provider/{issuer_name}` shows what the account expects"},
		{Name: "keys_unread", What: "AWS cannot read this gateway's keys (IDPCommunicationError)", Remedy: "let the internet reach {issuer}/.well-known/openid-configuration and the keys over https, without redirects and quickly; for a private gateway publish the two documents that `shiftgrant issuer export DIR` writes, at the same addresses"},
		{Name: "keys_stale", What: "AWS does not accept the assertion's signature: it has read other keys from {issuer}", Remedy: "wait an hour if the gateway's keys were replaced at once (`shiftgrant keys rotate` publishes ahead of use); if the documents are static files, write them again with `shiftgrant issuer export DIR`"},
		{Name: "expired", What: "AWS says that the assertion had expired", Remedy: "set this machine's clock: `timedatectl set-ntp true`"},
		{Name: "region", What: "STS is not active in {region} for account {of_account}", Remedy: "activate the region there (IAM, Account settings, or `aws account enable-region --region-name {region}`), or use another"},
		{Name: "too_large", What: "the session's tags are too large for AWS: {fault}", Remedy: "shorten the database user, and the tags that the role's owner adds"},
		{Name: "other", What: "AWS gives no credentials at the step \"{step}\": {fault}", Remedy: "look the code up in AWS's documentation of that call, and compare the account with docs/connect-your-aws.md"},
	}
	for i := range causes {
		causes[i].What, causes[i].Remedy = of.Replace(causes[i].What), of.Replace(causes[i].Remedy)
	}
	return causes
}

// keyLinks are how AWS keys of the gateway's own become what a person, or everybody, goes on with.
func keyLinks() []Link {
	return []Link{
		{
			Name: "center", Title: "exchange at Identity Center", Needs: []string{"own_keys", "issuer"}, Limit: patient, check: checkCenter, applies: isExchanged,
			Tries: "exchanges an assertion about the person of --as, as an actor of the application (CreateTokenWithIAM)",
			Causes: []Cause{
				{Name: "no_email", What: "this chain knows people by their e-mail address, and the identity provider has told none of {user}", Remedy: noEmail},
				{Name: "denied", What: "Identity Center does not let this gateway act for {email} ({fault})", Remedy: "the application has to name {own_role} as an actor: `aws sso-admin put-application-authentication-method --application-arn {application} --authentication-method-type IAM --authentication-method '{actor_policy}'`\n" +
					"and {email} has to be assigned to it: `aws sso-admin create-application-assignment --application-arn {application} --principal-type USER --principal-id …`, or everybody is, by `aws sso-admin put-application-assignment-configuration --application-arn {application} --no-assignment-required`"},
				{Name: "assertion", What: "Identity Center does not take the assertion about {email} ({fault})", Remedy: "`shiftgrant setup {warehouse} --as cli` prints all that the chain needs; one by one:\nIdentity Center has to trust {issuer}: `aws sso-admin list-trusted-token-issuers --instance-arn {instance}` lists whom it does\n" +
					"the application has to take that issuer's tokens for the audience {audience}: `aws sso-admin get-application-grant --application-arn {application} --grant-type " + bearerGrant + "` (put-application-grant changes it)\n" +
					"and a person there has to have {email} as primary e-mail address: `aws identitystore get-user-id --identity-store-id … --alternate-identifier '{\"UniqueAttribute\":{\"AttributePath\":\"emails.value\",\"AttributeValue\":\"{email}\"}}'`"},
				{Name: "no_application", What: "Identity Center in {region} knows no application {application} ({fault})", Remedy: "correct `identity.application` of warehouse {warehouse}: `aws sso-admin list-applications --instance-arn {instance}`; Identity Center has to be in the warehouse's region, or to have a replica there"},
				{Name: "no_grant", What: "the application takes no assertions: it has no JWT bearer grant ({fault})", Remedy: "`aws sso-admin put-application-grant --application-arn {application} --grant-type " + bearerGrant + " --grant '{\"JwtBearer\":{\"AuthorizedTokenIssuers\":[{\"TrustedTokenIssuerArn\":\"…\",\"AuthorizedAudiences\":[\"{audience}\"]}]}}'`, with the ARN that `aws sso-admin list-trusted-token-issuers --instance-arn {instance}` shows"},
				{Name: "scope", What: "the application lacks a scope ({fault})", Remedy: "`aws sso-admin put-application-access-scope --application-arn {application} --scope redshift:connect --authorized-targets …`, the target being Redshift's application (`aws redshift describe-redshift-idc-applications --query 'RedshiftIdcApplications[].IdcManagedApplicationArn'`); the same for the scope sts:identity_context"},
				{Name: "request", What: "Identity Center cannot use the request, or cannot read this gateway's keys ({fault})", Remedy: "it reads {issuer}/.well-known/openid-configuration from the internet, without redirects: `curl -v` it from elsewhere; compare `identity.application` with `aws sso-admin describe-application --application-arn {application}`"},
				{Name: "expired", What: "Identity Center says that the assertion had expired ({fault})", Remedy: "set this machine's clock: `timedatectl set-ntp true`"},
				{Name: "region", What: "this Identity Center is not the one of {region} ({fault})", Remedy: "Identity Center has to be in the warehouse's region, or to have a replica there: `aws sso-admin list-instances --region {region}`; correct `region` or `identity.sso_oidc_endpoint` of warehouse {warehouse}"},
				{Name: "busy", What: "Identity Center is limiting calls ({fault})", Remedy: "try again in a moment; if it stays so, who else uses this application?"},
				{Name: "unreachable", What: "Identity Center at {oidc} does not answer", Remedy: "let this machine reach it: `curl -v {oidc}`; DNS, firewall, HTTPS_PROXY, or `identity.sso_oidc_endpoint`"},
				{Name: "other", What: "the exchange fails: {fault}", Remedy: "look the code up in AWS's documentation of CreateTokenWithIAM; try again in a moment, if it is a fault of AWS"},
			},
		},
		{
			Name: "assume", Title: "role assumed with the gateway's keys", Needs: []string{"own_keys", "center"}, Limit: patient, check: checkAssume, applies: isAssumed,
			Tries: "assumes it for the person of --as (or for shiftgrant-doctor): AssumeRole, with the external id or with the person's identity context",
			Causes: []Cause{
				{Name: "untrusted", What: "the role {role} does not let {own_role} in, or asks for another external id, or does not exist: {fault}", Remedy: "`aws iam get-role --role-name {role_name}` shows its trust policy; if that lacks something:\n`aws iam update-assume-role-policy --role-name {role_name} --policy-document '{trust_policy}'`"},
				{Name: "not_allowed", What: "{own_role} may not assume {role}: {fault}", Remedy: "`aws iam put-role-policy --role-name {own_role_name} --policy-name shiftgrant --policy-document '{own_permissions}'`, in account {own_account}"},
				{Name: "tagging", What: "the role {role} lets {own_role} in, but without the session tag that says the database user: {fault}", Remedy: "its trust policy has to allow sts:TagSession besides: `aws iam update-assume-role-policy --role-name {role_name} --policy-document '{trust_policy}'`"},
				{Name: "context", What: "the role {role} lets {own_role} in, but without the person's identity context: {fault}", Remedy: "its trust policy has to allow sts:SetContext besides: `aws iam update-assume-role-policy --role-name {role_name} --policy-document '{trust_policy}'`"},
				{Name: "expired", What: "AWS says that the identity context had expired: {fault}", Remedy: "set this machine's clock: `timedatectl set-ntp true`"},
				{Name: "region", What: "STS is not active in {region} for account {account}", Remedy: "activate the region there (IAM, Account settings, or `aws account enable-region --region-name {region}`), or use another"},
				{Name: "too_large", What: "the session's tags are too large for AWS: {fault}", Remedy: "shorten the database user, and the tags of {own_role} that are passed on"},
				{Name: "form", What: "AWS does not accept the form of the request: {fault}", Remedy: "check the role's ARN, and that an hour is within its MaxSessionDuration: `aws iam update-role --role-name {role_name} --max-session-duration 3600`"},
				{Name: "busy", What: "STS is limiting calls: {fault}", Remedy: "try again in a moment; if it stays so, who else uses STS in this account?"},
				{Name: "other", What: "AWS gives no credentials at the step \"{step}\": {fault}", Remedy: "look the code up in AWS's documentation of AssumeRole"},
			},
		},
		{
			Name: "credentials", Title: "credentials of the role", Needs: []string{"role", "assume"}, Limit: slow, check: checkCredentials, applies: hasSessionRole,
			Tries: "asks STS, signed with them, who it is (GetCallerIdentity)",
			Causes: []Cause{
				{Name: "refused", What: "AWS does not accept the credentials that it gave: {fault}", Remedy: "set this machine's clock; check that `region` is right and that nothing between here and AWS changes requests"},
				{Name: "other_role", What: "the credentials are for {said}, and the configuration names {role}", Remedy: "correct the role's ARN or `identity.sts_endpoint` of warehouse {warehouse}"},
			},
		},
		{
			Name: "secret", Title: "secret in Secrets Manager", Needs: []string{"own_keys"}, Limit: slow, check: checkSecret, applies: hasSecret,
			Tries: "reads it (GetSecretValue), and looks whether it holds a user name and a password",
			Causes: []Cause{
				{Name: "denied", What: "{own_role} may not read {secret}: {fault}", Remedy: "`aws iam put-role-policy --role-name {own_role_name} --policy-name shiftgrant --policy-document '{own_permissions}'`\n`aws secretsmanager get-resource-policy --secret-id {secret}` shows whether the secret's own policy is against it"},
				{Name: "no_secret", What: "there is no secret {secret} in {region}: {fault}", Remedy: "correct `identity.secret_arn` of warehouse {warehouse}, with its last six characters: `aws secretsmanager list-secrets --region {region}`"},
				{Name: "deleted", What: "{secret} is not to be had at the moment: {fault}", Remedy: "if it is marked for deletion: `aws secretsmanager restore-secret --secret-id {secret}`"},
				{Name: "no_key", What: "Secrets Manager cannot open {secret}: {fault}", Remedy: "allow {own_role} kms:Decrypt on the secret's key, in the key policy or by IAM: `aws secretsmanager describe-secret --secret-id {secret} --query KmsKeyId`"},
				{Name: "form", What: "{secret} holds something else than a user name and a password", Remedy: "`aws secretsmanager put-secret-value --secret-id {secret} --secret-string '{\"username\":\"…\",\"password\":\"…\"}'`"},
				{Name: "unreachable", What: "Secrets Manager in {region} does not answer", Remedy: "let this machine reach secretsmanager.{region}.amazonaws.com, or set `identity.secretsmanager_endpoint` to a VPC endpoint"},
				{Name: "other", What: "the secret cannot be read: {fault}", Remedy: "look the code up in AWS's documentation of GetSecretValue; try again in a moment, if it is a fault of AWS"},
			},
		},
	}
}

const (
	bearerGrant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	noEmail     = "have it put `email` into ID tokens: the scope email in `scopes` of the upstream, and the claim allowed there; `--email` gives doctor one"
)
