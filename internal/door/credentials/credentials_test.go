package credentials_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/audit"
	"github.com/shiftgrant/shiftgrant/internal/door/credentials"
	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/secret"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
)

var expires = time.Date(2026, 11, 23, 22, 0, 0, 0, time.UTC)

// A fake stands for everything around the door.
type fake struct {
	mu      sync.Mutex
	access  map[string]*grant.Access // by token
	authErr error
	auditOf []audit.Record
	broken  error // of the audit
	chain   error // of the way to AWS
}

func (f *fake) Authenticate(_ context.Context, presented string) (*grant.Access, error) {
	if f.authErr != nil {
		return nil, f.authErr
	}
	if access := f.access[presented]; access != nil {
		return access, nil
	}
	return nil, grant.ErrNotFound
}

func (f *fake) Write(_ context.Context, record audit.Record) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.auditOf = append(f.auditOf, record)
	return f.broken
}

func (f *fake) keys(_ context.Context, person grant.Person) (identity.Credentials, error) {
	return identity.Credentials{AccessKeyID: "ASIA" + person.DatabaseUser, SecretAccessKey: secret.New("key-secret"), SessionToken: secret.New("session-secret"), Expires: expires}, f.chain
}

func (f *fake) login(_ context.Context, person grant.Person) (identity.Login, error) {
	return identity.Login{User: "IAM:" + person.DatabaseUser, Password: secret.New("password-secret"), Expires: expires}, f.chain
}

// token is a login of a kind that Identity Center knows; the warehouse's name says which.
func (f *fake) token(kind string) func(context.Context, grant.Person) (identity.Login, error) {
	return func(context.Context, grant.Person) (identity.Login, error) {
		return identity.Login{Token: &identity.Token{Value: secret.New("token-secret"), IdentityProvider: "AwsIdc", Type: kind, Namespace: "idc"}, Expires: expires}, f.chain
	}
}

func accessOf(warehouse string, limits grant.Limits, scopes ...string) *grant.Access {
	return &grant.Access{
		Grant:  grant.Grant{ID: "gra_1", Tenant: "default", AppID: "cli", PersonID: "per_1", Warehouse: warehouse, Scopes: scopes, Limits: limits},
		Person: grant.Person{ID: "per_1", Name: "Alice", DatabaseUser: "alice"}, App: grant.App{ID: "cli"}, Scopes: scopes,
	}
}

func serve(t *testing.T, f *fake) http.Handler {
	t.Helper()
	door, err := credentials.New(credentials.Config{
		Authenticator: f, Audit: f, ResourceMetadata: "https://grants.example/.well-known/oauth-protected-resource",
		Warehouses: map[string]credentials.Warehouse{
			"sales":   {Region: "eu-central-1", Host: "sales.example:5440", Database: "dev", Authority: "PEM", Keys: f.keys, Login: f.login},
			"ledger":  {Region: "eu-central-1", Host: "ledger.example", Database: "dev", Login: f.login},
			"center":  {Region: "eu-central-1", Host: "center.example", Database: "dev", Login: f.token("EXT_JWT")},
			"hourly":  {Region: "eu-central-1", Host: "hourly.example", Database: "dev", Login: f.token("SUBJECT_TOKEN")},
			"private": {},
		},
		Now: func() time.Time { return expires.Add(-15 * time.Minute) },
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	door.Register(mux)
	return mux
}

func newFake() *fake {
	return &fake{access: map[string]*grant.Access{
		"sales":     accessOf("sales", grant.Limits{ReadOnly: true}, "sql:read", "warehouse:sales", "credentials"),
		"ledger":    accessOf("ledger", grant.Limits{}, "sql:read", "warehouse:ledger", "credentials"),
		"center":    accessOf("center", grant.Limits{}, "sql:read", "warehouse:center", "credentials"),
		"hourly":    accessOf("hourly", grant.Limits{}, "sql:read", "warehouse:hourly", "credentials"),
		"private":   accessOf("private", grant.Limits{}, "sql:read", "warehouse:private", "credentials"),
		"read":      accessOf("sales", grant.Limits{}, "sql:read", "warehouse:sales"),
		"nowhere":   accessOf("", grant.Limits{}, "openid", "credentials"),
		"schemas":   accessOf("sales", grant.Limits{Schemas: []string{"tickit"}}, "sql:read", "warehouse:sales", "credentials"),
		"rows":      accessOf("sales", grant.Limits{MaxRows: 10}, "sql:read", "warehouse:sales", "credentials"),
		"narrowed":  accessOf("sales", grant.Limits{}, "credentials"),
		"elsewhere": accessOf("unknown", grant.Limits{}, "sql:read", "warehouse:unknown", "credentials"),
	}}
}

func ask(handler http.Handler, token, body string, change ...func(*http.Request)) (*http.Response, string) {
	r := httptest.NewRequest(http.MethodPost, "/v1/credentials", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	answer := w.Result()
	content, _ := io.ReadAll(answer.Body)
	return answer, string(content)
}

func TestCredentialsAreThePersons(t *testing.T) {
	t.Parallel()
	f := newFake()
	handler := serve(t, f)
	for _, row := range []struct{ token, body, want string }{
		{"sales", `{"kind":"aws"}`, `{"kind":"aws","warehouse":"sales","region":"eu-central-1","access_key_id":"ASIAalice","secret_access_key":"key-secret","session_token":"session-secret","expires_at":"2026-11-23T22:00:00Z"}`},
		{"sales", `{"kind":"database","warehouse":"sales"}`, `{"kind":"database","warehouse":"sales","host":"sales.example","port":5440,"database":"dev","user":"IAM:alice","password":"password-secret","certificate_authority":"PEM","expires_at":"2026-11-23T22:00:00Z"}`},
		{"ledger", `{"kind":"database"}`, `{"kind":"database","warehouse":"ledger","host":"ledger.example","port":5439,"database":"dev","user":"IAM:alice","password":"password-secret","expires_at":"2026-11-23T22:00:00Z"}`},
		{"center", `{"kind":"database"}`, `{"kind":"database","warehouse":"center","host":"center.example","port":5439,"database":"dev","token":"token-secret","token_type":"EXT_JWT","identity_provider":"AwsIdc","identity_namespace":"idc","single_use":true,"expires_at":"2026-11-23T22:00:00Z"}`},
		{"hourly", `{"kind":"database"}`, `{"kind":"database","warehouse":"hourly","host":"hourly.example","port":5439,"database":"dev","token":"token-secret","token_type":"SUBJECT_TOKEN","identity_provider":"AwsIdc","identity_namespace":"idc","expires_at":"2026-11-23T22:00:00Z"}`},
	} {
		answer, content := ask(handler, row.token, row.body)
		if answer.StatusCode != http.StatusOK || content != row.want+"\n" || answer.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s with token %s: %d %s", row.body, row.token, answer.StatusCode, content)
		}
	}
	if len(f.auditOf) != 5 {
		t.Fatalf("%d records, want 5", len(f.auditOf))
	}
	record, err := json.Marshal(f.auditOf)
	if err != nil || strings.Contains(string(record), "secret\"") || strings.Contains(string(record), "-secret") {
		t.Errorf("the audit record holds a secret (%v): %s", err, record)
	}
	if first := f.auditOf[0]; first.Kind != "credentials.issued" || first.Outcome != "aws" || first.Grant != "gra_1" || !strings.Contains(first.Detail, "ASIAalice") {
		t.Errorf("record %+v", first)
	}
}

func TestEverythingElseIsRefused(t *testing.T) {
	t.Parallel()
	const aws = `{"kind":"aws"}`
	for _, row := range []struct {
		name, token, body string
		status            int
		problem           string
		change            func(*http.Request)
	}{
		{"no token", "", aws, 401, "no-token", nil},
		{"an unknown token", "made-up", aws, 401, "invalid-token", nil},
		{"a token in the URL too", "sales", aws, 400, "invalid-request", func(r *http.Request) { r.URL.RawQuery = "access_token=sales" }},
		{"a token without the scope", "read", aws, 403, "insufficient-scope", nil},
		{"a token without a warehouse", "nowhere", aws, 403, "insufficient-scope", nil},
		{"a token that was narrowed", "narrowed", aws, 403, "insufficient-scope", nil},
		{"another warehouse than the grant's", "sales", `{"kind":"aws","warehouse":"ledger"}`, 403, "unknown-warehouse", nil},
		{"a warehouse that is gone", "elsewhere", aws, 403, "credentials-not-given", nil},
		{"a kind that this warehouse gives not", "ledger", aws, 403, "credentials-not-given", nil},
		{"a warehouse that gives none", "private", `{"kind":"database"}`, 403, "credentials-not-given", nil},
		{"a grant with schemas", "schemas", aws, 403, "limited-grant", nil},
		{"a grant with a limit of rows", "rows", aws, 403, "limited-grant", nil},
		{"an unknown kind", "sales", `{"kind":"root"}`, 400, "invalid-request", nil},
		{"no kind", "sales", `{}`, 400, "invalid-request", nil},
		{"other letters", "sales", `{"Kind":"aws"}`, 400, "invalid-request", nil},
		{"a member twice", "sales", `{"kind":"aws","kind":"database"}`, 400, "invalid-request", nil},
		{"more than one document", "sales", `{"kind":"aws"}{}`, 400, "invalid-request", nil},
		{"no JSON", "sales", `kind=aws`, 400, "invalid-request", nil},
		{"a long body", "sales", `{"kind":"` + strings.Repeat("a", 5000) + `"}`, 413, "invalid-request", nil},
		{"a form", "sales", aws, 415, "invalid-request", func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			change := row.change
			if change == nil {
				change = func(*http.Request) {}
			}
			answer, content := ask(serve(t, f), row.token, row.body, change)
			if answer.StatusCode != row.status || !strings.Contains(content, `"urn:shiftgrant:problem:`+row.problem+`"`) {
				t.Errorf("%d %s", answer.StatusCode, content)
			}
			if strings.Contains(content, "-secret") || len(f.auditOf) != 0 {
				t.Errorf("something was given: %s", content)
			}
			if challenge := answer.Header.Get("WWW-Authenticate"); (row.status == 401) != strings.HasPrefix(challenge, "Bearer") && row.problem != "insufficient-scope" && row.status != 400 {
				t.Errorf("challenge %q", challenge)
			}
		})
	}
}

// What cannot be recorded is not handed out, and what fails is not explained to the app.
func TestFailuresGiveNothing(t *testing.T) {
	t.Parallel()
	cause := errors.New("arn:aws:iam::123456789012:role/hidden says no")
	for name, damage := range map[string]func(*fake){
		"audit": func(f *fake) { f.broken = cause }, "chain": func(f *fake) { f.chain = cause }, "store": func(f *fake) { f.authErr = cause },
	} {
		for _, body := range []string{`{"kind":"aws"}`, `{"kind":"database"}`} {
			f := newFake()
			damage(f)
			answer, content := ask(serve(t, f), "sales", body)
			if answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" || strings.Contains(content, "-secret") || strings.Contains(content, "hidden") {
				t.Errorf("%s broken: %d %s", name, answer.StatusCode, content)
			}
		}
	}
}

func TestNobodyGetsMany(t *testing.T) {
	t.Parallel()
	handler := serve(t, newFake())
	for range 30 {
		if answer, content := ask(handler, "sales", `{"kind":"aws"}`); answer.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", answer.StatusCode, content)
		}
	}
	if answer, content := ask(handler, "sales", `{"kind":"aws"}`); answer.StatusCode != http.StatusTooManyRequests || answer.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s", answer.StatusCode, content)
	}
}
