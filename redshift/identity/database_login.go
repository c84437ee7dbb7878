package identity

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/shiftgrant/shiftgrant/internal/secret"
	"github.com/shiftgrant/shiftgrant/redshift"
)

const (
	// passwordLength is the longest life of a database password (GetClusterCredentials).
	passwordLength  = time.Hour
	redshiftVersion = "2012-12-01"
	answerLimit     = 64 << 10
)

// A Password is what logs in to the database, for a short while.
type Password struct {
	// User is sent to the server as it is: AWS answers "IAM:ann" for the database user ann.
	User    string
	Value   secret.Text
	Expires time.Time
}

// DatabaseLoginConfig says where one person's database passwords come from: a provisioned
// cluster's by redshift:GetClusterCredentials, a serverless workgroup's by
// redshift-serverless:GetCredentials.
type DatabaseLoginConfig struct {
	Cluster   string // or …
	Workgroup string
	Database  string
	Region    string
	// Endpoint overrides AWS's own for the region, for a VPC endpoint or a test.
	Endpoint string
	// Credentials are the person's AWS credentials, which sign the call. Their DatabaseUser is who
	// the password is for in a cluster; a workgroup derives it from the role.
	Credentials Provider
	Lifetime    time.Duration // of a password, 15 minutes to an hour; 0: an hour
	HTTPClient  *http.Client  // nil: one with a timeout that follows no redirect
	Now         func() time.Time
}

// DatabaseLogin gives one person's database passwords. It may be used by several goroutines at
// once.
type DatabaseLogin struct {
	config   DatabaseLoginConfig
	endpoint string
	service  *signedService

	mu        sync.Mutex // held while asking: callers who come together ask once
	held      Password
	refreshAt time.Time
}

// NewDatabaseLogin checks the configuration. It makes no call.
func NewDatabaseLogin(config DatabaseLoginConfig) (*DatabaseLogin, error) {
	if (config.Cluster == "") == (config.Workgroup == "") || config.Database == "" || config.Credentials == nil {
		return nil, errors.New("database login: give a cluster or a workgroup, a database, and credentials")
	}
	d := &DatabaseLogin{config: config, endpoint: config.Endpoint}
	service := "redshift"
	if config.Workgroup != "" {
		service = "redshift-serverless"
	}
	if d.endpoint == "" {
		var err error
		if d.endpoint, err = Endpoint(service, config.Region); err != nil {
			return nil, fmt.Errorf("database login: find the endpoint: %w", err)
		}
	}
	if d.config.Now == nil {
		d.config.Now = time.Now
	}
	if d.config.Lifetime == 0 {
		d.config.Lifetime = passwordLength
	}
	if d.config.HTTPClient == nil {
		d.config.HTTPClient = &http.Client{Timeout: stsTimeout, CheckRedirect: refuseRedirect}
	}
	d.service = &signedService{name: service, region: config.Region, client: d.config.HTTPClient, signer: v4.NewSigner(), now: d.config.Now}
	return d, nil
}

// Password gives a password that is good for a while. renew asks for a new one although the old
// looks good, because the server said that it is not.
func (d *DatabaseLogin) Password(ctx context.Context, renew bool) (Password, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.config.Now()
	if !renew && !d.held.Value.IsZero() && now.Before(d.refreshAt) {
		return d.held, nil
	}
	credentials, err := d.config.Credentials.Credentials(ctx)
	if err != nil {
		return Password{}, err
	}
	password, err := d.ask(ctx, credentials)
	if forgetting, ok := d.config.Credentials.(Invalidator); ok && refusesCredentials(err) {
		forgetting.Invalidate(credentials)
		if credentials, err = d.config.Credentials.Credentials(ctx); err != nil {
			return Password{}, err
		}
		password, err = d.ask(ctx, credentials)
	}
	if err != nil {
		return Password{}, d.explain(err)
	}
	d.held, d.refreshAt = password, now.Add(password.Expires.Sub(now)/5*4) // 80 % of its life
	return password, nil
}

// refusesCredentials reports whether other credentials may do.
func refusesCredentials(err error) bool {
	refusal, ok := errors.AsType[*stsError](err)
	return ok && (refusal.Code == "ExpiredToken" || refusal.Code == "ExpiredTokenException" || refusal.Code == "InvalidClientTokenId" || refusal.Code == "UnrecognizedClientException")
}

func (d *DatabaseLogin) ask(ctx context.Context, credentials Credentials) (Password, error) {
	if d.config.Workgroup != "" {
		return d.askWorkgroup(ctx, credentials)
	}
	return d.askCluster(ctx, credentials)
}

// askCluster is GetClusterCredentials: Query protocol, XML. AutoCreate stays off: who is a database
// user is the warehouse owner's to say.
func (d *DatabaseLogin) askCluster(ctx context.Context, credentials Credentials) (Password, error) {
	if credentials.DatabaseUser == "" {
		return Password{}, errors.New("the person has no database user, and a cluster needs one")
	}
	form := url.Values{
		"Action": {"GetClusterCredentials"}, "Version": {redshiftVersion}, "ClusterIdentifier": {d.config.Cluster},
		"DbName": {d.config.Database}, "DbUser": {credentials.DatabaseUser}, "DurationSeconds": {strconv.Itoa(int(d.config.Lifetime / time.Second))},
	}
	body, err := d.call(ctx, credentials, []byte(form.Encode()), map[string]string{"Content-Type": "application/x-www-form-urlencoded"})
	if err != nil {
		return Password{}, err
	}
	var answer struct {
		XMLName    xml.Name `xml:"GetClusterCredentialsResponse"`
		User       string   `xml:"GetClusterCredentialsResult>DbUser"`
		Password   string   `xml:"GetClusterCredentialsResult>DbPassword"`
		Expiration string   `xml:"GetClusterCredentialsResult>Expiration"`
	}
	if err := xml.Unmarshal(body, &answer); err != nil {
		return Password{}, errors.New("the answer is no GetClusterCredentialsResponse: is the endpoint right?")
	}
	expires, err := time.Parse(time.RFC3339, answer.Expiration)
	if err != nil || answer.User == "" || answer.Password == "" {
		return Password{}, errors.New("the answer of GetClusterCredentials lacks the user, the password or its expiration")
	}
	return Password{User: answer.User, Value: secret.New(answer.Password), Expires: expires}, nil
}

// askWorkgroup is GetCredentials: JSON 1.1, with the expiration in seconds since 1970.
func (d *DatabaseLogin) askWorkgroup(ctx context.Context, credentials Credentials) (Password, error) {
	request, err := json.Marshal(map[string]any{"workgroupName": d.config.Workgroup, "dbName": d.config.Database, "durationSeconds": int(d.config.Lifetime / time.Second)})
	if err != nil {
		return Password{}, err
	}
	body, err := d.call(ctx, credentials, request, map[string]string{
		"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "RedshiftServerless.GetCredentials",
	})
	if err != nil {
		return Password{}, err
	}
	var answer struct {
		User       string  `json:"dbUser"`
		Password   string  `json:"dbPassword"`
		Expiration float64 `json:"expiration"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.User == "" || answer.Password == "" || answer.Expiration == 0 {
		return Password{}, errors.New("the answer of GetCredentials lacks the user, the password or its expiration")
	}
	return Password{User: answer.User, Value: secret.New(answer.Password), Expires: time.Unix(int64(answer.Expiration), 0)}, nil
}

// call sends one signed request.
func (d *DatabaseLogin) call(ctx context.Context, credentials Credentials, payload []byte, header map[string]string) ([]byte, error) {
	body, response, err := d.service.post(ctx, d.endpoint, credentials, payload, header)
	switch {
	case err != nil:
		return nil, err
	case response.StatusCode == http.StatusOK:
		return body, nil
	case d.config.Workgroup == "":
		return nil, parseSTSError(response.StatusCode, body)
	}
	return nil, parseJSONError(response, body)
}

// parseJSONError reads an error of the JSON protocol: its code is in the header or in __type, behind
// a "#" or before a ":".
func parseJSONError(response *http.Response, body []byte) *stsError {
	var document struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(body, &document); err != nil {
		document.Type = http.StatusText(response.StatusCode)
	}
	code := response.Header.Get("X-Amzn-ErrorType")
	if code == "" {
		code = document.Type
	}
	code, _, _ = strings.Cut(code, ":")
	return &stsError{Status: response.StatusCode, Code: code[strings.LastIndexByte(code, '#')+1:], Message: document.Message}
}

// loginRemedies says what to do about the errors that the two operations document.
var loginRemedies = map[string]string{
	"AccessDenied":              "allow the role redshift:GetClusterCredentials on the database user and the database (dbuser: and dbname: of the cluster), with ${aws:PrincipalTag/RedshiftDbUser} as the user",
	"AccessDeniedException":     "allow the role redshift-serverless:GetCredentials on the workgroup",
	"ClusterNotFound":           "there is no such cluster in this account and region",
	"ResourceNotFoundException": "there is no such workgroup in this account and region",
	"UnsupportedOperation":      "the cluster does not support this operation at the moment: is it paused or resizing?",
	"ValidationException":       "AWS did not accept the form of the request: check workgroup and database",
}

func (d *DatabaseLogin) explain(err error) error {
	step := "get a database password from " + d.service.name
	refusal, refused := errors.AsType[*stsError](err)
	if !refused {
		return &redshift.AccessError{Step: step, Err: err}
	}
	access := &redshift.AccessError{Step: step, Code: refusal.Code, Err: fmt.Errorf("AWS answered %s: %s", refusal.Code, refusal.Message)}
	if remedy, known := loginRemedies[refusal.Code]; known {
		access.Err = fmt.Errorf("%s (%w)", remedy, access.Err)
	}
	return access
}
