package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/shiftgrant/shiftgrant/internal/secret"
	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
)

// hostile is a server that says what the fuzzer thinks of.
type hostile struct {
	net.Conn
	says *bytes.Reader
}

func (h hostile) Read(b []byte) (int, error)     { return h.says.Read(b) }
func (hostile) Write(b []byte) (int, error)      { return len(b), nil }
func (hostile) Close() error                     { return nil }
func (hostile) SetDeadline(time.Time) error      { return nil }
func (hostile) SetReadDeadline(time.Time) error  { return nil }
func (hostile) SetWriteDeadline(time.Time) error { return nil }

// FuzzServer lets a hostile server answer the login and one statement: whatever it says, the
// session ends in order, and no row has another number of values than there are columns.
func FuzzServer(f *testing.F) {
	encode := func(messages ...pgproto3.BackendMessage) (encoded []byte) {
		for _, message := range messages {
			var err error
			if encoded, err = message.Encode(encoded); err != nil {
				f.Fatal(err)
			}
		}
		return encoded
	}
	start := []pgproto3.BackendMessage{
		&pgproto3.AuthenticationOk{}, &pgproto3.ParameterStatus{Name: "server_version", Value: "8.0.2"},
		&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{1, 2, 3, 4}}, &pgproto3.ReadyForQuery{TxStatus: 'I'},
	}
	field := pgproto3.FieldDescription{Name: []byte("a"), DataTypeOID: 1700, TypeModifier: 655366}
	f.Add(encode(append(start,
		&pgproto3.ParseComplete{}, &pgproto3.BindComplete{}, &pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{field}},
		&pgproto3.DataRow{Values: [][]byte{[]byte("1.50")}}, &pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")}, &pgproto3.ReadyForQuery{TxStatus: 'I'})...))
	f.Add(encode(append(start, &pgproto3.ErrorResponse{Code: "42601", Message: "no", Position: 3}, &pgproto3.ReadyForQuery{TxStatus: 'I'})...))
	f.Add(encode(&pgproto3.ErrorResponse{Code: "28000", Message: "no"}))
	f.Add([]byte("R\x00\x00\x00\x24\x00\x00\x00\x0d\x00\x00\x00\x00\x00\x00\x00\x04salt\x00\x00\x00\x04once"))
	f.Add([]byte("R\x00\x00\x00\x0c\x00\x00\x00\x05salt"))
	f.Fuzz(func(t *testing.T, says []byte) {
		s := &Session{
			config:     Config{Login: identity.Login{User: "u", Password: secret.New("p")}, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no") }},
			connection: hostile{says: bytes.NewReader(says)}, parameters: map[string]string{},
		}
		if s.startUp() != nil {
			return
		}
		rows, err := s.Query(t.Context(), redshift.Statement{SQL: "select 1", Label: "l"})
		if err != nil {
			return
		}
		for rows.Next() {
			if len(rows.Values()) != len(rows.Columns()) {
				t.Fatalf("%d values for %d columns", len(rows.Values()), len(rows.Columns()))
			}
		}
		if err := rows.Err(); err == nil && !s.Healthy() && s.status == 'I' {
			t.Fatal("a result without an error left the session unfit")
		}
		_ = rows.Close()
	})
}

// FuzzLoginMessage reads messages as they come before the login.
func FuzzLoginMessage(f *testing.F) {
	f.Add([]byte("R\x00\x00\x00\x08\x00\x00\x00\x00"))
	f.Add([]byte("S\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, says []byte) {
		_, body, err := readMessage(bytes.NewReader(says))
		if err == nil && len(body) > maxStartMessage {
			t.Fatalf("a body of %d bytes", len(body))
		}
		if len(says) == 0 && !errors.Is(err, io.EOF) {
			t.Fatalf("nothing gives %v", err)
		}
	})
}
