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

	"pgregory.net/rapid"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/oauth"
	"github.com/shiftgrant/shiftgrant/internal/seal"
)

// TK-05, T04: what a refresh token is bound to.
func TestTK05RefreshTokenIsBoundToClientAndScope(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	access, refresh := w.connect("alice", public, "scope", "sql:read offline_access openid")
	for _, app := range []grant.App{phone, stargazer} {
		if got := w.refresh(app, refresh); got.status != 400 || got.string("error") != "invalid_grant" {
			t.Errorf("%s: %d %s", app.ID, got.status, got.text)
		}
		if got := w.refresh(app, refresh, "client_id", public.ID); app.Type == grant.Confidential && got.status == 200 {
			t.Errorf("%s under another's name: %d", app.ID, got.status)
		}
	}
	for _, scope := range []string{"sql:write", "sql:read sql:write", "sql:read email", "sql:read warehouse:other", "sql:read  openid"} {
		if got := w.refresh(public, refresh, "scope", scope); got.status != 400 || got.string("error") != "invalid_scope" {
			t.Errorf("scope %q: %d %s", scope, got.status, got.text)
		}
	}
	if got := w.refresh(public, refresh, "resource", "https://other.example"); got.string("error") != "invalid_target" {
		t.Errorf("another resource: %d %s", got.status, got.text)
	}
	if err := w.works(access); err != nil {
		t.Fatalf("after all that the access token: %v", err)
	}
	got := w.refresh(public, refresh, "scope", "sql:read")
	if got.status != 200 || got.string("scope") != "sql:read warehouse:tickit" {
		t.Errorf("narrower: %d %s", got.status, got.text)
	}
	if found, err := w.server.Authenticate(t.Context(), got.string("access_token")); err != nil || found.Scopes.Has("openid") {
		t.Errorf("the narrower token: %+v, %v", found, err)
	}
	// What is narrowed is one access token, not the connection (RFC 6749 §6).
	if got := w.refresh(public, got.string("refresh_token")); got.string("scope") != "sql:read offline_access openid warehouse:tickit" {
		t.Errorf("the next: %d %s", got.status, got.text)
	}
}

// One app cannot end the connections of another with an old token that it has found.
func TestOldTokenInForeignHandsEndsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, first := w.connect("alice", public)
	second := w.refresh(public, first).string("refresh_token")
	third := w.refresh(public, second).string("refresh_token")
	if got := w.refresh(phone, first); got.status != 400 || got.string("error") != "invalid_grant" {
		t.Errorf("%d %s", got.status, got.text)
	}
	if got := w.refresh(public, third); got.status != 200 || w.audit.count("token.reuse") != 0 {
		t.Errorf("afterwards the app itself: %d %s", got.status, got.text)
	}
}

// TK-07, T05: an answer that was lost can be asked for again, and makes no second leaf.
func TestTK07LostRefreshAnswerCanBeAskedForAgain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		app    grant.App
		within time.Duration
	}{{public, 59 * time.Second}, {stargazer, 23 * time.Hour}} {
		w := newWorld(t)
		_, token := w.connect("alice", c.app)
		for round := range 20 {
			lost := w.refresh(c.app, token)
			w.pass(c.within)
			again := w.refresh(c.app, token)
			if again.status != 200 || again.string("refresh_token") != lost.string("refresh_token") || again.string("access_token") == lost.string("access_token") {
				t.Fatalf("%s round %d: %d %s", c.app.ID, round, again.status, again.text)
			}
			if err := w.works(again.string("access_token")); err != nil {
				t.Errorf("%s round %d: %v", c.app.ID, round, err)
			}
			token = again.string("refresh_token")
		}
		if w.audit.count("token.reuse") != 0 {
			t.Errorf("%s: taken for theft", c.app.ID)
		}
	}
}

// TK-06, T06: the family dies at the first step where a thief and the app go separate ways.
func TestTK06StolenRefreshTokenEndsTheFamily(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		steal func(w *world, first string) (presented string)
	}{
		{"two generations old", func(w *world, first string) string {
			second := w.refresh(public, first).string("refresh_token")
			w.refresh(public, second)
			return first
		}},
		{"one generation old, but a minute late", func(w *world, first string) string {
			w.refresh(public, first)
			w.pass(time.Minute)
			return first
		}},
		{"the thief goes on, the app comes late", func(w *world, first string) string {
			stolen := w.refresh(public, first).string("refresh_token")
			w.refresh(public, stolen)
			return first
		}},
	} {
		w := newWorld(t)
		access, first := w.connect("alice", public)
		presented := c.steal(w, first)
		if err := w.works(access); err != nil { // now it is cached
			t.Fatal(err)
		}
		if got := w.refresh(public, presented); got.status != 400 || got.string("error") != "invalid_grant" {
			t.Errorf("%s: %d %s", c.name, got.status, got.text)
		}
		if err := w.works(access); !errors.Is(err, grant.ErrRevoked) {
			t.Errorf("%s: the access token: %v", c.name, err)
		}
		if grants, _ := w.store.Grants(t.Context(), grant.DefaultTenant, "per_alice"); len(grants) != 0 {
			t.Errorf("%s: the grant is alive", c.name)
		}
		if w.audit.count("token.reuse") != 1 {
			t.Errorf("%s: %d records", c.name, w.audit.count("token.reuse"))
		}
	}
}

// T07: tabs that refresh at once all go on with the same token.
func TestT07ParallelRefreshesAgree(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	access, token := w.connect("alice", public)
	for round := range 10 {
		replies := make([]reply, 20)
		var wait sync.WaitGroup
		for i := range replies {
			wait.Go(func() { replies[i] = w.refresh(public, token) })
		}
		wait.Wait()
		for _, got := range replies {
			if got.status != 200 || got.string("refresh_token") != replies[0].string("refresh_token") {
				t.Fatalf("round %d: %d %s", round, got.status, got.text)
			}
		}
		token = replies[0].string("refresh_token")
	}
	if err := w.works(access); err != nil {
		t.Error(err)
	}
}

// Conflict between look and update: the family moves on under a refresh.
func TestRefreshLooksAgainWhenTheFamilyMovedOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, token := w.connect("alice", public)
	var winner reply
	var once atomic.Bool
	w.store.onCall(func(method string) {
		if method == "Rotate" && once.CompareAndSwap(false, true) {
			winner = w.refresh(public, token)
		}
	})
	loser := w.refresh(public, token)
	if loser.status != 200 || winner.status != 200 || loser.string("refresh_token") != winner.string("refresh_token") {
		t.Errorf("winner %d %s\nloser %d %s", winner.status, winner.text, loser.status, loser.text)
	}
}

// TK-08.
func TestTK08RotationNeverExtendsALogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, token := w.connect("alice", public)
	for day := 29; day < 90; day += 29 {
		w.pass(29 * 24 * time.Hour)
		got := w.refresh(public, token)
		if got.status != 200 {
			t.Fatalf("day %d: %d %s", day, got.status, got.text)
		}
		token = got.string("refresh_token")
	}
	w.pass(3*24*time.Hour - 5*time.Minute)
	last := w.refresh(public, token)
	if last.status != 200 || last.body["expires_in"] != 300.0 {
		t.Errorf("five minutes before the end: %d %s", last.status, last.text)
	}
	w.pass(5 * time.Minute)
	if got := w.refresh(public, last.string("refresh_token")); got.status != 400 || got.string("error") != "invalid_grant" {
		t.Errorf("day 90: %d %s", got.status, got.text)
	}
	if err := w.works(last.string("access_token")); err == nil {
		t.Error("the last access token outlives the grant")
	}
}

func TestTK08IdleRefreshTokenDies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, token := w.connect("alice", public)
	w.pass(30 * 24 * time.Hour)
	if got := w.refresh(public, token); got.status != 400 || got.string("error") != "invalid_grant" {
		t.Errorf("after 30 idle days: %d %s", got.status, got.text)
	}
	patient := public
	patient.ID, patient.RefreshIdleLifetime = "patient", 60*24*time.Hour
	w.putApp(patient)
	_, token = w.connect("alice", patient)
	w.pass(59 * 24 * time.Hour)
	if got := w.refresh(patient, token); got.status != 200 {
		t.Errorf("an app with more patience: %d %s", got.status, got.text)
	}
}

// TK-09, past failure 17.
func TestTK09RefreshAsksAgain(t *testing.T) {
	t.Parallel()
	welcome := error(nil)
	for name, c := range map[string]struct {
		end   func(w *world)
		want  int
		error string
	}{
		"nothing happened":             {func(*world) {}, 200, ""},
		"the person is disabled":       {func(w *world) { w.store.changePerson("per_alice", func(p *grant.Person) { p.Disabled = true }) }, 400, "invalid_grant"},
		"the app is disabled":          {func(w *world) { app := public; app.Disabled = true; w.putApp(app) }, 401, "invalid_client"},
		"the grant is revoked":         {func(w *world) { w.revokeAll("per_alice") }, 400, "invalid_grant"},
		"the store is down":            {func(w *world) { w.store.fail(errDown) }, 503, "temporarily_unavailable"},
		"the record cannot be written": {func(w *world) { w.audit.fail(errDown) }, 503, "temporarily_unavailable"},
		"the IdP says no":              {func(*world) { welcome = fmt.Errorf("idp: %w", grant.ErrRevoked) }, 400, "invalid_grant"},
		"the IdP says nothing":         {func(*world) { welcome = errDown }, 503, "temporarily_unavailable"},
	} {
		welcome = nil
		w := newWorld(t, func(c *oauth.Config) {
			c.StillWelcome = func(context.Context, grant.Person) error { return welcome }
		})
		_, token := w.connect("alice", public)
		c.end(w)
		got := w.refresh(public, token)
		if got.status != c.want || got.string("error") != c.error {
			t.Errorf("%s: %d %s, want %d %s", name, got.status, got.text, c.want, c.error)
		}
		if strings.Contains(got.text, "canary") {
			t.Errorf("CR-05 %s: tells what is wrong inside: %s", name, got.text)
		}
		if c.want == 503 {
			w.store.fail(nil)
			w.audit.fail(nil)
			welcome = nil
			if again := w.refresh(public, token); again.status != 200 {
				t.Errorf("%s: afterwards %d %s", name, again.status, again.text)
			}
		}
	}
}

// CR-03: keys rotate in use.
func TestRotationKeyCanBeReplaced(t *testing.T) {
	t.Parallel()
	old := seal.Key{Version: 1, Bytes: []byte(strings.Repeat("r", 32))}
	w := newWorld(t)
	_, token := w.connect("alice", public)
	lost := w.refresh(public, token)
	w.rebuild(func(c *oauth.Config) {
		c.RotationKeys = []seal.Key{old, {Version: 2, Bytes: []byte(strings.Repeat("s", 32))}}
	})
	again := w.refresh(public, token)
	if again.status != 200 || again.string("refresh_token") != lost.string("refresh_token") {
		t.Errorf("a lost answer of the old key: %d %s", again.status, again.text)
	}
	next := w.refresh(public, again.string("refresh_token"))
	if repeated := w.refresh(public, again.string("refresh_token")); repeated.string("refresh_token") != next.string("refresh_token") {
		t.Errorf("a lost answer of the new key: %d %s", repeated.status, repeated.text)
	}
	w.rebuild(func(c *oauth.Config) {
		c.RotationKeys = []seal.Key{{Version: 3, Bytes: []byte(strings.Repeat("t", 32))}}
	})
	if got := w.refresh(public, again.string("refresh_token")); got.status != 503 || w.audit.count("token.reuse") != 0 {
		t.Errorf("a lost answer whose key is gone is our fault, not a theft: %d %s", got.status, got.text)
	}
	if got := w.refresh(public, next.string("refresh_token")); got.status != 200 {
		t.Errorf("the current token needs no old key: %d %s", got.status, got.text)
	}
}

// The model of the reference, against the real endpoint: an honest client that may lose answers
// and refresh twice at once, never loses its login while nobody steals; and there is never more
// than one token that leads on.
func TestHonestClientNeverLosesItsLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *oauth.Config) { c.TokenRequestsPerMinute = 1 << 20 })
	rapid.Check(t, func(check *rapid.T) {
		_, held := w.connect("alice", public)
		type flight struct{ sent, got string }
		var flights []flight
		leaves := map[string]bool{held: true}
		check.Repeat(map[string]func(*rapid.T){
			"refresh": func(check *rapid.T) {
				got := w.refresh(public, held)
				if got.status != 200 {
					check.Fatalf("refused: %d %s", got.status, got.text)
				}
				leaves[got.string("refresh_token")] = true
				flights = append(flights, flight{held, got.string("refresh_token")})
			},
			"receive": func(check *rapid.T) {
				if len(flights) == 0 {
					check.Skip("nothing under way")
				}
				i := rapid.IntRange(0, len(flights)-1).Draw(check, "answer")
				// The client replaces its token only if it still holds the one it sent.
				if flights[i].sent == held {
					held = flights[i].got
				}
				flights = append(flights[:i], flights[i+1:]...)
			},
			"lose": func(check *rapid.T) {
				if len(flights) == 0 {
					check.Skip("nothing under way")
				}
				i := rapid.IntRange(0, len(flights)-1).Draw(check, "answer")
				flights = append(flights[:i], flights[i+1:]...)
			},
			"wait": func(check *rapid.T) { w.pass(time.Second) },
			"": func(check *rapid.T) {
				// One leaf leads on: of all tokens ever given, one is the family's current.
				current := 0
				for token := range leaves {
					family, _, err := w.store.FamilyOf(context.Background(), grant.DefaultTenant, grant.HashToken(token))
					if err != nil {
						check.Fatal(err)
					}
					if family.Current == grant.HashToken(token) {
						current++
					}
				}
				if current != 1 {
					check.Fatalf("%d of %d tokens are current", current, len(leaves))
				}
				if w.audit.count("token.reuse") != 0 {
					check.Fatal("an honest client was taken for a thief")
				}
			},
		})
	})
}
