package faults

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// read takes a response in.
func read(t *testing.T, response *http.Response) answer {
	t.Helper()
	defer response.Body.Close()
	received, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{status: response.StatusCode, header: response.Header, body: string(received)}
}

// F13: who sends a request byte by byte is dropped, and in the meantime nobody else waits.
func TestF13SlowLoris(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	token := s.token(t, "alice")
	address := hostOf(t, s.url)
	var dribbling sync.WaitGroup
	for range long(40, 200) {
		connection, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		dribbling.Go(func() { dribble(t, connection) })
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		dribbling.Wait()
	}()
	for {
		select {
		case <-gone:
			return
		default:
			started := time.Now()
			s.mustSQL(t, token, "select 1")
			if took := time.Since(started); took > 5*time.Second {
				t.Errorf("a good request took %v beside slow ones", took)
			}
		}
	}
}

// dribble sends one byte at a time until the server has had enough of it.
func dribble(t *testing.T, connection net.Conn) {
	defer connection.Close()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, connection)
	}()
	request := "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + strings.Repeat("x", 1000)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	patience := time.After(20 * time.Second)
	for i := 0; ; i++ {
		select {
		case <-ended:
			return
		case <-patience:
			t.Error("a connection that dribbles is still open after 20 s")
			return
		case <-tick.C:
			_, _ = connection.Write([]byte{request[i%len(request)]})
		}
	}
}

// complete says whether a client that looks at the end mark of a format takes a body for whole.
var complete = map[string]func(body []byte, trailer http.Header) bool{
	"application/json": func(body []byte, _ http.Header) bool {
		var result struct{ Complete bool }
		return json.Unmarshal(body, &result) == nil && result.Complete
	},
	"application/x-ndjson": func(body []byte, _ http.Header) bool {
		var last []byte
		for lines := bufio.NewScanner(bytes.NewReader(body)); lines.Scan(); {
			last = append(last[:0], lines.Bytes()...)
		}
		var end struct{ Complete bool }
		return bytes.HasSuffix(body, []byte("\n")) && json.Unmarshal(last, &end) == nil && end.Complete
	},
	"text/csv": func(body []byte, trailer http.Header) bool {
		_, err := csv.NewReader(bytes.NewReader(body)).ReadAll()
		return err == nil && trailer.Get("Shiftgrant-Complete") == "true"
	},
}

// F20: wherever an answer is cut on its way to the app, the app can tell.
func TestF20CutAnswerIsNeverTakenForWhole(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	token := s.token(t, "alice")
	proxy := startProxy(t, s.url)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}
	fetch := func(format string) (body []byte, trailer http.Header, err error) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, proxy.url+"/v1/query", strings.NewReader("select * from tickit.event order by eventid limit 500"))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+token.AccessToken)
		request.Header.Set("Content-Type", "application/sql")
		request.Header.Set("Accept", format)
		response, err := client.Do(request)
		if err != nil {
			return nil, nil, err
		}
		defer response.Body.Close()
		body, err = io.ReadAll(response.Body)
		return body, response.Trailer, err
	}
	for format, isComplete := range complete {
		whole, trailer, err := fetch(format)
		if err != nil || !isComplete(whole, trailer) {
			t.Fatalf("%s: %v, not whole:\n%s", format, err, whole)
		}
		for range long(15, 50) {
			at := 1 + rand.Int64N(int64(len(whole)))
			proxy.set(proxyFault{cutAfter: at})
			cut, trailer, err := fetch(format)
			proxy.set(proxyFault{})
			if err == nil {
				t.Errorf("%s cut after %d bytes: HTTP says that it is whole", format, at)
			}
			if isComplete(cut, trailer) && len(cut) < len(whole) {
				t.Errorf("%s cut after %d bytes: the format says that it is whole:\n%s", format, at, cut)
			}
		}
	}
}

// F20: an answer that is cut between Redshift and the gateway is told of, never short.
func TestF20CutResultIsAnError(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	const query = "select * from tickit.event order by eventid limit 3000"
	whole := s.mustSQL(t, s.token(t, "alice"), query)
	for range long(2, 50) {
		s.dataAPI.reset()
		token := s.token(t, "alice") // many rounds take longer than a token lives
		s.dataAPI.set(proxyFault{cutAfter: 2000 + rand.Int64N(int64(len(whole.body)))})
		got, err := s.sql(t.Context(), token, query)
		s.dataAPI.set(proxyFault{})
		if err == nil && got.status == http.StatusOK && len(got.rows) != len(whole.rows) {
			t.Errorf("%d rows of %d, and no error", len(got.rows), len(whole.rows))
		}
	}
	s.dataAPI.reset()
	if got := s.mustSQL(t, s.token(t, "alice"), query); len(got.rows) != len(whole.rows) {
		t.Errorf("%d rows afterwards, want %d", len(got.rows), len(whole.rows))
	}
}
