// Package signin knows who is at the browser: it sends people to sign in at their own IdP, with
// package connect, and keeps that they did.
//
// A person is what their IdP says in iss and sub (at Microsoft Entra ID in tid and oid), and nothing
// else: a name or an e-mail address can be changed, or given to somebody else. The first sign-in binds
// a database user to that pair for good; whoever comes later with the same database user is somebody
// else and is not let in, because they would read as the first.
//
// Whether the IdP still employs the person is asked when an app refreshes (upstream.go), where
// the IdP gave a token to ask with. A session lasts its time, unless the IdP says no then, the
// person ends it, or an operator disables them or signs them out.
//
// IdPs differ in how they are asked, and in what they mean by it; what is known of each kind is in
// preset.go.
package signin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/shiftgrant/shiftgrant/connect"
	"github.com/shiftgrant/shiftgrant/internal/audit"
	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/pages"
	"github.com/shiftgrant/shiftgrant/internal/seal"
	"github.com/shiftgrant/shiftgrant/internal/secret"
	"github.com/shiftgrant/shiftgrant/internal/web"
)

// ErrSignedOut says that nobody is signed in.
var ErrSignedOut = errors.New("nobody is signed in")

// An Upstream is an IdP where people sign in.
type Upstream struct {
	Name                string // in paths and cookies
	DisplayName         string
	Preset              string // what kind of IdP it is; "" is Generic
	Issuer              string
	ClientID            string
	ClientSecret        secret.Text
	Scopes              []string // with openid among them
	AuthorizeParameters url.Values
	DatabaseUser        DatabaseUser
	// Companies are whose people are let in, at an IdP where everybody's sign in at one address: tenants
	// of Entra ID, Workspace domains of Google.
	Companies []string
	// Adapter speaks for an IdP that is no OpenID provider; nil for all others.
	Adapter Adapter
	// CheckEvery is how old the upstream's last word on a person may be when an app refreshes; 0
	// is an hour. TolerateOutage is for how long after that people go on while it does not
	// answer; 0 is a day. Both are for upstreams that give refresh tokens.
	CheckEvery     time.Duration
	TolerateOutage time.Duration
	// Lends says that warehouses take this upstream's tokens; see SignIn.Lend.
	Lends bool
}

// An Adapter lets package connect talk to an IdP that is no OpenID provider: it answers in the place
// of its metadata and its token endpoint, and says who signed in by what that gave.
type Adapter interface {
	http.RoundTripper
	Identify(ctx context.Context, given connect.Tokens) (connect.Identity, error)
}

// People keeps persons.
type People interface {
	// SignIn keeps what an upstream said of a person, or returns grant.ErrDatabaseUserTaken.
	SignIn(ctx context.Context, p grant.Person) (grant.Person, error)
	// PersonBySubject returns grant.ErrNotFound for somebody who never signed in.
	PersonBySubject(ctx context.Context, tenant, issuer, subject string) (grant.Person, error)
}

// Audit keeps a record durable before it returns.
type Audit interface {
	Write(ctx context.Context, record audit.Record) error
}

// Config is what sign-in is built from.
type Config struct {
	BaseURL   string // of the tenant: all paths are below it
	Tenant    string
	Upstreams []Upstream
	People    People
	Sessions  connect.SessionStore
	// Tokens keeps upstream refresh tokens, sealed by Envelope; nil asks upstreams at sign-in only.
	Tokens   UpstreamTokens
	Envelope seal.Envelope
	Holder   string // names this gateway where several share the tokens
	Key      []byte // 32 bytes that seal sessions and cookies
	// PreviousKeys open what was sealed before Key came.
	PreviousKeys [][]byte
	Pages        *pages.Pages
	Audit        Audit
	// Lifetime of a sign-in; 0 is 12 hours.
	Lifetime   time.Duration
	HTTPClient *http.Client
	Logger     *slog.Logger
	Now        func() time.Time
}

// SignIn is safe for concurrent use.
type SignIn struct {
	config    Config
	base      string // path of BaseURL, "" for none
	upstreams []*upstream
	origins   *http.CrossOriginProtection
	now       func() time.Time
	keeper    *Keeper // nil without Tokens
}

// upstream is an IdP with our client there.
type upstream struct {
	Upstream
	preset Preset
	client *connect.Client
}

// New checks the configuration. It asks no IdP: the gateway starts while one is down.
func New(config Config) (*SignIn, error) {
	if len(config.Upstreams) == 0 {
		return nil, errors.New("sign-in: there is no upstream")
	}
	if config.Lifetime == 0 {
		config.Lifetime = 12 * time.Hour
	}
	base, err := url.Parse(config.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("sign-in: base URL: %w", err)
	}
	s := &SignIn{config: config, base: base.EscapedPath(), origins: http.NewCrossOriginProtection(), now: config.Now}
	if s.now == nil {
		s.now = time.Now
	}
	// A proxy may have changed the Host that the protection compares with.
	if err := s.origins.AddTrustedOrigin(base.Scheme + "://" + base.Host); err != nil {
		return nil, fmt.Errorf("sign-in: base URL: %w", err)
	}
	for _, configured := range config.Upstreams {
		u, err := s.connect(configured)
		if err != nil {
			return nil, fmt.Errorf("sign-in at %s: %w", configured.Name, err)
		}
		s.upstreams = append(s.upstreams, u)
	}
	s.keeper = s.newKeeper()
	return s, nil
}

// cookiePrefix tells the cookies of tenants apart, since all of a host's go to all its paths: those
// that can be set for no other host (__Host-) cannot be set for a path either. No name of a tenant
// or an upstream has the period.
func (s *SignIn) cookiePrefix(u *upstream) string {
	if s.config.Tenant == grant.DefaultTenant {
		return "sg_" + u.Name
	}
	return "sg_" + s.config.Tenant + "." + u.Name
}

// connect makes our client at an IdP.
func (s *SignIn) connect(configured Upstream) (*upstream, error) {
	u, config := &upstream{Upstream: configured}, s.config
	parameters := maps.Clone(u.AuthorizeParameters)
	maps.DeleteFunc(parameters, func(name string, _ []string) bool { return parameters.Get(name) == "" })
	if u.Preset == "" {
		u.Preset = Generic
	}
	var known bool
	if u.preset, known = PresetNamed(u.Preset); !known {
		return nil, fmt.Errorf("there is no preset %q", u.Preset)
	}
	client := connect.Config{
		Issuer: u.Issuer, ClientID: u.ClientID, ClientSecret: u.ClientSecret.Reveal(),
		RedirectURL: config.BaseURL + "/signin/callback/" + u.Name, Scopes: u.Scopes, AuthorizeParameters: parameters,
		Key: config.Key, PreviousKeys: config.PreviousKeys, Sessions: config.Sessions, SessionLifetime: config.Lifetime, SessionIdle: config.Lifetime,
		CookiePrefix: s.cookiePrefix(u), HTTPClient: config.HTTPClient, Logger: config.Logger, Now: config.Now,
		OnLogin: func(ctx context.Context, r *http.Request, identity connect.Identity) error {
			return s.admit(ctx, r, u, identity)
		},
		KeepTokens: func(ctx context.Context, identity connect.Identity, given connect.Tokens) (bool, error) {
			return s.keepTokens(ctx, u, identity, given)
		},
		OnError: func(w http.ResponseWriter, r *http.Request, failure *connect.Error) { s.fail(w, r, u, failure) },
	}
	if u.preset.Company == "tid" && ManyTenants(u.Issuer) {
		client.AcceptTenant = u.lets
	}
	if u.Adapter != nil {
		client.Scopes, client.HTTPClient, client.Identify = nil, &http.Client{Transport: u.Adapter}, u.Adapter.Identify
	}
	var err error
	u.client, err = connect.New(client)
	return u, err
}

// Register mounts the handlers.
func (s *SignIn) Register(mux *http.ServeMux) {
	mux.HandleFunc("GET "+s.base+"/signin", s.choose)
	mux.HandleFunc("GET "+s.base+"/signin/start/{upstream}", s.start)
	mux.HandleFunc("GET "+s.base+"/signin/callback/{upstream}", s.callback)
	mux.HandleFunc("POST "+s.base+"/signout", s.signOut)
}

// Current is who is signed in, in which browser session, since when.
type Current struct {
	Person    grant.Person
	SessionID string // forms are bound to it; it is no secret
	AuthTime  time.Time
}

// Person tells who is signed in, or returns ErrSignedOut. Any other error means that it cannot
// be told now.
func (s *SignIn) Person(r *http.Request) (*Current, error) {
	for _, u := range s.upstreams {
		session, err := u.client.Session(r)
		if errors.Is(err, connect.ErrSignedOut) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look up session: %w", err)
		}
		identity := session.Identity()
		person, err := s.config.People.PersonBySubject(r.Context(), s.config.Tenant, identity.Issuer, u.subject(identity))
		if errors.Is(err, grant.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		// Times are stored to the millisecond: a session of the same one counts as before.
		if !session.StartedAt().Truncate(time.Millisecond).After(person.SignedOutAt) {
			continue
		}
		return &Current{Person: person, SessionID: session.ID(), AuthTime: identity.AuthTime}, nil
	}
	return nil, ErrSignedOut
}

// Begin sends the browser to sign in, and then to returnTo, a path of the gateway. It asks anew
// even if somebody is signed in.
func (s *SignIn) Begin(w http.ResponseWriter, r *http.Request, returnTo string) {
	_, err := s.Person(r)
	s.begin(w, r, returnTo, err == nil)
}

// begin leads to the one upstream, or to a choice of them. Anew makes the upstream ask for
// credentials although it may know the person.
func (s *SignIn) begin(w http.ResponseWriter, r *http.Request, returnTo string, anew bool) {
	if len(s.upstreams) == 1 {
		s.upstreams[0].begin(w, r, returnTo, anew)
		return
	}
	page := pages.ChooseUpstream{}
	for _, u := range s.upstreams {
		host := ""
		if issuer, err := url.Parse(u.Issuer); err == nil {
			host = issuer.Host
		}
		page.Upstreams = append(page.Upstreams, pages.Upstream{DisplayName: u.DisplayName, Host: host, URL: s.startPath("/signin/start/"+u.Name, returnTo, anew)})
	}
	s.config.Pages.ChooseUpstream(w, r, page)
}

func (u *upstream) begin(w http.ResponseWriter, r *http.Request, returnTo string, anew bool) {
	parameters := url.Values{}
	if anew && u.preset.Anew != "" {
		parameters.Set("prompt", u.preset.Anew) // OpenID Connect Core §3.1.2.1
	}
	u.client.Begin(w, r, returnTo, parameters)
}

// startPath carries what a sign-in needs through a link.
func (s *SignIn) startPath(to, returnTo string, anew bool) string {
	query := url.Values{"return_to": {returnTo}}
	if anew {
		query.Set("anew", "1")
	}
	return s.base + to + "?" + query.Encode()
}

// asked reads what startPath wrote.
func (s *SignIn) asked(r *http.Request) (returnTo string, anew bool) {
	query := r.URL.Query()
	return s.localPath(query.Get("return_to")), query.Get("anew") == "1"
}

// localPath makes a path that leads out of the tenant its front page.
func (s *SignIn) localPath(returnTo string) string {
	u, err := url.Parse(returnTo)
	if err != nil || !connect.IsLocalPath(returnTo) || !strings.HasPrefix(path.Clean(u.Path)+"/", s.base+"/") {
		return s.base + "/"
	}
	return returnTo
}

func (s *SignIn) choose(w http.ResponseWriter, r *http.Request) {
	returnTo, anew := s.asked(r)
	s.begin(w, r, returnTo, anew)
}

func (s *SignIn) start(w http.ResponseWriter, r *http.Request) {
	u := s.upstream(r)
	if u == nil {
		s.config.Pages.NotFound(w, r)
		return
	}
	returnTo, anew := s.asked(r)
	u.begin(w, r, returnTo, anew)
}

func (s *SignIn) callback(w http.ResponseWriter, r *http.Request) {
	u := s.upstream(r)
	if u == nil {
		s.config.Pages.NotFound(w, r)
		return
	}
	u.client.Callback(w, r)
}

func (s *SignIn) upstream(r *http.Request) *upstream {
	for _, u := range s.upstreams {
		if u.Name == r.PathValue("upstream") {
			return u
		}
	}
	return nil
}

// SignOutForm is a button that ends the session; the page that follows offers to sign in as
// somebody else, and leads to returnTo.
func (s *SignIn) SignOutForm(_ *Current, returnTo string) pages.Form {
	return pages.Form{Action: s.base + "/signout", Hidden: []pages.Field{{Name: "return_to", Value: returnTo}}}
}

// signOutFormLimit is room for a path.
const signOutFormLimit = 16 << 10

func (s *SignIn) signOut(w http.ResponseWriter, r *http.Request) {
	if err := s.origins.Check(r); err != nil {
		s.config.Pages.Error(w, r, http.StatusForbidden, pages.SignInForeign(s.base+"/"))
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, signOutFormLimit)
	if err := r.ParseForm(); err != nil {
		s.config.Pages.TooLarge(w, r, http.StatusRequestEntityTooLarge)
		return
	}
	returnTo := s.localPath(r.PostForm.Get("return_to"))
	for _, u := range s.upstreams {
		if err := u.client.End(w, r); err != nil {
			s.unavailable(w, r, err)
			return
		}
	}
	// No redirect to the IdP: the browser's policy for forms would stop it.
	s.config.Pages.SignedOut(w, r, pages.SignedOut{SignIn: s.startPath("/signin", returnTo, true), Upstream: s.upstreams[0].DisplayName})
}

func (s *SignIn) unavailable(w http.ResponseWriter, r *http.Request, err error) {
	s.config.Logger.ErrorContext(r.Context(), "sign-in unavailable", "error", err, "request_id", web.RequestID(r.Context()))
	s.config.Pages.Unavailable(w, r)
}
