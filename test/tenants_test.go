package test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/shiftgrant/shiftgrant/connect"
	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/person"
	"github.com/shiftgrant/shiftgrant/twin/sts"
)

// tenants is one gateway that serves three organisations: the default one, acme and globex. They
// have the same IdP with the same client and the same app, and globex says that it has acme's role,
// so that nothing but the tenant keeps one out of another. That role trusts acme's issuer alone, and
// the default tenant's role the default issuer.
type tenants struct {
	*servedGateway
	twin   *twin.Twin
	config string // path
}

const (
	tenantApp      = "test-app"
	tenantRedirect = "http://127.0.0.1/callback"
)

// at is the issuer of a tenant; "" is the default one.
func (s *tenants) at(tenant string) string {
	if tenant == "" {
		return s.url
	}
	return s.url + "/t/" + tenant
}

func startTenants(t *testing.T) *tenants {
	t.Helper()
	port := freePort(t)
	gatewayURL := fmt.Sprintf("http://localhost:%d", port)
	var callbacks []string
	for _, tenant := range []string{"", "/t/acme", "/t/globex"} {
		callbacks = append(callbacks, gatewayURL+tenant+"/signin/callback/twin")
	}
	world, err := twin.Start(t.Context(), twin.Config{Listen: "127.0.0.1:0", Issuer: gatewayURL + "/t/acme", GatewayRedirectURIs: callbacks})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = world.Close() })
	_, name, _ := strings.Cut(gatewayURL, "://")
	acmes, _ := world.STS.Role(twin.RoleName)
	own := sts.Role{Name: "default-tenant", ID: "AROATWINDEFAULTTENANT", TrustPolicy: strings.ReplaceAll(acmes.TrustPolicy, name+"/t/acme", name)}
	if err := errors.Join(world.STS.PutProvider(sts.Provider{URL: gatewayURL, ClientIDs: []string{twin.Audience}}), world.STS.PutRole(own)); err != nil {
		t.Fatal(err)
	}
	rooms := func(indent, role string) string {
		return strings.ReplaceAll(fmt.Sprintf(`upstreams:
  - {name: twin, issuer: "%[1]s", client_id: %[2]s, client_secret: env:UPSTREAM_SECRET, scopes: [openid, profile, email, offline_access]}
warehouses:
  - {name: tickit, region: %[3]s, cluster: %[4]s, database: dev, data_api_endpoint: "%[5]s", identity: {role_arn: "%[6]s", sts_endpoint: "%[5]s"}}
apps:
  - {id: %[7]s, type: public, redirect_uris: ["%[8]s"]}
`, world.IdPIssuer(), twin.ClientID, twin.Region, twin.Cluster, world.URL(), role, tenantApp, tenantRedirect), "\n", "\n"+indent)
	}
	g := serveConfig(t, gatewayURL, port, twin.DefaultClientSecret, rooms("", world.STS.RoleARN(own.Name))+`tenants:
  - name: acme
    display_name: Acme Ltd
    `+rooms("    ", twin.RoleARN)+`
  - name: globex
    lifetimes: {access_token: 5m}
    `+rooms("    ", twin.RoleARN))
	return &tenants{servedGateway: g, twin: world, config: filepath.Join(filepath.Dir(g.data), "shiftgrant.yaml")}
}

// An app at a tenant, as its developer would write it with package oauth2.
func (s *tenants) app(tenant string) *oauth2.Config {
	return &oauth2.Config{
		ClientID: tenantApp, RedirectURL: tenantRedirect, Scopes: []string{"openid", "sql:read", "offline_access"},
		Endpoint: oauth2.Endpoint{AuthURL: s.at(tenant) + "/oauth2/authorize", TokenURL: s.at(tenant) + "/oauth2/token", AuthStyle: oauth2.AuthStyleInParams},
	}
}

// code lets somebody allow the app at a tenant.
func (s *tenants) code(t *testing.T, who *person.Person, tenant string) (code, verifier string) {
	t.Helper()
	verifier = oauth2.GenerateVerifier()
	callback, err := who.Authorize(t.Context(), s.app(tenant).AuthCodeURL("state", oauth2.S256ChallengeOption(verifier)), person.Allow)
	if err != nil {
		t.Fatal(err)
	}
	if got := callback.Query().Get("iss"); got != s.at(tenant) {
		t.Fatalf("the answer is from %q, want %q", got, s.at(tenant))
	}
	return callback.Query().Get("code"), verifier
}

func (s *tenants) token(t *testing.T, who *person.Person, tenant string) *oauth2.Token {
	t.Helper()
	code, verifier := s.code(t, who, tenant)
	token, err := s.app(tenant).Exchange(t.Context(), code, oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// reply is what the gateway answered.
type reply struct {
	status int
	header http.Header
	body   string
}

func (r reply) field(t *testing.T, name string) string {
	t.Helper()
	var document map[string]any
	if err := json.Unmarshal([]byte(r.body), &document); err != nil {
		t.Fatalf("no JSON: %s", r.body)
	}
	value, _ := document[name].(string)
	return value
}

// send makes one request, and follows nothing.
func send(t *testing.T, method, address string, form url.Values, bearer string, cookies ...*http.Cookie) reply {
	t.Helper()
	var body io.Reader = http.NoBody
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	request, err := http.NewRequestWithContext(t.Context(), method, address, body)
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if bearer != "" {
		request.Header.Set("Authorization", "Bearer "+bearer)
	}
	for _, cookie := range cookies {
		request.AddCookie(cookie)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{response.StatusCode, response.Header, string(content)}
}

func TestTenants(t *testing.T) {
	t.Parallel()
	s := startTenants(t)
	t.Run("each is found by its own metadata", func(t *testing.T) { t.Parallel(); s.findEach(t) })
	t.Run("what is not there is not found", func(t *testing.T) { t.Parallel(); s.findNothing(t) })
	t.Run("an app connects, queries, refreshes and disconnects", func(t *testing.T) { t.Parallel(); s.connectAtTenant(t) })
	t.Run("a token of one never satisfies the provider of another", func(t *testing.T) { t.Parallel(); s.askAWS(t) })
	t.Run("nothing of one is taken by another", func(t *testing.T) { t.Parallel(); s.cross(t) })
	t.Run("two in one browser do not collide", func(t *testing.T) { t.Parallel(); s.shareBrowser(t) })
	t.Run("the command line signs in and queries", func(t *testing.T) { t.Parallel(); s.useCommandLine(t) })
	t.Run("a device is let in by a code", func(t *testing.T) { t.Parallel(); s.letDeviceIn(t) })
	t.Run("an operator chooses one", func(t *testing.T) { t.Parallel(); s.administrate(t) })
}

// findEach looks at both forms of the well-known paths: inserted before the issuer's path (RFC 8414
// §3.1, RFC 9728 §3.1), and appended to it (OpenID Connect Discovery §4, and AWS).
func (s *tenants) findEach(t *testing.T) {
	keys := map[string]string{}
	for _, tenant := range []string{"", "acme", "globex"} {
		issuer := s.at(tenant)
		path := strings.TrimPrefix(issuer, s.url)
		for _, document := range []string{"oauth-authorization-server", "openid-configuration"} {
			for _, address := range []string{s.url + "/.well-known/" + document + path, issuer + "/.well-known/" + document} {
				found := send(t, http.MethodGet, address, nil, "")
				if found.status != http.StatusOK || found.field(t, "issuer") != issuer || found.field(t, "token_endpoint") != issuer+"/oauth2/token" {
					t.Errorf("%s: %d, issuer %q, token endpoint %q", address, found.status, found.field(t, "issuer"), found.field(t, "token_endpoint"))
				}
			}
		}
		for _, address := range []string{s.url + "/.well-known/oauth-protected-resource" + path, issuer + "/.well-known/oauth-protected-resource"} {
			if found := send(t, http.MethodGet, address, nil, ""); found.status != http.StatusOK || found.field(t, "resource") != issuer {
				t.Errorf("%s: %d %s", address, found.status, found.body)
			}
		}
		challenge := send(t, http.MethodGet, issuer+"/v1/warehouses", nil, "").header.Get("WWW-Authenticate")
		if want := `resource_metadata="` + s.url + "/.well-known/oauth-protected-resource" + path + `"`; !strings.Contains(challenge, want) {
			t.Errorf("challenge %q, want %s", challenge, want)
		}
		var set struct {
			Keys []struct{ Kid string } `json:"keys"`
		}
		if err := json.Unmarshal([]byte(send(t, http.MethodGet, issuer+"/oauth2/jwks", nil, "").body), &set); err != nil || len(set.Keys) == 0 {
			t.Fatalf("keys of %s: %v, %v", issuer, set, err)
		}
		for _, key := range set.Keys {
			if other, published := keys[key.Kid]; published {
				t.Errorf("key %s is published by %s and by %s", key.Kid, other, issuer)
			}
			keys[key.Kid] = issuer
		}
	}
}

func (s *tenants) findNothing(t *testing.T) {
	for path, want := range map[string]int{
		"/t/":                                  http.StatusNotFound,
		"/t/initech/":                          http.StatusNotFound,
		"/t/initech/oauth2/token":              http.StatusNotFound,
		"/t/default/":                          http.StatusNotFound,
		"/t/acme/t/globex/":                    http.StatusNotFound,
		"/t/acme/healthz":                      http.StatusNotFound,
		"/t/acme/readyz":                       http.StatusNotFound,
		"/.well-known/openid-configuration/t/": http.StatusNotFound,
		"/.well-known/oauth-authorization-server/t/initech": http.StatusNotFound,
		"/t/acme/": http.StatusOK,
		"/healthz": http.StatusOK,
	} {
		if got := send(t, http.MethodGet, s.url+path, nil, ""); got.status != want {
			t.Errorf("%s: %d, want %d", path, got.status, want)
		}
	}
	if page := send(t, http.MethodGet, s.url+"/t/initech/", nil, ""); strings.Contains(page.body, "acme") || strings.Contains(page.body, "<a") {
		t.Errorf("a tenant that is not there says more than that:\n%s", page.body)
	}
	page := send(t, http.MethodGet, s.url+"/t/acme/nothing", nil, "")
	if page.status != http.StatusNotFound || !strings.Contains(page.body, "Acme Ltd") {
		t.Errorf("a path of acme that is not there: %d\n%s", page.status, page.body)
	}
	// A page of a tenant leads to no other; what it is drawn with is the same for all.
	for _, link := range regexp.MustCompile(`(?:href|action)="(/[^"]*)"`).FindAllStringSubmatch(page.body, -1) {
		if !strings.HasPrefix(link[1], "/t/acme/") && !strings.HasPrefix(link[1], "/assets/") {
			t.Errorf("the page of acme leads to %s", link[1])
		}
	}
}

// visit is an app of package connect, for one person.
type visit struct {
	client  *connect.Client
	cookies []*http.Cookie
	ahead   time.Duration // of the app's clock
}

func (s *tenants) visit(t *testing.T, issuer string, scopes ...string) *visit {
	t.Helper()
	v := &visit{}
	var err error
	v.client, err = connect.New(connect.Config{
		Issuer: issuer, ClientID: tenantApp, RedirectURL: tenantRedirect, Scopes: scopes, Key: make([]byte, 32),
		Now: func() time.Time { return time.Now().Add(v.ahead) },
	})
	if err != nil {
		t.Fatal(err)
	}
	begun := httptest.NewRecorder()
	v.client.Login(begun, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/login", nil))
	callback, err := person.New("alice", twin.Password).Authorize(t.Context(), begun.Header().Get("Location"), person.Allow)
	if err != nil {
		t.Fatal(err)
	}
	v.cookies = begun.Result().Cookies()
	ended := httptest.NewRecorder()
	v.client.Callback(ended, v.request(t, callback.String()))
	if ended.Code != http.StatusSeeOther {
		t.Fatalf("the callback answers %d: %s", ended.Code, ended.Body)
	}
	v.cookies = ended.Result().Cookies()
	return v
}

func (v *visit) request(t *testing.T, address string) *http.Request {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	for _, cookie := range v.cookies {
		request.AddCookie(cookie)
	}
	return request
}

func (v *visit) session(t *testing.T) *connect.Session {
	t.Helper()
	session, err := v.client.Session(v.request(t, "/"))
	if err != nil {
		t.Fatal(err)
	}
	return session
}

// connectAtTenant does what an app does, with OpenID Connect's discovery and with OAuth's alone.
func (s *tenants) connectAtTenant(t *testing.T) {
	for name, scopes := range map[string][]string{
		"OpenID": {"openid", "offline_access", "sql:read"},
		"OAuth":  {"offline_access", "sql:read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := s.visit(t, s.at("acme"), scopes...)
			rows, err := v.session(t).Query(t.Context(), "select current_user")
			if err != nil {
				t.Fatal(err)
			}
			var who string
			if !rows.Next() || rows.Scan(&who) != nil || who != "alice" || rows.Close() != nil {
				t.Errorf("in the warehouse the person is %q, %v", who, rows.Err())
			}
			before, err := v.session(t).Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			v.ahead = 10 * time.Minute // until the access token has expired for the app
			after, err := v.session(t).Token(t.Context())
			if err != nil || after == before {
				t.Fatalf("refreshed to the same token, or not at all: %v", err)
			}
			if err := v.session(t).End(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, token := range []string{before, after} {
				if got := send(t, http.MethodGet, s.at("acme")+"/v1/warehouses", nil, token); got.status != http.StatusUnauthorized {
					t.Errorf("a token after its grant was revoked: %d", got.status)
				}
			}
		})
	}
}

// post sends SQL.
func (s *tenants) post(t *testing.T, tenant, path, token, sql string) reply {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.at(tenant)+path, strings.NewReader(sql))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/sql")
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{response.StatusCode, response.Header, string(body)}
}

// askAWS has the same person at two tenants, and one role that trusts the issuer of the first. It is
// the issuer alone that AWS goes by: sub, aud and the database user's tag are the same.
func (s *tenants) askAWS(t *testing.T) {
	acme := s.token(t, person.New("bob", twin.Password), "acme").AccessToken
	globex := s.token(t, person.New("bob", twin.Password), "globex").AccessToken
	if got := s.post(t, "acme", "/v1/query", acme, "select current_user"); got.status != http.StatusOK || !strings.Contains(got.body, `"bob"`) {
		t.Fatalf("acme, whose issuer the role trusts: %d %s", got.status, got.body)
	}
	refused := func(why string) {
		t.Helper()
		if got := s.post(t, "globex", "/v1/query", globex, "select current_user"); got.status == http.StatusOK || got.field(t, "type") == "" {
			t.Errorf("globex, %s: %d %s", why, got.status, got.body)
		}
		eventually(t, 5*time.Second, why, func() string { return regexp.MustCompile(regexp.QuoteMeta(why)).FindString(s.log.String()) })
	}
	refused("No OpenIDConnect provider found in your account")
	// The account may know globex's issuer as well, for a role of its own: acme's stays shut.
	if err := s.twin.STS.PutProvider(sts.Provider{URL: s.at("globex"), ClientIDs: []string{twin.Audience}}); err != nil {
		t.Fatal(err)
	}
	refused("Not authorized to perform sts:AssumeRoleWithWebIdentity")
}

// A crossing is something that a tenant gave, and what shows whether one takes it.
type crossing struct {
	name string
	// make gets one at home, for bob, and returns what presents it to a tenant.
	make func(t *testing.T, home string) (takes func(t *testing.T, at string) bool)
}

func (s *tenants) crossings() []crossing {
	post := func(t *testing.T, at, path string, form url.Values) reply {
		t.Helper()
		return send(t, http.MethodPost, s.at(at)+path, form, "")
	}
	bob := func() *person.Person { return person.New("bob", twin.Password) }
	return []crossing{
		{"access token", func(t *testing.T, home string) func(*testing.T, string) bool {
			token := s.token(t, bob(), home).AccessToken
			return func(t *testing.T, at string) bool {
				return send(t, http.MethodGet, s.at(at)+"/v1/warehouses", nil, token).status != http.StatusUnauthorized
			}
		}},
		{"access token for userinfo", func(t *testing.T, home string) func(*testing.T, string) bool {
			token := s.token(t, bob(), home).AccessToken
			return func(t *testing.T, at string) bool {
				return send(t, http.MethodGet, s.at(at)+"/oauth2/userinfo", nil, token).status != http.StatusUnauthorized
			}
		}},
		{"access token for credentials", func(t *testing.T, home string) func(*testing.T, string) bool {
			token := s.token(t, bob(), home).AccessToken
			return func(t *testing.T, at string) bool {
				return send(t, http.MethodPost, s.at(at)+"/v1/credentials", nil, token).status != http.StatusUnauthorized
			}
		}},
		{"refresh token", func(t *testing.T, home string) func(*testing.T, string) bool {
			token := s.token(t, bob(), home).RefreshToken
			return func(t *testing.T, at string) bool {
				got := post(t, at, "/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}, "client_id": {tenantApp}})
				return got.status == http.StatusOK || got.field(t, "error") != "invalid_grant"
			}
		}},
		{"token to revoke", func(t *testing.T, home string) func(*testing.T, string) bool {
			token := s.token(t, bob(), home)
			return func(t *testing.T, at string) bool {
				post(t, at, "/oauth2/revoke", url.Values{"token": {token.RefreshToken}, "client_id": {tenantApp}})
				return send(t, http.MethodGet, s.at(home)+"/v1/warehouses", nil, token.AccessToken).status == http.StatusUnauthorized
			}
		}},
		{"code", func(t *testing.T, home string) func(*testing.T, string) bool {
			code, verifier := s.code(t, bob(), home)
			return func(t *testing.T, at string) bool {
				got := post(t, at, "/oauth2/token", url.Values{
					"grant_type": {"authorization_code"}, "code": {code}, "code_verifier": {verifier}, "redirect_uri": {tenantRedirect}, "client_id": {tenantApp},
				})
				return got.status == http.StatusOK || got.field(t, "error") != "invalid_grant"
			}
		}},
		{"device code", func(t *testing.T, home string) func(*testing.T, string) bool {
			device := post(t, home, "/oauth2/device_authorization", url.Values{"client_id": {"shiftgrant-cli"}, "scope": {"sql:read"}}).field(t, "device_code")
			return func(t *testing.T, at string) bool {
				got := post(t, at, "/oauth2/token", url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {device}, "client_id": {"shiftgrant-cli"}})
				return got.field(t, "error") != "invalid_grant"
			}
		}},
		{"user code of a device", func(t *testing.T, home string) func(*testing.T, string) bool {
			code := post(t, home, "/oauth2/device_authorization", url.Values{"client_id": {"shiftgrant-cli"}, "scope": {"sql:read"}}).field(t, "user_code")
			return func(t *testing.T, at string) bool {
				cookies := s.signedIn(t, at)
				form := sealedForm(t, send(t, http.MethodGet, s.at(at)+"/device", nil, "", cookies...))
				form.Set("user_code", code)
				return send(t, http.MethodPost, s.at(at)+"/device", form, "", cookies...).status == http.StatusOK
			}
		}},
		{"browser session", func(t *testing.T, home string) func(*testing.T, string) bool {
			cookies := s.signedIn(t, home)
			return func(t *testing.T, at string) bool {
				return send(t, http.MethodGet, s.at(at)+"/connections", nil, "", renamed(cookies, home, at)...).status == http.StatusOK
			}
		}},
		{"sign-in under way", func(t *testing.T, home string) func(*testing.T, string) bool {
			begun := send(t, http.MethodGet, s.at(home)+"/signin", nil, "")
			response := http.Response{Header: begun.header}
			callback, err := bob().Authorize(t.Context(), begun.header.Get("Location"), person.Allow)
			if err != nil {
				t.Fatal(err)
			}
			return func(t *testing.T, at string) bool {
				address := s.at(at) + "/signin/callback/twin?" + callback.RawQuery
				return send(t, http.MethodGet, address, nil, "", renamed(response.Cookies(), home, at)...).status == http.StatusSeeOther
			}
		}},
		{"consent form", func(t *testing.T, home string) func(*testing.T, string) bool {
			verifier := oauth2.GenerateVerifier()
			cookies := s.signedIn(t, home)
			page := send(t, http.MethodGet, s.app(home).AuthCodeURL("state", oauth2.S256ChallengeOption(verifier)), nil, "", cookies...)
			form := sealedForm(t, page)
			form.Set("decision", "allow")
			return func(t *testing.T, at string) bool {
				there := cookies
				if at != home {
					there = s.signedIn(t, at) // a good session: only the form is from elsewhere
				}
				return send(t, http.MethodPost, s.at(at)+"/oauth2/authorize/decision", form, "", there...).status == http.StatusSeeOther
			}
		}},
		{"statement", func(t *testing.T, home string) func(*testing.T, string) bool {
			token := s.token(t, bob(), home).AccessToken
			submitted := s.post(t, home, "/v1/statements", token, "select 1")
			location := submitted.header.Get("Location")
			path, its := strings.CutPrefix(s.url+location, s.at(home)+"/v1/")
			if submitted.status >= 300 || !its {
				t.Fatalf("submitted: %d to %s: %s", submitted.status, location, submitted.body)
			}
			return func(t *testing.T, at string) bool {
				own := token
				if at != home {
					own = s.token(t, bob(), at).AccessToken // a good token, of the same person
				}
				// As one that never was: whether it exists elsewhere is not told.
				return slices.ContainsFunc([]reply{
					send(t, http.MethodGet, s.at(at)+"/v1/"+path, nil, own),
					send(t, http.MethodGet, s.at(at)+"/v1/"+path+"/rows", nil, own),
					send(t, http.MethodPost, s.at(at)+"/v1/"+path+"/cancel", nil, own),
				}, func(r reply) bool { return r.status != http.StatusNotFound })
			}
		}},
	}
}

// cross presents what each of two tenants gave to all three.
func (s *tenants) cross(t *testing.T) {
	everywhere := []string{"", "acme", "globex"}
	for _, c := range s.crossings() {
		for _, home := range []string{"", "acme"} {
			t.Run(fmt.Sprintf("%s of %s", c.name, cmp.Or(home, "default")), func(t *testing.T) {
				t.Parallel()
				takes := c.make(t, home)
				for _, at := range everywhere {
					if at != home && takes(t, at) {
						t.Errorf("%s takes it", cmp.Or(at, "default"))
					}
				}
				if !takes(t, home) {
					t.Error("nor does its own tenant take it, so this shows nothing")
				}
			})
		}
	}
}

// signedIn are the cookies of bob's browser, in which he is signed in at one tenant.
func (s *tenants) signedIn(t *testing.T, tenant string) []*http.Cookie {
	t.Helper()
	bob := person.New("bob", twin.Password)
	s.code(t, bob, tenant)
	u, err := url.Parse(s.at(tenant))
	if err != nil {
		t.Fatal(err)
	}
	return bob.Cookies(u)
}

// renamed gives cookies of one tenant the names that they would have at another.
func renamed(cookies []*http.Cookie, from, to string) []*http.Cookie {
	prefix := func(tenant string) string {
		if tenant == "" {
			return "sg_twin"
		}
		return "sg_" + tenant + ".twin"
	}
	var given []*http.Cookie
	for _, cookie := range cookies {
		if rest, its := strings.CutPrefix(cookie.Name, prefix(from)); its {
			given = append(given, &http.Cookie{Name: prefix(to) + rest, Value: cookie.Value})
		}
	}
	return given
}

var sealed = regexp.MustCompile(`name="request" value="([^"]+)"`)

// sealedForm finds what the form of a page carries.
func sealedForm(t *testing.T, page reply) url.Values {
	t.Helper()
	found := sealed.FindStringSubmatch(page.body)
	if found == nil {
		t.Fatalf("no form in the page: %d %s", page.status, page.body)
	}
	return url.Values{"request": {found[1]}}
}

// shareBrowser has one browser signed in as two people, at two tenants and the default one.
func (s *tenants) shareBrowser(t *testing.T) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	gateway, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	who := map[string]string{"": "alice", "acme": "bob", "globex": "alice"}
	for tenant, name := range who {
		visitor := person.New(name, twin.Password)
		s.code(t, visitor, tenant)
		cookies := visitor.Cookies(gateway)
		if len(cookies) != 1 {
			t.Fatalf("%s leaves %d cookies", tenant, len(cookies))
		}
		jar.SetCookies(gateway, cookies)
	}
	for tenant, name := range who {
		response, err := browser.Get(s.at(tenant) + "/connections")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || !strings.Contains(strings.ToLower(string(body)), "signed in as </span>"+name) {
			t.Errorf("at %q the browser is not %s: %d %v", tenant, name, response.StatusCode, err)
		}
	}
}

// run runs the command as a person or an operator does, with a home of its own.
func (s *tenants) run(t *testing.T, home string, arguments ...string) (output string, err error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), binary, arguments...)
	command.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+filepath.Join(home, "config"), "SHIFTGRANT_KEYRING=off", "UPSTREAM_SECRET="+twin.DefaultClientSecret,
		"BROWSER="+binary+" dev browse alice")
	printed, err := command.CombinedOutput()
	return string(printed), err
}

func (s *tenants) useCommandLine(t *testing.T) {
	home := t.TempDir()
	for _, step := range []struct {
		arguments []string
		want      string
	}{
		{[]string{"login", s.at("acme")}, "Signed in as Alice"},
		{[]string{"whoami"}, s.at("acme")},
		{[]string{"query", "select current_user", "--format", "csv"}, "alice"},
		{[]string{"logout"}, ""},
	} {
		if got, err := s.run(t, home, step.arguments...); err != nil || !strings.Contains(got, step.want) {
			t.Fatalf("shiftgrant %s: %v\n%s", strings.Join(step.arguments, " "), err, got)
		}
	}
}

// letDeviceIn is what login --no-browser does, with a person who enters the code elsewhere.
func (s *tenants) letDeviceIn(t *testing.T) {
	client, err := connect.New(connect.Config{
		Issuer: s.at("acme"), ClientID: "shiftgrant-cli", RedirectURL: tenantRedirect, Scopes: []string{"openid", "profile", "sql:read"}, Key: make([]byte, 32),
	})
	if err != nil {
		t.Fatal(err)
	}
	device, err := client.BeginDevice(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if device.URL != s.at("acme")+"/device" {
		t.Fatalf("the code is to be entered at %s", device.URL)
	}
	cookies := s.signedIn(t, "acme")
	form := sealedForm(t, send(t, http.MethodGet, device.URL, nil, "", cookies...))
	form.Set("user_code", device.UserCode)
	form = sealedForm(t, send(t, http.MethodPost, device.URL, form, "", cookies...))
	form.Set("decision", "allow")
	answered := send(t, http.MethodPost, device.URL+"/decision", form, "", cookies...)
	if answered.status != http.StatusOK || !strings.Contains(answered.body, `href="/t/acme/connections"`) {
		t.Fatalf("let in: %d %s", answered.status, answered.body)
	}
	who, tokens, err := device.Wait(t.Context())
	if err != nil || who.Username != "bob" || who.Issuer != s.at("acme") {
		t.Fatalf("the device is %+v, %v", who, err)
	}
	if got := s.post(t, "acme", "/v1/query", tokens.Access, "select current_user"); got.status != http.StatusOK || !strings.Contains(got.body, `"bob"`) {
		t.Errorf("the device's query: %d %s", got.status, got.body)
	}
}

func (s *tenants) administrate(t *testing.T) {
	home := t.TempDir()
	must := func(arguments ...string) string {
		t.Helper()
		got, err := s.run(t, home, arguments...)
		if err != nil {
			t.Fatalf("shiftgrant %s: %v\n%s", strings.Join(arguments, " "), err, got)
		}
		return got
	}
	at := func(tenant string, arguments ...string) []string {
		return append(arguments, "--data", s.data, "--tenant", tenant)
	}
	must(at("acme", "apps", "add", "only-acmes", "--public", "--redirect", "http://127.0.0.1/callback")...)
	for tenant, want := range map[string]bool{"acme": true, "globex": false, "default": false} {
		if got := must(at(tenant, "apps", "list")...); strings.Contains(got, "only-acmes") != want || !strings.Contains(got, tenantApp) {
			t.Errorf("apps of %s:\n%s", tenant, got)
		}
	}
	if got, err := s.run(t, home, at("initech", "apps", "list")...); err == nil || !strings.Contains(got, "it has acme, default, globex") {
		t.Errorf("a tenant that is not there: %v\n%s", err, got)
	}

	before := must(at("globex", "keys", "list")...)
	rotated := must(at("acme", "keys", "rotate", "--issuer", "--after", "24h")...)
	id := regexp.MustCompile(`new issuer key (\S+),`).FindStringSubmatch(rotated)
	if id == nil || !strings.Contains(must(at("acme", "keys", "list")...), id[1]) || must(at("globex", "keys", "list")...) != before {
		t.Errorf("after acme's key was rotated (%s), globex has\n%s", rotated, must(at("globex", "keys", "list")...))
	}
	// The sealing key is one for all, whoever is named.
	if got := must(at("acme", "keys", "rotate")...); !strings.Contains(got, "new seal key 2, in use") || !regexp.MustCompile(`seal +2 +yes`).MatchString(must(at("globex", "keys", "list")...)) {
		t.Errorf("after the sealing key was rotated (%s), globex has\n%s", got, must(at("globex", "keys", "list")...))
	}

	exported := filepath.Join(home, "public")
	var written []string
	for line := range strings.Lines(must("issuer", "export", exported, "--config", s.config)) {
		if path, wrote := strings.CutPrefix(line, "wrote "); wrote {
			written = append(written, strings.TrimSpace(path))
		}
	}
	slices.Sort(written)
	var want []string
	for _, path := range []string{"", "t/acme", "t/globex"} {
		want = append(want, filepath.Join(exported, path, ".well-known/openid-configuration"), filepath.Join(exported, path, "oauth2/jwks"))
	}
	slices.Sort(want)
	if !slices.Equal(written, want) {
		t.Errorf("exported %q, want %q", written, want)
	}
	for _, tenant := range []string{"", "acme", "globex"} {
		content, err := os.ReadFile(filepath.Join(exported, strings.TrimPrefix(s.at(tenant), s.url), "oauth2/jwks"))
		if published := send(t, http.MethodGet, s.at(tenant)+"/oauth2/jwks", nil, ""); err != nil || string(content) != published.body {
			t.Errorf("the exported keys of %q are not those that it publishes: %v", tenant, err)
		}
	}

	if got, err := s.run(t, home, "doctor", "--config", s.config, "--tenant", "acme", "--as", "alice"); err != nil {
		t.Errorf("doctor of acme: %v\n%s", err, got)
	}
	if got, err := s.run(t, home, "doctor", "--config", s.config, "--tenant", "globex", "--as", "alice"); err == nil || !strings.Contains(got, "✗") || !strings.Contains(got, s.at("globex")) {
		t.Errorf("doctor of globex, which no role trusts: %v\n%s", err, got)
	}
	if got, err := s.run(t, home, "doctor", "--config", s.config, "--tenant", "initech"); err == nil || !strings.Contains(got, "no such tenant") {
		t.Errorf("doctor of a tenant that is not there: %v\n%s", err, got)
	}
	if got := must("audit", "tail", "--data", s.data, "--kind", "app.added"); !strings.Contains(got, "acme/-") || strings.Contains(got, "globex") {
		t.Errorf("the record does not say whose app was added:\n%s", got)
	}
	if got := must("audit", "tail", "--data", s.data, "--tenant", "acme", "-n", "1000", "--json"); !strings.Contains(got, `"only-acmes"`) || strings.Contains(got, `"tenant":"globex"`) || !strings.Contains(got, `"tenant":"acme"`) {
		t.Errorf("the record of acme:\n%s", got)
	}
}
