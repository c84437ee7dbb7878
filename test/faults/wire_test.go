package faults

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

// onWire has statements go straight to the warehouse's port, through a proxy that can fail.
func onWire(t *testing.T) func(*site) {
	return func(s *site) {
		s.wire = startProxy(t, "http://"+s.twin.WireAddress())
		authority := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(authority, s.twin.Authority(), 0o600); err != nil {
			t.Fatal(err)
		}
		target := &s.config.Warehouses[0]
		target.Host, target.CA, target.Transport, target.PasswordsFrom = strings.TrimPrefix(s.wire.url, "http://"), authority, "wire", s.twin.URL()
	}
}

// stream asks for a result as it comes.
func (s *site) stream(ctx context.Context, token *oauth2.Token, sql, format string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/v1/query", strings.NewReader(sql))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+token.AccessToken)
	request.Header.Set("Content-Type", "application/sql")
	request.Header.Set("Accept", format)
	request.Header.Set("Accept-Encoding", "identity")
	return http.DefaultClient.Do(request)
}

// A network that drops the connection in the middle of a result: HTTP or the format says so, and the
// next statement has a connection of its own.
func TestF20WireIsCut(t *testing.T) {
	t.Parallel()
	s := startSite(t, onWire(t))
	const query = "select * from tickit.sales order by salesid limit 20000"
	for format, isComplete := range complete {
		token := s.token(t, "alice")
		fetch := func() (got answer, trailer http.Header, err error) {
			response, err := s.stream(t.Context(), token, query, format)
			if err != nil {
				return answer{}, nil, err
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			return answer{status: response.StatusCode, header: response.Header, body: string(body)}, response.Trailer, err
		}
		whole, trailer, err := fetch()
		if err != nil || whole.status != http.StatusOK || !isComplete([]byte(whole.body), trailer) {
			t.Fatalf("%s: %d %v", format, whole.status, err)
		}
		for range long(2, 50) {
			s.wire.reset()
			time.Sleep(1100 * time.Millisecond) // idle connections are looked at after a second
			s.wire.set(proxyFault{cutAfter: 5000 + rand.Int64N(int64(len(whole.body)))})
			cut, trailer, err := fetch()
			s.wire.set(proxyFault{})
			switch {
			case err == nil && cut.status == http.StatusOK && strings.Count(cut.body, "\n") != strings.Count(whole.body, "\n") && isComplete([]byte(cut.body), trailer):
				t.Errorf("%s: %d bytes of %d, and all says that it is whole", format, len(cut.body), len(whole.body))
			case err == nil && cut.status != http.StatusOK:
				hygienic(t, format, cut)
			}
			if after, trailer, err := fetch(); err != nil || after.status != http.StatusOK || !isComplete([]byte(after.body), trailer) {
				t.Errorf("%s, the next one: %d %v %.200s", format, after.status, err, after.body)
			}
		}
	}
}

// A warehouse that is restarted is told as such, and used as soon as it is there.
func TestF17WarehouseRestarts(t *testing.T) {
	t.Parallel()
	s := startSite(t, onWire(t))
	token := s.token(t, "alice")
	s.mustSQL(t, token, "select 1")
	s.wire.set(proxyFault{refuse: true})
	s.wire.reset()
	for range 3 {
		got, err := s.sql(t.Context(), token, "select 1")
		if err != nil || got.status != http.StatusBadGateway {
			t.Errorf("while it is away: %d %v %s", got.status, err, got.body)
		}
		hygienic(t, "while it is away", got)
	}
	s.wire.set(proxyFault{})
	s.mustSQL(t, token, "select 1")
}

// F14: ten results of 5 GB each go to slow readers, and nothing piles up.
func TestF14SlowReadersOfLargeResults(t *testing.T) {
	s := startSite(t, onWire(t))
	token := s.token(t, "alice")
	const readers, query = 10, "select repeat(md5(n::text), 32) from generate_series(1, 5000000) n"
	formats := []string{"application/json", "application/x-ndjson", "text/csv", "application/vnd.apache.arrow.stream"}
	before := resident(t)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	read := make(chan int, readers)
	for n := range readers {
		go func() {
			total := 0
			defer func() { read <- total }()
			response, err := s.stream(ctx, token, query, formats[n%len(formats)])
			if err != nil {
				return
			}
			defer response.Body.Close()
			for buffer := make([]byte, 32<<10); ; time.Sleep(5 * time.Millisecond) {
				n, err := response.Body.Read(buffer)
				if total += n; err != nil {
					return
				}
			}
		}()
	}
	var most int64
	for until := time.Now().Add(long(6*time.Second, time.Minute)); time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
		most = max(most, resident(t)-before)
	}
	leave()
	for range readers {
		if total := <-read; total < 1<<20 {
			t.Errorf("a reader has got %d bytes", total)
		}
	}
	// The twin, which passes the bytes on, and the readers are in this process too.
	if limit := int64(readers * 6 << 20); most > limit {
		t.Errorf("memory grew by %d MB with %d readers, limit %d", most>>20, readers, limit>>20)
	}
	t.Logf("memory grew by %d MB with %d readers", most>>20, readers)
	s.eventually(t, "nothing is left running", func() error {
		got, err := s.sql(t.Context(), token, "select count(*) from pg_stat_activity where state = 'active' and pid <> pg_backend_pid() and query like '%generate_series(1, 5000000)%'")
		if err != nil || len(got.rows) != 1 || fmt.Sprint(got.rows[0][0]) != "0" {
			return fmt.Errorf("%v %v %s", got.rows, err, got.body)
		}
		return nil
	})
}

// resident is the memory of this process in bytes, after what nobody uses was given back.
func resident(t *testing.T) int64 {
	t.Helper()
	if runtime.GOOS != "linux" {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.Sys - m.HeapReleased)
	}
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// What is sent by mistake has the same answer by every transport.
func TestStatementsThatAreNone(t *testing.T) {
	t.Parallel()
	for transport, changes := range map[string][]func(*site){"dataapi": nil, "wire": {onWire(t)}} {
		s := startSite(t, changes...)
		token := s.token(t, "alice")
		for name, c := range map[string]struct {
			sql    string
			status int
			says   string
		}{
			"nothing":                     {"", 400, "is missing"},
			"only spaces":                 {" \n\t", 400, "there is no statement in it"},
			"only a comment":              {"-- select 1", 400, "there is no statement in it"},
			"two statements":              {"select 1; select 2", 400, "more than one statement"},
			"a mistake":                   {"selec 1", 403, "sql:write"},
			"a table that is not there":   {"select * from nosuch", 422, "nosuch"},
			"longer than the Data API's":  {"select '" + strings.Repeat("x", 300<<10) + "'", 400, "at most"},
			"longer than a request":       {"select '" + strings.Repeat("x", 2<<20) + "'", 413, "larger than"},
			"a value that cannot be sent": {"select '\x00'", 400, "NUL"},
		} {
			got, err := s.sql(t.Context(), token, c.sql)
			if c.status == 403 && got.status == 422 {
				continue // alice may write, so it is Redshift that refuses
			}
			if err != nil || got.status != c.status || !strings.Contains(got.body, c.says) {
				t.Errorf("%s, %s: %d %v %.300s, want %d %q", transport, name, got.status, err, got.body, c.status, c.says)
			}
		}
	}
}

// A row is one message of the protocol, and has a place in memory: there is a limit, and it is told.
func TestRowsOfManyMegabytes(t *testing.T) {
	t.Parallel()
	s := startSite(t, onWire(t))
	token := s.token(t, "alice")
	response, err := s.stream(t.Context(), token, "select repeat('x', 40 * 1024 * 1024)", "text/csv")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if n, err := io.Copy(io.Discard, response.Body); err != nil || n < 40<<20 || response.Trailer.Get("Shiftgrant-Complete") != "true" {
		t.Errorf("40 MiB: %d bytes, %v, %v", n, err, response.Trailer)
	}
	got, err := s.sql(t.Context(), token, "select repeat('x', 100 * 1024 * 1024)")
	if err != nil || got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("100 MiB: %d %v %.300s", got.status, err, got.body)
	}
	s.mustSQL(t, token, "select 1")
}
