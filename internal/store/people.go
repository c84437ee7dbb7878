package store

import (
	"context"
	"errors"
	"strings"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

const personColumns = `people.tenant, people.id, people.issuer, people.subject, people.name, people.email,
	people.database_user, people.disabled, people.created_at, people.seen_at, people.signed_out_at`

func intoPerson(p *grant.Person) []any {
	return []any{
		&p.Tenant, &p.ID, &p.Issuer, &p.Subject, &p.Name, &p.Email,
		&p.DatabaseUser,
		flagColumn{&p.Disabled},
		timeColumn{&p.CreatedAt},
		timeColumn{&p.SeenAt},
		timeColumn{&p.SignedOutAt},
	}
}

// SignIn keeps a person who signed in: the first time as given, later with the new name,
// e-mail address and time, while the ID and the database user stay what they were. It answers
// grant.ErrDatabaseUserTaken when a new person's database user is another person already.
func (s *Store) SignIn(ctx context.Context, p grant.Person) (grant.Person, error) {
	var stored grant.Person
	err := s.write(ctx, "sign in", func(t *tx) error {
		_, err := t.exec(`INSERT INTO people (tenant, id, issuer, subject, name, email, database_user, database_user_folded, disabled, created_at, seen_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING`,
			p.Tenant, p.ID, p.Issuer, p.Subject, p.Name, p.Email, p.DatabaseUser, strings.ToLower(p.DatabaseUser), flag(p.Disabled),
			milliseconds(p.CreatedAt), milliseconds(p.SeenAt))
		if err != nil {
			return err
		}
		err = t.row(intoPerson(&stored), `UPDATE people SET name = $1, email = $2, seen_at = $3
			WHERE tenant = $4 AND issuer = $5 AND subject = $6 RETURNING `+personColumns,
			p.Name, p.Email, milliseconds(p.SeenAt), p.Tenant, p.Issuer, p.Subject)
		if errors.Is(err, grant.ErrNotFound) {
			// Not there and not inserted: somebody else stands in the way.
			return grant.ErrDatabaseUserTaken
		}
		return err
	})
	if err != nil {
		return grant.Person{}, err
	}
	return stored, nil
}

// Person finds a person.
func (s *Store) Person(ctx context.Context, tenant, id string) (grant.Person, error) {
	return s.person(ctx, `WHERE people.tenant = $1 AND people.id = $2`, tenant, id)
}

// PersonBySubject finds the person whom an upstream knows as subject.
func (s *Store) PersonBySubject(ctx context.Context, tenant, issuer, subject string) (grant.Person, error) {
	return s.person(ctx, `WHERE people.tenant = $1 AND people.issuer = $2 AND people.subject = $3`, tenant, issuer, subject)
}

func (s *Store) person(ctx context.Context, where string, args ...any) (grant.Person, error) {
	var p grant.Person
	err := s.read(ctx, "find person", func(t *tx) error {
		return t.row(intoPerson(&p), `SELECT `+personColumns+` FROM people `+where, args...)
	})
	return p, err
}
