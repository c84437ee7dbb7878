package store_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/store"
)

func TestBackupHasAllThatWasCommittedBeforeIt(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path, copyPath := filepath.Join(folder, "store.db"), filepath.Join(folder, "copy.db")
	s := open(t, store.Config{Path: path})
	check(t, "app", s.CreateApp(t.Context(), newApp()), nil)
	_, err := s.SignIn(t.Context(), newPerson("alice"))
	check(t, "person", err, nil)
	var before []string
	for range 50 {
		g, code := newGrant(grant.NewID("gra"))
		check(t, "grant", s.CreateGrant(t.Context(), g, code), nil)
		before = append(before, g.ID)
	}
	// Somebody writes all the while.
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			g, code := newGrant(grant.NewID("gra"))
			if err := s.CreateGrant(t.Context(), g, code); err != nil {
				stopped <- err
				return
			}
		}
	}()
	check(t, "backup", store.Backup(t.Context(), path, copyPath), nil)
	close(stop)
	check(t, "the writer beside it", <-stopped, nil)

	if info, err := os.Stat(copyPath); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the copy is %v, %v; want mode 0600", info, err)
	}
	restored := open(t, store.Config{Path: copyPath})
	for _, id := range before {
		if _, err := restored.Grant(t.Context(), tenant, id); err != nil {
			t.Errorf("grant %s is not in the backup: %v", id, err)
		}
	}
	check(t, "write to the restored store", restored.Ping(t.Context()), nil)
}

// An operator names files as they are seen from where they stand.
func TestRelativePathsAreTaken(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if folder, err = filepath.Rel(here, folder); err != nil {
		t.Fatal(err)
	}
	path, copyPath := filepath.Join(folder, "store.db"), filepath.Join(folder, "copy.db")
	s := open(t, store.Config{Path: path})
	check(t, "app", s.CreateApp(t.Context(), newApp()), nil)
	check(t, "backup", store.Backup(t.Context(), path, copyPath), nil)
	for _, file := range []string{path, copyPath} {
		if found, err := store.Inspect(t.Context(), store.Config{Path: file}); err != nil || !found.Exists {
			t.Errorf("%s: found %+v, %v", file, found, err)
		}
	}
}

func TestBackupReplacesNothingAndLeavesNothingHalf(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path, taken := filepath.Join(folder, "store.db"), filepath.Join(folder, "taken.db")
	check(t, "close", open(t, store.Config{Path: path}).Close(), nil)
	check(t, "write", os.WriteFile(taken, []byte("precious"), 0o600), nil)
	noDatabase := filepath.Join(folder, "text.db")
	check(t, "write", os.WriteFile(noDatabase, []byte(strings.Repeat("no database ", 100)), 0o600), nil)
	for name, c := range map[string]struct{ from, to, want string }{
		"over a file":              {path, taken, "choose another name"},
		"of nothing":               {filepath.Join(folder, "nothing.db"), filepath.Join(folder, "new.db"), "give the data folder"},
		"into no folder":           {path, filepath.Join(folder, "no", "new.db"), "no such file"},
		"of what is no database":   {noDatabase, filepath.Join(folder, "new.db"), "not a database"},
		"of a database of another": {emptyDatabase(t), filepath.Join(folder, "new.db"), "no database of shiftgrant"},
	} {
		if err := store.Backup(t.Context(), c.from, c.to); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("backup %s = %v, want %q", name, err, c.want)
		}
	}
	if content, err := os.ReadFile(taken); err != nil || string(content) != "precious" {
		t.Errorf("the file that was there holds %q, %v", content, err)
	}
	left, err := filepath.Glob(filepath.Join(folder, "*new*"))
	hidden, globErr := filepath.Glob(filepath.Join(folder, ".partial*"))
	if err != nil || globErr != nil || len(left)+len(hidden) > 0 {
		t.Errorf("left behind: %v %v, %v %v", left, hidden, err, globErr)
	}
}

// emptyDatabase is a file that SQLite takes for a database without tables.
func emptyDatabase(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "empty.db")
	check(t, "write", os.WriteFile(path, nil, 0o600), nil)
	return path
}
