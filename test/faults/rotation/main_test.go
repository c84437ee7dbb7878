// Package rotation kills gateways, cuts their connections and stops their databases while apps
// refresh, and then looks whether every honest app has a working token and nothing that was
// acknowledged is lost. The gateways are processes of the real program; what goes wrong is done
// from outside, by signals and by proxies that know when a request went in and an answer came out.
//
// A short form runs with the other tests. `make test-faults` sets SHIFTGRANT_FAULTS=long.
package rotation

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/shiftgrant/shiftgrant/twin/idp"
	"github.com/shiftgrant/shiftgrant/twin/postgres"
)

// long chooses between the short and the long form of a test.
func long[T any](short, long T) T {
	if os.Getenv("SHIFTGRANT_FAULTS") == "long" {
		return long
	}
	return short
}

// What all tests share: the program, an IdP, and a PostgreSQL.
var (
	binary   string
	folder   string
	upstream *httptest.Server
	fronts   chan net.Listener // the addresses that the IdP knows
	database lazyPostgres
)

const (
	idpSecret = "the-secret-at-the-idp"
	password  = "twin"
	frontPath = "/signin/callback/twin"
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	defer upstream.Close()
	code := m.Run()
	if err := database.close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

func prepare() (err error) {
	if folder, err = os.MkdirTemp("", "shiftgrant-faults-"); err != nil {
		return err
	}
	// PostgreSQL does not run as root, and has to get through.
	if err := os.Chmod(folder, 0o711); err != nil {
		return err
	}
	binary = filepath.Join(folder, "shiftgrant")
	build := exec.Command("go", "build", "-o", binary, "github.com/shiftgrant/shiftgrant/cmd/shiftgrant")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build shiftgrant: %w\n%s", err, output)
	}
	return startUpstream()
}

// startUpstream starts the IdP, which knows the gateways' addresses before there are gateways.
func startUpstream() error {
	const tests = 12
	fronts = make(chan net.Listener, tests)
	var redirects []string
	for range tests {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		fronts <- listener
		redirects = append(redirects, urlOf(listener)+frontPath)
	}
	mux := http.NewServeMux()
	upstream = httptest.NewServer(mux)
	provider, err := idp.New(idp.Config{
		Issuer:  upstream.URL + "/idp",
		Clients: []idp.Client{{ID: "gateway", Secret: idpSecret, RedirectURIs: redirects}},
		People:  []idp.Person{{Username: "alice", Password: password, Subject: "idp|alice", Name: "Alice", Email: "alice@example.com"}},
	})
	mux.Handle("/idp/", provider)
	return err
}

func urlOf(listener net.Listener) string {
	return fmt.Sprintf("http://localhost:%d", listener.Addr().(*net.TCPAddr).Port)
}

// lazyPostgres is started by the first test that needs it, and can be started again on its data.
type lazyPostgres struct {
	once   sync.Once
	mu     sync.Mutex
	server *postgres.Server
	err    error
	made   int
}

func (l *lazyPostgres) start() error {
	server, err := postgres.Start(context.Background(), postgres.Config{Dir: filepath.Join(folder, "postgres")})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.server = server
	return err
}

func (l *lazyPostgres) running(t *testing.T) {
	t.Helper()
	l.once.Do(func() { l.err = l.start() })
	if l.err != nil {
		t.Fatal(l.err)
	}
}

// address is the DSN of a database at the server that runs now.
func (l *lazyPostgres) address(name string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	folder, port := l.server.Socket()
	return fmt.Sprintf("postgres://rdsdb@/%s?host=%s&port=%d&sslmode=disable", name, folder, port)
}

// dial opens a connection to the server that runs now.
func (l *lazyPostgres) dial() (net.Conn, error) {
	l.mu.Lock()
	server := l.server
	l.mu.Unlock()
	if server == nil {
		return nil, errors.New("PostgreSQL is not running")
	}
	folder, port := server.Socket()
	return net.Dial("unix", filepath.Join(folder, fmt.Sprintf(".s.PGSQL.%d", port)))
}

func (l *lazyPostgres) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.server == nil {
		return nil
	}
	return l.server.Close()
}
