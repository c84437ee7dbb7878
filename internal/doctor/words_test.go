package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/gateway"
	"github.com/shiftgrant/shiftgrant/redshift"
)

// What Redshift says at a login, in words that its drivers and their users quote.
func TestLoginRefusalsAreToldApart(t *testing.T) {
	t.Parallel()
	of := func(i gateway.Identity) *visit { return &visit{warehouse: &gateway.Warehouse{Identity: i}} }
	refusal := func(state, message string) error {
		return fmt.Errorf("connect: %w", &redshift.AccessError{Step: "log in", Code: state, Err: &redshift.Error{SQLState: state, Message: message}})
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{refusal("28000", `password authentication failed for user "IAM:ann"`), "no_user"},
		{refusal("28000", "IAM Authentication token has expired"), "expired"},
		{refusal("28000", "Token credentials expired or invalid."), "token"},
		{refusal("28000", "Identity Center: the token was used before"), "token"},
		{refusal("28000", "invalid token"), "token"},
		{refusal("28000", "TYPE_INVALID_TOKEN"), "token"},
		{refusal("28000", "Invalid scope. User's credentials are not authorized to connect to Amazon Redshift"), "scope"},
		{refusal("28000", "no identity provider is configured"), "no_provider"},
		{refusal("28000", "AWS IdC identity provider does not exist"), "no_provider"},
		{refusal("28000", `identity provider type "awsidc" is not supported`), "old"},
		{refusal("28000", "Failed to obtain AWS IdC Info"), "no_provider"},
		{refusal("28000", `database "sales" is not currently accepting connections`), "no_database"},
		{refusal("3D000", `database "sales" does not exist`), "no_database"},
		{refusal("28000", `connection limit "1998" exceeded for non-superusers`), "full"},
		{&redshift.BusyError{Limit: "You reached maximum number of connections", RetryAfter: time.Second}, "full"},
		{errors.New("read tcp: connection reset by peer"), "other"},
	} {
		if got := of(gateway.Identity{Chain: "identity_center"}).loginFault(c.err); got.cause != c.want || got.state != Broken {
			t.Errorf("%v is %s, want %s", c.err, got.cause, c.want)
		}
	}
	if got := of(gateway.Identity{Chain: "password"}).loginFault(refusal("28000", `password authentication failed for user "service"`)); got.cause != "wrong_password" {
		t.Errorf("where everybody is one user, it is %s", got.cause)
	}
}

func TestKMSIsToldInItsWords(t *testing.T) {
	t.Parallel()
	config := gateway.Config{Keys: gateway.Keys{KMS: gateway.KMS{Key: "arn:aws:kms:eu-central-1:123456789012:key/one"}}}
	for code, want := range map[string]string{"UnrecognizedClientException": "no_credentials", "AccessDeniedException": "denied", "DisabledException": "unusable", "KMSInternalException": "other"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Amzn-ErrorType", code)
			w.WriteHeader(http.StatusBadRequest)
		}))
		config.Keys.KMS.Endpoint = server.URL
		f := checkKMS(t.Context(), &visit{examination: &examination{gateway: &config, config: Config{Now: time.Now}}})
		if f.cause != want {
			t.Errorf("%s is %s, want %s", code, f.cause, want)
		}
		server.Close()
	}
}

func TestIssuerWithACertificateOfNobodyKnownIsTold(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(nil)
	t.Cleanup(server.Close)
	f := fetchPublished(t.Context(), plainClient(), server.URL, &discovery{})
	if f == nil || f.cause != "untrusted" {
		t.Errorf("%+v, want untrusted", f)
	}
}

func TestCertificatesAreToldFromTheNetwork(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err             error
		untrusted, name bool
	}{
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, true, false},
		{fmt.Errorf("TLS: %w", &tls.CertificateVerificationError{Err: x509.HostnameError{Certificate: &x509.Certificate{}, Host: "h"}}), true, true},
		{context.DeadlineExceeded, false, false},
	} {
		if untrusted(c.err) != c.untrusted || wrongName(c.err) != c.name {
			t.Errorf("%v: untrusted %t, wrong name %t", c.err, untrusted(c.err), wrongName(c.err))
		}
	}
}

func TestRolesAndTheirSessionsBelongTogether(t *testing.T) {
	t.Parallel()
	role := "arn:aws:iam::123456789012:role/team/gateway"
	for _, c := range []struct {
		session string
		want    bool
	}{
		{"arn:aws:sts::123456789012:assumed-role/gateway/ann", true},
		{"arn:aws:sts::999999999999:assumed-role/gateway/ann", false},
		{"arn:aws:sts::123456789012:assumed-role/other/ann", false},
		{"arn:aws:iam::123456789012:user/gateway", false},
		{"", false},
	} {
		if got := sessionOf(c.session, role); got != c.want {
			t.Errorf("%q: %t, want %t", c.session, got, c.want)
		}
	}
}

func TestTemplatesOfEntraIDStandForTenants(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		preset, issuer string
		want           bool
	}{
		{"entra", "https://login.microsoftonline.com/organizations/v2.0", true},
		{"entra", "https://elsewhere.example/organizations/v2.0", false},
		{"generic", "https://login.microsoftonline.com/organizations/v2.0", false},
	} {
		v := &visit{upstream: &gateway.Upstream{Preset: test.preset, Issuer: test.issuer}}
		if got := v.sameIssuer("https://login.microsoftonline.com/{tenantid}/v2.0"); got != test.want {
			t.Errorf("%s at %s: %v", test.preset, test.issuer, got)
		}
	}
}

func TestWordsFromOutsideStayOnOneLine(t *testing.T) {
	t.Parallel()
	if got := oneLine("a\nb\x1b[2Jc"); got != "a b [2Jc" {
		t.Errorf("%q", got)
	}
}

// A remedy is pasted into a shell, or into SQL, by somebody who may do everything there. Who chose their
// e-mail address, or made a schema, must not choose what is run.
func TestNobodyElseWritesInARemedy(t *testing.T) {
	t.Parallel()
	address := "x'`id`'@example.com" // RFC 5322 allows it
	for _, l := range WarehouseLinks() {
		for _, c := range l.Causes {
			for _, name := range []string{"fault", "walls", "rights", "step"} {
				if strings.Contains(c.Remedy, "{"+name+"}") {
					t.Errorf("%s, %s: the remedy has {%s}, which comes from elsewhere", l.Name, c.Name, name)
				}
			}
			mend := fill(c.Remedy, forPasting(map[string]string{"email": address, "said": `ann"; DROP TABLE t; --`}))
			if strings.Contains(mend, "id`'") || strings.Contains(mend, "DROP") {
				t.Errorf("%s, %s: %s", l.Name, c.Name, mend)
			}
		}
	}
	if got := forPasting(map[string]string{"email": "ann+x@example.com", "said": "awsidc:ann@example.com"}); got["email"] != "ann+x@example.com" || got["said"] != "awsidc:ann@example.com" {
		t.Errorf("names are left out: %v", got)
	}
	if got, want := (right{"create objects in schema", `s"; DROP TABLE t; --`}).revoke("ann"), `REVOKE CREATE ON SCHEMA "s""; DROP TABLE t; --" FROM "ann";`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := oneLine("a\x1b[2J\u009b2J\u202eb"), "a [2J 2J b"; got != want {
		t.Errorf("%q on a terminal, want %q", got, want)
	}
}
