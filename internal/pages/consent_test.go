package pages_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/pages"
)

func TestConsentSaysWhatIsAsked(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		scopes   string
		limits   grant.Limits
		question string
		may      []string
		mayNot   []string
	}{
		{
			"reading now", "sql:read",
			grant.Limits{},
			"Allow Stargazer to read TICKIT sales as you?",
			[]string{"Read data: Everything that you may read in Redshift."},
			[]string{"Change or delete data", "See anything in Redshift that you cannot see yourself", "Keep access while you are away", "See your password"},
		},
		{
			"writing", "sql:write offline_access",
			grant.Limits{Schemas: []string{"sandbox"}},
			"Allow Stargazer to read and change TICKIT sales as you?",
			[]string{"Read data: What you may read in the schema sandbox.", "Change and delete data: Insert, update, delete, create, and drop, where you may in the schema sandbox.", "Keep access while you are away: It can run queries when you are not using it."},
			[]string{"See anything in Redshift that you cannot see yourself", "See your password"},
		},
		{
			"writing asked for, reading given", "sql:write",
			grant.Limits{ReadOnly: true, MaxRows: 1234567, MaxBytes: 10_000_000},
			"Allow Stargazer to read TICKIT sales as you?",
			[]string{"Read data: Everything that you may read in Redshift, at most 1,234,567 rows and 10 MB for each query."},
			[]string{"Change or delete data", "See anything in Redshift that you cannot see yourself", "Keep access while you are away", "See your password"},
		},
		{
			"signing in only", "openid email",
			grant.Limits{},
			"Allow Stargazer to know who you are?",
			[]string{"Know who you are: Your email address."},
			[]string{"Run queries in Redshift", "Keep access while you are away", "See your password"},
		},
		{
			"three schemas", "sql:read openid",
			grant.Limits{Schemas: []string{"a", "b", "c"}, MaxRows: 1, MaxBytes: 12},
			"Allow Stargazer to read TICKIT sales as you?",
			[]string{"Read data: What you may read in the schemas a, b, and c, at most 1 row and 12 bytes for each query.", "Know who you are: Your account number at this gateway."},
			[]string{"Change or delete data", "See anything in Redshift that you cannot see yourself", "Keep access while you are away", "See your password"},
		},
	} {
		page := consent()
		var err error
		if page.Scopes, err = grant.ParseScopes(test.scopes); err != nil {
			t.Fatal(err)
		}
		page.Limits = test.limits
		var may []string
		for _, right := range page.Rights() {
			may = append(may, right.Title+": "+right.Detail)
		}
		if got := page.Question(); got != test.question {
			t.Errorf("%s: asks %q, want %q", test.name, got, test.question)
		}
		if !slices.Equal(may, test.may) {
			t.Errorf("%s: it may %q, want %q", test.name, may, test.may)
		}
		if got := page.Refusals(); !slices.Equal(got, test.mayNot) {
			t.Errorf("%s: it may not %q, want %q", test.name, got, test.mayNot)
		}
	}
}

func TestConsentMarksWhatIsNew(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		before grant.Scopes
		asked  grant.Scopes
		want   []string
	}{
		{"the first time nothing is marked", nil, grant.Scopes{"sql:read", "openid"}, nil},
		{"the same again", grant.Scopes{"sql:read", "openid"}, grant.Scopes{"openid", "sql:read"}, nil},
		{"writing and staying are new", grant.Scopes{"sql:read"}, grant.Scopes{"sql:read", "sql:write", "offline_access"}, []string{"Change and delete data", "Keep access while you are away"}},
		{"the email address is new", grant.Scopes{"openid"}, grant.Scopes{"openid", "email"}, []string{"Know who you are"}},
		{"who may write may read", grant.Scopes{"sql:write"}, grant.Scopes{"sql:read"}, nil},
		{"after signing in only, reading is new", grant.Scopes{}, grant.Scopes{"sql:read"}, []string{"Read data"}},
	} {
		page := consent()
		page.Before, page.Scopes = test.before, test.asked
		var got []string
		for _, right := range page.Rights() {
			if right.New {
				got = append(got, right.Title)
			}
		}
		if !slices.Equal(got, test.want) || page.NewSinceBefore() != (len(test.want) > 0) {
			t.Errorf("%s: new is %q, want %q", test.name, got, test.want)
		}
	}
}

func TestConsentWarnsOfWhatCannotBeVouchedFor(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name        string
		redirect    string
		change      func(*grant.App)
		destination string
		warning     string // its beginning
	}{
		{"a reviewed app with a secret", "https://app.example/cb", func(*grant.App) {}, "app.example", ""},
		{"an app without a secret", "https://app.example/cb", func(a *grant.App) { a.Type = grant.Public }, "app.example", "Stargazer cannot prove to us that it is genuine. Allow only if you trust app.example."},
		{"an app nobody reviewed", "https://app.example/cb", func(a *grant.App) { a.Origin = "elsewhere" }, "app.example", "Nobody at your organization has looked at this app."},
		{"a program on this computer", "http://localhost:7421/callback", func(*grant.App) {}, "localhost:7421", "Your answer goes to a program on this computer."},
		{"an app behind a scheme", "com.example.app:/cb", func(a *grant.App) { a.Type = grant.Public }, "com.example.app", "Your answer goes to an app on this device."},
	} {
		page := consent()
		page.RedirectURI = test.redirect
		test.change(&page.App)
		if got := page.Destination(); got != test.destination {
			t.Errorf("%s: leads to %q, want %q", test.name, got, test.destination)
		}
		if got := page.Warning(); !strings.HasPrefix(got, test.warning) || test.warning == "" && got != "" {
			t.Errorf("%s: warns %q, want %q", test.name, got, test.warning)
		}
	}
}

func TestVisitInWords(t *testing.T) {
	t.Parallel()
	for lifetime, want := range map[time.Duration]string{
		0: "a minute", 50 * time.Second: "a minute", 10 * time.Minute: "10 minutes", time.Hour: "60 minutes", 12 * time.Hour: "12 hours",
	} {
		if got := (pages.Consent{AccessLifetime: lifetime}).Visit(); got != want {
			t.Errorf("%v is %q, want %q", lifetime, got, want)
		}
	}
}
