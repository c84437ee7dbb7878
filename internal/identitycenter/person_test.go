package identitycenter

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/connect"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
)

const (
	application = "arn:aws:sso::123456789012:application/ssoins-7223abcd0000feed/apl-0123456789abcdef"
	issuer      = "https://identitycenter.amazonaws.com/ssoins-7223abcd0000feed"
)

var now = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func newAdapter(t *testing.T, store string) *Adapter {
	t.Helper()
	a, err := New(Config{
		ApplicationARN: application, Region: "eu-central-1", Endpoint: "http://127.0.0.1:1", StoreEndpoint: store,
		Credentials: identity.Static("ASIAX", "secret", "session", ""), Now: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func idToken(claims map[string]any) string {
	payload, _ := json.Marshal(claims)
	return "e30." + base64.RawURLEncoding.EncodeToString(payload) + ".sig"
}

// newStore is a directory in which there is one person, whoever is asked for.
func newStore(t *testing.T, id string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"UserId":"` + id + `","UserName":"ann","DisplayName":"Ann","Emails":[{"Value":"old@example.com"},{"Value":"ann@example.com","Primary":true}]}`))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestIDTokenOfAnotherNamesNobody(t *testing.T) {
	t.Parallel()
	a := newAdapter(t, newStore(t, "u-1"))
	good := map[string]any{"iss": issuer, "aud": application, "sub": "u-1", "exp": now.Add(time.Hour).Unix(), "aws:identity_store_id": "d-1234567890"}
	who, err := a.Identify(t.Context(), connect.Tokens{ID: idToken(good)})
	if err != nil || who.Subject != "u-1" || who.Username != "ann" || who.Email != "ann@example.com" || who.Claims["preferred_username"] != "ann" {
		t.Fatalf("%+v, %v", who, err)
	}
	for name, test := range map[string]struct {
		claim string
		value any
		says  string
	}{
		"another instance":      {"iss", "https://identitycenter.amazonaws.com/ssoins-7223abcd0000beef", "expected issuer"},
		"another application":   {"aud", application + "0", "expected audience"},
		"nobody":                {"sub", "", "sub or aws:identity_store_id is missing"},
		"no directory":          {"aws:identity_store_id", nil, "sub or aws:identity_store_id is missing"},
		"expired":               {"exp", now.Unix(), "it has expired"},
		"somebody else's names": {"sub", "u-2", "about somebody else"},
		"two audiences":         {"aud", []string{application, application + "0"}, "expected audience"},
		"a number":              {"aud", 1, "expected audience"},
	} {
		changed := maps.Clone(good)
		changed[test.claim] = test.value
		if _, err := a.Identify(t.Context(), connect.Tokens{ID: idToken(changed)}); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, want %q in it", name, err, test.says)
		}
	}
	for _, token := range []string{"", "aoa-opaque", "a.!.c"} {
		if _, err := a.Identify(t.Context(), connect.Tokens{ID: token}); err == nil {
			t.Errorf("%q names somebody", token)
		}
	}
}

func TestApplicationSaysItsIssuer(t *testing.T) {
	t.Parallel()
	if got, err := IssuerOf(application); err != nil || got != issuer {
		t.Errorf("%s, %v", got, err)
	}
	for _, arn := range []string{
		"", "x", "arn:aws:iam::123456789012:role/x", "arn:aws:sso:::instance/ssoins-7223abcd0000feed",
		"arn:aws:sso::123456789012:application/ssoins-7223abcd0000feed", "arn:aws:sso::123456789012:application/evil/apl-1",
	} {
		if got, err := IssuerOf(arn); err == nil {
			t.Errorf("%s has issuer %s", arn, got)
		}
	}
}
