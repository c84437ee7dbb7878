package gateway_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shiftgrant/shiftgrant/internal/gateway"
)

const good = `issuer: https://grants.example.com
data: /var/lib/shiftgrant
upstreams:
  - name: okta
    issuer: https://example.okta.com
    client_id: abc
    client_secret: file:SECRET
warehouses:
  - name: sales
    region: eu-central-1
    cluster: sales
    database: dev
    identity:
      role_arn: arn:aws:iam::123456789012:role/shiftgrant
apps:
  - id: stargazer
    name: Stargazer
    type: confidential
    redirect_uris: [https://stargazer.example/callback]
    secret: file:SECRET
    access_token_lifetime: 20m
`

// ownRole is the line of the role in good.
const ownRole = "      role_arn: arn:aws:iam::123456789012:role/shiftgrant"

func write(t *testing.T, content string) string {
	t.Helper()
	dir := t.TempDir()
	secretFile := filepath.Join(dir, "secret")
	if err := os.WriteFile(secretFile, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "shiftgrant.yaml")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(content, "file:SECRET", "file:"+secretFile)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfigurationIsRead(t *testing.T) {
	t.Parallel()
	config, err := gateway.ReadConfig(write(t, good))
	if err != nil {
		t.Fatal(err)
	}
	if got := config.Apps[0].Secret.Secret().Reveal(); got != "s3cret" {
		t.Errorf("app secret %q, want the file's content without the line end", got)
	}
	if config.Listen == "" || config.Warehouses[0].Identity.Audience != "redshift-gateway" {
		t.Errorf("defaults are missing: %+v", config)
	}
}

func TestConfigurationErrorsNameLineAndRemedy(t *testing.T) {
	t.Parallel()
	if _, err := gateway.ReadConfig(write(t, "")); err == nil || !strings.Contains(err.Error(), "the file is empty") {
		t.Errorf("an empty file: %v", err)
	}
	if _, err := gateway.ReadConfig("/nonexistent.yaml"); err == nil || !strings.Contains(err.Error(), "--config") {
		t.Errorf("no file: %v", err)
	}
	for _, c := range []struct{ name, old, replacement, wantLine, want string }{
		{"unknown key", "data: /var/lib/shiftgrant", "dada: x", ":2:", `unknown key "dada"; did you mean data?`},
		{"key of another section", "data: /var/lib/shiftgrant", "cluster: x", ":2:", "belongs to warehouses"},
		{"key of two other sections", "data: /var/lib/shiftgrant", "region: x", ":2:", "belongs to upstreams or warehouses"},
		{"key of the top level below", "    name: Stargazer", "    listen: x", ":17:", "belongs to the top level"},
		{"key like no other", "data: /var/lib/shiftgrant", "frobnicate: x", ":2:", "docs/configuration.md"},
		{"key given twice", "data: /var/lib/shiftgrant", "data: a\ndata: b", ":3:", "already defined"},
		{"not YAML", "issuer:", "issuer: [", ":2:", ""},
		{"list in place of a text", "data: /var/lib/shiftgrant", "data: [a]", ":2:", ""},
		{"text in place of a list", "[https://stargazer.example/callback]", "https://stargazer.example/callback", ":19:", ""},
		{"second document", "access_token_lifetime: 20m\n", "access_token_lifetime: 20m\n---\nissuer: https://other.example\n", ":1:", "write one"},

		{"no issuer", "issuer: https://grants.example.com\n", "", "", "issuer: give the gateway's public URL"},
		{"issuer with a path", "https://grants.example.com", "https://grants.example.com/", ":1:", "leave out the path"},
		{"issuer with a query", "https://grants.example.com", "https://grants.example.com?x=1", ":1:", "not a URL like"},
		{"issuer with a user", "https://grants.example.com", "https://a:hunter2@grants.example.com", ":1:", "not a URL like"},
		{"issuer that is no URL", "https://grants.example.com", "grants", ":1:", "not a URL like"},
		{"issuer without TLS", "https://grants.example.com", "http://grants.example.com", ":1:", "use https"},
		{"issuer that looks like localhost", "https://grants.example.com", "http://localhost.example.com", ":1:", "use https"},
		{"issuer of another scheme", "https://grants.example.com", "ftp://grants.example.com", ":1:", "use https"},
		{"no data folder", "data: /var/lib/shiftgrant\n", "", "", "data: give the folder"},
		{"address without a port", "data:", "listen: localhost\ndata:", ":2:", "ADDRESS:PORT"},
		{"certificate without its key", "data:", "tls: {certificate: a}\ndata:", ":2:", "both certificate and key"},
		{"unknown log level", "data:", "log: {level: loud}\ndata:", ":2:", "debug, info, warn, error"},
		{"unknown log format", "data:", "log: {format: xml}\ndata:", ":2:", "text, json"},
		{"unknown form of statements", "data:", "audit: {statements: none}\ndata:", ":2:", "text, hash"},
		{"limit below zero", "data:", "limits: {statements_per_person: -1}\ndata:", ":2:", "not a limit"},
		{"body below zero", "data:", "limits: {request_body: -1}\ndata:", ":2:", "not a limit"},
		{"lifetime below zero", "data:", "lifetimes: {session: -1h}\ndata:", ":2:", "write it as"},
		{"limit that is no number", "data:", "limits: {request_body: 1MB}\ndata:", ":2:", ""},

		{"no upstream", "upstreams:", "upstreams: []\nwarehouses_: ", ":4:", ""},
		{"upstream in capitals", "name: okta", "name: Okta", ":4:", "lower-case"},
		{"upstream without TLS", "https://example.okta.com", "http://example.okta.com", ":5:", "https, or http on localhost"},
		{"upstream without a client", "    client_id: abc\n", "", ":4:", "client_id: give the client id"},
		{"upstream without openid", "client_id: abc", "client_id: abc\n    scopes: [email]", ":7:", "openid must be among them"},
		{"secret in the file", "client_secret: file:SECRET", "client_secret: hunter2", ":7:", "env:NAME"},
		{"secret that looks like a reference", "client_secret: file:SECRET", "client_secret: vault:hunter2", ":7:", "env:NAME"},
		{"secret that is a list", "client_secret: file:SECRET", "client_secret: [hunter2]", ":7:", "env:NAME"},
		{"unset environment", "client_secret: file:SECRET", "client_secret: env:SHIFTGRANT_TEST_UNSET", ":7:", "is not set"},
		{"secret file that is not there", "client_secret: file:SECRET", "client_secret: file:/nonexistent/x", ":7:", "no such file"},
		{"empty secret file", "client_secret: file:SECRET", "client_secret: file:/dev/null", ":7:", "is empty"},

		{"warehouse in capitals", "name: sales", "name: Sales", ":9:", "lower-case"},
		{"no region", "    region: eu-central-1\n", "", ":9:", "region: give the AWS region"},
		{"neither cluster nor workgroup", "    cluster: sales\n", "", ":9:", "either cluster"},
		{"both cluster and workgroup", "    cluster: sales\n", "    cluster: sales\n    workgroup: w\n", ":9:", "either cluster"},
		{"no database", "    database: dev\n", "", ":9:", "database: give the database's name"},
		{"role that is no ARN", "arn:aws:iam::123456789012:role/shiftgrant", "shiftgrant", ":14:", "ARN of the role"},
		{"unknown chain", "      role_arn", "      chain: magic\n      role_arn", ":14:", "web_identity"},
		{"external id without its chain", "      role_arn", "      external_id: x\n      role_arn", ":14:", "chain: role"},
		{"application without its chain", "      role_arn", "      application: arn:aws:sso::1:application/a\n      role_arn", ":14:", "chain: identity_center"},
		{"people's role without its chain", "      role_arn", "      people_role_arn: arn:aws:iam::1:role/r\n      role_arn", ":14:", "chain: identity_center"},
		{"role without a role", "      role_arn: arn:aws:iam::123456789012:role/shiftgrant", "      chain: role", ":14:", "ARN of the role"},
		{"Identity Center without a way", ownRole, "      chain: identity_center", ":14:", "people_role_arn"},
		{"application without people's role", ownRole, "      chain: identity_center\n      application: arn:aws:sso::1:application/a", ":", "together"},
		{"people's role without an application", ownRole, "      chain: identity_center\n      people_role_arn: arn:aws:iam::1:role/r", ":", "says its ARN at the end"},
		{"gateway's role without its chain", "      role_arn", "      gateway_role_arn: arn:aws:iam::1:role/g\n      role_arn", ":14:", "role and identity_center and secret"},
		{"gateway's role that is no ARN", ownRole, "      chain: role\n      role_arn: arn:aws:iam::1:role/r\n      gateway_role_arn: g", ":16:", "this gateway's own assertions"},
		{"application that is no ARN", ownRole, "      chain: identity_center\n      application: a", ":15:", "ARN of the application"},
		{"another chain's role", "      role_arn", "      chain: identity_center\n      role_arn", ":15:", "web_identity and role"},
		{"login without an application", ownRole, "      chain: identity_center\n      login: auth_token", ":", "application and people_role_arn"},
		{"login of another chain", "      role_arn", "      login: auth_token\n      role_arn", ":14:", "chain: identity_center"},
		{"secret that is no ARN", ownRole, "      chain: secret\n      secret_arn: password", ":15:", "ARN of the secret"},
		{"password without a user", ownRole, "      chain: password\n      password: file:SECRET", ":", "give the database user"},
		{"password without a port", ownRole, "      chain: password\n      user: u\n      password: file:SECRET", ":14:", "give host"},
		{"entra without a port", ownRole, "      chain: entra", ":14:", "give host"},
		{"upstream without a reason", "      role_arn", "      upstream: corp\n      role_arn", ":14:", "assertion: upstream"},
		{"upstream that is none", "      role_arn", "      assertion: upstream\n      upstream: nosuch\n      role_arn", ":15:", "no such upstream"},
		{"audience of an upstream's token", "      role_arn", "      assertion: upstream\n      audience: other\n      role_arn", ":15:", "client id"},
		{"assertion that is none", "      role_arn", "      assertion: mine\n      role_arn", ":14:", "gateway, upstream"},
		{"a shared password for people", ownRole, "      chain: secret\n      secret_arn: arn:aws:secretsmanager:eu-central-1:1:secret:s\n    host: h\n    credentials: [database]", ":", "everybody has the same password"},
		{"a person's Entra token for tools", ownRole, "      chain: entra\n    host: h\n    credentials: [database]", ":", "let tools sign in to Entra ID"},
		{"AWS keys without people's role", ownRole, "      chain: identity_center\n    host: h\n    credentials: [aws, database]", ":", "give those too, or leave aws out"},
		{
			"assertions for people that a role would take", "apps:\n",
			"  - {name: hr, region: eu-central-1, workgroup: hr, host: h, database: dev, credentials: [database], identity: {chain: identity_center}}\napps:\n",
			":15:", "identity.audience: give another one, here and in Identity Center",
		},
		{"KMS without TLS", "data:", "keys: {kms: {key: 'arn:aws:kms:eu-central-1:1:key/k', endpoint: 'http://kms.example'}}\ndata:", ":2:", "keys.kms.endpoint: not an https URL"},
		{"endpoint without TLS", "    database: dev", "    database: dev\n    data_api_endpoint: http://api.example", ":13:", "not an https URL"},
		{"unknown result format", "    database: dev", "    database: dev\n    result_format: xml", ":13:", "csv, json"},

		{"app id is an audience", "id: stargazer", "id: redshift-gateway", ":16:", "audience"},
		{"app id that is a URL", "id: stargazer", "id: https://stargazer.example", ":16:", "use letters"},
		{"app id given twice", "apps:\n", "apps:\n  - {id: stargazer, type: public, redirect_uris: [https://a.example/]}\n", ":17:", "used twice"},
		{"no type", "    type: confidential\n", "", ":16:", "public, confidential"},
		{"public app with a secret", "type: confidential", "type: public", ":20:", "a public one has none"},
		{"confidential app without a secret", "    secret: file:SECRET\n    access", "    access", ":16:", "a confidential app has a secret"},
		{"no redirect", "[https://stargazer.example/callback]", "[]", ":19:", "at least one"},
		{"bad redirect", "https://stargazer.example/callback", "http://stargazer.example/callback", ":19:", "use https"},
		{"second redirect is bad", "[https://stargazer.example/callback]", "[https://stargazer.example/callback, 'https://stargazer.example/*']", ":19:", "wildcards"},
		{"unknown scope", "    type: confidential", "    scopes: [sql:read, sql:raed]\n    type: confidential", ":18:", "warehouse:NAME"},
		{"scope of another warehouse", "    type: confidential", "    scopes: ['warehouse:other']\n    type: confidential", ":18:", "warehouse:NAME"},
		{"homepage that is no web address", "    type: confidential", "    homepage: javascript:alert(1)\n    type: confidential", ":18:", "homepage: give the URL"},
		{"bad duration", "20m", "20 minutes", ":21:", "write it as"},
	} {
		_, err := gateway.ReadConfig(write(t, strings.Replace(good, c.old, c.replacement, 1)))
		if err == nil {
			t.Errorf("%s: accepted", c.name)
			continue
		}
		if !strings.Contains(err.Error(), c.wantLine) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %q, want line %s and %q", c.name, err, c.wantLine, c.want)
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: the error has more than one line: %v", c.name, err)
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error shows the secret: %v", c.name, err)
		}
	}
}

// What opens one warehouse alone may be handed out beside another that trusts this gateway.
func TestAssertionsForPeopleHaveAnAudienceOfTheirOwn(t *testing.T) {
	t.Parallel()
	center := "  - {name: hr, region: eu-central-1, workgroup: hr, host: h, database: dev, credentials: [database], identity: {chain: identity_center, audience: hr}}\napps:\n"
	if _, err := gateway.ReadConfig(write(t, strings.Replace(good, "apps:\n", center, 1))); err != nil {
		t.Error(err)
	}
}

// Who is about to make an application in Identity Center cannot know its ARN yet.
func TestADraftMayLackWhatIsNotMadeYet(t *testing.T) {
	t.Parallel()
	path := write(t, strings.Replace(good, ownRole, "      chain: identity_center\n      people_role_arn: arn:aws:iam::1:role/r", 1))
	if _, err := gateway.ReadDraft(path); err != nil {
		t.Errorf("as a draft: %v", err)
	}
	if _, err := gateway.ReadConfig(path); err == nil {
		t.Error("a gateway would start with it")
	}
}

func TestDocumentedConfigurationIsGood(t *testing.T) {
	t.Setenv("OKTA_CLIENT_SECRET", "a")
	t.Setenv("STARGAZER_CLIENT_SECRET", "b")
	t.Setenv("ACME_CLIENT_SECRET", "c")
	page, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(page), "```yaml\n")
	example, _, found := strings.Cut(example, "```")
	if !found {
		t.Fatal("docs/configuration.md has no YAML example")
	}
	config, err := gateway.ReadConfig(write(t, example))
	if err != nil {
		t.Fatal(err)
	}
	if got := config.Upstreams[0].DatabaseUser.Claim; got != "email" {
		t.Errorf("database user claim %q, want email", got)
	}
}
