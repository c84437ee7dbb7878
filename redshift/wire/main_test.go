package wire_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shiftgrant/shiftgrant/internal/secret"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
	"github.com/shiftgrant/shiftgrant/redshift/wire"
	"github.com/shiftgrant/shiftgrant/twin/postgres"
	twinwire "github.com/shiftgrant/shiftgrant/twin/wire"
)

// database is one PostgreSQL for all tests of this package.
var database *postgres.Server

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var err error
	if database, err = postgres.Start(ctx, postgres.Config{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := errors.Join(database.Close(), goleak.Find()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

const password = "a password of alice's"

// port is a Redshift port of a test.
type port struct {
	server *twinwire.Server
	roots  *x509.CertPool
}

func newPort(t *testing.T, change func(*twinwire.Config)) *port {
	t.Helper()
	certificate, roots, _, err := twinwire.NewCertificate(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config := twinwire.Config{
		Database: database, Certificate: certificate,
		Password: func(login string, right func(string) bool) (string, error) {
			if login != "IAM:alice" || !right(password) {
				return "", &twinwire.Denial{Message: fmt.Sprintf("password authentication failed for user %q", login)}
			}
			return "alice", nil
		},
	}
	if change != nil {
		change(&config)
	}
	p := &port{twinwire.Serve(listener, config), roots}
	t.Cleanup(func() { _ = p.server.Close() })
	return p
}

// config is how alice comes in.
func (p *port) config() wire.Config {
	_, number, _ := net.SplitHostPort(p.server.Address().String())
	return wire.Config{
		Host: "localhost", Port: number, Database: "dev", Application: "shiftgrant-test",
		Login: identity.Login{User: "IAM:alice", Password: secret.New(password)},
		TLS:   &tls.Config{RootCAs: p.roots},
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, p.server.Address().String())
		},
	}
}

func (p *port) connect(t *testing.T, change func(*wire.Config)) *wire.Session {
	t.Helper()
	config := p.config()
	if change != nil {
		change(&config)
	}
	session, err := wire.Connect(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	return session
}
