package connect_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/shiftgrant/shiftgrant/connect"
)

func TestMetadataIsReadOnceAnHour(t *testing.T) {
	t.Parallel()
	const path = "/.well-known/openid-configuration"
	i := newIssuer(t)
	a := newApp(t, i, nil)
	if n := i.count(path); n != 0 {
		t.Fatalf("New has asked the issuer %d times", n)
	}
	for range 3 {
		a.login(t, "/login")
	}
	if n := i.count(path); n != 1 {
		t.Errorf("%d questions in an hour", n)
	}
	i.pass(time.Hour)
	a.login(t, "/login")
	if n := i.count(path); n != 2 {
		t.Errorf("%d questions in two hours", n)
	}
	// What was read goes on being used while the issuer is away.
	i.set(func() { i.metadata = map[string]any{"issuer": "https://broken.example"} })
	i.pass(2 * time.Hour)
	a.login(t, "/login")
}

func TestAnIssuerThatIsAwayIsAskedAgain(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	i.metadata = map[string]any{"issuer": nil}
	a := newApp(t, i, nil)
	for range 5 {
		if got := a.do(a.Login, http.MethodGet, "/login"); got.StatusCode != http.StatusTeapot {
			t.Fatalf("%d", got.StatusCode)
		}
	}
	a.refused(t, "no metadata", connect.Unavailable)
	if n := i.count("/.well-known/openid-configuration"); n != 1 {
		t.Errorf("asked %d times within a second", n)
	}
	i.set(func() { i.metadata = nil })
	i.pass(time.Second)
	a.login(t, "/login")
}

func TestMetadataIsChecked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		said map[string]any
		good bool
	}{
		"as it should be":            {nil, true},
		"no list of methods":         {map[string]any{"code_challenge_methods_supported": nil}, true},
		"another issuer":             {map[string]any{"issuer": "https://idp.example"}, false},
		"a slash more":               {map[string]any{"issuer": "/"}, false},
		"plain challenges only":      {map[string]any{"code_challenge_methods_supported": []string{"plain"}}, false},
		"an endpoint without TLS":    {map[string]any{"token_endpoint": "http://idp.example/token"}, false},
		"authorization without TLS":  {map[string]any{"authorization_endpoint": "http://idp.example/"}, false},
		"keys without TLS":           {map[string]any{"jwks_uri": "http://idp.example/keys"}, false},
		"revocation without TLS":     {map[string]any{"revocation_endpoint": "http://idp.example/"}, false},
		"no token endpoint":          {map[string]any{"token_endpoint": nil}, false},
		"no keys":                    {map[string]any{"jwks_uri": nil}, false},
		"an endpoint that is a path": {map[string]any{"token_endpoint": "/token"}, false},
		"credentials in an endpoint": {map[string]any{"token_endpoint": "https://a:b@idp.example/token"}, false},
		"an endpoint that is a list": {map[string]any{"token_endpoint": []string{"https://idp.example/"}}, false},
		"a script for an endpoint":   {map[string]any{"authorization_endpoint": "javascript:alert(1)"}, false},
	} {
		i := newIssuer(t)
		i.metadata = c.said
		a := newApp(t, i, nil)
		if got := a.do(a.Login, http.MethodGet, "/login"); (got.StatusCode == http.StatusSeeOther) != c.good {
			t.Errorf("%s: %d, %v", name, got.StatusCode, a.failures)
		}
	}
}

// answering is a transport that answers everything alike.
type answering func(*http.Request) (int, string, string)

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	status, kind, body := a(r)
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {kind}, "Location": {"https://evil.example/"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r,
	}, nil
}

func TestWhatIsNoMetadata(t *testing.T) {
	t.Parallel()
	const good = `{"issuer":"https://idp.example","authorization_endpoint":"https://idp.example/a","token_endpoint":"https://idp.example/t","jwks_uri":"https://idp.example/k"}`
	for name, c := range map[string]struct {
		status     int
		kind, body string
		good       bool
	}{
		"as it should be":   {200, "application/json; charset=utf-8", good, true},
		"a redirect":        {302, "application/json", good, false},
		"not found":         {404, "application/json", good, false},
		"a page":            {200, "text/html", good, false},
		"no JSON":           {200, "application/json", "hello", false},
		"an endless answer": {200, "application/json", good[:1] + strings.Repeat(" ", 2<<20) + good[1:], false},
		"a member twice":    {200, "application/json", good[:1] + `"issuer":"https://evil.example",` + good[1:], false},
		"more behind it":    {200, "application/json", good + "{}", false},
	} {
		i := newIssuer(t)
		a := newApp(t, i, func(config *connect.Config) {
			config.Issuer = "https://idp.example"
			config.HTTPClient = &http.Client{Transport: answering(func(*http.Request) (int, string, string) { return c.status, c.kind, c.body })}
		})
		if got := a.do(a.Login, http.MethodGet, "/login"); (got.StatusCode == http.StatusSeeOther) != c.good {
			t.Errorf("%s: %d, %v", name, got.StatusCode, a.failures)
		}
	}
}

// Without openid the metadata of OAuth is read, whose path goes in front of the issuer's own
// (RFC 8414 §3.1).
func TestMetadataOfIssuersWithAPath(t *testing.T) {
	t.Parallel()
	for scopes, want := range map[string]string{
		"openid sql:read": "https://idp.example/tenant/one/.well-known/openid-configuration",
		"sql:read":        "https://idp.example/.well-known/oauth-authorization-server/tenant/one",
	} {
		asked := ""
		a := newApp(t, newIssuer(t), func(config *connect.Config) {
			config.Issuer, config.Scopes = "https://idp.example/tenant/one", strings.Fields(scopes)
			config.HTTPClient = &http.Client{Transport: answering(func(r *http.Request) (int, string, string) {
				asked = r.URL.String()
				return 404, "", ""
			})}
		})
		a.do(a.Login, http.MethodGet, "/login")
		if asked != want {
			t.Errorf("%s: asked %s, want %s", scopes, asked, want)
		}
	}
}

func TestAppsWithoutOpenIDHaveNobodysName(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	a := newApp(t, i, func(c *connect.Config) { c.Scopes = []string{"sql:read"} })
	session := a.signIn(t)
	if who := session.Identity(); who.Subject != "" || who.Issuer != i.server.URL {
		t.Errorf("identity %+v", who)
	}
	if i.count("/jwks") != 0 {
		t.Error("keys were read")
	}
}

// Tokens with made-up keys do not become a flood of questions to the issuer.
func TestAStormOfUnknownKeysIsTwoQuestions(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	a := newApp(t, i, nil)
	a.signIn(t)
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	storm := func(first int) {
		for n := range 100 {
			i.set(func() {
				i.idToken = func(nonce, access string) string {
					payload, _ := json.Marshal(i.claims(nonce, access))
					return signRaw(jose.ES256, jose.JSONWebKey{Key: stranger, KeyID: fmt.Sprint("made-up-", first+n)}, payload)
				}
			})
			clear(a.cookies)
			a.callback(i.authorize(a.login(t, "/login")))
			a.refused(t, "a made-up key", connect.Refused)
		}
	}
	storm(0)
	if n := i.count("/jwks"); n > 2 {
		t.Errorf("%d questions within ten seconds", n)
	}
	before := i.count("/jwks")
	i.pass(10 * time.Second)
	storm(100)
	if n := i.count("/jwks") - before; n > 2 {
		t.Errorf("%d more within the next ten", n)
	}
	// The issuer's own new key is known at the next question.
	i.pass(10 * time.Second)
	i.set(func() { i.key, i.idToken = stranger, nil })
	a.signIn(t)
}
