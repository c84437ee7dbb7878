package store_test

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/store"
)

// The store's part of the hot operations, durable, with 16 callers for each processor:
// go test -bench . -cpu 1 ./internal/store

func BenchmarkRefresh(b *testing.B) {
	s := benchStore(b)
	var callers atomic.Int64
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		family := newFamily(b, s, fmt.Sprintf("refresh%d", callers.Add(1)))
		for pb.Next() {
			seen, _, err := s.FamilyOf(b.Context(), tenant, family.Current)
			if err != nil {
				b.Error(err)
				return
			}
			next := newHash()
			if err := s.Rotate(b.Context(), seen, next, start, start.Add(time.Hour), "key", issuedFor(seen)); err != nil {
				b.Error(err)
				return
			}
			family.Current = next
		}
	})
}

func BenchmarkFlow(b *testing.B) {
	s := benchStore(b)
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			newFamily(b, s, grant.NewID("gra"))
		}
	})
}

func BenchmarkAccess(b *testing.B) {
	s := benchStore(b)
	family := newFamily(b, s, "access")
	issued := issuedFor(family)
	if err := s.Reissue(b.Context(), issued); err != nil {
		b.Fatal(err)
	}
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.Access(b.Context(), tenant, issued.Hash); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func benchStore(b *testing.B) *store.Store {
	s, err := store.Open(b.Context(), store.Config{Path: filepath.Join(b.TempDir(), "store.db")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	populate(b, s)
	b.ResetTimer()
	before := processorTime(b)
	b.Cleanup(func() {
		b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
	})
	return s
}

// processorTime is what a busy machine measures better than the clock.
func processorTime(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
