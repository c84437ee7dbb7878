package wire

import (
	"crypto/md5" // what PostgreSQL's authentication message 5 asks for
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/shiftgrant/shiftgrant/redshift"
)

// Authentication requests (message 'R').
const (
	authOK        = 0
	authCleartext = 3
	authMD5       = 5
	authDigest    = 13 // Redshift
	authToken     = 14 // Redshift
)

// maxStartMessage bounds a message before the login: they are short.
const maxStartMessage = 64 << 10

// startUp logs in and waits until the server is ready. Messages are read by hand until then,
// because pgproto3 does not know two of them.
func (s *Session) startUp() error {
	start, err := s.startMessage().Encode(nil)
	if err != nil {
		return err
	}
	if _, err := s.connection.Write(start); err != nil {
		return fmt.Errorf("start up: %w", err)
	}
	for {
		kind, body, err := readMessage(s.connection)
		if err != nil {
			return fmt.Errorf("start up: %w", err)
		}
		switch kind {
		case 'R':
			err = s.authenticate(body)
		case 'S':
			err = s.parameterStatus(body)
		case 'K':
			err = s.backendKey(body)
		case 'E':
			return loginError(body)
		case 'N': // a notice
		case 'Z':
			return s.ready(body)
		default:
			return fmt.Errorf("start up: the server sent message %q", kind)
		}
		if err != nil {
			return err
		}
	}
}

// startMessage has Redshift's parameters beside PostgreSQL's. client_protocol_version is left
// out: from 1 on rows are described in a form that pgproto3 does not read.
func (s *Session) startMessage() *pgproto3.StartupMessage {
	parameters := map[string]string{
		"user": s.config.Login.User, "database": s.config.Database,
		"client_encoding": "UTF8", "DateStyle": "ISO",
		"application_name": s.config.Application,
		"driver_version":   "shiftgrant", "os_version": runtime.GOOS + " " + runtime.GOARCH,
	}
	if token := s.config.Login.Token; token != nil {
		parameters["idp_type"], parameters["plugin_name"] = token.IdentityProvider, "shiftgrant"
		if token.Type != "" {
			parameters["token_type"] = token.Type
		}
		if token.Namespace != "" {
			parameters["identity_namespace"] = token.Namespace
		}
	}
	return &pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersionNumber, Parameters: parameters}
}

// readMessage reads one message, and not a byte more.
func readMessage(r io.Reader) (kind byte, body []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	length := binary.BigEndian.Uint32(head[1:])
	if length < 4 || length > maxStartMessage {
		return 0, nil, fmt.Errorf("a message of %d bytes", length)
	}
	body = make([]byte, length-4)
	_, err = io.ReadFull(r, body)
	return head[0], body, err
}

var errShort = errors.New("start up: a message of the server is too short")

// authenticate answers one request for proof.
func (s *Session) authenticate(body []byte) error {
	if len(body) < 4 {
		return errShort
	}
	password := s.config.Login.Password
	request, rest := binary.BigEndian.Uint32(body), body[4:]
	switch {
	case request == authOK:
		return nil
	case request == authToken && s.config.Login.Token != nil:
		return s.answer('i', []byte(s.config.Login.Token.Value.Reveal()))
	case request == authToken:
		return &redshift.AccessError{Step: "log in", Err: errors.New("the server asks for a token of an identity provider, and there is a password only")}
	case password.IsZero():
		return &redshift.AccessError{Step: "log in", Err: errors.New("the server asks for a password, and there is a token only: is the identity provider registered (CREATE IDENTITY PROVIDER)?")}
	case request == authCleartext:
		return s.answer('p', append([]byte(password.Reveal()), 0))
	case request == authMD5 && len(rest) >= 4:
		return s.answer('p', append([]byte(md5Password(s.config.Login.User, password.Reveal(), rest[:4])), 0))
	case request == authDigest:
		answer, err := digestAnswer(rest, password.Reveal())
		if err != nil {
			return err
		}
		return s.answer('d', answer)
	}
	return fmt.Errorf("start up: the server asks for authentication by method %d, which this program does not know", request)
}

func (s *Session) answer(kind byte, body []byte) error {
	message := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4))
	if _, err := s.connection.Write(append(message, body...)); err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	return nil
}

// md5Password is PostgreSQL's: md5(md5(password + user) + salt).
func md5Password(user, password string, salt []byte) string {
	inner := md5.Sum([]byte(password + user))
	outer := md5.Sum(append([]byte(hex.EncodeToString(inner[:])), salt...))
	return "md5" + hex.EncodeToString(outer[:])
}

// digestAnswer answers Redshift's message 13: algorithm, salt, nonce, each with its length.
func digestAnswer(challenge []byte, password string) ([]byte, error) {
	if len(challenge) < 4 {
		return nil, errShort
	}
	if algorithm := binary.BigEndian.Uint32(challenge); algorithm != 0 {
		return nil, fmt.Errorf("start up: the server asks for a digest by method %d; only SHA-256 is known", algorithm)
	}
	salt, rest, ok := counted(challenge[4:])
	if !ok {
		return nil, errShort
	}
	serverNonce, _, ok := counted(rest)
	if !ok {
		return nil, errShort
	}
	clientNonce := make([]byte, 32)
	rand.Read(clientNonce)
	digest := passwordDigest(password, salt, serverNonce, clientNonce)
	answer := binary.BigEndian.AppendUint32(nil, uint32(len(digest)))
	answer = append(answer, digest[:]...)
	answer = binary.BigEndian.AppendUint32(answer, uint32(len(clientNonce)))
	return append(answer, clientNonce...), nil
}

// passwordDigest is SHA-256(SHA-256(password, salt), server's nonce, client's nonce).
func passwordDigest(password string, salt, serverNonce, clientNonce []byte) [sha256.Size]byte {
	inner := sha256.Sum256(append([]byte(password), salt...))
	return sha256.Sum256(append(append(inner[:], serverNonce...), clientNonce...))
}

func counted(b []byte) (value, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	length := binary.BigEndian.Uint32(b)
	if uint64(length) > uint64(len(b)-4) {
		return nil, nil, false
	}
	return b[4 : 4+length], b[4+length:], true
}

func (s *Session) parameterStatus(body []byte) error {
	name, rest, ok := strings.Cut(string(body), "\x00")
	value, _, ended := strings.Cut(rest, "\x00")
	if !ok || !ended {
		return errShort
	}
	s.parameters[name] = value
	return nil
}

func (s *Session) backendKey(body []byte) error {
	if len(body) < 8 {
		return errShort
	}
	s.processID, s.secretKey = binary.BigEndian.Uint32(body), body[4:]
	return nil
}

func (s *Session) ready(body []byte) error {
	if len(body) != 1 {
		return errShort
	}
	s.status = body[0]
	s.frontend = pgproto3.NewFrontend(s.connection, s.connection)
	s.frontend.SetMaxBodyLen(maxMessage)
	return nil
}
