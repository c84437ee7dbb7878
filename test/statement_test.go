package test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// long runs for as long as nobody stops it, and mark is what to find it by.
func long(mark string) string {
	return "select count(*) as " + mark + " from tickit.sales a, tickit.sales b, tickit.sales c"
}

// running counts what PostgreSQL runs with a mark, as the administrator sees it.
func (w *world) running(t *testing.T, admin, mark string) string {
	t.Helper()
	got := w.query(t, admin, "select count(*) from pg_stat_activity where state = 'active' and pid <> pg_backend_pid() and query like '%as "+mark+" from%'")
	if got.Status != http.StatusOK || len(got.Rows) != 1 {
		t.Fatalf("ask what runs: %d %s", got.Status, got.Body)
	}
	return strings.Trim(string(mustJSON(t, got.Rows[0][0])), `"`)
}

func mustJSON(t *testing.T, value any) []byte {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// eventually waits until a count is what it should be.
func eventually(t *testing.T, within time.Duration, want string, count func() string) {
	t.Helper()
	var got string
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if got = count(); got == want {
			return
		}
	}
	t.Fatalf("after %s there are %s, want %s", within, got, want)
}

func TestStatementEndsInTheDatabaseWhenItsCallerIsGone(t *testing.T) {
	t.Parallel()
	w := development(t)
	alice, admin := w.token(t, "alice"), w.token(t, "admin")
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.gateway+"/v1/query", strings.NewReader(long("caller_gone")))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+alice)
	request.Header.Set("Content-Type", "application/sql")
	left := make(chan error, 1)
	go func() {
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			_ = response.Body.Close()
		}
		left <- err
	}()
	eventually(t, 10*time.Second, "1", func() string { return w.running(t, admin, "caller_gone") })
	leave()
	if err := <-left; err == nil {
		t.Error("the statement has ended by itself: it was no long one")
	}
	eventually(t, 10*time.Second, "0", func() string { return w.running(t, admin, "caller_gone") })
}

func TestStatementThatOutlivesItsRequestIsCancelledByItsId(t *testing.T) {
	t.Parallel()
	w := development(t)
	alice, admin := w.token(t, "alice"), w.token(t, "admin")
	body := string(mustJSON(t, map[string]string{"sql": long("by_id"), "wait": "0s"}))
	begun := w.call(t, http.MethodPost, "/v1/statements", alice, body, map[string]string{"Content-Type": "application/json"})
	if begun.Status != http.StatusAccepted {
		t.Fatalf("submit: %d %s", begun.Status, begun.Body)
	}
	eventually(t, 10*time.Second, "1", func() string { return w.running(t, admin, "by_id") })
	location := begun.Header.Get("Location")
	if other := w.call(t, http.MethodPost, location+"/cancel", admin, "", nil); other.Status != http.StatusNotFound {
		t.Errorf("somebody else cancels it: %d %s", other.Status, other.Body)
	}
	if got := w.running(t, admin, "by_id"); got != "1" {
		t.Errorf("after somebody else's try %s run", got)
	}
	if own := w.call(t, http.MethodPost, location+"/cancel", alice, "", nil); own.Status/100 != 2 {
		t.Errorf("cancel: %d %s", own.Status, own.Body)
	}
	eventually(t, 10*time.Second, "0", func() string { return w.running(t, admin, "by_id") })
	eventually(t, 10*time.Second, "CANCELED", func() string {
		var status struct{ Status string }
		got := w.call(t, http.MethodGet, location, alice, "", nil)
		if err := json.Unmarshal([]byte(got.Body), &status); err != nil {
			t.Fatalf("status: %d %s", got.Status, got.Body)
		}
		return status.Status
	})
}
