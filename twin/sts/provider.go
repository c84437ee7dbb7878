package sts

import (
	"errors"
	"slices"
	"strings"

	"github.com/shiftgrant/shiftgrant/twin/jwks"
)

// provider is a Provider as policies and requests name it.
type provider struct {
	Provider
	arn    string
	prefix string // host and path, in lower case: the start of its condition keys
}

func (s *Server) addProvider(p Provider) error {
	u, err := jwks.CheckURL(p.URL)
	if err != nil {
		return err
	}
	if u.RawQuery != "" || u.ForceQuery {
		return errors.New("an issuer has no query")
	}
	if len(p.ClientIDs) == 0 || slices.Contains(p.ClientIDs, "") {
		return errors.New("a provider needs at least one client id (audience)")
	}
	name := u.Host + u.EscapedPath()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.providers[p.URL] = &provider{
		Provider: p,
		arn:      "arn:aws:iam::" + s.config.Account + ":oidc-provider/" + name,
		prefix:   strings.ToLower(name),
	}
	return nil
}

// ProviderARN is the ARN under which a trust policy names an issuer as Federated principal.
func (s *Server) ProviderARN(issuer string) (string, bool) {
	p, found := s.provider(issuer)
	if !found {
		return "", false
	}
	return p.arn, true
}

func (s *Server) provider(issuer string) (*provider, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, found := s.providers[issuer]
	return p, found
}

// conditionPrefixes are those of the keys that providers bring. The lock is held.
func (s *Server) conditionPrefixes() []string {
	var prefixes []string
	for _, p := range s.providers {
		prefixes = append(prefixes, p.prefix)
	}
	return prefixes
}
