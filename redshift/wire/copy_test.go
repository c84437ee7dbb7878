package wire_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shiftgrant/shiftgrant/internal/encode"
	"github.com/shiftgrant/shiftgrant/redshift"
)

// PostgreSQL's COPY is a reader of CSV that nobody here wrote. What it makes of a result is the same
// table again: NULL and the empty string, quotes and line breaks, every last digit.
func TestCSVIsReadBackByCOPY(t *testing.T) {
	t.Parallel()
	const query = `select n, case when n % 3 = 0 then null when n % 3 = 1 then '' else 'x' || n end as words,
		E'a "quoted", line\r\nbreak\\ and \t tab ' || n as hostile, (n * 1.1)::numeric(20, 5) as amount, 1 / (n + 0.1)::double precision as inexact,
		'NaN'::real as nothing, '-Infinity'::double precision as little, n % 2 = 0 as even, date '0001-01-01' + n * 1000 as day, timestamp '2026-11-23 01:02:03.000004' + n * interval '1 second' as moment,
		timestamptz '2026-11-23 01:02:03.4+05' as instant, time '23:59:59.999999' as clock, '\N'::varchar(2) as backslash, 'é€𝄞'::varchar(8) as letters, 9007199254740993 + n as large
		from generate_series(1, 3000) n order by n`
	session := newPort(t, nil).connect(t, nil)
	rows, err := session.Query(t.Context(), redshift.Statement{SQL: query})
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var file bytes.Buffer
	summary, err := encode.Write(&file, encode.CSV, rows, encode.Options{})
	if err != nil || summary.RowCount != 3000 {
		t.Fatal(summary, err)
	}
	direct, err := database.Connect(t.Context(), "alice", "dev")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = direct.Close(ctx)
	}()
	if _, err := direct.Exec(t.Context(), "set timezone = 'UTC'; create temporary table original as "+query+"; create temporary table back as select * from original limit 0").ReadAll(); err != nil {
		t.Fatal(err)
	}
	if _, err := direct.CopyFrom(t.Context(), &file, "copy back from stdin with (format csv, header match)"); err != nil {
		t.Fatal(err)
	}
	var tables [2]strings.Builder
	for n, name := range []string{"original", "back"} {
		result, err := direct.Exec(t.Context(), "select * from "+name+" order by n").ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range result[0].Rows {
			for _, value := range row {
				if value == nil {
					value = []byte("∅")
				}
				tables[n].WriteString("|" + string(value))
			}
			tables[n].WriteString("\n")
		}
	}
	if diff := cmp.Diff(tables[0].String(), tables[1].String()); diff != "" {
		t.Error(diff)
	}
}
