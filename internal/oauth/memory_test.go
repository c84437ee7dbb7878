package oauth_test

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/audit"
	"github.com/shiftgrant/shiftgrant/internal/grant"
)

var errDown = errors.New("canary: dial tcp 10.0.0.1:5432: connection refused")

// memory is a store that can be told to fail, and counts what is asked of it.
type memory struct {
	mu       sync.Mutex
	apps     map[string]grant.App
	people   map[string]grant.Person
	grants   map[string]grant.Grant
	order    []string
	codes    map[grant.Hash]grant.Code
	issued   map[grant.Hash]grant.Issued
	revoked  map[grant.Hash]bool
	families map[string]grant.Family
	members  map[grant.Hash]string

	down  error          // of every method
	calls map[string]int // by method
	on    func(string)   // called, unlocked, before a method does its work
}

func newMemory() *memory {
	return &memory{
		apps: map[string]grant.App{}, people: map[string]grant.Person{}, grants: map[string]grant.Grant{},
		codes: map[grant.Hash]grant.Code{}, issued: map[grant.Hash]grant.Issued{}, revoked: map[grant.Hash]bool{},
		families: map[string]grant.Family{}, members: map[grant.Hash]string{}, calls: map[string]int{},
	}
}

func (m *memory) begin(method string) (func(), error) {
	m.mu.Lock()
	on := m.on
	m.mu.Unlock()
	if on != nil {
		on(method)
	}
	m.mu.Lock()
	m.calls[method]++
	return m.mu.Unlock, m.down
}

func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = err
}

// onCall is called with the name of each method before it does its work, and with "answered
// Access" when that has read what it will return.
func (m *memory) onCall(on func(string)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.on = on
}

// liveLeaves counts the refresh tokens that lead on: the current ones of live families.
func (m *memory) liveLeaves() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	leaves := 0
	for _, family := range m.families {
		if family.RevokedAt.IsZero() {
			leaves++
		}
	}
	return leaves
}

func (m *memory) count(method string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls[method]
}

func (m *memory) putApp(app grant.App) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.apps[app.Tenant+"/"+app.ID] = app
}

func (m *memory) putPerson(person grant.Person) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.people[person.Tenant+"/"+person.ID] = person
}

func (m *memory) changePerson(id string, change func(*grant.Person)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	person := m.people[grant.DefaultTenant+"/"+id]
	change(&person)
	m.people[grant.DefaultTenant+"/"+id] = person
}

func (m *memory) App(_ context.Context, tenant, id string) (grant.App, error) {
	end, err := m.begin("App")
	defer end()
	if err != nil {
		return grant.App{}, err
	}
	return found(m.apps, tenant+"/"+id)
}

func (m *memory) Person(_ context.Context, tenant, id string) (grant.Person, error) {
	end, err := m.begin("Person")
	defer end()
	if err != nil {
		return grant.Person{}, err
	}
	return found(m.people, tenant+"/"+id)
}

func found[K comparable, V any](values map[K]V, key K) (V, error) {
	value, ok := values[key]
	if !ok {
		return value, grant.ErrNotFound
	}
	return value, nil
}

func (m *memory) CreateGrant(_ context.Context, g grant.Grant, code grant.Code) error {
	end, err := m.begin("CreateGrant")
	defer end()
	if err != nil {
		return err
	}
	if _, taken := m.grants[g.ID]; taken {
		return grant.ErrExists
	}
	m.grants[g.ID], m.codes[code.Hash] = g, code
	m.order = append([]string{g.ID}, m.order...)
	return nil
}

func (m *memory) Grant(_ context.Context, tenant, id string) (grant.Grant, error) {
	end, err := m.begin("Grant")
	defer end()
	if err != nil {
		return grant.Grant{}, err
	}
	g, err := found(m.grants, id)
	if err != nil || g.Tenant != tenant {
		return grant.Grant{}, grant.ErrNotFound
	}
	return g, nil
}

func (m *memory) Grants(_ context.Context, tenant, personID string) ([]grant.Grant, error) {
	end, err := m.begin("Grants")
	defer end()
	var list []grant.Grant
	for _, id := range m.order {
		if g := m.grants[id]; g.Tenant == tenant && g.PersonID == personID && g.RevokedAt.IsZero() {
			list = append(list, g)
		}
	}
	return list, err
}

func (m *memory) revokeGrant(id, why string, at time.Time) {
	if g, ok := m.grants[id]; ok && g.RevokedAt.IsZero() {
		g.RevokedAt, g.RevokedWhy = at, why
		m.grants[id] = g
	}
}

func (m *memory) RevokeGrant(_ context.Context, _, id, why string, at time.Time) error {
	end, err := m.begin("RevokeGrant")
	defer end()
	if err == nil {
		m.revokeGrant(id, why, at)
	}
	return err
}

func (m *memory) Code(_ context.Context, tenant string, hash grant.Hash) (grant.Code, error) {
	end, err := m.begin("Code")
	defer end()
	if err != nil {
		return grant.Code{}, err
	}
	code, err := found(m.codes, hash)
	if err != nil || code.Tenant != tenant {
		return grant.Code{}, grant.ErrNotFound
	}
	return code, nil
}

func (m *memory) RedeemCode(_ context.Context, code grant.Code, at time.Time, access grant.Issued, family *grant.Family) error {
	end, err := m.begin("RedeemCode")
	defer end()
	if err != nil {
		return err
	}
	stored := m.codes[code.Hash]
	if !stored.RedeemedAt.IsZero() {
		return grant.ErrConflict
	}
	stored.RedeemedAt = at
	m.codes[code.Hash], m.issued[access.Hash] = stored, access
	if family != nil {
		m.families[family.ID], m.members[family.Current] = *family, family.ID
	}
	return nil
}

func (m *memory) Access(_ context.Context, tenant string, hash grant.Hash) (*grant.Access, error) {
	end, err := m.begin("Access")
	on := m.on
	defer func() {
		end()
		if on != nil {
			on("answered Access")
		}
	}()
	if err != nil {
		return nil, err
	}
	issued, err := found(m.issued, hash)
	switch {
	case err != nil || issued.Tenant != tenant:
		return nil, grant.ErrNotFound
	case m.revoked[hash]:
		return nil, grant.ErrRevoked
	}
	g := m.grants[issued.GrantID]
	return &grant.Access{
		Grant: g, Person: m.people[tenant+"/"+g.PersonID], App: m.apps[tenant+"/"+g.AppID],
		Scopes: issued.Scopes, ExpiresAt: issued.ExpiresAt,
	}, nil
}

func (m *memory) RevokeAccess(_ context.Context, _ string, hash grant.Hash, _ time.Time) error {
	end, err := m.begin("RevokeAccess")
	defer end()
	if err == nil {
		m.revoked[hash] = true
	}
	return err
}

func (m *memory) FamilyOf(_ context.Context, _ string, refresh grant.Hash) (grant.Family, error) {
	end, err := m.begin("FamilyOf")
	defer end()
	if err != nil {
		return grant.Family{}, err
	}
	id, err := found(m.members, refresh)
	if err != nil {
		return grant.Family{}, err
	}
	return m.families[id], nil
}

func (m *memory) Rotate(_ context.Context, family grant.Family, next grant.Hash, at, idleUntil time.Time, keyID string, access grant.Issued) error {
	end, err := m.begin("Rotate")
	defer end()
	if err != nil {
		return err
	}
	stored := m.families[family.ID]
	if stored.Generation != family.Generation || !stored.RevokedAt.IsZero() {
		return grant.ErrConflict
	}
	stored.Generation++
	stored.Previous, stored.Current = stored.Current, next
	stored.RotatedAt, stored.IdleUntil, stored.KeyID = at, idleUntil, keyID
	m.families[family.ID], m.members[next], m.issued[access.Hash] = stored, family.ID, access
	return nil
}

func (m *memory) Reissue(_ context.Context, access grant.Issued) error {
	end, err := m.begin("Reissue")
	defer end()
	if err != nil {
		return err
	}
	if !m.families[access.FamilyID].RevokedAt.IsZero() || !m.grants[access.GrantID].RevokedAt.IsZero() {
		return grant.ErrRevoked
	}
	m.issued[access.Hash] = access
	return nil
}

func (m *memory) RevokeFamily(_ context.Context, _, id, why string, at time.Time) error {
	end, err := m.begin("RevokeFamily")
	defer end()
	if err != nil {
		return err
	}
	family := m.families[id]
	family.RevokedAt = at
	m.families[id] = family
	for hash, issued := range m.issued {
		if issued.FamilyID == id {
			m.revoked[hash] = true
		}
	}
	m.revokeGrant(family.GrantID, why, at)
	return nil
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
		if string(entry.Kind) == kind {
			n++
		}
	}
	return n
}
