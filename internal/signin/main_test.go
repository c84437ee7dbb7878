package signin

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/shiftgrant/shiftgrant/twin/postgres"
)

func TestMain(m *testing.M) {
	if dsn := os.Getenv(replicaStore); dsn != "" {
		serveAsReplica(dsn)
		return
	}
	code := m.Run()
	if err := errors.Join(server.close(), goleak.Find()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
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
	name := fmt.Sprint("signin", s.made)
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
