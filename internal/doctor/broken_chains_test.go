package doctor_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/identitycenter"
	"github.com/shiftgrant/shiftgrant/twin/script"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
	"github.com/shiftgrant/shiftgrant/twin/sts"
	"github.com/shiftgrant/shiftgrant/twin/wire"
)

// An arrangement does something to the world, and gives changes to the configuration.
type arrangement = func(*testing.T, *world) []string

// with does several, the first first: of changes to the same place, the first holds.
func with(all ...arrangement) arrangement {
	return func(t *testing.T, w *world) []string {
		var changes []string
		for _, arrange := range all {
			changes = append(changes, arrange(t, w)...)
		}
		return changes
	}
}

// webIdentity is the chain of the world's configuration.
const webIdentity = `chain: web_identity, role_arn: "` + twin.RoleARN + `"`

// useKeys gives the gateway other AWS credentials of its own.
func useKeys(own sigv4.Credential) arrangement {
	return func(t *testing.T, _ *world) []string {
		t.Setenv("AWS_ACCESS_KEY_ID", own.AccessKeyID)
		t.Setenv("AWS_SECRET_ACCESS_KEY", own.SecretAccessKey)
		t.Setenv("AWS_SESSION_TOKEN", own.SessionToken)
		return nil
	}
}

// useNoKeys has an agent of the container refuse, so that nobody looks for an instance's.
func useNoKeys(t *testing.T, _ *world) []string {
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://"+closedPort(t)+"/agent")
	return nil
}

// The chains besides the world's own.

func byRole(t *testing.T, w *world) []string {
	return append(useKeys(twin.PartnerKeys())(t, w), webIdentity, `chain: role, role_arn: "`+twin.PartnerRoleARN+`", external_id: `+twin.ExternalID)
}

// byTrust has Redshift take the gateway's assertions at its port.
func byTrust(*testing.T, *world) []string {
	return []string{webIdentity, "chain: identity_center", "audience: redshift-gateway", "audience: " + twin.IdentityCenterAudience}
}

func exchange(w *world, more string) []string {
	return []string{webIdentity, `chain: identity_center, application: "` + twin.ApplicationARN + `", people_role_arn: "` + twin.PeopleRoleARN + `", sso_oidc_endpoint: "` + w.aws.url + `"` + more}
}

// byExchange has Identity Center take them, for the Data API.
func byExchange(t *testing.T, w *world) []string {
	return append(useKeys(twin.GatewayKeys())(t, w), exchange(w, "")...)
}

func byAuthToken(t *testing.T, w *world) []string {
	return append(useKeys(twin.GatewayKeys())(t, w), exchange(w, ", login: auth_token")...)
}

// becoming has the gateway be a role in AWS by its own word, and no AWS keys besides.
func becoming(role string, way arrangement) arrangement {
	return func(t *testing.T, w *world) []string {
		pairs := with(way, useNoKeys)(t, w)
		for i := 1; i < len(pairs); i += 2 {
			pairs[i] = strings.Replace(pairs[i], "chain: ", `gateway_role_arn: "`+role+`", chain: `, 1)
		}
		return pairs
	}
}

func bySecret(t *testing.T, w *world) []string {
	return append(useKeys(twin.GatewayKeys())(t, w), webIdentity, `chain: secret, secret_arn: "`+twin.SecretARN+`", secretsmanager_endpoint: "`+w.aws.url+`"`)
}

func byPassword(t *testing.T, w *world) []string {
	path := w.write(t, "service.password", twin.ServicePassword)
	return []string{webIdentity, "chain: password, user: " + twin.ServiceUser + `, password: "file:` + path + `"`}
}

// byUpstream and byEntra begin with a token of the person's own.
func byUpstream(*testing.T, *world) []string {
	return []string{webIdentity + ", audience: redshift-gateway", `chain: web_identity, assertion: upstream, role_arn: "` + twin.StaffRoleARN + `"`}
}

func byEntra(*testing.T, *world) []string {
	return []string{webIdentity, "chain: entra, namespace: " + twin.EntraNamespace}
}

var (
	noWire     = changes("transport: auto", "transport: dataapi")
	serverless = changes("cluster: tickit", "workgroup: "+twin.Workgroup)
)

// refusing has a service of the twin refuse an operation until the test ends.
func refusing(service func(*world) *script.Script, operation string, status int, code, message string) arrangement {
	return func(t *testing.T, w *world) []string {
		service(w).Refuse(operation, script.Refusal{Status: status, Code: code, Message: message})
		t.Cleanup(service(w).Reset)
		return nil
	}
}

// exchangeSays has Identity Center refuse, without a word more, as it does.
func exchangeSays(code string) arrangement {
	return refusing(func(w *world) *script.Script { return &w.twin.OIDC.Script }, "CreateTokenWithIAM", http.StatusBadRequest, code, "")
}

func stsSays(code, message string) arrangement {
	return refusing(func(w *world) *script.Script { return &w.twin.STS.Script }, "AssumeRole", http.StatusForbidden, code, message)
}

func secretsSay(code, message string) arrangement {
	return refusing(func(w *world) *script.Script { return w.twin.Secrets.Script }, "GetSecretValue", http.StatusBadRequest, code, message)
}

func redshiftSays(status int, code, message string) arrangement {
	return refusing(func(w *world) *script.Script { return &w.twin.Passwords.Script }, "GetIdentityCenterAuthToken", status, code, message)
}

// application changes the one of Identity Center that the gateway uses.
func application(change func(*identitycenter.Application)) arrangement {
	return func(t *testing.T, w *world) []string {
		before, err := w.twin.Center.Application(twin.ApplicationARN)
		must(t, err)
		set := func(change func(*identitycenter.Application)) error {
			return w.twin.Center.Change(twin.ApplicationARN, func(a *identitycenter.Application) error { change(a); return nil })
		}
		must(t, set(change))
		t.Cleanup(func() { must(t, set(func(a *identitycenter.Application) { *a = before })) })
		return nil
	}
}

// trust changes the trust policy of one of the account's roles.
func trust(role, before, after string) arrangement {
	return func(t *testing.T, w *world) []string {
		held, found := w.twin.STS.Role(role)
		changed := held
		changed.TrustPolicy = strings.ReplaceAll(held.TrustPolicy, before, after)
		if !found || changed.TrustPolicy == held.TrustPolicy {
			t.Fatalf("the role %s has no %s", role, before)
		}
		must(t, w.twin.STS.PutRole(changed))
		t.Cleanup(func() { must(t, w.twin.STS.PutRole(held)) })
		return nil
	}
}

// centerPath has the exchange answered otherwise.
func centerPath(answer string) arrangement {
	return func(t *testing.T, w *world) []string {
		w.aws.misbehave(t, func(rw http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/token" {
				return false
			}
			_, _ = io.WriteString(rw, answer)
			return true
		})
		return nil
	}
}

// exchanging goes by Identity Center and the Data API alone.
func exchanging(more ...arrangement) arrangement { return with(append(more, noWire, byExchange)...) }

func brokenKeys() []breakage {
	nobody := sigv4.Credential{AccessKeyID: "AKIANOBODY0000000000", SecretAccessKey: "x"}
	wrongSecret := twin.PartnerKeys()
	wrongSecret.SecretAccessKey = "another"
	itself := becoming(twin.GatewayRoleARN, bySecret)
	return []breakage{
		{link: "settings", cause: "invalid", how: "the file of `ca` is gone", arrange: func(_ *testing.T, w *world) []string {
			return []string{"ca: " + w.folder + "/ca.pem", "ca: /nowhere/ca.pem"}
		}},
		{link: "own_role", cause: "no_provider", how: "the account has no OIDC provider for the gateway (the gateway itself)", arrange: with(itself, otherSTS(func(c *sts.Config) { c.Providers[0].URL, c.Roles = "https://other.example", nil }))},
		{link: "own_role", cause: "audience", how: "the OIDC provider lists another audience (the gateway itself)", arrange: with(itself, changes("audience: redshift-gateway", "audience: other"))},
		{link: "own_role", cause: "untrusted", how: "the gateway's own role does not trust its assertions", arrange: with(itself, trust(twin.GatewayRoleName, `"sts:AssumeRoleWithWebIdentity"`, `"sts:AssumeRole"`))},
		{link: "own_role", cause: "untrusted", how: "`gateway_role_arn` is misspelt", arrange: becoming(twin.GatewayRoleARN+"-misspelt", bySecret)},
		{link: "own_role", cause: "claims", how: "AWS's clock is behind (the gateway itself)", arrange: with(itself, otherSTS(func(c *sts.Config) { c.Now = ahead(-10 * time.Minute) }))},
		{link: "own_role", cause: "expired", how: "the assertion about the gateway arrives an hour late", arrange: with(itself, otherSTS(func(c *sts.Config) { c.Now = ahead(time.Hour) }))},
		{link: "own_role", cause: "keys_unread", how: "AWS cannot reach the issuer (the gateway itself)", arrange: with(itself, awsReads(hangUp))},
		{link: "own_role", cause: "keys_stale", how: "AWS reads another key set (the gateway itself)", arrange: with(itself, awsReads(noKeys))},
		{link: "own_role", cause: "region", how: "the region is not enabled in the account (the gateway itself)", arrange: with(itself, byAWS("AssumeRoleWithWebIdentity", xmlError(http.StatusForbidden, "RegionDisabledException", "STS is not activated in this region for account:123456789012.")))},
		{link: "own_role", cause: "too_large", how: "the policies of the gateway's session are too large", arrange: with(itself, byAWS("AssumeRoleWithWebIdentity", xmlError(http.StatusBadRequest, "PackedPolicyTooLarge", "Packed size of session tags consumes 112% of allotted space.")))},
		{link: "own_role", cause: "other", how: "STS has a fault (the gateway itself)", arrange: with(itself, byAWS("AssumeRoleWithWebIdentity", xmlError(http.StatusBadRequest, "MalformedPolicyDocument", "The policy is not in the valid JSON format.")))},
		{link: "own_keys", cause: "none", how: "the gateway's process has no AWS keys", arrange: with(byRole, useNoKeys)},
		{link: "own_keys", cause: "refused", how: "AWS does not know the gateway's keys", arrange: with(byRole, useKeys(nobody))},
		{link: "own_keys", cause: "refused", how: "the secret belongs to another key", arrange: with(byRole, useKeys(wrongSecret))},
		{link: "own_keys", cause: "expired", how: "the session in AWS_SESSION_TOKEN is over", arrange: with(byRole, byAWS("GetCallerIdentity", xmlError(http.StatusForbidden, "ExpiredToken", "The security token included in the request is expired")))},
		{link: "own_keys", cause: "unasked", how: "a gateway with a secret cannot reach STS", arrange: with(func(t *testing.T, w *world) []string {
			return []string{stsLine + w.aws.url, stsLine + "http://" + closedPort(t)}
		}, bySecret), as: twin.ServiceUser},
		{link: "assume", cause: "untrusted", how: "the role asks for another external id", arrange: func(t *testing.T, w *world) []string {
			pairs := byRole(t, w)
			return []string{pairs[0], strings.ReplaceAll(pairs[1], twin.ExternalID, "another")}
		}},
		{link: "assume", cause: "untrusted", how: "the role trusts another account", arrange: with(byRole, trust(twin.PartnerRoleName, twin.PartnerAccount, twin.Account))},
		{link: "assume", cause: "not_allowed", how: "the gateway's own role may not assume any", arrange: with(byRole, stsSays("AccessDenied", "User: arn:aws:sts::210987654321:assumed-role/gateway/gateway is not authorized to perform: sts:AssumeRole on resource: "+twin.PartnerRoleARN+" because no identity-based policy allows the sts:AssumeRole action"))},
		{link: "assume", cause: "tagging", how: "the role's trust policy lacks sts:TagSession", arrange: with(byRole, trust(twin.PartnerRoleName, `"sts:TagSession", `, ""))},
		{link: "assume", cause: "context", how: "the people's role lacks sts:SetContext", arrange: exchanging(trust(twin.PeopleRoleName, `"sts:SetContext", `, "")), as: "alice", email: aliceMail},
		{link: "assume", cause: "expired", how: "the identity context arrives too late", arrange: exchanging(stsSays("ExpiredTokenException", "The identity context has expired")), as: "alice", email: aliceMail},
		{link: "assume", cause: "region", how: "the region is not enabled in the role's account", arrange: with(byRole, stsSays("RegionDisabledException", "STS is not activated in this region"))},
		{link: "assume", cause: "too_large", how: "the session's tags are too large (AssumeRole)", arrange: with(byRole, stsSays("PackedPolicyTooLarge", "Packed size of session tags consumes 112% of allotted space."))},
		{link: "assume", cause: "form", how: "the session is longer than the role allows", arrange: with(byRole, stsSays("ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."))},
		{link: "assume", cause: "busy", how: "STS is limiting calls", arrange: with(byRole, stsSays("Throttling", "Rate exceeded"))},
		{link: "assume", cause: "other", how: "STS has a fault", arrange: with(byRole, stsSays("InternalFailure", "We encountered an internal error."))},
		{link: "secret", cause: "denied", how: "the gateway's role may not read the secret", arrange: with(bySecret, func(t *testing.T, w *world) []string {
			w.twin.Secrets.Deny(twin.SecretARN, true)
			t.Cleanup(func() { w.twin.Secrets.Deny(twin.SecretARN, false) })
			return nil
		}), as: twin.ServiceUser},
		{link: "secret", cause: "no_secret", how: "`secret_arn` is misspelt", arrange: func(t *testing.T, w *world) []string {
			pairs := bySecret(t, w)
			return []string{pairs[0], strings.ReplaceAll(pairs[1], twin.SecretARN, twin.SecretARN+"0")}
		}, as: twin.ServiceUser},
		{link: "secret", cause: "deleted", how: "the secret is marked for deletion", arrange: with(bySecret, secretsSay("InvalidRequestException", "You can't perform this operation on the secret because it was marked for deletion.")), as: twin.ServiceUser},
		{link: "secret", cause: "no_key", how: "the gateway's role may not use the secret's key", arrange: with(bySecret, secretsSay("AccessDeniedException", "Access to KMS is not allowed")), as: twin.ServiceUser},
		{link: "secret", cause: "no_key", how: "the secret's key is disabled", arrange: with(bySecret, secretsSay("DecryptionFailure", "Secrets Manager can't decrypt the protected secret text using the provided KMS key.")), as: twin.ServiceUser},
		{link: "secret", cause: "form", how: "the secret is one of another service", arrange: secretHolds(`{"api_key":"canary"}`), as: twin.ServiceUser},
		{link: "secret", cause: "unreachable", how: "Secrets Manager cannot be reached", arrange: func(t *testing.T, w *world) []string {
			pairs := bySecret(t, w)
			return []string{pairs[0], strings.ReplaceAll(pairs[1], w.aws.url, "http://"+closedPort(t))}
		}, as: twin.ServiceUser},
		{link: "secret", cause: "other", how: "Secrets Manager has a fault", arrange: with(bySecret, secretsSay("InternalServiceError", "An error occurred on the server side.")), as: twin.ServiceUser},
		{link: "configuration", cause: "secret", how: "the file of the database user's password is gone", arrange: changes(webIdentity, "chain: password, user: service, password: \"file:/nowhere/service.password\"")},
		{link: "federation", cause: "no_provider", how: "the account has no OIDC provider for the people's identity provider", arrange: with(byUpstream, func(t *testing.T, w *world) []string {
			w.twin.STS.RemoveProvider(w.twin.IdPIssuer())
			t.Cleanup(func() { must(t, w.twin.STS.PutProvider(staffProvider(w))) })
			return nil
		})},
		{link: "federation", cause: "audience", how: "that OIDC provider lists another client", arrange: with(byUpstream, federationSays("InvalidIdentityToken", "Incorrect token audience"))},
		{link: "federation", cause: "keys_unread", how: "AWS cannot reach the people's identity provider", arrange: with(byUpstream, federationSays("IDPCommunicationError", "Couldn't communicate with the identity provider."))},
		{link: "federation", cause: "region", how: "the region is not enabled in the account (people's own tokens)", arrange: with(byUpstream, federationSays("RegionDisabledException", "STS is not activated in this region"))},
		{link: "federation", cause: "other", how: "STS throttles the question about the identity provider", arrange: with(byUpstream, federationSays("Throttling", "Rate exceeded"))},
	}
}

const aliceMail = "alice@example.com"

// staffProvider is the people's identity provider as the account knows it.
func staffProvider(w *world) sts.Provider {
	return sts.Provider{URL: w.twin.IdPIssuer(), ClientIDs: []string{twin.ClientID}}
}

func federationSays(code, message string) arrangement {
	return byAWS("AssumeRoleWithWebIdentity", xmlError(http.StatusBadRequest, code, message))
}

// secretHolds puts another value into the secret until the test ends.
func secretHolds(value string) arrangement {
	return func(t *testing.T, w *world) []string {
		pairs := bySecret(t, w)
		before, err := w.twin.Secrets.Value(twin.GatewayKeys(), twin.SecretARN)
		must(t, err)
		name, suffix := "shiftgrant/tickit", twin.SecretARN[len(twin.SecretARN)-6:]
		w.twin.Secrets.Put(name, suffix, value)
		t.Cleanup(func() { w.twin.Secrets.Put(name, suffix, before) })
		return pairs
	}
}

func brokenCenter() []breakage {
	var all []breakage
	add := func(cause, how string, arrange arrangement) {
		all = append(all, breakage{link: "center", cause: cause, how: how, arrange: arrange, as: "alice", email: aliceMail})
	}
	add("denied", "the application names another actor", with(noWire, byExchange, useKeys(twin.DeveloperKeys("admin"))))
	add("denied", "the person is not assigned to the application", exchanging(application(func(a *identitycenter.Application) { a.AssignmentRequired = true })))
	add("denied", "the same, without a word of Identity Center", exchanging(exchangeSays("AccessDeniedException")))
	add("assertion", "no trusted token issuer of the application is this gateway", exchanging(func(t *testing.T, w *world) []string {
		other, err := w.twin.Center.CreateIssuer(identitycenter.Issuer{Name: "other", URL: "https://other.example", ClaimPath: "email", StorePath: "emails.value"})
		must(t, err)
		t.Cleanup(func() { must(t, w.twin.Center.DeleteIssuer(other.ARN)) })
		return application(func(a *identitycenter.Application) {
			a.Grants = map[string]identitycenter.Grant{identitycenter.JWTBearer: {Issuers: []identitycenter.TrustedIssuer{{IssuerARN: other.ARN, Audiences: []string{twin.Audience}}}}}
		})(t, w)
	}))
	add("assertion", "the application takes another audience", exchanging(changes("audience: redshift-gateway", "audience: other")))
	add("no_application", "`application` is misspelt", with(noWire, func(t *testing.T, w *world) []string {
		pairs := byExchange(t, w)
		return []string{pairs[0], strings.ReplaceAll(pairs[1], twin.ApplicationARN, twin.ApplicationARN+"0")}
	}))
	add("no_grant", "the application has no JWT bearer grant", exchanging(application(func(a *identitycenter.Application) { a.Grants = nil })))
	add("scope", "the application lacks a scope", exchanging(exchangeSays("InvalidScopeException")))
	add("scope", "Identity Center gives no context", exchanging(centerPath(`{"accessToken":"aoa","tokenType":"Bearer","expiresIn":3600}`)))
	add("request", "Identity Center cannot reach the issuer, and this machine can", exchanging(func(t *testing.T, w *world) []string {
		w.twin.Center.ForgetKeys(false) // those it has read
		w.issuer.misbehave(t, func(rw http.ResponseWriter, r *http.Request) bool {
			return r.UserAgent() != "shiftgrant-doctor" && hangUp(rw, r)
		})
		return nil
	}))
	add("expired", "the assertion arrives late at Identity Center", exchanging(exchangeSays("ExpiredTokenException")))
	add("region", "Identity Center is in another region", exchanging(exchangeSays("InvalidRequestRegionException")))
	add("busy", "Identity Center is limiting calls", exchanging(exchangeSays("SlowDownException")))
	add("unreachable", "Identity Center cannot be reached", with(noWire, func(t *testing.T, w *world) []string {
		pairs := byExchange(t, w)
		return []string{pairs[0], strings.ReplaceAll(pairs[1], w.aws.url, "http://"+closedPort(t))}
	}))
	add("other", "Identity Center has a fault", exchanging(exchangeSays("InternalServerException")))
	return append(
		all,
		breakage{link: "center", cause: "assertion", how: "nobody in Identity Center has the e-mail address (Data API)", arrange: exchanging(), as: "alice", email: "nobody@example.com"},
		breakage{link: "center", cause: "no_email", how: "Identity Center is to know a person whose e-mail address nobody told", arrange: exchanging()},
	)
}

func brokenTokens() []breakage {
	var all []breakage
	add := func(link, cause, how string, arrange arrangement) {
		all = append(all, breakage{link: link, cause: cause, how: how, arrange: arrange, as: "alice", email: aliceMail})
	}
	add("auth_token", "denied", "the people's role lacks redshift:GetIdentityCenterAuthToken", with(byAuthToken, redshiftSays(http.StatusForbidden, "AccessDenied", "User is not authorized to perform: redshift:GetIdentityCenterAuthToken")))
	add("auth_token", "no_context", "the credentials carry no identity context", with(byAuthToken, redshiftSays(http.StatusBadRequest, "UnsupportedOperation", "The credentials are not identity-enhanced")))
	add("auth_token", "no_warehouse", "`cluster` is misspelt (token of Identity Center)", with(changes("cluster: tickit", "cluster: ticket"), byAuthToken))
	add("auth_token", "paused", "the cluster is resizing", with(byAuthToken, redshiftSays(http.StatusBadRequest, "InvalidClusterState", "The cluster is not available.")))
	add("auth_token", "busy", "AWS is limiting calls for tokens", with(serverless, byAuthToken, redshiftSays(http.StatusBadRequest, "ThrottlingException", "Rate exceeded")))
	add("auth_token", "unreachable", "Redshift's control plane cannot be reached (token of Identity Center)", with(byAuthToken, func(t *testing.T, w *world) []string {
		return []string{"redshift_endpoint: " + w.aws.url, "redshift_endpoint: http://" + closedPort(t)}
	}))
	add("auth_token", "other", "AWS refuses the form of the request for a token", with(byAuthToken, redshiftSays(http.StatusBadRequest, "RedshiftInvalidParameter", "A parameter is not valid.")))
	add("auth_token", "scope", "the gateway's application lacks redshift:connect", with(byAuthToken, application(func(a *identitycenter.Application) { a.Scopes = nil })))
	add("dataapi", "scope", "the gateway's application lacks redshift:connect (Data API)", exchanging(application(func(a *identitycenter.Application) { a.Scopes = nil })))
	add("login", "no_provider", "`namespace` is one that the warehouse does not know", with(changes(webIdentity, "chain: identity_center, namespace: other"), byTrust))
	add("native", "no_provider", "the warehouse has no identity provider of this namespace", changes(webIdentity, "chain: entra, namespace: other"))
	add("native", "other", "the warehouse hangs up when it is shown a token", with(portSays(errors.New("gone")), byEntra))
	return append(
		all,
		breakage{link: "login", cause: "wrong_password", how: "the database user's password was changed", arrange: func(t *testing.T, w *world) []string {
			pairs := byPassword(t, w)
			w.write(t, "service.password", "an-old-password")
			return pairs
		}, as: twin.ServiceUser},
		breakage{link: "login", cause: "wrong_password", how: "the secret holds an old password", arrange: with(secretHolds(`{"username":"service","password":"an-old-password"}`)), as: twin.ServiceUser},
		breakage{link: "dataapi", cause: "wrong_password", how: "the secret holds an old password (Data API alone)", arrange: with(noWire, secretHolds(`{"username":"service","password":"an-old-password"}`)), as: twin.ServiceUser},
		breakage{link: "login", cause: "expired", how: "the password had expired when it arrived", arrange: with(portSays(&wire.Denial{Message: "IAM Authentication token has expired"}))},
		breakage{link: "login", cause: "full", how: "the warehouse has all the connections that it takes", arrange: with(portSays(&wire.Denial{Message: `connection limit "1998" exceeded for non-superusers`}))},
		breakage{link: "login", cause: "scope", how: "the person is not assigned to Redshift's application", arrange: with(byTrust, portSays(&wire.Denial{Message: "Invalid scope. User's credentials are not authorized to connect to Amazon Redshift"})), as: "alice", email: aliceMail},
		breakage{link: "login", cause: "old", how: "Redshift is from before it knew Identity Center", arrange: with(byTrust, portSays(&wire.Denial{Message: `identity provider type "awsidc" is not supported`})), as: "alice", email: aliceMail},
		breakage{link: "login", cause: "other", how: "the warehouse hangs up at the login", arrange: with(portSays(errors.New("gone")))},
	)
}

// portSays puts a port in the place of Redshift's that refuses every login in its words, or hangs up.
func portSays(no error) arrangement {
	return func(t *testing.T, w *world) []string {
		certificate, _, authority, err := wire.NewCertificate(time.Now())
		must(t, err)
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		port := wire.Serve(listener, wire.Config{
			Certificate: certificate,
			Password:    func(string, func(string) bool) (string, error) { return "", no },
			Token:       func(context.Context, string, map[string]string) (string, error) { return "", no },
		})
		t.Cleanup(func() { must(t, port.Close()) })
		_, number, err := net.SplitHostPort(listener.Addr().String())
		must(t, err)
		w.write(t, "other-ca.pem", string(authority))
		return []string{"host: " + w.twin.WireAddress(), "host: localhost:" + number, "/ca.pem", "/other-ca.pem"}
	}
}

// overTLS has something answer by https, with a certificate that nobody here trusts.
func overTLS(t *testing.T, handler http.Handler) (address string) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}
