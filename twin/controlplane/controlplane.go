// Package controlplane plays what Amazon Redshift's two services, redshift and redshift-serverless,
// say about warehouses, and how they turn AWS credentials into what opens the twin's Redshift port
// (twin/wire): a database password for as long as it lives, or a token for the person on whose
// behalf the credentials were made.
//
// It is a stand-in for development and tests, and strict: requests must be signed, the session must
// have the tag that a policy with ${aws:PrincipalTag/RedshiftDbUser} would ask for, and parameters
// that are not known are refused.
package controlplane

import (
	"crypto/rand"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/shiftgrant/shiftgrant/twin/awsjson"
	"github.com/shiftgrant/shiftgrant/twin/awsquery"
	"github.com/shiftgrant/shiftgrant/twin/identitycenter"
	"github.com/shiftgrant/shiftgrant/twin/script"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
)

const (
	// Version is that of the Query API.
	Version   = "2012-12-01"
	namespace = "http://redshift.amazonaws.com/doc/2012-12-01/"
	// Target is the prefix of X-Amz-Target of the serverless API.
	Target  = "RedshiftServerless."
	maxBody = 64 << 10

	defaultLife  = 15 * time.Minute
	longestLife  = time.Hour
	maxPasswords = 10_000
)

// Config is what the two services need.
type Config struct {
	Registry   *sigv4.Registry
	Account    string
	Region     string
	Clusters   []string
	Workgroups []string
	Database   string // the first database of each
	// Endpoint is Redshift's port, for those who ask where a warehouse is.
	Endpoint func() (host string, port int)
	// Center is the Identity Center in which Redshift's applications are made; nil knows none.
	Center *identitycenter.Center
	// Namespace and IdentityRole are those of the applications that Center has from the start.
	Namespace, IdentityRole string
	// UserTag is the session tag that names the database user.
	UserTag string
	// RoleUsers are the database users of roles, by the role's name: where AWS derives
	// "IAMR:<role>", which is everybody's who has the role.
	RoleUsers map[string]string
	// Otherwise says which other roles have a database user of that name; nil says none.
	Otherwise func(role string) bool
	Now       func() time.Time // nil is time.Now
}

// Server is an http.Handler for both services, and knows the passwords and tokens that it gave.
type Server struct {
	// Script tells operations to refuse; both services share it.
	Script script.Script

	config      Config
	provisioned *awsquery.Service
	serverless  *awsjson.Service

	mu     sync.Mutex
	given  map[string][]given // by login name
	count  int
	tokens map[string]authToken

	applications map[string]application // by ARN
	made         int
}

type given struct {
	password string
	user     string
	expires  time.Time
}

// New makes the services.
func New(config Config) *Server {
	if config.Now == nil {
		config.Now = time.Now
	}
	s := &Server{config: config, given: map[string][]given{}, tokens: map[string]authToken{}, applications: map[string]application{}}
	s.provisioned, s.serverless = s.newProvisioned(), s.newServerless()
	s.adopt()
	return s
}

// Names are those of the operations of redshift, and of redshift-serverless.
func (s *Server) Names() (provisioned, serverless []string) {
	return s.provisioned.Names(), s.serverless.Names()
}

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Amz-Target") != "" {
		s.serverless.ServeHTTP(w, r)
		return
	}
	s.provisioned.ServeHTTP(w, r)
}

// login is a password with the name that it goes with.
type login struct {
	name, password string
	expires        time.Time
}

// nextRefresh is when AWS advises to ask again.
func (l login) nextRefresh() time.Time { return l.expires.Add(-5 * time.Minute) }

// roleLogin is a password for the database user that stands for the caller's role.
func (s *Server) roleLogin(caller sigv4.Credential, action, seconds string) (login, error) {
	user, known := s.config.RoleUsers[caller.RoleName]
	if !known && s.config.Otherwise != nil && s.config.Otherwise(caller.RoleName) {
		user, known = "IAMR:"+caller.RoleName, true
	}
	if !known {
		return login{}, awsjson.Refuse("AccessDeniedException", "User: %s is not authorized to perform: %s", caller.ARN(), action)
	}
	life, err := lifetime(seconds)
	if err != nil {
		return login{}, err
	}
	return s.give("IAMR:"+caller.RoleName, user, life)
}

func lifetime(seconds string) (time.Duration, error) {
	if seconds == "" {
		return defaultLife, nil
	}
	n, err := strconv.Atoi(seconds)
	life := time.Duration(n) * time.Second
	if err != nil || life < defaultLife || life > longestLife {
		return 0, awsjson.Refuse("ValidationException", "the duration must be 900 to 3600 seconds")
	}
	return life, nil
}

// give makes a password and remembers it for its life.
func (s *Server) give(name, user string, life time.Duration) (login, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.config.Now()
	s.given[name] = slices.DeleteFunc(s.given[name], func(g given) bool { return !now.Before(g.expires.Add(time.Hour)) })
	if s.count++; s.count > maxPasswords {
		return login{}, awsjson.Refuse("ThrottlingException", "the twin has given too many passwords")
	}
	made := given{password: rand.Text(), user: user, expires: now.Add(life)}
	s.given[name] = append(s.given[name], made)
	return login{name, made.password, made.expires}, nil
}

// ErrExpired says that a password was good once.
var ErrExpired = errors.New("IAM Authentication token has expired")

// ErrUnknown says that there is no such login.
var ErrUnknown = errors.New("no password was given to this login")

// Check reports the database user of a login whose password answers right, which the caller's
// function decides: it depends on the way of asking.
func (s *Server) Check(name string, right func(password string) bool) (user string, err error) {
	s.mu.Lock()
	candidates := slices.Clone(s.given[name])
	s.mu.Unlock()
	for _, g := range candidates {
		if !right(g.password) {
			continue
		}
		if !s.config.Now().Before(g.expires) {
			return "", ErrExpired
		}
		return g.user, nil
	}
	return "", ErrUnknown
}

// An authToken is what GetIdentityCenterAuthToken gave.
type authToken struct {
	userName   string
	warehouses []string
	expires    time.Time
}

const (
	tokenLife = time.Hour
	maxTokens = 10_000
	// maxNames is how many warehouses one token may be for.
	maxNames = 20
)

// giveToken makes a token for the person on whose behalf the caller acts.
func (s *Server) giveToken(caller sigv4.Credential, names, known []string, missing func(name string) error) (token string, expires time.Time, err error) {
	if len(names) < 1 || len(names) > maxNames {
		return "", time.Time{}, awsjson.Refuse("ValidationException", "1 to 20 warehouses must be named")
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return "", time.Time{}, missing(name)
		}
	}
	if caller.OnBehalfOf == nil {
		return "", time.Time{}, awsjson.Refuse("UnsupportedOperation", "The credentials are not identity-enhanced: assume a role with an identity context of IAM Identity Center first.")
	}
	if !caller.OnBehalfOf.MayConnect {
		return "", time.Time{}, &awsjson.Error{Status: http.StatusForbidden, Code: "AccessDenied", Message: "Invalid scope. User's credentials are not authorized to connect to Amazon Redshift"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.config.Now()
	for known, t := range s.tokens {
		if now.After(t.expires.Add(time.Hour)) {
			delete(s.tokens, known)
		}
	}
	if len(s.tokens) >= maxTokens {
		return "", time.Time{}, awsjson.Refuse("ThrottlingException", "the twin has given too many tokens")
	}
	token = "TWIN-subject-" + rand.Text()
	s.tokens[token] = authToken{caller.OnBehalfOf.UserName, names, now.Add(tokenLife)}
	return token, now.Add(tokenLife), nil
}

// CheckToken reports whose a token of GetIdentityCenterAuthToken is. It may come as often as it
// likes while it lives, to the warehouses that it was asked for.
func (s *Server) CheckToken(token string, warehouses ...string) (userName string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, known := s.tokens[token]
	if !known || !slices.ContainsFunc(warehouses, func(name string) bool { return slices.Contains(t.warehouses, name) }) {
		return "", ErrUnknown
	}
	if !s.config.Now().Before(t.expires) {
		return "", ErrExpired
	}
	return t.userName, nil
}

func (s *Server) arn(service, kind, name string) string {
	return strings.Join([]string{"arn:aws", service, s.config.Region, s.config.Account, kind + "/" + name}, ":")
}
