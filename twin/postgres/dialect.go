package postgres

import (
	"errors"
	"iter"
	"slices"
	"strings"
)

// ErrUnsupported says that a statement needs something that the stand-in does not have.
var ErrUnsupported = errors.New("the stand-in for Redshift has no S3: COPY and UNLOAD are not supported")

// Parameters lists the :name placeholders of a statement, each once, in order of appearance.
// What looks like one within a string, a quoted name or a comment is none.
func Parameters(sql string) []string {
	var names []string
	for _, token := range tokenize(sql) {
		if token.kind == named && !slices.Contains(names, token.text[1:]) {
			names = append(names, token.text[1:])
		}
	}
	return names
}

// Translate turns the few words of Redshift's dialect that the stand-in knows into
// PostgreSQL's, and each :name of names into $1, $2, … in the order of names:
//
//	NVL, NVL2, SYSDATE, LISTAGG [WITHIN GROUP], SELECT TOP n, MINUS,
//	DATEADD(day, …), DATEDIFF(day, …), DATE_PART(day, …),
//	CREATE TABLE … DISTSTYLE, DISTKEY, SORTKEY, ENCODE, BACKUP, IDENTITY, VARCHAR(MAX), SUPER,
//	SET query_group and other settings that PostgreSQL lacks,
//	SHOW DATABASES | SCHEMAS FROM DATABASE d | TABLES FROM SCHEMA d.s | COLUMNS FROM TABLE d.s.t,
//	CREATE | ALTER | DROP IDENTITY PROVIDER, CREATE | ALTER USER … PASSWORD DISABLE, SYSLOG ACCESS,
//	GRANT | REVOKE ROLE r, … TO ROLE r, … FOR TABLES IN SCHEMA s, ASSUMEROLE, DROP ROLE r FORCE
//
// GETDATE(), LEN() and what the others translate to are functions in the database (schema.sql).
// Everything else passes unchanged, mistakes included: complaining is PostgreSQL's part.
func Translate(sql string, names ...string) (string, error) {
	tokens, whole := tokenizeWhole(sql)
	if !whole {
		return sql, nil // a quote that never ends would swallow what is added
	}
	var out []string
	for statement := range statements(tokens) {
		text, err := translateOne(statement, names)
		if err != nil {
			return "", err
		}
		out = append(out, text)
	}
	return strings.Join(out, ";"), nil
}

// statements cuts tokens at the semicolons, which are left out.
func statements(tokens []token) iter.Seq[[]token] {
	return func(yield func([]token) bool) {
		for {
			end := slices.IndexFunc(tokens, func(t token) bool { return t.punctuated(";") })
			if end < 0 {
				yield(tokens)
				return
			}
			if !yield(tokens[:end]) {
				return
			}
			tokens = tokens[end+1:]
		}
	}
}

// translateOne translates one statement.
func translateOne(tokens []token, names []string) (string, error) {
	r := rewriter{tokens: tokens, names: names}
	first := r.skip(0, len(tokens))
	if first == len(tokens) {
		return r.text(), nil
	}
	if text, ok := administration(tokens[first:]); ok {
		return text, nil
	}
	switch {
	case tokens[first].is("COPY"), tokens[first].is("UNLOAD"):
		return "", ErrUnsupported
	case tokens[first].is("SHOW"):
		if query, ok := showQuery(significant(tokens[first+1:])); ok {
			return query, nil
		}
	case tokens[first].is("SET"):
		renameSetting(tokens[first+1:])
	case tokens[first].is("CREATE"):
		r.tokens = stripTable(tokens)
	}
	return r.text(), nil
}

// renameSetting gives a setting of Redshift's a prefix, by which PostgreSQL takes it for an
// extension's and keeps its value.
func renameSetting(tokens []token) {
	for i := range tokens {
		switch {
		case tokens[i].kind == blank, tokens[i].is("SESSION"), tokens[i].is("LOCAL"):
			continue
		case tokens[i].is("QUERY_GROUP"), tokens[i].is("ENABLE_RESULT_CACHE_FOR_SESSION"), tokens[i].is("WLM_QUERY_SLOT_COUNT"):
			tokens[i].text = "redshift." + tokens[i].text
		}
		return
	}
}

// significant leaves out blanks.
func significant(tokens []token) []token {
	var kept []token
	for _, token := range tokens {
		if token.kind != blank {
			kept = append(kept, token)
		}
	}
	return kept
}

// A rewriter copies tokens to out and rewrites some on the way.
type rewriter struct {
	tokens []token
	names  []string
	pairs  []int // for "(": where its ")" is, len(tokens) if nowhere
	out    strings.Builder
}

// text is the whole statement, rewritten.
func (r *rewriter) text() string {
	r.pair()
	r.walk(0, len(r.tokens))
	return r.out.String()
}

// pair finds the partner of each parenthesis once, so that nesting costs no second look.
func (r *rewriter) pair() {
	r.pairs = make([]int, len(r.tokens))
	var open []int
	for i, token := range r.tokens {
		switch {
		case token.punctuated("("):
			r.pairs[i] = len(r.tokens)
			open = append(open, i)
		case token.punctuated(")") && len(open) > 0:
			r.pairs[open[len(open)-1]] = i
			open = open[:len(open)-1]
		}
	}
}

// skip is the first token from i that is not blank, or end.
func (r *rewriter) skip(i, end int) int {
	for i < end && r.tokens[i].kind == blank {
		i++
	}
	return i
}

// walk copies tokens[from:to], which is one level of parentheses: the inside of a pair, or the
// whole statement.
func (r *rewriter) walk(from, to int) {
	limit := ""     // of the SELECT TOP being copied: where it ends, LIMIT is put
	united := false // a set operator has been passed
	flush := func() {
		r.out.WriteString(limit)
		limit = ""
	}
	previous := token{}
	for i := from; i < to; {
		t := r.tokens[i]
		switch {
		case t.punctuated("("):
			i = r.group(i, to)
		case t.is("SELECT"):
			var top string
			if i, top = r.selectTop(i, to, united); top != "" {
				limit = top
			}
		case isSetOperator(t):
			flush()
			united = true
			i = r.plain(i, to)
		case united && t.is("ORDER"): // is of the whole, not of its last part
			flush()
			i = r.plain(i, to)
		case t.kind == word && !previous.punctuated("."):
			i = r.word(i, to, previous)
		default:
			i = r.plain(i, to)
		}
		if t.kind != blank {
			previous = t
		}
	}
	flush()
}

// group copies a parenthesis with what is in it.
func (r *rewriter) group(i, to int) (after int) {
	end := min(r.pairs[i], to)
	r.out.WriteByte('(')
	r.walk(i+1, end)
	if end < to {
		r.out.WriteByte(')')
		end++
	}
	return end
}

// plain copies one token; a parameter becomes its number.
func (r *rewriter) plain(i, to int) (after int) {
	t := r.tokens[i]
	switch index := -1; {
	case t.kind == named:
		if index = slices.Index(r.names, t.text[1:]); index >= 0 {
			if so := r.out.String(); so != "" && isWord(so[len(so)-1]) {
				r.out.WriteByte(' ') // a word would go on with the dollar
			}
			r.out.WriteString("$" + itoa(index+1))
			return i + 1
		}
	case t.is("MINUS") && isQueryStart(r.tokens, r.skip(i+1, to), to):
		r.out.WriteString("EXCEPT")
		return i + 1
	}
	r.out.WriteString(t.text)
	return i + 1
}

func isSetOperator(t token) bool {
	return t.is("UNION") || t.is("INTERSECT") || t.is("EXCEPT") || t.is("MINUS")
}

func isQueryStart(tokens []token, i, to int) bool {
	return i < to && (tokens[i].is("SELECT") || tokens[i].is("ALL") || tokens[i].punctuated("("))
}

// selectTop copies SELECT. TOP n behind it is left out and returned as the LIMIT to put at the
// end of this query, on a line of its own: a comment may end the query. A part of a UNION gets
// parentheses, which LIMIT needs there.
func (r *rewriter) selectTop(i, to int, united bool) (after int, limit string) {
	j := r.skip(i+1, to)
	distinct := ""
	if j < to && (r.tokens[j].is("DISTINCT") || r.tokens[j].is("ALL")) {
		distinct = " " + r.tokens[j].text
		j = r.skip(j+1, to)
	}
	n := r.skip(min(j+1, to), to)
	if j >= to || !r.tokens[j].is("TOP") || n >= to || r.tokens[n].kind != number && r.tokens[n].kind != named {
		r.out.WriteString(r.tokens[i].text)
		return i + 1, ""
	}
	opening, closing := "", ""
	if united || r.beforeSetOperator(n, to) {
		opening, closing = "(", ")"
	}
	r.out.WriteString(opening + r.tokens[i].text + distinct)
	count := rewriter{tokens: r.tokens[n : n+1], names: r.names}
	count.plain(0, 1)
	return n + 1, "\nLIMIT " + count.out.String() + closing + " "
}

// beforeSetOperator reports whether the query at i is followed by UNION or the like.
func (r *rewriter) beforeSetOperator(i, to int) bool {
	for ; i < to && !r.tokens[i].punctuated(";"); i++ {
		if isSetOperator(r.tokens[i]) {
			return true
		}
		if r.tokens[i].punctuated("(") {
			i = r.pairs[i]
		}
	}
	return false
}

// word copies a word, or rewrites the call that it begins.
func (r *rewriter) word(i, to int, previous token) (after int) {
	t, open := r.tokens[i], r.skip(i+1, to)
	called := open < to && r.tokens[open].punctuated("(") && r.pairs[open] < to
	switch {
	case t.is("SYSDATE") && !called && !previous.is("AS"):
		r.out.WriteString("LOCALTIMESTAMP")
		return i + 1
	case !called:
		return r.plain(i, to)
	case t.is("NVL"):
		r.out.WriteString("COALESCE")
		return i + 1
	case t.is("NVL2"):
		return r.nvl2(i, open)
	case t.is("DATEADD"), t.is("DATE_ADD"), t.is("DATEDIFF"), t.is("DATE_DIFF"), t.is("DATE_PART"), t.is("DATEPART"):
		return r.datePart(i, open)
	case t.is("LISTAGG"):
		return r.listagg(i, open, to)
	default:
		return r.plain(i, to)
	}
}

// An argument is a range of tokens between commas.
type argument struct{ from, to int }

// arguments cuts the inside of the parenthesis at open.
func (r *rewriter) arguments(open int) []argument {
	arguments := []argument{{from: open + 1}}
	for i := open + 1; i < r.pairs[open]; i++ {
		switch t := r.tokens[i]; {
		case t.punctuated("("):
			i = r.pairs[i]
		case t.punctuated(","):
			arguments[len(arguments)-1].to = i
			arguments = append(arguments, argument{from: i + 1})
		}
	}
	arguments[len(arguments)-1].to = r.pairs[open]
	return arguments
}

// put writes strings and the rewritten tokens of arguments, in order.
func (r *rewriter) put(parts ...any) {
	for _, part := range parts {
		switch part := part.(type) {
		case string:
			r.out.WriteString(part)
		case argument:
			r.walk(part.from, part.to)
		}
	}
}

func (r *rewriter) nvl2(i, open int) (after int) {
	a := r.arguments(open)
	if len(a) != 3 {
		return r.plain(i, open)
	}
	r.put("(CASE WHEN (", a[0], ") IS NOT NULL THEN (", a[1], ") ELSE (", a[2], ") END)")
	return r.pairs[open] + 1
}

// datePart turns the bare word of DATEADD(day, …) into a string. DATEPART has another name.
func (r *rewriter) datePart(i, open int) (after int) {
	name := r.tokens[i].text
	if strings.EqualFold(name, "DATEPART") {
		name = "date_part"
	}
	a := r.arguments(open)
	part := significant(r.tokens[a[0].from:a[0].to])
	if len(a) < 2 || len(part) != 1 || part[0].kind != word {
		return r.plain(i, open)
	}
	r.put(name, "('"+strings.ToLower(part[0].text)+"'")
	for _, argument := range a[1:] {
		r.put(",", argument)
	}
	r.put(")")
	return r.pairs[open] + 1
}

// listagg turns LISTAGG([DISTINCT] x [, separator]) [WITHIN GROUP (ORDER BY y)] into string_agg.
func (r *rewriter) listagg(i, open, to int) (after int) {
	a := r.arguments(open)
	if len(a) > 2 {
		return r.plain(i, open)
	}
	value, distinct := a[0], ""
	if first := r.skip(value.from, value.to); first < value.to && r.tokens[first].is("DISTINCT") {
		distinct = "DISTINCT "
		value.from = first + 1
	}
	r.put("string_agg(", distinct, "(", value, ")::text, ")
	if len(a) == 2 {
		r.put(a[1])
	} else {
		r.put("''")
	}
	order, after := r.withinGroup(r.pairs[open]+1, to)
	r.putOrder(order, value, distinct != "")
	r.put(")")
	return after
}

// withinGroup finds the inside of WITHIN GROUP (…) at i. Without one it is empty.
func (r *rewriter) withinGroup(i, to int) (order argument, after int) {
	within := r.skip(i, to)
	group := r.skip(min(within+1, to), to)
	open := r.skip(min(group+1, to), to)
	if open >= to || !r.tokens[within].is("WITHIN") || !r.tokens[group].is("GROUP") ||
		!r.tokens[open].punctuated("(") || r.pairs[open] >= to {
		return argument{}, i
	}
	return argument{open + 1, r.pairs[open]}, r.pairs[open] + 1
}

// putOrder writes the ORDER BY. With DISTINCT, PostgreSQL wants to see the very expression that
// is aggregated, with its cast.
func (r *rewriter) putOrder(order, value argument, distinct bool) {
	if order == (argument{}) {
		return
	}
	r.put(" ")
	by := significant(r.tokens[order.from:order.to])
	wanted := significant(r.tokens[value.from:value.to])
	if distinct && len(by) >= 2+len(wanted) && slices.Equal(by[2:2+len(wanted)], wanted) {
		r.put("ORDER BY (", value, ")::text")
		for _, rest := range by[2+len(wanted):] {
			r.put(" ", rest.text)
		}
		return
	}
	r.put(order)
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}
