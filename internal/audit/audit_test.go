package audit_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shiftgrant/shiftgrant/internal/audit"
	"github.com/shiftgrant/shiftgrant/internal/grant"
)

// childPath, set in the environment, makes this program the writer that is killed.
const childPath = "SHIFTGRANT_TEST_AUDIT_PATH"

func TestMain(m *testing.M) {
	if path := os.Getenv(childPath); path != "" {
		writeForEver(path)
	}
	goleak.VerifyTestMain(m)
}

func open(t testing.TB, path string) *audit.Log {
	t.Helper()
	log, err := audit.Open(audit.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	return log
}

func write(t testing.TB, log *audit.Log, record audit.Record) {
	t.Helper()
	if err := log.Write(t.Context(), record); err != nil {
		t.Fatal(err)
	}
}

func lines(t testing.TB, path string) []string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Collect(strings.Lines(string(content)))
}

// check verifies one file.
func check(text string) (audit.Verified, error) {
	var verifier audit.Verifier
	err := verifier.Read("record", strings.NewReader(text))
	return verifier.Verified(), err
}

// verify wants a whole chain of records first to last.
func verify(t testing.TB, first, last int64, paths ...string) audit.Verified {
	t.Helper()
	var content []byte
	for _, path := range paths {
		part, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		content = append(content, part...)
	}
	verified, err := check(string(content))
	if err != nil || verified.First != first || verified.Last != last {
		t.Fatalf("Verify = %+v, %v; want records %d to %d", verified, err, first, last)
	}
	return verified
}

func TestRecordIsOneLineInPlaceOfTheChain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data", "audit.jsonl")
	log := open(t, path)
	at := time.Date(2026, 11, 23, 13, 0, 0, 0, time.FixedZone("", 3600))
	write(t, log, audit.Record{Time: at, Kind: "statement.started", Person: "per_1", Statement: "select 1 < 2", Duration: time.Second})
	write(t, log, audit.Record{Time: at, Kind: "statement.ended", Rows: 1})
	got := lines(t, path)
	want := `{"n":1,"previous":"","time":"2026-11-23T12:00:00Z","kind":"statement.started","person":"per_1","statement":"select 1 < 2","duration_ns":1000000000}` + "\n"
	if len(got) != 2 || got[0] != want {
		t.Errorf("first line\n%s\nwant\n%s", got[0], want)
	}
	verify(t, 1, 2, path)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
}

func TestNoTextEndsALineOrReachesATerminal(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	log := open(t, path)
	hostile := "a\n{\"n\":2}\r\x00\x1b[2J\x7f\u009b31m\u2028\u202e\u200b\ufeff\U000e0041\xff\"\\ ä 日本"
	write(t, log, audit.Record{Kind: "statement.started", Statement: hostile, Detail: hostile})
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range string(bytes.TrimSuffix(content, []byte{'\n'})) {
		if r < 0x20 || r == 0x7f || 0x80 <= r && r < 0xa0 || r == '\u2028' || r == '\u202e' || r == '\u200b' || r == '\ufeff' || r >= 0xe0000 {
			t.Errorf("character %U at %d reached the file", r, i)
		}
	}
	var read audit.Record
	if err := json.Unmarshal(content, &read); err != nil {
		t.Fatal(err)
	}
	if want := strings.ToValidUTF8(hostile, "\ufffd"); read.Statement != want || read.Detail != want {
		t.Errorf("statement reads %q, want %q", read.Statement, want)
	}
	verify(t, 1, 1, path)
}

func TestTokenInATextIsMasked(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	log := open(t, path)
	token := grant.NewToken(grant.AccessToken).Reveal()
	write(t, log, audit.Record{Kind: "statement.started", Statement: "select '" + token + "' as sg_at_home"})
	if got := lines(t, path)[0]; strings.Contains(got, token[6:]) || !strings.Contains(got, "select 'sg_at_****' as sg_at_home") {
		t.Errorf("the line is %s", got)
	}
}

func TestParallelWritersKeepTheChain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	log := open(t, path)
	const writers, each = 32, 25
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range each {
				if err := log.Write(t.Context(), audit.Record{Kind: "test", Detail: fmt.Sprint(w), Rows: int64(i + 1)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	verify(t, 1, writers*each, path)
	// Each writer's records are in the order in which they were written.
	seen := map[string]int64{}
	for _, line := range lines(t, path) {
		var record audit.Record
		if err := json.Unmarshal([]byte(line), &record); err != nil || record.Rows != seen[record.Detail]+1 {
			t.Fatalf("writer %s: record %d after %d (%v)", record.Detail, record.Rows, seen[record.Detail], err)
		}
		seen[record.Detail] = record.Rows
	}
}

func TestChainGoesOnAfterRestart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	for range 3 {
		log, err := audit.Open(audit.Config{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		write(t, log, audit.Record{Kind: "test", Detail: strings.Repeat("long ", 40_000)})
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		if err := log.Write(t.Context(), audit.Record{Kind: "late"}); !errors.Is(err, audit.ErrUnavailable) {
			t.Errorf("Write after Close = %v, want ErrUnavailable", err)
		}
	}
	verify(t, 1, 3, path)
}

func TestTornRecordIsSetAsideAndNoted(t *testing.T) {
	t.Parallel()
	for name, torn := range map[string]string{
		"half a line":         `{"n":3,"previous":"ab`,
		"zeros":               strings.Repeat("\x00", 5000),
		"half a line, ended":  "{\"n\":3,\"pre\n",
		"a line and a half":   "\x00\x00\n{\"n\":4",
		"more than is record": strings.Repeat("x", 300_000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "audit.jsonl")
			log, err := audit.Open(audit.Config{Path: path})
			if err != nil {
				t.Fatal(err)
			}
			write(t, log, audit.Record{Kind: "one"})
			write(t, log, audit.Record{Kind: "two"})
			if err := log.Close(); err != nil {
				t.Fatal(err)
			}
			appendTo(t, path, torn)
			log = open(t, path)
			write(t, log, audit.Record{Kind: "four"})
			verify(t, 1, 4, path)
			if got := lines(t, path); !strings.Contains(got[2], "audit.repaired") || !strings.Contains(got[2], fmt.Sprintf("%d bytes after record 2", len(torn))) {
				t.Errorf("record 3 is %s", got[2])
			}
			if aside, err := os.ReadFile(path + ".torn"); err != nil || string(aside) != torn+"\n" {
				t.Errorf("set aside %d bytes, %v; want the %d that were torn", len(aside), err, len(torn))
			}
		})
	}
}

func TestFirstRecordMayBeTorn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	appendTo(t, path, `{"n":1,"previous":"","ti`)
	open(t, path)
	verify(t, 1, 1, path)
}

func TestFileThatIsNoRecordIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"another file":      "root:x:0:0:root:/root:/bin/bash\n",
		"a long other file": strings.Repeat("words\n", 3_000_000),
	} {
		path := filepath.Join(t.TempDir(), "file")
		appendTo(t, path, content)
		if log, err := audit.Open(audit.Config{Path: path}); err == nil {
			_ = log.Close()
			t.Errorf("%s: Open = nil, want an error", name)
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != content {
			t.Errorf("%s: it was changed", name)
		}
	}
}

func appendTo(t testing.TB, path, text string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestTamperingIsFound(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	log := open(t, path)
	for i := range 5 {
		write(t, log, audit.Record{Kind: "test", Detail: fmt.Sprint("detail ", i)})
	}
	whole := lines(t, path)
	for _, c := range []struct {
		name   string
		change func(lines []string) []string
		want   string
	}{
		{"nothing", func(l []string) []string { return l }, ""},
		{"a changed record", func(l []string) []string { l[1] = strings.Replace(l[1], "detail 1", "detail 9", 1); return l }, "record:3:"},
		{"a changed first record", func(l []string) []string { l[0] = strings.Replace(l[0], "detail 0", "detail 9", 1); return l }, "record:2:"},
		{"a missing record", func(l []string) []string { return append(l[:2], l[3:]...) }, "record:3:"},
		{"records in another order", func(l []string) []string { l[1], l[2] = l[2], l[1]; return l }, "record:2:"},
		{"a record twice", func(l []string) []string { return append(l[:2], l[1:]...) }, "record:3:"},
		{"a line of something else", func(l []string) []string { return append([]string{"hello\n"}, l...) }, "record:1: no record"},
		{"an empty line", func(l []string) []string { l[2] = "\n"; return l }, "record:3: no record"},
		{"a second chain", func(l []string) []string { return append(l, l...) }, "record:6:"},
		{"a first record that names another", func(l []string) []string { return []string{strings.Replace(l[0], `""`, `"ab"`, 1)} }, "record:1:"},
	} {
		tampered := c.change(append([]string{}, whole...))
		_, err := check(strings.Join(tampered, ""))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: Verify = %v, want %q", c.name, err, c.want)
		}
	}
	cut, err := check(strings.Join(whole[:4], ""))
	if err != nil || cut.Head == verify(t, 1, 5, path).Head {
		t.Errorf("a cut record has the head of the whole one: %+v, %v", cut, err)
	}
}

func TestRotatedFilesAreOneChain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	log := open(t, path)
	write(t, log, audit.Record{Kind: "one"})
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write(t, log, audit.Record{Kind: "two"}) // still the old file
	if err := log.Reopen(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, log, audit.Record{Kind: "four"})
	verify(t, 1, 2, path+".1")
	verify(t, 3, 4, path)
	verify(t, 1, 4, path+".1", path)
	if got := lines(t, path)[0]; !strings.Contains(got, "audit.reopened") {
		t.Errorf("the new file begins with %s", got)
	}
}

// F21: a named pipe that nobody reads takes as much as the system buffers, then nothing.
func TestBlockedSinkMakesWritesFailInTime(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	const patience = 50 * time.Millisecond
	log, err := audit.Open(audit.Config{Path: path, Patience: patience})
	if err != nil {
		t.Fatal(err)
	}
	record := audit.Record{Kind: "statement.started", Statement: strings.Repeat("x", 8000)}
	accepted := 0
	for err == nil {
		started := time.Now()
		if err = log.Write(t.Context(), record); err == nil {
			accepted++
		}
		if waited := time.Since(started); waited > patience+5*time.Second {
			t.Errorf("Write waited %v", waited)
		}
	}
	if !errors.Is(err, audit.ErrUnavailable) || accepted == 0 {
		t.Fatalf("after %d records: %v, want ErrUnavailable", accepted, err)
	}
	if err := log.Write(t.Context(), audit.Record{Kind: "given up"}); !errors.Is(err, audit.ErrUnavailable) {
		t.Fatalf("Write = %v, want ErrUnavailable", err)
	}
	// When somebody reads again, writes go through, and those that were refused are not there,
	// but for the one that was on its way.
	reader, err := os.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	received := make(chan string, 1)
	go func() {
		var all strings.Builder
		lines := bufio.NewReader(reader)
		for {
			line, err := lines.ReadString('\n')
			all.WriteString(line)
			if err != nil || strings.Contains(line, "at last") {
				received <- all.String()
				return
			}
		}
	}()
	for log.Write(t.Context(), audit.Record{Kind: "at last"}) != nil {
	}
	text := <-received
	verified, err := check(text)
	if err != nil || strings.Contains(text, "given up") || verified.Last < int64(accepted+2) {
		t.Errorf("read %+v, %v (accepted %d, given up: %v)", verified, err, accepted, strings.Contains(text, "given up"))
	}
	if err := errors.Join(log.Close(), reader.Close()); err != nil {
		t.Error(err)
	}
}

func TestCloseDoesNotWaitForABlockedSink(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := audit.Open(audit.Config{Path: path, Patience: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	for log.Write(t.Context(), audit.Record{Kind: "test", Detail: strings.Repeat("x", 30_000)}) == nil {
	}
	if err := log.Close(); !errors.Is(err, audit.ErrUnavailable) {
		t.Errorf("Close = %v, want ErrUnavailable: a record was not written", err)
	}
}

// What Write acknowledged is there after kill -9, and the chain goes on.
func TestAcknowledgedRecordsSurviveAKill(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	var last int64
	for range 5 {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), childPath+"="+path)
		output, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		acknowledged := map[string]bool{}
		reader := bufio.NewScanner(output)
		for len(acknowledged) < 40 && reader.Scan() {
			acknowledged[reader.Text()] = true
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for reader.Scan() { // what it said before it died
			acknowledged[reader.Text()] = true
		}
		_ = child.Wait()

		log, err := audit.Open(audit.Config{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		write(t, log, audit.Record{Kind: "after"})
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		content := strings.Join(lines(t, path), "")
		for detail := range acknowledged {
			if !strings.Contains(content, `"detail":"`+detail+`"`) {
				t.Errorf("record %s was acknowledged and is lost", detail)
			}
		}
		verified, err := check(content)
		if err != nil || verified.Last < last+40 {
			t.Fatalf("Verify = %+v, %v; had %d before", verified, err, last)
		}
		last = verified.Last
	}
}

// writeForEver is what the child does: several writers, each telling what was acknowledged.
func writeForEver(path string) {
	log, err := audit.Open(audit.Config{Path: path})
	if err != nil {
		panic(err)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for {
				detail := grant.NewID("rec")
				if err := log.Write(context.Background(), audit.Record{Kind: "test", Detail: detail}); err != nil {
					panic(err)
				}
				if _, err := fmt.Println(detail); err != nil {
					os.Exit(0) // the parent is gone
				}
			}
		})
	}
	group.Wait()
}

func FuzzVerify(f *testing.F) {
	path := filepath.Join(f.TempDir(), "audit.jsonl")
	log := open(f, path)
	write(f, log, audit.Record{Kind: "one", Detail: "detail"})
	write(f, log, audit.Record{Kind: "two"})
	whole := strings.Join(lines(f, path), "")
	f.Add(whole, 3, byte('x'))
	f.Add("{}", 0, byte(0))
	f.Fuzz(func(t *testing.T, text string, at int, changed byte) {
		if verified, err := check(text); err == nil && verified.Last < verified.First {
			t.Errorf("Verify = %+v", verified)
		}
		// No byte of the first record can change while the second stays.
		first := strings.IndexByte(whole, '\n')
		if at < 0 || at >= first || whole[at] == changed {
			return
		}
		if _, err := check(whole[:at] + string([]byte{changed}) + whole[at+1:]); err == nil {
			t.Errorf("byte %d changed to %q unnoticed", at, changed)
		}
	})
}

func FuzzRecordIsOneLine(f *testing.F) {
	f.Add("select 1", "sg_at_x")
	f.Add("\u202e\x9b", "\\u0000")
	path := filepath.Join(f.TempDir(), "audit.jsonl")
	log := open(f, path)
	f.Fuzz(func(t *testing.T, statement, detail string) {
		before := len(lines(t, path))
		write(t, log, audit.Record{Kind: "test", Statement: statement, Detail: detail})
		after := lines(t, path)
		if added := len(after) - before; added != 1 {
			t.Errorf("%d lines were added", added)
		}
		if _, err := check(strings.Join(after, "")); err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	log := open(b, filepath.Join(b.TempDir(), "audit.jsonl"))
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			write(b, log, audit.Record{Kind: "token.refreshed", Tenant: "default", Person: "per_1", App: "stargazer", Grant: "gra_1", RequestID: "req_1"})
		}
	})
}
