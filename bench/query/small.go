package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// measureSmall measures latency with the audit record on disk and, with the gateway started anew,
// in memory, which shows what making the record durable costs; then requests per second.
func measureSmall(ctx context.Context, w *world, o options) error {
	disk, err := fsyncs(w.folder, o.time/5)
	if err != nil {
		return err
	}
	fmt.Printf("\nAppending 600 bytes to a file and fsync: %s (p50), %s (p99). A statement's record needs two.\n", quantile(disk, 0.5), quantile(disk, 0.99))
	fmt.Printf("\nselect 1, one connection, asked in turns; what is added is the difference to pgx.\n\n")
	fmt.Printf("| %-32s | %8s | %8s | %10s | %10s | %6s |\n|---|---|---|---|---|---|\n", "", "p50", "p99", "added p50", "added p99", "n")
	if err := w.compareLatency(ctx, "gateway, audit record on disk", o.time); err != nil {
		return err
	}
	if err := w.measureRates(ctx, o); err != nil {
		return err
	}
	memory, err := os.MkdirTemp("/dev/shm", "shiftgrant-bench-")
	if err != nil {
		return fmt.Errorf("make a folder in memory: %w", err)
	}
	defer os.RemoveAll(memory)
	if err := w.gateway.stop(); err != nil {
		return err
	}
	w.gateway = nil
	if err := w.startGateway(ctx, filepath.Join(memory, "audit.jsonl")); err != nil {
		return err
	}
	fmt.Printf("\nThe same with the audit record in memory (/dev/shm), where making it durable is free:\n\n")
	if err := w.compareLatency(ctx, "gateway, audit record in memory", o.time); err != nil {
		return err
	}
	return w.measureRates(ctx, o)
}

// fsyncs appends records to a file as the audit record does, for a time.
func fsyncs(folder string, duration time.Duration) (latencies []time.Duration, err error) {
	file, err := os.CreateTemp(folder, "fsync-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	record := make([]byte, 600)
	for begun := time.Now(); time.Since(begun) < duration; {
		started := time.Now()
		if _, err := file.Write(record); err != nil {
			return nil, err
		}
		if err := file.Sync(); err != nil {
			return nil, err
		}
		latencies = append(latencies, time.Since(started))
	}
	slices.Sort(latencies)
	return latencies, nil
}

// quantile of sorted latencies.
func quantile(latencies []time.Duration, q float64) time.Duration {
	return latencies[int(q*float64(len(latencies)-1))].Round(time.Microsecond)
}

// compareLatency asks pgx and the gateway in turns, so that both meet the same noise.
func (w *world) compareLatency(ctx context.Context, name string, duration time.Duration) error {
	direct, err := pgx.Connect(ctx, w.dsn())
	if err != nil {
		return err
	}
	defer direct.Close(ctx)
	caller := newCaller(w.address, w.token, "select 1")
	defer caller.close()
	byPGX := func() error { return askDirectly(ctx, direct.PgConn(), "select 1") }
	for range 100 { // warm
		if err := errors.Join(byPGX(), caller.ask()); err != nil {
			return err
		}
	}
	var straight, through []time.Duration
	for begun := time.Now(); time.Since(begun) < duration && ctx.Err() == nil; {
		for _, one := range []struct {
			ask  func() error
			into *[]time.Duration
		}{{byPGX, &straight}, {caller.ask, &through}} {
			started := time.Now()
			if err := one.ask(); err != nil {
				return err
			}
			*one.into = append(*one.into, time.Since(started))
		}
	}
	slices.Sort(straight)
	slices.Sort(through)
	printLatency("pgx, straight to the port", straight, straight)
	printLatency(name, through, straight)
	return ctx.Err()
}

func printLatency(name string, latencies, base []time.Duration) {
	fmt.Printf("| %-32s | %8s | %8s | %10s | %10s | %6d |\n", name, quantile(latencies, 0.5), quantile(latencies, 0.99),
		quantile(latencies, 0.5)-quantile(base, 0.5), quantile(latencies, 0.99)-quantile(base, 0.99), len(latencies))
}

// askDirectly is one statement of the extended protocol in one round trip, as the gateway's.
func askDirectly(ctx context.Context, connection *pgconn.PgConn, sql string) error {
	return connection.ExecParams(ctx, sql, nil, nil, nil, nil).Read().Err
}

// measureRates lets several callers ask as fast as they can.
func (w *world) measureRates(ctx context.Context, o options) error {
	fmt.Printf("\n%d connections at once, %s each:\n\n| %-28s | %-18s | %10s | %8s | %8s | %11s |\n|---|---|---|---|---|---|\n", o.clients, o.time, "", "", "requests/s", "p50", "p99", "CPU per one")
	for _, sql := range []string{"select 1", "select * from " + table + " where id = 4711"} {
		name := "select 1"
		if sql != name {
			name = "one row by its key"
		}
		for _, server := range []struct {
			name, address string
			process       *process
		}{{"naive Go", w.naiveAt, w.naive}, {"gateway", w.address, w.gateway}} {
			before := cpuOf(server.process.pid())
			latencies, elapsed, err := w.load(ctx, server.address, sql, o)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", server.name, name, err)
			}
			cpu := (cpuOf(server.process.pid()) - before) / time.Duration(len(latencies))
			fmt.Printf("| %-28s | %-18s | %10.0f | %8s | %8s | %11s |\n", server.name, name, float64(len(latencies))/elapsed.Seconds(),
				quantile(latencies, 0.5), quantile(latencies, 0.99), cpu.Round(time.Microsecond))
		}
	}
	return nil
}

func (w *world) load(ctx context.Context, address, sql string, o options) (latencies []time.Duration, elapsed time.Duration, err error) {
	var (
		group  sync.WaitGroup
		failed atomic.Pointer[error]
		all    = make([][]time.Duration, o.clients)
		begun  = time.Now()
	)
	for i := range o.clients {
		group.Go(func() {
			caller := newCaller(address, w.token, sql)
			defer caller.close()
			for failed.Load() == nil && ctx.Err() == nil && time.Since(begun) < o.time {
				started := time.Now()
				if err := caller.ask(); err != nil {
					failed.CompareAndSwap(nil, &err)
					return
				}
				all[i] = append(all[i], time.Since(started))
			}
		})
	}
	group.Wait()
	if failure := failed.Load(); failure != nil {
		return nil, 0, *failure
	}
	latencies = slices.Concat(all...)
	slices.Sort(latencies)
	return latencies, time.Since(begun), ctx.Err()
}

// A caller asks one thing over one connection. It writes HTTP by hand, so that it costs little
// beside what is measured.
type caller struct {
	address    string
	request    []byte
	connection net.Conn
	reader     *bufio.Reader
}

func newCaller(address, token, sql string) *caller {
	body := `{"query":"` + sql + `"}`
	return &caller{address: address, request: fmt.Appendf(nil,
		"POST /v1/query HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", address, token, len(body), body)}
}

func (c *caller) ask() error {
	if c.connection == nil {
		connection, err := net.Dial("tcp", c.address)
		if err != nil {
			return err
		}
		c.connection, c.reader = connection, bufio.NewReaderSize(connection, 16<<10)
	}
	if err := c.connection.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := c.connection.Write(c.request); err != nil {
		return err
	}
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("answered %s: %s", response.Status, answer)
	}
	return err
}

func (c *caller) close() {
	if c.connection != nil {
		_ = c.connection.Close()
	}
}
