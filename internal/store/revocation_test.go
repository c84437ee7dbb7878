package store_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/store"
)

// running is a claim on a grant that was just made.
func running(t *testing.T, s *store.Store, grantID string) grant.Claim {
	t.Helper()
	g, code := newGrant(grantID)
	if err := s.CreateGrant(t.Context(), g, code); err != nil {
		t.Fatal(err)
	}
	family := familyFor(g)
	access := issuedFor(family)
	if err := s.RedeemCode(t.Context(), code, start, access, &family); err != nil {
		t.Fatal(err)
	}
	return grant.Claim{Tenant: tenant, GrantID: grantID, Token: access.Hash}
}

func TestEveryRevocationEndsWhatRuns(t *testing.T) {
	t.Parallel()
	for name, revoke := range map[string]func(*testing.T, *store.Store, grant.Claim) error{
		"a token": func(t *testing.T, s *store.Store, c grant.Claim) error {
			return s.RevokeAccess(t.Context(), tenant, c.Token, start)
		},
		"a grant": func(t *testing.T, s *store.Store, c grant.Claim) error {
			return s.RevokeGrant(t.Context(), tenant, c.GrantID, "test", start)
		},
		"a person": func(t *testing.T, s *store.Store, _ grant.Claim) error {
			return s.DisablePerson(t.Context(), tenant, "per_alice", start)
		},
		"an app": func(t *testing.T, s *store.Store, _ grant.Claim) error {
			return s.RemoveApp(t.Context(), tenant, "stargazer", start)
		},
		"a tenant": func(t *testing.T, s *store.Store, _ grant.Claim) error {
			_, err := s.RevokeGrants(t.Context(), tenant, grant.Filter{}, "test", start)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEach(t, func(t *testing.T, s *store.Store) {
				populate(t, s)
				claim := running(t, s, "gra_1")
				if ended, err := s.Ended(t.Context(), []grant.Claim{claim}); err != nil || len(ended) != 0 {
					t.Fatalf("before: Ended = %v, %v", ended, err)
				}
				if err := revoke(t, s, claim); err != nil {
					t.Fatal(err)
				}
				if ended, err := s.Ended(t.Context(), []grant.Claim{claim}); err != nil || !slices.Equal(ended, []grant.Claim{claim}) {
					t.Errorf("after: Ended = %v, %v", ended, err)
				}
			})
		})
	}
}

func TestOnlyWhatEndedIsToldAmongMany(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		populate(t, s)
		var claims, want []grant.Claim
		for i := range 150 { // more than one statement takes
			claim := running(t, s, fmt.Sprint("gra_", i))
			claims = append(claims, claim)
			if i%50 == 7 {
				want = append(want, claim)
				if err := s.RevokeGrant(t.Context(), tenant, claim.GrantID, "test", start); err != nil {
					t.Fatal(err)
				}
			}
		}
		foreign := claims[0]
		foreign.Tenant = "elsewhere"
		ended, err := s.Ended(t.Context(), append(claims, foreign))
		if want = append(want, foreign); err != nil || len(ended) != len(want) {
			t.Fatalf("%d ended, %v; want %d", len(ended), err, len(want))
		}
		for _, claim := range want {
			if !slices.Contains(ended, claim) {
				t.Errorf("%v is not among the ended", claim)
			}
		}
		if none, err := s.Ended(t.Context(), nil); err != nil || len(none) != 0 {
			t.Errorf("of none: %v, %v", none, err)
		}
	})
}

func TestFilterChoosesGrants(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		filter grant.Filter
		want   int
	}{
		"all of the tenant": {grant.Filter{}, 3},
		"one":               {grant.Filter{GrantID: "gra_1"}, 1},
		"of a person":       {grant.Filter{PersonID: "per_alice"}, 3},
		"of an app":         {grant.Filter{AppID: "stargazer"}, 3},
		"of another app":    {grant.Filter{AppID: "other"}, 0},
		"on a warehouse":    {grant.Filter{AppID: "stargazer", Warehouse: "tickit"}, 3},
		"elsewhere":         {grant.Filter{Warehouse: "other"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEach(t, func(t *testing.T, s *store.Store) {
				populate(t, s)
				for i := range 3 {
					running(t, s, fmt.Sprint("gra_", i))
				}
				listed, err := s.FindGrants(t.Context(), tenant, test.filter, 10)
				if err != nil || len(listed) != test.want {
					t.Fatalf("%d grants, %v; want %d", len(listed), err, test.want)
				}
				if n, err := s.RevokeGrants(t.Context(), tenant, test.filter, "test", start); err != nil || n != test.want {
					t.Errorf("revoked %d, %v; want %d", n, err, test.want)
				}
				left, err := s.FindGrants(t.Context(), tenant, grant.Filter{}, 10)
				if err != nil || len(left) != 3-test.want {
					t.Errorf("%d are left, %v", len(left), err)
				}
				if n, err := s.RevokeGrants(t.Context(), "elsewhere", grant.Filter{}, "test", start); err != nil || n != 0 {
					t.Errorf("another tenant: revoked %d, %v", n, err)
				}
			})
		})
	}
}

func TestPersonIsDisabledAndComesBackSignedOut(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		populate(t, s)
		person := func() grant.Person {
			p, err := s.FindPerson(t.Context(), tenant, "ALICE") // as Redshift folds it
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		at := start.Add(time.Minute)
		if err := s.DisablePerson(t.Context(), tenant, "per_alice", at); err != nil {
			t.Fatal(err)
		}
		if p := person(); !p.Disabled || !p.SignedOutAt.Equal(at) {
			t.Errorf("disabled: %+v", p)
		}
		if err := s.EnablePerson(t.Context(), tenant, "per_alice"); err != nil {
			t.Fatal(err)
		}
		if p := person(); p.Disabled || !p.SignedOutAt.Equal(at) {
			t.Errorf("enabled: %+v", p)
		}
		if err := s.SignOutPerson(t.Context(), tenant, "per_alice", at.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if everybody, err := s.People(t.Context(), tenant); err != nil || len(everybody) != 1 || !everybody[0].SignedOutAt.Equal(at.Add(time.Minute)) {
			t.Errorf("People = %+v, %v", everybody, err)
		}
		for _, err := range []error{
			s.DisablePerson(t.Context(), "elsewhere", "per_alice", at), s.EnablePerson(t.Context(), tenant, "per_bob"), s.SignOutPerson(t.Context(), tenant, "per_bob", at),
		} {
			if !errors.Is(err, grant.ErrNotFound) {
				t.Errorf("somebody who is not there: %v", err)
			}
		}
	})
}
