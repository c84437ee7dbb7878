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
	for _, c := range []struct{ name, old, replacement, wantLine, want string }{
		{"unknown key", "data: /var/lib/shiftgrant", "dada: x", "[2:1]", "unknown field"},
		{"issuer with a path", "https://grants.example.com", "https://grants.example.com/", ":1:", "leave out the path"},
		{"issuer without TLS", "https://grants.example.com", "http://grants.example.com", ":1:", "use https"},
		{"secret in the file", "client_secret: file:SECRET", "client_secret: hunter2", "[7:20]", "env:NAME"},
		{"unset environment", "client_secret: file:SECRET", "client_secret: env:SHIFTGRANT_TEST_UNSET", "[7:20]", "is not set"},
		{"bad redirect", "https://stargazer.example/callback", "http://stargazer.example/callback", ":19:", "use https"},
		{"app id is an audience", "id: stargazer", "id: redshift-gateway", ":16:", "audience"},
		{"neither cluster nor workgroup", "    cluster: sales\n", "", ":9:", "either cluster"},
		{"bad duration", "20m", "20 minutes", "[21:28]", "write it as"},
		{"unknown chain", "      role_arn", "      chain: magic\n      role_arn", ":14:", "web_identity"},
		{"not YAML", "issuer:", "issuer: [", "[2:1]", ""},
	} {
		_, err := gateway.ReadConfig(write(t, strings.Replace(good, c.old, c.replacement, 1)))
		if err == nil {
			t.Errorf("%s: accepted", c.name)
			continue
		}
		if !strings.Contains(err.Error(), c.wantLine) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %q, want line %s and %q", c.name, err, c.wantLine, c.want)
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error shows the secret: %v", c.name, err)
		}
	}
}

func TestDocumentedConfigurationIsGood(t *testing.T) {
	t.Setenv("OKTA_CLIENT_SECRET", "a")
	t.Setenv("STARGAZER_CLIENT_SECRET", "b")
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
