package sqlapi

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/shiftgrant/shiftgrant/internal/encode"
)

// decompress undoes a Content-Encoding.
func decompress(coding string, body io.Reader) (string, error) {
	switch coding {
	case "gzip":
		reader, err := gzip.NewReader(body)
		if err != nil {
			return "", err
		}
		body = reader
	case "zstd":
		reader, err := zstd.NewReader(body, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return "", err
		}
		defer reader.Close()
		body = reader
	}
	text, err := io.ReadAll(body)
	return string(text), err
}

func TestResultIsCompressedWhenAsked(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	for _, accept := range []string{"application/json", "application/x-ndjson", "text/csv", "application/vnd.apache.arrow.stream"} {
		plain := g.do("POST", "/v1/query", "ann", `{"query":"select long"}`, "Accept", accept, "Accept-Encoding", "identity")
		for _, coding := range []string{"identity", "gzip", "zstd"} {
			got := g.do("POST", "/v1/query", "ann", `{"query":"select long"}`, "Accept", accept, "Accept-Encoding", coding)
			header := strings.TrimSuffix(coding, "identity")
			if got.Header.Get("Content-Encoding") != header || got.Header.Get("Vary") != "Accept, Accept-Encoding" || got.cut != nil {
				t.Errorf("%s as %s: headers %v, %v", accept, coding, got.Header, got.cut)
			}
			if text, err := decompress(coding, strings.NewReader(got.body)); text != plain.body || err != nil {
				t.Errorf("%s as %s: %d bytes, want %d: %v", accept, coding, len(text), len(plain.body), err)
			}
			if coding != "identity" && len(got.body) > len(plain.body)/4 {
				t.Errorf("%s as %s: %d bytes of %d", accept, coding, len(got.body), len(plain.body))
			}
			hasTrailers := !strings.Contains(accept, "json")
			if hasTrailers && (got.Trailer.Get(trailerComplete) != "true" || got.Trailer.Get(trailerRowCount) != "20000") {
				t.Errorf("%s as %s: trailers %v", accept, coding, got.Trailer)
			}
		}
	}
}

func TestSmallAnswersAreNotCompressed(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	for _, c := range []struct{ query, accept, want string }{
		{"select 1", "application/json", `"complete":true}`},
		{"select 1", "text/csv", "id,name\r\n"},
		{"select broken at once", "text/csv", "division by zero"},
	} {
		got := g.do("POST", "/v1/query", "ann", `{"query":"`+c.query+`"}`, "Accept", c.accept, "Accept-Encoding", "gzip")
		if got.Header.Get("Content-Encoding") != "" || !strings.Contains(got.body, c.want) {
			t.Errorf("%s as %s: %v %s", c.query, c.accept, got.Header, got.body)
		}
	}
}

func TestResultThatMayNotBePlainIsNotRun(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	p := g.do("POST", "/v1/query", "ann", `{"query":"select 1"}`, "Accept-Encoding", "br, identity;q=0").problem(t)
	if p.Status != 406 || !strings.Contains(p.Detail, "gzip") {
		t.Errorf("%+v", p)
	}
	if ran := g.cluster.statements(); len(ran) > 0 {
		t.Errorf("these ran: %+v", ran)
	}
}

// A failure in CSV breaks the connection, and what came before is no whole stream either: a client
// that overlooks the one meets the other.
func TestCutResultIsNoWholeStream(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	for _, coding := range []string{"gzip", "zstd"} {
		got := g.do("POST", "/v1/query", "ann", `{"query":"select broken"}`, "Accept", "text/csv", "Accept-Encoding", coding)
		text, err := decompress(coding, strings.NewReader(got.body))
		if got.StatusCode != 200 || got.cut == nil || err == nil || got.Trailer.Get(trailerComplete) != "" {
			t.Errorf("%s: %d, %d bytes look whole: %v", coding, got.StatusCode, len(text), got.cut)
		}
		got = g.do("POST", "/v1/query", "ann", `{"query":"select broken"}`, "Accept", "application/x-ndjson", "Accept-Encoding", coding)
		if text, err := decompress(coding, strings.NewReader(got.body)); err != nil || !strings.Contains(text, `"error":{`) {
			t.Errorf("%s: the failure is not told: %v", coding, err)
		}
	}
}

func TestCompressedResultIsSeenWhileItGrows(t *testing.T) {
	t.Parallel()
	for coding, want := range map[string]encode.Coding{"gzip": encode.Gzip, "zstd": encode.Zstd} {
		var compressors encode.Compressors
		seen := make(chan struct{})
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body := &lateBody{w: w, want: preference{coding: want}, compressors: &compressors}
			defer body.release()
			_, err := body.Write([]byte("the first row"))
			if err := errors.Join(err, body.flush()); err != nil {
				t.Errorf("%s: %v", coding, err)
			}
			select {
			case <-seen:
			case <-r.Context().Done():
			}
			if err := body.end(); err != nil {
				t.Errorf("%s: %v", coding, err)
			}
		}))
		t.Cleanup(server.Close)
		ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
		defer stop()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Accept-Encoding", coding)
		response, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := decompress(coding, &watcher{response.Body, func() { close(seen) }})
		if text != "the first row" || err != nil {
			t.Errorf("%s: %q, %v", coding, text, err)
		}
	}
}

// watcher tells when something could be read for the first time.
type watcher struct {
	io.Reader
	tell func()
}

func (w *watcher) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if n > 0 && w.tell != nil {
		w.tell()
		w.tell = nil
	}
	return n, err
}
