// Command query measures what a result costs on its way through the gateway: the real program, a
// process of its own, over HTTP with a bearer token, with the audit record and all limits, its SQL
// travelling by Redshift's own protocol (TLS) to the twin.
//
//	go run ./bench/query                       # 1,000,000 rows, 5 rounds, about two minutes
//	go run ./bench/query -rows 200000 -rounds 3 -time 2s
//
// Beside the gateway run, in the same rounds and against the same table: psql's COPY straight from
// PostgreSQL's socket, which nothing can beat; psql's COPY through the same port that the gateway
// has to go through; and a naive server as one would write it in an afternoon, pgx and
// encoding/json. Rounds are interleaved and medians compared, because the machine may be noisy.
//
// Then small queries: the latency that the gateway adds to "select 1" on a warm connection, with
// the audit record on disk and in memory, and requests per second.
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
	"syscall"
	"time"
)

type options struct {
	rows    int
	rounds  int
	time    time.Duration
	clients int
	folder  string
	profile string
	only    string
}

func main() {
	var o options
	flag.IntVar(&o.rows, "rows", 1_000_000, "rows of the large result")
	flag.IntVar(&o.rounds, "rounds", 5, "how often each way is measured")
	flag.DurationVar(&o.time, "time", 5*time.Second, "how long for each measurement of small queries")
	flag.IntVar(&o.clients, "clients", 8, "connections at once for requests per second")
	flag.StringVar(&o.folder, "folder", "", "folder for databases and the audit record (default: a temporary one; mind that /tmp may be memory)")
	flag.StringVar(&o.only, "only", "", "measure only 'large' or 'small'")
	flag.StringVar(&o.profile, "perf", "", "write what perf records of the gateway to this file")
	naive := flag.String("serve-naive", "", "used by the program itself: be the naive server of a database")
	flag.Parse()
	slog.SetDefault(slog.New(slog.DiscardHandler))

	signal.Ignore(syscall.SIGPIPE) // who reads only the first lines must not leave servers behind
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if *naive != "" {
		err = serveNaive(ctx, *naive)
	} else {
		err = run(ctx, o)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "bench/query:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	w, err := newWorld(ctx, o)
	if w != nil {
		defer func() { err = errors.Join(err, w.close()) }()
	}
	if err != nil {
		return err
	}
	fmt.Printf("%s, %d processors, all for everybody: gateway, clients, twin and PostgreSQL.\n", runtime.Version(), runtime.NumCPU())
	stop, err := w.record(o.profile)
	if err != nil {
		return err
	}
	defer stop()
	if o.only != "small" {
		if err := measureLarge(ctx, w, o); err != nil {
			return err
		}
	}
	if o.only != "large" {
		return measureSmall(ctx, w, o)
	}
	return nil
}
