package dataapi

import (
	"sync"
	"time"
)

// Quotas are the limits of the Data API. The zero value switches them off.
type Quotas struct {
	On bool
	// PerSecond are calls a second by operation, for one account; nil: DefaultPerSecond.
	PerSecond map[string]int
	// ActiveStatements and Sessions are limits of one warehouse; 0: 500 each.
	ActiveStatements int
	Sessions         int
}

// DefaultPerSecond are AWS's published rates. They cannot be raised there. A page of either
// format counts as GetStatementResult (a guess, on the strict side).
var DefaultPerSecond = map[string]int{
	"ExecuteStatement":      30,
	"BatchExecuteStatement": 20,
	"DescribeStatement":     100,
	"GetStatementResult":    20,
	"CancelStatement":       3,
	"ListStatements":        3,
	"ListSessions":          3,
	"ListDatabases":         3,
	"ListSchemas":           3,
	"ListTables":            3,
	"DescribeTable":         3,
}

func (q Quotas) activeStatements() int { return orDefault(q.ActiveStatements, 500) }
func (q Quotas) sessions() int         { return orDefault(q.Sessions, 500) }

func orDefault(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

// buckets are token buckets by account and operation that hold one second's worth.
type buckets struct {
	quotas Quotas
	now    func() time.Time

	mu   sync.Mutex
	each map[bucketKey]*bucket
}

type (
	bucketKey struct{ account, operation string }
	bucket    struct {
		tokens float64
		filled time.Time
	}
)

// take counts one call.
func (b *buckets) take(account, operation string) error {
	if !b.quotas.On {
		return nil
	}
	if operation == "GetStatementResultV2" {
		operation = "GetStatementResult"
	}
	rates := b.quotas.PerSecond
	if rates == nil {
		rates = DefaultPerSecond
	}
	rate := float64(rates[operation])
	now := b.now()

	b.mu.Lock()
	defer b.mu.Unlock()
	if b.each == nil {
		b.each = map[bucketKey]*bucket{}
	}
	key := bucketKey{account, operation}
	if b.each[key] == nil {
		b.each[key] = &bucket{tokens: rate, filled: now}
	}
	it := b.each[key]
	it.tokens = min(rate, it.tokens+rate*now.Sub(it.filled).Seconds())
	it.filled = now
	if it.tokens < 1 {
		return throttled()
	}
	it.tokens--
	return nil
}
