package signin

import (
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// A Preset is what is known of one kind of IdP: what to ask it for, what it does not understand, and
// by what it knows people. What the operator configures wins over it.
type Preset struct {
	Name  string // in the configuration
	Title string // what it is called

	// Scopes, Parameters of authorization requests, and the claim with the database user are set where
	// the operator set none.
	Scopes       []string
	Parameters   map[string]string
	DatabaseUser string

	// Subject is the claim that is a person's subject; "" is sub.
	Subject string
	// Company is the claim with the company that a person is of, at an IdP where everybody's people sign
	// in at one address; "" where an issuer is one company's.
	Company string
	// Anew is the prompt that makes it ask again who is there; "" where it knows none.
	Anew string

	// Issuer is the form of its issuers, IssuerIs the words for it.
	Issuer   *regexp.Regexp
	IssuerIs string
	// Never are scopes that do not work there, each with what to do.
	Never map[string]string
	// OwnEmail says that e-mail addresses are those of the company's directory, though its ID tokens leave
	// email_verified out.
	OwnEmail bool
	// Unverified are claims that anybody may have filled in, each with what to use.
	Unverified map[string]string
}

// Generic is the preset of an IdP of which nothing is known, IdentityCenter that of the one which is
// no OpenID provider (package identitycenter).
const (
	Generic        = "generic"
	IdentityCenter = "identity_center"
)

// AnyCompany lets everybody's people in, as a decision.
const AnyCompany = "any"

// presets are all, by what their makers document.
var presets = []Preset{
	{
		Name: Generic, Title: "an OpenID provider",
		Scopes: []string{"openid", "profile", "email"}, DatabaseUser: "preferred_username", Anew: "login",
	},
	{
		Name: "cognito", Title: "Amazon Cognito",
		Scopes:       []string{"openid", "profile", "email"},
		DatabaseUser: "email", // where people register themselves, they choose their username
		Anew:         "login",
		Issuer:       regexp.MustCompile(`^https://cognito-idp\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/[a-z0-9-]+_[0-9A-Za-z]+$`),
		IssuerIs:     "https://cognito-idp.REGION.amazonaws.com/POOL-ID; the domain of the sign-in pages is another",
		Never:        map[string]string{"offline_access": "leave it out: Cognito gives a refresh token to each sign-in, and refuses scopes that its app client does not have"},
	},
	{
		Name: "okta", Title: "Okta",
		Scopes: []string{"openid", "profile", "email", "offline_access"}, DatabaseUser: "preferred_username", Anew: "login",
		OwnEmail: true, // beside an access token there is room for name, preferred_username and email alone
		Issuer:   regexp.MustCompile(`^https://([a-z0-9-]*[a-z0-9]\.)+[a-z]+(/oauth2/[0-9A-Za-z]+)?$`),
		IssuerIs: "https://COMPANY.okta.com/oauth2/default, or another authorization server's id in place of default, or no path at all for the organization's own",
	},
	{
		Name: "entra", Title: "Microsoft Entra ID",
		Scopes: []string{"openid", "profile", "email", "offline_access"}, DatabaseUser: "preferred_username", Anew: "login",
		Subject:    "oid", // sub differs from one app registration to the next
		Company:    "tid",
		Issuer:     regexp.MustCompile(`^https://[a-z0-9.-]+/([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|organizations|common)/v2\.0$`),
		IssuerIs:   "https://login.microsoftonline.com/TENANT-ID/v2.0; or organizations in place of the id, with `companies`",
		Unverified: map[string]string{"email": "take preferred_username or upn: Entra ID does not check e-mail addresses, and another tenant may have written yours"},
	},
	{
		Name: "google", Title: "Google",
		Scopes: []string{"openid", "profile", "email"}, DatabaseUser: "email", Anew: "select_account consent",
		// There is a refresh token only for who asks offline, and after the first time only for who
		// has the person consent again.
		Parameters: map[string]string{"access_type": "offline", "prompt": "consent"},
		Company:    "hd",
		Issuer:     regexp.MustCompile(`^https://accounts\.google\.com$`),
		IssuerIs:   "https://accounts.google.com",
		Never:      map[string]string{"offline_access": "leave it out: Google has no such scope, and is asked for a refresh token by the parameter access_type"},
	},
	{
		Name: "keycloak", Title: "Keycloak",
		// Without offline_access, refresh tokens end with the person's session there: after half an
		// hour in which they do nothing, as it comes.
		Scopes: []string{"openid", "profile", "email", "offline_access"}, DatabaseUser: "preferred_username", Anew: "login",
		Issuer:   regexp.MustCompile(`^https://[^/]+(/[^/]+)*/realms/[^/]+$`),
		IssuerIs: "https://HOST/realms/REALM",
	},
	{
		Name: IdentityCenter, Title: "IAM Identity Center",
		Scopes: []string{"openid", "sts:identity_context"}, DatabaseUser: "preferred_username",
		Issuer:   regexp.MustCompile(`^https://identitycenter\.amazonaws\.com/ssoins-[0-9A-Za-z.-]{16}$`),
		IssuerIs: "https://identitycenter.amazonaws.com/ssoins-…; left out, it is that of the application in client_id",
	},
}

// PresetNamed finds a preset.
func PresetNamed(name string) (Preset, bool) {
	at := slices.IndexFunc(presets, func(p Preset) bool { return p.Name == name })
	if at < 0 {
		return Preset{}, false
	}
	return presets[at], true
}

// PresetNames are those that there are.
func PresetNames() []string {
	names := make([]string, 0, len(presets))
	for _, p := range presets {
		names = append(names, p.Name)
	}
	return names
}

// A Fault is a key of the configuration that cannot work at an IdP, and what to do about it.
type Fault struct{ Key, Remedy string }

// Check finds what cannot work in what the operator configured; nil where there is nothing.
func (p Preset) Check(u Upstream) *Fault {
	if p.Company != "tid" && strings.HasPrefix(u.Issuer, "https://login.microsoftonline.com/") && ManyTenants(u.Issuer) {
		return &Fault{"preset", "write entra: at this address the people of all tenants sign in, and each tenant is an issuer of its own"}
	}
	if p.Company != "hd" && u.Issuer == "https://accounts.google.com" {
		return &Fault{"preset", "write google: at this address everybody's people sign in, and somebody has to say whose are let in"}
	}
	if p.Issuer != nil && !onLoopback(u.Issuer) && !p.Issuer.MatchString(u.Issuer) {
		return &Fault{"issuer", "at " + p.Title + " this is " + p.IssuerIs}
	}
	for _, scope := range u.Scopes {
		if remedy, never := p.Never[scope]; never {
			return &Fault{"scopes", scope + ": " + remedy}
		}
	}
	if p.Subject != "" && len(u.Scopes) > 0 && !slices.Contains(u.Scopes, "profile") {
		return &Fault{"scopes", "profile must be among them: " + p.Title + " gives the claim " + p.Subject + ", by which people are known, with it"}
	}
	if remedy, unverified := p.Unverified[u.DatabaseUser.Claim]; unverified {
		return &Fault{"database_user.claim", remedy}
	}
	return p.checkCompanies(u)
}

var (
	tenantID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	domain   = regexp.MustCompile(`^([a-z0-9-]+\.)+[a-z]+$`)
)

// checkCompanies has the operator decide whose people sign in, where the IdP does not.
func (p Preset) checkCompanies(u Upstream) *Fault {
	form, such := tenantID, "tenant ids"
	if p.Company == "hd" {
		form, such = domain, "Workspace domains, such as example.com"
	}
	everybody := slices.Contains(u.Companies, AnyCompany)
	switch {
	case p.Company == "" && len(u.Companies) > 0:
		return &Fault{"companies", "this is for preset: entra and preset: google"}
	case p.Company == "tid" && !ManyTenants(u.Issuer):
		if len(u.Companies) > 0 {
			return &Fault{"companies", "leave it out: the issuer is one tenant's"}
		}
		return nil
	case p.Company != "" && len(u.Companies) == 0:
		return &Fault{"companies", "people of every company can sign in there: list whose are let in (" + such + "), or write [" + AnyCompany + "]"}
	case everybody && len(u.Companies) > 1:
		return &Fault{"companies", "write [" + AnyCompany + "] alone, or the list without it"}
	case (everybody || len(u.Companies) > 1) && u.DatabaseUser.LocalPart:
		return &Fault{"database_user.local_part", "leave it out where more than one company is let in: whose ann signs in first would become the ann of all"}
	case everybody && p.Company == "tid" && u.DatabaseUser.Claim == "":
		return &Fault{"database_user.claim", "name it with companies: [" + AnyCompany + "]: every tenant fills in preferred_username by itself"}
	}
	for _, company := range u.Companies {
		if !everybody && !form.MatchString(company) {
			return &Fault{"companies", "these are " + such + ", in lower case"}
		}
	}
	return nil
}

// ManyTenants reports whether an issuer of Entra ID is the address of many tenants.
func ManyTenants(issuer string) bool {
	return strings.Contains(issuer, "/organizations/") || strings.Contains(issuer, "/common/")
}

// onLoopback reports whether an issuer is a stand-in on this machine, which may have any form.
func onLoopback(issuer string) bool {
	u, err := url.Parse(issuer)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// Fill sets what the operator left open. A parameter that they set to "" stays so, and is not sent. What
// is filled can be filled again.
func (p Preset) Fill(u Upstream) Upstream {
	u.Preset = p.Name
	if len(u.Scopes) == 0 {
		u.Scopes = slices.Clone(p.Scopes)
	}
	if u.DatabaseUser.Claim == "" {
		u.DatabaseUser.Claim = p.DatabaseUser
	}
	parameters := url.Values{}
	for name, value := range p.Parameters {
		parameters.Set(name, value)
	}
	maps.Copy(parameters, u.AuthorizeParameters)
	u.AuthorizeParameters = parameters
	return u
}

// lets reports whether the people of a company may sign in.
func (u Upstream) lets(company string) bool {
	return slices.Contains(u.Companies, AnyCompany) || slices.Contains(u.Companies, company)
}
