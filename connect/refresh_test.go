package connect_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/connect"
)

func TestTokensAreRefreshedBeforeTheyEnd(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	a := newApp(t, i, nil)
	session := a.signIn(t)
	first, _ := session.Token(t.Context())
	i.pass(8 * time.Minute)
	if again, err := session.Token(t.Context()); err != nil || again != first || i.count("/token") != 1 {
		t.Errorf("two minutes before its end: %q, %v, %d calls", again, err, i.count("/token"))
	}
	i.pass(90 * time.Second)
	fresh, err := session.Token(t.Context())
	if err != nil || fresh == first || i.count("/token") != 2 {
		t.Errorf("half a minute before its end: %q, %v, %d calls", fresh, err, i.count("/token"))
	}
	other, err := a.session()
	if err != nil {
		t.Fatal(err)
	}
	if stored, err := other.Token(t.Context()); err != nil || stored != fresh {
		t.Errorf("the next request has %q, %v; want %q", stored, err, fresh)
	}
}

func TestAStormOfRefreshesIsOneCall(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	a := newApp(t, i, nil)
	a.signIn(t)
	i.pass(time.Hour)
	// The answer waits until all of them ask.
	asked := make(chan struct{})
	i.set(func() {
		i.token = func(w http.ResponseWriter, r *http.Request) {
			<-asked
			i.exchange(w, r)
		}
	})
	var group sync.WaitGroup
	tokens := make([]string, 100)
	for n := range tokens {
		session, err := a.session() // each request has a session of its own
		if err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			token, err := session.Token(t.Context())
			if err != nil {
				t.Error(err)
			}
			tokens[n] = token
		})
	}
	close(asked)
	group.Wait()
	for _, token := range tokens {
		if token != tokens[0] {
			t.Fatalf("%q and %q", token, tokens[0])
		}
	}
	if n := i.count("/token"); n != 2 { // with the one of the sign-in
		t.Errorf("%d calls of the token endpoint, want 2", n)
	}
}

func TestACallerWhoLeavesDoesNotSpoilTheRefresh(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	a := newApp(t, i, nil)
	session := a.signIn(t)
	i.pass(time.Hour)
	begun, goOn := make(chan struct{}), make(chan struct{})
	i.set(func() {
		i.token = func(w http.ResponseWriter, r *http.Request) {
			close(begun)
			<-goOn
			i.exchange(w, r)
		}
	})
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := session.Token(ctx)
		left <- err
	}()
	<-begun
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("who left is told %v", err)
	}
	close(goOn)
	if token, err := session.Token(t.Context()); err != nil || token == "" || i.count("/token") != 2 {
		t.Errorf("who stayed: %q, %v, %d calls", token, err, i.count("/token"))
	}
}

func TestAnIssuerThatIsAwayIsNoSignOut(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"500": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"503 with invalid_grant": func(w http.ResponseWriter, _ *http.Request) {
			writeJSON(w, 503, map[string]string{"error": "invalid_grant"})
		},
		"429": func(w http.ResponseWriter, _ *http.Request) {
			writeJSON(w, 429, map[string]string{"error": "slow_down"})
		},
		"invalid_client": func(w http.ResponseWriter, _ *http.Request) {
			writeJSON(w, 401, map[string]string{"error": "invalid_client"})
		},
		"a connection that is cut":      func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"an answer that makes no sense": func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 200, []string{"hello"}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newIssuer(t)
			a := newApp(t, i, nil)
			session := a.signIn(t)
			held, _ := session.Token(t.Context())
			i.set(func() { i.token = answer })
			i.pass(9*time.Minute + 30*time.Second)
			if token, err := session.Token(t.Context()); err != nil || token != held {
				t.Errorf("while the token is good: %q, %v", token, err)
			}
			i.pass(time.Minute)
			if _, err := session.Token(t.Context()); !errors.Is(err, connect.ErrUnavailable) || errors.Is(err, connect.ErrSignedOut) {
				t.Errorf("once it has expired: %v", err)
			}
			i.set(func() { i.token = nil })
			after, err := a.session()
			if err != nil {
				t.Fatalf("signed out: %v", err)
			}
			if token, err := after.Token(t.Context()); err != nil || token == held {
				t.Errorf("when the issuer is back: %q, %v", token, err)
			}
		})
	}
}

func TestInvalidGrantIsASignOut(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	a := newApp(t, i, nil)
	session := a.signIn(t)
	i.set(func() { i.refresh = "" })
	i.pass(time.Hour)
	if _, err := session.Token(t.Context()); !errors.Is(err, connect.ErrSignedOut) {
		t.Errorf("%v, want ErrSignedOut", err)
	}
	if _, err := a.session(); !errors.Is(err, connect.ErrSignedOut) {
		t.Errorf("the session goes on: %v", err)
	}
}

func TestASessionWithoutRefreshTokenEndsWithItsToken(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	i.token = func(w http.ResponseWriter, r *http.Request) {
		nonce := i.codes[r.PostForm.Get("code")].Get("nonce")
		writeJSON(w, 200, map[string]any{"access_token": "a", "token_type": "Bearer", "expires_in": 600, "id_token": i.sign(i.claims(nonce, "a"))})
	}
	a := newApp(t, i, nil)
	session := a.signIn(t)
	i.pass(time.Hour)
	if _, err := session.Token(t.Context()); !errors.Is(err, connect.ErrSignedOut) {
		t.Errorf("%v, want ErrSignedOut", err)
	}
}

func TestARefreshTokenThatStaysIsKept(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	a := newApp(t, i, nil)
	session := a.signIn(t)
	i.set(func() {
		i.token = func(w http.ResponseWriter, _ *http.Request) {
			writeJSON(w, 200, map[string]any{"access_token": "again", "token_type": "Bearer", "expires_in": 600})
		}
	})
	for range 3 {
		i.pass(time.Hour)
		if token, err := session.Token(t.Context()); err != nil || token != "again" {
			t.Fatalf("%q, %v", token, err)
		}
	}
	for _, form := range i.asked[1:] {
		if form.Get("refresh_token") != i.refresh {
			t.Errorf("sent %q, want %q", form.Get("refresh_token"), i.refresh)
		}
	}
}

// broken is a store that cannot save.
type broken struct {
	connect.SessionStore
	err error
}

func (b *broken) Save(ctx context.Context, id string, data []byte, expires time.Time) error {
	if b.err != nil {
		return b.err
	}
	return b.SessionStore.Save(ctx, id, data, expires)
}

func TestATokenIsNotUsedBeforeItIsKept(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	store := &broken{SessionStore: connect.NewMemorySessions()}
	a := newApp(t, i, func(c *connect.Config) { c.Sessions = store })
	session := a.signIn(t)
	i.pass(time.Hour)
	store.err = errors.New("the disk is full")
	if token, err := session.Token(t.Context()); !errors.Is(err, store.err) || token != "" {
		t.Errorf("%q, %v", token, err)
	}
}

// locking is a store that two processes share.
type locking struct {
	connect.SessionStore
	mu sync.Mutex
}

func (l *locking) Lock(context.Context, string) (func(), error) {
	l.mu.Lock()
	return l.mu.Unlock, nil
}

func TestTwoProcessesRefreshOnce(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	store := &locking{SessionStore: connect.NewMemorySessions()}
	one := newApp(t, i, func(c *connect.Config) { c.Sessions = store })
	one.signIn(t)
	two := newApp(t, i, func(c *connect.Config) { c.Sessions = store })
	two.cookies = one.cookies
	for range 20 {
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
	if n := i.count("/token"); n != 21 {
		t.Errorf("%d calls of the token endpoint, want 21", n)
	}
}

func TestRefreshForProgramsThatKeepTokens(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	var kept connect.Tokens
	a := newApp(t, i, func(c *connect.Config) {
		c.KeepTokens = func(_ context.Context, _ connect.Identity, tokens connect.Tokens) (bool, error) {
			kept = tokens
			return true, nil
		}
	})
	session := a.signIn(t)
	if token, err := session.Token(t.Context()); err != nil || token != "" || kept.Refresh == "" {
		t.Errorf("the session has %q, %v; kept %+v", token, err, kept)
	}
	next, err := a.Refresh(t.Context(), kept.Refresh)
	if err != nil || next.Refresh == kept.Refresh || next.Access == "" {
		t.Errorf("%+v, %v", next, err)
	}
	if _, err := a.Refresh(t.Context(), "of nobody"); !errors.Is(err, connect.ErrSignedOut) {
		t.Errorf("%v, want ErrSignedOut", err)
	}
	a.do(a.Logout, http.MethodPost, "http://localhost:7421/logout")
	if len(i.revoked) != 0 {
		t.Errorf("revoked %v, which are not the session's", i.revoked)
	}
}
