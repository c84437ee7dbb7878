package acceptance

import (
	"context"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// T26. A statement whose caller has gone ends in the database within a second; and after a gateway
// was killed its statements end, or belong to their owner at another gateway.
func cancelled(a *attempt) {
	tokens := a.readers("sql:read")
	for _, w := range ways[:2] {
		for round := range long(2, 10) {
			mark := "gone_" + w.warehouse + strings.Repeat("x", round)
			ctx, leave := context.WithCancel(a.Context())
			left := make(chan error, 1)
			go func() {
				_, err := a.query(ctx, a.replicas()[round%2], tokens[w.warehouse], endless(mark))
				left <- err
			}()
			a.check(a.within(10*time.Second, func() bool { return a.running(mark) == 1 }), "%s: the statement does not run", w.name)
			leave()
			if err := <-left; err == nil {
				a.Errorf("%s: the statement has ended by itself", w.name)
			}
			a.check(a.within(bar(time.Second), func() bool { return a.running(mark) == 0 }), "%s: the statement runs though its caller has gone", w.name)
		}
	}
	a.cutResults(tokens["tickit"])
	a.orphans(tokens)
}

// cutResults cuts a result in the middle: what was received never looks whole.
func (a *attempt) cutResults(token string) {
	a.Helper()
	const sql = "select salesid, pricepaid, saletime from tickit.sales"
	for format, end := range map[string]string{"application/json": "}", "application/x-ndjson": `"complete":true}`, "text/csv": ""} {
		header := merge(bearer(token), http.Header{"Content-Type": {"application/sql"}, "Accept": {format}})
		whole := a.do(a, http.MethodPost, a.url+"/v1/query", header, sql)
		a.check(whole.status == http.StatusOK && strings.HasSuffix(strings.TrimSpace(whole.body), end), "%s: %s", format, whole)
		// A gateway that dies ends the connection, and HTTP's own framing tells. What was in the
		// network's buffers by then arrives, and may be all.
		cuts := 0
		for round := range 3 {
			got, err := a.cutAfter(header, sql, (round+1)*len(whole.body)/20)
			a.check(err != nil || got == len(whole.body), "%s cut after %d of %d bytes ends without an error", format, got, len(whole.body))
			if err != nil {
				cuts++
			}
		}
		a.check(cuts > 0, "%s was never cut", format)
	}
}

// cutAfter reads some of a result, and has the connection cut on the gateway's side of it.
func (a *attempt) cutAfter(header http.Header, sql string, size int) (received int, err error) {
	a.Helper()
	request, err := http.NewRequestWithContext(a.Context(), http.MethodPost, a.url+"/v1/query", strings.NewReader(sql))
	a.must(err)
	request.Header = header
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}
	defer client.CloseIdleConnections()
	response, err := client.Do(request)
	a.must(err)
	defer response.Body.Close()
	buffer := make([]byte, 4096)
	for err == nil {
		var n int
		n, err = response.Body.Read(buffer)
		if received += n; received >= size && n > 0 {
			a.world.front.setCut(true)
			a.world.front.setCut(false)
			size = 1 << 30
		}
	}
	if err.Error() == "EOF" {
		return received, nil
	}
	return received, err
}

// orphans kills a gateway with statements of all ways.
func (a *attempt) orphans(tokens map[string]string) {
	a.Helper()
	victim, survivor := a.world.gateways[0], a.world.gateways[1]
	for range 4 {
		for _, warehouse := range []string{"tickit", "slow"} {
			go func() {
				_, _ = a.elsewhereAt(victim.address(), tokens[warehouse], warehouse, endless("orphan_"+warehouse))
			}() // it ends with the gateway
		}
	}
	var paths []string
	for range 2 {
		path, got := a.submit(victim.address(), tokens["slow"], "slow", endless("adopted"))
		a.check(got.status == http.StatusAccepted, "begin in the background: %s", got)
		paths = append(paths, path)
	}
	count := func() int { return a.running("orphan_tickit") + a.running("orphan_slow") }
	a.check(a.within(20*time.Second, func() bool { return count() == 8 && a.running("adopted") == 2 }), "%d and %d statements run", count(), a.running("adopted"))
	victim.end(syscall.SIGKILL)
	for _, path := range paths {
		got := a.do(a, http.MethodGet, survivor.address()+path, bearer(tokens["slow"]), "")
		a.check(got.status == http.StatusOK, "the owner asks another gateway for a statement of one that was killed: %s", got)
		got = a.do(a, http.MethodPost, survivor.address()+path+"/cancel", bearer(tokens["slow"]), "")
		a.check(got.status/100 == 2, "the owner cancels it there: %s", got)
	}
	a.check(a.within(bar(5*time.Second), func() bool { return a.running("adopted") == 0 }), "%d statements run after their owner has cancelled them", a.running("adopted"))
	a.must(victim.start())
	ended := a.within(bar(30*time.Second), func() bool { return count() == 0 })
	a.check(ended, "half a minute after their gateway was killed %d statements of requests that were under way run by wire, %d by the Data API", a.running("orphan_tickit"), a.running("orphan_slow"))
}
