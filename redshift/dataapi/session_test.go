package dataapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func text(s string) *string { return &s }

func query(t *testing.T, s *Session, sql string, parameters ...redshift.Parameter) redshift.Rows {
	t.Helper()
	rows, err := s.Query(t.Context(), redshift.Statement{SQL: sql, Parameters: parameters})
	if err != nil {
		t.Fatalf("query %s: %v", sql, err)
	}
	return rows
}

func TestSmallSelectIsExactlyTwoCalls(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]answer{
		"ExecuteStatement":     {submitted},
		"GetStatementResultV2": {csvPage("", 4, "id,name\n1,Ann\n2,\n", "3,\"\"\n4,\"a \"\"b\"\",\nc\"\n")},
	})
	rows := query(t, f.session(), "select id, name from people")
	wantColumns := []redshift.Column{
		{Name: "id", Type: redshift.Type{Kind: redshift.Integer, Name: "int4"}},
		{Name: "name", Type: redshift.Type{Kind: redshift.Text, Name: "varchar", Length: 20}},
	}
	if diff := cmp.Diff(wantColumns, rows.Columns()); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"1|Ann", "2|∅", "3|", "4|a \"b\",\nc"}, all(t, rows)); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if got, want := f.ops(), "ExecuteStatement GetStatementResultV2"; got != want {
		t.Errorf("calls %s, want %s", got, want)
	}
	if _, waits := f.call(0).body["WaitTimeSeconds"]; waits {
		t.Error("ExecuteStatement waits; the wait belongs to the result")
	}
	if got := f.call(1).body["WaitTimeSeconds"]; got != 30.0 {
		t.Errorf("the result waits %v seconds, want 30", got)
	}
	if got := rows.Summary(); got.RowCount != 4 || got.RowsAffected != -1 {
		t.Errorf("summary %+v", got)
	}
}

func TestExecuteSendsWhatTheWarehouseNeeds(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		change func(*Config)
		want   map[string]any
	}{
		"cluster": {func(*Config) {}, map[string]any{
			"ClusterIdentifier": "tickit", "Database": "dev", "DbUser": "alice", "ResultFormat": "CSV",
		}},
		"workgroup, where the database user is the role": {func(c *Config) { c.Cluster, c.Workgroup = "", "wg" }, map[string]any{
			"WorkgroupName": "wg", "Database": "dev", "ResultFormat": "CSV",
		}},
		"JSON": {asJSON, map[string]any{
			"ClusterIdentifier": "tickit", "Database": "dev", "DbUser": "alice", "ResultFormat": "JSON",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, map[string][]answer{"ExecuteStatement": {submitted}})
			statement := redshift.Statement{
				SQL: "insert into t values (:a, :b, :c)", Label: "gw:1", IdempotencyKey: "key-1",
				Parameters: []redshift.Parameter{{Name: "a", Value: text("1")}, {Name: "b"}, {Name: "c", Value: text("")}},
			}
			id, err := f.session(row.change).Submit(t.Context(), statement)
			if err != nil || id != statementID {
				t.Fatalf("Submit = %q, %v", id, err)
			}
			row.want["Sql"] = "insert into t values (:a,  NULL ,  '' )"
			row.want["Parameters"] = []any{map[string]any{"name": "a", "value": "1"}}
			row.want["StatementName"] = "gw:1"
			row.want["ClientToken"] = "key-1"
			if diff := cmp.Diff(row.want, f.call(0).body); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStatementWithoutResultGivesRowsAffected(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]answer{
		"ExecuteStatement":  {submitted},
		"DescribeStatement": {state(redshift.Started, ""), state(redshift.Finished, `,"HasResultSet":false,"ResultRows":3,"ResultSize":0`)},
	})
	rows := query(t, f.session(), "delete from t")
	if got := all(t, rows); len(got) > 0 || len(rows.Columns()) > 0 {
		t.Errorf("rows %q, columns %v; want none", got, rows.Columns())
	}
	want := redshift.Summary{RowsAffected: 3, Duration: 5 * time.Millisecond, QueryID: 42}
	if got := rows.Summary(); got != want {
		t.Errorf("summary %+v, want %+v", got, want)
	}
	if got, want := f.ops(), "ExecuteStatement DescribeStatement DescribeStatement"; got != want {
		t.Errorf("calls %s, want %s", got, want)
	}
}

func TestSlowSelectIsDescribedUntilItsRowsAreThere(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]answer{
		"ExecuteStatement":     {submitted},
		"GetStatementResultV2": {noResult, csvPage("", 1, "id,name\n1,Ann\n")},
		"DescribeStatement":    {state(redshift.Started, ""), state(redshift.Finished, `,"HasResultSet":true,"ResultRows":1`)},
	})
	rows := query(t, f.session(), "select 1")
	if got := all(t, rows); len(got) != 1 {
		t.Errorf("rows %q", got)
	}
	if got, want := f.ops(), "ExecuteStatement GetStatementResultV2 DescribeStatement DescribeStatement GetStatementResultV2"; got != want {
		t.Errorf("calls %s, want %s", got, want)
	}
	if got := rows.Summary(); got.QueryID != 42 || got.Duration != 5*time.Millisecond {
		t.Errorf("summary %+v lacks what DescribeStatement told", got)
	}
}

func TestAnswerOfExecuteSavesCalls(t *testing.T) {
	t.Parallel()
	finished := func(more string) answer {
		return answer{body: `{"Id":"` + statementID + `","Status":"FINISHED"` + more + `}`}
	}
	f := newFake(t, map[string][]answer{
		"ExecuteStatement":     {finished(`,"HasResultSet":true`)},
		"GetStatementResultV2": {csvPage("", 1, "id,name\n1,Ann\n")},
	})
	all(t, query(t, f.session(), "call procedure_with_a_result()"))
	if got, want := f.ops(), "ExecuteStatement GetStatementResultV2"; got != want {
		t.Errorf("calls %s, want %s", got, want)
	}
	f = newFake(t, map[string][]answer{
		"ExecuteStatement":  {finished("")},
		"DescribeStatement": {state(redshift.Finished, `,"ResultRows":0`)},
	})
	all(t, query(t, f.session(), "select set_something()"))
	if got, want := f.ops(), "ExecuteStatement DescribeStatement"; got != want {
		t.Errorf("calls %s, want %s", got, want)
	}
}

func TestFailureOfTheSQLIsRedshiftsError(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]answer{
		"ExecuteStatement":     {submitted},
		"GetStatementResultV2": {noResult},
		"DescribeStatement":    {state(redshift.Failed, `,"Error":"ERROR: permission denied for schema finance"`)},
	})
	_, err := f.session().Query(t.Context(), redshift.Statement{SQL: "select * from finance.commission_ledger"})
	var refusal *redshift.Error
	if !errors.As(err, &refusal) {
		t.Fatalf("error %v, want a *redshift.Error", err)
	}
	want := redshift.Error{SQLState: "42501", Message: "permission denied for schema finance"}
	if *refusal != want {
		t.Errorf("error %+v, want %+v", *refusal, want)
	}
	if strings.Contains(f.ops(), "CancelStatement") {
		t.Error("a failed statement was cancelled")
	}
}

func TestAbortedStatementIsErrCanceled(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]answer{
		"ExecuteStatement":     {submitted},
		"GetStatementResultV2": {noResult},
		"DescribeStatement":    {state(redshift.Aborted, "")},
	})
	if _, err := f.session().Query(t.Context(), redshift.Statement{SQL: "select 1"}); !errors.Is(err, redshift.ErrCanceled) {
		t.Errorf("error %v, want ErrCanceled", err)
	}
}

func TestNextPageIsFetchedBeforeItIsAskedFor(t *testing.T) {
	t.Parallel()
	second := make(chan struct{})
	page2 := csvPage("", 4, "3,c\n4,d\n")
	page2.during = func(*http.Request) { close(second) }
	f := newFake(t, map[string][]answer{
		"ExecuteStatement":     {submitted},
		"GetStatementResultV2": {csvPage("t1", 4, "id,name\n1,a\n2,b\n"), page2},
	})
	rows := query(t, f.session(), "select 1")
	select { // no row was read yet
	case <-second:
	case <-time.After(10 * time.Second):
		t.Fatal("the second page was not asked for")
	}
	if diff := cmp.Diff([]string{"1|a", "2|b", "3|c", "4|d"}, all(t, rows)); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if got := f.call(2).body["NextToken"]; got != "t1" {
		t.Errorf("NextToken %v, want t1", got)
	}
}

func TestPagesStayOneAhead(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]answer{
		"ExecuteStatement": {submitted},
		"GetStatementResultV2": {
			csvPage("t1", 5, "id,name\n1,a\n"), csvPage("t2", 5, "2,b\n"), csvPage("t3", 5), csvPage("", 5, "3,c\n", "4,d", "5,e\n"),
		},
	})
	s := f.session()
	rows := query(t, s, "select 1")
	if !rows.Next() {
		t.Fatal(rows.Err())
	}
	s.tasks.Wait() // what was begun by itself has ended
	if got := strings.Count(f.ops(), "GetStatementResultV2"); got != 2 {
		t.Errorf("%d pages were fetched while the first was read, want 2", got)
	}
	if diff := cmp.Diff([]string{"2|b", "3|c", "4|d", "5|e"}, all(t, rows)); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func TestResultThatIsCutIsAnError(t *testing.T) {
	t.Parallel()
	for name, pages := range map[string][]answer{
		"fewer rows than announced": {csvPage("", 3, "id,name\n1,a\n2,b\n")},
		"a failing page":            {csvPage("t1", 3, "id,name\n1,a\n2,b\n"), fault(400, "ValidationException", "the token is not valid")},
		"a page that is no JSON":    {csvPage("t1", 3, "id,name\n1,a\n2,b\n"), {body: `{"Records":[{"CSVRecords":"3,`}},
		"a page that repeats":       {csvPage("t1", 9, "id,name\n1,a\n2,b\n"), csvPage("t1", 9, "1,a\n")},
		"a row with too few fields": {csvPage("", 3, "id,name\n1,a\n2,b\n3\n")},
		"a row with too many":       {csvPage("", 3, "id,name\n1,a\n2,b\n3,c,d\n")},
		"an open quote":             {csvPage("", 3, "id,name\n1,a\n2,b\n3,\"c\n")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, map[string][]answer{"ExecuteStatement": {submitted}, "GetStatementResultV2": pages})
			rows := query(t, f.session(), "select 1")
			count := 0
			for rows.Next() {
				count++
			}
			if count != 2 || rows.Err() == nil {
				t.Errorf("%d rows and error %v, want 2 rows and an error", count, rows.Err())
			}
		})
	}
}

func TestFirstLineHasToBeTheHeader(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]answer{
		"ExecuteStatement": {submitted}, "GetStatementResultV2": {csvPage("", 1, "1,Ann\n")}, "CancelStatement": {{body: `{"Status":true}`}},
	})
	if _, err := f.session().Query(t.Context(), redshift.Statement{SQL: "select 1"}); err == nil || !strings.Contains(err.Error(), "header") {
		t.Errorf("error %v, want one about the header", err)
	}
}

func TestEmptyResultHasColumns(t *testing.T) {
	t.Parallel()
	for _, page := range []answer{csvPage("", 0), csvPage("", 0, "id,name\n"), csvPage("", 0, "")} {
		f := newFake(t, map[string][]answer{"ExecuteStatement": {submitted}, "GetStatementResultV2": {page}})
		rows := query(t, f.session(), "select 1")
		if got := all(t, rows); len(got) != 0 || len(rows.Columns()) != 2 {
			t.Errorf("rows %q, columns %v", got, rows.Columns())
		}
	}
}

func TestJSONFormatReadsTheFieldUnion(t *testing.T) {
	t.Parallel()
	page := answer{body: `{"ColumnMetadata":[
		{"label":"i","typeName":"int8"},{"label":"n","typeName":"numeric","precision":10,"scale":2},{"label":"d","typeName":"float8"},
		{"label":"b","typeName":"bool"},{"label":"s","typeName":"varchar"},{"label":"v","typeName":"varbyte"}],
		"Records":[
		[{"longValue":9007199254740993},{"stringValue":"12.50"},{"doubleValue":1.5E-3},{"booleanValue":true},{"stringValue":"a\n\"\u00e9\ud83d\ude00"},{"blobValue":"AP8="}],
		[{"isNull":true},{"isNull":true},{"doubleValue":"NaN"},{"booleanValue":false},{"stringValue":""},{"isNull":true}]],"TotalNumRows":2}`}
	f := newFake(t, map[string][]answer{"ExecuteStatement": {submitted}, "GetStatementResult": {page}})
	rows := query(t, f.session(asJSON), "select 1")
	want := []string{"9007199254740993|12.50|1.5E-3|true|a\n\"é😀|00ff", "∅|∅|NaN|false||∅"}
	if diff := cmp.Diff(want, all(t, rows)); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if got := rows.Columns()[1].Type; got != (redshift.Type{Kind: redshift.Numeric, Name: "numeric", Precision: 10, Scale: 2}) {
		t.Errorf("type %+v", got)
	}
}

func TestThrottledCallIsRepeatedWithTheSameClientToken(t *testing.T) {
	t.Parallel()
	drop := answer{during: func(*http.Request) { panic(http.ErrAbortHandler) }} // the connection breaks
	f := newFake(t, map[string][]answer{
		"ExecuteStatement": {
			{status: 400, body: `{"__type":"ThrottlingException","message":"Rate exceeded"}`},
			{status: 500, header: http.Header{"X-Amzn-Errortype": {"InternalServerException:http://internal"}}, body: `{"Message":"oops"}`},
			{status: 503, body: "<html>no JSON</html>"},
			fault(400, "ActiveStatementsExceededException", "too many"),
			drop,
			submitted,
		},
		"GetStatementResultV2": {fault(400, "ThrottlingException", "Rate exceeded"), csvPage("", 1, "id,name\n1,Ann\n")},
	})
	if got := all(t, query(t, f.session(), "select 1")); len(got) != 1 {
		t.Errorf("rows %q", got)
	}
	token, _ := f.call(0).body["ClientToken"].(string)
	if len(token) == 0 || len(token) > 64 {
		t.Errorf("ClientToken %q", token)
	}
	for n := range 6 {
		if got := f.call(n).body["ClientToken"]; got != token {
			t.Errorf("attempt %d has ClientToken %v, the first %v", n+1, got, token)
		}
	}
}

func TestEndlessThrottlingIsABusyError(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]answer{"ExecuteStatement": {fault(400, "ThrottlingException", "Rate exceeded")}})
	_, err := f.session().Query(t.Context(), redshift.Statement{SQL: "select 1"})
	var busy *redshift.BusyError
	if !errors.As(err, &busy) {
		t.Fatalf("error %v, want a *redshift.BusyError", err)
	}
	if busy.RetryAfter < time.Second || !strings.Contains(busy.Limit, "30 ExecuteStatement calls a second") {
		t.Errorf("error %+v", busy)
	}
	if calls := strings.Count(f.ops(), "ExecuteStatement"); calls < 3 || calls > 20 {
		t.Errorf("%d attempts", calls)
	}
}

func TestBusyAfterExecutionDoesNotPromiseThatNothingRan(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]answer{
		"ExecuteStatement":     {submitted},
		"GetStatementResultV2": {fault(400, "ThrottlingException", "Rate exceeded")},
		"CancelStatement":      {{body: `{"Status":true}`}},
	})
	_, err := f.session(func(c *Config) { c.RetryBudget = time.Second }).Query(t.Context(), redshift.Statement{SQL: "select 1"})
	var busy *redshift.BusyError
	if err == nil || errors.As(err, &busy) {
		t.Errorf("error %v, want one that is no BusyError", err)
	}
}

func TestRefusedCredentialsAreRenewedOnce(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"ExpiredTokenException", "UnrecognizedClientException", "InvalidSignatureException"} {
		f := newFake(t, map[string][]answer{
			"ExecuteStatement":     {fault(403, code, "no"), submitted},
			"GetStatementResultV2": {csvPage("", 0, "id,name\n")},
		})
		provider := func(c *Config) { c.Credentials = &changing{} }
		all(t, query(t, f.session(provider), "select 1"))
		if first, second := f.call(0).key, f.call(1).key; first != "ASIA0" || second != "ASIA1" {
			t.Errorf("%s: signed by %s, then by %s", code, first, second)
		}

		f = newFake(t, map[string][]answer{"ExecuteStatement": {fault(403, code, "no")}})
		_, err := f.session(provider).Query(t.Context(), redshift.Statement{SQL: "select 1"})
		var access *redshift.AccessError
		if !errors.As(err, &access) || access.Code != code {
			t.Errorf("error %v, want an AccessError with %s", err, code)
		}
		if got, want := f.ops(), "ExecuteStatement ExecuteStatement"; got != want {
			t.Errorf("calls %s, want %s", got, want)
		}
	}
}

// What the Data API documents, by aws.md §5.6: each is told in words, with a remedy where somebody can
// mend it, and costs no more calls than it may.
func TestEveryRefusalHasWords(t *testing.T) {
	t.Parallel()
	const once, twice, again = "ExecuteStatement", "ExecuteStatement ExecuteStatement", "until the patience ends"
	for _, c := range []struct {
		code   string
		status int
		calls  string
		says   string
	}{
		{"ValidationException", 400, once, "check the cluster or workgroup"},
		{"ActiveStatementsExceededException", 400, again, "500 running statements in the warehouse"},
		{"ActiveSessionsExceededException", 400, again, "500 sessions in the warehouse"},
		{"ActiveWaitingRequestsExceededException", 400, again, "waiting requests"},
		{"QueryTimeoutException", 400, once, "is it busy?"},
		{"ThrottlingException", 400, again, "30 ExecuteStatement calls a second"},
		{"ResourceNotFoundException", 404, once, "for a day"},
		{"AccessDeniedException", 400, twice, "redshift-data:ExecuteStatement"},
		{"ExpiredTokenException", 403, twice, "this machine's clock"},
		{"InvalidSignatureException", 403, twice, "the region"},
		{"UnrecognizedClientException", 403, twice, "the role still exists"},
		{"ExecuteStatementException", 500, again, "is the warehouse available"},
		{"BatchExecuteStatementException", 500, again, "is the warehouse available"},
		{"DatabaseConnectionException", 500, again, "paused, resizing?"},
		{"InternalServerException", 500, again, "try again in a moment"},
	} {
		t.Run(c.code, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, map[string][]answer{"ExecuteStatement": {fault(c.status, c.code, "no")}})
			_, err := f.session(func(c *Config) { c.Credentials, c.RetryBudget = &changing{}, time.Second }).Query(t.Context(), redshift.Statement{SQL: "select 1"})
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want words about %q", err, c.says)
			}
			if calls := f.ops(); c.calls != again && calls != c.calls || c.calls == again && calls == once {
				t.Errorf("calls %s, want %s", calls, c.calls)
			}
		})
	}
}

// AWS ends the sessions of a role by denying those who have old credentials.
func TestDeniedAccessIsTriedWithNewCredentials(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]answer{
		"ExecuteStatement":     {fault(400, "AccessDeniedException", "an explicit deny"), submitted},
		"GetStatementResultV2": {csvPage("", 0, "id,name\n")},
	})
	all(t, query(t, f.session(func(c *Config) { c.Credentials = &changing{} }), "select 1"))
	if first, second := f.call(0).key, f.call(1).key; first != "ASIA0" || second != "ASIA1" {
		t.Errorf("signed by %s, then by %s", first, second)
	}
}

func TestDeniedAccessCostsNewCredentialsOnce(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]answer{"ExecuteStatement": {fault(400, "AccessDeniedException", "User is not authorized")}})
	session := f.session(func(c *Config) { c.Credentials = &changing{} })
	for range 3 {
		_, err := session.Query(t.Context(), redshift.Statement{SQL: "select 1"})
		if access, ok := errors.AsType[*redshift.AccessError](err); !ok || access.Code != "AccessDeniedException" {
			t.Errorf("error %v", err)
		}
	}
	if got, want := f.ops(), strings.TrimSpace(strings.Repeat("ExecuteStatement ", 4)); got != want {
		t.Errorf("calls %s, want %s", got, want)
	}
	if last := f.call(3).key; last != "ASIA1" {
		t.Errorf("the last was signed by %s", last)
	}
}

func TestStatementIsCancelledWhenItsCallerGoesAway(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	slow := answer{during: func(r *http.Request) { cancel(); <-r.Context().Done() }}
	f := newFake(t, map[string][]answer{
		"ExecuteStatement": {submitted}, "GetStatementResultV2": {slow}, "CancelStatement": {{body: `{"Status":true}`}},
	})
	s := f.session()
	if _, err := s.Query(ctx, redshift.Statement{SQL: "select 1"}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	s.Close()
	if got := f.call(2); got.op != "CancelStatement" || got.body["Id"] != statementID {
		t.Errorf("last call %+v, want CancelStatement", got)
	}
}

func TestStatementIsCancelledWhenItsCallerGoesAwayBeforeItHasAnID(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan struct{})
	late := submitted
	late.during = func(*http.Request) { cancel(); <-answered }
	f := newFake(t, map[string][]answer{"ExecuteStatement": {late}, "CancelStatement": {{body: `{"Status":true}`}}})
	s := f.session()
	if _, err := s.Query(ctx, redshift.Statement{SQL: "delete from t"}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	close(answered)
	s.Close()
	if got := f.ops(); got != "ExecuteStatement CancelStatement" {
		t.Errorf("calls %s", got)
	}
}

func TestSubmissionWithAKeyIsLeftToWhoSubmitsItAgain(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan struct{})
	late := submitted
	late.during = func(*http.Request) { cancel(); <-answered }
	f := newFake(t, map[string][]answer{"ExecuteStatement": {late}})
	s := f.session()
	if _, err := s.Submit(ctx, redshift.Statement{SQL: "delete from t", IdempotencyKey: "k"}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	close(answered)
	s.Close()
	if got := f.ops(); got != "ExecuteStatement" {
		t.Errorf("calls %s", got)
	}
}

func TestCloseCancelsRunningQueries(t *testing.T) {
	t.Parallel()
	waiting := make(chan struct{})
	slow := answer{during: func(r *http.Request) { close(waiting); <-r.Context().Done() }}
	f := newFake(t, map[string][]answer{
		"ExecuteStatement": {submitted}, "GetStatementResultV2": {slow}, "CancelStatement": {{body: `{"Status":true}`}},
	})
	s := f.session()
	failed := make(chan error, 1)
	go func() {
		_, err := s.Query(t.Context(), redshift.Statement{SQL: "select 1"})
		failed <- err
	}()
	<-waiting
	s.Close()
	if got := f.ops(); got != "ExecuteStatement GetStatementResultV2 CancelStatement" {
		t.Errorf("calls %s", got)
	}
	if err := <-failed; !errors.Is(err, errClosed) {
		t.Errorf("error %v, want errClosed", err)
	}
	if _, err := s.Query(t.Context(), redshift.Statement{SQL: "select 1"}); !errors.Is(err, errClosed) {
		t.Errorf("error %v, want errClosed", err)
	}
}

func TestClosingRowsEndsFetchingAndCancelsNothing(t *testing.T) {
	t.Parallel()
	page2 := answer{during: func(r *http.Request) { <-r.Context().Done() }}
	f := newFake(t, map[string][]answer{
		"ExecuteStatement":     {submitted},
		"GetStatementResultV2": {csvPage("t1", 4, "id,name\n1,a\n2,b\n"), page2},
	})
	s := f.session()
	rows := query(t, s, "select 1")
	if !rows.Next() {
		t.Fatal(rows.Err())
	}
	rows.Close()
	rows.Close()
	if rows.Next() || rows.Err() != nil {
		t.Errorf("closed rows go on, or have error %v", rows.Err())
	}
	s.Close()
	if strings.Contains(f.ops(), "CancelStatement") {
		t.Error("a finished statement was cancelled")
	}
}

func TestFetchWaitsAsLongAsItIsTold(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]answer{
		"GetStatementResultV2": {noResult}, "DescribeStatement": {state(redshift.Started, "")},
	})
	if _, err := f.session().Fetch(t.Context(), statementID, 0); !errors.Is(err, redshift.ErrRunning) {
		t.Errorf("error %v, want ErrRunning", err)
	}
	if _, waits := f.call(0).body["WaitTimeSeconds"]; waits {
		t.Error("a fetch without wait waits")
	}
	now := time.Unix(0, 0)
	f = newFake(t, map[string][]answer{"GetStatementResultV2": {csvPage("", 0, "id,name\n")}})
	rows, err := f.session(func(c *Config) { c.Now = func() time.Time { return now } }).Fetch(t.Context(), statementID, 1500*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	all(t, rows)
	if got := f.call(0).body["WaitTimeSeconds"]; got != 2.0 {
		t.Errorf("WaitTimeSeconds %v, want 2", got)
	}
}

func TestDescribeTellsTheState(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]answer{"DescribeStatement": {state(redshift.Failed,
		`,"Error":"ERROR: syntax error at or near \"selec\"\n  Position: 1","CreatedAt":1.5983231755E9,"UpdatedAt":1598323176`)}})
	got, err := f.session().Describe(t.Context(), statementID, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := redshift.Execution{
		ID: statementID, State: redshift.Failed, RowCount: -1, Bytes: -1, Duration: 5 * time.Millisecond, QueryID: 42,
		Error:     &redshift.Error{SQLState: "42601", Message: `syntax error at or near "selec"`, Position: 1},
		CreatedAt: time.Unix(1598323175, 5e8).UTC(), UpdatedAt: time.Unix(1598323176, 0).UTC(),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("execution (-want +got):\n%s", diff)
	}
}

func TestUnknownStatementIsErrNotFound(t *testing.T) {
	t.Parallel()
	gone := fault(404, "ResourceNotFoundException", "Query does not exist.")
	f := newFake(t, map[string][]answer{"GetStatementResultV2": {gone}, "DescribeStatement": {gone}, "CancelStatement": {gone}})
	s := f.session()
	for _, id := range []string{statementID, "x", "", "../" + statementID} {
		_, fetchErr := s.Fetch(t.Context(), id, 0)
		_, describeErr := s.Describe(t.Context(), id, 0)
		for verb, err := range map[string]error{"fetch": fetchErr, "describe": describeErr, "cancel": s.Cancel(t.Context(), id)} {
			if !errors.Is(err, redshift.ErrNotFound) {
				t.Errorf("%s %q: %v, want ErrNotFound", verb, id, err)
			}
		}
	}
}

func TestCancellingAFinishedStatementIsNoError(t *testing.T) {
	t.Parallel()
	refused := fault(400, "ValidationException", "Could not cancel a query that is already in FINISHED state.")
	f := newFake(t, map[string][]answer{"CancelStatement": {refused}, "DescribeStatement": {state(redshift.Finished, "")}})
	if err := f.session().Cancel(t.Context(), statementID); err != nil {
		t.Error(err)
	}
	f = newFake(t, map[string][]answer{"CancelStatement": {refused}, "DescribeStatement": {state(redshift.Started, "")}})
	if err := f.session().Cancel(t.Context(), statementID); err == nil {
		t.Error("a statement that goes on was reported as cancelled")
	}
	f = newFake(t, map[string][]answer{"CancelStatement": {{body: `{"Status":true}`}}})
	if err := f.session().Cancel(t.Context(), statementID); err != nil {
		t.Error(err)
	}
}

func TestOtherRefusalsTellTheirCode(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]answer{"ExecuteStatement": {{
		status: 400, body: `{"__type":"com.amazonaws.redshiftdata#ValidationException","Message":"Cluster tickit was not found"}`,
		header: http.Header{"X-Amzn-Requestid": {"r-1"}},
	}}})
	_, err := f.session().Submit(t.Context(), redshift.Statement{SQL: "select 1"})
	var got *ServiceError
	if !errors.As(err, &got) {
		t.Fatalf("error %v, want a *ServiceError", err)
	}
	want := ServiceError{Operation: "ExecuteStatement", Code: "ValidationException", Message: "Cluster tickit was not found", Status: 400, RequestID: "r-1"}
	if *got != want {
		t.Errorf("error %+v, want %+v", *got, want)
	}
}

func TestInvalidConfigurationIsToldByEveryMethod(t *testing.T) {
	t.Parallel()
	good := Config{Region: "us-east-1", Cluster: "c", Database: "dev", Credentials: identity.Static("a", "b", "", "")}
	for name, change := range map[string]func(*Config){
		"no warehouse":   func(c *Config) { c.Cluster = "" },
		"two warehouses": func(c *Config) { c.Workgroup = "w" },
		"no database":    func(c *Config) { c.Database = "" },
		"no credentials": func(c *Config) { c.Credentials = nil },
		"bad region":     func(c *Config) { c.Region = "evil.example.com/" },
		"bad endpoint":   func(c *Config) { c.Endpoint = "localhost:7422" },
		"bad format":     func(c *Config) { c.ResultFormat = "arrow" },
	} {
		config := good
		change(&config)
		s := New(config)
		if _, err := s.Query(t.Context(), redshift.Statement{SQL: "select 1"}); err == nil || err.Error() != config.Validate().Error() {
			t.Errorf("%s: error %v, want %v", name, err, config.Validate())
		}
	}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
}

// recorder keeps the bytes of a request and answers that it was taken.
type recorder struct{ sent []byte }

func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	var err error
	if r.sent, err = httputil.DumpRequestOut(request, true); err != nil {
		return nil, err
	}
	w := newResponse(submitted.body)
	w.Request = request
	return w, nil
}

func newResponse(body string) *http.Response {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: readCloser{strings.NewReader(body)}, ContentLength: int64(len(body))}
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

func TestRequestBytes(t *testing.T) {
	t.Parallel()
	var recorded recorder
	s := New(Config{
		Region: "us-east-1", Cluster: "tickit", Database: "dev", HTTPClient: &http.Client{Transport: &recorded},
		Credentials: identity.Static("ASIAEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "session-token", "alice"),
		Now:         func() time.Time { return time.Date(2026, 11, 23, 13, 0, 0, 0, time.UTC) },
	})
	defer s.Close()
	_, err := s.Submit(t.Context(), redshift.Statement{
		SQL: "select :a < 2 -- é", Label: "gw:req_1", IdempotencyKey: "key",
		Parameters: []redshift.Parameter{{Name: "a", Value: text("1")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	golden, err := os.ReadFile("testdata/execute.http")
	if err != nil {
		t.Fatal(err)
	}
	got := bytes.ReplaceAll(recorded.sent, []byte("\r\n"), []byte("\n"))
	got = bytes.Replace(got, []byte("Accept-Encoding: gzip\n"), nil, 1) // DumpRequestOut's own
	if diff := cmp.Diff(string(golden), string(got)+"\n"); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

func TestServerThatDoesNotWaitIsNotAskedInALoop(t *testing.T) {
	t.Parallel()
	running := state(redshift.Started, "")
	f := newFake(t, map[string][]answer{
		"ExecuteStatement":  {submitted},
		"DescribeStatement": {running, running, running, state(redshift.Finished, `,"ResultRows":0`)},
	})
	s := f.session()
	pauses := 0
	s.pause = func(_ context.Context, wait time.Duration) error {
		if pauses++; wait < firstPause/2 {
			t.Errorf("a pause of %s", wait)
		}
		return nil
	}
	all(t, query(t, s, "delete from t"))
	if pauses != 3 {
		t.Errorf("%d pauses between 4 answers, want 3", pauses)
	}
}

func TestAnswerThatIsTooLargeIsRefusedBeforeItIsRead(t *testing.T) {
	t.Parallel()
	if _, err := readAnswer(nil, strings.NewReader(""), answerLimit+1); !errors.Is(err, errAnswerTooLarge) {
		t.Errorf("announced: error %v", err)
	}
	endless := io.LimitReader(zeros{}, 2*answerLimit)
	if _, err := readAnswer(nil, endless, -1); !errors.Is(err, errAnswerTooLarge) {
		t.Errorf("not announced: error %v", err)
	}
	for _, announced := range []int64{-1, 0, 3, 100_000} {
		body := strings.Repeat("x", 100_000)
		got, err := readAnswer(make([]byte, 0, 10), strings.NewReader(body), announced)
		if err != nil || string(got) != body {
			t.Errorf("announced %d: %d bytes, %v", announced, len(got), err)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestUntrustedServerIsNotAskedTwice(t *testing.T) {
	t.Parallel()
	connections := 0
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections++
		}
	}
	server.StartTLS()
	f := newFake(t, nil)
	client := NewHTTPClient()
	s := f.session(func(c *Config) { c.Endpoint, c.HTTPClient = server.URL, client })
	_, err := s.Submit(t.Context(), redshift.Statement{SQL: "select 1"})
	server.Close()
	if err == nil || !strings.Contains(err.Error(), "certificate") || connections != 1 {
		t.Errorf("error %v after %d connections", err, connections)
	}
}
