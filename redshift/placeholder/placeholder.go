// Package placeholder finds the :name placeholders of a statement, so that values can be sent
// beside the SQL by transports that do not look for them themselves.
//
// What to fear here: taking for code what the server takes for a string, or the other way round.
// A value would then be missing, or land where nobody meant it. Where the servers' readings differ
// the answer is that there is no telling.
package placeholder

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/shiftgrant/shiftgrant/redshift"
)

// A Place is where a :name stands, the colon included: sql[Start:End].
type Place struct{ Start, End int }

// Name is the placeholder's name in the SQL that it was found in.
func (p Place) Name(sql string) string { return sql[p.Start+1 : p.End] }

// undefinedParameter is PostgreSQL's SQLSTATE for a placeholder without a value.
const undefinedParameter = "42P02"

// Match finds the placeholders of a statement and its values by name, nil for NULL. It refuses
// what can only be a slip: a placeholder without a value, a value without a placeholder, a name
// given twice, a text that is not UTF-8. Errors are *redshift.Error.
func Match(statement redshift.Statement) (found []Place, values map[string]*string, err error) {
	if !utf8.ValidString(statement.SQL) {
		return nil, nil, &redshift.Error{SQLState: "22021", Message: "the statement is not valid UTF-8"}
	}
	if values, err = byName(statement.Parameters); err != nil {
		return nil, nil, err
	}
	found, certain := Find(statement.SQL)
	if !certain {
		if len(values) > 0 {
			return nil, nil, parameterError(`the statement can be read in two ways because a string has a backslash: Redshift may take \' for a quote inside the string, or for the string's end; pass that string as a parameter, or write E'…'`)
		}
		return nil, values, nil
	}
	return found, values, matchNames(statement.SQL, found, values)
}

func byName(parameters []redshift.Parameter) (map[string]*string, error) {
	values := make(map[string]*string, len(parameters))
	for _, p := range parameters {
		if !validName(p.Name) {
			return nil, parameterError("the parameter name %q is not valid: letters, digits and _, not a digit first, 128 at most", p.Name)
		}
		if _, twice := values[p.Name]; twice {
			return nil, parameterError("the parameter %q is given twice", p.Name)
		}
		if p.Value != nil && !utf8.ValidString(*p.Value) {
			return nil, &redshift.Error{SQLState: "22021", Message: fmt.Sprintf("the value of parameter %q is not valid UTF-8", p.Name)}
		}
		values[p.Name] = p.Value
	}
	return values, nil
}

func parameterError(format string, args ...any) error {
	return &redshift.Error{SQLState: undefinedParameter, Message: fmt.Sprintf(format, args...)}
}

// matchNames refuses a placeholder without a value, and a value without a placeholder: either
// is a slip of the pen that would otherwise be an obscure error, or none.
func matchNames(sql string, found []Place, values map[string]*string) error {
	used := make(map[string]bool, len(values))
	for _, p := range found {
		name := p.Name(sql)
		if _, given := values[name]; !given {
			e := &redshift.Error{SQLState: undefinedParameter, Position: utf8.RuneCountInString(sql[:p.Start]) + 1}
			e.Message = fmt.Sprintf("the placeholder :%s has no value: add a parameter named %q", name, name)
			return e
		}
		used[name] = true
	}
	for name := range values {
		if !used[name] {
			return parameterError("the parameter %q is not used: write :%s where its value belongs, outside quotes", name, name)
		}
	}
	return nil
}

// Find finds every :name that is not inside a string, an identifier or a comment, nor
// part of a cast (::) or an assignment (:=).
//
// Whether a backslash escapes a quote in an ordinary '…' depends on the server: PostgreSQL 8.0,
// from which Redshift comes, says yes, today's PostgreSQL no. Both readings are made, and where
// they differ in what they find, certain is false.
func Find(sql string) (found []Place, certain bool) {
	plain := scanner{sql: sql}
	plain.scan()
	if !plain.backslash {
		return plain.found, true
	}
	escaping := scanner{sql: sql, escapes: true}
	escaping.scan()
	return plain.found, slices.Equal(plain.found, escaping.found)
}

// A scanner walks over SQL just closely enough to know what is code.
type scanner struct {
	sql       string
	escapes   bool // a backslash escapes in every '…', not only in E'…'
	at        int
	backslash bool // one was seen in an ordinary string
	found     []Place
}

func (s *scanner) scan() {
	for s.at < len(s.sql) {
		rest := s.sql[s.at:]
		switch c := rest[0]; {
		case c == '\'':
			s.text(s.escapes)
		case c == '"':
			s.skipPast(`"`, 1)
		case c == '$':
			s.dollar()
		case strings.HasPrefix(rest, "--"):
			s.skipPast("\n", 2)
		case strings.HasPrefix(rest, "/*"):
			s.comment()
		case c == ':':
			s.colon()
		case identifierByte(c):
			s.word()
		default:
			s.at++
		}
	}
}

// skipPast goes behind the next mark after an opening of some bytes; without one, to the end.
// A doubled quote in an identifier ends one and begins another, which comes to the same.
func (s *scanner) skipPast(mark string, opening int) {
	s.at += opening
	if length := strings.Index(s.sql[s.at:], mark); length >= 0 {
		s.at += length + len(mark)
		return
	}
	s.at = len(s.sql)
}

// text skips '…'. A doubled quote ends one string and begins the next, of the same kind.
func (s *scanner) text(escapes bool) {
	for s.at++; s.at < len(s.sql); s.at++ {
		switch s.sql[s.at] {
		case '\\':
			s.backslash = true
			if escapes {
				s.at++
			}
		case '\'':
			if !strings.HasPrefix(s.sql[s.at+1:], "'") {
				s.at++
				return
			}
			s.at++
		}
	}
	s.at = len(s.sql)
}

// dollar skips $tag$…$tag$, or a single $.
func (s *scanner) dollar() {
	rest := s.sql[s.at:]
	end := 1
	if end < len(rest) && tagByte(rest[end], true) {
		for end < len(rest) && tagByte(rest[end], false) {
			end++
		}
	}
	if end >= len(rest) || rest[end] != '$' {
		s.at++
		return
	}
	s.skipPast(rest[:end+1], end+1)
}

func tagByte(c byte, first bool) bool {
	return nameStart(c) || c >= utf8.RuneSelf || !first && '0' <= c && c <= '9'
}

// comment skips /* … */; they nest.
func (s *scanner) comment() {
	depth := 0
	for s.at < len(s.sql) {
		switch rest := s.sql[s.at:]; {
		case strings.HasPrefix(rest, "/*"):
			depth++
			s.at += 2
		case strings.HasPrefix(rest, "*/"):
			depth--
			s.at += 2
			if depth == 0 {
				return
			}
		default:
			s.at++
		}
	}
}

func (s *scanner) colon() {
	rest := s.sql[s.at:]
	switch {
	case strings.HasPrefix(rest, "::"), strings.HasPrefix(rest, ":="):
		s.at += 2
	case len(rest) > 1 && nameStart(rest[1]):
		end := nameEnd(s.sql, s.at+1)
		s.found = append(s.found, Place{s.at, end})
		s.at = end
	default:
		s.at++
	}
}

func identifierByte(c byte) bool {
	return nameStart(c) || '0' <= c && c <= '9' || c >= utf8.RuneSelf
}

// word skips an identifier, keyword or number, so that the $ inside one begins no string. In
// E'…' backslashes escape.
func (s *scanner) word() {
	start := s.at
	for s.at < len(s.sql) && (identifierByte(s.sql[s.at]) || s.sql[s.at] == '$') {
		s.at++
	}
	if word := s.sql[start:s.at]; (word == "E" || word == "e") && strings.HasPrefix(s.sql[s.at:], "'") {
		seen := s.backslash
		s.text(true)
		s.backslash = seen // here it leaves no doubt
	}
}

func validName(name string) bool {
	return name != "" && len(name) <= 128 && nameStart(name[0]) && nameEnd(name, 0) == len(name)
}

func nameStart(c byte) bool { return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

// nameEnd is where the name that starts at i ends.
func nameEnd(s string, i int) int {
	for i < len(s) && (nameStart(s[i]) || '0' <= s[i] && s[i] <= '9') {
		i++
	}
	return i
}

// AsksForRows guesses from the first word whether a statement has a result set. For asking the
// likelier question first, and for nothing else.
func AsksForRows(sql string) bool {
	s := scanner{sql: sql}
	for s.at < len(sql) {
		rest := sql[s.at:]
		switch c := rest[0]; {
		case strings.HasPrefix(rest, "--"):
			s.skipPast("\n", 2)
		case strings.HasPrefix(rest, "/*"):
			s.comment()
		case nameStart(c):
			switch strings.ToLower(rest[:nameEnd(rest, 0)]) {
			case "select", "with", "show", "explain", "values", "table", "fetch", "desc", "describe":
				return true
			}
			return false
		default:
			s.at++ // white space and opening parentheses
		}
	}
	return false
}
