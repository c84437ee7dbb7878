package twin_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	signer "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"go.uber.org/goleak"
	"golang.org/x/oauth2"

	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/person"
	"github.com/shiftgrant/shiftgrant/twin/twintest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gateway is as much of the gateway as AWS sees: an issuer with keys.
type gateway struct {
	*httptest.Server
	key jose.JSONWebKey
}

func newGateway(t *testing.T) *gateway {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{key: jose.JSONWebKey{Key: private, KeyID: "k1", Algorithm: "RS256", Use: "sig"}}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": g.URL, "jwks_uri": g.URL + "/keys"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{g.key.Public()}})
	})
	g.Server = httptest.NewServer(mux)
	t.Cleanup(g.Close)
	return g
}

func (g *gateway) assertion(t *testing.T, user string) string {
	t.Helper()
	with, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: g.key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	claims := map[string]any{
		"iss": g.URL, "sub": "per_" + user, "aud": twin.Audience, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "jti": rand.Text(),
	}
	if user != "" {
		claims["https://aws.amazon.com/tags"] = map[string]any{"principal_tags": map[string]any{"RedshiftDbUser": []string{user}}, "transitive_tag_keys": []string{"RedshiftDbUser"}}
		claims["https://aws.amazon.com/source_identity"] = user
	}
	token, err := jwt.Signed(with).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func request(t *testing.T, method, address, body string, header map[string]string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	return r
}

func send(t *testing.T, r *http.Request) (int, string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// call is one call of the Data API, signed by AWS's own signer.
func call(t *testing.T, endpoint, operation, body string, keys aws.Credentials, answer any) int {
	t.Helper()
	r := request(t, "POST", endpoint+"/", body, map[string]string{"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "RedshiftData." + operation})
	sum := sha256.Sum256([]byte(body))
	if err := signer.NewSigner().SignHTTP(context.Background(), keys, r, hex.EncodeToString(sum[:]), "redshift-data", twin.Region, time.Now()); err != nil {
		t.Fatal(err)
	}
	status, text := send(t, r)
	if err := json.Unmarshal([]byte(text), answer); err != nil {
		t.Fatalf("%s answered %d: %s", operation, status, text)
	}
	return status
}

func TestAnAssertionBecomesAPersonInTheDatabase(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	played := twintest.Start(t, twin.Config{Issuer: g.URL})
	status, text := send(t, request(t, "POST", played.URL()+"/", url.Values{
		"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"}, "RoleArn": {twin.RoleARN},
		"RoleSessionName": {"bob@example.com"}, "WebIdentityToken": {g.assertion(t, "bob")},
	}.Encode(), map[string]string{"Content-Type": "application/x-www-form-urlencoded"}))
	var assumed struct {
		ID     string `xml:"AssumeRoleWithWebIdentityResult>Credentials>AccessKeyId"`
		Secret string `xml:"AssumeRoleWithWebIdentityResult>Credentials>SecretAccessKey"`
		Token  string `xml:"AssumeRoleWithWebIdentityResult>Credentials>SessionToken"`
	}
	if err := xml.Unmarshal([]byte(text), &assumed); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	keys := aws.Credentials{AccessKeyID: assumed.ID, SecretAccessKey: assumed.Secret, SessionToken: assumed.Token}
	var statement struct{ ID, Status, Error string }
	call(t, played.URL(), "ExecuteStatement", `{"ClusterIdentifier":"tickit","Database":"dev","DbUser":"bob","Sql":"select current_user","WaitTimeSeconds":30}`, keys, &statement)
	var result struct {
		Records [][]struct {
			StringValue string `json:"stringValue"`
		}
	}
	call(t, played.URL(), "GetStatementResult", `{"Id":"`+statement.ID+`","WaitTimeSeconds":30}`, keys, &result)
	if len(result.Records) != 1 || result.Records[0][0].StringValue != "bob" {
		t.Errorf("records %+v of %+v", result.Records, statement)
	}
	// The tag decides who one may be: bob's keys do not open alice's account.
	var refused struct {
		Type string `json:"__type"`
	}
	if status := call(t, played.URL(), "ExecuteStatement", `{"ClusterIdentifier":"tickit","Database":"dev","DbUser":"alice","Sql":"select 1","WaitTimeSeconds":30}`, keys, &refused); status == http.StatusOK {
		t.Errorf("bob became alice: %+v", refused)
	}
	keys.SecretAccessKey += "x"
	if status := call(t, played.URL(), "ExecuteStatement", `{}`, keys, &refused); status != http.StatusBadRequest || !strings.HasSuffix(refused.Type, "InvalidSignatureException") {
		t.Errorf("a wrong signature: %d %s", status, refused.Type)
	}
}

func TestTheTrustPolicyWantsADatabaseUser(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	played := twintest.Start(t, twin.Config{Issuer: g.URL})
	status, text := send(t, request(t, "POST", played.URL()+"/", url.Values{
		"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"}, "RoleArn": {twin.RoleARN},
		"RoleSessionName": {"nobody"}, "WebIdentityToken": {g.assertion(t, "")},
	}.Encode(), map[string]string{"Content-Type": "application/x-www-form-urlencoded"}))
	if status != http.StatusForbidden || !strings.Contains(text, "<Code>AccessDenied</Code>") {
		t.Errorf("%d %s", status, text)
	}
}

func TestOnePortPlaysEverything(t *testing.T) {
	t.Parallel()
	const redirect = "http://localhost:7420/signin/callback/twin"
	played := twintest.Start(t, twin.Config{GatewayRedirectURIs: []string{redirect}})
	form := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	for name, test := range map[string]struct {
		method, path, body string
		header             map[string]string
		status             int
		says               string
	}{
		"the front page":             {"GET", "/", "", nil, 200, "no production system"},
		"its example":                {"GET", "/", "", nil, 200, "export AWS_ACCESS_KEY_ID=AKIATWINALICE0000000"},
		"the IdP's discovery":        {"GET", "/idp/.well-known/openid-configuration", "", nil, 200, `"issuer":"` + played.IdPIssuer() + `"`},
		"STS":                        {"POST", "/", "Action=GetCallerIdentity&Version=2011-06-15", form, 403, "MissingAuthenticationToken"},
		"the Data API":               {"POST", "/", "{}", map[string]string{"X-Amz-Target": "RedshiftData.ListStatements", "Content-Type": "application/x-amz-json-1.1"}, 400, "MissingAuthenticationTokenException"},
		"another service of AWS":     {"POST", "/", "{}", map[string]string{"X-Amz-Target": "DynamoDB_20120810.GetItem"}, 404, "redshift-data"},
		"a target and a form":        {"POST", "/", "Action=x", map[string]string{"X-Amz-Target": "Other.X", "Content-Type": "application/x-www-form-urlencoded"}, 404, ""},
		"JSON without a target":      {"POST", "/", "{}", map[string]string{"Content-Type": "application/json"}, 404, ""},
		"another path":               {"GET", "/favicon.ico", "", nil, 404, ""},
		"a post to another path":     {"POST", "/sts", "", form, 404, ""},
		"another method":             {"DELETE", "/", "", nil, 405, ""},
		"another host name":          {"GET", "/", "", map[string]string{"Host": "rebound.example"}, 421, "localhost only"},
		"this machine by its number": {"GET", "/", "", map[string]string{"Host": "127.0.0.1:1"}, 200, ""},
		"and by its other number":    {"GET", "/", "", map[string]string{"Host": "[::1]:1"}, 200, ""},
	} {
		r := request(t, test.method, played.URL()+test.path, test.body, test.header)
		r.Host = test.header["Host"]
		if status, text := send(t, r); status != test.status || !strings.Contains(text, test.says) {
			t.Errorf("%s: %d %s, want %d with %q", name, status, text, test.status, test.says)
		}
	}
	signInAsBob(t, played, redirect)
}

// signInAsBob walks the IdP as the gateway does, with a person who has a browser.
func signInAsBob(t *testing.T, played *twin.Twin, redirect string) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	ctx := oidc.ClientContext(t.Context(), &http.Client{Transport: transport})
	provider, err := oidc.NewProvider(ctx, played.IdPIssuer())
	if err != nil {
		t.Fatal(err)
	}
	client := oauth2.Config{ClientID: twin.ClientID, ClientSecret: twin.DefaultClientSecret, RedirectURL: redirect, Endpoint: provider.Endpoint(), Scopes: []string{"openid", "profile"}}
	verifier := oauth2.GenerateVerifier()
	callback, err := person.New("bob", twin.Password).Authorize(ctx, client.AuthCodeURL("s", oauth2.S256ChallengeOption(verifier)), person.Allow)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := client.Exchange(ctx, callback.Query().Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := tokens.Extra("id_token").(string)
	idToken, err := provider.VerifierContext(ctx, &oidc.Config{ClientID: twin.ClientID}).Verify(ctx, raw)
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		Username string `json:"preferred_username"`
	}
	if err := idToken.Claims(&claims); err != nil || claims.Username != "bob" || !strings.HasPrefix(idToken.Subject, "idp|") {
		t.Errorf("signed in as %+v, subject %q, error %v", claims, idToken.Subject, err)
	}
	http.DefaultClient.CloseIdleConnections() // those of the person's browser
}

func TestTheTwinIsNotServedToTheOutside(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.com:0", "localhost"} {
		started, err := twin.Start(t.Context(), twin.Config{Listen: address, Logger: slog.New(slog.DiscardHandler)})
		if err == nil {
			_ = started.Close()
			t.Errorf("%q was listened on", address)
		}
	}
}

func TestATakenPortIsSaidPlainly(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, err = twin.Start(t.Context(), twin.Config{Listen: taken.Addr().String(), Logger: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "address already in use") || !strings.HasPrefix(err.Error(), "start twin: ") {
		t.Errorf("error %v", err)
	}
}

func TestABadIssuerStopsTheStart(t *testing.T) {
	t.Parallel()
	_, err := twin.Start(t.Context(), twin.Config{Listen: "127.0.0.1:0", Issuer: "http://gateway.example.com", Logger: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "http is taken from loopback only") {
		t.Errorf("error %v", err)
	}
}

func TestEachStartSaysWhatThisIs(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	played := twintest.Start(t, twin.Config{Listen: "localhost:0", Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err := played.Close(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), twin.Notice) || !strings.Contains(log.String(), played.URL()) {
		t.Errorf("log: %s", log.String())
	}
	select {
	case <-played.Done():
	default:
		t.Error("the database outlived the twin")
	}
	if _, err := net.Dial("tcp", strings.TrimPrefix(played.URL(), "http://")); err == nil {
		t.Error("the twin still listens")
	}
}
