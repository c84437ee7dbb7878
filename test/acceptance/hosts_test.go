package acceptance

import (
	"net/http"
	"strings"
)

// forged are headers by which a proxy, or somebody who plays one, says how it was called.
func forged() map[string]http.Header {
	const evil = "evil.example"
	headers := map[string]http.Header{}
	for name, value := range map[string]string{
		"Host": evil, "X-Forwarded-Host": evil, "X-Forwarded-Server": evil, "X-Host": evil, "X-Original-Host": evil, "X-Http-Host-Override": evil,
		"X-Forwarded-Proto": "https", "X-Forwarded-Scheme": "https", "X-Forwarded-Port": "666", "X-Forwarded-Prefix": "/" + evil, "X-Forwarded-For": "203.0.113.9",
		"X-Real-Ip": "203.0.113.9", "X-Client-Ip": "203.0.113.9", "True-Client-Ip": "203.0.113.9", "Forwarded": `for=203.0.113.9;host=` + evil + `;proto=https`, "X-Original-Url": "/v1/" + evil,
		"X-Rewrite-Url": "/healthz", "X-Forwarded-Uri": "/healthz", "X-Http-Method-Override": "GET", "X_Forwarded_Host": evil, "X_Forwarded_Proto": "https",
		"X-Forwarded-User": "alice", "X-Remote-User": "alice", "Remote_User": "alice", "X-Auth-Request-Email": "alice@example.com", "X_Forwarded_User": "alice", "User-Agent": "kube-probe/1.0 GoogleHC/1.0",
		"Via": "1.1 " + evil, "Origin": "https://" + evil, "Referer": "https://" + evil + "/", "Te": "trailers", "X-Request-Id": evil,
	} {
		headers[name] = http.Header{name: {value}}
	}
	all := http.Header{}
	for name, header := range headers {
		all[name] = header[name]
	}
	headers["all at once"] = all
	return headers
}

// T25. What a request says about itself changes neither where things are nor who may do what.
func hostSweep(a *attempt) {
	held := a.connect(a, "alice", a.phone, a.scope)
	signedIn := a.signedIn(a, "alice")
	documents := map[string]reply{}
	for _, path := range documentPaths {
		documents[path] = a.do(a, http.MethodGet, a.url+path, nil, "")
	}
	for name, header := range forged() {
		for path, before := range documents {
			got := a.do(a, http.MethodGet, a.url+path, header, "")
			a.check(got.status == before.status && got.body == before.body, "%s changes %s: %s", name, path, got)
		}
		a.sweepRedirects(name, header)
		a.sweepAccess(name, header, held.Access, signedIn)
	}
}

var documentPaths = []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/.well-known/oauth-protected-resource", "/oauth2/jwks"}

// sweepRedirects looks at redirects, cookies, pages and challenges.
func (a *attempt) sweepRedirects(name string, header http.Header) {
	a.Helper()
	unchanged := func(what string, got reply) {
		a.Helper()
		everything := got.body
		for _, values := range got.header {
			everything += "\n" + strings.Join(values, "\n")
		}
		cookies := strings.ToLower(strings.Join(got.header["Set-Cookie"], "\n"))
		a.check(!strings.Contains(everything, "evil.example") && !strings.Contains(cookies, "domain=") && got.header.Get("Access-Control-Allow-Credentials") == "",
			"%s shows in %s: %s", name, what, got)
	}
	q := a.ask(a.phone, a.scope)
	unchanged("the way to sign in", a.do(a, http.MethodGet, q.url(a.target), header, ""))
	unchanged("the front page", a.do(a, http.MethodGet, a.url+"/", header, ""))
	unchanged("a page that is not there", a.do(a, http.MethodGet, a.url+"/nothing", header, ""))
	unchanged("the challenge", a.do(a, http.MethodGet, a.url+"/v1/warehouses", header, ""))
	unchanged("a refused code", a.do(a, http.MethodPost, a.url+"/oauth2/token", merge(formHeader, header), q.redemption("x").Encode()))
	if a.world != nil {
		callback := a.do(a, http.MethodGet, q.url(a.target), header, "").header.Get("Location")
		a.check(strings.HasPrefix(callback, a.idp()) && strings.Contains(callback, urlQuery(a.url+"/signin/callback/")), "%s: people are sent to %s", name, callback)
	}
}

// sweepAccess tries each door without a right to it, and with.
func (a *attempt) sweepAccess(name string, header http.Header, token string, signedIn http.Header) {
	a.Helper()
	for _, path := range []string{"/v1/warehouses", "/v1/statements/stm_0", "/v1/statements/stm_0/rows", "/oauth2/userinfo"} {
		got := a.do(a, http.MethodGet, a.url+path, header, "")
		a.check(got.status == http.StatusUnauthorized, "%s opens %s: %s", name, path, got)
	}
	got := a.do(a, http.MethodPost, a.url+"/v1/query", merge(http.Header{"Content-Type": {"application/sql"}}, header), "select 1")
	a.check(got.status == http.StatusUnauthorized, "%s opens the SQL API: %s", name, got)
	for _, path := range []string{"/metrics", "/v1/apps", "/debug/pprof/", "/admin"} {
		got := a.do(a, http.MethodGet, a.url+path, header, "")
		a.check(got.status == http.StatusNotFound, "%s opens %s: %s", name, path, got)
	}
	got = a.do(a, http.MethodGet, a.url+"/v1/warehouses", merge(bearer(token), header), "")
	a.check(got.status == http.StatusOK, "%s takes away what the token gives: %s", name, got)
	got = a.do(a, http.MethodGet, a.url+"/connections", header, "")
	a.check(got.status != http.StatusOK, "%s shows somebody's connections: %s", name, got)
	got = a.do(a, http.MethodGet, a.url+"/connections", merge(signedIn, header), "")
	a.check(got.status == http.StatusOK, "%s keeps somebody from their connections: %s", name, got)
}

func merge(headers ...http.Header) http.Header {
	merged := http.Header{}
	for _, header := range headers {
		for name, values := range header {
			merged[name] = values
		}
	}
	return merged
}
