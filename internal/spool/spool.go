// Package spool lets statements outlive the request that started them, on a transport that knows
// no such thing: it runs them in the background, keeps their rows in a file, and gives them to
// whoever asks within an hour, as often as asked and in parts if wanted.
//
//	kept, err := spool.Open(spool.Config{Folder: folder})
//	detached := kept.For(spool.Owner{Tenant: "default", Person: "per_1", Warehouse: "tickit"}, session)
//	id, err := detached.Submit(ctx, redshift.Statement{SQL: "select …"})
//	rows, err := detached.Fetch(ctx, id, time.Minute)
//
// Rows that were read from Redshift are out of its reach, so everything here is about who gets at
// them. An id works for its owner alone, and for anybody else it is one that never was. What is on
// disk is sealed by a key that is only in memory, in blocks that cannot be altered, moved or left
// out without that being seen (file.go). Files have no name where the system lets that be, and what
// an earlier gateway left is removed at start: nothing outlives the process.
//
// The other thing to fear is a full disk and a full memory. Everything is bounded: the bytes of one
// statement and of all, the statements of a person and of all, and how long they are kept. What
// ended first goes first; what has no place even so is cancelled, with an error that says why. A
// reader holds one block, however large the result and however slow the caller.
//
// What is kept here ends with the process. An id of before is then unknown.
package spool

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/shiftgrant/shiftgrant/redshift"
)

// Config says where rows are kept, and how many. A zero number takes the default in its comment.
type Config struct {
	Folder string // nobody else's: what looks like ours in it is removed

	BytesPerStatement   int64         // 4 GiB on disk
	Bytes               int64         // 16 GiB on disk, of all
	StatementsPerPerson int           // 100 that run or are kept
	Statements          int           // 1000 of all; each has a file open
	Keep                time.Duration // 1h after the end of a statement

	BlockSize     int   // 128 KiB: what a reader holds
	PartitionSize int64 // 16 MiB on disk

	Logger *slog.Logger
	Now    func() time.Time
}

// Owner is who a statement belongs to.
type Owner struct{ Tenant, Person, Warehouse string }

type person struct{ tenant, id string }

func (o Owner) person() person { return person{o.Tenant, o.Person} }

// Spool keeps the statements of all owners.
type Spool struct {
	config Config
	ctx    context.Context
	stop   context.CancelFunc
	tasks  sync.WaitGroup

	mu         sync.Mutex
	closed     bool
	statements map[string]*statement
	byKey      map[idempotencyKey]*statement
	people     map[person]int
	ended      *list.List // of *statement, the one that ended first in front
	bytes      int64      // on disk
	running    int
}

type idempotencyKey struct {
	owner Owner
	key   string
}

// sweepEvery is how long rows may be kept beyond their time. They are not given to anybody then.
const sweepEvery = time.Minute

var errClosed = errors.New("the gateway is shutting down")

// Open makes the folder, and empties one that is there.
func Open(config Config) (*Spool, error) {
	setDefault(&config.BytesPerStatement, 4<<30)
	setDefault(&config.Bytes, 16<<30)
	setDefault(&config.StatementsPerPerson, 100)
	setDefault(&config.Statements, 1000)
	setDefault(&config.Keep, time.Hour)
	setDefault(&config.BlockSize, 128<<10)
	setDefault(&config.PartitionSize, 16<<20)
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if err := prepare(config.Folder); err != nil {
		return nil, fmt.Errorf("open the spool: %w", err)
	}
	s := &Spool{
		config: config, statements: map[string]*statement{}, byKey: map[idempotencyKey]*statement{}, people: map[person]int{}, ended: list.New(),
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.tasks.Go(s.sweep)
	return s, nil
}

func setDefault[T int | int64 | time.Duration](value *T, standard T) {
	if *value == 0 {
		*value = standard
	}
}

func prepare(folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(folder, 0o700); err != nil {
		return err
	}
	left, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range left {
		if !strings.HasSuffix(entry.Name(), suffix) {
			continue
		}
		if err := os.Remove(filepath.Join(folder, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// Close cancels what runs, waits for that, and forgets everything.
func (s *Spool) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.tasks.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.statements {
		s.forget(st)
		s.free(st)
	}
	return nil
}

// Usage is how much is kept at the moment.
type Usage struct {
	Statements int   // that run or are kept
	Running    int   // of those
	Bytes      int64 // on disk
}

// Usage counts.
func (s *Spool) Usage() Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Usage{len(s.statements), s.running, s.bytes}
}

func (s *Spool) sweep() {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.expire()
		case <-s.ctx.Done():
			return
		}
	}
}

// expire forgets what has been kept long enough.
func (s *Spool) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.config.Now()
	for place := s.ended.Front(); place != nil; place = s.ended.Front() {
		st := place.Value.(*statement)
		if now.Before(st.expires) {
			return
		}
		s.forget(st)
	}
}

// add makes a statement, or finds the one that has its key.
func (s *Spool) add(st *statement) (known *statement, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	if known := s.byKey[st.key]; known != nil && s.config.Now().Before(known.end()) {
		if known.digest != st.digest {
			return nil, errKeyUsed
		}
		return known, nil
	}
	if st.query.Resubmitted {
		return nil, redshift.ErrForgotten
	}
	owner := st.owner.person()
	for s.people[owner] >= s.config.StatementsPerPerson {
		if !s.evict(func(other *statement) bool { return other.owner.person() == owner }) {
			return nil, busy("%d background statements of one person that run or are read", s.config.StatementsPerPerson)
		}
	}
	for len(s.statements) >= s.config.Statements {
		if !s.evict(func(*statement) bool { return true }) {
			return nil, busy("%d background statements that run or are read", s.config.Statements)
		}
	}
	s.statements[st.id] = st
	s.people[owner]++
	if st.key.key != "" {
		s.byKey[st.key] = st
	}
	s.running++
	s.tasks.Go(st.run)
	return nil, nil
}

func busy(limit string, number int) error {
	return &redshift.BusyError{Limit: fmt.Sprintf(limit, number), RetryAfter: time.Second}
}

// reserve makes room for a block of a statement that runs.
func (s *Spool) reserve(st *statement, size int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st.stored+size > s.config.BytesPerStatement {
		return &redshift.TooLargeError{Limit: fmt.Sprintf("%d bytes of one statement", s.config.BytesPerStatement)}
	}
	for s.bytes+size > s.config.Bytes {
		if !s.evict(func(other *statement) bool { return other.stored > 0 }) {
			return &redshift.TooLargeError{Limit: fmt.Sprintf("%d bytes of all statements, and none of the others can be given up", s.config.Bytes)}
		}
	}
	st.stored += size
	s.bytes += size
	return nil
}

// evict forgets the statement that ended first of those that may go; false when there is none. One
// that is being read stays: its room would not be free.
func (s *Spool) evict(may func(*statement) bool) bool {
	for place := s.ended.Front(); place != nil; place = place.Next() {
		if st := place.Value.(*statement); st.readers == 0 && may(st) {
			s.forget(st)
			return true
		}
	}
	return false
}

// forget makes an id unknown. Its rows go when nobody reads them any more.
func (s *Spool) forget(st *statement) {
	if st.forgotten {
		return
	}
	st.forgotten = true
	delete(s.statements, st.id)
	if s.byKey[st.key] == st {
		delete(s.byKey, st.key)
	}
	owner := st.owner.person()
	if s.people[owner]--; s.people[owner] == 0 {
		delete(s.people, owner)
	}
	s.ended.Remove(st.place)
	if st.readers == 0 {
		s.free(st)
	}
}

// free gives up the rows of a statement.
func (s *Spool) free(st *statement) {
	if st.file == nil {
		return
	}
	if err := st.file.drop(); err != nil {
		s.config.Logger.Error("give up spooled rows", "error", err)
	}
	s.bytes -= st.stored
	st.file, st.stored = nil, 0
}

// finish is called once, when a statement does not run any more.
func (s *Spool) finish(st *statement, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st.err = err
	if err != nil {
		s.free(st)
	}
	st.endedAt = s.config.Now()
	st.expires = st.endedAt.Add(s.config.Keep)
	st.place = s.ended.PushBack(st)
	s.running--
	close(st.done)
}

// find gives a statement to its owner.
func (s *Spool) find(owner Owner, id string) (*statement, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.statements[id]
	if st == nil || st.owner != owner || !s.config.Now().Before(st.end()) {
		return nil, redshift.ErrNotFound
	}
	return st, nil
}

// enter keeps the rows of a statement while they are read.
func (s *Spool) enter(st *statement) (*file, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st.forgotten {
		return nil, redshift.ErrNotFound
	}
	st.readers++
	return st.file, nil
}

func (s *Spool) leave(st *statement) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st.readers--; st.readers == 0 && st.forgotten {
		s.free(st)
	}
}
