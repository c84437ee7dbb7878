// Package setup writes what the owner of a warehouse creates so that people reach it through the
// gateway: trust and roles in AWS, an issuer and applications in IAM Identity Center, users, roles and
// grants in the warehouse itself. It writes text, for CloudFormation, Terraform, AWS's command line or
// SQL, and calls nobody: who is to trust the gateway reads what they run.
//
// The configuration is where everything comes from: the role that it names is the role that is made,
// so that there is nothing to copy back, but for the ARNs that AWS makes up. One plan ([New]) holds what
// a chain needs, and each format is a template that writes the plan.
//
// What to fear here: a permission that is wider than it has to be, in text that people run without
// reading. So no statement has a wildcard where the configuration has a name, a role trusts one issuer
// and one audience, results are for whoever began the statement, and what changes other people's rights
// is set apart and says so. Text that comes from the configuration is quoted for where it goes.
package setup

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"

	"github.com/shiftgrant/shiftgrant/internal/gateway"
	"github.com/shiftgrant/shiftgrant/internal/grant"
)

// Options are what a plan is made of.
type Options struct {
	Config    *gateway.Config // a tenant's view; a draft will do: see gateway.ReadDraft
	Warehouse string
	// File is where the configuration was read, for the commands that are printed; "" for the usual place.
	File string
	// Principal is the ARN of who the gateway is in AWS, for chains that need keys of the gateway's own,
	// unless the configuration has gateway_role_arn.
	Principal string
	// Schemas are those that readers may read; People are database users to make, Groups groups of
	// Identity Center or Entra ID that become readers.
	Schemas, People, Groups []string
	// RedshiftApplication and RedshiftRole are the ARNs of Redshift's own application in Identity Center and
	// of the role that Redshift asks it as. They are known once the first part has been run.
	RedshiftApplication, RedshiftRole string
}

// A Plan is what is to be made for one warehouse.
type Plan struct {
	Issuer    string // the gateway's, or its tenant's
	Tenant    string // "" for the default one
	Warehouse gateway.Warehouse
	file      string // see Options
	given     string // the principal of Options

	Partition string
	Account   string // of the warehouse; "" where the configuration does not say it
	Principal string // who the gateway is in AWS; "" where it is nobody

	Provider *Provider // an OIDC provider of IAM; nil for none
	Roles    []Role    // in the order in which they can be made
	// Foreign is what the gateway's principal needs in an account of its own, which is not made here.
	Foreign Policy
	Center  *Center // nil for none
	Secret  *Secret // nil for none
	SQL     SQL
}

// A Provider is an OIDC provider of IAM: an issuer whose tokens the account takes.
type Provider struct{ URL, Audience string }

// Name is how IAM names it, in ARNs and in conditions: the URL without its scheme.
func (p Provider) Name() string {
	_, name, _ := strings.Cut(p.URL, "://")
	return strings.TrimSuffix(name, "/")
}

// A Role is a role of IAM.
type Role struct {
	Is          string // what it is for, in a few words
	Name, Path  string
	Exists      bool // it is somebody else's to make, and gets the permissions only
	Trust       Policy
	PolicyName  string
	Permissions Policy // no statements: none
}

// Kinds of roles, as the templates name them.
const (
	isPeople   = "people's sessions"
	isGateway  = "the gateway itself"
	isRedshift = "Redshift, when it asks Identity Center"
)

// Center is what is made in IAM Identity Center.
type Center struct {
	IssuerName  string // of the trusted token issuer
	Audience    string
	Namespace   string // before people's names in Redshift
	Application string // the name of the application that the gateway exchanges assertions at; "" for none
	RedshiftApp string // the name of Redshift's own application
	Groups      []string
}

// Secret is the secret that holds the one database user's password.
type Secret struct{ ARN, Name, User string }

// Errors that say what is missing to make a plan.
var (
	ErrNoWarehouse = errors.New("the configuration has no such warehouse")
	ErrNoPrincipal = errors.New("say who the gateway is in AWS: give its role's ARN with --principal (`aws sts get-caller-identity` on the gateway's machine shows it), or configure identity.gateway_role_arn")
)

// names are what can be a schema, a group or a user without any harm: SQL quotes the rest, but a control
// character, or one that breaks or turns a line, is in no name that somebody meant, and would show people
// who read a script another one than they run.
var names = regexp.MustCompile(`^[^\p{Cc}\p{Zl}\p{Zp}\x{061c}\x{200e}\x{200f}\x{202a}-\x{202e}\x{2066}-\x{2069}]{1,127}$`)

// plain are paths that mean the same in a shell, in a text between quotes and in a comment. Others are left
// out of the commands that are printed: whoever has one knows how to write it.
var plain = regexp.MustCompile(`^[\w@%+=:,./-]+$`)

// New makes the plan for a warehouse, or says what is missing.
func New(o Options) (*Plan, error) {
	at := slices.IndexFunc(o.Config.Warehouses, func(w gateway.Warehouse) bool { return w.Name == o.Warehouse })
	if at < 0 {
		var there []string
		for _, w := range o.Config.Warehouses {
			there = append(there, w.Name)
		}
		return nil, fmt.Errorf("%w %q: it has %s", ErrNoWarehouse, o.Warehouse, strings.Join(there, ", "))
	}
	for _, name := range slices.Concat(o.Schemas, o.People, o.Groups) {
		if !names.MatchString(name) {
			return nil, fmt.Errorf("%q is no name of a schema, a person or a group", name)
		}
	}
	p := &Plan{Issuer: o.Config.Issuer, Warehouse: o.Config.Warehouses[at]}
	if plain.MatchString(o.File) {
		p.file = o.File
	}
	if name := o.Config.TenantName(); name != grant.DefaultTenant {
		p.Tenant = name
	}
	if !issuers.MatchString(p.Issuer) {
		return nil, fmt.Errorf("issuer: %q is not a URL that AWS would take", p.Issuer)
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	if err := p.locate(o); err != nil {
		return nil, err
	}
	if err := p.plan(o); err != nil {
		return nil, err
	}
	if err := p.fits(o); err != nil {
		return nil, err
	}
	p.SQL = p.statementsFor(o)
	return p, nil
}

// What AWS allows in names, so that nothing else gets into a script.
var (
	regions    = regexp.MustCompile(`^[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}$`)
	warehouses = regexp.MustCompile(`^[A-Za-z0-9-]{1,63}$`)
	roles      = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]{1,512}$`)
	secrets    = regexp.MustCompile(`^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[\w/+=.@-]{1,512}$`)
	tokens     = regexp.MustCompile(`^[\w.:/@+-]{1,255}$`) // audiences, external ids, namespaces

	applications = regexp.MustCompile(`^arn:aws[a-z-]*:sso::[0-9]{12}:application/[\w/-]{1,128}$`)
	// issuers stand in scripts and in comments. A URL can have more in it, and a shell makes something of it.
	issuers = regexp.MustCompile(`^https?://[A-Za-z0-9.:-]+(/[\w.~%@:+-]+)*/?$`)
)

// check refuses names that AWS does not know.
func (p *Plan) check() error {
	w, i := p.Warehouse, p.Warehouse.Identity
	for _, c := range []struct {
		key, value string
		form       *regexp.Regexp
	}{
		{"region", w.Region, regions},
		{"cluster", w.Cluster, warehouses},
		{"workgroup", w.Workgroup, warehouses},
		{"database", w.Database, names},
		{"host", w.Host, names},
		{"identity.role_arn", i.RoleARN, roles},
		{"identity.people_role_arn", i.PeopleRoleARN, roles},
		{"identity.gateway_role_arn", i.GatewayRoleARN, roles},
		{"identity.secret_arn", i.SecretARN, secrets},
		{"identity.application", i.Application, applications},
		{"identity.audience", i.Audience, tokens},
		{"identity.external_id", i.ExternalID, tokens},
		{"identity.namespace", i.Namespace, tokens},
		{"identity.user", i.User, names},
	} {
		if c.value != "" && !c.form.MatchString(c.value) {
			return fmt.Errorf("%s of warehouse %s is %q, which AWS would not take", c.key, w.Name, c.value)
		}
	}
	return nil
}

// locate finds the account and who the gateway is there.
func (p *Plan) locate(o Options) error {
	i := p.Warehouse.Identity
	owner := i.Owner()
	p.Partition, p.Account = cmp.Or(owner.Partition, "aws"), owner.AccountID
	if !i.NeedsOwnKeys() {
		if o.Principal != "" {
			return fmt.Errorf("--principal is for chains that need AWS keys of the gateway's own; chain %s needs none", i.Chain)
		}
		return nil
	}
	p.Principal = i.GatewayRoleARN
	if p.Principal != "" { // it trusts the gateway's assertions
		if _, err := p.provider(p.Issuer, i.Audience); err != nil {
			return err
		}
	}
	switch {
	case o.Principal != "" && p.Principal != "":
		return errors.New("the configuration says who the gateway is in AWS (gateway_role_arn): leave out --principal")
	case o.Principal != "":
		p.Principal, p.given = o.Principal, o.Principal
	}
	switch {
	case p.Principal == "":
		return ErrNoPrincipal
	case sessions.MatchString(p.Principal):
		role := sessions.FindStringSubmatch(p.Principal)
		return fmt.Errorf("%s is one session of a role: give the role itself, arn:%s:iam::%s:role/%s (`aws iam get-role --role-name %s` shows it, with its path if it has one)",
			p.Principal, role[1], role[2], role[3], role[3])
	case !principals.MatchString(p.Principal):
		return fmt.Errorf("%q is not the ARN of a role or an account's root (arn:aws:iam::123456789012:role/gateway)", p.Principal)
	}
	return nil
}

// principals are roles, users and accounts. A session's ARN would hold for one session only.
var principals = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:(root|(role|user)/[\w+=,.@/-]{1,512})$`)

// sessions are what `aws sts get-caller-identity` says where a role is at work.
var sessions = regexp.MustCompile(`^arn:(aws[a-z-]*):sts::([0-9]{12}):assumed-role/([\w+=,.@-]{1,64})/`)

// fits refuses people and groups where a chain has no use for them: who names somebody expects that they can
// come in.
func (p *Plan) fits(o Options) error {
	switch {
	case len(o.People) > 0 && p.providerName() != "":
		return errors.New("--person: with this chain Redshift makes its users itself, when they first come: name their groups with --group")
	case len(o.People) > 0 && !p.EachIsAUser():
		return fmt.Errorf("--person: everybody is one database user in the warehouse %s, which is made without being named", p.Warehouse.Name)
	case len(o.Groups) > 0 && p.providerName() == "":
		return fmt.Errorf("--group: chain %s knows no groups, only identity_center and entra do", p.Warehouse.Identity.Chain)
	}
	return nil
}

// plan fills in what each chain needs.
func (p *Plan) plan(o Options) error {
	i := p.Warehouse.Identity
	switch i.Chain {
	case "web_identity":
		provider, err := p.believed(o.Config)
		if err != nil {
			return err
		}
		p.Provider = provider
		p.addRole(isPeople, i.RoleARN, p.webIdentityTrust(*provider, ""), p.sessionStatements()...)
	case "role":
		p.permitGateway(Statement{Action: []string{"sts:AssumeRole", "sts:TagSession"}, Resource: []string{i.RoleARN}})
		p.addRole(isPeople, i.RoleARN, p.gatewayTrust(i.ExternalID, "sts:TagSession"), p.sessionStatements()...)
	case "identity_center":
		p.planCenter(o)
	case "secret":
		p.planSecret(i.SecretARN)
	}
	return nil
}

// believed is whose assertions are traded at STS: the gateway's, or the upstream's.
func (p *Plan) believed(config *gateway.Config) (*Provider, error) {
	i := p.Warehouse.Identity
	issuer := p.Issuer
	if i.FromUpstream() {
		issuer = config.TokensFor(p.Warehouse).Issuer
	}
	return p.provider(issuer, i.Audience)
}

// provider refuses an issuer that IAM does not take (CreateOpenIDConnectProvider).
func (p *Plan) provider(issuer, audience string) (*Provider, error) {
	u, err := url.Parse(issuer)
	switch {
	case err != nil || !issuers.MatchString(issuer):
		return nil, fmt.Errorf("the issuer %q is not a URL that AWS would take", issuer)
	case u.Port() != "" && !isTwins(u):
		return nil, fmt.Errorf("the issuer %s has a port, and IAM takes no issuer with one: serve it on port 443", issuer)
	}
	return &Provider{URL: strings.TrimSuffix(issuer, "/"), Audience: audience}, nil
}

// isTwins is true for the twin's world, where ports tell programs apart. A configuration with http
// anywhere but on this machine has been refused before.
func isTwins(u *url.URL) bool { return u.Scheme == "http" }

// sessionStatements are what the role of people may do, by the transports that the warehouse uses.
func (p *Plan) sessionStatements() []Statement {
	var all []Statement
	if p.Warehouse.HasDataAPI() {
		all = append(all, p.statements()...)
	}
	return append(all, p.login())
}

// permitGateway gives permissions to who the gateway is in AWS: a role that is made for it, one that it
// has in this account, or somebody in another account, where they are not ours to give.
func (p *Plan) permitGateway(permissions ...Statement) {
	i := p.Warehouse.Identity
	switch {
	case accountOf(p.Principal) != p.Account || !strings.Contains(p.Principal, ":role/"):
		p.Foreign = Allow(permissions...)
	case i.GatewayRoleARN != "":
		provider := Provider{URL: p.Issuer, Audience: i.Audience}
		p.Provider = &provider
		p.addRole(isGateway, i.GatewayRoleARN, p.webIdentityTrust(provider, gateway.GatewaySubject), permissions...)
	default:
		p.addRole(isGateway, p.Principal, Policy{}, permissions...)
		p.Roles[len(p.Roles)-1].Exists = true
	}
}

func (p *Plan) addRole(is, arn string, trust Policy, permissions ...Statement) {
	_, path, _ := strings.Cut(arn, ":role")
	cut := strings.LastIndexByte(path, '/') + 1
	p.Roles = append(p.Roles, Role{
		Is: is, Name: path[cut:], Path: path[:cut], Trust: trust, PolicyName: p.name(), Permissions: Allow(permissions...),
	})
}

// accountOf is the account in an ARN; "" where there is none.
func accountOf(text string) string {
	named, err := arn.Parse(text)
	if err != nil {
		return ""
	}
	return named.AccountID
}

// planCenter is for people of Identity Center: on the wire Redshift exchanges the assertion by itself, for
// the Data API the gateway does.
func (p *Plan) planCenter(o Options) {
	i := p.Warehouse.Identity
	namespace := i.Namespace
	if namespace == "" {
		namespace = "awsidc"
	}
	p.Center = &Center{
		IssuerName: slug("shiftgrant-" + Provider{URL: p.Issuer}.Name()), Audience: i.Audience, Namespace: namespace,
		RedshiftApp: "shiftgrant", Groups: o.Groups,
	}
	p.Roles = append(p.Roles, Role{
		Is: isRedshift, Name: "shiftgrant-redshift", Path: "/", Trust: redshiftTrust(), PolicyName: "identity-center",
		Permissions: Allow(Statement{Action: []string{"sso:DescribeApplication", "sso:DescribeInstance"}, Resource: []string{"*"}}),
	})
	if i.PeopleRoleARN == "" {
		return
	}
	p.Center.Application = p.name()
	p.permitGateway(
		Statement{Action: []string{"sso-oauth:CreateTokenWithIAM"}, Resource: []string{applicationReference}},
		Statement{Action: []string{"sts:AssumeRole", "sts:SetContext"}, Resource: []string{i.PeopleRoleARN}},
	)
	var may []Statement
	if p.Warehouse.HasDataAPI() {
		may = p.statements()
	}
	if i.Login == "auth_token" {
		may = append(may, p.token())
	}
	p.addRole(isPeople, i.PeopleRoleARN, p.gatewayTrust("", "sts:SetContext"), may...)
}

// planSecret lets the gateway read the one secret, and run statements that log in by it.
func (p *Plan) planSecret(arn string) {
	_, name, _ := strings.Cut(arn, ":secret:")
	p.Secret = &Secret{ARN: arn, Name: suffix.ReplaceAllString(name, ""), User: "shiftgrant"}
	readable := arn
	if p.Secret.Name == name {
		readable += "-??????" // AWS adds six characters to the name
	}
	may := []Statement{{Action: []string{"secretsmanager:GetSecretValue"}, Resource: []string{readable}}}
	if p.Warehouse.HasDataAPI() {
		may = append(may, p.statements()...)
	}
	p.permitGateway(may...)
}

// suffix is what Secrets Manager puts behind a name.
var suffix = regexp.MustCompile(`-[A-Za-z0-9]{6}$`)

// name is for what is made for this warehouse alone.
func (p *Plan) name() string { return slug("shiftgrant-" + p.Tenant + "-" + p.Warehouse.Name) }

// slug is a name that AWS takes for whatever the text is.
func slug(text string) string {
	return strings.Trim(notInNames.ReplaceAllString(text, "-"), "-")
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9]+`)
