package store_test

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/store"
)

// What was acknowledged is there after kill -9, and what is there is whole.
func TestAcknowledgedWritesSurviveAKill(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	for range 5 {
		acknowledged := killWhileWriting(t, path, 60)
		s := open(t, store.Config{Path: path})
		for _, line := range acknowledged {
			what, id, _ := strings.Cut(line, " ")
			if err := findWhole(t.Context(), s, what, id); err != nil {
				t.Errorf("%s %s was acknowledged: %v", what, id, err)
			}
		}
		check(t, "write", s.Ping(t.Context()), nil)
		check(t, "close", s.Close(), nil)
	}
}

func killWhileWriting(t *testing.T, path string, atLeast int) (acknowledged []string) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), childPath+"="+path)
	output, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(output)
	for len(acknowledged) < atLeast && lines.Scan() {
		acknowledged = append(acknowledged, lines.Text())
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() { // what it said before it died
		acknowledged = append(acknowledged, lines.Text())
	}
	_ = child.Wait()
	if len(acknowledged) < atLeast {
		t.Fatalf("the child wrote %d times only", len(acknowledged))
	}
	return acknowledged
}

func findWhole(ctx context.Context, s *store.Store, what, id string) error {
	if what == "grant" {
		_, err := s.Grant(ctx, tenant, id)
		return err
	}
	var hash grant.Hash
	if _, err := hex.Decode(hash[:], []byte(id)); err != nil {
		return err
	}
	if what == "code" {
		code, _, err := s.Code(ctx, tenant, hash)
		if err == nil && code.RedeemedAt.IsZero() {
			err = errors.New("it is not redeemed")
		}
		return err
	}
	family, _, err := s.FamilyOf(ctx, tenant, hash)
	if err == nil && (family.Generation != 2 || family.Current != hash) {
		err = errors.New("the family is not at this generation")
	}
	return err
}

func TestSchemaOfANewerProgramIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	check(t, "close", open(t, store.Config{Path: path}).Close(), nil)
	db, err := sql.Open("sqlite", path)
	check(t, "open", err, nil)
	_, err = db.ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)`)
	check(t, "pretend", err, nil)
	check(t, "close", open(t, store.Config{Path: path}).Close(), nil) // a newer schema that has only more
	_, err = db.ExecContext(t.Context(), `UPDATE schema_compatible SET oldest = 999`)
	check(t, "pretend", errors.Join(err, db.Close()), nil)
	_, err = store.Open(t.Context(), store.Config{Path: path})
	check(t, "open", err, store.ErrNewer)
	if !strings.Contains(err.Error(), "999") || !strings.Contains(err.Error(), "run the newer program") {
		t.Errorf("the error does not say what to do: %v", err)
	}
}

// A rolling start: several programs make the schema at once.
func TestManyMayOpenAnEmptyDatabase(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]func(t *testing.T) store.Config{
		"SQLite":     func(t *testing.T) store.Config { return store.Config{Path: filepath.Join(t.TempDir(), "store.db")} },
		"PostgreSQL": func(t *testing.T) store.Config { return store.Config{DSN: server.database(t)} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := config(t)
			var group sync.WaitGroup
			for range 6 {
				group.Go(func() {
					s, err := store.Open(t.Context(), config)
					if err != nil {
						t.Error(err)
						return
					}
					if err := errors.Join(s.Ping(t.Context()), s.Close()); err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
			populate(t, open(t, config))
		})
	}
}

func TestTwoProgramsShareAnSQLiteFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	one, other := open(t, store.Config{Path: path}), open(t, store.Config{Path: path})
	populate(t, one)
	family := newFamily(t, other, "gra_1")
	check(t, "revoke", one.RevokeGrant(t.Context(), tenant, "gra_1", "test", start), nil)
	seen, _, err := other.FamilyOf(t.Context(), tenant, family.Current)
	check(t, "family", err, nil)
	if seen.RevokedAt.IsZero() {
		t.Error("a revocation did not reach the other program")
	}
}

func TestFileThatIsNoDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	check(t, "write", os.WriteFile(path, []byte(strings.Repeat("no database ", 1000)), 0o600), nil)
	if s, err := store.Open(t.Context(), store.Config{Path: path}); err == nil {
		_ = s.Close()
		t.Error("Open = nil, want an error")
	}
}
