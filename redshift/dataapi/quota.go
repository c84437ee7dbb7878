package dataapi

import (
	"container/list"
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/shiftgrant/shiftgrant/redshift"
)

// Quotas keep all sessions of a process together within AWS's rates of calls, which are those of an
// account in a region and cannot be raised there: 30 statements and 20 pages a second. Calls wait
// here for their turn rather than being refused there, and callers take turns: who has a hundred
// calls waiting is served once, then everybody else who waits once.
//
// Other programs use the account too. When AWS refuses a call for its rate all the same, a bucket is
// emptied: callers wait for as long as it takes to fill.
type Quotas struct {
	perSecond map[string]float64
	now       func() time.Time

	mu      sync.Mutex
	buckets map[bucketKey]*bucket
}

// defaultPerSecond are AWS's published rates of calls by operation. A page of either format counts
// as GetStatementResult.
var defaultPerSecond = map[string]float64{
	string(executeStatement): 30, string(describeStatement): 100, string(getStatementResult): 20, string(cancelStatement): 3,
}

// NewQuotas takes AWS's published rates, but for those operations that perSecond has others for. A nil
// now is time.Now.
func NewQuotas(perSecond map[string]float64, now func() time.Time) *Quotas {
	rates := maps.Clone(defaultPerSecond)
	maps.Copy(rates, perSecond)
	if now == nil {
		now = time.Now
	}
	return &Quotas{perSecond: rates, now: now, buckets: map[bucketKey]*bucket{}}
}

type bucketKey struct{ account, region, operation string }

// A Share is what one caller has of an account's quotas.
type Share struct {
	quotas          *Quotas
	account, region string
	caller          string
}

// Share is of one caller, such as a person, in the account of the warehouse. Callers of the same name
// take their turns together.
func (q *Quotas) Share(account, region, caller string) *Share {
	return &Share{q, account, region, caller}
}

// bucket holds calls that may be made now: one second's worth at most.
type bucket struct {
	rate   float64
	tokens float64
	filled time.Time
	timer  *time.Timer // for the next token, while anybody waits

	turns   *list.List               // of *queue, the next one to be served in front
	waiting map[string]*list.Element // by caller
}

// queue is one caller's calls that wait, the first in front.
type queue struct {
	caller string
	calls  []chan struct{}
}

// wait returns when the call may be made, or an error when ctx ends before. A nil share waits for
// nothing. No more than patience is waited: *redshift.BusyError if the turn cannot come within it.
func (s *Share) wait(ctx context.Context, op operation, patience time.Duration) error {
	if s == nil {
		return nil
	}
	q := s.quotas
	q.mu.Lock()
	b := q.bucket(s, op)
	if b == nil {
		q.mu.Unlock()
		return nil
	}
	b.fill(q.now())
	if b.turns.Len() == 0 && b.tokens >= 1 {
		b.tokens--
		q.mu.Unlock()
		return nil
	}
	if ahead := b.ahead(s.caller); time.Duration(float64(ahead+1)/b.rate*float64(time.Second)) > patience {
		q.mu.Unlock()
		return &redshift.BusyError{
			Limit:      fmt.Sprintf("%g calls of %s a second in this AWS account and region", b.rate, op),
			RetryAfter: max(time.Duration(float64(ahead)/b.rate*float64(time.Second)).Round(time.Second), time.Second),
		}
	}
	turn := b.join(s.caller)
	q.serveLater(b)
	q.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		q.leave(b, s.caller, turn)
		return context.Cause(ctx)
	}
}

// refused tells that AWS has refused a call for its rate.
func (s *Share) refused(op operation) {
	if s == nil {
		return
	}
	q := s.quotas
	q.mu.Lock()
	defer q.mu.Unlock()
	if b := q.bucket(s, op); b != nil {
		b.tokens, b.filled = 0, q.now()
	}
}

// bucket gives the one of a call; nil where no rate is known.
func (q *Quotas) bucket(s *Share, op operation) *bucket {
	if op == getStatementResultV2 {
		op = getStatementResult
	}
	rate := q.perSecond[string(op)]
	if rate <= 0 {
		return nil
	}
	key := bucketKey{s.account, s.region, string(op)}
	b := q.buckets[key]
	if b == nil {
		b = &bucket{rate: rate, tokens: max(rate, 1), filled: q.now(), turns: list.New(), waiting: map[string]*list.Element{}}
		q.buckets[key] = b
	}
	return b
}

func (b *bucket) fill(now time.Time) {
	if passed := now.Sub(b.filled); passed > 0 {
		b.tokens = min(max(b.rate, 1), b.tokens+passed.Seconds()*b.rate)
		b.filled = now
	}
}

// ahead is how many calls are served before another one of a caller: as many rounds as it has calls
// waiting, in each of which every caller has a turn.
func (b *bucket) ahead(caller string) int {
	own := 0
	if place := b.waiting[caller]; place != nil {
		own = len(place.Value.(*queue).calls)
	}
	ahead := own
	for place := b.turns.Front(); place != nil; place = place.Next() {
		if other := place.Value.(*queue); other.caller != caller {
			ahead += min(len(other.calls), own+1)
		}
	}
	return ahead
}

func (b *bucket) join(caller string) chan struct{} {
	turn := make(chan struct{})
	place := b.waiting[caller]
	if place == nil {
		place = b.turns.PushBack(&queue{caller: caller})
		b.waiting[caller] = place
	}
	own := place.Value.(*queue)
	own.calls = append(own.calls, turn)
	return turn
}

// serveLater has the next call made when there is a token for it.
func (q *Quotas) serveLater(b *bucket) {
	if b.timer != nil || b.turns.Len() == 0 {
		return
	}
	missing := max(1-b.tokens, 0)
	b.timer = time.AfterFunc(time.Duration(missing/b.rate*float64(time.Second))+time.Millisecond, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		b.timer = nil
		b.fill(q.now())
		for b.tokens >= 1 && b.turns.Len() > 0 {
			b.tokens--
			b.serve()
		}
		q.serveLater(b)
	})
}

// serve lets the first call of the next caller go, and puts the caller behind the others.
func (b *bucket) serve() {
	place := b.turns.Front()
	own := place.Value.(*queue)
	close(own.calls[0])
	if own.calls = own.calls[1:]; len(own.calls) > 0 {
		b.turns.MoveToBack(place)
		return
	}
	b.forget(place)
}

func (b *bucket) forget(place *list.Element) {
	b.turns.Remove(place)
	delete(b.waiting, place.Value.(*queue).caller)
}

// leave takes back a call that does not wait any more. One whose turn has come at the same moment gives
// its token back.
func (q *Quotas) leave(b *bucket, caller string, turn chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-turn:
		b.tokens++
		return
	default:
	}
	place := b.waiting[caller]
	own := place.Value.(*queue)
	for n, other := range own.calls {
		if other == turn {
			own.calls = append(own.calls[:n:n], own.calls[n+1:]...)
			break
		}
	}
	if len(own.calls) == 0 {
		b.forget(place)
	}
}
