package wire

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/placeholder"
)

// Query runs one statement and gives its rows as they arrive. The session can run the next one
// when they are closed.
func (s *Session) Query(ctx context.Context, statement redshift.Statement) (redshift.Rows, error) {
	switch {
	case s.broken != nil:
		return nil, s.broken
	case s.reading != nil:
		return nil, ErrBusy
	}
	sent, err := prepare(statement)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	rows := &rows{session: s, sent: sent, started: time.Now(), summary: redshift.Summary{RowsAffected: -1}}
	s.reading = rows
	rows.watch(ctx)
	s.send(statement, rows)
	if err := s.frontend.Flush(); err != nil {
		return nil, rows.lost(fmt.Errorf("send statement: %w", err))
	}
	if err := rows.begin(); err != nil {
		return nil, err
	}
	return rows, nil
}

// send writes everything at once, so that it costs one round trip: what undoes the traces of the
// statement before, what sets the stage, the statement, and the end of its transaction.
func (s *Session) send(statement redshift.Statement, rows *rows) {
	if s.used && s.reset != "" {
		s.sendOwn(s.reset)
		s.frontend.SendSync(&pgproto3.Sync{})
		rows.resetting = true
	}
	s.used = true
	prelude := []string{}
	if limit := s.config.StatementTimeout; limit > 0 {
		prelude = append(prelude, "SET statement_timeout TO "+strconv.FormatInt(limit.Milliseconds(), 10))
	}
	if statement.ReadOnly {
		prelude = append(prelude, "BEGIN READ ONLY")
	}
	if statement.Label != "" {
		prelude = append(prelude, "SET query_group TO "+quote(statement.Label))
	}
	if statement.ReadOnly {
		// After a first query a transaction cannot be made READ WRITE any more.
		prelude = append(prelude, "SELECT 1")
	}
	for _, sql := range prelude {
		s.sendOwn(sql)
	}
	rows.prelude = len(prelude)
	s.frontend.SendParse(&pgproto3.Parse{Query: rows.sent.sql})
	s.frontend.SendBind(&pgproto3.Bind{Parameters: rows.sent.values})
	s.frontend.SendDescribe(&pgproto3.Describe{ObjectType: 'P'})
	s.frontend.SendExecute(&pgproto3.Execute{})
	if statement.ReadOnly {
		s.sendOwn("ROLLBACK")
	}
	s.frontend.SendSync(&pgproto3.Sync{})
}

// sendOwn sends a statement of ours, which has no parameters and needs no description.
func (s *Session) sendOwn(sql string) {
	s.frontend.SendParse(&pgproto3.Parse{Query: sql})
	s.frontend.SendBind(&pgproto3.Bind{})
	s.frontend.SendExecute(&pgproto3.Execute{})
}

// quote makes a literal of a text of ours, in which backslashes have no place.
func quote(text string) string {
	return "'" + strings.NewReplacer("'", "''", `\`, "").Replace(text) + "'"
}

// prepared is a statement as the protocol knows it: $1 where :name stood.
type prepared struct {
	sql    string
	values [][]byte
	moves  []move
}

// A move is where the text that is sent gets longer or shorter than the one that was written.
type move struct {
	from int // character in the sent text, 1-based, from which on
	by   int // so many characters are to be taken off
}

// prepare turns :name into $1. A name that stands twice is one value.
func prepare(statement redshift.Statement) (*prepared, error) {
	if strings.ContainsRune(statement.SQL, 0) {
		return nil, &redshift.Error{SQLState: "22021", Message: "the statement contains a NUL character"}
	}
	found, byName, err := placeholder.Match(statement)
	if err != nil {
		return nil, err
	}
	p := &prepared{sql: statement.SQL}
	if len(found) == 0 {
		return p, nil
	}
	numbers := make(map[string]int, len(byName))
	var out strings.Builder
	copied, characters, grown := 0, 0, 0
	for _, place := range found {
		name := place.Name(statement.SQL)
		if numbers[name] == 0 {
			p.values = append(p.values, bytesOf(byName[name]))
			numbers[name] = len(p.values)
		}
		// A space on both sides keeps it from growing together with its neighbours.
		number := " $" + strconv.Itoa(numbers[name]) + " "
		out.WriteString(statement.SQL[copied:place.Start])
		out.WriteString(number)
		characters += utf8.RuneCountInString(statement.SQL[copied:place.Start]) + len(number)
		grown += len(number) - (place.End - place.Start)
		p.moves = append(p.moves, move{characters + 1, grown})
		copied = place.End
	}
	out.WriteString(statement.SQL[copied:])
	p.sql = out.String()
	return p, nil
}

// position is the character of the written text that a character of the sent one comes from.
func (p *prepared) position(sent int) int {
	by := 0
	for _, m := range p.moves {
		if m.from <= sent {
			by = m.by
		}
	}
	return sent - by
}

// bytesOf is nil for NULL, and not nil for the empty string.
func bytesOf(value *string) []byte {
	if value == nil {
		return nil
	}
	return append([]byte{}, *value...)
}

// errorOf turns the server's refusal into ours.
func (r *rows) errorOf(response *pgproto3.ErrorResponse) error {
	if response.Code == "57014" && r.canceled() { // query_canceled, which a timeout is, too
		return redshift.ErrCanceled
	}
	failure := &redshift.Error{SQLState: response.Code, Message: response.Message, Detail: response.Detail, Hint: response.Hint}
	if response.Position > 0 {
		failure.Position = max(r.sent.position(int(response.Position)), 1)
	}
	return failure
}

// cancel asks the server on a second connection to stop what this session runs. Its answer is
// that it closes that connection.
func (s *Session) cancel(ctx context.Context) error { return Cancel(ctx, s.config, s.Trace()) }

// A Trace is what it takes to stop the statement that a connection runs, also when who opened the
// connection is gone. It is a secret.
type Trace struct {
	ProcessID uint32 `json:"process_id"`
	SecretKey []byte `json:"secret_key"`
}

// Trace is that of this connection.
func (s *Session) Trace() Trace { return Trace{s.processID, s.secretKey} }

// Cancel stops what a connection runs, and does nothing if it runs nothing, or is gone. It needs no
// login. The server does not say whether there was anything.
func Cancel(ctx context.Context, config Config, trace Trace) error {
	config = config.withDefaults()
	connection, err := config.dial(ctx)
	if err != nil {
		return fmt.Errorf("connect to cancel: %w", err)
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(cancelPatience)); err != nil {
		return err
	}
	request, err := (&pgproto3.CancelRequest{ProcessID: trace.ProcessID, SecretKey: trace.SecretKey}).Encode(nil)
	if err != nil {
		return err
	}
	if _, err := connection.Write(request); err != nil {
		return fmt.Errorf("cancel: %w", err)
	}
	// The server has acted when it hangs up; that it may do so rudely is no failure.
	_, _ = connection.Read(make([]byte, 1))
	return nil
}
