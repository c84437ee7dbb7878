package dataapi

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/shiftgrant/shiftgrant/redshift"
)

// parseSQLError reads the Error of a failed statement. The Data API gives Redshift's words as
// its JDBC driver prints them, without the SQLSTATE:
//
//	ERROR: relation "nowhere" does not exist
//	  Position: 15
func parseSQLError(text string) *redshift.Error {
	e := &redshift.Error{}
	into := &e.Message
	for line := range strings.Lines(strings.TrimPrefix(text, "ERROR: ")) {
		line = strings.TrimRight(line, "\r\n")
		key, value, keyed := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		switch strings.ToLower(key) {
		case "position":
			if position, err := strconv.Atoi(value); keyed && err == nil && position > 0 {
				e.Position = position
				continue
			}
		case "detail":
			if keyed && e.Detail == "" {
				e.Detail, into = value, &e.Detail
				continue
			}
		case "hint":
			if keyed && e.Hint == "" {
				e.Hint, into = value, &e.Hint
				continue
			}
		}
		if *into != "" {
			*into += "\n"
		}
		*into += line
	}
	e.Message, e.Detail, e.Hint = strings.TrimSpace(e.Message), strings.TrimSpace(e.Detail), strings.TrimSpace(e.Hint)
	if e.Message == "" {
		e.Message = "the statement failed, and Redshift did not say why"
	}
	e.SQLState = inferSQLState(e.Message)
	return e
}

// A known text of Redshift's, and the SQLSTATE that PostgreSQL's source gives to the same
// text. Only texts that mean one thing are here; any other error has no SQLSTATE.
type knownText struct {
	pattern  *regexp.Regexp
	sqlState string
}

func inferSQLState(message string) string {
	first, _, _ := strings.Cut(message, "\n")
	for _, known := range knownTexts {
		if known.pattern.MatchString(first) {
			return known.sqlState
		}
	}
	return ""
}

var knownTexts = []knownText{
	{regexp.MustCompile(`^permission denied\b`), "42501"},
	{regexp.MustCompile(`^must be (?:owner of|superuser)\b`), "42501"},
	{regexp.MustCompile(`^(?:relation|table|view) ".*" does not exist`), "42P01"},
	{regexp.MustCompile(`^schema ".*" does not exist`), "3F000"},
	{regexp.MustCompile(`^database ".*" does not exist`), "3D000"},
	{regexp.MustCompile(`^column .* does not exist`), "42703"},
	{regexp.MustCompile(`^column reference ".*" is ambiguous`), "42702"},
	{regexp.MustCompile(`^column ".*" must appear in the GROUP BY clause`), "42803"},
	{regexp.MustCompile(`^missing FROM-clause entry for table`), "42P01"},
	{regexp.MustCompile(`^function .* does not exist`), "42883"},
	{regexp.MustCompile(`^operator does not exist`), "42883"},
	{regexp.MustCompile(`^type ".*" does not exist`), "42704"},
	{regexp.MustCompile(`^(?:syntax error at or near|syntax error at end of input|unterminated quoted (?:string|identifier)|unterminated /\* comment)`), "42601"},
	{regexp.MustCompile(`^cannot insert multiple commands into a prepared statement`), "42601"},
	{regexp.MustCompile(`^relation ".*" already exists`), "42P07"},
	{regexp.MustCompile(`^(?:division by zero|Divide by zero)`), "22012"},
	{regexp.MustCompile(`^(?:smallint|integer|bigint) out of range`), "22003"},
	{regexp.MustCompile(`^invalid input syntax for (?:type )?(?:smallint|integer|bigint|numeric|real|double precision|boolean|uuid)\b`), "22P02"},
	{regexp.MustCompile(`^invalid input syntax for (?:type )?(?:date|timestamp|time|interval)\b`), "22007"},
	{regexp.MustCompile(`^value too long for type`), "22001"},
	{regexp.MustCompile(`^duplicate key value violates unique constraint`), "23505"},
	{regexp.MustCompile(`^null value in column ".*" .*violates not-null constraint`), "23502"},
	{regexp.MustCompile(`^cannot execute .* in a read-only transaction`), "25006"},
	{regexp.MustCompile(`^transaction is read-only`), "25006"},
	{regexp.MustCompile(`^current transaction is aborted`), "25P02"},
	{regexp.MustCompile(`(?i)^canceling statement due to|cancelled on user's request`), "57014"},
}
