package signin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/shiftgrant/shiftgrant/connect"
	"github.com/shiftgrant/shiftgrant/internal/audit"
	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/pages"
	"github.com/shiftgrant/shiftgrant/internal/web"
)

// DatabaseUser says who a person of an upstream is in Redshift.
type DatabaseUser struct {
	Claim     string   // of the ID token; "" is preferred_username
	LocalPart bool     // ann@example.com becomes ann
	Deny      []string // names that nobody may become, beside the built-in ones
}

var (
	errNoDatabaseUser = errors.New("the upstream names no database user that may be used")
	errDisabled       = errors.New("the person is disabled")
	errNoSubject      = errors.New("the upstream does not say by what it knows the person")
	errForeignCompany = errors.New("the person is of a company whose people are not let in (companies)")
	errStore          = errors.New("the store failed")
)

// databaseUsers are the names that redshift:GetClusterCredentials takes for DbUser, in any case.
// They are held against the name as it came: there are letters outside of ASCII whose lower case
// is an ASCII letter, such as the Kelvin sign, and with them one could become somebody else.
var databaseUsers = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.@_-]{0,63}$`)

// reserved are names that mean something else to Redshift: its own accounts, the default
// superuser of a cluster, and words of SQL.
var reserved = []string{
	"public", "rdsdb", "rdsadmin", "awsuser", "postgres", "all", "default", "group", "role", "user", "current_user", "session_user", "system_user",
}

// of reads the name from a claim.
func (d DatabaseUser) of(identity connect.Identity) (string, error) {
	claim := d.Claim
	if claim == "" {
		claim = "preferred_username"
	}
	// An address that the upstream has not verified is what somebody typed.
	if claim == "email" && !identity.EmailVerified {
		return "", fmt.Errorf("%w: the e-mail address is not verified", errNoDatabaseUser)
	}
	name, ok := identity.Claims[claim].(string)
	if !ok || name == "" {
		return "", fmt.Errorf("%w: claim %s is missing", errNoDatabaseUser, claim)
	}
	if d.LocalPart {
		name, _, _ = strings.Cut(name, "@")
	}
	if !databaseUsers.MatchString(name) {
		return "", fmt.Errorf("%w: claim %s has characters that a database user cannot have", errNoDatabaseUser, claim)
	}
	name = strings.ToLower(name)
	if d.denies(name) {
		return "", fmt.Errorf("%w: claim %s names a user that nobody may become", errNoDatabaseUser, claim)
	}
	return name, nil
}

func (d DatabaseUser) denies(name string) bool {
	return slices.Contains(reserved, name) || strings.HasPrefix(name, "pg_") ||
		slices.ContainsFunc(d.Deny, func(denied string) bool { return strings.EqualFold(name, denied) })
}

// admit decides on somebody whom the upstream has vouched for, before they have a session.
func (s *SignIn) admit(ctx context.Context, r *http.Request, u *upstream, identity connect.Identity) error {
	person, err := s.keep(ctx, u, identity)
	record := audit.Record{
		Kind: "signin", RequestID: web.RequestID(ctx), Tenant: s.config.Tenant, Person: person.ID,
		DatabaseAs: person.DatabaseUser, Outcome: "signed in", Detail: u.Name, Remote: r.RemoteAddr,
	}
	if err != nil {
		record.Outcome = "refused"
	}
	if auditErr := s.config.Audit.Write(ctx, record); auditErr != nil {
		return fmt.Errorf("%w: %w", errStore, auditErr)
	}
	if err != nil {
		return err
	}
	// One browser is one person: a session at another upstream ends.
	for _, other := range s.upstreams {
		if other == u {
			continue
		}
		if session, err := other.client.Session(r); err == nil {
			if err := session.End(ctx); err != nil {
				return fmt.Errorf("%w: %w", errStore, err)
			}
		}
	}
	return nil
}

// subject is by what an upstream knows somebody for good; "" where it does not say.
func (u *upstream) subject(identity connect.Identity) string {
	if u.preset.Subject == "" {
		return identity.Subject
	}
	subject, _ := identity.Claims[u.preset.Subject].(string)
	return subject
}

// recognise checks what an upstream must have said of somebody, and adds what it always means.
func (u *upstream) recognise(identity connect.Identity) (connect.Identity, error) {
	if u.subject(identity) == "" {
		return identity, fmt.Errorf("%w: claim %s is missing", errNoSubject, u.preset.Subject)
	}
	if u.preset.Company == "hd" { // tid is in the issuer, and was checked there
		company, _ := identity.Claims["hd"].(string)
		if !u.lets(company) {
			return identity, fmt.Errorf("%w: claim hd is %q", errForeignCompany, company)
		}
	}
	if _, told := identity.Claims["email_verified"]; !told && u.preset.OwnEmail {
		identity.EmailVerified = identity.Email != ""
	}
	return identity, nil
}

// leavesGroupsOut reports whether the ID token refers elsewhere for the person's groups (OpenID Connect
// Core §5.6.2), as Entra ID's does for somebody who is in more than fit.
func leavesGroupsOut(identity connect.Identity) bool {
	elsewhere, _ := identity.Claims["_claim_names"].(map[string]any)
	_, groups := elsewhere["groups"]
	return groups
}

// keep stores what is known of the person. Somebody who was here before keeps their database
// user, whatever the claim says now, unless it was denied since.
func (s *SignIn) keep(ctx context.Context, u *upstream, identity connect.Identity) (grant.Person, error) {
	identity, err := u.recognise(identity)
	if err != nil {
		return grant.Person{}, err
	}
	if leavesGroupsOut(identity) {
		s.config.Logger.InfoContext(ctx, "the upstream left a person's groups out of the ID token, because they are too many; nothing here goes by them", "upstream", u.Name)
	}
	now := s.now()
	person := grant.Person{
		ID: grant.NewID("per"), Tenant: s.config.Tenant, Issuer: identity.Issuer, Subject: u.subject(identity),
		Name: identity.Name, CreatedAt: now, SeenAt: now,
	}
	if identity.EmailVerified {
		person.Email = identity.Email
	}
	known, err := s.config.People.PersonBySubject(ctx, person.Tenant, person.Issuer, person.Subject)
	switch {
	case err == nil:
		person.DatabaseUser = known.DatabaseUser
		if u.DatabaseUser.denies(strings.ToLower(known.DatabaseUser)) {
			return known, fmt.Errorf("%w: the person's database user is denied by now", errNoDatabaseUser)
		}
	case !errors.Is(err, grant.ErrNotFound):
		return grant.Person{}, fmt.Errorf("%w: %w", errStore, err)
	default:
		if person.DatabaseUser, err = u.DatabaseUser.of(identity); err != nil {
			return grant.Person{}, err
		}
	}
	kept, err := s.config.People.SignIn(ctx, person)
	if errors.Is(err, grant.ErrDatabaseUserTaken) {
		return grant.Person{}, err
	}
	if err != nil {
		return grant.Person{}, fmt.Errorf("%w: %w", errStore, err)
	}
	if kept.Disabled {
		return kept, errDisabled
	}
	return kept, nil
}

// fail shows why a sign-in came to nothing. The words are ours: parts of the failure come from
// the URL.
func (s *SignIn) fail(w http.ResponseWriter, r *http.Request, u *upstream, failure *connect.Error) {
	s.config.Logger.InfoContext(r.Context(), "sign-in failed", "upstream", u.Name, "error", failure.Err, "request_id", web.RequestID(r.Context()))
	returnTo := s.localPath(failure.ReturnTo)
	again := s.startPath("/signin/start/"+u.Name, returnTo, false)
	show := func(status int, page pages.Error) { s.config.Pages.Error(w, r, status, page) }
	switch {
	case errors.Is(failure, grant.ErrDatabaseUserTaken):
		show(http.StatusForbidden, pages.DatabaseUserTaken())
	case errors.Is(failure, errNoDatabaseUser):
		show(http.StatusForbidden, pages.NoDatabaseUser())
	case errors.Is(failure, errDisabled):
		show(http.StatusForbidden, pages.PersonDisabled())
	case errors.Is(failure, errStore):
		s.unavailable(w, r, failure)
	case failure.Kind == connect.TooLong:
		s.config.Pages.TooLarge(w, r, http.StatusRequestURITooLong)
	case failure.Kind == connect.Expired:
		show(http.StatusBadRequest, pages.SignInExpired(again))
	case failure.Kind == connect.Foreign:
		show(http.StatusBadRequest, pages.SignInForeign(s.base+"/"))
	case failure.Kind == connect.Unavailable:
		w.Header().Set("Retry-After", "10")
		show(http.StatusServiceUnavailable, pages.UpstreamDown(u.DisplayName, again))
	default:
		show(http.StatusForbidden, pages.SignInRefused(u.DisplayName, again))
	}
}
