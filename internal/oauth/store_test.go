package oauth_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/audit"
	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/store"
)

// errDown has a canary that must not reach a caller.
var errDown = errors.New("canary: dial tcp 10.0.0.1:5432: connection refused")

// shelf is the real store, which can be told to fail, counts what is asked of it, and lets a
// test step in between.
type shelf struct {
	*store.Store

	mu      sync.Mutex
	down    error
	calls   map[string]int
	on      func(string)
	changed map[string]func(*grant.Person) // by the person's id
}

func newShelf(t *testing.T, now func() time.Time) *shelf {
	t.Helper()
	opened, err := store.Open(context.Background(), store.Config{Path: filepath.Join(t.TempDir(), "grants.db"), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := opened.Close(); err != nil {
			t.Error(err)
		}
	})
	return &shelf{Store: opened, calls: map[string]int{}, changed: map[string]func(*grant.Person){}}
}

// begin is called at the start of each method.
func (s *shelf) begin(method string) error {
	s.mu.Lock()
	on, down := s.on, s.down
	s.calls[method]++
	s.mu.Unlock()
	if on != nil {
		on(method)
	}
	return down
}

func (s *shelf) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = err
}

// onCall is called with the name of each method before it does its work, and with "answered
// Access" when that has read what it will return.
func (s *shelf) onCall(on func(string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on = on
}

func (s *shelf) count(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[method]
}

// changePerson changes what is read of a person from now on, also to what the store would never
// return.
func (s *shelf) changePerson(id string, change func(*grant.Person)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed[id] = change
}

func (s *shelf) apply(person *grant.Person) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if change := s.changed[person.ID]; change != nil {
		change(person)
	}
}

func (s *shelf) App(ctx context.Context, tenant, id string) (grant.App, error) {
	if err := s.begin("App"); err != nil {
		return grant.App{}, err
	}
	return s.Store.App(ctx, tenant, id)
}

func (s *shelf) Person(ctx context.Context, tenant, id string) (grant.Person, error) {
	if err := s.begin("Person"); err != nil {
		return grant.Person{}, err
	}
	person, err := s.Store.Person(ctx, tenant, id)
	s.apply(&person)
	return person, err
}

func (s *shelf) CreateGrant(ctx context.Context, g grant.Grant, code grant.Code) error {
	if err := s.begin("CreateGrant"); err != nil {
		return err
	}
	return s.Store.CreateGrant(ctx, g, code)
}

func (s *shelf) Grant(ctx context.Context, tenant, id string) (grant.Grant, error) {
	if err := s.begin("Grant"); err != nil {
		return grant.Grant{}, err
	}
	return s.Store.Grant(ctx, tenant, id)
}

func (s *shelf) Grants(ctx context.Context, tenant, personID string) ([]grant.Grant, error) {
	if err := s.begin("Grants"); err != nil {
		return nil, err
	}
	return s.Store.Grants(ctx, tenant, personID)
}

func (s *shelf) RecentGrants(ctx context.Context, tenant, personID, appID, warehouse string) ([]grant.Grant, error) {
	if err := s.begin("RecentGrants"); err != nil {
		return nil, err
	}
	return s.Store.RecentGrants(ctx, tenant, personID, appID, warehouse)
}

func (s *shelf) RevokeGrant(ctx context.Context, tenant, id, why string, at time.Time) error {
	if err := s.begin("RevokeGrant"); err != nil {
		return err
	}
	return s.Store.RevokeGrant(ctx, tenant, id, why, at)
}

func (s *shelf) Code(ctx context.Context, tenant string, hash grant.Hash) (grant.Code, grant.Standing, error) {
	if err := s.begin("Code"); err != nil {
		return grant.Code{}, grant.Standing{}, err
	}
	code, standing, err := s.Store.Code(ctx, tenant, hash)
	s.apply(&standing.Person)
	return code, standing, err
}

func (s *shelf) RedeemCode(ctx context.Context, code grant.Code, at time.Time, access grant.Issued, family *grant.Family) error {
	if err := s.begin("RedeemCode"); err != nil {
		return err
	}
	return s.Store.RedeemCode(ctx, code, at, access, family)
}

func (s *shelf) Access(ctx context.Context, tenant string, hash grant.Hash) (*grant.Access, error) {
	if err := s.begin("Access"); err != nil {
		return nil, err
	}
	access, err := s.Store.Access(ctx, tenant, hash)
	if err == nil {
		s.apply(&access.Person)
	}
	return access, errors.Join(err, s.begin("answered Access"))
}

func (s *shelf) RevokeAccess(ctx context.Context, tenant string, hash grant.Hash, at time.Time) error {
	if err := s.begin("RevokeAccess"); err != nil {
		return err
	}
	return s.Store.RevokeAccess(ctx, tenant, hash, at)
}

func (s *shelf) FamilyOf(ctx context.Context, tenant string, refresh grant.Hash) (grant.Family, grant.Standing, error) {
	if err := s.begin("FamilyOf"); err != nil {
		return grant.Family{}, grant.Standing{}, err
	}
	family, standing, err := s.Store.FamilyOf(ctx, tenant, refresh)
	s.apply(&standing.Person)
	return family, standing, err
}

func (s *shelf) Rotate(ctx context.Context, family grant.Family, next grant.Hash, at, idleUntil time.Time, keyID string, access grant.Issued) error {
	if err := s.begin("Rotate"); err != nil {
		return err
	}
	return s.Store.Rotate(ctx, family, next, at, idleUntil, keyID, access)
}

func (s *shelf) Reissue(ctx context.Context, access grant.Issued) error {
	if err := s.begin("Reissue"); err != nil {
		return err
	}
	return s.Store.Reissue(ctx, access)
}

func (s *shelf) RevokeFamily(ctx context.Context, tenant, id, why string, at time.Time) error {
	if err := s.begin("RevokeFamily"); err != nil {
		return err
	}
	return s.Store.RevokeFamily(ctx, tenant, id, why, at)
}

// record is the audit record of the tests.
type record struct {
	mu      sync.Mutex
	records []audit.Record
	err     error
}

func (r *record) Write(_ context.Context, entry audit.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return r.err
	}
	r.records = append(r.records, entry)
	return nil
}

func (r *record) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

// count counts the records of a kind.
func (r *record) count(kind string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, entry := range r.records {
		if entry.Kind == kind {
			n++
		}
	}
	return n
}
