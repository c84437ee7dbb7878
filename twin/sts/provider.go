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
	s.providers[p.URL] = &provider{
		Provider: p,
		arn:      "arn:aws:iam::" + s.config.Account + ":oidc-provider/" + name,
		prefix:   strings.ToLower(name),
	}
	return nil
}

// ProviderARN is the ARN under which a trust policy names an issuer as Federated principal.
func (s *Server) ProviderARN(issuer string) (string, bool) {
	p, found := s.providers[issuer]
	if !found {
		return "", false
	}
	return p.arn, true
}

func (s *Server) conditionPrefixes() []string {
	var prefixes []string
	for _, p := range s.providers {
		prefixes = append(prefixes, p.prefix)
	}
	return prefixes
}
