package acceptance

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// A way is one in which a statement reaches the warehouse.
type way struct {
	name, warehouse string
	statements      bool // POST /v1/statements, in the background where the transport can
}

var ways = []way{{"wire", "tickit", false}, {"Data API", "slow", false}, {"Data API, in the background", "slow", true}}

// run sends one statement, and waits for its end.
func (a *attempt) run(w way, token, sql string) reply {
	a.Helper()
	path, member := "/v1/query", "query"
	if w.statements {
		path, member = "/v1/statements", "sql"
	}
	body, err := json.Marshal(map[string]string{member: sql, "warehouse": w.warehouse})
	a.must(err)
	return a.do(a, http.MethodPost, a.url+path, merge(bearer(token), http.Header{"Content-Type": {"application/json"}}), string(body))
}

// victims are what the vectors write to, owned by alice so that her database rights stop nothing
// which the gateway should stop, and what she has no right to.
const victims = `
CREATE SCHEMA alice AUTHORIZATION alice;
CREATE TABLE alice.t (a int, secret text);
INSERT INTO alice.t VALUES (1, 'x');
ALTER TABLE alice.t OWNER TO alice;
CREATE PROCEDURE alice.p() LANGUAGE sql AS 'INSERT INTO alice.t VALUES (99, NULL)';
ALTER PROCEDURE alice.p() OWNER TO alice;
CREATE SCHEMA other_users_schema;
CREATE TABLE other_users_schema.t (a int);
CREATE FUNCTION public.ext_fn(text) RETURNS text LANGUAGE sql AS 'SELECT $1';
REVOKE EXECUTE ON FUNCTION public.ext_fn(text) FROM PUBLIC;`

// makeVictims may be called by several rows.
func (a *attempt) makeVictims() {
	a.Helper()
	var there bool
	a.must(a.world.superuser(a).QueryRow(a.Context(), "SELECT to_regclass('alice.t') IS NOT NULL").Scan(&there))
	if !there {
		_, err := a.world.superuser(a).PgConn().Exec(a.Context(), victims).ReadAll()
		a.must(err)
	}
}

// readers are tokens that may read, for each warehouse.
func (a *attempt) readers(scope string) map[string]string {
	tokens := map[string]string{}
	for _, warehouse := range []string{"tickit", "slow"} {
		tokens[warehouse] = a.connect(a, "alice", a.phone, scope+" warehouse:"+warehouse).Access
	}
	return tokens
}

// T09. With a reading token no statement of the vectors changes anything in the database or leaves
// anything behind, and those that must be refused are.
func readOnlyVectors(a *attempt) {
	a.makeVictims()
	tokens := a.readers("sql:read")
	before := a.dump("dev")
	for _, fields := range readVectors(a, "../../internal/warehouse/testdata/sql_readonly.tsv") {
		sql, expect := fields[0], fields[1]
		for _, w := range ways {
			got := a.run(w, tokens[w.warehouse], sql)
			refused := got.status == http.StatusBadRequest || got.status == http.StatusForbidden || got.status == http.StatusUnprocessableEntity
			ran := got.status == http.StatusOK
			switch expect {
			case "ok":
				a.check(ran, "%s by %s: %s", sql, w.name, got)
			case "error":
				a.check(refused, "%s by %s: %s", sql, w.name, got)
			default: // what a session does to itself alone
				a.check(refused || ran, "%s by %s: %s", sql, w.name, got)
			}
			a.noResidue(w, tokens[w.warehouse], sql)
		}
	}
	a.check(a.dump("dev") == before, "the vectors have changed the database")
	// That the dump would show a write is shown by one.
	writing := a.readers("sql:read sql:write")
	for _, w := range ways {
		got := a.run(w, writing[w.warehouse], "insert into t values (3)")
		after := a.dump("dev")
		a.check(got.status == http.StatusOK && after != before, "a write with a writing token by %s: %s", w.name, got)
		before = after
	}
}

// noResidue looks for locks, open transactions and settings that outlive a statement.
func (a *attempt) noResidue(w way, token, sql string) {
	a.Helper()
	var locks, open int
	settled := a.within(2*time.Second, func() bool {
		a.must(a.world.superuser(a).QueryRow(context.Background(), `SELECT (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'),
			(SELECT count(*) FROM pg_stat_activity WHERE usename = 'alice' AND state LIKE 'idle in transaction%')`).Scan(&locks, &open))
		return locks == 0 && open == 0
	})
	a.check(settled, "after %s by %s there are %d advisory locks and %d open transactions", sql, w.name, locks, open)
	next := a.run(w, token, "select count(*) from pg_prepared_statements where name <> '' union all select 0 where current_user <> 'alice'")
	var document struct{ Rows [][]any }
	_ = json.Unmarshal([]byte(next.body), &document) // what is no result has no rows
	a.check(next.status == http.StatusOK && len(document.Rows) == 1 && fmt.Sprint(document.Rows[0][0]) == "0", "the next statement after %s by %s: %s", sql, w.name, next)
}

// dump is a fingerprint of a database: all objects, rights and rows.
func (a *attempt) dump(database string) [sha256.Size]byte {
	a.Helper()
	return sha256.Sum256(restrictions.ReplaceAll(a.pgDump(database), nil))
}

// restrictions are lines of newer versions of pg_dump, with a key that is new each time.
var restrictions = regexp.MustCompile(`(?m)^\\(un)?restrict .*$`)

func (a *attempt) pgDump(database string) []byte {
	a.Helper()
	program, err := exec.LookPath("pg_dump")
	if err != nil {
		found, globErr := filepath.Glob("/usr/lib/postgresql/*/bin/pg_dump")
		if globErr != nil || len(found) == 0 {
			a.Fatal("pg_dump is not installed: apt-get install postgresql")
		}
		program = found[len(found)-1]
	}
	folder, port := a.world.twin.Postgres.Socket()
	output, err := exec.CommandContext(a.Context(), program, "--host", folder, "--port", fmt.Sprint(port), "--username", "rdsdb", database).Output()
	a.must(err)
	return output
}

// T10. What a caller writes goes to the warehouse as one statement by the extended protocol: a
// text of several is refused whole, and nothing in the code sends one by the simple protocol.
func userSQLPath(a *attempt) {
	if a.world != nil {
		a.makeVictims()
	}
	for what, tokens := range map[string]map[string]string{"reading": a.readers("sql:read"), "writing": a.readers("sql:read sql:write")} {
		for _, sql := range []string{
			"BEGIN READ ONLY; COMMIT; CREATE TABLE pwn1(a int); ROLLBACK", "COMMIT; CREATE TABLE pwn1(a int)", "select 1; CREATE TABLE pwn1(a int)", "select 1;; CREATE TABLE pwn1(a int)",
			"ROLLBACK; CREATE TABLE pwn1(a int); BEGIN", "select 'a\\'; CREATE TABLE pwn1(a int); --'", "select $$a$$; CREATE TABLE pwn1(a int)", "/* ; */ select 1 /* */; CREATE TABLE pwn1(a int)",
			"select 1 --\n; CREATE TABLE pwn1(a int)", "select E'\\''; CREATE TABLE pwn1(a int)", "select 1\x00; CREATE TABLE pwn1(a int)", "select U&'\\0027'; CREATE TABLE pwn1(a int)",
		} {
			for _, w := range ways {
				got := a.run(w, tokens[w.warehouse], sql)
				a.check(got.status/100 == 4 && got.status != http.StatusUnauthorized, "%s with a %s token by %s: %s", sql, what, w.name, got)
			}
		}
	}
	if a.world != nil {
		var made int
		a.must(a.world.superuser(a).QueryRow(a.Context(), "SELECT count(*) FROM pg_class WHERE relname LIKE 'pwn%'").Scan(&made))
		a.check(made == 0, "%d tables were made", made)
	}
	a.staticCheck("../../redshift")
	a.staticCheck("../../internal/warehouse")
	a.staticCheck("../../internal/door")
}

// staticCheck reads what is between a caller and the warehouse: no driver that splits texts, and
// no message of the simple protocol.
func (a *attempt) staticCheck(root string) {
	a.Helper()
	files := 0
	a.must(filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		files++
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		a.must(err)
		for _, imported := range parsed.Imports {
			for _, driver := range []string{"database/sql", "pgx/v5/pgconn", "pgx/v5/stdlib", "lib/pq"} {
				if strings.Contains(imported.Path.Value, driver) {
					a.Errorf("%s imports %s", path, imported.Path.Value)
				}
			}
		}
		ast.Inspect(parsed, func(node ast.Node) bool {
			if selector, ok := node.(*ast.SelectorExpr); ok && (selector.Sel.Name == "SendQuery" || isNamed(selector.X, "pgproto3") && selector.Sel.Name == "Query") {
				a.Errorf("%s uses the simple protocol", path)
			}
			return true
		})
		return nil
	}))
	a.check(files > 0 && !a.Failed(), "%s: %d files read", root, files)
}

func isNamed(expression ast.Expr, name string) bool {
	identifier, ok := expression.(*ast.Ident)
	return ok && identifier.Name == name
}
