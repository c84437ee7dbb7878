package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/shiftgrant/shiftgrant/internal/secret"
)

const (
	jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	// contextProvider tells STS that a context is Identity Center's.
	contextProvider = "arn:aws:iam::aws:contextProvider/IdentityCenter"
)

// ErrNoContext says that Identity Center took the assertion, and gave tokens that no role can be assumed
// with.
var ErrNoContext = errors.New("the answer of Identity Center has no identity context: does the application have the scope sts:identity_context?")

// IdentityCenterConfig says how the identity_center chain reaches one warehouse's Data API.
type IdentityCenterConfig struct {
	// ApplicationARN is the customer-managed application of Identity Center that takes assertions
	// of the gateway's issuer (arn:aws:sso::<account>:application/…).
	ApplicationARN string
	// PeopleRoleARN is the role that is assumed with a person's context; the gateway's own
	// credentials assume it.
	PeopleRoleARN string
	Region        string // of Identity Center
	// Endpoint and STSEndpoint override https://oidc.<region>.amazonaws.com and AWS's STS.
	Endpoint, STSEndpoint string
	// Credentials are the gateway's own, an actor of the application.
	Credentials Provider
	// Assert makes the assertion about a person, with a fresh jti each time.
	Assert func(context.Context, Subject) (secret.Text, error)

	SessionLength time.Duration // 0: one hour, which AWS allows a session that assumes a role at most
	CacheSize     int           // people; 0: 4096
	HTTPClient    *http.Client  // nil: one with a timeout that follows no redirect
	Now           func() time.Time
}

// IdentityCenter is the identity_center chain for AWS keys: an assertion becomes a person of
// Identity Center (SSO OIDC, CreateTokenWithIAM), whose context a role is assumed with (STS,
// AssumeRole with ProvidedContexts). What is done with these keys is done as that person: in
// Redshift they are awsidc:<user name>, with their groups as roles.
type IdentityCenter struct {
	config   IdentityCenterConfig
	endpoint string
	oidc     *signedService
	people   *Role
	cache    *cache
}

// NewIdentityCenter checks the configuration. It makes no call.
func NewIdentityCenter(config IdentityCenterConfig) (*IdentityCenter, error) {
	if !strings.HasPrefix(config.ApplicationARN, "arn:") || !strings.Contains(config.ApplicationARN, ":application/") {
		return nil, fmt.Errorf("identity center: %q is not the ARN of an application (arn:aws:sso::<account>:application/<instance>/<id>)", config.ApplicationARN)
	}
	if config.Assert == nil {
		return nil, errors.New("identity center: Assert is missing: nothing makes the assertion")
	}
	people, err := NewRole(RoleConfig{
		RoleARN: config.PeopleRoleARN, Region: config.Region, Endpoint: config.STSEndpoint, Credentials: config.Credentials,
		SessionLength: config.SessionLength, HTTPClient: config.HTTPClient, Now: config.Now,
	})
	if err != nil {
		return nil, fmt.Errorf("identity center: %w", err)
	}
	endpoint := config.Endpoint
	if endpoint == "" {
		if endpoint, err = Endpoint("oidc", config.Region); err != nil {
			return nil, fmt.Errorf("identity center: find the endpoint: %w", err)
		}
	}
	if config.CacheSize <= 0 {
		config.CacheSize = defaultCacheSize
	}
	c := &IdentityCenter{config: config, endpoint: endpoint, people: people}
	c.oidc = &signedService{name: "sso-oauth", region: config.Region, client: people.session.client, signer: v4.NewSigner(), now: people.session.now}
	c.cache = newCache(config.CacheSize, people.session.now, c.fetch)
	return c, nil
}

// For is the provider of one person. It costs nothing; the credentials are shared between all
// providers of the same subject.
func (c *IdentityCenter) For(subject Subject) Provider { return &person{c.cache, subject} }

// Close ends fetches that are under way and waits for them.
func (c *IdentityCenter) Close() {
	c.cache.close()
	c.people.Close()
}

// fetch leaves the database user empty: Redshift knows the person by the context, and refuses a
// request that names one besides.
func (c *IdentityCenter) fetch(ctx context.Context, subject Subject) (Credentials, error) {
	context, err := c.identityContext(ctx, subject)
	if err != nil {
		return Credentials{}, err
	}
	form := c.people.form(subject)
	form.Set("ProvidedContexts.member.1.ProviderArn", contextProvider)
	form.Set("ProvidedContexts.member.1.ContextAssertion", context.Reveal())
	return c.people.assume(ctx, form)
}

// identityContext is CreateTokenWithIAM with the JWT bearer grant (RFC 7523). The tokens besides the
// context are not kept. A second try carries an assertion of its own: the first may have reached its
// one use.
func (c *IdentityCenter) identityContext(ctx context.Context, subject Subject) (secret.Text, error) {
	var given secret.Text
	err := withFreshKeys(ctx, c.config.Credentials, func(own Credentials) error {
		assertion, err := c.config.Assert(ctx, subject)
		if err != nil {
			return fmt.Errorf("make the assertion: %w", err)
		}
		payload, err := json.Marshal(map[string]string{"clientId": c.config.ApplicationARN, "grantType": jwtBearer, "assertion": assertion.Reveal()})
		if err != nil {
			return err
		}
		body, response, err := c.oidc.post(ctx, c.endpoint+"/token?aws_iam=t", own, payload, map[string]string{"Content-Type": "application/json"})
		if err != nil {
			return fmt.Errorf("call Identity Center at %s: %w", c.endpoint, err)
		}
		if response.StatusCode != http.StatusOK {
			return parseOIDCError(response, body)
		}
		var answer struct {
			Details struct {
				IdentityContext string `json:"identityContext"`
			} `json:"awsAdditionalDetails"`
		}
		if err := json.Unmarshal(body, &answer); err != nil || answer.Details.IdentityContext == "" {
			return ErrNoContext
		}
		given = secret.New(answer.Details.IdentityContext)
		return nil
	})
	fill := strings.NewReplacer("{application}", c.config.ApplicationARN)
	return given, explainRefusal("exchange the assertion at Identity Center", err, centerRemedies, fill)
}

// parseOIDCError reads an error of SSO OIDC, which says in OAuth's words what is wrong.
func parseOIDCError(response *http.Response, body []byte) *refusal {
	refused := parseJSONRefusal(response, body)
	var document struct {
		Description string `json:"error_description"`
	}
	if json.Unmarshal(body, &document) == nil && refused.Message == "" {
		refused.Message = document.Description
	}
	return refused
}

// centerRemedies says what to do about each error that CreateTokenWithIAM documents.
var centerRemedies = with(map[string]string{
	"AccessDeniedException":         "{application} does not let this gateway act: its authentication method has to name the gateway's own role, and that role needs sso-oauth:CreateTokenWithIAM on it",
	"InvalidGrantException":         "Identity Center does not accept the assertion: it needs this gateway's issuer as a trusted token issuer, {application} has to list that issuer with the audience configured here, and the person has to be in Identity Center with the same e-mail and assigned to the application",
	"InvalidClientException":        "there is no application {application} in this region",
	"UnauthorizedClientException":   "{application} does not allow the JWT bearer grant: add it to its grants",
	"UnsupportedGrantTypeException": "{application} does not allow the JWT bearer grant: add it to its grants",
	"InvalidScopeException":         "{application} lacks a scope: add redshift:connect to its access scopes",
	"InvalidRequestException":       "Identity Center did not accept the form of the request: check the application's ARN and its region",
	"ExpiredTokenException":         "the assertion had expired when it arrived: check this machine's clock",
	"InvalidRequestRegionException": "this Identity Center is in another region than the warehouse, where it has to be or to have a replica",
	"AuthorizationPendingException": "Identity Center waits for a person, which an assertion does not need: is the endpoint right?",
	"SlowDownException":             "Identity Center is limiting calls: try again in a moment",
	"InternalServerException":       "Identity Center has a fault: try again in a moment",
}, keyRemedies, passingRemedies)
