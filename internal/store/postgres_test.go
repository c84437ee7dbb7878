package store_test

import (
	"errors"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/store"
)

// counter stands between a store and PostgreSQL and counts how often the store has to wait for
// an answer.
type counter struct {
	listener net.Listener
	server   string
	trips    atomic.Int64
	group    sync.WaitGroup
}

// startCounter gives the DSN of a database that is reached through the counter.
func startCounter(t *testing.T, dsn string) (*counter, string) {
	t.Helper()
	address, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	query := address.Query()
	name := ".s.PGSQL." + query.Get("port")
	c := &counter{server: filepath.Join(query.Get("host"), name)}
	folder := t.TempDir()
	if c.listener, err = net.Listen("unix", filepath.Join(folder, name)); err != nil {
		t.Fatal(err)
	}
	c.group.Go(func() {
		for {
			client, err := c.listener.Accept()
			if err != nil {
				return
			}
			c.group.Go(func() { c.carry(client) })
		}
	})
	t.Cleanup(func() {
		if err := c.listener.Close(); err != nil {
			t.Error(err)
		}
		c.group.Wait()
	})
	query.Set("host", folder)
	address.RawQuery = query.Encode()
	return c, address.String()
}

func (c *counter) carry(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("unix", c.server)
	if err != nil {
		return
	}
	var asked atomic.Bool
	c.group.Go(func() {
		defer server.Close()
		_, _ = io.Copy(server, reader(func(b []byte) (int, error) {
			n, err := client.Read(b)
			asked.Store(n > 0)
			return n, err
		}))
	})
	_, _ = io.Copy(client, reader(func(b []byte) (int, error) {
		n, err := server.Read(b)
		if n > 0 && asked.Swap(false) {
			c.trips.Add(1)
		}
		return n, err
	}))
}

type reader func([]byte) (int, error)

func (r reader) Read(b []byte) (int, error) { return r(b) }

func TestHotOperationsAreOneWayThereAndBack(t *testing.T) {
	t.Parallel()
	count, dsn := startCounter(t, server.database(t))
	s := open(t, store.Config{DSN: dsn})
	check(t, "app", s.CreateApp(t.Context(), newApp()), nil)
	_, err := s.SignIn(t.Context(), newPerson("alice"))
	check(t, "person", err, nil)
	// The first time, PostgreSQL parses the statements: that is not counted.
	for turn := range 3 {
		g, code := newGrant(grant.NewID("gra"))
		family := familyFor(g)
		access := issuedFor(family)
		steps := []struct {
			name string
			do   func() error
		}{
			{"keep a consent with its code", func() error { return s.CreateGrant(t.Context(), g, code) }},
			{"look a code up", func() error { _, _, err := s.Code(t.Context(), tenant, code.Hash); return err }},
			{"redeem a code", func() error { return s.RedeemCode(t.Context(), code, start, access, &family) }},
			{"check a token", func() error { _, err := s.Access(t.Context(), tenant, access.Hash); return err }},
			{"look a refresh token up", func() error { _, _, err := s.FamilyOf(t.Context(), tenant, family.Current); return err }},
			{"rotate", func() error {
				return s.Rotate(t.Context(), family, newHash(), start, start, "key", issuedFor(family))
			}},
			{"reissue", func() error { return s.Reissue(t.Context(), issuedFor(family)) }},
			{"revoke a token", func() error { return s.RevokeAccess(t.Context(), tenant, access.Hash, start) }},
			{"save a session", func() error { return s.Sessions().Save(t.Context(), g.ID, []byte("x"), start) }},
		}
		for _, step := range steps {
			before := count.trips.Load()
			check(t, step.name, step.do(), nil)
			if trips := count.trips.Load() - before; turn > 0 && trips != 1 {
				t.Errorf("to %s took %d ways there and back, want 1", step.name, trips)
			}
		}
	}
}

// What a program of this schema's first version asks is answered on the newest schema too: for
// the length of a rolling restart both run on one database. A later step that breaks one of these
// has to wait until no program asks it any more: expand first, contract a version later.
func TestQueriesOfTheFirstProgramRunOnTheNewestSchema(t *testing.T) {
	t.Parallel()
	dsn := server.database(t)
	s := open(t, store.Config{DSN: dsn})
	check(t, "app", s.CreateApp(t.Context(), newApp()), nil)
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	hash := make([]byte, 32)
	for _, q := range []struct {
		query string
		args  []any
	}{
		{
			`INSERT INTO people (tenant, id, issuer, subject, name, email, database_user, database_user_folded, disabled, created_at, seen_at)
			VALUES ($1, 'per_old', 'https://idp.example', 'old', 'Old', '', 'old', 'old', 0, 1, 1) ON CONFLICT DO NOTHING`,
			[]any{tenant},
		},
		{
			`INSERT INTO grants (tenant, id, app_id, person_id, warehouse, scopes, limits, created_at, expires_at, revoked_at, revoked_why)
			VALUES ($1, 'gra_old', $2, 'per_old', 'w', 'sql:read', '', 1, 0, 0, '')`, []any{tenant, newApp().ID},
		},
		{`INSERT INTO codes (tenant, hash, grant_id, app_id, redirect_uri, challenge, nonce, scopes, auth_time, created_at, expires_at, redeemed_at)
			VALUES ($1, $2, 'gra_old', $3, 'https://a.example', '', '', 'sql:read', 1, 1, 1, 0)`, []any{tenant, hash, newApp().ID}},
		{`INSERT INTO access_tokens (tenant, hash, grant_id, family_id, scopes, created_at, expires_at, revoked_at)
			VALUES ($1, $2, 'gra_old', 'fam_old', 'sql:read', 1, 1, 0)`, []any{tenant, hash}},
		{`INSERT INTO families (tenant, id, grant_id, app_id, scopes, generation, current_hash, previous_hash, key_id, rotated_at, created_at, idle_until, expires_at)
			VALUES ($1, 'fam_old', 'gra_old', $2, 'sql:read', 1, $3, $3, '1', 1, 1, 1, 1)`, []any{tenant, newApp().ID, hash}},
		{`INSERT INTO refresh_tokens (tenant, hash, family_id, generation, expires_at) VALUES ($1, $2, 'fam_old', 1, 1)`, []any{tenant, hash}},
		{`INSERT INTO sessions (id, data, expires_at) VALUES ('old', $1, 1) ON CONFLICT (id) DO UPDATE SET data = excluded.data, expires_at = excluded.expires_at`, []any{hash}},
		{`UPDATE grants SET revoked_at = 1, revoked_why = 'why' WHERE tenant = $1 AND id = 'gra_old' AND revoked_at = 0`, []any{tenant}},
	} {
		result, err := conn.Exec(t.Context(), q.query, q.args...)
		if err != nil || result.RowsAffected() != 1 {
			t.Errorf("%d rows, %v of:\n%s", result.RowsAffected(), err, q.query)
		}
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Error(err)
	}
	f, _, err := s.FamilyOf(t.Context(), tenant, grant.Hash(hash))
	if err != nil || f.ID != "fam_old" || f.RevokedAt.IsZero() {
		t.Errorf("the newer program sees %+v, %v; want the older one's family, revoked", f, err)
	}
}

// A server that restarts ends the connections that the store keeps. No caller hears of that once
// the server is back.
func TestStoreConnectsAgainAfterTheServerEndedItsConnections(t *testing.T) {
	t.Parallel()
	dsn := server.database(t)
	s := open(t, store.Config{DSN: dsn})
	for range 5 {
		var group sync.WaitGroup
		errs := make([]error, 16)
		for i := range errs {
			group.Go(func() { errs[i] = s.Ping(t.Context()) })
		}
		group.Wait()
		check(t, "ping", errors.Join(errs...), nil)
		conn, err := pgx.Connect(t.Context(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		_, err = conn.Exec(t.Context(), `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
		check(t, "end the connections", errors.Join(err, conn.Close(t.Context())), nil)
	}
}
