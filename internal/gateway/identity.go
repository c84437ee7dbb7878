package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"

	"github.com/shiftgrant/shiftgrant/internal/issuer"
	"github.com/shiftgrant/shiftgrant/internal/secret"
	"github.com/shiftgrant/shiftgrant/internal/signin"
	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
)

// Identity is how a person's identity becomes access to the warehouse.
type Identity struct {
	// Chain is one of chains; web_identity by default. See docs/chains.md.
	Chain string `yaml:"chain"`
	// RoleARN is the role that people's credentials are of; chains web_identity and role.
	RoleARN    string `yaml:"role_arn"`
	ExternalID string `yaml:"external_id"` // what the role's trust policy asks for; chain role
	// Assertion says whose word AWS takes: gateway (default), or upstream, with which the person's own
	// ID token is what is traded at STS; chain web_identity.
	Assertion string `yaml:"assertion"`
	// Upstream is whose tokens are used, with assertion upstream and with chain entra; default the
	// only one.
	Upstream string `yaml:"upstream"`
	// Application is the one of Identity Center that takes the assertions, and PeopleRoleARN the role
	// that the gateway's own AWS keys assume with a person's context; chain identity_center.
	Application   string `yaml:"application"`
	PeopleRoleARN string `yaml:"people_role_arn"`
	// GatewayRoleARN is who the gateway is in AWS for chains that need AWS keys of its own: a role that
	// it assumes by an assertion about itself, in place of keys from its surroundings.
	GatewayRoleARN string `yaml:"gateway_role_arn"`
	// Login is what opens Redshift's port; chain identity_center: assertion (default), an assertion for
	// each connection, or auth_token, a token of an hour that AWS gives for the person's credentials.
	Login string `yaml:"login"`
	// SecretARN is a secret with the user and password that everybody is in Redshift; chain secret.
	SecretARN string `yaml:"secret_arn"`
	// User and Password are the database user that everybody is in Redshift; chain password.
	User     string    `yaml:"user"`
	Password SecretRef `yaml:"password"`

	Audience        string `yaml:"audience"`                // of the assertion; default redshift-gateway
	Namespace       string `yaml:"namespace"`               // of the identity provider in Redshift, where there are several
	STSEndpoint     string `yaml:"sts_endpoint"`            // default: AWS's for the region
	OIDCEndpoint    string `yaml:"sso_oidc_endpoint"`       // default: AWS's for the region
	SecretsEndpoint string `yaml:"secretsmanager_endpoint"` // default: AWS's for the region
}

// The identity chains, and the choices within them.
var chains = []string{"web_identity", "role", "identity_center", "entra", "secret", "password"}

const (
	assertionGateway  = "gateway"
	assertionUpstream = "upstream"
	loginAssertion    = "assertion"
	loginAuthToken    = "auth_token"
)

// SessionRole is the role that people's AWS credentials are of; "" for a chain without any.
func (i Identity) SessionRole() string {
	if i.Centered() {
		return i.PeopleRoleARN
	}
	return i.RoleARN
}

// Centered reports whether Redshift knows people by IAM Identity Center.
func (i Identity) Centered() bool { return i.Chain == "identity_center" }

// HasCredentials reports whether people have AWS credentials, by which the Data API is reached.
func (i Identity) HasCredentials() bool {
	return i.SessionRole() != "" || i.SecretARN != ""
}

// HasPassword reports whether Redshift's port is opened by a password that AWS gives for a person's
// credentials.
func (i Identity) HasPassword() bool { return i.Chain == "web_identity" || i.Chain == "role" }

// Shared reports whether everybody is the same database user.
func (i Identity) Shared() bool { return i.Chain == "secret" || i.Chain == "password" }

// FromUpstream reports whether access is by tokens that the upstream gives people, which only a
// running gateway has.
func (i Identity) FromUpstream() bool { return i.Assertion == assertionUpstream || i.Chain == "entra" }

// onlyPort reports whether the Data API cannot be reached.
func (i Identity) onlyPort() bool { return i.Chain == "entra" || i.Chain == "password" }

// Owner is an ARN of the account that the warehouse is in; zero where the chain names none.
func (i Identity) Owner() arn.ARN {
	owner, err := arn.Parse(cmp.Or(i.SessionRole(), i.SecretARN))
	if err != nil {
		return arn.ARN{}
	}
	return owner
}

// NeedsOwnKeys reports whether the gateway signs requests to AWS in its own name.
func (i Identity) NeedsOwnKeys() bool {
	return i.Chain == "role" || i.Chain == "secret" || i.Centered() && i.PeopleRoleARN != ""
}

// HasPort reports whether Redshift's port is to be used.
func (w *Warehouse) HasPort() bool { return w.Host != "" && w.Transport != "dataapi" }

// HasDataAPI reports whether the Data API may be used: always where the chain reaches it, but for a
// warehouse whose statements all run on the wire.
func (w *Warehouse) HasDataAPI() bool {
	return w.Identity.HasCredentials() && (w.Transport != "wire" || w.Background != backgroundSpool)
}

// checkIdentity applies the defaults and refuses what cannot work.
func (c *Config) checkIdentity(i *Identity, path string) error {
	setDefault(&i.Chain, "web_identity")
	setDefault(&i.Assertion, assertionGateway)
	setDefault(&i.Login, loginAssertion)
	if err := oneOf(path+".chain", i.Chain, chains...); err != nil {
		return err
	}
	if err := oneOf(path+".assertion", i.Assertion, assertionGateway, assertionUpstream); err != nil {
		return err
	}
	if err := oneOf(path+".login", i.Login, loginAssertion, loginAuthToken); err != nil {
		return err
	}
	if err := i.checkForeign(path); err != nil {
		return err
	}
	if err := i.checkOwn(path, c.draft); err != nil {
		return err
	}
	if err := c.checkIdentityUpstream(i, path); err != nil {
		return err
	}
	setDefault(&i.Audience, "redshift-gateway")
	return nil
}

// checkForeign refuses what belongs to another chain.
func (i *Identity) checkForeign(path string) error {
	for _, key := range []struct {
		name  string
		given bool
		of    []string
	}{
		{"role_arn", i.RoleARN != "", []string{"web_identity", "role"}},
		{"external_id", i.ExternalID != "", []string{"role"}},
		{"assertion", i.Assertion == assertionUpstream, []string{"web_identity"}},
		{"application", i.Application != "", []string{"identity_center"}},
		{"people_role_arn", i.PeopleRoleARN != "", []string{"identity_center"}},
		{"gateway_role_arn", i.GatewayRoleARN != "", []string{"role", "identity_center", "secret"}},
		{"login", i.Login == loginAuthToken, []string{"identity_center"}},
		{"namespace", i.Namespace != "", []string{"identity_center", "entra"}},
		{"secret_arn", i.SecretARN != "", []string{"secret"}},
		{"user", i.User != "", []string{"password"}},
		{"password", !i.Password.Secret().IsZero(), []string{"password"}},
	} {
		if key.given && !slices.Contains(key.of, i.Chain) {
			return &keyError{path + "." + key.name, "this is for chain: " + strings.Join(key.of, " and ")}
		}
	}
	return nil
}

// checkOwn refuses a chain that lacks what it needs. A draft may lack what AWS names when it is made.
func (i *Identity) checkOwn(path string, draft bool) error {
	switch {
	case (i.Chain == "web_identity" || i.Chain == "role") && !strings.HasPrefix(i.RoleARN, "arn:"):
		return &keyError{path + ".role_arn", "give the ARN of the role that trusts this gateway"}
	case i.Application != "" && !strings.HasPrefix(i.Application, "arn:"):
		return &keyError{path + ".application", "give the ARN of the application in Identity Center that trusts this gateway's issuer"}
	case i.PeopleRoleARN != "" && !strings.HasPrefix(i.PeopleRoleARN, "arn:"), i.Application != "" && i.PeopleRoleARN == "":
		return &keyError{path + ".people_role_arn", "give application and people_role_arn together: the ARN of the role that is assumed with a person's context"}
	case i.PeopleRoleARN != "" && i.Application == "" && !draft:
		return &keyError{path + ".application", "give the ARN of the application in Identity Center beside people_role_arn; what `shiftgrant setup WAREHOUSE --as cli` prints makes it, and says its ARN at the end"}
	case i.GatewayRoleARN != "" && !strings.HasPrefix(i.GatewayRoleARN, "arn:"):
		return &keyError{path + ".gateway_role_arn", "give the ARN of the role that trusts this gateway's own assertions"}
	case i.GatewayRoleARN != "" && i.Chain == "identity_center" && i.PeopleRoleARN == "":
		return &keyError{path + ".gateway_role_arn", "this is for the Data API: identity_center on the wire needs no AWS keys"}
	case i.Login == loginAuthToken && i.PeopleRoleARN == "":
		return &keyError{path + ".application", "login: auth_token needs application and people_role_arn: AWS gives the token for a person's credentials"}
	case i.Chain == "secret" && !strings.HasPrefix(i.SecretARN, "arn:"):
		return &keyError{path + ".secret_arn", "give the ARN of the secret with the database user and its password"}
	case i.Chain == "password" && i.User == "":
		return &keyError{path + ".user", "give the database user"}
	case i.Chain == "password" && i.Password.Secret().IsZero():
		return &keyError{path + ".password", "give the database user's password as env:NAME or file:PATH"}
	}
	return nil
}

// checkIdentityUpstream finds whose tokens are used.
func (c *Config) checkIdentityUpstream(i *Identity, path string) error {
	if !i.FromUpstream() {
		if i.Upstream != "" {
			return &keyError{path + ".upstream", "this is for assertion: upstream and for chain: entra"}
		}
		return nil
	}
	if i.Upstream == "" && len(c.Upstreams) == 1 {
		i.Upstream = c.Upstreams[0].Name
	}
	at := slices.IndexFunc(c.Upstreams, func(u Upstream) bool { return u.Name == i.Upstream })
	switch {
	case i.Upstream == "":
		return &keyError{path + ".upstream", "there are several upstreams: say whose tokens are to be used"}
	case at < 0:
		return &keyError{path + ".upstream", "there is no such upstream above"}
	case i.Assertion == assertionUpstream && i.Audience != "" && i.Audience != c.Upstreams[at].ClientID:
		return &keyError{path + ".audience", "leave it out: the audience of the upstream's tokens is the client id"}
	}
	i.Audience = c.Upstreams[at].ClientID
	return nil
}

// TokensFor is the upstream whose tokens a warehouse takes; zero where access is not by an upstream's.
func (c *Config) TokensFor(w Warehouse) Upstream {
	for _, u := range c.Upstreams {
		if w.Identity.FromUpstream() && u.Name == w.Identity.Upstream {
			return u
		}
	}
	return Upstream{}
}

// lendsTokens reports whether a warehouse is reached by tokens of an upstream.
func (c *Config) lendsTokens(upstream string) bool {
	return slices.ContainsFunc(c.Warehouses, func(w Warehouse) bool { return w.Identity.FromUpstream() && w.Identity.Upstream == upstream })
}

// assertion is what makes or finds the assertion about a person.
func (c *connector) assertion() func(context.Context, identity.Subject) (secret.Text, error) {
	if c.config.Identity.Assertion == assertionUpstream {
		return c.idTokenOf
	}
	return c.assert
}

// assert signs an assertion of the gateway's own.
func (c *connector) assert(ctx context.Context, subject identity.Subject) (secret.Text, error) {
	return c.tenant.issuer.Assertion(ctx, issuer.Subject{
		ID: subject.ID, Audience: c.config.Identity.Audience, Email: subject.Email, DatabaseUser: subject.DatabaseUser,
	})
}

// assertSelf signs an assertion about the gateway, which goes on from there into roles of people.
func (c *connector) assertSelf(ctx context.Context, subject identity.Subject) (secret.Text, error) {
	return c.tenant.issuer.Assertion(ctx, issuer.Subject{ID: subject.ID, Audience: c.config.Identity.Audience, Unnamed: true})
}

// errOnlyRunning says that a way cannot be gone without a gateway that people have signed in to.
var errOnlyRunning = errors.New("the token is the person's own, and only a gateway that runs has it")

// tokensOf are what the upstream last gave about a person.
func (c *connector) tokensOf(ctx context.Context, subject identity.Subject) (signin.Lent, error) {
	t := c.tenant
	if t.signIn == nil {
		return signin.Lent{}, errOnlyRunning
	}
	person, err := t.store.Person(ctx, t.config.tenant, subject.ID)
	if err != nil {
		return signin.Lent{}, fmt.Errorf("find person: %w", err)
	}
	lent, err := t.signIn.Lend(ctx, person, c.config.Identity.Upstream)
	if err != nil {
		return signin.Lent{}, &redshift.AccessError{Step: "get the person's token from " + c.config.Identity.Upstream, Err: err}
	}
	return lent, nil
}

// idTokenOf is the ID token that the upstream last gave about a person.
func (c *connector) idTokenOf(ctx context.Context, subject identity.Subject) (secret.Text, error) {
	tokens, err := c.tokensOf(ctx, subject)
	if err != nil {
		return secret.Text{}, err
	}
	if tokens.ID.IsZero() {
		return secret.Text{}, fmt.Errorf("the upstream %s gave no ID token when it was asked again: it must do so with each refresh (openid among its scopes)", c.config.Identity.Upstream)
	}
	return tokens.ID, nil
}

// accessTokenOf is the access token that the upstream last gave a person.
func (c *connector) accessTokenOf(ctx context.Context, subject identity.Subject) (secret.Text, time.Time, error) {
	tokens, err := c.tokensOf(ctx, subject)
	return tokens.Access, tokens.Expires, err
}
