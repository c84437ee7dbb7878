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
		literalOf(name), nameOf(name), nameOf(like)))
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

func literalOf(text string) string { return `'` + strings.ReplaceAll(text, `'`, `''`) + `'` }
