package dataapi

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/shiftgrant/shiftgrant/redshift"
)

func TestSQLErrorIsReadFromItsText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]redshift.Error{
		"ERROR: permission denied for schema finance": {SQLState: "42501", Message: "permission denied for schema finance"},
		"ERROR: permission denied for relation sales": {SQLState: "42501", Message: "permission denied for relation sales"},
		"ERROR: relation \"nowhere\" does not exist\n  Position: 15": {
			SQLState: "42P01", Message: `relation "nowhere" does not exist`, Position: 15,
		},
		"ERROR: syntax error at or near \"selec\"\r\n  Position: 1": {SQLState: "42601", Message: `syntax error at or near "selec"`, Position: 1},
		"ERROR: function nvl3(integer) does not exist\n  Hint: No function matches the given name.\n You may need casts.": {
			SQLState: "42883", Message: "function nvl3(integer) does not exist", Hint: "No function matches the given name.\n You may need casts.",
		},
		"ERROR: division by zero\n  Detail: \n  -----\n  error:  Divide by zero\n  code:      1100\n": {
			SQLState: "22012", Message: "division by zero", Detail: "-----\n  error:  Divide by zero\n  code:      1100",
		},
		"ERROR: column \"x\" does not exist in s":                          {SQLState: "42703", Message: `column "x" does not exist in s`},
		"ERROR: cannot insert multiple commands into a prepared statement": {SQLState: "42601", Message: "cannot insert multiple commands into a prepared statement"},
		"ERROR: cannot execute INSERT in a read-only transaction":          {SQLState: "25006", Message: "cannot execute INSERT in a read-only transaction"},
		"ERROR: Query (1) cancelled on user's request":                     {SQLState: "57014", Message: "Query (1) cancelled on user's request"},
		"ERROR: Something new\nPosition: unknown":                          {Message: "Something new\nPosition: unknown"},
		"FATAL: password authentication failed for user \"x\"":             {Message: "FATAL: password authentication failed for user \"x\""},
		"ERROR: a user said: relation \"x\" does not exist":                {Message: `a user said: relation "x" does not exist`},
		"ERROR: no\nrelation \"x\" does not exist":                         {Message: "no\nrelation \"x\" does not exist"},
		"": {Message: "the statement failed, and Redshift did not say why"},
	} {
		if diff := cmp.Diff(&want, parseSQLError(text)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

func TestPositionIsNotToldWhereAWSRewroteTheText(t *testing.T) {
	t.Parallel()
	answer := describeAnswer{Error: "ERROR: division by zero\n  Position: 9", QueryParameters: []parameter{{"a", "1"}}}
	if got := answer.failure().Position; got != 0 {
		t.Errorf("position %d, want none", got)
	}
}

func FuzzSQLError(f *testing.F) {
	f.Add("ERROR: relation \"x\" does not exist\n  Position: 15\n  Detail: d\n  Hint: h")
	f.Fuzz(func(t *testing.T, text string) {
		e := parseSQLError(text)
		if e.Message == "" || e.Position < 0 || len(e.SQLState) != 0 && len(e.SQLState) != 5 {
			t.Errorf("%q: %+v", text, e)
		}
	})
}
