package signin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/connect"
	"github.com/shiftgrant/shiftgrant/internal/audit"
	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/seal"
	"github.com/shiftgrant/shiftgrant/internal/store"
)

// idp gives each refresh token once. With grace it answers the one before again, as Cognito and
// Okta can.
type idp struct {
	mu       sync.Mutex
	made     int
	current  string
	previous string
	grace    bool
	still    bool // it does not rotate: the same token for ever
	gone     bool // the person has left
	down     error
	calls    int
	during   func() // called within a call, after the token has been used up
}

func (p *idp) issue() string {
	p.made++
	p.previous, p.current = p.current, fmt.Sprint("canary-token-", p.made)
	return p.current
}

func (p *idp) Refresh(_ context.Context, refresh string) (connect.Tokens, error) {
	p.mu.Lock()
	p.calls++
	given, err := p.answer(refresh)
	during := p.during
	p.mu.Unlock()
	if during != nil {
		during()
	}
	return given, err
}

func (p *idp) answer(refresh string) (connect.Tokens, error) {
	switch {
	case p.down != nil:
		return connect.Tokens{}, fmt.Errorf("%w: %w", connect.ErrUnavailable, p.down)
	case p.gone:
		return connect.Tokens{}, connect.ErrSignedOut
	case refresh == p.current && p.still:
		return connect.Tokens{Access: "access"}, nil
	case refresh == p.current, refresh == p.previous && p.grace:
		return connect.Tokens{Access: "access", Refresh: p.issue()}, nil
	}
	return connect.Tokens{}, connect.ErrSignedOut
}

func (p *idp) change(change func(*idp)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

func (p *idp) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls
}

// clock is set by the test.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type journal struct {
	mu      sync.Mutex
	records []audit.Record
}

func (j *journal) Write(_ context.Context, record audit.Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.records = append(j.records, record)
	return nil
}

func (j *journal) count(kind string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(j.records), func(r audit.Record) bool { return r.Kind != kind }))
}

// start is now: a cookie jar goes by the machine's clock, whatever the gateway's says.
var start = time.Now().UTC().Truncate(time.Second)

var alice = grant.Person{
	ID: "per_alice", Tenant: grant.DefaultTenant, Issuer: "https://idp.example", Subject: "idp|alice", DatabaseUser: "alice", CreatedAt: start, SeenAt: start,
}

// world is alice, who has signed in, and gateways that share a store.
type world struct {
	t     *testing.T
	idp   *idp
	clock *clock
	audit *journal
	ring  *seal.Ring
	store *store.Store
}

func newRing() *seal.Ring {
	ring, err := seal.NewRing(seal.Key{Version: 1, Bytes: []byte(strings.Repeat("k", seal.KeySize))})
	if err != nil {
		panic(err)
	}
	return ring
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOn(t, store.Config{Path: filepath.Join(t.TempDir(), "store.db")})
}

func newWorldOn(t *testing.T, config store.Config) *world {
	t.Helper()
	w := &world{t: t, idp: &idp{}, clock: &clock{now: start}, audit: &journal{}, ring: newRing()}
	w.store = w.open(config)
	if _, err := w.store.SignIn(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	if err := w.store.CreateApp(t.Context(), grant.App{Tenant: grant.DefaultTenant, ID: "stargazer", Type: grant.Public}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"gra_1", "gra_2"} {
		g := grant.Grant{ID: id, Tenant: grant.DefaultTenant, AppID: "stargazer", PersonID: alice.ID, CreatedAt: start}
		if err := w.store.CreateGrant(t.Context(), g, grant.Code{Hash: grant.HashToken(id), Tenant: grant.DefaultTenant, GrantID: id}); err != nil {
			t.Fatal(err)
		}
	}
	w.signIn(w.keeper(w.store))
	return w
}

func (w *world) open(config store.Config) *store.Store {
	w.t.Helper()
	config.Now = w.clock.Now
	opened, err := store.Open(w.t.Context(), config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := opened.Close(); err != nil {
			w.t.Error(err)
		}
	})
	return opened
}

// keeper is one gateway's.
func (w *world) keeper(tokens UpstreamTokens) *Keeper {
	return NewKeeper(KeeperConfig{
		Tokens: tokens, Envelope: seal.Envelope{Wrapper: w.ring}, Audit: w.audit, Holder: "test", Logger: slog.New(slog.DiscardHandler), Now: w.clock.Now,
	}, map[string]Inquiry{"corp": {Upstream: w.idp}})
}

func (w *world) signIn(k *Keeper) {
	w.t.Helper()
	var token string
	w.idp.change(func(p *idp) { token = p.issue() })
	if err := k.Keep(w.t.Context(), alice.Tenant, alice.ID, "corp", token); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) stored() grant.UpstreamToken {
	w.t.Helper()
	u, err := w.store.UpstreamToken(w.t.Context(), alice.Tenant, alice.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return u
}

func (w *world) wantGrants(want int) {
	w.t.Helper()
	if grants, err := w.store.Grants(w.t.Context(), alice.Tenant, alice.ID); err != nil || len(grants) != want {
		w.t.Errorf("%d grants are alive, %v; want %d", len(grants), err, want)
	}
}

func TestUpstreamIsAskedWhenItsLastWordIsOld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.keeper(w.store)
	for _, step := range []struct {
		pass  time.Duration
		calls int
	}{
		{0, 0}, {time.Hour - 1, 0}, {1, 1}, {0, 1}, {time.Hour, 2}, {30 * time.Minute, 2},
	} {
		w.clock.pass(step.pass)
		if err := k.StillWelcome(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
		if n := w.idp.count(); n != step.calls {
			t.Errorf("%s after the sign-in: %d calls, want %d", w.clock.Now().Sub(start), n, step.calls)
		}
	}
	if u := w.stored(); u.Generation != 3 || strings.Contains(string(u.Sealed), "canary") || !u.AttemptAt.IsZero() {
		t.Errorf("stored %+v", u)
	}
	bob := alice
	bob.ID = "per_bob"
	if err := k.StillWelcome(t.Context(), bob); err != nil {
		t.Errorf("somebody whose upstream gave no token: %v", err)
	}
}

func TestUpstreamThatKeepsItsTokenIsAskedWithItAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.idp.change(func(p *idp) { p.still = true })
	k := w.keeper(w.store)
	for range 3 {
		w.clock.pass(time.Hour)
		if err := k.StillWelcome(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
	}
	if u := w.stored(); u.Generation != 1 || w.idp.count() != 3 {
		t.Errorf("generation %d after %d calls", u.Generation, w.idp.count())
	}
}

func TestUpstreamsNoEndsEverythingOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.keeper(w.store)
	w.idp.change(func(p *idp) { p.gone = true })
	w.clock.pass(time.Hour)
	for range 3 {
		if err := k.StillWelcome(t.Context(), alice); !errors.Is(err, grant.ErrRevoked) {
			t.Fatalf("%v, want ErrRevoked", err)
		}
	}
	w.wantGrants(0)
	if g, err := w.store.Grant(t.Context(), alice.Tenant, "gra_1"); err != nil || g.RevokedWhy != NoLongerWelcome {
		t.Errorf("%+v, %v", g, err)
	}
	if p, err := w.store.Person(t.Context(), alice.Tenant, alice.ID); err != nil || p.SignedOutAt.IsZero() {
		t.Errorf("browser sessions go on: %+v, %v", p, err)
	}
	if w.idp.count() != 1 || w.audit.count("person.refused_upstream") != 1 {
		t.Errorf("%d calls, %d records; want one of each", w.idp.count(), w.audit.count("person.refused_upstream"))
	}
	w.idp.change(func(p *idp) { p.gone = false })
	w.signIn(k)
	w.clock.pass(time.Hour)
	if err := k.StillWelcome(t.Context(), alice); err != nil {
		t.Errorf("signed in again: %v", err)
	}
}

func TestUpstreamThatFailsEndsNothingForAWhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.keeper(w.store)
	w.idp.change(func(p *idp) { p.down = errors.New("status 503") })
	w.clock.pass(time.Hour)
	for range 100 {
		if err := k.StillWelcome(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.idp.count(); n != 1 {
		t.Errorf("%d calls at once to an upstream that fails", n)
	}
	w.clock.pass(24*time.Hour - time.Minute)
	if err := k.StillWelcome(t.Context(), alice); err != nil {
		t.Errorf("within the day: %v", err)
	}
	w.clock.pass(time.Minute)
	if err := k.StillWelcome(t.Context(), alice); err == nil || errors.Is(err, grant.ErrRevoked) {
		t.Errorf("after the day: %v, want that nobody can tell", err)
	}
	w.wantGrants(2)
	w.idp.change(func(p *idp) { p.down = nil })
	w.clock.pass(2 * retryPause)
	if err := k.StillWelcome(t.Context(), alice); err != nil {
		t.Errorf("the upstream is back: %v", err)
	}
	if u := w.stored(); !u.FailingSince.IsZero() || !u.RetryAt.IsZero() {
		t.Errorf("stored %+v", u)
	}
}

func TestKeyThatIsGoneEndsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.ring.Replace(seal.Key{Version: 2, Bytes: make([]byte, seal.KeySize)}); err != nil {
		t.Fatal(err)
	}
	w.clock.pass(time.Hour)
	if err := w.keeper(w.store).StillWelcome(t.Context(), alice); err != nil {
		t.Error(err)
	}
	w.wantGrants(2)
	if w.idp.count() != 0 {
		t.Error("the upstream was asked with a token that did not open")
	}
}

func TestSignInWithoutANewTokenVouchesForThePerson(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.keeper(w.store)
	w.clock.pass(time.Hour)
	if err := k.Keep(t.Context(), alice.Tenant, alice.ID, "corp", ""); err != nil {
		t.Fatal(err)
	}
	if err := k.StillWelcome(t.Context(), alice); err != nil || w.idp.count() != 0 {
		t.Errorf("%v, %d calls", err, w.idp.count())
	}
	w.idp.change(func(p *idp) { p.gone = true })
	w.clock.pass(time.Hour)
	if err := k.StillWelcome(t.Context(), alice); !errors.Is(err, grant.ErrRevoked) {
		t.Fatal(err)
	}
	if err := k.Keep(t.Context(), alice.Tenant, alice.ID, "corp", ""); err != nil {
		t.Fatal(err)
	}
	if err := k.StillWelcome(t.Context(), alice); err != nil {
		t.Errorf("signed in again, at an upstream that gives a token only once: %v", err)
	}
}

func TestSignInDuringACallWins(t *testing.T) {
	t.Parallel()
	for name, gone := range map[string]bool{"the call is answered": false, "the call is refused": true} {
		w := newWorld(t)
		k := w.keeper(w.store)
		w.idp.change(func(p *idp) {
			p.gone = gone
			p.during = func() {
				p.change(func(p *idp) { p.during, p.gone = nil, false })
				w.signIn(w.keeper(w.store))
			}
		})
		w.clock.pass(time.Hour)
		if err := k.StillWelcome(t.Context(), alice); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		w.wantGrants(2)
		w.clock.pass(time.Hour)
		if err := k.StillWelcome(t.Context(), alice); err != nil {
			t.Errorf("%s: the token of the sign-in was lost: %v", name, err)
		}
	}
}

// cut is a store whose connection breaks at COMMIT: sometimes before it is done, sometimes after.
type cut struct {
	*store.Store
	mu    sync.Mutex
	after []bool // what becomes of the next commits
}

func (c *cut) CommitUpstream(ctx context.Context, next grant.UpstreamToken) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.after) == 0 {
		return c.Store.CommitUpstream(ctx, next)
	}
	after := c.after[0]
	c.after = c.after[1:]
	if after {
		if err := c.Store.CommitUpstream(ctx, next); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: connection reset", store.ErrUnavailable)
}

func TestF09CommitOfUnknownResultIsDoneOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tokens := &cut{Store: w.store}
	k := w.keeper(tokens)
	for round := range 20 {
		tokens.after = []bool{round%2 == 0, round%3 == 0}
		w.clock.pass(time.Hour)
		if err := k.StillWelcome(t.Context(), alice); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if u := w.stored(); u.Generation != int64(round+2) || w.idp.count() != round+1 {
			t.Fatalf("round %d: generation %d after %d calls", round, u.Generation, w.idp.count())
		}
	}
}

// F04: the holder stops between the upstream's answer and its write, and wakes up later.
func TestF04LateWriteIsRefusedByItsFence(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		grace bool
		want  error
	}{
		"an upstream with grace": {true, nil},
		"a strict upstream":      {false, grant.ErrRevoked},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.idp.change(func(p *idp) { p.grace = test.grace })
			ctx := t.Context()
			w.clock.pass(time.Hour)
			k := w.keeper(w.store)
			u := w.stored()
			fence, err := w.store.LeaseUpstream(ctx, u, "dead", w.clock.Now(), w.clock.Now().Add(leaseTime))
			if err != nil {
				t.Fatal(err)
			}
			u.Fence, u.LeaseUntil = fence, w.clock.Now().Add(leaseTime)
			refresh, err := k.Envelope.Open(ctx, u.Sealed, place(u))
			if err != nil {
				t.Fatal(err)
			}
			given, err := w.idp.Refresh(ctx, string(refresh))
			if err != nil {
				t.Fatal(err)
			}
			late := u
			late.Generation++
			if err := k.seal(ctx, &late, given.Refresh); err != nil {
				t.Fatal(err)
			}
			w.clock.pass(leaseTime)
			successor := w.keeper(w.store)
			if err := successor.StillWelcome(t.Context(), alice); !errors.Is(err, test.want) {
				t.Fatalf("successor: %v, want %v", err, test.want)
			}
			before := w.stored()
			if err := w.store.CommitUpstream(t.Context(), late); !errors.Is(err, grant.ErrConflict) {
				t.Errorf("late write: %v, want ErrConflict", err)
			}
			if err := w.store.FailUpstream(t.Context(), late, w.clock.Now(), w.clock.Now()); !errors.Is(err, grant.ErrConflict) {
				t.Errorf("late give-back: %v, want ErrConflict", err)
			}
			if after := w.stored(); string(after.Sealed) != string(before.Sealed) || after.Fence != before.Fence {
				t.Error("the late write went through")
			}
			if test.want != nil {
				if w.audit.count("person.refused_upstream") != 1 {
					t.Error("a lost token is not told once")
				}
				return
			}
			w.clock.pass(time.Hour)
			if err := successor.StillWelcome(t.Context(), alice); err != nil {
				t.Errorf("the next time: %v", err)
			}
		})
	}
}

func TestHolderThatWasHeldUpDoesNotCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.keeper(&slowLease{w.store, w.clock})
	w.clock.pass(time.Hour)
	if err := k.StillWelcome(t.Context(), alice); err != nil {
		t.Error(err)
	}
	if w.idp.count() != 0 {
		t.Error("it called when its lease was as good as over")
	}
}

// slowLease is a store whose answer to a lease takes longer than the lease.
type slowLease struct {
	*store.Store
	clock *clock
}

func (s *slowLease) LeaseUpstream(ctx context.Context, u grant.UpstreamToken, holder string, now, until time.Time) (int64, error) {
	fence, err := s.Store.LeaseUpstream(ctx, u, holder, now, until)
	s.clock.pass(leaseTime)
	return fence, err
}

func TestTokensAreSealedAgainByTheNewestKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.keeper(w.store)
	second := seal.Key{Version: 2, Bytes: []byte(strings.Repeat("n", seal.KeySize))}
	if err := w.ring.Replace(seal.Key{Version: 1, Bytes: []byte(strings.Repeat("k", seal.KeySize))}, second); err != nil {
		t.Fatal(err)
	}
	for want := 1; want >= 0; want-- {
		if n, err := k.Reseal(t.Context()); err != nil || n != want {
			t.Fatalf("sealed %d again, %v; want %d", n, err, want)
		}
	}
	if err := w.ring.Replace(second); err != nil {
		t.Fatal(err)
	}
	w.clock.pass(time.Hour)
	if err := k.StillWelcome(t.Context(), alice); err != nil || w.idp.count() != 1 {
		t.Errorf("without the old key: %v, %d calls", err, w.idp.count())
	}
	if u := w.stored(); u.KeyVersion != 2 || u.Generation != 2 {
		t.Errorf("stored %+v", u)
	}
}

// F03, the short form: two gateways on one PostgreSQL, 25 callers each, 10 expiries.
func TestF03UpstreamIsAskedOnceByAllReplicas(t *testing.T) {
	t.Parallel()
	const callers, expiries = 25, 10
	dsn := server.database(t)
	w := newWorldOn(t, store.Config{DSN: dsn})
	w.idp.change(func(p *idp) { p.during = func() { time.Sleep(20 * time.Millisecond) } }) // a call takes a while
	keepers := []*Keeper{w.keeper(w.store), w.keeper(w.open(store.Config{DSN: dsn}))}
	for expiry := range expiries {
		w.clock.pass(time.Hour)
		var all sync.WaitGroup
		for _, k := range keepers {
			for range callers {
				all.Go(func() {
					if err := k.StillWelcome(context.Background(), alice); err != nil {
						t.Error(err)
					}
				})
			}
		}
		all.Wait()
		if n := w.idp.count(); n != expiry+1 {
			t.Fatalf("%d calls after %d expiries", n, expiry+1)
		}
	}
	if u := w.stored(); u.Generation != expiries+1 {
		t.Errorf("generation %d", u.Generation)
	}
}
