package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/gateway"
	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/issuer"
	"github.com/shiftgrant/shiftgrant/internal/store"
)

func checkConfiguration(ctx context.Context, v *visit) finding {
	config, err := gateway.ReadConfig(v.config.File)
	if err == nil {
		config, err = config.Tenant(cmp.Or(v.config.Tenant, grant.DefaultTenant))
	}
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(err.Error(), "read configuration"), errors.Is(err, fs.ErrPermission):
		return broken("missing", err)
	case strings.Contains(err.Error(), "environment variable ") || strings.Contains(err.Error(), "secret file ") || strings.Contains(err.Error(), "read secret: "):
		return broken("secret", nil, "fault", oneLine(err.Error()))
	default:
		return broken("invalid", nil, "fault", oneLine(err.Error()))
	}
	v.gateway = config
	v.findPerson(ctx)
	return whole("%s: %s, %s, %s", v.config.File, count(len(config.Upstreams), "upstream"), count(len(config.Warehouses), "warehouse"), count(len(config.Apps), "app"))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// checkFiles ends with the keys, because the links behind sign with them.
func checkFiles(_ context.Context, v *visit) finding {
	if f := checkFolder(v.gateway.Data); f != nil {
		return *f
	}
	paths, err := secretFiles(v.gateway)
	if err != nil {
		return broken("unreadable", err, "path", filepath.Join(v.gateway.Data, "keys"))
	}
	for _, path := range paths {
		if f := checkSecretFile(path); f != nil {
			return *f
		}
	}
	v.roads, err = gateway.OpenRoads(*v.gateway, v.config.Now)
	_, inKMS := errors.AsType[*issuer.RemoteError](err)
	switch {
	case errors.Is(err, gateway.ErrNoKeys):
		return broken("no_keys", nil)
	case err != nil && !inKMS: // of those in KMS the link kms tells
		return broken("damaged_key", nil, "fault", oneLine(err.Error()))
	}
	for _, path := range referredFiles(v.gateway) {
		if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o007 != 0 {
			return weak("open_secret", nil, "path", path)
		}
	}
	return whole("%s and %s in it and beside it are private", v.gateway.Data, count(len(paths), "secret file"))
}

// referredFiles hold secrets that are not the gateway's own. Who mounts them, as containers do, may
// have given them to a group on purpose.
func referredFiles(config *gateway.Config) []string {
	references := []gateway.SecretRef{config.Store.DSN, config.Keys.Seal, config.Keys.Rotation}
	for _, u := range config.Upstreams {
		references = append(references, u.ClientSecret)
	}
	for _, a := range config.Apps {
		references = append(references, a.Secret)
	}
	for _, w := range config.Warehouses {
		references = append(references, w.Identity.Password)
	}
	var paths []string
	for _, r := range references {
		if path := r.File(); path != "" {
			paths = append(paths, path)
		}
	}
	return paths
}

func checkFolder(path string) *finding {
	var f finding
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f = broken("no_keys", nil)
	case err != nil || !info.IsDir():
		f = broken("unreadable", err, "path", path)
	case info.Mode().Perm()&0o077 != 0:
		f = broken("open_folder", nil, "path", path)
	default:
		return nil
	}
	return &f
}

// secretFiles are the keys in the data folder, the database, and the TLS key.
func secretFiles(config *gateway.Config) ([]string, error) {
	var paths []string
	folders := []string{filepath.Join(config.Data, "keys")}
	if !strings.HasPrefix(config.SigningKeys(), folders[0]+string(filepath.Separator)) {
		folders = append(folders, config.SigningKeys())
	}
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.Type().IsRegular() && !strings.HasSuffix(path, ".pub") {
				paths = append(paths, path)
			}
			if errors.Is(err, fs.ErrNotExist) {
				return nil // that there are no keys is found later
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if database := filepath.Join(config.Data, gateway.DatabaseFile); config.Store.DSN.Secret().IsZero() {
		if _, err := os.Stat(database); err == nil {
			paths = append(paths, database)
		}
	}
	if _, err := os.Stat(config.TLS.Key); err == nil { // that it is missing is the certificate's fault
		paths = append(paths, config.TLS.Key)
	}
	return paths, nil
}

func checkSecretFile(path string) *finding {
	var f finding
	file, err := os.Open(path)
	if err != nil {
		f = broken("unreadable", err, "path", path)
		return &f
	}
	info, err := file.Stat()
	_ = file.Close() // nothing was written
	switch {
	case err != nil:
		f = broken("unreadable", err, "path", path)
	case info.Mode().Perm()&0o077 != 0:
		f = broken("open_file", nil, "path", path)
	default:
		return nil
	}
	return &f
}

func endsTLS(v *visit) bool { return v.gateway == nil || v.gateway.TLS.Certificate != "" }

// expirySoon is when an operator should hear of a certificate's end.
const expirySoon = 14 * 24 * time.Hour

func checkCertificate(_ context.Context, v *visit) finding {
	pair, err := tls.LoadX509KeyPair(v.gateway.TLS.Certificate, v.gateway.TLS.Key)
	if err != nil {
		return broken("unusable", nil, "fault", oneLine(err.Error()))
	}
	issuer, err := url.Parse(v.gateway.Issuer)
	if err != nil {
		return broken("unusable", err, "fault", "the issuer is no URL")
	}
	leaf, now := pair.Leaf, v.config.Now()
	until, from := leaf.NotAfter.Format(time.DateTime), leaf.NotBefore.Format(time.DateTime)
	switch {
	case now.After(leaf.NotAfter):
		return broken("expired", nil, "until", until)
	case now.Before(leaf.NotBefore):
		return broken("early", nil, "from", from)
	case leaf.VerifyHostname(issuer.Hostname()) != nil:
		return broken("wrong_name", nil, "names", strings.Join(leaf.DNSNames, ", "))
	case now.Add(expirySoon).After(leaf.NotAfter):
		return weak("expiring", nil, "until", until)
	}
	return whole("for %s, until %s", strings.Join(leaf.DNSNames, ", "), until)
}

func usesKMS(v *visit) bool {
	return v.gateway != nil && (v.gateway.Keys.KMS.Key != "" || len(v.gateway.Keys.IssuerKMS) > 0)
}

// kmsWords are in what package kms says: the codes of AWS, and its own words.
var kmsWords = []struct{ word, cause string }{
	{"AWS_ACCESS_KEY_ID", "no_credentials"},
	{"UnrecognizedClientException", "no_credentials"},
	{"ExpiredTokenException", "no_credentials"},
	{"AccessDeniedException", "denied"},
	{"NotFoundException", "no_key"},
	{"DisabledException", "unusable"},
	{"KMSInvalidStateException", "unusable"},
	{"InvalidKeyUsageException", "unusable"},
	{"UnsupportedOperationException", "unusable"},
	{"call KMS", "unreachable"},
}

func checkKMS(ctx context.Context, v *visit) finding {
	key, err := gateway.TryKMS(ctx, *v.gateway, v.config.Now)
	if err == nil {
		var does []string
		if seals := v.gateway.Keys.KMS.Key; seals != "" {
			does = append(does, seals+" seals and opens")
		}
		if signs := count(len(v.gateway.Keys.IssuerKMS), "signing key"); len(v.gateway.Keys.IssuerKMS) > 0 {
			does = append(does, signs+" can be used")
		}
		return whole("%s", strings.Join(does, ", "))
	}
	cause := "other"
	for _, w := range kmsWords {
		if strings.Contains(err.Error(), w.word) {
			cause = w.cause
			break
		}
	}
	return broken(cause, nil, "key", key, "fault", oneLine(err.Error()))
}

func checkStore(ctx context.Context, v *visit) finding {
	config := store.Config{DSN: v.gateway.Store.DSN.Secret().Reveal()}
	kind := "PostgreSQL"
	if config.DSN == "" {
		config.Path = filepath.Join(v.gateway.Data, gateway.DatabaseFile)
		kind = "SQLite"
		if _, err := os.Stat(config.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return skipped("not tried: %s cannot be looked at", config.Path) // what is wrong is with the folder
		}
	}
	found, err := store.Inspect(ctx, config)
	state := "no gateway runs here"
	if v.running {
		state = "a gateway is running on it"
	}
	switch {
	case errors.Is(err, store.ErrNewer):
		return broken("newer", err)
	case err != nil && config.DSN != "":
		return broken("unreachable", err)
	case err != nil:
		return broken("damaged", err, "path", config.Path)
	case !found.Exists:
		return whole("%s: empty, a gateway makes its tables when it starts", kind)
	}
	return whole("%s, schema version %d; %s", kind, found.Version, state)
}

// discovery is what AWS reads of an issuer.
type discovery struct {
	Issuer string `json:"issuer"`
	Keys   string `json:"jwks_uri"`
}

// slowAnswer is when AWS may not wait any more. It says no number; this is well below what its
// clients report.
const slowAnswer = 3 * time.Second

func checkIssuer(ctx context.Context, v *visit) finding {
	client := plainClient()
	defer client.CloseIdleConnections()
	start := time.Now()
	at := v.gateway.Issuer + "/.well-known/openid-configuration"
	var document discovery
	if f := fetchPublished(ctx, client, at, &document); f != nil {
		return *f
	}
	if document.Issuer != v.gateway.Issuer {
		return broken("wrong_issuer", nil, "url", at, "said", oneLine(document.Issuer))
	}
	var set struct {
		Keys []struct {
			ID string `json:"kid"`
		} `json:"keys"`
	}
	if f := fetchPublished(ctx, client, document.Keys, &set); f != nil {
		return *f
	}
	signing := v.roads.SigningKey()
	for _, key := range set.Keys {
		if key.ID == signing {
			return v.reachedIssuer(ctx, time.Since(start))
		}
	}
	return broken("wrong_keys", nil, "url", document.Keys, "kid", signing)
}

func (v *visit) reachedIssuer(ctx context.Context, took time.Duration) finding {
	took = took.Round(time.Millisecond)
	switch {
	case took > slowAnswer:
		return weak("slow", nil, "took", took.String())
	case v.asksAWS() && privateHost(ctx, v.gateway.Issuer):
		return weak("private", nil)
	}
	return whole("%s says who it is and shows the key that signs (%s)", v.gateway.Issuer, took)
}

// asksAWS reports whether AWS itself reads the issuer's keys, and not a stand-in on this machine.
func (v *visit) asksAWS() bool {
	return slices.ContainsFunc(v.gateway.Warehouses, func(w gateway.Warehouse) bool {
		endpoint := w.Identity.STSEndpoint
		if w.Identity.Centered() && w.Identity.Application == "" {
			endpoint = "http://" + w.Host
		}
		u, err := url.Parse(endpoint)
		return asserted(w) && (endpoint == "" || err == nil && !loopback(u.Hostname()))
	})
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// privateHost reports whether a name leads to nothing but private addresses from here.
func privateHost(ctx context.Context, address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return false
	}
	for _, a := range addresses {
		if a = a.Unmap(); !a.IsPrivate() && !a.IsLoopback() && !a.IsLinkLocalUnicast() {
			return false
		}
	}
	return true
}

// plainClient follows no redirect and keeps nothing.
func plainClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: 10 * time.Second, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// fetchPublished reads one of the issuer's two documents.
func fetchPublished(ctx context.Context, client *http.Client, at string, into any) *finding {
	answer, err := get(ctx, client, at)
	var f finding
	switch {
	case err != nil && untrusted(err):
		f = broken("untrusted", nil, "url", at, "fault", oneLine(err.Error()))
	case err != nil:
		f = broken("unreachable", err, "url", at)
	case answer.status >= 300 && answer.status < 400:
		f = broken("redirect", nil, "url", at, "location", oneLine(answer.header.Get("Location")))
	case answer.status != http.StatusOK:
		f = broken("other_answer", nil, "url", at, "status", fmt.Sprint(answer.status))
	case json.Unmarshal(answer.body, into) != nil:
		f = broken("other_answer", nil, "url", at, "status", "200 without JSON")
	default:
		return nil
	}
	return &f
}
