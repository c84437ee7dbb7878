package postgres_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/shiftgrant/shiftgrant/twin/postgres"
)

func TestTheSampleHasTheShapeOfTICKIT(t *testing.T) {
	t.Parallel()
	conn := connect(t, shared, "admin")
	for table, want := range map[string]string{
		"users": "49990", "venue": "202", "category": "11", "date": "365", "event": "8798", "listing": "192497", "sales": "172456",
	} {
		if got := translated(t, conn, "select count(*) from tickit."+table); got != want {
			t.Errorf("tickit.%s has %s rows, want %s", table, got, want)
		}
	}
}

// The sums would move with any change of the generator, and with any use of chance.
func TestTheSampleIsTheSameEveryTime(t *testing.T) {
	t.Parallel()
	conn := connect(t, shared, "admin")
	for _, row := range [][2]string{
		{"select md5(string_agg(u::text, '|' order by userid)) from tickit.users u", usersDigest},
		{"select md5(string_agg(e::text, '|' order by eventid)) from tickit.event e", eventsDigest},
		{"select md5(string_agg(s::text, '|' order by salesid)) from tickit.sales s", salesDigest},
	} {
		if got := translated(t, conn, row[0]); got != row[1] {
			t.Errorf("%s is %s, want %s", row[0], got, row[1])
		}
	}
}

const (
	usersDigest  = "b02fcc27f574ef5550a4f5d9765bc3de"
	eventsDigest = "1727ab1e5ef3039f6fda6302474abebd"
	salesDigest  = "ca17032a4c2ba48a94033ecb53002d76"
)

func TestTheSampleIsConsistent(t *testing.T) {
	t.Parallel()
	conn := connect(t, shared, "admin")
	for _, impossible := range []string{
		"tickit.sales s join tickit.listing l using (listid) where s.saletime < l.listtime or s.qtysold > l.numtickets or s.eventid <> l.eventid or s.sellerid <> l.sellerid",
		"tickit.sales s join tickit.event e using (eventid) where s.saletime > e.starttime",
		"tickit.sales s left join tickit.users u on u.userid = s.buyerid where u.userid is null",
		"tickit.sales s left join tickit.date d on d.dateid = s.dateid where d.caldate <> s.saletime::date or d.caldate is null",
		"tickit.event e join tickit.date d using (dateid) where d.caldate <> e.starttime::date",
		"tickit.event e left join tickit.venue v using (venueid) left join tickit.category c using (catid) where v is null or c.catid is null",
		"tickit.listing where totalprice <> numtickets * priceperticket",
		"(select username from tickit.users group by 1 having count(*) > 1) twice",
	} {
		if got := translated(t, conn, "select count(*) from "+impossible); got != "0" {
			t.Errorf("%s rows of %s", got, impossible)
		}
	}
}

func TestEachPersonMayDoWhatTheirRightsSay(t *testing.T) {
	t.Parallel()
	const denied = "42501" // insufficient_privilege
	for _, test := range []struct{ user, sql, want string }{
		{"alice", "select count(*) from tickit.sales", ""},
		{"alice", "select count(*) from finance.commission_ledger", ""},
		{"alice", "create table sandbox.notes (n int)", ""},
		{"alice", "insert into sandbox.notes values (1)", ""},
		{"alice", "drop table sandbox.notes", ""},
		{"alice", "create table tickit.mine (n int)", denied},
		{"alice", "delete from tickit.sales", denied},
		{"alice", "create table public.mine (n int)", denied},
		{"alice", "set session authorization bob", denied},
		{"alice", "set role admin", denied},
		{"alice", "copy tickit.venue to '/tmp/stolen'", denied},
		{"alice", "select pg_read_file('/etc/passwd')", denied},
		{"bob", "select count(*) from tickit.venue", ""},
		{"bob", "select count(*) from finance.commission_ledger", denied},
		{"bob", "select count(*) from sandbox.notes", denied},
		{"bob", "alter table tickit.sales disable row level security", denied},
		{"bob", "update tickit.sales set qtysold = 1", denied},
		{"admin", "insert into finance.budget values ('Q5', 'Shows', 1)", ""},
		{"admin", "delete from finance.budget where quarter = 'Q5'", ""},
		{"admin", "update tickit.sales set qtysold = qtysold where salesid = 1", ""},
		{"admin", "create schema staging", ""},
		{"admin", "drop schema staging", ""},
		{"admin", "create role intruder superuser", denied},
		{"admin", "select pg_read_file('/etc/passwd')", denied},
	} {
		_, err := query(connect(t, shared, test.user), test.sql)
		var refusal *pgconn.PgError
		code := ""
		if errors.As(err, &refusal) {
			code = refusal.Code
		}
		if code != test.want || (err == nil) != (test.want == "") {
			t.Errorf("%s: %s: got %v, want %q", test.user, test.sql, err, test.want)
		}
	}
}

func TestBobIsToldWhichSchemaIsRefused(t *testing.T) {
	t.Parallel()
	_, err := query(connect(t, shared, "bob"), "select 1 from finance.budget")
	var refusal *pgconn.PgError
	if !errors.As(err, &refusal) || refusal.Message != "permission denied for schema finance" {
		t.Fatalf("got %v", err)
	}
}

func TestBobSeesTheSalesOfConcertsOnly(t *testing.T) {
	t.Parallel()
	const others = "select count(*) from tickit.%s join tickit.event using (eventid) join tickit.category using (catid) where catgroup <> 'Concerts'"
	for _, table := range []string{"sales", "listing"} {
		sql := strings.Replace(others, "%s", table, 1)
		if got := translated(t, connect(t, shared, "bob"), sql); got != "0" {
			t.Errorf("bob sees %s others in tickit.%s", got, table)
		}
		hidden := translated(t, connect(t, shared, "alice"), sql)
		seen := translated(t, connect(t, shared, "bob"), "select count(*) from tickit."+table)
		if hidden == "0" || seen == "0" {
			t.Errorf("tickit.%s: %s hidden, %s seen: neither may be nothing", table, hidden, seen)
		}
	}
}

func TestNobodyLogsInAsSomebodyWhoIsNot(t *testing.T) {
	t.Parallel()
	for _, user := range []string{"mallory", "", "rdsdb", "postgres", "pg_read_all_data", "IAMR:shiftgrant-tickit"} {
		_, err := shared.Connect(t.Context(), user, postgres.Database)
		var login *postgres.LoginError
		if !errors.As(err, &login) || login.Error() != `FATAL: password authentication failed for user "`+user+`"` {
			t.Errorf("%q: got %v", user, err)
		}
	}
}

func TestTheSocketIsPrivateAndNothingListensOnTheNetwork(t *testing.T) {
	t.Parallel()
	folder, port := shared.Socket()
	info, err := os.Stat(folder)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 {
		t.Errorf("the socket's folder has mode %v", info.Mode())
	}
	if path := filepath.Join(folder, ".s.PGSQL."+strconv.Itoa(port)); len(path) > 107 {
		t.Errorf("%s is too long for a socket", path)
	}
	if got := translated(t, connect(t, shared, "admin"), "select setting from pg_settings where name = 'listen_addresses'"); got != "" {
		t.Errorf("listens on %s", got)
	}
}

func TestCloseLeavesNothingBehind(t *testing.T) {
	temporary := enterable(t)
	t.Setenv("TMPDIR", temporary)
	server, err := postgres.Start(t.Context(), postgres.Config{})
	if err != nil {
		t.Fatal(err)
	}
	conn := connect(t, server, "alice") // is cut off
	pid := translated(t, conn, "select pg_backend_pid()")
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if err := server.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	select {
	case <-server.Done():
	default:
		t.Error("Done is not closed")
	}
	if _, err := os.Stat("/proc/" + pid); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("backend %s lives: %v", pid, err)
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if _, err := server.Connect(t.Context(), "alice", postgres.Database); !errors.Is(err, postgres.ErrClosed) {
		t.Errorf("connect after Close: %v", err)
	}
}

// enterable makes a folder that an unprivileged PostgreSQL may pass through, which t.TempDir's
// is not.
func enterable(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("/tmp", "twin-keep-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(folder, 0o711); err != nil {
		t.Fatal(err)
	}
	return folder
}

// The server is started by a process that then dies without a chance to clean up.
func TestTheServerDiesWithItsParent(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a child of its parent's death")
	}
	temporary := enterable(t)
	helper := exec.Command(os.Args[0])
	helper.Env = append(os.Environ(), helperVariable+"=1", "TMPDIR="+temporary)
	output, err := helper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := helper.Start(); err != nil {
		t.Fatal(err)
	}
	folder, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	lock := filepath.Join(filepath.Dir(strings.TrimSpace(folder)), "data", "postmaster.pid")
	content, err := os.ReadFile(lock)
	if err != nil {
		t.Fatal(err)
	}
	pid, _, _ := strings.Cut(string(content), "\n")
	if err := helper.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = helper.Wait() // it was killed
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		// The last thing that a fast shutdown does is to remove its lock file.
		if _, err := os.Stat(lock); errors.Is(err, os.ErrNotExist) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("postgres %s outlived its parent", pid)
		}
	}
}

func TestAKeptFolderKeepsTheData(t *testing.T) {
	t.Parallel()
	// Longer than a socket's path may be.
	dir := filepath.Join(enterable(t), strings.Repeat("long/", 25), "data")
	first, err := postgres.Start(t.Context(), postgres.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := query(connect(t, first, "alice"), "create table sandbox.kept as select 42 as n"); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	second, err := postgres.Start(t.Context(), postgres.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("second start took %v", time.Since(begun))
	if got := translated(t, connect(t, second, "alice"), "select n from sandbox.kept"); got != "42" {
		t.Errorf("kept %s", got)
	}
	if _, err := postgres.Start(t.Context(), postgres.Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "postmaster.pid") {
		t.Errorf("a second server on the same folder: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestWhatCannotBeStartedSaysWhatToDo(t *testing.T) {
	t.Parallel()
	full := enterable(t)
	if err := os.WriteFile(filepath.Join(full, "thesis.txt"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	private := filepath.Join(enterable(t), "private")
	if err := os.Mkdir(private, 0o500); err != nil {
		t.Fatal(err)
	}
	oldVersion := enterable(t)
	if err := os.WriteFile(filepath.Join(oldVersion, "PG_VERSION"), []byte("9.6\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		config postgres.Config
		want   error
		words  string
	}{
		"no server":            {postgres.Config{BinDir: t.TempDir()}, postgres.ErrNotInstalled, "apt-get install postgresql"},
		"somebody's folder":    {postgres.Config{Dir: full}, postgres.ErrFolder, "choose another folder"},
		"folder not enterable": {postgres.Config{Dir: filepath.Join(private, "data")}, postgres.ErrFolder, "chmod"},
		"file in the way":      {postgres.Config{Dir: filepath.Join(full, "thesis.txt", "data")}, postgres.ErrFolder, "not a directory"},
		"other version":        {postgres.Config{Dir: oldVersion}, postgres.ErrFolder, "PostgreSQL 9.6"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, err := postgres.Start(t.Context(), test.config)
			if err == nil {
				t.Fatal("started", server.Close())
			}
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.words) {
				t.Errorf("got %v, want %v with %q", err, test.want, test.words)
			}
		})
	}
}

func TestAStartCanBeGivenUp(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if server, err := postgres.Start(ctx, postgres.Config{}); err == nil {
		t.Fatal("started within 50 ms", server.Close())
	}
}
