// Package sts plays AWS Security Token Service for the twin: AssumeRoleWithWebIdentity, which
// trades a JWT for keys, AssumeRole and GetCallerIdentity, over the Query protocol.
//
// It is a stand-in for development and tests, no production system. But it does not pretend:
// it fetches the issuer's discovery document and keys over HTTP, checks the signature and
// every claim, and evaluates the role's trust policy, so that a gateway which is trusted here
// has earned it. Where AWS is vague it takes the stricter reading.
//
// The threat it plays against is a token that should not open the role: signed by someone
// else, made for another audience, stale, or about a person whom the policy leaves out. What
// it cannot show is in the AWS account alone: service control policies, permission
// boundaries, the role's own permissions.
package sts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shiftgrant/shiftgrant/twin/jwks"
	"github.com/shiftgrant/shiftgrant/twin/script"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
)

const (
	version   = "2011-06-15"
	namespace = "https://sts.amazonaws.com/doc/2011-06-15/"
	// maxBody is well above the largest request that the limits on each parameter allow.
	maxBody = 128 << 10
)

// Config is what the service needs.
type Config struct {
	Account   string // twelve digits
	Region    string
	Providers []Provider
	Roles     []Role
	// Registry receives the keys that are issued, and knows the callers of signed actions.
	Registry *sigv4.Registry
	// Contexts opens the identity contexts of providers, by the provider's ARN; the person is nil for
	// a context that lets nobody act. nil knows no provider.
	Contexts map[string]func(assertion string) (*sigv4.Person, error)
	// Logger is for decisions; nil discards them.
	Logger *slog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// A Provider is an IAM OIDC identity provider: an issuer that the account trusts.
type Provider struct {
	URL       string   // the issuer, exactly as in its tokens
	ClientIDs []string // the audiences
}

// A Role can be assumed by whom its trust policy allows.
type Role struct {
	Name string
	ID   string // AROA…
	// MaxSession is the longest session; 0 is AWS's default of one hour.
	MaxSession time.Duration
	// TrustPolicy is the policy document as JSON.
	TrustPolicy string
}

// Server is the service. It is an http.Handler for POST requests.
type Server struct {
	// Script tells actions to refuse.
	Script script.Script

	config Config

	mu        sync.RWMutex
	providers map[string]*provider // by issuer
	roles     map[string]*role     // by ARN

	keys     *jwks.Source
	verifier sigv4.Verifier
	logger   *slog.Logger
}

// role is a Role with its policy parsed.
type role struct {
	Role
	arn   string
	trust policy
}

var accountPattern = regexp.MustCompile(`^[0-9]{12}$`)

// New checks the configuration, trust policies included, and makes the service.
func New(config Config) (*Server, error) {
	if !accountPattern.MatchString(config.Account) {
		return nil, errors.New("the account must be twelve digits")
	}
	if config.Region == "" || config.Registry == nil {
		return nil, errors.New("the service needs a region and a registry for keys")
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		config:    config,
		providers: map[string]*provider{},
		roles:     map[string]*role{},
		keys:      jwks.New(config.Now),
		logger:    config.Logger,
		verifier: sigv4.Verifier{
			Registry: config.Registry, Region: config.Region, Service: "sts", Protocol: sigv4.Query, Now: config.Now,
		},
	}
	for _, p := range config.Providers {
		if err := s.PutProvider(p); err != nil {
			return nil, err
		}
	}
	for _, r := range config.Roles {
		if err := s.PutRole(r); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// PutProvider adds an OIDC provider to the account, or changes the one with the same URL.
func (s *Server) PutProvider(p Provider) error {
	if err := s.addProvider(p); err != nil {
		return fmt.Errorf("OIDC provider %q: %w", p.URL, err)
	}
	return nil
}

// RemoveProvider takes an OIDC provider out of the account, and reports whether there was one.
func (s *Server) RemoveProvider(issuer string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, found := s.providers[issuer]
	delete(s.providers, issuer)
	return found
}

// PutRole adds a role to the account, or changes the one with the same name.
func (s *Server) PutRole(r Role) error {
	if err := s.addRole(r); err != nil {
		return fmt.Errorf("role %q: %w", r.Name, err)
	}
	return nil
}

// RemoveRole takes a role out of the account, and reports whether there was one.
func (s *Server) RemoveRole(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, found := s.roles[s.RoleARN(name)]
	delete(s.roles, s.RoleARN(name))
	return found
}

func (s *Server) addRole(r Role) error {
	if !namePattern.MatchString(r.Name) || r.ID == "" {
		return errors.New("a role needs a name of letters, digits and +=,.@- and an id")
	}
	if r.MaxSession == 0 {
		r.MaxSession = time.Hour
	}
	if r.MaxSession < time.Hour || r.MaxSession > 12*time.Hour {
		return errors.New("the longest session must be between one and twelve hours")
	}
	trust, err := parsePolicy(r.TrustPolicy)
	if err != nil {
		return fmt.Errorf("trust policy: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := trust.checkKeys(s.conditionPrefixes()); err != nil {
		return fmt.Errorf("trust policy: %w", err)
	}
	arn := "arn:aws:iam::" + s.config.Account + ":role/" + r.Name
	s.roles[arn] = &role{Role: r, arn: arn, trust: trust}
	return nil
}

// RoleARN is the ARN of one of the account's roles.
func (s *Server) RoleARN(name string) string {
	return "arn:aws:iam::" + s.config.Account + ":role/" + name
}

// Role finds one of the account's roles by its name.
func (s *Server) Role(name string) (Role, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	found, ok := s.roles[s.RoleARN(name)]
	if !ok {
		return Role{}, false
	}
	return found.Role, true
}

// Roles are the account's.
func (s *Server) Roles() []Role {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []Role
	for _, arn := range slices.Sorted(maps.Keys(s.roles)) {
		all = append(all, s.roles[arn].Role)
	}
	return all
}

// Providers are the account's OIDC providers.
func (s *Server) Providers() []Provider {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []Provider
	for _, url := range slices.Sorted(maps.Keys(s.providers)) {
		all = append(all, s.providers[url].Provider)
	}
	return all
}

// Close drops idle connections to issuers.
func (s *Server) Close() { s.keys.Close() }

// action is one operation: the parameters it takes, and what it does.
type action struct {
	parameters []string
	run        func(context.Context, *http.Request, []byte, form) (any, error)
}

// Names are those of the actions.
func (s *Server) Names() []string { return slices.Sorted(maps.Keys(s.actions())) }

func (s *Server) actions() map[string]action {
	return map[string]action{
		"AssumeRoleWithWebIdentity": {
			[]string{"RoleArn", "RoleSessionName", "WebIdentityToken", "ProviderId", "DurationSeconds", "Policy", "PolicyArns"},
			func(ctx context.Context, _ *http.Request, _ []byte, f form) (any, error) {
				return s.assumeRoleWithWebIdentity(ctx, f)
			},
		},
		"AssumeRole": {
			[]string{
				"RoleArn", "RoleSessionName", "DurationSeconds", "ExternalId", "SourceIdentity",
				"Tags", "TransitiveTagKeys", "ProvidedContexts", "Policy", "PolicyArns",
			},
			func(_ context.Context, r *http.Request, body []byte, f form) (any, error) {
				return s.assumeRole(r, body, f)
			},
		},
		"GetCallerIdentity": {
			nil,
			func(_ context.Context, r *http.Request, body []byte, _ form) (any, error) {
				return s.getCallerIdentity(r, body)
			},
		},
	}
}

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	requestID := newRequestID()
	w.Header().Set("X-Amzn-RequestId", requestID)
	response, err := s.serve(w, r)
	if err != nil {
		failure := asError(err)
		s.logger.Info("sts refused", "request_id", requestID, "code", failure.Code, "status", failure.Status, "error", err)
		writeError(w, failure, requestID)
		return
	}
	writeResponse(w, response, requestID)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) (any, error) {
	if r.Method != http.MethodPost {
		return nil, invalidAction("send the parameters in the body of a POST")
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" {
		return nil, invalidAction("the Content-Type must be application/x-www-form-urlencoded")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, &Error{Code: "RequestEntityTooLarge", Message: "the body could not be read, or is too large", Status: http.StatusRequestEntityTooLarge}
	}
	values, err := url.ParseQuery(string(body))
	if err != nil || r.URL.RawQuery != "" {
		return nil, malformedQuery("the parameters must be a well-formed form in the body")
	}
	for _, repeated := range values {
		if len(repeated) > 1 {
			return nil, malformedQuery("a parameter was given twice")
		}
	}
	name := values.Get("Action")
	chosen, known := s.actions()[name]
	if !known || values.Get("Version") != version {
		return nil, invalidAction("the twin's STS knows " + strings.Join(s.Names(), ", ") + ", Version " + version)
	}
	if refusal, refused := s.Script.Next(name); refused {
		return nil, &Error{Code: refusal.Code, Message: refusal.Message, Status: refusal.Status}
	}
	f := form(values)
	if err := f.only(chosen.parameters); err != nil {
		return nil, err
	}
	return chosen.run(r.Context(), r, body, f)
}
