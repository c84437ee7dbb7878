package placeholder_test

import (
	"strings"
	"testing"

	"github.com/shiftgrant/shiftgrant/redshift/placeholder"
)

func TestPlaceholdersAreFoundOnlyInCode(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]string{
		"select :a":                              ":a",
		"select :a, :b_2,:C":                     ":a :b_2 :C",
		"select ':a'":                            "",
		"select 'it''s :a', :b":                  ":b",
		`select ":a", ":""b", :c`:                ":c",
		"select 1::int, :a::int":                 ":a",
		"select a :=1, :b":                       ":b",
		"select -- :a\n:b":                       ":b",
		"select -- :a":                           "",
		"select /* :a /* :b */ :c */ :d":         ":d",
		"select /* :a /* */ :b":                  "",
		"select $$ :a $$, :b":                    ":b",
		"select $x$ :a $y$ $$ $x$, :b":           ":b",
		"select $x :a $x$ :b":                    ":a", // $x is no tag, and what follows $x$ is a string
		"select a$x$ :b":                         ":b", // part of a name
		"select $1, :a":                          ":a",
		`select E'\' :a', :b`:                    ":b",
		`select e'\\', :b`:                       ":b",
		`select E'it''s \' :a' || :b`:            ":b",
		`select E 'x', :a`:                       ":a",
		"select :a:b":                            ":a :b",
		"select : a, :1, :-":                     "",
		"select :é":                              "",
		"select é$a$ :b":                         ":b",
		"select ':a":                             "",
		`select ":a`:                             "",
		"select $$ :a":                           "",
		"select 5/:a, 5-:b, 5*:c":                ":a :b :c",
		"select '\\d+', :a":                      ":a",
		"create procedure p() as $$ x := :y; $$": "",
	} {
		found, certain := placeholder.Find(sql)
		var got []string
		for _, p := range found {
			got = append(got, sql[p.Start:p.End])
		}
		if strings.Join(got, " ") != want || !certain {
			t.Errorf("%s: found %q (certain %v), want %q", sql, got, certain, want)
		}
	}
}

func TestFirstWordTellsWhetherRowsAreLikely(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]bool{
		"select 1": true, " \n-- x\n/* y /* z */ */ SELECT 1": true, "((select 1))": true, "with a as (select 1) select 2": true,
		"Show tables": true, "explain select 1": true, "insert into t select 1": false, "update t set a = 1": false, "": false, "-- select": false,
		"selection": false, "/* select": false,
	} {
		if got := placeholder.AsksForRows(sql); got != want {
			t.Errorf("AsksForRows(%q) = %v, want %v", sql, got, want)
		}
	}
}
