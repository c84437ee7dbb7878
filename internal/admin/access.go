package admin

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/shiftgrant/shiftgrant/internal/audit"
	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/web"
)

// Taking access away. What is changed here is in the store when the answer comes, and every
// gateway on that store knows it within a second.

// Grant is a grant as the admin API shows it.
type Grant struct {
	ID           string    `json:"id"`
	App          string    `json:"app"`
	Person       string    `json:"person"`
	DatabaseUser string    `json:"database_user,omitzero"`
	Warehouse    string    `json:"warehouse"`
	Scopes       []string  `json:"scopes"`
	CreatedAt    time.Time `json:"created_at"`
	ExpiresAt    time.Time `json:"expires_at,omitzero"`
}

// Person is a person as the admin API shows them.
type Person struct {
	ID           string    `json:"id"`
	DatabaseUser string    `json:"database_user"`
	Name         string    `json:"name,omitzero"`
	Email        string    `json:"email,omitzero"`
	Issuer       string    `json:"issuer"`
	Subject      string    `json:"subject"`
	Disabled     bool      `json:"disabled"`
	SeenAt       time.Time `json:"seen_at"`
}

// Choice chooses grants. An empty field chooses any; a choice of everything must say so.
type Choice struct {
	Grant     string `json:"grant,omitzero"`
	App       string `json:"app,omitzero"`
	Person    string `json:"person,omitzero"` // id or database user
	Warehouse string `json:"warehouse,omitzero"`
	All       bool   `json:"all,omitzero"`
	Why       string `json:"why,omitzero"` // for the audit record and the person
}

// Revoked tells how many grants were ended.
type Revoked struct {
	Revoked int `json:"revoked"`
}

// maxListed is how many grants one answer lists.
const maxListed = 1000

// filter turns a choice into the store's terms; a person who is not there is an error.
func (s *server) filter(ctx context.Context, c Choice) (grant.Filter, error) {
	f := grant.Filter{GrantID: c.Grant, AppID: c.App, Warehouse: c.Warehouse}
	if c.Person != "" {
		person, err := s.Store.FindPerson(ctx, s.Tenant, c.Person)
		if err != nil {
			return grant.Filter{}, err
		}
		f.PersonID = person.ID
	}
	return f, nil
}

func (s *server) listGrants(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	f, err := s.filter(r.Context(), Choice{App: query.Get("app"), Person: query.Get("person"), Warehouse: query.Get("warehouse")})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	grants, err := s.Store.FindGrants(r.Context(), s.Tenant, f, maxListed)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	people, err := s.Store.People(r.Context(), s.Tenant)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	names := map[string]string{}
	for _, p := range people {
		names[p.ID] = p.DatabaseUser
	}
	shown := make([]Grant, 0, len(grants))
	for _, g := range grants {
		shown = append(shown, Grant{
			ID: g.ID, App: g.AppID, Person: g.PersonID, DatabaseUser: names[g.PersonID], Warehouse: g.Warehouse, Scopes: g.Scopes,
			CreatedAt: g.CreatedAt, ExpiresAt: g.ExpiresAt,
		})
	}
	s.answer(w, r, http.StatusOK, shown)
}

func (s *server) revokeGrants(w http.ResponseWriter, r *http.Request) {
	var c Choice
	if err := json.UnmarshalRead(http.MaxBytesReader(w, r.Body, 64<<10), &c, json.RejectUnknownMembers(true)); err != nil {
		web.WriteProblem(w, r, web.Problem{Status: http.StatusBadRequest, Title: "The request chooses no grants", Detail: "Send one JSON object with grant, app, person, warehouse or all."})
		return
	}
	f, err := s.filter(r.Context(), c)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if c.All != (f == grant.Filter{}) {
		web.WriteProblem(w, r, web.Problem{Status: http.StatusBadRequest, Title: "Nothing was revoked", Detail: "Choose a grant, an app, a person or a warehouse, or all alone."})
		return
	}
	if c.Why == "" {
		c.Why = "by an administrator"
	}
	change := audit.Record{Kind: "grant.revoked", Grant: f.GrantID, App: f.AppID, Person: f.PersonID, Warehouse: f.Warehouse, Detail: c.Why}
	if err := s.record(r, change); err != nil {
		s.fail(w, r, err)
		return
	}
	revoked, err := s.Store.RevokeGrants(r.Context(), s.Tenant, f, c.Why, s.Now())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.answer(w, r, http.StatusOK, Revoked{revoked})
}

func (s *server) listPeople(w http.ResponseWriter, r *http.Request) {
	people, err := s.Store.People(r.Context(), s.Tenant)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	shown := make([]Person, 0, len(people))
	for _, p := range people {
		shown = append(shown, showPerson(p))
	}
	s.answer(w, r, http.StatusOK, shown)
}

// changePerson disables, enables or signs out.
func (s *server) changePerson(w http.ResponseWriter, r *http.Request) {
	now := s.Now()
	changes := map[string]struct {
		kind string
		do   func(ctx context.Context, id string) error
	}{
		"disable":  {"person.disabled", func(ctx context.Context, id string) error { return s.Store.DisablePerson(ctx, s.Tenant, id, now) }},
		"enable":   {"person.enabled", func(ctx context.Context, id string) error { return s.Store.EnablePerson(ctx, s.Tenant, id) }},
		"sign-out": {"person.signed_out", func(ctx context.Context, id string) error { return s.Store.SignOutPerson(ctx, s.Tenant, id, now) }},
	}
	change, known := changes[r.PathValue("change")]
	if !known {
		s.fail(w, r, grant.ErrNotFound)
		return
	}
	person, err := s.Store.FindPerson(r.Context(), s.Tenant, r.PathValue("name"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if err := s.record(r, audit.Record{Kind: change.kind, Person: person.ID, DatabaseAs: person.DatabaseUser}); err != nil {
		s.fail(w, r, err)
		return
	}
	if err := change.do(r.Context(), person.ID); err != nil {
		s.fail(w, r, err)
		return
	}
	if person, err = s.Store.FindPerson(r.Context(), s.Tenant, person.ID); err != nil {
		s.fail(w, r, err)
		return
	}
	s.answer(w, r, http.StatusOK, showPerson(person))
}

func showPerson(p grant.Person) Person {
	return Person{
		ID: p.ID, DatabaseUser: p.DatabaseUser, Name: p.Name, Email: p.Email, Issuer: p.Issuer, Subject: p.Subject,
		Disabled: p.Disabled, SeenAt: p.SeenAt,
	}
}

// Grants lists living grants, the newest first.
func (c *Client) Grants(ctx context.Context, choice Choice) ([]Grant, error) {
	var grants []Grant
	query := url.Values{"app": {choice.App}, "person": {choice.Person}, "warehouse": {choice.Warehouse}}
	return grants, c.call(ctx, http.MethodGet, "/grants?"+query.Encode(), nil, &grants)
}

// RevokeGrants ends all grants of a choice, with their tokens and running statements.
func (c *Client) RevokeGrants(ctx context.Context, choice Choice) (int, error) {
	var revoked Revoked
	err := c.call(ctx, http.MethodPost, "/grants/revoke", choice, &revoked)
	return revoked.Revoked, err
}

// People lists everybody who ever signed in.
func (c *Client) People(ctx context.Context) ([]Person, error) {
	var people []Person
	return people, c.call(ctx, http.MethodGet, "/people", nil, &people)
}

// DisablePerson keeps a person out until they are enabled again.
func (c *Client) DisablePerson(ctx context.Context, name string) (Person, error) {
	return c.changePerson(ctx, name, "disable")
}

// EnablePerson lets a disabled person in again.
func (c *Client) EnablePerson(ctx context.Context, name string) (Person, error) {
	return c.changePerson(ctx, name, "enable")
}

// SignOutPerson ends the browser sessions of a person.
func (c *Client) SignOutPerson(ctx context.Context, name string) (Person, error) {
	return c.changePerson(ctx, name, "sign-out")
}

func (c *Client) changePerson(ctx context.Context, name, change string) (Person, error) {
	var person Person
	return person, c.call(ctx, http.MethodPost, "/people/"+url.PathEscape(name)+"/"+change, nil, &person)
}
