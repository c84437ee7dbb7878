package doctor

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
)

// providerMetadata is what is needed of OpenID Connect Discovery §3.
type providerMetadata struct {
	Issuer        string   `json:"issuer"`
	Authorization string   `json:"authorization_endpoint"`
	Token         string   `json:"token_endpoint"`
	Keys          string   `json:"jwks_uri"`
	TokenAuth     []string `json:"token_endpoint_auth_methods_supported"`
}

func checkUpstream(ctx context.Context, v *visit) finding {
	client := plainClient()
	defer client.CloseIdleConnections()
	if v.upstream.IsIdentityCenter() {
		return v.checkIdentityCenter(ctx, client)
	}
	at := strings.TrimSuffix(v.upstream.Issuer, "/") + "/.well-known/openid-configuration"
	got, err := get(ctx, client, at)
	switch {
	case err != nil && untrusted(err):
		return broken("untrusted", nil, "fault", oneLine(err.Error()))
	case err != nil:
		return broken("unreachable", err)
	case got.status != http.StatusOK:
		return broken("no_discovery", nil, "url", at, "fault", fmt.Sprintf("status %d", got.status))
	case json.Unmarshal(got.body, &v.provider) != nil || v.provider.Issuer == "":
		return broken("no_discovery", nil, "url", at, "fault", "the answer is no such document")
	case v.provider.Authorization == "" || v.provider.Token == "":
		return broken("no_discovery", nil, "url", at, "fault", "it names no authorization_endpoint or token_endpoint")
	case !v.sameIssuer(v.provider.Issuer):
		return broken("wrong_issuer", nil, "said", oneLine(v.provider.Issuer))
	}
	if fault := readableKeys(ctx, client, v.provider.Keys); fault != "" {
		return broken("no_keys", nil, "fault", fault)
	}
	if date, err := http.ParseTime(got.header.Get("Date")); err == nil && !v.clockIsWrong {
		// Whose clock is wrong was found by the link clock, which asks AWS.
		if skew := v.config.Now().Sub(date); skew.Abs() > 2*clockTolerance {
			return weak("clock", nil, "skew", direction(-skew))
		}
	}
	return whole("%s says who it is and shows its keys", v.upstream.Issuer)
}

// checkIdentityCenter finds IAM Identity Center in its region. It shows neither a discovery document nor
// keys, so that it answers is all that can be seen from outside.
func (v *visit) checkIdentityCenter(ctx context.Context, client *http.Client) finding {
	address := v.upstream.Address()
	v.provider = providerMetadata{Authorization: address + "/authorize", Token: address + "/token", TokenAuth: []string{"none"}}
	got, err := get(ctx, client, v.provider.Authorization)
	switch {
	case err != nil && untrusted(err):
		return broken("untrusted", nil, "fault", oneLine(err.Error()))
	case err != nil:
		return broken("unreachable", err)
	case got.status >= http.StatusInternalServerError:
		return broken("unreachable", fmt.Errorf("status %d", got.status))
	}
	return whole("IAM Identity Center answers at %s", address)
}

// sameIssuer lets Entra ID's {tenantid} stand for one part of a path, as the gateway does.
func (v *visit) sameIssuer(said string) bool {
	configured := v.upstream.Issuer
	if said == configured || v.upstream.Preset != "entra" {
		return said == configured
	}
	before, after, template := strings.Cut(said, "{tenantid}")
	return template && strings.HasPrefix(configured, before) && strings.HasSuffix(configured, after)
}

func readableKeys(ctx context.Context, client *http.Client, at string) (fault string) {
	got, err := get(ctx, client, at)
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	switch {
	case err != nil:
		return oneLine(err.Error())
	case got.status != http.StatusOK:
		return fmt.Sprintf("status %d", got.status)
	case json.Unmarshal(got.body, &set) != nil || len(set.Keys) == 0:
		return "there is no key in it"
	}
	return ""
}

// refusals are words by which identity providers say on a page of theirs what an answer to the
// client would not be safe to say.
var refusals = []struct{ cause, word string }{
	{"not_registered", "redirect_uri_mismatch"},  // Google
	{"not_registered", "AADSTS50011"},            // Entra ID
	{"not_registered", "redirect_mismatch"},      // Cognito
	{"no_client", "AADSTS700016"},                // Entra ID
	{"no_client", "client_id is not registered"}, // the twin
	{"no_client", "there is no such client"},     // the twin's Identity Center
	{"no_client", "invalid_client"},
	{"no_client", "Client not found"}, // Keycloak
	{"no_client", "unknown client"},
}

// checkRedirect asks for a sign-in that shows no page. Who accepts the redirect URI sends us back to
// it, with an error; who does not must not (RFC 6749 §4.1.2.1) and says so on a page.
func checkRedirect(ctx context.Context, v *visit) finding {
	client := plainClient()
	defer client.CloseIdleConnections()
	got, err := get(ctx, client, v.signInURL())
	switch {
	case err != nil:
		return broken("unreachable", nil, "url", v.provider.Authorization, "fault", oneLine(err.Error()))
	case got.status >= http.StatusInternalServerError:
		return broken("unreachable", nil, "url", v.provider.Authorization, "fault", fmt.Sprintf("status %d", got.status))
	}
	location := got.header.Get("Location")
	if strings.HasPrefix(location, v.callback()) {
		return v.returned(location)
	}
	page := location + " " + hidden(location) + " " + string(got.body)
	for _, r := range refusals {
		if strings.Contains(page, r.word) {
			return broken(r.cause, nil)
		}
	}
	if got.status >= http.StatusBadRequest || leadsToErrors(location) {
		return broken("not_registered", fmt.Errorf("it answered with status %d and a page of its own", got.status))
	}
	return whole("it shows its sign-in for client %s and %s", v.upstream.ClientID, v.callback())
}

// hidden is what Google says in the address of its error page: base64, with the error's name in it.
func hidden(location string) string {
	u, err := url.Parse(location)
	if err != nil {
		return ""
	}
	decoded, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(u.Query().Get("authError"), "="))
	if err != nil {
		return ""
	}
	return string(decoded)
}

// leadsToErrors reports whether an address is an error page's, as Cognito's and Google's are named.
func leadsToErrors(location string) bool {
	u, err := url.Parse(location)
	return err == nil && strings.HasSuffix(u.Path, "/error")
}

// returned reads the error with which the provider came back.
func (v *visit) returned(location string) finding {
	back, err := url.Parse(location)
	if err != nil {
		return broken("unreachable", nil, "url", v.provider.Authorization, "fault", "it redirects to what is no URL")
	}
	query := back.Query()
	switch query.Get("error") {
	case "invalid_scope":
		return broken("scopes", nil, "scopes", strings.Join(v.upstream.Scopes, " "), "fault", oneLine(strings.TrimSpace("invalid_scope "+query.Get("error_description"))))
	case "unauthorized_client":
		return broken("no_client", fmt.Errorf("unauthorized_client: %s", query.Get("error_description")))
	}
	return whole("client %s and %s are accepted", v.upstream.ClientID, v.callback())
}

func (v *visit) signInURL() string {
	verifier := make([]byte, 32)
	rand.Read(verifier)
	challenge := sha256.Sum256([]byte(base64.RawURLEncoding.EncodeToString(verifier)))
	query := url.Values{
		"response_type": {"code"}, "client_id": {v.upstream.ClientID}, "redirect_uri": {v.callback()}, "scope": {strings.Join(v.upstream.Scopes, " ")},
		"state": {rand.Text()}, "nonce": {rand.Text()}, "prompt": {"none"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}
	if v.upstream.IsIdentityCenter() {
		query = url.Values{
			"response_type": query["response_type"], "client_id": query["client_id"], "redirect_uri": query["redirect_uri"], "state": query["state"],
			"scopes": query["scope"], "code_challenge": query["code_challenge"], "code_challenge_method": query["code_challenge_method"],
		}
	}
	separator := "?"
	if strings.Contains(v.provider.Authorization, "?") {
		separator = "&"
	}
	return v.provider.Authorization + separator + query.Encode()
}

// provesItself reports whether the gateway shows the IdP who it is: by a secret, or by AWS keys.
func provesItself(v *visit) bool {
	return !v.upstream.ClientSecret.Secret().IsZero() || v.upstream.IsIdentityCenter()
}

// checkClient redeems a code that does not exist. A client is authenticated before its code is
// looked at (RFC 6749 §4.1.3), so invalid_grant means that the secret is right.
func checkClient(ctx context.Context, v *visit) finding {
	client := plainClient()
	defer client.CloseIdleConnections()
	if v.upstream.IsIdentityCenter() {
		adapter, end, err := v.upstream.OpenIdentityCenter(slog.New(slog.DiscardHandler), v.config.Now)
		if err != nil {
			return broken("unreachable", nil, "url", v.provider.Token, "fault", oneLine(err.Error()))
		}
		defer end()
		client = &http.Client{Transport: adapter}
	}
	got, err := v.redeemNothing(ctx, client)
	if err != nil {
		return broken("unreachable", nil, "url", v.provider.Token, "fault", oneLine(err.Error()))
	}
	var refusal struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(got.body, &refusal) != nil || refusal.Error == "" {
		return broken("unreachable", nil, "url", v.provider.Token, "fault", fmt.Sprintf("status %d without an OAuth error", got.status))
	}
	refused := oneLine(strings.TrimSpace(refusal.Error + " " + refusal.Description))
	switch center := v.upstream.IsIdentityCenter(); {
	case center && refusal.Error == "invalid_grant":
		return whole("the gateway's AWS keys may act for %s", v.upstream.ClientID)
	case center:
		return broken("no_actor", nil, "fault", refused)
	case refusal.Error == "invalid_client", refusal.Error == "unauthorized_client":
		return broken("refused", nil, "fault", refused)
	case refusal.Error == "invalid_grant":
		return whole("the secret of client %s is right", v.upstream.ClientID)
	case refusal.Error == "invalid_request": // Entra ID looks at the code's form first
		return whole("the token endpoint answers, and does not tell whether the secret is right")
	}
	return broken("unreachable", nil, "url", v.provider.Token, "fault", refused)
}

func (v *visit) redeemNothing(ctx context.Context, client *http.Client) (answer, error) {
	form := url.Values{"grant_type": {"authorization_code"}, "code": {"shiftgrant-doctor"}, "redirect_uri": {v.callback()}, "code_verifier": {strings.Repeat("doctor-", 8)}}
	secret := v.upstream.ClientSecret.Secret().Reveal()
	basic := len(v.provider.TokenAuth) == 0 // RFC 8414 §2: the default
	for _, method := range v.provider.TokenAuth {
		basic = basic || method == "client_secret_basic"
	}
	if !basic {
		form.Set("client_id", v.upstream.ClientID)
		form.Set("client_secret", secret)
		return post(ctx, client, v.provider.Token, form)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, v.provider.Token, strings.NewReader(form.Encode()))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	// RFC 6749 §2.3.1: each part is form-encoded first.
	request.SetBasicAuth(url.QueryEscape(v.upstream.ClientID), url.QueryEscape(secret))
	return send(client, request)
}
