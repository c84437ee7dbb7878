package twin

import (
	"fmt"
	"strings"
	"time"

	"github.com/shiftgrant/shiftgrant/twin/identitycenter"
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
	// GatewayRoleARN is the role as which a gateway speaks to Identity Center: an actor of its
	// application. The gateway's tokens open it, and GatewayKeys are its session.
	GatewayRoleName = "shiftgrant-gateway"
	GatewayRoleARN  = "arn:aws:iam::" + Account + ":role/" + GatewayRoleName
	// PeopleRoleARN is the role that the gateway's role assumes with a person's identity context.
	PeopleRoleName = "shiftgrant-people"
	PeopleRoleARN  = "arn:aws:iam::" + Account + ":role/" + PeopleRoleName
	// PartnerRoleARN is the role that another account, PartnerAccount, may assume if it says
	// ExternalID; PartnerKeys are that account's.
	PartnerRoleName = "shiftgrant-partner"
	PartnerRoleARN  = "arn:aws:iam::" + Account + ":role/" + PartnerRoleName
	PartnerAccount  = "210987654321"
	ExternalID      = "twin-external-id"

	// StaffRoleARN is the role that trusts the people's own identity provider, which the account knows as
	// an OIDC provider with the gateway's client id as audience: its ID tokens have the session tag.
	StaffRoleName = "shiftgrant-staff"
	StaffRoleARN  = "arn:aws:iam::" + Account + ":role/" + StaffRoleName

	// IdentityRoleARN is the role as which Redshift asks Identity Center.
	IdentityRoleName = "redshift-identity-center"
	IdentityRoleARN  = "arn:aws:iam::" + Account + ":role/" + IdentityRoleName

	// InstanceARN is Identity Center's, ApplicationARN the customer's own application in it, by which
	// the gateway gets identity contexts, RedshiftApplicationARN the one that stands for Redshift, and
	// TrustedTokenIssuerARN what stands for the gateway.
	InstanceARN            = "arn:aws:sso:::instance/" + instanceID
	ApplicationARN         = "arn:aws:sso::" + Account + ":application/" + instanceID + "/apl-0000000000000001"
	RedshiftApplicationARN = "arn:aws:sso::" + Account + ":application/" + instanceID + "/apl-0000000000000002"
	TrustedTokenIssuerARN  = "arn:aws:sso::" + Account + ":trustedTokenIssuer/" + instanceID + "/tti-0000000000000003"
	// IdentityNamespace is before the names of Identity Center's people in Redshift, EntraNamespace
	// before those of a native identity provider.
	IdentityNamespace = "awsidc"
	EntraNamespace    = "aad"

	// SecretARN is the secret with the password of the database user ServiceUser.
	SecretARN       = "arn:aws:secretsmanager:" + Region + ":" + Account + ":secret:" + secretName + "-Tw1n00"
	ServiceUser     = "service"
	ServicePassword = "twin-password-of-service"

	Cluster   = "tickit"
	Workgroup = "tickit-serverless"
	Database  = "dev"

	// KeyARN is the account's key in KMS, made anew at each start.
	KeyARN = "arn:aws:kms:" + Region + ":" + Account + ":key/" + keyID

	// SigningKeyARN is an RSA key in KMS, for signatures.
	SigningKeyARN = "arn:aws:kms:" + Region + ":" + Account + ":key/" + signingKeyID

	// IdPPath is where the identity provider is below the twin's URL.
	IdPPath = "/idp"
	// ClientID is the gateway's at the identity provider.
	ClientID            = "shiftgrant"
	DefaultClientSecret = "twin-client-secret-of-shiftgrant"
	// Password is everybody's.
	Password = "twin"

	instanceID = "ssoins-7223twin0000feed"
	secretName = "shiftgrant/tickit"
	roleID     = "AROATWINSHIFTGRANT000"
	keyID      = "00000000-0000-4000-8000-000000000001"

	signingKeyID = "00000000-0000-4000-8000-000000000002"

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

// GatewayKeys are the AWS keys of a gateway that runs in the account: a session of GatewayRoleARN
// that never expires.
func GatewayKeys() sigv4.Credential {
	return sigv4.Credential{
		AccessKeyID: "AKIATWINGATEWAY00000", SecretAccessKey: "twin-key-of-the-gateway-which-is-no-secret",
		Account: Account, RoleARN: GatewayRoleARN, RoleName: GatewayRoleName, RoleID: "AROATWINGATEWAY000000", SessionName: "gateway",
	}
}

// PartnerKeys are those of a gateway in another account, PartnerAccount.
func PartnerKeys() sigv4.Credential {
	return sigv4.Credential{
		AccessKeyID: "AKIATWINPARTNER00000", SecretAccessKey: "twin-key-of-the-partner-which-is-no-secret",
		Account: PartnerAccount, RoleARN: "arn:aws:iam::" + PartnerAccount + ":role/gateway", RoleName: "gateway", RoleID: "AROATWINVENDOR0000000", SessionName: "gateway",
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
			Claims: sessionTags, AccessAudience: config.EntraAudience,
		}},
		Logger: config.Logger,
		Now:    config.Now,
	})
}

// sessionTags are what a company adds to its ID tokens so that AWS knows the database user.
func sessionTags(p idp.Person) map[string]any {
	return map[string]any{"https://aws.amazon.com/tags": map[string]any{
		"principal_tags": map[string]any{userTag: []string{p.Username}}, "transitive_tag_keys": []string{userTag},
	}}
}

// newSTS plays the AWS account in which somebody ran the gateway's set-up for every chain: the
// gateway is an OIDC provider, and roles trust it, each other and a partner.
func newSTS(config Config, idpIssuer string, registry *sigv4.Registry, center *identitycenter.Center) (*sts.Server, error) {
	account := sts.Config{
		Account: Account, Region: Region, Registry: registry, Logger: config.Logger, Now: config.Now,
		Contexts: map[string]func(string) (*sigv4.Person, error){identitycenter.ContextProvider: openContext(center)},
		Roles: []sts.Role{
			{Name: PeopleRoleName, ID: "AROATWINPEOPLE0000000", TrustPolicy: peopleTrust},
			{Name: PartnerRoleName, ID: "AROATWINPARTNER000000", TrustPolicy: partnerTrust},
			{Name: IdentityRoleName, ID: "AROATWINREDSHIFT00000", TrustPolicy: redshiftTrust},
			{Name: StaffRoleName, ID: "AROATWINSTAFF00000000", TrustPolicy: trustPolicy(idpIssuer, ClientID)},
		},
		Providers: []sts.Provider{{URL: idpIssuer, ClientIDs: []string{ClientID}}},
	}
	if config.Issuer != "" {
		account.Providers = append(account.Providers, sts.Provider{URL: config.Issuer, ClientIDs: []string{Audience, IdentityCenterAudience}})
		account.Roles = append(
			account.Roles,
			sts.Role{Name: RoleName, ID: roleID, MaxSession: time.Hour, TrustPolicy: trustPolicy(config.Issuer, Audience)},
			sts.Role{Name: GatewayRoleName, ID: "AROATWINGATEWAY000000", TrustPolicy: gatewayTrust(config.Issuer)},
		)
	}
	return sts.New(account)
}

// trustPolicy is what `shiftgrant setup` gives a customer to deploy.
func trustPolicy(issuer, audience string) string {
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
}`, Account, name, name, audience, userTag)
}

// gatewayTrust lets the gateway's tokens open its own role, whoever they are about.
func gatewayTrust(issuer string) string {
	_, name, _ := strings.Cut(issuer, "://")
	return fmt.Sprintf(`{
  "Version": "2012-10-17",
  "Statement": [{
    "Effect": "Allow",
    "Principal": {"Federated": "arn:aws:iam::%s:oidc-provider/%s"},
    "Action": ["sts:AssumeRoleWithWebIdentity", "sts:TagSession", "sts:SetSourceIdentity"],
    "Condition": {"StringEquals": {"%s:aud": "%s"}}
  }]
}`, Account, name, name, Audience)
}

// peopleTrust lets the gateway's role bring a person's identity context.
const peopleTrust = `{
  "Version": "2012-10-17",
  "Statement": [{
    "Effect": "Allow",
    "Principal": {"AWS": "` + GatewayRoleARN + `"},
    "Action": ["sts:AssumeRole", "sts:SetContext", "sts:TagSession", "sts:SetSourceIdentity"]
  }]
}`

// redshiftTrust lets Redshift itself use the role.
const redshiftTrust = `{
  "Version": "2012-10-17",
  "Statement": [{
    "Effect": "Allow",
    "Principal": {"Service": ["redshift.amazonaws.com", "redshift-serverless.amazonaws.com"]},
    "Action": ["sts:AssumeRole", "sts:SetContext"]
  }]
}`

// partnerTrust lets another account in that says the external id.
const partnerTrust = `{
  "Version": "2012-10-17",
  "Statement": [{
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::` + PartnerAccount + `:root"},
    "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
    "Condition": {"StringEquals": {"sts:ExternalId": "` + ExternalID + `"}}
  }]
}`
