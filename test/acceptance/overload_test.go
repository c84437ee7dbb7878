package acceptance

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// T28. Callers who dribble, do not read, or send junk cost a bounded amount of memory and time, and
// those who behave are served meanwhile.
func overload(a *attempt) {
	one := a.world.gateways[0]
	held := a.connect(a, "alice", a.phone, a.scope)
	idle := a.serves(one, held.Access, nil)
	a.dribble(one, held.Access, idle)
	a.slowReaders(one, held.Access, a.connect(a, "bob", a.phone, a.scope).Access)
	a.junk(one, held.Access, idle)
	a.largeRequests(one)
}

// serves asks for something many times while something goes on, and gives the 99th percentile.
func (a *attempt) serves(one *gateway, token string, meanwhile func(stop <-chan struct{})) time.Duration {
	a.Helper()
	stop := make(chan struct{})
	var group sync.WaitGroup
	if meanwhile != nil {
		group.Go(func() { meanwhile(stop) })
	}
	var times []time.Duration
	for range long(200, 2000) {
		started := time.Now()
		if !a.works(a, one.address(), token) {
			a.Error("a good token is refused")
		}
		times = append(times, time.Since(started))
	}
	close(stop)
	group.Wait()
	slices.Sort(times)
	return times[len(times)*99/100]
}

// stillServes compares with an idle gateway. What is below 50 ms is good on any machine.
func (a *attempt) stillServes(what string, p99, idle time.Duration) {
	a.Helper()
	a.Logf("%s: 99th percentile %s, idle %s", what, p99, idle)
	a.check(p99 < max(2*idle, bar(50*time.Millisecond)), "%s: good requests take %s (99th percentile), %s when idle", what, p99, idle)
}

// dribble opens connections that send a byte now and then, and never a whole header.
func (a *attempt) dribble(one *gateway, token string, idle time.Duration) {
	a.Helper()
	connections := make([]net.Conn, 200)
	for i := range connections {
		connection, err := net.Dial("tcp", strings.TrimPrefix(one.address(), "http://"))
		a.must(err)
		defer connection.Close()
		_, err = connection.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\nX: "))
		a.must(err)
		connections[i] = connection
	}
	started := time.Now()
	p99 := a.serves(one, token, func(stop <-chan struct{}) {
		for {
			for _, connection := range connections {
				_, _ = connection.Write([]byte("x")) // the other side may have closed
			}
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	})
	open := 0
	for _, connection := range connections {
		a.must(connection.SetReadDeadline(started.Add(bar(5500 * time.Millisecond))))
		if _, err := io.Copy(io.Discard, connection); err != nil && strings.Contains(err.Error(), "timeout") {
			open++
		}
	}
	a.check(open == 0, "%d of %d dribbling connections are open after five seconds", open, len(connections))
	a.stillServes("200 dribbling connections", p99, idle)
}

// resident is the memory of the process, as the kernel counts it.
func (a *attempt) resident(one *gateway) int64 {
	a.Helper()
	lines := bufio.NewScanner(strings.NewReader(a.do(a, http.MethodGet, one.operations+"/metrics", nil, "").body))
	for lines.Scan() {
		if value, found := strings.CutPrefix(lines.Text(), "process_resident_memory_bytes "); found {
			bytes, err := strconv.ParseFloat(value, 64)
			a.must(err)
			return int64(bytes)
		}
	}
	a.Fatal("the metrics do not tell the memory of the process")
	return 0
}

// slowReaders ask for results without end and read a little of them. They are of several people,
// so that what a row before left to be cancelled does not take a place that one of them needs.
func (a *attempt) slowReaders(one *gateway, tokens ...string) {
	a.Helper()
	before := a.resident(one)
	const readers = 10
	var group sync.WaitGroup
	var received atomic.Int64
	for i := range readers {
		token := tokens[i%len(tokens)]
		group.Go(func() {
			request, err := http.NewRequestWithContext(a.Context(), http.MethodPost, one.address()+"/v1/query", strings.NewReader("select a.* from tickit.sales a, tickit.sales b"))
			if err != nil {
				return
			}
			request.Header = merge(bearer(token), http.Header{"Content-Type": {"application/sql"}, "Accept": {"application/x-ndjson"}})
			response, err := plain.Do(request)
			if err != nil {
				return
			}
			defer response.Body.Close()
			if response.StatusCode != http.StatusOK {
				refusal, _ := io.ReadAll(response.Body)
				a.Errorf("a slow reader is refused: %s: %s", response.Status, refusal)
				return
			}
			for range long(20, 100) {
				n, _ := io.CopyN(io.Discard, response.Body, 100<<10) // a short read is seen by the sum
				received.Add(n)
				time.Sleep(100 * time.Millisecond)
			}
		})
	}
	most, done := before, make(chan struct{})
	go func() {
		group.Wait()
		close(done)
	}()
	for reading := true; reading; {
		select {
		case <-done:
			reading = false
		case <-time.After(200 * time.Millisecond):
			most = max(most, a.resident(one))
		}
	}
	a.Logf("%d slow readers: %d MiB, before %d MiB", readers, most>>20, before>>20)
	a.check(received.Load() == int64(readers*long(20, 100)*(100<<10)), "the readers have read %d bytes", received.Load())
	a.check(most-before <= 64<<20, "%d slow readers took %d MiB", readers, (most-before)>>20)
}

// junk floods the gateway with tokens that are none, tokens that look like one, and sign-ins that
// nobody goes on with.
func (a *attempt) junk(one *gateway, token string, idle time.Duration) {
	a.Helper()
	before := a.resident(one)
	var sent, wrong atomic.Int64
	flood := func(stop <-chan struct{}) {
		var group sync.WaitGroup
		for worker := range 4 {
			group.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					case <-a.Context().Done():
						return
					default:
					}
					header, path := bearer(fmt.Sprint("sg_at_", i)), "/v1/warehouses"
					if worker == 1 {
						header = bearer(wellFormed("sg_at_"))
					}
					if worker == 2 {
						header, path = nil, "/signin/start/"+upstreamName
					}
					got, err := a.send(a.Context(), http.MethodGet, one.address()+path, header, "")
					if sent.Add(1); err != nil || got.status != http.StatusUnauthorized && got.status != http.StatusSeeOther && got.status != http.StatusTooManyRequests {
						wrong.Add(1)
					}
				}
			})
		}
		group.Wait()
	}
	p99 := a.serves(one, token, flood)
	after := a.resident(one)
	a.Logf("%d junk requests: %d MiB, before %d MiB", sent.Load(), after>>20, before>>20)
	a.check(sent.Load() > 100 && wrong.Load() == 0, "%d of %d junk requests got another answer than 401, 303 or 429", wrong.Load(), sent.Load())
	a.check(after-before <= 64<<20, "the flood took %d MiB", (after-before)>>20)
	a.stillServes("a flood of junk", p99, idle)
}

// largeRequests are refused before they are read.
func (a *attempt) largeRequests(one *gateway) {
	a.Helper()
	large := strings.Repeat("a", 2<<20)
	held := a.connect(a, "alice", a.phone, a.scope)
	for what, got := range map[string]reply{
		"a form":      a.do(a, http.MethodPost, one.address()+"/oauth2/token", formHeader, "code="+large),
		"a statement": a.do(a, http.MethodPost, one.address()+"/v1/query", merge(bearer(held.Access), http.Header{"Content-Type": {"application/sql"}}), "select '"+large+"'"),
		"a header":    a.do(a, http.MethodGet, one.address()+"/", http.Header{"X-Large": {large[:100<<10]}}, ""),
		"a query":     a.do(a, http.MethodGet, one.address()+"/oauth2/authorize?state="+large[:100<<10], nil, ""),
	} {
		a.check(got.status == http.StatusRequestEntityTooLarge || got.status == http.StatusRequestHeaderFieldsTooLarge || got.status == http.StatusRequestURITooLong, "%s that is too large: %s", what, got)
	}
}
