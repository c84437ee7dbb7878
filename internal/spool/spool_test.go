package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/shiftgrant/shiftgrant/redshift"
)

func TestAResultComesBackAsItWasAsOftenAsAsked(t *testing.T) {
	t.Parallel()
	s, _ := open(t, nil)
	behind := &warehouse{rows: rowsOf(100, 40)}
	statements := s.For(ann, behind)
	id := submit(t, statements, redshift.Statement{SQL: "select 1"})
	for range 3 {
		rows, err := statements.Fetch(t.Context(), id, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows.Columns()) != 3 {
			t.Errorf("%d columns", len(rows.Columns()))
		}
		if diff := cmp.Diff(behind.rows, read(t, rows)); diff != "" {
			t.Fatal(diff)
		}
		want := redshift.Summary{RowCount: 100, RowsAffected: -1, QueryID: 77, Duration: time.Second}
		if got := rows.Summary(); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	if n := behind.ran(); n != 1 {
		t.Errorf("it ran %d times", n)
	}
}

func TestPartitionsOneAfterTheOtherAreTheResult(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		value := rapid.Custom(func(r *rapid.T) []byte {
			if rapid.Bool().Draw(r, "null") {
				return nil
			}
			return append([]byte{}, rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(r, "value")...)
		})
		width := rapid.IntRange(1, 4).Draw(r, "columns")
		behind := &warehouse{rows: rapid.SliceOfN(rapid.SliceOfN(value, width, width), 0, 60).Draw(r, "rows")}
		s, _ := open(t, func(c *Config) {
			c.BlockSize = rapid.IntRange(1, 500).Draw(r, "block")
			c.PartitionSize = int64(rapid.IntRange(1, 2000).Draw(r, "partition"))
		})
		statements := s.For(ann, behind)
		id := submit(t, statements, redshift.Statement{SQL: "select 1"})
		execution, err := statements.Describe(t.Context(), id, 0)
		if err != nil {
			t.Fatal(err)
		}
		parts := make([][][][]byte, len(execution.Partitions))
		var group sync.WaitGroup
		for number, partition := range execution.Partitions {
			group.Go(func() {
				rows, err := statements.FetchPartition(t.Context(), id, number, 0)
				if err != nil {
					t.Error(err)
					return
				}
				parts[number] = read(t, rows)
				if n := int64(len(parts[number])); n != partition.RowCount || n != rows.Summary().RowCount {
					t.Errorf("%d rows in partition %d, %d announced, %d in the summary", n, number, partition.RowCount, rows.Summary().RowCount)
				}
			})
		}
		group.Wait()
		if got := slices.Concat(parts...); len(behind.rows) != len(got) || len(got) > 0 && !reflect.DeepEqual(got, behind.rows) {
			r.Errorf("the parts are not the whole")
		}
		for _, none := range []int{-1, len(parts)} {
			if _, err := statements.FetchPartition(t.Context(), id, none, 0); !errors.Is(err, redshift.ErrNoPartition) {
				r.Errorf("partition %d: %v", none, err)
			}
		}
	})
}

func TestNobodyElseGetsAtAStatement(t *testing.T) {
	t.Parallel()
	s, _ := open(t, nil)
	id := submit(t, s.For(ann, &warehouse{rows: rowsOf(1, 1)}), redshift.Statement{SQL: "select 1"})
	for name, owner := range map[string]Owner{
		"another person":       {ann.Tenant, "per_bob", ann.Warehouse},
		"another warehouse":    {ann.Tenant, ann.Person, "other"},
		"another organisation": {"other", ann.Person, ann.Warehouse},
	} {
		other := s.For(owner, &warehouse{})
		_, fetch := other.Fetch(t.Context(), id, 0)
		_, partition := other.FetchPartition(t.Context(), id, 0, 0)
		_, describe := other.Describe(t.Context(), id, 0)
		for what, err := range map[string]error{"fetch": fetch, "partition": partition, "describe": describe, "cancel": other.Cancel(t.Context(), id)} {
			if !errors.Is(err, redshift.ErrNotFound) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
	}
}

func TestAStatementThatRuns(t *testing.T) {
	t.Parallel()
	s, _ := open(t, nil)
	behind := &warehouse{rows: rowsOf(50, 40), gate: map[int]chan struct{}{30: make(chan struct{})}, reached: make(chan int)}
	statements := s.For(ann, behind)
	ctx, gone := context.WithCancel(t.Context())
	id, err := statements.Submit(ctx, redshift.Statement{SQL: "select 1"})
	if err != nil {
		t.Fatal(err)
	}
	gone() // the request ends, the statement does not
	<-behind.reached
	if _, err := statements.Fetch(t.Context(), id, 0); !errors.Is(err, redshift.ErrRunning) {
		t.Errorf("fetch: %v", err)
	}
	running, err := statements.Describe(t.Context(), id, 0)
	if err != nil || running.State != redshift.Started || running.RowCount != 30 || running.Bytes < 30*41 || !running.ExpiresAt.IsZero() {
		t.Errorf("%+v, %v", running, err)
	}
	close(behind.gate[30])
	finished, err := statements.Describe(t.Context(), id, time.Minute)
	if err != nil || finished.State != redshift.Finished || finished.RowCount != 50 || finished.Bytes <= running.Bytes || !finished.HasResult || finished.ExpiresAt.IsZero() {
		t.Errorf("%+v, %v", finished, err)
	}
	if err := statements.Cancel(t.Context(), id); err != nil {
		t.Errorf("cancelling what has ended: %v", err)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	s, _ := open(t, nil)
	behind := &warehouse{rows: rowsOf(500, 40), gate: map[int]chan struct{}{300: make(chan struct{})}, reached: make(chan int)}
	statements := s.For(ann, behind)
	id, err := statements.Submit(t.Context(), redshift.Statement{SQL: "select 1"})
	if err != nil {
		t.Fatal(err)
	}
	<-behind.reached
	if usage := s.Usage(); usage.Running != 1 || usage.Bytes == 0 {
		t.Errorf("while it runs: %+v", usage)
	}
	if err := statements.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	execution, err := statements.Describe(t.Context(), id, 0)
	if err != nil || execution.State != redshift.Aborted || execution.Error != nil || execution.HasResult {
		t.Errorf("%+v, %v", execution, err)
	}
	if _, err := statements.Fetch(t.Context(), id, 0); !errors.Is(err, redshift.ErrCanceled) {
		t.Errorf("fetch: %v", err)
	}
	if usage := s.Usage(); usage != (Usage{Statements: 1}) || behind.closed != 1 {
		t.Errorf("%+v is kept, %d results closed", usage, behind.closed)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	refusal := &redshift.Error{SQLState: "22012", Message: "division by zero"}
	access := &redshift.AccessError{Err: errors.New("the role is not trusted")}
	for name, c := range map[string]struct {
		behind *warehouse
		want   error // nil for one of ours
	}{
		"Redshift refuses it":          {&warehouse{refuse: refusal}, refusal},
		"Redshift ends it in the rows": {&warehouse{rows: rowsOf(300, 40), fail: refusal}, refusal},
		"there is no access":           {&warehouse{refuse: access}, access},
		"a fault of ours":              {&warehouse{panics: true}, nil},
	} {
		s, _ := open(t, nil)
		statements := s.For(ann, c.behind)
		id := submit(t, statements, redshift.Statement{SQL: "select 1"})
		execution, err := statements.Describe(t.Context(), id, 0)
		if err != nil || execution.State != redshift.Failed || execution.Error == nil || c.want != nil && !errors.Is(execution.Error, c.want) {
			t.Errorf("%s: %+v, %v", name, execution, err)
		}
		if _, err := statements.Fetch(t.Context(), id, 0); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: fetch: %v", name, err)
		}
		if usage := s.Usage(); usage.Bytes != 0 || usage.Running != 0 {
			t.Errorf("%s: %+v is kept", name, usage)
		}
	}
}

func TestLimitsOfTheCaller(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		query redshift.Statement
		rows  int64
		limit string
	}{
		"no limit":            {redshift.Statement{}, 100, ""},
		"rows":                {redshift.Statement{MaxRows: 30}, 30, "max_rows"},
		"rows that just fit":  {redshift.Statement{MaxRows: 100}, 100, ""},
		"bytes":               {redshift.Statement{MaxBytes: 20 * 45}, 20, "max_bytes"},
		"bytes that just fit": {redshift.Statement{MaxBytes: 100 * 43}, 100, ""},
	} {
		s, _ := open(t, nil)
		statements := s.For(ann, &warehouse{rows: rowsOf(100, 40)}) // 43 bytes a row on average
		id := submit(t, statements, c.query)
		rows, err := statements.Fetch(t.Context(), id, 0)
		if err != nil {
			t.Fatal(name, err)
		}
		if got := int64(len(read(t, rows))); got != c.rows {
			t.Errorf("%s: %d rows, want %d", name, got, c.rows)
		}
		if got := rows.Summary(); got.Truncated != (c.limit != "") || got.Limit != c.limit {
			t.Errorf("%s: %+v", name, got)
		}
		execution, _ := statements.Describe(t.Context(), id, 0)
		if execution.Truncated != (c.limit != "") || execution.RowCount != c.rows {
			t.Errorf("%s: %+v", name, execution)
		}
		for number := range execution.Partitions {
			part, err := statements.FetchPartition(t.Context(), id, number, 0)
			if err != nil {
				t.Fatal(err)
			}
			read(t, part)
			if last := number == len(execution.Partitions)-1; part.Summary().Truncated != (last && c.limit != "") {
				t.Errorf("%s: partition %d of %d: %+v", name, number, len(execution.Partitions), part.Summary())
			}
		}
	}
}

func TestAResultThatIsTooLargeIsCancelled(t *testing.T) {
	t.Parallel()
	s, _ := open(t, func(c *Config) { c.BytesPerStatement = 5000 })
	behind := &warehouse{rows: rowsOf(1000, 40)}
	statements := s.For(ann, behind)
	id := submit(t, statements, redshift.Statement{SQL: "select 1"})
	var tooLarge *redshift.TooLargeError
	if _, err := statements.Fetch(t.Context(), id, 0); !errors.As(err, &tooLarge) || !strings.Contains(tooLarge.Limit, "5000 bytes") {
		t.Errorf("%v", err)
	}
	if usage := s.Usage(); usage.Bytes != 0 || behind.closed != 1 {
		t.Errorf("%+v is kept, %d closed", usage, behind.closed)
	}
}

func TestTheOldestMakesRoomUnlessItIsRead(t *testing.T) {
	t.Parallel()
	s, _ := open(t, func(c *Config) { c.Bytes = 12000 })
	statements := s.For(ann, &warehouse{rows: rowsOf(100, 40)}) // 4.7 KB each
	var ids []string
	for range 2 {
		ids = append(ids, submit(t, statements, redshift.Statement{SQL: "select 1"}))
	}
	reading, err := statements.Fetch(t.Context(), ids[0], 0)
	if err != nil {
		t.Fatal(err)
	}
	third := submit(t, statements, redshift.Statement{SQL: "select 1"})
	for id, want := range map[string]error{ids[0]: nil, ids[1]: redshift.ErrNotFound, third: nil} {
		if _, err := statements.Describe(t.Context(), id, 0); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	second, err := statements.Fetch(t.Context(), third, 0)
	if err != nil {
		t.Fatal(err)
	}
	var tooLarge *redshift.TooLargeError
	if _, err := statements.Fetch(t.Context(), submit(t, statements, redshift.Statement{SQL: "select 1"}), 0); !errors.As(err, &tooLarge) {
		t.Errorf("when all are being read: %v", err)
	}
	for _, rows := range []redshift.Rows{reading, second} {
		if n := len(read(t, rows)); n != 100 {
			t.Errorf("%d rows of what was being read", n)
		}
	}
}

func TestTooManyStatements(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Config){
		"of one person": func(c *Config) { c.StatementsPerPerson = 2 },
		"of all":        func(c *Config) { c.Statements = 2 },
	} {
		s, _ := open(t, change)
		gate := make(chan struct{})
		behind := &warehouse{rows: rowsOf(1, 1), gate: map[int]chan struct{}{0: gate}, reached: make(chan int, 10)}
		statements := s.For(ann, behind)
		ended := submit(t, s.For(ann, &warehouse{}), redshift.Statement{})
		for range 2 { // the second in place of the one that has ended
			if _, err := statements.Submit(t.Context(), redshift.Statement{}); err != nil {
				t.Fatal(name, err)
			}
		}
		if _, err := statements.Describe(t.Context(), ended, 0); !errors.Is(err, redshift.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
		var busy *redshift.BusyError
		if _, err := statements.Submit(t.Context(), redshift.Statement{}); !errors.As(err, &busy) || busy.RetryAfter <= 0 {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := s.For(Owner{"default", "per_bob", "tickit"}, behind).Submit(t.Context(), redshift.Statement{}); (err == nil) != (name == "of one person") {
			t.Errorf("%s, and somebody else: %v", name, err)
		}
		close(gate)
	}
}

func TestAKeyIsForOneStatement(t *testing.T) {
	t.Parallel()
	s, now := open(t, nil)
	behind := &warehouse{rows: rowsOf(1, 1)}
	statements := s.For(ann, behind)
	query := redshift.Statement{SQL: "insert …", IdempotencyKey: "k"}
	id := submit(t, statements, query)
	again := query
	again.Resubmitted = true
	if got := submit(t, statements, again); got != id || behind.ran() != 1 {
		t.Errorf("another id, or ran %d times", behind.ran())
	}
	other := query
	other.SQL = "delete …"
	if _, err := statements.Submit(t.Context(), other); !errors.Is(err, errKeyUsed) {
		t.Errorf("another statement: %v", err)
	}
	if got := submit(t, s.For(Owner{"default", "per_bob", "tickit"}, behind), query); got == id {
		t.Error("somebody else got the same statement")
	}
	now.pass(2 * time.Hour)
	if _, err := statements.Submit(t.Context(), again); !errors.Is(err, redshift.ErrForgotten) || behind.ran() != 2 {
		t.Errorf("once it is forgotten: %v, ran %d times", err, behind.ran())
	}
}

func TestRowsAreGoneAfterTheirTime(t *testing.T) {
	t.Parallel()
	s, now := open(t, nil)
	statements := s.For(ann, &warehouse{rows: rowsOf(100, 40)})
	id := submit(t, statements, redshift.Statement{})
	reading, err := statements.Fetch(t.Context(), id, 0)
	if err != nil {
		t.Fatal(err)
	}
	now.pass(59 * time.Minute)
	s.expire()
	if _, err := statements.Describe(t.Context(), id, 0); err != nil {
		t.Error(err)
	}
	now.pass(time.Minute)
	if _, err := statements.Fetch(t.Context(), id, 0); !errors.Is(err, redshift.ErrNotFound) {
		t.Errorf("before the sweep: %v", err)
	}
	s.expire()
	if usage := s.Usage(); usage.Statements != 0 || usage.Bytes == 0 {
		t.Errorf("while it is read: %+v", usage)
	}
	if n := len(read(t, reading)); n != 100 {
		t.Errorf("%d rows", n)
	}
	if usage := s.Usage(); usage != (Usage{}) {
		t.Errorf("afterwards: %+v", usage)
	}
}

func TestWhatIsOnDisk(t *testing.T) {
	t.Parallel()
	const canary = "do-not-find-me"
	s, _ := open(t, nil)
	statements := s.For(ann, &warehouse{rows: [][][]byte{{[]byte(strings.Repeat(canary, 500))}, {[]byte(canary)}}})
	id := submit(t, statements, redshift.Statement{})
	f := s.statements[id].file
	content := make([]byte, f.size())
	if _, err := f.ReadAt(content, 0); err != nil || len(content) < 500*len(canary) {
		t.Fatal(len(content), err)
	}
	if bytes.Contains(content, []byte(canary)) {
		t.Error("rows can be read on disk")
	}
	named, err := os.ReadDir(s.config.Folder)
	if err != nil || len(named) != 0 {
		t.Errorf("%v, %v: files have names", named, err)
	}
}

func TestDamageIsSeen(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(f *file, content []byte){
		"a bit of a value": func(f *file, c []byte) { c[f.blocks[1].end+5] ^= 1 },
		"a bit of a tag":   func(f *file, c []byte) { c[f.blocks[1].end-1] ^= 0x80 },
		"two blocks that change places": func(f *file, c []byte) {
			first, second := c[:f.blocks[0].end], c[f.blocks[0].end:f.blocks[1].end]
			copy(c, append(append([]byte{}, second...), first...))
		},
		"an end that is cut off": func(f *file, _ []byte) { f.blocks = f.blocks[:len(f.blocks)-1] },
	} {
		s, _ := open(t, nil)
		statements := s.For(ann, &warehouse{rows: rowsOf(100, 40)})
		id := submit(t, statements, redshift.Statement{})
		st := s.statements[id]
		content := make([]byte, st.file.size())
		if _, err := st.file.ReadAt(content, 0); err != nil {
			t.Fatal(err)
		}
		damage(st.file, content)
		st.blocks = len(st.file.blocks)
		if _, err := st.file.WriteAt(content, 0); err != nil {
			t.Fatal(err)
		}
		rows, err := statements.Fetch(t.Context(), id, 0)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
		}
		if err := rows.Err(); !errors.Is(err, errDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		_ = rows.Close()
	}
}

func TestARowLargerThanABlock(t *testing.T) {
	t.Parallel()
	s, _ := open(t, nil)
	behind := &warehouse{rows: [][][]byte{{[]byte("small")}, {bytes.Repeat([]byte("x"), 1<<20)}, {[]byte("small")}}}
	statements := s.For(ann, behind)
	rows, err := statements.Fetch(t.Context(), submit(t, statements, redshift.Statement{}), 0)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(read(t, rows), behind.rows) {
		t.Error("the rows are others")
	}
}

func TestResultsWithoutRows(t *testing.T) {
	t.Parallel()
	s, _ := open(t, func(c *Config) { c.Bytes = 1 }) // no room for a block
	statements := s.For(ann, &warehouse{})
	id := submit(t, statements, redshift.Statement{SQL: "create table …"})
	rows, err := statements.Fetch(t.Context(), id, 0)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(read(t, rows)); n != 0 || len(rows.Columns()) != 0 {
		t.Errorf("%d rows", n)
	}
	if execution, err := statements.Describe(t.Context(), id, 0); err != nil || execution.State != redshift.Finished || execution.HasResult || len(execution.Partitions) != 1 {
		t.Errorf("%+v, %v", execution, err)
	}
}

func TestAReaderThatGoesAway(t *testing.T) {
	t.Parallel()
	s, _ := open(t, nil)
	statements := s.For(ann, &warehouse{rows: rowsOf(100, 40)})
	id := submit(t, statements, redshift.Statement{})
	ctx, gone := context.WithCancel(t.Context())
	rows, err := statements.Fetch(ctx, id, 0)
	if err != nil {
		t.Fatal(err)
	}
	rows.Next()
	gone()
	for rows.Next() {
	}
	if err := rows.Err(); !errors.Is(err, context.Canceled) {
		t.Errorf("a short result that looks whole: %v", err)
	}
	_, _ = rows.Close(), rows.Close()
	if readers := s.statements[id].readers; readers != 0 {
		t.Errorf("%d readers are left", readers)
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	left, other := filepath.Join(folder, "LEFT.rows"), filepath.Join(folder, "README")
	for _, path := range []string{left, other} {
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, _ := open(t, func(c *Config) { c.Folder = folder })
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what an earlier gateway left: %v", err)
	}
	if _, err := os.Stat(other); err != nil {
		t.Errorf("what is not ours: %v", err)
	}
	behind := &warehouse{rows: rowsOf(10, 1), gate: map[int]chan struct{}{5: make(chan struct{})}, reached: make(chan int)}
	statements := s.For(ann, behind)
	if _, err := statements.Submit(t.Context(), redshift.Statement{}); err != nil {
		t.Fatal(err)
	}
	<-behind.reached
	if err := s.Close(); err != nil || behind.closed != 1 {
		t.Errorf("%v; %d results closed", err, behind.closed)
	}
	if _, err := statements.Submit(t.Context(), redshift.Statement{}); !errors.Is(err, errClosed) {
		t.Errorf("after that: %v", err)
	}
}

// Many run, read, cancel and expire at once; what is left in the end is nothing.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	s, now := open(t, func(c *Config) { c.Bytes, c.StatementsPerPerson = 60000, 8 })
	var group sync.WaitGroup
	for person := range 6 {
		group.Go(func() {
			behind := &warehouse{rows: rowsOf(200, 30)}
			statements := s.For(Owner{"default", fmt.Sprint(person), "tickit"}, behind)
			for range 20 {
				id, err := statements.Submit(t.Context(), redshift.Statement{})
				if err != nil {
					t.Error(err)
					return
				}
				rows, err := statements.Fetch(t.Context(), id, time.Minute)
				var tooLarge *redshift.TooLargeError
				if errors.As(err, &tooLarge) || errors.Is(err, redshift.ErrNotFound) {
					continue // others had the room
				}
				if err != nil {
					t.Error(err)
					return
				}
				if got := read(t, rows); !reflect.DeepEqual(got, behind.rows) {
					t.Errorf("%d rows are others", len(got))
				}
				_ = statements.Cancel(t.Context(), id)
			}
		})
	}
	group.Wait()
	now.pass(2 * time.Hour)
	s.expire()
	if usage := s.Usage(); usage != (Usage{}) || len(s.people) != 0 || len(s.byKey) != 0 {
		t.Errorf("%+v is left", usage)
	}
}

func FuzzReadRow(f *testing.F) {
	f.Add(appendRow(nil, [][]byte{nil, {}, []byte("abc")}), 3)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, 1)
	f.Fuzz(func(t *testing.T, block []byte, columns int) {
		values := make([][]byte, min(max(columns, 0), 100))
		rest, err := readRow(block, values)
		if err != nil {
			return
		}
		if len(rest) > len(block) {
			t.Error("more is left than there was")
		}
		back := make([][]byte, len(values))
		if _, err := readRow(appendRow(nil, values), back); err != nil || !reflect.DeepEqual(values, back) {
			t.Errorf("%v became %v, %v", values, back, err)
		}
	})
}
