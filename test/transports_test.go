package test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// corpus is asked by every transport; the answers must be the same.
var corpus = []string{
	"select 1::smallint a, 2::integer b, 9007199254740993::bigint c, -1.50::numeric(10,2) d, 12345678901234567890123456789012345678::numeric(38,0) e",
	"select 1.5::real a, 0.1::double precision b, 'NaN'::double precision c, '-Infinity'::double precision d, 1e-300::double precision e",
	"select true a, false b, null::boolean c",
	"select 'x'::char(3) a, 'é€𝄞'::varchar(10) b, ''::varchar(5) c, null::varchar(5) d, E'line\\nbreak, \"quoted\" \\t tab'::varchar(40) e",
	"select date '0001-01-01' a, date '9999-12-31' b, timestamp '2026-11-23 01:02:03.000004' c, timestamptz '2026-11-23 01:02:03+00' d, time '23:59:59.5' e",
	"select catid, catgroup, catname from tickit.category order by catid",
	"select * from tickit.venue order by venueid limit 50",
	"select salesid, qtysold, pricepaid, commission, saletime from tickit.sales order by salesid limit 500",
	"select sellerid, sum(pricepaid), avg(pricepaid), count(*) from tickit.sales group by sellerid order by 2 desc, 1 limit 20",
	"with t as (select 1 as a union all select 2) select a, a * 1.0 / 3 from t order by a",
	"select 1 where false",
	"select null, null::integer",
	"show tables from schema dev.tickit",
	"explain select 1",
	"select getdate() > date '2020-01-01', nvl(null, 'x'), len('four')",
}

// failures must be refused with the same SQLSTATE and words.
var failures = []string{
	"select nosuch from tickit.sales", "select * from nosuch", "selec 1", "select 1/0", "select 'x'::integer", "select 1; select 2",
	"select * from tickit.sales where", "select pg_sleep('x')",
}

func TestTransportsGiveTheSameRows(t *testing.T) {
	t.Parallel()
	byWire := development(t)
	byDataAPI, err := startWorld(filepath.Join(filepath.Dir(sharedFolder), "dataapi"), "--transport", "dataapi")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := byDataAPI.stop(); err != nil {
			t.Error(err)
		}
	})
	byCenter, err := startWorld(filepath.Join(filepath.Dir(sharedFolder), "center"), "--chain", "identity_center")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := byCenter.stop(); err != nil {
			t.Error(err)
		}
	})
	worlds := map[string]*world{"wire": byWire, "dataapi": byDataAPI, "wire by Identity Center": byCenter}
	tokens := map[string]string{}
	for name, w := range worlds {
		tokens[name] = w.token(t, "alice")
		listed := w.call(t, http.MethodGet, "/v1/warehouses", tokens[name], "", nil)
		want := map[string]string{"wire": "wire", "dataapi": "dataapi", "wire by Identity Center": "wire"}[name]
		if !strings.Contains(listed.Body, `"transport":"`+want+`"`) {
			t.Errorf("%s: GET /v1/warehouses says %s", name, listed.Body)
		}
	}
	for _, sql := range corpus {
		want := byWire.query(t, tokens["wire"], sql)
		if want.Status != http.StatusOK {
			t.Errorf("%s: %d %s", sql, want.Status, want.Body)
			continue
		}
		for name, w := range worlds {
			for way, got := range map[string]answer{"": w.query(t, tokens[name], sql), " in the background": w.background(t, tokens[name], sql)} {
				if by := got.Header.Get("Shiftgrant-Transport"); by != map[bool]string{true: "dataapi", false: "wire"}[name == "dataapi"] {
					t.Errorf("%s: by %s%s, and the answer says %q", sql, name, way, by)
				}
				if diff := cmp.Diff(want.Columns, declared(got.Columns, want.Columns)); diff != "" {
					t.Errorf("%s: columns by wire and by %s%s (-+):\n%s", sql, name, way, diff)
				}
				if diff := cmp.Diff(want.Rows, got.Rows); diff != "" {
					t.Errorf("%s: rows by wire and by %s%s (-+):\n%s", sql, name, way, diff)
				}
			}
		}
	}
	for _, sql := range failures {
		want := byWire.query(t, tokens["wire"], sql)
		for name, w := range worlds {
			got := w.query(t, tokens[name], sql)
			if got.Status != want.Status || fmt.Sprint(got.Problem["sqlstate"], got.Problem["detail"]) != fmt.Sprint(want.Problem["sqlstate"], want.Problem["detail"]) || got.Status < 400 {
				t.Errorf("%s: by wire %d %s\nby %s %d %s", sql, want.Status, want.Body, name, got.Status, got.Body)
			}
		}
	}
}

// declared leaves out of columns what a reference does not say: where a statement declares no
// length or precision PostgreSQL has none, and the Data API makes one up.
func declared(columns, reference []any) []any {
	for i := range min(len(columns), len(reference)) {
		fields, _ := columns[i].(map[string]any)
		known, _ := reference[i].(map[string]any)
		for _, name := range []string{"length", "precision", "scale"} {
			if _, said := known[name]; !said {
				delete(fields, name)
			}
		}
	}
	return columns
}
