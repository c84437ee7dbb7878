package identity_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/shiftgrant/shiftgrant/internal/secret"
	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
	"github.com/shiftgrant/shiftgrant/twin"
)

// A refusing service answers every call with one code, and counts the calls.
type refusing struct {
	url   string
	calls atomic.Int64
}

func newRefusing(t *testing.T, code string) *refusing {
	t.Helper()
	s := &refusing{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		if r.Header.Get("Content-Type") == "application/x-www-form-urlencoded" { // the Query protocol
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, "<ErrorResponse><Error><Code>%s</Code><Message>no</Message></Error></ErrorResponse>", code)
			return
		}
		w.Header().Set("X-Amzn-ErrorType", code)
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"message":"no"}`)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// A step is one call of a chain, made with keys that are the person's or the gateway's own.
type step struct {
	name  string
	codes []string // what the call documents
	take  func(service string, keys identity.Provider) error
}

func credentialsOf(chain people, err error) error {
	if err != nil {
		return err
	}
	defer chain.Close()
	_, err = chain.For(alice).Credentials(context.Background())
	return err
}

func loginOf(login identity.LoginProvider, err error) error {
	if err != nil {
		return err
	}
	_, err = login.Login(context.Background(), false)
	return err
}

func someAssertion(context.Context, identity.Subject) (secret.Text, error) {
	return secret.New("an.asser.tion"), nil
}

// refusedKeys are the codes by which any service refuses keys. New ones may do.
var refusedKeys = []string{"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException"}

// steps are those of all chains, with the codes of aws.md §1.1, §1.4 and §2.1, and of the service models.
func steps() []step {
	signed := append([]string{"SignatureDoesNotMatch", "Throttling", "InternalFailure"}, refusedKeys...)
	signedJSON := append([]string{"InvalidSignatureException", "ThrottlingException", "InternalServerException"}, refusedKeys...)
	database := func(cluster, workgroup string) func(string, identity.Provider) error {
		return func(service string, keys identity.Provider) error {
			return loginOf(identity.NewDatabaseLogin(identity.DatabaseLoginConfig{Cluster: cluster, Workgroup: workgroup, Database: "dev", Region: twin.Region, Endpoint: service, Credentials: keys}))
		}
	}
	token := func(cluster, workgroup string) func(string, identity.Provider) error {
		return func(service string, keys identity.Provider) error {
			return loginOf(identity.NewAuthToken(identity.AuthTokenConfig{Cluster: cluster, Workgroup: workgroup, Region: twin.Region, Endpoint: service, Credentials: keys}))
		}
	}
	return []step{
		{
			"AssumeRoleWithWebIdentity",
			[]string{"MalformedPolicyDocument", "PackedPolicyTooLarge", "IDPRejectedClaim", "IDPCommunicationError", "InvalidIdentityToken", "ExpiredTokenException", "RegionDisabledException", "AccessDenied", "ValidationError", "Throttling", "InternalFailure"},
			func(service string, _ identity.Provider) error {
				return credentialsOf(identity.NewWebIdentity(identity.WebIdentityConfig{RoleARN: twin.RoleARN, Region: twin.Region, Endpoint: service, Audience: twin.Audience, Assert: someAssertion}))
			},
		},
		{
			"AssumeRole",
			append([]string{"MalformedPolicyDocument", "PackedPolicyTooLarge", "RegionDisabledException", "AccessDenied", "ValidationError"}, signed...),
			func(service string, keys identity.Provider) error {
				return credentialsOf(identity.NewRole(identity.RoleConfig{RoleARN: twin.PartnerRoleARN, ExternalID: twin.ExternalID, Region: twin.Region, Endpoint: service, Credentials: keys}))
			},
		},
		{
			"CreateTokenWithIAM",
			append([]string{
				"AuthorizationPendingException", "SlowDownException", "InvalidGrantException", "InvalidRequestException", "InvalidScopeException", "UnauthorizedClientException",
				"UnsupportedGrantTypeException", "AccessDeniedException", "InvalidClientException", "InvalidRequestRegionException",
			}, signedJSON...),
			func(service string, keys identity.Provider) error {
				return credentialsOf(identity.NewIdentityCenter(identity.IdentityCenterConfig{
					ApplicationARN: twin.ApplicationARN, PeopleRoleARN: twin.PeopleRoleARN, Region: twin.Region, Endpoint: service, STSEndpoint: service, Credentials: keys, Assert: someAssertion,
				}))
			},
		},
		{"GetClusterCredentials", append([]string{"AccessDenied", "ClusterNotFound", "UnsupportedOperation"}, signed...), database(twin.Cluster, "")},
		{"GetCredentials", append([]string{"AccessDeniedException", "ResourceNotFoundException", "ValidationException"}, signedJSON...), database("", twin.Workgroup)},
		{
			"GetIdentityCenterAuthToken of redshift",
			append([]string{"AccessDenied", "ClusterNotFound", "InvalidClusterState", "UnsupportedOperation", "RedshiftInvalidParameter"}, signed...), token(twin.Cluster, ""),
		},
		{
			"GetIdentityCenterAuthToken of redshift-serverless",
			append([]string{"AccessDeniedException", "ResourceNotFoundException", "ValidationException", "ConflictException", "DryRunException"}, signedJSON...), token("", twin.Workgroup),
		},
		{
			"GetSecretValue",
			append([]string{"AccessDeniedException", "ResourceNotFoundException", "InvalidParameterException", "InvalidRequestException", "DecryptionFailure", "InternalServiceError"}, signedJSON...),
			func(service string, keys identity.Provider) error {
				return loginOf(identity.NewSecret(identity.SecretConfig{ARN: twin.SecretARN, Region: twin.Region, Endpoint: service, Credentials: keys}))
			},
		},
	}
}

// Each code that a step documents is told with a remedy before AWS's own words, and costs one call:
// two where AWS refuses the keys themselves, for which new ones are fetched once and never in a loop, and
// four where STS says that it may pass.
func TestEveryRefusalHasARemedy(t *testing.T) {
	t.Parallel()
	for _, s := range steps() {
		for _, code := range s.codes {
			t.Run(s.name+" "+code, func(t *testing.T) {
				t.Parallel()
				service := newRefusing(t, code)
				keys := held(twin.GatewayKeys())
				err := s.take(service.url, withDatabaseUser{keys})
				access, ok := errors.AsType[*redshift.AccessError](err)
				if !ok || access.Code != code || !strings.HasSuffix(access.Err.Error(), "(AWS answered "+code+": no)") || strings.Contains(access.Err.Error(), "{") && !strings.Contains(access.Err.Error(), "${aws:") {
					t.Errorf("%v, want a remedy and then AWS's words", err)
				}
				calls, fetches := int64(1), int64(1)
				switch {
				case s.name == "AssumeRoleWithWebIdentity":
					fetches = 0 // it is not signed
					if code == "IDPCommunicationError" || code == "Throttling" {
						calls = 4
					}
				case slices.Contains(refusedKeys, code):
					calls, fetches = 2, 2
				}
				if service.calls.Load() != calls || keys.asked.Load() != fetches {
					t.Errorf("%d calls with keys that were fetched %d times, want %d and %d", service.calls.Load(), keys.asked.Load(), calls, fetches)
				}
			})
		}
	}
}

// withDatabaseUser are keys of a person who has a database user.
type withDatabaseUser struct{ *ownKeys }

func (w withDatabaseUser) Credentials(ctx context.Context) (identity.Credentials, error) {
	keys, err := w.ownKeys.Credentials(ctx)
	keys.DatabaseUser = "alice"
	return keys, err
}
