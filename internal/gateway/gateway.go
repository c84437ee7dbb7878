// Package gateway reads the configuration, builds the rooms, and serves. It is what the command
// and the tests start, and the one place where all parts meet.
//
// It decides nothing by itself. What to fear here is a part that is given too much: each gets an
// interface of what it needs, and keys of its own.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/admin"
	"github.com/shiftgrant/shiftgrant/internal/audit"
	"github.com/shiftgrant/shiftgrant/internal/door/credentials"
	"github.com/shiftgrant/shiftgrant/internal/door/sqlapi"
	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/issuer"
	"github.com/shiftgrant/shiftgrant/internal/kms"
	"github.com/shiftgrant/shiftgrant/internal/oauth"
	"github.com/shiftgrant/shiftgrant/internal/orphans"
	"github.com/shiftgrant/shiftgrant/internal/pages"
	"github.com/shiftgrant/shiftgrant/internal/seal"
	"github.com/shiftgrant/shiftgrant/internal/signin"
	"github.com/shiftgrant/shiftgrant/internal/spool"
	"github.com/shiftgrant/shiftgrant/internal/store"
	"github.com/shiftgrant/shiftgrant/internal/warehouse"
	"github.com/shiftgrant/shiftgrant/redshift/dataapi"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
)

// AdminSocket is the name of the admin socket in the data folder.
const AdminSocket = "admin.sock"

// Options are what a program gives that is not configuration.
type Options struct {
	Logger  *slog.Logger // nil is slog.Default()
	Version string
	// Listener serves the public side; nil listens on the configuration's address.
	Listener net.Listener
	Stdout   io.Writer        // for the copy of the audit record; nil is os.Stdout
	Now      func() time.Time // nil is time.Now
}

// Gateway is everything that was built. Run serves it.
type Gateway struct {
	config    Config
	logger    *slog.Logger
	now       func() time.Time
	stdout    io.Writer
	metrics   *metrics
	ready     atomic.Bool
	listeners []*listener
	// closers end what was opened, the last first.
	closers []func() error

	store      *store.Store
	audit      *audit.Log
	keys       keyRing
	issuer     *issuer.Issuer
	pages      *pages.Pages
	signIn     *signin.SignIn
	connectors map[string]*connector
	orphans    *orphans.Register
	spool      *spool.Spool
	quotas     *dataapi.Quotas
	warehouses *warehouse.Warehouses
	oauth      *oauth.Server
	sqlAPI     *sqlapi.API

	credentials *credentials.Door
}

// New opens everything, and leaves nothing open if it fails. It makes no call to the outside:
// IdPs and AWS are asked when somebody needs them.
func New(_ context.Context, config Config, options Options) (*Gateway, error) {
	g := &Gateway{config: config, logger: options.Logger, now: options.Now, stdout: options.Stdout, metrics: newMetrics(options.Version)}
	if g.stdout == nil {
		g.stdout = os.Stdout
	}
	if g.logger == nil {
		g.logger = slog.Default()
	}
	if g.now == nil {
		g.now = time.Now
	}
	if err := g.build(options.Listener); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

// build goes from the ground up, as the floors of the design are.
func (g *Gateway) build(public net.Listener) error {
	if err := g.config.check(); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	for _, step := range []func() error{g.openData, g.openIssuer, g.openPages, g.openSignIn, g.openWarehouses, g.openOAuth, g.openSQLAPI, g.openCredentials, g.registerApps} {
		if err := step(); err != nil {
			return err
		}
	}
	mux, operations := http.NewServeMux(), http.NewServeMux()
	g.oauth.Register(mux)
	g.signIn.Register(mux)
	g.sqlAPI.Register(mux)
	g.credentials.Register(mux)
	mux.Handle("GET "+pages.AssetsPath, g.pages.Assets())
	mux.HandleFunc("/", g.pages.NotFound)
	g.registerHealth(mux)
	g.registerHealth(operations)
	operations.Handle("GET /metrics", g.metrics.handler())
	return g.listen(public, g.publicHandler(mux), operations, g.adminHandler())
}

// Close ends what New opened, for a gateway that was not run.
func (g *Gateway) Close() error {
	var err error
	for _, l := range g.listeners {
		if closeErr := l.listener.Close(); !errors.Is(closeErr, net.ErrClosed) {
			err = errors.Join(err, closeErr)
		}
	}
	for i := len(g.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, g.closers[i]())
	}
	g.listeners, g.closers = nil, nil
	return err
}

// openData makes the folder and opens keys, store and audit record.
func (g *Gateway) openData() error {
	folder := g.config.Data
	if err := os.MkdirAll(filepath.Join(folder, "keys"), 0o700); err != nil {
		return fmt.Errorf("make the data folder: %w; give another with data in the configuration", err)
	}
	// Before anything else: two gateways would write over each other's record.
	unlock, err := lockFolder(folder)
	if err != nil {
		return err
	}
	g.closers = append(g.closers, unlock)
	service, err := g.openKMS()
	if err != nil {
		return err
	}
	if err = g.keys.open(folder, g.config.Keys, service); err != nil {
		return err
	}
	if err = g.openStore(context.Background()); err != nil {
		return err
	}
	return g.openAudit()
}

// openKMS is nil where the gateway's keys are kept as they are.
func (g *Gateway) openKMS() (*kms.Key, error) {
	config := g.config.Keys.KMS
	if config.Key == "" {
		return nil, nil
	}
	region, err := kms.Region(config.Key)
	if err != nil {
		return nil, err
	}
	own := identity.NewOwn(identity.OwnConfig{Region: region, STSEndpoint: config.STSEndpoint, Now: g.now})
	g.closers = append(g.closers, func() error { own.Close(); return nil })
	return kms.New(kms.Config{KeyARN: config.Key, Endpoint: config.Endpoint, Credentials: own, Now: g.now})
}

func (g *Gateway) openIssuer() error {
	var err error
	if g.keys.issuer, err = issuer.OpenKeys(g.keys.issuerFolder, g.now()); err != nil {
		return err
	}
	g.issuer, err = issuer.New(issuer.Config{URL: g.config.Issuer, Keys: g.keys.issuer, ReservedAudiences: g.config.audiences(), Now: g.now})
	return err
}

func (g *Gateway) openPages() (err error) {
	g.pages, err = pages.New(pages.Config{BaseURL: g.config.Issuer, Logger: g.logger})
	return err
}

func (g *Gateway) openSignIn() error {
	upstreams := make([]signin.Upstream, 0, len(g.config.Upstreams))
	for _, u := range g.config.Upstreams {
		upstream := u.signIn()
		upstream.Lends = g.config.lendsTokens(u.Name)
		var err error
		if upstream.Adapter, err = g.openAdapter(&u); err != nil {
			return fmt.Errorf("upstream %s: %w", u.Name, err)
		}
		upstreams = append(upstreams, upstream)
	}
	key, before, err := g.keys.derive("sign-in sessions")
	if err != nil {
		return err
	}
	g.signIn, err = signin.New(signin.Config{
		BaseURL: g.config.Issuer, Tenant: grant.DefaultTenant, Upstreams: upstreams, People: g.store,
		Sessions: browserSessions{g.store.Sessions()}, Tokens: g.store, Envelope: seal.Envelope{Wrapper: g.keys.ring}, Holder: holderName(),
		Key: key, PreviousKeys: before, Pages: g.pages, Audit: countedAudit{g.audit, g.metrics},
		Lifetime: time.Duration(g.config.Lifetimes.Session), Logger: g.logger, Now: g.now,
	})
	return err
}

// holderName tells gateways apart in the store.
func holderName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "gateway"
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}

func (g *Gateway) openOAuth() error {
	shown := make([]pages.Warehouse, 0, len(g.config.Warehouses))
	for _, w := range g.config.Warehouses {
		shown = append(shown, pages.Warehouse{Name: w.Name, DisplayName: w.DisplayName, Description: w.Description, GivesCredentials: len(w.Credentials) > 0})
	}
	proxies, err := g.config.proxies()
	if err != nil {
		return err
	}
	g.oauth, err = oauth.New(oauth.Config{
		Issuer: g.config.Issuer, Tenant: grant.DefaultTenant, Warehouses: shown,
		Store: g.store, SignIn: g.signIn, Issue: g.issuer, Audit: countedAudit{g.audit, g.metrics}, Pages: g.pages,
		Ring: g.keys.ring, RotationKeys: g.keys.rotation,
		AccessTokenLifetime:     time.Duration(g.config.Lifetimes.AccessToken),
		RefreshIdleLifetime:     time.Duration(g.config.Lifetimes.RefreshIdle),
		GrantLifetime:           time.Duration(g.config.Lifetimes.Grant),
		TokenRequestsPerMinute:  g.config.Limits.TokenRequestsPerMinute,
		FailedClientAuthPerHour: g.config.Limits.FailedClientAuthPerHour,
		StillWelcome:            g.signIn.StillWelcome,
		DeviceApps:              g.config.deviceApps(),
		ClientAddress:           proxies.CallerAddress,
		Now:                     g.now, Logger: g.logger,
	})
	return err
}

func (g *Gateway) openSQLAPI() (err error) {
	g.sqlAPI, err = sqlapi.New(sqlapi.Config{
		Authenticator: g.oauth, Warehouses: g.warehouses, Statements: g.store,
		ResourceMetadata: g.config.Issuer + "/.well-known/oauth-protected-resource",
		MaxBody:          g.config.Limits.RequestBody, Logger: g.logger, Now: g.now,
	})
	return err
}

func (g *Gateway) adminHandler() http.Handler {
	return admin.Handler(admin.Config{
		Store: g.store, Keys: &adminKeys{&g.keys, g.now}, Tenant: grant.DefaultTenant, Now: g.now, Logger: g.logger,
		CheckID: func(id string) error { return CheckAppID(id, g.config.audiences()) },
		Audit:   countedAudit{g.audit, g.metrics}.Write,
	})
}

// registerApps makes the store agree with the configuration file: its apps are there as it says,
// and those that it no longer has are gone, with their grants.
func (g *Gateway) registerApps() error {
	ctx := context.Background()
	configured := map[string]bool{}
	for _, a := range g.config.Apps {
		configured[a.ID] = true
		app, err := g.configuredApp(ctx, a)
		if err != nil {
			return err
		}
		if err := g.store.PutApp(ctx, app); err != nil {
			return fmt.Errorf("register app %s: %w", a.ID, err)
		}
	}
	stored, err := g.store.Apps(ctx, grant.DefaultTenant)
	if err != nil {
		return fmt.Errorf("list apps: %w", err)
	}
	for _, app := range stored {
		if app.Origin != grant.FromConfig || configured[app.ID] {
			continue
		}
		g.logger.Warn("app is no longer in the configuration: removed, its grants are revoked", "app", app.ID)
		if err := (countedAudit{g.audit, g.metrics}).Write(ctx, audit.Record{Kind: "app.removed", Tenant: grant.DefaultTenant, App: app.ID, Outcome: "by configuration"}); err != nil {
			return fmt.Errorf("remove app %s: %w", app.ID, err)
		}
		if err := g.store.RemoveApp(ctx, grant.DefaultTenant, app.ID, g.now()); err != nil {
			return fmt.Errorf("remove app %s: %w", app.ID, err)
		}
	}
	return nil
}

// configuredApp refuses to take over an app that somebody registered at the socket.
func (g *Gateway) configuredApp(ctx context.Context, a App) (grant.App, error) {
	stored, err := g.store.App(ctx, grant.DefaultTenant, a.ID)
	if err != nil && !errors.Is(err, grant.ErrNotFound) {
		return grant.App{}, fmt.Errorf("look up app %s: %w", a.ID, err)
	}
	if err == nil && stored.Origin != grant.FromConfig {
		return grant.App{}, fmt.Errorf("app %s of the configuration was registered by `shiftgrant apps add` before: rename one of them, or remove that one first", a.ID)
	}
	app := grant.App{
		Tenant: grant.DefaultTenant, ID: a.ID, Name: a.Name, Homepage: a.Homepage, Type: grant.ClientType(a.Type),
		RedirectURIs: a.RedirectURIs, Scopes: a.Scopes, Origin: grant.FromConfig, CreatedAt: g.now(),
		AccessTokenLifetime: time.Duration(a.AccessTokenLifetime), RefreshIdleLifetime: time.Duration(a.RefreshIdleLifetime), RefreshTotalLifetime: time.Duration(a.RefreshLifetime),
	}
	if value := a.Secret.Secret(); !value.IsZero() {
		app.Secrets = []grant.AppSecret{{ID: "config", Hash: grant.HashToken(value.Reveal()), CreatedAt: g.now()}}
	}
	return app, nil
}
