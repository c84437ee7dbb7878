package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

func openForTest(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "store.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// hold keeps the writer busy, so that what comes until the function is called is one group.
func hold(t *testing.T, s *Store) (release func()) {
	t.Helper()
	held, released, ended := make(chan struct{}), make(chan struct{}), make(chan error)
	var once sync.Once // it runs again when its group does
	go func() {
		ended <- s.write(context.Background(), "hold", func(*tx) error {
			once.Do(func() { close(held) })
			<-released
			return nil
		})
	}()
	<-held
	return func() {
		close(released)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func saveSession(t *tx, id string) error {
	_, err := t.exec(`INSERT INTO sessions (id, data, expires_at) VALUES ($1, $2, $3)`, id, []byte{}, int64(1))
	return err
}

func kept(t *testing.T, s *Store, id string) bool {
	t.Helper()
	var found int64
	err := s.read(t.Context(), "find", func(t *tx) error {
		return t.row([]any{&found}, `SELECT count(*) FROM sessions WHERE id = $1`, id)
	})
	if err != nil {
		t.Fatal(err)
	}
	return found > 0
}

func TestOneFailureInAGroupTakesBackItsOwnPart(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	for name, failure := range map[string]struct {
		do   func(*tx) error
		want error
	}{
		"an answer without a change": {func(*tx) error { return grant.ErrConflict }, grant.ErrConflict},
		"an answer after a change":   {func(t *tx) error { return errors.Join(saveSession(t, "half"), grant.ErrConflict) }, grant.ErrConflict},
		"a broken statement":         {func(t *tx) error { return errors.Join(saveSession(t, "half"), saveSession(t, "half")) }, ErrUnavailable},
		"no such table":              {func(t *tx) error { _, err := t.exec(`DELETE FROM nothing`); return err }, ErrUnavailable},
	} {
		release := hold(t, s)
		errs := make([]error, 9)
		var group sync.WaitGroup
		for i := range errs {
			group.Go(func() {
				errs[i] = s.write(t.Context(), "test", func(t *tx) error {
					if i == 4 {
						return failure.do(t)
					}
					return saveSession(t, fmt.Sprint(name, i))
				})
			})
		}
		for len(s.database.(*sqliteDatabase).writer.queue) < len(errs) {
			time.Sleep(time.Millisecond)
		}
		release()
		group.Wait()
		for i, err := range errs {
			if i == 4 {
				if !errors.Is(err, failure.want) {
					t.Errorf("%s: %v, want %v", name, err, failure.want)
				}
			} else if err != nil || !kept(t, s, fmt.Sprint(name, i)) {
				t.Errorf("%s: a neighbour failed: %v", name, err)
			}
		}
		if kept(t, s, "half") {
			t.Errorf("%s: half a change is kept", name)
		}
	}
}

func TestCallerThatLeavesTheQueueWritesNothing(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	release := hold(t, s)
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		left <- s.write(ctx, "test", func(t *tx) error { return saveSession(t, "left") })
	}()
	for len(s.database.(*sqliteDatabase).writer.queue) == 0 {
		time.Sleep(time.Millisecond)
	}
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) || !errors.Is(err, ErrUnavailable) {
		t.Errorf("write = %v, want Canceled and ErrUnavailable", err)
	}
	release()
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if kept(t, s, "left") {
		t.Error("it was written")
	}
}

func TestCloseWritesWhatWasAccepted(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	s, err := Open(t.Context(), Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	release := hold(t, s)
	accepted := make(chan error)
	go func() {
		accepted <- s.write(t.Context(), "test", func(t *tx) error { return saveSession(t, "accepted") })
	}()
	for len(s.database.(*sqliteDatabase).writer.queue) == 0 {
		time.Sleep(time.Millisecond)
	}
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	<-s.database.(*sqliteDatabase).writer.closing
	release()
	if err := errors.Join(<-accepted, <-closed); err != nil {
		t.Fatal(err)
	}
	again, err := Open(t.Context(), Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if !kept(t, again, "accepted") {
		t.Error("it was lost")
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// F10: a full disk refuses writes, keeps answering reads, loses nothing, and needs no restart.
func TestFullDiskRefusesWritesAndRecovers(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	limit := func(pages string) {
		t.Helper()
		if err := s.write(t.Context(), "limit", func(t *tx) error {
			var now int64
			return t.row([]any{&now}, `PRAGMA max_page_count = `+pages)
		}); err != nil {
			t.Fatal(err)
		}
	}
	limit("1") // SQLite makes it what is there already
	data := make([]byte, 2000)
	saved := 0
	var err error
	for err == nil && saved < 100_000 {
		if err = s.Sessions().Save(t.Context(), fmt.Sprint(saved), data, time.Now().Add(time.Hour)); err == nil {
			saved++
		}
	}
	if !errors.Is(err, ErrUnavailable) {
		t.Fatalf("Save = %v after %d, want ErrUnavailable", err, saved)
	}
	for i := range saved {
		if _, err := s.Sessions().Load(t.Context(), fmt.Sprint(i)); err != nil {
			t.Errorf("session %d: %v", i, err)
		}
	}
	if _, err := s.Sessions().Load(t.Context(), fmt.Sprint(saved)); !errors.Is(err, ErrNoSession) {
		t.Errorf("the refused session: %v, want ErrNoSession", err)
	}
	limit("100000")
	if err := s.Sessions().Save(t.Context(), "after", data, time.Now().Add(time.Hour)); err != nil {
		t.Errorf("after there is room again: %v", err)
	}
}

func TestReadOnlyDatabaseIsUnavailable(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	for _, c := range []struct {
		setting string
		want    error
	}{{"ON", ErrUnavailable}, {"OFF", nil}} {
		writer := s.database.(*sqliteDatabase).writer
		if err := writer.exec(`PRAGMA query_only = ` + c.setting); err != nil {
			t.Fatal(err)
		}
		if err := s.Ping(t.Context()); !errors.Is(err, c.want) {
			t.Errorf("query_only %s: Ping = %v, want %v", c.setting, err, c.want)
		}
	}
}

// A migration that fails half-way leaves the database as it was.
func TestFailedMigrationIsUndone(t *testing.T) {
	t.Parallel()
	pool, err := sqlitePool(filepath.Join(t.TempDir(), "store.db"), 1, "journal_mode(WAL)")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	// In the way of a table that is not the first.
	if _, err := pool.ExecContext(t.Context(), `CREATE TABLE statements (x)`); err != nil {
		t.Fatal(err)
	}
	if err := migrate(t.Context(), pool, onSQLite); err == nil {
		t.Fatal("migrate = nil, want an error")
	}
	var tables int
	if err := pool.QueryRowContext(t.Context(), `SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`).Scan(&tables); err != nil || tables != 1 {
		t.Errorf("%d tables, %v; want the one that was there", tables, err)
	}
	if _, err := pool.ExecContext(t.Context(), `DROP TABLE statements`); err != nil {
		t.Fatal(err)
	}
	if err := migrate(t.Context(), pool, onSQLite); err != nil {
		t.Errorf("migrate once nothing is in the way: %v", err)
	}
}
