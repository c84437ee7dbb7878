package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shiftgrant/shiftgrant/twin"
)

// TestSetUpLeadsFromNothingToAPerson types docs/setup.md: what setup prints is run against an account that
// trusts nobody, doctor walks each chain, and a person signs in and queries as themself.
func TestSetUpLeadsFromNothingToAPerson(t *testing.T) {
	t.Parallel()
	const path = "../docs/setup.md"
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	w := newTypedWorld(t)
	_, yaml, _ := strings.Cut(string(content), "```yaml\n")
	yaml, _, _ = strings.Cut(yaml, "```")
	w.write(t, "shiftgrant.yaml", w.here.Replace(yaml))
	w.write(t, "client.secret", twin.DefaultClientSecret)
	fresh := console.ReplaceAllStringFunc(string(content), func(block string) string {
		return "```console\n" + retype(t, w.shell(t), console.FindStringSubmatch(block)[1]) + "```"
	})
	if diff := cmp.Diff(constant(string(content)), constant(fresh)); diff != "" && !*update {
		t.Errorf("%s shows what does not happen (go test ./test -run TestSetUp -update rewrites it):\n%s", path, diff)
	}
	if *update {
		if err := os.WriteFile(path, []byte(fresh), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// A typedWorld is a folder in which a document starts everything itself, on ports of this test's own.
type typedWorld struct {
	folder      string
	here, there *strings.Replacer
}

func newTypedWorld(t *testing.T) *typedWorld {
	t.Helper()
	// The path of a unix socket is limited to about 100 bytes.
	folder, err := os.MkdirTemp("", "sg")
	if err != nil {
		t.Fatal(err)
	}
	w := &typedWorld{folder: folder}
	t.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { w.end(t) })
	here := []string{"bin/shiftgrant", binary, "my-world/", folder + "/"}
	there := []string{binary, "bin/shiftgrant", folder + "/", "my-world/"}
	for _, shown := range []string{"7420", "7422", "5439"} {
		port := strconv.Itoa(freePort(t))
		here, there = append(here, shown, port), append(there, port, shown)
	}
	w.here, w.there = strings.NewReplacer(here...), strings.NewReplacer(there...)
	return w
}

func (w *typedWorld) write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.folder, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (w *typedWorld) shell(t *testing.T) func(string) string {
	return typist(t, w.here, w.there, filepath.Join(w.folder, "state"), "AWS_DEFAULT_REGION=us-east-1")
}

// end stops what the document started and did not stop, by the process ids that it noted, and waits for it:
// the twin stops its database.
func (w *typedWorld) end(t *testing.T) {
	t.Helper()
	for _, name := range []string{"serve.pid", "twin.pid"} {
		noted, err := os.ReadFile(filepath.Join(w.folder, name))
		if err != nil {
			continue // it did not get that far
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(noted)))
		if err != nil {
			t.Error(err)
			continue
		}
		if isOurs(pid) {
			_ = syscall.Kill(pid, syscall.SIGINT)
		}
		eventually(t, 30*time.Second, "0 processes of "+name, func() string {
			if isOurs(pid) {
				return "1 process of " + name
			}
			return "0 processes of " + name
		})
	}
}

// isOurs reports whether a process is there and runs the command under test; the dead run nothing.
func isOurs(pid int) bool {
	command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && strings.HasPrefix(string(command), binary)
}

// AWS's specification of CloudFormation, as its CDK ships it, knows every resource and property that
// setup prints, and misses none.
func TestSetUpPrintsTemplatesThatCloudFormationKnows(t *testing.T) {
	t.Parallel()
	templates, err := filepath.Glob("../internal/setup/testdata/*/cloudformation.yaml")
	if err != nil || len(templates) < 5 {
		t.Fatalf("%d templates, %v", len(templates), err)
	}
	run := exec.CommandContext(t.Context(), "node", append([]string{"clients/cloudformation.mjs"}, templates...)...)
	output, err := run.CombinedOutput()
	if err != nil || !regexp.MustCompile(`^ok: \d\d resources\n$`).Match(output) {
		t.Errorf("%v:\n%s", err, output)
	}
	// The same check refuses what is wrong.
	content, err := os.ReadFile(templates[0])
	if err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "broken.yaml")
	if err := os.WriteFile(broken, []byte(strings.Replace(string(content), "RoleName:", "NameOfRole:", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	output, err = exec.CommandContext(t.Context(), "node", "clients/cloudformation.mjs", broken).CombinedOutput()
	if err == nil || !strings.Contains(string(output), "NameOfRole: there is no such property") {
		t.Errorf("a property that AWS does not know: %v, %s", err, output)
	}
}
