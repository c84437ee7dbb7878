package sqlitesession

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/connect"
)

var (
	_ connect.SessionStore = (*Store)(nil)
	_ connect.Locker       = (*Store)(nil)
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

// The file is the one that was named, whatever its name, and nobody else may read it or those that
// SQLite puts beside it.
func TestTheFilesAreTheOwnersAlone(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"sessions.db", "ann & bob.db", "what?.db", "100%41.db", "a#b.db", "mode=ro?mode=memory"} {
		folder := t.TempDir()
		store := open(t, filepath.Join(folder, name))
		if err := store.Save(t.Context(), "ann", []byte("sealed"), time.Now().Add(time.Hour)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		files, err := os.ReadDir(folder)
		if err != nil || len(files) < 2 {
			t.Errorf("%s: files %v, %v; want one, and its log", name, files, err)
		}
		for _, file := range files {
			info, err := file.Info()
			if err != nil || info.Mode() != 0o600 || !strings.HasPrefix(file.Name(), name) {
				t.Errorf("%s: file %q has mode %v, %v", name, file.Name(), info.Mode(), err)
			}
		}
	}
}

func TestALockKeepsTheOthersOut(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sessions.db")
	one, two := open(t, path), open(t, path)
	unlock, err := one.Lock(t.Context(), "ann")
	if err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string]*Store{"the same process": one, "another process": two} {
		ctx, cancel := context.WithTimeout(t.Context(), 3*lockPause)
		if _, err := other.Lock(ctx, "ann"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v, want to wait", name, err)
		}
		cancel()
	}
	unlockBob, err := two.Lock(t.Context(), "bob")
	if err != nil {
		t.Errorf("another session: %v", err)
	}
	unlockBob()
	unlock()
	if unlock, err = two.Lock(t.Context(), "ann"); err != nil {
		t.Fatalf("after it is free: %v", err)
	}
	unlock()
}

func TestALockOfAProcessThatCrashedEnds(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sessions.db")
	one, two := open(t, path), open(t, path)
	late, err := one.Lock(t.Context(), "ann")
	if err != nil {
		t.Fatal(err)
	}
	two.now = func() time.Time { return time.Now().Add(lockLife) }
	unlock, err := two.Lock(t.Context(), "ann")
	if err != nil {
		t.Fatal(err)
	}
	late() // frees nothing that is somebody else's by now
	ctx, cancel := context.WithTimeout(t.Context(), 3*lockPause)
	defer cancel()
	if _, err := one.Lock(ctx, "ann"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want to wait", err)
	}
	unlock()
}

func TestOneAtATimeHoldsALock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sessions.db")
	stores := []*Store{open(t, path), open(t, path)}
	var group sync.WaitGroup
	var inside atomic.Int32
	for n := range 6 {
		group.Go(func() {
			unlock, err := stores[n%2].Lock(t.Context(), "ann")
			if err != nil {
				t.Error(err)
				return
			}
			if inside.Add(1) != 1 {
				t.Error("two hold the lock")
			}
			inside.Add(-1)
			unlock()
		})
	}
	group.Wait()
}

// A file that was closed is an error, and never a person who is signed out.
func TestAFileThatIsGoneIsNoMissingSession(t *testing.T) {
	t.Parallel()
	ctx, store := t.Context(), open(t, filepath.Join(t.TempDir(), "sessions.db"))
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	_, loaded := store.Load(ctx, "ann")
	_, locked := store.Lock(ctx, "ann")
	for name, err := range map[string]error{
		"load": loaded, "save": store.Save(ctx, "ann", nil, time.Now()), "delete": store.Delete(ctx, "ann"), "lock": locked,
	} {
		if err == nil || errors.Is(err, connect.ErrNoSession) || !strings.HasPrefix(err.Error(), name+" session: ") {
			t.Errorf("%s: %v", name, err)
		}
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
