// Package wire runs statements over the PostgreSQL protocol, as Redshift speaks it: the fast
// road, for gateways that can reach the warehouse's port.
//
// A [Session] is one connection of one person. The start-up is ours, because Redshift has
// messages of its own there: 13, a salted SHA-256 of a password, and 14, a token of an identity
// provider. From then on it is the protocol of PostgreSQL, read by pgproto3, and a row is handed
// on as the slices of the buffer that it arrived in.
//
// What to fear here:
//
//   - A server in the middle. TLS is always on, and verifies the name; a password or token is
//     written only after that. Cleartext and MD5 passwords are Redshift's own requests and are
//     answered only inside of TLS.
//   - A second statement in the text of the first. Statements go by the extended protocol
//     (Parse, Bind, Execute), in which the server refuses that, and values go beside the text;
//     the simple protocol is not spoken at all.
//   - A statement that goes on when nobody waits. A context that ends, or rows that are closed
//     early, cancel it by a second TLS connection, and the session waits until the server has
//     said that it is free. If it does not say so in time the connection is closed.
//   - Traces of one statement in the next: what a statement has set is reset before the next, in the
//     same round trip.
//   - Hostile bytes. Messages have a maximal length, and what cannot be read ends the connection.
package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
)

// DefaultPort is Redshift's.
const DefaultPort = "5439"

const (
	connectTimeout = 15 * time.Second
	// cancelPatience is how long a cancelled statement may take to say that it has ended.
	cancelPatience = 5 * time.Second
	keepAlive      = 30 * time.Second
	// maxMessage bounds what one message of the server makes us hold. A row is one message, and a
	// value of SUPER has up to 16 MB.
	maxMessage = 64 << 20
)

// resets are tried in this order until the server knows one: DISCARD ALL undoes everything, and is
// not in Redshift's manual; RESET ALL undoes settings.
var resets = []string{"DISCARD ALL", "RESET ALL", ""}

var (
	// ErrBusy says that the rows of the session's last statement were not closed.
	ErrBusy = errors.New("wire: the session is still reading the rows of another statement")
	// ErrClosed says that the session was closed, or that its connection has ended.
	ErrClosed = errors.New("wire: the session is closed")
)

// Config says where the warehouse is and who comes.
type Config struct {
	Host     string
	Port     string // "" is DefaultPort
	Database string
	Login    identity.Login
	// TLS verifies the server; nil trusts the system's roots. A name that is not set is Host.
	TLS *tls.Config
	// Application appears in SYS_CONNECTION_LOG.
	Application string
	// StatementTimeout is Redshift's own limit for each statement; 0 is none.
	StatementTimeout time.Duration
	// Dial opens connections, the one for a cancellation, too; nil is a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// A Session is one connection. It runs one statement at a time, and is not safe for concurrent
// use, but for Close.
type Session struct {
	config     Config
	connection net.Conn
	frontend   *pgproto3.Frontend
	parameters map[string]string // the server's, such as server_version
	processID  uint32
	secretKey  []byte

	status  byte   // of the transaction: 'I', 'T' or 'E'
	reading *rows  // nil while idle
	used    bool   // a statement has run, and may have left settings, temporary tables or locks
	reset   string // the statement that undoes such traces; "" for none
	broken  error  // what ended the connection
}

var _ redshift.Session = (*Session)(nil)

// Connect opens a session. Errors: *redshift.AccessError when the server refuses the login,
// otherwise what the network or TLS says.
func Connect(ctx context.Context, config Config) (*Session, error) {
	if config.Host == "" || config.Database == "" {
		return nil, errors.New("wire: host and database must be given")
	}
	if (config.Login.Token == nil) == config.Login.Password.IsZero() {
		return nil, errors.New("wire: give either a password or a token")
	}
	config = config.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	connection, err := config.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", config.address(), err)
	}
	s := &Session{config: config, connection: connection, parameters: map[string]string{}, reset: resets[0]}
	if err := s.begin(ctx); err != nil {
		_ = connection.Close()
		return nil, fmt.Errorf("connect to %s: %w", config.address(), err)
	}
	return s, nil
}

func (c Config) withDefaults() Config {
	if c.Port == "" {
		c.Port = DefaultPort
	}
	if c.Dial == nil {
		c.Dial = (&net.Dialer{KeepAlive: keepAlive}).DialContext
	}
	return c
}

// Reach connects, verifies the server, and hangs up before the login.
func Reach(ctx context.Context, config Config) error {
	config = config.withDefaults()
	connection, err := config.dial(ctx)
	if err != nil {
		return fmt.Errorf("reach %s: %w", config.address(), err)
	}
	return connection.Close()
}

// begin starts the session within ctx.
func (s *Session) begin(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.connection.SetDeadline(time.Unix(1, 0)) })
	err := s.startUp()
	if !stop() && err != nil {
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	if err != nil {
		return err
	}
	return s.connection.SetDeadline(time.Time{})
}

func (c *Config) address() string { return net.JoinHostPort(c.Host, c.Port) }

// dial opens a connection and makes it one of TLS (SSLRequest).
func (c *Config) dial(ctx context.Context) (net.Conn, error) {
	plain, err := c.Dial(ctx, "tcp", c.address())
	if err != nil {
		return nil, err
	}
	secured, err := c.secure(ctx, plain)
	if err != nil {
		_ = plain.Close()
		return nil, err
	}
	return secured, nil
}

func (c *Config) secure(ctx context.Context, plain net.Conn) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() { _ = plain.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	request, err := (&pgproto3.SSLRequest{}).Encode(nil)
	if err != nil {
		return nil, err
	}
	if _, err := plain.Write(request); err != nil {
		return nil, fmt.Errorf("ask for TLS: %w", err)
	}
	// One byte and no more: what somebody sent behind it in clear must not be read as if it had
	// come through TLS.
	answer := make([]byte, 1)
	if _, err := io.ReadFull(plain, answer); err != nil {
		return nil, fmt.Errorf("ask for TLS: %w", err)
	}
	if answer[0] != 'S' {
		return nil, errors.New("the server does not speak TLS, and nothing is sent without")
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLS != nil {
		config = c.TLS.Clone()
		config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	}
	if config.ServerName == "" {
		config.ServerName = c.Host
	}
	secured := tls.Client(plain, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return secured, nil
}

// Parameter is what the server has told of itself, such as "server_version".
func (s *Session) Parameter(name string) string { return s.parameters[name] }

// Healthy reports whether the session can run a next statement.
func (s *Session) Healthy() bool { return s.broken == nil && s.reading == nil && s.status == 'I' }

// Close ends the session. A statement that runs is cancelled by the server, which sees the
// connection end.
func (s *Session) Close() error {
	if s.broken == nil {
		s.broken = ErrClosed
		_ = s.connection.SetWriteDeadline(time.Now().Add(time.Second))
		s.frontend.Send(&pgproto3.Terminate{})
		_ = s.frontend.Flush()
	}
	return s.connection.Close()
}

// fail ends a connection of which nobody knows any more where it is.
func (s *Session) fail(err error) error {
	if s.broken == nil {
		s.broken = fmt.Errorf("%w: %w", ErrClosed, err)
		_ = s.connection.Close()
	}
	return err
}
