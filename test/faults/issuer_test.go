package faults

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/shiftgrant/shiftgrant/internal/admin"
	"github.com/shiftgrant/shiftgrant/internal/gateway"
	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/script"
)

// again starts the gateway anew where it was.
func (s *site) again(t *testing.T) {
	t.Helper()
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+s.url[strings.LastIndexByte(s.url, ':')+1:])
	if err != nil {
		t.Fatal(err)
	}
	s.serve(t, listener)
}

// passing has a site and its twin go by a clock that the test moves.
func passing(s *site) (pass func(time.Duration)) {
	var ahead atomic.Int64
	s.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	return func(d time.Duration) { s.twin.SetSkew(time.Duration(ahead.Add(int64(d)))) }
}

// asAlice signs alice in and asks who she is in the warehouse.
func (s *site) asAlice(t *testing.T) {
	t.Helper()
	if got := s.mustSQL(t, s.token(t, "alice"), "select current_user"); len(got.rows) != 1 || got.rows[0][0] != "alice" {
		t.Errorf("alice is %v in Redshift", got.rows)
	}
}

// The keys of a gateway move from a file to AWS KMS, and on to another key there, while people work:
// AWS, which knows each key before it signs, takes every assertion. What KMS then refuses is told.
func TestSigningKeysMoveToKMSWhilePeopleWork(t *testing.T) {
	useKeys(t, twin.GatewayKeys())
	var pass func(time.Duration)
	s := startSite(t, func(s *site) {
		pass = passing(s)
		s.config.Apps[0].Scopes = append(s.config.Apps[0].Scopes, "openid")
	})
	s.asAlice(t)
	signs := func() int { return s.twin.KMS.Script.Calls("Sign") }

	move := s.now().Add(48 * time.Hour)
	s.config.Keys.IssuerKMS = []gateway.SigningKMS{{Key: twin.SigningKeyARN, From: gateway.Instant(move), Endpoint: s.twin.URL()}}
	s.again(t)
	s.asAlice(t)
	if signs() != 0 {
		t.Error("the key in KMS signs before its time")
	}
	known := s.published(t)
	pass(49 * time.Hour)
	s.asAlice(t)
	s.idTokenVerifies(t, known)
	if signs() != 2 {
		t.Errorf("%d signatures by KMS, want one of an assertion and one of an ID token", signs())
	}

	// Another key, as KMS does not rotate this one; the file of before is gone by then.
	second, err := s.twin.KMS.CreateSigningKey("00000000-0000-4000-8000-000000000009")
	if err != nil {
		t.Fatal(err)
	}
	removeSigningFiles(t, s)
	s.config.Keys.IssuerKMS = append(s.config.Keys.IssuerKMS, gateway.SigningKMS{Key: second, From: gateway.Instant(s.now().Add(48 * time.Hour)), Endpoint: s.twin.URL()})
	s.again(t)
	s.asAlice(t)
	known = s.published(t)
	pass(50 * time.Hour)
	s.asAlice(t)
	s.idTokenVerifies(t, known)
	s.twin.KMS.Disable(twin.SigningKeyARN, true) // the one before: nobody misses it
	s.again(t)
	s.asAlice(t)

	s.signingFails(t, second)
}

func removeSigningFiles(t *testing.T, s *site) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.data, "keys", "issuer", "signing-*.pem"))
	if err != nil || len(files) != 1 {
		t.Fatalf("signing keys on disk: %v, %v", files, err)
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
}

// signingFails has KMS refuse, for bob, of whom there are no credentials yet.
func (s *site) signingFails(t *testing.T, arn string) {
	t.Helper()
	bob := s.token(t, "bob")
	s.twin.KMS.Script.Refuse("Sign", script.Refusal{Code: "ThrottlingException", Message: "You have exceeded the rate at which you may call KMS."})
	got, err := s.sql(t.Context(), bob, "select 1")
	if err != nil || got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" || !strings.Contains(got.body, "signatures by AWS KMS") {
		t.Errorf("throttled: %d %v %s", got.status, err, got.body)
	}
	s.twin.KMS.Script.Reset()
	s.twin.KMS.Disable(arn, true)
	if got, err = s.sql(t.Context(), bob, "select 1"); err != nil || got.status != http.StatusBadGateway {
		t.Errorf("disabled: %d %v %s", got.status, err, got.body)
	}
	hygienic(t, "a disabled key", got)
	if log := s.log.String(); !strings.Contains(log, "sign with key "+arn) || !strings.Contains(log, "DisabledException: the key is disabled: enable it") {
		t.Error("the log does not say that the key is disabled")
	}
	s.twin.KMS.Disable(arn, false)
	s.eventually(t, "bob gets in when the key is back", func() error {
		if got, err = s.sql(t.Context(), bob, "select current_user"); err != nil || got.status != http.StatusOK {
			return fmt.Errorf("%d %w %s", got.status, err, got.body)
		}
		return nil
	})
}

// published are the keys of the gateway as somebody gets them who then fetches no others.
func (s *site) published(t *testing.T) *oidc.StaticKeySet {
	t.Helper()
	response, err := http.Get(s.url + "/oauth2/jwks")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var set jose.JSONWebKeySet
	if err := json.NewDecoder(response.Body).Decode(&set); err != nil {
		t.Fatal(err)
	}
	known := &oidc.StaticKeySet{}
	for _, key := range set.Keys {
		known.PublicKeys = append(known.PublicKeys, key.Key)
	}
	return known
}

// idTokenVerifies signs in as an app that wants to know who it is, and has somebody else's code check
// what it is told, by keys that were known before.
func (s *site) idTokenVerifies(t *testing.T, known *oidc.StaticKeySet) {
	t.Helper()
	token := s.token(t, "alice", "openid")
	id, _ := token.Extra("id_token").(string)
	if _, err := oidc.NewVerifier(s.url, known, &oidc.Config{ClientID: siteApp, Now: s.now}).Verify(t.Context(), id); err != nil {
		t.Error(err)
	}
}

// A gateway in a private network, and two files that any web server shows at its URL: that is all that
// AWS gets to see, and it takes the gateway's assertions. When a key takes over that was not exported,
// it does not, until the files are written again.
func TestAPrivateGatewayIsTrustedByItsExportedFiles(t *testing.T) {
	t.Parallel()
	s, outside := newSite(t)
	pass := passing(s)
	folder := t.TempDir()
	inside, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	files := http.FileServer(http.Dir(folder))
	front := http.NewServeMux()
	front.Handle("/", httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: inside.Addr().String()}))
	front.Handle("/.well-known/openid-configuration", files)
	front.Handle("/oauth2/jwks", files)
	server := &http.Server{Handler: front, ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(outside) }()
	t.Cleanup(func() { _ = server.Close() })
	s.serve(t, inside)

	alice := s.token(t, "alice")
	if got, err := s.sql(t.Context(), alice, "select 1"); err != nil || got.status != http.StatusBadGateway {
		t.Errorf("nothing is exported: %d %v %s", got.status, err, got.body)
	}
	export := func() gateway.Export {
		t.Helper()
		written, err := gateway.ExportIssuer(s.config, s.now, folder)
		if err != nil {
			t.Fatal(err)
		}
		return written
	}
	if written := export(); len(written.Files) != 2 || len(written.Keys) != 1 {
		t.Errorf("exported %+v", written)
	}
	pass(time.Minute) // what AWS remembers of a failure
	s.asAlice(t)

	if _, err := admin.NewClient(filepath.Join(s.data, gateway.AdminSocket)).RotateKey(t.Context(), "issuer", 48*time.Hour); err != nil {
		t.Fatal(err)
	}
	pass(49 * time.Hour)
	if got, err := s.sql(t.Context(), s.token(t, "alice"), "select 1"); err != nil || got.status != http.StatusBadGateway {
		t.Errorf("signed by a key that was not exported: %d %v %s", got.status, err, got.body)
	}
	if written := export(); len(written.Keys) != 2 {
		t.Errorf("exported %+v", written)
	}
	pass(time.Minute)
	s.asAlice(t)
}
