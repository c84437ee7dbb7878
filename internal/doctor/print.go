package doctor

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// A Printer writes results for people, one after the other as they come.
type Printer struct {
	Out   io.Writer
	Color bool
	// Progress, a terminal, shows what is being tried while it takes its time; nil for none.
	Progress io.Writer

	of    string
	begun bool
	quiet func() // ends the line of progress
}

// symbols for each state, with their colors.
var symbols = map[State]struct{ sign, color string }{
	Whole: {"✓", "32"}, Weak: {"!", "33"}, Broken: {"✗", "31"}, Skipped: {"–", "90"},
}

// progressAfter is how long a link may take without anybody wondering.
const progressAfter = 300 * time.Millisecond

// Started shows what is being tried, if that takes a while.
func (p *Printer) Started(title string, limit time.Duration) {
	if p.Progress == nil {
		return
	}
	shown := make(chan bool, 1)
	timer := time.AfterFunc(progressAfter, func() {
		fmt.Fprintf(p.Progress, "  … %s (up to %s)", title, limit)
		shown <- true
	})
	p.quiet = func() {
		if !timer.Stop() {
			<-shown
			fmt.Fprint(p.Progress, "\r\x1b[K")
		}
	}
}

// Ended writes one result.
func (p *Printer) Ended(r Result) {
	if p.quiet != nil {
		p.quiet()
		p.quiet = nil
	}
	if r.Of != p.of || !p.begun {
		p.heading(r)
	}
	symbol := symbols[r.State]
	sign := symbol.sign
	if p.Color {
		sign = "\x1b[" + symbol.color + "m" + sign + "\x1b[0m"
	}
	fmt.Fprintf(p.Out, "  %s %-14s %s\n", sign, r.Link, r.Found)
	arrow := "→"
	for step := range strings.Lines(r.Mend) {
		fmt.Fprintf(p.Out, "    %-14s %s %s\n", "", arrow, strings.TrimSuffix(step, "\n"))
		arrow = " "
	}
	if r.Detail != "" && r.State == Broken {
		fmt.Fprintf(p.Out, "    %-14s   (%s)\n", "", r.Detail)
	}
}

func (p *Printer) heading(r Result) {
	if p.begun {
		fmt.Fprintln(p.Out)
	}
	p.of, p.begun = r.Of, true
	switch {
	case r.Of == "":
		fmt.Fprintln(p.Out, "gateway")
	case isUpstreamLink(r.Link):
		fmt.Fprintf(p.Out, "identity provider %s\n", r.Of)
	default:
		fmt.Fprintf(p.Out, "warehouse %s\n", r.Of)
	}
}

func isUpstreamLink(name string) bool {
	for _, l := range UpstreamLinks() {
		if l.Name == name {
			return true
		}
	}
	return false
}

// Summary is the last line.
func (r *Report) Summary() string {
	number := map[State]int{}
	for _, one := range r.Links {
		number[one.State]++
	}
	parts := []string{fmt.Sprintf("%d hold", number[Whole]+number[Weak])}
	if n := number[Weak]; n > 0 {
		parts[0] += fmt.Sprintf(" (%d with a remark)", n)
	}
	if n := number[Broken]; n > 0 {
		verb := "are"
		if n == 1 {
			verb = "is"
		}
		parts = append(parts, fmt.Sprintf("%d %s broken", n, verb))
	}
	if n := number[Skipped]; n > 0 {
		parts = append(parts, fmt.Sprintf("%d not tried", n))
	}
	return fmt.Sprintf("%s: %s", count(len(r.Links), "link"), strings.Join(parts, ", "))
}
