// Package twin plays the world outside of the gateway, on this machine: the company's identity
// provider, AWS STS, IAM, IAM Identity Center, Secrets Manager, KMS, Redshift's control plane and Data API
// on one port, and Redshift's own protocol on another, over a real PostgreSQL.
//
// It is a stand-in for development and tests, no production system, and is made so that
// nobody can mistake it for one: it binds to loopback only, says what it is on every page and
// at each start, and its secrets are printed on its front page. What it does promise is to be
// strict. A token that AWS would refuse is refused here, for the same reason and in the same
// words; where AWS is vague, the twin takes the stricter reading. So a gateway that works
// here has had its signatures, claims, trust policy and rights checked by somebody.
//
// In a test start it with twintest.Start(t), which ends it with the test; that function is in package
// twin/twintest, so that programs which play with the twin do not link package testing. Programs call
// Start and Close, and everybody else runs `shiftgrant twin`. docs/twin.md lists what is played, and
// how to break it.
//
// What it cannot show is listed in docs/verified.md: policies beyond a role's trust and
// the actions that they allow, real limits, real latency.
package twin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shiftgrant/shiftgrant/twin/controlplane"
	"github.com/shiftgrant/shiftgrant/twin/dataapi"
	"github.com/shiftgrant/shiftgrant/twin/iam"
	"github.com/shiftgrant/shiftgrant/twin/identitycenter"
	"github.com/shiftgrant/shiftgrant/twin/identitystore"
	"github.com/shiftgrant/shiftgrant/twin/idp"
	"github.com/shiftgrant/shiftgrant/twin/jwks"
	"github.com/shiftgrant/shiftgrant/twin/kms"
	"github.com/shiftgrant/shiftgrant/twin/postgres"
	"github.com/shiftgrant/shiftgrant/twin/secretsmanager"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
	"github.com/shiftgrant/shiftgrant/twin/ssoadmin"
	"github.com/shiftgrant/shiftgrant/twin/ssooidc"
	"github.com/shiftgrant/shiftgrant/twin/sts"
	"github.com/shiftgrant/shiftgrant/twin/wire"
)

// Notice is what the twin says at each start.
const Notice = "twin: a stand-in for development and tests, no production system"

// DefaultListen is the address of the development layout.
const DefaultListen = "127.0.0.1:7422"

// Config says what the twin is to play. The zero value plays without a gateway.
type Config struct {
	// Listen is a loopback address; empty is DefaultListen. Port 0 takes a free one.
	Listen string
	// WireListen is the loopback address of Redshift's port; empty takes a free port.
	WireListen string
	// Dir keeps the database from one start to the next; empty is a temporary folder.
	Dir string
	// AuthorityFile gets the certificate that clients of Redshift's port have to trust, before anything
	// is answered; empty writes none. It is left behind.
	AuthorityFile string
	// PostgresBin is the folder of initdb and postgres; empty searches.
	PostgresBin string

	// Issuer is the gateway's URL, which the AWS account trusts as OIDC provider.
	Issuer string
	// GatewayRedirectURIs and GatewayLogoutURIs are the gateway's addresses as the IdP's client
	// ClientID, exactly.
	GatewayRedirectURIs []string
	GatewayLogoutURIs   []string
	// ClientSecret is the gateway's secret at the IdP; empty is DefaultClientSecret.
	ClientSecret string

	// EntraIssuer is whose tokens Redshift's native identity provider (type azure) takes, if they are
	// for EntraAudience; empty are the twin's own IdP and ClientID. The access tokens of the twin's own
	// IdP are for EntraAudience where it is given.
	EntraIssuer, EntraAudience string

	// Quotas are those of the Data API; off in the zero value.
	Quotas dataapi.Quotas

	// Logger is told what happens; nil is slog.Default, because the notice should be seen.
	Logger *slog.Logger
	// Now is the clock of all parts; nil is time.Now.
	Now func() time.Time
}

// ErrAuthorityFile says that the certificate could not be written.
var ErrAuthorityFile = errors.New("write the certificate")

// Twin is a running twin. Its parts can be told to misbehave.
type Twin struct {
	IdP      *idp.Provider
	STS      *sts.Server
	DataAPI  *dataapi.Handler
	Postgres *postgres.Server
	// Passwords gives database passwords (GetClusterCredentials and GetCredentials), Wire is
	// Redshift's port, which takes them.
	Passwords *controlplane.Server
	Wire      *wire.Server
	// KMS keeps other people's keys. It starts with two, KeyARN and SigningKeyARN.
	KMS *kms.Server
	// Center is what IAM Identity Center knows; OIDC, Admin and Directory are its services.
	Center    *identitycenter.Center
	OIDC      *ssooidc.Server
	Admin     *ssoadmin.Server
	Directory *identitystore.Server
	// Secrets is Secrets Manager. It starts with one secret, SecretARN.
	Secrets *secretsmanager.Server
	// IAM is how roles and OIDC providers get into STS.
	IAM *iam.Server
	// Registry knows all AWS keys, those of developers included.
	Registry *sigv4.Registry

	clock     *clock
	native    *native
	url       string
	authority []byte
	server    *http.Server
	served    chan struct{}
	logger    *slog.Logger
	closed    sync.Once
}

// Start starts everything and returns when it serves. The context bounds the start alone;
// Close ends what was started.
func Start(ctx context.Context, config Config) (*Twin, error) {
	if config.Listen == "" {
		config.Listen = DefaultListen
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	if config.ClientSecret == "" {
		config.ClientSecret = DefaultClientSecret
	}
	listener, err := listen(ctx, config.Listen)
	if err != nil {
		return nil, fmt.Errorf("start twin: %w", err)
	}
	t, err := assemble(ctx, config, listener)
	if err != nil {
		_ = listener.Close()
		return nil, fmt.Errorf("start twin: %w", err)
	}
	go func() {
		defer close(t.served)
		if err := t.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			t.logger.Error("twin stopped serving", "error", err)
		}
	}()
	config.Logger.Warn(Notice, "url", t.url)
	return t, nil
}

// listen refuses every address but this machine's own: there is no way to make the twin
// reachable from outside.
func listen(ctx context.Context, address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("listen address %q: %w", address, err)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("listen address %q: the twin serves loopback only, such as %s", address, DefaultListen)
	}
	var config net.ListenConfig
	return config.Listen(ctx, "tcp", net.JoinHostPort(host, port))
}

// assemble builds the parts, the database last because it is the one that needs ending.
func assemble(ctx context.Context, config Config, listener net.Listener) (*Twin, error) {
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return nil, err
	}
	t := &Twin{clock: newClock(config.Now), url: "http://localhost:" + port, Registry: sigv4.NewRegistry(0), logger: config.Logger, served: make(chan struct{})}
	config.Now = t.clock.Now
	if err := t.addKeys(); err != nil {
		return nil, fmt.Errorf("register keys: %w", err)
	}
	if t.IdP, err = newIdP(config, t.url); err != nil {
		return nil, fmt.Errorf("identity provider: %w", err)
	}
	if err := t.openCenter(config); err != nil {
		return nil, fmt.Errorf("identity center: %w", err)
	}
	if t.STS, err = newSTS(config, t.IdPIssuer(), t.Registry, t.Center); err != nil {
		return nil, fmt.Errorf("sts: %w", err)
	}
	t.IAM = iam.New(iam.Config{STS: t.STS, Registry: t.Registry, Region: Region, Account: Account, Now: config.Now})
	t.Registry.Allows = func(caller sigv4.Credential, action string) bool {
		return caller.Account != Account || t.IAM.Allows(caller.RoleName, action)
	}
	front, err := newFrontPage(t.url, config.Issuer != "", t.WireAddress)
	if err != nil {
		return nil, err
	}
	if t.Postgres, err = postgres.Start(ctx, postgres.Config{Dir: databaseDir(config.Dir), BinDir: config.PostgresBin, Logger: config.Logger}); err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	if err := t.addUsers(ctx, config); err != nil {
		return nil, errors.Join(err, t.Postgres.Close())
	}
	t.Secrets = newSecrets(config, t.Registry)
	t.DataAPI = newDataAPI(config, t.Registry, t.warehouse(), t.Secrets, t.IAM)
	t.Passwords = newControlPlane(config, t.Registry, t.Center, t.IAM, t.endpoint)
	t.KMS = kms.New(kms.Config{Registry: t.Registry, Region: Region, Account: Account, Now: config.Now})
	t.KMS.CreateKey(keyID, nil)
	if _, err := t.KMS.CreateSigningKey(signingKeyID); err != nil {
		return nil, errors.Join(err, t.DataAPI.Close(), t.Postgres.Close())
	}
	if err := t.openPort(ctx, config); err != nil {
		return nil, errors.Join(fmt.Errorf("redshift's port: %w", err), t.DataAPI.Close(), t.Postgres.Close())
	}
	t.server = &http.Server{
		Handler:           t.handler(front),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      2 * time.Minute, // a long poll of 30 s, and then a large page
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(config.Logger.Handler(), slog.LevelDebug),
	}
	return t, nil
}

// openPort opens Redshift's port with a certificate of its own.
func (t *Twin) openPort(ctx context.Context, config Config) error {
	listener, err := listen(ctx, cmp.Or(config.WireListen, "127.0.0.1:0"))
	if err != nil {
		return err
	}
	certificate, _, authority, err := wire.NewCertificate(time.Now())
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	if config.AuthorityFile != "" {
		if err := os.WriteFile(config.AuthorityFile, authority, 0o644); err != nil {
			return errors.Join(fmt.Errorf("%w: %w", ErrAuthorityFile, err), listener.Close())
		}
	}
	t.authority = authority
	t.native = &native{keys: jwks.New(config.Now), now: config.Now}
	t.Wire = newWire(listener, config, certificate, t.warehouse(), t.Passwords, t.byToken)
	return nil
}

// addKeys makes the AWS keys known that are there from the start.
func (t *Twin) addKeys() error {
	known := []sigv4.Credential{GatewayKeys(), PartnerKeys()}
	for _, p := range people {
		known = append(known, DeveloperKeys(p.Username))
	}
	for _, keys := range known {
		if err := t.Registry.Add(keys); err != nil {
			return err
		}
	}
	return nil
}

// openCenter starts Identity Center and its services.
func (t *Twin) openCenter(config Config) (err error) {
	if t.Center, err = newCenter(config); err != nil {
		return err
	}
	t.Admin = ssoadmin.New(ssoadmin.Config{Center: t.Center, Registry: t.Registry, Region: Region, Now: config.Now})
	t.Directory = identitystore.New(identitystore.Config{Center: t.Center, Registry: t.Registry, Region: Region, Now: config.Now})
	t.OIDC, err = ssooidc.New(ssooidc.Config{URL: t.url, Center: t.Center, Registry: t.Registry, Region: Region, Password: Password, Now: config.Now})
	return err
}

// SetSkew makes the clock of everything in the twin run ahead of this machine's, or behind.
func (t *Twin) SetSkew(ahead time.Duration) { t.clock.skew.Store(int64(ahead)) }

// Hide makes Redshift treat a database user as if there were none, or ends that again.
func (t *Twin) Hide(ctx context.Context, databaseUser string, hidden bool) error {
	return t.Postgres.Hide(ctx, databaseUser, hidden)
}

// A clock can be set wrong.
type clock struct {
	base func() time.Time
	skew atomic.Int64
}

func newClock(base func() time.Time) *clock {
	if base == nil {
		base = time.Now
	}
	return &clock{base: base}
}

// Now is the time, as wrong as it was set.
func (c *clock) Now() time.Time { return c.base().Add(time.Duration(c.skew.Load())) }

// endpoint is where the control plane says that Redshift's port is.
func (t *Twin) endpoint() (host string, port int) {
	return "localhost", t.Wire.Address().(*net.TCPAddr).Port
}

func databaseDir(dir string) string {
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, "postgres")
}

// URL is where everything is: the IdP's issuer is URL + IdPPath, and the endpoint of STS and
// of the Data API is URL itself.
func (t *Twin) URL() string { return t.url }

// IdPIssuer is the issuer of the identity provider.
func (t *Twin) IdPIssuer() string { return t.url + IdPPath }

// WireAddress is the host and port of Redshift's port.
func (t *Twin) WireAddress() string {
	return net.JoinHostPort("localhost", strconv.Itoa(t.Wire.Address().(*net.TCPAddr).Port))
}

// Authority is the certificate, as PEM, that clients of Redshift's port have to trust.
func (t *Twin) Authority() []byte { return slices.Clone(t.authority) }

// Done is closed when the database has ended, by Close or by accident.
func (t *Twin) Done() <-chan struct{} { return t.Postgres.Done() }

// Close ends everything: it stops taking requests, lets those under way end for a moment,
// and stops the database.
func (t *Twin) Close() error {
	var err error
	t.closed.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if t.server.Shutdown(ctx) != nil {
			err = t.server.Close()
		}
		<-t.served
		t.STS.Close()
		t.Center.Close()
		t.native.keys.Close()
		err = errors.Join(err, t.DataAPI.Close(), t.Wire.Close(), t.Postgres.Close())
	})
	return err
}
