package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// progress shows on a terminal that something is going on: how long, how many rows, how fast.
type progress struct {
	out     io.Writer // nil where nobody watches
	began   time.Time
	rows    atomic.Int64
	end     context.CancelFunc
	ended   chan struct{}
	stopped sync.Once
}

// showsProgress reports whether a line can be written and taken back.
func showsProgress(w io.Writer) bool { return isTerminal(w) && os.Getenv("TERM") != "dumb" }

// startProgress shows nothing for the first moment, in which most statements end.
func startProgress(ctx context.Context, messages io.Writer, wanted bool) *progress {
	p := &progress{began: time.Now(), ended: make(chan struct{})}
	ctx, p.end = context.WithCancel(ctx)
	if !wanted || !showsProgress(messages) {
		close(p.ended)
		return p
	}
	p.out = messages
	go p.show(ctx)
	return p
}

func (p *progress) show(ctx context.Context) {
	defer close(p.ended)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for frame := 0; ; frame++ {
		select {
		case <-ctx.Done():
			fmt.Fprint(p.out, "\r\x1b[K")
			return
		case <-tick.C:
		}
		if frame >= 2 {
			line := fmt.Sprintf("%c %s", []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")[frame%10], p)
			if space := terminalWidth(p.out); space > 1 { // a line that is broken could not be taken back
				line = shorten(line, space-1)
			}
			fmt.Fprint(p.out, "\r\x1b[K"+line)
		}
	}
}

// String is what is shown beside the spinner.
func (p *progress) String() string {
	elapsed, rows := time.Since(p.began), p.rows.Load()
	if rows == 0 {
		return fmt.Sprintf("waiting for rows, %.1f s", elapsed.Seconds())
	}
	return fmt.Sprintf("%d rows, %.0f rows/s, %.1f s", rows, float64(rows)/elapsed.Seconds(), elapsed.Seconds())
}

func (p *progress) row() { p.rows.Add(1) }

// Write counts the lines of a result that passes by.
func (p *progress) Write(b []byte) (int, error) {
	if p.out != nil {
		p.rows.Add(int64(bytes.Count(b, []byte("\n"))))
	}
	return len(b), nil
}

// stop takes the line off the terminal for good.
func (p *progress) stop() {
	p.stopped.Do(p.end)
	<-p.ended
}
