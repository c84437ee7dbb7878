package idp

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A Profile is how a real kind of provider differs from this one. The zero value is the twin's own
// ways. What is in the profiles below is what their makers document, as far as a client meets it; where
// they leave it open, the stricter reading.
type Profile struct {
	// Rotation is what becomes of a refresh token that is used; Grace is for RotateWithGrace.
	Rotation Rotation
	Grace    time.Duration
	// Refresh says which sign-ins are given one.
	Refresh RefreshFor
	// Idle is how long a refresh token lives that was not asked for by offline_access; 0 is as long as
	// any other.
	Idle time.Duration

	// RefuseScopes end a request with invalid_scope, where others are ignored that are not known.
	RefuseScopes []string
	// ScopeOptional gives who asks for no scope all of them; SilentScope names none in answers.
	ScopeOptional, SilentScope bool
	// Prompts are those it knows; nil is none, login and select_account.
	Prompts []string
	// OpaqueState refuses a state that would have to be encoded in a URL.
	OpaqueState bool
	// NoIssuerParameter leaves iss out of the answers to browsers.
	NoIssuerParameter bool
	// Tenants makes each tenant an issuer of its own: what stands in the place of organizations in the
	// issuer's path is the person's tenant in ID tokens, and {tenantid} in the metadata.
	Tenants bool
	// AccessByClient makes access tokens JWTs with client_id and without aud.
	AccessByClient bool
	// RevokeAll has each token that is revoked take along all that the person gave the client.
	RevokeAll bool
	// GroupLimit is how many groups fit into an ID token, which holds a person's without being asked; of
	// who has more, it says only where to ask. 0 is no limit, and groups are given by their scope.
	GroupLimit int
	// Claims changes what ID tokens say of a person; one that is nil is left out.
	Claims func(p Person, client string) map[string]any
}

// Rotation is what becomes of a refresh token that is used.
type Rotation int

// The ways of rotation.
const (
	// RotateOnce gives another; to use the old one again ends the grant.
	RotateOnce Rotation = iota
	// RotateWithGrace is the same, but for a while the old one can be used again.
	RotateWithGrace
	// KeepOld gives another, and the old one stays good.
	KeepOld
	// NoRotation gives none.
	NoRotation
)

// RefreshFor says which sign-ins are given a refresh token.
type RefreshFor int

// The sign-ins that are.
const (
	// ByScope: those that ask for offline_access.
	ByScope RefreshFor = iota
	// Always: all.
	Always
	// ByConsent: those with access_type=offline in which the person consents, which they do the first
	// time, and when prompt=consent asks for it.
	ByConsent
)

// Cognito is an Amazon Cognito user pool as it comes.
func Cognito() Profile {
	return Profile{
		Rotation: NoRotation, Refresh: Always, RefuseScopes: []string{"offline_access"}, ScopeOptional: true, SilentScope: true,
		OpaqueState: true, NoIssuerParameter: true, AccessByClient: true,
		Claims: func(p Person, _ string) map[string]any {
			return map[string]any{"cognito:username": p.Username, "preferred_username": nil, "token_use": "id"}
		},
	}
}

// Okta is an authorization server of Okta with rotation as it is offered there.
func Okta() Profile {
	return Profile{
		Rotation: RotateWithGrace, Grace: 30 * time.Second, NoIssuerParameter: true,
		Claims: func(Person, string) map[string]any { return map[string]any{"email_verified": nil} },
	}
}

// Entra is Microsoft Entra ID at the address where all tenants sign in.
func Entra() Profile {
	return Profile{
		Rotation: KeepOld, NoIssuerParameter: true, Tenants: true, GroupLimit: 200,
		Claims: func(p Person, client string) map[string]any {
			return map[string]any{
				"sub": pairwise(p.Subject, client), "oid": objectID(p.Subject), "tid": p.Tenant, "preferred_username": p.Email, "ver": "2.0",
				"email_verified": nil, "at_hash": nil, "auth_time": nil,
			}
		},
	}
}

// Google is Google for a Workspace domain, which is a person's tenant.
func Google() Profile {
	return Profile{
		Rotation: NoRotation, Refresh: ByConsent, RefuseScopes: []string{"offline_access"}, Prompts: []string{"none", "consent", "select_account"}, NoIssuerParameter: true, RevokeAll: true,
		Claims: func(p Person, client string) map[string]any {
			claims := map[string]any{"azp": client, "preferred_username": nil, "auth_time": nil}
			if p.Tenant != "" {
				claims["hd"] = p.Tenant
			}
			return claims
		},
	}
}

// Keycloak is a realm of Keycloak as it comes.
func Keycloak() Profile {
	return Profile{Rotation: KeepOld, Refresh: Always, Idle: 30 * time.Minute}
}

// pairwise is a subject that each client knows by another name.
func pairwise(subject, client string) string {
	sum := sha256.Sum256([]byte(client + "\x00" + subject))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// objectID is a person's in their tenant.
func objectID(subject string) string {
	sum := sha256.Sum256([]byte(subject))
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

const tenantPlaceholder = "{tenantid}"

// issuer is what ID tokens of a tenant say in iss.
func (p *Provider) issuer(tenant string) string {
	if !p.config.Profile.Tenants {
		return p.config.Issuer
	}
	return strings.Replace(p.config.Issuer, "/organizations/", "/"+tenant+"/", 1)
}

// scopes are those that are supported.
func (p Profile) scopes() []string {
	return slices.DeleteFunc(slices.Clone(supportedScopes), func(s string) bool { return slices.Contains(p.RefuseScopes, s) })
}

// prompts are those that are supported.
func (p Profile) prompts() []string {
	if p.Prompts == nil {
		return []string{"select_account", "none", "login"}
	}
	return p.Prompts
}

// givesRefresh reports whether a sign-in is given a refresh token. The caller holds the lock.
func (p *Provider) givesRefresh(request authorization, person Person) bool {
	switch p.config.Profile.Refresh {
	case Always:
		return true
	case ByConsent:
		who := request.client + "\x00" + person.Subject
		consents := !p.consented[who] || request.asks("consent")
		p.consented[who] = true
		return request.offline && consents
	}
	return slices.Contains(request.scopes, "offline_access")
}

// refreshExpires is when a refresh token ends that is given now.
func (p *Provider) refreshExpires(g *grant, now time.Time) time.Time {
	if idle := p.config.Profile.Idle; idle > 0 && !slices.Contains(g.scopes, "offline_access") && now.Add(idle).Before(g.expires) {
		return now.Add(idle)
	}
	return g.expires
}

// takesAgain reports whether a refresh token that was used can be used again.
func (p *Provider) takesAgain(presented *refreshToken, now time.Time) bool {
	switch p.config.Profile.Rotation {
	case KeepOld, NoRotation:
		return true
	case RotateWithGrace:
		return now.Before(presented.usedAt.Add(p.config.Profile.Grace))
	}
	return false
}

// endAll ends all that a person gave a client. The caller holds the lock.
func (p *Provider) endAll(of *grant) {
	for _, it := range p.refresh.items {
		if g := it.value.grant; g.client == of.client && g.person.Subject == of.person.Subject {
			g.ended = true
		}
	}
}

// addGroups puts a person's groups into an ID token, or where to ask for them.
func (p *Provider) addGroups(claims map[string]any, person Person) {
	limit := p.config.Profile.GroupLimit
	switch {
	case limit == 0:
	case len(person.Groups) > limit:
		claims["_claim_names"] = map[string]string{"groups": "src1"}
		claims["_claim_sources"] = map[string]any{"src1": map[string]string{"endpoint": p.config.Issuer + "/groups-of/" + objectID(person.Subject)}}
	default:
		claims["groups"] = person.Groups
	}
}

// keysByTenant are the keys with the issuer beside each, as a provider with tenants shows them.
func (p *Provider) keysByTenant(w http.ResponseWriter) {
	var shown struct {
		Keys []map[string]any `json:"keys"`
	}
	plain, err := json.Marshal(p.keys.published())
	if err == nil {
		err = json.Unmarshal(plain, &shown)
	}
	if err != nil {
		http.Error(w, "the keys could not be written", http.StatusInternalServerError)
		return
	}
	for _, key := range shown.Keys {
		key["issuer"] = p.issuer(tenantPlaceholder)
	}
	writeJSON(w, http.StatusOK, shown)
}
