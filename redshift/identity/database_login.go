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
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/shiftgrant/shiftgrant/internal/secret"
)

const (
	// passwordLength is the longest life of a database password (GetClusterCredentials).
	passwordLength  = time.Hour
	redshiftVersion = "2012-12-01"
)

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
	held     heldLogin
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
	if d.config.Lifetime == 0 {
		d.config.Lifetime = passwordLength
	}
	d.service = &signedService{name: service, region: config.Region, client: orDefault(config.HTTPClient), signer: v4.NewSigner(), now: orSystemTime(config.Now)}
	return d, nil
}

// Login implements LoginProvider.
func (d *DatabaseLogin) Login(ctx context.Context, renew bool) (Login, error) {
	return d.held.get(d.service.now(), renew, func() (Login, error) {
		var given Login
		err := withFreshKeys(ctx, d.config.Credentials, func(keys Credentials) (err error) {
			given, err = d.ask(ctx, keys)
			return err
		})
		return given, explainRefusal("get a database password from "+d.service.name, err, loginRemedies, strings.NewReplacer())
	})
}

func (d *DatabaseLogin) ask(ctx context.Context, credentials Credentials) (Login, error) {
	if d.config.Workgroup != "" {
		return d.askWorkgroup(ctx, credentials)
	}
	return d.askCluster(ctx, credentials)
}

// askCluster is GetClusterCredentials: Query protocol, XML. AutoCreate stays off: who is a database
// user is the warehouse owner's to say.
func (d *DatabaseLogin) askCluster(ctx context.Context, credentials Credentials) (Login, error) {
	if credentials.DatabaseUser == "" {
		return Login{}, errors.New("the person has no database user, and a cluster needs one")
	}
	form := url.Values{
		"Action": {"GetClusterCredentials"}, "Version": {redshiftVersion}, "ClusterIdentifier": {d.config.Cluster},
		"DbName": {d.config.Database}, "DbUser": {credentials.DatabaseUser}, "DurationSeconds": {strconv.Itoa(int(d.config.Lifetime / time.Second))},
	}
	body, err := d.call(ctx, credentials, []byte(form.Encode()), map[string]string{"Content-Type": "application/x-www-form-urlencoded"})
	if err != nil {
		return Login{}, err
	}
	var answer struct {
		XMLName    xml.Name `xml:"GetClusterCredentialsResponse"`
		User       string   `xml:"GetClusterCredentialsResult>DbUser"`
		Password   string   `xml:"GetClusterCredentialsResult>DbPassword"`
		Expiration string   `xml:"GetClusterCredentialsResult>Expiration"`
	}
	if err := xml.Unmarshal(body, &answer); err != nil {
		return Login{}, errors.New("the answer is no GetClusterCredentialsResponse: is the endpoint right?")
	}
	expires, err := time.Parse(time.RFC3339, answer.Expiration)
	if err != nil || answer.User == "" || answer.Password == "" {
		return Login{}, errors.New("the answer of GetClusterCredentials lacks the user, the password or its expiration")
	}
	return Login{User: answer.User, Password: secret.New(answer.Password), Expires: expires}, nil
}

// askWorkgroup is GetCredentials: JSON 1.1, with the expiration in seconds since 1970.
func (d *DatabaseLogin) askWorkgroup(ctx context.Context, credentials Credentials) (Login, error) {
	request, err := json.Marshal(map[string]any{"workgroupName": d.config.Workgroup, "dbName": d.config.Database, "durationSeconds": int(d.config.Lifetime / time.Second)})
	if err != nil {
		return Login{}, err
	}
	body, err := d.call(ctx, credentials, request, map[string]string{
		"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "RedshiftServerless.GetCredentials",
	})
	if err != nil {
		return Login{}, err
	}
	var answer struct {
		User       string  `json:"dbUser"`
		Password   string  `json:"dbPassword"`
		Expiration float64 `json:"expiration"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.User == "" || answer.Password == "" || answer.Expiration == 0 {
		return Login{}, errors.New("the answer of GetCredentials lacks the user, the password or its expiration")
	}
	return Login{User: answer.User, Password: secret.New(answer.Password), Expires: time.Unix(int64(answer.Expiration), 0)}, nil
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
		return nil, parseXMLRefusal(response.StatusCode, body)
	}
	return nil, parseJSONRefusal(response, body)
}

// loginRemedies says what to do about the errors that the two operations document.
var loginRemedies = with(map[string]string{
	"AccessDenied":              "allow the role redshift:GetClusterCredentials on the database user and the database (dbuser: and dbname: of the cluster), with ${aws:PrincipalTag/RedshiftDbUser} as the user",
	"AccessDeniedException":     "allow the role redshift-serverless:GetCredentials on the workgroup",
	"ClusterNotFound":           "there is no such cluster in this account and region",
	"ResourceNotFoundException": "there is no such workgroup in this account and region",
	"UnsupportedOperation":      "the cluster does not support this operation at the moment: is it paused or resizing?",
	"ValidationException":       "AWS did not accept the form of the request: check workgroup and database",
}, sessionRemedies, passingRemedies)
