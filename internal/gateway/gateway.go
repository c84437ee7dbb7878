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

	store   *store.Store
	audit   *audit.Log
	keys    keyRing
	aws     *http.Client // of the Data API
	quotas  *dataapi.Quotas
	spool   *spool.Spool
	tenants []*tenant
}

// A tenant is the gateway as one organisation has it: rooms of its own over what all share. Its
// configuration is a view in which it is the whole gateway, and its keys are its own, so that no
// room has to know of other tenants to keep out of them.
type tenant struct {
	*Gateway
	config Config // in place of the whole one
	logger *slog.Logger
	keys   *keyRing

	issuer     *issuer.Issuer
	pages      *pages.Pages
	signIn     *signin.SignIn
	connectors map[string]*connector
	orphans    *orphans.Register
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
	for _, step := range []func() error{g.openData, g.openSpool, g.openTenants} {
		if err := step(); err != nil {
			return err
		}
	}
	mux, operations := http.NewServeMux(), http.NewServeMux()
	g.registerTenants(mux)
	g.registerHealth(mux)
	g.registerHealth(operations)
	operations.Handle("GET /metrics", g.metrics.handler())
	g.metrics.showLimits(g.config.Limits, g.usage)
	return g.listen(public, g.publicHandler(mux), operations, g.adminHandler())
}

// openTenants builds the rooms of each.
func (g *Gateway) openTenants() error {
	g.aws = dataapi.NewHTTPClient()
	g.closers = append(g.closers, func() error { g.aws.CloseIdleConnections(); return nil })
	g.quotas = dataapi.NewQuotas(nil, g.now)
	for _, name := range g.config.TenantNames() {
		view, err := g.config.Tenant(name)
		if err != nil {
			return err
		}
		t := &tenant{Gateway: g, config: *view, logger: g.logger}
		if name != grant.DefaultTenant {
			t.logger = g.logger.With("tenant", name)
		}
		if err := t.open(); err != nil {
			return t.named(err)
		}
		g.tenants = append(g.tenants, t)
	}
	for _, t := range g.tenants { // last: a start that fails has taken no app away
		if err := t.registerApps(); err != nil {
			return t.named(err)
		}
	}
	return nil
}

// named says in which tenant something failed, where there may be several.
func (t *tenant) named(err error) error {
	if t.config.tenant == grant.DefaultTenant {
		return err
	}
	return fmt.Errorf("tenant %s: %w", t.config.tenant, err)
}

func (t *tenant) open() error {
	for _, step := range []func() error{t.openKeys, t.openIssuer, t.openPages, t.openSignIn, t.openWarehouses, t.openOAuth, t.openSQLAPI, t.openCredentials} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// registerTenants mounts the rooms. Beneath a tenant nothing leads to another: what is not there is
// not found by the tenant's own page, and of a tenant that is not there nothing is said at all.
func (g *Gateway) registerTenants(mux *http.ServeMux) {
	for _, t := range g.tenants {
		t.oauth.Register(mux)
		t.signIn.Register(mux)
		t.sqlAPI.Register(mux)
		t.credentials.Register(mux)
		mux.HandleFunc(t.config.base()+"/", t.pages.NotFound)
	}
	if g.tenants[0].config.tenant != grant.DefaultTenant {
		mux.HandleFunc("/", http.NotFound)
	}
	if len(g.config.Tenants) > 0 {
		mux.HandleFunc(tenantsPath, http.NotFound)
	}
	mux.Handle("GET "+pages.AssetsPath, g.tenants[0].pages.Assets())
}

// usage is that of all tenants.
func (g *Gateway) usage() warehouse.Usage {
	var all warehouse.Usage
	for _, t := range g.tenants {
		all = all.Plus(t.warehouses.Usage())
	}
	return all
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
	return g.openKey(config)
}

func (t *tenant) openKeys() (err error) {
	t.keys, err = t.Gateway.keys.of(&t.config)
	return err
}

func (t *tenant) openIssuer() error {
	var err error
	if t.keys.issuer, err = t.openSigningKeys(); err != nil {
		return err
	}
	t.issuer, err = issuer.New(issuer.Config{URL: t.config.Issuer, Keys: t.keys.issuer, ReservedAudiences: t.config.audiences(), Now: t.now})
	return err
}

func (t *tenant) openPages() (err error) {
	t.pages, err = pages.New(pages.Config{BaseURL: t.config.Issuer, Name: t.config.displayName, Logger: t.logger})
	return err
}

func (t *tenant) openSignIn() error {
	upstreams := make([]signin.Upstream, 0, len(t.config.Upstreams))
	for _, u := range t.config.Upstreams {
		upstream := u.signIn()
		upstream.Lends = t.config.lendsTokens(u.Name)
		var err error
		if upstream.Adapter, err = t.openAdapter(&u); err != nil {
			return fmt.Errorf("upstream %s: %w", u.Name, err)
		}
		upstreams = append(upstreams, upstream)
	}
	key, before, err := t.keys.derive("sign-in sessions")
	if err != nil {
		return err
	}
	t.signIn, err = signin.New(signin.Config{
		BaseURL: t.config.Issuer, Tenant: t.config.tenant, Upstreams: upstreams, People: t.store,
		Sessions: browserSessions{t.store.Sessions()}, Tokens: t.store, Envelope: seal.Envelope{Wrapper: t.keys.ring}, Holder: holderName(),
		Key: key, PreviousKeys: before, Pages: t.pages, Audit: countedAudit{t.audit, t.metrics},
		Lifetime: time.Duration(t.config.Lifetimes.Session), Logger: t.logger, Now: t.now,
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

func (t *tenant) openOAuth() error {
	shown := make([]pages.Warehouse, 0, len(t.config.Warehouses))
	for _, w := range t.config.Warehouses {
		shown = append(shown, pages.Warehouse{Name: w.Name, DisplayName: w.DisplayName, Description: w.Description, GivesCredentials: len(w.Credentials) > 0})
	}
	proxies, err := t.config.proxies()
	if err != nil {
		return err
	}
	t.oauth, err = oauth.New(oauth.Config{
		Issuer: t.config.Issuer, Tenant: t.config.tenant, Warehouses: shown,
		Store: t.store, SignIn: t.signIn, Issue: t.issuer, Audit: countedAudit{t.audit, t.metrics}, Pages: t.pages,
		Ring: t.keys.ring, RotationKeys: t.keys.rotation,
		AccessTokenLifetime:     time.Duration(t.config.Lifetimes.AccessToken),
		RefreshIdleLifetime:     time.Duration(t.config.Lifetimes.RefreshIdle),
		GrantLifetime:           time.Duration(t.config.Lifetimes.Grant),
		TokenRequestsPerMinute:  t.config.Limits.TokenRequestsPerMinute,
		FailedClientAuthPerHour: t.config.Limits.FailedClientAuthPerHour,
		StillWelcome:            t.signIn.StillWelcome,
		DeviceApps:              t.config.deviceApps(),
		ClientAddress:           proxies.CallerAddress,
		Now:                     t.now, Logger: t.logger,
	})
	return err
}

func (t *tenant) openSQLAPI() (err error) {
	t.sqlAPI, err = sqlapi.New(sqlapi.Config{
		Authenticator: t.oauth, Warehouses: t.warehouses, Statements: t.store,
		Base: t.config.base(), ResourceMetadata: t.oauth.ResourceMetadataURL(),
		MaxBody: t.config.Limits.RequestBody, Logger: t.logger, Now: t.now,
	})
	return err
}

func (g *Gateway) adminHandler() http.Handler {
	handlers := map[string]http.Handler{}
	for _, t := range g.tenants {
		handlers[t.config.tenant] = t.adminHandler()
	}
	return admin.Tenants(handlers, g.logger)
}

func (t *tenant) adminHandler() http.Handler {
	return admin.Handler(admin.Config{
		Store: t.store, Keys: &adminKeys{t.keys, t.now}, Tenant: t.config.tenant, Now: t.now, Logger: t.logger,
		CheckID: func(id string) error { return CheckAppID(id, t.config.audiences()) },
		Audit:   countedAudit{t.audit, t.metrics}.Write,
	})
}

// registerApps makes the store agree with the configuration file: its apps are there as it says,
// and those that it no longer has are gone, with their grants.
func (t *tenant) registerApps() error {
	ctx := context.Background()
	configured := map[string]bool{}
	for _, a := range t.config.Apps {
		configured[a.ID] = true
		app, err := t.configuredApp(ctx, a)
		if err != nil {
			return err
		}
		if err := t.store.PutApp(ctx, app); err != nil {
			return fmt.Errorf("register app %s: %w", a.ID, err)
		}
	}
	stored, err := t.store.Apps(ctx, t.config.tenant)
	if err != nil {
		return fmt.Errorf("list apps: %w", err)
	}
	for _, app := range stored {
		if app.Origin != grant.FromConfig || configured[app.ID] {
			continue
		}
		t.logger.Warn("app is no longer in the configuration: removed, its grants are revoked", "app", app.ID)
		if err := (countedAudit{t.audit, t.metrics}).Write(ctx, audit.Record{Kind: "app.removed", Tenant: t.config.tenant, App: app.ID, Outcome: "by configuration"}); err != nil {
			return fmt.Errorf("remove app %s: %w", app.ID, err)
		}
		if err := t.store.RemoveApp(ctx, t.config.tenant, app.ID, t.now()); err != nil {
			return fmt.Errorf("remove app %s: %w", app.ID, err)
		}
	}
	return nil
}

// configuredApp refuses to take over an app that somebody registered at the socket.
func (t *tenant) configuredApp(ctx context.Context, a App) (grant.App, error) {
	stored, err := t.store.App(ctx, t.config.tenant, a.ID)
	if err != nil && !errors.Is(err, grant.ErrNotFound) {
		return grant.App{}, fmt.Errorf("look up app %s: %w", a.ID, err)
	}
	if err == nil && stored.Origin != grant.FromConfig {
		return grant.App{}, fmt.Errorf("app %s of the configuration was registered by `shiftgrant apps add` before: rename one of them, or remove that one first", a.ID)
	}
	app := grant.App{
		Tenant: t.config.tenant, ID: a.ID, Name: a.Name, Homepage: a.Homepage, Type: grant.ClientType(a.Type),
		RedirectURIs: a.RedirectURIs, Scopes: a.Scopes, Origin: grant.FromConfig, CreatedAt: t.now(),
		AccessTokenLifetime: time.Duration(a.AccessTokenLifetime), RefreshIdleLifetime: time.Duration(a.RefreshIdleLifetime), RefreshTotalLifetime: time.Duration(a.RefreshLifetime),
	}
	if value := a.Secret.Secret(); !value.IsZero() {
		app.Secrets = []grant.AppSecret{{ID: "config", Hash: grant.HashToken(value.Reveal()), CreatedAt: t.now()}}
	}
	return app, nil
}
