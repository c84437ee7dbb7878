package twin_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	signer "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/identitycenter"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
	"github.com/shiftgrant/shiftgrant/twin/twintest"
)

// An account is a twin whose clock a test sets.
type account struct {
	*twin.Twin
	started time.Time
	passed  atomic.Int64
}

func newAccount(t *testing.T) *account {
	t.Helper()
	a := &account{started: time.Now().Truncate(time.Second)}
	a.Twin = twintest.Start(t, twin.Config{Now: a.now})
	return a
}

func (a *account) now() time.Time { return a.started.Add(time.Duration(a.passed.Load())) }

// ask sends a signed request to a service: by JSON to a target, or by a form without one. What it
// answers is decoded; the type of an error is given.
func (a *account) ask(t *testing.T, who sigv4.Credential, service, target, body string, answer any) string {
	t.Helper()
	header := map[string]string{"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target}
	if target == "" {
		header = map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	}
	r := request(t, "POST", a.URL()+"/", body, header)
	sum := sha256.Sum256([]byte(body))
	keys := aws.Credentials{AccessKeyID: who.AccessKeyID, SecretAccessKey: who.SecretAccessKey}
	if err := signer.NewSigner().SignHTTP(context.Background(), keys, r, hex.EncodeToString(sum[:]), service, twin.Region, a.now()); err != nil {
		t.Fatal(err)
	}
	status, text := send(t, r)
	decode := json.Unmarshal
	if target == "" {
		decode = xml.Unmarshal
	}
	refused := struct {
		JSON string `json:"__type" xml:"-"`
		XML  string `json:"-" xml:"Error>Code"`
	}{}
	if status != 200 {
		answer = &refused
	}
	if err := decode([]byte(text), answer); err != nil {
		t.Fatalf("%s answered %d: %s", service, status, text)
	}
	return refused.JSON + refused.XML
}

func said(err error) string {
	if err == nil {
		return ""
	}
	reason, _, _ := strings.Cut(err.Error(), ": ")
	return reason
}

// What AWS gives has an end, to the second: it is good until then, and refused from then on.
func TestWhatIsGivenEndsOnTime(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	alice := twin.DeveloperKeys("alice")
	right := func(password string) func(string) bool { return func(known string) bool { return known == password } }

	var cluster struct {
		User     string `xml:"GetClusterCredentialsResult>DbUser"`
		Password string `xml:"GetClusterCredentialsResult>DbPassword"`
	}
	a.ask(t, alice, "redshift", "", "Action=GetClusterCredentials&Version=2012-12-01&ClusterIdentifier=tickit&DbUser=alice&DurationSeconds=1800", &cluster)
	var workgroup struct{ DbUser, DbPassword string }
	a.ask(t, alice, "redshift-serverless", "RedshiftServerless.GetCredentials", `{"workgroupName":"tickit-serverless"}`, &workgroup)

	person := sigv4.Credential{
		AccessKeyID: "AKIATWINPERSON000000", SecretAccessKey: "x", Account: twin.Account, RoleARN: twin.PeopleRoleARN, RoleName: twin.PeopleRoleName, RoleID: "AROATWINPEOPLE0000000", SessionName: "bob",
		OnBehalfOf: &sigv4.Person{UserName: "bob@example.com", MayConnect: true},
	}
	if err := a.Registry.Add(person); err != nil {
		t.Fatal(err)
	}
	var subject struct {
		Token string `xml:"GetIdentityCenterAuthTokenResult>Token"`
	}
	a.ask(t, person, "redshift", "", "Action=GetIdentityCenterAuthToken&Version=2012-12-01&ClusterIds.ClusterIdentifier.1=tickit", &subject)

	client, err := a.Center.Register(identitycenter.Client{Name: "test", RedirectURIs: []string{"http://127.0.0.1/"}, Scopes: []string{identitycenter.RedshiftScope}})
	if err != nil {
		t.Fatal(err)
	}
	verifier := strings.Repeat("v", 43)
	sum := sha256.Sum256([]byte(verifier))
	code := func() string {
		made, err := a.Center.Allow(identitycenter.Authorization{Client: client.ID, RedirectURI: "http://127.0.0.1/", Challenge: base64.RawURLEncoding.EncodeToString(sum[:])}, "bob@example.com")
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	redeem := func(code string) (identitycenter.Tokens, error) {
		return a.Center.ByCode(client.ID, client.Secret, code, "http://127.0.0.1/", verifier)
	}
	tokens, err := redeem(code())
	if err != nil {
		t.Fatal(err)
	}
	early, late := code(), code()
	device, _, _, err := a.Center.BeginDevice(client.ID, client.Secret)
	if err != nil {
		t.Fatal(err)
	}
	for _, operation := range []string{"CreateSecret", "DeleteSecret"} {
		body := `{"Name":"s","SecretString":"x"}`
		if operation == "DeleteSecret" {
			body = `{"SecretId":"s","RecoveryWindowInDays":7}`
		}
		if refused := a.ask(t, alice, "secretsmanager", "secretsmanager."+operation, body, &struct{}{}); refused != "" {
			t.Fatalf("%s: %s", operation, refused)
		}
	}

	refresh := tokens.RefreshToken
	const expired = "IAM Authentication token has expired"
	for _, given := range []struct {
		what         string
		life         time.Duration
		use          func() string
		before, then string
	}{
		{"a code", 5 * time.Minute, func() string {
			chosen := late
			if a.now().Sub(a.started) < 5*time.Minute {
				chosen = early
			}
			_, err := redeem(chosen)
			return said(err)
		}, "", "invalid_grant"},
		{"a device", 10 * time.Minute, func() string { _, err := a.Center.ByDevice(client.ID, client.Secret, device); return said(err) }, "authorization_pending", "expired_token"},
		{"a workgroup's password", 15 * time.Minute, func() string {
			_, err := a.Passwords.Check(workgroup.DbUser, right(workgroup.DbPassword))
			return said(err)
		}, "", expired},
		{"a cluster's password", 30 * time.Minute, func() string { _, err := a.Passwords.Check(cluster.User, right(cluster.Password)); return said(err) }, "", expired},
		{"a token for a cluster", time.Hour, func() string { _, err := a.Passwords.CheckToken(subject.Token, twin.Cluster); return said(err) }, "", expired},
		{"an access token", time.Hour, func() string { _, _, err := a.Center.Holder(tokens.AccessToken); return said(err) }, "", "expired_token"},
		{"a session", 8 * time.Hour, func() string {
			renewed, err := a.Center.ByRefreshOf(client.ID, client.Secret, refresh)
			if err == nil {
				refresh = renewed.RefreshToken
			}
			return said(err)
		}, "", "expired_token"},
		{"a secret that is marked for deletion", 7 * 24 * time.Hour, func() string {
			return a.ask(t, alice, "secretsmanager", "secretsmanager.GetSecretValue", `{"SecretId":"s"}`, &url.Values{})
		}, "InvalidRequestException", "ResourceNotFoundException"},
		{"a registration", 90 * 24 * time.Hour, func() string {
			_, _, _, err := a.Center.BeginDevice(client.ID, client.Secret)
			return said(err)
		}, "", "invalid_client"},
	} {
		for _, moment := range []struct {
			passed time.Duration
			want   string
		}{{given.life - time.Second, given.before}, {given.life, given.then}} {
			a.passed.Store(int64(moment.passed))
			if got := given.use(); got != moment.want {
				t.Errorf("%s after %s: %q, want %q", given.what, moment.passed, got, moment.want)
			}
		}
	}
}
