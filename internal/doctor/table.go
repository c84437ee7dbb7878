package doctor

import (
	"context"
	"time"
)

// A Link is a row of the table: one thing that has to hold.
type Link struct {
	Name  string
	Title string
	// Needs are links without which this one cannot be tried; of NeedsOne any one is enough. Those
	// that a chain does not have do not count.
	Needs    []string
	NeedsOne []string
	Limit    time.Duration
	// Tries says how the link is tried.
	Tries  string
	Causes []Cause

	applies func(*visit) bool // nil: always
	check   func(context.Context, *visit) finding
}

// A Cause is a way in which a link breaks. {Words} in braces are filled in for the case at hand.
type Cause struct {
	Name   string
	What   string
	Remedy string
	// Weak causes leave the link in use.
	Weak bool
}

func (l *Link) cause(name string) Cause {
	for _, c := range l.Causes {
		if c.Name == name {
			return c
		}
	}
	panic("doctor: link " + l.Name + " has no cause " + name) // a fault of this package, which its tests find
}

const (
	quick = 5 * time.Second
	slow  = 15 * time.Second
)

// Links are all links, in the order in which they are tried.
func Links() []Link {
	return append(append(GatewayLinks(), UpstreamLinks()...), WarehouseLinks()...)
}

// GatewayLinks are tried once.
func GatewayLinks() []Link {
	return []Link{
		{
			Name: "configuration", Title: "configuration file", Limit: quick, check: checkConfiguration,
			Tries: "reads the file as `shiftgrant serve` does, and the secrets that it points to",
			Causes: []Cause{
				{Name: "missing", What: "the configuration file cannot be read", Remedy: "name it: `shiftgrant doctor --config FILE`, as an account that may read it"},
				{Name: "invalid", What: "the configuration file is not right: {fault}", Remedy: "change that line; docs/configuration.md has every key, and `shiftgrant serve --config {config} --check` looks again"},
				{Name: "secret", What: "a secret that the configuration points to is not there: {fault}", Remedy: "run doctor with the environment and the files of the gateway's service (systemd: `systemctl show -p Environment,EnvironmentFiles shiftgrant`), or correct the reference"},
			},
		},
		{
			Name: "files", Title: "files and permissions", Needs: []string{"configuration"}, Limit: quick, check: checkFiles,
			Tries: "looks at the data folder, the keys in it, and the files that the configuration names",
			Causes: []Cause{
				{Name: "no_keys", What: "no gateway has started on {data} yet, so there is no key to sign with", Remedy: "start it once: `shiftgrant serve --config {config}`; or give the right folder as `data`"},
				{Name: "unreadable", What: "{path} cannot be read by this account", Remedy: "run doctor as the gateway's own account: `sudo -u shiftgrant shiftgrant doctor --config {config}`; or hand the files to it: `chown -R shiftgrant: {data}`"},
				{Name: "open_folder", What: "others can enter the data folder {path}", Remedy: "`chmod 700 {path}`"},
				{Name: "open_file", What: "others can read {path}, which is secret", Remedy: "`chmod 600 {path}`; if somebody may have read it, replace what is in it"},
				{Name: "open_secret", Weak: true, What: "everybody on this machine can read the secret in {path}", Remedy: "`chmod o= {path}`, and leave it to the gateway's account or group"},
				{Name: "damaged_key", What: "a signing key cannot be used: {fault}", Remedy: "restore {data}/keys from your backup (docs/operations.md)"},
			},
		},
		{
			Name: "certificate", Title: "TLS certificate of the gateway", Needs: []string{"configuration"}, Limit: quick, check: checkCertificate, applies: endsTLS,
			Tries: "reads `tls.certificate` and `tls.key`: whether they belong together, for which names, until when",
			Causes: []Cause{
				{Name: "unusable", What: "certificate and key cannot be used: {fault}", Remedy: "give the pair that belongs together as `tls.certificate` (with the authority's intermediate certificates behind it) and `tls.key`"},
				{Name: "expired", What: "the certificate has expired on {until}", Remedy: "renew it, and restart the gateway"},
				{Name: "early", What: "the certificate is valid from {from} only", Remedy: "check this machine's clock, or wait"},
				{Name: "wrong_name", What: "the certificate is for {names}, and the issuer is {issuer}", Remedy: "get a certificate for the host of `issuer`, or correct `issuer`"},
				{Name: "expiring", Weak: true, What: "the certificate expires on {until}", Remedy: "renew it before that, and restart the gateway"},
			},
		},
		{
			Name: "store", Title: "database of the gateway", Needs: []string{"configuration"}, Limit: slow, check: checkStore,
			Tries: "opens it for reading and looks at its schema's version; SQLite: reads every page",
			Causes: []Cause{
				{Name: "unreachable", What: "the PostgreSQL database of `store.dsn` does not answer or lets nobody in", Remedy: "try it with `psql` and the same DSN: host, port, name, password, and pg_hba.conf there"},
				{Name: "damaged", What: "the database {path} is damaged or cannot be read", Remedy: "stop the gateway, keep a copy of the file, and restore the last backup (docs/operations.md, `shiftgrant backup`)"},
				{Name: "newer", What: "a newer gateway has changed the database so that this program cannot use it", Remedy: "run the newer program, or restore a backup from before it"},
			},
		},
		{
			Name: "clock", Title: "clock of this machine", Needs: []string{"configuration"}, Limit: slow, check: checkClock,
			Tries: "compares it with the Date of what AWS and the identity providers answer",
			Causes: []Cause{
				{Name: "wrong", What: "this machine's clock is {skew} than that of {source}: AWS and identity providers refuse what is signed at another time", Remedy: "set it, and keep it right: `timedatectl set-ntp true`, or `chronyc makestep`"},
				{Name: "unknown", Weak: true, What: "neither AWS nor an identity provider answered to compare it with", Remedy: "look at the links upstream and sts; `timedatectl` says whether this machine's clock is kept right"},
			},
		},
		{
			Name: "kms", Title: "AWS KMS", Needs: []string{"configuration", "clock"}, Limit: slow, check: checkKMS, applies: usesKMS,
			Tries: "seals and opens a few bytes by the key of `keys.kms`, as a start of the gateway does with its keys",
			Causes: []Cause{
				{Name: "no_credentials", What: "the gateway has no AWS credentials of its own that AWS takes: {fault}", Remedy: "give its process a role (instance profile, task role, IRSA), or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; run doctor with the same"},
				{Name: "denied", What: "the gateway may not use {key}: {fault}", Remedy: "allow its role kms:Encrypt and kms:Decrypt in the key policy of {key}, or by IAM"},
				{Name: "no_key", What: "there is no key {key}", Remedy: "correct `keys.kms.key`: `aws kms list-aliases`, `aws kms describe-key`"},
				{Name: "unusable", What: "{key} cannot be used: {fault}", Remedy: "`aws kms enable-key --key-id {key}`; if it is to be deleted: `aws kms cancel-key-deletion --key-id {key}`, and at once"},
				{Name: "unreachable", What: "KMS does not answer: {fault}", Remedy: "let this machine reach it, or set `keys.kms.endpoint` to a VPC endpoint"},
				{Name: "other", What: "KMS does not seal and open: {fault}", Remedy: "look the code up in AWS's documentation of Encrypt and Decrypt"},
			},
		},
		{
			Name: "issuer", Title: "issuer as AWS sees it", Needs: []string{"configuration", "files", "certificate"}, Limit: slow, check: checkIssuer,
			Tries: "fetches {issuer}/.well-known/openid-configuration and the keys it names, as AWS does: without following redirects",
			Causes: []Cause{
				{Name: "unreachable", What: "nothing answers at {url}", Remedy: "start the gateway (`shiftgrant serve --config {config}`); if it runs, check DNS for the issuer's host, the proxy in front, and the firewall"},
				{Name: "untrusted", What: "the certificate at {url} is not one that AWS will trust: {fault}", Remedy: "put a certificate of a public authority there, for the issuer's host, with its intermediate certificates"},
				{Name: "redirect", What: "{url} answers with a redirect to {location}, which AWS does not follow", Remedy: "have the proxy pass /.well-known/ and the keys on to the gateway without a redirect or a login of its own; or make `issuer` the address it redirects to"},
				{Name: "other_answer", What: "{url} answers {status}, and not what this gateway would", Remedy: "have the proxy pass the whole host on to {listen}, this path included"},
				{Name: "wrong_issuer", What: "the document at {url} says that its issuer is {said}", Remedy: "make `issuer` in {config} and the address that people and AWS use the same, character by character, and restart the gateway"},
				{Name: "wrong_keys", What: "the keys at {url} lack the one that this gateway signs with ({kid})", Remedy: "restart the gateway if its keys were replaced; if the documents are static files, write them again with `shiftgrant issuer export DIR`; behind several gateways, give all the same `keys.issuer`"},
				{Name: "private", Weak: true, What: "from here, {issuer} is a private address, where AWS cannot read the keys", Remedy: "publish the two documents that `shiftgrant issuer export DIR` writes at the same addresses, where AWS can read them; nothing to do if DNS gives the rest of the world a public address"},
				{Name: "slow", Weak: true, What: "the issuer took {took} to answer; AWS gives up soon", Remedy: "look at the proxy in front, and at the load of the gateway"},
			},
		},
	}
}

// UpstreamLinks are tried for each identity provider where people sign in.
func UpstreamLinks() []Link {
	return []Link{
		{
			Name: "upstream", Title: "identity provider", Needs: []string{"configuration"}, Limit: slow, check: checkUpstream,
			Tries: "fetches its discovery document and its keys (of IAM Identity Center, which has none, whether it answers)",
			Causes: []Cause{
				{Name: "unreachable", What: "{upstream_issuer} does not answer", Remedy: "check that this machine may reach it: `curl -v {upstream_issuer}/.well-known/openid-configuration`; DNS, firewall, HTTPS_PROXY"},
				{Name: "untrusted", What: "its certificate is not trusted here: {fault}", Remedy: "if it is a company's own authority, add that to the system's (Debian: /usr/local/share/ca-certificates and `update-ca-certificates`)"},
				{Name: "no_discovery", What: "there is no discovery document at {url}: {fault}", Remedy: "correct `issuer` of upstream {upstream}: it is the `iss` of its ID tokens, and what comes before /.well-known/openid-configuration"},
				{Name: "wrong_issuer", What: "it calls itself {said}, and the configuration {upstream_issuer}", Remedy: "write `issuer: {said}` for upstream {upstream}, to the last slash"},
				{Name: "no_keys", What: "it shows no keys to check ID tokens with: {fault}", Remedy: "check its jwks_uri; at some providers an application needs a signing key of its own first"},
				{Name: "clock", Weak: true, What: "its clock is {skew} than that of this machine", Remedy: "tell who runs it: ID tokens may be refused as not valid yet"},
			},
		},
		{
			Name: "redirect", Title: "redirect URI at the identity provider", Needs: []string{"upstream"}, Limit: slow, check: checkRedirect,
			Tries: "asks its authorization endpoint for a sign-in without a page (prompt=none), and looks where that leads",
			Causes: []Cause{
				{Name: "not_registered", What: "it does not accept {callback} for client {client_id}", Remedy: "register there, as a redirect URI of that client, exactly: {callback}"},
				{Name: "no_client", What: "it does not know client {client_id}", Remedy: "correct `client_id` of upstream {upstream}, or register the client there"},
				{Name: "scopes", What: "it refuses the scopes {scopes}: {fault}", Remedy: "allow them for client {client_id} there, or set `scopes` of upstream {upstream}"},
				{Name: "unreachable", What: "its authorization endpoint {url} does not answer as one: {fault}", Remedy: "look at it in a browser; tell who runs the identity provider"},
			},
		},
		{
			Name: "client", Title: "secret at the identity provider", Needs: []string{"redirect"}, Limit: slow, check: checkClient, applies: provesItself,
			Tries: "offers its token endpoint a code that nobody issued: the refusal tells whether the secret was right",
			Causes: []Cause{
				{Name: "refused", What: "it refuses the secret of client {client_id}: {fault}", Remedy: "make a new secret there, put it where `client_secret` of upstream {upstream} points to, and restart the gateway"},
				{Name: "no_actor", What: "it gives this gateway's AWS keys no tokens for {client_id}: {fault}", Remedy: "name the gateway's own role in the authentication method of the application, give it the grants authorization_code and refresh_token, and allow the role sso-oauth:CreateTokenWithIAM on it; docs/identity-providers.md has the commands"},
				{Name: "unreachable", What: "its token endpoint {url} does not answer as one: {fault}", Remedy: "check that this machine may reach it; tell who runs the identity provider"},
			},
		},
	}
}

// WarehouseLinks are tried for each warehouse, as far as its chain has them.
func WarehouseLinks() []Link {
	return append(accessLinks(), append(sessionLinks(), sqlLinks()...)...)
}

// accessLinks are how an identity becomes credentials of AWS.
func accessLinks() []Link {
	return []Link{
		{
			Name: "sts", Title: "AWS STS", Needs: []string{"configuration"}, Limit: slow, check: checkSTS, applies: usesSTS,
			Tries: "calls it without credentials, and expects its own refusal",
			Causes: []Cause{
				{Name: "unreachable", What: "{sts} does not answer", Remedy: "let this machine reach it: `curl -v {sts}`; DNS, firewall, HTTPS_PROXY, or a VPC endpoint for STS with `identity.sts_endpoint`"},
				{Name: "not_sts", What: "what answers at {sts} is not STS: {fault}", Remedy: "correct `region` or `identity.sts_endpoint` of warehouse {warehouse}; look whether a proxy answers in its place"},
			},
		},
		{
			Name: "role", Title: "trust of the role", Needs: []string{"sts", "clock", "files", "issuer"}, Limit: 40 * time.Second, check: checkRole, applies: hasCredentials,
			Tries: "trades an assertion about you (or about shiftgrant-doctor) for the role's credentials",
			Causes: []Cause{
				{Name: "no_provider", What: "AWS account {account} does not know this gateway as an identity provider (InvalidIdentityToken)", Remedy: "register it there: `aws iam create-open-id-connect-provider --url {issuer} --client-id-list {audience}`"},
				{Name: "audience", What: "the identity provider in AWS account {account} does not list the audience {audience}", Remedy: "`aws iam add-client-id-to-open-id-connect-provider --open-id-connect-provider-arn arn:aws:iam::{account}:oidc-provider/{issuer_name} --client-id {audience}`; or set `identity.audience` to one that it lists"},
				{Name: "untrusted", What: "the role {role} does not trust this gateway, or does not exist (AccessDenied)", Remedy: "`aws iam get-role --role-name {role_name}` shows its trust policy; if it lacks something: `aws iam update-assume-role-policy --role-name {role_name} --policy-document '{trust_policy}'`"},
				{Name: "claims", What: "AWS refuses a claim of the assertion (IDPRejectedClaim)", Remedy: "compare the clocks; `aws iam get-open-id-connect-provider --open-id-connect-provider-arn arn:aws:iam::{account}:oidc-provider/{issuer_name}` shows what the account expects"},
				{Name: "keys_unread", What: "AWS cannot read this gateway's keys (IDPCommunicationError)", Remedy: "let the internet reach {issuer}/.well-known/openid-configuration and the keys over https, without redirects and quickly; for a private gateway publish the two documents that `shiftgrant issuer export DIR` writes, at the same addresses"},
				{Name: "keys_stale", What: "AWS does not accept the assertion's signature: it has read other keys from {issuer}", Remedy: "wait an hour if the gateway's keys were replaced at once (`shiftgrant keys rotate` publishes ahead of use); if the documents are static files, write them again with `shiftgrant issuer export DIR`"},
				{Name: "expired", What: "AWS says that the assertion had expired", Remedy: "set this machine's clock: `timedatectl set-ntp true`"},
				{Name: "region", What: "STS is not active in {region} for account {account}", Remedy: "activate the region there (IAM, Account settings, or `aws account enable-region --region-name {region}`), or use another"},
				{Name: "own_credentials", What: "this gateway has no AWS credentials of its own, which this chain needs: {fault}", Remedy: "give the gateway's process a role (instance profile, task role, IRSA), or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"},
				{Name: "configuration", What: "this warehouse cannot be set up: {fault}", Remedy: "correct warehouse {warehouse} in {config}"},
				{Name: "other", What: "AWS gives no credentials at the step \"{step}\": {fault}", Remedy: "look the code up in AWS's documentation of that call, and compare the account with docs/connect-your-aws.md"},
			},
		},
		{
			Name: "credentials", Title: "credentials of the role", Needs: []string{"role"}, Limit: slow, check: checkCredentials, applies: hasCredentials,
			Tries: "asks STS, signed with them, who it is (GetCallerIdentity)",
			Causes: []Cause{
				{Name: "refused", What: "AWS does not accept the credentials that it gave: {fault}", Remedy: "set this machine's clock; check that `region` is right and that nothing between here and AWS changes requests"},
				{Name: "other_role", What: "the credentials are for {said}, and the configuration names {role}", Remedy: "correct `identity.role_arn` or `identity.sts_endpoint` of warehouse {warehouse}"},
			},
		},
	}
}

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
			Name: "encryption", Title: "TLS of the warehouse", Needs: []string{"network"}, Limit: slow, check: checkEncryption, applies: hasPort,
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
				{Name: "unreachable", What: "AWS Redshift's control plane in {region} does not answer", Remedy: "let this machine reach redshift.{region}.amazonaws.com (a workgroup: redshift-serverless.{region}.amazonaws.com), or set `redshift_endpoint` to a VPC endpoint"},
				{Name: "denied", What: "the role may not ask for a password of {user} on {target}: {fault}", Remedy: "`aws iam put-role-policy --role-name {role_name} --policy-name redshift --policy-document '{permissions}'`"},
				{Name: "no_warehouse", What: "there is no {target} in {region} of account {account}: {fault}", Remedy: "correct `cluster` or `workgroup` and `region` of warehouse {warehouse}: `aws redshift describe-clusters`, `aws redshift-serverless list-workgroups`"},
				{Name: "paused", What: "{target} does not give passwords at the moment: {fault}", Remedy: "is it paused? `aws redshift resume-cluster --cluster-identifier {target}`"},
				{Name: "other", What: "AWS gives no password: {fault}", Remedy: "compare the account with docs/connect-your-aws.md"},
			},
		},
		{
			Name: "login", Title: "login to the database", Needs: []string{"encryption", "password", "clock", "files", "issuer"}, Limit: 30 * time.Second, check: checkLogin, applies: hasPort,
			Tries: "starts a session as the person of --as, and ends it",
			Causes: []Cause{
				{Name: "no_user", What: "{target} has no database user {user}, or refuses them: {fault}", Remedy: "there, as an administrator: CREATE USER \"{user}\" PASSWORD DISABLE; GRANT ROLE … TO \"{user}\"; (docs/connect-your-aws.md has a role that only reads)"},
				{Name: "no_database", What: "{target} has no database {database}, or {user} may not connect to it: {fault}", Remedy: "correct `database` of warehouse {warehouse}"},
				{Name: "no_provider", What: "{target} does not know the identity provider: {fault}", Remedy: "there, as an administrator: CREATE IDENTITY PROVIDER \"idc\" TYPE AWSIDC NAMESPACE 'awsidc' APPLICATION_ARN '…' IAM_ROLE '…'; (docs/connect-your-aws.md has all steps); set `identity.namespace` where there are several"},
				{Name: "no_email", What: "this chain knows people by their e-mail address, and the identity provider has told none of {user}", Remedy: "have it put `email` into ID tokens: the scope email in `scopes` of the upstream, and the claim allowed there; `--email` gives doctor one"},
				{Name: "token", What: "{target} refuses the identity token: {fault}", Remedy: "check in IAM Identity Center: the trusted token issuer for {issuer}, its audience {audience}, that the person has this e-mail address there and is assigned to the Redshift application (docs/connect-your-aws.md has all steps)"},
				{Name: "expired", What: "{target} says that the password or token has expired: {fault}", Remedy: "set this machine's clock: `timedatectl set-ntp true`"},
				{Name: "full", What: "{target} has no room for another connection: {fault}", Remedy: "end connections there (`select * from stv_sessions`), or raise the user's CONNECTION LIMIT"},
				{Name: "other", What: "the session does not start: {fault}", Remedy: "look at the warehouse's SYS_CONNECTION_LOG, and for a middlebox between here and it"},
			},
		},
		{
			Name: "dataapi", Title: "Redshift Data API", Needs: []string{"credentials"}, Limit: 40 * time.Second, check: checkDataAPI, applies: hasDataAPI,
			Tries: "runs `select 1` as the person of --as",
			Causes: []Cause{
				{Name: "unreachable", What: "the Data API in {region} does not answer", Remedy: "let this machine reach redshift-data.{region}.amazonaws.com, or set `data_api_endpoint` to a VPC endpoint"},
				{Name: "denied", What: "the role may not use the Data API on {target}, or not become {user}: {fault}", Remedy: "`aws iam put-role-policy --role-name {role_name} --policy-name redshift --policy-document '{permissions}'`"},
				{Name: "no_warehouse", What: "there is no {target} in {region} of account {account}: {fault}", Remedy: "correct `cluster` or `workgroup` and `region` of warehouse {warehouse}: `aws redshift describe-clusters`, `aws redshift-serverless list-workgroups`"},
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
