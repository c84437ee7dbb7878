package wire

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/shiftgrant/shiftgrant/twin/postgres"
)

// maxMessage bounds a statement: Redshift takes 16 MB.
const maxMessage = 17 << 20

// A session is a client and its connection to PostgreSQL.
type session struct {
	client   net.Conn
	database net.Conn
	hijacked *pgconn.HijackedConn
	key      []byte
}

// newSession carries the client's settings over to PostgreSQL and takes its connection over.
func newSession(ctx context.Context, client net.Conn, database *pgconn.PgConn, parameters map[string]string) (*session, error) {
	settings := "SET application_name TO " + quoted(parameters["application_name"])
	_, err := database.Exec(ctx, settings).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("carry settings over: %w", err)
	}
	hijacked, err := database.Hijack()
	if err != nil {
		return nil, err
	}
	s := &session{client: client, database: hijacked.Conn, hijacked: hijacked, key: make([]byte, 4)}
	rand.Read(s.key)
	return s, nil
}

func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// welcome says what a server says that is ready.
func (s *session) welcome(number uint32, parameters map[string]string) error {
	messages := []pgproto3.BackendMessage{&pgproto3.AuthenticationOk{}}
	for name, value := range map[string]string{
		"server_version": "8.0.2", "server_encoding": "UTF8", "client_encoding": "UTF8", "DateStyle": "ISO, MDY",
		"TimeZone": "UTC", "integer_datetimes": "on", "datashare_enabled": "on", "application_name": parameters["application_name"],
	} {
		messages = append(messages, &pgproto3.ParameterStatus{Name: name, Value: value})
	}
	messages = append(messages, &pgproto3.BackendKeyData{ProcessID: number, SecretKey: s.key}, &pgproto3.ReadyForQuery{TxStatus: 'I'})
	var encoded []byte
	for _, message := range messages {
		var err error
		if encoded, err = message.Encode(encoded); err != nil {
			return err
		}
	}
	if _, err := s.client.Write(encoded); err != nil {
		return err
	}
	return s.client.SetDeadline(time.Time{})
}

// relay passes messages on until the database ends its side, or an answer finds no client. Answers go
// through as bytes. A client that goes away without a word leaves what it runs running: like
// Redshift, PostgreSQL notices when it has something to send, and until then only a cancellation,
// or ctx, ends it.
func (s *session) relay(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { _ = s.database.Close() })()
	answered := make(chan struct{})
	go func() {
		_, _ = io.Copy(s.client, s.database)
		_ = s.client.Close() // the client's half would otherwise wait for its next message
		_ = s.database.Close()
		close(answered)
	}()
	err := s.requests()
	if terminate, encodeErr := (&pgproto3.Terminate{}).Encode(nil); encodeErr == nil {
		_, _ = s.database.Write(terminate) // for when it is idle
	}
	<-answered
	return err
}

// requests passes on what the client sends, message by message.
func (s *session) requests() error {
	reader := bufio.NewReaderSize(s.client, 64<<10)
	writer := bufio.NewWriterSize(s.database, 64<<10)
	for {
		kind, body, err := readMessage(reader, maxMessage)
		if err != nil {
			return err
		}
		if kind == 'P' || kind == 'Q' {
			body = translate(kind, body)
		}
		head := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4))
		if _, err := writer.Write(append(head, body...)); err != nil {
			return err
		}
		if reader.Buffered() == 0 {
			if err := writer.Flush(); err != nil {
				return err
			}
		}
	}
}

// translate changes the text of Parse (name, text, types) or Query (text).
func translate(kind byte, body []byte) []byte {
	start := 0
	if kind == 'P' {
		start = bytes.IndexByte(body, 0) + 1
	}
	length := bytes.IndexByte(body[start:], 0)
	if length < 0 {
		return body // PostgreSQL says what is wrong
	}
	sql, err := postgres.Translate(string(body[start : start+length]))
	if err != nil {
		return body
	}
	return bytes.Join([][]byte{body[:start], []byte(sql), body[start+length:]}, nil)
}

// cancel asks PostgreSQL to stop what the session runs.
func (s *session) cancel(ctx context.Context) error {
	config := s.hijacked.Config
	network, address := pgconn.NetworkAddress(config.Host, config.Port)
	connection, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, address)
	if err != nil {
		return err
	}
	defer connection.Close()
	request, err := (&pgproto3.CancelRequest{ProcessID: s.hijacked.PID, SecretKey: s.hijacked.SecretKey}).Encode(nil)
	if err != nil {
		return err
	}
	if err := connection.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := connection.Write(request); err != nil {
		return err
	}
	_, err = connection.Read(make([]byte, 1))
	if err != io.EOF {
		return err
	}
	return nil
}
