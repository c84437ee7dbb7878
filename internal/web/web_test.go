package web_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/web"
)

// F22: a fault of ours is an answer, and the process goes on.
func TestF22PanicBecomesAPlainProblem(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	handler := web.Log(slog.New(slog.NewJSONHandler(&log, nil)), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		panic("secret detail")
	}))
	response := httptest.NewRecorder()
	request := httptest.NewRequest("GET", "/x?code=canary", nil)
	request.Header.Set(web.RequestIDHeader, "forged")
	handler.ServeHTTP(response, request)

	body, _ := io.ReadAll(response.Body)
	var problem struct {
		Status    int    `json:"status"`
		RequestID string `json:"request_id"`
	}
	if err := json.Unmarshal(body, &problem); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	if response.Code != 500 || problem.Status != 500 {
		t.Errorf("status %d and %d, want 500", response.Code, problem.Status)
	}
	if id := response.Header().Get(web.RequestIDHeader); id == "forged" || id != problem.RequestID || !strings.Contains(log.String(), id) {
		t.Errorf("request id %q, in the body %q, in the log: %s", id, problem.RequestID, log.String())
	}
	if strings.Contains(string(body), "secret detail") || strings.Contains(string(body), "goroutine") {
		t.Errorf("the panic reached the caller: %s", body)
	}
	if strings.Contains(log.String(), "canary") {
		t.Errorf("the query string reached the log: %s", log.String())
	}
}

func TestTokenInThePathIsNotLogged(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	handler := web.Log(slog.New(slog.NewJSONHandler(&log, nil)), http.NotFoundHandler())
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/v1/statements/sg_at_canary0123/rows", nil))
	if strings.Contains(log.String(), "canary") || !strings.Contains(log.String(), "/v1/statements/sg_****/rows") {
		t.Errorf("the log: %s", log.String())
	}
}

func TestReaderThatDoesNotReadIsDropped(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	server := httptest.NewServer(web.DropSlowReaders(50*time.Millisecond, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		chunk := make([]byte, 1<<20)
		for range 1000 {
			if _, err := w.Write(chunk); err != nil {
				ended <- err
				return
			}
		}
		ended <- nil
	})))
	defer server.Close()
	connection, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	if _, err := connection.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("a gigabyte was written to a caller who reads nothing")
	}
}
