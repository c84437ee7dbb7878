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
	session    roleSession
	externalID string
	own        Provider
	service    *signedService
	cache      *cache
}

// NewRole checks the configuration. It makes no call.
func NewRole(config RoleConfig) (*Role, error) {
	r := &Role{
		session: roleSession{
			roleARN: config.RoleARN, region: config.Region, endpoint: config.Endpoint, length: config.SessionLength,
			cacheSize: config.CacheSize, client: config.HTTPClient, now: config.Now,
		},
		externalID: config.ExternalID, own: config.Credentials,
	}
	if err := r.session.complete(); err != nil {
		return nil, fmt.Errorf("role: %w", err)
	}
	if r.own == nil {
		return nil, errors.New("role: Credentials are missing: nobody signs the request")
	}
	r.service = &signedService{name: "sts", region: config.Region, client: r.session.client, signer: v4.NewSigner(), now: r.session.now}
	r.cache = newCache(r.session.cacheSize, r.session.now, r.fetch)
	return r, nil
}

// For is the provider of one person. It costs nothing; the credentials are shared between all
// providers of the same subject.
func (r *Role) For(subject Subject) Provider { return &person{r.cache, subject} }

// Close ends fetches that are under way and waits for them.
func (r *Role) Close() { r.cache.close() }

func (r *Role) fetch(ctx context.Context, subject Subject) (Credentials, error) {
	form := r.form(subject)
	if r.externalID != "" {
		form.Set("ExternalId", r.externalID)
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
		"Action": {"AssumeRole"}, "Version": {stsVersion}, "RoleArn": {r.session.roleARN}, "RoleSessionName": {subject.sessionName()},
		"DurationSeconds": {strconv.Itoa(int(r.session.length / time.Second))},
	}
}

// assume is AssumeRole. Keys that AWS refuses are fetched anew once.
func (r *Role) assume(ctx context.Context, form url.Values) (Credentials, error) {
	step := "assume " + r.session.roleARN
	var given Credentials
	err := withFreshKeys(ctx, r.own, func(own Credentials) error {
		body, response, err := r.service.post(ctx, r.session.endpoint, own, []byte(form.Encode()), map[string]string{
			"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/xml",
		})
		if err != nil {
			return fmt.Errorf("call STS at %s: %w", r.session.endpoint, err)
		}
		if response.StatusCode != http.StatusOK {
			return parseXMLRefusal(response.StatusCode, body)
		}
		given, err = parseSTSAnswer("AssumeRole", body, r.session.now())
		return err
	})
	return given, explainRefusal(step, err, roleRemedies, strings.NewReplacer("{role}", r.session.roleARN))
}

// roleRemedies says what to do about each error that AssumeRole documents.
var roleRemedies = with(map[string]string{
	"AccessDenied":            "the trust policy of {role} does not let this gateway in: it has to allow the gateway's own role sts:AssumeRole and sts:TagSession, with the external id as configured here; the gateway's own role needs sts:AssumeRole on {role}; check also that {role} exists",
	"RegionDisabledException": "STS is not active in this region for the role's account: activate the region under IAM, Account settings, or use another region",
	"PackedPolicyTooLarge":    "the session's tags are too large together: shorten the database user",
	"ValidationError":         "AWS did not accept the form of the request: check the role's ARN, and that the session's length is within the role's MaxSessionDuration",
	"MalformedPolicyDocument": "AWS refused a policy: check the policies of {role}",
	"RequestExpired":          "the request arrived too late: check this machine's clock",
}, keyRemedies, passingRemedies)
