package dataapi_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/twin/dataapi"
)

func TestASessionKeepsItsState(t *testing.T) {
	t.Parallel()
	alice := newAPI(t, nil)
	first := alice.call("ExecuteStatement", alice.sql("create temp table t as select 42 as n", in{"SessionKeepAliveSeconds": 60}))
	inside := in{"SessionId": first["SessionId"], "ClusterIdentifier": nil, "Database": nil, "DbUser": nil}
	if got := alice.value("select n from t", inside)["longValue"]; got != 42.0 {
		t.Errorf("got %v", got)
	}
	// A failure does not end it, and other people cannot get in.
	if d := alice.run("select n from nowhere", inside); d["Status"] != "FAILED" {
		t.Errorf("got %v", d)
	}
	alice.as("bob").refused(http.StatusBadRequest, "AccessDeniedException", "ExecuteStatement", alice.sql("select n from t", inside))
	alice.as("stranger").refused(http.StatusNotFound, "ResourceNotFoundException", "ExecuteStatement", alice.sql("select n from t", inside))
	elsewhere := alice.sql("select 1", in{"SessionId": first["SessionId"], "Database": "postgres"})
	alice.refused(http.StatusBadRequest, "ValidationException", "ExecuteStatement", elsewhere)

	sessions := alice.call("ListSessions", in{"SessionId": first["SessionId"]})["Sessions"].([]any)
	if len(sessions) != 1 || sessions[0].(map[string]any)["Status"] != "AVAILABLE" || sessions[0].(map[string]any)["DbUser"] != "alice" {
		t.Errorf("listed as %v", sessions)
	}
	// 0 seconds end it with this statement.
	inside["SessionKeepAliveSeconds"] = 0
	alice.value("select n from t", inside)
	alice.refused(http.StatusBadRequest, "ValidationException", "ExecuteStatement", alice.sql("select n from t", inside))
	if closed := alice.call("ListSessions", in{"Status": "CLOSED"})["Sessions"].([]any); len(closed) != 1 {
		t.Errorf("closed are %v", closed)
	}
}

func TestABusySessionQueuesNothing(t *testing.T) {
	t.Parallel()
	alice := newAPI(t, nil)
	key, release := lock(t, 7)
	first := alice.call("ExecuteStatement", alice.sql("select pg_advisory_lock(7)", in{"SessionKeepAliveSeconds": 60, "WaitTimeSeconds": nil}))
	inside := in{"SessionId": first["SessionId"], "ClusterIdentifier": nil, "Database": nil, "DbUser": nil}
	message := alice.refused(http.StatusBadRequest, "ValidationException", "ExecuteStatement", alice.sql("select 1", inside))
	if !strings.Contains(message, "busy") {
		t.Errorf("says %q", message)
	}
	busy := alice.call("ListSessions", in{"Status": "BUSY"})["Sessions"].([]any)
	if len(busy) != 1 || busy[0].(map[string]any)["CurrentStatementId"] != first["Id"] {
		t.Errorf("busy are %v", busy)
	}
	release(key)
	alice.call("DescribeStatement", in{"Id": first["Id"], "WaitTimeSeconds": 30})
	if got := alice.value("select 1", inside)["longValue"]; got != 1.0 {
		t.Errorf("got %v", got)
	}
}

func TestACancelledStatementLeavesItsSessionUsable(t *testing.T) {
	t.Parallel()
	alice := newAPI(t, nil)
	_, _ = lock(t, 8)
	first := alice.call("ExecuteStatement", alice.sql("select pg_advisory_lock(8)", in{"SessionKeepAliveSeconds": 60, "WaitTimeSeconds": nil}))
	await(t, func() any {
		if d := alice.call("DescribeStatement", in{"Id": first["Id"]}); d["Status"] != "STARTED" {
			return nil
		}
		return true
	})
	alice.call("CancelStatement", in{"Id": first["Id"]})
	if d := alice.call("DescribeStatement", in{"Id": first["Id"], "WaitTimeSeconds": 30}); d["Status"] != "ABORTED" {
		t.Fatalf("got %v", d)
	}
	inside := in{"SessionId": first["SessionId"], "ClusterIdentifier": nil, "Database": nil, "DbUser": nil}
	if got := alice.value("select 1", inside)["longValue"]; got != 1.0 {
		t.Errorf("got %v", got)
	}
}

func TestASessionEndsWhenItsTimeIsOver(t *testing.T) {
	t.Parallel()
	clock := &fakeClock{now: time.Now()}
	alice := newAPI(t, func(c *dataapi.Config) { c.Now = clock.Now })
	id := alice.call("ExecuteStatement", alice.sql("select 1", in{"SessionKeepAliveSeconds": 60}))["SessionId"]
	inside := in{"SessionId": id, "ClusterIdentifier": nil, "Database": nil, "DbUser": nil}
	clock.Add(59 * time.Second)
	alice.value("select 1", inside) // counts anew
	clock.Add(59 * time.Second)
	alice.value("select 1", inside)
	clock.Add(60 * time.Second)
	alice.refused(http.StatusBadRequest, "ValidationException", "ExecuteStatement", alice.sql("select 1", inside))
}

func TestBatchesRunInOneTransactionUnlessTold(t *testing.T) {
	t.Parallel()
	alice := newAPI(t, nil)
	batch := func(mode string, sqls ...string) in {
		body := alice.sql("", in{"Sql": nil, "Sqls": sqls})
		if mode != "" {
			body["ExecutionMode"] = mode
		}
		id := alice.call("BatchExecuteStatement", body)["Id"]
		return alice.call("DescribeStatement", in{"Id": id})
	}
	statuses := func(described in) string {
		var all []string
		for _, sub := range described["SubStatements"].([]any) {
			all = append(all, sub.(map[string]any)["Status"].(string))
		}
		return strings.Join(all, " ")
	}
	count := func(table string) any {
		return alice.value("select count(*) from information_schema.tables where table_schema = 'sandbox' and table_name = '"+table+"'", nil)["longValue"]
	}

	good := batch("", "create table sandbox.b1 as select 1 as n", "select n from sandbox.b1", "drop table sandbox.b1")
	if good["Status"] != "FINISHED" || statuses(good) != "FINISHED FINISHED FINISHED" || good["HasResultSet"] != true || good["ExecutionMode"] != "TRANSACTION" {
		t.Errorf("got %v", good)
	}
	second := good["Id"].(string) + ":2"
	if page := alice.call("GetStatementResult", in{"Id": second}); page["TotalNumRows"] != 1.0 {
		t.Errorf("got %v", page)
	}
	if d := alice.call("DescribeStatement", in{"Id": second}); d["Id"] != second || d["QueryString"] != "select n from sandbox.b1" {
		t.Errorf("got %v", d)
	}
	alice.refused(http.StatusNotFound, "ResourceNotFoundException", "GetStatementResult", in{"Id": good["Id"]})
	alice.refused(http.StatusNotFound, "ResourceNotFoundException", "GetStatementResult", in{"Id": good["Id"].(string) + ":4"})

	bad := batch("", "create table sandbox.b2 (n int)", "select 1/0", "select 1")
	if bad["Status"] != "FAILED" || statuses(bad) != "FINISHED FAILED ABORTED" || bad["Error"] != "Query #2 failed with ERROR: division by zero" {
		t.Errorf("got %v", bad)
	}
	if got := count("b2"); got != 0.0 {
		t.Error("the failed transaction was not rolled back")
	}
	each := batch("AUTO_COMMIT", "create table sandbox.b3 (n int)", "select 1/0", "select 1")
	if each["Status"] != "FAILED" || statuses(each) != "FINISHED FAILED FINISHED" {
		t.Errorf("got %v", each)
	}
	if got := count("b3"); got != 1.0 {
		t.Error("the first statement was not committed by itself")
	}
	alice.run("drop table sandbox.b3", nil)
}

func TestBatchesShareParameters(t *testing.T) {
	t.Parallel()
	alice := newAPI(t, nil)
	body := alice.sql("", in{
		"Sql": nil, "Sqls": []string{"select :b || :a", "select :a::int + 1"},
		"Parameters": []in{{"name": "a", "value": "1"}, {"name": "b", "value": "x"}},
	})
	id := alice.call("BatchExecuteStatement", body)["Id"].(string)
	for sub, want := range map[string]string{":1": `{"stringValue":"x1"}`, ":2": `{"longValue":2}`} {
		records := alice.call("GetStatementResult", in{"Id": id + sub})["Records"].([]any)
		if got := jsonOf(records[0].([]any)[0]); got != want {
			t.Errorf("%s is %s, want %s", sub, got, want)
		}
	}
	body["Sqls"] = []string{}
	alice.refused(http.StatusBadRequest, "ValidationException", "BatchExecuteStatement", body)
	body["Sqls"] = make([]string, 41)
	alice.refused(http.StatusBadRequest, "ValidationException", "BatchExecuteStatement", body)
	body["Sqls"], body["ExecutionMode"] = []string{"select :a, :b"}, "LATER"
	alice.refused(http.StatusBadRequest, "ValidationException", "BatchExecuteStatement", body)
}
