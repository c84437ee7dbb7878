package dataapi_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/shiftgrant/shiftgrant/twin/dataapi"
)

var update = flag.Bool("update", false, "write the golden files anew")

// everyType has a value of each kind, the awkward ones among them.
const everyType = `select 1::smallint as small, -2147483648 as int, 9223372036854775807 as big, 1.5::real as real, 'NaN'::float8 as nan,
	'-Infinity'::float8 as infinity, true as yes, false as no, 12.340::numeric(8,3) as fixed, 1/3.0 as computed, 'x'::char(3) as padded,
	'com,ma'::varchar(20) as comma, 'say "hi"' as quotes, E'two\nlines' as lines, '' as empty, null as nothing, ' spaced ' as spaced,
	date '2025-02-22' as day, timestamp '2025-02-22 10:00' as moment, timestamp '2025-02-22 10:00:00.5' as fraction,
	timestamptz '2025-02-22 10:00+02' as zoned, time '10:00' as clock, interval '1 day 2 hours' as span, '{"a": [1, "ü</x>"]}'::jsonb as super,
	'\xdeadbeef'::bytea as bytes, array[1,2] as list, 'NULL' as word, '\N' as backslash`

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (run with -update after looking):\n%s\nwant\n%s", name, got, want)
	}
}

func TestRecordsOfEveryType(t *testing.T) {
	t.Parallel()
	alice := newAPI(t, nil)
	answer := alice.call("ExecuteStatement", alice.sql(everyType, nil))
	_, _, content, err := alice.raw("GetStatementResult", in{"Id": answer["Id"]})
	if err != nil {
		t.Fatal(err)
	}
	var page struct {
		Records        [][]json.RawMessage
		ColumnMetadata []json.RawMessage
	}
	if err := json.Unmarshal(content, &page); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for i, field := range page.Records[0] {
		lines = append(lines, string(page.ColumnMetadata[i]), "\t"+string(field))
	}
	golden(t, "records.txt", strings.Join(lines, "\n")+"\n")
}

func TestCSVOfEveryType(t *testing.T) {
	t.Parallel()
	alice := newAPI(t, nil)
	golden(t, "records.csv", alice.csv(everyType)[0])
}

func TestCSVTellsNullFromTheEmptyString(t *testing.T) {
	t.Parallel()
	alice := newAPI(t, nil)
	got := alice.csv(`select null as a, '' as "b,c" union all select 'x', null order by 1`)[0]
	if want := "a,\"b,c\"\nx,\n,\"\"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := alice.csv("select 1 as n where false")[0]; got != "n\n" {
		t.Errorf("no rows: %q", got)
	}
}

// csv gives the pages of a statement's result.
func (a api) csv(sql string) []string {
	a.t.Helper()
	answer := a.call("ExecuteStatement", a.sql(sql, in{"ResultFormat": "CSV"}))
	if answer["Status"] != "FINISHED" {
		a.t.Fatalf("%s: %v", sql, a.call("DescribeStatement", in{"Id": answer["Id"]})["Error"])
	}
	var pages []string
	for token := any(""); token != nil; {
		page := a.call("GetStatementResultV2", in{"Id": answer["Id"], "NextToken": token})
		text := ""
		for _, record := range page["Records"].([]any) {
			text += record.(map[string]any)["CSVRecords"].(string)
		}
		if page["ResultFormat"] != "CSV" {
			a.t.Errorf("the page's format is %v", page["ResultFormat"])
		}
		pages = append(pages, text)
		token = page["NextToken"]
	}
	return pages
}

func TestALargeResultComesInPages(t *testing.T) {
	t.Parallel()
	alice := newAPI(t, nil)
	pages := alice.csv("select * from tickit.sales order by salesid")
	if len(pages) < 10 {
		t.Errorf("%d pages", len(pages))
	}
	for i, page := range pages {
		if len(page) > 1<<20 || !strings.HasSuffix(page, "\n") {
			t.Errorf("page %d has %d bytes and ends with %q", i+1, len(page), page[len(page)-1:])
		}
	}
	rows, err := csv.NewReader(strings.NewReader(strings.Join(pages, ""))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 1+172456 || rows[0][0] != "salesid" {
		t.Fatalf("%d rows, first %v", len(rows), rows[0])
	}
	for i, row := range rows[1:] {
		if row[0] != strconv.Itoa(i+1) {
			t.Fatalf("row %d is %v", i+1, row)
		}
	}
}

func TestRecordsComeInPages(t *testing.T) {
	t.Parallel()
	alice := newAPI(t, func(c *dataapi.Config) { c.PageBytes = 10_000 })
	id := alice.run("select generate_series as n from generate_series(1, 2000)", nil)["Id"]
	next, seen, pages := any(""), 0, 0
	for next != nil {
		page := alice.call("GetStatementResult", in{"Id": id, "NextToken": next})
		if page["TotalNumRows"] != 2000.0 || len(page["ColumnMetadata"].([]any)) != 1 {
			t.Errorf("page tells %v", page["TotalNumRows"])
		}
		for _, record := range page["Records"].([]any) {
			seen++
			if got := jsonOf(record); got != `[{"longValue":`+strconv.Itoa(seen)+`}]` {
				t.Fatalf("record %d is %s", seen, got)
			}
		}
		next = page["NextToken"]
		pages++
	}
	if seen != 2000 || pages < 4 {
		t.Errorf("%d records in %d pages", seen, pages)
	}
}

func TestATokenIsGoodForOneStatementAndOneCaller(t *testing.T) {
	t.Parallel()
	alice := newAPI(t, func(c *dataapi.Config) { c.PageBytes = 100 })
	const sql = "select generate_series as n from generate_series(1, 20)"
	first, second := alice.run(sql, nil)["Id"], alice.run(sql, nil)["Id"]
	token := alice.call("GetStatementResult", in{"Id": first})["NextToken"].(string)
	alice.call("GetStatementResult", in{"Id": first, "NextToken": token})
	alice.call("GetStatementResult", in{"Id": first, "NextToken": token}) // a page can be asked for again
	alice.refused(http.StatusBadRequest, "ValidationException", "GetStatementResult", in{"Id": second, "NextToken": token})
	for _, forged := range []string{"1", token + "A", token[:len(token)-4] + "AAA=", "%%"} {
		alice.refused(http.StatusBadRequest, "ValidationException", "GetStatementResult", in{"Id": first, "NextToken": forged})
	}
	other := newAPI(t, nil)
	other.refused(http.StatusNotFound, "ResourceNotFoundException", "GetStatementResult", in{"Id": first, "NextToken": token})
}

func TestAResultComesInTheFormatItWasAskedIn(t *testing.T) {
	t.Parallel()
	alice := newAPI(t, nil)
	id := alice.run("select 1", nil)["Id"]
	alice.refused(http.StatusBadRequest, "ValidationException", "GetStatementResultV2", in{"Id": id})
	id = alice.run("select 1", in{"ResultFormat": "CSV"})["Id"]
	alice.refused(http.StatusBadRequest, "ValidationException", "GetStatementResult", in{"Id": id})
}

func TestARowHasLimits(t *testing.T) {
	t.Parallel()
	alice := newAPI(t, nil)
	if d := alice.run("select repeat('x', 65536)", nil); d["Status"] != "FINISHED" {
		t.Errorf("64 KB: %v", d["Error"])
	}
	if d := alice.run("select repeat('x', 65537) from generate_series(1, 1000)", nil); d["Status"] != "FAILED" || !strings.Contains(d["Error"].(string), "64 KB") {
		t.Errorf("more: %v", d)
	}
}

func TestSpooledResultsAreRemoved(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("TMPDIR", folder)
	t.Run("while open", func(t *testing.T) {
		alice := newAPI(t, nil)
		alice.csv("select * from tickit.event")
		if spooled, err := filepath.Glob(filepath.Join(folder, "twin-results-*", "*")); err != nil || len(spooled) != 1 {
			t.Errorf("spooled: %v, %v", spooled, err)
		}
	})
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestColumnsTellTheirTable(t *testing.T) {
	t.Parallel()
	alice := newAPI(t, nil)
	answer := alice.call("ExecuteStatement", alice.sql("select venuename as house, venueid, 1 as one from tickit.venue limit 1", nil))
	columns := alice.call("GetStatementResult", in{"Id": answer["Id"]})["ColumnMetadata"].([]any)
	var got bytes.Buffer
	for _, c := range columns {
		c := c.(map[string]any)
		got.WriteString(c["schemaName"].(string) + "." + c["tableName"].(string) + "." + c["name"].(string) + " " + c["typeName"].(string) + " " + text(c["precision"]) + " " + text(c["nullable"]) + "\n")
	}
	if want := "tickit.venue.house varchar 100 1\ntickit.venue.venueid int2 5 0\n..one int4 10 1\n"; got.String() != want {
		t.Errorf("got\n%swant\n%s", got.String(), want)
	}
}
