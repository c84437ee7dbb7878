package test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A document shows what happens on a terminal in blocks of "console": lines that begin with "$ "
// are typed, a line that ends with "\" goes on in the next, and the rest is what was answered.
var console = regexp.MustCompile("(?s)```console\n(.*?)```")

// TestTranscriptsAreReal types what the documents show, each document in one shell from its top
// to its end, and compares the answers.
func TestTranscriptsAreReal(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"curl", "aws", "openssl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is not installed: `make test` installs it", tool)
		}
	}
	w := development(t)
	for _, name := range []string{"quickstart.md", "sql-api.md", "doctor.md", "cli.md"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join("..", "docs", name)
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			shell := w.shell(t)
			fresh := console.ReplaceAllStringFunc(string(content), func(block string) string {
				return "```console\n" + retype(t, shell, console.FindStringSubmatch(block)[1]) + "```"
			})
			if diff := cmp.Diff(constant(string(content)), constant(fresh)); diff != "" && !*update {
				t.Errorf("%s shows what does not happen (go test ./test -run TestTranscripts -update rewrites it):\n%s", path, diff)
			}
			if *update {
				if err := os.WriteFile(path, []byte(fresh), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// retype types the commands of one block and gives the block with what came.
func retype(t *testing.T, shell func(string) string, block string) string {
	t.Helper()
	var fresh, command strings.Builder
	for line := range strings.Lines(block) {
		if text, typed := strings.CutPrefix(line, "$ "); typed {
			command.WriteString(text)
		} else if command.Len() > 0 {
			command.WriteString(line)
		} else {
			continue // an answer
		}
		fresh.WriteString(line)
		if !strings.HasSuffix(line, "\\\n") {
			fresh.WriteString(shell(command.String()))
			command.Reset()
		}
	}
	if command.Len() > 0 {
		t.Fatalf("a command has no end:\n%s", block)
	}
	return fresh.String()
}

// shell gives a function that runs one command after another in one bash, with the addresses that
// the documents name turned into those of this world, and back.
func (w *world) shell(t *testing.T) func(command string) string {
	t.Helper()
	here := strings.NewReplacer("localhost:7420", host(t, w.gateway), "localhost:7421", host(t, w.stargazer), "localhost:7422", host(t, w.twin), "bin/shiftgrant", binary, "my-world/", w.folder+"/")
	there := strings.NewReplacer(host(t, w.gateway), "localhost:7420", host(t, w.stargazer), "localhost:7421", host(t, w.twin), "localhost:7422", binary, "bin/shiftgrant", w.folder+"/", "my-world/")
	return typist(t, here, there, filepath.Join(t.TempDir(), "state"), "SHIFTGRANT_GATEWAY="+w.gateway)
}

// typist gives a function that runs one command after another in one bash, whose variables are in the
// file state in between.
func typist(t *testing.T, here, there *strings.Replacer, state string, environment ...string) func(command string) string {
	t.Helper()
	return func(command string) string {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		// What a command sets, the next one has: the variables are kept in a file in between.
		bash := exec.CommandContext(ctx, "bash", "-c", fmt.Sprintf("set -a; [ -f %[1]s ] && . %[1]s; trap 'declare -px | grep -v \"^declare -[a-z]*r\" >%[1]s' EXIT\n%s", state, here.Replace(command)))
		bash.Env = append(os.Environ(), "AWS_PAGER=", "XDG_CONFIG_HOME="+filepath.Dir(state), "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null")
		bash.Env = append(bash.Env, environment...)
		output, err := bash.CombinedOutput()
		if err != nil {
			t.Errorf("%s\nfailed: %v\n%s", command, err, output)
		}
		text := there.Replace(strings.ReplaceAll(string(output), "\r\n", "\n"))
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		return text
	}
}

func host(t *testing.T, address string) string {
	t.Helper()
	parsed, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Host
}

// constant takes out what is another each time.
func constant(text string) string {
	for _, changing := range []struct{ pattern, name string }{
		{`\bsg_(at|rt|ac|cs)_[A-Za-z0-9]+`, "TOKEN"},
		{`\b(st|req|gra|per|fam)_[A-Za-z0-9]+`, "ID"},
		{`\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`, "UUID"},
		{`\b\d{4}-\d\d-\d\dT[0-9:.]+(Z|[+-]\d\d:\d\d)`, "TIME"},
		{`(?m)^([Dd]ate): .*$`, "DATE"},
		{`"duration_ms":\d+`, "DURATION"},
		{`"(request_id|kid)":"[^"]*"`, "ID"},
		{`(?i)x-request-id: .*`, "ID"},
		{`\beyJ[A-Za-z0-9_.-]+`, "JWT"},
		{`http://127\.0\.0\.1:\d+/start/\w+`, "LOOPBACK"},
		{`\(\d+(\.\d+)?m?s\)`, "(TOOK)"},
		{`localhost:\d+ takes connections`, "HOST takes connections"},
		{`PostgreSQL \S+ (\(.*\))?, which is not Redshift`, "VERSION, which is not Redshift"},
		{`\d+ apps?\b`, "APPS"},
		{`schema version \d+`, "schema version"},
		{`\d+ secret files`, "secret files"},
		{`within \ds of`, "within SECONDS of"},
	} {
		text = regexp.MustCompile(changing.pattern).ReplaceAllString(text, changing.name)
	}
	return text
}
