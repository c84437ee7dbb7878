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

const stsAttempts = 4

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
	session  roleSession
	audience string
	assert   func(context.Context, Subject) (secret.Text, error)
	cache    *cache
	pause    func(context.Context, time.Duration) error
}

// NewWebIdentity checks the configuration. It makes no call.
func NewWebIdentity(config WebIdentityConfig) (*WebIdentity, error) {
	w := &WebIdentity{
		session: roleSession{
			roleARN: config.RoleARN, region: config.Region, endpoint: config.Endpoint, length: config.SessionLength,
			cacheSize: config.CacheSize, client: config.HTTPClient, now: config.Now,
		},
		audience: config.Audience, assert: config.Assert, pause: pause,
	}
	if err := w.session.complete(); err != nil {
		return nil, fmt.Errorf("web identity: %w", err)
	}
	if w.assert == nil {
		return nil, errors.New("web identity: Assert is missing: nothing makes the assertion")
	}
	w.cache = newCache(w.session.cacheSize, w.session.now, w.assume)
	return w, nil
}

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
	step := "assume " + w.session.roleARN
	for attempt := 1; ; attempt++ {
		assertion, err := w.assert(ctx, subject)
		if err != nil {
			return Credentials{}, &redshift.AccessError{Step: step, Err: fmt.Errorf("make the assertion: %w", err)}
		}
		credentials, err := w.exchange(ctx, subject, assertion)
		if err == nil {
			return credentials, nil
		}
		refused, ok := errors.AsType[*refusal](err)
		if ok && !refused.passing() || attempt == stsAttempts {
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
		"RoleArn":          {w.session.roleARN},
		"RoleSessionName":  {subject.sessionName()},
		"WebIdentityToken": {assertion.Reveal()},
		"DurationSeconds":  {strconv.Itoa(int(w.session.length / time.Second))},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.session.endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return Credentials{}, fmt.Errorf("build the request to STS: %w", err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "text/xml")
	response, err := w.session.client.Do(request)
	if err != nil {
		return Credentials{}, fmt.Errorf("call STS at %s: %w", w.session.endpoint, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	if err != nil {
		return Credentials{}, fmt.Errorf("read the answer of STS: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return Credentials{}, parseXMLRefusal(response.StatusCode, body)
	}
	credentials, err := parseSTSAnswer("AssumeRoleWithWebIdentity", body, w.session.now())
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

// webIdentityRemedies says what to do about each error that AssumeRoleWithWebIdentity documents.
var webIdentityRemedies = with(map[string]string{
	"AccessDenied":              "the role's trust policy does not accept this identity: it has to allow sts:AssumeRoleWithWebIdentity, sts:TagSession and sts:SetSourceIdentity for this issuer with audience {audience}; check also that {role} exists",
	"InvalidIdentityToken":      "the AWS account does not accept the assertion: register this gateway's issuer URL as an IAM OpenID Connect provider there, with audience {audience}",
	"IDPRejectedClaim":          "a claim of the assertion was refused: compare the audience {audience} with the IAM provider's list, and check this machine's clock",
	"IDPCommunicationError":     "AWS could not read the issuer's discovery document or keys: they must be reachable from the internet over https without redirects, and quickly",
	"ExpiredTokenException":     "the assertion had expired when it arrived: check this machine's clock",
	"RegionDisabledException":   "STS is not active in this region for the role's account: activate the region under IAM, Account settings, or use another region",
	"MalformedPolicyDocument":   "AWS refused a policy: check the policies of {role}",
	"PackedPolicyTooLarge":      "the session's tags and policies are too large together: shorten the database user",
	"ValidationError":           "AWS did not accept the form of the request: check the role's ARN, and that the session's length is within the role's MaxSessionDuration",
	"RequestExpired":            "the request arrived too late: check this machine's clock",
	"ServiceUnavailableFailure": "STS is not available: try again in a moment",
}, passingRemedies)

// explain says what to change.
func (w *WebIdentity) explain(step string, err error) error {
	fill := strings.NewReplacer("{role}", w.session.roleARN, "{audience}", strconv.Quote(w.audience))
	return explainRefusal(step, err, webIdentityRemedies, fill)
}
