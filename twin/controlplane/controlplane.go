// Package controlplane plays the two calls by which AWS credentials become a database password:
// redshift:GetClusterCredentials and redshift-serverless:GetCredentials. The passwords open the
// twin's Redshift port (twin/wire), for as long as they live.
//
// It is a stand-in for development and tests, and strict: requests must be signed, the session must
// have the tag that a policy with ${aws:PrincipalTag/RedshiftDbUser} would ask for, and parameters
// that are not known are refused.
package controlplane

import (
	"crypto/rand"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/shiftgrant/shiftgrant/twin/sigv4"
)

const (
	// Version is that of the Query API.
	Version   = "2012-12-01"
	namespace = "http://redshift.amazonaws.com/doc/2012-12-01/"
	target    = "RedshiftServerless.GetCredentials"
	maxBody   = 64 << 10

	defaultLife  = 15 * time.Minute
	longestLife  = time.Hour
	maxPasswords = 10_000
)

// Config is what the two services need.
type Config struct {
	Registry   *sigv4.Registry
	Region     string
	Clusters   []string
	Workgroups []string
	// UserTag is the session tag that names the database user.
	UserTag string
	// RoleUsers are the database users of roles on workgroups, by the role's name: there AWS
	// derives "IAMR:<role>", which is everybody's who has the role.
	RoleUsers map[string]string
	Now       func() time.Time // nil is time.Now
}

// Server is an http.Handler for both services, and knows the passwords that it gave.
type Server struct {
	config      Config
	provisioned sigv4.Verifier
	serverless  sigv4.Verifier

	mu    sync.Mutex
	given map[string][]given // by login name
	count int
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
	return &Server{
		config:      config,
		provisioned: sigv4.Verifier{Registry: config.Registry, Region: config.Region, Service: "redshift", Protocol: sigv4.Query, Now: config.Now},
		serverless:  sigv4.Verifier{Registry: config.Registry, Region: config.Region, Service: "redshift-serverless", Now: config.Now},
		given:       map[string][]given{},
	}
}

// A failure is a refusal with AWS's code.
type failure struct {
	status  int
	code    string
	message string
}

func (f *failure) Error() string { return f.code + ": " + f.message }

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "the body is too large", http.StatusRequestEntityTooLarge)
		return
	}
	w.Header().Set("X-Amzn-RequestId", rand.Text())
	if r.Header.Get("X-Amz-Target") != "" {
		s.serveJSON(w, r, body)
		return
	}
	s.serveQuery(w, r, body)
}

type clusterCredentials struct {
	XMLName    xml.Name `xml:"GetClusterCredentialsResponse"`
	Namespace  string   `xml:"xmlns,attr"`
	User       string   `xml:"GetClusterCredentialsResult>DbUser"`
	Password   string   `xml:"GetClusterCredentialsResult>DbPassword"`
	Expiration string   `xml:"GetClusterCredentialsResult>Expiration"`
	RequestID  string   `xml:"ResponseMetadata>RequestId"`
}

type errorDocument struct {
	XMLName   xml.Name `xml:"ErrorResponse"`
	Namespace string   `xml:"xmlns,attr"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

func (s *Server) serveQuery(w http.ResponseWriter, r *http.Request, body []byte) {
	requestID := w.Header().Get("X-Amzn-RequestId")
	login, err := s.getClusterCredentials(r, body)
	var document any = clusterCredentials{
		Namespace: namespace, User: login.name, Password: login.password, Expiration: login.expires.UTC().Format(time.RFC3339), RequestID: requestID,
	}
	status := http.StatusOK
	if err != nil {
		refused := asFailure(err)
		status = refused.status
		document = errorDocument{Namespace: namespace, Type: "Sender", Code: refused.code, Message: refused.message, RequestID: requestID}
	}
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_ = xml.NewEncoder(w).Encode(document)
}

func (s *Server) serveJSON(w http.ResponseWriter, r *http.Request, body []byte) {
	login, err := s.getCredentials(r, body)
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if err != nil {
		refused := asFailure(err)
		w.Header().Set("X-Amzn-ErrorType", refused.code)
		w.WriteHeader(refused.status)
		_ = json.NewEncoder(w).Encode(map[string]string{"__type": refused.code, "message": refused.message})
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"dbUser": login.name, "dbPassword": login.password, "expiration": login.expires.Unix(), "nextRefreshTime": login.expires.Add(-5 * time.Minute).Unix(),
	})
}

func asFailure(err error) *failure {
	var ours *failure
	if errors.As(err, &ours) {
		return ours
	}
	var signature *sigv4.Error
	if errors.As(err, &signature) {
		return &failure{signature.Status, signature.Code, signature.Message}
	}
	return &failure{http.StatusInternalServerError, "InternalFailure", "the twin's control plane failed"}
}

// login is a password with the name that it goes with.
type login struct {
	name, password string
	expires        time.Time
}

// userPattern is what DbUser may be.
var userPattern = regexp.MustCompile(`^[a-z][a-z0-9+.@_-]{0,63}$`)

var clusterParameters = []string{"Action", "Version", "ClusterIdentifier", "DbName", "DbUser", "DurationSeconds", "AutoCreate"}

func (s *Server) getClusterCredentials(r *http.Request, body []byte) (login, error) {
	caller, err := s.provisioned.Verify(r, body)
	if err != nil {
		return login{}, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return login{}, &failure{http.StatusBadRequest, "MalformedQueryString", "the parameters must be a well-formed form"}
	}
	for name := range form {
		if !slices.Contains(clusterParameters, name) {
			return login{}, &failure{http.StatusBadRequest, "ValidationError", "the twin's GetClusterCredentials takes " + strings.Join(clusterParameters[2:], ", ")}
		}
	}
	user := form.Get("DbUser")
	switch {
	case form.Get("Action") != "GetClusterCredentials":
		return login{}, &failure{http.StatusBadRequest, "InvalidAction", "the twin knows GetClusterCredentials"}
	case !slices.Contains(s.config.Clusters, form.Get("ClusterIdentifier")):
		return login{}, &failure{http.StatusNotFound, "ClusterNotFound", "Cluster not found."}
	case !userPattern.MatchString(user):
		return login{}, &failure{http.StatusBadRequest, "ValidationError", "DbUser must be 1 to 64 of a-z, 0-9 and +.@_-, and begin with a letter"}
	case caller.Tags[s.config.UserTag] != user:
		return login{}, &failure{
			http.StatusForbidden, "AccessDenied",
			fmt.Sprintf("User: %s is not authorized to perform: redshift:GetClusterCredentials on resource: dbuser:%s/%s", caller.ARN(), form.Get("ClusterIdentifier"), user),
		}
	}
	life, err := lifetime(form.Get("DurationSeconds"))
	if err != nil {
		return login{}, err
	}
	return s.give("IAM:"+user, user, life)
}

func (s *Server) getCredentials(r *http.Request, body []byte) (login, error) {
	caller, err := s.serverless.Verify(r, body)
	if err != nil {
		return login{}, err
	}
	var request struct {
		Workgroup string `json:"workgroupName"`
		Database  string `json:"dbName"`
		Duration  int    `json:"durationSeconds"`
	}
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.DisallowUnknownFields()
	switch {
	case r.Header.Get("X-Amz-Target") != target:
		return login{}, &failure{http.StatusBadRequest, "UnknownOperationException", "the twin knows " + target}
	case decoder.Decode(&request) != nil:
		return login{}, &failure{http.StatusBadRequest, "SerializationException", "the body is not a GetCredentials request"}
	case !slices.Contains(s.config.Workgroups, request.Workgroup):
		return login{}, &failure{http.StatusBadRequest, "ResourceNotFoundException", "There is no such workgroup."}
	}
	user, known := s.config.RoleUsers[caller.RoleName]
	if !known {
		return login{}, &failure{http.StatusBadRequest, "AccessDeniedException", caller.ARN() + " is not authorized to perform: redshift-serverless:GetCredentials"}
	}
	text := ""
	if request.Duration != 0 {
		text = strconv.Itoa(request.Duration)
	}
	life, err := lifetime(text)
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
		return 0, &failure{http.StatusBadRequest, "ValidationError", "the duration must be 900 to 3600 seconds"}
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
		return login{}, &failure{http.StatusBadRequest, "ThrottlingException", "the twin has given too many passwords"}
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
