// Package warehouse opens a warehouse for a grant: the one place where "this app may act for
// this person" becomes a session in Redshift.
//
//	session, err := warehouses.Open(ctx, access, "")
//	defer session.Close()
//	rows, err := session.Query(ctx, redshift.Statement{SQL: "select 1"})
//
// Every door goes through here, so what holds here holds everywhere: a grant reaches its own
// warehouse and no other; a scope is asked for before a statement; a statement is one statement;
// rows and bytes end at the grant's limits and the caller is told so; nothing runs without its
// audit record; nobody takes more than their share; and what runs too long, or longer than its
// grant, is cancelled.
//
// What a person may read is decided by Redshift, for the database user whose credentials the
// session has. The look at the text of a statement (classify.go) is one more wall in front of
// that and never a boundary by itself: a function can have effects inside a SELECT.
//
// Sessions are kept for the next request of the same person in the same warehouse and are never
// shared by two people.
package warehouse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/redshift"
)

var (
	// ErrUnknown says that the grant has no such warehouse. Whether there is one of that name
	// is not told.
	ErrUnknown = errors.New("this grant has no such warehouse")
	// ErrScope is wrapped by a *ScopeError.
	ErrScope = errors.New("the access token does not allow this")
	// ErrAudit says that the audit record could not be written, so nothing was run.
	ErrAudit = errors.New("the audit record cannot be written")
	// ErrTimeout says that a statement was cancelled because it ran longer than allowed.
	ErrTimeout = errors.New("the statement ran longer than is allowed and was cancelled")
	// ErrNotDetached says that the warehouse's transport cannot run a statement in the background.
	ErrNotDetached = errors.New("this warehouse cannot run statements in the background")
)

// A ScopeError says which scopes a statement would have needed.
type ScopeError struct {
	Needs grant.Scopes // all of them
	// ReadOnly is set when the token has the scope and the grant's limits forbid it all the same:
	// asking for more scopes would not help.
	ReadOnly bool
	Why      string // what about the statement asks for it
}

func (e *ScopeError) Error() string {
	if e.ReadOnly {
		return "this grant is read-only: " + e.Why
	}
	return fmt.Sprintf("scope %s is needed: %s", e.Needs, e.Why)
}

// Is makes every ScopeError an ErrScope.
func (e *ScopeError) Is(target error) bool { return target == ErrScope }

// A Connector makes sessions of people in one warehouse.
type Connector interface {
	Connect(ctx context.Context, person grant.Person) (redshift.Session, error)
}

// A Warehouse is one Redshift target.
type Warehouse struct {
	Name        string
	DisplayName string
	Description string
	Region      string
	Database    string
	Transport   string // "dataapi": for people to read
	Connector   Connector
}

// Config says what there is and how much of it one caller may use. A zero limit takes the
// default in its comment.
type Config struct {
	Warehouses []Warehouse
	Audit      Audit
	// Grants is asked about the grants of what runs, so that a revocation ends it; nil is nobody.
	Grants Grants
	// HashStatements keeps the SHA-256 of a statement in the audit record in place of its text.
	HashStatements bool

	MaxConcurrentPerPerson    int           // 10 statements at once
	MaxConcurrentPerWarehouse int           // 200 statements at once
	MaxPerMinutePerPerson     int           // 6000 statements begun
	QueueWait                 time.Duration // 5s: how long a statement waits for its turn
	StatementTimeout          time.Duration // 30m
	MaxRows                   int64         // of one statement; 0 is no limit
	MaxSQL                    int           // 200 KB: what the Data API takes
	MaxSessions               int           // 1000 kept for the next request
	SessionIdle               time.Duration // 10m until a kept session is closed

	Logger *slog.Logger
	Now    func() time.Time
}

// Info is a warehouse as an app may see it.
type Info struct {
	Name         string
	DisplayName  string
	Description  string
	Region       string
	Database     string
	Transport    string
	DatabaseUser string // who the person is there
	Capabilities []string
}

// Warehouses are all that the gateway has.
type Warehouses struct {
	config   Config
	slots    *slots
	pool     *pool
	watches  *watches
	overseer *overseer
}

// New checks the configuration.
func New(config Config) (*Warehouses, error) {
	if config.Audit == nil {
		return nil, errors.New("warehouses: an audit record is required")
	}
	var names []string
	for _, warehouse := range config.Warehouses {
		if warehouse.Name == "" || warehouse.Connector == nil || slices.Contains(names, warehouse.Name) {
			return nil, fmt.Errorf("warehouses: %q needs a name of its own and a connector", warehouse.Name)
		}
		names = append(names, warehouse.Name)
	}
	setDefault(&config.MaxConcurrentPerPerson, 10)
	setDefault(&config.MaxConcurrentPerWarehouse, 200)
	setDefault(&config.MaxPerMinutePerPerson, 6000)
	setDefault(&config.QueueWait, 5*time.Second)
	setDefault(&config.StatementTimeout, 30*time.Minute)
	setDefault(&config.MaxSQL, 200<<10)
	setDefault(&config.MaxSessions, 1000)
	setDefault(&config.SessionIdle, 10*time.Minute)
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	w := &Warehouses{config: config, slots: newSlots(config), watches: newWatches()}
	w.overseer = newOverseer(&w.config)
	w.pool = newPool(config.MaxSessions, config.SessionIdle, config.Logger)
	return w, nil
}

func setDefault[T int | time.Duration](value *T, standard T) {
	if *value == 0 {
		*value = standard
	}
}

// Open gives a session in the grant's warehouse. An empty name is that warehouse; any other than
// that is ErrUnknown, whether it exists or not.
func (w *Warehouses) Open(ctx context.Context, access *grant.Access, name string) (*Session, error) {
	target, err := w.find(access, name)
	if err != nil {
		return nil, err
	}
	// A limit that is not enforced must not look as if it were.
	if len(access.Grant.Limits.Schemas) > 0 {
		return nil, errors.New("open warehouse: the grant is limited to schemas, which this gateway cannot enforce")
	}
	key := poolKey{access.Grant.Tenant, access.Person.ID, access.Person.DatabaseUser, target.Name}
	kept, err := w.pool.acquire(ctx, key, func(ctx context.Context) (redshift.Session, error) {
		return target.Connector.Connect(ctx, access.Person)
	})
	if err != nil {
		return nil, fmt.Errorf("connect to warehouse %s: %w", target.Name, err)
	}
	return &Session{house: w, target: target, access: access, kept: kept, maxRows: w.config.MaxRows}, nil
}

func (w *Warehouses) find(access *grant.Access, name string) (*Warehouse, error) {
	own := access.Grant.Warehouse
	if own == "" {
		return nil, &ScopeError{Needs: grant.Scopes{grant.ScopeRead}, Why: "this token is not for any warehouse"}
	}
	if name != "" && name != own {
		return nil, ErrUnknown
	}
	if named := access.Scopes.Warehouses(); len(named) > 0 && !slices.Contains(named, own) {
		return nil, ErrUnknown
	}
	for i := range w.config.Warehouses {
		if w.config.Warehouses[i].Name == own {
			return &w.config.Warehouses[i], nil
		}
	}
	return nil, ErrUnknown
}

// List gives the warehouses of a grant: at most one.
func (w *Warehouses) List(access *grant.Access) []Info {
	target, err := w.find(access, "")
	if err != nil {
		return nil
	}
	info := Info{
		Name: target.Name, DisplayName: target.DisplayName, Description: target.Description, Region: target.Region,
		Database: target.Database, Transport: target.Transport, DatabaseUser: access.Person.DatabaseUser,
	}
	for _, scope := range []string{grant.ScopeRead, grant.ScopeWrite} {
		if access.Scopes.Has(scope) && !(scope == grant.ScopeWrite && access.Grant.Limits.ReadOnly) {
			info.Capabilities = append(info.Capabilities, scope)
		}
	}
	return []Info{info}
}

// Close stops watching over background statements, which go on in Redshift, and closes the kept
// sessions.
func (w *Warehouses) Close() {
	w.watches.close()
	w.overseer.close()
	w.pool.close()
}
