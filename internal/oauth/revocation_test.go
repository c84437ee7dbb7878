package oauth_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/oauth"
	"github.com/shiftgrant/shiftgrant/internal/signin"
	"github.com/shiftgrant/shiftgrant/internal/web"
)

// T12: whatever is revoked, by whichever replica, is refused by every replica a second later.
func TestT12RevocationReachesEveryReplica(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		revoke    func(w *world, access, refresh string) error
		refreshes bool // an access token alone was revoked
	}{
		"a token": {func(w *world, access, _ string) error {
			w.revoke(public, access)
			return nil
		}, true},
		"a grant": {func(w *world, _, refresh string) error {
			w.revoke(public, refresh)
			return nil
		}, false},
		"a person": {func(w *world, _, _ string) error {
			return w.store.DisablePerson(t.Context(), grant.DefaultTenant, "per_alice", w.clock())
		}, false},
		"an app": {func(w *world, _, _ string) error {
			return w.store.RemoveApp(t.Context(), grant.DefaultTenant, public.ID, w.clock())
		}, false},
		"a tenant": {func(w *world, _, _ string) error {
			_, err := w.store.RevokeGrants(t.Context(), grant.DefaultTenant, grant.Filter{}, "test", w.clock())
			return err
		}, false},
	} {
		w := newWorld(t)
		access, refresh := w.connect("alice", public)
		replica, err := oauth.New(w.config)
		if err != nil {
			t.Fatal(err)
		}
		for _, server := range []*oauth.Server{w.server, replica} { // into the caches
			if found, err := server.Authenticate(t.Context(), access); err != nil || !found.CheckedAt.Equal(w.clock()) || found.Token == (grant.Hash{}) {
				t.Fatalf("%s: before: %+v, %v", name, found, err)
			}
		}
		if err := c.revoke(w, access, refresh); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		w.pass(time.Second)
		for i, server := range []*oauth.Server{w.server, replica} {
			if _, err := server.Authenticate(t.Context(), access); !errors.Is(err, grant.ErrRevoked) && !errors.Is(err, grant.ErrNotFound) {
				t.Errorf("%s: replica %d: %v", name, i, err)
			}
		}
		w.http = web.Log(w.config.Logger, replica.Handler())
		if answer := w.refresh(public, refresh); (answer.status == http.StatusOK) != c.refreshes {
			t.Errorf("%s: refresh at the other replica: %d %v", name, answer.status, answer.text)
		}
	}
}

// A person who is let in again goes on where they were.
func TestDisabledPersonsGrantsWorkAgainWhenTheyAreEnabled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, refresh := w.connect("alice", public)
	if err := w.store.DisablePerson(t.Context(), grant.DefaultTenant, "per_alice", w.clock()); err != nil {
		t.Fatal(err)
	}
	if answer := w.refresh(public, refresh); answer.status != http.StatusBadRequest || answer.string("error") != "invalid_grant" {
		t.Errorf("disabled: %d %s", answer.status, answer.text)
	}
	if err := w.store.EnablePerson(t.Context(), grant.DefaultTenant, "per_alice"); err != nil {
		t.Fatal(err)
	}
	if answer := w.refresh(public, refresh); answer.status != http.StatusOK {
		t.Errorf("enabled again: %d %v", answer.status, answer.text)
	}
}

// Every app of a person hears the same when their upstream says no, whichever asked.
func TestAppsHearThatThePersonMustSignInAgain(t *testing.T) {
	t.Parallel()
	asked := 0
	w := newWorld(t, func(config *oauth.Config) {
		config.StillWelcome = func(context.Context, grant.Person) error {
			asked++
			return grant.ErrRevoked
		}
	})
	_, first := w.connect("alice", public)
	_, second := w.connect("alice", stargazer)
	for range 2 {
		answer := w.refresh(public, first)
		if answer.status != http.StatusBadRequest || answer.string("error") != "invalid_grant" || !strings.HasPrefix(answer.string("error_description"), "sign in again") {
			t.Errorf("%d %s", answer.status, answer.text)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times about a grant that has ended", asked)
	}
	if _, err := w.store.RevokeGrants(t.Context(), grant.DefaultTenant, grant.Filter{AppID: stargazer.ID}, signin.NoLongerWelcome, w.clock()); err != nil {
		t.Fatal(err)
	}
	if answer := w.refresh(stargazer, second); !strings.HasPrefix(answer.string("error_description"), "sign in again") {
		t.Errorf("an app that did not ask: %d %s", answer.status, answer.text)
	}
}
