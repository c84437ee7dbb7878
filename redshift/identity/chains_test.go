package identity_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"

	"github.com/shiftgrant/shiftgrant/internal/secret"
	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/dataapi"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
	"github.com/shiftgrant/shiftgrant/redshift/wire"
	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/identitycenter"
	"github.com/shiftgrant/shiftgrant/twin/idp"
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

func (i *assertionIssuer) assert(ctx context.Context, subject identity.Subject) (secret.Text, error) {
	return i.assertFor(twin.Audience)(ctx, subject)
}

func (i *assertionIssuer) assertFor(audience string) func(context.Context, identity.Subject) (secret.Text, error) {
	return func(_ context.Context, subject identity.Subject) (secret.Text, error) {
		i.made.Add(1)
		return i.sign(map[string]any{
			"sub": subject.ID, "aud": audience, "email": subject.Email,
			"https://aws.amazon.com/tags": map[string]any{"principal_tags": map[string]any{"RedshiftDbUser": []string{subject.DatabaseUser}}},
		})
	}
}

// entraToken is what Microsoft Entra ID gives somebody for the application that stands for Redshift.
func (i *assertionIssuer) entraToken(_ context.Context, subject identity.Subject) (secret.Text, time.Time, error) {
	token, err := i.sign(map[string]any{"sub": "oid-of-" + subject.DatabaseUser, "aud": entraAudience, "upn": subject.Email})
	return token, time.Now().Add(time.Minute), err
}

// sign adds what every token of this issuer has.
func (i *assertionIssuer) sign(claims map[string]any) (secret.Text, error) {
	with, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: i.key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return secret.Text{}, err
	}
	now := time.Now()
	claims["iss"], claims["jti"], claims["iat"], claims["exp"] = i.url, rand.Text(), now.Unix(), now.Add(time.Minute).Unix()
	token, err := jwt.Signed(with).Claims(claims).Serialize()
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

// entraAudience is the application that Redshift's native identity provider takes tokens for.
const entraAudience = "api://redshift"

type chainWorld struct {
	issuer    *assertionIssuer
	played    *twin.Twin
	signingIn sync.Mutex // one person at a time, because the identity provider is told who it is
}

func newChainWorld(t *testing.T) *chainWorld {
	t.Helper()
	issuer := newAssertionIssuer(t)
	return &chainWorld{issuer: issuer, played: twintest.Start(t, twin.Config{Issuer: issuer.url, EntraIssuer: issuer.url, EntraAudience: entraAudience})}
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

// staff is the chain whose assertions are the ID tokens of the people's own identity provider.
func (w *chainWorld) staff() (people, error) {
	return identity.NewWebIdentity(identity.WebIdentityConfig{RoleARN: twin.StaffRoleARN, Region: twin.Region, Endpoint: w.played.URL(), Audience: twin.ClientID, Assert: w.idToken})
}

// idToken signs the person in at the identity provider.
func (w *chainWorld) idToken(ctx context.Context, subject identity.Subject) (secret.Text, error) {
	metadata, err := oidc.NewProvider(ctx, w.played.IdPIssuer())
	if err != nil {
		return secret.Text{}, err
	}
	client := oauth2.Config{
		ClientID: twin.ClientID, ClientSecret: twin.DefaultClientSecret, Endpoint: metadata.Endpoint(),
		RedirectURL: "http://localhost:7420/signin/callback/twin", Scopes: []string{"openid"},
	}
	w.signingIn.Lock()
	defer w.signingIn.Unlock()
	w.played.IdP.SetScript(idp.Script{SignInAs: subject.DatabaseUser})
	verifier := oauth2.GenerateVerifier()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, client.AuthCodeURL("state", oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("nonce", rand.Text())), nil)
	if err != nil {
		return secret.Text{}, err
	}
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return secret.Text{}, err
	}
	_ = answer.Body.Close()
	back, err := answer.Location()
	if err != nil {
		return secret.Text{}, err
	}
	tokens, err := client.Exchange(ctx, back.Query().Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		return secret.Text{}, err
	}
	token, _ := tokens.Extra("id_token").(string)
	return secret.New(token), nil
}

// byDataAPI asks the Data API who a person is in Redshift.
func (w *chainWorld) byDataAPI(ctx context.Context, provider identity.Provider, workgroup bool) (string, error) {
	config := dataapi.Config{Region: twin.Region, Endpoint: w.played.URL(), Database: twin.Database, Cluster: twin.Cluster, Credentials: provider}
	if workgroup {
		config.Cluster, config.Workgroup = "", twin.Workgroup
	}
	return currentUser(ctx, dataapi.New(config))
}

// byWire asks at Redshift's port.
func (w *chainWorld) byWire(ctx context.Context, login identity.LoginProvider) (string, error) {
	host, port, err := net.SplitHostPort(w.played.WireAddress())
	if err != nil {
		return "", err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(w.played.Authority())
	pool := wire.NewPool(wire.PoolConfig{Config: wire.Config{Host: host, Port: port, Database: twin.Database, TLS: &tls.Config{RootCAs: roots}}, Login: login})
	defer pool.Close()
	return currentUser(ctx, pool)
}

func currentUser(ctx context.Context, session redshift.Session) (string, error) {
	rows, err := session.Query(ctx, redshift.Statement{SQL: "select current_user"})
	if err != nil {
		return "", err
	}
	defer rows.Close()
	if !rows.Next() {
		return "", errors.Join(errors.New("no row"), rows.Err())
	}
	return string(rows.Values()[0]), rows.Err()
}

func (w *chainWorld) password(keys identity.Provider, workgroup bool) (identity.LoginProvider, error) {
	config := identity.DatabaseLoginConfig{Cluster: twin.Cluster, Database: twin.Database, Region: twin.Region, Endpoint: w.played.URL(), Credentials: keys}
	if workgroup {
		config.Cluster, config.Workgroup = "", twin.Workgroup
	}
	return identity.NewDatabaseLogin(config)
}

func (w *chainWorld) authToken(keys identity.Provider, workgroup bool) (identity.LoginProvider, error) {
	config := identity.AuthTokenConfig{Cluster: twin.Cluster, Region: twin.Region, Endpoint: w.played.URL(), Credentials: keys}
	if workgroup {
		config.Cluster, config.Workgroup = "", twin.Workgroup
	}
	return identity.NewAuthToken(config)
}

func (w *chainWorld) secret() (*identity.Secret, error) {
	return identity.NewSecret(identity.SecretConfig{ARN: twin.SecretARN, Region: twin.Region, Endpoint: w.played.URL(), Credentials: held(twin.GatewayKeys())})
}

// A way leads one person to a session: by the chain's credentials, or by a login.
type way struct {
	// chain gives credentials; login makes one of them, and nil goes by the Data API.
	chain func(*chainWorld) (people, error)
	login func(w *chainWorld, keys identity.Provider, workgroup bool) (identity.LoginProvider, error)
}

func (w *chainWorld) whoIs(ctx context.Context, way way, subject identity.Subject, workgroup bool) (string, error) {
	var keys identity.Provider
	if way.chain != nil {
		chain, err := way.chain(w)
		if err != nil {
			return "", err
		}
		defer chain.Close()
		keys = chain.For(subject)
	}
	if way.login == nil {
		return w.byDataAPI(ctx, keys, workgroup)
	}
	login, err := way.login(w, keys, workgroup)
	if err != nil {
		return "", err
	}
	return w.byWire(ctx, login)
}

var (
	alice = identity.Subject{ID: "per_alice", DatabaseUser: "alice", Email: "alice@example.com"}
	bob   = identity.Subject{ID: "per_bob", DatabaseUser: "bob", Email: "bob@example.com"}
)

// ways are all chains, by the names of docs/chains.md.
func ways(subject identity.Subject) map[string]way {
	partner := func(w *chainWorld) (people, error) { return w.role(held(twin.PartnerKeys()), twin.ExternalID) }
	center := func(w *chainWorld) (people, error) { return w.identityCenter(held(twin.GatewayKeys())) }
	return map[string]way{
		"web_identity, Data API":           {chain: (*chainWorld).webIdentity},
		"web_identity, wire":               {chain: (*chainWorld).webIdentity, login: (*chainWorld).password},
		"upstream's assertion, Data API":   {chain: (*chainWorld).staff},
		"upstream's assertion, wire":       {chain: (*chainWorld).staff, login: (*chainWorld).password},
		"role, Data API":                   {chain: partner},
		"role, wire":                       {chain: partner, login: (*chainWorld).password},
		"identity_center, Data API":        {chain: center},
		"identity_center, auth_token wire": {chain: center, login: (*chainWorld).authToken},
		"identity_center, wire": {login: func(w *chainWorld, _ identity.Provider, _ bool) (identity.LoginProvider, error) {
			return identity.NewTrustedToken(identity.TrustedTokenConfig{Subject: subject, Assert: w.issuer.assertFor(twin.IdentityCenterAudience)})
		}},
		"entra, wire": {login: func(w *chainWorld, _ identity.Provider, _ bool) (identity.LoginProvider, error) {
			return identity.NewNative(identity.NativeConfig{Subject: subject, Token: w.issuer.entraToken, Namespace: twin.EntraNamespace})
		}},
		"secret, Data API": {chain: func(w *chainWorld) (people, error) { return w.secret() }},
		"secret, wire":     {login: func(w *chainWorld, _ identity.Provider, _ bool) (identity.LoginProvider, error) { return w.secret() }},
		"password, wire": {login: func(*chainWorld, identity.Provider, bool) (identity.LoginProvider, error) {
			return identity.NewPassword(identity.PasswordConfig{User: twin.ServiceUser, Read: func() (secret.Text, error) { return secret.New(twin.ServicePassword), nil }})
		}},
	}
}

func TestEachChainShowsThePersonInRedshift(t *testing.T) {
	t.Parallel()
	w := newChainWorld(t)
	for _, role := range []string{twin.RoleName, twin.PartnerRoleName, twin.StaffRoleName} { // the warehouse's owner makes the users of roles
		if err := w.played.Postgres.AddUser(t.Context(), "IAMR:"+role, "shared"); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]struct{ alice, bob, workgroup string }{
		"web_identity, Data API":           {"alice", "bob", "IAMR:" + twin.RoleName},
		"web_identity, wire":               {"alice", "bob", "shared"}, // what the twin calls the role's user at its port
		"upstream's assertion, Data API":   {"alice", "bob", "IAMR:" + twin.StaffRoleName},
		"upstream's assertion, wire":       {"alice", "bob", "shared"},
		"role, Data API":                   {"alice", "bob", "IAMR:" + twin.PartnerRoleName},
		"role, wire":                       {"alice", "bob", "shared"},
		"identity_center, Data API":        {"awsidc:alice@example.com", "awsidc:bob@example.com", "awsidc:alice@example.com"},
		"identity_center, auth_token wire": {"awsidc:alice@example.com", "awsidc:bob@example.com", "awsidc:alice@example.com"},
		"identity_center, wire":            {"awsidc:alice@example.com", "awsidc:bob@example.com", "awsidc:alice@example.com"},
		"entra, wire":                      {"aad:alice@example.com", "aad:bob@example.com", "aad:alice@example.com"},
		"secret, Data API":                 {twin.ServiceUser, twin.ServiceUser, twin.ServiceUser},
		"secret, wire":                     {twin.ServiceUser, twin.ServiceUser, twin.ServiceUser},
		"password, wire":                   {twin.ServiceUser, twin.ServiceUser, twin.ServiceUser},
	} {
		for _, c := range []struct {
			subject   identity.Subject
			workgroup bool
			want      string
		}{{alice, false, want.alice}, {bob, false, want.bob}, {alice, true, want.workgroup}} {
			t.Run(fmt.Sprintf("%s/%s workgroup %v", name, c.subject.DatabaseUser, c.workgroup), func(t *testing.T) {
				t.Parallel()
				if got, err := w.whoIs(t.Context(), ways(c.subject)[name], c.subject, c.workgroup); got != c.want || err != nil {
					t.Errorf("current_user is %q, %v; want %q", got, err, c.want)
				}
			})
		}
	}
}

func TestABrokenLinkSaysWhatToDo(t *testing.T) {
	t.Parallel()
	whole := newChainWorld(t)
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
			w := whole
			if c.breaks != nil {
				w = newChainWorld(t)
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

func TestABrokenLoginSaysWhatToDo(t *testing.T) {
	t.Parallel()
	whole := newChainWorld(t)
	for name, c := range map[string]struct {
		way        way
		workgroup  bool
		breaks     func(*chainWorld)
		code, says string
	}{
		"keys without an identity context": {
			way:  way{chain: (*chainWorld).webIdentity, login: (*chainWorld).authToken},
			code: "UnsupportedOperation", says: "people_role_arn",
		},
		"keys without an identity context, workgroup": {
			way:       way{chain: (*chainWorld).webIdentity, login: (*chainWorld).authToken},
			workgroup: true, code: "AccessDeniedException", says: "redshift-serverless:GetIdentityCenterAuthToken",
		},
		"an application without the scope of Redshift": {
			way: ways(alice)["identity_center, auth_token wire"],
			breaks: func(w *chainWorld) {
				_ = w.played.Center.Change(twin.ApplicationARN, func(a *identitycenter.Application) error { clear(a.Scopes); return nil })
			},
			code: "AccessDenied", says: "redshift:connect",
		},
		"a secret that may not be read": {
			way:    ways(alice)["secret, wire"],
			breaks: func(w *chainWorld) { w.played.Secrets.Deny(twin.SecretARN, true) },
			code:   "AccessDeniedException", says: "secretsmanager:GetSecretValue",
		},
		"a secret that is gone": {
			way:    ways(alice)["secret, wire"],
			breaks: func(w *chainWorld) { w.played.Secrets.Delete(twin.SecretARN) },
			code:   "ResourceNotFoundException", says: "no secret",
		},
		"a secret of something else": {
			way:    ways(alice)["secret, wire"],
			breaks: func(w *chainWorld) { w.played.Secrets.Put("shiftgrant/tickit", "Tw1n00", "canary-of-another-secret") },
			says:   "username",
		},
		"a token for another application": {
			way: way{login: func(w *chainWorld, _ identity.Provider, _ bool) (identity.LoginProvider, error) {
				return identity.NewNative(identity.NativeConfig{Subject: alice, Token: func(ctx context.Context, s identity.Subject) (secret.Text, time.Time, error) {
					token, err := w.issuer.assert(ctx, s)
					return token, time.Now().Add(time.Minute), err
				}})
			}},
			code: "28000", says: "invalid token",
		},
		"a person who signed in elsewhere": {
			way: way{login: func(*chainWorld, identity.Provider, bool) (identity.LoginProvider, error) {
				return identity.NewNative(identity.NativeConfig{Subject: alice, Token: func(context.Context, identity.Subject) (secret.Text, time.Time, error) {
					return secret.Text{}, time.Time{}, errors.New("they signed in elsewhere")
				}})
			}},
			says: "they signed in elsewhere",
		},
		"an audience that the trusted token issuer does not list": {
			way: way{login: func(w *chainWorld, _ identity.Provider, _ bool) (identity.LoginProvider, error) {
				return identity.NewTrustedToken(identity.TrustedTokenConfig{Subject: alice, Assert: w.issuer.assertFor("another")})
			}},
			code: "28000", says: "Identity Center",
		},
		"a password that is not theirs": {
			way: way{login: func(*chainWorld, identity.Provider, bool) (identity.LoginProvider, error) {
				return identity.NewPassword(identity.PasswordConfig{User: twin.ServiceUser, Read: func() (secret.Text, error) { return secret.New("wrong"), nil }})
			}},
			code: "28000", says: "password authentication failed",
		},
		"a password file that is gone": {
			way: way{login: func(*chainWorld, identity.Provider, bool) (identity.LoginProvider, error) {
				return identity.NewPassword(identity.PasswordConfig{User: twin.ServiceUser, Read: func() (secret.Text, error) { return secret.Text{}, os.ErrNotExist }})
			}},
			says: "read the password of " + twin.ServiceUser,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := whole
			if c.breaks != nil {
				w = newChainWorld(t)
				c.breaks(w)
			}
			_, err := w.whoIs(t.Context(), c.way, alice, c.workgroup)
			access, ok := errors.AsType[*redshift.AccessError](err)
			if !ok || access.Code != c.code || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "canary") {
				t.Errorf("%v (%T), want %q with words about %q", err, err, c.code, c.says)
			}
		})
	}
}

// A password that was changed where it is kept is read anew, once.
func TestAChangedPasswordIsReadAnewOnce(t *testing.T) {
	t.Parallel()
	w := newChainWorld(t)
	for name, c := range map[string]struct {
		passwords []string
		works     bool
	}{
		"changed":     {[]string{"old", twin.ServicePassword}, true},
		"still wrong": {[]string{"old", "older", twin.ServicePassword}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reads := 0
			login, err := identity.NewPassword(identity.PasswordConfig{User: twin.ServiceUser, Read: func() (secret.Text, error) {
				reads++
				return secret.New(c.passwords[reads-1]), nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.byWire(t.Context(), login); (err == nil) != c.works || reads != 2 {
				t.Errorf("%v after %d reads", err, reads)
			}
		})
	}
}

// Keys that AWS refuses are fetched anew once, and not in a loop.
func TestRefusedOwnKeysAreFetchedAnewOnce(t *testing.T) {
	t.Parallel()
	w := newChainWorld(t)
	nobody := sigv4.Credential{AccessKeyID: "ASIANOBODY", SecretAccessKey: "x", SessionToken: "y"}
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
