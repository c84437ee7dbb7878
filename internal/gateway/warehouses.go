package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/issuer"
	"github.com/shiftgrant/shiftgrant/internal/secret"
	"github.com/shiftgrant/shiftgrant/internal/warehouse"
	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/dataapi"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
	"github.com/shiftgrant/shiftgrant/redshift/wire"
)

func (g *Gateway) openWarehouses() error {
	client := dataapi.NewHTTPClient()
	g.closers = append(g.closers, func() error { client.CloseIdleConnections(); return nil })
	g.quotas = dataapi.NewQuotas(nil, g.now)
	g.openOrphans()
	if err := g.openSpool(); err != nil {
		return err
	}
	all := make([]warehouse.Warehouse, 0, len(g.config.Warehouses))
	for _, w := range g.config.Warehouses {
		connector, err := g.connector(w, client)
		if err == nil {
			err = connector.checkBackground()
		}
		if err != nil {
			return fmt.Errorf("warehouse %s: %w", w.Name, err)
		}
		g.connectors[w.Name] = connector
		all = append(all, warehouse.Warehouse{
			Name: w.Name, DisplayName: w.DisplayName, Description: w.Description, Region: w.Region, Database: w.Database,
			Transport: connector.transport(), Connector: connector,
		})
	}
	var err error
	g.warehouses, err = warehouse.New(warehouse.Config{
		Warehouses: all, Audit: countedAudit{g.audit, g.metrics}, Grants: g.store, HashStatements: g.config.Audit.Statements == "hash",
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

// A connector makes sessions of people in one warehouse, by one of the transports or by both.
type connector struct {
	gateway *Gateway
	config  Warehouse
	chain   chain           // nil where the wire takes assertions and there is no Data API
	dataAPI *dataapi.Config // nil where there is none; Credentials are each person's
	wire    *wire.Config    // nil where there is none; Login is each person's
	port    *wire.Config    // the warehouse's, whether or not it could be reached at start
}

// A chain gives people's AWS credentials.
type chain interface {
	For(identity.Subject) identity.Provider
	Close()
}

func (g *Gateway) connector(w Warehouse, client *http.Client) (*connector, error) {
	c := &connector{gateway: g, config: w}
	if err := c.openChain(); err != nil {
		return nil, err
	}
	if c.chain != nil {
		if err := c.useDataAPI(client); err != nil {
			return nil, err
		}
	}
	if w.Host == "" || w.Transport == "dataapi" {
		return c, nil
	}
	return c, c.useWire()
}

// openChain sets up what gives people AWS credentials, with which the Data API can be used.
func (c *connector) openChain() error {
	g, w := c.gateway, c.config
	var opened chain
	var err error
	switch {
	case w.Identity.Chain == "web_identity":
		opened, err = identity.NewWebIdentity(identity.WebIdentityConfig{
			RoleARN: w.Identity.RoleARN, Region: w.Region, Endpoint: w.Identity.STSEndpoint, Audience: w.Identity.Audience, Now: g.now, Assert: c.assert,
		})
	case w.Identity.Chain == "role":
		opened, err = identity.NewRole(identity.RoleConfig{
			RoleARN: w.Identity.RoleARN, ExternalID: w.Identity.ExternalID, Region: w.Region, Endpoint: w.Identity.STSEndpoint, Credentials: c.ownKeys(), Now: g.now,
		})
	case w.Identity.Application != "":
		opened, err = identity.NewIdentityCenter(identity.IdentityCenterConfig{
			ApplicationARN: w.Identity.Application, PeopleRoleARN: w.Identity.PeopleRoleARN, Region: w.Region,
			Endpoint: w.Identity.OIDCEndpoint, STSEndpoint: w.Identity.STSEndpoint, Credentials: c.ownKeys(), Assert: c.assert, Now: g.now,
		})
	default:
		return nil
	}
	if err != nil {
		return err
	}
	c.chain = opened
	g.closers = append(g.closers, func() error { opened.Close(); return nil })
	return nil
}

// ownKeys are the gateway's own AWS keys, from where AWS's tools look for them.
func (c *connector) ownKeys() *identity.Own {
	own := identity.NewOwn(identity.OwnConfig{Region: c.config.Region, STSEndpoint: c.config.Identity.STSEndpoint, Now: c.gateway.now})
	c.gateway.closers = append(c.gateway.closers, func() error { own.Close(); return nil })
	return own
}

// centered reports whether the wire takes assertions, which Identity Center knows people by.
func (c *connector) centered() bool { return c.config.Identity.Chain == "identity_center" }

// roleARN is the role that people's credentials are of.
func (c *connector) roleARN() string {
	if c.centered() {
		return c.config.Identity.PeopleRoleARN
	}
	return c.config.Identity.RoleARN
}

func (c *connector) useDataAPI(client *http.Client) error {
	g, w := c.gateway, c.config
	c.dataAPI = &dataapi.Config{
		Region: w.Region, Endpoint: w.DataAPIEndpoint, Cluster: w.Cluster, Workgroup: w.Workgroup, Database: w.Database,
		ResultFormat: w.ResultFormat, HTTPClient: client, Logger: g.logger, Now: g.now,
	}
	check := *c.dataAPI
	check.Credentials = c.chain.For(identity.Subject{ID: "check"})
	return check.Validate()
}

func (c *connector) assert(ctx context.Context, subject identity.Subject) (secret.Text, error) {
	return c.gateway.issuer.Assertion(ctx, issuer.Subject{
		ID: subject.ID, Audience: c.config.Identity.Audience, Email: subject.Email, DatabaseUser: subject.DatabaseUser,
	})
}

// reachTime is how long a warehouse may take to answer at start before it counts as not reachable.
const reachTime = 5 * time.Second

// useWire sets up the wire, if it can be reached or there is nothing else. The decision is made
// once: a transport that changes from one query to the next would be hard to reason about.
func (c *connector) useWire() error {
	config := wire.Config{Host: c.config.Host, Database: c.config.Database, Application: "shiftgrant", StatementTimeout: time.Duration(c.gateway.config.Limits.StatementTimeout)}
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
			c.gateway.logger.Warn("the warehouse's port cannot be reached: statements go by the Data API, which is slower",
				"warehouse", c.config.Name, "host", c.config.Host, "error", err)
			return nil
		}
	}
	c.wire = &config
	c.gateway.logger.Info("statements go straight to the warehouse", "warehouse", c.config.Name, "host", c.config.Host)
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
		config.Quota = c.gateway.quotas.Share(accountOf(c.roleARN()), c.config.Region, person.Tenant+" "+person.ID)
		background = dataapi.New(config)
	}
	if c.wire == nil {
		return background, nil
	}
	login, err := c.login(subject)
	if err != nil {
		return nil, err
	}
	pool := wire.NewPool(wire.PoolConfig{Config: *c.wire, Login: login, Opened: c.opened(person), MaxConnections: c.gateway.config.Limits.StatementsPerPerson, Now: c.gateway.now})
	if c.spools() {
		return c.spooled(person, pool), nil
	}
	return both{background, pool}, nil
}

// accountOf gives the AWS account of an ARN.
func accountOf(arn string) string {
	if fields := strings.Split(arn, ":"); len(fields) > 4 {
		return fields[4]
	}
	return ""
}

// login gives what a new connection of a person logs in with.
func (c *connector) login(subject identity.Subject) (func(context.Context, bool) (wire.Login, time.Time, error), error) {
	if c.centered() {
		// Each token is for one use, so each connection gets one of its own.
		return func(ctx context.Context, _ bool) (wire.Login, time.Time, error) {
			token, err := c.assert(ctx, subject)
			return wire.Login{Token: &wire.Token{Value: token, IdentityProvider: "AwsIdc", Type: "EXT_JWT", Namespace: c.config.Identity.Namespace}}, c.gateway.now().Add(connectionLife), err
		}, nil
	}
	passwords, err := identity.NewDatabaseLogin(identity.DatabaseLoginConfig{
		Cluster: c.config.Cluster, Workgroup: c.config.Workgroup, Database: c.config.Database, Region: c.config.Region,
		Endpoint: c.config.PasswordsFrom, Credentials: c.chain.For(subject), Now: c.gateway.now,
	})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, renew bool) (wire.Login, time.Time, error) {
		password, err := passwords.Password(ctx, renew)
		return wire.Login{User: password.User, Password: password.Value}, password.Expires, err
	}, nil
}

// connectionLife is how long a connection is used whose login has no end of its own: what changed
// about a person at their IdP is seen after that.
const connectionLife = time.Hour
