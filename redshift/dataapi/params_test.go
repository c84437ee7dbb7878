package dataapi

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/placeholder"
)

func TestStatementThatReadsInTwoWaysTakesNoParameters(t *testing.T) {
	t.Parallel()
	sql := `select '\' :a '`
	_, _, err := bind(redshift.Statement{SQL: sql, Parameters: []redshift.Parameter{{Name: "a"}}})
	if err == nil || !strings.Contains(err.Error(), "two ways") {
		t.Errorf("error %v", err)
	}
	if got, sent, err := bind(redshift.Statement{SQL: sql}); got != sql || len(sent) > 0 || err != nil {
		t.Errorf("without parameters: %q, %v, %v", got, sent, err)
	}
}

func TestNullAndEmptyStringBecomeLiterals(t *testing.T) {
	t.Parallel()
	parameters := []redshift.Parameter{{Name: "n"}, {Name: "e", Value: text("")}, {Name: "v", Value: text("x'; drop table t; --")}}
	for sql, want := range map[string]string{
		"select :n, :e, :v":             "select  NULL ,  '' , :v",
		"select:n,'it':e,:v":            "select NULL ,'it' '' ,:v",
		"select ':n', :n, :e||:e, :v":   "select ':n',  NULL ,  '' || '' , :v",
		"select :n::int, :e /*:v*/, :v": "select  NULL ::int,  ''  /*:v*/, :v",
	} {
		got, sent, err := bind(redshift.Statement{SQL: sql, Parameters: parameters})
		if err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", sql, got, err, want)
		}
		if diff := cmp.Diff([]parameter{{"v", "x'; drop table t; --"}}, sent); diff != "" {
			t.Errorf("%s: sent (-want +got):\n%s", sql, diff)
		}
	}
}

func TestParametersThatDoNotFitAreRefused(t *testing.T) {
	t.Parallel()
	one := text("1")
	for name, row := range map[string]struct {
		sql        string
		parameters []redshift.Parameter
		says       string
		position   int
	}{
		"missing":            {"select 'é', :a", nil, `add a parameter named "a"`, 13},
		"unknown":            {"select :a", []redshift.Parameter{{Name: "a", Value: one}, {Name: "b", Value: one}}, `"b" is not used`, 0},
		"case counts":        {"select :A", []redshift.Parameter{{Name: "a", Value: one}}, `add a parameter named "A"`, 8},
		"only inside quotes": {"select ':a'", []redshift.Parameter{{Name: "a", Value: one}}, "outside quotes", 0},
		"twice":              {"select :a", []redshift.Parameter{{Name: "a", Value: one}, {Name: "a"}}, "given twice", 0},
		"no name":            {"select 1", []redshift.Parameter{{}}, "not valid", 0},
		"name with a digit":  {"select 1", []redshift.Parameter{{Name: "1a"}}, "not valid", 0},
		"name with a colon":  {"select 1", []redshift.Parameter{{Name: ":a"}}, "not valid", 0},
		"long name":          {"select 1", []redshift.Parameter{{Name: strings.Repeat("a", 129)}}, "not valid", 0},
		"bad value":          {"select :a", []redshift.Parameter{{Name: "a", Value: text("\xff")}}, "UTF-8", 0},
		"bad statement":      {"select '\xff'", nil, "UTF-8", 0},
	} {
		_, _, err := bind(redshift.Statement{SQL: row.sql, Parameters: row.parameters})
		var refusal *redshift.Error
		if !errors.As(err, &refusal) || !strings.Contains(refusal.Message, row.says) || refusal.Position != row.position || refusal.SQLState == "" {
			t.Errorf("%s: error %+v, want one that says %q at %d", name, err, row.says, row.position)
		}
	}
}

// FuzzBind makes sure that binding changes nothing but the placeholders of NULL and the empty
// string, and that what it writes reads as it was meant.
func FuzzBind(f *testing.F) {
	for _, seed := range []string{"select :a, ':a', :b", "select 'x':a", `select E'\'' :a`, "$$:a$$ :b", "/* /* :a */ */ :b", `"a"":a"`, "a::b :a", `'\' :a '`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		found, certain := placeholder.Find(sql)
		previous := 0
		for _, p := range found {
			if p.Start < previous || p.End <= p.Start+1 || p.End > len(sql) || sql[p.Start] != ':' {
				t.Fatalf("%q: placeholder %+v", sql, p)
			}
			previous = p.End
		}
		if !certain {
			return
		}
		nulls, texts := map[string]*string{}, map[string]*string{}
		for _, p := range found {
			nulls[p.Name(sql)], texts[p.Name(sql)] = nil, text("x")
		}
		if got := replaceLiterals(sql, found, texts); got != sql {
			t.Fatalf("%q: became %q though no value is NULL", sql, got)
		}
		bound := replaceLiterals(sql, found, nulls)
		if left, _ := placeholder.Find(bound); len(left) > 0 {
			t.Fatalf("%q: became %q, which has placeholders %v", sql, bound, left)
		}
		if strings.Count(bound, " NULL ") < len(found) {
			t.Fatalf("%q: became %q", sql, bound)
		}
	})
}
