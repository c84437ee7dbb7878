package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// AddUser makes a database user with the rights of another one, as Redshift makes the users that
// identity providers bring. One that is there stays as it is.
func (s *Server) AddUser(ctx context.Context, name, like string) error {
	return s.administer(ctx, fmt.Sprintf(`DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = %s) THEN CREATE ROLE %s LOGIN IN ROLE %s; END IF; END $$`,
		quoteLiteral(name), nameOf(name), nameOf(like)))
}

// MakeUser makes a database user without rights, if there is none, as Redshift makes those of roles in
// AWS.
func (s *Server) MakeUser(ctx context.Context, name string) error {
	return s.administer(ctx, fmt.Sprintf(`DO $$ BEGIN CREATE ROLE %s LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`, nameOf(name)))
}

// SetPassword gives a database user a password, by which they log in to Redshift's port.
func (s *Server) SetPassword(ctx context.Context, name, password string) error {
	return s.administer(ctx, fmt.Sprintf("INSERT INTO pg_catalog.redshift_password VALUES (%s, %s) ON CONFLICT (username) DO UPDATE SET password = excluded.password", quoteLiteral(name), quoteLiteral(password)))
}

// Password is that of a database user; empty for one who has none.
func (s *Server) Password(ctx context.Context, name string) (password string, err error) {
	conn, err := s.connect(ctx, superuser, Database)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	return one(ctx, conn, "SELECT coalesce(max(password), '') FROM pg_catalog.redshift_password WHERE username = "+quoteLiteral(name))
}

// Hide makes the server treat a database user as if there were none, or ends that again.
func (s *Server) Hide(ctx context.Context, name string, hidden bool) error {
	login := "LOGIN"
	if hidden {
		login = "NOLOGIN"
	}
	return s.administer(ctx, "ALTER ROLE "+nameOf(name)+" "+login)
}

func (s *Server) administer(ctx context.Context, sql string) error {
	conn, err := s.connect(ctx, superuser, Database)
	if err != nil {
		return err
	}
	return errors.Join(run(ctx, conn, sql), conn.Close(ctx))
}

func nameOf(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
