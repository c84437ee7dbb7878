package gateway_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/shiftgrant/shiftgrant/internal/gateway"
)

// upstreams is the section that good has.
const upstreams = `  - name: okta
    issuer: https://example.okta.com
    client_id: abc
    client_secret: file:SECRET
`

const (
	ownTenant   = "0b5c2f6e-1111-4222-8333-944455556666"
	application = "arn:aws:sso::123456789012:application/ssoins-7223abcd0000feed/apl-0123456789abcdef"
)

func TestPresetsFillAndRefuse(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ keys, want string }{
		"cognito": {"preset: cognito, issuer: 'https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbC123', client_id: x", ""},
		"cognito by the domain of its pages": {
			"preset: cognito, issuer: 'https://example.auth.eu-central-1.amazoncognito.com', client_id: x", "issuer: at Amazon Cognito this is https://cognito-idp.REGION",
		},
		"cognito with offline_access":   {"preset: cognito, issuer: 'https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbC123', client_id: x, scopes: [openid, offline_access]", "scopes: offline_access: leave it out"},
		"okta":                          {"preset: okta, issuer: 'https://example.okta.com/oauth2/default', client_id: x", ""},
		"okta by its own domain":        {"preset: okta, issuer: 'https://login.example.com', client_id: x", ""},
		"okta with a slash at the end":  {"preset: okta, issuer: 'https://example.okta.com/', client_id: x", "issuer: at Okta this is https://COMPANY.okta.com/oauth2/default"},
		"okta with companies":           {"preset: okta, issuer: 'https://example.okta.com', client_id: x, companies: [a]", "companies: this is for preset: entra and preset: google"},
		"entra":                         {"preset: entra, issuer: 'https://login.microsoftonline.com/" + ownTenant + "/v2.0', client_id: x", ""},
		"entra, version 1":              {"preset: entra, issuer: 'https://sts.windows.net/" + ownTenant + "/', client_id: x", "issuer: at Microsoft Entra ID this is https://login.microsoftonline.com/TENANT-ID/v2.0"},
		"entra by a domain":             {"preset: entra, issuer: 'https://login.microsoftonline.com/example.com/v2.0', client_id: x", "TENANT-ID"},
		"entra by e-mail":               {"preset: entra, issuer: 'https://login.microsoftonline.com/" + ownTenant + "/v2.0', client_id: x, database_user: {claim: email}", "database_user.claim: take preferred_username"},
		"entra without profile":         {"preset: entra, issuer: 'https://login.microsoftonline.com/" + ownTenant + "/v2.0', client_id: x, scopes: [openid, offline_access]", "scopes: profile must be among them"},
		"entra for one, with companies": {"preset: entra, issuer: 'https://login.microsoftonline.com/" + ownTenant + "/v2.0', client_id: x, companies: [" + ownTenant + "]", "companies: leave it out"},
		"entra for many":                {"preset: entra, issuer: 'https://login.microsoftonline.com/organizations/v2.0', client_id: x, companies: [" + ownTenant + "]", ""},
		"entra for many, undecided":     {"preset: entra, issuer: 'https://login.microsoftonline.com/organizations/v2.0', client_id: x", "companies: people of every company can sign in there"},
		"entra for many, by a domain":   {"preset: entra, issuer: 'https://login.microsoftonline.com/common/v2.0', client_id: x, companies: [example.com]", "companies: these are tenant ids"},
		"entra for all":                 {"preset: entra, issuer: 'https://login.microsoftonline.com/organizations/v2.0', client_id: x, companies: [any], database_user: {claim: upn}", ""},
		"entra for all, by the default": {"preset: entra, issuer: 'https://login.microsoftonline.com/organizations/v2.0', client_id: x, companies: [any]", "database_user.claim: name it"},
		"entra for all and a list":      {"preset: entra, issuer: 'https://login.microsoftonline.com/organizations/v2.0', client_id: x, companies: [any, " + ownTenant + "]", "alone"},
		"google":                        {"preset: google, issuer: 'https://accounts.google.com', client_id: x, companies: [example.com]", ""},
		"google with offline_access":    {"preset: google, issuer: 'https://accounts.google.com', client_id: x, companies: [example.com], scopes: [openid, offline_access]", "access_type"},
		"google with a slash":           {"preset: google, issuer: 'https://accounts.google.com/', client_id: x, companies: [example.com]", "issuer: at Google this is https://accounts.google.com"},
		"google, undecided":             {"preset: google, issuer: 'https://accounts.google.com', client_id: x", "companies: people of every company"},
		"google for all, by half a name": {
			"preset: google, issuer: 'https://accounts.google.com', client_id: x, companies: [any], database_user: {local_part: true}", "database_user.local_part: leave it out",
		},
		"google for two, by half a name": {
			"preset: google, issuer: 'https://accounts.google.com', client_id: x, companies: [example.com, example.org], database_user: {local_part: true}", "whose ann signs in first",
		},
		"google, unknown":               {"issuer: 'https://accounts.google.com', client_id: x, database_user: {claim: email}", "preset: write google"},
		"keycloak":                      {"preset: keycloak, issuer: 'https://sso.example.com/realms/staff', client_id: x", ""},
		"keycloak without a realm":      {"preset: keycloak, issuer: 'https://sso.example.com', client_id: x", "issuer: at Keycloak this is https://HOST/realms/REALM"},
		"identity center":               {"preset: identity_center, region: eu-central-1, client_id: '" + application + "'", ""},
		"identity center, no region":    {"preset: identity_center, client_id: '" + application + "'", "region: give the region"},
		"identity center, no ARN":       {"preset: identity_center, region: eu-central-1, client_id: x", "client_id: not the ARN"},
		"identity center of another":    {"preset: identity_center, region: eu-central-1, client_id: '" + application + "', issuer: 'https://identitycenter.amazonaws.com/ssoins-1'", "issuer: leave it out"},
		"identity center with a secret": {"preset: identity_center, region: eu-central-1, client_id: '" + application + "', client_secret: file:SECRET", "client_secret: leave it out"},
		"identity center without TLS":   {"preset: identity_center, region: eu-central-1, client_id: '" + application + "', identitystore_endpoint: 'http://store.example'", "identitystore_endpoint: not an https URL"},
		"another's region":              {"preset: okta, issuer: 'https://example.okta.com', client_id: x, region: eu-central-1", "region: this is for preset: identity_center"},
		"entra for many, unknown":       {"issuer: 'https://login.microsoftonline.com/organizations/v2.0', client_id: x", "preset: write entra"},
		"a preset that there is none":   {"preset: auth0, issuer: 'https://example.auth0.com', client_id: x", "preset: write one of: generic, cognito, okta, entra, google, keycloak, identity_center"},
		"generic":                       {"issuer: 'https://idp.example.com/any/path/', client_id: x", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config, err := gateway.ReadConfig(write(t, strings.Replace(good, upstreams, "  - {name: company, "+test.keys+"}\n", 1)))
			switch {
			case test.want == "" && err != nil:
				t.Fatal(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Fatalf("%v, want %q in it", err, test.want)
			case test.want != "":
				return
			}
			u := config.Upstreams[0]
			if len(u.Scopes) == 0 || u.DatabaseUser.Claim == "" || u.Issuer == "" {
				t.Errorf("not filled: %+v", u)
			}
		})
	}
}

// The examples are one upstream each; a preset without an example is one that nobody can set up.
func TestDocumentedPresetsAreGood(t *testing.T) {
	for _, name := range []string{"COGNITO", "COMPANY", "OKTA", "ENTRA", "GOOGLE", "KEYCLOAK"} {
		t.Setenv(name+"_CLIENT_SECRET", "a")
	}
	page, err := os.ReadFile("../../docs/identity-providers.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]int{}
	for _, example := range regexp.MustCompile("(?s)```yaml\nupstreams:\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		config, err := gateway.ReadConfig(write(t, strings.Replace(good, upstreams, example[1], 1)))
		if err != nil {
			t.Errorf("%v\n%s", err, example[1])
			continue
		}
		shown[config.Upstreams[0].Preset]++
	}
	for _, preset := range []string{"generic", "cognito", "okta", "entra", "google", "keycloak", "identity_center"} {
		if shown[preset] == 0 {
			t.Errorf("docs/identity-providers.md has no example of preset %s", preset)
		}
	}
}
