package admin_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/admin"
	"github.com/shiftgrant/shiftgrant/internal/grant"
)

func (s *fakeStore) FindGrants(_ context.Context, _ string, f grant.Filter, _ int) ([]grant.Grant, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.grants), func(g grant.Grant) bool { return !chooses(f, g) }), nil
}

func chooses(f grant.Filter, g grant.Grant) bool {
	return g.RevokedAt.IsZero() && (f.GrantID == "" || f.GrantID == g.ID) && (f.AppID == "" || f.AppID == g.AppID) && (f.PersonID == "" || f.PersonID == g.PersonID)
}

func (s *fakeStore) RevokeGrants(_ context.Context, _ string, f grant.Filter, why string, at time.Time) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for i, g := range s.grants {
		if chooses(f, g) {
			s.grants[i].RevokedAt, s.grants[i].RevokedWhy = at, why
			n++
		}
	}
	return n, nil
}

func (s *fakeStore) People(context.Context, string) ([]grant.Person, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var people []grant.Person
	for _, p := range s.people {
		people = append(people, p)
	}
	return people, nil
}

func (s *fakeStore) FindPerson(_ context.Context, _, name string) (grant.Person, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.people {
		if p.ID == name || p.DatabaseUser == name {
			return p, nil
		}
	}
	return grant.Person{}, grant.ErrNotFound
}

func (s *fakeStore) change(id string, change func(*grant.Person)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.people[id]
	change(&p)
	s.people[id] = p
	return nil
}

func (s *fakeStore) DisablePerson(_ context.Context, _, id string, at time.Time) error {
	return s.change(id, func(p *grant.Person) { p.Disabled, p.SignedOutAt = true, at })
}

func (s *fakeStore) EnablePerson(_ context.Context, _, id string) error {
	return s.change(id, func(p *grant.Person) { p.Disabled = false })
}

func (s *fakeStore) SignOutPerson(_ context.Context, _, id string, at time.Time) error {
	return s.change(id, func(p *grant.Person) { p.SignedOutAt = at })
}

// startWithGrants has alice and bob, each with a grant to one app.
func startWithGrants(t *testing.T) *fixture {
	t.Helper()
	f := start(t)
	f.store.people = map[string]grant.Person{
		"per_1": {ID: "per_1", DatabaseUser: "alice", Name: "Alice Anders"},
		"per_2": {ID: "per_2", DatabaseUser: "bob"},
	}
	f.store.grants = []grant.Grant{
		{ID: "gra_1", AppID: "stargazer", PersonID: "per_1", Warehouse: "tickit", Scopes: grant.Scopes{"sql:read"}},
		{ID: "gra_2", AppID: "stargazer", PersonID: "per_2", Warehouse: "tickit"},
		{ID: "gra_3", AppID: "notebook", PersonID: "per_1", Warehouse: "tickit"},
	}
	return f
}

func TestGrantsAreRevokedByChoice(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		choice admin.Choice
		want   int
		audit  string
	}{
		{"one", admin.Choice{Grant: "gra_2"}, 1, "grant.revoked gra_2"},
		{"of an app", admin.Choice{App: "stargazer"}, 2, "grant.revoked stargazer"},
		{"of a person by database user", admin.Choice{Person: "alice"}, 2, "grant.revoked per_1"},
		{"of a person for an app", admin.Choice{Person: "per_1", App: "notebook"}, 1, "grant.revoked notebook per_1"},
		{"all", admin.Choice{All: true}, 3, "grant.revoked"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := startWithGrants(t)
			if n, err := f.RevokeGrants(t.Context(), c.choice); err != nil || n != c.want {
				t.Fatalf("revoked %d, %v; want %d", n, err, c.want)
			}
			if left, err := f.Grants(t.Context(), admin.Choice{}); err != nil || len(left) != 3-c.want {
				t.Errorf("%d are left, %v", len(left), err)
			}
			if !slices.Equal(f.audit, []string{c.audit}) {
				t.Errorf("audit %q, want %q", f.audit, c.audit)
			}
		})
	}
}

func TestEverythingIsRevokedOnlyWhenItIsSaid(t *testing.T) {
	t.Parallel()
	f := startWithGrants(t)
	for name, c := range map[string]struct {
		choice admin.Choice
		want   string
	}{
		"nothing chosen":     {admin.Choice{}, "Choose a grant"},
		"all, and some":      {admin.Choice{All: true, App: "stargazer"}, "Choose a grant"},
		"a person not there": {admin.Choice{Person: "carol"}, "nothing of this name"},
	} {
		if _, err := f.RevokeGrants(t.Context(), c.choice); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	f.auditFails = true
	if _, err := f.RevokeGrants(t.Context(), admin.Choice{All: true}); err == nil {
		t.Error("revoked without a record")
	}
	if left, err := f.Grants(t.Context(), admin.Choice{Person: "alice"}); err != nil || len(left) != 2 || left[0].DatabaseUser != "alice" {
		t.Errorf("left %+v, %v", left, err)
	}
}

func TestPeopleAreDisabledEnabledAndSignedOut(t *testing.T) {
	t.Parallel()
	f := startWithGrants(t)
	if p, err := f.DisablePerson(t.Context(), "alice"); err != nil || !p.Disabled {
		t.Fatalf("%+v, %v", p, err)
	}
	if p, err := f.EnablePerson(t.Context(), "per_1"); err != nil || p.Disabled {
		t.Fatalf("%+v, %v", p, err)
	}
	if _, err := f.SignOutPerson(t.Context(), "bob"); err != nil || f.store.people["per_2"].SignedOutAt.IsZero() {
		t.Fatalf("%+v, %v", f.store.people["per_2"], err)
	}
	if want := []string{"person.disabled per_1", "person.enabled per_1", "person.signed_out per_2"}; !slices.Equal(f.audit, want) {
		t.Errorf("audit %q, want %q", f.audit, want)
	}
	if people, err := f.People(t.Context()); err != nil || len(people) != 2 {
		t.Errorf("%+v, %v", people, err)
	}
	if _, err := f.DisablePerson(t.Context(), "carol"); err == nil || !strings.Contains(err.Error(), "nothing of this name") {
		t.Errorf("somebody who is not there: %v", err)
	}
	f.auditFails = true
	if _, err := f.DisablePerson(t.Context(), "bob"); err == nil || f.store.people["per_2"].Disabled {
		t.Errorf("without a record: %v, %+v", err, f.store.people["per_2"])
	}
}
