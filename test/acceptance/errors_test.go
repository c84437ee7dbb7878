package acceptance

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// hostile texts, each with a word that is nowhere else.
var hostile = []string{
	`zqxj"><svg onload=alert(1)>`, "zqxj\r\nSet-Cookie: zqxj=1", "zqxj' or '1'='1", "zqxj\x00\x01", "zqxj{{7*7}}${7*7}", "zqxj\xff\xfe", "zqxj" + strings.Repeat("A", 600), "../../zqxj",
}

// leaks are words of a stack trace, of SQL, or of a file system.
var leaks = regexp.MustCompile(`goroutine|runtime error|panic|\.go:\d+|SQLSTATE|pq:|\bpgx\b|sqlite|SELECT |/tmp/|/home/|/root/|/work/|access_tokens|127\.0\.0\.1:`)

// described is what RFC 6749 §5.2 allows in a description.
var described = regexp.MustCompile(`^[\x20-\x21\x23-\x5b\x5d-\x7e]*$`)

// T20. Whatever is sent, the answer is a fixed text and a request id.
func errorHygiene(a *attempt) {
	held := a.connect(a, "alice", a.phone, a.scope)
	signedIn := a.signedIn(a, "alice")
	authorize := a.ask(a.phone, a.scope).query
	redeem := a.ask(a.phone, a.scope).redemption("code")
	revoke := a.phone.sign(url.Values{"token": {"x"}})
	names := []string{"client_id", "redirect_uri", "response_type", "response_mode", "scope", "code_challenge", "code_challenge_method", "nonce", "prompt", "max_age", "resource", "request", "request_uri", "registration", "authorization_details", "login_hint", "ui_locales", "error", "error_description"}
	for _, text := range hostile {
		for _, name := range names {
			query := with(authorize, name, text).Encode()
			a.clean("authorize: "+name, a.do(a, http.MethodGet, a.url+"/oauth2/authorize?"+query, nil, ""))
			a.clean("authorize, signed in: "+name, a.do(a, http.MethodGet, a.url+"/oauth2/authorize?"+query, signedIn, ""))
		}
		for _, name := range []string{"grant_type", "code", "redirect_uri", "code_verifier", "client_id", "client_secret", "refresh_token", "scope", "resource", "client_assertion"} {
			a.clean("token: "+name, a.token(a, with(redeem, name, text)))
		}
		a.clean("revoke", a.post(a, "/oauth2/revoke", with(revoke, "client_id", text)))
		a.clean("decision", a.do(a, http.MethodPost, a.url+"/oauth2/authorize/decision", formHeader, url.Values{"request": {text}}.Encode()))
		escaped := url.PathEscape(text)
		for _, path := range []string{"/" + escaped, "/signin?return_to=" + url.QueryEscape(text), "/signin/start/" + escaped, "/signin/callback/" + escaped, "/signin/callback/twin?state=s&error=" + url.QueryEscape(text) + "&error_description=" + url.QueryEscape(text), "/assets/" + escaped} {
			got := a.do(a, http.MethodGet, a.url+path, nil, "")
			if strings.HasPrefix(path, "/signin?") && got.status == http.StatusSeeOther {
				continue // to the IdP; the path is sealed in a cookie
			}
			a.clean("GET "+path, got)
		}
		header := bearer(held.Access)
		header.Set("Content-Type", "application/json")
		for _, path := range []string{"/v1/query", "/v1/statements"} {
			a.clean("JSON at "+path, a.do(a, http.MethodPost, a.url+path, header, `{"`+strings.ToValidUTF8(text, "?")+`": 1}`))
			a.clean("type at "+path, a.do(a, http.MethodPost, a.url+path, http.Header{"Authorization": header["Authorization"], "Content-Type": {printable(text)}}, "x"))
		}
		a.clean("statement id", a.do(a, http.MethodGet, a.url+"/v1/statements/"+escaped, bearer(held.Access), ""))
		a.clean("bearer", a.do(a, http.MethodGet, a.url+"/v1/warehouses", bearer(printable(text)), ""))
		a.clean("basic", a.do(a, http.MethodPost, a.url+"/oauth2/token", http.Header{"Authorization": {"Basic " + printable(text)}, "Content-Type": formHeader["Content-Type"]}, redeem.Encode()))
	}
	if a.world != nil {
		a.storeDown(held.Access)
	}
}

func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return -1
		}
		return r
	}, text)
}

// wayBack is a hidden field of pages where somebody is signed in: the request itself, percent-encoded,
// for going on as somebody else. Sealed fields may by chance have any letters.
var wayBack = regexp.MustCompile(`name="return_to" value="/oauth2/authorize\?[A-Za-z0-9%&#;=+._~-]*"|name="request" value="[A-Za-z0-9_-]*"`)

// clean looks at an error, or at a page: nothing of the request in it, nothing of the inside, and
// a request id.
func (a *attempt) clean(what string, got reply) {
	a.Helper()
	location, headers := got.header.Get("Location"), ""
	for name, values := range got.header {
		if name != "Location" && name != "Content-Security-Policy" {
			headers += name + ": " + strings.Join(values, ", ") + "\n"
		}
	}
	body := got.body
	if got.status == http.StatusOK {
		body = wayBack.ReplaceAllString(body, "")
	}
	switch {
	case strings.Contains(body, "zqxj") || strings.Contains(headers, "zqxj") || strings.Contains(got.header.Get("Content-Security-Policy"), "zqxj"):
		a.check(false, "%s: the request is reflected: %s", what, got)
	case strings.Contains(location, "zqxj"):
		a.check(false, "%s: the request is reflected in a redirect to %s", what, location)
	case leaks.MatchString(got.body):
		a.check(false, "%s: the inside shows: %s", what, got)
	case got.status >= 400 && got.header.Get("X-Request-Id") == "":
		a.check(false, "%s: no request id: %s", what, got)
	case !described.MatchString(got.Description):
		a.check(false, "%s: characters that may not be in a description: %q", what, got.Description)
	default:
		a.check(got.status < 500 || got.status == http.StatusServiceUnavailable, "%s: %s", what, got)
	}
}

// idp is where people are sent to sign in, with whatever the app asked sealed in a cookie.
func (a *attempt) idp() string {
	a.Helper()
	begun := a.do(a, http.MethodGet, a.ask(a.phone, a.scope).url(a.target), nil, "")
	location, err := url.Parse(begun.header.Get("Location"))
	a.must(err)
	return location.Scheme + "://" + location.Host
}

// storeDown cuts the gateways off from their database: they say that they cannot tell, and never
// that a token is bad.
func (a *attempt) storeDown(token string) {
	signedIn := a.signedIn(a, "alice")
	unknown := a.connect(a, "alice", a.phone, a.scope) // of which nobody has asked
	a.world.link.setCut(true)
	defer a.world.mend(a)
	for what, got := range map[string]reply{
		"query":     a.do(a, http.MethodGet, a.url+"/v1/warehouses", bearer(unknown.Access), ""),
		"refresh":   a.token(a, a.phone.refresh(unknown.Refresh)),
		"code":      a.token(a, a.ask(a.phone, a.scope).redemption(wellFormed("sg_ac_"))),
		"revoke":    a.post(a, "/oauth2/revoke", a.phone.sign(url.Values{"token": {token}})),
		"authorize": a.do(a, http.MethodGet, a.ask(a.phone, a.scope).url(a.target), signedIn, ""),
		"ready":     a.do(a, http.MethodGet, a.url+"/readyz", nil, ""),
	} {
		a.check(got.status == http.StatusServiceUnavailable, "%s while the store is down: %s", what, got)
		a.clean(what+" while the store is down", got)
	}
}
