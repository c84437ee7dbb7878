// Package twin plays the world outside of the gateway, on this machine: the company's identity
// provider, AWS STS, Redshift's control plane and Data API on one port, and Redshift's own protocol
// on another, over a real PostgreSQL.
//
// It is a stand-in for development and tests, no production system, and is made so that
// nobody can mistake it for one: it binds to loopback only, says what it is on every page and
// at each start, and its secrets are printed on its front page. What it does promise is to be
// strict. A token that AWS would refuse is refused here, for the same reason and in the same
// words; where AWS is vague, the twin takes the stricter reading. So a gateway that works
// here has had its signatures, claims, trust policy and rights checked by somebody.
//
// What it cannot show is listed in docs/verified.md: real policies beyond the role's trust,
// real limits, real latency.
package twin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/shiftgrant/shiftgrant/twin/controlplane"
	"github.com/shiftgrant/shiftgrant/twin/dataapi"
	"github.com/shiftgrant/shiftgrant/twin/idp"
	"github.com/shiftgrant/shiftgrant/twin/kms"
	"github.com/shiftgrant/shiftgrant/twin/postgres"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
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

	// Quotas are those of the Data API; off in the zero value.
	Quotas dataapi.Quotas

	// Logger is told what happens; nil is slog.Default, because the notice should be seen.
	Logger *slog.Logger
	// Now is the clock of all parts; nil is time.Now.
	Now func() time.Time
}

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
	// KMS keeps other people's keys. It starts with one, KeyARN.
	KMS *kms.Server
	// Registry knows all AWS keys, those of developers included.
	Registry *sigv4.Registry

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
	t := &Twin{url: "http://localhost:" + port, Registry: sigv4.NewRegistry(0), logger: config.Logger, served: make(chan struct{})}
	for _, p := range people {
		if err := t.Registry.Add(DeveloperKeys(p.Username)); err != nil {
			return nil, fmt.Errorf("register developer keys: %w", err)
		}
	}
	if t.IdP, err = newIdP(config, t.url); err != nil {
		return nil, fmt.Errorf("identity provider: %w", err)
	}
	if t.STS, err = newSTS(config, t.Registry); err != nil {
		return nil, fmt.Errorf("sts: %w", err)
	}
	front, err := newFrontPage(t.url)
	if err != nil {
		return nil, err
	}
	if t.Postgres, err = postgres.Start(ctx, postgres.Config{Dir: databaseDir(config.Dir), BinDir: config.PostgresBin, Logger: config.Logger}); err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	t.DataAPI = newDataAPI(config, t.Registry, t.Postgres)
	t.Passwords = newControlPlane(config, t.Registry)
	t.KMS = kms.New(kms.Config{Registry: t.Registry, Region: Region, Account: Account, Now: config.Now})
	t.KMS.CreateKey(keyID, nil)
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
	t.authority = authority
	t.Wire = newWire(listener, config, certificate, t.Postgres, t.Passwords, t.STS)
	return nil
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
		err = errors.Join(err, t.DataAPI.Close(), t.Wire.Close(), t.Postgres.Close())
	})
	return err
}
