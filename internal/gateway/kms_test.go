package gateway

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/kms"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
	twinkms "github.com/shiftgrant/shiftgrant/twin/kms"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
)

// keyService is a KMS with one key, and the gateway's client of it.
func keyService(t *testing.T) (service *twinkms.Server, arn string, client *kms.Key) {
	t.Helper()
	registry := sigv4.NewRegistry(0)
	if err := registry.Add(sigv4.Credential{AccessKeyID: "AKIAGATEWAY", SecretAccessKey: "secret", Account: "123456789012"}); err != nil {
		t.Fatal(err)
	}
	service = twinkms.New(twinkms.Config{Registry: registry, Region: "us-east-1", Account: "123456789012"})
	arn = service.CreateKey("one", nil)
	server := httptest.NewServer(service)
	t.Cleanup(server.Close)
	client, err := kms.New(kms.Config{KeyARN: arn, Endpoint: server.URL, Credentials: identity.Static("AKIAGATEWAY", "secret", "", "")})
	if err != nil {
		t.Fatal(err)
	}
	return service, arn, client
}

func opened(t *testing.T, folder string, service *kms.Key) *keyRing {
	t.Helper()
	ring := &keyRing{}
	if err := ring.open(folder, Keys{}, service); err != nil {
		t.Fatal(err)
	}
	return ring
}

func dataFolder(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	return folder
}

func TestKeysThatKMSSealsAreNotOnDisk(t *testing.T) {
	t.Parallel()
	_, _, client := keyService(t)
	folder := dataFolder(t)
	made := opened(t, folder, client)
	if _, err := (&adminKeys{made, time.Now}).Rotate(sealKey, 0); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"seal", "rotation"} {
		content, err := os.ReadFile(filepath.Join(folder, "keys", name))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(content)) {
			if !strings.HasPrefix(line, "#") && !strings.Contains(line, " kms ") {
				t.Errorf("%s has a key as it is", name)
			}
		}
	}
	again := opened(t, folder, client)
	if len(again.start) != 2 || string(again.start[0].Bytes) != string(made.start[0].Bytes) || string(again.rotation[0].Bytes) != string(made.rotation[0].Bytes) {
		t.Error("another start reads other keys")
	}
	var without keyRing
	if err := without.open(folder, Keys{}, nil); err == nil || !strings.Contains(err.Error(), "configure keys.kms") {
		t.Errorf("without KMS: %v, want a remedy", err)
	}
}

func TestKeysFromBeforeKMSAreSealedAtTheNextStart(t *testing.T) {
	t.Parallel()
	_, _, client := keyService(t)
	folder := dataFolder(t)
	before := opened(t, folder, nil)
	after := opened(t, folder, client)
	content, err := os.ReadFile(filepath.Join(folder, "keys", "seal"))
	if err != nil || !strings.Contains(string(content), "\n1 kms ") {
		t.Errorf("%q, %v: want the key sealed", content, err)
	}
	if string(before.start[0].Bytes) != string(after.start[0].Bytes) {
		t.Error("the key is another")
	}
}

func TestWhatKMSRefusesIsSaidWithARemedy(t *testing.T) {
	t.Parallel()
	service, arn, client := keyService(t)
	folder := dataFolder(t)
	opened(t, folder, client)
	refused := func(want string) {
		t.Helper()
		var ring keyRing
		if err := ring.open(folder, Keys{}, client); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	service.Disable(arn, true)
	refused("enable it")
	service.Disable(arn, false)
	service.Deny(arn, true)
	refused("allow the gateway kms:Encrypt and kms:Decrypt")
	service.Deny(arn, false)

	// A key that was moved to another purpose, or to another version, does not open.
	path := filepath.Join(folder, "keys", "seal")
	rotation, err := os.ReadFile(filepath.Join(folder, "keys", "rotation"))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{string(rotation), strings.Replace(string(sealed), "\n1 kms ", "\n2 kms ", 1)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		refused("not sealed by this key for this purpose")
	}
}

func TestConfiguredKeysMustBeSealedWhereKMSIsConfigured(t *testing.T) {
	t.Parallel()
	_, _, client := keyService(t)
	path := filepath.Join(t.TempDir(), "shared")
	if err := os.WriteFile(path, []byte("1 "+strings.Repeat("A", 43)+"=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	content, err := resolveSecret("file:" + path)
	if err != nil {
		t.Fatal(err)
	}
	var ring keyRing
	err = ring.open(dataFolder(t), Keys{Seal: SecretRef{content, "file:" + path}}, client)
	if err == nil || !strings.Contains(err.Error(), "is not sealed, although keys.kms is configured") {
		t.Errorf("%v, want a refusal", err)
	}
}
