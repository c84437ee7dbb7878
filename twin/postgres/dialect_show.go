package postgres

import "strings"

// A showCommand is one of Redshift's SHOW commands, answered from the SVV views of schema.sql.
type showCommand struct {
	from, object string // the two words behind the command's name
	columns      string
	view         string
	path         []string // the columns that the given name stands for
	name         string   // the column that LIKE filters
	order        string
}

var showCommands = map[string]showCommand{
	"DATABASES": {
		columns: "database_name, database_owner, database_type, database_acl, database_options AS parameters, database_isolation_level",
		view:    "svv_redshift_databases", name: "database_name", order: "database_name",
	},
	"SCHEMAS": {
		from: "FROM", object: "DATABASE",
		columns: "database_name, schema_name, schema_owner, schema_type, schema_acl, source_database, schema_option",
		view:    "svv_all_schemas", path: []string{"database_name"}, name: "schema_name", order: "schema_name",
	},
	"TABLES": {
		from: "FROM", object: "SCHEMA",
		columns: "database_name, schema_name, table_name, table_type, table_acl, remarks, owner, last_altered_time, last_modified_time, dist_style, table_subtype",
		view:    "svv_all_tables", path: []string{"database_name", "schema_name"}, name: "table_name", order: "table_name",
	},
	"COLUMNS": {
		from: "FROM", object: "TABLE",
		columns: "database_name, schema_name, table_name, column_name, ordinal_position, column_default, is_nullable, data_type, character_maximum_length, numeric_precision, numeric_scale, remarks, sort_key_type, sort_key, dist_key, encoding, collation_name AS collation",
		view:    "svv_all_columns", path: []string{"database_name", "schema_name", "table_name"}, name: "column_name", order: "ordinal_position",
	},
}

// showQuery turns the tokens behind SHOW into a query. It is false for SHOW's other forms, such
// as SHOW search_path, and for mistakes.
func showQuery(tokens []token) (string, bool) {
	if len(tokens) == 0 || tokens[0].kind != word {
		return "", false
	}
	l, ok := showCommands[strings.ToUpper(tokens[0].text)]
	if !ok {
		return "", false
	}
	tokens = tokens[1:]
	var conditions []string
	if l.from != "" {
		if len(tokens) < 2 || !tokens[0].is(l.from) || !tokens[1].is(l.object) {
			return "", false
		}
		if conditions, tokens, ok = l.named(tokens[2:]); !ok {
			return "", false
		}
	}
	limit := ""
	if len(tokens) >= 2 && tokens[0].is("LIKE") && tokens[1].kind == literal {
		conditions = append(conditions, l.name+" LIKE "+tokens[1].text)
		tokens = tokens[2:]
	}
	if len(tokens) >= 2 && tokens[0].is("LIMIT") && tokens[1].kind == number {
		limit = " LIMIT " + tokens[1].text
		tokens = tokens[2:]
	}
	if len(tokens) > 1 || len(tokens) == 1 && !tokens[0].punctuated(";") {
		return "", false
	}
	where := ""
	if len(conditions) > 0 {
		where = " WHERE " + strings.Join(conditions, " AND ")
	}
	return "SELECT " + l.columns + " FROM pg_catalog." + l.view + where + " ORDER BY " + l.order + limit, true
}

// named reads database.schema.table, of which leading parts may be left out.
func (l showCommand) named(tokens []token) (conditions []string, rest []token, ok bool) {
	var parts []string
	for len(tokens) > 0 {
		part, isName := identifier(tokens[0])
		if !isName {
			return nil, nil, false
		}
		parts = append(parts, part)
		tokens = tokens[1:]
		if len(tokens) == 0 || !tokens[0].punctuated(".") {
			break
		}
		tokens = tokens[1:]
	}
	if len(parts) == 0 || len(parts) > len(l.path) {
		return nil, nil, false
	}
	for i, part := range parts {
		column := l.path[len(l.path)-len(parts)+i]
		conditions = append(conditions, column+" = "+quoteLiteral(part))
	}
	return conditions, tokens, true
}

// identifier is the name that a token stands for: folded to lower case unless quoted.
func identifier(t token) (string, bool) {
	switch {
	case t.kind == word:
		return strings.ToLower(t.text), true
	case t.kind == quotedName && len(t.text) > 2 && strings.HasSuffix(t.text, `"`):
		return strings.ReplaceAll(t.text[1:len(t.text)-1], `""`, `"`), true
	default:
		return "", false
	}
}

// quoteLiteral makes a string constant that no setting can read otherwise.
func quoteLiteral(s string) string {
	s = strings.ReplaceAll(s, `'`, `''`)
	if strings.Contains(s, `\`) {
		return `E'` + strings.ReplaceAll(s, `\`, `\\`) + `'`
	}
	return `'` + s + `'`
}
