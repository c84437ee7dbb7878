package postgres_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/shiftgrant/shiftgrant/twin/postgres"
)

// own is a server of the test's own, for what changes users and rights.
func own(t *testing.T) *postgres.Server {
	t.Helper()
	server, err := postgres.Start(t.Context(), postgres.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// tell runs one statement of Redshift's dialect, and gives what the database says against it.
func tell(t *testing.T, conn *pgconn.PgConn, sql string) string {
	t.Helper()
	translation, err := postgres.Translate(sql)
	if err != nil {
		t.Fatal(err)
	}
	_, err = query(conn, translation)
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		return refused.Message
	}
	if err != nil {
		t.Fatalf("%s\nas %s: %v", sql, translation, err)
	}
	return ""
}

// asked runs a query as a user who logs in for it.
func asked(t *testing.T, server *postgres.Server, user, sql string) string {
	t.Helper()
	conn, err := server.Connect(t.Context(), user, postgres.Database)
	if err != nil {
		return err.Error()
	}
	defer conn.Close(context.Background())
	return tell(t, conn, sql)
}

const idc = `TYPE AWSIDC NAMESPACE 'corp' APPLICATION_ARN 'arn:aws:sso::123456789012:application/ssoins-1/apl-1' IAM_ROLE 'arn:aws:iam::123456789012:role/idc'`

// Each statement has its effect at once: what comes after it is the proof.
func TestAnAdministratorSetsPeopleUp(t *testing.T) {
	t.Parallel()
	server := own(t)
	admin := connect(t, server, "admin")
	const sales, denied = "select 1 from tickit.venue limit 1", "permission denied for schema tickit"
	type proof struct{ user, sql, says string }
	for _, step := range []struct {
		sql   string
		proof proof
	}{
		{`CREATE USER "ann" PASSWORD DISABLE SYSLOG ACCESS RESTRICTED CONNECTION LIMIT UNLIMITED SESSION TIMEOUT 3600`, proof{"ann", sales, denied}},
		{`ALTER USER ann SYSLOG ACCESS UNRESTRICTED`, proof{}},
		{`CREATE ROLE readers EXTERNALID 'r1'`, proof{"readers", sales, `FATAL: password authentication failed for user "readers"`}},
		{`GRANT USAGE ON SCHEMA tickit TO ROLE readers`, proof{"ann", sales, denied}},
		{`GRANT ROLE readers TO "ann"`, proof{"ann", sales, "permission denied for table venue"}},
		{`GRANT SELECT FOR TABLES IN SCHEMA tickit DATABASE dev TO ROLE readers, "bob"`, proof{"ann", sales, ""}},
		{`CREATE TABLE tickit.later (n integer) DISTSTYLE ALL`, proof{"ann", "select n from tickit.later", ""}},
		{`CREATE VIEW tickit.seen AS SELECT 1 AS n`, proof{"ann", "select n from tickit.seen", ""}},
		{`REVOKE SELECT FOR TABLES IN SCHEMA tickit FROM ROLE readers`, proof{"ann", sales, "permission denied for table venue"}},
		{`GRANT SELECT ON ALL TABLES IN SCHEMA tickit TO ROLE readers`, proof{"ann", sales, ""}},
		{`CREATE TABLE tickit.latest (n integer)`, proof{"ann", "select n from tickit.latest", "permission denied for table latest"}},
		{`ALTER DEFAULT PRIVILEGES IN SCHEMA tickit GRANT SELECT ON TABLES TO ROLE readers`, proof{}},
		{`CREATE TABLE tickit.after (n integer)`, proof{"ann", "select n from tickit.after", ""}},
		{`GRANT CREATE ON SCHEMA tickit TO ann`, proof{"ann", "create table tickit.anns (n integer)", ""}},
		{`GRANT SELECT ON tickit.anns TO bob`, proof{"bob", "select n from tickit.anns", ""}},
		{`ALTER DEFAULT PRIVILEGES FOR USER ann IN SCHEMA tickit GRANT SELECT ON TABLES TO "bob"`, proof{"ann", "create table tickit.more (n integer)", ""}},
		{`ALTER DEFAULT PRIVILEGES FOR USER ann IN SCHEMA tickit REVOKE SELECT ON TABLES FROM "bob"`, proof{"bob", "select n from tickit.more", ""}},
		{`CREATE ROLE everyone`, proof{}},
		{`GRANT USAGE FOR SCHEMAS IN DATABASE dev TO ROLE everyone`, proof{}},
		{`CREATE SCHEMA fresh`, proof{}},
		{`GRANT SELECT, INSERT FOR TABLES IN DATABASE dev TO PUBLIC`, proof{}},
		{`CREATE TABLE fresh.one AS SELECT 1 AS n`, proof{"ann", "select n from fresh.one", "permission denied for schema fresh"}},
		{`REVOKE ALL PRIVILEGES FOR TABLES IN DATABASE dev FROM PUBLIC`, proof{"bob", "select 1 from finance.budget", "permission denied for schema finance"}},
		{`GRANT SELECT ON finance.budget TO ROLE everyone`, proof{"ann", "select 1 from finance.budget", "permission denied for schema finance"}},
		{`GRANT ROLE everyone TO ROLE readers`, proof{"ann", "select 1 from finance.budget", ""}},
		{`GRANT SELECT ON fresh.one TO ROLE everyone`, proof{"ann", "select n from fresh.one", ""}},
		{`GRANT ROLE sys:monitor TO ROLE readers`, proof{"ann", "select query from pg_stat_activity", ""}},
		{`REVOKE CREATE, USAGE ON SCHEMA public FROM PUBLIC`, proof{"ann", "create table public.mine (n integer)", "permission denied for schema public"}},
		{`REVOKE TEMP ON DATABASE dev FROM PUBLIC`, proof{"ann", "create temp table mine (n integer)", `permission denied to create temporary tables in database "dev"`}},
		{`REVOKE USAGE ON LANGUAGE plpythonu FROM PUBLIC`, proof{"ann", "select 1 from pg_language where lanname = 'plpythonu' and has_language_privilege(oid, 'usage') or 1 / (select count(*) from pg_language where lanname = 'plpythonu') = 0", ""}},
		{`REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC`, proof{"alice", "create function sandbox.f() returns integer language plpgsql as 'begin return 1; end'", "permission denied for language plpgsql"}},
		{`REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA tickit FROM PUBLIC`, proof{}},
		{`REVOKE ASSUMEROLE ON ALL FROM PUBLIC FOR ALL`, proof{}},
		{`REVOKE ROLE readers FROM "ann"`, proof{"ann", sales, denied}},
		{`DROP TABLE tickit.anns`, proof{}},
		{`DROP TABLE tickit.more`, proof{}},
		{`REVOKE CREATE ON SCHEMA tickit FROM ann`, proof{}},
		{`DROP USER "ann"`, proof{"ann", sales, `FATAL: password authentication failed for user "ann"`}},
	} {
		if says := tell(t, admin, step.sql); says != "" {
			t.Fatalf("%s: %s", step.sql, says)
		}
		if p := step.proof; p.user != "" {
			if says := asked(t, server, p.user, p.sql); says != p.says {
				t.Errorf("after %s: %s as %s: %q, want %q", step.sql, p.sql, p.user, says, p.says)
			}
		}
	}
}

func TestWhatAnAdministratorIsRefused(t *testing.T) {
	t.Parallel()
	server := shared
	admin := connect(t, server, "admin")
	for _, sql := range []string{
		`CREATE ROLE given`, `GRANT ROLE given TO bob`, `CREATE ROLE outer1`, `CREATE ROLE inner1`, `GRANT ROLE inner1 TO ROLE outer1`,
		`CREATE ROLE "reads"`, `GRANT USAGE ON SCHEMA tickit TO ROLE "reads"`, `CREATE IDENTITY PROVIDER first ` + idc,
	} {
		if says := tell(t, admin, sql); says != "" {
			t.Fatalf("%s: %s", sql, says)
		}
	}
	t.Cleanup(func() {
		for _, sql := range []string{
			`DROP ROLE given FORCE`, `DROP ROLE outer1 FORCE`, `DROP ROLE inner1`, `REVOKE USAGE ON SCHEMA tickit FROM ROLE "reads"`, `DROP ROLE "reads"`, `DROP IDENTITY PROVIDER first CASCADE`,
		} {
			if says := tell(t, admin, sql); says != "" {
				t.Errorf("%s: %s", sql, says)
			}
		}
	})
	for sql, want := range map[string]string{
		`CREATE USER bob PASSWORD DISABLE`:                                                  `role "bob" already exists`,
		`CREATE ROLE given`:                                                                 `role "given" already exists`,
		`DROP ROLE given`:                                                                   "cannot drop this role since it has been granted on a user",
		`DROP ROLE outer1 RESTRICT`:                                                         "cannot drop this role since it depends on another role",
		`DROP ROLE "reads" FORCE`:                                                           `role "reads" cannot be dropped because some objects depend on it`,
		`DROP USER bob FORCE`:                                                               `syntax error at or near "FORCE"`,
		`GRANT SELECT FOR TABLES IN SCHEMA nowhere TO bob`:                                  `schema "nowhere" does not exist`,
		`GRANT SELECT FOR TABLES IN SCHEMA tickit TO bob,`:                                  `syntax error at or near "FOR"`,
		`GRANT SELECT FOR TABLES IN SCHEMA tickit TO bob WITH GRANT OPTION`:                 `syntax error at or near "FOR"`,
		`GRANT ROLE pg_execute_server_program TO admin`:                                     `role "pg_execute_server_program" does not exist`,
		`GRANT ROLE rdsdb TO admin`:                                                         `must be superuser to alter superusers`,
		`CREATE IDENTITY PROVIDER first ` + idc:                                             `identity provider "first" already exists`,
		`CREATE IDENTITY PROVIDER second ` + idc:                                            `identity provider namespace "corp" already exists`,
		`CREATE IDENTITY PROVIDER x TYPE okta NAMESPACE 'o'`:                                `identity provider type "okta" is not supported`,
		`CREATE IDENTITY PROVIDER x TYPE AWSIDC NAMESPACE 'o'`:                              "APPLICATION_ARN and IAM_ROLE are needed for an identity provider of type AWSIDC",
		`CREATE IDENTITY PROVIDER x TYPE azure NAMESPACE 'o' PARAMETERS '{}'`:               "PARAMETERS of an identity provider of type azure needs issuer, client_id, client_secret (or client_x5t and client_pk_base64) and a list audience",
		`CREATE IDENTITY PROVIDER x TYPE AWSIDC`:                                            "NAMESPACE is needed, of letters, digits, and _.-",
		strings.Replace(`CREATE IDENTITY PROVIDER x `+idc, "corp", "it's", 1):               `syntax error at or near "IDENTITY"`,
		strings.Replace(`CREATE IDENTITY PROVIDER x `+idc, "corp", "it''s", 1):              "NAMESPACE is needed, of letters, digits, and _.-",
		`CREATE IDENTITY PROVIDER x ` + strings.Replace(idc, "corp", "o", 1) + ` OTHER 'y'`: `syntax error at or near "IDENTITY"`,
		`ALTER IDENTITY PROVIDER nobody DISABLE`:                                            `identity provider "nobody" does not exist`,
		`DROP IDENTITY PROVIDER nobody CASCADE`:                                             `identity provider "nobody" does not exist`,
	} {
		if says := tell(t, admin, sql); says != want {
			t.Errorf("%s: %q, want %q", sql, says, want)
		}
	}
	for sql, want := range map[string]string{
		`DROP IDENTITY PROVIDER first`:                        "permission denied for procedure redshift_drop_identity_provider",
		`CREATE USER eve PASSWORD DISABLE`:                    "permission denied to create role",
		`select * from svv_identity_providers`:                "permission denied for view svv_identity_providers",
		`select * from pg_catalog.redshift_identity_provider`: "permission denied for table redshift_identity_provider",
	} {
		if says := asked(t, server, "alice", sql); says != want {
			t.Errorf("%s as alice: %q, want %q", sql, says, want)
		}
	}
}

func TestAnIdentityProviderBringsUsersAndTheRolesOfTheirGroups(t *testing.T) {
	t.Parallel()
	server := shared
	admin := connect(t, server, "admin")
	do := func(sql string) {
		t.Helper()
		if says := tell(t, admin, sql); says != "" {
			t.Fatalf("%s: %s", sql, says)
		}
	}
	roles := func(user string) string {
		t.Helper()
		rows, err := query(admin, "select coalesce(string_agg(role_name, ' ' order by role_name), '') from svv_user_grants where user_name = $1", user)
		if err != nil {
			t.Fatal(err)
		}
		return rows[0][0]
	}
	admit := func(person string, groups []string) error { return server.Admit(t.Context(), "corp2", person, groups) }
	if err := admit("ann", []string{}); !errors.Is(err, postgres.ErrNoProvider) {
		t.Errorf("without a provider: %v", err)
	}
	do(`CREATE IDENTITY PROVIDER "Idc" ` + strings.Replace(idc, "corp", "corp2", 1))
	do(`CREATE ROLE "corp2:analysts"`)
	do(`GRANT USAGE ON SCHEMA finance TO ROLE "corp2:analysts"`)
	do(`GRANT SELECT FOR TABLES IN SCHEMA finance TO ROLE "corp2:analysts"`)
	if err := admit("ann", []string{"analysts", "finance"}); err != nil {
		t.Fatal(err)
	}
	if says := asked(t, server, "corp2:ann", "select 1 from finance.budget"); says != "" || roles("corp2:ann") != "corp2:analysts" {
		t.Errorf("ann has %q: %s", roles("corp2:ann"), says)
	}
	do(`ALTER IDENTITY PROVIDER "Idc" AUTO_CREATE_ROLES TRUE INCLUDE GROUPS LIKE 'fin%'`)
	do(`CREATE ROLE own`)
	do(`GRANT ROLE own TO "corp2:ann"`)
	if err := admit("ann", []string{"finance", "others"}); err != nil || roles("corp2:ann") != "corp2:finance own" {
		t.Errorf("after another group ann has %q, %v", roles("corp2:ann"), err)
	}
	if err := admit("ann", nil); err != nil || roles("corp2:ann") != "corp2:finance own" {
		t.Errorf("with groups that are not known ann has %q, %v", roles("corp2:ann"), err)
	}
	do(`ALTER IDENTITY PROVIDER "Idc" DISABLE`)
	named := func() (found []postgres.IdentityProvider) {
		t.Helper()
		all, err := server.IdentityProviders(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(all, func(p postgres.IdentityProvider) bool { return p.Namespace != "corp2" })
	}
	if disabled := named(); len(disabled) != 0 {
		t.Errorf("a disabled provider: %+v", disabled)
	}
	do(`ALTER IDENTITY PROVIDER "Idc" ENABLE IAM_ROLE 'arn:aws:iam::123456789012:role/other'`)
	if all := named(); len(all) != 1 || all[0].Name != "Idc" || all[0].IAMRole != "arn:aws:iam::123456789012:role/other" {
		t.Errorf("providers %+v", all)
	}
	do(`DROP ROLE own FORCE`)
	do(`DROP IDENTITY PROVIDER "Idc" CASCADE`)
	if rows, err := query(admin, "select rolname from pg_roles where rolname like 'corp2:%'"); err != nil || len(rows) != 0 {
		t.Errorf("%v are left, %v", rows, err)
	}
}

func TestAPasswordIsKeptUntilItIsDisabled(t *testing.T) {
	t.Parallel()
	server := shared
	admin := connect(t, server, "admin")
	for _, step := range []struct{ sql, says, kept string }{
		{`CREATE USER svc PASSWORD 'weak'`, `a password has 8 to 64 characters, an uppercase letter, a lowercase letter and a number, and none of quotes, \, /, @ and space`, ""},
		{`CREATE USER svc PASSWORD 'Passw0rd'`, "", "Passw0rd"},
		{`CREATE USER svc PASSWORD 'Passw0rd2'`, `role "svc" already exists`, "Passw0rd"},
		{`ALTER USER svc PASSWORD 'Passw0rd3' CONNECTION LIMIT 5`, "", "Passw0rd3"},
		{`ALTER USER svc SYSLOG ACCESS RESTRICTED`, "", "Passw0rd3"},
		{`ALTER USER svc PASSWORD DISABLE`, "", ""},
	} {
		if says := tell(t, admin, step.sql); says != step.says {
			t.Errorf("%s: %q, want %q", step.sql, says, step.says)
		}
		if kept, err := server.Password(t.Context(), "svc"); err != nil || kept != step.kept {
			t.Errorf("after %s the password is %q, %v; want %q", step.sql, kept, err, step.kept)
		}
	}
	if says := tell(t, admin, `DROP USER svc`); says != "" {
		t.Error(says)
	}
	if says := asked(t, server, "alice", `ALTER USER alice PASSWORD 'Passw0rd'`); says != "permission denied" {
		t.Errorf("alice changes a password: %q", says)
	}
}

// A script's statements may come together, and each is translated.
func TestEachOfSeveralStatementsIsTranslated(t *testing.T) {
	t.Parallel()
	conn := connect(t, shared, "alice")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	sql, err := postgres.Translate("/* a; b */ SET query_group TO 'x;y'; select nvl(null, ';');; show schemas from database dev like 'tick%';")
	if err != nil {
		t.Fatal(err)
	}
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil || len(results) != 3 || string(results[1].Rows[0][0]) != ";" || string(results[2].Rows[0][1]) != "tickit" {
		t.Errorf("%s: %v, %v", sql, results, err)
	}
	if _, err := postgres.Translate("select 1; copy a from 's3://b'"); !errors.Is(err, postgres.ErrUnsupported) {
		t.Errorf("COPY behind another statement: %v", err)
	}
}
