package connect_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/shiftgrant/shiftgrant/connect"
)

const (
	oneTenant   = "0b5c2f6e-1111-4222-8333-944455556666"
	otherTenant = "7d1e0a9b-aaaa-4bbb-8ccc-9dddeeeeffff"
)

// newTenants is an app at an address where the people of many tenants sign in. Those of oneTenant are
// let in.
func newTenants(t *testing.T, change func(i *issuer, claims map[string]any)) (*issuer, *app) {
	t.Helper()
	i := newIssuer(t)
	i.metadata = map[string]any{"issuer": i.server.URL + "/{tenantid}/v2.0", "authorization_response_iss_parameter_supported": nil}
	i.idToken = func(nonce, access string) string {
		claims := i.claims(nonce, access)
		claims["iss"], claims["tid"] = i.server.URL+"/"+oneTenant+"/v2.0", oneTenant
		change(i, claims)
		return i.sign(claims)
	}
	return i, newApp(t, i, func(c *connect.Config) {
		c.Issuer = i.server.URL + "/organizations/v2.0"
		c.AcceptTenant = func(tenant string) bool { return tenant == oneTenant }
	})
}

func (i *issuer) authorizeSilently(request map[string][]string) map[string][]string {
	answer := i.authorize(request)
	answer.Del("iss") // as Microsoft Entra ID does
	return answer
}

func TestPeopleOfATenantSignInAtTheAddressOfMany(t *testing.T) {
	t.Parallel()
	for name, beside := range map[string]string{"no issuer beside the key": "", "a key for all": "/{tenantid}/v2.0", "a key of the tenant": "/" + oneTenant + "/v2.0"} {
		i, a := newTenants(t, func(*issuer, map[string]any) {})
		if beside != "" {
			i.keyIssuer = i.server.URL + beside
		}
		a.callback(i.authorizeSilently(a.login(t, "/login")))
		session, err := a.session()
		if err != nil {
			t.Fatalf("%s: %v, %v", name, err, a.failures)
		}
		if got := session.Identity().Issuer; got != i.server.URL+"/"+oneTenant+"/v2.0" {
			t.Errorf("%s: the person's issuer is %s, and not their tenant", name, got)
		}
	}
}

func TestTenantThatIsNotTheOneSignsNobodyIn(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*issuer, map[string]any)
		says   string
	}{
		"a tenant that is not let in": {func(i *issuer, c map[string]any) {
			c["iss"], c["tid"] = i.server.URL+"/"+otherTenant+"/v2.0", otherTenant
		}, "not let in"},
		"iss of another tenant than tid": {func(i *issuer, c map[string]any) { c["iss"] = i.server.URL + "/" + otherTenant + "/v2.0" }, "expected issuer"},
		"tid of another tenant than iss": {func(_ *issuer, c map[string]any) { c["tid"] = otherTenant }, "expected issuer"},
		"no tid":                         {func(_ *issuer, c map[string]any) { delete(c, "tid") }, "tid is missing"},
		"tid in other letters":           {func(_ *issuer, c map[string]any) { c["TID"] = oneTenant }, "letters' case"},
		"tid a list":                     {func(_ *issuer, c map[string]any) { c["tid"] = []string{oneTenant} }, "tid is missing"},
		"tid that goes up the path": {func(i *issuer, c map[string]any) {
			c["iss"], c["tid"] = i.server.URL+"/../"+oneTenant+"/v2.0", "../"+oneTenant
		}, "no tenant's id"},
		"the template itself": {func(i *issuer, c map[string]any) { c["iss"] = i.server.URL + "/{tenantid}/v2.0" }, "expected issuer"},
		"the address of many": {func(i *issuer, c map[string]any) { c["iss"] = i.server.URL + "/organizations/v2.0" }, "expected issuer"},
		"a key of another tenant": {func(i *issuer, _ map[string]any) {
			i.keyIssuer = i.server.URL + "/" + otherTenant + "/v2.0"
		}, "key of another tenant"},
		"another host": {func(_ *issuer, c map[string]any) { c["iss"] = "https://idp.example/" + oneTenant + "/v2.0" }, "expected issuer"},
	} {
		i, a := newTenants(t, test.change)
		a.callback(i.authorizeSilently(a.login(t, "/login")))
		a.refused(t, name, connect.Refused)
		if last := a.failures[len(a.failures)-1].Error(); !strings.Contains(last, test.says) {
			t.Errorf("%s: %s, want %q in it", name, last, test.says)
		}
	}
}

func TestTemplateIsForWhoAskedForTenants(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		template string
		accept   func(string) bool
	}{
		"no tenants asked for": {"/{tenantid}/v2.0", nil},
		"another path":         {"/{tenantid}/v3.0", func(string) bool { return true }},
		"two parts":            {"/x/{tenantid}/v2.0", func(string) bool { return true }},
		"a part of a part":     {"/x{tenantid}/v2.0", func(string) bool { return true }},
		"no template":          {"/" + oneTenant + "/v2.0", func(string) bool { return true }},
	} {
		i := newIssuer(t)
		i.metadata = map[string]any{"issuer": i.server.URL + test.template}
		a := newApp(t, i, func(c *connect.Config) {
			c.Issuer, c.AcceptTenant = i.server.URL+"/organizations/v2.0", test.accept
		})
		a.do(a.Login, "GET", "/login")
		a.refused(t, name, connect.Unavailable)
	}
}

func TestProgramSaysWhoSignedInWhereTheIssuerIsNoOpenIDProvider(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		said connect.Identity
		err  error
		in   bool
	}{
		"somebody": {connect.Identity{Subject: "7", Issuer: "https://elsewhere.example"}, nil, true},
		"nobody":   {connect.Identity{}, nil, false},
		"an error": {connect.Identity{Subject: "7"}, errors.New("no"), false},
	} {
		i := newIssuer(t)
		a := newApp(t, i, func(c *connect.Config) {
			c.Scopes = []string{"user"}
			c.Identify = func(_ context.Context, given connect.Tokens) (connect.Identity, error) {
				if !strings.HasPrefix(given.Access, "access-") {
					t.Errorf("given %+v", given)
				}
				return test.said, test.err
			}
		})
		a.callback(i.authorize(a.login(t, "/login")))
		if !test.in {
			a.refused(t, name, connect.Refused)
			continue
		}
		session, err := a.session()
		if err != nil {
			t.Fatalf("%s: %v, %v", name, err, a.failures)
		}
		if who := session.Identity(); who.Subject != "7" || who.Issuer != i.server.URL || who.AuthTime.IsZero() {
			t.Errorf("%s: %+v", name, who)
		}
	}
}
