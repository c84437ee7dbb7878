package wire

import (
	"context"
	"crypto/md5" // authentication message 5
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// maxLoginMessage bounds what a client that is not logged in makes us hold.
const maxLoginMessage = 64 << 10

// serve goes through the start of a connection and then passes messages on.
func (s *Server) serve(plain net.Conn) error {
	if err := plain.SetDeadline(time.Now().Add(loginTime)); err != nil {
		return err
	}
	client, err := s.secure(plain)
	if err != nil {
		return err
	}
	first, err := pgproto3.NewBackend(client, client).ReceiveStartupMessage()
	if err != nil {
		return fmt.Errorf("read start-up: %w", err)
	}
	switch first := first.(type) {
	case *pgproto3.CancelRequest:
		return s.cancelSession(first.ProcessID, first.SecretKey)
	case *pgproto3.StartupMessage:
		return s.begin(client, first.Parameters)
	}
	return fmt.Errorf("start-up: %T within TLS", first)
}

// secure answers the request for TLS, which Redshift insists on.
func (s *Server) secure(plain net.Conn) (*tls.Conn, error) {
	first, err := pgproto3.NewBackend(plain, plain).ReceiveStartupMessage()
	if err != nil {
		return nil, fmt.Errorf("read start-up: %w", err)
	}
	if _, ok := first.(*pgproto3.SSLRequest); !ok {
		deny(plain, "28000", "", `no pg_hba.conf entry for host "::ffff:127.0.0.1", SSL off`)
		return nil, errors.New("a client without TLS")
	}
	if _, err := plain.Write([]byte{'S'}); err != nil {
		return nil, err
	}
	client := tls.Server(plain, s.tls)
	return client, client.Handshake()
}

func (s *Server) begin(client net.Conn, parameters map[string]string) error {
	user, err := s.prove(client, parameters)
	var denial *Denial
	if errors.As(err, &denial) {
		deny(client, "28000", denial.Detail, denial.Message)
		return err
	}
	if err != nil {
		return err
	}
	database, err := s.config.Database.Connect(s.ctx, user, parameters["database"])
	if err != nil {
		var refused *pgconn.PgError
		if errors.As(err, &refused) {
			deny(client, refused.Code, "", refused.Message)
		} else {
			deny(client, "28000", "", fmt.Sprintf("password authentication failed for user %q", parameters["user"]))
		}
		return fmt.Errorf("connect as %s: %w", user, err)
	}
	one, err := newSession(s.ctx, client, database, parameters)
	if err != nil {
		return err
	}
	defer one.database.Close()
	number := s.add(one)
	defer s.remove(number)
	if err := one.welcome(number, parameters); err != nil {
		return err
	}
	return one.relay(s.ctx)
}

// deny sends the error that ends a login.
func deny(client io.Writer, code, detail, message string) {
	encoded, err := (&pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: code, Message: message, Detail: detail}).Encode(nil)
	if err == nil {
		_, _ = client.Write(encoded)
	}
}

// prove asks the client who it is.
func (s *Server) prove(client net.Conn, parameters map[string]string) (databaseUser string, err error) {
	if parameters["idp_type"] != "" {
		return s.proveByToken(client, parameters)
	}
	login := parameters["user"]
	right, err := s.ask(client, login, s.method(parameters))
	if err != nil {
		return "", err
	}
	if s.config.Password == nil {
		return "", &Denial{Message: fmt.Sprintf("password authentication failed for user %q", login)}
	}
	return s.config.Password(login, right)
}

func (s *Server) proveByToken(client net.Conn, parameters map[string]string) (string, error) {
	if s.config.Token == nil {
		return "", &Denial{Message: "no identity provider is configured"}
	}
	if err := request(client, 14, nil); err != nil {
		return "", err
	}
	token, err := answer(client, 'i')
	if err != nil {
		return "", err
	}
	// Some of Amazon's drivers end the token with a NUL, and some do not.
	if n := len(token); n > 0 && token[n-1] == 0 {
		token = token[:n-1]
	}
	ctx, cancel := context.WithTimeout(s.ctx, loginTime)
	defer cancel()
	return s.config.Token(ctx, string(token), parameters)
}

// method is how a client is asked for its password. psql and all that uses libpq connect to Redshift
// too, and know nothing newer than MD5; the drivers that know the digest say which they are.
func (s *Server) method(parameters map[string]string) Method {
	if s.config.Method == Digest && parameters["driver_version"] == "" {
		return MD5
	}
	return s.config.Method
}

// ask asks for a password in the configured way, and gives the test that its answer passes.
func (s *Server) ask(client net.Conn, login string, method Method) (right func(password string) bool, err error) {
	challenge := make([]byte, 48)
	rand.Read(challenge)
	switch method {
	case Cleartext:
		got, err := askPassword(client, method, nil)
		return func(password string) bool { return same(got, append([]byte(password), 0)) }, err
	case MD5:
		salt := challenge[:4]
		got, err := askPassword(client, method, salt)
		return func(password string) bool {
			inner := md5.Sum([]byte(password + login))
			outer := md5.Sum(append([]byte(hex.EncodeToString(inner[:])), salt...))
			return same(got, append([]byte("md5"+hex.EncodeToString(outer[:])), 0))
		}, err
	case Digest:
		return askDigest(client, challenge[:16], challenge[16:])
	}
	return nil, fmt.Errorf("method %d is not known", method)
}

func same(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

func askPassword(client net.Conn, method Method, salt []byte) ([]byte, error) {
	if err := request(client, uint32(method), salt); err != nil {
		return nil, err
	}
	return answer(client, 'p')
}

// askDigest is Redshift's: SHA-256 over the salted hash of the password and both nonces.
func askDigest(client net.Conn, salt, nonce []byte) (right func(password string) bool, err error) {
	challenge := binary.BigEndian.AppendUint32(nil, 0) // SHA-256
	challenge = append(binary.BigEndian.AppendUint32(challenge, uint32(len(salt))), salt...)
	challenge = append(binary.BigEndian.AppendUint32(challenge, uint32(len(nonce))), nonce...)
	if err := request(client, uint32(Digest), challenge); err != nil {
		return nil, err
	}
	got, err := answer(client, 'd')
	if err != nil {
		return nil, err
	}
	if len(got) < 8+sha256.Size || binary.BigEndian.Uint32(got) != sha256.Size {
		return nil, errors.New("log in: the answer to the digest is too short")
	}
	digest, rest := got[4:4+sha256.Size], got[4+sha256.Size:]
	if length := binary.BigEndian.Uint32(rest); uint64(length) != uint64(len(rest)-4) {
		return nil, errors.New("log in: the nonce has another length than it says")
	}
	return func(password string) bool {
		inner := sha256.Sum256(append([]byte(password), salt...))
		want := sha256.Sum256(append(append(inner[:], nonce...), rest[4:]...))
		return same(digest, want[:])
	}, nil
}

// request sends an authentication request.
func request(client io.Writer, method uint32, payload []byte) error {
	message := binary.BigEndian.AppendUint32([]byte{'R'}, uint32(8+len(payload)))
	message = binary.BigEndian.AppendUint32(message, method)
	_, err := client.Write(append(message, payload...))
	return err
}

// answer reads the client's reply.
func answer(client io.Reader, kind byte) ([]byte, error) {
	got, body, err := readMessage(client, maxLoginMessage)
	if err != nil {
		return nil, fmt.Errorf("log in: %w", err)
	}
	if got != kind {
		return nil, fmt.Errorf("log in: message %q where %q should be", got, kind)
	}
	return body, nil
}

func readMessage(r io.Reader, most uint32) (kind byte, body []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	length := binary.BigEndian.Uint32(head[1:])
	if length < 4 || length > most {
		return 0, nil, fmt.Errorf("a message of %d bytes", length)
	}
	body = make([]byte, length-4)
	_, err = io.ReadFull(r, body)
	return head[0], body, err
}
