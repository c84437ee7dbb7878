package twin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/shiftgrant/shiftgrant/twin/identitycenter"
	"github.com/shiftgrant/shiftgrant/twin/postgres"
)

// addUsers plays a database that somebody set up: it knows Identity Center and a native identity
// provider, their people are database users with the rights of the people who they are, and one user's
// password is in a secret.
func (t *Twin) addUsers(ctx context.Context, config Config) error {
	for _, provider := range []postgres.IdentityProvider{
		{Name: "idc", Type: postgres.AWSIDC, Namespace: IdentityNamespace, Application: RedshiftApplicationARN, IAMRole: IdentityRoleARN},
		{Name: "entra", Type: postgres.Azure, Namespace: EntraNamespace, Issuer: cmp.Or(config.EntraIssuer, t.IdPIssuer()), Audience: []string{cmp.Or(config.EntraAudience, ClientID)}},
	} {
		if err := t.Postgres.PutIdentityProvider(ctx, provider); err != nil {
			return fmt.Errorf("make identity provider %s: %w", provider.Name, err)
		}
	}
	if err := errors.Join(t.Postgres.AddUser(ctx, ServiceUser, "shared"), t.Postgres.SetPassword(ctx, ServiceUser, ServicePassword)); err != nil {
		return fmt.Errorf("add database user %s: %w", ServiceUser, err)
	}
	for _, p := range people {
		for _, name := range []string{IdentityNamespace + ":" + p.Email, EntraNamespace + ":" + p.Email, EntraNamespace + ":" + p.Username} {
			if err := t.Postgres.AddUser(ctx, name, p.Username); err != nil {
				return fmt.Errorf("add database user %s: %w", name, err)
			}
		}
	}
	return nil
}

// A warehouse is the database with the identity providers before it: who logs in by one becomes a
// database user, and has the roles of their groups.
type warehouse struct {
	*postgres.Server
	center *identitycenter.Center
}

func (t *Twin) warehouse() warehouse { return warehouse{t.Postgres, t.Center} }

// Connect opens a connection as a database user.
func (w warehouse) Connect(ctx context.Context, user, database string) (*pgconn.PgConn, error) {
	if namespace, name, brought := strings.Cut(user, ":"); brought {
		if err := w.admit(ctx, namespace, name); err != nil {
			return nil, fmt.Errorf("admit %s: %w", user, err)
		}
	}
	return w.Server.Connect(ctx, user, database)
}

// admit makes the user of somebody whom an identity provider brings, and that of a role in AWS.
func (w warehouse) admit(ctx context.Context, namespace, name string) error {
	if namespace == "IAMR" {
		return w.MakeUser(ctx, namespace+":"+name)
	}
	providers, err := w.IdentityProviders(ctx)
	if err != nil {
		return err
	}
	for _, provider := range providers {
		if provider.Namespace != namespace {
			continue
		}
		if provider.Type == postgres.Azure { // the groups of Entra's people are in Microsoft Graph
			return w.Admit(ctx, namespace, name, nil)
		}
		for _, person := range w.center.People() {
			if person.UserName == name {
				return w.Admit(ctx, namespace, name, append([]string{}, person.Groups...))
			}
		}
	}
	return nil
}
