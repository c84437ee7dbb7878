// Package oauth is the authorization server, and the check of the tokens that it issues.
//
// One walk through it: an app sends a person's browser to [Server.Register]'s
// /oauth2/authorize; the person signs in and consents; the browser returns to the app with a
// code; the app trades the code at /oauth2/token for an access token, which doors hand to
// [Server.Authenticate] with each request.
//
// Who to fear, and what stands against them:
//
//   - A link written by an attacker. Client and redirect URI are checked before anything else,
//     and a fault in either is shown and never redirected. Nobody is redirected anywhere before
//     they are signed in.
//   - An app that is not what it seems. A person sees who asks, where the answer goes and what
//     for; consent is remembered only for an app that proves itself by a secret and is answered
//     over https.
//   - A thief of a code. It works once, for a minute, with the verifier that never left the
//     app; a second use ends what the first one got.
//   - A thief of a refresh token. Each works once; whoever comes second with an old one ends
//     the whole family, for the thief too. See grant.Rotation for why an honest app whose
//     answer was lost is not harmed.
//   - A thief of the database. It holds only hashes.
//   - A caller that lies about where it is. Every URL comes from the configured issuer, never
//     from Host or X-Forwarded-*.
//
// What it does not protect against: a bearer token is good for whoever holds it until it
// expires or is revoked.
//
// Each handler checks in the order of its specification and names the section. A fault of the
// caller is a fixed text; a fault of ours is a 503 that tells the caller to keep its tokens.
package oauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/pages"
	"github.com/shiftgrant/shiftgrant/internal/seal"
	"github.com/shiftgrant/shiftgrant/internal/web"
)

// Config is what a server is built from. Fields without a word about their zero value must be
// given.
type Config struct {
	// Issuer is the tenant's URL, without a slash at the end. What leaves the server is built
	// from it, byte for byte.
	Issuer string
	Tenant string // "" is grant.DefaultTenant
	// Warehouses are those that apps can ask for.
	Warehouses []pages.Warehouse
	// DefaultWarehouse is taken when an app names none; "" is the only warehouse, or none.
	DefaultWarehouse string

	Store  Store
	SignIn SignIn
	Issue  IDTokens // signs ID tokens
	Audit  Audit
	Pages  *pages.Pages
	// Ring seals what travels in forms.
	Ring *seal.Ring
	// RotationKeys derive refresh tokens; the highest version is in use, the others repeat what
	// they derived.
	RotationKeys []seal.Key

	// Lifetimes of apps that have none of their own.
	AccessTokenLifetime time.Duration // 0 is 10 minutes
	RefreshIdleLifetime time.Duration // 0 is 30 days
	GrantLifetime       time.Duration // 0 is 90 days

	// DeviceApps are the ids of apps that may ask by a code which a person enters elsewhere (RFC 8628).
	// Such a code can be sent to somebody with a story, so no app may by itself.
	DeviceApps []string

	// TokenRequestsPerMinute and FailedClientAuthPerHour bound each client at each address.
	TokenRequestsPerMinute  int // 0 is 600
	FailedClientAuthPerHour int // 0 is 60
	// ClientAddress tells callers apart for these limits; nil takes the address of the
	// connection, which is the proxy's when there is one.
	ClientAddress func(*http.Request) string

	// StillWelcome is asked at each refresh, beyond what the store knows of a person. It returns
	// grant.ErrRevoked for one who is not, which ends the grant; any other error is passing.
	// Nil asks nobody.
	StillWelcome func(context.Context, grant.Person) error

	Now    func() time.Time // nil is time.Now
	Logger *slog.Logger     // nil is slog.Default()
}

// Server is the authorization server of one tenant. It is safe for concurrent use.
type Server struct {
	issuer           string
	base             string // path of the issuer, "" for none
	resource         string // RFC 8707: the issuer, which is what tokens are for
	tenant           string
	warehouses       map[string]pages.Warehouse
	warehouseNames   []string
	defaultWarehouse string

	store   Store
	signIn  SignIn
	issue   IDTokens
	audit   Audit
	pages   *pages.Pages
	ring    *seal.Ring
	keys    map[string][]byte // rotation keys by id
	newest  string
	cache   accessCache
	apps    appCache
	origins *http.CrossOriginProtection

	accessLifetime time.Duration
	idleLifetime   time.Duration
	grantLifetime  time.Duration
	requests       *web.Limiter
	failures       *web.Limiter
	deviceApps     []string
	devices        *web.Limiter // asking to be let in
	userCodes      *web.Limiter // entering a code that nobody shows
	clientAddress  func(*http.Request) string
	stillWelcome   func(context.Context, grant.Person) error
	metadata       metadata

	now    func() time.Time
	logger *slog.Logger
}

// New checks the configuration. It opens nothing.
func New(config Config) (*Server, error) {
	issuer, err := url.Parse(config.Issuer)
	switch {
	case err != nil || issuer.Host == "" || issuer.RawQuery != "" || issuer.Fragment != "" || issuer.User != nil:
		return nil, fmt.Errorf("oauth: issuer %q is not a URL like https://grants.example.com", config.Issuer)
	case config.Issuer[len(config.Issuer)-1] == '/':
		return nil, errors.New("oauth: leave out the slash at the end of the issuer")
	case config.Store == nil || config.SignIn == nil || config.Issue == nil || config.Audit == nil || config.Pages == nil || config.Ring == nil:
		return nil, errors.New("oauth: Store, SignIn, Issue, Audit, Pages and Ring must be given")
	}
	s := &Server{
		issuer: config.Issuer, base: issuer.EscapedPath(), resource: config.Issuer, tenant: orDefault(config.Tenant, grant.DefaultTenant),
		store: config.Store, signIn: config.SignIn, issue: config.Issue, audit: config.Audit, pages: config.Pages, ring: config.Ring,
		accessLifetime: orDefault(config.AccessTokenLifetime, 10*time.Minute),
		idleLifetime:   orDefault(config.RefreshIdleLifetime, 30*24*time.Hour),
		grantLifetime:  orDefault(config.GrantLifetime, 90*24*time.Hour),
		clientAddress:  config.ClientAddress, stillWelcome: config.StillWelcome, deviceApps: slices.Clone(config.DeviceApps),
		now: config.Now, logger: orDefault(config.Logger, slog.Default()),
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.clientAddress == nil {
		s.clientAddress = web.Proxies(nil).CallerAddress
	}
	perMinute, perHour := orDefault(config.TokenRequestsPerMinute, 600), orDefault(config.FailedClientAuthPerHour, 60)
	s.requests = web.NewLimiter(perMinute, time.Minute)
	s.failures = web.NewLimiter(perHour, time.Hour)
	s.devices, s.userCodes = web.NewLimiter(devicesPerMinute, time.Minute), web.NewLimiter(wrongUserCodes, time.Hour)
	if err := s.useKeys(config.RotationKeys); err != nil {
		return nil, err
	}
	if err := s.useWarehouses(config.Warehouses, config.DefaultWarehouse); err != nil {
		return nil, err
	}
	s.origins = http.NewCrossOriginProtection()
	// A proxy may have changed the Host that the protection compares with.
	if err := s.origins.AddTrustedOrigin(issuer.Scheme + "://" + issuer.Host); err != nil {
		return nil, fmt.Errorf("oauth: issuer: %w", err)
	}
	s.metadata = s.buildMetadata()
	return s, nil
}

func (s *Server) useKeys(keys []seal.Key) error {
	if len(keys) == 0 {
		return errors.New("oauth: give at least one rotation key")
	}
	s.keys = make(map[string][]byte, len(keys))
	newest := uint32(0)
	for _, key := range keys {
		if len(key.Bytes) != seal.KeySize || key.Version == 0 {
			return fmt.Errorf("oauth: rotation key version %d must have %d bytes and a version from 1 on", key.Version, seal.KeySize)
		}
		s.keys[strconv.FormatUint(uint64(key.Version), 10)] = key.Bytes
		newest = max(newest, key.Version)
	}
	s.newest = strconv.FormatUint(uint64(newest), 10)
	return nil
}

func (s *Server) useWarehouses(warehouses []pages.Warehouse, standard string) error {
	s.warehouses = make(map[string]pages.Warehouse, len(warehouses))
	for _, warehouse := range warehouses {
		s.warehouses[warehouse.Name] = warehouse
		s.warehouseNames = append(s.warehouseNames, warehouse.Name)
	}
	if standard == "" && len(warehouses) == 1 {
		standard = warehouses[0].Name
	}
	if standard != "" && !slices.Contains(s.warehouseNames, standard) {
		return fmt.Errorf("oauth: the default warehouse %q is not among the warehouses", standard)
	}
	s.defaultWarehouse = standard
	return nil
}

// accessLifetimeOf is how long an access token of an app lives.
func (s *Server) accessLifetimeOf(app *grant.App) time.Duration {
	return orDefault(app.AccessTokenLifetime, s.accessLifetime)
}

func orDefault[T comparable](value, standard T) T {
	var zero T
	if value == zero {
		return standard
	}
	return value
}
