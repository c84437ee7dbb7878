package identity

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/secret"
	"github.com/shiftgrant/shiftgrant/redshift"
)

const (
	// sessionLength suits every role: a role's MaxSessionDuration is at least one hour.
	sessionLength = time.Hour
	stsVersion    = "2011-06-15"
	stsTimeout    = 15 * time.Second
	stsAttempts   = 4
	// stsAnswerLimit is far above a session token's 4,096 bytes.
	stsAnswerLimit   = 256 << 10
	defaultCacheSize = 4096
)

// WebIdentityConfig says how the web_identity chain reaches one warehouse.
type WebIdentityConfig struct {
	RoleARN string // the role that trusts the assertion's issuer
	Region  string
	// Endpoint overrides https://sts.<region>.amazonaws.com, for a VPC endpoint or a test.
	Endpoint string
	// Audience names the audience in error messages: it has to be in the IAM provider's list.
	Audience string
	// Assert makes the assertion about a person, with a fresh jti each time.
	Assert func(context.Context, Subject) (secret.Text, error)

	SessionLength time.Duration // 15 minutes to 12 hours; 0: one hour
	CacheSize     int           // people; 0: 4096
	HTTPClient    *http.Client  // nil: one with a timeout that follows no redirect
	Now           func() time.Time
}

// WebIdentity is the web_identity chain: assertions traded for credentials at STS, for any
// number of people.
type WebIdentity struct {
	config   WebIdentityConfig
	endpoint string
	cache    *cache
	pause    func(context.Context, time.Duration) error
}

// NewWebIdentity checks the configuration. It makes no call.
func NewWebIdentity(config WebIdentityConfig) (*WebIdentity, error) {
	if !strings.HasPrefix(config.RoleARN, "arn:") || !strings.Contains(config.RoleARN, ":role/") {
		return nil, fmt.Errorf("web identity: %q is not the ARN of a role (arn:aws:iam::<account>:role/<name>)", config.RoleARN)
	}
	if config.Assert == nil {
		return nil, errors.New("web identity: Assert is missing: nothing makes the assertion")
	}
	endpoint := config.Endpoint
	if endpoint == "" {
		var err error
		if endpoint, err = Endpoint("sts", config.Region); err != nil {
			return nil, fmt.Errorf("web identity: find the STS endpoint: %w", err)
		}
	}
	if config.SessionLength == 0 {
		config.SessionLength = sessionLength
	}
	if config.SessionLength < 15*time.Minute || config.SessionLength > 12*time.Hour {
		return nil, fmt.Errorf("web identity: a session of %s is not between 15 minutes and 12 hours", config.SessionLength)
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
	w := &WebIdentity{config: config, endpoint: endpoint, pause: pause}
	w.cache = newCache(config.CacheSize, config.Now, w.assume)
	return w, nil
}

// refuseRedirect hands the redirect itself back: an assertion must not travel on to wherever
// an answer points.
func refuseRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// For is the provider of one person. It costs nothing; the credentials are shared between all
// providers of the same subject.
func (w *WebIdentity) For(subject Subject) Provider { return &person{w.cache, subject} }

// Close ends fetches that are under way and waits for them.
func (w *WebIdentity) Close() { w.cache.close() }

// A person is the provider of one subject, from the cache of a chain.
type person struct {
	cache   *cache
	subject Subject
}

func (p *person) Credentials(ctx context.Context) (Credentials, error) {
	return p.cache.credentials(ctx, p.subject)
}

func (p *person) Invalidate(refused Credentials) { p.cache.invalidate(p.subject, refused) }

// assume asks STS, and asks again where STS says that the fault may pass. Each attempt carries
// an assertion of its own: the first may have reached its one use.
func (w *WebIdentity) assume(ctx context.Context, subject Subject) (Credentials, error) {
	step := "assume " + w.config.RoleARN
	for attempt := 1; ; attempt++ {
		assertion, err := w.config.Assert(ctx, subject)
		if err != nil {
			return Credentials{}, &redshift.AccessError{Step: step, Err: fmt.Errorf("make the assertion: %w", err)}
		}
		credentials, err := w.exchange(ctx, subject, assertion)
		if err == nil {
			return credentials, nil
		}
		refusal, refused := errors.AsType[*stsError](err)
		if refused && !refusal.passing() || attempt == stsAttempts {
			return Credentials{}, w.explain(step, err)
		}
		wait := (100*time.Millisecond + rand.N(200*time.Millisecond)) << (attempt - 1)
		if w.pause(ctx, wait) != nil {
			return Credentials{}, w.explain(step, err)
		}
	}
}

func pause(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// exchange is one call of AssumeRoleWithWebIdentity. It is unsigned: the assertion is the proof.
func (w *WebIdentity) exchange(ctx context.Context, subject Subject, assertion secret.Text) (Credentials, error) {
	form := url.Values{
		"Action":           {"AssumeRoleWithWebIdentity"},
		"Version":          {stsVersion},
		"RoleArn":          {w.config.RoleARN},
		"RoleSessionName":  {subject.sessionName()},
		"WebIdentityToken": {assertion.Reveal()},
		"DurationSeconds":  {strconv.Itoa(int(w.config.SessionLength / time.Second))},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return Credentials{}, fmt.Errorf("build the request to STS: %w", err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "text/xml")
	response, err := w.config.HTTPClient.Do(request)
	if err != nil {
		return Credentials{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, stsAnswerLimit))
	if err != nil {
		return Credentials{}, fmt.Errorf("read the answer of STS: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return Credentials{}, parseSTSError(response.StatusCode, body)
	}
	credentials, err := parseSTSAnswer("AssumeRoleWithWebIdentity", body, w.config.Now())
	credentials.DatabaseUser = subject.DatabaseUser
	return credentials, err
}

// stsAnswer is what is needed of AssumeRoleWithWebIdentityResponse and AssumeRoleResponse.
type stsAnswer struct {
	XMLName     xml.Name
	WebIdentity stsCredentials `xml:"AssumeRoleWithWebIdentityResult>Credentials"`
	Role        stsCredentials `xml:"AssumeRoleResult>Credentials"`
}

type stsCredentials struct {
	AccessKeyID     string `xml:"AccessKeyId"`
	SecretAccessKey string `xml:"SecretAccessKey"`
	SessionToken    string `xml:"SessionToken"`
	Expiration      string `xml:"Expiration"`
}

// parseSTSAnswer reads the answer to an action, and to no other.
func parseSTSAnswer(action string, body []byte, now time.Time) (Credentials, error) {
	var answer stsAnswer
	if err := xml.Unmarshal(body, &answer); err != nil || answer.XMLName.Local != action+"Response" {
		return Credentials{}, fmt.Errorf("the answer of STS is not an %sResponse: is the endpoint right?", action)
	}
	given := answer.WebIdentity
	if action == "AssumeRole" {
		given = answer.Role
	}
	if given.AccessKeyID == "" || given.SecretAccessKey == "" || given.SessionToken == "" {
		return Credentials{}, errors.New("the answer of STS lacks part of the credentials")
	}
	expires, err := time.Parse(time.RFC3339, given.Expiration)
	if err != nil {
		return Credentials{}, fmt.Errorf("the answer of STS has an expiration that is no time: %q", given.Expiration)
	}
	if !now.Add(minimumLeft).Before(expires) {
		return Credentials{}, fmt.Errorf("STS gave credentials that expire at %s: check this machine's clock", given.Expiration)
	}
	return Credentials{
		AccessKeyID: given.AccessKeyID, SecretAccessKey: secret.New(given.SecretAccessKey),
		SessionToken: secret.New(given.SessionToken), Expires: expires,
	}, nil
}
