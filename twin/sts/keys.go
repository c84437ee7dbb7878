package sts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
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

// keySource fetches and remembers the keys of issuers.
type keySource struct {
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

func newKeySource(now func() time.Time) *keySource {
	return &keySource{
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

var errNoKey = errors.New("the issuer's key set has no such key")

// key finds an issuer's key by id. The issuer is one that is configured, so the number of
// sets is bounded.
func (s *keySource) key(ctx context.Context, issuer, id string) (jose.JSONWebKey, error) {
	set := s.set(issuer)
	set.mu.Lock()
	defer set.mu.Unlock()
	age := s.now().Sub(set.fetched)
	if key, found := set.keys[id]; found && age < keysLife {
		return key, nil
	}
	if set.keys != nil && age < refetchPause {
		return jose.JSONWebKey{}, errNoKey
	}
	keys, err := s.fetch(ctx, issuer)
	if err != nil {
		return jose.JSONWebKey{}, communication(fmt.Errorf("fetch the keys of %s: %w", issuer, err))
	}
	set.keys, set.fetched = keys, s.now()
	key, found := keys[id]
	if !found {
		return jose.JSONWebKey{}, errNoKey
	}
	return key, nil
}

func (s *keySource) set(issuer string) *keySet {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sets[issuer] == nil {
		s.sets[issuer] = &keySet{}
	}
	return s.sets[issuer]
}

// fetch reads the discovery document, then the key set that it names.
func (s *keySource) fetch(ctx context.Context, issuer string) (map[string]jose.JSONWebKey, error) {
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
	if _, err := checkURL(discovery.Keys); err != nil {
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

func (s *keySource) get(ctx context.Context, address string, limit int64) ([]byte, error) {
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
