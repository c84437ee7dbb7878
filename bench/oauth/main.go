// Command oauth measures the authorization server: the real gateway, a process of its own on one
// processor, with a durable store, driven over HTTP by a client on another.
//
//	go run ./bench/oauth                    # both stores, 16 connections, 10 s each
//	go run ./bench/oauth -clients 64 -time 60s
//
// It prints, for each store: full flows (an authorization request of somebody who is signed in and
// has consented before, then the exchange of the code), refreshes, and token checks beside a bare
// handler that answers the same bytes; each with its rate, its median and 99th percentile, and the
// gateway's processor time; and how long it takes to start and how much memory it holds.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
)

type options struct {
	stores  string
	clients int
	time    time.Duration
	keep    string
}

func main() {
	var o options
	flag.StringVar(&o.stores, "stores", "sqlite,postgres", "which stores")
	flag.IntVar(&o.clients, "clients", 16, "connections at once")
	flag.DurationVar(&o.time, "time", 10*time.Second, "how long for each measurement")
	flag.StringVar(&o.keep, "folder", "", "folder for the databases (default: a temporary one; mind that /tmp may be memory)")
	serve := flag.String("serve", "", "used by the program itself: serve 'bare' or 'checked'")
	flag.Parse()
	slog.SetDefault(slog.New(slog.DiscardHandler))

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if *serve != "" {
		err = serveHandler(ctx, *serve, flag.Args())
	} else {
		err = run(ctx, o)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "bench/oauth:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	w, err := newWorld(ctx, o.keep)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	fmt.Printf("%s, %d processors: the gateway has one, clients and PostgreSQL another. %d connections, %s each.\n", runtime.Version(), runtime.NumCPU(), o.clients, o.time)
	if err := measureDisk(ctx, w.folder, o.time/2); err != nil {
		return err
	}
	for store := range strings.SplitSeq(o.stores, ",") {
		if err := measureStore(ctx, w, store, o); err != nil {
			return fmt.Errorf("%s: %w", store, err)
		}
	}
	return nil
}

// measureStore prints one block of the table.
func measureStore(ctx context.Context, w *world, store string, o options) (err error) {
	fmt.Printf("\n%-28s %9s %9s %9s %11s %8s\n", store, "per s", "p50", "p99", "CPU per op", "RSS")
	g, err := w.startGateway(ctx, store)
	if err != nil {
		return err
	}
	people, err := w.signIn(ctx, g, o.clients)
	if err == nil {
		err = measureGateway(ctx, g, people, o)
	}
	if err := errors.Join(err, g.stop()); err != nil {
		return err
	}
	return measureStart(ctx, w, store)
}

func measureGateway(ctx context.Context, g *process, people []*client, o options) error {
	flows, err := measure(ctx, g.pid(), people, o.time, (*client).flow)
	if err != nil {
		return fmt.Errorf("flow: %w", err)
	}
	flows.print("full flows")
	refreshes, err := measure(ctx, g.pid(), people, o.time, (*client).refresh)
	if err != nil {
		return fmt.Errorf("refresh: %w", err)
	}
	refreshes.print("refreshes")
	calls, err := measure(ctx, g.pid(), people, o.time, (*client).call)
	if err != nil {
		return fmt.Errorf("call: %w", err)
	}
	calls.print("GET /v1/warehouses")
	if g.store != "sqlite" {
		return nil // the handlers below open the store beside the gateway
	}
	bare, err := g.world.measureHandler(ctx, "bare", g, people, o.time)
	if err != nil {
		return err
	}
	bare.print("bare handler")
	checked, err := g.world.measureHandler(ctx, "checked", g, people, o.time)
	if err != nil {
		return err
	}
	checked.print("the same with a token check")
	fmt.Printf("%-28s %8.0f%%\n", "  of the bare handler", 100*checked.rate()/bare.rate())
	return nil
}
