package setup_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/shiftgrant/shiftgrant/internal/setup"
	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/postgres"
	"github.com/shiftgrant/shiftgrant/twin/twintest"
)

// What is printed for the warehouse runs there as an administrator, has its effect, and is undone by what
// undoes it: after each chain the next one begins from nothing.
func TestStatementsRunHaveTheirEffectAndAreUndone(t *testing.T) {
	t.Parallel()
	played := twintest.Start(t, twin.Config{})
	admin, err := played.Postgres.Connect(t.Context(), "admin", twin.Database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close(t.Context()) })
	for _, name := range []string{"idc", "entra"} { // those that the twin starts with
		run(t, admin, "DROP IDENTITY PROVIDER "+name+" CASCADE")
	}
	run(t, admin, "GRANT CREATE ON SCHEMA public TO PUBLIC") // as in Redshift
	before := state(t, admin)
	for _, name := range slices.Sorted(maps.Keys(chains)) {
		c := chains[name]
		o := c.options
		o.Config, o.Warehouse = read(t, head+c.warehouse), "sales"
		o.Schemas = []string{"tickit"}
		comeIn(name, &o, []string{"ann"}, []string{"analysts"})
		o.RedshiftApplication, o.RedshiftRole = twin.RedshiftApplicationARN, "arn:aws:iam::123456789012:role/shiftgrant-redshift"
		plan, err := setup.New(o)
		if err != nil {
			t.Fatal(err)
		}
		for _, section := range plan.SQL.Make {
			if !section.Optional {
				run(t, admin, section.Statements...)
			}
		}
		for what, want := range map[string]string{
			"select has_table_privilege('shiftgrant_reader', 'tickit.event', 'select')": "t",
			"select has_table_privilege('shiftgrant_reader', 'tickit.event', 'insert')": "f",
			"select has_schema_privilege('shiftgrant_reader', 'public', 'create')":      "f",
			"select has_database_privilege('shiftgrant_reader', 'dev', 'temp')":         "f",
		} {
			if got := ask(t, admin, what); got != want {
				t.Errorf("%s: %s is %s, want %s", name, what, got, want)
			}
		}
		reader := readerOf(plan)
		if got := ask(t, admin, "select pg_has_role('"+reader+"', 'shiftgrant_reader', 'usage')"); got != "t" {
			t.Errorf("%s: %s is no reader", name, reader)
		}
		for _, section := range plan.SQL.Undo {
			run(t, admin, section.Statements...)
		}
		if after := state(t, admin); after != before {
			t.Fatalf("%s leaves\n%s\nwhere there was\n%s", name, after, before)
		}
	}
}

// readerOf is who becomes a reader by a plan.
func readerOf(plan *setup.Plan) string {
	for _, section := range plan.SQL.Make {
		for _, statement := range section.Statements {
			if rest, grants := strings.CutPrefix(statement, "GRANT ROLE shiftgrant_reader TO "); grants {
				return strings.Trim(strings.TrimPrefix(rest, "ROLE "), `"`)
			}
		}
	}
	return ""
}

// state is who there is, and what everybody may do.
func state(t *testing.T, connection *pgconn.PgConn) string {
	t.Helper()
	return ask(t, connection, `select string_agg(rolname, ' ' order by rolname) from pg_roles`) + "\n" +
		ask(t, connection, `select has_schema_privilege('public', 'public', 'create')::text || has_database_privilege('public', 'dev', 'temp')::text`) + "\n" +
		ask(t, connection, `select string_agg(name, ' ' order by name) from svv_identity_providers`)
}

// toFillIn is what whoever runs the statements fills in. Left as it is, it is refused: it is no password.
var toFillIn = regexp.MustCompile(`'<[^>]*>'`)

func run(t *testing.T, connection *pgconn.PgConn, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		translated, err := postgres.Translate(toFillIn.ReplaceAllString(statement, "'Filled1nByHand'"))
		if err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
		if _, err := connection.Exec(t.Context(), translated).ReadAll(); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func ask(t *testing.T, connection *pgconn.PgConn, query string) string {
	t.Helper()
	results, err := connection.Exec(t.Context(), query).ReadAll()
	if err != nil || len(results) != 1 || len(results[0].Rows) != 1 {
		t.Fatalf("%s: %v, %v", query, results, err)
	}
	return string(results[0].Rows[0][0])
}
