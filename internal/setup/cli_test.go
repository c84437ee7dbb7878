package setup_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/shiftgrant/shiftgrant/internal/setup"
	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/sts"
	"github.com/shiftgrant/shiftgrant/twin/twintest"
)

// What is printed for AWS's command line runs there as an administrator, twice without harm, and is undone
// by what undoes it: after each chain the account is as it was.
func TestCommandsRunTwiceAndAreUndone(t *testing.T) {
	t.Parallel()
	played := twintest.Start(t, twin.Config{})
	// Who the gateway is, where it is somebody already.
	if err := played.STS.PutRole(sts.Role{Name: "gateway", ID: "AROASETUP000000000000", TrustPolicy: `{"Version": "2012-10-17", "Statement": [
		{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]}`}); err != nil {
		t.Fatal(err)
	}
	here := strings.NewReplacer("sales-prod\n", twin.Cluster+"\n", "workgroup: sales", "workgroup: "+twin.Workgroup, "eu-central-1", twin.Region, "aws-us-gov", "aws", "role/apps/shiftgrant", "role/own", "role/shiftgrant", "role/own",
		"login: auth_token", "login: auth_token, namespace: other") // one for which Redshift is not in Identity Center yet
	before := account(played)
	for _, name := range []string{"web-identity-workgroup", "role", "identity-center", "identity-center-token", "secret"} {
		c := chains[name]
		o := c.options
		o.Config, o.Warehouse = read(t, here.Replace(head+c.warehouse)), "sales"
		plan, err := setup.New(o)
		if err != nil {
			t.Fatal(err)
		}
		var make, remove strings.Builder
		if err := plan.Write(&make, setup.CLI); err != nil {
			t.Fatal(err)
		}
		if err := plan.WriteRemoval(&remove, setup.CLI); err != nil {
			t.Fatal(err)
		}
		administrate(t, played, name, make.String())
		made := account(played)
		if made == before {
			t.Errorf("%s: nothing was made", name)
		}
		if name == "identity-center" { // the one that makes most
			administrate(t, played, name+" again", make.String())
			if again := account(played); again != made {
				t.Errorf("%s: a second run makes of\n%s\n\n%s", name, made, again)
			}
		}
		administrate(t, played, "undo "+name, remove.String())
		if after := account(played); after != before {
			t.Fatalf("%s leaves\n%s\n\nwhere there was\n%s", name, after, before)
		}
	}
}

// account is all that setup makes anything of.
func account(played *twin.Twin) string {
	var all []string
	for _, p := range played.STS.Providers() {
		all = append(all, fmt.Sprintf("provider %s %v", p.URL, p.ClientIDs))
	}
	for _, r := range played.STS.Roles() {
		all = append(all, "role "+r.Name)
	}
	for _, a := range played.Center.Applications() {
		all = append(all, fmt.Sprintf("application %s %v", a.Name, a.Actors))
	}
	for _, i := range played.Center.Issuers() {
		all = append(all, "issuer "+i.Name+" "+i.URL)
	}
	all = append(all, played.Secrets.SecretNames()...)
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// administrate runs a script with the keys of the account's administrator.
func administrate(t *testing.T, played *twin.Twin, what, script string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	keys := twin.DeveloperKeys("admin")
	run := exec.CommandContext(t.Context(), "sh", path)
	run.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+keys.SecretAccessKey, "AWS_ENDPOINT_URL="+played.URL(),
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_MAX_ATTEMPTS=1", "ALL=yes")
	if output, err := run.CombinedOutput(); err != nil || strings.Contains(string(output), "error") {
		t.Fatalf("%s: %v\n%s", what, err, output)
	}
}
