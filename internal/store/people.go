package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

const personColumns = `p.tenant, p.id, p.issuer, p.subject, p.name, p.email, p.database_user, p.disabled, p.created_at, p.seen_at`

func personFields(p *grant.Person) []any {
	return []any{&p.Tenant, &p.ID, &p.Issuer, &p.Subject, &p.Name, &p.Email, &p.DatabaseUser, &p.Disabled, timeColumn{&p.CreatedAt}, timeColumn{&p.SeenAt}}
}

// SignIn keeps what an upstream said of a person. The first time binds p.DatabaseUser to them;
// later ones keep ID and database user and return them. grant.ErrDatabaseUserTaken means that
// another person has that user.
func (s *Store) SignIn(ctx context.Context, p grant.Person) (grant.Person, error) {
	var kept grant.Person
	err := s.writer.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		row := tx.QueryRowContext(ctx, `UPDATE people AS p SET name = $1, email = $2, seen_at = $3
			WHERE tenant = $4 AND issuer = $5 AND subject = $6 RETURNING `+personColumns,
			p.Name, p.Email, millis(p.SeenAt), p.Tenant, p.Issuer, p.Subject)
		err := scan(row, personFields(&kept)...)
		if !errors.Is(err, grant.ErrNotFound) {
			return err
		}
		kept = p
		added, err := exec(ctx, tx, `INSERT INTO people (tenant, id, issuer, subject, name, email, database_user, disabled, created_at, seen_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (tenant, database_user) DO NOTHING`,
			p.Tenant, p.ID, p.Issuer, p.Subject, p.Name, p.Email, p.DatabaseUser, p.Disabled, millis(p.CreatedAt), millis(p.SeenAt))
		if err == nil && added == 0 {
			return grant.ErrDatabaseUserTaken
		}
		return err
	})
	if err != nil {
		return grant.Person{}, fmt.Errorf("keep person: %w", err)
	}
	return kept, nil
}

// Person gives a person by our id, or grant.ErrNotFound.
func (s *Store) Person(ctx context.Context, tenant, id string) (grant.Person, error) {
	return s.person(ctx, `p.tenant = $1 AND p.id = $2`, tenant, id)
}

// PersonBySubject gives a person by what their upstream calls them, or grant.ErrNotFound.
func (s *Store) PersonBySubject(ctx context.Context, tenant, issuer, subject string) (grant.Person, error) {
	return s.person(ctx, `p.tenant = $1 AND p.issuer = $2 AND p.subject = $3`, tenant, issuer, subject)
}

func (s *Store) person(ctx context.Context, where string, arguments ...any) (grant.Person, error) {
	var p grant.Person
	row := s.readers.QueryRowContext(ctx, `SELECT `+personColumns+` FROM people p WHERE `+where, arguments...)
	if err := scan(row, personFields(&p)...); err != nil {
		return grant.Person{}, fmt.Errorf("look up person: %w", err)
	}
	return p, nil
}
