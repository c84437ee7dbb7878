package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/orphans"
	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/dataapi"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
	"github.com/shiftgrant/shiftgrant/redshift/wire"
)

// openOrphans keeps in the store what runs in warehouses. It ends after them.
func (t *tenant) openOrphans() {
	t.connectors = map[string]*connector{}
	t.orphans = orphans.New(orphans.Config{
		Store: t.store, Ring: t.keys.ring, Tenant: t.config.tenant, Holder: holderName() + "/" + grant.NewID("run"), Stop: t.stopOrphan,
		Logger: t.logger, Now: t.now,
	})
	t.closers = append(t.closers, func() error { t.orphans.Close(); return nil })
}

// stopOrphan stops what a gateway that died has left.
func (t *tenant) stopOrphan(ctx context.Context, left grant.Running, trace []byte) error {
	c := t.connectors[left.Warehouse]
	if c == nil {
		return errors.New("the warehouse is not configured any more")
	}
	if left.Kind == grant.RunningConnection {
		return c.cancelOnWire(ctx, trace)
	}
	return c.cancelByDataAPI(ctx, left, string(trace))
}

func (c *connector) cancelOnWire(ctx context.Context, text []byte) error {
	if c.port == nil {
		return errors.New("the warehouse's host is not configured any more")
	}
	var trace wire.Trace
	if err := json.Unmarshal(text, &trace); err != nil {
		return fmt.Errorf("decode trace: %w", err)
	}
	return wire.Cancel(ctx, *c.port, trace)
}

func (c *connector) cancelByDataAPI(ctx context.Context, left grant.Running, id string) error {
	if c.dataAPI == nil {
		return errors.New("the warehouse is not reached by the Data API any more")
	}
	person, err := c.tenant.store.Person(ctx, left.Tenant, left.PersonID)
	if err != nil {
		return err
	}
	config := *c.dataAPI
	config.Credentials = c.chain.For(subjectOf(person))
	session := dataapi.New(config)
	err = session.Cancel(ctx, id)
	if errors.Is(err, redshift.ErrNotFound) {
		err = nil // it has ended
	}
	return errors.Join(err, session.Close())
}

// opened keeps a connection on the wire in the store before a statement runs on it.
func (c *connector) opened(person grant.Person) func(context.Context, wire.Trace) (func(), error) {
	return func(ctx context.Context, trace wire.Trace) (func(), error) {
		text, err := json.Marshal(trace)
		if err != nil {
			return nil, err
		}
		return c.tenant.orphans.Add(ctx, person, c.config.Name, grant.RunningConnection, text)
	}
}

// started keeps a statement of the Data API in the store while it runs, beside the wait for its
// result, which it does not make longer.
func (c *connector) started(person grant.Person) func(string) func() {
	return func(id string) func() {
		return c.tenant.orphans.AddSoon(person, c.config.Name, grant.RunningStatement, []byte(id))
	}
}

func subjectOf(person grant.Person) identity.Subject {
	return identity.Subject{ID: person.ID, DatabaseUser: person.DatabaseUser, Email: person.Email}
}
