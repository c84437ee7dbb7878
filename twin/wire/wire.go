// Package wire plays Redshift's port: the PostgreSQL protocol over TLS, with Redshift's own ways to
// log in, in front of a real PostgreSQL.
//
// A client proves itself to this package, which then opens a connection of that database user at
// PostgreSQL and passes messages on. On the way it changes the text of statements where Redshift
// has words that PostgreSQL lacks, and nothing else: results are passed on as bytes.
//
// It is a stand-in for tests and development, and strict: nothing but TLS, no login without proof,
// and requests that Redshift would not understand are refused and not guessed at.
package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Method is how passwords are asked for.
type Method uint32

// The methods (authentication messages 3, 5 and 13).
const (
	Cleartext Method = 3
	MD5       Method = 5
	Digest    Method = 13
)

// A Denial refuses a login; its text is what Redshift says, without "FATAL". The detail says more
// than Redshift does.
type Denial struct{ Message, Detail string }

func (d *Denial) Error() string { return d.Message }

// Config is what the port needs.
type Config struct {
	// Database opens a connection as a database user.
	Database interface {
		Connect(ctx context.Context, user, database string) (*pgconn.PgConn, error)
	}
	// Certificate is the server's.
	Certificate tls.Certificate
	// Method is how passwords are asked for; 0 is Digest.
	Method Method
	// Password gives the database user of a login name as the client sends it, such as "IAM:ann",
	// if one of its passwords is right; or a *Denial. nil lets nobody in by password.
	Password func(login string, right func(password string) bool) (databaseUser string, err error)
	// Token checks a token of authentication message 14, with the start-up parameters idp_type,
	// token_type and identity_namespace, and gives the database user; or a *Denial.
	Token func(ctx context.Context, token string, parameters map[string]string) (databaseUser string, err error)
	// Logger may be nil.
	Logger *slog.Logger
}

// A Server is a running port.
type Server struct {
	config   Config
	tls      *tls.Config
	shown    atomic.Pointer[tls.Certificate]
	listener net.Listener
	ctx      context.Context
	cancel   context.CancelFunc
	group    sync.WaitGroup

	mu       sync.Mutex
	sessions map[uint32]*session
	next     uint32
}

// loginTime is how long a client has for the login.
const loginTime = 15 * time.Second

// Serve takes connections of a listener until Close.
func Serve(listener net.Listener, config Config) *Server {
	if config.Method == 0 {
		config.Method = Digest
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{
		config: config, listener: listener, ctx: ctx, cancel: cancel, sessions: map[uint32]*session{},
	}
	s.shown.Store(&config.Certificate)
	s.tls = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.shown.Load(), nil }}
	s.group.Go(s.accept)
	return s
}

// Present shows another certificate to clients that come from now on, such as one that they do not
// trust.
func (s *Server) Present(certificate tls.Certificate) { s.shown.Store(&certificate) }

// Address is where the port is.
func (s *Server) Address() net.Addr { return s.listener.Addr() }

// Close ends all connections.
func (s *Server) Close() error {
	s.cancel()
	err := s.listener.Close()
	s.group.Wait()
	return err
}

func (s *Server) accept() {
	for {
		connection, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.group.Go(func() {
			defer connection.Close()
			stop := context.AfterFunc(s.ctx, func() { _ = connection.Close() })
			defer stop()
			if err := s.serve(connection); err != nil && s.ctx.Err() == nil {
				s.config.Logger.Debug("connection ended", "error", err)
			}
		})
	}
}

// add gives a session the number by which it can be cancelled.
func (s *Server) add(one *session) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	s.sessions[s.next] = one
	return s.next
}

func (s *Server) remove(number uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, number)
}

// cancelSession cancels what a session runs, if the key is right. Nobody is told whether it was.
func (s *Server) cancelSession(number uint32, key []byte) error {
	s.mu.Lock()
	one := s.sessions[number]
	s.mu.Unlock()
	if one == nil || string(one.key) != string(key) {
		return errors.New("cancel: no such session")
	}
	if err := one.cancel(s.ctx); err != nil {
		return fmt.Errorf("cancel: %w", err)
	}
	return nil
}
