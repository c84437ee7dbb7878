package doctor

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/shiftgrant/shiftgrant/redshift"
)

// The statements that doctor runs as a person are these and `select 1`. They read the catalog only.
// Objects are named by their oid: to name one by its schema is refused without USAGE on that.
const (
	userSQL = `select current_user`

	readableSQL = `select n.nspname, count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'v', 'm', 'p', 'f') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_internal', 'pg_automv') and n.nspname not like 'pg!_%' escape '!'
and has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
group by n.nspname order by count(*) desc, n.nspname`

	rightsSQL = `select 'superuser', '' from pg_user where usename = current_user and usesuper
union all select 'create schemas in', current_database()::text where has_database_privilege(current_database(), 'create')
union all select 'create temporary tables in', current_database()::text where has_database_privilege(current_database(), 'temp')
union all select 'create objects in schema', n.nspname::text from pg_namespace n where n.nspname not like 'pg!_%' escape '!' and n.nspname <> 'information_schema' and has_schema_privilege(n.oid, 'create')
union all select 'write in schema', w.nspname from (select distinct n.nspname::text as nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and n.nspname not like 'pg!_%' escape '!' and n.nspname <> 'information_schema' and has_schema_privilege(n.oid, 'usage')
and (has_table_privilege(c.oid, 'insert') or has_table_privilege(c.oid, 'update') or has_table_privilege(c.oid, 'delete'))) w`

	versionSQL = `select version()`
)

// ask runs a statement and gives all of its short result.
func ask(ctx context.Context, session redshift.Session, sql string, readOnly bool) (result [][]string, err error) {
	rows, err := session.Query(ctx, redshift.Statement{SQL: sql, Label: "shiftgrant doctor", ReadOnly: readOnly})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var row []string
		for _, value := range rows.Values() {
			row = append(row, string(value))
		}
		result = append(result, row)
	}
	return result, rows.Err()
}

// said is the one value of a result.
func said(rows [][]string, err error) (string, error) {
	if err != nil {
		return "", err
	}
	if len(rows) != 1 || len(rows[0]) != 1 {
		return "", errors.New("the answer is not one value")
	}
	return rows[0][0], nil
}

func failed(err error) finding { return broken("failed", nil, "fault", oneLine(innermost(err))) }

func checkCurrentUser(ctx context.Context, v *visit) finding {
	if len(v.sessions) == 0 {
		return skipped(sayWho)
	}
	user, err := said(ask(ctx, v.sessions[0], userSQL, false))
	if err != nil {
		return failed(err)
	}
	v.user = user
	switch {
	case v.warehouse.Identity.Shared():
		return weak("everybody", nil, "said", oneLine(user))
	case user == v.config.As || v.person.email != "" && strings.HasSuffix(user, ":"+v.person.email):
		return whole("%s", oneLine(user))
	case v.warehouse.Workgroup != "" && v.warehouse.Identity.HasPassword():
		return weak("shared", nil, "said", oneLine(user))
	}
	return broken("other", nil, "said", oneLine(user))
}

func checkGrants(ctx context.Context, v *visit) finding {
	rows, err := ask(ctx, v.sessions[0], readableSQL, false)
	if err != nil {
		return failed(err)
	}
	tables, schemas := 0, []string{}
	for _, row := range rows {
		if n, err := strconv.Atoi(row[1]); err == nil && len(row) == 2 {
			tables += n
			schemas = append(schemas, fmt.Sprintf("%s (%d)", oneLine(row[0]), n))
		}
	}
	if tables == 0 {
		return broken("nothing", nil, "said", oneLine(v.user))
	}
	const most = 6
	shown := schemas
	if len(shown) > most {
		shown = append(shown[:most:most], fmt.Sprintf("and %d more", len(schemas)-most))
	}
	return whole("%s with SELECT, in %s: %s", count(tables, "table"), count(len(schemas), "schema"), strings.Join(shown, ", "))
}

// A right is one row of rightsSQL.
type right struct{ what, on string }

func (r right) String() string { return strings.TrimSpace(r.what + " " + r.on) }

// harmless rights change no data: Redshift gives them to everybody.
func (r right) harmless() bool {
	return r.what == "create temporary tables in" || r.what == "create objects in schema" && r.on == "public"
}

// revoke is what takes the right away. Whoever made the schema has chosen its name.
func (r right) revoke(user string) string {
	on, from := identifier(r.on), identifier(user)
	switch {
	case r.what == "create temporary tables in":
		return "REVOKE TEMP ON DATABASE " + on + " FROM PUBLIC;"
	case r.what == "create schemas in":
		return "REVOKE CREATE ON DATABASE " + on + " FROM " + from + ";"
	case r.what == "create objects in schema" && r.on == "public":
		return `REVOKE CREATE ON SCHEMA public FROM PUBLIC;`
	case r.what == "create objects in schema":
		return "REVOKE CREATE ON SCHEMA " + on + " FROM " + from + ";"
	}
	return "REVOKE INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA " + on + " FROM " + from + ";"
}

// identifier quotes a name for SQL.
func identifier(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// checkReadOnly looks at the four walls: the user's own rights, one statement a call, the read-only
// transaction, and the classification of statements. The second and the last are the gateway's and
// always there; the last can be fooled, which is why the first is the one that counts.
func checkReadOnly(ctx context.Context, v *visit) finding {
	rows, err := ask(ctx, v.sessions[0], rightsSQL, false)
	if err != nil {
		return failed(err)
	}
	var rights []right
	for _, row := range rows {
		if len(row) == 2 {
			rights = append(rights, right{oneLine(row[0]), oneLine(row[1])})
		}
	}
	walls := v.otherWalls(ctx)
	cause := "leftovers"
	for _, r := range rights {
		switch {
		case r.what == "superuser":
			return weak("superuser", nil, "said", oneLine(v.user), "walls", walls)
		case !r.harmless():
			cause = "may_write"
		}
	}
	if len(rights) == 0 {
		return whole("the database itself: %s may change nothing (beside it: %s)", oneLine(v.user), walls)
	}
	listed, revokes := v.describe(rights)
	return weak(cause, nil, "said", oneLine(v.user), "rights", listed, "walls", walls, "revokes", revokes)
}

func (v *visit) describe(rights []right) (listed, revokes string) {
	var what, how []string
	for _, r := range rights {
		what, how = append(what, r.String()), append(how, r.revoke(oneLine(v.user)))
	}
	return strings.Join(what, ", "), strings.Join(how, " ")
}

// otherWalls are those beside the database's rights, as far as they stand.
func (v *visit) otherWalls(ctx context.Context) string {
	walls := []string{"one statement a call", "statements other than SELECT, SHOW and EXPLAIN are refused"}
	if _, onWire := v.sessions[0].(interface{ Healthy() bool }); !onWire {
		return strings.Join(append(walls, "no read-only transaction by the Data API"), "; ")
	}
	if _, err := ask(ctx, v.sessions[0], "select 1", true); err != nil {
		return strings.Join(append(walls, "read-only transactions fail: "+oneLine(innermost(err))), "; ")
	}
	return strings.Join(append(walls, "each statement in a read-only transaction"), "; ")
}

var redshiftVersion = regexp.MustCompile(`Redshift (1\.0\.(\d+))`)

// patch197 is the first build of patch 197 (cluster versions in the management guide). Numbers of
// later patches are not known well enough to tell them apart.
const patch197 = 166219

func checkVersion(ctx context.Context, v *visit) finding {
	text, err := said(ask(ctx, v.sessions[0], versionSQL, false))
	if err != nil {
		return failed(err)
	}
	match := redshiftVersion.FindStringSubmatch(text)
	if match == nil {
		product, _, _ := strings.Cut(oneLine(text), " on ")
		return whole("%s, which is not Redshift: a stand-in", product)
	}
	if build, err := strconv.Atoi(match[2]); err == nil && build < patch197 {
		return weak("old", nil, "said", match[1])
	}
	return whole("Redshift %s", match[1])
}
