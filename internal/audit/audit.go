// Package audit keeps the record of who did what: one JSON line for each sign-in, consent,
// revocation, change of an app, and statement.
//
// A record is durable when Write returns, and callers write before they act: what cannot be
// recorded does not happen. Concurrent writers share one fsync.
//
// Each record carries a number and the SHA-256 of the record before it, so that a changed,
// missing or inserted line is found ([Verify]). Who can write the file can also write a new
// chain from any point on: the chain shows tampering only to somebody who kept a later hash
// elsewhere. Secrets have no field here.
package audit

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

// ErrUnavailable says that the record could not be written in time. Nothing may be done that it
// was to tell of.
var ErrUnavailable = errors.New("the audit record cannot be written")

// A Record is one thing that happened. Empty fields are left out.
type Record struct {
	Time       time.Time     `json:"time"`
	Kind       string        `json:"kind"` // "consent", "statement.started", …
	RequestID  string        `json:"request_id,omitempty"`
	Tenant     string        `json:"tenant,omitempty"`
	Person     string        `json:"person,omitempty"` // our id
	DatabaseAs string        `json:"database_user,omitempty"`
	App        string        `json:"app,omitempty"`
	Grant      string        `json:"grant,omitempty"`
	Warehouse  string        `json:"warehouse,omitempty"`
	Scopes     string        `json:"scopes,omitempty"`
	Label      string        `json:"label,omitempty"`     // what Redshift's own log knows a statement by
	Statement  string        `json:"statement,omitempty"` // its text, or …
	SHA256     string        `json:"statement_sha256,omitempty"`
	Outcome    string        `json:"outcome,omitempty"`
	SQLState   string        `json:"sqlstate,omitempty"`
	Rows       int64         `json:"rows,omitempty"`
	Truncated  bool          `json:"truncated,omitempty"`
	Duration   time.Duration `json:"duration_ns,omitempty"`
	QueryID    int64         `json:"redshift_query_id,omitempty"`
	Remote     string        `json:"remote,omitempty"`
	Detail     string        `json:"detail,omitempty"`
}

// line is a record with its place in the chain.
type line struct {
	Number   int64  `json:"n"`
	Previous string `json:"previous"`
	Record
}

// Config says where the record goes.
type Config struct {
	Path string // of the file; it is made with mode 0600
	// Patience is how long Write waits for a sink that does not take the record; 0 is 2 s.
	Patience time.Duration
	Logger   *slog.Logger // nil: nothing is logged
}

// Log is the open record. It is safe for concurrent use.
type Log struct {
	config  Config
	file    *os.File
	queue   chan *entry
	closing chan struct{}
	done    chan struct{}
	once    sync.Once

	// The end of the chain, owned by run.
	number   int64
	previous string
}

type entry struct {
	record Record
	result chan error
}

const (
	defaultPatience = 2 * time.Second
	maxBatch        = 256
)

// Open opens the record and finds the end of its chain. A last line that a crash cut short is
// ended, so that it stays visible and the next record starts on a line of its own.
func Open(config Config) (*Log, error) {
	if config.Patience == 0 {
		config.Patience = defaultPatience
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	file, err := os.OpenFile(config.Path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open audit record: %w", err)
	}
	l := &Log{config: config, file: file, queue: make(chan *entry, maxBatch), closing: make(chan struct{}), done: make(chan struct{})}
	if err := l.resume(); err != nil {
		return nil, errors.Join(fmt.Errorf("open audit record %s: %w", config.Path, err), file.Close())
	}
	go l.run()
	return l, nil
}

// resume reads the chain to its end.
func (l *Log) resume() error {
	reader := bufio.NewReaderSize(l.file, 1<<16)
	for {
		text, err := reader.ReadBytes('\n')
		if len(text) > 0 && text[len(text)-1] != '\n' {
			l.config.Logger.Warn("the audit record's last line was cut short by a crash; it is kept as it is", "bytes", len(text))
			if _, err := l.file.Write([]byte{'\n'}); err != nil {
				return err
			}
			return nil
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var last line
		if json.Unmarshal(text, &last) == nil && last.Number > 0 {
			l.number, l.previous = last.Number, digest(text)
		}
	}
}

func digest(text []byte) string {
	hash := sha256.Sum256(bytes.TrimSuffix(text, []byte{'\n'}))
	return hex.EncodeToString(hash[:])
}

// Write keeps a record. When it returns nil, the record survives a crash; otherwise the error
// is ErrUnavailable and the record may or may not be there.
func (l *Log) Write(ctx context.Context, record Record) error {
	if record.Time.IsZero() {
		record.Time = time.Now()
	}
	record.Time = record.Time.UTC()
	// A caller who goes away does not take the record along: what it tells of may go on.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.config.Patience)
	defer cancel()
	e := &entry{record, make(chan error, 1)}
	select {
	case l.queue <- e:
	case <-ctx.Done():
		return ErrUnavailable
	case <-l.closing:
		return ErrUnavailable
	}
	select {
	case err := <-e.result:
		return err
	case <-ctx.Done():
		return ErrUnavailable
	case <-l.done:
		return ErrUnavailable
	}
}

func (l *Log) run() {
	defer close(l.done)
	for {
		select {
		case first := <-l.queue:
			l.commit(l.collect(first))
		case <-l.closing:
			return
		}
	}
}

func (l *Log) collect(first *entry) []*entry {
	batch := []*entry{first}
	for len(batch) < maxBatch {
		select {
		case next := <-l.queue:
			batch = append(batch, next)
		default:
			return batch
		}
	}
	return batch
}

// commit writes a batch with one write and one fsync. The chain moves on only if both succeed.
func (l *Log) commit(batch []*entry) {
	number, previous := l.number, l.previous
	var text bytes.Buffer
	for _, e := range batch {
		number++
		encoded, err := json.Marshal(line{number, previous, e.record})
		if err != nil { // no field of a record can cause it
			encoded = fmt.Appendf(nil, `{"n":%d,"previous":%q,"kind":"unreadable"}`, number, previous)
		}
		text.Write(encoded)
		text.WriteByte('\n')
		previous = digest(encoded)
	}
	err := l.persist(text.Bytes())
	if err != nil {
		l.config.Logger.Error("write audit record", "error", err)
		err = ErrUnavailable
	} else {
		l.number, l.previous = number, previous
	}
	for _, e := range batch {
		e.result <- err
	}
}

// persist appends whole lines or nothing: what a full disk cut short is taken back.
func (l *Log) persist(text []byte) error {
	before, err := l.file.Seek(0, io.SeekEnd)
	if err != nil {
		before = -1 // a sink that is no file
	}
	if _, err = l.file.Write(text); err == nil {
		err = l.file.Sync()
	}
	if err != nil && before >= 0 {
		err = errors.Join(err, l.file.Truncate(before))
	}
	return err
}

// Close writes what is waiting no more, and closes the file. It does not wait for ever for a
// sink that blocks.
func (l *Log) Close() error {
	l.once.Do(func() { close(l.closing) })
	select {
	case <-l.done:
	case <-time.After(l.config.Patience):
	}
	return l.file.Close()
}

// Verify reads a record and checks its chain. It gives the number of records, or an error that
// names the first line that does not follow from the one before it. A line that a crash cut
// short is passed over.
func Verify(r io.Reader) (int64, error) {
	reader := bufio.NewReaderSize(r, 1<<16)
	var count int64
	previous := ""
	for number := 1; ; number++ {
		text, err := reader.ReadBytes('\n')
		if len(text) > 0 {
			var read line
			switch {
			case json.Unmarshal(text, &read) != nil:
				// Only a crash leaves half a line, and then the next one continues the chain.
			case read.Number != count+1 || read.Previous != previous:
				return count, fmt.Errorf("audit record: line %d does not follow from the one before it: it was changed, or one is missing", number)
			default:
				count, previous = read.Number, digest(text)
			}
		}
		if errors.Is(err, io.EOF) {
			return count, nil
		}
		if err != nil {
			return count, fmt.Errorf("read audit record: %w", err)
		}
	}
}
