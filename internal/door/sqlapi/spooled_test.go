package sqlapi

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/spool"
	"github.com/shiftgrant/shiftgrant/internal/store"
	"github.com/shiftgrant/shiftgrant/redshift"
)

// onASpool gives a gateway that keeps results itself.
func onASpool(t *testing.T, limits spool.Config) *gateway {
	t.Helper()
	g := newGateway(t)
	limits.Folder, limits.Now = t.TempDir(), func() time.Time { return g.now }
	kept, err := spool.Open(limits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kept.Close() })
	g.cluster.spool = kept
	return g
}

func TestKeptResultIsReadInParts(t *testing.T) {
	t.Parallel()
	g := onASpool(t, spool.Config{BlockSize: 4 << 10, PartitionSize: 64 << 10})
	id := start(t, g, "select long")
	status := g.do("GET", "/v1/statements/"+id+"?wait=10s", "ann", "")
	var document statusDocument
	if err := json.Unmarshal([]byte(status.body), &document); err != nil {
		t.Fatal(err)
	}
	if document.Status != "FINISHED" || *document.RowCount != 20000 || *document.ByteCount != 10000*6+10000*16 || len(document.Partitions) < 3 || document.Truncated ||
		!document.ExpiresAt.Equal(g.now.Add(time.Hour)) {
		t.Fatalf("%s", status.body)
	}
	whole := g.do("GET", document.Rows, "ann", "", "Accept", "text/csv")
	parts := make([]string, len(document.Partitions))
	var group sync.WaitGroup
	for number, partition := range document.Partitions {
		group.Go(func() {
			got := g.do("GET", partition.Rows, "ann", "", "Accept", "text/csv")
			parts[number] = strings.TrimPrefix(got.body, "id,name\r\n")
			if got.StatusCode != 200 || got.Trailer.Get("Shiftgrant-Row-Count") != strconv.FormatInt(partition.RowCount, 10) || got.Trailer.Get("Shiftgrant-Complete") != "true" {
				t.Errorf("%d %v", got.StatusCode, got.Trailer)
			}
		})
	}
	group.Wait()
	if "id,name\r\n"+strings.Join(parts, "") != whole.body || strings.Count(whole.body, "\n") != 20001 {
		t.Errorf("the parts, %d, are not the whole, %d bytes", len(parts), len(whole.body))
	}
	if again := g.do("GET", document.Rows, "ann", "", "Accept", "text/csv"); again.body != whole.body {
		t.Error("read again it is another")
	}
	if len(g.cluster.statements()) != 1 {
		t.Error("it ran again")
	}
	if p := g.do("GET", document.Rows+"?partition=99", "ann", "").problem(t); p.Status != 404 || p.Type != "unknown-partition" {
		t.Errorf("%+v", p)
	}
	for _, query := range []string{"", "-1", "x", "1e3", "99999999999", "0&partition=1"} {
		if p := g.do("GET", document.Rows+"?partition="+query, "ann", "").problem(t); p.Status != 400 {
			t.Errorf("%q: %+v", query, p)
		}
	}
	g.tokens.accesses["bob"] = accessOf("default", "bob", "stargazer", "gra_2", "sql:read")
	if p := g.do("GET", document.Partitions[0].Rows, "bob", "").problem(t); p.Status != 404 || p.Type != "unknown-statement" {
		t.Errorf("somebody else: %+v", p)
	}
}

func TestPartitionsOfATransportThatHasNone(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	if p := g.do("GET", "/v1/statements/"+start(t, g, "select 1")+"/rows?partition=0", "ann", "").problem(t); p.Status != 404 || p.Type != "unknown-partition" {
		t.Errorf("%+v", p)
	}
}

func TestProgressOfWhatRuns(t *testing.T) {
	t.Parallel()
	g := onASpool(t, spool.Config{})
	id := start(t, g, "select hang")
	document := g.do("GET", "/v1/statements/"+id, "ann", "").document(t)
	if document["status"] != "RUNNING" || document["row_count"] != 0.0 || document["byte_count"] != 0.0 {
		t.Errorf("%v", document)
	}
	if document := g.do("POST", "/v1/statements/"+id+"/cancel", "ann", "").document(t); document["status"] != "CANCELED" {
		t.Errorf("%v", document)
	}
	if p := g.do("GET", "/v1/statements/"+id+"/rows", "ann", "").problem(t); p.Status != 409 || p.Type != "statement-canceled" {
		t.Errorf("%+v", p)
	}
}

func TestResultThatIsTooLargeToBeKept(t *testing.T) {
	t.Parallel()
	g := onASpool(t, spool.Config{BytesPerStatement: 100000, BlockSize: 4 << 10})
	id := start(t, g, "select long")
	document := g.do("GET", "/v1/statements/"+id+"?wait=10s", "ann", "").document(t)
	failure, _ := document["error"].(map[string]any)
	if document["status"] != "FAILED" || failure["type"] != "urn:shiftgrant:problem:result-too-large" && failure["type"] != "result-too-large" {
		t.Errorf("%v", document)
	}
	if p := g.do("GET", "/v1/statements/"+id+"/rows", "ann", "").problem(t); p.Status != 422 || !strings.Contains(p.Detail, "100000 bytes") || !strings.Contains(p.Detail, "/v1/query") {
		t.Errorf("%+v", p)
	}
	got := g.do("POST", "/v1/statements", "ann", `{"sql":"select long","max_rows":100}`)
	if got.StatusCode != 200 || !strings.HasSuffix(got.body, `"row_count":100,"truncated":true,"limit":"max_rows","complete":true}`+"\n") {
		t.Errorf("a smaller one: %d …%s", got.StatusCode, got.body[max(0, len(got.body)-120):])
	}
}

func TestFailureInTheBackgroundTellsNothingOfAWS(t *testing.T) {
	t.Parallel()
	g := onASpool(t, spool.Config{})
	g.cluster.failures["select x"] = &redshift.AccessError{Err: errors.New("arn:aws:iam::1:role/x is not trusted")}
	document := g.do("GET", "/v1/statements/"+start(t, g, "select x")+"?wait=10s", "ann", "").document(t)
	failure, _ := document["error"].(map[string]any)
	if document["status"] != "FAILED" || failure["title"] != "The gateway got no access to the warehouse" {
		t.Errorf("%v", document)
	}
}

func TestRequestIDsWhenTheGatewayWasRestarted(t *testing.T) {
	t.Parallel()
	body := `{"sql":"select 1","request_id":"r"}`
	for name, c := range map[string]struct {
		change func(*store.Statement)
		status int
		kind   string
		ran    int
	}{
		"of this gateway":                 {func(s *store.Statement) {}, 200, "", 1},
		"never submitted by this gateway": {func(s *store.Statement) { s.RemoteID = "" }, 200, "", 1},
		"of one before":                   {func(s *store.Statement) { s.RemoteID = "GONE" }, 410, "statement-gone", 1},
		"perhaps submitted by the one before": {func(s *store.Statement) {
			s.RemoteID, s.RequestID = "", "r2"
			s.CreatedAt = s.CreatedAt.Add(-time.Hour)
		}, 409, "statement-lost", 1},
	} {
		g := onASpool(t, spool.Config{})
		if got := g.do("POST", "/v1/statements", "ann", body); got.StatusCode != 200 {
			t.Fatalf("%d %s", got.StatusCode, got.body)
		}
		g.statements.change(c.change)
		request := body
		for _, row := range g.statements.rows {
			request = strings.Replace(body, `"r"`, `"`+row.RequestID+`"`, 1)
		}
		got := g.do("POST", "/v1/statements", "ann", request)
		if got.StatusCode != c.status || c.kind != "" && got.problem(t).Type != c.kind {
			t.Errorf("%s: %d %s", name, got.StatusCode, got.body)
		}
		if ran := len(g.cluster.statements()); ran != c.ran {
			t.Errorf("%s: ran %d times", name, ran)
		}
	}
}
