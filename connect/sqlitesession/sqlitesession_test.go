package sqlitesession

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/connect"
)

func open(t *testing.T, path string) *Store {
	t.Helper()
	store, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

func TestSessionsOutliveTheProcess(t *testing.T) {
	t.Parallel()
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "sessions of ann & bob?.db")
	store := open(t, path)
	until := time.Now().Add(time.Hour)
	for _, data := range []string{"first", "second"} {
		if err := store.Save(ctx, "ann", []byte(data), until); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Save(ctx, "bob", []byte("bob's"), until); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	again := open(t, path)
	if data, err := again.Load(ctx, "ann"); err != nil || string(data) != "second" {
		t.Errorf("%q, %v", data, err)
	}
	if err := errors.Join(again.Delete(ctx, "ann"), again.Delete(ctx, "ann")); err != nil {
		t.Error(err)
	}
	if _, err := again.Load(ctx, "ann"); !errors.Is(err, connect.ErrNoSession) {
		t.Errorf("%v, want ErrNoSession", err)
	}
	if _, err := again.Load(ctx, "bob"); err != nil {
		t.Error(err)
	}
}

func TestExpiredSessionsAreNotFoundAndAreSwept(t *testing.T) {
	t.Parallel()
	ctx, store := t.Context(), open(t, filepath.Join(t.TempDir(), "sessions.db"))
	now := time.Now()
	store.now = func() time.Time { return now }
	for n := range 50 {
		if err := store.Save(ctx, fmt.Sprint(n), []byte("x"), now.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(time.Minute)
	if _, err := store.Load(ctx, "1"); !errors.Is(err, connect.ErrNoSession) {
		t.Errorf("%v, want ErrNoSession", err)
	}
	for n := range 3 {
		if err := store.Save(ctx, fmt.Sprint("new", n), []byte("x"), now.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	var rows int
	if err := store.db.QueryRowContext(ctx, "SELECT count(*) FROM sessions").Scan(&rows); err != nil || rows != 3 {
		t.Errorf("%d rows, %v; want the 3 that are alive", rows, err)
	}
}

func TestTwoProcessesShareTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sessions.db")
	stores := []*Store{open(t, path), open(t, path)}
	var group sync.WaitGroup
	for n := range 8 {
		group.Go(func() {
			for round := range 20 {
				id := fmt.Sprint(n, "-", round)
				if err := stores[n%2].Save(context.Background(), id, []byte(id), time.Now().Add(time.Hour)); err != nil {
					t.Error(err)
				}
				if data, err := stores[(n+1)%2].Load(context.Background(), id); err != nil || string(data) != id {
					t.Errorf("the other process sees %q, %v", data, err)
				}
			}
		})
	}
	group.Wait()
}

func TestAFileThatCannotBeMadeIsSaid(t *testing.T) {
	t.Parallel()
	if _, err := Open(t.Context(), filepath.Join(t.TempDir(), "nowhere", "sessions.db")); err == nil || !strings.Contains(err.Error(), "open sessions") {
		t.Errorf("%v", err)
	}
	path := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(path, []byte(strings.Repeat("no database ", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), "open sessions") {
		t.Errorf("%v", err)
	}
}
