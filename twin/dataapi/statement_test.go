package dataapi_test

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/twin/dataapi"
	"github.com/shiftgrant/shiftgrant/twin/postgres"
)

func TestAStatementRunsAsTheDatabaseUser(t *testing.T) {
	t.Parallel()
	alice := newAPI(t, nil)
	for _, person := range []string{"alice", "bob", "admin"} {
		if got := alice.as(person).value("select current_user", nil)["stringValue"]; got != person {
			t.Errorf("current_user of %s is %v", person, got)
		}
	}
}

func TestNobodyRunsAsSomebodyElse(t *testing.T) {
	t.Parallel()
	alice := newAPI(t, nil)
	message := alice.refused(http.StatusBadRequest, "AccessDeniedException", "ExecuteStatement", alice.sql("select 1", in{"DbUser": "admin"}))
	if want := "redshift:GetClusterCredentials on resource: arn:aws:redshift:us-east-1:123456789012:dbuser:tickit/admin"; !strings.Contains(message, want) {
		t.Errorf("got %q", message)
	}
	// Without a database user it is the role's own, whom nobody made.
	described := alice.run("select 1", in{"DbUser": nil})
	if described["Status"] != "FAILED" || described["Error"] != `FATAL: password authentication failed for user "IAMR:shiftgrant-tickit"` {
		t.Errorf("got %v", described)
	}
	serverless := alice.run("select 1", in{"DbUser": nil, "ClusterIdentifier": nil, "WorkgroupName": "serverless"})
	if serverless["Status"] != "FAILED" || serverless["WorkgroupName"] != "serverless" {
		t.Errorf("got %v", serverless)
	}
}

func TestFailuresOfTheSQLAreToldByDescribe(t *testing.T) {
	t.Parallel()
	bob := newAPI(t, nil).as("bob")
	for _, test := range []struct{ sql, want string }{
		{"select * from finance.commission_ledger", "ERROR: permission denied for schema finance"},
		{"select * from nowhere", `ERROR: relation "nowhere" does not exist`},
		{"select 1; select 2", "ERROR: cannot insert multiple commands into a prepared statement"},
		{"copy t from stdin", "ERROR: the stand-in for Redshift has no S3: COPY and UNLOAD are not supported"},
		{"select :a", `ERROR: syntax error at or near ":"`},
	} {
		described := bob.run(test.sql, nil)
		if described["Status"] != "FAILED" || described["Error"] != test.want || described["HasResultSet"] != false {
			t.Errorf("%s: got %v", test.sql, described)
		}
		bob.refused(http.StatusNotFound, "ResourceNotFoundException", "GetStatementResult", in{"Id": described["Id"]})
	}
	if described := bob.run("select 1", in{"Database": "nowhere"}); described["Error"] != `FATAL: database "nowhere" does not exist` {
		t.Errorf("got %v", described)
	}
}

func TestDescribeTellsEverything(t *testing.T) {
	t.Parallel()
	alice := newAPI(t, nil)
	const sql = "select venueid from tickit.venue where venueid <= :n"
	d := alice.run(sql, in{"Parameters": []in{{"name": "n", "value": "3"}}, "StatementName": "few"})
	for name, want := range (in{
		"Status": "FINISHED", "HasResultSet": true, "ResultRows": 3.0, "ResultFormat": "JSON", "QueryString": sql,
		"ClusterIdentifier": "tickit", "Database": "dev", "DbUser": "alice",
	}) {
		if d[name] != want {
			t.Errorf("%s is %v, want %v", name, d[name], want)
		}
	}
	if !reflect.DeepEqual(d["QueryParameters"], []any{map[string]any{"name": "n", "value": "3"}}) {
		t.Errorf("parameters are %v", d["QueryParameters"])
	}
	for _, name := range []string{"Duration", "CreatedAt", "UpdatedAt", "ResultSize", "RedshiftPid", "RedshiftQueryId"} {
		if n, ok := d[name].(float64); !ok || n <= 0 {
			t.Errorf("%s is %v", name, d[name])
		}
	}
	changed := alice.as("admin").run("update tickit.venue set venueseats = venueseats where venueid <= 7", nil)
	if changed["HasResultSet"] != false || changed["ResultRows"] != 7.0 || changed["ResultSize"] != -1.0 {
		t.Errorf("an update tells %v", changed)
	}
}

// The strict reading of every rule of the API's model, and AWS's own texts where known.
func TestBadRequestsAreRefused(t *testing.T) {
	t.Parallel()
	alice := newAPI(t, nil)
	parameters := func(pairs ...string) in {
		var list []in
		for i := 0; i < len(pairs); i += 2 {
			list = append(list, in{"name": pairs[i], "value": pairs[i+1]})
		}
		return in{"Parameters": list}
	}
	for name, test := range map[string]struct {
		sql  string
		more in
		code string
		says string
	}{
		"no SQL":               {"", nil, "ValidationException", "empty"},
		"too much SQL":         {"select '" + strings.Repeat("x", 200<<10) + "'", nil, "ValidationException", "200 KB"},
		"no target":            {"select 1", in{"ClusterIdentifier": nil}, "ValidationException", "Either ClusterIdentifier or WorkgroupName needs to be specified."},
		"two targets":          {"select 1", in{"WorkgroupName": "serverless"}, "ValidationException", "same time"},
		"unknown cluster":      {"select 1", in{"ClusterIdentifier": "nowhere"}, "ValidationException", "Redshift endpoint doesn't exist in this region."},
		"no database":          {"select 1", in{"Database": nil}, "ValidationException", "Database"},
		"secret":               {"select 1", in{"SecretArn": "arn:x"}, "ValidationException", "Secrets Manager"},
		"user of a workgroup":  {"select 1", in{"ClusterIdentifier": nil, "WorkgroupName": "serverless"}, "ValidationException", "DbUser"},
		"wait too short":       {"select 1", in{"WaitTimeSeconds": 0}, "ValidationException", "waitTimeSeconds"},
		"wait too long":        {"select 1", in{"WaitTimeSeconds": 31}, "ValidationException", "waitTimeSeconds"},
		"unknown format":       {"select 1", in{"ResultFormat": "XML"}, "ValidationException", "[JSON, CSV]"},
		"empty token":          {"select 1", in{"ClientToken": ""}, "ValidationException", "clientToken"},
		"long token":           {"select 1", in{"ClientToken": strings.Repeat("t", 65)}, "ValidationException", "clientToken"},
		"long keep alive":      {"select 1", in{"SessionKeepAliveSeconds": 86401}, "ValidationException", "86400"},
		"unknown session":      {"select 1", in{"SessionId": "nonsense"}, "ValidationException", "sessionId"},
		"no parameters":        {"select 1", in{"Parameters": []in{}}, "ValidationException", "parameters"},
		"empty value":          {"select :a", parameters("a", ""), "ValidationException", "parameters.1.member.value"},
		"bad parameter name":   {"select :a", parameters("a;b", "x"), "ValidationException", "parameters.1.member.name"},
		"parameter twice":      {"select :a", parameters("a", "1", "a", "2"), "ValidationException", "duplicate"},
		"parameter not used":   {"select ':a', 1 -- :a", parameters("a", "1"), "ValidationException", "Unused parameters: [a]"},
		"misspelt member":      {"select 1", in{"sql": "select 2"}, "SerializationException", "sql"},
		"number where a text":  {"select 1", in{"DbUser": 7}, "SerializationException", "DbUser"},
		"member of operations": {"select 1", in{"Sqls": []string{"x"}}, "SerializationException", "Sqls"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := alice
			api.t = t
			if got := api.refused(http.StatusBadRequest, test.code, "ExecuteStatement", api.sql(test.sql, test.more)); !strings.Contains(got, test.says) {
				t.Errorf("says %q, want %q", got, test.says)
			}
		})
	}
}

func TestTheFrontEndRefusesWhatIsNoCall(t *testing.T) {
	t.Parallel()
	alice := newAPI(t, nil)
	for name, test := range map[string]struct {
		method, path, target, contentType, person, body string
		status                                          int
		code                                            string
	}{
		"GET":               {"GET", "/", "RedshiftData.ListSessions", "application/x-amz-json-1.1", "alice", "", 400, "UnknownOperationException"},
		"other path":        {"POST", "/x", "RedshiftData.ListSessions", "application/x-amz-json-1.1", "alice", "{}", 400, "UnknownOperationException"},
		"unknown operation": {"POST", "/", "RedshiftData.CloseSession", "application/x-amz-json-1.1", "alice", "{}", 400, "UnknownOperationException"},
		"other service":     {"POST", "/", "DynamoDB.ListSessions", "application/x-amz-json-1.1", "alice", "{}", 400, "UnknownOperationException"},
		"other type":        {"POST", "/", "RedshiftData.ListSessions", "application/json", "alice", "{}", 400, "SerializationException"},
		"no JSON":           {"POST", "/", "RedshiftData.ListSessions", "application/x-amz-json-1.1", "alice", "{", 400, "SerializationException"},
		"twice a member":    {"POST", "/", "RedshiftData.ListSessions", "application/x-amz-json-1.1", "alice", `{"Status":"BUSY","Status":"BUSY"}`, 400, "SerializationException"},
		"trailing bytes":    {"POST", "/", "RedshiftData.ListSessions", "application/x-amz-json-1.1", "alice", `{}{}`, 400, "SerializationException"},
		"no credentials":    {"POST", "/", "RedshiftData.ListSessions", "application/x-amz-json-1.1", "", "{}", 403, "MissingAuthenticationTokenException"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request, err := http.NewRequestWithContext(t.Context(), test.method, alice.url+test.path, strings.NewReader(test.body))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("X-Amz-Target", test.target)
			request.Header.Set("Content-Type", test.contentType)
			request.Header.Set("X-Person", test.person)
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			var answer in
			if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != test.status || answer["__type"] != test.code || response.Header.Get("x-amzn-RequestId") == "" {
				t.Errorf("got %d %v", response.StatusCode, answer)
			}
		})
	}
}

func TestLongPolling(t *testing.T) {
	t.Parallel()
	alice := newAPI(t, nil)
	// A lock that another connection holds makes the statement wait exactly as long as we like.
	holder, release := lock(t, 1)
	submitted := alice.call("ExecuteStatement", alice.sql("select 1 as n from pg_advisory_lock(1)", in{"WaitTimeSeconds": 1, "ResultFormat": "CSV"}))
	if submitted["Status"] != "STARTED" || submitted["HasResultSet"] != nil {
		t.Fatalf("after a second's wait: %v", submitted)
	}
	id := submitted["Id"]
	if d := alice.call("DescribeStatement", in{"Id": id, "WaitTimeSeconds": 1}); d["Status"] != "STARTED" {
		t.Errorf("describe: %v", d)
	}
	message := alice.refused(http.StatusNotFound, "ResourceNotFoundException", "GetStatementResultV2", in{"Id": id, "WaitTimeSeconds": 1})
	if message != "Query does not have result. Please check query status with DescribeStatement." {
		t.Errorf("not yet: %q", message)
	}
	var waiting sync.WaitGroup
	waiting.Go(func() {
		status, _, page, err := alice.try("GetStatementResultV2", in{"Id": id, "WaitTimeSeconds": 30})
		if err != nil || status != http.StatusOK || page["TotalNumRows"] != 1.0 {
			t.Errorf("waited for the result: %d %v %v", status, page, err)
		}
	})
	release(holder)
	waiting.Wait()
}

// lock takes an advisory lock as another user.
func lock(t *testing.T, number int) (key string, release func(string)) {
	t.Helper()
	conn, err := database.Connect(t.Context(), "admin", postgres.Database)
	if err != nil {
		t.Fatal(err)
	}
	key = string(rune('0' + number))
	if _, err := conn.Exec(t.Context(), "select pg_advisory_lock("+key+")").ReadAll(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	release = func(string) {
		once.Do(func() {
			if err := conn.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() { release(key) })
	return key, release
}

func TestOnlySoManyMayWaitForOneStatement(t *testing.T) {
	t.Parallel()
	alice := newAPI(t, func(c *dataapi.Config) { c.MaxWaiters = 1 })
	key, release := lock(t, 2)
	id := alice.call("ExecuteStatement", alice.sql("select pg_advisory_lock(2)", in{"WaitTimeSeconds": nil}))["Id"]
	var waiting sync.WaitGroup
	answers := make(chan in, 2)
	for range 2 {
		waiting.Go(func() {
			_, _, answer, err := alice.try("DescribeStatement", in{"Id": id, "WaitTimeSeconds": 30})
			if err != nil {
				t.Error(err)
			}
			answers <- answer
		})
	}
	if refused := <-answers; refused["__type"] != "ActiveWaitingRequestsExceededException" {
		t.Errorf("got %v", refused)
	}
	release(key)
	waiting.Wait()
	if described := <-answers; described["Status"] != "FINISHED" {
		t.Errorf("got %v", described)
	}
}

func TestCancelEndsTheQueryInTheDatabase(t *testing.T) {
	t.Parallel()
	alice := newAPI(t, nil)
	_, _ = lock(t, 3)
	id := alice.call("ExecuteStatement", alice.sql("select pg_advisory_lock(3)", in{"WaitTimeSeconds": nil}))["Id"]
	pid := await(t, func() any {
		d := alice.call("DescribeStatement", in{"Id": id})
		if d["Status"] != "STARTED" {
			return nil
		}
		return d["RedshiftPid"]
	})
	if canceled := alice.call("CancelStatement", in{"Id": id}); canceled["Status"] != true {
		t.Fatalf("got %v", canceled)
	}
	if d := alice.call("DescribeStatement", in{"Id": id, "WaitTimeSeconds": 30}); d["Status"] != "ABORTED" || d["Error"] == nil {
		t.Errorf("got %v", d)
	}
	await(t, func() any {
		running := alice.as("admin").rows("select 1 from pg_stat_activity where pid = "+text(pid)+" and state = 'active'", nil)
		if len(running) > 0 {
			return nil
		}
		return true
	})
	message := alice.refused(http.StatusBadRequest, "ValidationException", "CancelStatement", in{"Id": id})
	if !strings.Contains(message, "already in ABORTED state") {
		t.Errorf("second cancel: %s", message)
	}
}

func text(number any) string { return strings.TrimSuffix(jsonOf(number), ".0") }

func jsonOf(v any) string {
	encoded, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(encoded)
}

// await asks until there is an answer.
func await(t *testing.T, ask func() any) any {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if answer := ask(); answer != nil {
			return answer
		}
	}
	t.Fatal("it did not happen")
	return nil
}

func TestAQueuedStatementCanBeCancelled(t *testing.T) {
	t.Parallel()
	alice := newAPI(t, func(c *dataapi.Config) { c.Slots = 1 })
	key, release := lock(t, 4)
	first := alice.call("ExecuteStatement", alice.sql("select pg_advisory_lock(4)", in{"WaitTimeSeconds": nil}))["Id"]
	await(t, func() any {
		if d := alice.call("DescribeStatement", in{"Id": first}); d["Status"] != "STARTED" {
			return nil
		}
		return true
	})
	second := alice.call("ExecuteStatement", alice.sql("select 1", in{"WaitTimeSeconds": nil}))
	if second["Status"] != "SUBMITTED" {
		t.Fatalf("got %v", second)
	}
	alice.call("CancelStatement", in{"Id": second["Id"]})
	if d := alice.call("DescribeStatement", in{"Id": second["Id"], "WaitTimeSeconds": 30}); d["Status"] != "ABORTED" {
		t.Errorf("got %v", d)
	}
	release(key)
	if d := alice.call("DescribeStatement", in{"Id": first, "WaitTimeSeconds": 30}); d["Status"] != "FINISHED" {
		t.Errorf("got %v", d)
	}
}

func TestTheSameClientTokenIsTheSameStatement(t *testing.T) {
	t.Parallel()
	clock := &fakeClock{now: time.Now()}
	alice := newAPI(t, func(c *dataapi.Config) { c.Now = clock.Now })
	body := alice.sql("select 1", in{"ClientToken": "once"})
	first := alice.call("ExecuteStatement", body)["Id"]
	body["WaitTimeSeconds"] = 7 // how long to wait is no part of the statement
	if second := alice.call("ExecuteStatement", body)["Id"]; second != first {
		t.Errorf("the token made %v and %v", first, second)
	}
	body["Sql"] = "select 2"
	alice.refused(http.StatusBadRequest, "ValidationException", "ExecuteStatement", body)
	bob := alice.as("bob")
	if other := bob.call("ExecuteStatement", bob.sql("select 1", in{"ClientToken": "once"}))["Id"]; other == first {
		t.Error("bob was given alice's statement")
	}
	clock.Add(8 * time.Hour)
	if later := alice.call("ExecuteStatement", body)["Id"]; later == first {
		t.Error("the token was remembered for more than 8 hours")
	}
}

// The answer of the first call is lost; the client cannot know whether the row was inserted.
func TestALostAnswerCanBeAskedForAgain(t *testing.T) {
	t.Parallel()
	admin := newAPI(t, nil).as("admin")
	admin.run("create table if not exists public.lost (n int)", nil)
	t.Cleanup(func() {
		conn, err := database.Connect(context.Background(), "admin", postgres.Database)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(context.Background(), "drop table public.lost").ReadAll(); err != nil {
			t.Error(err)
		}
		if err := conn.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	admin.handler.Faults().DropAnswer("ExecuteStatement", 1)
	insert := admin.sql("insert into public.lost values (1)", in{"ClientToken": "lost"})
	if status, _, answer, err := admin.try("ExecuteStatement", insert); err == nil {
		t.Fatalf("the answer came: %d %v", status, answer)
	}
	if answer := admin.call("ExecuteStatement", insert); answer["Status"] != "FINISHED" {
		t.Errorf("got %v", answer)
	}
	if got := admin.value("select count(*) from public.lost", nil)["longValue"]; got != 1.0 {
		t.Errorf("inserted %v times", got)
	}
}

func TestStatementsBelongToWhoStartedThem(t *testing.T) {
	t.Parallel()
	alice := newAPI(t, nil)
	id := alice.run("select 'private'", nil)["Id"]
	for _, operation := range []string{"DescribeStatement", "GetStatementResult", "CancelStatement"} {
		message := alice.as("bob").refused(http.StatusBadRequest, "AccessDeniedException", operation, in{"Id": id})
		if !strings.Contains(message, "assumed-role/shiftgrant-tickit/bob is not authorized to perform: redshift-data:"+operation) {
			t.Errorf("%s: %q", operation, message)
		}
		alice.as("stranger").refused(http.StatusNotFound, "ResourceNotFoundException", operation, in{"Id": id})
		alice.refused(http.StatusNotFound, "ResourceNotFoundException", operation, in{"Id": "00000000-0000-4000-8000-000000000000"})
		alice.refused(http.StatusBadRequest, "ValidationException", operation, in{"Id": "1"})
	}
}

func TestStatementsAreForgottenAfterADay(t *testing.T) {
	t.Parallel()
	clock := &fakeClock{now: time.Now()}
	alice := newAPI(t, func(c *dataapi.Config) { c.Now = clock.Now })
	id := alice.run("select 1", nil)["Id"]
	clock.Add(24*time.Hour - time.Second)
	alice.call("GetStatementResult", in{"Id": id})
	clock.Add(time.Second)
	alice.refused(http.StatusNotFound, "ResourceNotFoundException", "GetStatementResult", in{"Id": id})
}

type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestFaultsHappenWhenTold(t *testing.T) {
	t.Parallel()
	alice := newAPI(t, nil)
	faults := alice.handler.Faults()
	faults.Throttle("ListSessions", 1)
	if _, _, answer := alice.send("ListSessions", in{}); answer["__type"] != "ThrottlingException" || answer["message"] == nil || answer["Message"] != nil {
		t.Errorf("throttled: %v", answer)
	}
	faults.Fail(dataapi.Any, 1)
	alice.refused(http.StatusInternalServerError, "InternalServerException", "ListSessions", in{})
	faults.Expire("ListSessions", 1)
	alice.refused(http.StatusBadRequest, "ExpiredTokenException", "ListSessions", in{})
	faults.Drop("ListSessions", 1)
	if status, _, _, err := alice.try("ListSessions", in{}); err == nil {
		t.Errorf("not dropped: %d", status)
	}
	faults.Delay("ListSessions", 1, time.Millisecond)
	alice.call("ListSessions", in{})
	if got := faults.Calls("ListSessions"); got < 5 {
		t.Errorf("%d calls counted", got)
	}
	faults.Fail("ListSessions", 9)
	faults.Reset()
	alice.call("ListSessions", in{})
}

func TestQuotasRefillAsTimePasses(t *testing.T) {
	t.Parallel()
	clock := &fakeClock{now: time.Now()}
	alice := newAPI(t, func(c *dataapi.Config) {
		c.Now = clock.Now
		c.Quotas = dataapi.Quotas{On: true}
	})
	for range 3 {
		alice.call("ListStatements", in{})
	}
	alice.refused(http.StatusBadRequest, "ThrottlingException", "ListStatements", in{})
	alice.as("bob").refused(http.StatusBadRequest, "ThrottlingException", "ListStatements", in{}) // of the account
	alice.call("ListSessions", in{})
	clock.Add(time.Second / 2)
	alice.call("ListStatements", in{})
	alice.refused(http.StatusBadRequest, "ThrottlingException", "ListStatements", in{})
}

func TestQuotasOfTheWarehouse(t *testing.T) {
	t.Parallel()
	alice := newAPI(t, func(c *dataapi.Config) {
		c.Quotas = dataapi.Quotas{On: true, PerSecond: map[string]int{"ExecuteStatement": 100, "DescribeStatement": 100}, ActiveStatements: 1, Sessions: 1}
	})
	alice.call("ExecuteStatement", alice.sql("select 1", in{"SessionKeepAliveSeconds": 60}))
	alice.refused(http.StatusBadRequest, "ActiveSessionsExceededException", "ExecuteStatement", alice.sql("select 1", in{"SessionKeepAliveSeconds": 60}))
	key, release := lock(t, 5)
	id := alice.call("ExecuteStatement", alice.sql("select pg_advisory_lock(5)", in{"WaitTimeSeconds": nil}))["Id"]
	alice.refused(http.StatusBadRequest, "ActiveStatementsExceededException", "ExecuteStatement", alice.sql("select 1", nil))
	release(key)
	alice.call("DescribeStatement", in{"Id": id, "WaitTimeSeconds": 30})
	alice.call("ExecuteStatement", alice.sql("select 1", nil))
}

func TestCloseEndsWhatRuns(t *testing.T) {
	t.Parallel()
	_, _ = lock(t, 6)
	alice := newAPI(t, nil) // its Close is what is tested: it would wait for the lock for ever
	alice.call("ExecuteStatement", alice.sql("select pg_advisory_lock(6)", in{"WaitTimeSeconds": nil, "SessionKeepAliveSeconds": 60}))
}
