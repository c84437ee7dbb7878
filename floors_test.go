// Package shiftgrant_test holds the tree to its design: who may import whom.
package shiftgrant_test

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/shiftgrant/shiftgrant"

// floors lists the rooms from the ground up. A room imports only rooms of lower floors; a
// trailing "/..." takes in the packages beneath. Rooms of one floor do not import each other,
// but a package may import its own parent or children ("connect/sqlitesession" → "connect").
var floors = [][]string{
	{"internal/secret", "internal/seal", "redshift", "internal/grant", "internal/web"},
	{"internal/store", "internal/audit", "internal/encode", "internal/issuer", "internal/pages", "connect/...", "redshift/placeholder", "redshift/dataapi", "redshift/wire", "redshift/identity", "internal/spool"},
	{"internal/warehouse", "internal/signin", "internal/kms", "internal/identitycenter", "internal/orphans", "internal/login"},
	{"internal/oauth", "internal/door/sqlapi", "internal/door/credentials", "internal/admin"},
	{"internal/gateway"},
	{"internal/setup"},
	{"internal/doctor"},
	{"examples/stargazer/...", "twin/..."},
	{"cmd/shiftgrant"},
}

// Exceptions within a floor, each with its reason.
var allowed = map[string]bool{
	"internal/grant internal/secret":        true, // tokens are secrets
	"internal/web internal/grant":           true, // request ids are ids like any other
	"redshift/dataapi redshift/identity":    true, // credentials for a transport
	"redshift/wire redshift/identity":       true,
	"redshift/dataapi redshift/placeholder": true, // how a value goes beside the SQL
	"redshift/wire redshift/placeholder":    true,
}

func TestRoomsImportOnlyLowerFloors(t *testing.T) {
	t.Parallel()
	list := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	output, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	for line := range strings.Lines(string(output)) {
		fields := strings.Fields(line)
		from, ok := strings.CutPrefix(fields[0], module+"/")
		if !ok || strings.HasPrefix(from, "test") || strings.HasPrefix(from, "bench") {
			continue // tests and benchmarks see everything
		}
		fromFloor := floorOf(from)
		if fromFloor < 0 {
			t.Errorf("%s has no floor: add it to the design and to this test", from)
			continue
		}
		seen++
		for _, path := range fields[1:] {
			to, ours := strings.CutPrefix(path, module+"/")
			if !ours || allowed[from+" "+to] || room(from) == room(to) {
				continue
			}
			if floorOf(to) >= fromFloor {
				t.Errorf("%s imports %s, which is not on a lower floor", from, to)
			}
			if room(from) == "twin" {
				t.Errorf("%s imports %s: the twin stands alone", from, to)
			}
			if room(from) == "examples/stargazer" && room(to) != "connect" {
				t.Errorf("%s imports %s: a third-party app has only connect", from, to)
			}
			if room(to) == "twin" && from != "cmd/shiftgrant" {
				t.Errorf("%s imports %s: only the dev command and tests may", from, to)
			}
		}
	}
	if seen < 10 {
		t.Fatalf("looked at %d packages only", seen)
	}
}

func floorOf(path string) int {
	for floor, rooms := range floors {
		for _, r := range rooms {
			if prefix, deep := strings.CutSuffix(r, "/..."); path == r || deep && (path == prefix || strings.HasPrefix(path, prefix+"/")) {
				return floor
			}
		}
	}
	return -1
}

// room is the unit whose packages may import each other.
func room(path string) string {
	for _, deep := range []string{"twin", "connect", "examples/stargazer"} {
		if path == deep || strings.HasPrefix(path, deep+"/") {
			return deep
		}
	}
	return path
}
