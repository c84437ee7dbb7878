package gateway_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/gateway"
)

// two is good with one more tenant, whose lines begin at 22.
const two = good + `tenants:
  - name: acme
    display_name: Acme Ltd
    lifetimes: {session: 1h}
    upstreams:
      - {name: entra, issuer: "https://login.example/acme", client_id: def, client_secret: file:SECRET}
    warehouses:
      - name: orders
        region: eu-west-1
        workgroup: orders
        database: dev
        identity:
          role_arn: arn:aws:iam::210987654321:role/shiftgrant
    apps:
      - {id: stargazer, type: public, redirect_uris: ["https://stargazer.example/callback"]}
`

// onlyTenants is two without its default tenant.
func onlyTenants() string {
	_, tenants, _ := strings.Cut(two, "tenants:\n")
	return "issuer: https://grants.example.com\ndata: /var/lib/shiftgrant\nlifetimes: {grant: 48h}\ntenants:\n" + tenants
}

func TestTenantIsSeenAsAWholeGateway(t *testing.T) {
	t.Parallel()
	config, err := gateway.ReadConfig(write(t, two))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(config.TenantNames(), " "); got != "default acme" {
		t.Errorf("tenants %q", got)
	}
	standard, err := config.Tenant("default")
	if err != nil {
		t.Fatal(err)
	}
	if standard.Issuer != "https://grants.example.com" || standard.Warehouses[0].Name != "sales" || standard.SigningKeys() != "/var/lib/shiftgrant/keys/issuer" {
		t.Errorf("default tenant: issuer %s, warehouse %s, keys in %s", standard.Issuer, standard.Warehouses[0].Name, standard.SigningKeys())
	}
	acme, err := config.Tenant("acme")
	if err != nil {
		t.Fatal(err)
	}
	if acme.Issuer != "https://grants.example.com/t/acme" || acme.SigningKeys() != "/var/lib/shiftgrant/keys/issuer/t/acme" || acme.TenantName() != "acme" {
		t.Errorf("acme: issuer %s, keys in %s", acme.Issuer, acme.SigningKeys())
	}
	if len(acme.Upstreams) != 1 || acme.Upstreams[0].Name != "entra" || len(acme.Warehouses) != 1 || acme.Warehouses[0].Name != "orders" {
		t.Errorf("acme has upstreams %+v and warehouses %+v", acme.Upstreams, acme.Warehouses)
	}
	// The defaults of each, the built-in app, and lifetimes of its own over those of the top level.
	if acme.Warehouses[0].Identity.Audience != "redshift-gateway" || len(acme.Apps) != 2 || acme.Apps[1].ID != gateway.CommandLineApp {
		t.Errorf("acme's defaults are missing: %+v %+v", acme.Warehouses, acme.Apps)
	}
	if time.Duration(acme.Lifetimes.Session) != time.Hour || acme.Lifetimes.Grant != standard.Lifetimes.Grant || time.Duration(standard.Lifetimes.Session) != 12*time.Hour {
		t.Errorf("acme's lifetimes %+v, the default tenant's %+v", acme.Lifetimes, standard.Lifetimes)
	}
	for _, name := range []string{"globex", "", "Acme", "../acme"} {
		if _, err := config.Tenant(name); !errors.Is(err, gateway.ErrNoTenant) || !strings.Contains(err.Error(), "it has default, acme") {
			t.Errorf("tenant %q: %v", name, err)
		}
	}
}

func TestSigningKeysOfTenantsAreWhereTheOperatorKeepsThem(t *testing.T) {
	t.Parallel()
	config, err := gateway.ReadConfig(write(t, "keys: {issuer: /mnt/keys}\n"+two))
	if err != nil {
		t.Fatal(err)
	}
	acme, err := config.Tenant("acme")
	if err != nil || acme.SigningKeys() != filepath.FromSlash("/mnt/keys/t/acme") {
		t.Errorf("%s, %v", acme.SigningKeys(), err)
	}
}

func TestThereMayBeTenantsOnly(t *testing.T) {
	t.Parallel()
	config, err := gateway.ReadConfig(write(t, onlyTenants()))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(config.TenantNames(), " "); got != "acme" {
		t.Errorf("tenants %q", got)
	}
	if _, err := config.Tenant("default"); !errors.Is(err, gateway.ErrNoTenant) {
		t.Errorf("the default tenant: %v", err)
	}
	if acme, err := config.Tenant("acme"); err != nil || time.Duration(acme.Lifetimes.Grant) != 48*time.Hour {
		t.Errorf("acme's grants live %v, %v", acme.Lifetimes, err)
	}
	// An app alone is no tenant: what is missing is named.
	if _, err := gateway.ReadConfig(write(t, "apps: [{id: a, type: public, redirect_uris: [\"https://a.example/\"]}]\n"+onlyTenants())); err == nil || !strings.Contains(err.Error(), "upstreams: give at least one") {
		t.Errorf("half a default tenant: %v", err)
	}
}

func TestCommandLineThatIsDisabledForAllIsDisabledForEach(t *testing.T) {
	t.Parallel()
	config, err := gateway.ReadConfig(write(t, "command_line: {disabled: true}\n"+two))
	if err != nil {
		t.Fatal(err)
	}
	if acme, err := config.Tenant("acme"); err != nil || len(acme.Apps) != 1 {
		t.Errorf("acme's apps: %+v, %v", acme.Apps, err)
	}
}

func TestFaultsOfATenantAreNamedWhereTheyAre(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, old, replacement, wantLine, want string }{
		{"no name", "name: acme\n    display_name", "display_name", ":23:", "tenants[0].name: use lower-case"},
		{"name in capitals", "name: acme", "name: Acme", ":23:", "tenants[0].name: use lower-case"},
		{"name with a slash", "name: acme", "name: a/b", ":23:", "tenants[0].name: use lower-case"},
		{"the default tenant's name", "name: acme", "name: default", ":23:", "tenants[0].name: default is the tenant of the top level"},
		{"name given twice", "tenants:\n", "tenants:\n  - {name: acme, upstreams: [{name: a, issuer: \"https://a.example\", client_id: a}], warehouses: [{name: w, region: r, cluster: c, database: d, identity: {role_arn: \"arn:x\"}}]}\n", ":24:", "tenants[1].name: this name is used twice"},
		{"no upstream", "      - {name: entra, issuer: \"https://login.example/acme\", client_id: def, client_secret: file:SECRET}\n", "", ":26:", "tenants[0].upstreams: give at least one"},
		{"upstream without TLS", "https://login.example/acme", "http://login.example/acme", ":27:", "tenants[0].upstreams[0].issuer: give the IdP's issuer URL"},
		{"warehouse without a region", "        region: eu-west-1\n", "", ":29:", "tenants[0].warehouses[0].region: give the AWS region"},
		{"role that is no ARN", "arn:aws:iam::210987654321:role/shiftgrant", "shiftgrant", ":34:", "tenants[0].warehouses[0].identity.role_arn: give the ARN"},
		{"app id is an audience", "{id: stargazer, type: public", "{id: redshift-gateway, type: public", ":36:", "tenants[0].apps[0].id: this is the audience"},
		{"scope of another tenant's warehouse", "{id: stargazer, type: public,", "{id: stargazer, scopes: [\"warehouse:sales\"], type: public,", ":36:", "tenants[0].apps[0].scopes[0]: write one of"},
		{"key that is the gateway's", "    display_name: Acme Ltd", "    listen: 127.0.0.1:1", ":24:", "belongs to the top level"},
		{"secret in the file", "client_id: def, client_secret: file:SECRET", "client_id: def, client_secret: hunter2", ":27:", "env:NAME"},
	} {
		_, err := gateway.ReadConfig(write(t, strings.Replace(two, c.old, c.replacement, 1)))
		if err == nil || !strings.Contains(err.Error(), c.wantLine) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: error %v, want line %s and %q", c.name, err, c.wantLine, c.want)
		}
	}
}
