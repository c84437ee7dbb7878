// Command dataapi measures what it costs to wait for a statement of the Data API: how many calls,
// and how much later than the statement the rows are there.
//
//	go run ./bench/dataapi            # statements of 5, 50, 300 and 2000 ms, 7 of each, two minutes
//	go run ./bench/dataapi -rounds 3 -round-trip 30ms
//
// It runs against the twin's Data API, over a network that is as slow as told. Everybody uses the
// same client (this repository's, which can also be asked to wait badly), so that what differs is
// how they wait and nothing else. Rounds are interleaved.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/dataapi"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
	"github.com/shiftgrant/shiftgrant/twin"
)

func main() {
	rounds := flag.Int("rounds", 7, "how often each statement is run in each way")
	roundTrip := flag.Duration("round-trip", 10*time.Millisecond, "how long the network takes there and back")
	flag.Parse()
	slog.SetDefault(slog.New(slog.DiscardHandler))

	signal.Ignore(syscall.SIGPIPE) // who reads only the first lines must not leave servers behind
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *rounds, *roundTrip); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "bench/dataapi:", err)
		os.Exit(1)
	}
}

var durations = []time.Duration{5 * time.Millisecond, 50 * time.Millisecond, 300 * time.Millisecond, 2 * time.Second}

// A way is one way to wait, with what it cost: by duration, a sample for each round.
type way struct {
	name      string
	query     func(ctx context.Context, session *dataapi.Session, sql string) error
	roundTrip time.Duration
	added     [][]time.Duration
	calls     [][]int64
}

func run(ctx context.Context, rounds int, roundTrip time.Duration) (err error) {
	world, err := twin.Start(ctx, twin.Config{Listen: "127.0.0.1:0"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, world.Close()) }()
	network := &slowNetwork{RoundTripper: dataapi.NewHTTPClient().Transport}
	keys := twin.DeveloperKeys("alice")
	session := dataapi.New(dataapi.Config{
		Region: twin.Region, Endpoint: world.URL(), Cluster: twin.Cluster, Database: twin.Database, HTTPClient: &http.Client{Transport: network},
		Credentials: identity.Static(keys.AccessKeyID, keys.SecretAccessKey, "", "alice"),
	})
	defer func() { err = errors.Join(err, session.Close()) }()

	ways := []*way{
		{name: "the twin itself: ours without a network", query: ask},
		{name: "ours: waits in GetStatementResultV2", query: ask, roundTrip: roundTrip},
		{name: "redshift-data-sql-driver's: at once, then every 10 ms", query: poll(func(int) time.Duration { return 10 * time.Millisecond }), roundTrip: roundTrip},
		{name: "at once, then 0.25 s × 1.5", query: poll(growing), roundTrip: roundTrip},
		{name: "at once, then every 1 s", query: poll(func(int) time.Duration { return time.Second }), roundTrip: roundTrip},
	}
	for _, w := range ways {
		w.added, w.calls = make([][]time.Duration, len(durations)), make([][]int64, len(durations))
		if err := w.query(ctx, session, "select 1"); err != nil { // connections are warm
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	for range rounds {
		for i, duration := range durations {
			for _, w := range ways {
				if err := w.measure(ctx, session, network, i, duration); err != nil {
					return fmt.Errorf("%s: %w", w.name, err)
				}
			}
		}
	}
	printTable(ways, rounds, roundTrip)
	return nil
}

func (w *way) measure(ctx context.Context, session *dataapi.Session, network *slowNetwork, i int, duration time.Duration) error {
	network.roundTrip = w.roundTrip
	before, begun := network.calls.Load(), time.Now()
	if err := w.query(ctx, session, fmt.Sprintf("select pg_sleep(%f)", duration.Seconds())); err != nil {
		return err
	}
	w.added[i] = append(w.added[i], time.Since(begun)-duration)
	w.calls[i] = append(w.calls[i], network.calls.Load()-before)
	return nil
}

func printTable(ways []*way, rounds int, roundTrip time.Duration) {
	fmt.Printf("Medians of %d interleaved rounds, %s of network for each call: calls of a statement, and milliseconds from its end to its rows.\n\n| %-54s |", rounds, roundTrip, "")
	for _, duration := range durations {
		fmt.Printf(" %-15s |", duration)
	}
	fmt.Println("\n|---|---|---|---|---|")
	for _, w := range ways {
		fmt.Printf("| %-54s |", w.name)
		for i := range durations {
			fmt.Printf(" %3d, %6.1f ms  |", median(w.calls[i]), float64(median(w.added[i]).Microseconds())/1000)
		}
		fmt.Println()
	}
}

func median[T int64 | time.Duration](samples []T) T {
	return slices.Sorted(slices.Values(samples))[len(samples)/2]
}

// slowNetwork takes half of the round trip there and half of it back, and counts calls.
type slowNetwork struct {
	http.RoundTripper
	roundTrip time.Duration
	calls     atomic.Int64
}

func (n *slowNetwork) RoundTrip(request *http.Request) (*http.Response, error) {
	n.calls.Add(1)
	time.Sleep(n.roundTrip / 2)
	response, err := n.RoundTripper.RoundTrip(request)
	time.Sleep(n.roundTrip / 2)
	return response, err
}

// ask is what the gateway does.
func ask(ctx context.Context, session *dataapi.Session, sql string) error {
	rows, err := session.Query(ctx, redshift.Statement{SQL: sql})
	return read(rows, err)
}

// poll asks for the state at once and then after growing or fixed pauses, and for the rows when it
// has ended: what one does with a client that cannot wait.
func poll(pause func(n int) time.Duration) func(context.Context, *dataapi.Session, string) error {
	return func(ctx context.Context, session *dataapi.Session, sql string) error {
		id, err := session.Submit(ctx, redshift.Statement{SQL: sql})
		if err != nil {
			return err
		}
		for n := 0; ; n++ {
			execution, err := session.Describe(ctx, id, 0)
			if err != nil {
				return err
			}
			if execution.State.Final() {
				break
			}
			select {
			case <-time.After(pause(n)):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		rows, err := session.Fetch(ctx, id, 0)
		return read(rows, err)
	}
}

func growing(n int) time.Duration {
	pause := 250 * time.Millisecond
	for range n {
		pause = pause * 3 / 2
	}
	return pause
}

func read(rows redshift.Rows, err error) error {
	if err != nil {
		return err
	}
	for rows.Next() {
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	if n := rows.Summary().RowCount; n != 1 {
		return fmt.Errorf("the result has %d rows", n)
	}
	return nil
}
