package sqlapi

import (
	"os"
	"strings"
	"testing"
)

// The vectors are about a member "active" that is true or false. Here the member is the SQL, and
// both values are statements, so that a reader that is careless runs one.
func TestJSONVectorsRunNoStatement(t *testing.T) {
	t.Parallel()
	file, err := os.ReadFile("testdata/json_strictness.tsv")
	if err != nil {
		t.Fatal(err)
	}
	shaped := strings.NewReplacer(`"active"`, `"query"`, `"Active"`, `"Query"`, "false", `"select 0"`, "true", `"select 1"`)
	vectors := 0
	for line := range strings.Lines(string(file)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		vector, _, _ := strings.Cut(line, "\t")
		vectors++
		g := newGateway(t)
		got := g.do("POST", "/v1/query", "ann", shaped.Replace(vector))
		if p := got.problem(t); p.Status != 400 || len(g.cluster.statements()) != 0 {
			t.Errorf("%s: status %d, and %d statements ran; want 400 and none", vector, p.Status, len(g.cluster.statements()))
		}
	}
	if vectors != 6 {
		t.Errorf("%d vectors, want 6", vectors)
	}
}
