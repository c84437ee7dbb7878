// Package iam plays the part of AWS IAM that sets up who may become whom: OIDC providers and roles
// with their policies. What it makes is in the twin's STS at once.
//
// It is a stand-in for development and tests: who may administrate is not checked beyond the
// signature, unless it is a role that was made here. Of a role's policies the trust policy is evaluated
// as a whole, and of the others which actions they allow and deny; their resources and conditions are
// only kept. Roles that the twin starts with may do everything. Providers may be http and have a port,
// because the gateway of a test does.
package iam

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/shiftgrant/shiftgrant/twin/awsjson"
	"github.com/shiftgrant/shiftgrant/twin/awsquery"
	"github.com/shiftgrant/shiftgrant/twin/script"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
	"github.com/shiftgrant/shiftgrant/twin/sts"
)

// Version is that of the API.
const Version = "2010-05-08"

// Config is what the service needs.
type Config struct {
	STS      *sts.Server
	Registry *sigv4.Registry
	Region   string
	Account  string
	Now      func() time.Time // nil is time.Now
}

// Server is an http.Handler.
type Server struct {
	*awsquery.Service
	// Script tells actions to refuse.
	Script *script.Script

	config Config

	started time.Time

	mu    sync.Mutex
	notes map[string]*note // by ARN
	made  int
}

// A note is what IAM keeps of a role or provider besides what STS needs of it.
type note struct {
	created     time.Time
	description string
	thumbprints []string
	tags        []tag
	policies    map[string]string // by name
	made        bool              // here, and not by the twin's start
}

// New makes the service.
func New(config Config) *Server {
	if config.Now == nil {
		config.Now = time.Now
	}
	s := &Server{config: config, started: config.Now(), Script: &script.Script{}, notes: map[string]*note{}}
	s.Service = &awsquery.Service{
		Name: "iam", Namespace: "https://iam.amazonaws.com/doc/" + Version + "/", Script: s.Script,
		Verifier: sigv4.Verifier{Registry: config.Registry, Region: config.Region, Service: "iam", Protocol: sigv4.Query, Now: config.Now},
		Actions: map[string]awsquery.Action{
			"CreateOpenIDConnectProvider":             {Parameters: []string{"Url", "ClientIDList", "ThumbprintList", "Tags.Key", "Tags.Value"}, Run: s.createProvider},
			"GetOpenIDConnectProvider":                {Parameters: []string{"OpenIDConnectProviderArn"}, Run: s.getProvider},
			"ListOpenIDConnectProviders":              {Run: s.listProviders},
			"AddClientIDToOpenIDConnectProvider":      {Parameters: []string{"OpenIDConnectProviderArn", "ClientID"}, Run: s.addClient},
			"RemoveClientIDFromOpenIDConnectProvider": {Parameters: []string{"OpenIDConnectProviderArn", "ClientID"}, Run: s.removeClient},
			"UpdateOpenIDConnectProviderThumbprint":   {Parameters: []string{"OpenIDConnectProviderArn", "ThumbprintList"}, Run: s.updateThumbprints},
			"DeleteOpenIDConnectProvider":             {Parameters: []string{"OpenIDConnectProviderArn"}, Run: s.deleteProvider},
			"TagOpenIDConnectProvider":                {Parameters: []string{"OpenIDConnectProviderArn", "Tags.Key", "Tags.Value"}, Run: s.tagging(s.providerNote, true)},
			"UntagOpenIDConnectProvider":              {Parameters: []string{"OpenIDConnectProviderArn", "TagKeys"}, Run: s.tagging(s.providerNote, false)},
			"ListOpenIDConnectProviderTags":           {Parameters: []string{"OpenIDConnectProviderArn", "Marker", "MaxItems"}, Run: s.listTags("ListOpenIDConnectProviderTagsResult", s.providerNote)},
			"CreateRole":                              {Parameters: []string{"RoleName", "Path", "AssumeRolePolicyDocument", "Description", "MaxSessionDuration", "Tags.Key", "Tags.Value"}, Run: s.createRole},
			"GetRole":                                 {Parameters: []string{"RoleName"}, Run: s.getRole},
			"ListRoles":                               {Parameters: []string{"PathPrefix", "Marker", "MaxItems"}, Run: s.listRoles},
			"UpdateRole":                              {Parameters: []string{"RoleName", "Description", "MaxSessionDuration"}, Run: s.updateRole},
			"UpdateAssumeRolePolicy":                  {Parameters: []string{"RoleName", "PolicyDocument"}, Run: s.updateTrust},
			"DeleteRole":                              {Parameters: []string{"RoleName"}, Run: s.deleteRole},
			"TagRole":                                 {Parameters: []string{"RoleName", "Tags.Key", "Tags.Value"}, Run: s.tagging(s.roleNote, true)},
			"UntagRole":                               {Parameters: []string{"RoleName", "TagKeys"}, Run: s.tagging(s.roleNote, false)},
			"ListRoleTags":                            {Parameters: []string{"RoleName", "Marker", "MaxItems"}, Run: s.listTags("ListRoleTagsResult", s.roleNote)},
			"PutRolePolicy":                           {Parameters: []string{"RoleName", "PolicyName", "PolicyDocument"}, Run: s.putPolicy},
			"GetRolePolicy":                           {Parameters: []string{"RoleName", "PolicyName"}, Run: s.getPolicy},
			"ListRolePolicies":                        {Parameters: []string{"RoleName", "Marker", "MaxItems"}, Run: s.listPolicies},
			"ListAttachedRolePolicies":                {Parameters: []string{"RoleName", "PathPrefix", "Marker", "MaxItems"}, Run: s.listAttached},
			"ListInstanceProfilesForRole":             {Parameters: []string{"RoleName", "Marker", "MaxItems"}, Run: s.listProfiles},
			"DeleteRolePolicy":                        {Parameters: []string{"RoleName", "PolicyName"}, Run: s.deletePolicy},
		},
	}
	return s
}

func missing(what string) error {
	return &awsjson.Error{Status: http.StatusNotFound, Code: "NoSuchEntity", Message: what + " cannot be found."}
}

func conflict(code, message string) error {
	return &awsjson.Error{Status: http.StatusConflict, Code: code, Message: message}
}

// noteOf is what is kept of something; what the twin started with has a note from now on. The lock is
// held, as it is in newNote.
func (s *Server) noteOf(arn string) *note {
	found := s.notes[arn]
	if found == nil {
		found = &note{created: s.started, policies: map[string]string{}}
		s.notes[arn] = found
	}
	return found
}

// newNote begins the note of something that is made now.
func (s *Server) newNote(arn string) *note {
	s.notes[arn] = &note{created: s.config.Now(), policies: map[string]string{}, made: true}
	return s.notes[arn]
}

func (n *note) date() string { return n.created.UTC().Format(time.RFC3339) }

// A tag is a word about a role or provider.
type tag struct{ Key, Value string }

const maxTags = 50

// readTags reads Tags.member.N.Key and .Value.
func readTags(form url.Values) ([]tag, error) {
	var tags []tag
	for n := 1; ; n++ {
		prefix := "Tags.member." + strconv.Itoa(n)
		key := form.Get(prefix + ".Key")
		switch {
		case !form.Has(prefix + ".Key"):
			return tags, nil
		case key == "" || len(key) > 128 || len(form.Get(prefix+".Value")) > 256 || strings.HasPrefix(strings.ToLower(key), "aws:"):
			return nil, awsjson.Refuse("InvalidInput", "a tag's key has 1 to 128 characters and does not begin with aws:, its value at most 256")
		case slices.ContainsFunc(tags, func(t tag) bool { return strings.EqualFold(t.Key, key) }):
			return nil, awsjson.Refuse("InvalidInput", "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		tags = append(tags, tag{key, form.Get(prefix + ".Value")})
	}
}

// put adds tags, and changes those that are there.
func (n *note) put(tags []tag) error {
	changed := slices.Clone(n.tags)
	for _, t := range tags {
		changed = append(slices.DeleteFunc(changed, func(old tag) bool { return strings.EqualFold(old.Key, t.Key) }), t)
	}
	if len(changed) > maxTags {
		return conflict("LimitExceeded", "The number of tags has reached the maximum limit of 50.")
	}
	n.tags = changed
	return nil
}

// tagging adds tags to what the form names, or removes them.
func (s *Server) tagging(named func(url.Values) (*note, error), add bool) func(sigv4.Credential, url.Values) (any, error) {
	return func(_ sigv4.Credential, form url.Values) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		n, err := named(form)
		if err != nil {
			return nil, err
		}
		if add {
			tags, err := readTags(form)
			if err != nil {
				return nil, err
			}
			return nil, n.put(tags)
		}
		gone := awsquery.List(form, "TagKeys.member")
		n.tags = slices.DeleteFunc(n.tags, func(t tag) bool { return slices.Contains(gone, t.Key) })
		return nil, nil
	}
}
