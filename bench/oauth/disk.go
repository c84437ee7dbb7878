package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/seal"
	"github.com/shiftgrant/shiftgrant/internal/store"
)

// measureDisk compares durable writes one at a time, which is what the disk allows a program that
// waits for each, with sealed values that many callers keep in the store at once.
func measureDisk(ctx context.Context, folder string, duration time.Duration) error {
	single, err := syncedWrites(filepath.Join(folder, "synced"), duration)
	if err != nil {
		return err
	}
	kept, err := sealedUpserts(ctx, filepath.Join(folder, "upserts.db"), duration)
	if err != nil {
		return err
	}
	fmt.Printf("durable writes of 4 kB one at a time: %.0f per s; sealed durable upserts by 64 callers on SQLite: %.0f per s, %.1f times as many\n", single, kept, kept/single)
	return nil
}

func syncedWrites(path string, duration time.Duration) (perSecond float64, err error) {
	file, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(path)) }()
	page := make([]byte, 4096)
	count, begun := 0, time.Now()
	for ; time.Since(begun) < duration; count++ {
		if _, err := file.WriteAt(page, int64(count%1024)*int64(len(page))); err != nil {
			return 0, err
		}
		if err := syscall.Fdatasync(int(file.Fd())); err != nil {
			return 0, err
		}
	}
	return float64(count) / time.Since(begun).Seconds(), nil
}

func sealedUpserts(ctx context.Context, path string, duration time.Duration) (perSecond float64, err error) {
	s, err := store.Open(ctx, store.Config{Path: path})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	ring, err := seal.NewRing(seal.Key{Version: 1, Bytes: make([]byte, seal.KeySize)})
	if err != nil {
		return 0, err
	}
	var (
		group  sync.WaitGroup
		count  atomic.Int64
		failed atomic.Pointer[error]
		begun  = time.Now()
		value  = make([]byte, 1024)
	)
	for caller := range 64 {
		group.Go(func() {
			place := seal.Place{Tenant: "default", Owner: fmt.Sprint(caller), Purpose: "bench"}
			for n := 0; time.Since(begun) < duration && failed.Load() == nil && ctx.Err() == nil; n++ {
				sealed, err := ring.Seal(value, place)
				if err == nil {
					err = s.Sessions().Save(ctx, fmt.Sprint(caller, "-", n%100), sealed, begun.Add(time.Hour))
				}
				if err != nil {
					failed.CompareAndSwap(nil, &err)
					return
				}
				count.Add(1)
			}
		})
	}
	group.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(count.Load()) / time.Since(begun).Seconds(), ctx.Err()
}
