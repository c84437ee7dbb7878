package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A result is one line of the table.
type result struct {
	elapsed   time.Duration
	latencies []time.Duration // sorted
	cpu       time.Duration   // of the process that was measured
	rss       int64           // bytes
}

func (r *result) rate() float64 { return float64(len(r.latencies)) / r.elapsed.Seconds() }

func (r *result) quantile(q float64) time.Duration {
	return r.latencies[int(q*float64(len(r.latencies)-1))].Round(time.Microsecond)
}

func (r *result) print(what string) {
	fmt.Printf("%-28s %9.0f %9s %9s %11s %5d MB\n", "  "+what, r.rate(), r.quantile(0.5), r.quantile(0.99),
		(r.cpu / time.Duration(len(r.latencies))).Round(100*time.Nanosecond), r.rss>>20)
}

// measure lets each client do one thing after the other for a time. The first error ends it.
func measure(ctx context.Context, pid int, clients []*client, duration time.Duration, do func(*client) error) (*result, error) {
	for _, c := range clients { // connections and caches are warm
		if err := do(c); err != nil {
			return nil, err
		}
	}
	var (
		group  sync.WaitGroup
		failed atomic.Pointer[error]
		all    = make([][]time.Duration, len(clients))
		before = cpuOf(pid)
		begun  = time.Now()
	)
	for i, c := range clients {
		group.Go(func() {
			latencies := make([]time.Duration, 0, 1<<16)
			for failed.Load() == nil && ctx.Err() == nil && time.Since(begun) < duration {
				started := time.Now()
				if err := do(c); err != nil {
					failed.CompareAndSwap(nil, &err)
					return
				}
				latencies = append(latencies, time.Since(started))
			}
			all[i] = latencies
		})
	}
	group.Wait()
	if err := failed.Load(); err != nil {
		return nil, *err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r := &result{elapsed: time.Since(begun), latencies: slices.Concat(all...), cpu: cpuOf(pid) - before, rss: rssOf(pid)}
	slices.Sort(r.latencies)
	return r, nil
}

// cpuOf is the processor time of a process, from proc(5): fields 14 and 15 in hundredths of a
// second, which is what USER_HZ is on Linux.
func cpuOf(pid int) time.Duration {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(content[bytes.LastIndexByte(content, ')')+2:]))
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// rssOf is the memory that a process holds.
func rssOf(pid int) int64 {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	pages, err := strconv.ParseInt(strings.Fields(string(content))[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
