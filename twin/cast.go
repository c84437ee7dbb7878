package twin

import (
	"fmt"
	"strings"
	"time"

	"github.com/shiftgrant/shiftgrant/twin/idp"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
	"github.com/shiftgrant/shiftgrant/twin/sts"
)

// Who and what the twin plays. None of these values is a secret: they open nothing but the
// twin.
const (
	Account  = "123456789012"
	Region   = "us-east-1"
	RoleName = "shiftgrant-tickit"
	RoleARN  = "arn:aws:iam::" + Account + ":role/" + RoleName
	// Audience is the one that the OIDC provider in the AWS account lists.
	Audience = "redshift-gateway"
	// IdentityCenterAudience is the one that Identity Center's trusted token issuer lists, for
	// tokens that go straight to Redshift's port.
	IdentityCenterAudience = "redshift-identity-center"
	Cluster                = "tickit"
	Workgroup              = "tickit-serverless"
	Database               = "dev"

	// KeyARN is the account's key in KMS, made anew at each start.
	KeyARN = "arn:aws:kms:" + Region + ":" + Account + ":key/" + keyID

	// IdPPath is where the identity provider is below the twin's URL.
	IdPPath = "/idp"
	// ClientID is the gateway's at the identity provider.
	ClientID            = "shiftgrant"
	DefaultClientSecret = "twin-client-secret-of-shiftgrant"
	// Password is everybody's.
	Password = "twin"

	roleID = "AROATWINSHIFTGRANT000"
	keyID  = "00000000-0000-4000-8000-000000000001"
	// userTag is the session tag by which the Data API on a provisioned cluster knows the
	// database user.
	userTag = "RedshiftDbUser"
)

// people have subjects unlike their names, so that a program which mixes the two up fails.
var people = []idp.Person{
	{Username: "alice", Password: Password, Subject: "idp|7f3ac01e", Name: "Alice Anders", Email: "alice@example.com", Groups: []string{"analysts", "finance"}},
	{Username: "bob", Password: Password, Subject: "idp|b04d95c2", Name: "Bob Berger", Email: "bob@example.com", Groups: []string{"analysts"}},
	{Username: "admin", Password: Password, Subject: "idp|00e1fa77", Name: "Ada Admin", Email: "admin@example.com", Groups: []string{"admins"}},
}

// DeveloperKeys are the AWS keys with which a person of the twin uses AWS's own clients
// against it. They never expire.
func DeveloperKeys(username string) sigv4.Credential {
	return sigv4.Credential{
		AccessKeyID:     "AKIATWIN" + strings.ToUpper(username) + strings.Repeat("0", max(0, 12-len(username))),
		SecretAccessKey: "twin-key-of-" + username + "-which-is-no-secret",
		Account:         Account, RoleARN: RoleARN, RoleName: RoleName, RoleID: roleID,
		SessionName: username,
		Tags:        map[string]string{userTag: username},
	}
}

func newIdP(config Config, url string) (*idp.Provider, error) {
	redirects := config.GatewayRedirectURIs
	if len(redirects) == 0 {
		redirects = []string{"http://localhost:7420/signin/callback/twin"}
	}
	return idp.New(idp.Config{
		Issuer: url + IdPPath,
		People: people,
		Clients: []idp.Client{{
			ID: ClientID, Secret: config.ClientSecret,
			RedirectURIs: redirects, PostLogoutRedirectURIs: config.GatewayLogoutURIs,
		}},
		Logger: config.Logger,
		Now:    config.Now,
	})
}

// newSTS plays the AWS account in which somebody ran the gateway's set-up: the gateway is an
// OIDC provider, and one role trusts it.
func newSTS(config Config, registry *sigv4.Registry) (*sts.Server, error) {
	account := sts.Config{Account: Account, Region: Region, Registry: registry, Logger: config.Logger, Now: config.Now}
	if config.Issuer != "" {
		account.Providers = []sts.Provider{{URL: config.Issuer, ClientIDs: []string{Audience, IdentityCenterAudience}}}
		account.Roles = []sts.Role{{Name: RoleName, ID: roleID, MaxSession: time.Hour, TrustPolicy: trustPolicy(config.Issuer)}}
	}
	return sts.New(account)
}

// trustPolicy is what `shiftgrant setup` gives a customer to deploy.
func trustPolicy(issuer string) string {
	_, name, _ := strings.Cut(issuer, "://")
	return fmt.Sprintf(`{
  "Version": "2012-10-17",
  "Statement": [{
    "Effect": "Allow",
    "Principal": {"Federated": "arn:aws:iam::%s:oidc-provider/%s"},
    "Action": ["sts:AssumeRoleWithWebIdentity", "sts:TagSession", "sts:SetSourceIdentity"],
    "Condition": {
      "StringEquals": {"%s:aud": "%s"},
      "StringLike": {"aws:RequestTag/%s": "?*"}
    }
  }]
}`, Account, name, name, Audience, userTag)
}
