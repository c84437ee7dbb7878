package signin

import (
	"errors"
	"strings"
	"testing"

	"github.com/shiftgrant/shiftgrant/connect"
)

func TestDatabaseUserComesFromOneClaim(t *testing.T) {
	t.Parallel()
	verified := func(claims map[string]any) connect.Identity {
		return connect.Identity{Subject: "sub", Name: "Name", Username: "username", Email: "mail@example.com", EmailVerified: true, Claims: claims}
	}
	called := func(name any) connect.Identity { return verified(map[string]any{"preferred_username": name}) }
	mail := verified(map[string]any{"email": "Ann@Example.com"})
	unverified := mail
	unverified.EmailVerified = false
	for _, c := range []struct {
		name     string
		rule     DatabaseUser
		identity connect.Identity
		want     string // "" for a refusal
	}{
		{"the default claim", DatabaseUser{}, called("alice"), "alice"},
		{"another claim", DatabaseUser{Claim: "db"}, verified(map[string]any{"db": "ann", "preferred_username": "x"}), "ann"},
		{"capitals", DatabaseUser{}, called("ALICE"), "alice"},
		{"all characters that may be", DatabaseUser{}, called("a+b.c@d_e-9"), "a+b.c@d_e-9"},
		{"64 characters", DatabaseUser{}, called(strings.Repeat("a", 64)), strings.Repeat("a", 64)},
		{"a verified address", DatabaseUser{Claim: "email"}, mail, "ann@example.com"},
		{"the part before the @", DatabaseUser{Claim: "email", LocalPart: true}, mail, "ann"},
		{"a name without @ whose local part is wanted", DatabaseUser{LocalPart: true}, called("alice"), "alice"},

		{"no such claim", DatabaseUser{Claim: "db"}, called("alice"), ""},
		{"no claims", DatabaseUser{}, connect.Identity{Username: "alice"}, ""},
		{"an empty claim", DatabaseUser{}, called(""), ""},
		{"a claim that is a list", DatabaseUser{}, called([]any{"alice"}), ""},
		{"a claim that is a number", DatabaseUser{}, called(42.0), ""},
		{"an address that was only typed", DatabaseUser{Claim: "email"}, unverified, ""},
		{"nothing before the @", DatabaseUser{LocalPart: true}, called("@example.com"), ""},
		{"65 characters", DatabaseUser{}, called(strings.Repeat("a", 65)), ""},
		{"a digit in front", DatabaseUser{}, called("1alice"), ""},
		{"a space", DatabaseUser{}, called("alice anders"), ""},
		{"a space behind", DatabaseUser{}, called("alice "), ""},
		{"a line end behind", DatabaseUser{}, called("alice\n"), ""},
		{"a quote", DatabaseUser{}, called(`alice"; drop`), ""},
		{"a zero byte", DatabaseUser{}, called("alice\x00"), ""},
		{"the syntax of an IAM name", DatabaseUser{}, called("IAM:alice"), ""},
		{"the syntax of a group", DatabaseUser{}, called("alice:analysts"), ""},
		{"an umlaut", DatabaseUser{}, called("jörg"), ""},
		{"the Kelvin sign, whose lower case is k", DatabaseUser{}, called("\u212Aate"), ""},
		{"a capital I with a dot, whose lower case is i", DatabaseUser{}, called("\u0130da"), ""},
		{"a letter that looks like another", DatabaseUser{}, called("\u0430lice"), ""},
		{"bytes that are no text", DatabaseUser{}, called("alice\xff"), ""},

		{"everybody", DatabaseUser{}, called("PUBLIC"), ""},
		{"Redshift's own account", DatabaseUser{}, called("rdsdb"), ""},
		{"the superuser of a cluster", DatabaseUser{}, called("AwsUser"), ""},
		{"a word of SQL", DatabaseUser{}, called("current_user"), ""},
		{"a name of the system", DatabaseUser{}, called("pg_monitor"), ""},
		{"a reserved name before the @", DatabaseUser{LocalPart: true}, called("postgres@example.com"), ""},
		{"a name that the operator denies", DatabaseUser{Deny: []string{"etl"}}, called("etl"), ""},
		{"a denied name in other letters", DatabaseUser{Deny: []string{"ETL"}}, called("etl"), ""},
		{"a name that begins like a denied one", DatabaseUser{Deny: []string{"etl"}}, called("etl2"), "etl2"},
	} {
		got, err := c.rule.of(c.identity)
		if c.want == "" && !errors.Is(err, errNoDatabaseUser) {
			t.Errorf("%s: %q, %v; want a refusal", c.name, got, err)
		}
		if got != c.want {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.want)
		}
	}
}

func FuzzDatabaseUserIsASCII(f *testing.F) {
	for _, name := range []string{"alice", "ALICE", "\u212Aate", "a@b", "pg_x"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, claim string) {
		name, err := DatabaseUser{}.of(connect.Identity{Claims: map[string]any{"preferred_username": claim}})
		if err != nil {
			return
		}
		// Only the case may differ, and only of ASCII letters.
		if len(name) != len(claim) || !strings.EqualFold(name, claim) || strings.ContainsFunc(name, func(r rune) bool { return r > 0x7e || r < 0x21 || 'A' <= r && r <= 'Z' }) {
			t.Errorf("%q became %q", claim, name)
		}
	})
}
