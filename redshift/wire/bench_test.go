package wire

import (
	"bytes"
	"context"
	"errors"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/shiftgrant/shiftgrant/internal/secret"
	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
)

// BenchmarkRows reads rows of eight columns as they come from a server, without the network.
func BenchmarkRows(b *testing.B) {
	const count = 100_000
	messages := []pgproto3.BackendMessage{
		&pgproto3.AuthenticationOk{}, &pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{1, 2, 3, 4}}, &pgproto3.ReadyForQuery{TxStatus: 'I'},
		&pgproto3.ParseComplete{}, &pgproto3.BindComplete{}, &pgproto3.RowDescription{Fields: make([]pgproto3.FieldDescription, 8)},
	}
	row := &pgproto3.DataRow{}
	for _, value := range []string{"712345", "934711", "123.45", "101763.57142857143", "t", "2024-02-29", "2020-11-03 20:45:11.25", "order number 712345"} {
		row.Values = append(row.Values, []byte(value))
	}
	for range count {
		messages = append(messages, row)
	}
	messages = append(messages, &pgproto3.CommandComplete{CommandTag: []byte("SELECT 100000")}, &pgproto3.ReadyForQuery{TxStatus: 'I'})
	var says []byte
	for _, message := range messages {
		var err error
		if says, err = message.Encode(says); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		s := &Session{
			config:     Config{Login: identity.Login{User: "u", Password: secret.New("p")}, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no") }},
			connection: hostile{says: bytes.NewReader(says)}, parameters: map[string]string{},
		}
		if err := s.startUp(); err != nil {
			b.Fatal(err)
		}
		rows, err := s.Query(b.Context(), redshift.Statement{SQL: "select"})
		if err != nil {
			b.Fatal(err)
		}
		for rows.Next() {
		}
		if err := rows.Err(); err != nil || rows.Summary().RowCount != count {
			b.Fatal(rows.Summary(), err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*count), "ns/row")
}
