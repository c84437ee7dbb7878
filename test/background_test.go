package test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// submit starts a statement that no request waits for, and gives its path.
func (w *world) submit(t *testing.T, token, sql string) string {
	t.Helper()
	begun := w.call(t, http.MethodPost, "/v1/statements", token, string(mustJSON(t, map[string]string{"sql": sql, "wait": "0s"})), map[string]string{"Content-Type": "application/json"})
	if begun.Status == http.StatusOK { // it was faster than the look at whether it has ended
		var document struct {
			ID string `json:"statement_id"`
		}
		if err := json.Unmarshal([]byte(begun.Body), &document); err != nil {
			t.Fatal(err)
		}
		return "/v1/statements/" + document.ID
	}
	if begun.Status != http.StatusAccepted {
		t.Fatalf("submit: %d %s", begun.Status, begun.Body)
	}
	return begun.Header.Get("Location")
}

// background asks, and fetches the answer by its id.
func (w *world) background(t *testing.T, token, sql string) answer {
	t.Helper()
	return w.call(t, http.MethodGet, w.submit(t, token, sql)+"/rows?wait=30s", token, "", nil)
}

// keptStatement is what GET /v1/statements/{id} tells of one that was kept.
type keptStatement struct {
	Status     string
	RowCount   int `json:"row_count"`
	Partitions []struct {
		Rows     string
		RowCount int `json:"row_count"`
	}
}

// ask gets a document.
func (w *world) ask(t *testing.T, path, token string, document any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.gateway+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(document); err != nil {
		t.Fatalf("GET %s: %d %v", path, response.StatusCode, err)
	}
}

func TestResultThatOutlivesItsRequestIsReadByManyAtOnce(t *testing.T) {
	t.Parallel()
	w := development(t)
	alice := w.token(t, "alice")
	path := w.submit(t, alice, "select a.*, 'canary-on-disk' as canary from tickit.sales a, tickit.category b where b.catid < 4")
	var kept keptStatement
	w.ask(t, path+"?wait=60s", alice, &kept)
	if kept.Status != "FINISHED" || kept.RowCount != 3*172456 || len(kept.Partitions) < 2 {
		t.Fatalf("%+v", kept)
	}
	total, lines := 0, make([]int, len(kept.Partitions))
	var group sync.WaitGroup
	for number, partition := range kept.Partitions {
		total += partition.RowCount
		group.Go(func() {
			got := w.call(t, http.MethodGet, partition.Rows, alice, "", map[string]string{"Accept": "text/csv"})
			lines[number] = strings.Count(got.Body, "\n") - 1
		})
	}
	group.Wait()
	for number, partition := range kept.Partitions {
		if lines[number] != partition.RowCount {
			t.Errorf("partition %d has %d rows, want %d", number, lines[number], partition.RowCount)
		}
	}
	if total != kept.RowCount {
		t.Errorf("%d rows in all partitions, want %d", total, kept.RowCount)
	}
	files, err := os.ReadDir(filepath.Join(w.dataFolder(), "spool"))
	if err != nil || len(files) != 0 {
		t.Errorf("%v, %v: kept rows have files that can be found", files, err)
	}
}
