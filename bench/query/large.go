package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A way is one way to get the large result.
type way struct {
	name string
	// fetch gets it once. It counts the bytes where counting is set: that may cost, and is done
	// once, before the measurement.
	fetch func(ctx context.Context, counting bool) (bytes int64, cpu time.Duration, err error)
	pid   int // of the server, for its memory; 0 for none

	size   int64
	walls  []time.Duration
	cpus   []time.Duration
	memory int64 // peak
}

const selection = "select * from " + table

func measureLarge(ctx context.Context, w *world, o options) error {
	ways := []*way{
		{name: "psql COPY, socket", fetch: w.copyBy(w.socket())},
		{name: "psql COPY, TLS port", fetch: w.copyBy(w.dsn())},
		{name: "naive Go, JSON lines", fetch: w.ask(w.naive, "http://"+w.naiveAt, "", ""), pid: w.naive.pid()},
		{name: "gateway NDJSON", fetch: w.ask(w.gateway, "http://"+w.address, "application/x-ndjson", ""), pid: w.gateway.pid()},
		{name: "gateway JSON", fetch: w.ask(w.gateway, "http://"+w.address, "application/json", ""), pid: w.gateway.pid()},
		{name: "gateway CSV", fetch: w.ask(w.gateway, "http://"+w.address, "text/csv", ""), pid: w.gateway.pid()},
		{name: "gateway Arrow", fetch: w.ask(w.gateway, "http://"+w.address, "application/vnd.apache.arrow.stream", ""), pid: w.gateway.pid()},
		{name: "gateway CSV, gzip", fetch: w.ask(w.gateway, "http://"+w.address, "text/csv", "gzip"), pid: w.gateway.pid()},
		{name: "gateway CSV, zstd", fetch: w.ask(w.gateway, "http://"+w.address, "text/csv", "zstd"), pid: w.gateway.pid()},
	}
	for _, y := range ways { // caches and connections are warm
		var err error
		if y.size, _, err = y.fetch(ctx, true); err != nil {
			return fmt.Errorf("%s: %w", y.name, err)
		}
	}
	for range o.rounds {
		for _, y := range ways {
			if err := y.measure(ctx); err != nil {
				return fmt.Errorf("%s: %w", y.name, err)
			}
		}
	}
	printLarge(ways, o)
	return nil
}

func (y *way) measure(ctx context.Context) error {
	if y.pid != 0 {
		forgetPeak(y.pid)
	}
	begun := time.Now()
	_, cpu, err := y.fetch(ctx, false)
	if err != nil {
		return err
	}
	y.walls = append(y.walls, time.Since(begun))
	y.cpus = append(y.cpus, cpu)
	if y.pid != 0 {
		y.memory = max(y.memory, peakOf(y.pid))
	}
	return nil
}

func median(durations []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(durations))
	return sorted[len(sorted)/2]
}

func printLarge(ways []*way, o options) {
	fmt.Printf("\n%d rows of 8 columns, medians of %d interleaved rounds. CPU is the server's own; of psql it is psql's.\n", o.rows, o.rounds)
	fmt.Printf("\n| %-20s | %7s | %9s | %6s | %6s | %15s | %8s | %14s | %11s |\n", "", "s", "rows/s", "MB", "MB/s", "CPU s per 1M", "peak MB", "rows/s ÷ COPY", "÷ naive")
	fmt.Println("|---|---|---|---|---|---|---|---|---|")
	limit, naive := median(ways[1].walls), median(ways[2].walls)
	for _, y := range ways {
		wall := median(y.walls)
		memory := "-"
		if y.memory > 0 {
			memory = strconv.FormatInt(y.memory>>20, 10)
		}
		fmt.Printf("| %-20s | %7.2f | %9.0f | %6.1f | %6.0f | %15.2f | %8s | %14.2f | %11.1f |\n", y.name, wall.Seconds(), float64(o.rows)/wall.Seconds(),
			float64(y.size)/1e6, float64(y.size)/1e6/wall.Seconds(), median(y.cpus).Seconds()*1e6/float64(o.rows), memory, limit.Seconds()/wall.Seconds(), naive.Seconds()/wall.Seconds())
	}
	fmt.Println("\n÷ COPY is beside psql's COPY through the same TLS port as the gateway's.")
}

// copyBy runs psql once.
func (w *world) copyBy(dsn string) func(context.Context, bool) (int64, time.Duration, error) {
	return func(ctx context.Context, counting bool) (int64, time.Duration, error) {
		command := exec.CommandContext(ctx, "psql", "--no-psqlrc", "--quiet", "--dbname", dsn, "--command", "copy ("+selection+") to stdout")
		var counted counter
		if counting {
			command.Stdout = &counted
		} // otherwise /dev/null, which costs nothing
		var words strings.Builder
		command.Stderr = &words
		if err := command.Run(); err != nil {
			return 0, 0, fmt.Errorf("%w: %s", err, words.String())
		}
		return int64(counted), command.ProcessState.UserTime() + command.ProcessState.SystemTime(), nil
	}
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// ask fetches the result from a server and throws it away.
func (w *world) ask(server *process, base, accept, coding string) func(context.Context, bool) (int64, time.Duration, error) {
	client := &http.Client{Transport: &http.Transport{DisableCompression: true, ReadBufferSize: 256 << 10}}
	buffer := make([]byte, 256<<10)
	return func(ctx context.Context, _ bool) (int64, time.Duration, error) {
		before := cpuOf(server.pid())
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/query", strings.NewReader(`{"query":"`+selection+`"}`))
		if err != nil {
			return 0, 0, err
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", "Bearer "+w.token)
		if accept != "" {
			request.Header.Set("Accept", accept)
		}
		if coding != "" {
			request.Header.Set("Accept-Encoding", coding)
		}
		response, err := client.Do(request)
		if err != nil {
			return 0, 0, err
		}
		defer response.Body.Close()
		size, tail, err := drain(response.Body, buffer)
		switch {
		case err != nil:
			return 0, 0, err
		case response.StatusCode != http.StatusOK || response.Header.Get("Content-Encoding") != coding:
			return 0, 0, fmt.Errorf("answered %s: %s", response.Status, tail)
		case accept != "" && !bytes.Contains(tail, []byte(`"complete":true}`)) && response.Trailer.Get("Shiftgrant-Complete") != "true":
			return 0, 0, fmt.Errorf("the result is not complete; it ends with %s", tail)
		}
		return size, cpuOf(server.pid()) - before, nil
	}
}

// drain reads to the end and keeps the last bytes.
func drain(body io.Reader, buffer []byte) (size int64, tail []byte, err error) {
	for {
		n, err := body.Read(buffer)
		size += int64(n)
		if n > 0 {
			tail = append(tail, buffer[max(0, n-200):n]...)
			tail = tail[max(0, len(tail)-200):]
		}
		if err == io.EOF {
			return size, tail, nil
		}
		if err != nil {
			return size, tail, err
		}
	}
}
