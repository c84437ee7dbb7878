package postgres

import (
	"strings"
	"testing"
)

func FuzzTranslate(f *testing.F) {
	for _, seed := range []string{
		"select top 5 nvl(a, 'it''s') from t where b = :b union select 1 -- x", "create table t (a int encode raw) distkey(a)",
		"show tables from schema a.b like 'x'", "select listagg(distinct a, ',') within group (order by a) over ()",
		"$$ $a$ $1 E'\\' \" /* /* */", "select dateadd(day, 1, nvl2(a,b,c)", "((((", "))))", "show columns from table \"a\"\"b\"",
		"a:b$$$$", "select 1; show databases; select 'x'", "grant role \"a;b\" to role sys:monitor, role c", "revoke select, insert for tables in schema \"a\" database d from role b, \"c\"",
		"create user \"a\" password 'Passw0rd' syslog access restricted connection limit unlimited", "drop role a force", "drop identity provider \"a\" cascade",
		"create identity provider a type awsidc namespace 'n' parameters '{}' auto_create_roles true exclude groups like 'x''y'",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		tokens := tokenize(sql)
		var joined strings.Builder
		for _, token := range tokens {
			joined.WriteString(token.text)
		}
		if joined.String() != sql {
			t.Fatalf("the tokens of %q add up to %q", sql, joined.String())
		}
		translation, err := Translate(sql, Parameters(sql)...)
		if err != nil {
			return
		}
		for statement := range statements(tokens) {
			first := significant(statement)
			if len(first) == 0 {
				continue
			}
			if _, administers := administration(first); administers || first[0].is("SHOW") || first[0].is("CREATE") {
				return // these leave out what is not needed, or quote it anew
			}
		}
		// The text of every string and quoted name is there, in order and unchanged.
		rest := tokenize(translation)
		for _, want := range tokens {
			if want.kind != literal && want.kind != quotedName {
				continue
			}
			for len(rest) > 0 && rest[0] != want {
				rest = rest[1:]
			}
			if len(rest) == 0 {
				t.Fatalf("%q became %q, without %q", sql, translation, want.text)
			}
			rest = rest[1:]
		}
	})
}
