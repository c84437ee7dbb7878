package identity

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/shiftgrant/shiftgrant/internal/secret"
)

// AuthTokenConfig says where one person's tokens for Redshift's port come from.
type AuthTokenConfig struct {
	Cluster   string // or …
	Workgroup string
	Region    string
	// Endpoint overrides AWS's own for the region, for a VPC endpoint or a test.
	Endpoint string
	// Credentials are the person's, with their identity context: those of IdentityCenter.
	Credentials Provider
	// Namespace chooses among several identity providers in the warehouse; "" where there is one.
	Namespace  string
	HTTPClient *http.Client // nil: one with a timeout that follows no redirect
	Now        func() time.Time
}

// AuthToken is the identity_center chain at Redshift's port for somebody whose AWS credentials carry
// an identity context: these are traded for a token of an hour (GetIdentityCenterAuthToken of redshift
// and redshift-serverless), which opens as many connections as are needed, to that warehouse alone.
type AuthToken struct {
	config   AuthTokenConfig
	endpoint string
	service  *signedService
	held     heldLogin
}

// NewAuthToken checks the configuration. It makes no call.
func NewAuthToken(config AuthTokenConfig) (*AuthToken, error) {
	if (config.Cluster == "") == (config.Workgroup == "") || config.Credentials == nil {
		return nil, errors.New("auth token: give a cluster or a workgroup, and credentials")
	}
	service := "redshift"
	if config.Workgroup != "" {
		service = "redshift-serverless"
	}
	a := &AuthToken{config: config, endpoint: config.Endpoint}
	if a.endpoint == "" {
		var err error
		if a.endpoint, err = Endpoint(service, config.Region); err != nil {
			return nil, fmt.Errorf("auth token: find the endpoint: %w", err)
		}
	}
	a.service = &signedService{name: service, region: config.Region, client: orDefault(config.HTTPClient), signer: v4.NewSigner(), now: orSystemTime(config.Now)}
	return a, nil
}

// Login implements LoginProvider.
func (a *AuthToken) Login(ctx context.Context, renew bool) (Login, error) {
	return a.held.get(a.service.now(), renew, func() (Login, error) {
		var token string
		var expires time.Time
		err := withFreshKeys(ctx, a.config.Credentials, func(keys Credentials) (err error) {
			token, expires, err = a.ask(ctx, keys)
			return err
		})
		if err != nil {
			return Login{}, explainRefusal("get a token of Identity Center from "+a.service.name, err, authTokenRemedies, strings.NewReplacer("{service}", a.service.name))
		}
		return Login{
			Token:   &Token{Value: secret.New(token), IdentityProvider: identityCenterProvider, Type: subjectToken, Namespace: a.config.Namespace},
			Expires: expires,
		}, nil
	})
}

func (a *AuthToken) ask(ctx context.Context, keys Credentials) (token string, expires time.Time, err error) {
	var text string
	if a.config.Workgroup == "" {
		token, text, err = a.askCluster(ctx, keys)
	} else {
		token, text, err = a.askWorkgroup(ctx, keys)
	}
	if err != nil {
		return "", time.Time{}, err
	}
	expires, err = time.Parse(time.RFC3339, text)
	if err != nil || token == "" {
		return "", time.Time{}, errors.New("the answer of GetIdentityCenterAuthToken lacks the token or its expiration")
	}
	return token, expires, nil
}

// askCluster speaks the Query protocol.
func (a *AuthToken) askCluster(ctx context.Context, keys Credentials) (token, expires string, err error) {
	form := url.Values{"Action": {"GetIdentityCenterAuthToken"}, "Version": {redshiftVersion}, "ClusterIds.ClusterIdentifier.1": {a.config.Cluster}}
	body, response, err := a.service.post(ctx, a.endpoint, keys, []byte(form.Encode()), map[string]string{"Content-Type": "application/x-www-form-urlencoded"})
	if err != nil {
		return "", "", fmt.Errorf("call %s at %s: %w", a.service.name, a.endpoint, err)
	}
	if response.StatusCode != http.StatusOK {
		return "", "", parseXMLRefusal(response.StatusCode, body)
	}
	var answer struct {
		XMLName xml.Name `xml:"GetIdentityCenterAuthTokenResponse"`
		Token   string   `xml:"GetIdentityCenterAuthTokenResult>Token"`
		Expires string   `xml:"GetIdentityCenterAuthTokenResult>ExpirationTime"`
	}
	if err := xml.Unmarshal(body, &answer); err != nil {
		return "", "", errors.New("the answer is no GetIdentityCenterAuthTokenResponse: is the endpoint right?")
	}
	return answer.Token, answer.Expires, nil
}

// askWorkgroup speaks JSON 1.1; unlike GetCredentials it writes the time as text.
func (a *AuthToken) askWorkgroup(ctx context.Context, keys Credentials) (token, expires string, err error) {
	payload, err := json.Marshal(map[string]any{"workgroupNames": []string{a.config.Workgroup}})
	if err != nil {
		return "", "", err
	}
	body, response, err := a.service.post(ctx, a.endpoint, keys, payload, map[string]string{
		"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "RedshiftServerless.GetIdentityCenterAuthToken",
	})
	if err != nil {
		return "", "", fmt.Errorf("call %s at %s: %w", a.service.name, a.endpoint, err)
	}
	if response.StatusCode != http.StatusOK {
		return "", "", parseJSONRefusal(response, body)
	}
	var answer struct {
		Token   string `json:"token"`
		Expires string `json:"expirationTime"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", "", errors.New("the answer of GetIdentityCenterAuthToken is not JSON: is the endpoint right?")
	}
	return answer.Token, answer.Expires, nil
}

// authTokenRemedies says what to do about the errors that the two operations document.
var authTokenRemedies = with(map[string]string{
	"AccessDenied":              "allow the role of people {service}:GetIdentityCenterAuthToken on this warehouse, and see that the application has the scope redshift:connect",
	"AccessDeniedException":     "allow the role of people {service}:GetIdentityCenterAuthToken on this warehouse, and see that the application has the scope redshift:connect",
	"UnsupportedOperation":      "the credentials carry no identity context: people_role_arn has to be assumed with one",
	"ClusterNotFound":           "there is no such cluster in this account and region",
	"ResourceNotFoundException": "there is no such workgroup in this account and region",
	"InvalidClusterState":       "the cluster is not available at the moment: is it paused or resizing?",
	"RedshiftInvalidParameter":  "AWS did not accept the form of the request: check the cluster's name",
	"ValidationException":       "AWS did not accept the form of the request: check the workgroup's name",
	"ConflictException":         "the workgroup is being changed at the moment: try again when that is done",
	"DryRunException":           "AWS took the request for a trial run: is the endpoint right?",
}, sessionRemedies, passingRemedies)
