package store_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/store"
	"github.com/shiftgrant/shiftgrant/twin/postgres"
)

// childPath, set in the environment, makes this program the writer that is killed.
const childPath = "SHIFTGRANT_TEST_STORE_PATH"

func TestMain(m *testing.M) {
	if path := os.Getenv(childPath); path != "" {
		writeForEver(path)
	}
	code := m.Run()
	if err := errors.Join(server.close(), goleak.Find()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// onEach runs a test on an empty store of each kind.
func onEach(t *testing.T, test func(t *testing.T, s *store.Store)) {
	t.Helper()
	now := func() time.Time { return start }
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		test(t, open(t, store.Config{Path: filepath.Join(t.TempDir(), "store.db"), Now: now}))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		test(t, open(t, store.Config{DSN: server.database(t), Now: now}))
	})
}

func open(t testing.TB, config store.Config) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), config)
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

// server is one PostgreSQL for all tests, each with a database of its own.
var server testServer

type testServer struct {
	once    sync.Once
	process *postgres.Server
	err     error
	mu      sync.Mutex
	made    int
}

func (s *testServer) address(database string) string {
	folder, port := s.process.Socket()
	query := url.Values{"host": {folder}, "port": {strconv.Itoa(port)}, "sslmode": {"disable"}}
	return "postgres://rdsdb@/" + database + "?" + query.Encode()
}

// database makes an empty database and returns its DSN.
func (s *testServer) database(t testing.TB) string {
	t.Helper()
	s.once.Do(func() { s.process, s.err = postgres.Start(context.Background(), postgres.Config{}) })
	if s.err != nil {
		t.Fatal(s.err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made++
	name := fmt.Sprint("store", s.made)
	conn, err := pgx.Connect(t.Context(), s.address("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = conn.Exec(t.Context(), "CREATE DATABASE "+name+" TEMPLATE template0")
	if err := errors.Join(err, conn.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	return s.address(name)
}

func (s *testServer) close() error {
	if s.process == nil {
		return nil
	}
	return s.process.Close()
}

// writeForEver is what the child does: callers go through the flow, each telling what was
// acknowledged.
func writeForEver(path string) {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Config{Path: path})
	if err != nil {
		panic(err)
	}
	if err := s.CreateApp(ctx, newApp()); err != nil && !errors.Is(err, grant.ErrExists) {
		panic(err)
	}
	if _, err := s.SignIn(ctx, newPerson("alice")); err != nil {
		panic(err)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for {
				g, code := newGrant(grant.NewID("gra"))
				family := familyFor(g)
				say(s.CreateGrant(ctx, g, code), "grant", g.ID)
				say(s.RedeemCode(ctx, code, start, issuedFor(family), &family), "code", code.Hash.String())
				next := newHash()
				say(s.Rotate(ctx, family, next, start, start, "key", issuedFor(family)), "refresh", next.String())
			}
		})
	}
	group.Wait()
}

func say(err error, what, id string) {
	if err != nil {
		panic(err)
	}
	if _, err := fmt.Println(what, id); err != nil {
		os.Exit(0) // the parent is gone
	}
}
