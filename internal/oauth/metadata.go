package oauth

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

// metadata are the documents that tell clients where everything is. They are made once, from
// the configured issuer; no header of a request can change them (MD-04).
type metadata struct {
	server   []byte
	resource []byte
}

// serverMetadata is RFC 8414 §2 and OpenID Connect Discovery §3 in one: each ignores what only
// the other knows. AWS reads it too, to find the keys of the assertions.
type serverMetadata struct {
	Issuer                string   `json:"issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	DeviceEndpoint        string   `json:"device_authorization_endpoint,omitempty"` // RFC 8628 §4
	RevocationEndpoint    string   `json:"revocation_endpoint"`
	UserinfoEndpoint      string   `json:"userinfo_endpoint"`
	JWKSURI               string   `json:"jwks_uri"`
	Scopes                []string `json:"scopes_supported"`
	ResponseTypes         []string `json:"response_types_supported"`
	ResponseModes         []string `json:"response_modes_supported"`
	GrantTypes            []string `json:"grant_types_supported"`
	CodeChallengeMethods  []string `json:"code_challenge_methods_supported"`
	TokenAuthMethods      []string `json:"token_endpoint_auth_methods_supported"`
	RevocationAuthMethods []string `json:"revocation_endpoint_auth_methods_supported"`
	SubjectTypes          []string `json:"subject_types_supported"`
	IDTokenAlgorithms     []string `json:"id_token_signing_alg_values_supported"`
	Claims                []string `json:"claims_supported"`
	Prompts               []string `json:"prompt_values_supported"`
	ProtectedResources    []string `json:"protected_resources"`
	IssuerInResponse      bool     `json:"authorization_response_iss_parameter_supported"`
	ClaimsParameter       bool     `json:"claims_parameter_supported"`
	RequestParameter      bool     `json:"request_parameter_supported"`
	RequestURIParameter   bool     `json:"request_uri_parameter_supported"`
}

// resourceMetadata is RFC 9728 §2.
type resourceMetadata struct {
	Resource      string   `json:"resource"`
	Servers       []string `json:"authorization_servers"`
	Scopes        []string `json:"scopes_supported"`
	BearerMethods []string `json:"bearer_methods_supported"`
	Name          string   `json:"resource_name"`
}

func (s *Server) buildMetadata() metadata {
	scopes := append([]string{}, grant.KnownScopes...)
	dataScopes := []string{grant.ScopeRead, grant.ScopeWrite}
	for _, name := range s.warehouseNames {
		scopes = append(scopes, grant.WarehouseScope(name))
		dataScopes = append(dataScopes, grant.WarehouseScope(name))
	}
	if s.givesCredentials() {
		scopes = append(scopes, grant.ScopeCredentials)
		dataScopes = append(dataScopes, grant.ScopeCredentials)
	}
	deviceEndpoint, grantTypes := "", []string{"authorization_code", "refresh_token"}
	if len(s.deviceApps) > 0 {
		deviceEndpoint, grantTypes = s.issuer+"/oauth2/device_authorization", append(grantTypes, deviceGrantType)
	}
	authMethods := []string{"none", "client_secret_basic", "client_secret_post"}
	return metadata{
		server: mustEncode(serverMetadata{
			Issuer:                s.issuer,
			AuthorizationEndpoint: s.issuer + "/oauth2/authorize",
			TokenEndpoint:         s.issuer + "/oauth2/token",
			DeviceEndpoint:        deviceEndpoint,
			RevocationEndpoint:    s.issuer + "/oauth2/revoke",
			UserinfoEndpoint:      s.issuer + "/oauth2/userinfo",
			JWKSURI:               s.issuer + "/oauth2/jwks",
			Scopes:                scopes,
			ResponseTypes:         []string{"code"},
			ResponseModes:         []string{"query"},
			GrantTypes:            grantTypes,
			CodeChallengeMethods:  []string{"S256"},
			TokenAuthMethods:      authMethods,
			RevocationAuthMethods: authMethods,
			SubjectTypes:          []string{"public"},
			IDTokenAlgorithms:     []string{"RS256"},
			Claims: []string{
				"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "at_hash",
				"name", "preferred_username", "email", "email_verified", "database_user", "warehouse",
			},
			Prompts:            []string{"none", "login", "consent", "select_account"},
			ProtectedResources: []string{s.resource},
			IssuerInResponse:   true,
		}),
		resource: mustEncode(resourceMetadata{
			Resource: s.resource, Servers: []string{s.issuer}, Scopes: dataScopes,
			BearerMethods: []string{"header"}, Name: "Amazon Redshift by shiftgrant",
		}),
	}
}

// givesCredentials reports whether any warehouse does.
func (s *Server) givesCredentials() bool {
	return slices.ContainsFunc(s.warehouseNames, func(name string) bool { return s.warehouses[name].GivesCredentials })
}

// mustEncode encodes strings and booleans, which cannot fail.
func mustEncode(document any) []byte {
	encoded, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		panic(err)
	}
	return append(encoded, '\n')
}

// ResourceMetadataURL is what a door names in its challenge (RFC 9728 §5.1).
func (s *Server) ResourceMetadataURL() string {
	return s.origin() + "/.well-known/oauth-protected-resource" + s.base
}

// origin is the issuer without its path. RFC 8414 §3.1 puts the well-known part in between.
func (s *Server) origin() string { return s.issuer[:len(s.issuer)-len(s.base)] }

// isOurResource compares byte for byte, but for the slash that URL libraries add to a bare
// origin (RFC 3986 §6.2.3).
func (s *Server) isOurResource(resource string) bool {
	return resource == s.resource || s.base == "" && resource == s.resource+"/"
}

// publish serves a document that anybody may read and keep for a while.
func publish(document func() []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Type", "application/json")
		header.Set("Cache-Control", "public, max-age=300")
		header.Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodHead {
			_, _ = w.Write(document()) // the caller is gone: nobody left to tell
		}
	}
}
