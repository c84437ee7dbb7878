// Package audit keeps the record of who did what: one JSON line for each sign-in, consent,
// revocation, change of an app, and statement.
//
// A record is on disk when [Log.Write] returns, and callers write before they act: what cannot
// be recorded does not happen. Those who write at the same time share one fsync. A sink that
// does not take records is waited for, two seconds, and no longer.
//
// Each record has a number and the SHA-256 of the line before it, so a [Verifier] finds a line
// that was changed, taken out or put in. Each minute with something new ends in a signed head,
// as do each file and each run: whoever has not the key can write no new end up to there. What
// follows the last head is only chained. Who has the key, or cuts the file at a head, is found
// by what has left the machine: the copies that a [Shipper] makes, or a head noted elsewhere.
//
// The file is the truth. A second stream gets each record before it counts as written; copies
// in the store are made from the file, in the background, and made up for after a crash.
//
// Secrets have no field here; a token of ours that somebody put into a statement is masked.
// Whatever else is in a text, it cannot end the line or reach a terminal: control and
// formatting characters are escaped.
package audit

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// ErrUnavailable says that the record could not be written, or not in time. What it was to tell
// of must not be done.
var ErrUnavailable = errors.New("the audit record cannot be written")

// A Record is one thing that happened. Empty fields are left out.
type Record struct {
	Time        time.Time     `json:"time"` // the zero time is now
	Kind        string        `json:"kind"` // "consent", "statement.started", …
	RequestID   string        `json:"request_id,omitempty"`
	Tenant      string        `json:"tenant,omitempty"`
	Person      string        `json:"person,omitempty"` // our id
	PersonName  string        `json:"person_name,omitempty"`
	DatabaseAs  string        `json:"database_user,omitempty"`
	App         string        `json:"app,omitempty"`
	Grant       string        `json:"grant,omitempty"`
	Warehouse   string        `json:"warehouse,omitempty"`
	Scopes      string        `json:"scopes,omitempty"`
	StatementID string        `json:"statement_id,omitempty"`
	Label       string        `json:"label,omitempty"`     // what Redshift's own log knows a statement by
	Statement   string        `json:"statement,omitempty"` // its text, or …
	SHA256      string        `json:"statement_sha256,omitempty"`
	Outcome     string        `json:"outcome,omitempty"`
	SQLState    string        `json:"sqlstate,omitempty"`
	Rows        int64         `json:"rows,omitempty"`
	Bytes       int64         `json:"bytes,omitempty"`
	Truncated   bool          `json:"truncated,omitempty"`
	Duration    time.Duration `json:"duration_ns,omitempty"`
	QueryID     int64         `json:"redshift_query_id,omitempty"`
	Remote      string        `json:"remote,omitempty"`
	Detail      string        `json:"detail,omitempty"`
	Chain       string        `json:"chain,omitempty"` // of records of the log itself
	Key         string        `json:"key,omitempty"`   // of a head: the public key that verifies it
}

// The kinds of record that the log writes about itself.
const (
	kindOpened    = "audit.opened"    // a run begins
	kindReopened  = "audit.reopened"  // a file begins that goes on from another
	kindRepaired  = "audit.repaired"  // half a record was set aside
	kindRecovered = "audit.recovered" // records were refused before
	kindForked    = "audit.forked"    // the file and its copies disagree: a new chain begins
	kindHead      = "audit.head"      // all up to here is signed
)

// Config says where the record goes.
type Config struct {
	Path string // of the file; it is made with mode 0600. A named pipe will do as well
	// Patience is how long Write waits for a sink that does not take the record; 0 is 2 s.
	Patience time.Duration
	// Key signs heads; nil for none. HeadEvery is how long a record may wait for one; 0 is a minute.
	Key       ed25519.PrivateKey
	HeadEvery time.Duration
	// Copy gets each line too, before it counts as written; nil for none.
	Copy io.Writer
	// RotateAt is the size in bytes beyond which the file is moved away and a new one begins; 0 for never.
	RotateAt int64
	Now      func() time.Time // nil is time.Now
	Logger   *slog.Logger     // nil: nothing is logged
}

// Log is the open record. It is safe for concurrent use.
type Log struct {
	config  Config
	queue   chan *entry
	closing chan struct{}
	closed  chan struct{}
	closer  sync.Once
	file    atomic.Pointer[os.File]
	durable atomic.Pointer[chain] // up to where the file can be read by others
	undone  atomic.Int64          // how often what stood in the file was taken back

	// What follows belongs to the goroutine that writes.
	chain
	signed   int64     // number of the last head
	cutTo    int64     // the size that the file must have before it is written; whole for as it is
	uncopied []byte    // lines that Copy has not taken yet
	refusing time.Time // since when nothing can be written; zero for no such time
	rotateAt int64
}

const whole = -1

// entry waits to be written.
type entry struct {
	body   []byte       // the record without its place in the chain
	do     func() error // in place of a record: something that only the writing goroutine may do
	left   atomic.Bool  // the writer of it: it was told that it cannot be written
	result chan error
}

const (
	defaultPatience  = 2 * time.Second
	defaultHeadEvery = time.Minute
	maxTogether      = 256
)

// Open opens the record and goes on with its chain. What a crash left of an unfinished last
// record is moved to a file beside it, and the record says so.
func Open(config Config) (*Log, error) {
	if config.Patience == 0 {
		config.Patience = defaultPatience
	}
	if config.HeadEvery == 0 {
		config.HeadEvery = defaultHeadEvery
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Log{
		config: config, queue: make(chan *entry, maxTogether), closing: make(chan struct{}), closed: make(chan struct{}),
		cutTo: whole, rotateAt: config.RotateAt,
	}
	file, err := openPrivately(config.Path)
	if err != nil {
		return nil, fmt.Errorf("open audit record: %w", err)
	}
	l.file.Store(file)
	if err := l.begin(); err != nil {
		return nil, fmt.Errorf("open audit record %s: %w", config.Path, errors.Join(err, file.Close()))
	}
	go l.run()
	return l, nil
}

// openPrivately opens for appending. For reading, too, so that a pipe opens before somebody
// reads it. A file that is there keeps its mode: who lets a log shipper read it means to.
func openPrivately(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syncFolder(filepath.Dir(path)); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// syncFolder makes the name of a new file as durable as its contents.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// Write returns nil when the record is on disk. Otherwise the error wraps ErrUnavailable. A
// caller whose request has ended in the meantime does not take the record along: what it tells
// of may have happened.
func (l *Log) Write(ctx context.Context, record Record) error {
	if record.Time.IsZero() {
		record.Time = l.config.Now()
	}
	body, err := encode(record)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return l.submit(ctx, &entry{body: body, result: make(chan error, 1)})
}

// Reopen opens the file anew, for who has moved it away. The chain goes on in the new one, which
// says so in its first record.
func (l *Log) Reopen(ctx context.Context) error { return l.between(ctx, l.reopen) }

// Ready says whether records can be written. After a failure it tries.
func (l *Log) Ready(ctx context.Context) error {
	return l.between(ctx, func() error { return l.append() })
}

// between does something between two records.
func (l *Log) between(ctx context.Context, do func() error) error {
	return l.submit(ctx, &entry{do: do, result: make(chan error, 1)})
}

func (l *Log) submit(ctx context.Context, e *entry) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.config.Patience)
	defer cancel()
	select {
	case l.queue <- e:
	case <-ctx.Done():
		return fmt.Errorf("%w: nothing was written for %v", ErrUnavailable, l.config.Patience)
	case <-l.closing:
		return fmt.Errorf("%w: it is closed", ErrUnavailable)
	}
	select {
	case err := <-e.result:
		return err
	case <-ctx.Done():
		e.left.Store(true)
		return fmt.Errorf("%w: nothing was written for %v", ErrUnavailable, l.config.Patience)
	case <-l.closed:
		select {
		case err := <-e.result:
			return err
		default:
			return fmt.Errorf("%w: it is closed", ErrUnavailable)
		}
	}
}

func (l *Log) run() {
	defer close(l.closed)
	heads := time.NewTicker(l.config.HeadEvery)
	defer heads.Stop()
	for {
		select {
		case first := <-l.queue:
			l.handle(first)
		case <-heads.C:
			l.sign()
		case <-l.closing:
			l.finish()
			return
		}
	}
}

// finish writes what waits, and the last head.
func (l *Log) finish() {
	for {
		select {
		case first := <-l.queue:
			l.handle(first)
		default:
			l.sign()
			return
		}
	}
}

// handle writes what waits, together.
func (l *Log) handle(next *entry) {
	var group []*entry
	for next != nil {
		if next.do != nil {
			l.answer(group)
			if !next.left.Load() {
				next.result <- next.do()
			}
			return
		}
		group = append(group, next)
		next = l.next(len(group))
	}
	l.answer(group)
}

// next is one more for a group, or nil when it is time to write.
func (l *Log) next(have int) *entry {
	if have == maxTogether {
		return nil
	}
	if len(l.queue) == 0 {
		runtime.Gosched() // who is ready to run may be about to write
	}
	select {
	case next := <-l.queue:
		return next
	default:
		return nil
	}
}

// answer appends a group and tells each caller how it went.
func (l *Log) answer(group []*entry) {
	var bodies [][]byte
	for _, e := range group {
		if !e.left.Load() {
			bodies = append(bodies, e.body)
		}
	}
	var err error
	if len(bodies) > 0 {
		err = l.append(bodies...)
	}
	for _, e := range group {
		e.result <- err
	}
	l.rotate()
}

// append writes records with one write and one fsync. The chain moves on only if both succeed.
func (l *Log) append(bodies ...[]byte) error {
	if !l.refusing.IsZero() {
		recovered, err := encode(Record{Time: l.config.Now(), Kind: kindRecovered, Detail: "records were refused from " + l.refusing.UTC().Format(time.RFC3339Nano)})
		if err != nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		bodies = append([][]byte{recovered}, bodies...)
	}
	ahead := l.chain
	var text []byte
	for _, body := range bodies {
		text = ahead.appendLine(text, body)
	}
	return l.commit(text, ahead)
}

// commit makes lines durable, after which the chain stands at ahead, and hands them to the copy.
func (l *Log) commit(text []byte, ahead chain) error {
	if len(text) == 0 {
		return nil
	}
	err := l.copyRest()
	if err == nil {
		err = l.persist(text)
	}
	if err == nil {
		l.chain = ahead
		l.durable.Store(&ahead)
		if l.config.Copy != nil {
			l.uncopied = text
		}
		err = l.copyRest()
	}
	if err == nil {
		l.refusing = time.Time{}
		return nil
	}
	l.config.Logger.Error("write audit record", "path", l.config.Path, "error", err)
	if l.refusing.IsZero() {
		l.refusing = l.config.Now()
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// copyRest hands on what the copy has not taken. Until it has, nothing more is written, so that
// it misses no line and what waits for it stays small.
func (l *Log) copyRest() error {
	if len(l.uncopied) == 0 {
		return nil
	}
	n, err := l.config.Copy.Write(l.uncopied)
	l.uncopied = l.uncopied[n:]
	if err != nil {
		return fmt.Errorf("copy of the audit record: %w", err)
	}
	return nil
}

// persist appends whole records or none: what a full disk cut short is taken back, at the
// latest before the next is written.
func (l *Log) persist(text []byte) error {
	file := l.file.Load()
	if err := l.takeBack(file); err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		_, err := file.Write(text) // a pipe has no disk to wait for
		return err
	}
	l.cutTo = info.Size()
	if _, err = file.Write(text); err == nil {
		err = file.Sync()
	}
	if err != nil {
		return errors.Join(err, l.takeBack(file))
	}
	l.cutTo = whole
	return nil
}

// takeBack cuts off what a failed write left.
func (l *Log) takeBack(file *os.File) error {
	if l.cutTo == whole {
		return nil
	}
	if err := file.Truncate(l.cutTo); err != nil {
		return fmt.Errorf("take back half a record: %w", err)
	}
	l.cutTo = whole
	l.undone.Add(1)
	return nil
}

// reopen goes on in a new file. The one before ends in a head.
func (l *Log) reopen() error {
	l.sign()
	if err := l.swap(); err != nil {
		return err
	}
	return l.note(kindReopened, "")
}

// swap opens the path anew.
func (l *Log) swap() error {
	file, err := openPrivately(l.config.Path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	before := l.file.Swap(file)
	l.cutTo = whole
	if err := before.Close(); err != nil {
		l.config.Logger.Warn("close the audit record that was moved away", "error", err)
	}
	return nil
}

// note records what happened to the log itself.
func (l *Log) note(kind, detail string) error {
	body, err := encode(Record{Time: l.config.Now(), Kind: kind, Detail: detail, Chain: l.name})
	if err != nil {
		return err
	}
	return l.append(body)
}

// Close writes what waits and closes the file. It does not wait for ever for a sink that
// blocks.
func (l *Log) Close() error {
	var err error
	l.closer.Do(func() {
		close(l.closing)
		select {
		case <-l.closed:
			err = l.file.Load().Close()
		case <-time.After(l.config.Patience):
			// Closing ends a write to a pipe; one to a disk that hangs cannot be ended.
			err = errors.Join(ErrUnavailable, l.file.Load().Close())
		}
	})
	return err
}
