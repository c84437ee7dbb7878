package gateway

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/issuer"
	"github.com/shiftgrant/shiftgrant/redshift/dataapi"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
	"github.com/shiftgrant/shiftgrant/redshift/wire"
)

// Roads are the ways into the warehouses as a gateway of this configuration would go them, for
// somebody who wants to know where a way ends. They need no running gateway, hinder none, and change
// nothing in the data folder.
type Roads struct{ tenant *tenant }

// ErrNoKeys says that no gateway has started on the data folder, so that there is no key to sign with.
var ErrNoKeys = errors.New("there is no signing key yet: a gateway makes one when it first starts")

// OpenRoads reads the issuer's keys. The configuration is of one tenant, as Config.Tenant gives it. An
// issuer.RemoteError is of a key in AWS KMS: [TryKMS] says more.
func OpenRoads(config Config, now func() time.Time) (*Roads, error) {
	t := lookAt(config, now)
	err := t.openIssuer()
	if errors.Is(err, issuer.ErrNoKeys) {
		err = ErrNoKeys
	}
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return &Roads{t}, nil
}

// lookAt is a tenant that makes nothing and serves nobody.
func lookAt(config Config, now func() time.Time) *tenant {
	logger := slog.New(slog.DiscardHandler)
	return &tenant{
		Gateway: &Gateway{config: config, logger: logger, now: now, metrics: newMetrics("")}, config: config, logger: logger,
		keys: &keyRing{issuerFolder: config.SigningKeys(), look: true},
	}
}

// Close ends what was opened on the way.
func (r *Roads) Close() error { return r.tenant.Close() }

// SigningKey is the id of the key that signs assertions.
func (r *Roads) SigningKey() string {
	for _, key := range r.tenant.keys.issuer.List(r.tenant.now()) {
		if key.State == issuer.Signs {
			return key.ID
		}
	}
	return ""
}

// A Road is one person's way into one warehouse, in pieces.
type Road struct {
	// Own are the gateway's own; nil for a chain that needs none.
	Own identity.Provider
	// Secret is what the chain secret logs in with; nil for another.
	Secret *identity.Secret
	// Credentials are AWS's for the person; nil for a chain without.
	Credentials identity.Provider
	// DataAPI is nil where it is not used; Credentials are in it.
	DataAPI *dataapi.Config
	// Port is the warehouse's own; nil where it is not used. Login is what opens it.
	Port  *wire.Config
	Login identity.LoginProvider
}

// Road builds a person's way. It makes no call.
func (r *Roads) Road(w Warehouse, subject identity.Subject) (Road, error) {
	if w.Transport == "auto" && w.Host != "" {
		w.Transport = "wire" // a port that cannot be reached is a finding, and no reason to do without
	}
	client := dataapi.NewHTTPClient()
	r.tenant.closers = append(r.tenant.closers, func() error { client.CloseIdleConnections(); return nil })
	c, err := r.tenant.connector(w, client)
	if err != nil {
		return Road{}, err
	}
	road := Road{Own: c.own, Secret: c.secret, Port: c.port}
	if c.chain != nil {
		road.Credentials = c.chain.For(subject)
	}
	if c.dataAPI != nil {
		config := *c.dataAPI
		config.Credentials = road.Credentials
		road.DataAPI = &config
	}
	if c.port != nil {
		road.Login, err = c.login(c.chain, subject, 0)
	}
	return road, err
}

// TryKMS has AWS KMS do what a gateway of this configuration has it do: seal and open a few bytes by
// the key that seals, and sign by those that sign or will. Nothing is kept. It gives the key that an
// error is about. The configuration is of one tenant.
func TryKMS(ctx context.Context, config Config, now func() time.Time) (key string, err error) {
	t := lookAt(config, now)
	defer func() { err = errors.Join(err, t.Close()) }()
	if err := t.trySealing(ctx); err != nil {
		return config.Keys.KMS.Key, err
	}
	if len(config.Keys.IssuerKMS) == 0 {
		return "", nil
	}
	if err = t.openIssuer(); err == nil {
		err = t.keys.issuer.Try(ctx, now())
	}
	if at, ok := errors.AsType[*issuer.RemoteError](err); ok {
		return at.Name, at.Err
	}
	return config.Keys.IssuerKMS[0].Key, err
}

func (g *Gateway) trySealing(ctx context.Context) error {
	key, err := g.openKMS()
	if err != nil || key == nil {
		return err
	}
	purpose := map[string]string{"shiftgrant-key": "doctor"}
	sealed, err := key.Encrypt(ctx, []byte("a test"), purpose)
	if err != nil {
		return err
	}
	_, err = key.Decrypt(ctx, sealed, purpose)
	return err
}

// File is the file that holds the secret; "" where it is none.
func (s SecretRef) File() string {
	name, _ := strings.CutPrefix(s.reference, "file:")
	if name == s.reference {
		return ""
	}
	return name
}
