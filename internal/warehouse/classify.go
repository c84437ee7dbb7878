package warehouse

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// A RefusedError says that a text is not one statement that can be sent. It is for the person
// who wrote it.
type RefusedError struct {
	What string // what is wrong and what to do
	At   int    // 1-based character; 0 where it has none
}

func (e *RefusedError) Error() string { return "statement refused: " + e.What }

// class is what a statement is taken for.
type class struct {
	reads bool
	why   string // why it is not taken for reading
}

var reading = class{reads: true}

func notReading(why string) class { return class{why: why} }

// classify decides whether a text is one statement, which must be so for everybody, and whether
// it only reads. The list of what reads is short and closed: what is not recognised does not
// read.
//
// Where a backslash stands in a string the server's settings decide where the string ends, so
// the text is read both ways. A way in which something has no end is one in which the server
// would refuse the whole text; of the others, all must agree.
func classify(sql string, longest int) (class, error) {
	switch {
	case len(sql) > longest:
		return class{}, &RefusedError{What: fmt.Sprintf("it has %d bytes; at most %d can be sent", len(sql), longest)}
	case !utf8.ValidString(sql):
		return class{}, &RefusedError{What: "it is not valid UTF-8"}
	case strings.ContainsRune(sql, 0):
		return class{}, &RefusedError{What: "it contains a NUL character"}
	}
	verdict, err := classifyAs(sql, false)
	if !strings.Contains(sql, `\`) {
		return verdict, err
	}
	other, otherErr := classifyAs(sql, true)
	switch {
	case isUnended(err):
		return other, otherErr
	case isUnended(otherErr) || err != nil:
		return verdict, err
	case otherErr != nil || verdict.reads:
		return other, otherErr
	}
	return verdict, nil
}

type unendedError struct{ *RefusedError }

func (e unendedError) Unwrap() error { return e.RefusedError }

func isUnended(err error) bool {
	_, unended := err.(unendedError)
	return unended
}

func classifyAs(sql string, backslash bool) (class, error) {
	tokens, err := tokenize(sql, backslash)
	if err != nil {
		return class{}, err
	}
	if len(tokens) == 1 {
		return class{}, &RefusedError{What: "there is no statement in it"}
	}
	p := parser{tokens: tokens}
	return p.statement(), nil
}

// tokenize gives the tokens of one statement, endOfSQL last, without the semicolon that may end it.
func tokenize(sql string, backslash bool) ([]token, error) {
	l := lexer{sql: sql, backslash: backslash}
	var tokens []token
	ended, second := false, -1
	for {
		t := l.next()
		switch {
		case t.kind == broken:
			return nil, unendedError{&RefusedError{What: "a string, quoted name or comment is not closed", At: character(sql, t.at)}}
		case t.kind == endOfSQL && second >= 0:
			return nil, &RefusedError{What: "it holds more than one statement; send them one at a time", At: character(sql, second)}
		case t.kind == endOfSQL:
			return append(tokens, t), nil
		case ended && second < 0:
			second = t.at
		case t.is(symbol, ";"):
			ended = true
		case !ended:
			tokens = append(tokens, t)
		}
	}
}

func character(sql string, offset int) int { return utf8.RuneCountInString(sql[:offset]) + 1 }

// parser looks at the outline of a statement.
type parser struct {
	tokens []token
	at     int
}

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) accept(kind tokenKind, text string) bool {
	if !p.peek().is(kind, text) {
		return false
	}
	p.at++
	return true
}

func (p *parser) statement() class {
	switch {
	case p.accept(word, "SHOW"):
		return reading
	case p.accept(word, "EXPLAIN"):
		// EXPLAIN ANALYZE runs the statement. Options in parentheses could ask for it too.
		p.accept(word, "VERBOSE")
		if p.peek().is(symbol, "(") {
			return notReading("EXPLAIN takes a SELECT or WITH here, without parentheses in front")
		}
		if p.peek().is(word, "ANALYZE") || p.peek().is(word, "ANALYSE") {
			return notReading("EXPLAIN ANALYZE runs the statement")
		}
	}
	return p.query()
}

// query is SELECT or WITH … SELECT, perhaps in parentheses.
func (p *parser) query() class {
	for p.accept(symbol, "(") {
	}
	if p.accept(word, "WITH") {
		if !p.skipCommonTables() {
			return notReading("what stands before the SELECT is not recognised")
		}
		for p.accept(symbol, "(") {
		}
	}
	if !p.peek().is(word, "SELECT") {
		return notReading("only SELECT, WITH … SELECT, SHOW and EXPLAIN count as reading")
	}
	return effectsOf(p.tokens)
}

// skipCommonTables moves behind name [(columns)] AS [[NOT] MATERIALIZED] (…), …
func (p *parser) skipCommonTables() bool {
	p.accept(word, "RECURSIVE")
	for {
		if kind := p.peek().kind; kind != word && kind != name {
			return false
		}
		p.at++
		if p.peek().is(symbol, "(") && !p.skipParentheses() {
			return false
		}
		if !p.accept(word, "AS") {
			return false
		}
		p.accept(word, "NOT")
		p.accept(word, "MATERIALIZED")
		if !p.skipParentheses() {
			return false
		}
		if !p.accept(symbol, ",") {
			return true
		}
	}
}

func (p *parser) skipParentheses() bool {
	if !p.accept(symbol, "(") {
		return false
	}
	for depth := 1; depth > 0; p.at++ {
		switch t := p.peek(); {
		case t.kind == endOfSQL:
			return false
		case t.is(symbol, "("):
			depth++
		case t.is(symbol, ")"):
			depth--
		}
	}
	return true
}

// effectsOf looks for what writes inside a query: SELECT INTO, data-modifying common tables,
// row locks, and known functions with effects.
func effectsOf(tokens []token) class {
	for i, t := range tokens[:len(tokens)-1] {
		next := tokens[i+1]
		switch {
		case t.is(word, "INTO"):
			return notReading("SELECT … INTO makes a table")
		case t.is(symbol, "(") && next.kind == word && slices.Contains(modifying, next.text):
			return notReading(next.text + " stands inside it; a column of that name needs double quotes")
		case t.is(word, "FOR") && next.kind == word && slices.Contains(locking, next.text):
			return notReading("FOR " + next.text + " locks rows")
		case t.is(word, "U") && next.is(symbol, "&"):
			// A name in Unicode escapes, U&"…", could be any name.
			return notReading("U& is not understood here")
		case (t.kind == word || t.kind == name) && next.is(symbol, "(") && hasEffects(lower(t.text)):
			return notReading("the function " + lower(t.text) + " has effects")
		}
	}
	return reading
}

var (
	modifying = []string{"INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE", "COPY", "UNLOAD", "CALL"}
	locking   = []string{"UPDATE", "SHARE", "NO", "KEY"}

	functionsWithEffects = []string{
		"set_config", "nextval", "setval", "pg_terminate_backend", "pg_cancel_backend", "pg_reload_conf", "pg_rotate_logfile",
		"pg_notify", "pg_export_snapshot", "pg_switch_wal", "pg_switch_xlog", "pg_promote", "pg_start_backup", "pg_stop_backup",
		"pg_read_file", "pg_read_binary_file", "pg_stat_file", "loread", "lowrite", "txid_current", "pg_import_system_collations",
		// These run a text as SQL.
		"query_to_xml", "query_to_xmlschema", "query_to_xml_and_xmlschema", "ts_stat", "ts_rewrite", "crosstab",
	}
	familiesWithEffects = []string{
		"pg_advisory_", "pg_try_advisory_", "lo_", "dblink", "pg_ls_", "pg_logical_", "pg_create_", "pg_drop_", "pg_replication_",
		"pg_stat_reset", "pg_backup_", "pg_wal_",
	}
)

func hasEffects(function string) bool {
	return slices.Contains(functionsWithEffects, function) ||
		slices.ContainsFunc(familiesWithEffects, func(family string) bool { return strings.HasPrefix(function, family) })
}
