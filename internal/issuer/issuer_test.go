package issuer

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"

	"github.com/shiftgrant/shiftgrant/internal/secret"
)

const (
	issuerURL = "https://gw.example.com"
	audience  = "redshift-gateway"
)

var start = time.Date(2026, 11, 23, 13, 0, 0, 0, time.UTC)

func newIssuer(t *testing.T, now *time.Time) *Issuer {
	t.Helper()
	keys, err := OpenKeys(filepath.Join(t.TempDir(), "keys"), *now)
	if err != nil {
		t.Fatal(err)
	}
	i, err := New(Config{URL: issuerURL, Keys: keys, ReservedAudiences: []string{audience}, Now: func() time.Time { return *now }})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// verify checks a token as an outsider does, with the published keys alone, and gives its claims.
func verify(t *testing.T, i *Issuer, token secret.Text) map[string]any {
	t.Helper()
	parsed, err := jwt.ParseSigned(token.Reveal(), []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(i.JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	header := parsed.Headers[0]
	if header.ExtraHeaders["typ"] != "JWT" || len(set.Key(header.KeyID)) != 1 {
		t.Fatalf("header %+v names no published key", header)
	}
	claims := map[string]any{}
	if err := parsed.Claims(set.Key(header.KeyID)[0], &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// TestAssertionClaims is the form that AWS documents, byte for byte but for the jti.
func TestAssertionClaims(t *testing.T) {
	t.Parallel()
	now := start
	i := newIssuer(t, &now)
	token, err := i.Assertion(t.Context(), Subject{ID: "per_1", Audience: audience, Email: "alice@example.com", DatabaseUser: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	claims := verify(t, i, token)
	id, _ := claims["jti"].(string)
	if len(id) < 22 {
		t.Errorf("jti %q", id)
	}
	claims["jti"] = "fresh"
	got, err := json.MarshalIndent(claims, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/assertion.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.TrimSpace(string(want)), string(got)); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
}

func TestAssertionLeavesOutWhatIsNotKnown(t *testing.T) {
	t.Parallel()
	now := start
	i := newIssuer(t, &now)
	token, err := i.Assertion(t.Context(), Subject{ID: "per 1|x", Audience: audience, Lifetime: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	claims := verify(t, i, token)
	for _, name := range []string{"email", "https://aws.amazon.com/tags"} {
		if value, found := claims[name]; found {
			t.Errorf("%s is %v", name, value)
		}
	}
	if name, _ := claims["https://aws.amazon.com/source_identity"].(string); !sourceIdentities.MatchString(name) || strings.Contains(name, "per") {
		t.Errorf("source identity %q, want a hash", name)
	}
	unnamed, err := i.Assertion(t.Context(), Subject{ID: "gateway", Audience: audience, Unnamed: true})
	if err != nil {
		t.Fatal(err)
	}
	if name, found := verify(t, i, unnamed)["https://aws.amazon.com/source_identity"]; found {
		t.Errorf("an assertion without a source identity has %v", name)
	}
	if life := claims["exp"].(float64) - claims["iat"].(float64); life != 60 {
		t.Errorf("life %v", life)
	}
}

func TestEveryAssertionHasAnIDOfItsOwn(t *testing.T) {
	t.Parallel()
	now := start
	i := newIssuer(t, &now)
	seen := map[any]bool{}
	for range 20 {
		token, err := i.Assertion(t.Context(), Subject{ID: "per_1", Audience: audience})
		if err != nil {
			t.Fatal(err)
		}
		seen[verify(t, i, token)["jti"]] = true
	}
	if len(seen) != 20 {
		t.Errorf("%d ids of 20 assertions", len(seen))
	}
}

func TestAssertionsAndIDTokensNeverMeet(t *testing.T) {
	t.Parallel()
	now := start
	i := newIssuer(t, &now)
	for name, subject := range map[string]Subject{
		"an app's audience":     {ID: "per_1", Audience: "stargazer"},
		"no audience":           {ID: "per_1"},
		"nobody":                {Audience: audience},
		"too long a life":       {ID: "per_1", Audience: audience, Lifetime: 6 * time.Minute},
		"a life that is over":   {ID: "per_1", Audience: audience, Lifetime: -time.Second},
		"a wildcard":            {ID: "per_1", Audience: audience, DatabaseUser: "*"},
		"a path":                {ID: "per_1", Audience: audience, DatabaseUser: "a/b"},
		"capitals":              {ID: "per_1", Audience: audience, DatabaseUser: "Alice"},
		"a database user of 65": {ID: "per_1", Audience: audience, DatabaseUser: strings.Repeat("a", 65)},
		"a line end":            {ID: "per_1", Audience: audience, DatabaseUser: "alice\n"},
	} {
		if _, err := i.Assertion(t.Context(), subject); err == nil {
			t.Errorf("an assertion was made for %s", name)
		}
	}
	for name, token := range map[string]IDToken{
		"AWS's audience":  {Subject: "per_1", Audience: audience},
		"no audience":     {Subject: "per_1"},
		"nobody":          {Audience: "stargazer"},
		"too long a life": {Subject: "per_1", Audience: "stargazer", Lifetime: 2 * time.Hour},
	} {
		if _, err := i.IDToken(t.Context(), token); err == nil {
			t.Errorf("an ID token was made for %s", name)
		}
	}
	if !i.Reserved(audience) || i.Reserved("stargazer") {
		t.Error("Reserved does not tell audiences apart")
	}
	token, err := i.IDToken(t.Context(), IDToken{Subject: "per_1", Audience: "stargazer", Name: "Alice", Email: "a@example.com", Username: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	for name := range verify(t, i, token) {
		if strings.Contains(name, "aws.amazon.com") || name == "jti" {
			t.Errorf("the ID token has %s", name)
		}
	}
}

// keySet is how go-oidc sees our published keys.
type keySet struct{ issuer *Issuer }

func (k keySet) VerifySignature(_ context.Context, token string) ([]byte, error) {
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(k.issuer.JWKS(), &set); err != nil {
		return nil, err
	}
	parsed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return nil, err
	}
	return parsed.Verify(set)
}

func TestIDTokenPassesAnIndependentVerifier(t *testing.T) {
	t.Parallel()
	now := start
	i := newIssuer(t, &now)
	token, err := i.IDToken(t.Context(), IDToken{
		Subject: "per_1", Audience: "stargazer", Nonce: "n-1", AuthTime: start.Add(-time.Minute), AccessToken: secret.New("sg_at_x"),
		Name: "Alice Anders", Email: "alice@example.com", EmailVerified: true, Username: "alice",
	})
	if err != nil {
		t.Fatal(err)
	}
	verifier := oidc.NewVerifier(issuerURL, keySet{i}, &oidc.Config{ClientID: "stargazer", Now: func() time.Time { return now }})
	verified, err := verifier.Verify(t.Context(), token.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	if verified.Subject != "per_1" || verified.Nonce != "n-1" || !verified.Expiry.Equal(start.Add(5*time.Minute)) {
		t.Errorf("token %+v", verified)
	}
	if err := verified.VerifyAccessToken("sg_at_x"); err != nil {
		t.Error(err)
	}
	var got map[string]any
	if err := verified.Claims(&got); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"name": "Alice Anders", "email": "alice@example.com", "email_verified": true, "preferred_username": "alice",
		"auth_time": float64(start.Add(-time.Minute).Unix()),
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	now = start.Add(6 * time.Minute)
	if _, err := verifier.Verify(t.Context(), token.Reveal()); err == nil {
		t.Error("an expired token passed")
	}
}

func TestKeysAreMadeOnceAndKept(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "data", "keys")
	first, err := OpenKeys(folder, start)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "signing-20261123T130000Z.pem")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode())
	}
	files, err := os.ReadDir(folder)
	if err != nil || len(files) != 1 {
		t.Errorf("files %v, %v; want the key alone", files, err)
	}
	again, err := OpenKeys(folder, start.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.published(start), again.published(start)) {
		t.Error("the second start has other keys")
	}
	if text := string(first.published(start)); strings.Contains(text, `"d"`) || strings.Contains(text, `"p"`) {
		t.Error("a private part is published")
	}
}

// keysIn makes keys in a folder.
func keysIn(folder string) *Keys { return &Keys{folder: folder, generate: generateKey} }

func TestKeysTakeTurns(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	next := start.Add(24 * time.Hour)
	for _, from := range []time.Time{start, next} {
		if err := keysIn(folder).makeKey(from); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := OpenKeys(folder, start)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		at        time.Time
		signing   int
		published []int
	}{
		{start, 0, []int{0, 1}}, // the next one is known a day ahead
		{next.Add(-time.Second), 0, []int{0, 1}},
		{next, 1, []int{0, 1}}, // what the old one signed is still about
		{next.Add(keepPublished - time.Second), 1, []int{0, 1}},
		{next.Add(keepPublished), 1, []int{1}},
	} {
		if got := keys.signing(row.at).id; got != (*keys.current.Load())[row.signing].id {
			t.Errorf("at %s signs key %s", row.at, got)
		}
		var set jose.JSONWebKeySet
		if err := json.Unmarshal(keys.published(row.at), &set); err != nil {
			t.Fatal(err)
		}
		for _, n := range row.published {
			if len(set.Key((*keys.current.Load())[n].id)) != 1 {
				t.Errorf("at %s key %d is not published", row.at, n)
			}
		}
		if len(set.Keys) != len(row.published) {
			t.Errorf("at %s %d keys are published, want %d", row.at, len(set.Keys), len(row.published))
		}
	}
}

func TestKeyFilesThatAreNotSafeAreRefused(t *testing.T) {
	t.Parallel()
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(key any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: keyBlockType, Bytes: der})
	}
	good := t.TempDir()
	if err := keysIn(good).makeKey(start); err != nil {
		t.Fatal(err)
	}
	const name = "signing-20261123T130000Z.pem"
	valid, err := os.ReadFile(filepath.Join(good, name))
	if err != nil {
		t.Fatal(err)
	}
	for what, row := range map[string]struct {
		name    string
		mode    os.FileMode
		content []byte
		says    string
	}{
		"others can read it": {name, 0o640, valid, "chmod 600"},
		"no time":            {"signing-new.pem", 0o600, valid, "from which it signs"},
		"too small":          {name, 0o600, encode(small), "2048"},
		"another kind":       {name, 0o600, encode(curve), "RSA"},
		"empty":              {name, 0o600, nil, "PEM"},
		"cut":                {name, 0o600, valid[:200], "PEM"},
		"damaged":            {name, 0o600, pem.EncodeToMemory(&pem.Block{Type: keyBlockType, Bytes: []byte("x")}), "backup"},
		"two keys":           {name, 0o600, append(bytes.Clone(valid), valid...), "one PEM block"},
		"from the future":    {"signing-20991123T130000Z.pem", 0o600, valid, "clock"},
	} {
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, row.name), row.content, row.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenKeys(folder, start); err == nil || !strings.Contains(err.Error(), row.says) || !strings.Contains(err.Error(), folder) {
			t.Errorf("%s: error %v, want one that says %q", what, err, row.says)
		}
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	t.Parallel()
	for _, config := range []Config{
		{}, {URL: issuerURL}, {Keys: &Keys{}}, {URL: issuerURL, Keys: &Keys{}, ReservedAudiences: []string{""}},
	} {
		if _, err := New(config); err == nil {
			t.Errorf("%+v was taken", config)
		}
	}
}

func BenchmarkAssertion(b *testing.B) {
	keys, err := OpenKeys(b.TempDir(), start)
	if err != nil {
		b.Fatal(err)
	}
	i, err := New(Config{URL: issuerURL, Keys: keys, ReservedAudiences: []string{audience}})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := i.Assertion(b.Context(), Subject{ID: "per_1", Audience: audience, DatabaseUser: "alice"}); err != nil {
			b.Fatal(err)
		}
	}
}

func TestAddedKeyIsPublishedAheadOfItsTime(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	keys, err := OpenKeys(folder, start)
	if err != nil {
		t.Fatal(err)
	}
	other, err := OpenKeys(folder, start) // of another gateway
	if err != nil {
		t.Fatal(err)
	}
	first := keys.signing(start).id
	added, err := keys.Add(start.Add(24*time.Hour), start)
	if err != nil || added.State != Ahead || added.ID == first {
		t.Fatalf("%+v, %v", added, err)
	}
	if err := other.Reload(start); err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]*Keys{"where it was added": keys, "the other gateway": other} {
		if !strings.Contains(string(k.published(start)), added.ID) || k.signing(start).id != first {
			t.Errorf("%s: not published, or signing too early", name)
		}
		if k.signing(start.Add(24*time.Hour)).id != added.ID || !strings.Contains(string(k.published(start.Add(24*time.Hour))), first) {
			t.Errorf("%s: a day later it does not sign, or the key before is gone", name)
		}
	}
	if list := keys.List(start); len(list) != 2 || list[0].State != Signs || list[1] != added {
		t.Errorf("list %+v", list)
	}
	// One of the same time takes nobody's place: it comes a second later.
	second, err := keys.Add(start.Add(24*time.Hour), start)
	if err != nil || !second.From.Equal(added.From.Add(time.Second)) || len(keys.List(start)) != 3 {
		t.Errorf("%+v, %v: want a key of the next second", second, err)
	}
}
