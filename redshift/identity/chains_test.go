package identity_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/shiftgrant/shiftgrant/internal/secret"
	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/dataapi"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/identitycenter"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
	"github.com/shiftgrant/shiftgrant/twin/twintest"
)

// An assertionIssuer signs assertions, and publishes its key as a gateway does.
type assertionIssuer struct {
	url  string
	key  jose.JSONWebKey
	made atomic.Int64
}

func newAssertionIssuer(t *testing.T) *assertionIssuer {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i := &assertionIssuer{key: jose.JSONWebKey{Key: private, KeyID: "k1", Algorithm: "RS256", Use: "sig"}}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": i.url, "jwks_uri": i.url + "/keys"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{i.key.Public()}})
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	i.url = server.URL
	return i
}

func (i *assertionIssuer) assert(_ context.Context, subject identity.Subject) (secret.Text, error) {
	i.made.Add(1)
	with, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: i.key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return secret.Text{}, err
	}
	now := time.Now()
	token, err := jwt.Signed(with).Claims(map[string]any{
		"iss": i.url, "sub": subject.ID, "aud": twin.Audience, "email": subject.Email, "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
		"https://aws.amazon.com/tags": map[string]any{"principal_tags": map[string]any{"RedshiftDbUser": []string{subject.DatabaseUser}}},
	}).Serialize()
	return secret.New(token), err
}

// ownKeys gives keys that may be replaced, and counts how often they were asked for.
type ownKeys struct {
	keys  atomic.Pointer[sigv4.Credential]
	next  *sigv4.Credential // after Invalidate
	asked atomic.Int64
}

func held(keys sigv4.Credential) *ownKeys {
	o := &ownKeys{next: &keys}
	o.keys.Store(&keys)
	return o
}

func (o *ownKeys) Credentials(context.Context) (identity.Credentials, error) {
	o.asked.Add(1)
	k := o.keys.Load()
	return identity.Credentials{AccessKeyID: k.AccessKeyID, SecretAccessKey: secret.New(k.SecretAccessKey), SessionToken: secret.New(k.SessionToken)}, nil
}

func (o *ownKeys) Invalidate(identity.Credentials) { o.keys.Store(o.next) }

// A people is a chain for any number of people.
type people interface {
	For(identity.Subject) identity.Provider
	Close()
}

type chainWorld struct {
	issuer *assertionIssuer
	played *twin.Twin
}

func newChainWorld(t *testing.T) *chainWorld {
	t.Helper()
	issuer := newAssertionIssuer(t)
	return &chainWorld{issuer, twintest.Start(t, twin.Config{Issuer: issuer.url})}
}

func (w *chainWorld) webIdentity() (people, error) {
	return identity.NewWebIdentity(identity.WebIdentityConfig{RoleARN: twin.RoleARN, Region: twin.Region, Endpoint: w.played.URL(), Audience: twin.Audience, Assert: w.issuer.assert})
}

func (w *chainWorld) role(own identity.Provider, externalID string) (people, error) {
	return identity.NewRole(identity.RoleConfig{RoleARN: twin.PartnerRoleARN, ExternalID: externalID, Region: twin.Region, Endpoint: w.played.URL(), Credentials: own})
}

func (w *chainWorld) identityCenter(own identity.Provider) (people, error) {
	return identity.NewIdentityCenter(identity.IdentityCenterConfig{
		ApplicationARN: twin.ApplicationARN, PeopleRoleARN: twin.PeopleRoleARN, Region: twin.Region,
		Endpoint: w.played.URL(), STSEndpoint: w.played.URL(), Credentials: own, Assert: w.issuer.assert,
	})
}

// whoIs asks the Data API who a person is in Redshift.
func (w *chainWorld) whoIs(ctx context.Context, provider identity.Provider, workgroup bool) (string, error) {
	config := dataapi.Config{Region: twin.Region, Endpoint: w.played.URL(), Database: twin.Database, Cluster: twin.Cluster, Credentials: provider}
	if workgroup {
		config.Cluster, config.Workgroup = "", twin.Workgroup
	}
	rows, err := dataapi.New(config).Query(ctx, redshift.Statement{SQL: "select current_user"})
	if err != nil {
		return "", err
	}
	defer rows.Close()
	if !rows.Next() {
		return "", errors.Join(errors.New("no row"), rows.Err())
	}
	return string(rows.Values()[0]), rows.Err()
}

func TestEachChainShowsThePersonInRedshift(t *testing.T) {
	t.Parallel()
	w := newChainWorld(t)
	for _, role := range []string{twin.RoleName, twin.PartnerRoleName} { // the warehouse's owner makes the users of roles
		if err := w.played.Postgres.AddUser(t.Context(), "IAMR:"+role, "shared"); err != nil {
			t.Fatal(err)
		}
	}
	alice := identity.Subject{ID: "per_alice", DatabaseUser: "alice", Email: "alice@example.com"}
	bob := identity.Subject{ID: "per_bob", DatabaseUser: "bob", Email: "bob@example.com"}
	for name, c := range map[string]struct {
		chain     func() (people, error)
		subject   identity.Subject
		workgroup bool
		want      string
	}{
		"web identity, alice on the cluster": {w.webIdentity, alice, false, "alice"},
		"web identity, bob on the cluster":   {w.webIdentity, bob, false, "bob"},
		"web identity, the workgroup":        {w.webIdentity, alice, true, "IAMR:" + twin.RoleName},
		"a role of another account, alice":   {func() (people, error) { return w.role(held(twin.PartnerKeys()), twin.ExternalID) }, alice, false, "alice"},
		"a role of another account, bob":     {func() (people, error) { return w.role(held(twin.PartnerKeys()), twin.ExternalID) }, bob, false, "bob"},
		"a role of another account, serverless": {
			func() (people, error) { return w.role(held(twin.PartnerKeys()), twin.ExternalID) },
			alice, true, "IAMR:" + twin.PartnerRoleName,
		},
		"Identity Center, alice on the cluster": {func() (people, error) { return w.identityCenter(held(twin.GatewayKeys())) }, alice, false, "awsidc:alice@example.com"},
		"Identity Center, bob on the cluster":   {func() (people, error) { return w.identityCenter(held(twin.GatewayKeys())) }, bob, false, "awsidc:bob@example.com"},
		"Identity Center, the workgroup":        {func() (people, error) { return w.identityCenter(held(twin.GatewayKeys())) }, bob, true, "awsidc:bob@example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			chain, err := c.chain()
			if err != nil {
				t.Fatal(err)
			}
			defer chain.Close()
			if got, err := w.whoIs(t.Context(), chain.For(c.subject), c.workgroup); got != c.want || err != nil {
				t.Errorf("current_user is %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestABrokenLinkSaysWhatToDo(t *testing.T) {
	t.Parallel()
	alice := identity.Subject{ID: "per_alice", DatabaseUser: "alice", Email: "alice@example.com"}
	for name, c := range map[string]struct {
		chain      func(*chainWorld) (people, error)
		breaks     func(*chainWorld) error
		subject    identity.Subject
		code, says string
	}{
		"another external id": {
			chain: func(w *chainWorld) (people, error) { return w.role(held(twin.PartnerKeys()), "another") },
			code:  "AccessDenied", says: "external id",
		},
		"no external id": {
			chain: func(w *chainWorld) (people, error) { return w.role(held(twin.PartnerKeys()), "") },
			code:  "AccessDenied", says: "external id",
		},
		"another account's keys": {
			chain: func(w *chainWorld) (people, error) { return w.role(held(twin.GatewayKeys()), twin.ExternalID) },
			code:  "AccessDenied", says: twin.PartnerRoleARN,
		},
		"keys that are nobody's": {
			chain: func(w *chainWorld) (people, error) {
				return w.role(held(sigv4.Credential{AccessKeyID: "AKIANOBODY", SecretAccessKey: "x"}), twin.ExternalID)
			},
			code: "InvalidClientTokenId", says: "AWS_ACCESS_KEY_ID",
		},
		"a person whom Identity Center does not know": {
			chain:   func(w *chainWorld) (people, error) { return w.identityCenter(held(twin.GatewayKeys())) },
			subject: identity.Subject{ID: "per_mallory", Email: "mallory@example.com"},
			code:    "InvalidGrantException", says: "trusted token issuer",
		},
		"an application without the grant": {
			chain: func(w *chainWorld) (people, error) { return w.identityCenter(held(twin.GatewayKeys())) },
			breaks: func(w *chainWorld) error {
				return w.played.Center.Change(twin.ApplicationARN, func(a *identitycenter.Application) error {
					delete(a.Grants, identitycenter.JWTBearer)
					return nil
				})
			},
			code: "UnauthorizedClientException", says: "JWT bearer grant",
		},
		"an application that knows another actor": {
			chain: func(w *chainWorld) (people, error) { return w.identityCenter(held(twin.PartnerKeys())) },
			code:  "AccessDeniedException", says: "authentication method",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newChainWorld(t)
			if c.breaks != nil {
				if err := c.breaks(w); err != nil {
					t.Fatal(err)
				}
			}
			chain, err := c.chain(w)
			if err != nil {
				t.Fatal(err)
			}
			defer chain.Close()
			if c.subject.ID == "" {
				c.subject = alice
			}
			_, err = chain.For(c.subject).Credentials(t.Context())
			access, ok := errors.AsType[*redshift.AccessError](err)
			if !ok || access.Code != c.code || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v (%T), want %s with words about %q", err, err, c.code, c.says)
			}
		})
	}
}

// Keys that AWS refuses are fetched anew once, and not in a loop.
func TestRefusedOwnKeysAreFetchedAnewOnce(t *testing.T) {
	t.Parallel()
	w := newChainWorld(t)
	nobody := sigv4.Credential{AccessKeyID: "ASIANOBODY", SecretAccessKey: "x", SessionToken: "y"}
	alice := identity.Subject{ID: "per_alice", DatabaseUser: "alice", Email: "alice@example.com"}
	for name, c := range map[string]struct {
		good  sigv4.Credential
		chain func(identity.Provider) (people, error)
	}{
		"role":            {twin.PartnerKeys(), func(own identity.Provider) (people, error) { return w.role(own, twin.ExternalID) }},
		"identity center": {twin.GatewayKeys(), func(own identity.Provider) (people, error) { return w.identityCenter(own) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stale := held(nobody)
			stale.next = &c.good
			chain, err := c.chain(stale)
			if err != nil {
				t.Fatal(err)
			}
			defer chain.Close()
			if _, err := chain.For(alice).Credentials(t.Context()); err != nil {
				t.Errorf("stale keys are not replaced: %v", err)
			}
			lost := held(nobody)
			broken, err := c.chain(lost)
			if err != nil {
				t.Fatal(err)
			}
			defer broken.Close()
			if _, err := broken.For(alice).Credentials(t.Context()); err == nil || lost.asked.Load() != 2 {
				t.Errorf("keys that stay refused: %v, asked for %d times", err, lost.asked.Load())
			}
		})
	}
}
