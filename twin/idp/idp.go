// Package idp plays a company's identity provider for the twin: OpenID Connect with the
// authorization code flow, PKCE, refresh tokens with rotation, and a sign-in page.
//
// It is a stand-in for development and tests, no production system: anybody may sign in as
// anybody by one click, keys and tokens live in memory, and it serves loopback only. What it
// promises to the programs under test is the opposite of lenience. Redirect URIs are compared
// byte for byte, S256 is required, a code works once and for 60 seconds, parameters may not
// repeat. Where the specifications leave freedom it takes the unusual choice: its endpoints
// have paths that nobody could guess, so a client has to read the discovery document.
//
// A test can tell it to misbehave (Script), and to be like a real provider of some kind (Profile).
package idp

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config is what the provider needs. The zero value of each life is a sensible one.
type Config struct {
	// Issuer is the provider's URL. Its path is where the handler expects to be mounted.
	Issuer  string
	Clients []Client
	People  []Person
	// Profile makes it like a real provider of some kind.
	Profile Profile

	AccessLife  time.Duration // of access and ID tokens; 5 minutes
	RefreshLife time.Duration // from sign-in, whatever the rotation; 30 days
	SessionLife time.Duration // of the browser's session; 8 hours

	// Logger is for what happened; nil discards it.
	Logger *slog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// A Client is a relying party.
type Client struct {
	ID                     string
	Secret                 string // empty makes the client public
	RedirectURIs           []string
	PostLogoutRedirectURIs []string
	// Claims are what this client's ID tokens say of a person beside the usual; nil adds nothing.
	Claims func(Person) map[string]any
	// AccessAudience makes this client's access tokens JWTs for somebody else to read, as Microsoft
	// Entra ID does for an application's API; "" makes them opaque.
	AccessAudience string
}

// A Person can sign in. Anybody may be anybody: the page offers each person as a button.
type Person struct {
	Username string // preferred_username
	Password string
	Subject  string // sub
	Name     string
	Email    string
	Groups   []string
	Tenant   string // of whose people they are; for profiles that tell
}

const (
	codeLife   = time.Minute
	ticketLife = 10 * time.Minute
	// Each kind of state is bounded; beyond it what would expire first goes.
	maxState = 10_000
)

// Provider is the identity provider. It is an http.Handler for everything below the path of
// its issuer, and safe for concurrent use.
type Provider struct {
	config   Config
	path     string // of the issuer
	mux      *http.ServeMux
	pages    pages
	keys     *keyRing
	sameSite *http.CrossOriginProtection

	mu       sync.Mutex // guards everything below
	script   Script
	stopped  bool
	tickets  *shelf[ticket]
	sessions *shelf[session]
	codes    *shelf[*code]
	access   *shelf[accessToken]
	refresh  *shelf[*refreshToken]
	// consented is who has, to which client, for as long as the provider lives.
	consented map[string]bool
}

// New checks the configuration and makes the provider, with a fresh key.
func New(config Config) (*Provider, error) {
	issuer, err := url.Parse(config.Issuer)
	if err != nil || issuer.Host == "" || issuer.RawQuery != "" || issuer.Fragment != "" || strings.HasSuffix(config.Issuer, "/") {
		return nil, errors.New("the issuer must be a URL without query, fragment and slash at the end")
	}
	if err := checkConfig(config); err != nil {
		return nil, err
	}
	pages, err := parsePages()
	if err != nil {
		return nil, err
	}
	keys, err := newKeyRing()
	if err != nil {
		return nil, err
	}
	p := &Provider{
		config: withDefaults(config), path: issuer.Path, pages: pages, keys: keys,
		sameSite: http.NewCrossOriginProtection(),
		tickets:  newShelf[ticket](), sessions: newShelf[session](), codes: newShelf[*code](),
		access: newShelf[accessToken](), refresh: newShelf[*refreshToken](), consented: map[string]bool{},
	}
	p.mux = p.routes()
	return p, nil
}

func checkConfig(config Config) error {
	for _, c := range config.Clients {
		if c.ID == "" || len(c.RedirectURIs) == 0 {
			return errors.New("a client needs an id and at least one redirect URI")
		}
		for _, uri := range slices.Concat(c.RedirectURIs, c.PostLogoutRedirectURIs) {
			if u, err := url.Parse(uri); err != nil || u.Scheme == "" || u.Host == "" || u.Fragment != "" {
				return fmt.Errorf("client %q: %q is not an absolute URI without fragment", c.ID, uri)
			}
		}
	}
	subjects := map[string]bool{}
	for _, person := range config.People {
		if person.Username == "" || person.Subject == "" || len(person.Subject) > 255 || subjects[person.Subject] {
			return fmt.Errorf("person %q needs a username and a subject of their own", person.Username)
		}
		subjects[person.Subject] = true
	}
	return nil
}

func withDefaults(config Config) Config {
	if config.AccessLife == 0 {
		config.AccessLife = 5 * time.Minute
	}
	if config.RefreshLife == 0 {
		config.RefreshLife = 30 * 24 * time.Hour
	}
	if config.SessionLife == 0 {
		config.SessionLife = 8 * time.Hour
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	return config
}

// The paths are unlike anybody's on purpose.
const (
	discoveryPath = "/.well-known/openid-configuration"
	authorizePath = "/front-door"
	signInPath    = "/front-door/knock"
	tokenPath     = "/counter/exchange"
	revokePath    = "/counter/return"
	userinfoPath  = "/who"
	keysPath      = "/keyring.json"
	logoutPath    = "/way-out"
)

func (p *Provider) routes() *http.ServeMux {
	mux := http.NewServeMux()
	front := func(pattern string, handle http.HandlerFunc) {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" "+p.path+path, handle)
	}
	// What clients call behind the browser's back can be made slow by a script.
	back := func(pattern string, handle http.HandlerFunc) { front(pattern, p.delayed(handle)) }
	back("GET "+discoveryPath, p.discovery)
	back("GET "+keysPath, p.jwks)
	back("POST "+tokenPath, p.token)
	back("POST "+revokePath, p.revoke)
	back("GET "+userinfoPath, p.userinfo)
	back("POST "+userinfoPath, p.userinfo)
	front("GET "+authorizePath, p.authorize)
	front("POST "+authorizePath, p.authorize)
	front("POST "+signInPath, p.signIn)
	front("GET "+logoutPath, p.logout)
	front("POST "+logoutPath, p.logout)
	return mux
}

// maxBody bounds every form.
const maxBody = 64 << 10

// ServeHTTP answers one request, unless the provider plays one that is down.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.down() {
		panic(http.ErrAbortHandler) // the connection ends without an answer
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	p.mux.ServeHTTP(w, r)
}

func (p *Provider) client(id string) (Client, bool) {
	for _, c := range p.config.Clients {
		if c.ID == id {
			return c, true
		}
	}
	return Client{}, false
}

func (p *Provider) person(username string) (Person, bool) {
	for _, person := range p.config.People {
		if person.Username == username {
			return person, true
		}
	}
	return Person{}, false
}
