package sdk

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// What `shiftgrant setup --as terraform` prints is read by Terraform's own parser, and the policies in it
// come out as JSON in which IAM's variables are still there.
func TestTerraformsParserReadsWhatSetupPrints(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../internal/setup/testdata/*/terraform.tf")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	policies, variables := 0, 0
	for _, path := range files {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		file, faults := hclsyntax.ParseConfig(content, path, hcl.InitialPos)
		if faults.HasErrors() {
			t.Fatal(faults)
		}
		for _, block := range file.Body.(*hclsyntax.Body).Blocks {
			for _, name := range []string{"policy", "assume_role_policy"} {
				attribute, there := block.Body.Attributes[name]
				if !there {
					continue
				}
				policies++
				value, faults := attribute.Expr.Value(&hcl.EvalContext{Variables: made(attribute.Expr)})
				if faults.HasErrors() {
					t.Fatal(faults)
				}
				if !json.Valid([]byte(value.AsString())) {
					t.Errorf("%s: no JSON: %s", path, value.AsString())
				}
				variables += strings.Count(value.AsString(), `"${aws:userid}"`)
			}
		}
	}
	if policies < 10 || variables < 3 {
		t.Errorf("%d policies with %d variables of IAM were seen", policies, variables)
	}
}

// made gives every resource that an expression names an ARN.
func made(expression hcl.Expression) map[string]cty.Value {
	variables := map[string]cty.Value{}
	for _, traversal := range expression.Variables() {
		value := cty.StringVal("arn:aws:x")
		for i := len(traversal) - 1; i > 0; i-- {
			value = cty.ObjectVal(map[string]cty.Value{traversal[i].(hcl.TraverseAttr).Name: value})
		}
		variables[traversal.RootName()] = value
	}
	return variables
}
