package sdk

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssooidc"
	oidctypes "github.com/aws/aws-sdk-go-v2/service/ssooidc/types"
	"golang.org/x/oauth2"

	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/identitycenter"
	"github.com/shiftgrant/shiftgrant/twin/twintest"
)

// register makes a public client of Identity Center for Redshift.
func register(t *testing.T, played *twin.Twin) (*ssooidc.Client, *ssooidc.RegisterClientOutput) {
	t.Helper()
	client := ssooidc.NewFromConfig(as(played, aws.AnonymousCredentials{}))
	registered := must(client.RegisterClient(t.Context(), &ssooidc.RegisterClientInput{
		ClientName: aws.String("cli"), ClientType: aws.String("public"), Scopes: []string{identitycenter.RedshiftScope},
		RedirectUris: []string{*loopbackRedirect}, IssuerUrl: aws.String(played.Center.IssuerURL()),
		GrantTypes: []string{"authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"},
	}))(t)
	if left := time.Until(time.Unix(registered.ClientSecretExpiresAt, 0)); left < 89*24*time.Hour {
		t.Errorf("the registration lasts %s", left)
	}
	return client, registered
}

func TestAPublicClientSignsAPersonInByTheBrowser(t *testing.T) {
	t.Parallel()
	played := twintest.Start(t, twin.Config{})
	client, registered := register(t, played)
	verifier := oauth2.GenerateVerifier()
	query := url.Values{
		"response_type": {"code"}, "client_id": {*registered.ClientId}, "redirect_uri": {*loopbackRedirect}, "state": {"s1"},
		"scopes": {identitycenter.RedshiftScope}, "code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)}, "code_challenge_method": {"S256"},
	}
	back := allow(t, *registered.AuthorizationEndpoint+"?"+query.Encode()).Query()
	if back.Get("state") != "s1" {
		t.Errorf("the browser comes back with %v", back)
	}
	input := ssooidc.CreateTokenInput{
		ClientId: registered.ClientId, ClientSecret: registered.ClientSecret, GrantType: aws.String("authorization_code"),
		Code: aws.String(back.Get("code")), RedirectUri: loopbackRedirect, CodeVerifier: aws.String(verifier),
	}
	tokens := must(client.CreateToken(t.Context(), &input))(t)
	if user, err := login(t, played, *tokens.AccessToken, map[string]string{"idp_type": "AwsIdc", "token_type": "ACCESS_TOKEN"}); user != "awsidc:bob@example.com" {
		t.Errorf("the access token is %q's, %v", user, err)
	}
	_, err := client.CreateToken(t.Context(), &input)
	var spent *oidctypes.InvalidGrantException
	if !errors.As(err, &spent) {
		t.Errorf("the code again: %v", err)
	}
	query.Set("scopes", "openid")
	input.Code = aws.String(allow(t, *registered.AuthorizationEndpoint+"?"+query.Encode()).Query().Get("code"))
	narrow := must(client.CreateToken(t.Context(), &input))(t)
	if user, err := login(t, played, *narrow.AccessToken, map[string]string{"idp_type": "AwsIdc", "token_type": "ACCESS_TOKEN"}); err == nil || !strings.Contains(err.Error(), "Invalid scope") {
		t.Errorf("a token for another scope lets %q in, %v", user, err)
	}
	query.Set("scopes", "sso:account:access")
	if page := must(http.Get(*registered.AuthorizationEndpoint + "?" + query.Encode()))(t); page.StatusCode != http.StatusBadRequest || page.Body.Close() != nil {
		t.Errorf("a scope that was not registered: %s", page.Status)
	}
	refresh := ssooidc.CreateTokenInput{ClientId: registered.ClientId, ClientSecret: registered.ClientSecret, GrantType: aws.String("refresh_token"), RefreshToken: tokens.RefreshToken}
	if renewed := must(client.CreateToken(t.Context(), &refresh))(t); *renewed.AccessToken == *tokens.AccessToken {
		t.Error("a refresh gives the same access token")
	}
	refresh.ClientSecret = aws.String("wrong")
	_, err = client.CreateToken(t.Context(), &refresh)
	var unknown *oidctypes.InvalidClientException
	if !errors.As(err, &unknown) {
		t.Errorf("a wrong secret: %v", err)
	}
	_, err = client.RegisterClient(t.Context(), &ssooidc.RegisterClientInput{ClientName: aws.String("x"), ClientType: aws.String("public"), RedirectUris: []string{"https://app.example.com/callback"}})
	var redirect *oidctypes.InvalidRedirectUriException
	if !errors.As(err, &redirect) {
		t.Errorf("a redirect URI elsewhere: %v", err)
	}
}

func TestADeviceWaitsForItsPerson(t *testing.T) {
	t.Parallel()
	clock := time.Now()
	played := twintest.Start(t, twin.Config{Now: func() time.Time { return clock }})
	client, registered := register(t, played)
	started := must(client.StartDeviceAuthorization(t.Context(), &ssooidc.StartDeviceAuthorizationInput{
		ClientId: registered.ClientId, ClientSecret: registered.ClientSecret, StartUrl: aws.String("https://d-90twin0001.awsapps.com/start"),
	}))(t)
	if started.ExpiresIn != 600 || started.Interval != 1 || !strings.HasPrefix(*started.VerificationUriComplete, played.URL()) {
		t.Errorf("started %+v", started)
	}
	ask := func() (*ssooidc.CreateTokenOutput, error) {
		return client.CreateToken(t.Context(), &ssooidc.CreateTokenInput{
			ClientId: registered.ClientId, ClientSecret: registered.ClientSecret, GrantType: aws.String("urn:ietf:params:oauth:grant-type:device_code"), DeviceCode: started.DeviceCode,
		})
	}
	_, err := ask()
	var pending *oidctypes.AuthorizationPendingException
	if !errors.As(err, &pending) {
		t.Errorf("before anybody approved: %v", err)
	}
	_, err = ask()
	var hasty *oidctypes.SlowDownException
	if !errors.As(err, &hasty) {
		t.Errorf("at once again: %v", err)
	}
	response := must(http.PostForm(*started.VerificationUri, url.Values{"user_code": {*started.UserCode}, "username": {"alice"}, "password": {twin.Password}}))(t)
	_ = response.Body.Close()
	tokens := must(ask())(t)
	if user, err := login(t, played, *tokens.AccessToken, map[string]string{"idp_type": "AwsIdc", "token_type": "ACCESS_TOKEN"}); user != "awsidc:alice@example.com" {
		t.Errorf("the device's token is %q's, %v", user, err)
	}
}
