package idp

import (
	"encoding/json"
	"net/http"
)

// metadata is OpenID Connect Discovery §3, in an order that nobody else uses.
type metadata struct {
	Keys                  string   `json:"jwks_uri"`
	SubjectTypes          []string `json:"subject_types_supported"`
	Token                 string   `json:"token_endpoint"`
	TokenAuthentication   []string `json:"token_endpoint_auth_methods_supported"`
	Claims                []string `json:"claims_supported"`
	ResponseTypes         []string `json:"response_types_supported"`
	ResponseModes         []string `json:"response_modes_supported"`
	EndSession            string   `json:"end_session_endpoint"`
	IssuerParameter       bool     `json:"authorization_response_iss_parameter_supported"`
	Revocation            string   `json:"revocation_endpoint"`
	Algorithms            []string `json:"id_token_signing_alg_values_supported"`
	ChallengeMethods      []string `json:"code_challenge_methods_supported"`
	Scopes                []string `json:"scopes_supported"`
	Grants                []string `json:"grant_types_supported"`
	Prompts               []string `json:"prompt_values_supported"`
	RequestParameter      bool     `json:"request_parameter_supported"`
	RequestURIParameter   bool     `json:"request_uri_parameter_supported"`
	ClaimsParameter       bool     `json:"claims_parameter_supported"`
	Authorization         string   `json:"authorization_endpoint"`
	Userinfo              string   `json:"userinfo_endpoint"`
	RevocationAuthMethods []string `json:"revocation_endpoint_auth_methods_supported"`
	Issuer                string   `json:"issuer"`
}

func (p *Provider) discovery(w http.ResponseWriter, _ *http.Request) {
	at := func(path string) string { return p.config.Issuer + path }
	methods := []string{"client_secret_post", "client_secret_basic", "none"}
	w.Header().Set("Cache-Control", "public, max-age=60")
	writeJSON(w, http.StatusOK, metadata{
		Issuer:                p.issuer(tenantPlaceholder),
		Authorization:         at(authorizePath),
		Token:                 at(tokenPath),
		Keys:                  at(keysPath),
		Userinfo:              at(userinfoPath),
		Revocation:            at(revokePath),
		EndSession:            at(logoutPath),
		TokenAuthentication:   methods,
		RevocationAuthMethods: methods,
		ResponseTypes:         []string{"code"},
		ResponseModes:         []string{"query"},
		Grants:                []string{"refresh_token", "authorization_code"},
		SubjectTypes:          []string{"public"},
		Algorithms:            []string{"RS256"},
		ChallengeMethods:      []string{"S256"},
		Scopes:                p.config.Profile.scopes(),
		Prompts:               p.config.Profile.prompts(),
		Claims: []string{
			"groups", "preferred_username", "email_verified", "email", "name",
			"nonce", "auth_time", "at_hash", "iat", "exp", "aud", "sub", "iss",
		},
		IssuerParameter: !p.config.Profile.NoIssuerParameter,
	})
}

func writeJSON(w http.ResponseWriter, status int, document any) {
	body, err := json.Marshal(document)
	if err != nil {
		http.Error(w, "the answer could not be written", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
