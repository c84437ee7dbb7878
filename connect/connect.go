// Package connect puts "Connect Amazon Redshift" into a web app: it sends a person to the
// gateway to consent, keeps the tokens that come back, and queries as that person.
//
//	client, err := connect.New(connect.Config{
//		Issuer:       "https://grants.example.com",
//		ClientID:     "stargazer",
//		ClientSecret: os.Getenv("STARGAZER_CLIENT_SECRET"),
//		RedirectURL:  "https://stargazer.example/callback",
//		Scopes:       []string{"openid", "profile", "offline_access", "sql:read"},
//		Key:          key, // 32 bytes of yours
//	})
//	mux.HandleFunc("GET /login", client.Login)
//	mux.HandleFunc("GET /callback", client.Callback)
//	mux.HandleFunc("POST /logout", client.Logout)
//
//	session, err := client.Session(r) // ErrSignedOut: send them to /login
//	rows, err := session.Query(ctx, "select * from sales where day = :day", connect.Parameter{Name: "day", Value: day})
//
// It is an OAuth 2.0 and OpenID Connect client like any other, and works with any issuer that
// publishes metadata; the gateway itself uses it to sign people in at their IdP.
//
// What it guards against, so that you need not:
//
//   - A sign-in that somebody else started (CSRF, code injection, mix-up): state, PKCE, nonce and
//     the expected issuer are made anew for each sign-in, sealed into a short-lived cookie of this
//     browser, checked in that order and used once.
//   - Tokens in the browser: they stay in the SessionStore, sealed. The browser has a cookie with a
//     random id, which the store knows only as a hash.
//   - Logins lost to refreshing: one refresh at a time for each session, the new refresh token kept
//     before the new access token is used, and only invalid_grant is a sign-out. A gateway that
//     cannot be reached is not.
//   - Open redirects, and sessions fixed before sign-in.
//
// What it does not guard against: a script running in your own pages can act as the person while
// they are there. Give your pages a Content-Security-Policy.
package connect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// Config says who the app is and what it asks for. Issuer, ClientID, RedirectURL and Key must be
// given.
type Config struct {
	// Issuer is the gateway's URL, byte for byte as its metadata says it.
	Issuer   string
	ClientID string
	// ClientSecret is empty for a public client.
	ClientSecret string
	// RedirectURL is the complete URL at which Callback is mounted, as registered.
	RedirectURL string
	// Scopes are asked for as they stand. With "openid" among them it is known who somebody is, with
	// "profile" by name, too, and with "email" by address.
	Scopes []string
	// AuthorizeParameters are added to the authorization URL, such as prompt=consent.
	AuthorizeParameters url.Values

	// AcceptTenant lets in the people of a tenant where Issuer is an address for many of them, each
	// an issuer of its own, as at Microsoft Entra ID: its path says organizations or common. nil lets
	// in nobody there.
	AcceptTenant func(tenant string) bool
	// Identify says who signed in at an issuer that is no OpenID provider, where "openid" is not among
	// Scopes, by what the issuer gave; nil leaves it open who they are.
	Identify func(context.Context, Tokens) (Identity, error)

	// Key is 32 random bytes that seal cookies and sessions. Keep it: another key signs
	// everybody out.
	Key []byte
	// PreviousKeys open what was sealed before Key came, so that a new key signs nobody out.
	PreviousKeys [][]byte
	// Sessions keeps who is signed in; nil keeps it in memory, until the process ends.
	Sessions SessionStore
	// SessionLifetime ends a session whatever happens; 0 is 30 days. SessionIdle ends one that is
	// not used; 0 is 7 days.
	SessionLifetime time.Duration
	SessionIdle     time.Duration
	// CookiePrefix tells apart several clients on one host; "" is "connect".
	CookiePrefix string

	// AfterLogin and AfterLogout are paths of the app; "" is "/". Login takes another path in
	// its parameter return_to.
	AfterLogin  string
	AfterLogout string
	// OnLogin is called with who signed in, before there is a session. An error refuses them.
	OnLogin func(context.Context, *http.Request, Identity) error
	// KeepTokens is called after OnLogin, for programs that keep what the issuer gave in a place
	// of their own: with true, the session holds no tokens, and its end revokes none. Refresh
	// uses them later.
	KeepTokens func(context.Context, Identity, Tokens) (kept bool, err error)
	// OnError answers a failed sign-in; nil shows a plain page.
	OnError func(http.ResponseWriter, *http.Request, *Error)

	// API is the base URL of the SQL API; "" is Issuer.
	API string
	// HTTPClient makes all calls. Redirects are never followed, and answers are bounded in
	// size, whatever it says; nil is one with a timeout of 10 seconds.
	HTTPClient *http.Client
	Logger     *slog.Logger // nil: nothing is logged
	Now        func() time.Time
}

// Client is one app at one issuer. It is safe for concurrent use.
type Client struct {
	config   Config
	ring     keyRing
	sessions SessionStore
	cookies  cookies
	http     *http.Client // for the issuer
	api      *url.URL
	now      func() time.Time
	logger   *slog.Logger

	discovery discovery
	used      usedStates
	working   singleflight.Group // on one session each
	origins   *http.CrossOriginProtection
}

// New checks the configuration. It makes no call: the issuer is asked when it is needed, so an
// app starts while the gateway is down.
func New(config Config) (*Client, error) {
	redirect, err := url.Parse(config.RedirectURL)
	if err != nil || redirect.Host == "" || redirect.Fragment != "" || redirect.User != nil {
		return nil, errors.New("connect: RedirectURL must be a complete URL, such as https://app.example/callback")
	}
	if config.API == "" {
		config.API = config.Issuer
	}
	api, err := url.Parse(config.API)
	switch {
	case err != nil || secureURL(config.API) != nil:
		return nil, errors.New("connect: API must be an https URL (http on loopback only)")
	case secureURL(config.Issuer) != nil:
		return nil, errors.New("connect: Issuer must be an https URL (http on loopback only)")
	case secureURL(config.RedirectURL) != nil:
		return nil, errors.New("connect: RedirectURL must be https (http on loopback only)")
	case config.ClientID == "":
		return nil, errors.New("connect: ClientID is missing")
	}
	ring, err := newKeyRing(config.Key, config.PreviousKeys)
	if err != nil {
		return nil, err
	}
	for _, path := range []string{config.AfterLogin, config.AfterLogout} {
		if path != "" && !IsLocalPath(path) {
			return nil, errors.New("connect: AfterLogin and AfterLogout must be paths of the app, such as /home")
		}
	}
	setDefault(&config.AfterLogin, "/")
	setDefault(&config.AfterLogout, "/")
	setDefault(&config.CookiePrefix, "connect")
	setDefault(&config.SessionLifetime, 30*24*time.Hour)
	setDefault(&config.SessionIdle, 7*24*time.Hour)
	c := &Client{
		config: config, ring: ring, sessions: config.Sessions, api: api, now: config.Now, logger: config.Logger,
		cookies: cookies{prefix: config.CookiePrefix, secure: redirect.Scheme == "https"},
		http:    issuerClient(config.HTTPClient), origins: http.NewCrossOriginProtection(),
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.logger == nil {
		c.logger = slog.New(slog.DiscardHandler)
	}
	if c.sessions == nil {
		c.sessions = NewMemorySessions()
	}
	// A proxy may have changed the Host that the protection compares with.
	if err := c.origins.AddTrustedOrigin(redirect.Scheme + "://" + redirect.Host); err != nil {
		return nil, fmt.Errorf("connect: RedirectURL: %w", err)
	}
	return c, nil
}

func (c *Client) asksForOpenID() bool { return slices.Contains(c.config.Scopes, "openid") }

func setDefault[T comparable](value *T, standard T) {
	var zero T
	if *value == zero {
		*value = standard
	}
}

// secureURL refuses what a token must not be sent to: anything but https, or http on loopback.
func secureURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil {
		return errors.New("not a complete URL")
	}
	host := u.Hostname()
	if u.Scheme == "https" || u.Scheme == "http" && (host == "localhost" || host == "127.0.0.1" || host == "::1") {
		return nil
	}
	return errors.New("not https")
}

// IsLocalPath reports whether a browser that is redirected to path stays in the app. It takes
// one leading slash, then neither slash nor backslash, and nowhere a control character, which
// browsers drop before they look (RFC 9700 §4.11.1).
func IsLocalPath(path string) bool {
	if path == "" || path[0] != '/' || strings.HasPrefix(path, "//") || strings.ContainsRune(path, '\\') {
		return false
	}
	if strings.ContainsFunc(path, func(r rune) bool { return r < 0x21 || r == 0x7f }) {
		return false
	}
	u, err := url.Parse(path)
	return err == nil && u.Scheme == "" && u.Host == "" && !strings.HasPrefix(u.Path, "//") && !strings.ContainsRune(u.Path, '\\')
}

// usedStates remembers the states that came back, so that a callback works once even with a
// copy of its cookie. It is bounded: the oldest are forgotten, and their codes are long dead.
type usedStates struct {
	mu    sync.Mutex
	seen  map[string]bool
	order []string
}

const maxUsedStates = 10_000

// use reports whether a state is used for the first time.
func (u *usedStates) use(state string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.seen == nil {
		u.seen = map[string]bool{}
	}
	if u.seen[state] {
		return false
	}
	if len(u.order) == maxUsedStates {
		delete(u.seen, u.order[0])
		u.order = u.order[1:]
	}
	u.seen[state] = true
	u.order = append(u.order, state)
	return true
}

func (u *usedStates) wasUsed(state string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.seen[state]
}
