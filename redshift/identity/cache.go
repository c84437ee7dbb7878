package identity

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// fetchTimeout bounds one fetch with its retries.
	fetchTimeout = 30 * time.Second
	// refreshPause is kept after a refresh failed while the old credentials still serve.
	refreshPause = 10 * time.Second
	// minimumLeft is the least life that credentials are handed out with: a request made with
	// them has to arrive before they expire.
	minimumLeft = 15 * time.Second
)

var errCacheClosed = errors.New("no credentials are fetched any more: the provider is closed")

// A cache keeps the credentials of the people seen last. There is one fetch at a time for a
// person, however many ask. It does not belong to the caller that started it: who goes away
// must not fail the others.
type cache struct {
	fetch func(context.Context, Subject) (Credentials, error)
	now   func() time.Time
	limit int

	mu      sync.Mutex
	entries map[Subject]*list.Element // of *entry
	recent  *list.List                // front: used last

	stopping context.Context
	stop     context.CancelFunc
	flights  sync.WaitGroup
}

type entry struct {
	subject     Subject
	credentials Credentials
	fetched     bool
	refreshAt   time.Time // from here new ones are sought, while these still serve
	flight      *flight   // nil when none is under way
}

// A flight is one fetch; done is closed when credentials or err are set.
type flight struct {
	done        chan struct{}
	credentials Credentials
	err         error
}

func newCache(limit int, now func() time.Time, fetch func(context.Context, Subject) (Credentials, error)) *cache {
	c := &cache{fetch: fetch, now: now, limit: limit, entries: map[Subject]*list.Element{}, recent: list.New()}
	c.stopping, c.stop = context.WithCancel(context.Background())
	return c
}

func (c *cache) credentials(ctx context.Context, subject Subject) (Credentials, error) {
	held, flight, err := c.look(ctx, subject)
	if err != nil || flight == nil {
		return held, err
	}
	select {
	case <-flight.done:
		return flight.credentials, flight.err
	case <-ctx.Done():
		return Credentials{}, ctx.Err()
	}
}

// look gives credentials that still serve, or else the fetch to wait for. It starts a fetch
// where one is due.
func (c *cache) look(ctx context.Context, subject Subject) (Credentials, *flight, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entry(subject)
	now := c.now()
	usable := e.fetched && (e.credentials.Expires.IsZero() || now.Add(minimumLeft).Before(e.credentials.Expires))
	if usable && now.Before(e.refreshAt) {
		return e.credentials, nil, nil
	}
	if e.flight == nil && c.stopping.Err() == nil {
		c.start(ctx, e)
	}
	switch {
	case usable:
		return e.credentials, nil, nil
	case e.flight == nil:
		return Credentials{}, nil, errCacheClosed
	}
	return Credentials{}, e.flight, nil
}

// start is called with the lock held.
func (c *cache) start(ctx context.Context, e *entry) {
	f := &flight{done: make(chan struct{})}
	e.flight = f
	c.flights.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
		defer cancel()
		defer context.AfterFunc(c.stopping, cancel)()
		f.credentials, f.err = c.fetch(ctx, e.subject)
		c.land(e, f)
	})
}

// land files the outcome of a fetch. After a failure the old credentials stay until they
// expire.
func (c *cache) land(e *entry, f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.flight = nil
	now := c.now()
	if f.err != nil {
		e.refreshAt = now.Add(refreshPause)
	} else {
		e.credentials, e.fetched = f.credentials, true
		e.refreshAt = now.Add(f.credentials.Expires.Sub(now) / 5 * 4) // 80 % of their life
	}
	close(f.done)
}

// entry is called with the lock held.
func (c *cache) entry(subject Subject) *entry {
	if element, ok := c.entries[subject]; ok {
		c.recent.MoveToFront(element)
		return element.Value.(*entry)
	}
	e := &entry{subject: subject}
	c.entries[subject] = c.recent.PushFront(e)
	for c.recent.Len() > c.limit {
		c.remove(c.recent.Back())
	}
	return e
}

func (c *cache) remove(element *list.Element) {
	c.recent.Remove(element)
	delete(c.entries, element.Value.(*entry).subject)
}

func (c *cache) invalidate(subject Subject, refused Credentials) {
	c.mu.Lock()
	defer c.mu.Unlock()
	element, ok := c.entries[subject]
	if !ok {
		return
	}
	if e := element.Value.(*entry); e.fetched && e.credentials.AccessKeyID == refused.AccessKeyID {
		e.fetched, e.credentials = false, Credentials{}
	}
}

// close ends running fetches and waits for them.
func (c *cache) close() {
	c.mu.Lock() // no fetch starts between stop and Wait
	c.stop()
	c.mu.Unlock()
	c.flights.Wait()
}
