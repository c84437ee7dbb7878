package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/audit"
)

// shiftgrant runs the command as an operator does.
func shiftgrant(t *testing.T, arguments ...string) (output string, err error) {
	t.Helper()
	var written bytes.Buffer
	root := newRoot()
	root.SetArgs(arguments)
	root.SetOut(&written)
	root.SetErr(&written)
	err = root.ExecuteContext(t.Context())
	return written.String(), err
}

// auditedFolder is a data folder with a record of three files.
func auditedFolder(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(folder, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "keys", "audit.pub"), []byte(base64.StdEncoding.EncodeToString(public)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := audit.Open(audit.Config{Path: filepath.Join(folder, "audit.jsonl"), Key: private})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for i := range 3 {
		if i > 0 {
			if err := os.Rename(filepath.Join(folder, "audit.jsonl"), filepath.Join(folder, fmt.Sprintf("audit.jsonl.%d", 3-i))); err != nil {
				t.Fatal(err)
			}
			if err := log.Reopen(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for _, record := range []audit.Record{
			{Kind: "signin", Person: "per_1", DatabaseAs: "alice"},
			{Kind: "consent", Person: "per_1", App: "stargazer"},
			{Kind: "statement.started", Person: "per_1", DatabaseAs: "alice", App: "stargazer", Statement: fmt.Sprintf("select %d\n\x1b[2J", i)},
			{Kind: "statement.ended", Person: "per_2", DatabaseAs: "bob", App: "other", Outcome: "failed", SQLState: "42501", Rows: 1, Bytes: 12, Duration: 1500 * time.Microsecond},
		} {
			record.Time = at
			if err := log.Write(t.Context(), record); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return folder
}

func TestAuditVerifyReadsAllFilesOfTheDataFolder(t *testing.T) {
	t.Parallel()
	folder := auditedFolder(t)
	output, err := shiftgrant(t, "audit", "verify", "--data", folder)
	if err != nil || !strings.Contains(output, "records 1 to 19 are whole (3 files)") || !strings.Contains(output, "signed up to record 19") || strings.Contains(output, "unsigned") {
		t.Errorf("verify = %v\n%s", err, output)
	}
	// Files that are given may come in any order, and bring no key.
	files, err := filepath.Glob(filepath.Join(folder, "audit.jsonl*"))
	if err != nil {
		t.Fatal(err)
	}
	output, err = shiftgrant(t, append([]string{"audit", "verify"}, files...)...)
	if err != nil || !strings.Contains(output, "records 1 to 19 are whole") || !strings.Contains(output, "was not checked") {
		t.Errorf("verify of files = %v\n%s", err, output)
	}
}

func TestAuditVerifyNamesTheBrokenRecord(t *testing.T) {
	t.Parallel()
	edit := func(file, from, to string) func(t *testing.T, folder string) {
		return func(t *testing.T, folder string) {
			path := filepath.Join(folder, file)
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(strings.Replace(string(content), from, to, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		change func(t *testing.T, folder string)
		want   string
	}{
		"a changed statement":     {edit("audit.jsonl.2", "select 0", "select 9"), "audit.jsonl.2:6: record 6: does not follow"},
		"a changed last record":   {edit("audit.jsonl.2", `"kind":"audit.head","chain"`, `"kind":"audit.cut","chain"`), "audit.jsonl.2:3: record 3: does not follow"},
		"a line of something":     {edit("audit.jsonl.1", "\n", "\nhello\n"), "audit.jsonl.1:2: no record"},
		"a file that is gone":     {func(t *testing.T, folder string) { remove(t, folder, "audit.jsonl.1") }, "audit.jsonl:1: record 14: follows record 7"},
		"another key":             {edit("keys/audit.pub", "", "A"), "no public key"},
		"keys that are not there": {func(t *testing.T, folder string) { remove(t, folder, "keys/audit.pub") }, "read the public keys"},
		"no record at all": {func(t *testing.T, folder string) {
			remove(t, folder, "audit.jsonl", "audit.jsonl.1", "audit.jsonl.2")
		}, "there is no audit record"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := auditedFolder(t)
			c.change(t, folder)
			output, err := shiftgrant(t, "audit", "verify", "--data", folder)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("verify = %v, want %q\n%s", err, c.want, output)
			}
		})
	}
}

func remove(t *testing.T, folder string, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.Remove(filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAuditVerifyTellsOfTheUnsignedTail(t *testing.T) {
	t.Parallel()
	folder := auditedFolder(t)
	path := filepath.Join(folder, "audit.jsonl")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(content), "\n")
	if err := os.WriteFile(path, []byte(strings.Join(lines[:4], "")), 0o600); err != nil {
		t.Fatal(err)
	}
	output, err := shiftgrant(t, "audit", "verify", "--data", folder)
	if err != nil || !strings.Contains(output, "unsigned tail of 4 records") {
		t.Errorf("verify = %v\n%s", err, output)
	}
}

func TestAuditTailFiltersAndIsSafeForATerminal(t *testing.T) {
	t.Parallel()
	folder := auditedFolder(t)
	for _, c := range []struct {
		arguments []string
		lines     int
		has, not  string
	}{
		{nil, 19, "audit.opened", "\x1b"},
		{[]string{"-n", "3"}, 3, "failed 42501", "audit.opened"},
		{[]string{"--kind", "statement"}, 6, "2026-11-23T12:00:00.000Z  statement.started  alice", "consent"},
		{[]string{"--kind", "statement.ended", "-n", "1"}, 1, "1 row, 12 bytes, 2ms", "started"},
		{[]string{"--person", "alice", "--kind", "consent"}, 3, "consent            alice        stargazer", "bob"},
		{[]string{"--app", "other", "--json", "-n", "2"}, 2, `"bytes":12`, "stargazer"},
	} {
		output, err := shiftgrant(t, append([]string{"audit", "tail", "--data", folder}, c.arguments...)...)
		if err != nil || strings.Count(output, "\n") != c.lines || !strings.Contains(output, c.has) || strings.Contains(output, c.not) {
			t.Errorf("tail %v = %v, want %d lines with %q and without %q\n%s", c.arguments, err, c.lines, c.has, c.not, output)
		}
	}
}
