package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"
)

// A Line is a record on its way to the copies.
type Line struct {
	Number int64
	Time   time.Time
	Kind   string
	Text   string // as it is in the file, so that the chain can be verified there too
	Hash   string // SHA-256 of Text, which the next line names
}

// Copies is where a second copy of the record is kept: the store.
type Copies interface {
	// CopiedAudit is the last line of a chain that is there: its number, 0 for none, and hash.
	CopiedAudit(ctx context.Context, chain string) (last int64, hash string, err error)
	// CopyAudit adds lines, all or none. Those that are there already stay as they are.
	CopyAudit(ctx context.Context, chain string, lines []Line) error
}

// ShipConfig says what is copied where.
type ShipConfig struct {
	Log    *Log
	Copies Copies
	Every  time.Duration // 0 is a second
	Logger *slog.Logger
}

// A Shipper copies what is durable in the file to a second place, in the background and in small
// batches. It reads the file and knows from the copies how far they go, so nothing is lost to a
// crash, or to copies that cannot be reached: it goes on where they end.
//
// Where the copies know a later record than the file has, or another one in its place, the file
// was changed, or put back from a backup. The log then begins a new chain and says why; the
// other stays as it is, for somebody to look at.
type Shipper struct {
	config ShipConfig
	ctx    context.Context
	stop   context.CancelFunc
	ended  chan struct{}
	copied atomic.Int64

	follower *Follower
	chain    string
	undone   int64
}

const (
	linesTogether = 200
	// shippingEnd is how long Close goes on copying.
	shippingEnd = 5 * time.Second
)

// Ship starts copying. The log must be a file, not a pipe.
func Ship(config ShipConfig) *Shipper {
	if config.Every == 0 {
		config.Every = time.Second
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Shipper{config: config, ctx: ctx, stop: stop, ended: make(chan struct{})}
	go s.run()
	return s
}

// Behind is how many records are not copied yet.
func (s *Shipper) Behind() int64 {
	if written := s.config.Log.durable.Load(); written != nil {
		return max(written.last-s.copied.Load(), 0)
	}
	return 0
}

// Close copies what is left, for a while. Close the log before.
func (s *Shipper) Close() error {
	s.stop()
	<-s.ended
	ctx, cancel := context.WithTimeout(context.Background(), shippingEnd)
	defer cancel()
	err := s.ship(ctx)
	s.letGo()
	if err != nil {
		// The next run goes on here.
		s.config.Logger.Warn("some audit records are not in the store yet", "records", s.Behind(), "error", err)
	}
	return nil
}

func (s *Shipper) run() {
	defer close(s.ended)
	tick := time.NewTicker(s.config.Every)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		err := s.ship(s.ctx)
		switch {
		case err != nil && !failing && s.ctx.Err() == nil:
			s.config.Logger.Error("copy the audit record; the file has all of it, and the copies will", "error", err)
		case err == nil && failing:
			s.config.Logger.Info("the audit record is copied again")
		}
		failing = err != nil
	}
}

// ship copies all that is durable by now.
func (s *Shipper) ship(ctx context.Context) error {
	written := s.config.Log.durable.Load()
	if written == nil {
		return nil
	}
	if undone := s.config.Log.undone.Load(); s.follower == nil || written.name != s.chain || undone != s.undone {
		s.letGo()
		s.chain, s.undone = written.name, undone
		if err := s.begin(ctx, written); err != nil || s.follower == nil {
			return err
		}
	}
	for s.follower.Last() < written.last {
		batch, err := s.batch(written.last)
		if err == nil {
			err = s.config.Copies.CopyAudit(ctx, s.chain, batch)
		}
		if err != nil {
			s.letGo() // what was read is read again
			return err
		}
		s.copied.Store(s.follower.Last())
	}
	return nil
}

func (s *Shipper) letGo() {
	if s.follower != nil {
		_ = s.follower.Close() // only read from
		s.follower = nil
	}
}

// batch reads on, up to a record.
func (s *Shipper) batch(last int64) ([]Line, error) {
	var batch []Line
	for len(batch) < linesTogether && s.follower.Last() < last {
		text, err := s.follower.Next()
		if errors.Is(err, io.EOF) || err == nil && s.follower.Chain() != s.chain {
			return nil, fmt.Errorf("audit record: records after %d of chain %s are not in the files any more", s.follower.Last(), s.chain)
		}
		if err != nil {
			return nil, err
		}
		about := glance(text)
		batch = append(batch, Line{s.follower.Last(), about.Time, about.Kind, string(text), digest(text)})
	}
	return batch, nil
}

// begin finds the place in the files where the copies end.
func (s *Shipper) begin(ctx context.Context, written *chain) error {
	last, hash, err := s.config.Copies.CopiedAudit(ctx, written.name)
	if err != nil {
		return err
	}
	if last > written.last {
		return s.fork(ctx, fmt.Sprintf("chain %s ends at record %d in the file, but its copies go up to %d", written.name, written.last, last))
	}
	goesOn, err := s.goesOn(written, last, hash)
	if err != nil {
		return err
	}
	if !goesOn {
		return s.fork(ctx, fmt.Sprintf("record %d of chain %s is not the one that was copied", last, written.name))
	}
	s.copied.Store(last)
	s.follower, err = Follow(s.config.Log.config.Path, last)
	return err
}

// goesOn says whether what comes in the files after a number goes on from a line of that hash.
func (s *Shipper) goesOn(written *chain, last int64, hash string) (bool, error) {
	if last == written.last {
		return hash == written.head, nil
	}
	follower, err := Follow(s.config.Log.config.Path, last)
	if err != nil {
		return false, err
	}
	defer follower.Close()
	text, err := follower.Next()
	if err != nil {
		return false, err
	}
	if follower.Last() > last+1 {
		s.config.Logger.Error("audit records were moved away before they were copied", "chain", written.name, "from", last+1, "to", follower.Last()-1)
		return true, nil
	}
	p, _ := placeOf(text)
	return *p.Previous == hash, nil
}

// fork makes the log begin a new chain, which the next round copies.
func (s *Shipper) fork(ctx context.Context, why string) error {
	s.config.Logger.Error("the audit record was changed or put back: a new chain begins", "why", why)
	return s.config.Log.between(ctx, func() error { return s.config.Log.fork(why) })
}
