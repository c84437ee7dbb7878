package audit_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/audit"
)

// shelf keeps copies in memory.
type shelf struct {
	mu     sync.Mutex
	chains map[string][]audit.Line
	down   bool
}

var errDown = errors.New("the shelf is down")

func (s *shelf) CopiedAudit(_ context.Context, chain string) (int64, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return 0, "", errDown
	}
	if n := len(s.chains[chain]); n > 0 {
		return s.chains[chain][n-1].Number, s.chains[chain][n-1].Hash, nil
	}
	return 0, "", nil
}

func (s *shelf) CopyAudit(_ context.Context, chain string, lines []audit.Line) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return errDown
	}
	if s.chains == nil {
		s.chains = map[string][]audit.Line{}
	}
	s.chains[chain] = append(s.chains[chain], lines...)
	return nil
}

func (s *shelf) setDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func (s *shelf) text(chain string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var text strings.Builder
	for _, line := range s.chains[chain] {
		text.WriteString(line.Text + "\n")
	}
	return text.String()
}

// run opens a log with a shipper to the shelf, does something, and closes both.
func (s *shelf) run(t *testing.T, config audit.Config, do func(log *audit.Log, shipper *audit.Shipper)) {
	t.Helper()
	log := openSigned(t, config)
	shipper := audit.Ship(audit.ShipConfig{Log: log, Copies: s, Every: time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
	do(log, shipper)
	closeLog(t, log)
	if err := shipper.Close(); err != nil {
		t.Fatal(err)
	}
}

// whole is the text of all files of the chain at path.
func whole(t *testing.T, path string) (chain, text string) {
	t.Helper()
	files, err := audit.Files(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Chain == files[len(files)-1].Chain {
			text += strings.Join(lines(t, f.Path), "")
		}
	}
	return files[len(files)-1].Chain, text
}

func TestCopiesAreMadeUpForAfterAnOutage(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	var copies shelf
	config := audit.Config{Path: path, RotateAt: 20_000}
	copies.run(t, config, func(log *audit.Log, _ *audit.Shipper) {
		for range 300 {
			write(t, log, audit.Record{Kind: "while up", Detail: strings.Repeat("x", 100)})
		}
	})
	copies.setDown(true)
	copies.run(t, config, func(log *audit.Log, shipper *audit.Shipper) {
		for range 300 {
			write(t, log, audit.Record{Kind: "while down", Detail: strings.Repeat("x", 100)})
		}
		if behind := shipper.Behind(); behind < 300 {
			t.Errorf("Behind = %d while the copies are down, want the 300 that were written", behind)
		}
	})
	copies.setDown(false)
	copies.run(t, config, func(*audit.Log, *audit.Shipper) {})
	chain, want := whole(t, path)
	if got := copies.text(chain); got != want || strings.Count(want, "while down") != 300 {
		t.Errorf("%d bytes were copied, want the %d of the files", len(got), len(want))
	}
}

func TestCopiesGoOnWhereFilesWereRemoved(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	var copies shelf
	config := audit.Config{Path: path, RotateAt: 5_000}
	copies.run(t, config, func(log *audit.Log, _ *audit.Shipper) {
		for range 100 {
			write(t, log, audit.Record{Kind: "first", Detail: strings.Repeat("x", 100)})
		}
	})
	chain, want := whole(t, path)
	old, err := filepath.Glob(path + ".*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range old {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	copies.run(t, config, func(log *audit.Log, _ *audit.Shipper) { write(t, log, audit.Record{Kind: "second"}) })
	if got := copies.text(chain); !strings.HasPrefix(got, want) || !strings.Contains(got, `"second"`) {
		t.Errorf("%d bytes were copied, want more than the %d from before", len(got), len(want))
	}
}

// Who can write the file and knows no key can still cut it at a head, or write it anew and wait
// for the next run to sign it. The copies tell.
func TestChangedFileBeginsANewChain(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(lines []string) string{
		"cut at a head":            func(l []string) string { return strings.Join(l[:2], "") },
		"cut, and written on":      func(l []string) string { return strings.Join(l[:2], "") + appended(l[:2]) },
		"last record is another's": func(l []string) string { return strings.Join(l[:len(l)-1], "") + appended(l[:len(l)-1]) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "audit.jsonl")
			var copies shelf
			copies.run(t, audit.Config{Path: path}, func(log *audit.Log, _ *audit.Shipper) {
				for range 10 {
					write(t, log, audit.Record{Kind: "true"})
				}
			})
			before, kept := whole(t, path)
			if err := os.WriteFile(path, []byte(change(lines(t, path))), 0o600); err != nil {
				t.Fatal(err)
			}
			// The record in memory and the one on the shelf meet at the latest when it closes.
			copies.run(t, audit.Config{Path: path}, func(log *audit.Log, _ *audit.Shipper) {
				deadline := time.Now().Add(10 * time.Second)
				for !strings.Contains(strings.Join(lines(t, path), ""), "audit.forked") && time.Now().Before(deadline) {
					write(t, log, audit.Record{Kind: "later"})
				}
			})
			after, text := whole(t, path)
			if after == before || !strings.Contains(text, `"kind":"audit.forked"`) {
				t.Fatalf("chain %s goes on:\n%s", after, text)
			}
			if copies.text(before) != kept {
				t.Error("the copies of the chain before were changed")
			}
			if copies.text(after) != text {
				t.Errorf("of the new chain was copied\n%s\nwant\n%s", copies.text(after), text)
			}
			if files, err := audit.Files(path); err != nil || len(files) != 2 {
				t.Errorf("Files = %+v, %v; want the changed one kept beside", files, err)
			}
		})
	}
}

// appended is one record that follows from the last of lines, made by somebody without the key.
func appended(lines []string) string {
	folder, err := os.MkdirTemp("", "audit-forger-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "audit.jsonl")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o600); err != nil {
		panic(err)
	}
	log, err := audit.Open(audit.Config{Path: path})
	if err != nil {
		panic(err)
	}
	if err := errors.Join(log.Write(context.Background(), audit.Record{Kind: "forged"}), log.Close()); err != nil {
		panic(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	all := strings.SplitAfter(strings.TrimSuffix(string(content), "\n"), "\n")
	return all[len(all)-1] + "\n"
}
