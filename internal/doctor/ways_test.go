package doctor_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/shiftgrant/shiftgrant/internal/doctor"
	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/identitycenter"
)

// The links of a way, in parts that ways have in common.
var (
	webKeys   = []string{"settings", "sts", "role", "credentials"}
	roleKeys  = []string{"settings", "sts", "own_keys", "assume", "credentials"}
	personal  = []string{"settings", "sts", "own_keys", "center", "assume", "credentials"}
	secretKey = []string{"settings", "own_keys", "secret"}
	port      = []string{"network", "encryption"}
	end       = []string{"current_user", "grants", "read_only", "version"}
)

// eachWayIsWhole goes every way that there is in the twin, by the names of reference P1 to P11.
func (w *world) eachWayIsWhole(t *testing.T) {
	for _, c := range []struct {
		name, as, email, user string
		arrange               arrangement
		links                 [][]string
		ends                  []string // the links that cannot be tried
	}{
		{name: "P1, a cluster by the Data API", as: "dora", user: "dora", arrange: noWire, links: [][]string{webKeys, {"dataapi"}}},
		{name: "P1, a workgroup by the Data API", user: "IAMR:shiftgrant-tickit", arrange: with(noWire, serverless), links: [][]string{webKeys, {"dataapi"}}},
		{name: "P2, a cluster by both transports", as: "dora", user: "dora", arrange: changes(), links: [][]string{webKeys, port, {"password", "login", "dataapi"}}},
		{name: "P2, a workgroup by both transports", user: "shared", arrange: serverless, links: [][]string{webKeys, port, {"password", "login", "dataapi"}}},
		{name: "keys under KMS", as: "dora", user: "dora", arrange: with(noWire, byKMS(func(_ *world, arn string) string { return arn })), links: [][]string{webKeys, {"dataapi"}}},
		{name: "P3, Identity Center by the wire", as: "alice", email: aliceMail, user: "awsidc:" + aliceMail, arrange: byTrust, links: [][]string{{"settings"}, port, {"login"}}},
		{name: "P3, a workgroup", as: "alice", email: aliceMail, user: "awsidc:" + aliceMail, arrange: with(serverless, byTrust), links: [][]string{{"settings"}, port, {"login"}}},
		{name: "P4, Identity Center by the Data API", as: "alice", email: aliceMail, user: "awsidc:" + aliceMail, arrange: exchanging(), links: [][]string{personal, {"dataapi"}}},
		{name: "P4, without AWS keys", as: "alice", email: aliceMail, user: "awsidc:" + aliceMail, arrange: becoming(twin.GatewayRoleARN, exchanging()), links: [][]string{{"settings", "sts", "own_role"}, personal[2:], {"dataapi"}}},
		{name: "P4, a workgroup", as: "alice", email: aliceMail, user: "awsidc:" + aliceMail, arrange: exchanging(serverless), links: [][]string{personal, {"dataapi"}}},
		{name: "P3 and P4", as: "alice", email: aliceMail, user: "awsidc:" + aliceMail, arrange: with(byExchange, byTrust), links: [][]string{personal, port, {"login", "dataapi"}}},
		{name: "P5, a token of Identity Center", as: "alice", email: aliceMail, user: "awsidc:" + aliceMail, arrange: byAuthToken, links: [][]string{personal, port, {"auth_token", "login", "dataapi"}}},
		{name: "P5, a workgroup", as: "alice", email: aliceMail, user: "awsidc:" + aliceMail, arrange: with(serverless, byAuthToken), links: [][]string{personal, port, {"auth_token", "login", "dataapi"}}},
		{
			name: "P8, the upstream's own tokens", as: "alice", arrange: byUpstream, links: [][]string{{"settings", "sts", "federation", "role", "credentials"}, port, {"password", "login", "dataapi"}},
			ends: []string{"role", "credentials", "password", "login", "dataapi", "current_user", "grants", "read_only", "version"},
		},
		{
			name: "P9, Microsoft Entra ID", as: "alice", arrange: byEntra, links: [][]string{{"settings"}, port, {"native", "login"}},
			ends: []string{"login", "current_user", "grants", "read_only", "version"},
		},
		{name: "P10, a role of another account", as: "dora", user: "dora", arrange: byRole, links: [][]string{roleKeys, port, {"password", "login", "dataapi"}}},
		{name: "P10, a workgroup", user: "shared", arrange: with(serverless, byRole), links: [][]string{roleKeys, port, {"password", "login", "dataapi"}}},
		{name: "P11, a secret", user: twin.ServiceUser, arrange: bySecret, links: [][]string{secretKey, port, {"login", "dataapi"}}},
		{name: "P11, a secret by the Data API", user: twin.ServiceUser, arrange: with(noWire, bySecret), links: [][]string{secretKey, {"dataapi"}}},
		{name: "P11, a password", user: twin.ServiceUser, arrange: byPassword, links: [][]string{{"settings"}, port, {"login"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var links, ends []string
			for _, l := range w.examine(t, doctor.Config{As: c.as, Email: c.email}, c.arrange(t, w)...).Links {
				switch {
				case l.State == doctor.Broken:
					t.Errorf("%s is broken: %s (%s)", l.Link, l.Found, l.Detail)
				case l.State == doctor.Skipped:
					ends = append(ends, l.Link)
				case l.Link == "current_user" && !strings.Contains(l.Found, c.user):
					t.Errorf("current_user is %s, want %s", l.Found, c.user)
				}
				if l.Of == "tickit" {
					links = append(links, l.Link)
				}
			}
			if want := append(slices.Concat(c.links...), end...); !slices.Equal(links, want) {
				t.Errorf("links %q, want %q", links, want)
			}
			if !slices.Equal(ends, c.ends) {
				t.Errorf("%q were not tried, want %q", ends, c.ends)
			}
		})
	}
}

// someNeedNoIssuer goes the ways on which nobody but people reads the gateway's documents.
func (w *world) someNeedNoIssuer(t *testing.T) {
	w.issuer.misbehave(t, hangUp)
	for name, arrange := range map[string]arrangement{"a role": byRole, "a secret": bySecret, "a password": byPassword} {
		t.Run(name, func(t *testing.T) {
			broken := map[string]bool{}
			for _, l := range w.examine(t, doctor.Config{As: "bob"}, arrange(t, w)...).Links {
				if l.State == doctor.Broken || l.State == doctor.Skipped {
					broken[l.Link] = true
				}
			}
			if len(broken) != 1 || !broken["issuer"] {
				t.Errorf("%v are broken or not tried, want the issuer alone", broken)
			}
		})
	}
}

var (
	policyDocument = regexp.MustCompile(`--policy-document '([^']+)'`)
	actorDocument  = regexp.MustCompile(`--authentication-method '([^']+)'`)
)

// remedyOf is what to do about a link that is broken.
func (w *world) remedyOf(t *testing.T, link string, config doctor.Config, changes ...string) string {
	t.Helper()
	for _, l := range w.examine(t, config, changes...).Links {
		if l.Link == link {
			if l.State != doctor.Broken {
				t.Fatalf("%s is %s: %s", link, l.State, l.Found)
			}
			return l.Mend
		}
	}
	t.Fatalf("there is no link %s", link)
	return ""
}

// trustIsMended applies the policies of remedies, after which the roles can be assumed.
func (w *world) trustIsMended(t *testing.T) {
	alice := doctor.Config{As: "alice", Email: aliceMail}
	for _, c := range []struct {
		name, link, role string
		config           doctor.Config
		arrange          arrangement
	}{
		{"the gateway itself", "own_role", twin.GatewayRoleName, doctor.Config{As: twin.ServiceUser}, with(becoming(twin.GatewayRoleARN, bySecret), trust(twin.GatewayRoleName, `"sts:AssumeRoleWithWebIdentity"`, `"sts:AssumeRole"`))},
		{"web identity", "role", twin.RoleName, doctor.Config{As: "dora"}, trust(twin.RoleName, `"sts:TagSession", `, "")},
		{"a role of another account", "assume", twin.PartnerRoleName, doctor.Config{As: "dora"}, with(byRole, trust(twin.PartnerRoleName, twin.PartnerAccount, twin.Account))},
		{"the people's role", "assume", twin.PeopleRoleName, alice, exchanging(trust(twin.PeopleRoleName, `"sts:AssumeRole", "sts:SetContext", `, ""))},
	} {
		t.Run(c.name, func(t *testing.T) {
			changes := c.arrange(t, w)
			found := policyDocument.FindStringSubmatch(w.remedyOf(t, c.link, c.config, changes...))
			if found == nil {
				t.Fatal("the remedy has no policy")
			}
			mended, _ := w.twin.STS.Role(c.role)
			mended.TrustPolicy = found[1]
			must(t, w.twin.STS.PutRole(mended))
			w.isMended(t, c.config, changes)
		})
	}
	t.Run("the application's actors", func(t *testing.T) {
		changes := exchanging(application(func(a *identitycenter.Application) { a.Actors = nil }))(t, w)
		found := actorDocument.FindStringSubmatch(w.remedyOf(t, "center", alice, changes...))
		if found == nil {
			t.Fatal("the remedy has no policy of actors")
		}
		var method struct {
			Iam struct {
				ActorPolicy struct {
					Statement []struct{ Principal struct{ AWS string } }
				}
			}
		}
		must(t, json.Unmarshal([]byte(found[1]), &method))
		must(t, w.twin.Center.Change(twin.ApplicationARN, func(a *identitycenter.Application) error {
			a.Actors = []string{method.Iam.ActorPolicy.Statement[0].Principal.AWS}
			return nil
		}))
		w.isMended(t, alice, changes)
	})
}

func (w *world) isMended(t *testing.T, config doctor.Config, changes []string) {
	t.Helper()
	for _, l := range w.examine(t, config, changes...).Broken() {
		t.Errorf("%s is still broken: %s (%s)", l.Link, l.Found, l.Detail)
	}
}
