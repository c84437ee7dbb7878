package connect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-json-experiment/json"
	"golang.org/x/oauth2"
)

const (
	callTimeout    = 10 * time.Second
	answerLimit    = 1 << 20
	metadataMaxAge = time.Hour
	// metadataPause keeps callers from asking an issuer that is down again and again.
	metadataPause = time.Second
)

// metadata is what an issuer says of itself (RFC 8414 §2, OpenID Connect Discovery §3).
type metadata struct {
	Issuer                string   `json:"issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	RevocationEndpoint    string   `json:"revocation_endpoint"`
	JWKSURI               string   `json:"jwks_uri"`
	AuthMethods           []string `json:"token_endpoint_auth_methods_supported"`
	IssInResponses        bool     `json:"authorization_response_iss_parameter_supported"`
	ChallengeMethods      []string `json:"code_challenge_methods_supported"`
	DeviceEndpoint        string   `json:"device_authorization_endpoint"`
	Scopes                []string `json:"scopes_supported"`

	keys  oidc.KeySet
	shown *rationed // the same keys, as they were shown
	// forTenants says that the issuer is a template; see tenant.go.
	forTenants bool
}

// discovery keeps an issuer's metadata for an hour, and goes on with what it has when the
// issuer cannot be asked.
type discovery struct {
	mu      sync.Mutex
	found   *metadata
	at      time.Time
	failed  error
	triedAt time.Time
}

// metadata asks the issuer, or gives what it said within the hour.
func (c *Client) metadata(ctx context.Context) (*metadata, error) {
	d := &c.discovery
	d.mu.Lock()
	defer d.mu.Unlock()
	now := c.now()
	if d.found != nil && now.Sub(d.at) < metadataMaxAge {
		return d.found, nil
	}
	if d.failed != nil && now.Sub(d.triedAt) < metadataPause {
		return d.found, errOrNil(d.found == nil, d.failed)
	}
	d.triedAt = now
	fetched, err := c.fetchMetadata(ctx)
	if err != nil {
		d.failed = fmt.Errorf("read metadata of %s: %w", c.config.Issuer, err)
		if d.found != nil {
			c.logger.Warn("going on with older metadata", "error", d.failed)
		}
		return d.found, errOrNil(d.found == nil, d.failed)
	}
	d.found, d.at, d.failed = fetched, now, nil
	return fetched, nil
}

// ScopesSupported lists the scopes that the issuer names in its metadata.
func (c *Client) ScopesSupported(ctx context.Context) ([]string, error) {
	metadata, err := c.metadata(ctx)
	if err != nil {
		return nil, err
	}
	return slices.Clone(metadata.Scopes), nil
}

func errOrNil(is bool, err error) error {
	if is {
		return err
	}
	return nil
}

func (c *Client) fetchMetadata(ctx context.Context) (*metadata, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.metadataURL(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", response.StatusCode)
	}
	if kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, errors.New("the answer is not JSON")
	}
	found := &metadata{}
	// Strictly: a member twice, or in other letters, is a fault and never the one that counts.
	if err := json.UnmarshalRead(response.Body, found); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	found.forTenants = c.config.AcceptTenant != nil && isTemplateOf(found.Issuer, c.config.Issuer)
	if err := found.check(c.config.Issuer, c.asksForOpenID()); err != nil {
		return nil, err
	}
	keys := *c.http
	found.shown = &rationed{next: keys.Transport, now: c.now}
	keys.Transport = found.shown
	found.keys = oidc.NewRemoteKeySet(oidc.ClientContext(context.WithoutCancel(ctx), &keys), found.JWKSURI)
	return found, nil
}

// metadataURL appends the well-known path for OpenID (Discovery §4) and inserts it before the
// path otherwise (RFC 8414 §3.1).
func (c *Client) metadataURL() string {
	if c.asksForOpenID() {
		return strings.TrimSuffix(c.config.Issuer, "/") + "/.well-known/openid-configuration"
	}
	u, err := url.Parse(c.config.Issuer)
	if err != nil {
		return c.config.Issuer
	}
	u.Path = "/.well-known/oauth-authorization-server" + strings.TrimSuffix(u.Path, "/")
	return u.String()
}

func (m *metadata) check(issuer string, openID bool) error {
	// RFC 8414 §3.3: identical, so that one issuer cannot speak for another.
	if m.Issuer != issuer && !m.forTenants {
		return fmt.Errorf("expected issuer %q, got %q", issuer, m.Issuer)
	}
	endpoints := map[string]string{"authorization_endpoint": m.AuthorizationEndpoint, "token_endpoint": m.TokenEndpoint}
	if openID {
		endpoints["jwks_uri"] = m.JWKSURI
	}
	if m.RevocationEndpoint != "" {
		endpoints["revocation_endpoint"] = m.RevocationEndpoint
	}
	for name, endpoint := range endpoints {
		if err := secureURL(endpoint); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	// RFC 7636 §7.2: never fall back to plain. An issuer that lists no methods may still know S256.
	if len(m.ChallengeMethods) > 0 && !slices.Contains(m.ChallengeMethods, "S256") {
		return errors.New("the issuer does not support PKCE with S256")
	}
	return nil
}

// oauth is the configuration of golang.org/x/oauth2 for this issuer.
func (c *Client) oauth(m *metadata) *oauth2.Config {
	style := oauth2.AuthStyleInHeader
	postOnly := slices.Contains(m.AuthMethods, "client_secret_post") && !slices.Contains(m.AuthMethods, "client_secret_basic")
	if c.config.ClientSecret == "" || postOnly {
		style = oauth2.AuthStyleInParams
	}
	return &oauth2.Config{
		ClientID: c.config.ClientID, ClientSecret: c.config.ClientSecret, RedirectURL: c.config.RedirectURL, Scopes: c.config.Scopes,
		Endpoint: oauth2.Endpoint{AuthURL: m.AuthorizationEndpoint, TokenURL: m.TokenEndpoint, AuthStyle: style},
	}
}

// issuerClient is the client for metadata, keys and tokens: it follows no redirect, reads no
// endless answer and does not wait for ever.
func issuerClient(base *http.Client) *http.Client {
	client := http.Client{Timeout: callTimeout}
	if base != nil {
		client = *base
		if client.Timeout == 0 {
			client.Timeout = callTimeout
		}
	}
	next := client.Transport
	if next == nil {
		next = http.DefaultTransport
	}
	client.Transport = bounded{next}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client
}

type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.next.RoundTrip(r)
	if err == nil {
		response.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(response.Body, answerLimit), response.Body}
	}
	return response, err
}
