package identity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/shiftgrant/shiftgrant/internal/secret"
	"github.com/shiftgrant/shiftgrant/redshift"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const roleARN = "arn:aws:iam::123456789012:role/shiftgrant-tickit"

// A fake is an STS that answers what a test says, and the clock of the chain.
type fake struct {
	t      *testing.T
	server *httptest.Server
	answer func(call int, form url.Values) (status int, body string)

	mu    sync.Mutex
	now   time.Time
	forms []url.Values
}

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{t: t, now: time.Date(2026, 11, 23, 13, 0, 0, 0, time.UTC)}
	f.answer = func(call int, _ url.Values) (int, string) {
		return http.StatusOK, f.credentials(fmt.Sprintf("ASIA%d", call), time.Hour)
	}
	f.server = httptest.NewServer(f)
	t.Cleanup(f.server.Close)
	return f
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		f.t.Errorf("read the request: %v", err)
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		f.t.Errorf("parse %q: %v", body, err)
	}
	if r.Header.Get("Authorization") != "" {
		f.t.Error("the call is signed; there are no keys to sign it with")
	}
	f.mu.Lock()
	f.forms = append(f.forms, form)
	call := len(f.forms)
	answer := f.answer
	f.mu.Unlock()
	status, text := answer(call, form)
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

func (f *fake) credentials(key string, life time.Duration) string {
	return `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>
 <SubjectFromWebIdentityToken>per_1</SubjectFromWebIdentityToken><Audience>redshift-gateway</Audience>
 <AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/r/s</Arn><AssumedRoleId>AROA:s</AssumedRoleId></AssumedRoleUser>
 <Credentials><AccessKeyId>` + key + `</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken><Expiration>` +
		f.time().Add(life).Format(time.RFC3339) + `</Expiration></Credentials>
</AssumeRoleWithWebIdentityResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></AssumeRoleWithWebIdentityResponse>`
}

func refusalXML(code, message string) string {
	return `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>` + code +
		`</Code><Message>` + message + `</Message></Error><RequestId>r</RequestId></ErrorResponse>`
}

func (f *fake) time() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *fake) pass(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}

func (f *fake) answers(answer func(call int, form url.Values) (int, string)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
}

func (f *fake) calls() []url.Values {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.forms[:len(f.forms):len(f.forms)]
}

func (f *fake) chain(change ...func(*WebIdentityConfig)) *WebIdentity {
	f.t.Helper()
	assertions := 0
	config := WebIdentityConfig{
		RoleARN: roleARN, Region: "us-east-1", Endpoint: f.server.URL, Audience: "redshift-gateway",
		HTTPClient: f.server.Client(), Now: f.time,
		Assert: func(_ context.Context, s Subject) (secret.Text, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			assertions++
			return secret.New(fmt.Sprintf("assertion-%s-%d", s.ID, assertions)), nil
		},
	}
	for _, c := range change {
		c(&config)
	}
	w, err := NewWebIdentity(config)
	if err != nil {
		f.t.Fatal(err)
	}
	w.pause = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	f.t.Cleanup(w.Close)
	return w
}

var alice = Subject{ID: "per_1", DatabaseUser: "alice", Email: "alice@example.com", SessionName: "alice"}

func key(t *testing.T, p Provider) string {
	t.Helper()
	credentials, err := p.Credentials(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return credentials.AccessKeyID
}

func TestAssertionIsTradedForCredentials(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	got, err := f.chain().For(alice).Credentials(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := Credentials{
		AccessKeyID: "ASIA1", SecretAccessKey: secret.New("secret"), SessionToken: secret.New("token"),
		Expires: f.time().Add(time.Hour), DatabaseUser: "alice",
	}
	if got != want {
		t.Errorf("credentials %+v, want %+v", got, want)
	}
	wantForm := url.Values{
		"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"}, "RoleArn": {roleARN},
		"RoleSessionName": {"alice"}, "WebIdentityToken": {"assertion-per_1-1"}, "DurationSeconds": {"3600"},
	}
	if diff := cmp.Diff(wantForm, f.calls()[0]); diff != "" {
		t.Errorf("form (-want +got):\n%s", diff)
	}
}

func TestCredentialsServeUntilEightyPercentOfTheirLife(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	chain := f.chain()
	for _, after := range []time.Duration{0, 40 * time.Minute, 7 * time.Minute} {
		f.pass(after)
		if got := key(t, chain.For(alice)); got != "ASIA1" {
			t.Fatalf("after %s: %s, want the first ones", after, got)
		}
	}
	f.pass(2 * time.Minute) // 49 of 60 minutes
	if got := key(t, chain.For(alice)); got != "ASIA1" {
		t.Errorf("%s: the caller had to wait though its credentials were valid", got)
	}
	chain.cache.flights.Wait()
	if got := key(t, chain.For(alice)); got != "ASIA2" {
		t.Errorf("%s: no new credentials were fetched", got)
	}
	if got := len(f.calls()); got != 2 {
		t.Errorf("%d calls, want 2", got)
	}
}

func TestValidCredentialsOutliveAFailingSTS(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	chain := f.chain()
	key(t, chain.For(alice))
	f.answers(func(int, url.Values) (int, string) { return http.StatusServiceUnavailable, "" })
	f.pass(50 * time.Minute)
	for range 5 {
		if got := key(t, chain.For(alice)); got != "ASIA1" {
			t.Errorf("key %s", got)
		}
		chain.cache.flights.Wait()
	}
	if got, want := len(f.calls()), 1+stsAttempts; got != want {
		t.Errorf("%d calls, want %d: a failed refresh has to pause", got, want)
	}
	f.pass(9*time.Minute + 50*time.Second) // 10 seconds are left: too few to use them
	if _, err := chain.For(alice).Credentials(t.Context()); err == nil {
		t.Error("credentials that are about to expire were handed out")
	}
}

func TestOneFetchAtATimeForAPerson(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	release := make(chan struct{})
	f.answers(func(call int, _ url.Values) (int, string) {
		<-release
		return http.StatusOK, f.credentials(fmt.Sprintf("ASIA%d", call), time.Hour)
	})
	chain := f.chain()
	impatient, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := chain.For(alice).Credentials(impatient)
		first <- err
	}()
	for len(f.calls()) == 0 { // the first caller's fetch is under way
		time.Sleep(time.Millisecond)
	}
	keys := make(chan string, 10)
	for range cap(keys) {
		go func() {
			credentials, err := chain.For(alice).Credentials(t.Context())
			if err != nil {
				t.Error(err)
			}
			keys <- credentials.AccessKeyID
		}()
	}
	cancel() // who started the fetch goes away; the others still get its credentials
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the impatient caller has %v", err)
	}
	close(release)
	for range cap(keys) {
		if got := <-keys; got != "ASIA1" {
			t.Errorf("key %s, want ASIA1", got)
		}
	}
	if got := len(f.calls()); got != 1 {
		t.Errorf("%d calls, want 1", got)
	}
}

func TestPeopleNeverShareCredentials(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	chain := f.chain()
	seen := map[string]Subject{}
	for _, s := range []Subject{
		alice,
		{ID: "per_2", DatabaseUser: "alice", Email: "alice@example.com", SessionName: "alice"},
		{ID: "per_1", DatabaseUser: "bob", Email: "alice@example.com", SessionName: "alice"},
		{ID: "per_1", DatabaseUser: "alice", Email: "alice@example.com", SessionName: "other"},
	} {
		k := key(t, chain.For(s))
		if other, taken := seen[k]; taken {
			t.Errorf("%+v and %+v share %s", s, other, k)
		}
		seen[k] = s
	}
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	chain := f.chain(func(c *WebIdentityConfig) { c.CacheSize = 2 })
	bob, carol := Subject{ID: "per_2"}, Subject{ID: "per_3"}
	for _, s := range []Subject{alice, bob, alice, carol, alice} { // bob was used longest ago
		key(t, chain.For(s))
	}
	if got := len(f.calls()); got != 3 {
		t.Errorf("%d calls, want 3", got)
	}
	key(t, chain.For(bob))
	if got := len(f.calls()); got != 4 {
		t.Errorf("%d calls, want 4: bob should have been forgotten", got)
	}
	if entries, recent := len(chain.cache.entries), chain.cache.recent.Len(); entries != 2 || recent != 2 {
		t.Errorf("%d entries and %d in the list, want 2", entries, recent)
	}
}

func TestInvalidateForgetsOnlyWhatWasRefused(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	provider := f.chain().For(alice)
	refused, err := provider.Credentials(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	provider.(Invalidator).Invalidate(refused)
	if got := key(t, provider); got != "ASIA2" {
		t.Errorf("key %s, want a new one", got)
	}
	provider.(Invalidator).Invalidate(refused) // by a second caller, late
	if got := key(t, provider); got != "ASIA2" {
		t.Errorf("key %s: what was just fetched has been thrown away", got)
	}
}

func TestPassingFaultsAreTriedAgainWithAFreshAssertion(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.answers(func(call int, _ url.Values) (int, string) {
		switch call {
		case 1:
			return http.StatusBadRequest, refusalXML("IDPCommunicationError", "The identity provider could not be reached")
		case 2:
			return http.StatusInternalServerError, "<html>"
		case 3:
			panic(http.ErrAbortHandler) // the connection breaks
		}
		return http.StatusOK, f.credentials("ASIA", time.Hour)
	})
	if got := key(t, f.chain().For(alice)); got != "ASIA" {
		t.Errorf("key %s", got)
	}
	assertions := map[string]bool{}
	for _, form := range f.calls() {
		assertions[form.Get("WebIdentityToken")] = true
	}
	if len(assertions) != 4 {
		t.Errorf("assertions %v, want 4 different ones", assertions)
	}
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	t.Parallel()
	for code, row := range map[string]struct {
		status int
		calls  int
		says   string
	}{
		"AccessDenied":            {403, 1, "the role's trust policy does not accept this identity"},
		"InvalidIdentityToken":    {400, 1, "IAM OpenID Connect provider there, with audience \"redshift-gateway\""},
		"IDPRejectedClaim":        {403, 1, "clock"},
		"IDPCommunicationError":   {400, stsAttempts, "reachable from the internet"},
		"ExpiredTokenException":   {400, 1, "clock"},
		"RegionDisabledException": {403, 1, "activate the region"},
		"MalformedPolicyDocument": {400, 1, roleARN},
		"PackedPolicyTooLarge":    {400, 1, "too large"},
		"Throttling":              {400, stsAttempts, "limiting calls"},
		"SomethingNew":            {400, 1, "AWS answered SomethingNew: in AWS's words"},
	} {
		f := newFake(t)
		f.answers(func(int, url.Values) (int, string) { return row.status, refusalXML(code, "in AWS's words") })
		_, err := f.chain().For(alice).Credentials(t.Context())
		var access *redshift.AccessError
		if !errors.As(err, &access) || access.Code != code || access.Step != "assume "+roleARN {
			t.Errorf("%s: error %#v, want an AccessError", code, err)
			continue
		}
		if text := err.Error(); !strings.Contains(text, row.says) || !strings.Contains(text, "in AWS's words") {
			t.Errorf("%s: %q does not say %q", code, text, row.says)
		}
		if strings.Contains(err.Error(), "assertion-") {
			t.Errorf("%s: the assertion is in the error", code)
		}
		if got := len(f.calls()); got != row.calls {
			t.Errorf("%s: %d calls, want %d", code, got, row.calls)
		}
	}
}

func TestAnswersThatAreNoCredentialsAreRefused(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	for name, body := range map[string]string{
		"no XML":          "{}",
		"another action":  strings.ReplaceAll(f.credentials("ASIA", time.Hour), "AssumeRoleWithWebIdentityRe", "AssumeRoleRe"),
		"no key":          f.credentials("", time.Hour),
		"no time":         strings.ReplaceAll(f.credentials("ASIA", time.Hour), "2026-", "soon-"),
		"already expired": f.credentials("ASIA", -time.Second),
	} {
		f.answers(func(int, url.Values) (int, string) { return http.StatusOK, body })
		_, err := f.chain().For(alice).Credentials(t.Context())
		var access *redshift.AccessError
		if !errors.As(err, &access) {
			t.Errorf("%s: error %v, want an AccessError", name, err)
		}
	}
}

func TestFailingAssertionIsAnAccessError(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	broken := errors.New("no key")
	chain := f.chain(func(c *WebIdentityConfig) {
		c.Assert = func(context.Context, Subject) (secret.Text, error) { return secret.Text{}, broken }
	})
	_, err := chain.For(alice).Credentials(t.Context())
	var access *redshift.AccessError
	if !errors.As(err, &access) || !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.server.Config.Handler = http.RedirectHandler("http://127.0.0.1:1/", http.StatusTemporaryRedirect)
	chain := f.chain(func(c *WebIdentityConfig) { c.HTTPClient = nil })
	defer chain.session.client.CloseIdleConnections()
	_, err := chain.For(alice).Credentials(t.Context())
	if err == nil || !strings.Contains(err.Error(), "Temporary Redirect") {
		t.Errorf("error %v", err)
	}
}

func TestClosedProviderFetchesNothing(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	chain := f.chain()
	key(t, chain.For(alice))
	chain.Close()
	if got := key(t, chain.For(alice)); got != "ASIA1" {
		t.Errorf("key %s", got)
	}
	if _, err := chain.For(Subject{ID: "per_9"}).Credentials(t.Context()); !errors.Is(err, errCacheClosed) {
		t.Errorf("error %v", err)
	}
}

func TestSessionNamesAreUniqueForAPerson(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 70)
	for _, row := range []struct {
		subject Subject
		prefix  string
		exact   bool
	}{
		{Subject{ID: "per_1", SessionName: "alice@example.com"}, "alice@example.com", true},
		{Subject{ID: "per_1", SessionName: "a"}, "a-", false},
		{Subject{ID: "per_1", SessionName: long}, "aaaa", false},
		{Subject{ID: "per_2", SessionName: long}, "aaaa", false},
		{Subject{ID: "per_1", SessionName: "Zoë Müller|x"}, "ZoMllerx-", false},
		{Subject{ID: "per_1", SessionName: "日本"}, "", false},
		{Subject{ID: "per_2", SessionName: "日本"}, "", false},
		{Subject{ID: "per_1", DatabaseUser: "alice"}, "alice-", false},
		{Subject{ID: "per_2", DatabaseUser: "alice"}, "alice-", false},
		{Subject{ID: "per_3", Email: "alice@example.com"}, "alice@example.com-", false},
		{Subject{ID: "per_4"}, "", false},
	} {
		got := row.subject.sessionName()
		if !sessionNames.MatchString(got) || !strings.HasPrefix(got, row.prefix) || row.exact != (got == row.prefix && got != "") {
			t.Errorf("%+v: session name %q", row.subject, got)
		}
		if again := row.subject.sessionName(); again != got {
			t.Errorf("%+v: %q, then %q", row.subject, got, again)
		}
	}
}

func FuzzSessionName(f *testing.F) {
	f.Add("alice", "alice", "")
	f.Fuzz(func(t *testing.T, name, user, email string) {
		one := Subject{ID: "per_1", SessionName: name, DatabaseUser: user, Email: email}
		two := one
		two.ID = "per_2"
		a, b := one.sessionName(), two.sessionName()
		if !sessionNames.MatchString(a) || a == b && a != name {
			t.Errorf("session names %q and %q of %q", a, b, name)
		}
	})
}

func TestConfigurationIsChecked(t *testing.T) {
	t.Parallel()
	good := WebIdentityConfig{
		RoleARN: roleARN, Region: "eu-central-1",
		Assert: func(context.Context, Subject) (secret.Text, error) { return secret.Text{}, nil },
	}
	chain, err := NewWebIdentity(good)
	if err != nil {
		t.Fatal(err)
	}
	if chain.session.endpoint != "https://sts.eu-central-1.amazonaws.com" {
		t.Errorf("endpoint %s", chain.session.endpoint)
	}
	for name, change := range map[string]func(*WebIdentityConfig){
		"role":   func(c *WebIdentityConfig) { c.RoleARN = "shiftgrant-tickit" },
		"assert": func(c *WebIdentityConfig) { c.Assert = nil },
		"region": func(c *WebIdentityConfig) { c.Region = "moon" },
		"length": func(c *WebIdentityConfig) { c.SessionLength = time.Minute },
	} {
		config := good
		change(&config)
		if _, err := NewWebIdentity(config); err == nil {
			t.Errorf("a bad %s was taken", name)
		}
	}
}

func TestEndpointsOfRegions(t *testing.T) {
	t.Parallel()
	for region, want := range map[string]string{
		"us-east-1":      "https://redshift-data.us-east-1.amazonaws.com",
		"us-gov-west-1":  "https://redshift-data.us-gov-west-1.amazonaws.com",
		"ap-southeast-4": "https://redshift-data.ap-southeast-4.amazonaws.com",
		"cn-north-1":     "https://redshift-data.cn-north-1.amazonaws.com.cn",
		"":               "", "us-east-1.evil.example": "", "us-east-1/": "", "US-EAST-1": "", "us-east-1\n": "",
	} {
		if got, err := Endpoint("redshift-data", region); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", region, got, err, want)
		}
	}
}

func TestCredentialsDoNotPrintTheirSecrets(t *testing.T) {
	t.Parallel()
	credentials, err := Static("AKID", "top-secret", "top-token", "alice").Credentials(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%v %+v %#v", credentials, credentials, credentials); strings.Contains(text, "top-") {
		t.Errorf("printed: %s", text)
	}
}
