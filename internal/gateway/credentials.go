package gateway

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/door/credentials"
	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/issuer"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
)

// handedOutLife is how long credentials live that leave the gateway: the shortest that AWS knows.
const handedOutLife = 15 * time.Minute

// openCredentials opens the door for what the operator gives, if anything.
func (t *tenant) openCredentials() error {
	given := map[string]credentials.Warehouse{}
	for _, w := range t.config.Warehouses {
		if len(w.Credentials) == 0 {
			continue
		}
		warehouse, err := t.connectors[w.Name].handOut()
		if err != nil {
			return fmt.Errorf("warehouse %s: %w", w.Name, err)
		}
		given[w.Name] = warehouse
	}
	var err error
	t.credentials, err = credentials.New(credentials.Config{
		Authenticator: t.oauth, Warehouses: given, Audit: countedAudit{t.audit, t.metrics},
		Base: t.config.base(), ResourceMetadata: t.oauth.ResourceMetadataURL(), Logger: t.logger, Now: t.now,
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
	chain, err := c.newChain(handedOutLife)
	if err != nil {
		return warehouse, err
	}
	if slices.Contains(w.Credentials, credentials.AWS) {
		warehouse.Keys = func(ctx context.Context, person grant.Person) (identity.Credentials, error) {
			return chain.For(subjectOf(person)).Credentials(ctx)
		}
	}
	if slices.Contains(w.Credentials, credentials.Database) {
		warehouse.Login = func(ctx context.Context, person grant.Person) (identity.Login, error) {
			asked := c.tenant.now()
			provider, err := c.login(chain, subjectOf(person), handedOutLife)
			if err != nil {
				return identity.Login{}, err
			}
			given, err := provider.Login(ctx, true)
			if given.Token != nil && given.Token.Type == identity.ExternalToken {
				// The gateway's own connections outlive the assertion that opened them; this one has yet to
				// open any.
				given.Expires = asked.Add(issuer.MaxAssertionLifetime)
			}
			return given, err
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
	if len(w.Credentials) == 0 {
		return nil
	}
	at := path + ".credentials"
	switch i := w.Identity; {
	case i.Shared():
		return &keyError{at, "with chain: " + i.Chain + " everybody has the same password: it is not given to people"}
	case i.Chain == "entra":
		return &keyError{at, "with chain: entra people's own tokens of Entra ID open the warehouse, and those are not given away: let tools sign in to Entra ID themselves"}
	case i.Centered() && i.PeopleRoleARN == "" && slices.Contains(w.Credentials, credentials.AWS):
		return &keyError{at, "people have no AWS credentials without application and people_role_arn: give those too, or leave aws out"}
	}
	return nil
}

// handsOutAssertions reports whether people can take assertions about themselves out of the gateway.
func (w *Warehouse) handsOutAssertions() bool {
	return w.Identity.Centered() && w.Identity.Login == loginAssertion && slices.Contains(w.Credentials, credentials.Database)
}

// checkHandedOut keeps what people take out for one warehouse from opening another: a role that trusts
// assertions for the same audience could be assumed with it, without the gateway.
func (c *Config) checkHandedOut() error {
	for i := range c.Warehouses {
		given := &c.Warehouses[i]
		for _, other := range c.Warehouses {
			trusts := other.Identity.Chain == "web_identity" && other.Identity.Assertion == assertionGateway
			if given.handsOutAssertions() && trusts && other.Identity.Audience == given.Identity.Audience {
				return &keyError{
					fmt.Sprintf("$.warehouses[%d].identity.audience", i),
					"give another one, here and in Identity Center: credentials has database, and with the assertion that people get by it they could assume the role of the warehouse " + other.Name + ", which takes this audience too",
				}
			}
		}
	}
	return nil
}
