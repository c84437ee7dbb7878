package wire

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/shiftgrant/shiftgrant/redshift"
)

// rows is a result on its way. Values are slices of the connection's buffer.
type rows struct {
	session *Session
	sent    *prepared
	started time.Time
	columns []redshift.Column
	values  [][]byte
	summary redshift.Summary
	err     error
	done    bool // the server is ready for the next statement

	resetting bool // the answer to the reset comes first
	prelude   int  // then those to so many statements of ours

	stop      func() bool // ends watching the caller's context
	cancelled atomic.Bool
	ended     chan struct{} // closed when a cancellation under way is over; nil without one
}

// watch cancels the statement when ctx ends. Should the server not mind, the connection is ended,
// so that nobody waits for ever.
func (r *rows) watch(ctx context.Context) {
	ended := make(chan struct{})
	r.ended = ended
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		r.interrupt(context.WithoutCancel(ctx))
	})
	r.stop = func() bool {
		if stop() {
			close(ended)
			return true
		}
		return false
	}
}

// interrupt cancels what runs, and gives the server until cancelPatience to say so.
func (r *rows) interrupt(ctx context.Context) {
	r.cancelled.Store(true)
	_ = r.session.connection.SetReadDeadline(time.Now().Add(cancelPatience))
	ctx, done := context.WithTimeout(ctx, cancelPatience)
	defer done()
	if r.session.cancel(ctx) != nil {
		_ = r.session.connection.SetReadDeadline(time.Unix(1, 0))
	}
}

func (r *rows) canceled() bool { return r.cancelled.Load() }

// begin reads until the columns are known.
func (r *rows) begin() error {
	if r.resetting {
		if err := r.afterReset(); err != nil {
			return err
		}
	}
	for {
		message, err := r.receive()
		if err != nil {
			return err
		}
		switch m := message.(type) {
		case *pgproto3.ErrorResponse:
			return r.refused(m)
		case *pgproto3.CommandComplete:
			if r.prelude == 0 {
				return r.lost(errors.New("a statement ended before it was described"))
			}
			r.prelude--
		case *pgproto3.DataRow:
			if r.prelude == 0 {
				return r.lost(errors.New("a row came before it was described"))
			}
		case *pgproto3.RowDescription:
			r.columns = columnsOf(m.Fields)
			return nil
		case *pgproto3.NoData:
			return nil
		default:
			return r.lost(fmt.Errorf("the server sent %T before it described the result", message))
		}
	}
}

// afterReset reads the answer to the reset. Where the server does not know it, the next one is
// taken from now on.
func (r *rows) afterReset() error {
	for {
		message, err := r.receive()
		if err != nil {
			return err
		}
		switch message.(type) {
		case *pgproto3.ErrorResponse:
			r.session.reset = resets[min(slices.Index(resets, r.session.reset)+1, len(resets)-1)]
		case *pgproto3.ReadyForQuery:
			return nil
		}
	}
}

// receive gives the next message that is about the statement.
func (r *rows) receive() (pgproto3.BackendMessage, error) {
	for {
		message, err := r.session.frontend.Receive()
		if err != nil {
			if r.canceled() {
				return nil, r.lost(fmt.Errorf("%w, and the connection with it", redshift.ErrCanceled))
			}
			if tooLarge := (*pgproto3.ExceededMaxBodyLenErr)(nil); errors.As(err, &tooLarge) {
				err = fmt.Errorf("%w: %w", redshift.ErrRowTooLarge, err)
			}
			return nil, r.lost(fmt.Errorf("read result: %w", err))
		}
		switch m := message.(type) {
		case *pgproto3.ParseComplete, *pgproto3.BindComplete, *pgproto3.NoticeResponse, *pgproto3.NotificationResponse:
		case *pgproto3.ParameterStatus:
			r.session.parameters[m.Name] = m.Value
		default:
			return message, nil
		}
	}
}

// lost ends a connection in the middle of something.
func (r *rows) lost(err error) error {
	r.err = err
	r.finish()
	return r.session.fail(err)
}

// refused takes the server's error, and waits for it to be ready again.
func (r *rows) refused(response *pgproto3.ErrorResponse) error {
	r.err = r.errorOf(response)
	if err := r.untilReady(); err != nil {
		return err
	}
	return r.err
}

// untilReady reads what is left of a statement, and ends a transaction that it left open.
func (r *rows) untilReady() error {
	for {
		message, err := r.receive()
		if err != nil {
			return err
		}
		ready, ok := message.(*pgproto3.ReadyForQuery)
		if !ok {
			continue
		}
		r.session.status = ready.TxStatus
		if ready.TxStatus == 'I' {
			r.finish()
			return nil
		}
		r.session.sendOwn("ROLLBACK")
		r.session.frontend.SendSync(&pgproto3.Sync{})
		if err := r.session.frontend.Flush(); err != nil {
			return r.lost(fmt.Errorf("end transaction: %w", err))
		}
	}
}

// finish frees the session, once nothing of a cancellation can hit the next statement any more.
func (r *rows) finish() {
	if r.done {
		return
	}
	r.done = true
	r.stop()
	<-r.ended
	r.session.reading = nil
	r.summary.Duration = time.Since(r.started)
	if r.canceled() && r.session.broken == nil {
		_ = r.session.connection.SetReadDeadline(time.Time{})
	}
}

func (r *rows) Columns() []redshift.Column { return r.columns }

func (r *rows) Next() bool {
	if r.done || r.err != nil {
		return false
	}
	message, err := r.receive()
	if err != nil {
		return false
	}
	switch m := message.(type) {
	case *pgproto3.DataRow:
		if len(m.Values) != len(r.columns) {
			_ = r.lost(fmt.Errorf("a row has %d values for %d columns", len(m.Values), len(r.columns)))
			return false
		}
		r.values = m.Values
		r.summary.RowCount++
		return true
	case *pgproto3.CommandComplete:
		r.complete(string(m.CommandTag))
	case *pgproto3.EmptyQueryResponse:
	case *pgproto3.ErrorResponse:
		_ = r.refused(m)
		return false
	default:
		_ = r.lost(fmt.Errorf("the server sent %T among rows", message))
		return false
	}
	_ = r.untilReady()
	return false
}

// complete reads the command tag: "INSERT 0 5", "UPDATE 3", "SELECT".
func (r *rows) complete(tag string) {
	words := strings.Fields(tag)
	if len(words) < 2 || words[0] == "SELECT" || words[0] == "FETCH" {
		return
	}
	if count, err := strconv.ParseInt(words[len(words)-1], 10, 64); err == nil {
		r.summary.RowsAffected = count
	}
}

func (r *rows) Values() [][]byte          { return r.values }
func (r *rows) Err() error                { return r.err }
func (r *rows) Summary() redshift.Summary { return r.summary }

// Close cancels what is still running, and waits until the session is free.
func (r *rows) Close() error {
	if r.done {
		return nil
	}
	if r.stop() { // otherwise the context has cancelled it already
		r.interrupt(context.Background())
	}
	if err := r.untilReady(); err != nil {
		return err
	}
	if r.err == nil {
		r.err = redshift.ErrCanceled
	}
	return nil
}
