package postgres_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/shiftgrant/shiftgrant/twin/postgres"
)

// Each row is run, so that what the translation means is checked and not how it looks.
func TestRedshiftsWordsMeanTheSame(t *testing.T) {
	t.Parallel()
	conn := connect(t, shared, "alice")
	for _, test := range []struct{ sql, want string }{
		{"select nvl(null, 'b')", "b"},
		{"select NVL(null, null, 3)", "3"},
		{"select nvl2(null, 'set', 'unset') || nvl2('x', nvl('set', 'no'), 'unset')", "unsetset"},
		{"select len('four')", "4"},
		{"select abs(extract(epoch from getdate() - current_timestamp::timestamp)) < 60", "t"},
		{"select sysdate = localtimestamp", "t"},
		{"select x.sysdate from (select 1 as sysdate) x", "1"},
		{"select dateadd(day, 7, '2025-01-30'::date)", "2025-02-06 00:00:00"},
		{"select dateadd(month, -1, timestamp '2025-03-31 10:00')", "2025-02-28 10:00:00"},
		{"select dateadd(qtr, 1, date '2025-01-01')::date", "2025-04-01"},
		{"select DATEADD('hour', 2, timestamp '2025-01-01 23:00')", "2025-01-02 01:00:00"},
		{"select datediff(year, date '2024-12-31', date '2025-01-01')", "1"},
		{"select datediff(day, timestamp '2025-01-01 23:59', timestamp '2025-01-02 00:01')", "1"},
		{"select datediff(hour, timestamp '2025-01-01 10:59', timestamp '2025-01-01 11:00')", "1"},
		{"select datediff(week, date '2025-01-04', date '2025-01-05')", "1"},
		{"select datediff(mins, '2025-01-01 10:00:59', '2025-01-01 10:01:00')", "1"},
		{"select datediff(qtr, date '2024-11-01', date '2025-05-01')", "2"},
		{"select date_part(dow, date '2025-01-05')", "0"},
		{"select datepart(month, date '2025-05-05')", "5"},
		{"select trunc(timestamp '2025-01-01 10:00')", "2025-01-01"},
		{"select listagg(n, '-') within group (order by n desc) from (values (1), (2), (3)) v(n)", "3-2-1"},
		{"select listagg(n) from (values (1), (2)) v(n)", "12"},
		{"select listagg(distinct s, ', ') within group (order by s desc) from (values ('a'), ('b'), ('a')) v(s)", "b, a"},
		{"select count(*) from (select top 3 * from tickit.venue order by venueid) v", "3"},
		{"select top 1 venueid from tickit.venue order by venueid desc -- the last", "202"},
		{"select sum(n) from (select top 1 1 as n union all select top 1 2 order by 1) u", "3"},
		{"select count(*) from (select distinct top 2 venuestate from tickit.venue) v", "2"},
		{"select count(*) from (select venueid from tickit.venue minus select venueid from tickit.event) v", "0"},
		{"select 'nvl(a) top 5 :x -- sysdate'", "nvl(a) top 5 :x -- sysdate"},
		{"select $$dateadd(day, 1, 'x')$$ /* sysdate /* nested */ nvl( */", "dateadd(day, 1, 'x')"},
		{`select "NVL" from (select 1 as "NVL") v`, "1"},
		{`select E'it\'s sysdate'`, "it's sysdate"},
	} {
		if got := translated(t, conn, test.sql); got != test.want {
			t.Errorf("%s is %q, want %q", test.sql, got, test.want)
		}
	}
}

func TestTablesAreMadeWithoutDistribution(t *testing.T) {
	t.Parallel()
	conn := connect(t, shared, "alice")
	for _, sql := range []string{
		`create table sandbox.d1 (
			id bigint identity(1, 1) not null encode az64 distkey,
			name varchar(max) encode lzo, -- distkey
			"distkey" int sortkey, encode int default 3 encode raw,
			doc super, bin varbyte(20), price decimal(8,2) encode zstd
		) backup no diststyle key distkey(id) compound sortkey(id, name) encode auto;`,
		"create temp table d2 diststyle all sortkey auto as select top 5 * from tickit.venue",
		"create table if not exists sandbox.d3 (like tickit.venue)",
		"set query_group to 'gw:1'", "SET SESSION enable_result_cache_for_session TO off", "set statement_timeout to 1000",
		"insert into sandbox.d1 (name, doc) values ('x', '{\"a\": 1}')",
	} {
		translation, err := postgres.Translate(sql)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := query(conn, translation); err != nil {
			t.Errorf("%s\nas %s: %v", sql, translation, err)
		}
	}
	if got := translated(t, conn, "select current_setting('redshift.query_group')"); got != "gw:1" {
		t.Errorf("query_group is %s", got)
	}
	if got := translated(t, conn, "select id || name || encode from sandbox.d1"); got != "1x3" {
		t.Errorf("got %s", got)
	}
	if got := translated(t, conn, "select count(*) from d2"); got != "5" {
		t.Errorf("the table made from TOP 5 has %s rows", got)
	}
	for _, sql := range []string{"drop table sandbox.d1", "drop table sandbox.d3"} {
		if _, err := query(conn, sql); err != nil {
			t.Error(err)
		}
	}
}

func TestShowListsWhatOneMayUse(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		user, sql string
		column    int
		want      string
	}{
		{"alice", "SHOW DATABASES", 0, "dev"},
		{"alice", "show schemas from database dev like 'f%'", 1, "finance"},
		{"bob", "show schemas from database dev like 'f%';", 1, ""},
		{"bob", "SHOW TABLES FROM SCHEMA dev.tickit", 2, "category date event listing sales users venue"},
		{"bob", "show tables from schema tickit like '%e' limit 2", 2, "date venue"},
		{"bob", "show tables from schema dev.finance", 2, ""},
		{"alice", "show tables from schema nosuch.tickit", 2, ""},
		{"bob", "show columns from table dev.tickit.venue", 3, "venueid venuename venuecity venuestate venueseats"},
		{"bob", `show columns from table "dev"."tickit"."venue" like 'venue_tate'`, 7, "character"},
		{"bob", "show search_path", 0, `"$user", public`},
	} {
		translation, err := postgres.Translate(test.sql)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := query(connect(t, shared, test.user), translation)
		if err != nil {
			t.Errorf("%s: %v", test.sql, err)
			continue
		}
		var got []string
		for _, row := range rows {
			got = append(got, row[test.column])
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s, %s: got %v, want %s", test.user, test.sql, got, test.want)
		}
	}
}

func TestParametersAreBoundAndNeverPasted(t *testing.T) {
	t.Parallel()
	const sql = `select top :n ':name' || :name || :name::text /* :name */ from tickit.venue where venueid > :from -- :from`
	if got := postgres.Parameters(sql); !slices.Equal(got, []string{"n", "name", "from"}) {
		t.Fatalf("parameters %v", got)
	}
	translation, err := postgres.Translate(sql, "n", "name", "from")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := query(connect(t, shared, "alice"), translation, "1", "'; drop table x; --", "7")
	if err != nil {
		t.Fatalf("%s: %v", translation, err)
	}
	if want := ":name'; drop table x; --'; drop table x; --"; len(rows) != 1 || rows[0][0] != want {
		t.Errorf("got %v, want %s", rows, want)
	}
}

func TestThereIsNoS3(t *testing.T) {
	t.Parallel()
	for _, sql := range []string{"copy t from 's3://b/k'", " /* x */ COPY t FROM STDIN", "; ;copy t from stdin", "unload ('select 1') to 's3://b'"} {
		if _, err := postgres.Translate(sql); !errors.Is(err, postgres.ErrUnsupported) {
			t.Errorf("%s: %v", sql, err)
		}
	}
}
