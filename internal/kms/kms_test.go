package kms_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/kms"
	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
	twinkms "github.com/shiftgrant/shiftgrant/twin/kms"
	"github.com/shiftgrant/shiftgrant/twin/script"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
)

// startKMS is a KMS with a signing key, over HTTP, and the way to its clients.
func startKMS(t testing.TB) (service *twinkms.Server, arn string, client func(arn string) *kms.Key) {
	t.Helper()
	registry := sigv4.NewRegistry(0)
	if err := registry.Add(sigv4.Credential{AccessKeyID: "AKIAGATEWAY", SecretAccessKey: "secret", Account: "123456789012"}); err != nil {
		t.Fatal(err)
	}
	service = twinkms.New(twinkms.Config{Registry: registry, Region: "us-east-1", Account: "123456789012"})
	arn, err := service.CreateSigningKey("signs")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(service)
	t.Cleanup(server.Close)
	return service, arn, func(arn string) *kms.Key {
		return newClient(t, arn, server.URL, identity.Static("AKIAGATEWAY", "secret", "", ""))
	}
}

func newClient(t testing.TB, arn, endpoint string, credentials identity.Provider) *kms.Key {
	t.Helper()
	client, err := kms.New(kms.Config{KeyARN: arn, Endpoint: endpoint, Credentials: credentials})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestKMSSignsByTheKeyItPublishes(t *testing.T) {
	t.Parallel()
	_, arn, client := startKMS(t)
	key := client(arn)
	public, err := key.PublicKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("header.payload"))
	signature, err := key.Sign(t.Context(), digest[:])
	if err != nil {
		t.Fatal(err)
	}
	if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], signature); err != nil {
		t.Error(err)
	}
	if _, err := key.Sign(t.Context(), []byte("header.payload")); err == nil || !strings.Contains(err.Error(), "32 bytes") {
		t.Errorf("what is no digest: %v", err)
	}
}

func TestWhatKMSRefusesToSignIsSaidInWords(t *testing.T) {
	t.Parallel()
	service, arn, client := startKMS(t)
	symmetric := service.CreateKey("seals", nil)
	digest := sha256.Sum256([]byte("header.payload"))
	for what, row := range map[string]struct {
		arn     string
		arrange func(on bool)
		says    string
	}{
		"the key is disabled":            {arn, func(on bool) { service.Disable(arn, on) }, "DisabledException: the key is disabled: enable it"},
		"its policy denies":              {arn, func(on bool) { service.Deny(arn, on) }, "AccessDeniedException: allow the gateway kms:GetPublicKey and kms:Sign on the key"},
		"there is no such key":           {arn + "0", func(bool) {}, "NotFoundException: there is no such key"},
		"it is there to seal":            {symmetric, func(bool) {}, "InvalidKeyUsageException: the key is not one for SIGN_VERIFY"},
		"an answer that nobody foresaw":  {arn, refuses(service, script.Refusal{Status: 418, Code: "TeapotException"}), "with status 418"},
		"it is to be deleted":            {arn, refuses(service, script.Refusal{Code: "KMSInvalidStateException"}), "is it to be deleted?"},
		"the account's quota is used up": {arn, refuses(service, script.Refusal{Code: "ThrottlingException"}), "have AWS raise the quota"},
	} {
		row.arrange(true)
		key := client(row.arn)
		_, publicErr := key.PublicKey(t.Context())
		_, signErr := key.Sign(t.Context(), digest[:])
		for operation, err := range map[string]error{"GetPublicKey": publicErr, "Sign": signErr} {
			if err == nil || !strings.Contains(err.Error(), row.says) || !strings.Contains(err.Error(), operation) {
				t.Errorf("%s: %s: %v, want %q", what, operation, err, row.says)
			}
		}
		row.arrange(false)
	}
}

// refuses has both operations refused, and again not.
func refuses(service *twinkms.Server, with script.Refusal) func(bool) {
	return func(on bool) {
		service.Script.Reset()
		if on {
			service.Script.Refuse("Sign", with)
			service.Script.Refuse("GetPublicKey", with)
		}
	}
}

// What passes is tried three times, what does not once. Who waits for a signature hears that it is a
// matter of how many there are.
func TestOnlyWhatPassesIsTriedAgain(t *testing.T) {
	t.Parallel()
	service, arn, client := startKMS(t)
	digest := sha256.Sum256([]byte("header.payload"))
	for code, want := range map[string]int{
		"ThrottlingException": 3, "KMSInternalException": 3, "DependencyTimeoutException": 3, "KeyUnavailableException": 3,
		"DisabledException": 1, "AccessDeniedException": 1, "ValidationException": 1,
	} {
		refuses(service, script.Refusal{Code: code})(true)
		_, err := client(arn).Sign(t.Context(), digest[:])
		if calls := service.Script.Calls("Sign"); err == nil || calls != want {
			t.Errorf("%s: %d calls, %v, want %d", code, calls, err, want)
		}
		if _, busy := errors.AsType[*redshift.BusyError](err); busy != (code == "ThrottlingException") {
			t.Errorf("%s: busy %v", code, busy)
		}
	}
	refuses(service, script.Refusal{Status: http.StatusServiceUnavailable, Code: "Unheard"})(true)
	if _, err := client(arn).Sign(t.Context(), digest[:]); err == nil || service.Script.Calls("Sign") != 3 {
		t.Errorf("503: %d calls, %v", service.Script.Calls("Sign"), err)
	}
}

// credentials that are replaced when they are refused.
type credentials struct {
	kept  atomic.Pointer[identity.Credentials]
	fresh *identity.Credentials
	asked atomic.Int32
}

func (c *credentials) Credentials(context.Context) (identity.Credentials, error) {
	return *c.kept.Load(), nil
}

func (c *credentials) Invalidate(identity.Credentials) {
	c.asked.Add(1)
	c.kept.Store(c.fresh)
}

func TestRefusedCredentialsAreReplacedOnce(t *testing.T) {
	t.Parallel()
	service, arn, _ := startKMS(t)
	server := httptest.NewServer(service)
	defer server.Close()
	of := func(keyID string) *identity.Credentials {
		made, err := identity.Static(keyID, "secret", "", "").Credentials(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return &made
	}
	good, unknown := of("AKIAGATEWAY"), of("AKIANOBODY")
	for _, row := range []struct {
		fresh *identity.Credentials
		works bool
	}{{good, true}, {unknown, false}} {
		own := &credentials{fresh: row.fresh}
		own.kept.Store(unknown)
		_, err := newClient(t, arn, server.URL, own).PublicKey(t.Context())
		if (err == nil) != row.works || own.asked.Load() != 1 {
			t.Errorf("replaced %d times, %v", own.asked.Load(), err)
		}
		if err != nil && !strings.Contains(err.Error(), "AWS does not know the gateway's own credentials") {
			t.Error(err)
		}
	}
}

func TestAKMSThatDoesNotAnswerIsGivenUp(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		calls.Add(1)
		panic(http.ErrAbortHandler)
	}))
	defer server.Close()
	key := newClient(t, "arn:aws:kms:us-east-1:123456789012:key/x", server.URL, identity.Static("AKIAGATEWAY", "secret", "", ""))
	if _, err := key.PublicKey(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "call KMS: ") || calls.Load() != 3 {
		t.Errorf("%d calls, %v", calls.Load(), err)
	}
	ended, end := context.WithTimeout(t.Context(), time.Millisecond)
	defer end()
	<-ended.Done()
	if _, err := key.PublicKey(ended); !errors.Is(err, context.DeadlineExceeded) || calls.Load() != 3 {
		t.Errorf("for a caller that is gone: %d calls, %v", calls.Load(), err)
	}
}

// A key that KMS would sign with, and AWS's verifiers would not take, is refused before it is published.
func TestKeysOfAnotherKindAreRefused(t *testing.T) {
	t.Parallel()
	encode := func(public any, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			t.Fatal(err)
		}
		return encoded
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	elliptical := encode(&curve.PublicKey, err)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	short := encode(&small.PublicKey, err)
	var answer atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(answer.Load())
	}))
	defer server.Close()
	key := newClient(t, "arn:aws:kms:us-east-1:123456789012:key/x", server.URL, identity.Static("AKIAGATEWAY", "secret", "", ""))
	algorithms := []string{"RSASSA_PKCS1_V1_5_SHA_256"}
	for what, row := range map[string]struct {
		answer map[string]any
		says   string
	}{
		"an elliptic curve": {map[string]any{"KeyUsage": "SIGN_VERIFY", "KeySpec": "ECC_NIST_P256", "PublicKey": elliptical, "SigningAlgorithms": []string{"ECDSA_SHA_256"}}, "key spec ECC_NIST_P256"},
		"too small":         {map[string]any{"KeyUsage": "SIGN_VERIFY", "KeySpec": "RSA_1024", "PublicKey": short, "SigningAlgorithms": algorithms}, "key spec RSA_1024"},
		"to encrypt with":   {map[string]any{"KeyUsage": "ENCRYPT_DECRYPT", "KeySpec": "RSA_2048", "PublicKey": short}, "ENCRYPT_DECRYPT, not for SIGN_VERIFY"},
		"nothing":           {map[string]any{"KeyUsage": "SIGN_VERIFY"}, "is the endpoint right?"},
	} {
		answer.Store(row.answer)
		if _, err := key.PublicKey(t.Context()); err == nil || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %v, want %q", what, err, row.says)
		}
	}
}

// What a signature costs here beside the way to KMS and its work: the twin's own RSA is in it.
func BenchmarkSign(b *testing.B) {
	_, arn, client := startKMS(b)
	key := client(arn)
	digest := sha256.Sum256([]byte("header.payload"))
	for b.Loop() {
		if _, err := key.Sign(b.Context(), digest[:]); err != nil {
			b.Fatal(err)
		}
	}
}
