package signin

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	twinidp "github.com/shiftgrant/shiftgrant/twin/idp"
)

const tenant = "0b5c2f6e-1111-4222-8333-944455556666"

// kinds are the twin's providers of each kind, with the preset for it. An answer to a refresh may be
// lost: afterSoon and afterLong say whether the person is still welcome when it is asked for again.
var kinds = map[string]struct {
	carolAt
	subject              string // "" is the provider's
	user                 string // "" is carol
	afterSoon, afterLong bool
}{
	"generic, as the twin is":        {carolAt: carolAt{preset: Generic, upstream: Upstream{Scopes: []string{"openid", "profile", "offline_access"}}}},
	"generic, rotation with a grace": {carolAt: carolAt{preset: Generic, profile: twinidp.Profile{Rotation: twinidp.RotateWithGrace, Grace: time.Minute}, upstream: Upstream{Scopes: []string{"openid", "profile", "offline_access"}}}, afterSoon: true},
	"cognito":                        {carolAt: carolAt{preset: "cognito", profile: twinidp.Cognito()}, user: "carol@example.com", afterSoon: true, afterLong: true},
	"cognito with rotation": {carolAt: carolAt{preset: "cognito", profile: func() twinidp.Profile {
		profile := twinidp.Cognito()
		profile.Rotation, profile.Grace = twinidp.RotateWithGrace, time.Minute
		return profile
	}()}, user: "carol@example.com", afterSoon: true},
	"cognito with rotation and no grace": {carolAt: carolAt{preset: "cognito", profile: func() twinidp.Profile {
		profile := twinidp.Cognito()
		profile.Rotation = twinidp.RotateOnce
		return profile
	}()}, user: "carol@example.com"},
	"okta": {carolAt: carolAt{preset: "okta", profile: twinidp.Okta()}, afterSoon: true},
	"entra": {
		carolAt:   carolAt{preset: "entra", profile: twinidp.Entra(), path: "/organizations/v2.0", carol: twinidp.Person{Tenant: tenant}, upstream: Upstream{Companies: []string{tenant}}},
		subject:   "25081905-9743-461c-29d3-373a4eb34034", // oid
		user:      "carol@example.com",
		afterSoon: true, afterLong: true,
	},
	"google": {
		carolAt: carolAt{preset: "google", profile: twinidp.Google(), carol: twinidp.Person{Tenant: "example.com"}, upstream: Upstream{Companies: []string{"example.com"}}},
		user:    "carol@example.com", afterSoon: true, afterLong: true,
	},
	"keycloak": {carolAt: carolAt{preset: "keycloak", profile: twinidp.Keycloak()}, afterSoon: true, afterLong: true},
}

func TestPeopleSignInAndStayWelcomeAtEachKindOfProvider(t *testing.T) {
	t.Parallel()
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBrowserAt(t, kind.carolAt)
			b.signsIn("/signin?return_to=/who", kind.user)
			carol := b.person(kind.user)
			if kind.subject != "" && carol.Subject != kind.subject {
				t.Errorf("known as %q, want %q", carol.Subject, kind.subject)
			}
			b.staysWelcome(carol)
			b.signsIn("/signin?return_to=/who&anew=1", kind.user)
			if again := b.person(kind.user); again.ID != carol.ID {
				t.Errorf("the second sign-in made somebody else of %s: %s", carol.ID, again.ID)
			}
			b.staysWelcome(carol)
		})
	}
}

func TestLostAnswerEndsASignInOnlyWhereTheProviderShowsNoGrace(t *testing.T) {
	t.Parallel()
	for name, kind := range kinds {
		for when, want := range map[time.Duration]bool{11 * time.Second: kind.afterSoon, 3 * time.Minute: kind.afterLong} {
			t.Run(name+" "+when.String(), func(t *testing.T) {
				t.Parallel()
				b := newBrowserAt(t, kind.carolAt)
				b.signsIn("/signin?return_to=/who", kind.user)
				carol := b.person(kind.user)
				b.provider.SetScript(twinidp.Script{SignInAs: "carol", LostAnswers: 1})
				b.clock.pass(time.Hour)
				if err := b.signIn.StillWelcome(t.Context(), carol); err != nil {
					t.Fatalf("nobody can tell, and she is sent away: %v", err)
				}
				b.clock.pass(when)
				err := b.signIn.StillWelcome(t.Context(), carol)
				if want && err != nil || !want && !errors.Is(err, grant.ErrRevoked) {
					t.Errorf("%v after the answer was lost: %v, want welcome %v", when, err, want)
				}
			})
		}
	}
}

// signsIn goes the whole way, and wants to arrive as a database user.
func (b *browserAtGateway) signsIn(path, user string) {
	b.t.Helper()
	if user == "" {
		user = "carol"
	}
	if status, body := b.get(path); status != http.StatusOK || body != user {
		b.t.Fatalf("sign-in: %d %s, want %s\n%s", status, body, user, b.log)
	}
}

func (b *browserAtGateway) person(user string) grant.Person {
	b.t.Helper()
	if user == "" {
		user = "carol"
	}
	person, err := b.store.FindPerson(b.t.Context(), grant.DefaultTenant, user)
	if err != nil {
		b.t.Fatal(err)
	}
	return person
}

// staysWelcome asks the provider some times, hours apart.
func (b *browserAtGateway) staysWelcome(person grant.Person) {
	b.t.Helper()
	for range 3 {
		b.clock.pass(time.Hour)
		if err := b.signIn.StillWelcome(b.t.Context(), person); err != nil {
			b.t.Fatalf("no longer welcome: %v\n%s", err, b.log)
		}
		u, err := b.store.UpstreamToken(b.t.Context(), person.Tenant, person.ID)
		if err != nil || !u.CheckedAt.Equal(b.clock.Now()) {
			b.t.Fatalf("the provider was not asked: %v, %+v\n%s", err, u, b.log)
		}
	}
}

func TestSecondConsentWithoutARefreshTokenKeepsTheFirst(t *testing.T) {
	t.Parallel()
	// The operator has taken out what the preset makes Google give one each time by.
	b := newBrowserAt(t, carolAt{
		preset: "google", profile: twinidp.Google(), carol: twinidp.Person{Tenant: "example.com"},
		upstream: Upstream{Companies: []string{"example.com"}, AuthorizeParameters: url.Values{"prompt": {""}}},
	})
	b.signsIn("/signin?return_to=/who", "carol@example.com")
	carol := b.person("carol@example.com")
	first, err := b.store.UpstreamToken(t.Context(), carol.Tenant, carol.ID)
	if err != nil {
		t.Fatal(err)
	}
	b.clock.pass(time.Minute)
	b.signsIn("/signin?return_to=/who", "carol@example.com")
	if now, err := b.store.UpstreamToken(t.Context(), carol.Tenant, carol.ID); err != nil || now.Generation != first.Generation {
		t.Errorf("generation %d, %v; want %d", now.Generation, err, first.Generation)
	}
	b.signsOut()
	b.staysWelcome(carol) // Google ends a refresh token when an access token beside it is revoked
}

func TestTenantThatIsNotListedIsNotLetIn(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]carolAt{
		"entra":                     {preset: "entra", profile: twinidp.Entra(), path: "/organizations/v2.0", carol: twinidp.Person{Tenant: "7d1e0a9b-aaaa-4bbb-8ccc-9dddeeeeffff"}, upstream: Upstream{Companies: []string{tenant}}},
		"google":                    {preset: "google", profile: twinidp.Google(), carol: twinidp.Person{Tenant: "elsewhere.example"}, upstream: Upstream{Companies: []string{"example.com"}}},
		"google, a private account": {preset: "google", profile: twinidp.Google(), upstream: Upstream{Companies: []string{"example.com"}}},
	} {
		b := newBrowserAt(t, at)
		if status, _ := b.get("/signin?return_to=/who"); status != http.StatusForbidden || !strings.Contains(b.log.String(), "not let in") {
			t.Errorf("%s: %d\n%s", name, status, b.log)
		}
	}
	b := newBrowserAt(t, carolAt{preset: "google", profile: twinidp.Google(), upstream: Upstream{Companies: []string{AnyCompany}}})
	b.signsIn("/signin?return_to=/who", "carol@example.com")
}

func TestGroupsThatAreTooManyHinderNobody(t *testing.T) {
	t.Parallel()
	for groups, logged := range map[int]bool{200: false, 201: true} {
		at := kinds["entra"].carolAt
		at.carol.Groups = make([]string, groups)
		b := newBrowserAt(t, at)
		b.signsIn("/signin?return_to=/who", "carol@example.com")
		if said := strings.Contains(b.log.String(), "left a person's groups out of the ID token"); said != logged {
			t.Errorf("%d groups: logged %v\n%s", groups, said, b.log)
		}
	}
}

func TestClocksMayDifferByAMinute(t *testing.T) {
	t.Parallel()
	const life = 5 * time.Minute // of the twin's ID tokens
	for ahead, says := range map[time.Duration]string{
		0: "", time.Minute: "", -life - 59*time.Second: "",
		61 * time.Second:       "iat is in the future by 1m1s by this machine's clock",
		10 * time.Minute:       "set the clock right that is wrong",
		-life - 61*time.Second: "exp has been over for 1m1s by this machine's clock",
		-life - 60*time.Minute: "set the clock right that is wrong",
	} {
		b := newBrowser(t)
		b.provider.SetScript(twinidp.Script{SignInAs: "carol", ClockAhead: ahead})
		status, _ := b.get("/signin?return_to=/who")
		if in := status == http.StatusOK; in != (says == "") || !strings.Contains(b.log.String(), says) {
			t.Errorf("a clock %s ahead: %d, want %q\n%s", ahead, status, says, b.log)
		}
	}
}

func TestProviderWithoutTheClaimThatPeopleAreKnownByLetsNobodyIn(t *testing.T) {
	t.Parallel()
	at := kinds["entra"].carolAt
	claims := at.profile.Claims
	at.profile.Claims = func(p twinidp.Person, client string) map[string]any {
		without := claims(p, client)
		delete(without, "oid")
		return without
	}
	b := newBrowserAt(t, at)
	if status, _ := b.get("/signin?return_to=/who"); status != http.StatusForbidden || !strings.Contains(b.log.String(), "claim oid is missing") {
		t.Errorf("%d\n%s", status, b.log)
	}
}

func TestAddressIsTakenWhereItIsVerifiedOrTheDirectorys(t *testing.T) {
	t.Parallel()
	byEmail := DatabaseUser{Claim: "email", LocalPart: true}
	unverified := func(twinidp.Person, string) map[string]any { return map[string]any{"email_verified": false} }
	for name, test := range map[string]struct {
		carolAt
		email string // "" lets nobody in
	}{
		"a generic provider that says so":  {carolAt{preset: Generic, upstream: Upstream{DatabaseUser: byEmail}}, "carol@example.com"},
		"one that does not":                {carolAt{preset: Generic, profile: twinidp.Okta(), upstream: Upstream{DatabaseUser: byEmail}}, ""},
		"okta, whose tokens leave it out":  {carolAt{preset: "okta", profile: twinidp.Okta(), upstream: Upstream{DatabaseUser: byEmail}}, "carol@example.com"},
		"okta, where it says the contrary": {carolAt{preset: "okta", profile: twinidp.Profile{Claims: unverified}, upstream: Upstream{DatabaseUser: byEmail}}, ""},
	} {
		b := newBrowserAt(t, test.carolAt)
		status, _ := b.get("/signin?return_to=/who")
		if test.email == "" {
			if status != http.StatusForbidden || !strings.Contains(b.log.String(), "the e-mail address is not verified") {
				t.Errorf("%s: %d\n%s", name, status, b.log)
			}
			continue
		}
		if got := b.carol().Email; got != test.email {
			t.Errorf("%s: %d, e-mail address %q", name, status, got)
		}
	}
}

func TestOperatorsOwnKeysWin(t *testing.T) {
	t.Parallel()
	google, _ := PresetNamed("google")
	own := google.Fill(Upstream{Scopes: []string{"openid"}, DatabaseUser: DatabaseUser{Claim: "sub"}, AuthorizeParameters: url.Values{"prompt": {""}, "hd": {"example.com"}}})
	own = google.Fill(own) // a configuration is checked more than once
	if got := own.AuthorizeParameters.Encode(); got != "access_type=offline&hd=example.com&prompt=" || len(own.Scopes) != 1 || own.DatabaseUser.Claim != "sub" {
		t.Errorf("%s, %v, %s", got, own.Scopes, own.DatabaseUser.Claim)
	}
	if google.Parameters["prompt"] != "consent" || len(google.Scopes) != 3 {
		t.Error("filling an upstream has changed the preset")
	}
}
