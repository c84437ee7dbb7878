// Package grant is the domain: who may act for whom, on which warehouse, within which
// limits, and the tokens that prove it.
//
// An [App] asks, a [Person] consents, and a [Grant] comes to be: this app may act for this
// person on this warehouse, within these limits, until it is revoked or expires. Authorization
// codes, access tokens and refresh tokens all descend from a grant and die with it.
//
// The package holds types and rules and imports no other room but secret. What it guards
// against: a redirect to anywhere that was not registered (redirect.go), a token that can be
// guessed or taken from a stolen database (token.go), and a refresh that loses an honest
// client's login or lets a thief keep one (rotate.go).
package grant

import (
	"errors"
	"time"
)

var (
	// ErrNotFound says that no such app, person, grant or token is stored.
	ErrNotFound = errors.New("not found")
	// ErrRevoked says that a grant or token existed and was revoked.
	ErrRevoked = errors.New("revoked")
	// ErrExpired says that a grant, code or token is past its time.
	ErrExpired = errors.New("expired")
	// ErrExists says that the id of something new is taken.
	ErrExists = errors.New("already exists")
	// ErrDatabaseUserTaken says that another person already is this database user. Two people
	// must never be one: the second could read as the first.
	ErrDatabaseUserTaken = errors.New("this database user belongs to another person")
)

// DefaultTenant is the tenant that lives at the gateway's base URL.
const DefaultTenant = "default"

// A Person is somebody an upstream vouched for: (Tenant, Issuer, Subject). E-mail and name
// are shown to people and decide nothing (ASVS 10.3.3).
type Person struct {
	ID      string // "per_…", ours: the subject of assertions and ID tokens
	Tenant  string
	Issuer  string // the upstream's issuer URL
	Subject string // the upstream's sub
	Name    string
	Email   string
	// DatabaseUser is who this person is in Redshift, chosen at the first sign-in from the
	// upstream's claim that the configuration names. It is unique within the tenant.
	DatabaseUser string
	Disabled     bool
	CreatedAt    time.Time
	SeenAt       time.Time // last sign-in
	// SignedOutAt ends the browser sessions that began before it; zero ends none.
	SignedOutAt time.Time
}

// DisplayName is the best name for showing the person to themself.
func (p *Person) DisplayName() string {
	for _, name := range []string{p.Name, p.Email, p.DatabaseUser} {
		if name != "" {
			return name
		}
	}
	return p.Subject
}

// A ClientType is whether an app can keep a secret (OAuth 2.1 §2.1).
type ClientType string

// The client types.
const (
	Public       ClientType = "public"       // browser, desktop, command line: PKCE alone
	Confidential ClientType = "confidential" // a server with a client secret
)

// An App is an OAuth client.
type App struct {
	Tenant       string
	ID           string
	Name         string
	Homepage     string // shown at consent; "" for none
	Type         ClientType
	RedirectURIs []string
	// Scopes is the most the app may ask for; empty means any that the gateway knows.
	Scopes Scopes
	// Secrets of a confidential app: at most two live at once, so that one can be replaced
	// while the other is in use.
	Secrets []AppSecret
	// Lifetimes; zero takes the gateway's default.
	AccessTokenLifetime  time.Duration
	RefreshIdleLifetime  time.Duration // a refresh token unused for this long is dead
	RefreshTotalLifetime time.Duration // rotation never extends a login beyond this
	Disabled             bool
	Origin               Origin
	CreatedAt            time.Time
}

// An Origin is how an app came to be registered.
type Origin string

// The origins of an app.
const (
	FromConfig Origin = "config" // the configuration file; changed there only
	FromAdmin  Origin = "admin"  // shiftgrant apps add
)

// An AppSecret is one client secret, as its hash.
type AppSecret struct {
	ID        string // names the secret in `apps list`; not secret itself
	Hash      Hash
	CreatedAt time.Time
}

// MaxAppSecrets is how many secrets of an app may live at once.
const MaxAppSecrets = 2

// Limits bound what a grant can do beyond what the database allows. Zero means no limit.
type Limits struct {
	ReadOnly bool     `json:"read_only,omitempty"`
	Schemas  []string `json:"schemas,omitempty"`
	MaxRows  int64    `json:"max_rows,omitempty"`  // per statement
	MaxBytes int64    `json:"max_bytes,omitempty"` // per statement
}

// A Grant is a person's consent: this app may act for this person on this warehouse.
type Grant struct {
	ID        string // "gra_…"
	Tenant    string
	AppID     string
	PersonID  string
	Warehouse string // its name in the configuration
	Scopes    Scopes
	Limits    Limits
	CreatedAt time.Time
	ExpiresAt time.Time // refresh ends here at the latest
	RevokedAt time.Time // zero while alive
	// RevokedWhy is for the audit record and the "connected apps" page: "by you",
	// "refresh token used twice".
	RevokedWhy string
}

// Alive returns nil, ErrRevoked or ErrExpired.
func (g *Grant) Alive(now time.Time) error {
	switch {
	case !g.RevokedAt.IsZero():
		return ErrRevoked
	case !g.ExpiresAt.IsZero() && !now.Before(g.ExpiresAt):
		return ErrExpired
	}
	return nil
}

// Standing is what everything that a grant has given depends on.
type Standing struct {
	Grant  Grant
	Person Person
}

// Access is what a live access token stands for. Doors get one for each request and hand it
// to the warehouse; nothing else says who is asking.
type Access struct {
	Grant     Grant
	Person    Person
	App       App
	Scopes    Scopes // of this token: the grant's or fewer
	ExpiresAt time.Time
	Token     Hash      // what was presented
	CheckedAt time.Time // when the store was asked, at the latest; zero for never
}

// Claim is what must stay good while something runs for this access.
func (a *Access) Claim() Claim { return Claim{a.Grant.Tenant, a.Grant.ID, a.Token} }

// A Claim names the grant and the token that something runs on. That the token expires does not
// end it: a token is good for beginning, and what has begun may finish.
type Claim struct {
	Tenant  string
	GrantID string
	Token   Hash // zero for none in particular
}

// A Filter chooses grants of a tenant. An empty field chooses any.
type Filter struct {
	GrantID   string
	AppID     string
	PersonID  string
	Warehouse string
}
