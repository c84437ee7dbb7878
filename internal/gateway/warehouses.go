package gateway

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/issuer"
	"github.com/shiftgrant/shiftgrant/internal/secret"
	"github.com/shiftgrant/shiftgrant/internal/warehouse"
	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/dataapi"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
)

func (g *Gateway) openWarehouses() error {
	client := dataapi.NewHTTPClient()
	g.closers = append(g.closers, func() error { client.CloseIdleConnections(); return nil })
	all := make([]warehouse.Warehouse, 0, len(g.config.Warehouses))
	for _, w := range g.config.Warehouses {
		connector, err := g.connector(w, client)
		if err != nil {
			return fmt.Errorf("warehouse %s: %w", w.Name, err)
		}
		all = append(all, warehouse.Warehouse{
			Name: w.Name, DisplayName: w.DisplayName, Description: w.Description, Region: w.Region, Database: w.Database,
			Transport: "dataapi", Connector: connector,
		})
	}
	var err error
	g.warehouses, err = warehouse.New(warehouse.Config{
		Warehouses: all, Audit: countedAudit{g.audit, g.metrics}, Grants: g.store, HashStatements: g.config.Audit.Statement == "sha256",
		MaxConcurrentPerPerson: g.config.Limits.StatementsPerPerson, MaxConcurrentPerWarehouse: g.config.Limits.StatementsPerWarehouse,
		StatementTimeout: time.Duration(g.config.Limits.StatementTimeout), MaxRows: g.config.Limits.RowsPerStatement,
		MaxPerMinutePerPerson: g.config.Limits.StatementsPerPersonMinute, QueueWait: time.Duration(g.config.Limits.QueueWait),
		MaxSessions: g.config.Limits.Sessions, SessionIdle: time.Duration(g.config.Limits.SessionIdle),
		Logger: g.logger, Now: g.now,
	})
	if err != nil {
		return err
	}
	g.closers = append(g.closers, func() error { g.warehouses.Close(); return nil })
	g.metrics.showLimits(g.config.Limits, g.warehouses.Usage)
	return nil
}

// dataAPIConnector makes sessions of people over the Data API, with credentials by web identity.
type dataAPIConnector struct {
	chain  *identity.WebIdentity
	config dataapi.Config // Credentials are each person's
}

func (g *Gateway) connector(w Warehouse, client *http.Client) (*dataAPIConnector, error) {
	chain, err := identity.NewWebIdentity(identity.WebIdentityConfig{
		RoleARN: w.Identity.RoleARN, Region: w.Region, Endpoint: w.Identity.STSEndpoint, Audience: w.Identity.Audience, Now: g.now,
		Assert: func(ctx context.Context, subject identity.Subject) (secret.Text, error) {
			return g.issuer.Assertion(ctx, issuer.Subject{ID: subject.ID, Audience: w.Identity.Audience, Email: subject.Email, DatabaseUser: subject.DatabaseUser})
		},
	})
	if err != nil {
		return nil, err
	}
	g.closers = append(g.closers, func() error { chain.Close(); return nil })
	connector := &dataAPIConnector{chain, dataapi.Config{
		Region: w.Region, Endpoint: w.DataAPIEndpoint, Cluster: w.Cluster, Workgroup: w.Workgroup, Database: w.Database,
		ResultFormat: w.ResultFormat, HTTPClient: client, Logger: g.logger, Now: g.now,
	}}
	check := connector.config
	check.Credentials = chain.For(identity.Subject{ID: "check"})
	return connector, check.Validate()
}

// Connect implements warehouse.Connector.
func (c *dataAPIConnector) Connect(_ context.Context, person grant.Person) (redshift.Session, error) {
	config := c.config
	config.Credentials = c.chain.For(identity.Subject{ID: person.ID, DatabaseUser: person.DatabaseUser, Email: person.Email})
	return dataapi.New(config), nil
}
