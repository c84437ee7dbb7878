package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/store"
)

func check(t testing.TB, doing string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%s: %v, want %v", doing, err, want)
	}
}

func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestApps(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		app := newApp()
		check(t, "create", s.CreateApp(ctx, app), nil)
		got, err := s.App(ctx, tenant, app.ID)
		check(t, "find", err, nil)
		same(t, "created app", got, app)
		check(t, "create again", s.CreateApp(ctx, app), grant.ErrExists)
		_, err = s.App(ctx, tenant, "nobody")
		check(t, "find nobody", err, grant.ErrNotFound)

		public := grant.App{Tenant: tenant, ID: "cli", Name: "A command line", Type: grant.Public, RedirectURIs: []string{"http://127.0.0.1/cb"}, Origin: grant.FromConfig, CreatedAt: start}
		check(t, "put new", s.PutApp(ctx, public), nil)
		list, err := s.Apps(ctx, tenant)
		check(t, "list", err, nil)
		same(t, "apps by name", list, []grant.App{public, app})

		// A gateway that starts puts its configured apps again, with secrets that it just hashed.
		changed := app
		changed.Name, changed.Scopes, changed.Disabled, changed.CreatedAt = "Starfinder", nil, true, start.Add(time.Hour)
		fresh := grant.AppSecret{ID: "sec_new", Hash: newHash(), CreatedAt: start.Add(time.Hour)}
		changed.Secrets = []grant.AppSecret{{ID: "sec_again", Hash: app.Secrets[0].Hash, CreatedAt: start.Add(time.Hour)}, fresh}
		check(t, "put changed", s.PutApp(ctx, changed), nil)
		got, err = s.App(ctx, tenant, app.ID)
		check(t, "find", err, nil)
		want := changed
		want.CreatedAt, want.Secrets = app.CreatedAt, []grant.AppSecret{app.Secrets[0], fresh}
		same(t, "app put again", got, want)

		check(t, "set secrets", s.SetAppSecrets(ctx, tenant, app.ID, []grant.AppSecret{fresh}), nil)
		got, err = s.App(ctx, tenant, app.ID)
		check(t, "find", err, nil)
		same(t, "secrets", got.Secrets, []grant.AppSecret{fresh})
		check(t, "set secrets of nobody", s.SetAppSecrets(ctx, tenant, "nobody", nil), grant.ErrNotFound)

		check(t, "remove", s.RemoveApp(ctx, tenant, app.ID, start), nil)
		check(t, "remove again", s.RemoveApp(ctx, tenant, app.ID, start), grant.ErrNotFound)
		_, err = s.App(ctx, tenant, app.ID)
		check(t, "find removed", err, grant.ErrNotFound)
	})
}

func TestSignInKeepsWhoSomebodyIs(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		alice := newPerson("alice")
		first, err := s.SignIn(ctx, alice)
		check(t, "sign in", err, nil)
		same(t, "first sign-in", first, alice)

		later := alice
		later.ID, later.DatabaseUser, later.CreatedAt = "per_other", "someone_else", start.Add(time.Hour)
		later.Name, later.Email, later.SeenAt = "Alice Berger", "alice@other.example", start.Add(time.Hour)
		second, err := s.SignIn(ctx, later)
		check(t, "sign in again", err, nil)
		want := later
		want.ID, want.DatabaseUser, want.CreatedAt = alice.ID, alice.DatabaseUser, alice.CreatedAt
		same(t, "second sign-in", second, want)

		found, err := s.Person(ctx, tenant, alice.ID)
		check(t, "find", err, nil)
		same(t, "person", found, want)
		found, err = s.PersonBySubject(ctx, tenant, alice.Issuer, alice.Subject)
		check(t, "find by subject", err, nil)
		same(t, "person by subject", found, want)
		_, err = s.Person(ctx, tenant, "per_other")
		check(t, "find nobody", err, grant.ErrNotFound)

		for _, c := range []struct {
			name   string
			change func(*grant.Person)
			want   error
		}{
			{"the same database user", func(*grant.Person) {}, grant.ErrDatabaseUserTaken},
			{"in other letters, which Redshift folds", func(p *grant.Person) { p.DatabaseUser = "ALICE" }, grant.ErrDatabaseUserTaken},
			{"by another issuer", func(p *grant.Person) { p.Issuer = "https://other.example" }, grant.ErrDatabaseUserTaken},
			{"in another tenant", func(p *grant.Person) { p.Tenant = "other" }, nil},
			{"another database user", func(p *grant.Person) { p.DatabaseUser = "alice2" }, nil},
		} {
			p := newPerson("mallory")
			p.DatabaseUser = "alice"
			p.ID, p.Subject = grant.NewID("per"), grant.NewID("sub")
			c.change(&p)
			_, err := s.SignIn(ctx, p)
			check(t, c.name, err, c.want)
			if _, err := s.PersonBySubject(ctx, p.Tenant, p.Issuer, p.Subject); (err == nil) != (c.want == nil) {
				t.Errorf("%s: the person is kept: %v", c.name, err)
			}
		}
	})
}

func TestGrants(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		populate(t, s)
		older, code := newGrant("gra_older")
		check(t, "create", s.CreateGrant(ctx, older, code), nil)
		check(t, "create again", s.CreateGrant(ctx, older, code), grant.ErrConflict)
		newer, newerCode := newGrant("gra_newer")
		newer.CreatedAt, newer.Limits = start.Add(time.Second), grant.Limits{}
		check(t, "create", s.CreateGrant(ctx, newer, newerCode), nil)
		expired, expiredCode := newGrant("gra_expired")
		expired.ExpiresAt = start.Add(-time.Second)
		check(t, "create", s.CreateGrant(ctx, expired, expiredCode), nil)

		got, err := s.Grant(ctx, tenant, older.ID)
		check(t, "find", err, nil)
		same(t, "grant", got, older)
		gotCode, standing, err := s.Code(ctx, tenant, code.Hash)
		check(t, "find code", err, nil)
		same(t, "code", gotCode, code)
		same(t, "what the code stands for", standing, grant.Standing{Grant: older, Person: newPerson("alice")})
		list, err := s.Grants(ctx, tenant, "per_alice")
		check(t, "list", err, nil)
		same(t, "living grants, the newest first", list, []grant.Grant{newer, older})
		for _, c := range []struct {
			what, app, warehouse string
			want                 []grant.Grant
		}{
			{"recent ones", older.AppID, older.Warehouse, []grant.Grant{newer, older}},
			{"those of another app", "another", older.Warehouse, nil},
			{"those on another warehouse", older.AppID, "another", nil},
		} {
			list, err := s.RecentGrants(ctx, tenant, "per_alice", c.app, c.warehouse)
			check(t, c.what, err, nil)
			same(t, c.what, list, c.want)
		}

		at := start.Add(time.Minute)
		check(t, "revoke", s.RevokeGrant(ctx, tenant, older.ID, "by you", at), nil)
		check(t, "revoke again", s.RevokeGrant(ctx, tenant, older.ID, "by the app", at.Add(time.Hour)), nil)
		check(t, "revoke nothing", s.RevokeGrant(ctx, tenant, "gra_none", "by you", at), grant.ErrNotFound)
		revoked, err := s.Grant(ctx, tenant, older.ID)
		check(t, "find", err, nil)
		older.RevokedAt, older.RevokedWhy = at, "by you"
		same(t, "revoked grant", revoked, older)
		list, err = s.Grants(ctx, tenant, "per_alice")
		check(t, "list", err, nil)
		same(t, "living grants", list, []grant.Grant{newer})

		orphan, orphanCode := newGrant("gra_orphan")
		orphan.AppID = "removed"
		check(t, "grant to an app that is gone", s.CreateGrant(ctx, orphan, orphanCode), grant.ErrConflict)
		_, _, err = s.Code(ctx, tenant, orphanCode.Hash)
		check(t, "its code", err, grant.ErrNotFound)
	})
}

// A grant whose code cannot be kept is not kept either.
func TestCreateGrantIsAllOrNothing(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		populate(t, s)
		first, code := newGrant("gra_1")
		check(t, "create", s.CreateGrant(t.Context(), first, code), nil)
		second, _ := newGrant("gra_2")
		check(t, "create with a code that is there", s.CreateGrant(t.Context(), second, code), store.ErrUnavailable)
		_, err := s.Grant(t.Context(), tenant, second.ID)
		check(t, "find it", err, grant.ErrNotFound)
	})
}

func TestCodeCountsOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		populate(t, s)
		g, code := newGrant("gra_1")
		check(t, "create", s.CreateGrant(ctx, g, code), nil)
		const callers = 50
		var families [callers]grant.Family
		var redeemed atomic.Int64
		winner := -1
		var group sync.WaitGroup
		for i := range callers {
			families[i] = familyFor(g)
			group.Go(func() {
				family := families[i]
				switch err := s.RedeemCode(ctx, code, start.Add(time.Second), issuedFor(family), &family); {
				case err == nil:
					redeemed.Add(1)
					winner = i
				case !errors.Is(err, grant.ErrConflict):
					t.Errorf("redeem: %v, want ErrConflict", err)
				}
			})
		}
		group.Wait()
		if redeemed.Load() != 1 {
			t.Fatalf("the code was redeemed %d times", redeemed.Load())
		}
		for i := range families {
			got, _, err := s.FamilyOf(ctx, tenant, families[i].Current)
			if i == winner {
				check(t, "the family that was made", err, nil)
				same(t, "family", got, families[i])
			} else {
				check(t, "a family that was not", err, grant.ErrNotFound)
			}
		}
		stored, _, err := s.Code(ctx, tenant, code.Hash)
		check(t, "find code", err, nil)
		if !stored.RedeemedAt.Equal(start.Add(time.Second)) {
			t.Errorf("redeemed at %v", stored.RedeemedAt)
		}
	})
}

func TestCodeOfARevokedGrantIsNotRedeemed(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		populate(t, s)
		g, code := newGrant("gra_1")
		check(t, "create", s.CreateGrant(t.Context(), g, code), nil)
		check(t, "revoke", s.RevokeGrant(t.Context(), tenant, g.ID, "by you", start), nil)
		access := issuedFor(familyFor(g))
		check(t, "redeem", s.RedeemCode(t.Context(), code, start, access, nil), grant.ErrConflict)
		_, err := s.Access(t.Context(), tenant, access.Hash)
		check(t, "access", err, grant.ErrNotFound)
	})
}

func TestRotationHasOneWinner(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		populate(t, s)
		family := newFamily(t, s, "gra_1")
		generations := []grant.Hash{family.Current}
		for round := range 5 {
			// All derive the same successor, as clients that refresh at once do.
			next, access := newHash(), [8]grant.Issued{}
			at := start.Add(time.Duration(round+1) * time.Minute)
			var moved atomic.Int64
			var group sync.WaitGroup
			for i := range access {
				access[i] = issuedFor(family)
				group.Go(func() {
					switch err := s.Rotate(ctx, family, next, at, at.Add(time.Hour), "key2", access[i]); {
					case err == nil:
						moved.Add(1)
					case !errors.Is(err, grant.ErrConflict):
						t.Errorf("rotate: %v, want ErrConflict", err)
					}
				})
			}
			group.Wait()
			alive := 0
			for i := range access {
				if _, err := s.Access(ctx, tenant, access[i].Hash); err == nil {
					alive++
				}
			}
			if moved.Load() != 1 || alive != 1 {
				t.Fatalf("round %d: %d rotations succeeded and %d access tokens were made", round, moved.Load(), alive)
			}
			want := family
			want.Generation, want.Current, want.Previous = family.Generation+1, next, family.Current
			want.KeyID, want.RotatedAt, want.IdleUntil = "key2", at, at.Add(time.Hour)
			generations = append(generations, next)
			for n, hash := range generations {
				got, _, err := s.FamilyOf(ctx, tenant, hash)
				check(t, fmt.Sprintf("family by generation %d", n+1), err, nil)
				same(t, "family", got, want)
			}
			family = want
		}
		_, _, err := s.FamilyOf(ctx, tenant, newHash())
		check(t, "family of a stranger", err, grant.ErrNotFound)
	})
}

func TestAccess(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		populate(t, s)
		family := newFamily(t, s, "gra_1")
		issued := issuedFor(family)
		check(t, "reissue", s.Reissue(ctx, issued), nil)
		got, err := s.Access(ctx, tenant, issued.Hash)
		check(t, "access", err, nil)
		g, _ := newGrant("gra_1")
		app, err := s.App(ctx, tenant, "stargazer")
		check(t, "app", err, nil)
		app.Secrets = nil
		same(t, "access", got, &grant.Access{Grant: g, Person: newPerson("alice"), App: app, Scopes: issued.Scopes, ExpiresAt: issued.ExpiresAt})
		_, err = s.Access(ctx, tenant, newHash())
		check(t, "unknown token", err, grant.ErrNotFound)
	})
}

func TestRevocationReachesEverythingBelow(t *testing.T) {
	t.Parallel()
	at := start.Add(time.Minute)
	for _, c := range []struct {
		name   string
		revoke func(ctx context.Context, s *store.Store, family grant.Family, access grant.Hash) error
		gone   error // what the access token is then
		wide   bool  // it ends the grant, too
	}{
		{"one access token", func(ctx context.Context, s *store.Store, _ grant.Family, access grant.Hash) error {
			return s.RevokeAccess(ctx, tenant, access, at)
		}, grant.ErrRevoked, false},
		{"the grant", func(ctx context.Context, s *store.Store, f grant.Family, _ grant.Hash) error {
			return s.RevokeGrant(ctx, tenant, f.GrantID, "test", at)
		}, grant.ErrRevoked, true},
		{"the family", func(ctx context.Context, s *store.Store, f grant.Family, _ grant.Hash) error {
			return s.RevokeFamily(ctx, tenant, f.ID, "test", at)
		}, grant.ErrRevoked, true},
		{"the app", func(ctx context.Context, s *store.Store, f grant.Family, _ grant.Hash) error {
			return s.RemoveApp(ctx, tenant, f.AppID, at)
		}, grant.ErrNotFound, true},
		{"the app, registered again", func(ctx context.Context, s *store.Store, f grant.Family, _ grant.Hash) error {
			return errors.Join(s.RemoveApp(ctx, tenant, f.AppID, at), s.CreateApp(ctx, newApp()))
		}, grant.ErrRevoked, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			onEach(t, func(t *testing.T, s *store.Store) {
				ctx := t.Context()
				populate(t, s)
				family := newFamily(t, s, "gra_1")
				issued, other := issuedFor(family), issuedFor(family)
				check(t, "reissue", errors.Join(s.Reissue(ctx, issued), s.Reissue(ctx, other)), nil)
				check(t, "revoke", c.revoke(ctx, s, family, issued.Hash), nil)
				_, err := s.Access(ctx, tenant, issued.Hash)
				check(t, "the access token", err, c.gone)
				_, otherErr := s.Access(ctx, tenant, other.Hash)
				seen, _, err := s.FamilyOf(ctx, tenant, family.Current)
				check(t, "family", err, nil)
				rotate := s.Rotate(ctx, family, newHash(), at, at, "key", issuedFor(family))
				reissue := s.Reissue(ctx, issuedFor(family))
				if !c.wide {
					check(t, "what is beside it", errors.Join(otherErr, rotate, reissue), nil)
					return
				}
				check(t, "another access token", otherErr, c.gone)
				check(t, "rotate", rotate, grant.ErrConflict)
				check(t, "reissue", reissue, grant.ErrRevoked)
				if !seen.RevokedAt.Equal(at) {
					t.Errorf("the family shows as revoked at %v, want %v", seen.RevokedAt, at)
				}
				ended, err := s.Grant(ctx, tenant, family.GrantID)
				check(t, "grant", err, nil)
				if !ended.RevokedAt.Equal(at) || ended.RevokedWhy == "" {
					t.Errorf("grant revoked at %v %q", ended.RevokedAt, ended.RevokedWhy)
				}
			})
		})
	}
}

func TestRevokingWhatIsNotThere(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		check(t, "family", s.RevokeFamily(t.Context(), tenant, "fam_none", "test", start), grant.ErrNotFound)
		check(t, "access token", s.RevokeAccess(t.Context(), tenant, newHash(), start), nil)
		check(t, "reissue", s.Reissue(t.Context(), issuedFor(grant.Family{ID: "fam_none"})), grant.ErrRevoked)
	})
}

func TestTenantsDoNotSeeEachOther(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		populate(t, s)
		g, code := newGrant("gra_1")
		check(t, "create", s.CreateGrant(ctx, g, code), nil)
		family := newFamily(t, s, "gra_2")
		issued := issuedFor(family)
		check(t, "reissue", s.Reissue(ctx, issued), nil)
		statement := newStatement("st_1")
		_, err := s.CreateStatement(ctx, statement)
		check(t, "create statement", err, nil)

		const other = "other"
		foreignCode, foreignAccess, foreignStatement := code, issuedFor(family), statement
		foreignCode.Tenant, foreignAccess.Tenant, foreignStatement.Tenant = other, other, other
		for name, find := range map[string]func() error{
			"app":         func() error { _, err := s.App(ctx, other, "stargazer"); return err },
			"person":      func() error { _, err := s.Person(ctx, other, "per_alice"); return err },
			"subject":     func() error { _, err := s.PersonBySubject(ctx, other, "https://idp.example", "idp|alice"); return err },
			"grant":       func() error { _, err := s.Grant(ctx, other, g.ID); return err },
			"code":        func() error { _, _, err := s.Code(ctx, other, code.Hash); return err },
			"access":      func() error { _, err := s.Access(ctx, other, issued.Hash); return err },
			"family":      func() error { _, _, err := s.FamilyOf(ctx, other, family.Current); return err },
			"statement":   func() error { _, err := s.Statement(ctx, other, statement.ID); return err },
			"remove app":  func() error { return s.RemoveApp(ctx, other, "stargazer", start) },
			"set secrets": func() error { return s.SetAppSecrets(ctx, other, "stargazer", nil) },
			"revoke":      func() error { return s.RevokeGrant(ctx, other, g.ID, "test", start) },
			"revoke all":  func() error { return s.RevokeFamily(ctx, other, family.ID, "test", start) },
			"update":      func() error { return s.UpdateStatement(ctx, foreignStatement) },
		} {
			if err := find(); !errors.Is(err, grant.ErrNotFound) {
				t.Errorf("%s of another tenant: %v, want ErrNotFound", name, err)
			}
		}
		check(t, "redeem", s.RedeemCode(ctx, foreignCode, start, foreignAccess, nil), grant.ErrConflict)
		check(t, "rotate", s.Rotate(ctx, family, newHash(), start, start, "key", foreignAccess), grant.ErrConflict)
		check(t, "reissue", s.Reissue(ctx, foreignAccess), grant.ErrRevoked)
		check(t, "revoke access", s.RevokeAccess(ctx, other, issued.Hash, start), nil)
		apps, err := s.Apps(ctx, other)
		if err != nil || len(apps) != 0 {
			t.Errorf("apps %v, %v", apps, err)
		}
		grants, err := s.Grants(ctx, other, "per_alice")
		if err != nil || len(grants) != 0 {
			t.Errorf("grants %v, %v", grants, err)
		}
		if _, err := s.Access(ctx, tenant, issued.Hash); err != nil {
			t.Errorf("what was untouched: %v", err)
		}
	})
}

func TestSessions(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		sessions := s.Sessions()
		_, err := sessions.Load(ctx, "id")
		check(t, "load nothing", err, store.ErrNoSession)
		for _, data := range [][]byte{{0, 1, 0xff}, []byte("changed"), {}, nil} {
			check(t, "save", sessions.Save(ctx, "id", data, start.Add(time.Hour)), nil)
			got, err := sessions.Load(ctx, "id")
			check(t, "load", err, nil)
			same(t, "data", got, data)
		}
		check(t, "save", sessions.Save(ctx, "old", []byte("x"), start), nil)
		_, err = sessions.Load(ctx, "old")
		check(t, "load an expired one", err, store.ErrNoSession)
		check(t, "delete", sessions.Delete(ctx, "id"), nil)
		check(t, "delete again", sessions.Delete(ctx, "id"), nil)
		_, err = sessions.Load(ctx, "id")
		check(t, "load deleted", err, store.ErrNoSession)
	})
}

func newStatement(id string) store.Statement {
	return store.Statement{
		ID: id, Tenant: tenant, GrantID: "gra_1", PersonID: "per_alice", AppID: "stargazer", Warehouse: "tickit",
		RequestID: "request", Fingerprint: newHash(), MaxRows: 10, CreatedAt: start, ExpiresAt: start.Add(24 * time.Hour),
	}
}

func TestStatements(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		first := newStatement("st_1")
		kept, err := s.CreateStatement(ctx, first)
		check(t, "create", err, nil)
		same(t, "kept", kept, first)
		kept, err = s.CreateStatement(ctx, newStatement("st_2"))
		check(t, "create with the same request id", err, grant.ErrExists)
		same(t, "the first", kept, first)
		for _, change := range []func(*store.Statement){
			func(st *store.Statement) { st.GrantID = "gra_2" },
			func(st *store.Statement) { st.RequestID = "" },
			func(st *store.Statement) { st.RequestID = "" },
			func(st *store.Statement) { st.Tenant = "other" },
		} {
			st := newStatement(grant.NewID("st"))
			change(&st)
			_, err := s.CreateStatement(ctx, st)
			check(t, "create beside it", err, nil)
		}
		first.RemoteID, first.CanceledAt = "remote", start.Add(time.Second)
		check(t, "update", s.UpdateStatement(ctx, first), nil)
		uncanceled := first
		uncanceled.CanceledAt = time.Time{}
		check(t, "update without the cancellation", s.UpdateStatement(ctx, uncanceled), nil)
		got, err := s.Statement(ctx, tenant, first.ID)
		check(t, "find", err, nil)
		same(t, "statement", got, first)
		check(t, "update nothing", s.UpdateStatement(ctx, newStatement("st_none")), grant.ErrNotFound)
	})
}

func TestSweepDeletesWhatHasEndedAndNoMore(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		populate(t, s)
		var families []grant.Family
		for i := range 7 {
			families = append(families, newFamily(t, s, fmt.Sprint("gra_", i)))
			st := newStatement(fmt.Sprint("st_", i))
			st.RequestID = ""
			_, err := s.CreateStatement(ctx, st)
			check(t, "create statement", err, nil)
			check(t, "save session", s.Sessions().Save(ctx, fmt.Sprint(i), []byte("x"), start.Add(time.Hour)), nil)
		}
		check(t, "revoke", s.RevokeGrant(ctx, tenant, "gra_0", "test", start), nil)
		day, end := 24*time.Hour, families[0].ExpiresAt
		for _, c := range []struct {
			what string
			at   time.Time
			want int
		}{
			{"nothing yet", start.Add(time.Hour), 0},
			{"codes, access tokens, sessions", start.Add(2 * time.Hour), 3 * 7},
			{"nothing more", start.Add(2 * time.Hour), 0},
			{"statements", start.Add(2 * day), 7},
			{"the revoked grant", start.Add(31 * day), 1},
			{"families and refresh tokens", end.Add(2 * time.Hour), 2 * 7},
			{"grants", end.Add(31 * day), 6},
		} {
			if deleted, err := s.Sweep(ctx, c.at, 2); err != nil || deleted != c.want {
				t.Errorf("%s: deleted %d, %v; want %d", c.what, deleted, err, c.want)
			}
		}
		_, err := s.App(ctx, tenant, "stargazer")
		check(t, "the app", err, nil)
		left, cancel := context.WithCancel(ctx)
		cancel()
		_, err = s.Sweep(left, end, 2)
		check(t, "sweep for nobody", err, context.Canceled)
	})
}

func TestPing(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		check(t, "ping", s.Ping(t.Context()), nil)
		left, cancel := context.WithCancel(t.Context())
		cancel()
		check(t, "ping for nobody", s.Ping(left), context.Canceled)
		check(t, "ping for nobody", s.Ping(left), store.ErrUnavailable)
	})
}

func TestConfigurationIsOneOrTheOther(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]store.Config{
		"neither": {}, "both": {Path: filepath.Join(t.TempDir(), "s.db"), DSN: "postgres://x"},
		"no DSN": {DSN: "postgres://user:hunter2@host:port/x"},
	} {
		s, err := store.Open(t.Context(), config)
		if err == nil {
			_ = s.Close()
			t.Errorf("%s: Open = nil, want an error", name)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error shows the password: %v", name, err)
		}
	}
}

func TestFilesArePrivate(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "data", "a b#?%é")
	path := filepath.Join(folder, "store.db")
	s, err := store.Open(t.Context(), store.Config{Path: path})
	check(t, "open", err, nil)
	check(t, "ping", s.Ping(t.Context()), nil)
	for name, want := range map[string]os.FileMode{folder: 0o700, path: 0o600, path + "-wal": 0o600, path + "-shm": 0o600} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %v", name, info, err, want)
		}
	}
	check(t, "close", s.Close(), nil)
	left, err := os.ReadDir(folder)
	if err != nil || len(left) != 1 {
		t.Errorf("after Close the folder holds %v, %v; want the database alone", left, err)
	}
	check(t, "use after Close", s.Ping(t.Context()), store.ErrUnavailable)
	_, err = s.App(t.Context(), tenant, "x")
	check(t, "use after Close", err, store.ErrUnavailable)
}
