package dataapi_test

import (
	"testing"
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
