package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/store"
)

// keepToken keeps a token of alice's first sign-in.
func keepToken(t *testing.T, s *store.Store) grant.UpstreamToken {
	t.Helper()
	populate(t, s)
	u := grant.UpstreamToken{Tenant: tenant, PersonID: "per_alice", Upstream: "corp", Generation: 1, Sealed: []byte("sealed 1"), KeyVersion: 1, CheckedAt: start}
	if err := s.KeepUpstream(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	return storedToken(t, s)
}

func storedToken(t *testing.T, s *store.Store) grant.UpstreamToken {
	t.Helper()
	u, err := s.UpstreamToken(t.Context(), tenant, "per_alice")
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestUpstreamLeaseHasOneHolder(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		u := keepToken(t, s)
		now, until := start.Add(time.Hour), start.Add(time.Hour+20*time.Second)
		fence, err := s.LeaseUpstream(t.Context(), u, "one", now, until)
		if err != nil {
			t.Fatal(err)
		}
		if held := storedToken(t, s); held.Holder != "one" || !held.AttemptAt.Equal(now) || held.Fence != fence || !held.LeaseUntil.Equal(until) {
			t.Errorf("stored %+v", held)
		}
		held := storedToken(t, s)
		for name, try := range map[string]struct {
			seen grant.UpstreamToken
			now  time.Time
		}{
			"on an old look":         {u, until},
			"before the lease is up": {held, until.Add(-time.Millisecond)},
		} {
			if _, err := s.LeaseUpstream(t.Context(), try.seen, "two", try.now, until.Add(time.Minute)); !errors.Is(err, grant.ErrConflict) {
				t.Errorf("%s: %v, want ErrConflict", name, err)
			}
		}
		next, err := s.LeaseUpstream(t.Context(), held, "two", until, until.Add(time.Minute))
		if err != nil || next <= fence {
			t.Fatalf("fence %d after %d, %v", next, fence, err)
		}
		held.Generation, held.Sealed = 2, []byte("late")
		if err := s.CommitUpstream(t.Context(), held); !errors.Is(err, grant.ErrConflict) {
			t.Errorf("a late write: %v", err)
		}
		if _, err := s.EndUpstream(t.Context(), held, "late", until); !errors.Is(err, grant.ErrConflict) {
			t.Errorf("a late end: %v", err)
		}
		held.Fence, held.Sealed, held.CheckedAt = next, []byte("sealed 2"), until
		if err := s.CommitUpstream(t.Context(), held); err != nil {
			t.Fatal(err)
		}
		if u := storedToken(t, s); u.Generation != 2 || string(u.Sealed) != "sealed 2" || !u.CheckedAt.Equal(until) || !u.LeaseUntil.IsZero() || !u.AttemptAt.IsZero() {
			t.Errorf("stored %+v", u)
		}
		if err := s.CommitUpstream(t.Context(), held); !errors.Is(err, grant.ErrConflict) {
			t.Errorf("the same write once more: %v", err)
		}
	})
}

func TestUpstreamSignInFollowsTheGenerationBefore(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		u := keepToken(t, s)
		fence, err := s.LeaseUpstream(t.Context(), u, "one", start, start.Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.KeepUpstream(t.Context(), u); !errors.Is(err, grant.ErrConflict) {
			t.Errorf("a first token where there is one: %v", err)
		}
		u.Generation, u.Sealed = 2, []byte("sealed 2")
		if err := s.KeepUpstream(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		if err := s.KeepUpstream(t.Context(), u); !errors.Is(err, grant.ErrConflict) {
			t.Errorf("the same generation twice: %v", err)
		}
		if kept := storedToken(t, s); kept.Fence <= fence || !kept.LeaseUntil.IsZero() || kept.Holder != "" {
			t.Errorf("the lease outlived the sign-in: %+v", kept)
		}
		u.Fence = fence
		if err := s.FailUpstream(t.Context(), u, start, start); !errors.Is(err, grant.ErrConflict) {
			t.Errorf("the holder before writes: %v", err)
		}
	})
}

func TestUpstreamFailureKeepsItsFirstTime(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		u := keepToken(t, s)
		for i := range 2 {
			now := start.Add(time.Duration(i+1) * time.Minute)
			fence, err := s.LeaseUpstream(t.Context(), u, "one", now, now.Add(time.Second))
			if err != nil {
				t.Fatal(err)
			}
			u.Fence = fence
			if err := s.FailUpstream(t.Context(), u, now, now.Add(10*time.Second)); err != nil {
				t.Fatal(err)
			}
			u = storedToken(t, s)
			if !u.FailingSince.Equal(start.Add(time.Minute)) || !u.RetryAt.Equal(now.Add(10*time.Second)) || u.AttemptAt.IsZero() || !u.LeaseUntil.IsZero() {
				t.Errorf("stored %+v", u)
			}
		}
	})
}

func TestUpstreamEndTakesGrantsAndSessionsAlong(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		u := keepToken(t, s)
		claim := running(t, s, "gra_1")
		at := start.Add(time.Minute)
		if n, err := s.EndUpstream(t.Context(), u, "the upstream said no", at); err != nil || n != 1 {
			t.Fatalf("%d grants, %v", n, err)
		}
		if ended, err := s.Ended(t.Context(), []grant.Claim{claim}); err != nil || len(ended) != 1 {
			t.Errorf("the grant goes on: %v", err)
		}
		if p, err := s.Person(t.Context(), tenant, "per_alice"); err != nil || !p.SignedOutAt.Equal(at) {
			t.Errorf("%+v, %v", p, err)
		}
		if _, err := s.LeaseUpstream(t.Context(), storedToken(t, s), "one", at, at.Add(time.Minute)); !errors.Is(err, grant.ErrConflict) {
			t.Errorf("a lease on what has ended: %v", err)
		}
		if err := s.VouchUpstream(t.Context(), tenant, "per_alice", at); err != nil {
			t.Fatal(err)
		}
		if _, err := s.UpstreamToken(t.Context(), tenant, "per_alice"); !errors.Is(err, grant.ErrNotFound) {
			t.Errorf("signed in without a new token: %v", err)
		}
	})
}

func TestUpstreamTokensAreSealedAgainUnlessTheyChanged(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		u := keepToken(t, s)
		for after, want := range map[string]int{"": 1, "per_alice": 0} {
			if old, err := s.UpstreamTokensToReseal(t.Context(), 2, tenant, after, 10); err != nil || len(old) != want {
				t.Errorf("after %q: %d, %v", after, len(old), err)
			}
		}
		again := u
		again.Sealed, again.KeyVersion = []byte("by key 2"), 2
		if err := s.ResealUpstream(t.Context(), again); err != nil {
			t.Fatal(err)
		}
		if old, err := s.UpstreamTokensToReseal(t.Context(), 2, "", "", 10); err != nil || len(old) != 0 {
			t.Errorf("%d are left, %v", len(old), err)
		}
		again.Generation, again.KeyVersion = 2, 3
		if err := s.ResealUpstream(t.Context(), again); !errors.Is(err, grant.ErrConflict) {
			t.Errorf("of another generation: %v", err)
		}
	})
}
