package postgres

import (
	"encoding/json"
	"strings"
)

// administration turns Redshift's statements about users, roles, rights and identity providers into
// PostgreSQL's: those that only say the same otherwise are written anew, and those that PostgreSQL
// lacks are calls of procedures (administration.sql). It is false for all others, and for mistakes.
func administration(tokens []token) (string, bool) {
	s := significant(tokens)
	switch {
	case begins(s, "GRANT"), begins(s, "REVOKE"):
		if assumesRole(s) {
			return "DO 'BEGIN END'", true // there is no S3 for which a role could be assumed
		}
		if text, ok := scoped(s); ok {
			return text, true
		}
		return withoutRole(tokens), true
	case begins(s, "ALTER", "DEFAULT", "PRIVILEGES"):
		return withoutRole(tokens), true
	case begins(s, "CREATE", "USER"), begins(s, "ALTER", "USER"), begins(s, "CREATE", "ROLE"):
		return userOptions(s)
	case begins(s, "DROP", "ROLE"):
		return dropRole(s)
	case begins(s, "CREATE", "IDENTITY", "PROVIDER"), begins(s, "ALTER", "IDENTITY", "PROVIDER"):
		return putProvider(s)
	case begins(s, "DROP", "IDENTITY", "PROVIDER"):
		return dropProvider(s)
	}
	return "", false
}

// begins reports whether the statement begins with the words.
func begins(s []token, words ...string) bool {
	if len(s) < len(words) {
		return false
	}
	for i, keyword := range words {
		if !s[i].is(keyword) {
			return false
		}
	}
	return true
}

// assumesRole is for the right to use an IAM role in COPY and UNLOAD.
func assumesRole(s []token) bool { return len(s) > 1 && s[1].is("ASSUMEROLE") }

// withoutRole leaves out the word ROLE where it only says what kind of name follows. Names of
// Redshift's own roles, such as sys:monitor, get quotes.
func withoutRole(tokens []token) string {
	var out strings.Builder
	previous := token{}
	for i, t := range tokens {
		introduced := previous.is("TO") || previous.is("FROM") || previous.is("GRANT") || previous.is("REVOKE") || previous.punctuated(",") || previous.is("FOR") && !tokens[0].is("ALTER")
		switch {
		case t.is("ROLE") && introduced && beforeName(tokens[i+1:]):
		case systemRole(tokens, i):
			out.WriteString(`"sys` + strings.ToLower(tokens[i+1].text) + `"`)
		case i > 0 && systemRole(tokens, i-1):
		default:
			out.WriteString(t.text)
		}
		if t.kind != blank {
			previous = t
		}
	}
	return out.String()
}

// beforeName reports whether the next thing is a name.
func beforeName(tokens []token) bool {
	for _, t := range tokens {
		if t.kind != blank {
			_, named := identifier(t)
			return named
		}
	}
	return false
}

// systemRole reports whether a name such as sys:monitor begins at a token: what is behind the colon
// reads like a parameter.
func systemRole(tokens []token, i int) bool {
	return tokens[i].is("SYS") && i+1 < len(tokens) && tokens[i+1].kind == named
}

// scoped is GRANT … FOR TABLES IN SCHEMA s TO …, and the like.
func scoped(s []token) (string, bool) {
	for i := 2; i+5 < len(s); i++ {
		if !s[i].is("FOR") || !s[i+1].is("TABLES") && !s[i+1].is("SCHEMAS") || !s[i+2].is("IN") {
			continue
		}
		scope, ok := identifier(s[i+4])
		switch {
		case !ok:
			return "", false
		case s[i+3].is("DATABASE"):
			scope = ""
		case !s[i+3].is("SCHEMA"):
			return "", false
		}
		rest := s[i+5:]
		if len(rest) > 2 && rest[0].is("DATABASE") {
			rest = rest[2:]
		}
		if len(rest) < 2 || !rest[0].is("TO") && !rest[0].is("FROM") {
			return "", false
		}
		privileges, privilegesFine := list(s[1:i], "PRIVILEGES")
		grantees, granteesFine := list(rest[1:], "ROLE")
		return "CALL pg_catalog.redshift_scoped(" + strings.Join([]string{
			quoteLiteral(strings.ToUpper(s[0].text)), quoteLiteral(strings.ToUpper(s[i+1].text)), quoteLiteral(scope), strings.ToUpper(privileges), grantees,
		}, ", ") + ")", privilegesFine && granteesFine
	}
	return "", false
}

// list writes names between commas as an array; a word that only says what they are is left out.
func list(s []token, left string) (array string, ok bool) {
	var names []string
	expected := true
	for _, t := range s {
		name, named := identifier(t)
		switch {
		case t.is(left):
			continue
		case expected && named:
			names = append(names, quoteLiteral(name))
		case expected || !t.punctuated(","):
			return "", false
		}
		expected = !expected
	}
	return "ARRAY[" + strings.Join(names, ", ") + "]", !expected
}

func join(s []token) string {
	texts := make([]string, len(s))
	for i, t := range s {
		texts[i] = t.text
	}
	return strings.Join(texts, " ")
}

// userOptions writes the options of users and roles as PostgreSQL does, and leaves out those that
// it lacks: who sees the system tables, how long a session may be idle, and the id elsewhere. A
// password is kept beside PostgreSQL's users, which need none here.
func userOptions(s []token) (string, bool) {
	var kept []token
	password := ""
	for i := 0; i < len(s); i++ {
		t := s[i]
		follows := func(keyword string) bool { return i+1 < len(s) && s[i+1].is(keyword) }
		switch {
		case t.is("PASSWORD") && follows("DISABLE"):
			password = "NULL"
			i++
		case t.is("PASSWORD") && i+1 < len(s) && s[i+1].kind == literal:
			password = s[i+1].text
			i++
		case t.is("SYSLOG") && follows("ACCESS"), t.is("SESSION") && follows("TIMEOUT"):
			i += 2
		case t.is("EXTERNALID"):
			i++
		case t.is("UNLIMITED") && i > 0 && s[i-1].is("LIMIT"):
			kept = append(kept, token{number, "-1"})
		default:
			kept = append(kept, t)
		}
	}
	if password == "" || len(s) < 3 {
		return join(kept), true
	}
	name, ok := identifier(s[2])
	return "CALL pg_catalog.redshift_put_user(" + quoteLiteral(join(kept)) + ", " + quoteLiteral(name) + ", " + password + ")", ok
}

// dropRole drops a role that nobody has; with FORCE it is taken from those who have it.
func dropRole(s []token) (string, bool) {
	if len(s) < 3 || len(s) > 4 {
		return "", false
	}
	name, ok := identifier(s[2])
	switch {
	case !ok:
		return "", false
	case len(s) == 4 && s[3].is("FORCE"):
		return "DROP ROLE " + s[2].text, true
	case len(s) == 4 && !s[3].is("RESTRICT"):
		return "", false
	}
	return "CALL pg_catalog.redshift_drop_role(" + quoteLiteral(name) + ")", true
}

// putProvider is CREATE or ALTER IDENTITY PROVIDER.
func putProvider(s []token) (string, bool) {
	if len(s) < 4 {
		return "", false
	}
	name, ok := identifier(s[3])
	options, whole := providerOptions(s[4:])
	if !ok || !whole {
		return "", false
	}
	written, err := json.Marshal(options)
	if err != nil {
		return "", false
	}
	return "CALL pg_catalog.redshift_" + strings.ToLower(s[0].text) + "_identity_provider(" + quoteLiteral(name) + ", " + quoteLiteral(string(written)) + ")", true
}

// providerOptions reads what follows the name of a provider; false for what cannot be read.
func providerOptions(s []token) (options map[string]string, whole bool) {
	options = map[string]string{}
	for len(s) > 0 {
		keyword := strings.ToLower(s[0].text)
		switch {
		case s[0].is("ENABLE"), s[0].is("DISABLE"):
			options["enabled"] = map[bool]string{true: "true", false: "false"}[s[0].is("ENABLE")]
			s = s[1:]
		case s[0].is("AUTO_CREATE_ROLES"):
			if s, whole = autoCreate(s[1:], options); !whole {
				return nil, false
			}
		case len(s) > 1 && (s[0].is("TYPE") || s[0].is("NAMESPACE") || s[0].is("PARAMETERS") || s[0].is("APPLICATION_ARN") || s[0].is("IAM_ROLE")):
			value, ok := text(s[1])
			if !ok {
				return nil, false
			}
			options[keyword] = value
			s = s[2:]
		default:
			return nil, false
		}
	}
	return options, true
}

// autoCreate reads [TRUE [{INCLUDE | EXCLUDE} GROUPS LIKE 'pattern'] | FALSE].
func autoCreate(s []token, options map[string]string) (rest []token, ok bool) {
	options["auto_create_roles"] = "true"
	if len(s) > 0 && (s[0].is("TRUE") || s[0].is("FALSE")) {
		options["auto_create_roles"] = strings.ToLower(s[0].text)
		s = s[1:]
	}
	if len(s) == 0 || !s[0].is("INCLUDE") && !s[0].is("EXCLUDE") {
		return s, true
	}
	if len(s) < 4 || !begins(s[1:], "GROUPS", "LIKE") {
		return nil, false
	}
	pattern, ok := text(s[3])
	options[strings.ToLower(s[0].text)] = pattern
	return s[4:], ok
}

// text is what a plain string constant or a word stands for.
func text(t token) (string, bool) {
	switch {
	case t.kind == literal && len(t.text) >= 2 && t.text[0] == '\'':
		return strings.ReplaceAll(t.text[1:len(t.text)-1], `''`, `'`), true
	case t.kind == word:
		return t.text, true
	}
	return "", false
}

func dropProvider(s []token) (string, bool) {
	cascading := len(s) == 5 && s[4].is("CASCADE")
	if len(s) != 4 && !cascading {
		return "", false
	}
	name, ok := identifier(s[3])
	return "CALL pg_catalog.redshift_drop_identity_provider(" + quoteLiteral(name) + ", " + map[bool]string{true: "true", false: "false"}[cascading] + ")", ok
}
