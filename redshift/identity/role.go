package identity

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/shiftgrant/shiftgrant/redshift"
)

// databaseUserTag is the session tag that the role's permissions compare with the database user,
// as ${aws:PrincipalTag/RedshiftDbUser}.
const databaseUserTag = "RedshiftDbUser"

// RoleConfig says how the role chain reaches one warehouse.
type RoleConfig struct {
	RoleARN string // the role in the warehouse's account
	// ExternalID is what the role's trust policy asks for (sts:ExternalId), so that nobody can have
	// a gateway use another customer's role. "" for a role that asks for none.
	ExternalID string
	Region     string
	// Endpoint overrides https://sts.<region>.amazonaws.com, for a VPC endpoint or a test.
	Endpoint string
	// Credentials are the gateway's own, which the trust policy names.
	Credentials Provider

	SessionLength time.Duration // 15 minutes to 12 hours; 0: one hour, which AWS allows a session that assumes a role at most
	CacheSize     int           // people; 0: 4096
	HTTPClient    *http.Client  // nil: one with a timeout that follows no redirect
	Now           func() time.Time
}

// Role is the role chain: the gateway, which holds AWS keys of its own, assumes a role in the
// warehouse's account once for each person (AWS STS, AssumeRole). The database user goes along as a
// session tag, which the role's permissions bind to the database user asked for.
type Role struct {
	config   RoleConfig
	endpoint string
	service  *signedService
	cache    *cache
}

// NewRole checks the configuration. It makes no call.
func NewRole(config RoleConfig) (*Role, error) {
	if !strings.HasPrefix(config.RoleARN, "arn:") || !strings.Contains(config.RoleARN, ":role/") {
		return nil, fmt.Errorf("role: %q is not the ARN of a role (arn:aws:iam::<account>:role/<name>)", config.RoleARN)
	}
	if config.Credentials == nil {
		return nil, errors.New("role: Credentials are missing: nobody signs the request")
	}
	endpoint := config.Endpoint
	if endpoint == "" {
		var err error
		if endpoint, err = Endpoint("sts", config.Region); err != nil {
			return nil, fmt.Errorf("role: find the STS endpoint: %w", err)
		}
	}
	if config.SessionLength == 0 {
		config.SessionLength = sessionLength
	}
	if config.SessionLength < 15*time.Minute || config.SessionLength > 12*time.Hour {
		return nil, fmt.Errorf("role: a session of %s is not between 15 minutes and 12 hours", config.SessionLength)
	}
	if config.CacheSize <= 0 {
		config.CacheSize = defaultCacheSize
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.HTTPClient == nil {
		config.HTTPClient = &http.Client{Timeout: stsTimeout, CheckRedirect: refuseRedirect}
	}
	r := &Role{config: config, endpoint: endpoint}
	r.service = &signedService{name: "sts", region: config.Region, client: config.HTTPClient, signer: v4.NewSigner(), now: config.Now}
	r.cache = newCache(config.CacheSize, config.Now, r.fetch)
	return r, nil
}

// For is the provider of one person. It costs nothing; the credentials are shared between all
// providers of the same subject.
func (r *Role) For(subject Subject) Provider { return &person{r.cache, subject} }

// Close ends fetches that are under way and waits for them.
func (r *Role) Close() { r.cache.close() }

func (r *Role) fetch(ctx context.Context, subject Subject) (Credentials, error) {
	form := r.form(subject)
	if r.config.ExternalID != "" {
		form.Set("ExternalId", r.config.ExternalID)
	}
	if subject.DatabaseUser != "" {
		form.Set("Tags.member.1.Key", databaseUserTag)
		form.Set("Tags.member.1.Value", subject.DatabaseUser)
	}
	credentials, err := r.assume(ctx, form)
	credentials.DatabaseUser = subject.DatabaseUser
	return credentials, err
}

// form is what every AssumeRole of a person has.
func (r *Role) form(subject Subject) url.Values {
	return url.Values{
		"Action": {"AssumeRole"}, "Version": {stsVersion}, "RoleArn": {r.config.RoleARN}, "RoleSessionName": {subject.sessionName()},
		"DurationSeconds": {strconv.Itoa(int(r.config.SessionLength / time.Second))},
	}
}

// assume is AssumeRole. Keys that AWS refuses are fetched anew once.
func (r *Role) assume(ctx context.Context, form url.Values) (Credentials, error) {
	step := "assume " + r.config.RoleARN
	var given Credentials
	err := withFreshKeys(ctx, r.config.Credentials, func(own Credentials) error {
		body, response, err := r.service.post(ctx, r.endpoint, own, []byte(form.Encode()), map[string]string{
			"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/xml",
		})
		if err != nil {
			return fmt.Errorf("call STS at %s: %w", r.endpoint, err)
		}
		if response.StatusCode != http.StatusOK {
			return parseSTSError(response.StatusCode, body)
		}
		given, err = parseSTSAnswer("AssumeRole", body, r.config.Now())
		return err
	})
	return given, explainRefusal(step, err, roleRemedies, strings.NewReplacer("{role}", r.config.RoleARN))
}

// withFreshKeys calls with keys of the provider and, where AWS refuses just these, once more with
// new ones.
func withFreshKeys(ctx context.Context, provider Provider, call func(Credentials) error) error {
	keys, err := provider.Credentials(ctx)
	if err != nil {
		return err
	}
	err = call(keys)
	forgetting, ok := provider.(Invalidator)
	if !ok || !refusesCredentials(err) {
		return err
	}
	forgetting.Invalidate(keys)
	if keys, err = provider.Credentials(ctx); err != nil {
		return err
	}
	return call(keys)
}

// explainRefusal makes an AccessError that says what to change. What is one already stays it.
func explainRefusal(step string, err error, remedies map[string]string, fill *strings.Replacer) error {
	if err == nil {
		return nil
	}
	if access, ok := errors.AsType[*redshift.AccessError](err); ok {
		return access
	}
	refusal, refused := errors.AsType[*stsError](err)
	if !refused {
		return &redshift.AccessError{Step: step, Err: err}
	}
	access := &redshift.AccessError{Step: step, Code: refusal.Code, Err: fmt.Errorf("AWS answered %s: %s", refusal.Code, refusal.Message)}
	if remedy, known := remedies[refusal.Code]; known {
		access.Err = fmt.Errorf("%s (%w)", fill.Replace(remedy), access.Err)
	}
	return access
}

// keyRemedies are those of keys that AWS refuses, at whichever service.
var keyRemedies = map[string]string{
	"ExpiredToken":                "the gateway's own AWS keys have expired, and so have those that were fetched anew: check where they come from, and this machine's clock",
	"ExpiredTokenException":       "the gateway's own AWS keys have expired, and so have those that were fetched anew: check where they come from, and this machine's clock",
	"InvalidClientTokenId":        "AWS does not know the gateway's own keys: check AWS_ACCESS_KEY_ID and AWS_SESSION_TOKEN",
	"UnrecognizedClientException": "AWS does not know the gateway's own keys: check AWS_ACCESS_KEY_ID and AWS_SESSION_TOKEN",
	"SignatureDoesNotMatch":       "the secret of the gateway's own keys is not theirs: check AWS_SECRET_ACCESS_KEY",
}

// roleRemedies says what to do about each error that AssumeRole documents.
var roleRemedies = withKeyRemedies(map[string]string{
	"AccessDenied":            "the trust policy of {role} does not let this gateway in: it has to allow the gateway's own role sts:AssumeRole and sts:TagSession, with the external id as configured here; the gateway's own role needs sts:AssumeRole on {role}; check also that {role} exists",
	"RegionDisabledException": "STS is not active in this region for the role's account: activate the region under IAM, Account settings, or use another region",
	"PackedPolicyTooLarge":    "the session's tags are too large together: shorten the database user",
	"ValidationError":         "AWS did not accept the form of the request: check the role's ARN, and that the session's length is within the role's MaxSessionDuration",
	"Throttling":              "STS is limiting calls: try again in a moment",
})

func withKeyRemedies(own map[string]string) map[string]string {
	for code, remedy := range keyRemedies {
		if _, has := own[code]; !has {
			own[code] = remedy
		}
	}
	return own
}
