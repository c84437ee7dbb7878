package ssooidc

import (
	"net/http"
	"net/url"

	"github.com/shiftgrant/shiftgrant/twin/identitycenter"
)

func (s *Server) registerClient(_ *http.Request, body []byte) (any, error) {
	var q struct {
		Name                   string   `json:"clientName"`
		Type                   string   `json:"clientType"`
		Scopes                 []string `json:"scopes"`
		RedirectURIs           []string `json:"redirectUris"`
		GrantTypes             []string `json:"grantTypes"`
		IssuerURL              string   `json:"issuerUrl"`
		EntitledApplicationARN string   `json:"entitledApplicationArn"`
	}
	if err := decode(body, &q); err != nil {
		return nil, err
	}
	switch {
	case q.Name == "" || q.Type != "public":
		return nil, &identitycenter.Refusal{Reason: "invalid_client_metadata", Message: "clientName is needed, and the clientType public"}
	case q.IssuerURL != "" && q.IssuerURL != s.config.Center.IssuerURL():
		return nil, invalid("issuerUrl is %s here", s.config.Center.IssuerURL())
	}
	client, err := s.config.Center.Register(identitycenter.Client{Name: q.Name, RedirectURIs: q.RedirectURIs, GrantTypes: q.GrantTypes, Scopes: q.Scopes})
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"clientId": client.ID, "clientSecret": client.Secret, "clientIdIssuedAt": client.Issued.Unix(), "clientSecretExpiresAt": client.Expires.Unix(),
		"authorizationEndpoint": s.config.URL + "/authorize", "tokenEndpoint": s.config.URL + "/token",
	}, nil
}

func (s *Server) startDeviceAuthorization(_ *http.Request, body []byte) (any, error) {
	var q struct {
		ClientID     string `json:"clientId"`
		ClientSecret string `json:"clientSecret"`
		StartURL     string `json:"startUrl"`
	}
	if err := decode(body, &q); err != nil {
		return nil, err
	}
	if q.StartURL == "" {
		return nil, invalid("startUrl is needed")
	}
	deviceCode, userCode, life, err := s.config.Center.BeginDevice(q.ClientID, q.ClientSecret)
	if err != nil {
		return nil, err
	}
	page := s.config.URL + "/device"
	return map[string]any{
		"deviceCode": deviceCode, "userCode": userCode, "verificationUri": page,
		"verificationUriComplete": page + "?" + url.Values{"user_code": {userCode}}.Encode(),
		"expiresIn":               int(life.Seconds()), "interval": int(identitycenter.Interval.Seconds()),
	}, nil
}

// createToken gives a public client tokens.
func (s *Server) createToken(_ *http.Request, body []byte) (any, error) {
	var q struct {
		ClientID     string   `json:"clientId"`
		ClientSecret string   `json:"clientSecret"`
		GrantType    string   `json:"grantType"`
		Code         string   `json:"code"`
		RedirectURI  string   `json:"redirectUri"`
		CodeVerifier string   `json:"codeVerifier"`
		DeviceCode   string   `json:"deviceCode"`
		RefreshToken string   `json:"refreshToken"`
		Scope        []string `json:"scope"` // without effect, as in AWS
	}
	if err := decode(body, &q); err != nil {
		return nil, err
	}
	var tokens identitycenter.Tokens
	var err error
	switch q.GrantType {
	case identitycenter.AuthorizationCode:
		tokens, err = s.config.Center.ByCode(q.ClientID, q.ClientSecret, q.Code, q.RedirectURI, q.CodeVerifier)
	case identitycenter.DeviceCode:
		tokens, err = s.config.Center.ByDevice(q.ClientID, q.ClientSecret, q.DeviceCode)
	case identitycenter.RefreshToken:
		tokens, err = s.config.Center.ByRefreshOf(q.ClientID, q.ClientSecret, q.RefreshToken)
	default:
		err = &identitycenter.Refusal{Reason: identitycenter.UnsupportedGrant, Message: "CreateToken knows authorization_code, refresh_token and " + identitycenter.DeviceCode}
	}
	if err != nil {
		return nil, err
	}
	answer := map[string]any{"accessToken": tokens.AccessToken, "tokenType": "Bearer", "expiresIn": int(tokens.ExpiresIn.Seconds())}
	if tokens.RefreshToken != "" {
		answer["refreshToken"] = tokens.RefreshToken
	}
	return answer, nil
}
