package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// An IdentityProvider is one whose people the database knows (CREATE IDENTITY PROVIDER).
type IdentityProvider struct {
	Name string
	// Type is AWSIDC or Azure, Namespace what stands before the names of its users and roles.
	Type, Namespace string
	// Application is the ARN of Redshift's application in Identity Center (AWSIDC).
	Application, IAMRole string
	// Issuer and Audience are of the tokens that are taken (Azure).
	Issuer   string
	Audience []string
}

// The types of identity providers.
const (
	AWSIDC = "awsidc"
	Azure  = "azure"
)

// ErrNoProvider says that no identity provider has the namespace of somebody who logs in.
var ErrNoProvider = errors.New("identity provider does not exist")

// PutIdentityProvider makes an identity provider, or changes the one with its name. Where another one
// has its namespace, nothing happens: somebody set the database up otherwise.
func (s *Server) PutIdentityProvider(ctx context.Context, p IdentityProvider) error {
	parameters := map[string]any{}
	if p.Type == Azure {
		parameters = map[string]any{"issuer": p.Issuer, "audience": p.Audience, "client_id": "twin", "client_secret": "twin"}
	}
	written, err := json.Marshal(parameters)
	if err != nil {
		return err
	}
	name, quoted := quoteLiteral(p.Name), quoteLiteral(string(written))
	return s.administer(ctx, `UPDATE pg_catalog.redshift_identity_provider SET parameters = `+quoted+` WHERE name = `+name+`;
		INSERT INTO pg_catalog.redshift_identity_provider (name, type, namespace, parameters, application, iam_role, auto_create)
		VALUES (`+strings.Join([]string{name, quoteLiteral(p.Type), quoteLiteral(p.Namespace), quoted, quoteLiteral(p.Application), quoteLiteral(p.IAMRole)}, ", ")+`, false)
		ON CONFLICT DO NOTHING`)
}

// IdentityProviders are those that are enabled, the oldest first.
func (s *Server) IdentityProviders(ctx context.Context) (all []IdentityProvider, err error) {
	conn, err := s.connect(ctx, superuser, Database)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	listed, err := one(ctx, conn, `SELECT coalesce(json_agg(json_build_object('Name', name, 'Type', type, 'Namespace', namespace, 'Application', application, 'IAMRole', iam_role,
		'Issuer', parameters ->> 'issuer', 'Audience', parameters -> 'audience') ORDER BY uid), '[]') FROM pg_catalog.redshift_identity_provider WHERE enabled`)
	if err != nil {
		return nil, err
	}
	return all, json.Unmarshal([]byte(listed), &all)
}

// Admit makes the database user of somebody whom an identity provider brings, if there is none, with
// the roles of their groups, if they are known: nil is for groups that are not.
func (s *Server) Admit(ctx context.Context, namespace, person string, groups []string) error {
	list := "NULL"
	if groups != nil {
		quoted := make([]string, len(groups))
		for i, g := range groups {
			quoted[i] = quoteLiteral(g)
		}
		list = "ARRAY[" + strings.Join(quoted, ", ") + "]::text[]"
	}
	err := s.administer(ctx, fmt.Sprintf("SELECT pg_catalog.redshift_admit(%s, %s, %s)", quoteLiteral(namespace), quoteLiteral(person), list))
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == "28000" {
		return ErrNoProvider
	}
	return err
}
