package rotation

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// load is apps at work while something happens to the store.
type load struct {
	apps   []*app
	cancel context.CancelFunc
	group  sync.WaitGroup

	mu      sync.Mutex
	good    int
	later   int
	slowest time.Duration
	wrong   []string
}

// startLoad lets each app refresh, and check its token, over and over.
func startLoad(t *testing.T, apps []*app) *load {
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{apps: apps, cancel: cancel}
	for _, a := range apps {
		l.group.Go(func() {
			for ctx.Err() == nil {
				begun := time.Now()
				err := a.once(ctx)
				l.count(ctx, err, time.Since(begun))
			}
		})
		l.group.Go(func() {
			for ctx.Err() == nil {
				access, _ := a.tokens()
				begun := time.Now()
				status, err := a.check(ctx, access)
				switch {
				case err != nil:
				case status == http.StatusServiceUnavailable:
					err = errors.New("later")
				case status != http.StatusOK:
					err = errors.Join(errRefused, errors.New("a token check: "+strconv.Itoa(status)))
				}
				l.count(ctx, err, time.Since(begun))
				time.Sleep(10 * time.Millisecond) // an app does something with what it gets
			}
		})
	}
	return l
}

func (l *load) count(ctx context.Context, err error, took time.Duration) {
	if ctx.Err() != nil {
		return // it was the test that ended it
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slowest = max(l.slowest, took)
	switch {
	case err == nil:
		l.good++
	case err.Error() == "later":
		l.later++
	default:
		l.wrong = append(l.wrong, err.Error())
	}
}

// tally gives what was counted, and begins anew.
func (l *load) tally() (good, later int, slowest time.Duration, wrong []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	good, later, slowest, wrong = l.good, l.later, l.slowest, l.wrong
	l.good, l.later, l.slowest, l.wrong = 0, 0, 0, nil
	return good, later, slowest, wrong
}

func (l *load) stop() {
	l.cancel()
	l.group.Wait()
}

// mustRecover says that each app gets a new token, soon and without any answer but "later" before.
func mustRecover(t *testing.T, apps []*app, within time.Duration) {
	t.Helper()
	begun := time.Now()
	for _, a := range apps {
		if err := a.persist(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(begun); took > within {
		t.Errorf("it took %v until all apps had a new token, want at most %v", took, within)
	}
	for _, a := range apps {
		a.mustWork(t)
	}
}

// outage says what may be seen while the store is away: nothing wrong, "later", and that soon.
func (l *load) outage(t *testing.T) {
	t.Helper()
	good, later, slowest, wrong := l.tally()
	t.Logf("in the outage: %d answers, %d times “later”, the slowest after %v", good, later, slowest)
	if len(wrong) > 0 {
		t.Errorf("%d wrong answers, such as %s", len(wrong), wrong[0])
	}
	if later == 0 {
		t.Error("nobody was told to come later: the fault did not happen")
	}
	if slowest > 10*time.Second {
		t.Errorf("an answer took %v", slowest)
	}
}

// F08: the database hangs under load, and goes on.
func TestF08PostgreSQLHangs(t *testing.T) {
	c := startCluster(t, clusterOptions{gateways: 2, postgres: true})
	apps := []*app{c.connect(), c.connect(), c.connect()}
	load := startLoad(t, apps)
	defer load.stop()
	awaitGood(t, load, 20)
	processes := postgresProcesses(t)
	signal(t, processes, syscall.SIGSTOP)
	t.Cleanup(func() { signalAll(processes, syscall.SIGCONT) })
	load.tally()
	time.Sleep(long(9*time.Second, 30*time.Second))
	load.outage(t)
	signal(t, processes, syscall.SIGCONT)
	load.stop()
	mustRecover(t, apps, 5*time.Second)
}

// The database is shut down under load, and started again: gateways connect anew, and the trouble
// ends with the outage.
func TestPostgreSQLRestarts(t *testing.T) {
	c := startCluster(t, clusterOptions{gateways: 2, postgres: true})
	apps := []*app{c.connect(), c.connect(), c.connect()}
	load := startLoad(t, apps)
	defer load.stop()
	awaitGood(t, load, 20)
	load.tally()
	if err := database.close(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(long(time.Second, 20*time.Second))
	err := database.start()
	load.outage(t)
	if err != nil {
		t.Fatal(err)
	}
	c.direct = database.address(c.name) // its socket may be another one
	awaitGood(t, load, 20)
	if _, later, _, wrong := load.tally(); len(wrong) > 0 {
		t.Errorf("after the restart: %d times “later”, and wrong: %v", later, wrong)
	}
	awaitGood(t, load, 100)
	if _, later, _, wrong := load.tally(); later > 0 || len(wrong) > 0 {
		t.Errorf("the trouble goes on after the outage: %d times “later”, wrong: %v", later, wrong)
	}
	load.stop()
	mustRecover(t, apps, 5*time.Second)
}

// awaitGood waits until the load has had some good answers since the last tally.
func awaitGood(t *testing.T, l *load, count int) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		l.mu.Lock()
		good := l.good
		l.mu.Unlock()
		if good >= count {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d good answers in 30 s, want %d", good, count)
		}
		time.Sleep(time.Millisecond)
	}
}

// postgresProcesses are the server and what it has started.
func postgresProcesses(t *testing.T) []int {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(folder, "postgres", "*", "postmaster.pid"))
	if direct := filepath.Join(folder, "postgres", "postmaster.pid"); len(found) == 0 {
		found = []string{direct}
	}
	content, readErr := os.ReadFile(found[0])
	if err := errors.Join(err, readErr); err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(content), "\n")
	output, err := exec.Command("ps", "-A", "-o", "pid=,ppid=").Output()
	if err != nil {
		t.Fatalf("list processes: %v; install ps (Debian: procps)", err)
	}
	var processes []int
	for line := range strings.Lines(string(output)) {
		if fields := strings.Fields(line); fields[0] == first || fields[1] == first {
			pid, err := strconv.Atoi(fields[0])
			if err != nil {
				t.Fatal(err)
			}
			processes = append(processes, pid)
		}
	}
	if len(processes) < 3 {
		t.Fatalf("PostgreSQL has the processes %v only", processes)
	}
	return processes
}

func signal(t *testing.T, processes []int, what syscall.Signal) {
	t.Helper()
	if sent := signalAll(processes, what); sent == 0 {
		t.Fatalf("%v reached no process", what)
	}
}

// signalAll gives how many were reached; a backend may have ended.
func signalAll(processes []int, what syscall.Signal) (sent int) {
	for _, pid := range processes {
		if syscall.Kill(pid, what) == nil {
			sent++
		}
	}
	return sent
}

// Another process keeps the SQLite file locked, a backup tool for example.
func TestSQLiteIsLockedByAnotherProgram(t *testing.T) {
	c := startCluster(t, clusterOptions{})
	apps := []*app{c.connect(), c.connect()}
	db, err := c.open()
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	load := startLoad(t, apps)
	defer load.stop()
	awaitGood(t, load, 20)
	if _, err := db.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	load.tally()
	time.Sleep(long(7*time.Second, 20*time.Second))
	load.mu.Lock()
	reads := load.good
	load.mu.Unlock()
	if reads == 0 {
		t.Error("no token was checked while the file was locked: reads need no lock")
	}
	load.outage(t)
	_, err = db.ExecContext(t.Context(), "ROLLBACK")
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	load.stop()
	mustRecover(t, apps, 5*time.Second)
}

// F10: the disk is full, in earnest: the data folder is a small file system of its own.
func TestF10DiskFull(t *testing.T) {
	data := smallDisk(t)
	audit := filepath.Join(t.TempDir(), "audit.jsonl") // so that it is the store that fails
	c := startCluster(t, clusterOptions{data: data, extra: "audit: {store: false, file: " + audit + "}\n"})
	apps := []*app{c.connect(), c.connect()}
	ballast := fillDisk(t, data)
	load := startLoad(t, apps)
	defer load.stop()
	deadline := time.Now().Add(30 * time.Second)
	for later := 0; later < 20; {
		load.mu.Lock()
		later = load.later
		load.mu.Unlock()
		if time.Now().After(deadline) {
			t.Fatalf("the disk is full, and %d writes were refused in 30 s", later)
		}
		time.Sleep(time.Millisecond)
	}
	load.tally()
	time.Sleep(time.Second)
	load.mu.Lock()
	reads := load.good
	load.mu.Unlock()
	if reads == 0 {
		t.Error("no token was checked while the disk was full: reads need no room")
	}
	load.outage(t)
	load.stop()
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	mustRecover(t, apps, 5*time.Second)
	var verdict string
	c.query(t, `PRAGMA integrity_check`, nil, &verdict)
	if verdict != "ok" {
		t.Errorf("the database: %s", verdict)
	}
	// Nothing that was acknowledged is lost over a restart either.
	c.killAll()
	c.restart()
	mustRecover(t, apps, 5*time.Second)
}

// fillDisk takes all room that is left.
func fillDisk(t *testing.T, folder string) (ballast string) {
	t.Helper()
	ballast = filepath.Join(folder, "ballast")
	file, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 4096)
	for err == nil {
		_, err = file.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("fill the disk: %v", err)
	}
	if err := file.Close(); err != nil {
		t.Error(err)
	}
	return ballast
}
