package connect

import (
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/go-json-experiment/json"
)

// Microsoft Entra ID has addresses at which the people of all tenants sign in. Their metadata is a
// template, with {tenantid} in the issuer, and each ID token is a tenant's own: the tenant stands in
// iss and in tid. What is checked there is that the two fit the template and each other, that the
// tenant is one to be let in, and that the key may sign for it.

const tenantPlaceholder = "{tenantid}"

var tenantPattern = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// isTemplateOf reports whether a template differs from an issuer in one part of the path alone.
func isTemplateOf(template, issuer string) bool {
	before, after, found := strings.Cut(template, "/"+tenantPlaceholder)
	alias, fits := strings.CutPrefix(issuer, before+"/")
	if !found || !fits || after != "" && after[0] != '/' {
		return false
	}
	alias, fits = strings.CutSuffix(alias, after)
	return fits && alias != "" && !strings.ContainsAny(alias, "/?#")
}

// checkTenant stands in for the comparison of iss, OpenID Connect Core §3.1.3.7 step 2.
func (c *Client) checkTenant(m *metadata, issuer string, claims map[string]any, raw string) error {
	tenant, _ := claims["tid"].(string)
	if !tenantPattern.MatchString(tenant) {
		return errors.New("tid is missing, or is no tenant's id")
	}
	if expected := strings.Replace(m.Issuer, tenantPlaceholder, tenant, 1); issuer != expected {
		return fmt.Errorf("expected issuer %q by its tid, got %q", expected, printable(issuer))
	}
	if !c.config.AcceptTenant(tenant) {
		return fmt.Errorf("people of tenant %s are not let in", tenant)
	}
	// Not each key signs for each tenant: those of personal accounts do for theirs alone.
	of, named := m.shown.issuerOf(keyID(raw))
	if named && of != m.Issuer && of != issuer {
		return errors.New("it is signed by the key of another tenant")
	}
	return nil
}

// keyID is what a JWT, which has been verified, says of its key.
func keyID(token string) string {
	encoded, _, _ := strings.Cut(token, ".")
	var header struct {
		KeyID string `json:"kid"`
	}
	decoded, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil || json.Unmarshal(decoded, &header) != nil {
		return ""
	}
	return header.KeyID
}

// issuerOf is the issuer that a key set names beside a key, and whether it names one.
func (a *rationed) issuerOf(keyID string) (issuer string, named bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var set struct {
		Keys []struct {
			KeyID  string `json:"kid"`
			Issuer string `json:"issuer"`
		} `json:"keys"`
	}
	if json.Unmarshal(a.body, &set) != nil {
		return "", false
	}
	for _, key := range set.Keys {
		if key.KeyID == keyID {
			return key.Issuer, key.Issuer != ""
		}
	}
	return "", false
}
