package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/secret"
	"github.com/shiftgrant/shiftgrant/redshift"
)

const (
	containerHost   = "http://169.254.170.2"
	metadataHost    = "http://169.254.169.254"
	metadataTimeout = 5 * time.Second
)

// OwnConfig says where a process finds AWS credentials of its own, as opposed to a person's.
type OwnConfig struct {
	Region string
	// STSEndpoint and MetadataEndpoint override AWS's own, for a VPC endpoint or a test.
	STSEndpoint      string
	MetadataEndpoint string
	Environment      func(name string) string // nil: os.Getenv
	HTTPClient       *http.Client             // nil: one that follows no redirect and uses no proxy
	Now              func() time.Time
}

// Own are a process's own AWS credentials, from where AWS's tools look for them, in their order:
// keys in the environment (AWS_ACCESS_KEY_ID …), a web identity (AWS_WEB_IDENTITY_TOKEN_FILE and
// AWS_ROLE_ARN: EKS), a container's (AWS_CONTAINER_CREDENTIALS_…: ECS, EKS Pod Identity), and the
// role of an EC2 instance (metadata service, version 2). Files of the AWS CLI are not read.
type Own struct {
	config OwnConfig
	cache  *cache
}

// NewOwn makes no call.
func NewOwn(config OwnConfig) *Own {
	if config.Environment == nil {
		config.Environment = os.Getenv
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.MetadataEndpoint == "" {
		config.MetadataEndpoint = metadataHost
	}
	if config.HTTPClient == nil {
		config.HTTPClient = &http.Client{Timeout: metadataTimeout, CheckRedirect: refuseRedirect, Transport: &http.Transport{DisableKeepAlives: true}}
	}
	o := &Own{config: config}
	o.cache = newCache(1, config.Now, o.fetch)
	return o
}

// Credentials implements Provider.
func (o *Own) Credentials(ctx context.Context) (Credentials, error) {
	return o.cache.credentials(ctx, Subject{})
}

// Invalidate implements Invalidator.
func (o *Own) Invalidate(refused Credentials) { o.cache.invalidate(Subject{}, refused) }

// Close ends fetches that are under way and waits for them.
func (o *Own) Close() { o.cache.close() }

func (o *Own) fetch(ctx context.Context, _ Subject) (Credentials, error) {
	credentials, err := o.find(ctx)
	if err != nil {
		return Credentials{}, &redshift.AccessError{Step: "find AWS credentials of this process", Err: err}
	}
	return credentials, nil
}

func (o *Own) find(ctx context.Context) (Credentials, error) {
	env := o.config.Environment
	switch {
	case env("AWS_ACCESS_KEY_ID") != "" && env("AWS_SECRET_ACCESS_KEY") != "":
		return Credentials{
			AccessKeyID: env("AWS_ACCESS_KEY_ID"), SecretAccessKey: secret.New(env("AWS_SECRET_ACCESS_KEY")), SessionToken: secret.New(env("AWS_SESSION_TOKEN")),
			// They may be changed in place only by a restart; asking again costs nothing.
			Expires: o.config.Now().Add(time.Hour),
		}, nil
	case env("AWS_WEB_IDENTITY_TOKEN_FILE") != "" && env("AWS_ROLE_ARN") != "":
		return o.fromWebIdentity(ctx)
	case env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != "":
		return o.fromContainer(ctx, containerHost+env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"))
	case env("AWS_CONTAINER_CREDENTIALS_FULL_URI") != "":
		return o.fromContainer(ctx, env("AWS_CONTAINER_CREDENTIALS_FULL_URI"))
	}
	credentials, err := o.fromInstance(ctx)
	if err != nil {
		return Credentials{}, fmt.Errorf("there are none in the environment, and this is no EC2 instance with a role (%w): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the container or instance a role", err)
	}
	return credentials, nil
}

// fromWebIdentity reads the token anew each time, because EKS replaces it.
func (o *Own) fromWebIdentity(ctx context.Context) (Credentials, error) {
	path := o.config.Environment("AWS_WEB_IDENTITY_TOKEN_FILE")
	chain, err := NewWebIdentity(WebIdentityConfig{
		RoleARN: o.config.Environment("AWS_ROLE_ARN"), Region: o.config.Region, Endpoint: o.config.STSEndpoint, HTTPClient: o.config.HTTPClient, Now: o.config.Now,
		Assert: func(context.Context, Subject) (secret.Text, error) {
			token, err := os.ReadFile(path)
			if err != nil {
				return secret.Text{}, fmt.Errorf("read AWS_WEB_IDENTITY_TOKEN_FILE: %w", err)
			}
			return secret.New(strings.TrimSpace(string(token))), nil
		},
	})
	if err != nil {
		return Credentials{}, err
	}
	defer chain.Close()
	name := o.config.Environment("AWS_ROLE_SESSION_NAME")
	if name == "" {
		name = "shiftgrant"
	}
	return chain.For(Subject{SessionName: name}).Credentials(ctx)
}

// fromContainer asks the agent that ECS and EKS give each container. Its address comes from the
// environment, and over plain http it has to be this machine's or the agents' own, as AWS's tools
// hold it.
func (o *Own) fromContainer(ctx context.Context, address string) (Credentials, error) {
	if !isAgent(address) {
		return Credentials{}, errors.New("AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor an address of this machine or of the agent of ECS or EKS")
	}
	header := http.Header{}
	token := o.config.Environment("AWS_CONTAINER_AUTHORIZATION_TOKEN")
	if path := o.config.Environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); path != "" {
		content, err := os.ReadFile(path)
		if err != nil {
			return Credentials{}, fmt.Errorf("read AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: %w", err)
		}
		token = strings.TrimSpace(string(content))
	}
	if token != "" {
		header.Set("Authorization", token)
	}
	body, err := o.get(ctx, http.MethodGet, address, header)
	if err != nil {
		return Credentials{}, fmt.Errorf("ask the container's credentials agent: %w", err)
	}
	return parseOwn(body)
}

func isAgent(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	if u.Scheme == "https" || u.Hostname() == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && (ip.IsLoopback() || ip == netip.MustParseAddr("169.254.170.2") || ip == netip.MustParseAddr("169.254.170.23") || ip == netip.MustParseAddr("fd00:ec2::23"))
}

// fromInstance asks the metadata service of EC2, version 2.
func (o *Own) fromInstance(ctx context.Context) (Credentials, error) {
	ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
	defer cancel()
	token, err := o.get(ctx, http.MethodPut, o.config.MetadataEndpoint+"/latest/api/token", http.Header{"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": {"300"}})
	if err != nil {
		return Credentials{}, fmt.Errorf("ask the metadata service: %w", err)
	}
	header := http.Header{"X-Aws-Ec2-Metadata-Token": {string(token)}}
	roles := o.config.MetadataEndpoint + "/latest/meta-data/iam/security-credentials/"
	role, err := o.get(ctx, http.MethodGet, roles, header)
	if err != nil {
		return Credentials{}, fmt.Errorf("ask the metadata service for the instance's role: %w", err)
	}
	name, _, _ := strings.Cut(strings.TrimSpace(string(role)), "\n")
	body, err := o.get(ctx, http.MethodGet, roles+url.PathEscape(name), header)
	if err != nil {
		return Credentials{}, fmt.Errorf("ask the metadata service for the role's credentials: %w", err)
	}
	return parseOwn(body)
}

func (o *Own) get(ctx context.Context, method, address string, header http.Header) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return nil, errors.New("the address is not a URL")
	}
	request.Header = header
	response, err := o.config.HTTPClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", response.StatusCode)
	}
	return body, err
}

// parseOwn reads what agents and the metadata service answer alike.
func parseOwn(body []byte) (Credentials, error) {
	var answer struct {
		AccessKeyID     string    `json:"AccessKeyId"`
		SecretAccessKey string    `json:"SecretAccessKey"`
		Token           string    `json:"Token"`
		Expiration      time.Time `json:"Expiration"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.AccessKeyID == "" || answer.SecretAccessKey == "" || answer.Expiration.IsZero() {
		return Credentials{}, errors.New("the answer lacks part of the credentials")
	}
	return Credentials{
		AccessKeyID: answer.AccessKeyID, SecretAccessKey: secret.New(answer.SecretAccessKey), SessionToken: secret.New(answer.Token), Expires: answer.Expiration,
	}, nil
}
