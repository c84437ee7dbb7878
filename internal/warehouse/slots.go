package warehouse

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/shiftgrant/shiftgrant/internal/web"
	"github.com/shiftgrant/shiftgrant/redshift"
)

// slots bound how many statements run at once, for a person and for a warehouse. Who comes
// first is served first. A person queues for the warehouse only with as many statements as they
// may run, so nobody fills that queue alone.
type slots struct {
	perPerson int64
	wait      time.Duration
	rate      *web.Limiter // of each person
	perMinute int
	now       func() time.Time
	houses    map[string]*semaphore.Weighted
	perHouse  int64

	mu     sync.Mutex
	people map[string]*personSlots
}

type personSlots struct {
	*semaphore.Weighted
	users int // holders and waiters; forgotten at zero
}

func newSlots(config Config) *slots {
	s := &slots{
		perPerson: int64(config.MaxConcurrentPerPerson), perHouse: int64(config.MaxConcurrentPerWarehouse),
		wait: config.QueueWait, rate: web.NewLimiter(config.MaxPerMinutePerPerson, time.Minute), perMinute: config.MaxPerMinutePerPerson,
		now: config.Now, houses: map[string]*semaphore.Weighted{}, people: map[string]*personSlots{},
	}
	for _, warehouse := range config.Warehouses {
		s.houses[warehouse.Name] = semaphore.NewWeighted(s.perHouse)
	}
	return s
}

// acquire waits for a slot and gives the function that frees it, or a *redshift.BusyError.
func (s *slots) acquire(ctx context.Context, person, warehouse string) (release func(), err error) {
	if wait := s.rate.Take(s.now(), person); wait > 0 {
		return nil, &redshift.BusyError{Limit: fmt.Sprintf("%d statements of one person a minute", s.perMinute), RetryAfter: wait}
	}
	queue, stop := context.WithTimeout(ctx, s.wait)
	defer stop()
	own := s.enter(person)
	if own.Acquire(queue, 1) != nil {
		s.leave(person, own)
		return nil, s.busy(ctx, fmt.Sprintf("%d statements of one person at once", s.perPerson))
	}
	house := s.houses[warehouse]
	if house.Acquire(queue, 1) != nil {
		own.Release(1)
		s.leave(person, own)
		return nil, s.busy(ctx, fmt.Sprintf("%d statements in this warehouse at once", s.perHouse))
	}
	return sync.OnceFunc(func() {
		house.Release(1)
		own.Release(1)
		s.leave(person, own)
	}), nil
}

func (s *slots) busy(ctx context.Context, limit string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return &redshift.BusyError{Limit: limit, RetryAfter: time.Second}
}

func (s *slots) enter(person string) *personSlots {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.people[person]
	if own == nil {
		own = &personSlots{Weighted: semaphore.NewWeighted(s.perPerson)}
		s.people[person] = own
	}
	own.users++
	return own
}

func (s *slots) leave(person string, own *personSlots) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if own.users--; own.users == 0 {
		delete(s.people, person)
	}
}
