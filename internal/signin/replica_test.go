package signin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/connect"
	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/seal"
	"github.com/shiftgrant/shiftgrant/internal/store"
)

// A replica is this program as a process of its own: a gateway's keeper on a PostgreSQL, told by
// its standard input what time it is and what to do.
const (
	replicaStore = "SHIFTGRANT_TEST_REPLICA_STORE"
	replicaIDP   = "SHIFTGRANT_TEST_REPLICA_IDP"
	// faults asks for the long form of these tests.
	faults = "SHIFTGRANT_FAULTS"
)

func long() bool { return os.Getenv(faults) == "long" }

// ServeHTTP lets other processes ask the idp.
func (p *idp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	given, err := p.Refresh(r.Context(), r.FormValue("refresh_token"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_ = json.NewEncoder(w).Encode(given)
}

type remoteIDP string

func (u remoteIDP) Refresh(ctx context.Context, refresh string) (connect.Tokens, error) {
	form := url.Values{"refresh_token": {refresh}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, string(u), strings.NewReader(form.Encode()))
	if err != nil {
		return connect.Tokens{}, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return connect.Tokens{}, fmt.Errorf("%w: %w", connect.ErrUnavailable, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return connect.Tokens{}, connect.ErrSignedOut
	}
	var given connect.Tokens
	return given, json.NewDecoder(response.Body).Decode(&given)
}

// lethal kills the process between the upstream's answer and its write.
type lethal struct{ *store.Store }

func (l lethal) CommitUpstream(context.Context, grant.UpstreamToken) error {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal comes before anything else happens
}

// serveAsReplica reads lines "check MILLISECONDS CALLERS" and "die MILLISECONDS 1", and answers
// each with the errors and the longest time in milliseconds.
func serveAsReplica(dsn string) {
	now := &clock{}
	opened, err := store.Open(context.Background(), store.Config{DSN: dsn, Now: now.Now})
	if err != nil {
		panic(err)
	}
	keeper := func(tokens UpstreamTokens) *Keeper {
		return NewKeeper(KeeperConfig{
			Tokens: tokens, Envelope: seal.Envelope{Wrapper: newRing()}, Audit: &journal{}, Holder: strconv.Itoa(os.Getpid()),
			Logger: slog.New(slog.DiscardHandler), Now: now.Now,
		}, map[string]Inquiry{"corp": {Upstream: remoteIDP(os.Getenv(replicaIDP))}})
	}
	living, dying := keeper(opened), keeper(lethal{opened})
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var what string
		var at int64
		var callers int
		if _, err := fmt.Sscan(lines.Text(), &what, &at, &callers); err != nil {
			panic(err)
		}
		now.mu.Lock()
		now.now = time.UnixMilli(at)
		now.mu.Unlock()
		k := living
		if what == "die" {
			k = dying
		}
		failed, slowest := callTogether(k, callers)
		fmt.Println("done", failed, slowest.Milliseconds())
	}
}

func callTogether(k *Keeper, callers int) (failed int, slowest time.Duration) {
	var mu sync.Mutex
	var all sync.WaitGroup
	started := time.Now()
	for range callers {
		all.Go(func() {
			err := k.StillWelcome(context.Background(), alice)
			mu.Lock()
			defer mu.Unlock()
			slowest = max(slowest, time.Since(started))
			if err != nil {
				failed++
			}
		})
	}
	all.Wait()
	return failed, slowest
}

type replica struct {
	t       *testing.T
	process *exec.Cmd
	tell    io.WriteCloser
	hear    *bufio.Scanner
}

func startReplica(t *testing.T, dsn, idp string) *replica {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{t: t, process: exec.Command(program)}
	r.process.Env = append(os.Environ(), replicaStore+"="+dsn, replicaIDP+"="+idp)
	r.process.Stderr = os.Stderr
	if r.tell, err = r.process.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	output, err := r.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.hear = bufio.NewScanner(output)
	if err := r.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.tell.Close() // which ends it
		_ = r.process.Wait()
	})
	if !r.hear.Scan() || r.hear.Text() != "ready" {
		t.Fatalf("the replica did not start: %q", r.hear.Text())
	}
	return r
}

func (r *replica) ask(what string, now time.Time, callers int) {
	r.t.Helper()
	if _, err := fmt.Fprintln(r.tell, what, now.UnixMilli(), callers); err != nil {
		r.t.Fatal(err)
	}
}

func (r *replica) answer() (failed int, slowest time.Duration) {
	r.t.Helper()
	var milliseconds int64
	if !r.hear.Scan() {
		r.t.Fatal("the replica is gone")
	}
	if _, err := fmt.Sscanf(r.hear.Text(), "done %d %d", &failed, &milliseconds); err != nil {
		r.t.Fatalf("%q: %v", r.hear.Text(), err)
	}
	return failed, time.Duration(milliseconds) * time.Millisecond
}

// serve makes the world's idp reachable for other processes.
func (w *world) serve() string {
	server := httptest.NewServer(w.idp)
	w.t.Cleanup(server.Close)
	return server.URL
}

// F03: processes that share nothing but the database ask once for each expiry.
func TestF03ProcessesAskOnce(t *testing.T) {
	t.Parallel()
	processes, callers, expiries := 2, 25, 5
	if long() {
		processes, expiries = 4, 100
	}
	dsn := server.database(t)
	w := newWorldOn(t, store.Config{DSN: dsn})
	const call = 50 * time.Millisecond
	w.idp.change(func(p *idp) { p.during = func() { time.Sleep(call) } })
	address := w.serve()
	var replicas []*replica
	for range processes {
		replicas = append(replicas, startReplica(t, dsn, address))
	}
	var times []time.Duration
	for expiry := range expiries {
		w.clock.pass(time.Hour)
		for _, r := range replicas {
			r.ask("check", w.clock.Now(), callers)
		}
		for _, r := range replicas {
			failed, slowest := r.answer()
			if failed > 0 {
				t.Errorf("expiry %d: %d callers failed", expiry, failed)
			}
			times = append(times, slowest)
		}
		if n := w.idp.count(); n != expiry+1 {
			t.Fatalf("%d calls after %d expiries", n, expiry+1)
		}
	}
	slices.Sort(times)
	t.Logf("%d processes × %d callers × %d expiries: %d calls; the slowest caller took %s, a call %s",
		processes, callers, expiries, w.idp.count(), times[len(times)-1], call)
}

// F01: kill -9 between the upstream's answer and our commit.
func TestF01KilledHolderIsFollowed(t *testing.T) {
	t.Parallel()
	rounds := 3
	if long() {
		rounds = 100
	}
	for name, grace := range map[string]bool{"an upstream with grace": true, "a strict upstream": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := server.database(t)
			w := newWorldOn(t, store.Config{DSN: dsn})
			w.idp.change(func(p *idp) { p.grace = grace })
			address := w.serve()
			successor := w.keeper(w.store)
			for round := range rounds {
				w.clock.pass(time.Hour)
				calls, told := w.idp.count(), w.audit.count("person.refused_upstream")
				victim := startReplica(t, dsn, address)
				victim.ask("die", w.clock.Now(), 1)
				if err := victim.process.Wait(); err == nil {
					t.Fatal("the holder lives on")
				}
				if u := w.stored(); u.AttemptAt.IsZero() {
					t.Fatal("the call is not written ahead")
				}
				w.clock.pass(leaseTime)
				err := successor.StillWelcome(t.Context(), alice)
				if n := w.idp.count() - calls; n != 2 {
					t.Errorf("round %d: %d calls, want the lost one and one more", round, n)
				}
				if grace {
					if err != nil {
						t.Fatalf("round %d: locked out: %v", round, err)
					}
					continue
				}
				if !errors.Is(err, grant.ErrRevoked) || w.audit.count("person.refused_upstream") != told+1 {
					t.Fatalf("round %d: %v; a loss must be told, once", round, err)
				}
				w.signIn(successor)
			}
		})
	}
}
