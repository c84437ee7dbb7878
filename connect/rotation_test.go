package connect_test

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shiftgrant/shiftgrant/connect"
	"github.com/shiftgrant/shiftgrant/connect/sqlitesession"
)

// gated is a store whose next Save waits.
type gated struct {
	connect.SessionStore
	mu   sync.Mutex
	gate chan struct{}
}

func (g *gated) shut() chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gate = make(chan struct{})
	return g.gate
}

func (g *gated) Save(ctx context.Context, id string, data []byte, expires time.Time) error {
	g.mu.Lock()
	gate := g.gate
	g.gate = nil
	g.mu.Unlock()
	if gate != nil {
		<-gate
	}
	return g.SessionStore.Save(ctx, id, data, expires)
}

// The first page of a day marks the session as seen while another one refreshes its tokens: the mark
// must not bring the old refresh token back.
func TestBeingSeenDoesNotBringAnOldRefreshTokenBack(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	synctest.Test(t, func(t *testing.T) {
		store := &gated{SessionStore: connect.NewMemorySessions()}
		a := newApp(t, i, func(c *connect.Config) {
			c.Sessions, c.HTTPClient = store, &http.Client{Transport: direct{i.server.Config.Handler}}
		})
		session := a.signIn(t)
		i.pass(24 * time.Hour)
		open := store.shut()
		var group sync.WaitGroup
		group.Go(func() { // this one is about to save what it has loaded
			if _, err := a.session(); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		group.Go(func() {
			if _, err := session.Token(t.Context()); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		close(open)
		group.Wait()
		i.pass(time.Hour)
		next, err := a.session()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := next.Token(t.Context()); err != nil {
			t.Errorf("the login was lost: %v", err)
		}
	})
}

// A page that only wants to know who it is is shown while the issuer does not answer.
func TestBeingSeenDuringARefreshThatFails(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t, i, func(c *connect.Config) { c.HTTPClient = &http.Client{Transport: direct{i.server.Config.Handler}} })
		session := a.signIn(t)
		goOn := make(chan struct{})
		i.set(func() {
			i.token = func(w http.ResponseWriter, _ *http.Request) {
				<-goOn
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		})
		i.pass(24 * time.Hour)
		var group sync.WaitGroup
		group.Go(func() {
			if _, err := session.Token(t.Context()); !errors.Is(err, connect.ErrUnavailable) {
				t.Errorf("%v, want ErrUnavailable", err)
			}
		})
		synctest.Wait()
		group.Go(func() {
			if seen, err := a.session(); err != nil || seen.Identity().Subject != "idp|ann" {
				t.Errorf("%v, want to know who it is", err)
			}
		})
		synctest.Wait()
		close(goOn)
		group.Wait()
	})
}

// Two processes whose store is no Locker: one is refused what the other has used already.
func TestARefreshTokenThatAnotherProcessHasUsed(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	one := newApp(t, i, nil)
	first := one.signIn(t)
	two := newApp(t, i, func(c *connect.Config) { c.Sessions = one.store })
	two.cookies = one.cookies
	second, err := two.session()
	if err != nil {
		t.Fatal(err)
	}
	i.pass(time.Hour)
	var meanwhile sync.Once
	i.set(func() {
		i.token = func(w http.ResponseWriter, r *http.Request) {
			meanwhile.Do(func() {
				i.set(func() { i.token = nil })
				if _, err := first.Token(context.Background()); err != nil {
					t.Error(err)
				}
			})
			i.exchange(w, r)
		}
	})
	token, err := second.Token(t.Context())
	if err != nil {
		t.Fatalf("the login was lost: %v", err)
	}
	if held, err := first.Token(t.Context()); err != nil || held != token {
		t.Errorf("%q and %q, %v", held, token, err)
	}
}

func TestTwoProcessesShareAFileAndRefreshOnce(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	path := filepath.Join(t.TempDir(), "sessions.db")
	open := func() connect.SessionStore {
		store, err := sqlitesession.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		return store
	}
	one := newApp(t, i, func(c *connect.Config) { c.Sessions = open() })
	one.signIn(t)
	two := newApp(t, i, func(c *connect.Config) { c.Sessions = open() })
	two.cookies = one.cookies
	const rounds = 5
	for range rounds {
		i.pass(time.Hour)
		var group sync.WaitGroup
		for _, a := range []*app{one, two, one, two} {
			session, err := a.session()
			if err != nil {
				t.Fatal(err)
			}
			group.Go(func() {
				if _, err := session.Token(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
	}
	if n := i.count("/token"); n != rounds+1 { // with the one of the sign-in
		t.Errorf("%d calls of the token endpoint, want %d", n, rounds+1)
	}
}

// neverFree is a store whose lock somebody else holds.
type neverFree struct{ connect.SessionStore }

var errHeld = errors.New("somebody else holds it")

func (neverFree) Lock(context.Context, string) (func(), error) { return nil, errHeld }

func TestALockThatIsNotFreeIsNoSignOut(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	a := newApp(t, i, func(c *connect.Config) { c.Sessions = neverFree{connect.NewMemorySessions()} })
	session := a.signIn(t)
	i.pass(9*time.Minute + 30*time.Second)
	if token, err := session.Token(t.Context()); err != nil || token == "" {
		t.Errorf("while the token is good: %q, %v", token, err)
	}
	i.pass(24 * time.Hour)
	if _, err := session.Token(t.Context()); !errors.Is(err, connect.ErrUnavailable) || !errors.Is(err, errHeld) {
		t.Errorf("once it has expired: %v", err)
	}
	if _, err := a.session(); err != nil {
		t.Errorf("signed out: %v", err)
	}
}

// What was signed out while a refresh was under way stays so.
func TestSigningOutDuringARefresh(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	a := newApp(t, i, nil)
	session := a.signIn(t)
	i.pass(time.Hour)
	i.set(func() {
		i.token = func(w http.ResponseWriter, r *http.Request) {
			if err := a.store.Delete(context.Background(), session.ID()); err != nil {
				t.Error(err)
			}
			i.exchange(w, r)
		}
	})
	if _, err := session.Token(t.Context()); !errors.Is(err, connect.ErrSignedOut) {
		t.Errorf("%v, want ErrSignedOut", err)
	}
	if _, err := a.session(); !errors.Is(err, connect.ErrSignedOut) {
		t.Errorf("the refresh has brought it back: %v", err)
	}
}

// timedOut is the network's error after which nobody knows what the issuer has done.
type timedOut struct{ next http.RoundTripper }

func (d *timedOut) RoundTrip(r *http.Request) (*http.Response, error) {
	if d.next == nil {
		return nil, context.DeadlineExceeded
	}
	return d.next.RoundTrip(r)
}

func TestATimeoutIsNoSignOut(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	network := &timedOut{i.server.Client().Transport}
	a := newApp(t, i, func(c *connect.Config) { c.HTTPClient = &http.Client{Transport: network} })
	session := a.signIn(t)
	held, _ := session.Token(t.Context())
	network.next = nil
	i.pass(9*time.Minute + 30*time.Second)
	if token, err := session.Token(t.Context()); err != nil || token != held {
		t.Errorf("while the token is good: %q, %v", token, err)
	}
	i.pass(time.Hour)
	if _, err := session.Token(t.Context()); !errors.Is(err, connect.ErrUnavailable) {
		t.Errorf("once it has expired: %v", err)
	}
	network.next = i.server.Client().Transport
	if token, err := session.Token(t.Context()); err != nil || token == held {
		t.Errorf("when the issuer is back: %q, %v", token, err)
	}
}
