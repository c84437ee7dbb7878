package store_test

import (
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/store"
)

const tenant = grant.DefaultTenant

// start is when all that the tests keep begins. Times are stored to the millisecond.
var start = time.Date(2026, 11, 23, 12, 0, 0, 123_000_000, time.UTC)

func newHash() grant.Hash { return grant.HashToken(grant.NewToken(grant.AccessToken).Reveal()) }

func newApp() grant.App {
	return grant.App{
		Tenant: tenant, ID: "stargazer", Name: "Stargazer", Homepage: "https://stargazer.example", Type: grant.Confidential,
		RedirectURIs: []string{"https://stargazer.example/callback", "http://localhost:7421/callback"},
		Scopes:       grant.Scopes{grant.ScopeRead, grant.ScopeOffline},
		Secrets: []grant.AppSecret{
			{ID: "sec_1", Hash: newHash(), CreatedAt: start},
			{ID: "sec_2", Hash: newHash(), CreatedAt: start.Add(time.Second)},
		},
		AccessTokenLifetime: 10 * time.Minute, RefreshIdleLifetime: time.Hour, RefreshTotalLifetime: 24 * time.Hour,
		Origin: grant.FromAdmin, CreatedAt: start,
	}
}

func newPerson(name string) grant.Person {
	return grant.Person{
		ID: "per_" + name, Tenant: tenant, Issuer: "https://idp.example", Subject: "idp|" + name, Name: name, Email: name + "@example.com",
		DatabaseUser: name, CreatedAt: start, SeenAt: start,
	}
}

func newGrant(id string) (grant.Grant, grant.Code) {
	g := grant.Grant{
		ID: id, Tenant: tenant, AppID: "stargazer", PersonID: "per_alice", Warehouse: "tickit",
		Scopes:    grant.Scopes{grant.ScopeRead, grant.ScopeOffline},
		Limits:    grant.Limits{ReadOnly: true, Schemas: []string{"tickit"}, MaxRows: 1000},
		CreatedAt: start, ExpiresAt: start.Add(90 * 24 * time.Hour),
	}
	return g, grant.Code{
		Hash: newHash(), Tenant: tenant, GrantID: id, AppID: g.AppID, RedirectURI: "http://localhost:7421/callback",
		Challenge: "challenge", Nonce: "nonce", Scopes: g.Scopes, AuthTime: start, CreatedAt: start, ExpiresAt: start.Add(time.Minute),
	}
}

func familyFor(g grant.Grant) grant.Family {
	return grant.Family{
		ID: grant.NewID("fam"), GrantID: g.ID, AppID: g.AppID, Scopes: g.Scopes, Generation: 1, Current: newHash(), KeyID: "key",
		RotatedAt: start, CreatedAt: start, IdleUntil: start.Add(time.Hour), ExpiresAt: g.ExpiresAt,
	}
}

func issuedFor(family grant.Family) grant.Issued {
	return grant.Issued{
		Hash: newHash(), Tenant: tenant, GrantID: family.GrantID, FamilyID: family.ID, Scopes: grant.Scopes{grant.ScopeRead},
		CreatedAt: start, ExpiresAt: start.Add(10 * time.Minute),
	}
}

// populate keeps the app and alice, whom grants need.
func populate(t testing.TB, s *store.Store) {
	t.Helper()
	if err := s.CreateApp(t.Context(), newApp()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SignIn(t.Context(), newPerson("alice")); err != nil {
		t.Fatal(err)
	}
}

// newFamily goes the way from a consent to a refresh token.
func newFamily(t testing.TB, s *store.Store, grantID string) grant.Family {
	g, code := newGrant(grantID)
	if err := s.CreateGrant(t.Context(), g, code); err != nil {
		t.Error(err)
	}
	family := familyFor(g)
	if err := s.RedeemCode(t.Context(), code, start, issuedFor(family), &family); err != nil {
		t.Error(err)
	}
	return family
}
