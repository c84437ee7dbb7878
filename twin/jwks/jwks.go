// Package jwks fetches the keys of issuers as AWS does: the discovery document, then the key set
// that it names, over HTTP, without redirects, within limits of size and time. What was fetched is
// kept for a few minutes, and an unknown key id makes nobody ask an issuer again at once.
package jwks

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	fetchTimeout = 5 * time.Second
	maxDocument  = 64 << 10
	maxKeySet    = 256 << 10
	maxKeys      = 200
	keysLife     = 5 * time.Minute
	// refetchPause keeps unknown key ids from turning the service into a load on the issuer.
	refetchPause = 10 * time.Second
)

// A Source fetches and remembers the keys of issuers.
type Source struct {
	client *http.Client
	now    func() time.Time

	mu   sync.Mutex
	sets map[string]*keySet // by issuer
}

// keySet is one issuer's keys. Its lock is held during a fetch, so that callers who arrive
// together fetch once.
type keySet struct {
	mu      sync.Mutex
	keys    map[string]jose.JSONWebKey
	fetched time.Time
}

// New makes a source that has asked nobody yet.
func New(now func() time.Time) *Source {
	return &Source{
		now:  now,
		sets: map[string]*keySet{},
		client: &http.Client{
			Timeout: fetchTimeout,
			Transport: &http.Transport{
				Proxy:                  http.ProxyFromEnvironment, // which leaves loopback alone
				MaxResponseHeaderBytes: 64 << 10,
				MaxIdleConnsPerHost:    1,
				IdleConnTimeout:        30 * time.Second,
			},
			// AWS asks that discovery be served without redirects; to follow one would let
			// whoever can answer for the issuer choose where the keys come from.
			CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("redirects are not followed") },
		},
	}
}

// Close drops idle connections to issuers.
func (s *Source) Close() { s.client.CloseIdleConnections() }

// Forget makes the next look-up of every issuer a fetch.
func (s *Source) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sets = map[string]*keySet{}
}

// ErrNoKey says that an issuer answered, and does not publish the key. Every other error of Key is
// about an issuer that does not answer as it should.
var ErrNoKey = errors.New("the issuer's key set has no such key")

// Key finds an issuer's key by id. The issuer has to be one that is configured: then the number of
// sets is bounded.
func (s *Source) Key(ctx context.Context, issuer, id string) (jose.JSONWebKey, error) {
	set := s.set(issuer)
	set.mu.Lock()
	defer set.mu.Unlock()
	age := s.now().Sub(set.fetched)
	if key, found := set.keys[id]; found && age < keysLife {
		return key, nil
	}
	if set.keys != nil && age < refetchPause {
		return jose.JSONWebKey{}, ErrNoKey
	}
	keys, err := s.fetch(ctx, issuer)
	if err != nil {
		return jose.JSONWebKey{}, fmt.Errorf("fetch the keys of %s: %w", issuer, err)
	}
	set.keys, set.fetched = keys, s.now()
	key, found := keys[id]
	if !found {
		return jose.JSONWebKey{}, ErrNoKey
	}
	return key, nil
}

func (s *Source) set(issuer string) *keySet {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sets[issuer] == nil {
		s.sets[issuer] = &keySet{}
	}
	return s.sets[issuer]
}

// fetch reads the discovery document, then the key set that it names.
func (s *Source) fetch(ctx context.Context, issuer string) (map[string]jose.JSONWebKey, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	document, err := s.get(ctx, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration", maxDocument)
	if err != nil {
		return nil, fmt.Errorf("discovery: %w", err)
	}
	var discovery struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(document, &discovery); err != nil {
		return nil, fmt.Errorf("discovery: %w", err)
	}
	// OpenID Connect Discovery §4.3.
	if discovery.Issuer != issuer {
		return nil, fmt.Errorf("discovery: expected issuer %q got %q", issuer, discovery.Issuer)
	}
	if _, err := CheckURL(discovery.Keys); err != nil {
		return nil, fmt.Errorf("jwks_uri: %w", err)
	}
	text, err := s.get(ctx, discovery.Keys, maxKeySet)
	if err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	return parseKeys(text)
}

// parseKeys takes the keys that can verify a signature. Keys of a kind that is not known are
// passed over, as RFC 7517 §5 asks.
func parseKeys(text []byte) (map[string]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("key set: more than %d keys", maxKeys)
	}
	keys := map[string]jose.JSONWebKey{}
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if err := key.UnmarshalJSON(raw); err != nil || !key.Valid() {
			continue
		}
		if !key.IsPublic() {
			return nil, errors.New("key set: it holds a private or a symmetric key")
		}
		if key.KeyID == "" || key.Use != "" && key.Use != "sig" {
			continue
		}
		if _, taken := keys[key.KeyID]; taken {
			return nil, errors.New("key set: two keys have the same kid")
		}
		keys[key.KeyID] = key
	}
	return keys, nil
}

func (s *Source) get(ctx context.Context, address string, limit int64) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	response, err := s.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("more than %d bytes", limit)
	}
	return body, nil
}

// CheckURL wants https, or http where nobody can listen in: on this machine.
func CheckURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("not a URL")
	}
	if u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, errors.New("a URL with a host, and without user and fragment, is needed")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return nil, errors.New("https is needed; http is taken from loopback only")
	}
	return u, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Suits holds the key against the algorithm in the token's header, which an attacker chooses.
func Suits(key jose.JSONWebKey, algorithm string) error {
	if key.Algorithm != "" && key.Algorithm != algorithm {
		return errors.New("the key is for " + key.Algorithm + ", the token says " + algorithm)
	}
	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		if public.N.BitLen() < 2048 {
			return errors.New("the RSA key is shorter than 2048 bits")
		}
		if strings.HasPrefix(algorithm, "RS") {
			return nil
		}
	case *ecdsa.PublicKey:
		curves := map[string]string{"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
		if curves[algorithm] == public.Params().Name {
			return nil
		}
	}
	return errors.New("the kind of key does not fit " + algorithm)
}
