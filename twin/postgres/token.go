package postgres

import "strings"

// kind is what a token is. Only words and punctuation are ever rewritten: the text of a
// string, a quoted name or a comment passes unchanged.
type kind uint8

const (
	blank       kind = iota // white space and comments
	word                    // keyword or unquoted name
	quotedName              // "…"
	literal                 // '…', E'…', $tag$…$tag$
	number                  // 12, 1.5e3
	named                   // :name
	punctuation             // one character, or ::
)

type token struct {
	kind kind
	text string
}

// is reports whether the token is the given word, which is in upper case.
func (t token) is(keyword string) bool {
	return t.kind == word && strings.EqualFold(t.text, keyword)
}

func (t token) punctuated(text string) bool { return t.kind == punctuation && t.text == text }

// tokenize cuts SQL by PostgreSQL's lexical rules (§4.1 of its manual). The texts of the tokens
// add up to the input, always; what is not terminated reaches to the end, so that PostgreSQL
// itself gets to complain about it.
func tokenize(sql string) []token {
	var tokens []token
	for len(sql) > 0 {
		kind, length := next(sql)
		tokens = append(tokens, token{kind, sql[:length]})
		sql = sql[length:]
	}
	return tokens
}

// tokenizeWhole is tokenize, and tells whether the last quote or comment comes to an end. The
// line feed that is added for a moment would be swallowed by one that does not.
func tokenizeWhole(sql string) (tokens []token, whole bool) {
	tokens = tokenize(sql + "\n")
	last := &tokens[len(tokens)-1]
	if last.kind != blank || strings.HasPrefix(last.text, "/*") {
		return nil, false
	}
	last.text = last.text[:len(last.text)-1]
	if last.text == "" {
		tokens = tokens[:len(tokens)-1]
	}
	return tokens, true
}

// next measures the token at the start of sql, which is not empty.
func next(sql string) (kind, int) {
	switch c := sql[0]; {
	case isSpace(c):
		return blank, count(sql, isSpace)
	case strings.HasPrefix(sql, "--"):
		return blank, until(sql, "\n")
	case strings.HasPrefix(sql, "/*"):
		return blank, blockComment(sql)
	case c == '\'':
		return literal, quoted(sql, 0, '\'', false)
	case (c == 'e' || c == 'E') && len(sql) > 1 && sql[1] == '\'':
		return literal, quoted(sql, 1, '\'', true)
	case c == '"':
		return quotedName, quoted(sql, 0, '"', false)
	case c == '$':
		return dollar(sql)
	case isWordStart(c):
		return word, count(sql, isWord)
	case isDigit(c):
		return number, count(sql, isNumber)
	case c == ':':
		return colon(sql)
	default:
		return punctuation, 1
	}
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isWordStart(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}
func isWord(c byte) bool   { return isWordStart(c) || isDigit(c) || c == '$' }
func isNumber(c byte) bool { return isWordStart(c) || isDigit(c) || c == '.' }

// isName is what a parameter's name is made of (Data API, ParameterName).
func isName(c byte) bool { return c < 0x80 && c != '$' && isWord(c) }

// count is how many bytes from the start are of a class.
func count(sql string, class func(byte) bool) int {
	for i := range len(sql) {
		if !class(sql[i]) {
			return i
		}
	}
	return len(sql)
}

// until is the length up to and with end, or all.
func until(sql, end string) int {
	if i := strings.Index(sql, end); i >= 0 {
		return i + len(end)
	}
	return len(sql)
}

// blockComment measures a comment; they nest.
func blockComment(sql string) int {
	depth := 0
	for i := 0; i+1 < len(sql); i++ {
		switch sql[i : i+2] {
		case "/*":
			depth++
			i++
		case "*/":
			depth--
			i++
			if depth == 0 {
				return i + 1
			}
		}
	}
	return len(sql)
}

// quoted measures a literal or name whose opening quote is at start. A doubled quote stands for
// itself.
func quoted(sql string, start int, quote byte, backslashes bool) int {
	for i := start + 1; i < len(sql); i++ {
		switch {
		case backslashes && sql[i] == '\\':
			i++
		case sql[i] != quote:
		case i+1 < len(sql) && sql[i+1] == quote:
			i++
		default:
			return i + 1
		}
	}
	return len(sql)
}

// dollar measures $tag$…$tag$, or $1.
func dollar(sql string) (kind, int) {
	tag := count(sql[1:], func(c byte) bool { return c != '$' && isWord(c) })
	switch {
	case tag > 0 && isDigit(sql[1]):
		return number, 1 + count(sql[1:], isDigit)
	case 1+tag < len(sql) && sql[1+tag] == '$':
		opening := sql[:tag+2]
		return literal, len(opening) + until(sql[len(opening):], opening)
	default:
		return punctuation, 1
	}
}

// colon tells :name from a cast.
func colon(sql string) (kind, int) {
	if strings.HasPrefix(sql, "::") {
		return punctuation, 2
	}
	if name := count(sql[1:], isName); name > 0 {
		return named, 1 + name
	}
	return punctuation, 1
}
