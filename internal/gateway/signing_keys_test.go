package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/admin"
	"github.com/shiftgrant/shiftgrant/internal/issuer"
	"github.com/shiftgrant/shiftgrant/internal/secret"
	twinkms "github.com/shiftgrant/shiftgrant/twin/kms"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
)

func TestSigningKeysInTheConfigurationAreChecked(t *testing.T) {
	t.Parallel()
	const one = "arn:aws:kms:us-east-1:123456789012:key/one"
	for what, row := range map[string]struct{ yaml, says string }{
		"good":                    {"issuer_kms: [{key: " + one + ", from: 2026-12-01T00:00:00Z}, {key: " + one + "2, from: 2026-12-01T00:00:00+02:00}]", ""},
		"rotation":                {"issuer_rotate_every: 2160h", ""},
		"rotation every day":      {"issuer_rotate_every: 24h", "issuer_rotate_every: a key is published for days"},
		"rotation of keys in KMS": {"{issuer_rotate_every: 2160h, issuer_kms: [{key: " + one + ", from: 2026-12-01T00:00:00Z}]}", "issuer_rotate_every: this is for keys in files"},
		"no ARN":                  {"issuer_kms: [{key: one, from: 2026-12-01T00:00:00Z}]", "issuer_kms[0].key: not the ARN of a KMS key"},
		"an alias":                {"issuer_kms: [{key: arn:aws:kms:us-east-1:123456789012:alias/signs, from: 2026-12-01T00:00:00Z}]", "issuer_kms[0].key: an alias can come to stand"},
		"no time":                 {"issuer_kms: [{key: " + one + "}]", "issuer_kms[0].from: say from when"},
		"a day":                   {"issuer_kms: [{key: " + one + ", from: 2026-12-01}]", "not a time: write it as"},
		"twice":                   {"issuer_kms: [{key: " + one + ", from: 2026-12-01T00:00:00Z}, {key: " + one + ", from: 2026-12-02T00:00:00Z}]", "issuer_kms[1].key: this key is there twice"},
		"at the same time":        {"issuer_kms: [{key: " + one + ", from: 2026-12-01T00:00:00Z}, {key: " + one + "2, from: 2026-12-01T02:00:00+02:00}]", "issuer_kms[1].from: another key begins"},
		"an endpoint by http":     {"issuer_kms: [{key: " + one + ", from: 2026-12-01T00:00:00Z, endpoint: http://kms.example}]", "issuer_kms[0].endpoint: not an https URL"},
		"a key that seals":        {"kms: {key: seals}", "kms.key: not the ARN of a KMS key"},
	} {
		var config Config
		err := decodeConfig([]byte("keys:\n  "+row.yaml+"\n"), &config)
		if err == nil {
			err = config.Keys.check()
		}
		if (row.says == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %v, want %q", what, err, row.says)
		}
	}
}

// What one key signs in the name of two tenants, the accounts of both would take.
func TestNoKeySignsForTwoTenants(t *testing.T) {
	t.Parallel()
	const one, two = "arn:aws:kms:us-east-1:123456789012:key/one", "arn:aws:kms:us-east-1:123456789012:key/two"
	keys := func(arns ...string) (all []SigningKMS) {
		for n, arn := range arns {
			all = append(all, SigningKMS{Key: arn, From: Instant(builtAt.Add(time.Duration(n) * time.Hour))})
		}
		return all
	}
	for what, row := range map[string]struct {
		top, acme, globex []SigningKMS
		says              string
	}{
		"each its own":        {keys(one), keys(two), nil, ""},
		"the top level's":     {keys(one), keys(one), nil, "tenants[0].issuer_kms[0].key: another tenant signs"},
		"another tenant's":    {nil, keys(one), keys(two, one), "tenants[1].issuer_kms[1].key: another tenant signs"},
		"twice for one":       {nil, keys(one, one), nil, "tenants[0].issuer_kms[1].key: this key is there twice"},
		"an alias for a name": {nil, keys("arn:aws:kms:us-east-1:123456789012:alias/signs"), nil, "tenants[0].issuer_kms[0].key: an alias"},
	} {
		upstreams := []Upstream{{Name: "okta", Issuer: "https://idp.invalid", ClientID: "abc"}}
		warehouses := []Warehouse{{Name: "sales", Region: "us-east-1", Cluster: "sales", Database: "dev", Identity: Identity{RoleARN: "arn:aws:iam::123456789012:role/x"}}}
		config := Config{Issuer: "https://grants.example.com", Data: "/data", Upstreams: upstreams, Warehouses: warehouses, Tenants: []Tenant{
			{Name: "acme", Upstreams: upstreams, Warehouses: warehouses, IssuerKMS: row.acme},
			{Name: "globex", Upstreams: upstreams, Warehouses: warehouses, IssuerKMS: row.globex},
		}}
		config.Keys.IssuerKMS = row.top
		err := config.check()
		if (row.says == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %v, want %q", what, err, row.says)
		}
		acme, err := config.Tenant("acme")
		if err != nil || len(acme.Keys.IssuerKMS) != len(row.acme) {
			t.Errorf("%s: acme signs by %v, %v", what, acme.Keys.IssuerKMS, err)
		}
	}
}

// builtAt is when tests of keys begin.
var builtAt = time.Date(2026, 11, 23, 13, 0, 0, 0, time.UTC)

// built is a gateway that serves nobody, with a clock that a test moves.
type built struct {
	*Gateway
	config Config
	now    time.Time
	log    bytes.Buffer
}

func build(t *testing.T, change func(*Config)) (*built, error) {
	t.Helper()
	data, err := os.MkdirTemp("", "sg-keys-") // a unix socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(data) })
	b := &built{now: builtAt, config: Config{
		Issuer: "http://localhost:1", Listen: "127.0.0.1:0", Data: data,
		Upstreams:  []Upstream{{Name: "okta", Issuer: "https://idp.invalid", ClientID: "abc", ClientSecret: SecretOf(secret.New("x"))}},
		Warehouses: []Warehouse{{Name: "sales", Region: "us-east-1", Cluster: "sales", Database: "dev", Identity: Identity{RoleARN: "arn:aws:iam::123456789012:role/x"}}},
	}}
	change(&b.config)
	b.Gateway, err = New(t.Context(), b.config, Options{Logger: slog.New(slog.NewTextHandler(&b.log, nil)), Now: func() time.Time { return b.now }})
	if err == nil {
		t.Cleanup(func() { _ = b.Close() })
	}
	return b, err
}

func mustBuild(t *testing.T, change func(*Config)) *built {
	t.Helper()
	b, err := build(t, change)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// states are those of the signing keys, the oldest first.
func (b *built) states() string {
	var states []string
	for _, key := range b.tenants[0].keys.issuer.List(b.now) {
		states = append(states, string(key.State))
	}
	return strings.Join(states, " ")
}

const days = 24 * time.Hour

func TestSigningKeysInFilesTakeTurnsOnRecord(t *testing.T) {
	t.Parallel()
	b := mustBuild(t, func(c *Config) { c.Keys.IssuerRotateEvery = Duration(90 * days) })
	first := b.now
	for _, row := range []struct {
		at     time.Duration
		states string
	}{
		{time.Minute, "signs"},
		{87 * days, "signs"},
		{88 * days, "signs published"},
		{89 * days, "signs published"},
		{90 * days, "verifies signs"},
		{90*days + 2*time.Hour, "over signs"},
		{92 * days, "signs"},
		{178 * days, "signs published"},
	} {
		b.now = first.Add(row.at)
		b.tenants[0].turnKeys(t.Context())
		if got := b.states(); got != row.states {
			t.Errorf("after %s: %s, want %s", row.at, got, row.states)
		}
	}
	record, err := os.ReadFile(filepath.Join(b.config.Data, "audit.jsonl"))
	if err != nil || strings.Count(string(record), `"kind":"key.rotated"`) != 2 || !strings.Contains(string(record), "by schedule") {
		t.Errorf("on record: %s, %v", record, err)
	}
	if log := b.log.String(); strings.Count(log, "a new signing key is published") != 2 || strings.Count(log, "deleted a signing key") != 1 || strings.Contains(log, "level=WARN") {
		t.Errorf("log:\n%s", log)
	}
}

func TestAFolderThatTakesNoKeyIsTriedNowAndThen(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "issuer")
	b := mustBuild(t, func(c *Config) { c.Keys.IssuerRotateEvery, c.Keys.Issuer = Duration(90*days), folder })
	b.now = b.now.Add(88 * days)
	// A file system that is mounted read-only, as far as a test can have it: root may write anywhere.
	if err := os.Rename(folder, folder+".away"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		b.now = b.now.Add(time.Minute)
		b.tenants[0].turnKeys(t.Context())
	}
	if tries := strings.Count(b.log.String(), "rotate the signing key; the one before goes on"); tries != 1 || b.states() != "signs" {
		t.Errorf("%d tries in three minutes; %s", tries, b.states())
	}
	if err := os.Rename(folder+".away", folder); err != nil {
		t.Fatal(err)
	}
	b.now = b.now.Add(rotateAgain)
	b.tenants[0].turnKeys(t.Context())
	if b.states() != "signs published" {
		t.Errorf("an hour later: %s", b.states())
	}
}

// What was exported does not change by itself: no key is made that AWS would not hear of.
func TestKeysThatWereExportedWaitForAnOperator(t *testing.T) {
	t.Parallel()
	b := mustBuild(t, func(c *Config) { c.Keys.IssuerRotateEvery = Duration(90 * days) })
	export, err := ExportIssuer(b.tenants[0].config, func() time.Time { return b.now }, t.TempDir())
	if err != nil || len(export.Files) != 2 || len(export.Keys) != 1 {
		t.Fatalf("%+v, %v", export, err)
	}
	b.now = b.now.Add(88 * days)
	for range 3 {
		b.now = b.now.Add(time.Minute)
		b.tenants[0].turnKeys(t.Context())
	}
	if log := b.log.String(); b.states() != "signs" || strings.Count(log, "it is time for a new signing key, and none is made") != 1 {
		t.Errorf("%s; log:\n%s", b.states(), log)
	}
	keys := adminKeys{b.tenants[0].keys, func() time.Time { return b.now }}
	next, err := keys.Rotate(issuerKey, 2*days)
	if err != nil || next.State != string(issuer.Ahead) || next.Place == "" {
		t.Fatalf("%+v, %v", next, err)
	}
	b.tenants[0].turnKeys(t.Context())
	if log := b.log.String(); strings.Count(log, "is not in the files that were exported") != 1 {
		t.Errorf("log:\n%s", log)
	}
	if export, err = ExportIssuer(b.tenants[0].config, func() time.Time { return b.now }, t.TempDir()); err != nil || len(export.Keys) != 2 {
		t.Fatalf("%+v, %v", export, err)
	}
	b.log.Reset()
	b.now = b.now.Add(remindEvery)
	b.tenants[0].turnKeys(t.Context())
	if b.log.Len() > 0 {
		t.Errorf("log:\n%s", b.log.String())
	}
}

func TestAnOldKeyIsWorthAWord(t *testing.T) {
	t.Parallel()
	b := mustBuild(t, func(*Config) {})
	b.now = b.now.Add(oldKey)
	b.tenants[0].turnKeys(t.Context())
	if b.log.Len() > 0 {
		t.Errorf("after a year:\n%s", b.log.String())
	}
	for range 2 {
		b.now = b.now.Add(time.Minute)
		b.tenants[0].turnKeys(t.Context())
	}
	if log := b.log.String(); strings.Count(log, "the signing key is old") != 1 || b.states() != "signs" {
		t.Errorf("log:\n%s", log)
	}
}

// signingService is a KMS with two keys that sign. The gateway finds its AWS keys in the environment, so
// that who asks for this runs beside no other test.
func signingService(t *testing.T) (service *twinkms.Server, endpoint string, arns [2]string) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAGATEWAY")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_SESSION_TOKEN", "")
	registry := sigv4.NewRegistry(0)
	if err := registry.Add(sigv4.Credential{AccessKeyID: "AKIAGATEWAY", SecretAccessKey: "secret", Account: "123456789012"}); err != nil {
		t.Fatal(err)
	}
	service = twinkms.New(twinkms.Config{Registry: registry, Region: "us-east-1", Account: "123456789012", Now: func() time.Time { return builtAt }})
	for n := range arns {
		arn, err := service.CreateSigningKey(fmt.Sprint("signs-", n))
		if err != nil {
			t.Fatal(err)
		}
		arns[n] = arn
	}
	server := httptest.NewServer(service)
	t.Cleanup(server.Close)
	return service, server.URL, arns
}

func TestSigningKeysInKMSAreListedExportedAndNotRotatedHere(t *testing.T) {
	service, endpoint, arns := signingService(t)
	b := mustBuild(t, func(c *Config) {
		c.Keys.IssuerKMS = []SigningKMS{
			{Key: arns[0], From: Instant(builtAt.Add(-90 * days)), Endpoint: endpoint}, {Key: arns[1], From: Instant(builtAt.Add(23 * time.Hour)), Endpoint: endpoint},
		}
	})
	if log := b.log.String(); !strings.Contains(log, "signs in less than a day") || !strings.Contains(log, arns[1]) {
		t.Errorf("log:\n%s", log)
	}
	keys := adminKeys{b.tenants[0].keys, func() time.Time { return b.now }}
	listed := slices.DeleteFunc(keys.Keys(), func(key admin.Key) bool { return key.Kind != issuerKey })
	if len(listed) != 2 || listed[0].Place != arns[0] || listed[0].State != "signs" || !listed[0].InUse || listed[1].State != "published" || len(listed[1].ID) != 43 {
		t.Errorf("listed %+v", listed)
	}
	if _, err := keys.Rotate(issuerKey, 2*days); !errors.Is(err, admin.ErrRefused) || !strings.Contains(err.Error(), "add it to keys.issuer_kms") {
		t.Errorf("rotated here: %v", err)
	}
	folder := t.TempDir()
	export, err := ExportIssuer(b.tenants[0].config, func() time.Time { return b.now }, folder)
	if err != nil || len(export.Keys) != 2 {
		t.Fatalf("%+v, %v", export, err)
	}
	written, err := os.ReadFile(filepath.Join(folder, "oauth2", "jwks"))
	if err != nil || !bytes.Equal(written, b.tenants[0].issuer.JWKS()) || !json.Valid(written) {
		t.Errorf("exported %s, %v", written, err)
	}
	// A minute asks KMS for nothing.
	asked := service.Script.Calls("GetPublicKey")
	b.tenants[0].turnKeys(t.Context())
	if now := service.Script.Calls("GetPublicKey"); now != asked {
		t.Errorf("asked %d times more", now-asked)
	}
	if files, err := filepath.Glob(filepath.Join(b.config.Data, "keys", "issuer", "signing-*")); err != nil || len(files) > 0 {
		t.Errorf("private keys on disk: %v, %v", files, err)
	}
}

func TestAFileThatKMSHasReplacedIsWorthAWord(t *testing.T) {
	_, endpoint, arns := signingService(t)
	folder := t.TempDir()
	if _, err := issuer.OpenKeys(folder, builtAt.Add(-100*days)); err != nil {
		t.Fatal(err)
	}
	b := mustBuild(t, func(c *Config) {
		c.Keys.Issuer = folder
		c.Keys.IssuerKMS = []SigningKMS{{Key: arns[0], From: Instant(builtAt.Add(-time.Hour)), Endpoint: endpoint}}
	})
	for _, row := range []struct {
		after  time.Duration
		states string
		words  int
	}{{0, "verifies signs", 0}, {time.Hour, "over signs", 1}, {time.Hour + time.Minute, "over signs", 1}, {time.Hour + remindEvery, "over signs", 2}} {
		b.now = builtAt.Add(row.after)
		b.tenants[0].turnKeys(t.Context())
		if words := strings.Count(b.log.String(), "the file of one from before is still there"); b.states() != row.states || words != row.words {
			t.Errorf("after %s: %s, told %d times", row.after, b.states(), words)
		}
	}
}

func TestAStartSaysWhatIsWrongWithASigningKey(t *testing.T) {
	service, endpoint, arns := signingService(t)
	symmetric := service.CreateKey("seals", nil)
	with := func(arn string, from time.Time) func(*Config) {
		return func(c *Config) { c.Keys.IssuerKMS = []SigningKMS{{Key: arn, From: Instant(from), Endpoint: endpoint}} }
	}
	past, future := builtAt.Add(-days), builtAt.Add(days)
	service.Disable(arns[0], true)
	for what, row := range map[string]struct {
		change func(*Config)
		says   string
	}{
		"disabled":        {with(arns[0], past), "read signing key " + arns[0] + ": KMS refused GetPublicKey with DisabledException"},
		"unknown":         {with(arns[1]+"0", past), "there is no such key"},
		"for sealing":     {with(symmetric, past), "not one for SIGN_VERIFY"},
		"none that signs": {with(arns[1], future), "let the first one begin in the past"},
	} {
		if _, err := build(t, row.change); err == nil || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %v, want %q", what, err, row.says)
		}
	}
}
