package dataapi

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// Any stands for whichever operation is called next.
const Any = ""

// Faults makes the next calls of an operation fail in a chosen way, for tests of clients. There
// is no HTTP interface to it.
type Faults struct {
	mu      sync.Mutex
	planned []fault
	calls   map[string]int
}

type faultKind uint8

const (
	throttle faultKind = iota
	delay
	dropRequest
	dropAnswer
	expire
	internalError
)

type fault struct {
	kind      faultKind
	operation string
	left      int
	delay     time.Duration
}

// Throttle refuses the next n calls with ThrottlingException.
func (f *Faults) Throttle(operation string, n int) { f.plan(fault{throttle, operation, n, 0}) }

// Fail refuses the next n calls with InternalServerException (500).
func (f *Faults) Fail(operation string, n int) { f.plan(fault{internalError, operation, n, 0}) }

// Expire refuses the next n calls with ExpiredTokenException.
func (f *Faults) Expire(operation string, n int) { f.plan(fault{expire, operation, n, 0}) }

// Drop closes the connection of the next n calls before they did anything.
func (f *Faults) Drop(operation string, n int) { f.plan(fault{dropRequest, operation, n, 0}) }

// DropAnswer closes the connection of the next n calls after they did their work: the client
// cannot know, and has to ask again with the same ClientToken.
func (f *Faults) DropAnswer(operation string, n int) { f.plan(fault{dropAnswer, operation, n, 0}) }

// Delay makes the next n calls wait first.
func (f *Faults) Delay(operation string, n int, d time.Duration) {
	f.plan(fault{delay, operation, n, d})
}

// Reset forgets all planned faults, and the count of calls.
func (f *Faults) Reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.planned, f.calls = nil, nil
}

// Calls is how many calls of an operation have come in, failed ones included.
func (f *Faults) Calls(operation string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if operation != Any {
		return f.calls[operation]
	}
	sum := 0
	for _, n := range f.calls {
		sum += n
	}
	return sum
}

func (f *Faults) plan(planned fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.planned = append(f.planned, planned)
}

// take uses up one fault of a kind that is planned for an operation.
func (f *Faults) take(kind faultKind, operation string) (fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.planned {
		p := &f.planned[i]
		if p.kind == kind && p.left > 0 && (p.operation == operation || p.operation == Any) {
			p.left--
			return *p, true
		}
	}
	return fault{}, false
}

func (f *Faults) takeDropAnswer(operation string) bool {
	_, drop := f.take(dropAnswer, operation)
	return drop
}

// before applies what happens to a call before anything else.
func (f *Faults) before(ctx context.Context, operation string) error {
	f.mu.Lock()
	if f.calls == nil {
		f.calls = map[string]int{}
	}
	f.calls[operation]++
	f.mu.Unlock()

	if slow, ok := f.take(delay, operation); ok {
		select {
		case <-time.After(slow.delay):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if _, ok := f.take(dropRequest, operation); ok {
		panic(http.ErrAbortHandler)
	}
	if _, ok := f.take(throttle, operation); ok {
		return throttled()
	}
	if _, ok := f.take(expire, operation); ok {
		return expiredToken()
	}
	if _, ok := f.take(internalError, operation); ok {
		return internal()
	}
	return nil
}
