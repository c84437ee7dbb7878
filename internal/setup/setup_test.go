package setup_test

import (
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/shiftgrant/shiftgrant/internal/gateway"
	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/setup"
)

var update = flag.Bool("update", false, "write the golden files anew")

const head = `issuer: https://grants.example.com
data: /var/lib/shiftgrant
upstreams:
  - {name: okta, issuer: "https://example.okta.com/oauth2/default", client_id: 0oa1b2c3d4}
warehouses:
  - name: sales
    region: eu-central-1
    database: dev
`

const (
	cluster   = "    cluster: sales-prod\n"
	workgroup = "    workgroup: sales\n"
	host      = "    host: sales-prod.abc123.eu-central-1.redshift.amazonaws.com\n"
)

// chains are all ways into a warehouse, by the name of their folder in testdata. The first of each line
// says what is in the configuration of the warehouse.
var chains = map[string]struct {
	warehouse string
	options   setup.Options
	nothing   bool // nothing is made in AWS
}{
	"web-identity":           {warehouse: cluster + "    identity: {role_arn: 'arn:aws:iam::123456789012:role/shiftgrant'}\n"},
	"web-identity-wire":      {warehouse: cluster + host + "    transport: wire\n    background: spool\n    identity: {role_arn: 'arn:aws-us-gov:iam::123456789012:role/apps/shiftgrant'}\n"},
	"web-identity-workgroup": {warehouse: workgroup + "    identity: {role_arn: 'arn:aws:iam::123456789012:role/shiftgrant'}\n"},
	"web-identity-upstream":  {warehouse: cluster + "    identity: {role_arn: 'arn:aws:iam::123456789012:role/shiftgrant', assertion: upstream}\n"},
	"role":                   {warehouse: cluster + "    identity: {chain: role, role_arn: 'arn:aws:iam::123456789012:role/shiftgrant', external_id: c2f0}\n", options: setup.Options{Principal: "arn:aws:iam::210987654321:role/gateway"}},
	"identity-center-wire":   {warehouse: workgroup + host + "    identity: {chain: identity_center}\n"},
	"identity-center":        {warehouse: cluster + "    identity: {chain: identity_center, people_role_arn: 'arn:aws:iam::123456789012:role/shiftgrant-people', gateway_role_arn: 'arn:aws:iam::123456789012:role/shiftgrant-gateway'}\n"},
	"identity-center-token":  {warehouse: workgroup + host + "    transport: wire\n    background: spool\n    identity: {chain: identity_center, login: auth_token, people_role_arn: 'arn:aws:iam::123456789012:role/shiftgrant-people'}\n", options: setup.Options{Principal: "arn:aws:iam::123456789012:role/gateway"}},
	"entra":                  {warehouse: host + "    identity: {chain: entra}\n", nothing: true},
	"secret":                 {warehouse: cluster + "    identity: {chain: secret, secret_arn: 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:shiftgrant/sales', gateway_role_arn: 'arn:aws:iam::123456789012:role/shiftgrant-gateway'}\n"},
	"password":               {warehouse: host + "    identity: {chain: password, user: reporting, password: 'file:PASSWORD'}\n", nothing: true},
}

// planOf makes the plan of a chain, with all that can be said besides.
func planOf(t *testing.T, name string) *setup.Plan {
	t.Helper()
	c := chains[name]
	o := c.options
	o.Config, o.Warehouse = read(t, head+c.warehouse), "sales"
	o.Schemas = []string{"sales", "Odd \"name"}
	comeIn(name, &o, []string{"ann", "ben"}, []string{"analysts"})
	o.RedshiftApplication = "arn:aws:sso::123456789012:application/ssoins-0000/apl-0000"
	o.RedshiftRole = "arn:aws:iam::123456789012:role/shiftgrant-redshift"
	plan, err := setup.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// comeIn names the people, or the groups, to a chain that has a use for them.
func comeIn(chain string, o *setup.Options, people, groups []string) {
	switch chain {
	case "web-identity", "web-identity-wire", "web-identity-upstream", "role":
		o.People = people
	case "identity-center", "identity-center-wire", "identity-center-token", "entra":
		o.Groups = groups
	}
}

func read(t *testing.T, yaml string) *gateway.Config {
	t.Helper()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "password"), []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "shiftgrant.yaml")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(yaml, "PASSWORD", folder+"/password")), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := gateway.ReadDraft(path)
	if err != nil {
		t.Fatal(err)
	}
	view, err := config.Tenant(grant.DefaultTenant)
	if err != nil {
		t.Fatal(err)
	}
	return view
}

var endings = map[setup.Format]string{setup.CloudFormation: "yaml", setup.Terraform: "tf", setup.CLI: "sh", setup.Statements: "sql", setup.Overview: "txt"}

func TestPlansAreWrittenAsBefore(t *testing.T) {
	t.Parallel()
	for name, c := range chains {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan := planOf(t, name)
			for format, ending := range endings {
				var b strings.Builder
				err := plan.Write(&b, format)
				if c.nothing && format != setup.Statements && format != setup.Overview {
					if !errors.Is(err, setup.ErrNothing) {
						t.Errorf("%s: %v, want that nothing is made in AWS", format, err)
					}
					continue
				}
				if err != nil {
					t.Fatalf("%s: %v", format, err)
				}
				golden(t, filepath.Join("testdata", name, string(format)+"."+ending), b.String())
			}
		})
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (go test ./internal/setup -update writes it anew):\n%s", path, diff)
	}
}

// A shell, and a parser of JSON, read all that is written: a name must not get out of its quotes.
func TestCommandsAreWholeWhateverTheNames(t *testing.T) {
	t.Parallel()
	odd := `a'b"c$(touch /tmp/x)` + "`id`" + `\${d}%{e}`
	for name, c := range chains {
		if c.nothing {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := c.options
			o.Config, o.Warehouse = read(t, head+c.warehouse), "sales"
			o.Config.Warehouses[0].Database = odd
			o.Schemas = []string{odd}
			comeIn(name, &o, []string{odd}, []string{odd})
			o.RedshiftApplication, o.RedshiftRole = odd, odd
			plan, err := setup.New(o)
			if err != nil {
				t.Fatal(err)
			}
			for _, write := range []func(*strings.Builder) error{
				func(b *strings.Builder) error { return plan.Write(b, setup.CLI) },
				func(b *strings.Builder) error { return plan.WriteRemoval(b, setup.CLI) },
			} {
				var script strings.Builder
				if err := write(&script); err != nil {
					t.Fatal(err)
				}
				readByShell(t, script.String())
			}
			for _, role := range plan.Roles {
				for _, policy := range []setup.Policy{role.Trust, role.Permissions} {
					if !json.Valid([]byte(policy.JSON(4))) {
						t.Errorf("no JSON: %s", policy.JSON(4))
					}
				}
			}
		})
	}
}

// Whoever else is on the machine sees what a command is called with.
func TestNoPasswordIsOnACommandLine(t *testing.T) {
	t.Parallel()
	var script strings.Builder
	if err := planOf(t, "secret").Write(&script, setup.CLI); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(script.String()) {
		if strings.Contains(line, "$password") && strings.Contains(line, "aws ") {
			t.Errorf("a program is called with the password: %s", line)
		}
	}
}

// readByShell has a shell run a script with an aws that only says what it was called with. Each word is on
// a line of its own, so that a policy that falls apart is seen.
func readByShell(t *testing.T, script string) {
	t.Helper()
	folder := t.TempDir()
	for name, content := range map[string]string{
		"aws": `#!/bin/sh
for word; do
  case "$word" in
  {*) printf '%s' "$word" >>"$POLICIES"; printf '\n;\n' >>"$POLICIES" ;;
  esac
done
case "$*" in
*get-caller-identity*) echo 123456789012 ;;
*get-role\ *Role.Arn*) echo arn:aws:iam::123456789012:role/shiftgrant-redshift ;;
*list-instances*) echo arn:aws:sso:::instance/ssoins-0000 ;;
*describe-trusted-token-issuer*) echo https://grants.example.com ;;
*list-*|*describe-redshift-idc-applications*\|*) echo None ;;
*) echo something ;;
esac
`,
		"script": script,
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	run := exec.CommandContext(t.Context(), "sh", filepath.Join(folder, "script"))
	policies := filepath.Join(folder, "policies")
	run.Env = append(os.Environ(), "PATH="+folder+":"+os.Getenv("PATH"), "POLICIES="+policies, "ALL=yes")
	if output, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	content, err := os.ReadFile(policies)
	if os.IsNotExist(err) {
		return // the removal has none
	}
	if err != nil {
		t.Fatal(err)
	}
	for policy := range strings.SplitSeq(strings.TrimSpace(string(content)), "\n;") {
		if policy != "" && !json.Valid([]byte(policy)) {
			t.Errorf("AWS would be given %s", policy)
		}
	}
}

// Everything that is made is taken away again by the removal, by name.
func TestRemovalNamesWhatIsMade(t *testing.T) {
	t.Parallel()
	for name, c := range chains {
		if c.nothing {
			continue
		}
		plan := planOf(t, name)
		var removal strings.Builder
		if err := plan.WriteRemoval(&removal, setup.CLI); err != nil {
			t.Fatal(err)
		}
		var made []string
		if plan.Provider != nil {
			made = append(made, "oidc-provider/"+plan.Provider.Name())
		}
		for _, role := range plan.Roles {
			if !role.Exists {
				made = append(made, "delete-role --role-name "+role.Name)
			}
			if len(role.Permissions.Statements) > 0 {
				made = append(made, "delete-role-policy --role-name "+role.Name+" --policy-name "+role.PolicyName)
			}
		}
		if plan.Center != nil {
			made = append(made, plan.Center.IssuerName, plan.Center.RedshiftApp, plan.Center.Application)
		}
		if plan.Secret != nil {
			made = append(made, plan.Secret.ARN)
		}
		for _, what := range made {
			if !strings.Contains(removal.String(), what) {
				t.Errorf("%s: the removal leaves %s", name, what)
			}
		}
	}
}

// Nothing in a role's permissions is wider than the one warehouse, but for the results of statements,
// which are for whoever began them, and for what Redshift asks Identity Center.
func TestPermissionsAreForOneWarehouse(t *testing.T) {
	t.Parallel()
	for name := range chains {
		for _, role := range planOf(t, name).Roles {
			for _, s := range role.Permissions.Statements {
				for _, action := range s.Action {
					if strings.Contains(action, "*") {
						t.Errorf("%s: %s may %s", name, role.Name, action)
					}
				}
				owner := s.Condition["StringEquals"]["redshift-data:statement-owner-iam-userid"]
				if slices.Contains(s.Resource, "*") && owner != "${aws:userid}" && !strings.HasPrefix(s.Action[0], "sso:Describe") {
					t.Errorf("%s: %s may %v everywhere", name, role.Name, s.Action)
				}
			}
		}
	}
}

// AWS itself compares these with what it is asked for; a comma too many costs an operator an hour.
func TestDocumentsAreLeast(t *testing.T) {
	t.Parallel()
	owner := `{"Effect":"Allow","Action":["redshift-data:DescribeStatement","redshift-data:GetStatementResult","redshift-data:CancelStatement"],"Resource":["*"],"Condition":{"StringEquals":{"redshift-data:statement-owner-iam-userid":"${aws:userid}"}}}`
	cluster, workgroup, center, secret := planOf(t, "web-identity").Documents(), planOf(t, "web-identity-workgroup").Documents(), planOf(t, "identity-center").Documents(), planOf(t, "secret").Documents()
	for _, c := range []struct{ name, got, want string }{
		{
			"trust", cluster.Trust,
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/grants.example.com"},"Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession","sts:SetSourceIdentity"],"Condition":{"StringEquals":{"grants.example.com:aud":"redshift-gateway"}}}]}`,
		},
		{
			"a cluster", cluster.Permissions,
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["redshift-data:ExecuteStatement"],"Resource":["arn:aws:redshift:eu-central-1:123456789012:cluster:sales-prod"]},` + owner +
				`,{"Effect":"Allow","Action":["redshift:GetClusterCredentials"],"Resource":["arn:aws:redshift:eu-central-1:123456789012:dbuser:sales-prod/${aws:PrincipalTag/RedshiftDbUser}","arn:aws:redshift:eu-central-1:123456789012:dbname:sales-prod/dev"]}]}`,
		},
		{
			"a workgroup", workgroup.Permissions,
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["redshift-data:ExecuteStatement"],"Resource":["arn:aws:redshift-serverless:eu-central-1:123456789012:workgroup/*"]},` + owner +
				`,{"Effect":"Allow","Action":["redshift-serverless:GetCredentials"],"Resource":["arn:aws:redshift-serverless:eu-central-1:123456789012:workgroup/*"]}]}`,
		},
		{
			"the gateway itself", center.GatewayTrust,
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/grants.example.com"},"Action":["sts:AssumeRoleWithWebIdentity"],"Condition":{"StringEquals":{"grants.example.com:aud":"redshift-gateway","grants.example.com:sub":"shiftgrant-gateway"}}}]}`,
		},
		{
			"an application's actor", center.Actor,
			`{"Iam":{"ActorPolicy":{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:role/shiftgrant-gateway"},"Action":["sso-oauth:CreateTokenWithIAM"],"Resource":["*"]}]}}}`,
		},
		{
			"a secret", secret.GatewayPermissions,
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["secretsmanager:GetSecretValue"],"Resource":["arn:aws:secretsmanager:eu-central-1:123456789012:secret:shiftgrant/sales-??????"]},{"Effect":"Allow","Action":["redshift-data:ExecuteStatement"],"Resource":["arn:aws:redshift:eu-central-1:123456789012:cluster:sales-prod"]},` + owner + `]}`,
		},
	} {
		if c.got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, c.got, c.want)
		}
	}
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	t.Parallel()
	role := cluster + "    identity: {chain: role, role_arn: 'arn:aws:iam::123456789012:role/shiftgrant'}\n"
	web := cluster + "    identity: {role_arn: 'arn:aws:iam::123456789012:role/shiftgrant'}\n"
	for _, c := range []struct {
		name, yaml string
		change     func(*setup.Options)
		want       string
	}{
		{"another warehouse", web, func(o *setup.Options) { o.Warehouse = "other" }, `"other": it has sales`},
		{"who the gateway is", role, nil, "--principal"},
		{"a session in place of a role", role, func(o *setup.Options) { o.Principal = "arn:aws:sts::123456789012:assumed-role/gateway/i-0" }, "give the role itself, arn:aws:iam::123456789012:role/gateway"},
		{"something else in place of a role", role, func(o *setup.Options) { o.Principal = "arn:aws:s3:::bucket" }, "not the ARN of a role"},
		{"people to a workgroup", strings.Replace(web, cluster, workgroup, 1), func(o *setup.Options) { o.People = []string{"ann"} }, "everybody is one database user"},
		{"people to Identity Center", workgroup + host + "    identity: {chain: identity_center}\n", func(o *setup.Options) { o.People = []string{"ann"} }, "name their groups"},
		{"groups to a chain that knows none", web, func(o *setup.Options) { o.Groups = []string{"analysts"} }, "knows no groups"},
		{"a principal for a chain without keys", web, func(o *setup.Options) { o.Principal = "arn:aws:iam::123456789012:role/g" }, "needs none"},
		{"two principals", strings.Replace(role, "{chain: role,", "{chain: role, gateway_role_arn: 'arn:aws:iam::123456789012:role/g',", 1), func(o *setup.Options) { o.Principal = "arn:aws:iam::123456789012:role/g" }, "leave out --principal"},
		{"a line in a name", web, func(o *setup.Options) { o.Schemas = []string{"a\nb"} }, "no name"},
		{"a cluster that AWS would not have", strings.Replace(web, "sales-prod", "'sales; rm'", 1), nil, "cluster of warehouse sales"},
		{"a region that is none", web, func(o *setup.Options) { o.Config.Warehouses[0].Region = "x$(id)" }, "region of warehouse sales"},
		{"a name that turns the line around", web, func(o *setup.Options) { o.People = []string{"ann\u202e"} }, "no name"},
		{"a name with another line", web, func(o *setup.Options) { o.Groups = []string{"a\u2028b"} }, "no name"},
		{"a name with a terminal's commands", web, func(o *setup.Options) { o.Config.Warehouses[0].Database = "dev\u009b2J" }, "database of warehouse sales"},
		{"an issuer that a shell would run", web, func(o *setup.Options) { o.Config.Issuer = "https://$(id).example.com" }, "not a URL that AWS would take"},
		{"an upstream's that a shell would run", strings.Replace(web, "{role_arn", "{assertion: upstream, role_arn", 1), func(o *setup.Options) { o.Config.Upstreams[0].Issuer = "https://idp.example.com/`id`" }, "not a URL that AWS would take"},
		{"an application that ends its quotes", role, func(o *setup.Options) {
			o.Principal = "arn:aws:iam::123456789012:role/g"
			o.Config.Warehouses[0].Identity.Application = "arn:aws:sso::1:application/a' b"
		}, "identity.application"},
		{"an issuer with a port", web, func(o *setup.Options) { o.Config.Issuer = "https://grants.example.com:8443" }, "has a port"},
		{"an issuer with a port, for the gateway itself", strings.Replace(role, "{chain: role,", "{chain: role, gateway_role_arn: 'arn:aws:iam::123456789012:role/g',", 1), func(o *setup.Options) { o.Config.Issuer = "https://grants.example.com:8443" }, "has a port"},
	} {
		o := setup.Options{Config: read(t, head+c.yaml), Warehouse: "sales"}
		if c.change != nil {
			c.change(&o)
		}
		if _, err := setup.New(o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	center := setup.Options{Config: read(t, head+workgroup+host+"    identity: {chain: identity_center}\n"), Warehouse: "sales"}
	plan, err := setup.New(center)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := plan.Write(&b, setup.Statements); err == nil || !strings.Contains(err.Error(), "--redshift-application") {
		t.Errorf("SQL without ARNs: %v", err)
	}
	if err := plan.WriteRemoval(&b, setup.Statements); err != nil {
		t.Errorf("its removal needs no ARNs: %v", err)
	}
	several := strings.Replace(head, `issuer: "https://example.okta.com/oauth2/default"`, `preset: entra, companies: [0b5c2f6e-1111-4222-8333-944455556666], issuer: "https://login.microsoftonline.com/organizations/v2.0"`, 1)
	if plan, err = setup.New(setup.Options{Config: read(t, several+chains["entra"].warehouse), Warehouse: "sales"}); err != nil {
		t.Fatal(err)
	}
	if err := plan.Write(&b, setup.Statements); err == nil || !strings.Contains(err.Error(), "the tenant's id") {
		t.Errorf("SQL for the tenants of Entra ID together: %v", err)
	}
	if err := plan.Write(&b, "pulumi"); err == nil {
		t.Error("a format that is none")
	}
}

// The commands that are printed find the configuration that these were printed from.
func TestPrintedCommandsNameTheConfiguration(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ file, want string }{
		{"", "shiftgrant doctor sales --as DBUSER"},
		{"/etc/shiftgrant.yaml", "shiftgrant doctor sales --config /etc/shiftgrant.yaml --as DBUSER"},
		{"a $(folder)/shiftgrant.yaml", "shiftgrant doctor sales --as DBUSER"},
	} {
		plan, err := setup.New(setup.Options{Config: read(t, head+chains["web-identity"].warehouse), Warehouse: "sales", File: c.file})
		if err != nil {
			t.Fatal(err)
		}
		for _, format := range []setup.Format{setup.Overview, setup.CLI} {
			var b strings.Builder
			if err := plan.Write(&b, format); err != nil || !strings.Contains(b.String(), c.want+"\n") {
				t.Errorf("%q: %s has no %q (%v)", c.file, format, c.want, err)
			}
		}
	}
}

// Each warehouse that the documents show can be set up by what they say.
func TestDocumentedWarehousesCanBePlanned(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/connect-your-aws.md")
	if err != nil {
		t.Fatal(err)
	}
	gatewayPart, _, _ := strings.Cut(head, "warehouses:")
	blocks := strings.Split(string(page), "```yaml\n")[1:]
	if len(blocks) < 7 {
		t.Fatalf("%d warehouses are shown", len(blocks))
	}
	for _, block := range blocks {
		yaml, _, _ := strings.Cut(block, "```")
		o := setup.Options{Config: read(t, gatewayPart+yaml), Warehouse: "sales"}
		plan, err := setup.New(o)
		if errors.Is(err, setup.ErrNoPrincipal) {
			o.Principal = "arn:aws:iam::210987654321:role/gateway"
			plan, err = setup.New(o)
		}
		if err != nil {
			t.Errorf("%v, for\n%s", err, yaml)
			continue
		}
		for _, format := range []setup.Format{setup.Overview, setup.CLI} {
			if err := plan.Write(io.Discard, format); err != nil && !errors.Is(err, setup.ErrNothing) {
				t.Errorf("%s: %v, for\n%s", format, err, yaml)
			}
		}
	}
}
