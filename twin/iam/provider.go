package iam

import (
	"encoding/xml"
	"net/url"
	"slices"
	"strings"

	"github.com/shiftgrant/shiftgrant/twin/awsjson"
	"github.com/shiftgrant/shiftgrant/twin/awsquery"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
	"github.com/shiftgrant/shiftgrant/twin/sts"
)

const (
	maxClients     = 100
	maxThumbprints = 5
)

// providerOf finds a provider by its ARN.
func (s *Server) providerOf(arn string) (sts.Provider, error) {
	for _, p := range s.config.STS.Providers() {
		if found, _ := s.config.STS.ProviderARN(p.URL); found == arn {
			return p, nil
		}
	}
	return sts.Provider{}, missing("OpenIDConnect Provider " + arn)
}

// onProvider runs what an action does with the provider that a form names.
func (s *Server) onProvider(form url.Values, run func(arn string, p sts.Provider) (any, error)) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	arn := form.Get("OpenIDConnectProviderArn")
	p, err := s.providerOf(arn)
	if err != nil {
		return nil, err
	}
	return run(arn, p)
}

// providerNote finds what is kept of the provider that a form names. The lock is held.
func (s *Server) providerNote(form url.Values) (*note, error) {
	arn := form.Get("OpenIDConnectProviderArn")
	if _, err := s.providerOf(arn); err != nil {
		return nil, err
	}
	return s.noteOf(arn), nil
}

// putProvider hands a provider to STS, which checks it.
func (s *Server) putProvider(p sts.Provider) error {
	if len(p.ClientIDs) > maxClients {
		return conflict("LimitExceeded", "Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: 100")
	}
	if err := s.config.STS.PutProvider(p); err != nil {
		return awsjson.Refuse("InvalidInput", "%s", err)
	}
	return nil
}

type providerMade struct {
	XMLName xml.Name `xml:"CreateOpenIDConnectProviderResult"`
	ARN     string   `xml:"OpenIDConnectProviderArn"`
	Tags    []tag    `xml:"Tags>member"`
}

func (s *Server) createProvider(_ sigv4.Credential, form url.Values) (any, error) {
	made := sts.Provider{URL: form.Get("Url"), ClientIDs: awsquery.List(form, "ClientIDList.member")}
	thumbprints := awsquery.List(form, "ThumbprintList.member")
	tags, err := readTags(form)
	if err != nil {
		return nil, err
	}
	if err := checkThumbprints(thumbprints); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.config.STS.ProviderARN(made.URL); taken {
		return nil, conflict("EntityAlreadyExists", "Provider with url "+made.URL+" already exists.")
	}
	if err := s.putProvider(made); err != nil {
		return nil, err
	}
	arn, _ := s.config.STS.ProviderARN(made.URL)
	n := s.newNote(arn)
	n.thumbprints = thumbprints
	return providerMade{ARN: arn, Tags: tags}, n.put(tags)
}

// checkThumbprints holds thumbprints to their form: SHA-1 in hexadecimal. Nothing is compared with
// them, as AWS does not where a public authority signed.
func checkThumbprints(list []string) error {
	if len(list) > maxThumbprints {
		return awsjson.Refuse("InvalidInput", "Thumbprint list must contain fewer than 5 entries.")
	}
	for _, print := range list {
		if len(print) != 40 || strings.Trim(strings.ToLower(print), "0123456789abcdef") != "" {
			return awsjson.Refuse("InvalidInput", "a thumbprint is 40 hexadecimal digits")
		}
	}
	return nil
}

type providerShown struct {
	XMLName     xml.Name `xml:"GetOpenIDConnectProviderResult"`
	URL         string   `xml:"Url"`
	ClientIDs   []string `xml:"ClientIDList>member"`
	Thumbprints []string `xml:"ThumbprintList>member"`
	Created     string   `xml:"CreateDate"`
	Tags        []tag    `xml:"Tags>member"`
}

func (s *Server) getProvider(_ sigv4.Credential, form url.Values) (any, error) {
	return s.onProvider(form, func(arn string, p sts.Provider) (any, error) {
		n := s.noteOf(arn)
		_, name, _ := strings.Cut(p.URL, "://") // AWS leaves the scheme out
		return providerShown{URL: name, ClientIDs: p.ClientIDs, Thumbprints: n.thumbprints, Created: n.date(), Tags: n.tags}, nil
	})
}

type providersListed struct {
	XMLName xml.Name        `xml:"ListOpenIDConnectProvidersResult"`
	Entries []providerEntry `xml:"OpenIDConnectProviderList>member"`
}

// providerEntry is one of a list.
type providerEntry struct {
	ARN string `xml:"Arn"`
}

func (s *Server) listProviders(sigv4.Credential, url.Values) (any, error) {
	var listed providersListed
	for _, p := range s.config.STS.Providers() {
		arn, _ := s.config.STS.ProviderARN(p.URL)
		listed.Entries = append(listed.Entries, providerEntry{arn})
	}
	return listed, nil
}

// addClient is idempotent, as in AWS.
func (s *Server) addClient(_ sigv4.Credential, form url.Values) (any, error) {
	return s.onProvider(form, func(_ string, p sts.Provider) (any, error) {
		if id := form.Get("ClientID"); !slices.Contains(p.ClientIDs, id) {
			p.ClientIDs = append(slices.Clone(p.ClientIDs), id)
		}
		return nil, s.putProvider(p)
	})
}

func (s *Server) removeClient(_ sigv4.Credential, form url.Values) (any, error) {
	return s.onProvider(form, func(_ string, p sts.Provider) (any, error) {
		p.ClientIDs = slices.DeleteFunc(slices.Clone(p.ClientIDs), func(id string) bool { return id == form.Get("ClientID") })
		return nil, s.putProvider(p)
	})
}

func (s *Server) updateThumbprints(_ sigv4.Credential, form url.Values) (any, error) {
	return s.onProvider(form, func(arn string, _ sts.Provider) (any, error) {
		list := awsquery.List(form, "ThumbprintList.member")
		if err := checkThumbprints(list); err != nil {
			return nil, err
		}
		s.noteOf(arn).thumbprints = list
		return nil, nil
	})
}

func (s *Server) deleteProvider(_ sigv4.Credential, form url.Values) (any, error) {
	return s.onProvider(form, func(arn string, p sts.Provider) (any, error) {
		s.config.STS.RemoveProvider(p.URL)
		delete(s.notes, arn)
		return nil, nil
	})
}
