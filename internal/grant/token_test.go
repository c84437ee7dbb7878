package grant_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/secret"
)

func TestTokenFormat(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		token := grant.NewToken(grant.AccessToken).Reveal()
		if len(token) != 6+43+6 || !strings.HasPrefix(token, "sg_at_") || seen[token] {
			t.Fatalf("bad or repeated token %q", token)
		}
		seen[token] = true
		hash, err := grant.ParseToken(grant.AccessToken, token)
		if err != nil || hash != grant.HashToken(token) {
			t.Fatalf("ParseToken(%q) = %v, %v", token, hash, err)
		}
	}
}

func TestMutatedTokenIsMalformed(t *testing.T) {
	t.Parallel()
	token := grant.NewToken(grant.AccessToken).Reveal()
	malformed := func(name, presented string) {
		t.Helper()
		if _, err := grant.ParseToken(grant.AccessToken, presented); !errors.Is(err, grant.ErrMalformed) {
			t.Errorf("%s: ParseToken(%q) = %v, want ErrMalformed", name, presented, err)
		}
	}
	for i := range token {
		malformed("prefix of the token", token[:i])
		for bit := range 8 {
			b := []byte(token)
			b[i] ^= 1 << bit
			malformed("bit flip", string(b))
		}
	}
	malformed("empty", "")
	malformed("longer", token+"0")
	malformed("upper case", strings.ToUpper(token))
	malformed("lower case", strings.ToLower(token))
	malformed("other kind", grant.NewToken(grant.RefreshToken).Reveal())
	malformed("dots", strings.Repeat(".", 1<<20))
}

func FuzzParseToken(f *testing.F) {
	f.Add(grant.NewToken(grant.AccessToken).Reveal())
	f.Add("sg_at_")
	f.Fuzz(func(t *testing.T, presented string) {
		if hash, err := grant.ParseToken(grant.AccessToken, presented); err == nil && hash != grant.HashToken(presented) {
			t.Errorf("accepted %q with another hash", presented)
		}
	})
}

func TestSuccessorIsDerivedFromTokenKeyFamilyAndGeneration(t *testing.T) {
	t.Parallel()
	first := grant.NewToken(grant.RefreshToken)
	next := func(from secret.Text, key, family string, generation int64) string {
		t.Helper()
		token, err := grant.Successor(from, []byte(key), family, generation)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := grant.ParseToken(grant.RefreshToken, token.Reveal()); err != nil {
			t.Fatalf("successor is no refresh token: %v", err)
		}
		return token.Reveal()
	}
	want := next(first, "key", "fam_1", 2)
	if next(first, "key", "fam_1", 2) != want {
		t.Error("the same input gives two successors")
	}
	for name, got := range map[string]string{
		"token":      next(grant.NewToken(grant.RefreshToken), "key", "fam_1", 2),
		"key":        next(first, "other", "fam_1", 2),
		"family":     next(first, "key", "fam_2", 2),
		"generation": next(first, "key", "fam_1", 3),
	} {
		if got == want {
			t.Errorf("another %s gives the same successor", name)
		}
	}
}

func TestRotationRule(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	current, previous, older := grant.Hash{3}, grant.Hash{2}, grant.Hash{1}
	family := grant.Family{Generation: 3, Current: current, Previous: previous, RotatedAt: now}
	for _, c := range []struct {
		name      string
		presented grant.Hash
		after     time.Duration
		want      grant.Rotation
	}{
		{"the current token", current, 0, grant.Advance},
		{"the current token, much later", current, 30 * 24 * time.Hour, grant.Advance},
		{"its predecessor, at once", previous, 0, grant.Repeat},
		{"its predecessor, at 59 s", previous, 59 * time.Second, grant.Repeat},
		{"its predecessor, at 60 s", previous, 60 * time.Second, grant.Reuse},
		{"an older generation", older, 0, grant.Reuse},
		{"a stranger", grant.Hash{9}, 0, grant.Reuse},
	} {
		if got := family.Decide(c.presented, now.Add(c.after), grant.RetryBearer); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	fresh := grant.Family{Generation: 1, Current: current, RotatedAt: now}
	if got := fresh.Decide(grant.Hash{}, now, grant.RetryBearer); got != grant.Reuse {
		t.Errorf("the zero hash in a family never refreshed: %v, want Reuse", got)
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	scopes, err := grant.ParseScopes("sql:read warehouse:sales sql:read offline_access")
	if err != nil || scopes.String() != "sql:read warehouse:sales offline_access" {
		t.Fatalf("ParseScopes = %q, %v", scopes, err)
	}
	if got := scopes.Warehouses(); len(got) != 1 || got[0] != "sales" {
		t.Errorf("Warehouses() = %q", got)
	}
	if scopes.Within(grant.Scopes{"sql:read"}) || !(grant.Scopes{"sql:read"}).Within(scopes) {
		t.Error("Within is wrong")
	}
	for _, bad := range []string{" ", "a  b", "a ", "a\tb", `a"b`, "ä", "a\\b", "a\nb"} {
		if _, err := grant.ParseScopes(bad); !errors.Is(err, grant.ErrScope) {
			t.Errorf("ParseScopes(%q) = %v, want ErrScope", bad, err)
		}
	}
}
