// Package sdk runs AWS's own clients for Go against the twin. It is a module of its own, so that the
// product does not depend on them.
package sdk

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
)

// A gateway is as much of one as AWS sees: an issuer with keys.
type gateway struct {
	*httptest.Server
	key jose.JSONWebKey
}

func newGateway(t *testing.T) *gateway {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{key: jose.JSONWebKey{Key: private, KeyID: "k1", Algorithm: "RS256", Use: "sig"}}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": g.URL, "jwks_uri": g.URL + "/keys"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{g.key.Public()}})
	})
	g.Server = httptest.NewServer(mux)
	t.Cleanup(g.Close)
	return g
}

// assertion is what the gateway signs about somebody; changes are claims, and nil leaves one out.
func (g *gateway) assertion(t *testing.T, email string, changes map[string]any) *string {
	t.Helper()
	with, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: g.key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	claims := map[string]any{
		"iss": g.URL, "sub": "per_1", "aud": twin.Audience, "email": email, "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	}
	for name, value := range changes {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	token, err := jwt.Signed(with).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return &token
}

// keys are how a client of the SDK is told who it is.
func keys(c sigv4.Credential) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken}, nil
	})
}

// as is the SDK's configuration for whoever has the keys.
func as(played *twin.Twin, provider aws.CredentialsProvider) aws.Config {
	return aws.Config{
		Region: twin.Region, BaseEndpoint: aws.String(played.URL()), Credentials: provider, RetryMaxAttempts: 1,
		HTTPClient: &http.Client{Timeout: time.Minute},
	}
}

// refusedWith holds an error to its type; "" wants none.
func refusedWith(t *testing.T, what string, err error, code string) {
	t.Helper()
	var refused smithy.APIError
	switch {
	case err == nil && code == "":
	case err == nil:
		t.Errorf("%s: there is no error, want %s", what, code)
	case !errors.As(err, &refused) || refused.ErrorCode() != code:
		t.Errorf("%s: %v, want %q", what, err, code)
	}
}

func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// enhanced assumes the role of people with an identity context.
func enhanced(t *testing.T, played *twin.Twin, identityContext string) aws.CredentialsProvider {
	t.Helper()
	assumed := must(sts.NewFromConfig(as(played, keys(twin.GatewayKeys()))).AssumeRole(t.Context(), assumeInput(twin.PeopleRoleARN, identityContext)))(t)
	return keys(sigv4.Credential{
		AccessKeyID: *assumed.Credentials.AccessKeyId, SecretAccessKey: *assumed.Credentials.SecretAccessKey, SessionToken: *assumed.Credentials.SessionToken,
	})
}
