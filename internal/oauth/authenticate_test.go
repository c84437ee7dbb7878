package oauth_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

// T23: junk costs no look-up.
func TestJunkTokensCostNoLookUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	access, refresh := w.connect("alice", public)
	before := w.store.count("Access")
	junk := []string{"", "x", refresh, strings.ToUpper(access), strings.ToLower(access), access + "0", " " + access, strings.Repeat(".", 1<<20)}
	for i := range access {
		flipped := []byte(access)
		flipped[i] ^= 1
		junk = append(junk, access[:i], string(flipped))
	}
	for _, presented := range junk {
		if _, err := w.server.Authenticate(t.Context(), presented); !errors.Is(err, grant.ErrMalformed) {
			t.Errorf("%.60q: %v", presented, err)
		}
	}
	if n := w.store.count("Access"); n != before {
		t.Errorf("%d look-ups", n-before)
	}
	if _, err := w.server.Authenticate(t.Context(), grant.NewToken(grant.AccessToken).Reveal()); !errors.Is(err, grant.ErrNotFound) {
		t.Errorf("an unknown token: %v", err)
	}
}

// RS-02: everything is judged at every request.
func TestRS02EveryRequestIsJudged(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end  func(w *world)
		want error
	}{
		"nothing happened":        {func(*world) {}, nil},
		"the token has expired":   {func(w *world) { w.pass(10 * time.Minute) }, grant.ErrExpired},
		"the grant is revoked":    {func(w *world) { w.revokeAll("per_alice") }, grant.ErrRevoked},
		"the person is disabled":  {func(w *world) { w.store.changePerson("per_alice", func(p *grant.Person) { p.Disabled = true }) }, grant.ErrRevoked},
		"the person is gone":      {func(w *world) { w.store.changePerson("per_alice", func(p *grant.Person) { *p = grant.Person{} }) }, grant.ErrRevoked},
		"the person has moved":    {func(w *world) { w.store.changePerson("per_alice", func(p *grant.Person) { p.Tenant = "other" }) }, grant.ErrRevoked},
		"the person is another":   {func(w *world) { w.store.changePerson("per_alice", func(p *grant.Person) { p.ID = "per_bob" }) }, grant.ErrRevoked},
		"the app is disabled":     {func(w *world) { app := public; app.Disabled = true; w.putApp(app) }, grant.ErrRevoked},
		"the store does not tell": {func(w *world) { w.store.fail(errDown) }, errDown},
	} {
		w := newWorld(t)
		access, _ := w.connect("alice", public)
		if err := w.works(access); err != nil {
			t.Fatal(err)
		}
		c.end(w)
		w.pass(time.Second) // the cache is no older than this
		if err := w.works(access); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestLookUpsAreCachedForASecond(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	access, _ := w.connect("alice", public)
	for range 100 {
		if err := w.works(access); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.store.count("Access"); n != 1 {
		t.Errorf("%d look-ups", n)
	}
	w.pass(time.Second)
	_ = w.works(access)
	w.pass(-time.Hour) // a clock that is set back does not keep it
	_ = w.works(access)
	if n := w.store.count("Access"); n != 3 {
		t.Errorf("%d look-ups", n)
	}
}

// A look-up that is under way while its grant is revoked is not kept.
func TestRevocationOvertakesALookUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	access, refresh := w.connect("alice", public)
	var once atomic.Bool
	w.store.onCall(func(method string) {
		if method == "answered Access" && once.CompareAndSwap(false, true) {
			w.revoke(public, refresh)
		}
	})
	if err := w.works(access); err != nil {
		t.Fatalf("the look-up itself came before the revocation: %v", err)
	}
	if err := w.works(access); !errors.Is(err, grant.ErrRevoked) {
		t.Errorf("right after: %v", err)
	}
}

func TestCacheIsBoundedAndSharedSafely(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var wait sync.WaitGroup
	for person := range 8 {
		name := fmt.Sprintf("p%d", person)
		w.addPerson(name)
		access, refresh := w.connect(name, public)
		wait.Go(func() {
			for range 200 {
				found, err := w.server.Authenticate(context.Background(), access)
				if err != nil || found.Person.ID != "per_"+name {
					t.Errorf("%s: %+v, %v", name, found, err)
					return
				}
			}
			w.revoke(public, refresh)
			if err := w.works(access); err == nil {
				t.Errorf("%s: works after revocation", name)
			}
		})
	}
	wait.Wait()
}
