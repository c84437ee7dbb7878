package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/warehouse"
	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/dataapi"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
	"github.com/shiftgrant/shiftgrant/redshift/wire"
)

func (t *tenant) openWarehouses() error {
	t.openOrphans()
	all := make([]warehouse.Warehouse, 0, len(t.config.Warehouses))
	for _, w := range t.config.Warehouses {
		connector, err := t.connector(w, t.aws)
		if err == nil {
			err = connector.checkBackground()
		}
		if err != nil {
			return fmt.Errorf("warehouse %s: %w", w.Name, err)
		}
		t.connectors[w.Name] = connector
		all = append(all, warehouse.Warehouse{
			Name: w.Name, DisplayName: w.DisplayName, Description: w.Description, Region: w.Region, Database: w.Database,
			Transport: connector.transport(), Connector: connector,
		})
	}
	var err error
	t.warehouses, err = warehouse.New(warehouse.Config{
		Warehouses: all, Audit: countedAudit{t.audit, t.metrics}, Grants: t.store, HashStatements: t.config.Audit.Statements == "hash",
		MaxConcurrentPerPerson: t.config.Limits.StatementsPerPerson, MaxConcurrentPerWarehouse: t.config.Limits.StatementsPerWarehouse,
		StatementTimeout: time.Duration(t.config.Limits.StatementTimeout), MaxRows: t.config.Limits.RowsPerStatement,
		MaxPerMinutePerPerson: t.config.Limits.StatementsPerPersonMinute, QueueWait: time.Duration(t.config.Limits.QueueWait),
		MaxSessions: t.config.Limits.Sessions, SessionIdle: time.Duration(t.config.Limits.SessionIdle),
		Logger: t.logger, Now: t.now,
	})
	if err != nil {
		return err
	}
	t.closers = append(t.closers, func() error { t.warehouses.Close(); return nil })
	return nil
}

// A connector makes sessions of people in one warehouse, by one of the transports or by both.
type connector struct {
	tenant  *tenant
	config  Warehouse
	chain   chain             // nil where there is no Data API and no password made of its credentials
	own     identity.Provider // who the gateway is in AWS; nil where it is nobody
	secret  *identity.Secret  // nil but for the chain of that name
	dataAPI *dataapi.Config   // nil where there is none; Credentials are each person's
	wire    *wire.Config      // nil where there is none; Login is each person's
	port    *wire.Config      // the warehouse's, whether or not it could be reached at start
}

// A chain gives people's AWS credentials.
type chain interface {
	For(identity.Subject) identity.Provider
	Close()
}

func (t *tenant) connector(w Warehouse, client *http.Client) (*connector, error) {
	c := &connector{tenant: t, config: w}
	if w.Identity.Shared() {
		t.logger.Warn("everybody is the same database user in this warehouse: Redshift does not know people apart, and only this gateway's audit record does",
			"warehouse", w.Name, "chain", w.Identity.Chain)
	}
	var err error
	if w.Identity.NeedsOwnKeys() {
		if c.own, err = c.ownKeys(); err != nil {
			return nil, err
		}
	}
	if c.chain, err = c.newChain(0); err != nil {
		return nil, err
	}
	if c.chain != nil {
		c.secret, _ = c.chain.(*identity.Secret)
		if err := c.useDataAPI(client); err != nil {
			return nil, err
		}
	}
	if w.Host == "" || w.Transport == "dataapi" {
		return c, nil
	}
	return c, c.useWire()
}

// newChain sets up what gives people AWS credentials, good for length or as long as the chain thinks
// best; nil where they need none.
func (c *connector) newChain(length time.Duration) (opened chain, err error) {
	t, w, i := c.tenant, c.config, c.config.Identity
	switch {
	case i.Chain == "web_identity":
		opened, err = identity.NewWebIdentity(identity.WebIdentityConfig{
			RoleARN: i.RoleARN, Region: w.Region, Endpoint: i.STSEndpoint, Audience: i.Audience, SessionLength: length, Now: t.now, Assert: c.assertion(),
		})
	case i.Chain == "role":
		opened, err = identity.NewRole(identity.RoleConfig{
			RoleARN: i.RoleARN, ExternalID: i.ExternalID, Region: w.Region, Endpoint: i.STSEndpoint, Credentials: c.own, SessionLength: length, Now: t.now,
		})
	case i.Chain == "identity_center" && i.Application != "":
		opened, err = identity.NewIdentityCenter(identity.IdentityCenterConfig{
			ApplicationARN: i.Application, PeopleRoleARN: i.PeopleRoleARN, Region: w.Region, Endpoint: i.OIDCEndpoint, STSEndpoint: i.STSEndpoint,
			Credentials: c.own, Assert: c.assert, SessionLength: length, Now: t.now,
		})
	case i.Chain == "secret":
		opened, err = identity.NewSecret(identity.SecretConfig{ARN: i.SecretARN, Region: w.Region, Endpoint: i.SecretsEndpoint, Credentials: c.own, Now: t.now})
	default:
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	t.closers = append(t.closers, func() error { opened.Close(); return nil })
	return opened, nil
}

// GatewaySubject is the subject of the assertions that a gateway makes about itself. No person has it:
// their ids begin with per_.
const GatewaySubject = "shiftgrant-gateway"

// ownKeys are the gateway's own AWS keys: of a role that it assumes by its own assertion, or from where
// AWS's tools look for them.
func (c *connector) ownKeys() (identity.Provider, error) {
	if role := c.config.Identity.GatewayRoleARN; role != "" {
		chain, err := identity.NewWebIdentity(identity.WebIdentityConfig{
			RoleARN: role, Region: c.config.Region, Endpoint: c.config.Identity.STSEndpoint, Audience: c.config.Identity.Audience, Now: c.tenant.now, Assert: c.assertSelf,
		})
		if err != nil {
			return nil, err
		}
		c.tenant.closers = append(c.tenant.closers, func() error { chain.Close(); return nil })
		return chain.For(identity.Subject{ID: GatewaySubject, SessionName: GatewaySubject}), nil
	}
	own := identity.NewOwn(identity.OwnConfig{Region: c.config.Region, STSEndpoint: c.config.Identity.STSEndpoint, Now: c.tenant.now})
	c.tenant.closers = append(c.tenant.closers, func() error { own.Close(); return nil })
	return own, nil
}

func (c *connector) useDataAPI(client *http.Client) error {
	t, w := c.tenant, c.config
	c.dataAPI = &dataapi.Config{
		Region: w.Region, Endpoint: w.DataAPIEndpoint, Cluster: w.Cluster, Workgroup: w.Workgroup, Database: w.Database,
		ResultFormat: w.ResultFormat, HTTPClient: client, Logger: t.logger, Now: t.now,
	}
	check := *c.dataAPI
	check.Credentials = c.chain.For(identity.Subject{ID: "check"})
	return check.Validate()
}

// reachTime is how long a warehouse may take to answer at start before it counts as not reachable.
const reachTime = 5 * time.Second

// useWire sets up the wire, if it can be reached or there is nothing else. The decision is made
// once: a transport that changes from one query to the next would be hard to reason about.
func (c *connector) useWire() error {
	config := wire.Config{Host: c.config.Host, Database: c.config.Database, Application: "shiftgrant", StatementTimeout: time.Duration(c.tenant.config.Limits.StatementTimeout)}
	if host, port, err := net.SplitHostPort(c.config.Host); err == nil {
		config.Host, config.Port = host, port
	}
	if c.config.CA != "" {
		content, err := os.ReadFile(c.config.CA)
		if err != nil {
			return fmt.Errorf("read ca: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(content) {
			return fmt.Errorf("ca: %s holds no certificate in PEM", c.config.CA)
		}
		config.TLS = &tls.Config{RootCAs: roots}
	}
	c.port = &config
	if c.config.Transport == "auto" && c.dataAPI != nil {
		ctx, cancel := context.WithTimeout(context.Background(), reachTime)
		defer cancel()
		if err := wire.Reach(ctx, config); err != nil {
			c.tenant.logger.Warn("the warehouse's port cannot be reached: statements go by the Data API, which is slower",
				"warehouse", c.config.Name, "host", c.config.Host, "error", err)
			return nil
		}
	}
	c.wire = &config
	c.tenant.logger.Info("statements go straight to the warehouse", "warehouse", c.config.Name, "host", c.config.Host)
	return nil
}

// transport is what people are told.
func (c *connector) transport() string {
	if c.wire != nil {
		return "wire"
	}
	return "dataapi"
}

// Connect implements warehouse.Connector.
func (c *connector) Connect(_ context.Context, person grant.Person) (redshift.Session, error) {
	subject := subjectOf(person)
	var background *dataapi.Session
	if !c.spools() {
		config := *c.dataAPI
		config.Credentials = c.chain.For(subject)
		config.Started = c.started(person)
		config.Quota = c.tenant.quotas.Share(c.config.Identity.Owner().AccountID, c.config.Region, person.Tenant+" "+person.ID)
		background = dataapi.New(config)
	}
	if c.wire == nil {
		return background, nil
	}
	login, err := c.login(c.chain, subject, 0)
	if err != nil {
		return nil, err
	}
	pool := wire.NewPool(wire.PoolConfig{Config: *c.wire, Login: login, Opened: c.opened(person), MaxConnections: c.tenant.config.Limits.StatementsPerPerson, Now: c.tenant.now})
	if c.spools() {
		return c.spooled(person, pool), nil
	}
	return both{background, pool}, nil
}

// login gives what a person's new connections log in with. chain gives their credentials, and a
// password made of these lives as long as said, or as AWS thinks best.
func (c *connector) login(chain chain, subject identity.Subject, passwordLife time.Duration) (identity.LoginProvider, error) {
	w, i, now := c.config, c.config.Identity, c.tenant.now
	switch {
	case i.Chain == "identity_center" && i.Login == loginAuthToken:
		return identity.NewAuthToken(identity.AuthTokenConfig{
			Cluster: w.Cluster, Workgroup: w.Workgroup, Region: w.Region, Endpoint: w.PasswordsFrom, Credentials: chain.For(subject), Namespace: i.Namespace, Now: now,
		})
	case i.Chain == "identity_center":
		return identity.NewTrustedToken(identity.TrustedTokenConfig{Subject: subject, Assert: c.assert, Namespace: i.Namespace, Now: now})
	case i.Chain == "entra":
		return identity.NewNative(identity.NativeConfig{Subject: subject, Token: c.accessTokenOf, Namespace: i.Namespace})
	case i.Chain == "secret":
		return c.secret, nil
	case i.Chain == "password":
		return identity.NewPassword(identity.PasswordConfig{User: i.User, Read: i.Password.again, Now: now})
	}
	return identity.NewDatabaseLogin(identity.DatabaseLoginConfig{
		Cluster: w.Cluster, Workgroup: w.Workgroup, Database: w.Database, Region: w.Region,
		Endpoint: w.PasswordsFrom, Credentials: chain.For(subject), Lifetime: passwordLife, Now: now,
	})
}
