package twin_test

import (
	"flag"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/postgres"
	"github.com/shiftgrant/shiftgrant/twin/twintest"
)

var update = flag.Bool("update", false, "write the table of docs/twin.md anew")

// The page for other people's tests lists what is played, and cannot list anything else.
func TestTheDocumentListsEveryOperation(t *testing.T) {
	t.Parallel()
	var table strings.Builder
	table.WriteString("| service | operations |\n|---|---|\n")
	played := twintest.Start(t).Played()
	for _, service := range slices.Sorted(maps.Keys(played)) {
		table.WriteString("| `" + service + "` | " + strings.Join(played[service], ", ") + " |\n")
	}
	const path, begin, end = "../docs/twin.md", "<!-- operations: written by go test ./twin -run Document -update -->\n", "<!-- end of operations -->\n"
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begun := strings.Cut(string(content), begin)
	now, after, ended := strings.Cut(rest, end)
	switch {
	case !begun || !ended:
		t.Fatalf("%s has no marks around the table of operations", path)
	case now == table.String():
	case *update:
		if err := os.WriteFile(path, []byte(before+begin+table.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s does not list what is played: run go test ./twin -run Document -update. It should be:\n%s", path, table.String())
	}
}

// A part of the twin that has operations is among those that are listed.
func TestEveryServiceIsListed(t *testing.T) {
	t.Parallel()
	running := twintest.Start(t)
	listed := slices.Concat(slices.Collect(maps.Values(running.Played()))...)
	parts := reflect.ValueOf(running).Elem()
	seen := 0
	for i := range parts.NumField() {
		if !parts.Type().Field(i).IsExported() {
			continue
		}
		service, ok := parts.Field(i).Interface().(interface{ Names() []string })
		if !ok {
			continue
		}
		seen++
		for _, operation := range service.Names() {
			if !slices.Contains(listed, operation) {
				t.Errorf("%s of the twin's field %s is not in Twin.Played", operation, parts.Type().Field(i).Name)
			}
		}
	}
	if seen < 7 {
		t.Errorf("%d services have operations, want 7 at least", seen)
	}
}

// What the page tells an administrator to run runs, and lets somebody of the group in.
func TestTheDocumentsStatementsRun(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../docs/twin.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(content), "```sql\n")
	statements, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("there are no statements in docs/twin.md")
	}
	played := twintest.Start(t)
	admin, err := played.Postgres.Connect(t.Context(), "admin", twin.Database)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(t.Context())
	statements = strings.Replace(strings.Replace(statements, "'…'", "'"+twin.RedshiftApplicationARN+"'", 1), "'…'", "'"+twin.IdentityRoleARN+"'", 1)
	for statement := range strings.SplitSeq(strings.TrimSpace(statements), "\n") {
		sql, err := postgres.Translate(statement)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := admin.Exec(t.Context(), sql).ReadAll(); err != nil {
			t.Errorf("%s: %v", statement, err)
		}
	}
	if err := played.Postgres.Admit(t.Context(), "awsidc", "bob@example.com", []string{"analysts"}); err != nil {
		t.Fatal(err)
	}
	bob, err := played.Postgres.Connect(t.Context(), "awsidc:bob@example.com", twin.Database)
	if err != nil {
		t.Fatal(err)
	}
	defer bob.Close(t.Context())
	if _, err := bob.Exec(t.Context(), "select count(*) from tickit.venue").ReadAll(); err != nil {
		t.Errorf("bob, an analyst: %v", err)
	}
}
