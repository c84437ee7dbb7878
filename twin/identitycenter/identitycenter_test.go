package identitycenter_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/shiftgrant/shiftgrant/twin/identitycenter"
)

var ann = identitycenter.Person{UserID: "u-ann", UserName: "ann@example.com", Email: "ann@example.com", Groups: []string{"analysts"}}

// A world is an instance with one issuer and one application, and a clock.
type world struct {
	*identitycenter.Center
	now         time.Time
	issuer      string
	application string
	key         jose.JSONWebKey
}

func newWorld(t testing.TB) *world {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{now: time.Now(), key: jose.JSONWebKey{Key: private, KeyID: "k1", Algorithm: "RS256", Use: "sig"}}
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	w.issuer = server.URL
	mux.HandleFunc("/.well-known/openid-configuration", func(rw http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(rw).Encode(map[string]string{"issuer": server.URL, "jwks_uri": server.URL + "/keys"})
	})
	mux.HandleFunc("/keys", func(rw http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(rw).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{w.key.Public()}})
	})
	w.Center, err = identitycenter.New(identitycenter.Config{Account: "123456789012", Region: "us-east-1", People: []identitycenter.Person{ann}, Now: func() time.Time { return w.now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	trusted, err := w.CreateIssuer(identitycenter.Issuer{Name: "gw", URL: w.issuer, ClaimPath: "profile.mail", StorePath: "emails.value"})
	if err != nil {
		t.Fatal(err)
	}
	made, err := w.CreateApplication(identitycenter.CustomApplication, "app", "")
	if err != nil {
		t.Fatal(err)
	}
	w.application = made.ARN
	grant := identitycenter.Grant{Issuers: []identitycenter.TrustedIssuer{{IssuerARN: trusted.ARN, Audiences: []string{"aud"}}}}
	if err := errors.Join(w.PutGrant(made.ARN, identitycenter.JWTBearer, grant), w.PutGrant(made.ARN, identitycenter.RefreshToken, identitycenter.Grant{})); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) assertion(t testing.TB) string {
	t.Helper()
	with, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: w.key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(with).Claims(map[string]any{
		"iss": w.issuer, "sub": "s", "aud": "aud", "jti": rand.Text(), "profile": map[string]string{"mail": ann.Email},
		"iat": w.now.Unix(), "exp": w.now.Add(time.Minute).Unix(),
	}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (w *world) assign(t testing.TB, ids ...string) {
	t.Helper()
	if err := w.Change(w.application, func(a *identitycenter.Application) error { a.Assigned = ids; return nil }); err != nil {
		t.Fatal(err)
	}
}

func reason(err error) identitycenter.Reason {
	refused, ok := errors.AsType[*identitycenter.Refusal](err)
	if !ok {
		return ""
	}
	return refused.Reason
}

func TestPeopleNeedAnAssignmentUntilNobodyDoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.ByAssertion(t.Context(), w.application, w.assertion(t), nil); reason(err) != identitycenter.AccessDenied {
		t.Errorf("without an assignment: %v", err)
	}
	w.assign(t, ann.UserID)
	tokens, err := w.ByAssertion(t.Context(), w.application, w.assertion(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	w.assign(t)
	if _, err := w.ByRefresh(w.application, tokens.RefreshToken); reason(err) != identitycenter.AccessDenied {
		t.Errorf("a refresh after the assignment has ended: %v", err)
	}
}

func TestARefreshTokenIsReplacedAndEndsWithItsPerson(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.assign(t, ann.UserID)
	first, err := w.ByAssertion(t.Context(), w.application, w.assertion(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	second, err := w.ByRefresh(w.application, first.RefreshToken)
	if err != nil || second.RefreshToken == first.RefreshToken {
		t.Fatalf("refreshed to %+v, %v", second, err)
	}
	if _, err := w.ByRefresh(w.application, first.RefreshToken); reason(err) != identitycenter.InvalidGrant {
		t.Errorf("the first one again: %v", err)
	}
	if _, err := w.ByRefresh("another", second.RefreshToken); reason(err) != identitycenter.InvalidGrant {
		t.Errorf("another application's: %v", err)
	}
	w.RemovePerson(ann.UserName)
	if _, err := w.ByRefresh(w.application, second.RefreshToken); reason(err) != identitycenter.InvalidGrant {
		t.Errorf("of somebody who was deleted: %v", err)
	}
}

func TestAContextIsSealedAndEnds(t *testing.T) {
	t.Parallel()
	w, other := newWorld(t), newWorld(t)
	w.assign(t, ann.UserID)
	tokens, err := w.ByAssertion(t.Context(), w.application, w.assertion(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.ByAssertion(t.Context(), w.application, w.assertion(t), []string{identitycenter.RedshiftScope}); reason(err) != identitycenter.InvalidScope {
		t.Errorf("a scope that the application has not: %v", err)
	}
	person, err := w.Context(tokens.IdentityContext)
	if err != nil || person.UserName != ann.UserName || person.MayConnect {
		t.Errorf("the context is %+v, %v", person, err)
	}
	for name, text := range map[string]string{"another instance's": contextOf(t, other), "a changed one": tokens.IdentityContext[1:] + "A", "none": ""} {
		if _, err := w.Context(text); !errors.Is(err, identitycenter.ErrContext) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.now = w.now.Add(time.Hour)
	if _, err := w.Context(tokens.IdentityContext); !errors.Is(err, identitycenter.ErrContextExpired) {
		t.Errorf("an hour later: %v", err)
	}
	if _, _, err := w.Holder(tokens.AccessToken); reason(err) != identitycenter.ExpiredToken {
		t.Errorf("the access token an hour later: %v", err)
	}
}

// contextOf gives an identity context of another world.
func contextOf(t *testing.T, w *world) string {
	t.Helper()
	w.assign(t, ann.UserID)
	tokens, err := w.ByAssertion(t.Context(), w.application, w.assertion(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	return tokens.IdentityContext
}

func FuzzNobodyIsTrustedWithoutASignature(f *testing.F) {
	w := newWorld(f)
	w.assign(f, ann.UserID)
	genuine := w.assertion(f)
	f.Add(genuine[:len(genuine)-4])
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add("")
	f.Fuzz(func(t *testing.T, token string) {
		if spelledAlike(token, genuine) {
			return
		}
		if p, err := w.Trust(t.Context(), w.application, token); err == nil {
			t.Errorf("%q is trusted to be %s", token, p.UserName)
		}
	})
}

// spelledAlike reports whether two tokens are the same but for bits that base64 leaves over.
func spelledAlike(a, b string) bool {
	i, j := strings.LastIndexByte(a, '.'), strings.LastIndexByte(b, '.')
	if a[:max(i, 0)] != b[:j] {
		return false
	}
	one, err := base64.RawURLEncoding.DecodeString(a[i+1:])
	other, _ := base64.RawURLEncoding.DecodeString(b[j+1:])
	return err == nil && bytes.Equal(one, other)
}
