package warehouse

import "strings"

// lexer cuts SQL into tokens as the server does: comments nest, quotes are doubled, dollar quotes
// have tags. It knows just enough to tell what is text and what is statement.
type lexer struct {
	sql string
	at  int
	// backslash says whether a backslash escapes in an ordinary string. PostgreSQL ends 'a\'
	// at the second quote; Redshift, like PostgreSQL before 9.1, does not.
	backslash bool
}

type tokenKind uint8

const (
	endOfSQL tokenKind = iota
	word               // unquoted, in upper case
	name               // "quoted", in lower case
	text               // a string
	number
	symbol // one character
	broken // a string, name or comment without its end
)

type token struct {
	kind tokenKind
	text string // of a word, name or symbol
	at   int    // byte offset in the SQL
}

func (t token) is(kind tokenKind, text string) bool { return t.kind == kind && t.text == text }

// next gives the next token.
func (l *lexer) next() token {
	if !l.skipSpace() {
		return token{kind: broken, at: l.at}
	}
	start := l.at
	if start == len(l.sql) {
		return token{kind: endOfSQL, at: start}
	}
	t := token{at: start}
	switch c := l.sql[start]; {
	case c == '\'':
		t.kind = l.quoted(start, l.backslash)
	case c == '"':
		t.kind, t.text = l.quotedName()
	case c == '$':
		t.kind, t.text = l.dollar()
	case isDigit(c):
		t.kind = number
		l.skipWhile(func(c byte) bool { return isDigit(c) })
	case startsWord(c):
		t.kind, t.text = l.word()
	default:
		t.kind, t.text = symbol, l.sql[start:start+1]
		l.at++
	}
	return t
}

// skipSpace skips white space and comments; false when a comment has no end.
func (l *lexer) skipSpace() bool {
	for l.at < len(l.sql) {
		rest := l.sql[l.at:]
		switch {
		case isSpace(rest[0]):
			l.at++
		case strings.HasPrefix(rest, "--"):
			// A carriage return ends it too.
			if end := strings.IndexAny(rest, "\r\n"); end >= 0 {
				l.at += end
			} else {
				l.at = len(l.sql)
			}
		case strings.HasPrefix(rest, "/*"):
			end := commentEnd(rest)
			if end < 0 {
				return false
			}
			l.at += end
		default:
			return true
		}
	}
	return true
}

// commentEnd is where a comment ends that begins the text and may hold others; -1 for never.
func commentEnd(text string) int {
	depth := 0
	for i := 0; i+1 < len(text); i++ {
		switch text[i : i+2] {
		case "/*":
			depth++
			i++
		case "*/":
			i++
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

// word reads an unquoted identifier or keyword, and the strings that have a letter in front.
func (l *lexer) word() (tokenKind, string) {
	start := l.at
	l.skipWhile(func(c byte) bool { return startsWord(c) || isDigit(c) || c == '$' })
	w := upper(l.sql[start:l.at])
	if l.at < len(l.sql) && l.sql[l.at] == '\'' {
		switch w {
		case "E":
			return l.quoted(l.at, true), ""
		case "B", "X":
			return l.quoted(l.at, false), ""
		}
	}
	return word, w
}

// quoted reads a string whose first quote is at open. A string goes on after white space with a
// line break, by the same rules.
func (l *lexer) quoted(open int, backslash bool) tokenKind {
	l.at = open + 1
	for l.at < len(l.sql) {
		switch c := l.sql[l.at]; {
		case c == '\\' && backslash:
			l.at += 2
			continue
		case c != '\'':
			l.at++
			continue
		}
		l.at++
		if l.at < len(l.sql) && l.sql[l.at] == '\'' { // doubled
			l.at++
			continue
		}
		if !l.continues() {
			return text
		}
	}
	l.at = len(l.sql)
	return broken
}

// continues moves behind the quote that continues a string which was just closed.
func (l *lexer) continues() bool {
	ahead := lexer{sql: l.sql, at: l.at}
	for ahead.at < len(l.sql) && (isSpace(l.sql[ahead.at]) || strings.HasPrefix(l.sql[ahead.at:], "--")) {
		if isSpace(l.sql[ahead.at]) {
			ahead.at++
			continue
		}
		ahead.skipWhile(func(c byte) bool { return c != '\n' && c != '\r' })
	}
	between := l.sql[l.at:ahead.at]
	if ahead.at == len(l.sql) || l.sql[ahead.at] != '\'' || !strings.ContainsAny(between, "\r\n") {
		return false
	}
	l.at = ahead.at + 1
	return true
}

func (l *lexer) quotedName() (tokenKind, string) {
	start := l.at + 1
	for i := start; i < len(l.sql); i++ {
		if l.sql[i] != '"' {
			continue
		}
		if i+1 < len(l.sql) && l.sql[i+1] == '"' {
			i++
			continue
		}
		l.at = i + 1
		return name, lower(strings.ReplaceAll(l.sql[start:i], `""`, `"`))
	}
	l.at = len(l.sql)
	return broken, ""
}

// dollar reads $tag$ … $tag$, or a dollar sign that starts nothing, as in $1.
func (l *lexer) dollar() (tokenKind, string) {
	tag := lexer{sql: l.sql, at: l.at + 1}
	tag.skipWhile(func(c byte) bool { return startsWord(c) || isDigit(c) })
	if tag.at == len(l.sql) || l.sql[tag.at] != '$' || isDigit(l.sql[l.at+1]) {
		l.at++
		return symbol, "$"
	}
	quote := l.sql[l.at : tag.at+1]
	end := strings.Index(l.sql[tag.at+1:], quote)
	if end < 0 {
		l.at = len(l.sql)
		return broken, ""
	}
	l.at = tag.at + 1 + end + len(quote)
	return text, ""
}

func (l *lexer) skipWhile(match func(byte) bool) {
	for l.at < len(l.sql) && match(l.sql[l.at]) {
		l.at++
	}
}

func isSpace(c byte) bool {
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'
}
func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// startsWord: letters, the underscore, and every byte of a character beyond ASCII.
func startsWord(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c >= 0x80
}

// Keywords are ASCII: a letter that only becomes one in another case is not part of any.
func upper(s string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			return r - 'a' + 'A'
		}
		return r
	}, s)
}

func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r - 'A' + 'a'
		}
		return r
	}, s)
}
