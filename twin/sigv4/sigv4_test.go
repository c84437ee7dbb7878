package sigv4_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	signer "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/shiftgrant/shiftgrant/twin/sigv4"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// session and static are the two kinds of credential there are.
var (
	session = sigv4.Credential{
		AccessKeyID: "ASIATWIN000000000001", SecretAccessKey: "secret-of-the-session", SessionToken: "token/of+the=session",
		RoleID: "AROAX", SessionName: "alice", Expires: noon.Add(time.Hour),
	}
	static = sigv4.Credential{AccessKeyID: "AKIATWINALICE0000000", SecretAccessKey: "secret-of-alice", RoleID: "AROAX", SessionName: "alice"}
	stale  = sigv4.Credential{
		AccessKeyID: "ASIATWIN000000000002", SecretAccessKey: "secret-of-yesterday", SessionToken: "yesterday",
		RoleID: "AROAX", SessionName: "alice", Expires: noon,
	}
)

func newVerifier(t *testing.T) sigv4.Verifier {
	t.Helper()
	registry := sigv4.NewRegistry(0)
	for _, c := range []sigv4.Credential{session, static, stale} {
		if err := registry.Add(c); err != nil {
			t.Fatal(err)
		}
	}
	return sigv4.Verifier{Registry: registry, Region: "us-east-1", Service: "redshift-data", Now: func() time.Time { return noon }}
}

// signing is what the independent signer (AWS's own, for Go) is told.
type signing struct {
	credential      sigv4.Credential
	method, target  string
	body            string
	region, service string
	at              time.Time
	header          http.Header
}

func sign(t *testing.T, s signing) *http.Request {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), s.method, "http://localhost:7422"+s.target, strings.NewReader(s.body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range s.header {
		request.Header[name] = values
	}
	sum := sha256.Sum256([]byte(s.body))
	keys := aws.Credentials{AccessKeyID: s.credential.AccessKeyID, SecretAccessKey: s.credential.SecretAccessKey, SessionToken: s.credential.SessionToken}
	if err := signer.NewSigner().SignHTTP(context.Background(), keys, request, hex.EncodeToString(sum[:]), s.service, s.region, s.at); err != nil {
		t.Fatal(err)
	}
	return request
}

func usual() signing {
	return signing{
		credential: session, method: "POST", target: "/", body: `{"Sql":"select 1"}`, region: "us-east-1", service: "redshift-data", at: noon,
		header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}, "X-Amz-Target": {"RedshiftData.ExecuteStatement"}},
	}
}

// received hands over the request as a server's handler gets it.
func received(t *testing.T, request *http.Request, verify func(*http.Request)) {
	t.Helper()
	got := make(chan *http.Request, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Clone(context.Background()) }))
	defer server.Close()
	request.Host = request.URL.Host // what was signed
	request.URL.Host = strings.TrimPrefix(server.URL, "http://")
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	verify(<-got)
}

func TestWhatAWSSignsIsAccepted(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*signing){
		"a session":                   func(*signing) {},
		"static keys":                 func(s *signing) { s.credential = static },
		"an empty body":               func(s *signing) { s.body = "" },
		"a clock 5 minutes ahead":     func(s *signing) { s.at = noon.Add(5 * time.Minute) },
		"a clock 5 minutes behind":    func(s *signing) { s.at = noon.Add(-5 * time.Minute) },
		"a path with odd characters":  func(s *signing) { s.target = "/a%20b/c+d/ü%2Fe" },
		"a query in any order":        func(s *signing) { s.method, s.target = "GET", "/?b=2&a=%2Fx+y&a=1&c" },
		"values with runs of spaces":  func(s *signing) { s.header.Set("X-Amz-Meta", "a    b  c") },
		"a header of several values":  func(s *signing) { s.header["X-Amz-Meta"] = []string{"one", "two"} },
		"a hash of the body in words": func(s *signing) { s.header.Set("X-Amz-Content-Sha256", hash(s.body)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			verifier, s := newVerifier(t), usual()
			change(&s)
			received(t, sign(t, s), func(r *http.Request) {
				got, err := verifier.Verify(r, []byte(s.body))
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				if got.AccessKeyID != s.credential.AccessKeyID || got.UserID() != "AROAX:alice" {
					t.Errorf("signed by %q as %q", got.AccessKeyID, got.UserID())
				}
			})
		})
	}
}

func hash(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

// edit changes the Authorization header by replacing.
func edit(old, replacement string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, replacement, 1))
	}
}

func TestWhatWasNotSignedIsRefused(t *testing.T) {
	t.Parallel()
	const (
		missing, incomplete, unknown = "MissingAuthenticationTokenException", "IncompleteSignatureException", "UnrecognizedClientException"
		mismatch, expired            = "InvalidSignatureException", "ExpiredTokenException"
	)
	for name, test := range map[string]struct {
		sign   func(*signing)
		change func(*http.Request)
		body   string // that the service acts on, if another
		code   string
		says   string
	}{
		"no signature at all":          {change: func(r *http.Request) { r.Header.Del("Authorization") }, code: missing},
		"two signatures":               {change: func(r *http.Request) { r.Header.Add("Authorization", "x") }, code: incomplete},
		"another scheme":               {change: func(r *http.Request) { r.Header.Set("Authorization", "Bearer abc") }, code: incomplete, says: "algorithm"},
		"an ECDSA signature":           {change: edit("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), code: incomplete},
		"no Credential":                {change: edit("Credential=", "Credentials="), code: incomplete, says: "'Credential'"},
		"no Signature":                 {change: edit("Signature=", "Sig="), code: incomplete, says: "'Signature'"},
		"an extra parameter":           {change: edit("Credential=", "X=1, Credential="), code: incomplete},
		"a parameter twice":            {change: edit("Credential=", "Credential=1, Credential="), code: incomplete, says: "twice"},
		"a short scope":                {change: edit("/aws4_request", ""), code: incomplete, says: "5"},
		"another terminator":           {change: edit("aws4_request", "aws5_request"), code: mismatch, says: "terminator"},
		"an upper-case signature":      {change: func(r *http.Request) { upper(r) }, code: incomplete},
		"half a signature":             {change: func(r *http.Request) { cut(r, 10) }, code: incomplete},
		"one bit of the signature":     {change: flip, code: mismatch, says: "does not match"},
		"host not signed":              {change: edit("host;", ""), code: incomplete, says: "'Host'"},
		"signed headers unsorted":      {change: edit("host;", "z;host;"), code: incomplete, says: "sorted"},
		"signed header names twice":    {change: edit("host;", "host;host;"), code: incomplete, says: "once"},
		"an x-amz header added":        {change: func(r *http.Request) { r.Header.Set("X-Amz-Extra", "1") }, code: incomplete, says: "X-Amz-"},
		"the target changed":           {change: func(r *http.Request) { r.Header.Set("X-Amz-Target", "RedshiftData.ListTables") }, code: mismatch},
		"the path changed":             {change: func(r *http.Request) { r.URL.Path = "/other" }, code: mismatch},
		"the query changed":            {change: func(r *http.Request) { r.URL.RawQuery = "a=1" }, code: mismatch},
		"the method changed":           {change: func(r *http.Request) { r.Method = "PUT" }, code: mismatch},
		"the host changed":             {change: func(r *http.Request) { r.Host = "elsewhere" }, code: mismatch},
		"the body changed":             {body: `{"Sql":"drop table x"}`, code: mismatch},
		"the body's hash claimed":      {sign: func(s *signing) { s.header.Set("X-Amz-Content-Sha256", hash(s.body)) }, body: "other", code: mismatch, says: "digest"},
		"an unsigned payload":          {sign: func(s *signing) { s.header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD") }, code: mismatch, says: "digest"},
		"no date":                      {change: func(r *http.Request) { r.Header.Del("X-Amz-Date") }, code: incomplete},
		"a date in words":              {change: func(r *http.Request) { r.Header.Set("X-Amz-Date", "yesterday") }, code: incomplete},
		"a date of another day":        {change: func(r *http.Request) { r.Header.Set("X-Amz-Date", "20261122T120000Z") }, code: mismatch, says: "Date in Credential scope"},
		"a clock too far ahead":        {sign: func(s *signing) { s.at = noon.Add(5*time.Minute + time.Second) }, code: mismatch, says: "not yet current"},
		"a clock too far behind":       {sign: func(s *signing) { s.at = noon.Add(-5*time.Minute - time.Second) }, code: mismatch, says: "Signature expired"},
		"another region":               {sign: func(s *signing) { s.region = "eu-west-1" }, code: mismatch, says: "region"},
		"another service":              {sign: func(s *signing) { s.service = "sts" }, code: mismatch, says: "correct service"},
		"an unknown key":               {sign: func(s *signing) { s.credential.AccessKeyID = "ASIAUNKNOWN" }, code: unknown},
		"another secret":               {sign: func(s *signing) { s.credential.SecretAccessKey += "x" }, code: mismatch},
		"another session token":        {sign: func(s *signing) { s.credential.SessionToken += "x" }, code: unknown},
		"no session token":             {sign: func(s *signing) { s.credential.SessionToken = "" }, code: unknown},
		"static keys with a token":     {sign: func(s *signing) { s.credential = static; s.credential.SessionToken = "x" }, code: unknown},
		"expired keys":                 {sign: func(s *signing) { s.credential = stale }, code: expired},
		"expired keys, wrongly signed": {sign: func(s *signing) { s.credential = stale; s.credential.SecretAccessKey = "x" }, code: mismatch},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			verifier, s := newVerifier(t), usual()
			if test.sign != nil {
				test.sign(&s)
			}
			body := s.body
			if test.body != "" {
				body = test.body
			}
			received(t, sign(t, s), func(r *http.Request) {
				if test.change != nil {
					test.change(r)
				}
				credential, err := verifier.Verify(r, []byte(body))
				var refused *sigv4.Error
				if !errors.As(err, &refused) {
					t.Fatalf("error %v (credential %q), want %s", err, credential.AccessKeyID, test.code)
				}
				if refused.Code != test.code || refused.Status != http.StatusBadRequest || !strings.Contains(refused.Message, test.says) {
					t.Errorf("refused with %d %v, want %s that says %q", refused.Status, refused, test.code, test.says)
				}
				if strings.Contains(refused.Error(), "secret-of") || credential.SecretAccessKey != "" {
					t.Errorf("the refusal gives the secret away: %v", refused)
				}
			})
		})
	}
}

func upper(r *http.Request) {
	before, signature, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
	r.Header.Set("Authorization", before+"Signature="+strings.ToUpper(signature[:63])+"A")
}

func cut(r *http.Request, n int) {
	value := r.Header.Get("Authorization")
	r.Header.Set("Authorization", value[:len(value)-n])
}

func flip(r *http.Request) {
	value := []byte(r.Header.Get("Authorization"))
	last := &value[len(value)-1]
	if *last == '0' {
		*last = '1'
	} else {
		*last = '0'
	}
	r.Header.Set("Authorization", string(value))
}

func TestQueryServicesSpellErrorsTheirOwnWay(t *testing.T) {
	t.Parallel()
	verifier := newVerifier(t)
	verifier.Protocol, verifier.Service = sigv4.Query, "sts"
	for want, change := range map[string]func(*signing){
		"403 InvalidClientTokenId":  func(s *signing) { s.credential.AccessKeyID = "ASIAUNKNOWN" },
		"403 SignatureDoesNotMatch": func(s *signing) { s.credential.SecretAccessKey = "x" },
		"403 ExpiredToken":          func(s *signing) { s.credential = stale },
	} {
		s := usual()
		s.service = "sts"
		change(&s)
		received(t, sign(t, s), func(r *http.Request) {
			_, err := verifier.Verify(r, []byte(s.body))
			var refused *sigv4.Error
			if !errors.As(err, &refused) || fmt.Sprintf("%d %s", refused.Status, refused.Code) != want {
				t.Errorf("refused with %v, want %s", err, want)
			}
		})
	}
}

func TestAFullRegistryForgetsWhatExpiresFirst(t *testing.T) {
	t.Parallel()
	registry := sigv4.NewRegistry(3)
	add := func(id string, expires time.Time) error {
		return registry.Add(sigv4.Credential{AccessKeyID: id, SecretAccessKey: "s", Expires: expires})
	}
	for id, expires := range map[string]time.Time{"static": {}, "late": noon.Add(2 * time.Hour), "early": noon.Add(time.Hour)} {
		if err := add(id, expires); err != nil {
			t.Fatal(err)
		}
	}
	if err := add("new", noon.Add(3*time.Hour)); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]bool{"static": true, "late": true, "early": false, "new": true} {
		if _, found := registry.Find(id); found != want {
			t.Errorf("%s found: %t, want %t", id, found, want)
		}
	}
	if err := add("new", noon); err == nil {
		t.Error("a taken access key id was stored again")
	}
	if err := sigv4.NewRegistry(0).Add(sigv4.Credential{}); err == nil {
		t.Error("a credential without keys was stored")
	}
}

func TestARegistryOfStaticKeysCanBeFull(t *testing.T) {
	t.Parallel()
	registry := sigv4.NewRegistry(1)
	if err := registry.Add(static); err != nil {
		t.Fatal(err)
	}
	if err := registry.Add(session); !errors.Is(err, sigv4.ErrFull) {
		t.Errorf("error %v, want ErrFull", err)
	}
}

func TestStoredCredentialsCannotBeChangedFromOutside(t *testing.T) {
	t.Parallel()
	registry := sigv4.NewRegistry(0)
	mine := static
	mine.Tags = map[string]string{"RedshiftDbUser": "alice"}
	if err := registry.Add(mine); err != nil {
		t.Fatal(err)
	}
	mine.Tags["RedshiftDbUser"] = "admin"
	found, _ := registry.Find(mine.AccessKeyID)
	found.Tags["RedshiftDbUser"] = "admin"
	if again, _ := registry.Find(mine.AccessKeyID); again.Tags["RedshiftDbUser"] != "alice" {
		t.Errorf("the stored tag is now %q", again.Tags["RedshiftDbUser"])
	}
}

func TestRegistryIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	registry := sigv4.NewRegistry(10)
	var group sync.WaitGroup
	for i := range 50 {
		group.Go(func() {
			id := fmt.Sprint(i)
			_ = registry.Add(sigv4.Credential{AccessKeyID: id, SecretAccessKey: "s", Expires: noon.Add(time.Duration(i) * time.Second)})
			registry.Find(id)
		})
	}
	group.Wait()
}

func FuzzVerify(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=ASIATWIN000000000001/20261123/us-east-1/redshift-data/aws4_request, SignedHeaders=host;x-amz-date, Signature="+strings.Repeat("0", 64), "/a%2Fb", "a=1&b=%zz", "20261123T120000Z")
	f.Add("AWS4-HMAC-SHA256 Credential=/,SignedHeaders=;,Signature=", "/", "", "")
	registry := sigv4.NewRegistry(0)
	if err := registry.Add(session); err != nil {
		f.Fatal(err)
	}
	verifier := sigv4.Verifier{Registry: registry, Region: "us-east-1", Service: "redshift-data", Now: func() time.Time { return noon }}
	f.Fuzz(func(t *testing.T, authorization, path, query, date string) {
		request := httptest.NewRequest("POST", "/", bytes.NewReader(nil))
		request.URL.Path, request.URL.RawPath, request.URL.RawQuery = path, path, query
		request.Header = http.Header{"Authorization": {authorization}, "X-Amz-Date": {date}, "X-Amz-Security-Token": {session.SessionToken}}
		_, err := verifier.Verify(request, nil)
		var refused *sigv4.Error
		if !errors.As(err, &refused) || refused.Code == "" || refused.Message == "" || refused.Status == 0 {
			t.Fatalf("a request that nobody signed was answered with %v", err)
		}
	})
}
