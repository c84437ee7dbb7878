package dataapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shiftgrant/shiftgrant/twin/dataapi"
	"github.com/shiftgrant/shiftgrant/twin/postgres"
)

// database is one PostgreSQL for all tests of this package.
var database *postgres.Server

func TestMain(m *testing.M) {
	os.Exit(func() int {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		var err error
		if database, err = postgres.Start(ctx, postgres.Config{}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		code := m.Run()
		if err := database.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}())
}

// headerAuthenticator takes the caller's word, in place of a signature.
type headerAuthenticator struct{}

func (headerAuthenticator) Authenticate(r *http.Request, _ []byte) (dataapi.Caller, error) {
	person := r.Header.Get("X-Person")
	switch person {
	case "":
		return dataapi.Caller{}, &dataapi.AuthError{Code: "MissingAuthenticationTokenException", Message: "Missing Authentication Token", Status: http.StatusForbidden}
	case "stranger":
		return dataapi.Caller{UserID: "AROAOTHER:stranger", Account: account, RoleName: "other", SessionName: "stranger"}, nil
	}
	return dataapi.Caller{
		UserID: "AROAEXAMPLE:" + person, Account: account, RoleName: "shiftgrant-tickit", SessionName: person,
		Tags: map[string]string{dataapi.DatabaseUserTag: person},
	}, nil
}

const account = "123456789012"

// An api is a handler behind a real server, and a person who calls it.
type api struct {
	t       *testing.T
	url     string
	handler *dataapi.Handler
	person  string
}

func newAPI(t *testing.T, change func(*dataapi.Config)) api {
	t.Helper()
	config := dataapi.Config{
		Authenticator: headerAuthenticator{},
		Clusters:      map[string]dataapi.Database{"tickit": database},
		Workgroups:    map[string]dataapi.Database{"serverless": database},
		Account:       account,
	}
	if change != nil {
		change(&config)
	}
	handler := dataapi.New(config)
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.Close()
		if err := handler.Close(); err != nil {
			t.Error(err)
		}
	})
	return api{t, server.URL, handler, "alice"}
}

func (a api) as(person string) api {
	a.person = person
	return a
}

// in is a request's or an answer's body.
type in map[string]any

// send makes a call and gives its status, headers and body.
func (a api) send(operation string, body in) (int, http.Header, in) {
	a.t.Helper()
	status, header, answer, err := a.try(operation, body)
	if err != nil {
		a.t.Fatal(err)
	}
	return status, header, answer
}

func (a api) try(operation string, body in) (int, http.Header, in, error) {
	status, header, content, err := a.raw(operation, body)
	if err != nil {
		return 0, nil, nil, err
	}
	answer := in{}
	if err := json.Unmarshal(content, &answer); err != nil {
		return 0, nil, nil, fmt.Errorf("%s: %w", content, err)
	}
	return status, header, answer, nil
}

func (a api) raw(operation string, body in) (int, http.Header, []byte, error) {
	encoded, err := json.Marshal(body)
	if err != nil {
		return 0, nil, nil, err
	}
	request, err := http.NewRequestWithContext(a.t.Context(), http.MethodPost, a.url+"/", bytes.NewReader(encoded))
	if err != nil {
		return 0, nil, nil, err
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.1")
	request.Header.Set("X-Amz-Target", "RedshiftData."+operation)
	request.Header.Set("X-Person", a.person)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, nil, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, nil, nil, err
	}
	return response.StatusCode, response.Header, content, nil
}

// call makes a call that must succeed.
func (a api) call(operation string, body in) in {
	a.t.Helper()
	status, _, answer := a.send(operation, body)
	if status != http.StatusOK {
		a.t.Fatalf("%s: %d %v", operation, status, answer)
	}
	return answer
}

// refused makes a call that must fail with a code, and gives the message.
func (a api) refused(wantStatus int, wantCode, operation string, body in) string {
	a.t.Helper()
	status, header, answer := a.send(operation, body)
	if status != wantStatus || answer["__type"] != wantCode || header.Get("x-amzn-ErrorType") != wantCode {
		a.t.Fatalf("%s: got %d %v, want %d %s", operation, status, answer, wantStatus, wantCode)
	}
	for _, name := range []string{"Message", "message"} {
		if message, ok := answer[name].(string); ok {
			return message
		}
	}
	return ""
}

// sql is a request for one statement as the calling person, waiting for its end.
func (a api) sql(sql string, more in) in {
	body := in{"Sql": sql, "ClusterIdentifier": "tickit", "Database": "dev", "DbUser": a.person, "WaitTimeSeconds": 30}
	for name, value := range more {
		if value == nil {
			delete(body, name)
			continue
		}
		body[name] = value
	}
	return body
}

// run runs a statement to its end and describes it.
func (a api) run(sql string, more in) in {
	a.t.Helper()
	answer := a.call("ExecuteStatement", a.sql(sql, more))
	return a.call("DescribeStatement", in{"Id": answer["Id"]})
}

// rows runs a statement that must succeed and gives its records in JSON.
func (a api) rows(sql string, more in) []any {
	a.t.Helper()
	described := a.run(sql, more)
	if described["Status"] != "FINISHED" {
		a.t.Fatalf("%s: %v: %v", sql, described["Status"], described["Error"])
	}
	return a.call("GetStatementResult", in{"Id": described["Id"]})["Records"].([]any)
}

// value is the only value of a result, as its Field.
func (a api) value(sql string, more in) in {
	a.t.Helper()
	records := a.rows(sql, more)
	return records[0].([]any)[0].(map[string]any)
}
