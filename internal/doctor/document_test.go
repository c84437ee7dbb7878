package doctor_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shiftgrant/shiftgrant/internal/doctor"
)

func TestTroubleshootingIsTheTable(t *testing.T) {
	t.Parallel()
	path := filepath.Join("..", "..", "docs", "troubleshooting.md")
	if *update {
		must(t, os.WriteFile(path, []byte(doctor.Troubleshooting()), 0o644))
	}
	content, err := os.ReadFile(path)
	must(t, err)
	if string(content) != doctor.Troubleshooting() {
		t.Errorf("%s is not what the table says: run go test ./internal/doctor -run Troubleshooting -update", path)
	}
}

func TestFilesThatAreNotThereAreTold(t *testing.T) {
	t.Parallel()
	report, err := doctor.Examine(t.Context(), doctor.Config{File: filepath.Join(t.TempDir(), "none.yaml")})
	must(t, err)
	if len(report.Links) < 5 {
		t.Errorf("%d links were told", len(report.Links))
	}
	for i, l := range report.Links {
		if i == 0 && (l.State != doctor.Broken || l.Cause != "missing") || i > 0 && l.State != doctor.Skipped {
			t.Errorf("%+v", l)
		}
	}
}

// sameAsDocument compares a text with the part of a document between two marks.
func sameAsDocument(t *testing.T, path, mark, text string) {
	t.Helper()
	content, err := os.ReadFile(path)
	must(t, err)
	begin, end := "<!-- "+mark+": written by go test ./internal/doctor -update -->\n", "<!-- end of "+mark+" -->\n"
	before, rest, ok := strings.Cut(string(content), begin)
	now, after, ended := strings.Cut(rest, end)
	if !ok || !ended {
		t.Fatalf("%s has no marks for %s", path, mark)
	}
	if now == text {
		return
	}
	if !*update {
		t.Errorf("%s differs in %s: run go test ./internal/doctor -update. It should be:\n%s", path, mark, text)
		return
	}
	must(t, os.WriteFile(path, []byte(before+begin+text+end+after), 0o644))
}
