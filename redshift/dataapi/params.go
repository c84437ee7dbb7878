package dataapi

import (
	"strings"

	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/placeholder"
)

// bind prepares a statement's SQL and parameters for the Data API, which takes values beside
// the SQL but neither NULL nor the empty string. For exactly those two the placeholder is
// replaced by the literal; they are constants, so no value of a caller ever becomes SQL.
func bind(statement redshift.Statement) (sql string, sent []parameter, err error) {
	found, values, err := placeholder.Match(statement)
	if err != nil {
		return "", nil, err
	}
	for _, p := range statement.Parameters {
		if p.Value != nil && *p.Value != "" {
			sent = append(sent, parameter{p.Name, *p.Value})
		}
	}
	return replaceLiterals(statement.SQL, found, values), sent, nil
}

// replaceLiterals writes NULL and ” in place of their placeholders. Spaces keep a literal
// from growing together with its neighbours: 'it':p must not become 'it”', another string.
func replaceLiterals(sql string, found []placeholder.Place, values map[string]*string) string {
	var out strings.Builder
	copied := 0
	for _, p := range found {
		value := values[p.Name(sql)]
		if value != nil && *value != "" {
			continue
		}
		out.WriteString(sql[copied:p.Start])
		if value == nil {
			out.WriteString(" NULL ")
		} else {
			out.WriteString(" '' ")
		}
		copied = p.End
	}
	if copied == 0 {
		return sql
	}
	out.WriteString(sql[copied:])
	return out.String()
}
