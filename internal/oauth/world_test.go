package oauth_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/issuer"
	"github.com/shiftgrant/shiftgrant/internal/oauth"
	"github.com/shiftgrant/shiftgrant/internal/pages"
	"github.com/shiftgrant/shiftgrant/internal/seal"
	"github.com/shiftgrant/shiftgrant/internal/signin"
	"github.com/shiftgrant/shiftgrant/internal/web"
)

const (
	issuerURL = "https://grants.example"
	verifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636 appendix B
	challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

// A world is a server with people, apps and a clock of its own.
type world struct {
	t      *testing.T
	store  *shelf
	signIn *door
	audit  *record
	server *oauth.Server
	http   http.Handler
	log    *syncBuilder
	config oauth.Config

	mu  sync.Mutex
	now time.Time
}

// The apps of every world. Each is confidential unless its name says otherwise.
var (
	stargazer = grant.App{ID: "stargazer", Name: "Stargazer", Type: grant.Confidential, RedirectURIs: []string{"https://stargazer.example/callback"}, Origin: grant.FromConfig}
	observer  = grant.App{ID: "observer", Name: "Observer", Type: grant.Confidential, RedirectURIs: []string{"https://observer.example/callback?tenant=1"}, Origin: grant.FromAdmin}
	desk      = grant.App{ID: "desk", Name: "Desk", Type: grant.Confidential, RedirectURIs: []string{"http://localhost:7421/callback"}, Origin: grant.FromConfig}
	public    = grant.App{ID: "cli-demo", Name: "Command line", Type: grant.Public, RedirectURIs: []string{"http://127.0.0.1/callback"}, Origin: grant.FromConfig}
	spa       = grant.App{ID: "spa", Name: "Browser app", Type: grant.Public, RedirectURIs: []string{"https://spa.example/callback"}, Origin: grant.FromConfig}
	phone     = grant.App{ID: "phone", Name: "Phone", Type: grant.Public, RedirectURIs: []string{"com.example.phone:/callback"}, Origin: grant.FromConfig}
)

// secretOf is the client secret of an app of the tests, which starts like a real one.
func secretOf(app string) string { return "sg_cs_canary-" + app }

func newWorld(t *testing.T, changes ...func(*oauth.Config)) *world {
	t.Helper()
	w := &world{t: t, now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), log: &syncBuilder{}}
	w.store = newShelf(t, w.clock)
	w.audit = &record{}
	w.signIn = &door{world: w}
	shown, err := pages.New(pages.Config{BaseURL: issuerURL})
	if err != nil {
		t.Fatal(err)
	}
	ring, err := seal.NewRing(seal.Key{Version: 1, Bytes: make([]byte, 32)})
	if err != nil {
		t.Fatal(err)
	}
	config := oauth.Config{
		Issuer: issuerURL, Warehouses: []pages.Warehouse{{Name: "tickit", DisplayName: "TICKIT sales"}},
		Store: w.store, SignIn: w.signIn, Issue: signer(t), Audit: w.audit, Pages: shown, Ring: ring,
		RotationKeys: []seal.Key{{Version: 1, Bytes: []byte(strings.Repeat("r", 32))}},
		Now:          w.clock, Logger: slog.New(slog.NewJSONHandler(w.log, nil)),
	}
	for _, change := range changes {
		change(&config)
	}
	w.config = config
	w.rebuild(func(*oauth.Config) {})
	for _, app := range []grant.App{stargazer, observer, desk, public, spa, phone} {
		w.putApp(app)
	}
	for _, name := range []string{"alice", "bob"} {
		w.addPerson(name)
	}
	return w
}

// rebuild restarts the server with another configuration; the store stays.
func (w *world) rebuild(change func(*oauth.Config)) {
	w.t.Helper()
	change(&w.config)
	server, err := oauth.New(w.config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.server, w.http = server, web.Log(w.config.Logger, server.Handler())
}

// revokeAll ends what a person has allowed, as another process would.
func (w *world) revokeAll(personID string) {
	w.t.Helper()
	grants, err := w.store.Grants(w.t.Context(), grant.DefaultTenant, personID)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, g := range grants {
		if err := w.store.RevokeGrant(w.t.Context(), grant.DefaultTenant, g.ID, "by you", w.clock()); err != nil {
			w.t.Fatal(err)
		}
	}
}

// newWorldWith has other warehouses.
func newWorldWith(t *testing.T, standard string, names ...string) *world {
	t.Helper()
	return newWorld(t, func(c *oauth.Config) {
		c.DefaultWarehouse, c.Warehouses = standard, nil
		for _, name := range names {
			c.Warehouses = append(c.Warehouses, pages.Warehouse{Name: name})
		}
	})
}

// putApp lets a second pass, after which a change of an app is seen everywhere.
func (w *world) putApp(app grant.App) {
	defer w.pass(time.Second)
	app.Tenant = grant.DefaultTenant
	if app.Type == grant.Confidential {
		app.Secrets = []grant.AppSecret{{ID: "old", Hash: grant.HashToken("an older secret")}, {ID: "new", Hash: grant.HashToken(secretOf(app.ID))}}
	}
	if err := w.store.PutApp(context.Background(), app); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) addPerson(name string) {
	w.t.Helper()
	_, err := w.store.SignIn(context.Background(), grant.Person{
		ID: "per_" + name, Tenant: grant.DefaultTenant, Issuer: "https://idp.example", Subject: "idp|" + name,
		Name: strings.ToUpper(name[:1]) + name[1:], Email: name + "@example.com", DatabaseUser: name, CreatedAt: w.clock(), SeenAt: w.clock(),
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

var signerOnce = sync.OnceValues(func() (*issuer.Issuer, error) {
	folder, err := os.MkdirTemp("", "shiftgrant-oauth-test-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	keys, err := issuer.OpenKeys(folder, time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		return nil, err
	}
	return issuer.New(issuer.Config{URL: issuerURL, Keys: keys, Now: func() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }})
})

func signer(t *testing.T) *issuer.Issuer {
	t.Helper()
	made, err := signerOnce()
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// door is the sign-in of the tests: the cookie "who" says who is signed in, and after an @ in
// which session.
type door struct {
	world *world
	begun []string
	err   error
	fresh bool // signed in at this moment
}

func (d *door) Person(r *http.Request) (*signin.Current, error) {
	if d.err != nil {
		return nil, d.err
	}
	cookie, err := r.Cookie("who")
	if err != nil {
		return nil, signin.ErrSignedOut
	}
	name, session, named := strings.Cut(cookie.Value, "@")
	if !named {
		session = "session-of-" + name
	}
	person, err := d.world.store.Person(r.Context(), grant.DefaultTenant, "per_"+name)
	if err != nil {
		return nil, err
	}
	current := &signin.Current{Person: person, SessionID: session, AuthTime: time.Date(2026, 11, 23, 11, 30, 0, 0, time.UTC)}
	if d.fresh {
		current.AuthTime = d.world.clock()
	}
	return current, nil
}

func (d *door) Begin(w http.ResponseWriter, _ *http.Request, returnTo string) {
	d.begun = append(d.begun, returnTo)
	w.Header().Set("Location", "/signin")
	w.WriteHeader(http.StatusSeeOther)
}

func (d *door) SignOutForm(_ *signin.Current, returnTo string) pages.Form {
	return pages.Form{Action: "/signout", Hidden: []pages.Field{{Name: "return_to", Value: returnTo}}}
}

// request sends one request and does not follow where it leads.
func (w *world) request(method, target, who string, form url.Values, headers ...string) *http.Response {
	w.t.Helper()
	return w.requestTo("grants.example", method, target, who, form, headers...)
}

func (w *world) requestTo(host, method, target, who string, form url.Values, headers ...string) *http.Response {
	w.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r := httptest.NewRequest(method, target, body)
	r.Host = host
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if who != "" {
		r.AddCookie(&http.Cookie{Name: "who", Value: who})
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	recorder := httptest.NewRecorder()
	w.http.ServeHTTP(recorder, r)
	return recorder.Result()
}

// good is a request that is right in everything.
func good(app grant.App, changes ...string) url.Values {
	values := url.Values{
		"client_id": {app.ID}, "redirect_uri": {app.RedirectURIs[0]}, "response_type": {"code"}, "state": {"a state/with?all&of=it"},
		"code_challenge": {challenge}, "code_challenge_method": {"S256"}, "scope": {"sql:read offline_access"},
	}
	for i := 0; i+1 < len(changes); i += 2 {
		if changes[i+1] == "" {
			values.Del(changes[i])
			continue
		}
		values.Set(changes[i], changes[i+1])
	}
	return values
}

func (w *world) authorize(who string, values url.Values) *http.Response {
	w.t.Helper()
	return w.request("GET", "/oauth2/authorize?"+values.Encode(), who, nil)
}

var hiddenField = regexp.MustCompile(`name="request" value="([^"]*)"`)

// question gives the sealed field of a consent page.
func question(t *testing.T, response *http.Response) string {
	t.Helper()
	page := read(t, response)
	found := hiddenField.FindStringSubmatch(page)
	if response.StatusCode != 200 || found == nil {
		t.Fatalf("no consent page: %d %s\n%s", response.StatusCode, response.Header.Get("Location"), page)
	}
	return html.UnescapeString(found[1])
}

func (w *world) decide(who, sealed, decision string, headers ...string) *http.Response {
	w.t.Helper()
	return w.request("POST", "/oauth2/authorize/decision", who, url.Values{"request": {sealed}, "decision": {decision}}, headers...)
}

// answer is what the app finds in its redirect.
func answer(t *testing.T, response *http.Response) url.Values {
	t.Helper()
	location := response.Header.Get("Location")
	u, err := url.Parse(location)
	if response.StatusCode != http.StatusSeeOther || err != nil || location == "" {
		t.Fatalf("no redirect: %d %q\n%s", response.StatusCode, location, read(t, response))
	}
	return u.Query()
}

// code walks through consent as somebody.
func (w *world) code(who string, values url.Values) string {
	w.t.Helper()
	response := w.decide(who, question(w.t, w.authorize(who, values)), "allow")
	code := answer(w.t, response).Get("code")
	if code == "" {
		w.t.Fatalf("no code in %q", response.Header.Get("Location"))
	}
	return code
}

// reply is the JSON of a token endpoint.
type reply struct {
	status int
	header http.Header
	body   map[string]any
	text   string
}

func (r reply) string(name string) string {
	text, _ := r.body[name].(string)
	return text
}

func (w *world) post(path string, form url.Values, headers ...string) reply {
	w.t.Helper()
	response := w.request("POST", path, "", form, headers...)
	text := read(w.t, response)
	body := map[string]any{}
	if text != "" {
		if err := json.Unmarshal([]byte(text), &body); err != nil {
			w.t.Fatalf("answer of %s is no JSON: %q", path, text)
		}
	}
	return reply{response.StatusCode, response.Header, body, text}
}

// proof adds what an app proves itself with.
func proof(app grant.App, form url.Values) url.Values {
	form.Set("client_id", app.ID)
	if app.Type == grant.Confidential {
		form.Set("client_secret", secretOf(app.ID))
	}
	return form
}

func (w *world) redeem(app grant.App, code string, changes ...string) reply {
	w.t.Helper()
	form := proof(app, url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {app.RedirectURIs[0]}, "code_verifier": {verifier}})
	for i := 0; i+1 < len(changes); i += 2 {
		form.Set(changes[i], changes[i+1])
	}
	return w.post("/oauth2/token", form)
}

func (w *world) refresh(app grant.App, token string, changes ...string) reply {
	w.t.Helper()
	form := proof(app, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
	for i := 0; i+1 < len(changes); i += 2 {
		form.Set(changes[i], changes[i+1])
	}
	return w.post("/oauth2/token", form)
}

func (w *world) revoke(app grant.App, token string) reply {
	w.t.Helper()
	return w.post("/oauth2/revoke", proof(app, url.Values{"token": {token}}))
}

// connect walks the whole way and gives the tokens.
func (w *world) connect(who string, app grant.App, changes ...string) (access, refresh string) {
	w.t.Helper()
	got := w.redeem(app, w.code(who, good(app, changes...)))
	if got.status != 200 {
		w.t.Fatalf("redeem: %d %s", got.status, got.text)
	}
	return got.string("access_token"), got.string("refresh_token")
}

func (w *world) works(access string) error {
	_, err := w.server.Authenticate(context.Background(), access)
	return err
}

func read(t *testing.T, response *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func challengeOf(verifier string) string {
	hash := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(hash[:])
}

// syncBuilder is a log that several goroutines write.
type syncBuilder struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *syncBuilder) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuilder) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
