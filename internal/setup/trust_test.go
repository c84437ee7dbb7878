package setup_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shiftgrant/shiftgrant/internal/setup"
)

func TestAGatewayElsewhereIsAskedForWhomItComes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, externalID, account string
		want                      error
	}{
		{"a gateway of another account", "", "210987654321", setup.ErrNoExternalID},
		{"one that is asked", ", external_id: c2f0", "210987654321", nil},
		{"one of the same account", "", "123456789012", nil},
	} {
		yaml := head + cluster + "    identity: {chain: role, role_arn: 'arn:aws:iam::123456789012:role/shiftgrant'" + c.externalID + "}\n"
		plan, err := setup.New(setup.Options{Config: read(t, yaml), Warehouse: "sales", Principal: "arn:aws:iam::" + c.account + ":role/gateway"})
		if err != nil {
			t.Fatal(err)
		}
		for _, format := range []setup.Format{setup.CLI, setup.CloudFormation, setup.Terraform} {
			if err := plan.Write(io.Discard, format); !errors.Is(err, c.want) {
				t.Errorf("%s, %s: %v, want %v", c.name, format, err, c.want)
			}
		}
		if err := plan.WriteRemoval(io.Discard, setup.CLI); err != nil {
			t.Errorf("%s: its removal: %v", c.name, err)
		}
	}
}

// Two URLs may make one name, and whoever is trusted by it can be anybody in Redshift.
func TestAnIssuerOfTheSameNameIsNotTakenForOurs(t *testing.T) {
	t.Parallel()
	var script strings.Builder
	if err := planOf(t, "identity-center-wire").Write(&script, setup.CLI); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	aws := `#!/bin/sh
case "$*" in
*describe-trusted-token-issuer*) echo https://grants-example.com ;;
*create-redshift-idc-application*|*modify-redshift-idc-application*) echo "AWS was told to trust it" >&2 ;;
*) echo something ;;
esac
`
	for name, content := range map[string]string{"aws": aws, "script": script.String()} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	run := exec.CommandContext(t.Context(), "sh", filepath.Join(folder, "script"))
	run.Env = append(os.Environ(), "PATH="+folder+":"+os.Getenv("PATH"))
	output, err := run.CombinedOutput()
	if err == nil || !strings.Contains(string(output), "https://grants-example.com, which is somebody else") || strings.Contains(string(output), "told to trust") {
		t.Errorf("%v: %s", err, output)
	}
}
