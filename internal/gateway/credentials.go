package gateway

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/door/credentials"
	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
)

// handedOutLife is how long credentials live that leave the gateway: the shortest that AWS knows.
const handedOutLife = 15 * time.Minute

// openCredentials opens the door for what the operator gives, if anything.
func (g *Gateway) openCredentials() error {
	given := map[string]credentials.Warehouse{}
	for _, w := range g.config.Warehouses {
		if len(w.Credentials) == 0 {
			continue
		}
		warehouse, err := g.connectors[w.Name].handOut()
		if err != nil {
			return fmt.Errorf("warehouse %s: %w", w.Name, err)
		}
		given[w.Name] = warehouse
	}
	var err error
	g.credentials, err = credentials.New(credentials.Config{
		Authenticator: g.oauth, Warehouses: given, Audit: countedAudit{g.audit, g.metrics},
		ResourceMetadata: g.config.Issuer + "/.well-known/oauth-protected-resource", Logger: g.logger, Now: g.now,
	})
	return err
}

// handOut sets up what leaves the gateway. It has a chain of its own, whose credentials live shorter
// than those that the gateway uses.
func (c *connector) handOut() (credentials.Warehouse, error) {
	w := c.config
	warehouse := credentials.Warehouse{Region: w.Region, Cluster: w.Cluster, Workgroup: w.Workgroup, Host: w.Host, Database: w.Database}
	if w.CA != "" {
		content, err := os.ReadFile(w.CA)
		if err != nil {
			return warehouse, fmt.Errorf("read ca: %w", err)
		}
		warehouse.Authority = string(content)
	}
	chain, err := identity.NewWebIdentity(identity.WebIdentityConfig{
		RoleARN: w.Identity.RoleARN, Region: w.Region, Endpoint: w.Identity.STSEndpoint, Audience: w.Identity.Audience,
		SessionLength: handedOutLife, Assert: c.assert, Now: c.gateway.now,
	})
	if err != nil {
		return warehouse, err
	}
	c.gateway.closers = append(c.gateway.closers, func() error { chain.Close(); return nil })
	if slices.Contains(w.Credentials, credentials.AWS) {
		warehouse.Keys = func(ctx context.Context, person grant.Person) (identity.Credentials, error) {
			return chain.For(subjectOf(person)).Credentials(ctx)
		}
	}
	if slices.Contains(w.Credentials, credentials.Database) {
		warehouse.Password = func(ctx context.Context, person grant.Person) (identity.Password, error) {
			login, err := identity.NewDatabaseLogin(identity.DatabaseLoginConfig{
				Cluster: w.Cluster, Workgroup: w.Workgroup, Database: w.Database, Region: w.Region, Endpoint: w.PasswordsFrom,
				Credentials: chain.For(subjectOf(person)), Lifetime: handedOutLife, Now: c.gateway.now,
			})
			if err != nil {
				return identity.Password{}, err
			}
			return login.Password(ctx, true)
		}
	}
	return warehouse, nil
}

// checkCredentials checks what leaves the gateway, if anything.
func (w *Warehouse) checkCredentials(path string) error {
	for i, kind := range w.Credentials {
		if err := oneOf(fmt.Sprintf("%s.credentials[%d]", path, i), kind, credentials.AWS, credentials.Database); err != nil {
			return err
		}
		if kind == credentials.Database && w.Host == "" {
			return &keyError{path + ".host", "give the warehouse's endpoint: credentials has database, and that is where they are for"}
		}
	}
	if len(w.Credentials) > 0 && w.Identity.Chain != "web_identity" {
		return &keyError{path + ".credentials", "only the chain web_identity has credentials that can be given to people"}
	}
	return nil
}
