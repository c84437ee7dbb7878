package doctor_test

import (
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"flag"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/shiftgrant/shiftgrant/internal/doctor"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/identitycenter"
	"github.com/shiftgrant/shiftgrant/twin/script"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
	"github.com/shiftgrant/shiftgrant/twin/sts"
)

var update = flag.Bool("update", false, "write the documents anew")

// A breakage is one way to break one link. How says what is wrong with the world, in words for
// docs/doctor.md; arrange does it, and gives changes to the configuration as pairs of old and new.
type breakage struct {
	link, cause string
	how         string
	arrange     arrangement
	as          string // dora
	email       string
	now         func() time.Time
}

// changes is a breakage by the configuration alone.
func changes(pairs ...string) arrangement {
	return func(*testing.T, *world) []string { return pairs }
}

const stsLine = `sts_endpoint: "`

// otherSTS sends the chain to an STS of its own.
func otherSTS(change func(*sts.Config)) arrangement {
	return func(t *testing.T, w *world) []string {
		return []string{stsLine + w.aws.url, stsLine + w.sts(t, change)}
	}
}

// byAWS has AWS answer an action in its own way.
func byAWS(action string, answer http.HandlerFunc) arrangement {
	return func(t *testing.T, w *world) []string {
		w.aws.misbehave(t, func(rw http.ResponseWriter, r *http.Request) bool {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			r.Body = io.NopCloser(strings.NewReader(string(body)))
			signed := r.Header.Get("Authorization") != ""
			if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), "."+action) && (!strings.Contains(string(body), "Action="+action+"&") || action == "GetCallerIdentity" && !signed) {
				return false
			}
			answer(rw, r)
			return true
		})
		return nil
	}
}

func xmlError(status int, code, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(status)
		fmt.Fprintf(w, "<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>", code, message)
	}
}

func jsonError(status int, code, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Amzn-ErrorType", code)
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"__type":%q,"message":%q}`, code, message)
	}
}

// byIssuer has the gateway's public side misbehave, towards everybody or towards AWS alone.
func byIssuer(answer func(http.ResponseWriter, *http.Request) bool) arrangement {
	return func(t *testing.T, w *world) []string {
		w.issuer.misbehave(t, answer)
		return nil
	}
}

// upstreamIs puts another identity provider in the place of the twin's.
func upstreamIs(p idp) arrangement {
	return func(t *testing.T, w *world) []string {
		return []string{`issuer: "` + w.twin.IdPIssuer() + `"`, `issuer: "` + p.start(t) + `"`}
	}
}

// copied gives the gateway's data folder as a copy that can be spoilt.
func copied(spoil func(t *testing.T, data string)) arrangement {
	return func(t *testing.T, w *world) []string {
		data := t.TempDir()
		if err := os.Chmod(data, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(filepath.Join(data, "keys"), os.DirFS(filepath.Join(w.folder, "data", "keys"))); err != nil {
			t.Fatal(err)
		}
		err := filepath.WalkDir(filepath.Join(data, "keys"), func(path string, entry os.DirEntry, err error) error {
			if err == nil && entry.Type().IsRegular() {
				err = os.Chmod(path, 0o600)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		spoil(t, data)
		return []string{"data: " + w.folder + "/data", "data: " + data}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func signingKey(t *testing.T, data string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(data, "keys", "issuer", "*.pem"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no signing key: %v", err)
	}
	return found[0]
}

func ahead(by time.Duration) func() time.Time {
	return func() time.Time { return time.Now().Add(by) }
}

func breakages() []breakage {
	return slices.Concat(brokenGateway(), brokenUpstream(), brokenAccess(), brokenKeys(), brokenCenter(), brokenSessions(), brokenTokens(), brokenSQL())
}

func brokenGateway() []breakage {
	return []breakage{
		{link: "configuration", cause: "invalid", how: "a key is misspelt", arrange: changes("database: dev", "databse: dev")},
		{link: "configuration", cause: "secret", how: "the client secret is in an environment variable that is not set", arrange: func(_ *testing.T, w *world) []string {
			return []string{"file:" + w.folder + "/client.secret", "env:SHIFTGRANT_TEST_NOT_SET"}
		}},
		{link: "files", cause: "no_keys", how: "the data folder is another one", arrange: changes("/data\n", "/elsewhere\n")},
		{link: "files", cause: "unreadable", how: "`data` is a file", arrange: func(_ *testing.T, w *world) []string {
			return []string{"data: " + w.folder + "/data", "data: " + w.folder + "/ca.pem"}
		}},
		{link: "files", cause: "open_folder", how: "`chmod 755` of the data folder", arrange: copied(func(t *testing.T, data string) { must(t, os.Chmod(data, 0o755)) })},
		{link: "files", cause: "open_file", how: "`chmod 644` of a signing key", arrange: copied(func(t *testing.T, data string) { must(t, os.Chmod(signingKey(t, data), 0o644)) })},
		{link: "files", cause: "damaged_key", how: "a signing key is cut off", arrange: copied(func(t *testing.T, data string) { must(t, os.Truncate(signingKey(t, data), 100)) })},
		{link: "certificate", cause: "unusable", how: "the certificate's file is missing", arrange: changes("log:", "tls: {certificate: /nowhere/tls.crt, key: /nowhere/tls.key}\nlog:")},
		{link: "certificate", cause: "expired", how: "the certificate ended yesterday", arrange: func(t *testing.T, w *world) []string {
			return []string{"log:", w.certificate(t, "localhost", -48*time.Hour, -24*time.Hour)}
		}},
		{link: "certificate", cause: "early", how: "the certificate begins tomorrow", arrange: func(t *testing.T, w *world) []string {
			return []string{"log:", w.certificate(t, "localhost", 24*time.Hour, 48*time.Hour)}
		}},
		{link: "certificate", cause: "wrong_name", how: "the certificate is for another host", arrange: func(t *testing.T, w *world) []string {
			return []string{"log:", w.certificate(t, "other.example", -time.Hour, 2000*time.Hour)}
		}},
		{link: "certificate", cause: "expiring", how: "the certificate ends in two days", arrange: func(t *testing.T, w *world) []string {
			return []string{"log:", w.certificate(t, "localhost", -time.Hour, 48*time.Hour)}
		}},
		{link: "files", cause: "open_secret", how: "`chmod 644` of the client secret", arrange: func(t *testing.T, w *world) []string {
			path := w.write(t, "open.secret", twin.DefaultClientSecret)
			must(t, os.Chmod(path, 0o644))
			return []string{"/client.secret", "/open.secret"}
		}},
		{link: "kms", cause: "denied", how: "the key's policy leaves the gateway out", arrange: byKMS(func(w *world, arn string) string { w.twin.KMS.Deny(arn, true); return arn })},
		{link: "kms", cause: "unusable", how: "the key is disabled", arrange: byKMS(func(w *world, arn string) string { w.twin.KMS.Disable(arn, true); return arn })},
		{link: "kms", cause: "no_key", how: "the key's ARN is misspelt", arrange: byKMS(func(_ *world, arn string) string { return arn + "0" })},
		{link: "kms", cause: "unusable", how: "the key that signs is disabled", arrange: bySigningKMS(func(w *world, arn string) { w.twin.KMS.Disable(arn, true) })},
		{link: "kms", cause: "denied", how: "the policy of the key that signs leaves the gateway out", arrange: bySigningKMS(func(w *world, arn string) { w.twin.KMS.Deny(arn, true) })},
		{link: "kms", cause: "unreachable", how: "KMS cannot be reached", arrange: func(t *testing.T, _ *world) []string {
			return []string{"log:", "keys: {kms: {key: \"" + twin.KeyARN + "\", endpoint: \"http://" + closedPort(t) + "\"}}\nlog:"}
		}},
		{link: "kms", cause: "no_credentials", how: "AWS does not know the gateway's keys", arrange: with(byKMS(func(_ *world, arn string) string { return arn }), useKeys(sigv4.Credential{AccessKeyID: "AKIANOBODY0000000000", SecretAccessKey: "x"}))},
		{link: "kms", cause: "other", how: "KMS has a fault", arrange: with(
			byKMS(func(_ *world, arn string) string { return arn }),
			refusing(func(w *world) *script.Script { return &w.twin.KMS.Script }, "Encrypt", http.StatusBadRequest, "KMSInternalException", "The request failed."),
		)},
		{link: "store", cause: "unreachable", how: "PostgreSQL is not there", arrange: func(t *testing.T, w *world) []string {
			w.write(t, "dsn", "postgres://gateway@"+closedPort(t)+"/gateway?sslmode=disable&connect_timeout=2")
			return []string{"log:", "store: {dsn: \"file:" + w.folder + "/dsn\"}\nlog:"}
		}},
		{link: "store", cause: "damaged", how: "the SQLite file is overwritten", arrange: copied(func(t *testing.T, data string) {
			must(t, os.WriteFile(filepath.Join(data, "shiftgrant.db"), []byte(strings.Repeat("not a database ", 400)), 0o600))
		})},
		{link: "store", cause: "newer", how: "the schema is from a later program", arrange: copied(makeNewer)},
		{link: "clock", cause: "wrong", how: "this machine's clock is ten minutes fast", arrange: changes(), now: ahead(10 * time.Minute)},
		{link: "issuer", cause: "unreachable", how: "the gateway does not answer", arrange: byIssuer(hangUp)},
		{link: "issuer", cause: "slow", how: "a proxy holds requests up", arrange: byIssuer(func(http.ResponseWriter, *http.Request) bool {
			time.Sleep(1600 * time.Millisecond) // for each of two documents
			return false
		})},
		{link: "issuer", cause: "untrusted", how: "the certificate in front is of a private authority", arrange: with(upstreamIs(idp{}), func(t *testing.T, w *world) []string {
			return []string{"issuer: " + w.issuer.url, "issuer: " + overTLS(t, http.NotFoundHandler())}
		})},
		{link: "issuer", cause: "redirect", how: "a proxy redirects to a login of its own", arrange: byIssuer(func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "https://login.example/", http.StatusFound)
			return true
		})},
		{link: "issuer", cause: "other_answer", how: "a proxy answers 404 itself", arrange: byIssuer(func(w http.ResponseWriter, r *http.Request) bool {
			http.NotFound(w, r)
			return true
		})},
		{link: "issuer", cause: "wrong_issuer", how: "another gateway answers at the address", arrange: byIssuer(func(w http.ResponseWriter, _ *http.Request) bool {
			_, _ = io.WriteString(w, `{"issuer":"https://other.example","jwks_uri":"https://other.example/keys"}`)
			return true
		})},
		{link: "issuer", cause: "wrong_keys", how: "the key set is an old copy", arrange: byIssuer(func(w http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, "openid-configuration") {
				return false
			}
			_, _ = io.WriteString(w, `{"keys":[{"kid":"old"}]}`)
			return true
		})},
	}
}

// byKMS configures a key of the twin's KMS that something is wrong with.
func byKMS(spoil func(*world, string) string) arrangement {
	return func(_ *testing.T, w *world) []string {
		arn := spoil(w, w.twin.KMS.CreateKey(strings.ToLower(rand.Text()), nil))
		return []string{"log:", "keys: {kms: {key: \"" + arn + "\", endpoint: \"" + w.twin.URL() + "\"}}\nlog:"}
	}
}

// bySigningKMS has the keys that sign in KMS, too, from the day before on.
func bySigningKMS(spoil func(*world, string)) func(*testing.T, *world) []string {
	return func(t *testing.T, w *world) []string {
		arn, err := w.twin.KMS.CreateSigningKey(strings.ToLower(rand.Text()))
		must(t, err)
		spoil(w, arn)
		from := time.Now().Add(-24 * time.Hour).UTC().Format(time.RFC3339)
		return []string{"log:", "keys: {issuer_kms: [{key: \"" + arn + "\", from: " + from + ", endpoint: \"" + w.twin.URL() + "\"}]}\nlog:"}
	}
}

// makeNewer leaves a database that a program of the future has changed.
func makeNewer(t *testing.T, data string) {
	t.Helper()
	path := filepath.Join(data, "shiftgrant.db")
	database, err := sql.Open("sqlite", "file:"+path)
	must(t, err)
	_, err = database.Exec(`CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY, version_id INTEGER NOT NULL, is_applied INTEGER NOT NULL, tstamp TIMESTAMP);
		INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1); CREATE TABLE schema_compatible (oldest INTEGER NOT NULL); INSERT INTO schema_compatible VALUES (9000)`)
	must(t, err)
	must(t, database.Close())
	must(t, os.Chmod(path, 0o600))
}

func brokenUpstream() []breakage {
	return []breakage{
		{link: "upstream", cause: "unreachable", how: "the identity provider is down", arrange: func(t *testing.T, w *world) []string {
			w.twin.IdP.Stop()
			t.Cleanup(w.twin.IdP.Start)
			return nil
		}},
		{link: "upstream", cause: "untrusted", how: "its certificate is of a private authority", arrange: func(t *testing.T, w *world) []string {
			return []string{`issuer: "` + w.twin.IdPIssuer(), `issuer: "` + overTLS(t, http.NotFoundHandler())}
		}},
		{link: "upstream", cause: "no_discovery", how: "`issuer` of the upstream has a path too many", arrange: func(_ *testing.T, w *world) []string {
			return []string{w.twin.IdPIssuer() + `"`, w.twin.IdPIssuer() + `/default"`}
		}},
		{link: "upstream", cause: "wrong_issuer", how: "`issuer` of the upstream has a slash too many", arrange: func(_ *testing.T, w *world) []string {
			return []string{w.twin.IdPIssuer() + `"`, w.twin.IdPIssuer() + `/"`}
		}},
		{link: "upstream", cause: "no_keys", how: "its key set is empty", arrange: upstreamIs(idp{keys: `{"keys":[]}`})},
		{link: "upstream", cause: "clock", how: "its clock is an hour fast", arrange: upstreamIs(idp{ahead: time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)})},
		{link: "redirect", cause: "not_registered", how: "the upstream was renamed, and with it its redirect URI", arrange: changes("{name: twin,", "{name: renamed,")},
		{link: "redirect", cause: "no_client", how: "`client_id` is wrong", arrange: changes("client_id: shiftgrant", "client_id: unknown")},
		{link: "redirect", cause: "not_registered", how: "the redirect URI is not registered, as Google says it", arrange: upstreamIs(idp{sign: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/signin/oauth/error?authError="+base64.RawURLEncoding.EncodeToString([]byte("\n\x15redirect_uri_mismatch\x12\x9b")), http.StatusFound)
		}})},
		{link: "redirect", cause: "not_registered", how: "the redirect URI is not registered, as Entra ID says it", arrange: upstreamIs(idp{sign: page(http.StatusOK, "AADSTS50011: The redirect URI specified in the request does not match")})},
		{link: "redirect", cause: "not_registered", how: "the redirect URI is not registered, as Cognito says it", arrange: upstreamIs(idp{sign: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/error?error=redirect_mismatch&client_id=shiftgrant", http.StatusFound)
		}})},
		{link: "redirect", cause: "not_registered", how: "the redirect URI is not registered, as Okta says it", arrange: upstreamIs(idp{sign: page(http.StatusBadRequest, "The 'redirect_uri' parameter must be a Login redirect URI in the client app settings")})},
		{link: "redirect", cause: "no_client", how: "`client_id` is wrong, as Keycloak says it", arrange: upstreamIs(idp{sign: page(http.StatusBadRequest, "Client not found.")})},
		{link: "redirect", cause: "no_client", how: "`client_id` is wrong, as Entra ID says it", arrange: upstreamIs(idp{sign: page(http.StatusOK, "AADSTS700016: Application with identifier was not found in the directory")})},
		{link: "redirect", cause: "scopes", how: "it refuses a scope", arrange: upstreamIs(idp{sign: returnWith("invalid_scope")})},
		{link: "redirect", cause: "unreachable", how: "its authorization endpoint answers 503", arrange: upstreamIs(idp{sign: page(http.StatusServiceUnavailable, "maintenance")})},
		{link: "client", cause: "refused", how: "the client secret is an old one", arrange: func(t *testing.T, w *world) []string {
			w.write(t, "old.secret", "an-old-secret")
			return []string{"/client.secret", "/old.secret"}
		}},
		{link: "client", cause: "unreachable", how: "its token endpoint shows a page", arrange: upstreamIs(idp{redeem: page(http.StatusForbidden, "blocked")})},
		{link: "upstream", cause: "unreachable", how: "people sign in at Identity Center, and its service cannot be reached", arrange: func(t *testing.T, w *world) []string {
			return centered(t, w, "http://"+closedPort(t), func(*identitycenter.Application) {})
		}},
		{link: "redirect", cause: "not_registered", how: "the application of Identity Center has another redirect URI", arrange: func(t *testing.T, w *world) []string {
			return centered(t, w, w.aws.url, func(a *identitycenter.Application) {
				a.Grants[identitycenter.AuthorizationCode] = identitycenter.Grant{RedirectURIs: []string{w.issuer.url + "/signin/callback/other"}}
			})
		}},
		{link: "client", cause: "no_actor", how: "the application of Identity Center does not name the gateway's role", arrange: func(t *testing.T, w *world) []string {
			return centered(t, w, w.aws.url, func(a *identitycenter.Application) { a.Actors = nil })
		}},
	}
}

// centered has people sign in at the twin's Identity Center, by an application with something wrong.
func centered(t *testing.T, w *world, endpoint string, spoil func(*identitycenter.Application)) []string {
	t.Helper()
	made, err := w.twin.Center.CreateApplication(identitycenter.CustomApplication, "sign-in", "")
	must(t, err)
	must(t, w.twin.Center.Change(made.ARN, func(a *identitycenter.Application) error {
		a.Actors = []string{twin.DeveloperKeys("admin").RoleARN}
		a.Grants[identitycenter.AuthorizationCode] = identitycenter.Grant{RedirectURIs: []string{w.issuer.url + "/signin/callback/twin"}}
		a.Grants[identitycenter.RefreshToken] = identitycenter.Grant{}
		spoil(a)
		return nil
	}))
	return []string{
		fmt.Sprintf(`{name: twin, issuer: "%s", client_id: shiftgrant, client_secret: "file:%s/client.secret"}`, w.twin.IdPIssuer(), w.folder),
		fmt.Sprintf(`{name: twin, preset: identity_center, region: %s, client_id: "%s", sso_oidc_endpoint: "%s"}`, twin.Region, made.ARN, endpoint),
	}
}

func brokenAccess() []breakage {
	return []breakage{
		{link: "sts", cause: "unreachable", how: "STS cannot be reached", arrange: func(t *testing.T, w *world) []string {
			return []string{stsLine + w.aws.url, stsLine + "http://" + closedPort(t)}
		}},
		{link: "sts", cause: "not_sts", how: "a proxy answers in the place of STS", arrange: func(_ *testing.T, w *world) []string {
			return []string{stsLine + w.aws.url, stsLine + w.twin.IdPIssuer()}
		}},
		{link: "role", cause: "no_provider", how: "the account has no OIDC provider for the gateway", arrange: otherSTS(func(c *sts.Config) { c.Providers[0].URL, c.Roles = "https://other.example", nil })},
		{link: "role", cause: "audience", how: "the OIDC provider lists another audience", arrange: changes("audience: redshift-gateway", "audience: other")},
		{link: "role", cause: "untrusted", how: "the role does not trust the gateway", arrange: otherSTS(func(c *sts.Config) {
			c.Roles[0].TrustPolicy = strings.ReplaceAll(c.Roles[0].TrustPolicy, `"sts:TagSession",`, "")
		})},
		{link: "role", cause: "untrusted", how: "there is no such role", arrange: changes(twin.RoleARN, twin.RoleARN+"-misspelt")},
		{link: "role", cause: "claims", how: "AWS's clock is behind, and STS sees an assertion from the future", arrange: otherSTS(func(c *sts.Config) { c.Now = ahead(-10 * time.Minute) })},
		{link: "role", cause: "expired", how: "the assertion arrives an hour late", arrange: otherSTS(func(c *sts.Config) { c.Now = ahead(time.Hour) })},
		{link: "role", cause: "keys_unread", how: "AWS cannot reach the issuer, and this machine can", arrange: awsReads(hangUp)},
		{link: "role", cause: "keys_stale", how: "AWS reads another key set than this machine", arrange: awsReads(noKeys)},
		{link: "role", cause: "region", how: "the region is not enabled in the account", arrange: byAWS("AssumeRoleWithWebIdentity", xmlError(http.StatusForbidden, "RegionDisabledException", "STS is not activated in this region for account:123456789012."))},
		{link: "role", cause: "other", how: "STS has a fault (web identity)", arrange: byAWS("AssumeRoleWithWebIdentity", xmlError(http.StatusBadRequest, "MalformedPolicyDocument", "The policy is not in the valid JSON format."))},
		{link: "role", cause: "too_large", how: "the policies of the session are too large", arrange: byAWS("AssumeRoleWithWebIdentity", xmlError(http.StatusBadRequest, "PackedPolicyTooLarge", "Packed size of session tags consumes 112% of allotted space."))},
		{link: "credentials", cause: "refused", how: "AWS does not know the keys that it gave", arrange: byAWS("GetCallerIdentity", xmlError(http.StatusForbidden, "InvalidClientTokenId", "The security token included in the request is invalid."))},
		{link: "credentials", cause: "other_role", how: "STS is another account's", arrange: byAWS("GetCallerIdentity", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:sts::999999999999:assumed-role/other/s</Arn></GetCallerIdentityResult></GetCallerIdentityResponse>")
		})},
	}
}

// noKeys shows a key set without any.
func noKeys(w http.ResponseWriter, r *http.Request) bool {
	if strings.Contains(r.URL.Path, "openid-configuration") {
		return false
	}
	_, _ = io.WriteString(w, `{"keys":[]}`)
	return true
}

// awsReads has the issuer misbehave towards an STS that has not read its keys yet.
func awsReads(take func(http.ResponseWriter, *http.Request) bool) arrangement {
	return func(t *testing.T, w *world) []string {
		w.issuer.misbehave(t, func(rw http.ResponseWriter, r *http.Request) bool {
			return r.UserAgent() != "shiftgrant-doctor" && take(rw, r)
		})
		return otherSTS(func(*sts.Config) {})(t, w)
	}
}

func brokenSessions() []breakage {
	endpoint := func(key string) func(*testing.T, *world) []string {
		return func(t *testing.T, w *world) []string {
			return []string{key + ": " + w.aws.url, key + ": http://" + closedPort(t)}
		}
	}
	return []breakage{
		{link: "network", cause: "no_name", how: "the host's name does not exist", arrange: func(_ *testing.T, w *world) []string {
			return []string{"host: " + w.twin.WireAddress(), "host: sales.invalid:5439"}
		}},
		{link: "network", cause: "refused", how: "nothing listens on the port", arrange: func(t *testing.T, w *world) []string {
			return []string{"host: " + w.twin.WireAddress(), "host: " + closedPort(t)}
		}},
		{link: "network", cause: "timeout", how: "a firewall swallows what is sent", arrange: func(t *testing.T, w *world) []string {
			return []string{"host: " + w.twin.WireAddress(), "host: " + silentPort(t)}
		}},
		{link: "encryption", cause: "none", how: "what listens there refuses TLS", arrange: func(t *testing.T, w *world) []string {
			return []string{"host: " + w.twin.WireAddress(), "host: " + serveRaw(t, "127.0.0.1:0", func(c net.Conn) {
				_, _ = io.ReadFull(c, make([]byte, 8))
				_, _ = c.Write([]byte("N"))
			})}
		}},
		{link: "encryption", cause: "other", how: "what listens there promises TLS and speaks HTTP", arrange: func(t *testing.T, w *world) []string {
			return []string{"host: " + w.twin.WireAddress(), "host: " + serveRaw(t, "127.0.0.1:0", func(c net.Conn) {
				_, _ = io.ReadFull(c, make([]byte, 8))
				_, _ = io.WriteString(c, "SHTTP/1.1 400 Bad Request\r\n\r\n")
			})}
		}},
		{link: "encryption", cause: "untrusted", how: "the certificate is of an authority that nobody here knows", arrange: func(_ *testing.T, w *world) []string { return []string{"ca: " + w.folder + "/ca.pem", ""} }},
		{link: "encryption", cause: "wrong_name", how: "`host` is an alias that the certificate does not name", arrange: func(t *testing.T, w *world) []string {
			return []string{"host: " + w.twin.WireAddress(), "host: " + serveRaw(t, "127.0.0.2:0", func(c net.Conn) { relay(c, w.twin.WireAddress()) })}
		}},
		{link: "password", cause: "denied", how: "the role's policy lacks redshift:GetClusterCredentials", arrange: byAWS("GetClusterCredentials", xmlError(http.StatusForbidden, "AccessDenied", "User is not authorized to perform: redshift:GetClusterCredentials"))},
		{link: "password", cause: "paused", how: "the cluster is paused", arrange: byAWS("GetClusterCredentials", xmlError(http.StatusBadRequest, "UnsupportedOperation", "The cluster is paused."))},
		{link: "password", cause: "no_warehouse", how: "`cluster` is misspelt", arrange: changes("cluster: tickit", "cluster: ticket")},
		{link: "password", cause: "other", how: "Redshift's control plane has a fault", arrange: byAWS("GetClusterCredentials", xmlError(http.StatusBadRequest, "InternalFailure", "We encountered an internal error."))},
		{link: "password", cause: "unreachable", how: "Redshift's control plane cannot be reached", arrange: endpoint("redshift_endpoint")},
		{link: "login", cause: "no_user", how: "there is no such database user", arrange: changes(), as: "nobody"},
		{link: "login", cause: "no_database", how: "`database` is misspelt", arrange: changes("database: dev", "database: def")},
		{link: "login", cause: "no_email", how: "the chain needs an e-mail address, and none is known", arrange: byTrust},
		{link: "login", cause: "token", how: "nobody in Identity Center has the e-mail address", arrange: byTrust, as: "alice", email: "nobody@example.com"},
		{link: "login", cause: "token", how: "the trusted token issuer lists another audience", arrange: with(changes("audience: redshift-gateway", "audience: redshift-gateway"), byTrust), as: "alice", email: "alice@example.com"},
		{link: "dataapi", cause: "denied", how: "the role's policy lacks redshift-data:ExecuteStatement", arrange: byAWS("ExecuteStatement", jsonError(http.StatusBadRequest, "AccessDeniedException", "not authorized to perform: redshift-data:ExecuteStatement"))},
		{link: "dataapi", cause: "other", how: "the Data API has a fault", arrange: byAWS("ExecuteStatement", jsonError(http.StatusBadRequest, "InternalServerException", "We encountered an internal error."))},
		{link: "dataapi", cause: "unreachable", how: "the Data API cannot be reached", arrange: endpoint("data_api_endpoint")},
		{link: "dataapi", cause: "no_warehouse", how: "`cluster` is misspelt (Data API alone)", arrange: with(noWire, changes("cluster: tickit", "cluster: ticket"))},
		{link: "dataapi", cause: "no_user", how: "there is no such database user (Data API alone)", arrange: noWire, as: "nobody"},
		{link: "dataapi", cause: "no_database", how: "`database` is misspelt (Data API alone)", arrange: with(noWire, changes("database: dev", "database: def"))},
		{link: "dataapi", cause: "busy", how: "the Data API's limits are used up", arrange: byAWS("ExecuteStatement", jsonError(http.StatusBadRequest, "ThrottlingException", "Rate exceeded"))},
	}
}

// relay passes a connection on as it is.
func relay(client net.Conn, address string) {
	server, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	}()
	_, _ = io.Copy(client, server)
}

// passwordOfBob has AWS answer everybody with it.
func passwordOfBob(t *testing.T, w *world) []string {
	keys := twin.DeveloperKeys("bob")
	login, err := identity.NewDatabaseLogin(identity.DatabaseLoginConfig{
		Cluster: twin.Cluster, Database: twin.Database, Region: twin.Region, Endpoint: w.twin.URL(),
		Credentials: identity.Static(keys.AccessKeyID, keys.SecretAccessKey, "", "bob"),
	})
	must(t, err)
	password, err := login.Login(t.Context(), false)
	must(t, err)
	return byAWS("GetClusterCredentials", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "<GetClusterCredentialsResponse><GetClusterCredentialsResult><DbUser>%s</DbUser><DbPassword>%s</DbPassword><Expiration>%s</Expiration></GetClusterCredentialsResult></GetClusterCredentialsResponse>",
			password.User, html.EscapeString(password.Password.Reveal()), password.Expires.UTC().Format(time.RFC3339))
	})(t, w)
}

// failingSQL has the Data API refuse statements with these words in them.
func failingSQL(words string) arrangement {
	return with(noWire, func(t *testing.T, w *world) []string {
		w.aws.misbehave(t, func(rw http.ResponseWriter, r *http.Request) bool {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			r.Body = io.NopCloser(strings.NewReader(string(body)))
			if !strings.Contains(string(body), words) {
				return false
			}
			jsonError(http.StatusBadRequest, "ExecuteStatementException", "The statement was not executed.")(rw, r)
			return true
		})
		return nil
	})
}

func brokenSQL() []breakage {
	return []breakage{
		{link: "current_user", cause: "other", how: "AWS gives a password of somebody else", arrange: passwordOfBob},
		{link: "current_user", cause: "shared", how: "the warehouse is a serverless workgroup", arrange: changes("cluster: tickit", "workgroup: "+twin.Workgroup, "transport: auto", "transport: wire")},
		{link: "current_user", cause: "everybody", how: "everybody is the user whose password is in a secret", arrange: bySecret, as: twin.ServiceUser},
		{link: "current_user", cause: "failed", how: "the warehouse fails when it is asked who that is", arrange: failingSQL("select current_user")},
		{link: "grants", cause: "failed", how: "the catalog cannot be read", arrange: failingSQL("order by count")},
		{link: "read_only", cause: "failed", how: "the user's rights cannot be read", arrange: failingSQL("from pg_user where usename")},
		{link: "version", cause: "failed", how: "the warehouse does not tell its version", arrange: failingSQL("select version()")},
		{link: "grants", cause: "nothing", how: "nobody granted the user anything", arrange: changes(), as: "carol"},
		{link: "read_only", cause: "leftovers", how: "the user may make temporary tables", arrange: changes(), as: "bob"},
		{link: "read_only", cause: "may_write", how: "the user has a schema to write in", arrange: changes(), as: "alice"},
		{link: "read_only", cause: "superuser", how: "the user is a superuser", arrange: changes(), as: "sue"},
		{link: "version", cause: "old", how: "Redshift was not updated for years", arrange: func(t *testing.T, w *world) []string {
			w.sql(t, `CREATE OR REPLACE FUNCTION pg_catalog.version() RETURNS text LANGUAGE sql STABLE STRICT PARALLEL SAFE AS
				$$ SELECT 'PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc (GCC) 3.4.2 20041017 (Red Hat 3.4.2-6.fc3), Redshift 1.0.73348' $$`)
			t.Cleanup(func() {
				w.sql(t, `CREATE OR REPLACE FUNCTION pg_catalog.version() RETURNS text LANGUAGE internal STABLE STRICT PARALLEL SAFE AS 'pgsql_version'`)
			})
			return nil
		}},
	}
}

// Each way to break the world is named by its link and cause, and no other link is called broken.
func TestDoctorNamesTheBrokenLinkAndNoOther(t *testing.T) {
	// It runs beside no other test: some ways have AWS keys in the environment.
	w := newWorld(t)
	for _, l := range w.examine(t, doctor.Config{As: "dora"}).Links {
		if l.State != doctor.Whole {
			t.Fatalf("the world is not whole: %+v", l)
		}
	}
	t.Run("whole", w.eachWayIsWhole)
	t.Run("without an issuer", w.someNeedNoIssuer)
	t.Run("mended", w.trustIsMended)
	var rows []string
	for _, b := range breakages() {
		t.Run(b.link+" "+b.how, func(t *testing.T) {
			if b.as == "" {
				b.as = "dora"
			}
			report := w.examine(t, doctor.Config{As: b.as, Email: b.email, Now: b.now}, b.arrange(t, w)...)
			named := w.judge(t, b, report)
			rows = append(rows, fmt.Sprintf("| %s | %s | %s |", b.how, b.link, w.steady(named.Found)))
		})
	}
	sameAsDocument(t, "../../docs/doctor.md", "broken-links", "| what is wrong | ✗ or ! | what doctor says |\n|---|---|---|\n"+strings.Join(rows, "\n")+"\n")
}

// judge finds the one link that is named.
func (w *world) judge(t *testing.T, b breakage, report *doctor.Report) doctor.Result {
	t.Helper()
	var named doctor.Result
	for _, l := range report.Links {
		switch {
		case l.Link == b.link && l.Cause == b.cause && (l.State == doctor.Broken || l.State == doctor.Weak):
			named = l
		case l.State == doctor.Broken, l.State == doctor.Weak && b.as == "dora":
			t.Errorf("%s is called %s: %s (%s)", l.Link, l.State, l.Found, l.Detail)
		}
	}
	if named.Link == "" {
		t.Errorf("%s is not called %s: %+v", b.link, b.cause, report.Links)
	}
	if unfilled.MatchString(named.Found+named.Mend) || named.Mend == "" {
		t.Errorf("the texts are not complete: %+v", named)
	}
	return named
}

// unfilled is a place in a text that nothing was put into.
var unfilled = regexp.MustCompile(`\{[a-z_]+\}`)

var (
	addresses = regexp.MustCompile(`(localhost|127\.0\.0\.[0-9]+):[0-9]+`)
	ports     = regexp.MustCompile(`port [0-9]+`)
	waits     = regexp.MustCompile(`took [0-9.]+s`)
	pauses    = regexp.MustCompile(`in [0-9.]+m?s$`)
	keyTimes  = regexp.MustCompile(`signing-[0-9TZ]+\.pem`)
	spans     = regexp.MustCompile(`\b(10m[0-3]s|9m5\ds|59m5\ds|1h0m[0-3]s)`)
	dates     = regexp.MustCompile(`20\d\d-\d\d-\d\d \d\d:\d\d:\d\d|20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ`)
	numbers   = regexp.MustCompile(`\b1[78]\d{8}\b`)
	keyIDs    = regexp.MustCompile(`\([A-Za-z0-9_-]{43}\)`)
	kmsKeys   = regexp.MustCompile(`key/[a-z0-9]{20,}`)
	folders   = regexp.MustCompile(`/[^ ,:]*/(TestDoctor[^/ ,:]*/001)`)
)

// steady makes the same text of every run.
func (w *world) steady(text string) string {
	text = strings.ReplaceAll(text, w.folder, "/var/lib/shiftgrant")
	text = folders.ReplaceAllString(text, "/var/lib/shiftgrant/data")
	text = addresses.ReplaceAllString(text, "$1:PORT")
	text = dates.ReplaceAllString(text, "TIME")
	text = numbers.ReplaceAllString(text, "SECONDS")
	text = keyIDs.ReplaceAllString(text, "(KEY)")
	text = kmsKeys.ReplaceAllString(text, "key/KEY")
	text = ports.ReplaceAllString(text, "port PORT")
	text = waits.ReplaceAllString(text, "took SECONDS")
	text = pauses.ReplaceAllString(text, "in SECONDS")
	text = keyTimes.ReplaceAllString(text, "signing-TIME.pem")
	text = spans.ReplaceAllStringFunc(text, func(span string) string {
		exact, err := time.ParseDuration(span)
		if err != nil {
			return span
		}
		return strings.TrimSuffix(exact.Round(time.Minute).String(), "0s")
	})
	return strings.ReplaceAll(text, "|", "\\|")
}

// Every link can be broken in the twin, and every cause that cannot says why.
func TestEveryCauseIsTried(t *testing.T) {
	t.Parallel()
	untried := map[string]string{
		"clock unknown":         "needs AWS and the identity provider to be away, which is two links more; the script of the command has it",
		"configuration missing": "TestFilesThatAreNotThereAreTold",
		"issuer private":        "needs an issuer at a private address that is not this machine",
	}
	tried := map[string]bool{}
	for _, b := range breakages() {
		tried[b.link+" "+b.cause] = true
	}
	for _, l := range doctor.Links() {
		reached := false
		for _, c := range l.Causes {
			name := l.Name + " " + c.Name
			reached = reached || tried[name]
			if why, excused := untried[name]; excused == tried[name] {
				t.Errorf("%s: tried %t, with the reason %q against it", name, tried[name], why)
			}
		}
		if !reached {
			t.Errorf("nothing breaks the link %s", l.Name)
		}
	}
}
