package sts_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	signer "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/go-jose/go-jose/v4"

	"github.com/shiftgrant/shiftgrant/twin/sigv4"
	"github.com/shiftgrant/shiftgrant/twin/sts"
)

const (
	account  = "123456789012"
	roleARN  = "arn:aws:iam::" + account + ":role/shiftgrant-tickit"
	otherARN = "arn:aws:iam::" + account + ":role/other"
	tagsName = "https://aws.amazon.com/tags"
	whoName  = "https://aws.amazon.com/source_identity"
)

var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// Keys are dear to make, so all tests share them.
var keys = sync.OnceValue(func() (made struct {
	rsa, other, short *rsa.PrivateKey
	p256, p384, p521  *ecdsa.PrivateKey
},
) {
	made.rsa, _ = rsa.GenerateKey(rand.Reader, 2048)
	made.other, _ = rsa.GenerateKey(rand.Reader, 2048)
	made.short, _ = rsa.GenerateKey(rand.Reader, 1024)
	made.p256, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	made.p384, _ = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	made.p521, _ = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	return made
})

// issuer is a gateway as STS sees it.
type issuer struct {
	*httptest.Server
	mu        sync.Mutex
	discovery func(w http.ResponseWriter, r *http.Request)
	keySet    func(w http.ResponseWriter, r *http.Request)
	fetches   atomic.Int32 // of the key set
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) { i.handler(&i.discovery)(w, r) })
	mux.HandleFunc("/keys", func(w http.ResponseWriter, r *http.Request) {
		i.fetches.Add(1)
		i.handler(&i.keySet)(w, r)
	})
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	i.discovery = answer(map[string]string{"issuer": i.URL, "jwks_uri": i.URL + "/keys"})
	i.publish(map[string]any{"rsa": &keys().rsa.PublicKey})
	return i
}

func (i *issuer) handler(which *func(http.ResponseWriter, *http.Request)) func(http.ResponseWriter, *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return *which
}

func (i *issuer) publish(public map[string]any) {
	var set jose.JSONWebKeySet
	for id, key := range public {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key, KeyID: id, Use: "sig"})
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keySet = answer(set)
}

func answer(document any) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(document) }
}

// account under test.
type world struct {
	issuer   *issuer
	sts      *sts.Server
	endpoint string
	registry *sigv4.Registry
	mu       sync.Mutex
	now      time.Time
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// usualPolicy is what the set-up of a customer's account creates.
const usualPolicy = `{"Version":"2012-10-17","Statement":[{"Sid":"Gateway","Effect":"Allow",
	"Principal":{"Federated":"PROVIDER"},
	"Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession","sts:SetSourceIdentity"],
	"Condition":{"StringEquals":{"HOST:aud":"redshift-gateway"}}}]}`

func newWorld(t *testing.T, trustPolicy string) *world {
	t.Helper()
	w := &world{issuer: newIssuer(t), registry: sigv4.NewRegistry(0), now: start}
	host := strings.TrimPrefix(w.issuer.URL, "http://")
	trustPolicy = strings.NewReplacer("PROVIDER", "arn:aws:iam::"+account+":oidc-provider/"+host, "HOST", host).Replace(trustPolicy)
	other := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + roleARN + `"},
		"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"],"Condition":{"StringEquals":{"sts:ExternalId":"tenant-7"}}}}`
	var err error
	w.sts, err = sts.New(sts.Config{
		Account: account, Region: "us-east-1", Registry: w.registry, Now: w.clock,
		Providers: []sts.Provider{{URL: w.issuer.URL, ClientIDs: []string{"redshift-gateway", "second-audience"}}},
		Roles: []sts.Role{
			{Name: "shiftgrant-tickit", ID: "AROATICKIT", TrustPolicy: trustPolicy},
			{Name: "other", ID: "AROAOTHER", MaxSession: 12 * time.Hour, TrustPolicy: other},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(w.sts)
	t.Cleanup(func() { server.Close(); w.sts.Close() })
	w.endpoint = server.URL
	return w
}

// claims are those of a good assertion about alice.
func (w *world) claims() map[string]any {
	return map[string]any{
		"iss": w.issuer.URL, "sub": "per_alice", "aud": "redshift-gateway", "jti": "j1",
		"iat": start.Unix(), "nbf": start.Unix(), "exp": start.Add(5 * time.Minute).Unix(), "email": "alice@example.com",
	}
}

func tagged(user string) map[string]any {
	return map[string]any{"principal_tags": map[string]any{"RedshiftDbUser": []string{user}}, "transitive_tag_keys": []string{"RedshiftDbUser"}}
}

// token signs by hand: a test must be able to write what no library would.
func token(t *testing.T, header map[string]any, payload any, sign func(input []byte) []byte) string {
	t.Helper()
	encode := func(v any) string {
		text, ok := v.(string)
		if !ok {
			bytes, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			text = string(bytes)
		}
		return base64.RawURLEncoding.EncodeToString([]byte(text))
	}
	input := encode(header) + "." + encode(payload)
	return input + "." + base64.RawURLEncoding.EncodeToString(sign([]byte(input)))
}

func withRSA(t *testing.T, key *rsa.PrivateKey, hash crypto.Hash) func([]byte) []byte {
	return func(input []byte) []byte {
		digest := hash.New()
		digest.Write(input)
		signature, err := rsa.SignPKCS1v15(rand.Reader, key, hash, digest.Sum(nil))
		if err != nil {
			t.Fatal(err)
		}
		return signature
	}
}

func withEC(t *testing.T, key *ecdsa.PrivateKey, hash crypto.Hash) func([]byte) []byte {
	return func(input []byte) []byte {
		digest := hash.New()
		digest.Write(input)
		r, s, err := ecdsa.Sign(rand.Reader, key, digest.Sum(nil))
		if err != nil {
			t.Fatal(err)
		}
		size := (key.Params().BitSize + 7) / 8
		return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	}
}

func (w *world) token(t *testing.T, payload any) string {
	t.Helper()
	return token(t, map[string]any{"alg": "RS256", "kid": "rsa", "typ": "JWT"}, payload, withRSA(t, keys().rsa, crypto.SHA256))
}

func form(webIdentityToken string) url.Values {
	return url.Values{
		"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"}, "RoleArn": {roleARN},
		"RoleSessionName": {"alice@example.com"}, "WebIdentityToken": {webIdentityToken},
	}
}

// reply is any response of STS.
type reply struct {
	status          int
	XMLName         xml.Name
	Code            string `xml:"Error>Code"`
	Type            string `xml:"Error>Type"`
	Message         string `xml:"Error>Message"`
	ErrorRequestID  string `xml:"RequestId"`
	RequestID       string `xml:"ResponseMetadata>RequestId"`
	WebIdentity     result `xml:"AssumeRoleWithWebIdentityResult"`
	Assumed         result `xml:"AssumeRoleResult"`
	CallerArn       string `xml:"GetCallerIdentityResult>Arn"`
	CallerUserID    string `xml:"GetCallerIdentityResult>UserId"`
	CallerAccountID string `xml:"GetCallerIdentityResult>Account"`
}

type result struct {
	Subject        string `xml:"SubjectFromWebIdentityToken"`
	Audience       string
	Provider       string
	SourceIdentity string
	Arn            string `xml:"AssumedRoleUser>Arn"`
	RoleID         string `xml:"AssumedRoleUser>AssumedRoleId"`
	AccessKeyID    string `xml:"Credentials>AccessKeyId"`
	Secret         string `xml:"Credentials>SecretAccessKey"`
	Token          string `xml:"Credentials>SessionToken"`
	Expiration     string `xml:"Credentials>Expiration"`
}

func (w *world) call(t *testing.T, body string, signedBy *sigv4.Credential) reply {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), "POST", w.endpoint+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	if signedBy != nil {
		sum := sha256.Sum256([]byte(body))
		credentials := aws.Credentials{AccessKeyID: signedBy.AccessKeyID, SecretAccessKey: signedBy.SecretAccessKey, SessionToken: signedBy.SessionToken}
		if err := signer.NewSigner().SignHTTP(context.Background(), credentials, request, hex.EncodeToString(sum[:]), "sts", "us-east-1", w.clock()); err != nil {
			t.Fatal(err)
		}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := reply{status: response.StatusCode}
	if err := xml.Unmarshal(text, &got); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if got.XMLName.Space != "https://sts.amazonaws.com/doc/2011-06-15/" || response.Header.Get("Content-Type") != "text/xml" {
		t.Errorf("namespace %q, content type %q", got.XMLName.Space, response.Header.Get("Content-Type"))
	}
	if id := response.Header.Get("X-Amzn-RequestId"); len(id) != 36 || id != got.RequestID && id != got.ErrorRequestID {
		t.Errorf("request id %q in the header, %q and %q in the body", id, got.RequestID, got.ErrorRequestID)
	}
	return got
}

func (r reply) outcome() string {
	if r.Code == "" {
		return fmt.Sprint(r.status)
	}
	return fmt.Sprintf("%d %s", r.status, r.Code)
}

func TestAGoodAssertionBecomesKeysThatWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t, usualPolicy)
	claims := w.claims()
	claims[tagsName], claims[whoName] = tagged("alice"), "alice"
	got := w.call(t, form(w.token(t, claims)).Encode(), nil)
	if got.status != http.StatusOK {
		t.Fatalf("refused: %s %s", got.outcome(), got.Message)
	}
	r := got.WebIdentity
	if r.Subject != "per_alice" || r.Audience != "redshift-gateway" || r.SourceIdentity != "alice" {
		t.Errorf("subject %q, audience %q, source identity %q", r.Subject, r.Audience, r.SourceIdentity)
	}
	if want := "arn:aws:sts::" + account + ":assumed-role/shiftgrant-tickit/alice@example.com"; r.Arn != want || r.RoleID != "AROATICKIT:alice@example.com" {
		t.Errorf("assumed %q, %q", r.Arn, r.RoleID)
	}
	if !strings.HasPrefix(r.AccessKeyID, "ASIA") || len(r.AccessKeyID) != 20 || len(r.Secret) != 40 || len(r.Token) < 100 {
		t.Errorf("keys %q, %d and %d characters", r.AccessKeyID, len(r.Secret), len(r.Token))
	}
	if r.Expiration != "2026-11-23T13:00:00Z" {
		t.Errorf("expires %s, want an hour from now", r.Expiration)
	}
	stored, _ := w.registry.Find(r.AccessKeyID)
	if stored.Tags["RedshiftDbUser"] != "alice" || stored.UserID() != r.RoleID || stored.Account != account {
		t.Errorf("registered as %+v", stored)
	}
	caller := w.call(t, "Action=GetCallerIdentity&Version=2011-06-15", &stored)
	if caller.CallerArn != r.Arn || caller.CallerUserID != r.RoleID || caller.CallerAccountID != account {
		t.Errorf("GetCallerIdentity: %s %+v", caller.outcome(), caller)
	}
	w.advance(time.Hour)
	if after := w.call(t, "Action=GetCallerIdentity&Version=2011-06-15", &stored); after.outcome() != "403 ExpiredToken" {
		t.Errorf("after an hour: %s", after.outcome())
	}
}

func TestEveryDocumentedAlgorithmIsTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, usualPolicy)
	k := keys()
	w.issuer.publish(map[string]any{"rsa": &k.rsa.PublicKey, "p256": &k.p256.PublicKey, "p384": &k.p384.PublicKey, "p521": &k.p521.PublicKey})
	for _, test := range []struct {
		algorithm, kid string
		sign           func([]byte) []byte
	}{
		{"RS256", "rsa", withRSA(t, k.rsa, crypto.SHA256)},
		{"RS384", "rsa", withRSA(t, k.rsa, crypto.SHA384)},
		{"RS512", "rsa", withRSA(t, k.rsa, crypto.SHA512)},
		{"ES256", "p256", withEC(t, k.p256, crypto.SHA256)},
		{"ES384", "p384", withEC(t, k.p384, crypto.SHA384)},
		{"ES512", "p521", withEC(t, k.p521, crypto.SHA512)},
	} {
		signed := token(t, map[string]any{"alg": test.algorithm, "kid": test.kid}, w.claims(), test.sign)
		if got := w.call(t, form(signed).Encode(), nil); got.status != http.StatusOK {
			t.Errorf("%s: %s %s", test.algorithm, got.outcome(), got.Message)
		}
	}
	if n := w.issuer.fetches.Load(); n != 1 {
		t.Errorf("keys were fetched %d times, want once", n)
	}
}

func TestTokensThatAreNotGenuineAreRefused(t *testing.T) {
	t.Parallel()
	const invalid = "400 InvalidIdentityToken"
	k := keys()
	w := newWorld(t, usualPolicy)
	w.issuer.publish(map[string]any{"rsa": &k.rsa.PublicKey, "short": &k.short.PublicKey, "p256": &k.p256.PublicKey})
	header := map[string]any{"alg": "RS256", "kid": "rsa"}
	good := w.token(t, w.claims())
	parts := strings.Split(good, ".")
	der, err := x509.MarshalPKIXPublicKey(&k.rsa.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ token, want string }{
		"nothing":            {"", "400 ValidationError"},
		"three characters":   {"a.b", "400 ValidationError"},
		"20,001 characters":  {good + strings.Repeat("A", 20_001-len(good)), "400 ValidationError"},
		"no JWT":             {"an-opaque-access-token", invalid},
		"an encrypted token": {"a.b.c.d.e", invalid},
		"white space inside": {parts[0] + "." + parts[1] + " ." + parts[2], invalid},
		"no signature":       {parts[0] + "." + parts[1] + ".", invalid},
		"alg none":           {token(t, map[string]any{"alg": "none", "kid": "rsa"}, w.claims(), func([]byte) []byte { return nil }), invalid},
		"alg HS256 with the public key as secret": {token(t, map[string]any{"alg": "HS256", "kid": "rsa"}, w.claims(), func(input []byte) []byte {
			mac := hmac.New(sha256.New, der)
			mac.Write(input)
			return mac.Sum(nil)
		}), invalid},
		"alg PS256": {token(t, map[string]any{"alg": "PS256", "kid": "rsa"}, w.claims(), func(input []byte) []byte {
			digest := sha256.Sum256(input)
			signature, _ := rsa.SignPSS(rand.Reader, k.rsa, crypto.SHA256, digest[:], nil)
			return signature
		}), invalid},
		"another key under the kid":    {token(t, header, w.claims(), withRSA(t, k.other, crypto.SHA256)), invalid},
		"an unknown kid":               {token(t, map[string]any{"alg": "RS256", "kid": "nobody"}, w.claims(), withRSA(t, k.rsa, crypto.SHA256)), invalid},
		"no kid":                       {token(t, map[string]any{"alg": "RS256"}, w.claims(), withRSA(t, k.rsa, crypto.SHA256)), invalid},
		"the kid of an EC key":         {token(t, map[string]any{"alg": "RS256", "kid": "p256"}, w.claims(), withRSA(t, k.rsa, crypto.SHA256)), invalid},
		"ES384 with a P-256 key":       {token(t, map[string]any{"alg": "ES384", "kid": "p256"}, w.claims(), withEC(t, k.p256, crypto.SHA384)), invalid},
		"a key of 1024 bits":           {token(t, map[string]any{"alg": "RS256", "kid": "short"}, w.claims(), withRSA(t, k.short, crypto.SHA256)), invalid},
		"a key in its own header":      {token(t, map[string]any{"alg": "RS256", "kid": "x", "jwk": jose.JSONWebKey{Key: &k.other.PublicKey}}, w.claims(), withRSA(t, k.other, crypto.SHA256)), invalid},
		"a critical header nobody has": {token(t, map[string]any{"alg": "RS256", "kid": "rsa", "crit": []string{"x"}, "x": 1}, w.claims(), withRSA(t, k.rsa, crypto.SHA256)), invalid},
		"a changed payload":            {parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"`+w.issuer.URL+`","sub":"admin"}`)) + "." + parts[2], invalid},
		"a payload that is no JSON":    {token(t, header, "not json", withRSA(t, k.rsa, crypto.SHA256)), invalid},
		"a subject twice":              {token(t, header, `{"iss":"`+w.issuer.URL+`","sub":"a","sub":"b","aud":"redshift-gateway","iat":1,"exp":9999999999}`, withRSA(t, k.rsa, crypto.SHA256)), invalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := w.call(t, form(test.token).Encode(), nil); got.outcome() != test.want || got.Type != "Sender" {
				t.Errorf("%s (%s), want %s", got.outcome(), got.Message, test.want)
			}
		})
	}
}

func TestClaimsThatDoNotHoldAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, usualPolicy)
	const invalid, rejected = "400 InvalidIdentityToken", "403 IDPRejectedClaim"
	many := map[string]any{}
	for i := range 51 {
		many[fmt.Sprint("k", i)] = []string{"v"}
	}
	for name, test := range map[string]struct {
		change map[string]any // nil removes
		want   string
	}{
		"nothing changed":             {nil, "200"},
		"no iss":                      {map[string]any{"iss": nil}, invalid},
		"another iss":                 {map[string]any{"iss": "https://elsewhere.example"}, invalid},
		"iss with a slash more":       {map[string]any{"iss": w.issuer.URL + "/"}, invalid},
		"no aud":                      {map[string]any{"aud": nil}, invalid},
		"another aud":                 {map[string]any{"aud": "sts.amazonaws.com"}, invalid},
		"aud in another case":         {map[string]any{"aud": "Redshift-Gateway"}, invalid},
		"aud as a list of one":        {map[string]any{"aud": []string{"redshift-gateway"}}, "200"},
		"aud as a list of two":        {map[string]any{"aud": []string{"redshift-gateway", "x"}}, invalid},
		"two auds and a known azp":    {map[string]any{"aud": []string{"x", "y"}, "azp": "redshift-gateway"}, "200"},
		"an unknown azp":              {map[string]any{"azp": "x"}, invalid},
		"aud as a number":             {map[string]any{"aud": 7}, invalid},
		"no sub":                      {map[string]any{"sub": nil}, invalid},
		"an empty sub":                {map[string]any{"sub": ""}, invalid},
		"a sub of 256 bytes":          {map[string]any{"sub": strings.Repeat("s", 256)}, invalid},
		"sub as a number":             {map[string]any{"sub": 7}, invalid},
		"no exp":                      {map[string]any{"exp": nil}, invalid},
		"exp as text":                 {map[string]any{"exp": "later"}, invalid},
		"exp just now":                {map[string]any{"exp": start.Unix()}, "400 ExpiredTokenException"},
		"exp an hour ago":             {map[string]any{"exp": start.Add(-time.Hour).Unix(), "iat": start.Add(-2 * time.Hour).Unix()}, "400 ExpiredTokenException"},
		"exp in a second":             {map[string]any{"exp": start.Add(time.Second).Unix()}, "200"},
		"no iat":                      {map[string]any{"iat": nil}, invalid},
		"iat a minute ahead":          {map[string]any{"iat": start.Add(time.Minute).Unix()}, "200"},
		"iat two minutes ahead":       {map[string]any{"iat": start.Add(2 * time.Minute).Unix()}, rejected},
		"exp before iat":              {map[string]any{"iat": start.Add(time.Minute).Unix(), "exp": start.Add(time.Second).Unix()}, rejected},
		"nbf two minutes ahead":       {map[string]any{"nbf": start.Add(2 * time.Minute).Unix()}, rejected},
		"nbf as text":                 {map[string]any{"nbf": "now"}, invalid},
		"no nbf":                      {map[string]any{"nbf": nil}, "200"},
		"an exp with a fraction":      {map[string]any{"exp": float64(start.Unix()) + 0.5}, "200"},
		"tags":                        {map[string]any{tagsName: tagged("alice")}, "200"},
		"51 tags":                     {map[string]any{tagsName: map[string]any{"principal_tags": many}}, "400 ValidationError"},
		"a tag of two values":         {map[string]any{tagsName: map[string]any{"principal_tags": map[string]any{"k": []string{"a", "b"}}}}, invalid},
		"a tag that is no list":       {map[string]any{tagsName: map[string]any{"principal_tags": map[string]any{"k": "a"}}}, invalid},
		"tags that are text":          {map[string]any{tagsName: "RedshiftDbUser=alice"}, invalid},
		"a tag key of 129 characters": {map[string]any{tagsName: map[string]any{"principal_tags": map[string]any{strings.Repeat("k", 129): []string{"a"}}}}, "400 ValidationError"},
		"a tag of 257 characters":     {map[string]any{tagsName: tagged(strings.Repeat("v", 257))}, "400 ValidationError"},
		"a tag of 256 characters":     {map[string]any{tagsName: tagged(strings.Repeat("ü", 256))}, "200"},
		"a quote in a tag":            {map[string]any{tagsName: tagged(`a"b`)}, "400 ValidationError"},
		"a tag that begins with aws:": {map[string]any{tagsName: map[string]any{"principal_tags": map[string]any{"AWS:x": []string{"a"}}}}, "400 ValidationError"},
		"two tags but for case":       {map[string]any{tagsName: map[string]any{"principal_tags": map[string]any{"k": []string{"a"}, "K": []string{"b"}}}}, "400 ValidationError"},
		"a transitive key of no tag":  {map[string]any{tagsName: map[string]any{"principal_tags": map[string]any{}, "transitive_tag_keys": []string{"x"}}}, "400 ValidationError"},
		"a source identity":           {map[string]any{whoName: "alice"}, "200"},
		"a source identity of one":    {map[string]any{whoName: "a"}, "400 ValidationError"},
		"a source identity of spaces": {map[string]any{whoName: "a b"}, "400 ValidationError"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			claims := w.claims()
			maps.Copy(claims, test.change)
			for claim, value := range test.change {
				if value == nil {
					delete(claims, claim)
				}
			}
			if got := w.call(t, form(w.token(t, claims)).Encode(), nil); got.outcome() != test.want {
				t.Errorf("%s (%s), want %s", got.outcome(), got.Message, test.want)
			}
		})
	}
}

func TestParametersOutsideTheirLimitsAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, usualPolicy)
	good := w.token(t, w.claims())
	const validation = "400 ValidationError"
	for name, test := range map[string]struct {
		change url.Values
		want   string
	}{
		"a session name of one":       {url.Values{"RoleSessionName": {"a"}}, validation},
		"a session name of 65":        {url.Values{"RoleSessionName": {strings.Repeat("a", 65)}}, validation},
		"a session name with a space": {url.Values{"RoleSessionName": {"a b"}}, validation},
		"a session name with a colon": {url.Values{"RoleSessionName": {"a:b"}}, validation},
		"no session name":             {url.Values{"RoleSessionName": nil}, validation},
		"899 seconds":                 {url.Values{"DurationSeconds": {"899"}}, validation},
		"900 seconds":                 {url.Values{"DurationSeconds": {"900"}}, "200"},
		"more than the role allows":   {url.Values{"DurationSeconds": {"3601"}}, validation},
		"43,201 seconds":              {url.Values{"DurationSeconds": {"43201"}}, validation},
		"an hour in words":            {url.Values{"DurationSeconds": {"hour"}}, validation},
		"no role":                     {url.Values{"RoleArn": nil}, validation},
		"a role that is no ARN":       {url.Values{"RoleArn": {"shiftgrant-tickit"}}, validation},
		"a role nobody has":           {url.Values{"RoleArn": {roleARN + "x"}}, "403 AccessDenied"},
		"a role that trusts another":  {url.Values{"RoleArn": {otherARN}}, "403 AccessDenied"},
		"a ProviderId":                {url.Values{"ProviderId": {"www.amazon.com"}}, validation},
		"a session policy":            {url.Values{"Policy": {"{}"}}, validation},
		"a session policy, broken":    {url.Values{"Policy": {"{"}}, "400 MalformedPolicyDocument"},
		"a long session policy":       {url.Values{"Policy": {strings.Repeat(" ", 2049)}}, validation},
		"managed session policies":    {url.Values{"PolicyArns.member.1.arn": {"arn:aws:iam::aws:policy/x"}}, validation},
		"a parameter nobody knows":    {url.Values{"RoleSesionName": {"alice"}}, validation},
		"a parameter twice":           {url.Values{"RoleArn": {roleARN, otherARN}}, "400 MalformedQueryString"},
		"an unknown action":           {url.Values{"Action": {"GetFederationToken"}}, "400 InvalidAction"},
		"another version":             {url.Values{"Version": {"2010-01-01"}}, "400 InvalidAction"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := form(good)
			maps.Copy(f, test.change)
			if got := w.call(t, f.Encode(), nil); got.outcome() != test.want {
				t.Errorf("%s (%s), want %s", got.outcome(), got.Message, test.want)
			}
		})
	}
	if got := w.call(t, form(good).Encode()+"&x=%zz", nil); got.outcome() != "400 MalformedQueryString" {
		t.Errorf("a malformed form: %s", got.outcome())
	}
	if got := w.call(t, "WebIdentityToken="+strings.Repeat("x", 200_000), nil); got.outcome() != "413 RequestEntityTooLarge" {
		t.Errorf("a huge body: %s", got.outcome())
	}
}

func TestTheTrustPolicyDecides(t *testing.T) {
	t.Parallel()
	statement := func(effect, principal, actions, condition string) string {
		return `{"Effect":"` + effect + `","Principal":{"Federated":` + principal + `},"Action":` + actions + `,"Condition":` + condition + `}`
	}
	policy := func(statements ...string) string {
		return `{"Version":"2012-10-17","Id":"x","Statement":[` + strings.Join(statements, ",") + `]}`
	}
	const (
		all      = `["sts:AssumeRoleWithWebIdentity","sts:TagSession","sts:SetSourceIdentity"]`
		provider = `"PROVIDER"`
		none     = `{}`
		denied   = "403 AccessDenied"
	)
	for name, test := range map[string]struct{ policy, want string }{
		"everything allowed":            {policy(statement("Allow", provider, all, none)), "200"},
		"a list of providers":           {policy(statement("Allow", `["arn:aws:iam::1:oidc-provider/x","PROVIDER"]`, all, none)), "200"},
		"actions by wildcard":           {policy(statement("Allow", provider, `"sts:*"`, none)), "200"},
		"actions in another case":       {policy(statement("Allow", provider, `["STS:assumerolewithwebidentity","sts:tagsession","sts:setsourceidentity"]`, none)), "200"},
		"actions in three statements":   {policy(statement("Allow", provider, `"sts:AssumeRoleWithWebIdentity"`, none), statement("Allow", provider, `"sts:TagSession"`, none), statement("Allow", provider, `"sts:SetSourceIdentity"`, none)), "200"},
		"another provider":              {policy(statement("Allow", `"arn:aws:iam::123456789012:oidc-provider/elsewhere.example"`, all, none)), denied},
		"no AssumeRoleWithWebIdentity":  {policy(statement("Allow", provider, `["sts:TagSession","sts:SetSourceIdentity"]`, none)), denied},
		"no TagSession":                 {policy(statement("Allow", provider, `["sts:AssumeRoleWithWebIdentity","sts:SetSourceIdentity"]`, none)), denied},
		"no SetSourceIdentity":          {policy(statement("Allow", provider, `["sts:AssumeRoleWithWebIdentity","sts:TagSession"]`, none)), denied},
		"AssumeRole is another action":  {policy(statement("Allow", provider, `["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]`, none)), denied},
		"the right sub":                 {policy(statement("Allow", provider, all, `{"StringEquals":{"HOST:sub":"per_alice"}}`)), "200"},
		"another sub":                   {policy(statement("Allow", provider, all, `{"StringEquals":{"HOST:sub":"per_bob"}}`)), denied},
		"one of several subs":           {policy(statement("Allow", provider, all, `{"StringEquals":{"HOST:sub":["per_bob","per_alice"]}}`)), "200"},
		"sub in another case":           {policy(statement("Allow", provider, all, `{"StringEquals":{"HOST:sub":"Per_Alice"}}`)), denied},
		"StringEquals knows no star":    {policy(statement("Allow", provider, all, `{"StringEquals":{"HOST:sub":"per_*"}}`)), denied},
		"StringLike does":               {policy(statement("Allow", provider, all, `{"StringLike":{"HOST:sub":"per_*"}}`)), "200"},
		"and question marks":            {policy(statement("Allow", provider, all, `{"StringLike":{"HOST:sub":"per?a*c?"}}`)), "200"},
		"StringLike without a match":    {policy(statement("Allow", provider, all, `{"StringLike":{"HOST:sub":"per_?"}}`)), denied},
		"another audience":              {policy(statement("Allow", provider, all, `{"StringEquals":{"HOST:aud":"second-audience"}}`)), denied},
		"aud and sub, one wrong":        {policy(statement("Allow", provider, all, `{"StringEquals":{"HOST:aud":"redshift-gateway","HOST:sub":"per_bob"}}`)), denied},
		"the right tag":                 {policy(statement("Allow", provider, all, `{"StringEquals":{"aws:RequestTag/RedshiftDbUser":"alice"}}`)), "200"},
		"another tag":                   {policy(statement("Allow", provider, all, `{"StringEquals":{"aws:RequestTag/RedshiftDbUser":"admin"}}`)), denied},
		"a tag the token has not":       {policy(statement("Allow", provider, all, `{"StringLike":{"aws:RequestTag/Team":"*"}}`)), denied},
		"not the admin's tag":           {policy(statement("Allow", provider, all, `{"StringNotEquals":{"aws:RequestTag/RedshiftDbUser":"admin"}}`)), "200"},
		"not alice's tag":               {policy(statement("Allow", provider, all, `{"StringNotLike":{"aws:RequestTag/RedshiftDbUser":["admin","al*"]}}`)), denied},
		"a negation of what is missing": {policy(statement("Allow", provider, all, `{"StringNotEquals":{"aws:RequestTag/Team":"x"}}`)), "200"},
		"the session's name":            {policy(statement("Allow", provider, all, `{"StringLike":{"sts:RoleSessionName":"*@example.com"}}`)), "200"},
		"another source identity":       {policy(statement("Allow", provider, all, `{"StringEquals":{"sts:SourceIdentity":"bob"}}`)), denied},
		"a deny that applies":           {policy(statement("Allow", provider, all, none), statement("Deny", provider, `"sts:*"`, `{"StringEquals":{"HOST:sub":"per_alice"}}`)), denied},
		"a deny that does not":          {policy(statement("Deny", provider, `"sts:*"`, `{"StringEquals":{"HOST:sub":"per_bob"}}`), statement("Allow", provider, all, none)), "200"},
		"a deny of tagging":             {policy(statement("Allow", provider, all, none), statement("Deny", provider, `"sts:TagSession"`, none)), denied},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, test.policy)
			claims := w.claims()
			claims[tagsName], claims[whoName] = tagged("alice"), "alice"
			if got := w.call(t, form(w.token(t, claims)).Encode(), nil); got.outcome() != test.want {
				t.Errorf("%s (%s), want %s", got.outcome(), got.Message, test.want)
			}
		})
	}
}

func TestTaggingIsNotAskedForWithoutTags(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Federated":"PROVIDER"},"Action":"sts:AssumeRoleWithWebIdentity"}}`)
	if got := w.call(t, form(w.token(t, w.claims())).Encode(), nil); got.status != http.StatusOK {
		t.Errorf("%s %s", got.outcome(), got.Message)
	}
}

func TestPoliciesThatAreNotUnderstoodStopTheStart(t *testing.T) {
	t.Parallel()
	const allow = `"Effect":"Allow","Principal":{"Federated":"p"},"Action":"sts:AssumeRole"`
	for name, text := range map[string]string{
		"no JSON":                `Version: 2012-10-17`,
		"an old version":         `{"Version":"2008-10-17","Statement":[{` + allow + `}]}`,
		"no version":             `{"Statement":[{` + allow + `}]}`,
		"no statement":           `{"Version":"2012-10-17","Statement":[]}`,
		"an unknown member":      `{"Version":"2012-10-17","Statement":[{` + allow + `,"Conditions":{}}]}`,
		"a member twice":         `{"Version":"2012-10-17","Statement":[{` + allow + `,"Action":"sts:TagSession"}]}`,
		"a member in lower case": `{"Version":"2012-10-17","Statement":[{` + allow + `,"condition":{}}]}`,
		"something behind":       `{"Version":"2012-10-17","Statement":[{` + allow + `}]} x`,
		"a third effect":         `{"Version":"2012-10-17","Statement":[{"Effect":"allow","Principal":{"Federated":"p"},"Action":"sts:AssumeRole"}]}`,
		"no principal":           `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole"}]}`,
		"a principal of text":    `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}]}`,
		"no action":              `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"p"}}]}`,
		"an empty action list":   `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"p"},"Action":[]}]}`,
		"another service":        `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"p"},"Action":"s3:GetObject"}]}`,
		"an unknown operator":    `{"Version":"2012-10-17","Statement":[{` + allow + `,"Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}]}`,
		"an unknown key":         `{"Version":"2012-10-17","Statement":[{` + allow + `,"Condition":{"StringEquals":{"aws:SourceIp":"10.0.0.1"}}}]}`,
		"another issuer's key":   `{"Version":"2012-10-17","Statement":[{` + allow + `,"Condition":{"StringEquals":{"elsewhere.example:sub":"x"}}}]}`,
		"an unknown claim":       `{"Version":"2012-10-17","Statement":[{` + allow + `,"Condition":{"StringEquals":{"gw.example.com/t/acme:email":"x"}}}]}`,
	} {
		_, err := sts.New(sts.Config{
			Account: account, Region: "us-east-1", Registry: sigv4.NewRegistry(0),
			Providers: []sts.Provider{{URL: "https://gw.example.com/t/acme", ClientIDs: []string{"a"}}},
			Roles:     []sts.Role{{Name: "r", ID: "AROA", TrustPolicy: text}},
		})
		if err == nil || !strings.Contains(err.Error(), `role "r": trust policy`) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	t.Parallel()
	good := func() sts.Config {
		return sts.Config{Account: account, Region: "us-east-1", Registry: sigv4.NewRegistry(0)}
	}
	if _, err := sts.New(good()); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*sts.Config){
		"an account in words": func(c *sts.Config) { c.Account = "acme" },
		"no region":           func(c *sts.Config) { c.Region = "" },
		"no registry":         func(c *sts.Config) { c.Registry = nil },
		"an issuer by http": func(c *sts.Config) {
			c.Providers = []sts.Provider{{URL: "http://gw.example.com", ClientIDs: []string{"a"}}}
		},
		"an issuer with a query": func(c *sts.Config) {
			c.Providers = []sts.Provider{{URL: "https://gw.example.com?x", ClientIDs: []string{"a"}}}
		},
		"an issuer with a user": func(c *sts.Config) {
			c.Providers = []sts.Provider{{URL: "https://u@gw.example.com", ClientIDs: []string{"a"}}}
		},
		"an issuer without client": func(c *sts.Config) { c.Providers = []sts.Provider{{URL: "https://gw.example.com"}} },
		"a role without id":        func(c *sts.Config) { c.Roles = []sts.Role{{Name: "r"}} },
		"a role of 13 hours":       func(c *sts.Config) { c.Roles = []sts.Role{{Name: "r", ID: "x", MaxSession: 13 * time.Hour}} },
	} {
		config := good()
		change(&config)
		if _, err := sts.New(config); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestAnIssuerThatDoesNotAnswerAsItShould(t *testing.T) {
	t.Parallel()
	const communication = "400 IDPCommunicationError"
	private := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: keys().rsa, KeyID: "rsa"}}}
	public := jose.JSONWebKey{Key: &keys().rsa.PublicKey, KeyID: "rsa"}
	encryption := jose.JSONWebKey{Key: &keys().rsa.PublicKey, KeyID: "rsa", Use: "enc"}
	other := jose.JSONWebKey{Key: &keys().rsa.PublicKey, KeyID: "rsa", Algorithm: "RS512"}
	for name, test := range map[string]struct {
		change func(*issuer)
		want   string
	}{
		"discovery is missing":    {func(i *issuer) { i.discovery = http.NotFound }, communication},
		"discovery is a redirect": {func(i *issuer) { i.discovery = http.RedirectHandler("/keys", http.StatusFound).ServeHTTP }, communication},
		"discovery is a page":     {func(i *issuer) { i.discovery = answer("<html>") }, communication},
		"discovery is huge":       {func(i *issuer) { i.discovery = answer(strings.Repeat("x", 1<<20)) }, communication},
		"discovery names another": {func(i *issuer) {
			i.discovery = answer(map[string]string{"issuer": "https://x", "jwks_uri": i.URL + "/keys"})
		}, communication},
		"discovery adds a slash": {func(i *issuer) {
			i.discovery = answer(map[string]string{"issuer": i.URL + "/", "jwks_uri": i.URL + "/keys"})
		}, communication},
		"no jwks_uri": {func(i *issuer) { i.discovery = answer(map[string]string{"issuer": i.URL}) }, communication},
		"a jwks_uri by plain http": {func(i *issuer) {
			i.discovery = answer(map[string]string{"issuer": i.URL, "jwks_uri": "http://gw.example.com/keys"})
		}, communication},
		"a jwks_uri of a file": {func(i *issuer) {
			i.discovery = answer(map[string]string{"issuer": i.URL, "jwks_uri": "file:///etc/passwd"})
		}, communication},
		"keys fail":            {func(i *issuer) { i.keySet = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) } }, communication},
		"keys are private":     {func(i *issuer) { i.keySet = answer(private) }, communication},
		"two keys of one kid":  {func(i *issuer) { i.keySet = answer(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public, public}}) }, communication},
		"201 keys":             {func(i *issuer) { i.keySet = answer(map[string]any{"keys": make([]struct{}, 201)}) }, communication},
		"no keys":              {func(i *issuer) { i.keySet = answer(map[string]any{}) }, "400 InvalidIdentityToken"},
		"a key for encryption": {func(i *issuer) { i.keySet = answer(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{encryption}}) }, "400 InvalidIdentityToken"},
		"a key for RS512":      {func(i *issuer) { i.keySet = answer(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{other}}) }, "400 InvalidIdentityToken"},
		"a key of an unknown kind": {func(i *issuer) {
			i.keySet = answer(map[string]any{"keys": []any{map[string]string{"kty": "new"}, public}})
		}, "200"},
		"nobody is there": {func(i *issuer) { i.Close() }, communication},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, usualPolicy)
			signed := w.token(t, w.claims())
			test.change(w.issuer)
			if got := w.call(t, form(signed).Encode(), nil); got.outcome() != test.want {
				t.Errorf("%s (%s), want %s", got.outcome(), got.Message, test.want)
			}
		})
	}
}

func TestKeysAreRememberedAndRotationIsNoticed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, usualPolicy)
	old := w.token(t, w.claims())
	assume := func(signed string) string { return w.call(t, form(signed).Encode(), nil).outcome() }
	expect := func(what, got, want string, fetches int32) {
		t.Helper()
		if got != want || w.issuer.fetches.Load() != fetches {
			t.Errorf("%s: %s after %d fetches, want %s after %d", what, got, w.issuer.fetches.Load(), want, fetches)
		}
	}
	expect("first", assume(old), "200", 1)
	w.issuer.publish(map[string]any{"rsa": &keys().rsa.PublicKey, "new": &keys().other.PublicKey})
	rotated := token(t, map[string]any{"alg": "RS256", "kid": "new"}, w.claims(), withRSA(t, keys().other, crypto.SHA256))
	expect("new key at once", assume(rotated), "400 InvalidIdentityToken", 1)
	w.advance(10 * time.Second)
	expect("new key after a pause", assume(rotated), "200", 2)
	expect("old key still", assume(old), "200", 2)
	w.issuer.publish(map[string]any{"new": &keys().other.PublicKey})
	expect("old key from memory", assume(old), "200", 2)
	w.advance(4*time.Minute + 49*time.Second)
	expect("just before the end of memory", assume(rotated), "200", 2)
	w.issuer.Close()
	w.advance(-time.Minute) // the tokens would end before the memory does
	expect("issuer down, from memory", assume(rotated), "200", 2)
	w.advance(2 * time.Minute)
	claims := w.claims()
	claims["exp"] = w.clock().Add(time.Minute).Unix()
	later := token(t, map[string]any{"alg": "RS256", "kid": "new"}, claims, withRSA(t, keys().other, crypto.SHA256))
	expect("issuer down, memory at its end", assume(later), "400 IDPCommunicationError", 2)
}

func TestASessionCanAssumeTheNextRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t, usualPolicy)
	claims := w.claims()
	claims[tagsName], claims[whoName] = tagged("alice"), "alice"
	first := w.call(t, form(w.token(t, claims)).Encode(), nil).WebIdentity
	caller, found := w.registry.Find(first.AccessKeyID)
	if !found {
		t.Fatal("no first session")
	}
	assume := url.Values{
		"Action": {"AssumeRole"}, "Version": {"2011-06-15"}, "RoleArn": {otherARN}, "RoleSessionName": {"next"},
		"ExternalId": {"tenant-7"}, "Tags.member.1.Key": {"Team"}, "Tags.member.1.Value": {"blue"},
	}
	got := w.call(t, assume.Encode(), &caller)
	if got.status != http.StatusOK || got.Assumed.Arn != "arn:aws:sts::"+account+":assumed-role/other/next" || got.Assumed.SourceIdentity != "alice" {
		t.Fatalf("%s %s: %+v", got.outcome(), got.Message, got.Assumed)
	}
	next, _ := w.registry.Find(got.Assumed.AccessKeyID)
	if next.Tags["RedshiftDbUser"] != "alice" || next.Tags["Team"] != "blue" {
		t.Errorf("tags %v: the transitive one must stay, the new one come", next.Tags)
	}
	for name, test := range map[string]struct {
		change url.Values
		signed *sigv4.Credential
		want   string
	}{
		"unsigned":                     {nil, nil, "403 MissingAuthenticationToken"},
		"another external id":          {url.Values{"ExternalId": {"tenant-8"}}, &caller, "403 AccessDenied"},
		"no external id":               {url.Values{"ExternalId": nil}, &caller, "403 AccessDenied"},
		"a malformed external id":      {url.Values{"ExternalId": {"a b"}}, &caller, "400 ValidationError"},
		"a role nobody has":            {url.Values{"RoleArn": {otherARN + "x"}}, &caller, "403 AccessDenied"},
		"a caller who is not trusted":  {nil, &next, "403 AccessDenied"},
		"two hours, which is chaining": {url.Values{"DurationSeconds": {"7200"}}, &caller, "400 ValidationError"},
		"an overridden transitive tag": {url.Values{"Tags.member.1.Key": {"redshiftdbuser"}}, &caller, "400 ValidationError"},
		"another source identity":      {url.Values{"SourceIdentity": {"bob"}}, &caller, "403 AccessDenied"},
		"a gap in the tags":            {url.Values{"Tags.member.3.Key": {"x"}}, &caller, "400 ValidationError"},
		"a transitive key of no tag":   {url.Values{"TransitiveTagKeys.member.1": {"x"}}, &caller, "400 ValidationError"},
		"a gap in the transitive keys": {url.Values{"TransitiveTagKeys.member.2": {"Team"}}, &caller, "400 ValidationError"},
		"a transitive key":             {url.Values{"TransitiveTagKeys.member.1": {"Team"}}, &caller, "200"},
		"a malformed source identity":  {url.Values{"SourceIdentity": {"x"}}, &caller, "400 ValidationError"},
		"a short session name":         {url.Values{"RoleSessionName": {"x"}}, &caller, "400 ValidationError"},
		"a session policy":             {url.Values{"Policy": {"{}"}}, &caller, "400 ValidationError"},
	} {
		f := maps.Clone(assume)
		maps.Copy(f, test.change)
		if got := w.call(t, f.Encode(), test.signed); got.outcome() != test.want {
			t.Errorf("%s: %s (%s), want %s", name, got.outcome(), got.Message, test.want)
		}
	}
}

// Who carries a source identity needs the next role to let it in, too; who has none does not.
func TestASourceIdentityHasToBeLetIntoTheNextRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t, usualPolicy)
	plain := "arn:aws:iam::" + account + ":role/plain"
	if err := w.sts.PutRole(sts.Role{Name: "plain", ID: "AROAPLAIN", TrustPolicy: `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + roleARN + `"},"Action":"sts:AssumeRole"}}`}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"alice": "403 AccessDenied", "": "200"} {
		claims := w.claims()
		if name != "" {
			claims[whoName] = name
		}
		first := w.call(t, form(w.token(t, claims)).Encode(), nil).WebIdentity
		caller, found := w.registry.Find(first.AccessKeyID)
		if !found {
			t.Fatal("no first session")
		}
		assume := url.Values{"Action": {"AssumeRole"}, "Version": {"2011-06-15"}, "RoleArn": {plain}, "RoleSessionName": {"next"}}
		if got := w.call(t, assume.Encode(), &caller); got.outcome() != want {
			t.Errorf("with source identity %q: %s (%s), want %s", name, got.outcome(), got.Message, want)
		}
	}
}

func TestOtherWaysToAskAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, usualPolicy)
	for name, test := range map[string]struct{ method, target, contentType string }{
		"a GET":             {"GET", "/?Action=GetCallerIdentity&Version=2011-06-15", ""},
		"JSON":              {"POST", "/", "application/json"},
		"no content type":   {"POST", "/", ""},
		"an extra in query": {"POST", "/?Action=GetCallerIdentity", "application/x-www-form-urlencoded"},
	} {
		request := httptest.NewRequest(test.method, test.target, strings.NewReader(""))
		request.Header.Set("Content-Type", test.contentType)
		response := httptest.NewRecorder()
		w.sts.ServeHTTP(response, request)
		if response.Code != http.StatusBadRequest || !strings.Contains(response.Body.String(), "<ErrorResponse") {
			t.Errorf("%s: %d %s", name, response.Code, response.Body)
		}
	}
}

func TestTheProviderIsNamedByHostAndPath(t *testing.T) {
	t.Parallel()
	service, err := sts.New(sts.Config{
		Account: account, Region: "us-east-1", Registry: sigv4.NewRegistry(0),
		Providers: []sts.Provider{{URL: "https://gw.example.com/t/acme", ClientIDs: []string{"a"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := service.ProviderARN("https://gw.example.com/t/acme"); got != "arn:aws:iam::123456789012:oidc-provider/gw.example.com/t/acme" {
		t.Errorf("ARN %q", got)
	}
	if _, found := service.ProviderARN("https://elsewhere.example"); found {
		t.Error("an unknown issuer has an ARN")
	}
	if got := service.RoleARN("r"); got != "arn:aws:iam::123456789012:role/r" {
		t.Errorf("role %q", got)
	}
}

func FuzzAssumeRoleWithWebIdentity(f *testing.F) {
	f.Add("eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYSJ9.e30.AA", "alice", "900")
	f.Add("a.b.c", "a b", "x")
	service, err := sts.New(sts.Config{
		Account: account, Region: "us-east-1", Registry: sigv4.NewRegistry(0),
		Providers: []sts.Provider{{URL: "http://127.0.0.1:1", ClientIDs: []string{"a"}}},
		Roles:     []sts.Role{{Name: "shiftgrant-tickit", ID: "AROA", TrustPolicy: `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Federated":"x"},"Action":"sts:*"}}`}},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, webIdentityToken, session, duration string) {
		values := form(webIdentityToken)
		values.Set("RoleSessionName", session)
		values.Set("DurationSeconds", duration)
		request := httptest.NewRequest("POST", "/", strings.NewReader(values.Encode()))
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		response := httptest.NewRecorder()
		service.ServeHTTP(response, request)
		if response.Code < 400 || response.Code >= 500 {
			t.Fatalf("status %d: %s", response.Code, response.Body)
		}
	})
}
