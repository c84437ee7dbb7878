// Package identitycenter lets people sign in at IAM Identity Center, which sends a browser back with a
// code like an OpenID provider, and is none: it publishes no metadata and no keys, and gives tokens to
// AWS principals only (CreateTokenWithIAM).
//
// Package connect runs the sign-in. To it, an [Adapter] is the transport by which an authorization
// server is reached: it answers for the metadata, and makes of a token request (RFC 6749 §4.1.3, §6) a
// call that the gateway's own AWS keys sign, in place of a client secret.
//
// What to fear: the ID token cannot be checked by a key. It is believed because it comes in AWS's
// answer to that call, over TLS (OpenID Connect Core §3.1.3.7 step 6); one that came any other way is
// worth nothing. That AWS supports this for a customer's own application is documented in parts only:
// see docs/identity-providers.md.
package identitycenter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/shiftgrant/shiftgrant/redshift/identity"
)

// Config says which application of Identity Center people sign in to.
type Config struct {
	// ApplicationARN is a customer-managed application with the authorization code grant, of which the
	// gateway's own AWS role is an actor.
	ApplicationARN string
	Region         string
	Scopes         []string
	// Endpoint and StoreEndpoint override AWS's own for the region, of SSO OIDC and of Identity Store.
	Endpoint, StoreEndpoint string
	Credentials             identity.Provider // the gateway's own
	HTTPClient              *http.Client      // nil: one with a timeout that follows no redirect
	Logger                  *slog.Logger      // nil: nothing is logged
	Now                     func() time.Time
}

// Adapter is safe for concurrent use.
type Adapter struct {
	config Config
	issuer string
	signer *v4.Signer
}

const (
	callTimeout = 10 * time.Second
	answerLimit = 256 << 10
	issuers     = "https://identitycenter.amazonaws.com/"
)

// IssuerOf is the issuer of an application's ID tokens: the instance that the application is of.
func IssuerOf(applicationARN string) (string, error) {
	part := strings.SplitN(applicationARN, ":", 6) // arn:aws:sso::ACCOUNT:application/INSTANCE/ID
	if len(part) == 6 && part[0] == "arn" && part[2] == "sso" {
		resource := strings.Split(part[5], "/")
		if len(resource) == 3 && resource[0] == "application" && strings.HasPrefix(resource[1], "ssoins-") && resource[2] != "" {
			return issuers + resource[1], nil
		}
	}
	return "", errors.New("not the ARN of an application of Identity Center: arn:aws:sso::ACCOUNT:application/INSTANCE/ID")
}

// New checks the configuration. It makes no call.
func New(config Config) (*Adapter, error) {
	issuer, err := IssuerOf(config.ApplicationARN)
	if err != nil {
		return nil, err
	}
	for service, endpoint := range map[string]*string{"oidc": &config.Endpoint, "identitystore": &config.StoreEndpoint} {
		if *endpoint == "" {
			if *endpoint, err = identity.Endpoint(service, config.Region); err != nil {
				return nil, err
			}
		}
	}
	if config.HTTPClient == nil {
		config.HTTPClient = &http.Client{Timeout: callTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Adapter{config: config, issuer: issuer, signer: v4.NewSigner()}, nil
}

// AuthorizeURL is where browsers are sent. The parameter is named scopes there.
func (a *Adapter) AuthorizeURL() string {
	return a.config.Endpoint + "/authorize?" + url.Values{"scopes": {strings.Join(a.config.Scopes, " ")}}.Encode()
}

func (a *Adapter) tokenURL() string { return a.config.Endpoint + "/token" }

// RoundTrip implements http.RoundTripper.
func (a *Adapter) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet {
		return answer(r, http.StatusOK, map[string]any{
			"issuer": a.issuer, "authorization_endpoint": a.AuthorizeURL(), "token_endpoint": a.tokenURL(),
			"code_challenge_methods_supported": []string{"S256"}, "token_endpoint_auth_methods_supported": []string{"none"},
		})
	}
	defer r.Body.Close()
	content, err := io.ReadAll(io.LimitReader(r.Body, answerLimit))
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(content))
	if err != nil || r.URL.String() != a.tokenURL() {
		return nil, errors.New("identity center: only metadata and tokens are asked for")
	}
	given, err := a.createToken(r.Context(), form)
	var refused *refusal
	if errors.As(err, &refused) && refused.reason != "" {
		return answer(r, refused.status, map[string]any{"error": refused.reason})
	}
	if err != nil {
		return nil, err
	}
	return answer(r, http.StatusOK, given)
}

// answer is a document in the place of a server's.
func answer(r *http.Request, status int, document map[string]any) (*http.Response, error) {
	body, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		Status: http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: r,
	}, nil
}

// createToken is CreateTokenWithIAM for a token request, and the members of its answer by their names
// in OAuth.
func (a *Adapter) createToken(ctx context.Context, form url.Values) (map[string]any, error) {
	question := map[string]string{"clientId": a.config.ApplicationARN, "grantType": form.Get("grant_type")}
	for theirs, ours := range map[string]string{"code": "code", "redirectUri": "redirect_uri", "codeVerifier": "code_verifier", "refreshToken": "refresh_token"} {
		if form.Has(ours) {
			question[theirs] = form.Get(ours)
		}
	}
	var given struct {
		AccessToken  string `json:"accessToken"`
		ExpiresIn    int    `json:"expiresIn"`
		RefreshToken string `json:"refreshToken"`
		IDToken      string `json:"idToken"`
	}
	err := a.call(ctx, call{service: "sso-oauth", url: a.tokenURL() + "?aws_iam=t", contentType: "application/json"}, question, &given)
	if err != nil {
		return nil, a.explain(ctx, form, err)
	}
	tokens := map[string]any{"access_token": given.AccessToken, "token_type": "Bearer", "expires_in": given.ExpiresIn, "id_token": given.IDToken}
	if given.RefreshToken != "" {
		tokens["refresh_token"] = given.RefreshToken
	}
	return tokens, nil
}

// explain logs what to do about a refusal, and says a session's end as OAuth does.
func (a *Adapter) explain(ctx context.Context, form url.Values, err error) error {
	var refused *refusal
	if !errors.As(err, &refused) {
		return fmt.Errorf("get a token of Identity Center: %w", err)
	}
	if refused.reason == "expired_token" && form.Get("grant_type") == "refresh_token" {
		refused.reason = "invalid_grant"
	}
	if remedy, known := remedies[refused.name()]; known {
		a.config.Logger.WarnContext(ctx, "Identity Center gives no token", "error", refused, "application", a.config.ApplicationARN, "remedy", remedy)
	}
	return fmt.Errorf("get a token of Identity Center: %w", refused)
}

// remedies are for what a person at the browser cannot mend. Some are answers of Identity Center in
// OAuth's words, some are AWS's about the call itself.
var remedies = map[string]string{
	"access_denied":               "the authentication method of the application has to name the gateway's own role, which needs sso-oauth:CreateTokenWithIAM on it; and the person has to be assigned to the application",
	"invalid_client":              "there is no such application in this region: check client_id and region of the upstream",
	"unauthorized_client":         "give the application the grants authorization_code, with the gateway's callback as redirect URI, and refresh_token",
	"unsupported_grant_type":      "give the application the grants authorization_code, with the gateway's callback as redirect URI, and refresh_token",
	"invalid_scope":               "add the scopes of the upstream to the application's access scopes",
	"AccessDeniedException":       "allow the gateway's own role sso-oauth:CreateTokenWithIAM on the application",
	"ExpiredTokenException":       "the gateway's own AWS keys have expired: check where they come from, and this machine's clock",
	"UnrecognizedClientException": "AWS does not know the gateway's own keys",
	"InvalidSignatureException":   "AWS refused the signature: check the secret key, and this machine's clock",
}
