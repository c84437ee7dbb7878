package audit_test

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/audit"
)

// newKey is a key that is the same each time, by its seed.
func newKey(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(seed), ed25519.SeedSize)))
}

func public(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

func openSigned(t testing.TB, config audit.Config) *audit.Log {
	t.Helper()
	config.Key, config.HeadEvery = newKey('a'), time.Hour
	log, err := audit.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() }) // tests close it themselves, and look at the error
	return log
}

func closeLog(t testing.TB, log *audit.Log) {
	t.Helper()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

// verified checks files against the key that the tests sign by.
func verified(files ...string) (audit.Verified, error) {
	verifier := audit.Verifier{Keys: []ed25519.PublicKey{public(newKey('a'))}}
	for _, path := range files {
		file, err := os.Open(path)
		if err != nil {
			return audit.Verified{}, err
		}
		err = verifier.Read(filepath.Base(path), file)
		if err := errors.Join(err, file.Close()); err != nil {
			return verifier.Verified(), err
		}
	}
	return verifier.Verified(), nil
}

func TestRunBeginsAndEndsInASignedHead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	log := openSigned(t, audit.Config{Path: path})
	write(t, log, audit.Record{Kind: "one"})
	write(t, log, audit.Record{Kind: "two"})
	while, err := verified(path)
	if err != nil || while.Heads != 1 || while.Unsigned() != 2 {
		t.Errorf("while it runs: %+v, %v; want one head and two unsigned records", while, err)
	}
	closeLog(t, log)
	after, err := verified(path)
	if err != nil || after.Heads != 2 || after.Unsigned() != 0 || after.Last != 5 || after.Signed != 5 {
		t.Errorf("after it: %+v, %v; want opened, head, one, two, head", after, err)
	}
	if len(after.Keys) != 1 || after.SignedAt.IsZero() || after.Chain == "" {
		t.Errorf("it says %+v", after)
	}
}

func TestHeadIsSignedWhileServing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	log, err := audit.Open(audit.Config{Path: path, Key: newKey('a'), HeadEvery: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	write(t, log, audit.Record{Kind: "one"})
	deadline := time.Now().Add(10 * time.Second)
	for {
		seen, err := verified(path)
		if err != nil {
			t.Fatal(err)
		}
		if seen.Signed > 3 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after ten seconds: %+v", seen)
		}
	}
	closeLog(t, log)
	if n := len(lines(t, path)); n != 4 {
		t.Errorf("%d records, want 4: what signs itself is not signed again", n)
	}
}

func TestForgedEndIsFound(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	log := openSigned(t, audit.Config{Path: path})
	write(t, log, audit.Record{Kind: "statement.started", Statement: "select 1"})
	closeLog(t, log)
	whole := lines(t, path)

	// Somebody who can write the file, but has another key, writes it all anew.
	other := filepath.Join(t.TempDir(), "audit.jsonl")
	forger, err := audit.Open(audit.Config{Path: other, Key: newKey('b')})
	if err != nil {
		t.Fatal(err)
	}
	closeLog(t, forger)
	signature := strings.Index(whole[3], `"signature":"`) + len(`"signature":"`)
	flipped := map[byte]string{'A': "B"}[whole[3][signature]]
	if flipped == "" {
		flipped = "A"
	}
	for name, c := range map[string]struct {
		text, want string
		unsigned   int64
	}{
		"whole":             {strings.Join(whole, ""), "", 0},
		"no end":            {strings.Join(whole[:3], ""), "", 1},
		"another's key":     {strings.Join(lines(t, other), ""), ":2: record 2: the head is signed by ", 2},
		"changed signature": {strings.Join(whole[:3], "") + whole[3][:signature] + flipped + whole[3][signature+1:], ":4: record 4: the head's signature is wrong", 2},
		"no signature":      {strings.Join(whole[:3], "") + whole[3][:signature-len(`,"signature":"`)] + "}\n", ":4: record 4: the head has no signature", 2},
		"half a line":       {strings.Join(whole, "") + `{"n":5,`, "", 0},
		"changed time":      {strings.Join(whole[:3], "") + strings.Replace(whole[3], `"time":"2`, `"time":"3`, 1), ":4: record 4: the head's signature is wrong", 2},
	} {
		file := filepath.Join(t.TempDir(), "audit.jsonl")
		appendTo(t, file, c.text)
		seen, err := verified(file)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) || seen.Unsigned() != c.unsigned {
			t.Errorf("%s: %v with %d unsigned, want %q with %d", name, err, seen.Unsigned(), c.want, c.unsigned)
		}
		if name == "half a line" && seen.Torn != 7 {
			t.Errorf("%d bytes are torn, want 7", seen.Torn)
		}
	}
}

func TestRunAfterACrashSaysWhatWasNotSigned(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	log := openSigned(t, audit.Config{Path: path})
	write(t, log, audit.Record{Kind: "one"})
	crashed := strings.Join(lines(t, path), "")
	closeLog(t, log)
	if err := os.WriteFile(path, []byte(crashed), 0o600); err != nil {
		t.Fatal(err)
	}
	closeLog(t, openSigned(t, audit.Config{Path: path}))
	if got := lines(t, path); !strings.Contains(got[3], `"audit.opened"`) || !strings.Contains(got[3], "before record 4 was signed only now") {
		t.Errorf("the run after the crash begins with %s", got[3])
	}
	if seen, err := verified(path); err != nil || seen.Unsigned() != 0 {
		t.Errorf("%+v, %v", seen, err)
	}
}

func TestFileIsRotatedBySizeAndTheChainGoesOn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	clock := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	log := openSigned(t, audit.Config{Path: path, RotateAt: 4000, Now: func() time.Time { return clock }})
	for i := range 40 {
		write(t, log, audit.Record{Kind: "test", Detail: fmt.Sprint("record ", i, strings.Repeat(" long", 50))})
	}
	closeLog(t, log)
	files, err := audit.Files(path)
	if err != nil || len(files) < 4 || files[len(files)-1].Path != path {
		t.Fatalf("Files = %+v, %v; want several, the current one last", files, err)
	}
	var paths []string
	for _, f := range files {
		if f.Chain != files[0].Chain {
			t.Errorf("%s is of chain %s", f.Path, f.Chain)
		}
		paths = append(paths, f.Path)
		if seen, err := verified(f.Path); err != nil || seen.Unsigned() != 0 || seen.First != f.First {
			t.Errorf("%s by itself: %+v, %v; want it to end in a head", f.Path, seen, err)
		}
	}
	all, err := verified(paths...)
	if err != nil || all.First != 1 || all.Chain != files[0].Chain {
		t.Errorf("together: %+v, %v", all, err)
	}
	if _, err := verified(paths[0], paths[2]); err == nil {
		t.Error("a file that is missing between two others is not missed")
	}

	// A run that finds the new file still empty goes on from the one before.
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	closeLog(t, openSigned(t, audit.Config{Path: path}))
	again, err := verified(append(append([]string{}, paths[:len(paths)-1]...), path+".1", path)...)
	if err != nil || again.Chain != all.Chain || again.Last <= all.Last {
		t.Errorf("after a move and a restart: %+v, %v; want it to go on from %d", again, err, all.Last)
	}
}

func TestFollowerReadsOnThroughRotation(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	log := openSigned(t, audit.Config{Path: path, RotateAt: 50_000})
	const records = 2000
	written := make(chan error, 1)
	go func() {
		for i := range records {
			if err := log.Write(t.Context(), audit.Record{Kind: "test", Rows: int64(i + 1), Detail: strings.Repeat("x", i%300)}); err != nil {
				written <- err
				return
			}
		}
		written <- log.Close()
	}()
	follower, err := audit.Follow(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	var verifier audit.Verifier
	var tests int
	for done := false; ; {
		line, err := follower.Next()
		if err != nil {
			if done {
				break
			}
			select {
			case err := <-written:
				if err != nil {
					t.Fatal(err)
				}
				done = true
			case <-time.After(time.Millisecond):
			}
			continue
		}
		if err := verifier.Read("followed", strings.NewReader(string(line)+"\n")); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(line), `"kind":"test"`) {
			tests++
		}
	}
	if err := follower.Close(); err != nil || tests != records {
		t.Errorf("read %d records, want %d (%v)", tests, records, err)
	}
	// From any place on, it begins with the record after that.
	for _, after := range []int64{0, 1, 2, 500, 1000, 1999, verifier.Verified().Last - 1} {
		follower, err := audit.Follow(path, after)
		if err != nil {
			t.Fatal(err)
		}
		line, err := follower.Next()
		if err != nil || !strings.HasPrefix(string(line), fmt.Sprintf(`{"n":%d,`, after+1)) {
			t.Errorf("after %d comes %.20s, %v", after, line, err)
		}
		_ = follower.Close()
	}
}

// brokenCopy takes what fits, as a pipe does.
type brokenCopy struct {
	got  strings.Builder
	room int
}

func (b *brokenCopy) Write(p []byte) (int, error) {
	n := min(b.room, len(p))
	b.got.Write(p[:n])
	b.room -= n
	if n < len(p) {
		return n, errors.New("the pipe is broken")
	}
	return n, nil
}

func TestCopyMissesNoLine(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	stream := &brokenCopy{room: 100}
	log, err := audit.Open(audit.Config{Path: path, Copy: stream})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := log.Write(t.Context(), audit.Record{Kind: "refused", Detail: strings.Repeat("x", 200)}); !errors.Is(err, audit.ErrUnavailable) {
			t.Errorf("Write = %v, want ErrUnavailable", err)
		}
	}
	if err := log.Ready(t.Context()); !errors.Is(err, audit.ErrUnavailable) {
		t.Errorf("Ready = %v, want ErrUnavailable", err)
	}
	stream.room = 1 << 20
	if err := log.Ready(t.Context()); err != nil {
		t.Errorf("Ready = %v when there is room again", err)
	}
	write(t, log, audit.Record{Kind: "taken"})
	closeLog(t, log)
	file := strings.Join(lines(t, path), "")
	if stream.got.String() != file {
		t.Errorf("the copy has\n%s\nthe file\n%s", stream.got.String(), file)
	}
	// One of the refused was on its way; the others were never written.
	if strings.Count(file, `"kind":"refused"`) != 1 || !strings.Contains(file, `"audit.recovered"`) {
		t.Errorf("the file is\n%s", file)
	}
	verify(t, 1, 3, path)
}
