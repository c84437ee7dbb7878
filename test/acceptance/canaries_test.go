package acceptance

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/oauth2"
)

// T11. Every secret of a flow is known, and looked for where it must not be: in what the gateways
// print and log, in their audit record, in their database and its files, in their metrics, and in
// every answer but the one that it is for. The flow is one on SQLite; and the secrets of all rows
// before it are looked for in what the two gateways on PostgreSQL have left.
func secretCanaries(a *attempt) {
	a.inWorld()
	f := a.canaryFlow()
	f.search("standard output", []byte(f.gateway.out.String()))
	f.search("the log", []byte(f.gateway.log.String()))
	f.search("the metrics", f.metrics())
	f.searchFolder("while it runs")
	f.gateway.end(syscall.SIGTERM)
	f.searchFolder("after it has ended")
	f.searchAnswers()
}

// inWorld searches what the long-lived gateways have left.
func (a *attempt) inWorld() {
	a.Helper()
	needles := newNeedles(a.secrets)
	a.check(len(a.secrets) >= 20, "only %d secrets are known", len(a.secrets))
	clean := func(where string, content []byte) {
		a.Helper()
		found := needles.in(content)
		a.check(found == "" && len(content) > 0, "%s (%d bytes) has a %s", where, len(content), found)
	}
	for _, one := range a.world.gateways {
		clean("the log of gateway "+one.name, append([]byte(one.log.String()), one.out.String()...))
		record, err := os.ReadFile(filepath.Join(one.folder, "audit.jsonl"))
		a.must(err)
		clean("the audit record of gateway "+one.name, record)
		clean("the metrics of gateway "+one.name, []byte(a.do(a, http.MethodGet, one.operations+"/metrics", nil, "").body))
	}
	clean("the database of the gateways", a.pgDump("gateway1"))
	a.Logf("%d secrets of other rows were looked for", len(a.secrets))
}

// needles find secrets by their first characters, in the spellings that a leak would have.
type needles map[string]string

const needleLength = 14

func newNeedles(secrets map[string]string) needles {
	n := needles{}
	for value, kind := range secrets {
		for spelling, text := range map[string]string{
			"": value, " in hexadecimal": hex.EncodeToString([]byte(value)), " in base64": base64.RawStdEncoding.EncodeToString([]byte(value)),
			" in a URL": url.QueryEscape(value), " backwards in half": value[len(value)/3:],
		} {
			if len(text) >= needleLength {
				n[text[:needleLength]] = kind + spelling
			}
		}
	}
	return n
}

// in gives the kind of a secret that is in content, or "".
func (n needles) in(content []byte) string {
	for i := 0; i+needleLength <= len(content); i++ {
		if kind, found := n[string(content[i:i+needleLength])]; found {
			return kind
		}
	}
	return ""
}

// A flow is one of everything that an app and a person do.
type flow struct {
	*attempt
	*lab
	gateway *gateway
	session http.Header

	mu      sync.Mutex
	known   map[string]string // secrets, and what they are
	due     map[string]string // in which answer a secret is due
	answers []answered
}

type answered struct {
	name    string
	content []byte
}

// learn makes a secret known that may be in one answer.
func (f *flow) learn(kind, value, due string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(value) >= needleLength {
		f.known[value], f.due[value] = kind, due
	}
	return value
}

// canaryFlow walks through a gateway on SQLite whose IdP, AWS and Redshift tell us their secrets.
func (a *attempt) canaryFlow() *flow {
	a.Helper()
	f := &flow{attempt: a, lab: &lab{attempt: a, own: newUpstream(a)}, known: map[string]string{}, due: map[string]string{}}
	aws := f.listenToAWS()
	f.gateway = a.world.startGateway(a, gatewayOptions{issuer: a.url, upstreams: f.own.yaml("own"), aws: aws, more: "audit: {stdout: true}\n"})
	f.lab.gateway = f.gateway
	f.learn("app's secret", portalSecret, "")
	f.learn("secret at the IdP", upstreamSecret, "")
	f.learn("sealing key", sharedKey, "")
	f.learn("sealing key's bytes", "canary-of-a-sealing-key-32-bytes", "")
	f.learnKeyFiles(a.world.keys)
	f.learnKeyFiles(filepath.Join(f.gateway.folder, "keys"))
	f.signIn()
	held := f.tokens()
	f.queries(held.Access)
	f.mistakes(held)
	f.endings(held)
	return f
}

// listenToAWS puts a listener between the gateway and the twin, and learns what passes.
func (f *flow) listenToAWS() string {
	f.Helper()
	behind, err := url.Parse(f.world.twin.URL())
	f.must(err)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(behind)
			r.Out.Host = r.In.Host // which is signed
			body, err := io.ReadAll(r.In.Body)
			if err != nil {
				return
			}
			r.Out.Body = io.NopCloser(bytes.NewReader(body))
			if form, err := url.ParseQuery(string(body)); err == nil {
				f.learn("assertion", lastPart(form.Get("WebIdentityToken")), "")
			}
		},
		ModifyResponse: func(response *http.Response) error {
			body, err := io.ReadAll(response.Body)
			response.Body = io.NopCloser(bytes.NewReader(body))
			for _, match := range awsSecrets.FindAllSubmatch(body, -1) {
				f.learn("AWS "+string(match[1]), string(match[2]), "")
			}
			return err
		},
	}
	server := httptest.NewServer(proxy)
	f.Cleanup(server.Close)
	return server.URL
}

var awsSecrets = regexp.MustCompile(`(SecretAccessKey|SessionToken|DbPassword)>?"?:?"?([^<"]{10,})`)

// learnKeyFiles learns each line of key material.
func (f *flow) learnKeyFiles(folder string) {
	f.Helper()
	f.must(filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(path, ".pub") {
			return err
		}
		content, err := os.ReadFile(path)
		f.must(err)
		for i, piece := range keyMaterial.FindAllString(string(content), -1) {
			if i > 1 || !strings.Contains(string(content), "PRIVATE KEY") { // a PEM's first lines name the kind of key, and hold the public part
				f.learn("key of "+filepath.Base(path), piece, "")
			}
		}
		return nil
	}))
}

var keyMaterial = regexp.MustCompile(`[A-Za-z0-9+/=_-]{32,}`)

// call makes a request and keeps the answer for the search.
func (f *flow) call(name, method, path string, header http.Header, body string) reply {
	f.Helper()
	got := f.attempt.do(f, method, f.gateway.address()+path, header, body)
	content := got.body
	for key, values := range got.header {
		content += "\n" + key + ": " + strings.Join(values, ", ")
	}
	f.answers = append(f.answers, answered{name, []byte(content)})
	for _, cookie := range (&http.Response{Header: got.header}).Cookies() {
		f.learn("cookie "+cookie.Name, cookie.Value, name)
	}
	return got
}

func (f *flow) signIn() {
	f.Helper()
	begun := f.call("sign-in", http.MethodGet, "/signin/start/own?return_to=/", nil, "")
	location, err := url.Parse(begun.header.Get("Location"))
	f.must(err)
	s := signIn{cookiesOf(begun), location.Query()}
	answer := f.callback(f.own, s)
	f.learn("code of the IdP", answer.Get("code"), "")
	back := f.call("callback", http.MethodGet, "/signin/callback/own?"+answer.Encode(), s.cookies, "")
	f.session = cookiesOf(back)
	f.own.set(func(u *upstream) {
		for i := range u.made + 1 {
			f.learn("token of the IdP", fmt.Sprint(upstreamAccess, i), "")
			f.learn("refresh token of the IdP", fmt.Sprint(upstreamRefresh, i), "")
		}
	})
	f.call("home", http.MethodGet, "/", f.session, "")
}

// tokens gets a code and trades it, and then refreshes.
func (f *flow) tokens() reply {
	f.Helper()
	var got reply
	for _, warehouse := range []string{"tickit", "slow"} {
		q := f.ask(f.portal, "openid profile email offline_access sql:read warehouse:"+warehouse)
		f.learn("code verifier", q.verifier, "")
		page := f.call("consent "+warehouse, http.MethodGet, "/oauth2/authorize?"+q.query.Encode(), f.session, "")
		forms := sealedForms(page.body)
		if len(forms) != 1 {
			f.Fatalf("consent: %s", page)
		}
		header := merge(f.session, formHeader, http.Header{"Origin": {f.url}, "Sec-Fetch-Site": {"same-origin"}})
		name := "decision " + warehouse
		decided := f.call(name, http.MethodPost, "/oauth2/authorize/decision", header, url.Values{"request": {forms[0]}, "decision": {"allow"}}.Encode())
		callback, err := url.Parse(decided.header.Get("Location"))
		f.must(err)
		code := f.learn("code", callback.Query().Get("code"), name)
		got = f.issue("redemption "+warehouse, q.redemption(code))
		f.issue("refresh "+warehouse, f.portal.refresh(got.Refresh))
		f.query("query "+warehouse, got.Access)
	}
	return got
}

// issue posts to the token endpoint, where tokens are due.
func (f *flow) issue(name string, form url.Values) reply {
	f.Helper()
	got := f.call(name, http.MethodPost, "/oauth2/token", formHeader, form.Encode())
	f.learn("access token", got.Access, name)
	f.learn("refresh token", got.Refresh, name)
	f.learn("ID token", lastPart(got.ID), name)
	if got.Access == "" {
		f.Fatalf("%s: %s", name, got)
	}
	return got
}

// lastPart of a JWT is its signature. The other parts begin alike in all of them.
func lastPart(token string) string { return token[strings.LastIndex(token, ".")+1:] }

// query binds a secret parameter, which comes back in the answer that asks for it.
func (f *flow) query(name, token string) {
	f.Helper()
	parameter := f.learn("parameter", randomText(), name)
	f.learn("row", reversed(parameter), name)
	body := `{"query": "select :p || '' as p, reverse(:p) as r", "parameters": {"p": "` + parameter + `"}}`
	got := f.call(name, http.MethodPost, "/v1/query", merge(bearer(token), http.Header{"Content-Type": {"application/json"}}), body)
	if got.status != http.StatusOK || !strings.Contains(got.body, reversed(parameter)) {
		f.Errorf("%s: %s", name, got)
	}
}

func randomText() string { return oauth2.GenerateVerifier()[:24] }

func reversed(text string) string {
	letters := []rune(text)
	for i, j := 0, len(letters)-1; i < j; i, j = i+1, j-1 {
		letters[i], letters[j] = letters[j], letters[i]
	}
	return string(letters)
}

// queries fail with a secret in them, and run in the background.
func (f *flow) queries(token string) {
	f.Helper()
	header := merge(bearer(token), http.Header{"Content-Type": {"application/json"}})
	secret := f.learn("parameter", randomText(), "failing query")
	f.call("failing query", http.MethodPost, "/v1/query", header, `{"query": "select :p::integer", "parameters": {"p": "`+secret+`"}}`)
	secret = f.learn("parameter", randomText(), "rows")
	begun := f.call("statement", http.MethodPost, "/v1/statements", header, `{"sql": "select length(:p)", "parameters": {"p": "`+secret+`"}, "wait": "0s"}`)
	if id := statementID(begun); id != "" {
		f.call("status", http.MethodGet, "/v1/statements/"+id, bearer(token), "")
		f.call("rows", http.MethodGet, "/v1/statements/"+id+"/rows?wait=10s", bearer(token), "")
	}
}

// mistakes put secrets where they do not belong, or among what is wrong.
func (f *flow) mistakes(held reply) {
	f.Helper()
	q := f.ask(f.portal, f.scope)
	f.call("wrong code", http.MethodPost, "/oauth2/token", formHeader, q.redemption(wellFormed("sg_ac_")).Encode())
	f.call("wrong secret", http.MethodPost, "/oauth2/token", formHeader, with(f.portal.refresh(held.Refresh), "client_secret", f.learn("wrong secret", randomText(), "")).Encode())
	f.call("secret in the query", http.MethodPost, "/oauth2/token?client_secret="+portalSecret, formHeader, f.portal.refresh(held.Refresh).Encode())
	f.call("token in the query", http.MethodGet, "/v1/warehouses?access_token="+held.Access, nil, "")
	f.call("token in the path", http.MethodGet, "/v1/statements/"+held.Access, bearer(held.Access), "")
	f.call("tokens in authorize", http.MethodGet, "/oauth2/authorize?client_id="+portalSecret+"&redirect_uri="+url.QueryEscape("https://evil.example/"+held.Refresh), f.session, "")
	f.call("junk type", http.MethodPost, "/oauth2/token", http.Header{"Content-Type": {"text/plain"}}, f.portal.refresh(held.Refresh).Encode())
	f.call("token with junk", http.MethodGet, "/v1/warehouses", bearer(held.Access+"x"), "")
	f.call("error of the IdP", http.MethodGet, "/signin/callback/own?state=x&error=x&code="+f.learn("code of the IdP", upstreamCode+"wrong", ""), f.session, "")
	f.call("JSON with a secret", http.MethodPost, "/v1/query", merge(bearer(held.Access), http.Header{"Content-Type": {"application/json"}}), `{"`+held.Access+`": 1}`)
}

func (f *flow) endings(held reply) {
	f.Helper()
	f.call("connections", http.MethodGet, "/connections", f.session, "")
	f.call("userinfo", http.MethodGet, "/oauth2/userinfo", bearer(held.Access), "")
	f.call("revocation", http.MethodPost, "/oauth2/revoke", formHeader, f.portal.sign(url.Values{"token": {held.Access}}).Encode())
	f.call("sign-out", http.MethodPost, "/signout", merge(f.session, formHeader, http.Header{"Origin": {f.url}, "Sec-Fetch-Site": {"same-origin"}}), "")
}

func (f *flow) metrics() []byte {
	f.Helper()
	return []byte(f.attempt.do(f, http.MethodGet, f.gateway.operations+"/metrics", nil, "").body)
}

// search looks for every secret in one place.
func (f *flow) search(where string, content []byte) {
	f.Helper()
	n := newNeedles(f.known)
	found := n.in(content)
	f.check(found == "" && len(content) > 0, "%s (%d bytes) has a %s", where, len(content), found)
}

// searchFolder reads everything that the gateway has written, but the files that are the keys.
func (f *flow) searchFolder(when string) {
	f.Helper()
	files := 0
	f.must(filepath.WalkDir(f.gateway.folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		inside, err := filepath.Rel(f.gateway.folder, path)
		f.must(err)
		if strings.HasPrefix(inside, "keys"+string(filepath.Separator)) {
			return nil
		}
		content, err := os.ReadFile(path)
		f.must(err)
		if files++; len(content) > 0 {
			f.search(inside+" "+when, content)
		}
		info, err := entry.Info()
		f.must(err)
		f.check(info.Mode().Perm()&0o077 == 0, "%s has mode %s", inside, info.Mode())
		return nil
	}))
	f.check(files >= 2, "there are only %d files", files)
}

// dueIn are the secrets that one answer is for. What a caller sent with it may or may not come back.
func (f *flow) dueIn(name string) map[string]string {
	due := map[string]string{}
	for value, kind := range f.known {
		if f.due[value] == name && kind != "parameter" {
			due[value] = kind
		}
	}
	return due
}

// searchAnswers looks for each secret in all answers but the one that it is for.
func (f *flow) searchAnswers() {
	f.Helper()
	for _, answer := range f.answers {
		others := map[string]string{}
		for value, kind := range f.known {
			if f.due[value] != answer.name {
				others[value] = kind
			}
		}
		if due := f.dueIn(answer.name); len(due) > 0 {
			f.check(newNeedles(due).in(answer.content) != "", "the search does not find what is due in the answer to %s", answer.name)
		}
		found := newNeedles(others).in(answer.content)
		f.check(found == "", "the answer to %s has a %s", answer.name, found)
	}
	kinds := map[string]int{}
	for _, kind := range f.known {
		kinds[kind]++
	}
	f.Logf("looked for %d secrets: %v", len(f.known), kinds)
	for _, kind := range []string{"app's secret", "code", "code verifier", "access token", "refresh token", "ID token", "refresh token of the IdP", "assertion", "AWS SecretAccessKey", "AWS DbPassword", "parameter"} {
		f.check(kinds[kind] > 0, "no %s is known: the search shows nothing", kind)
	}
}
