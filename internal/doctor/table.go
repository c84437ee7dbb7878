package doctor

import (
	"context"
	"slices"
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

// A Cause is a way in which a link breaks. {Words} in braces are filled in for the case at hand; each
// line of a remedy is a step.
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
	quick   = 5 * time.Second
	slow    = 15 * time.Second
	patient = 40 * time.Second
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
			Tries: "seals and opens a few bytes by the key of `keys.kms`, as a start of the gateway does with its keys, and has each key of `keys.issuer_kms` sign that does or will",
			Causes: []Cause{
				{Name: "no_credentials", What: "the gateway has no AWS credentials of its own that AWS takes: {fault}", Remedy: "give its process a role (instance profile, task role, IRSA), or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; run doctor with the same"},
				{Name: "denied", What: "the gateway may not use {key}: {fault}", Remedy: "allow its role kms:Encrypt and kms:Decrypt (`keys.kms`), or kms:GetPublicKey and kms:Sign (`keys.issuer_kms`), in the key policy of {key}, or by IAM"},
				{Name: "no_key", What: "there is no key {key}", Remedy: "correct `key` in `keys.kms` or `keys.issuer_kms`: `aws kms list-keys`, `aws kms list-aliases`, `aws kms describe-key`"},
				{Name: "unusable", What: "{key} cannot be used: {fault}", Remedy: "`aws kms enable-key --key-id {key}`; if it is to be deleted: `aws kms cancel-key-deletion --key-id {key}`, and at once"},
				{Name: "unreachable", What: "KMS does not answer: {fault}", Remedy: "let this machine reach it, or set `endpoint` beside the key to a VPC endpoint"},
				{Name: "other", What: "KMS does not do its part with {key}: {fault}", Remedy: "look the code up in AWS's documentation of Encrypt, Decrypt, GetPublicKey and Sign"},
			},
		},
		{
			Name: "issuer", Title: "issuer as AWS sees it", Needs: []string{"configuration", "files", "certificate", "kms"}, Limit: slow, check: checkIssuer,
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
	return slices.Concat(accessLinks(), keyLinks(), sessionLinks(), sqlLinks())
}
