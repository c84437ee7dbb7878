package dataapi_test

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
)

func TestStatementsAreListed(t *testing.T) {
	t.Parallel()
	alice := newAPI(t, nil)
	first := alice.run("select 1", in{"StatementName": "report-1"})["Id"]
	second := alice.run("select 2", in{"StatementName": "report-2"})["Id"]
	failed := alice.run("select 1/0", in{"StatementName": "other"})["Id"]
	bob := alice.as("bob")
	bobs := bob.run("select 3", in{"StatementName": "report-3"})["Id"]

	ids := func(api api, filter in) []any {
		list := []any{}
		for _, st := range api.call("ListStatements", filter)["Statements"].([]any) {
			list = append(list, st.(map[string]any)["Id"])
		}
		return list
	}
	for name, test := range map[string]struct {
		api    api
		filter in
		want   []any
	}{
		"finished ones of the role": {alice, in{}, []any{bobs, second, first}},
		"mine":                      {alice, in{"RoleLevel": false}, []any{second, first}},
		"of another role":           {alice.as("stranger"), in{"Status": "ALL"}, []any{}},
		"failed":                    {alice, in{"Status": "FAILED"}, []any{failed}},
		"all of mine":               {alice, in{"Status": "ALL", "RoleLevel": false}, []any{failed, second, first}},
		"by the name's beginning":   {alice, in{"StatementName": "report-", "RoleLevel": false}, []any{second, first}},
		"of another cluster":        {alice, in{"ClusterIdentifier": "other"}, []any{}},
	} {
		if got := ids(test.api, test.filter); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
	page := alice.call("ListStatements", in{"MaxResults": 1})
	next := alice.call("ListStatements", in{"MaxResults": 1, "NextToken": page["NextToken"]})
	if got := next["Statements"].([]any)[0].(map[string]any)["Id"]; got != second {
		t.Errorf("second page has %v", got)
	}
	bob.refused(http.StatusBadRequest, "ValidationException", "ListStatements", in{"NextToken": page["NextToken"]})
	alice.refused(http.StatusBadRequest, "ValidationException", "ListStatements", in{"MaxResults": 101})
	alice.refused(http.StatusBadRequest, "ValidationException", "ListStatements", in{"Status": "LATER"})
}

func TestTheCatalogIsSeenByTheDatabaseUser(t *testing.T) {
	t.Parallel()
	alice := newAPI(t, nil)
	list := func(person, operation, member string, more in) string {
		body := in{"ClusterIdentifier": "tickit", "Database": "dev", "DbUser": person}
		for name, value := range more {
			body[name] = value
		}
		var names []string
		for _, entry := range alice.as(person).call(operation, body)[member].([]any) {
			switch entry := entry.(type) {
			case string:
				names = append(names, entry)
			case map[string]any:
				names = append(names, entry["name"].(string))
			}
		}
		return strings.Join(names, " ")
	}
	for _, test := range []struct {
		person, operation, member string
		more                      in
		want                      string
	}{
		{"bob", "ListDatabases", "Databases", nil, "dev"},
		{"alice", "ListSchemas", "Schemas", in{"SchemaPattern": "%n%"}, "finance information_schema sandbox"},
		{"bob", "ListSchemas", "Schemas", in{"SchemaPattern": "fin%"}, ""},
		{"bob", "ListTables", "Tables", in{"SchemaPattern": "tickit", "TablePattern": "%e%"}, "category date event sales users venue"},
		{"bob", "ListTables", "Tables", in{"SchemaPattern": "finance"}, ""},
		{"alice", "DescribeTable", "ColumnList", in{"Schema": "finance", "Table": "budget"}, "quarter catgroup planned"},
		{"bob", "DescribeTable", "ColumnList", in{"Schema": "finance", "Table": "budget"}, ""},
		{"alice", "ListSchemas", "Schemas", in{"ConnectedDatabase": "dev", "SchemaPattern": "tickit"}, "tickit"},
	} {
		if got := list(test.person, test.operation, test.member, test.more); got != test.want {
			t.Errorf("%s for %s: got %q, want %q", test.operation, test.person, got, test.want)
		}
	}
}

func TestTheCatalogComesInPages(t *testing.T) {
	t.Parallel()
	alice := newAPI(t, nil)
	body := in{"ClusterIdentifier": "tickit", "Database": "dev", "DbUser": "alice", "SchemaPattern": "tickit", "MaxResults": 5}
	first := alice.call("ListTables", body)
	body["NextToken"] = first["NextToken"]
	second := alice.call("ListTables", body)
	if len(first["Tables"].([]any)) != 5 || len(second["Tables"].([]any)) != 2 || second["NextToken"] != nil {
		t.Errorf("got %v, then %v", first, second)
	}
}

func TestTheCatalogRefuses(t *testing.T) {
	t.Parallel()
	alice := newAPI(t, nil)
	for name, test := range map[string]struct {
		operation string
		body      in
		status    int
		code      string
	}{
		"no target":          {"ListSchemas", in{"Database": "dev"}, 400, "ValidationException"},
		"other user":         {"ListSchemas", in{"Database": "dev", "ClusterIdentifier": "tickit", "DbUser": "bob"}, 400, "AccessDeniedException"},
		"role's user":        {"ListSchemas", in{"Database": "dev", "ClusterIdentifier": "tickit"}, 500, "DatabaseConnectionException"},
		"unknown database":   {"ListSchemas", in{"Database": "nowhere", "ClusterIdentifier": "tickit", "DbUser": "alice"}, 500, "DatabaseConnectionException"},
		"too many":           {"ListTables", in{"Database": "dev", "ClusterIdentifier": "tickit", "DbUser": "alice", "MaxResults": 1001}, 400, "ValidationException"},
		"other's member":     {"ListDatabases", in{"Database": "dev", "ClusterIdentifier": "tickit", "DbUser": "alice", "Table": "x"}, 400, "SerializationException"},
		"token of elsewhere": {"ListTables", in{"Database": "dev", "ClusterIdentifier": "tickit", "DbUser": "alice", "NextToken": "x"}, 400, "ValidationException"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := alice
			api.t = t
			if message := api.refused(test.status, test.code, test.operation, test.body); message == "" {
				t.Error("no message")
			}
		})
	}
}
