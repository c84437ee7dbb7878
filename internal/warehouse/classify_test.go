package warehouse

import (
	"errors"
	"os"
	"strings"
	"testing"
)

const sqlLimit = 200 << 10

func TestReadOnlyVectors(t *testing.T) {
	t.Parallel()
	file, err := os.ReadFile("testdata/sql_readonly.tsv")
	if err != nil {
		t.Fatal(err)
	}
	// Only the rights in the database can stop these: their text is that of any query.
	byGrants := []string{"SELECT * FROM other_users_schema.t", "SELECT ext_fn(secret) FROM t"}
	rows, left := 0, len(byGrants)
	for line := range strings.Lines(string(file)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(fields) != 3 {
			t.Fatalf("row %q has %d fields, want 3", line, len(fields))
		}
		rows++
		sql, wantRead := fields[0], fields[1] == "ok"
		for _, other := range byGrants {
			if sql == other {
				wantRead = true
				left--
			}
		}
		class, err := classify(sql, sqlLimit)
		if reads := err == nil && class.reads; reads != wantRead {
			t.Errorf("%s: taken for reading: %t, want %t (%v, %s)", sql, reads, wantRead, err, class.why)
		}
	}
	if rows < 18 || left != 0 {
		t.Errorf("read %d rows, and %d of those that grants stop were not there", rows, left)
	}
}

func TestWhatReads(t *testing.T) {
	t.Parallel()
	for _, sql := range []string{
		"select 1", "SELECT 1;", " ( select 1 ) union (select 2) ; -- end", "/* a /* b */ c */ select 1",
		"with a as (select 1), b (x, y) as not materialized (select 2, 3) select * from a, b",
		"with recursive a(n) as (select 1 union all select n + 1 from a) select n from a",
		`with "Into" as (select 1) select * from "Into"`,
		"show tables from schema dev.tickit", "show search_path", "explain select 1", "explain verbose with a as (select 1) select * from a",
		"select 'insert into t; drop table t', $$; delete from t$$, $x$;$$;$x$", `select "into;" from t`,
		"select e'it\\'s; fine'", "select substring(name for 3) from t", "select 'C:\\'", "select a$b from t where x = :into_date",
		"select 'it\\'s; fine'", "select '日本; x', \"é;\"", "select 'a'\n'b;'", "select 1 -- \r\n", "select 1 --",
		"select count(*) filter (where x > 0) from t", "select pg_sleep(1)", "select updated_at from t order by updated_at desc limit 10",
	} {
		class, err := classify(sql, sqlLimit)
		if err != nil || !class.reads {
			t.Errorf("%s: not taken for reading: %v %s", sql, err, class.why)
		}
	}
}

func TestWhatDoesNotRead(t *testing.T) {
	t.Parallel()
	for _, sql := range []string{
		"insert into t values (1)", "update t set a = 1", "delete from t", "merge into t using s on 1=1 when matched then delete",
		"select 1 into x", "select 1 union select 2 INTO x", "with a as (delete from t returning 1) select * from a",
		"with a as materialized ( /* */ update t set a = 1 returning 1) select 1", "with a as (select 1) insert into t select * from a",
		"with a as (with b as (insert into t values (1) returning 1) select * from b) select * from a",
		"with a as (select 1) search breadth first by x set y select 1",
		"explain analyze select 1", "EXPLAIN ANALYSE select 1", "explain (analyze) delete from t", "explain (select 1)", "explain insert into t values (1)",
		"explain verbose analyze select 1", "values (1)", "table t", "copy t from 's3://b'", "unload ('select 1') to 's3://b'",
		"call p()", "set a = b", "reset all", "begin", "commit", "prepare x as select 1", "execute x", "declare c cursor for select 1", "fetch 1 from c",
		"create table t (a int)", "vacuum", "lock table t", "use other", "cancel 1234", "do $$ begin end $$", "listen x", "grant a to b",
		"select * from t for update", "select * from t for no key update", "select nextval('s')", `select pg_catalog."set_config" ('a','b',true)`,
		"select PG_ADVISORY_LOCK /* */ (1)", "select dblink_exec('x')", "select lo_import('/etc/passwd')", "select query_to_xml('delete from t', true, true, '')",
		`select U&"\0073et_config"('a','b',false)`, "\u017felect 1", "select 1 /*! into x */ into y",
	} {
		class, err := classify(sql, sqlLimit)
		if err != nil {
			t.Errorf("%s: refused for everybody: %v", sql, err)
		}
		if class.reads {
			t.Errorf("%s: taken for reading", sql)
		}
		if err == nil && class.why == "" {
			t.Errorf("%s: no reason is given", sql)
		}
	}
}

func TestWhatIsRefusedForEverybody(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ sql, want string }{
		{"", "no statement"},
		{" -- nothing\n/* at all */ ; ", "no statement"},
		{"select 1; select 2", "more than one"},
		{"select 1;;", "more than one"},
		{"; select 1", "more than one"},
		{"select 1; --\n/* */ commit", "more than one"},
		{"-- x\rselect 1; drop table t", "more than one"},
		{`select 'a\'; drop table t; --'`, "more than one"}, // two in PostgreSQL, one in Redshift
		{`insert into t values ('a\'); drop table t; --')`, "more than one"},
		{`select E'a\'; select 1; --'; select 2`, "more than one"},
		{"select X'\\'; drop table t; --'", "more than one"},
		{"select $a$ $a$; drop table t", "more than one"},
		{"select $1; drop table t", "more than one"},
		{"select 'a", "not closed"},
		{`select "a`, "not closed"},
		{"select 1 /* /* */", "not closed"},
		{"select $q$ $Q$", "not closed"},
		{`select E'a\'`, "not closed"},
		{"select E'a'\n'b\\'", "not closed"},
		{"select '\xff'", "UTF-8"},
		{"select '\x00'", "NUL"},
		{"select '" + strings.Repeat("x", sqlLimit) + "'", "at most 204800"},
	} {
		_, err := classify(c.sql, sqlLimit)
		var refused *RefusedError
		if !errors.As(err, &refused) || !strings.Contains(refused.What, c.want) {
			t.Errorf("%.60q: %v, want an error with %q", c.sql, err, c.want)
		}
	}
	_, err := classify("select 'é'; select 2", sqlLimit)
	var refused *RefusedError
	if !errors.As(err, &refused) || refused.At != 13 {
		t.Errorf("the second statement is at %+v, want character 13", refused)
	}
}

// A text that reads never has a second statement, whatever is put around it.
func FuzzClassify(f *testing.F) {
	for _, seed := range []string{"select 1", "select 'a\\'; x'", "with a as (select 1) select 2", "/* /* */ */ select $a$;$a$", "select E'\\''", `select "a""b"`, "explain select 1--\r"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		class, err := classify(sql, sqlLimit)
		if err != nil {
			var refused *RefusedError
			if !errors.As(err, &refused) || refused.At < 0 {
				t.Fatalf("%q: %v is no RefusedError", sql, err)
			}
			return
		}
		if !class.reads {
			return
		}
		first := strings.TrimLeft(upper(sql), "( \t\r\n\f\v")
		for _, start := range []string{"SELECT", "WITH", "SHOW", "EXPLAIN", "--", "/*"} {
			if strings.HasPrefix(first, start) {
				if after, err := classify(sql+"\n;drop table t", sqlLimit+20); err == nil && !strings.Contains(sql, ";") {
					t.Fatalf("%q with a second statement is one: %+v", sql, after)
				}
				return
			}
		}
		t.Fatalf("%q reads", sql)
	})
}
