package acceptance

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// T21. Every page says that it may be framed by nobody, runs no script, and is kept by no cache; and
// Chromium shows none of them in a frame. Redirects are by 303.
func headersAndFrames(a *attempt) {
	signedIn := a.signedIn(a, "alice")
	good, bad := a.ask(a.phone, a.scope).query, with(a.ask(a.phone, a.scope).query, "redirect_uri", "https://evil.example/")
	shown := map[string]string{ // pages by GET, which can be framed
		"front page": "/", "no such page": "/nothing", "error of an authorization request": "/oauth2/authorize?" + bad.Encode(), "consent": "/oauth2/authorize?" + good.Encode(),
		"connected apps": "/connections", "failed sign-in": "/signin/callback/twin?state=x&code=y", "wrong method": "/oauth2/authorize/decision", "unreadable link": "/oauth2/authorize?client_id=%zz",
	}
	for what, path := range shown {
		for _, header := range []http.Header{nil, signedIn} {
			a.checkPage(what, a.do(a, http.MethodGet, a.url+path, header, ""))
		}
	}
	same := http.Header{"Origin": {a.url}, "Sec-Fetch-Site": {"same-origin"}}
	a.checkPage("expired consent", a.do(a, http.MethodPost, a.url+"/oauth2/authorize/decision", merge(signedIn, formHeader, same), "request=x"))
	a.checkPage("signed out", a.do(a, http.MethodPost, a.url+"/signout", merge(formHeader, same), ""))
	a.checkPage("signing out from elsewhere", a.do(a, http.MethodPost, a.url+"/signout", merge(formHeader, http.Header{"Origin": {"https://evil.example"}}), ""))
	a.checkRedirects(signedIn, same)
	a.checkSecretAnswers()
	if a.world != nil {
		a.checkHTTPS()
	}
	a.checkFrames(shown, signedIn)
}

// checkPage looks at the headers of a page, or sees that there is none.
func (a *attempt) checkPage(what string, got reply) {
	a.Helper()
	if got.status/100 == 3 {
		a.check(got.status == http.StatusSeeOther && got.header.Get("Cache-Control") == "no-store", "%s redirects with %d, %v", what, got.status, got.header)
		return
	}
	header := got.header
	policy := header.Get("Content-Security-Policy")
	a.check(strings.HasPrefix(header.Get("Content-Type"), "text/html; charset=utf-8"), "%s: %s", what, got)
	for _, directive := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action "} {
		a.check(strings.Contains(policy, directive), "%s: the policy %q lacks %s", what, policy, directive)
	}
	a.check(!strings.Contains(policy, "unsafe") && !strings.Contains(policy, "script-src") && !strings.Contains(policy, "*"), "%s: the policy is %q", what, policy)
	for name, value := range map[string]string{
		"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin", "Cache-Control": "no-store", "Access-Control-Allow-Origin": "",
	} {
		a.check(header.Get(name) == value, "%s: %s is %q, not %q", what, name, header.Get(name), value)
	}
	a.check(!strings.Contains(got.body, "<script") && !strings.Contains(got.body, "http://cdn") && !strings.Contains(got.body, " onload="), "%s has a script", what)
}

// checkRedirects answers a form, and sees how the browser is sent on.
func (a *attempt) checkRedirects(signedIn, same http.Header) {
	a.Helper()
	for _, decision := range []string{"allow", "deny"} {
		consent := a.do(a, http.MethodGet, a.ask(a.phone, a.scope).url(a.target), signedIn, "")
		forms := sealedForms(consent.body)
		if len(forms) != 1 {
			a.Fatalf("consent: %s", consent)
		}
		form := url.Values{"request": {forms[0]}, "decision": {decision}}.Encode()
		got := a.do(a, http.MethodPost, a.url+"/oauth2/authorize/decision", merge(signedIn, same, formHeader), form)
		a.check(got.status == http.StatusSeeOther && got.header.Get("Cache-Control") == "no-store" && got.header.Get("Referrer-Policy") == "no-referrer" && got.body == "", "the answer %s: %s %v", decision, got, got.header)
		again := a.do(a, http.MethodPost, a.url+"/oauth2/authorize/decision", merge(signedIn, same, formHeader), form)
		a.check(decision == "deny" || again.status == http.StatusBadRequest, "the same answer again: %s", again)
	}
	posted := a.post(a, "/oauth2/authorize", a.ask(a.phone, a.scope).query)
	a.check(posted.status == http.StatusSeeOther, "an authorization request by POST: %s", posted)
}

// checkSecretAnswers looks at answers with tokens, and at who else may read answers.
func (a *attempt) checkSecretAnswers() {
	a.Helper()
	held := a.connect(a, "alice", a.phone, a.scope)
	for what, got := range map[string]reply{
		"tokens":         a.token(a, a.phone.refresh(held.Refresh)),
		"refused tokens": a.token(a, a.phone.refresh("x")),
		"a result":       a.door("POST /v1/query", bearer(held.Access)),
		"warehouses":     a.door("GET /v1/warehouses", bearer(held.Access)),
		"a refusal":      a.door("GET /v1/warehouses", nil),
		"revocation":     a.post(a, "/oauth2/revoke", a.phone.sign(url.Values{"token": {"x"}})),
	} {
		a.check(got.header.Get("Cache-Control") == "no-store" && got.header.Get("Access-Control-Allow-Credentials") == "", "%s: %v", what, got.header)
	}
	for _, path := range []string{"/oauth2/authorize", "/oauth2/authorize/decision", "/connections", "/"} {
		got := a.do(a, http.MethodOptions, a.url+path, http.Header{"Origin": {"https://evil.example"}, "Access-Control-Request-Method": {"POST"}}, "")
		a.check(got.header.Get("Access-Control-Allow-Origin") == "", "another site may read %s: %v", path, got.header)
	}
}

// checkHTTPS starts a gateway whose public address is https, which a proxy would serve.
func (a *attempt) checkHTTPS() {
	a.Helper()
	own := newUpstream(a)
	l := &lab{attempt: a, own: own}
	l.gateway = a.world.startGateway(a, gatewayOptions{issuer: "https://gateway.example", upstreams: own.yaml("own")})
	for _, path := range []string{"/", "/nothing", "/connections", "/v1/warehouses", "/oauth2/jwks", "/oauth2/token"} {
		got := a.do(a, http.MethodGet, l.gateway.address()+path, nil, "")
		a.check(strings.Contains(got.header.Get("Strict-Transport-Security"), "max-age=31536000"), "%s over https: %v", path, got.header)
	}
	s := l.begin("own")
	got := l.arrive("own", l.callback(own, s), s.cookies)
	a.check(l.isIn(got), "a sign-in over https: %s", got)
	for _, cookie := range append((&http.Response{Header: got.header}).Cookies(), cookiesIn(s.cookies)...) {
		a.check(strings.HasPrefix(cookie.Name, "__Host-"), "the cookie %s over https", cookie.Name)
	}
	for _, cookie := range (&http.Response{Header: got.header}).Cookies() {
		a.check(cookie.Secure && cookie.HttpOnly && cookie.Path == "/" && cookie.Domain == "", "the cookie %s", cookie.Raw)
	}
}

func cookiesIn(header http.Header) []*http.Cookie { return (&http.Request{Header: header}).Cookies() }

// checkFrames has a page of another origin frame each page, in the browser of somebody who is
// signed in, and asks Chromium what each frame shows.
func (a *attempt) checkFrames(shown map[string]string, signedIn http.Header) {
	a.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		a.Log("chromium is not installed (apt-get install chromium): pages were not framed")
		return
	}
	framed := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "may be framed") }))
	a.Cleanup(framed.Close)
	names, frames := []string{"a page that may be framed"}, fmt.Sprintf("<iframe src=%q></iframe>", framed.URL)
	for what, path := range shown {
		names = append(names, what)
		frames += fmt.Sprintf(`<iframe src="%s"></iframe>`, html.EscapeString(a.url+path))
	}
	outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, frames)
	}))
	a.Cleanup(outside.Close)
	children := a.framesOf(path, strings.Replace(outside.URL, "127.0.0.1", "localhost", 1), signedIn)
	a.check(len(children) == len(names), "there are %d frames, not %d", len(children), len(names))
	for i, child := range children {
		blocked := strings.HasPrefix(child.Frame.URL, "chrome-error:")
		a.check(blocked == (i > 0), "%s in a frame: it shows %s", names[i], child.Frame.URL)
	}
}

// framesOf opens a page in Chromium.
func (a *attempt) framesOf(chromium, address string, signedIn http.Header) []*page.FrameTree {
	a.Helper()
	profile, err := os.MkdirTemp("", "shiftgrant-chromium-")
	a.must(err)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(profile),
		// So that all frames are told of by one target.
		chromedp.Flag("disable-site-isolation-trials", true), chromedp.Flag("disable-features", "IsolateOrigins,site-per-process"), chromedp.Flag("disable-background-networking", true))
	allocated, endAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, end := chromedp.NewContext(allocated)
	a.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // waits for Chromium to be gone
		end()
		endAllocator()
		_ = os.RemoveAll(profile)
	})
	step, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	// The browser is the one of somebody who is signed in: cookies do not care for ports.
	for _, cookie := range cookiesIn(signedIn) {
		_, err := chromedp.Call(step, network.SetCookie, network.SetCookieParams{Name: cookie.Name, Value: cookie.Value, URL: a.url})
		a.must(err)
	}
	a.must(chromedp.Do(step, chromedp.Navigate(address)))
	tree, err := chromedp.Call(step, page.GetFrameTree, cdp.Empty{})
	a.must(err)
	return tree.FrameTree.ChildFrames
}
