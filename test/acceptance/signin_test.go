package acceptance

import (
	"net/http"
	"net/url"
	"strings"
)

// T16. The answer of an IdP counts once, in the browser that asked, from the IdP that was asked;
// with anything else no code is ever sent on.
func signInBinding(a *attempt) {
	l := a.lab()
	in, got := l.signsIn()
	a.check(in, "a good sign-in: %s", got)
	elsewhere := l.begin("other")
	for what, try := range map[string]func(s signIn, answer url.Values) reply{
		"without a cookie":           func(_ signIn, answer url.Values) reply { return l.arrive("own", answer, nil) },
		"in another browser":         func(_ signIn, answer url.Values) reply { return l.arrive("own", answer, l.begin("own").cookies) },
		"with a changed cookie":      func(s signIn, answer url.Values) reply { return l.arrive("own", answer, tampered(s.cookies)) },
		"at another IdP's callback":  func(s signIn, answer url.Values) reply { return l.arrive("other", answer, s.cookies) },
		"with another IdP's cookies": func(_ signIn, answer url.Values) reply { return l.arrive("own", answer, elsewhere.cookies) },
		"from another IdP": func(s signIn, answer url.Values) reply {
			return l.arrive("own", with(answer, "iss", l.other.issuer), s.cookies)
		},
		"from an IdP with a slash": func(s signIn, answer url.Values) reply {
			return l.arrive("own", with(answer, "iss", l.own.issuer+"/"), s.cookies)
		},
		"without iss":   func(s signIn, answer url.Values) reply { return l.arrive("own", with(answer, "iss", ""), s.cookies) },
		"without state": func(s signIn, answer url.Values) reply { return l.arrive("own", with(answer, "state", ""), s.cookies) },
		"with another state": func(s signIn, answer url.Values) reply {
			return l.arrive("own", with(answer, "state", l.begin("own").query.Get("state")), s.cookies)
		},
		"with state in other letters": func(s signIn, answer url.Values) reply {
			return l.arrive("own", with(answer, "state", swapCase(answer.Get("state"))), s.cookies)
		},
		"with the state cut": func(s signIn, answer url.Values) reply {
			return l.arrive("own", with(answer, "state", answer.Get("state")[:10]), s.cookies)
		},
		"without a code": func(s signIn, answer url.Values) reply { return l.arrive("own", with(answer, "code", ""), s.cookies) },
		"with an error": func(s signIn, answer url.Values) reply {
			return l.arrive("own", with(answer, "error", "access_denied"), s.cookies)
		},
		"after an error": func(s signIn, answer url.Values) reply {
			l.arrive("own", with(with(answer, "code", ""), "error", "access_denied"), s.cookies)
			return l.arrive("own", answer, s.cookies)
		},
		"with two codes": func(s signIn, answer url.Values) reply {
			answer.Add("code", "other")
			return l.arrive("own", answer, s.cookies)
		},
		"with two states": func(s signIn, answer url.Values) reply {
			answer.Add("state", answer.Get("state"))
			return l.arrive("own", answer, s.cookies)
		},
		"by POST": func(s signIn, answer url.Values) reply {
			return l.do(l, http.MethodPost, l.gateway.address()+"/signin/callback/own", merge(s.cookies, formHeader), answer.Encode())
		},
	} {
		s := l.begin("own")
		answer := l.callback(l.own, s)
		before := l.own.count("/token") + l.other.count("/token")
		got := try(s, answer)
		a.check(!l.isIn(got) && got.status/100 != 2 && got.status/100 != 3, "an answer %s: %s", what, got)
		a.check(l.own.count("/token")+l.other.count("/token") == before, "an answer %s: the code was sent on", what)
	}
	l.twice()
	l.session()
	l.returnPaths()
}

// tampered changes the last character of a cookie's value.
func tampered(cookies http.Header) http.Header {
	value := cookies.Get("Cookie")
	return http.Header{"Cookie": {value[:len(value)-1] + swapCase(value[len(value)-1:]) + "A"}}
}

// twice brings a good answer again.
func (l *lab) twice() {
	s := l.begin("own")
	answer := l.callback(l.own, s)
	first := l.arrive("own", answer, s.cookies)
	l.check(l.isIn(first), "the first time: %s", first)
	before := l.own.count("/token")
	again := l.arrive("own", answer, cookiesAfter(s.cookies, first))
	l.check(!l.isIn(again) && l.own.count("/token") == before, "an answer that comes again in the same browser: %s", again)
}

// cookiesAfter are those of a browser that had some and was given others, or told to drop some.
func cookiesAfter(had http.Header, got reply) http.Header {
	kept := map[string]string{}
	for pair := range strings.SplitSeq(had.Get("Cookie"), "; ") {
		name, value, _ := strings.Cut(pair, "=")
		kept[name] = value
	}
	response := http.Response{Header: got.header}
	for _, cookie := range response.Cookies() {
		if cookie.MaxAge < 0 || cookie.Value == "" {
			delete(kept, cookie.Name)
			continue
		}
		kept[cookie.Name] = cookie.Value
	}
	var pairs []string
	for name, value := range kept {
		pairs = append(pairs, name+"="+value)
	}
	return http.Header{"Cookie": {strings.Join(pairs, "; ")}}
}

// session looks at what comes of a sign-in: a new id each time, which ends where it should.
func (l *lab) session() {
	_, first := l.signsIn()
	s := l.begin("own")
	planted := merge(s.cookies)
	planted["Cookie"] = []string{s.cookies.Get("Cookie") + "; " + cookiesOf(first).Get("Cookie")}
	second := l.arrive("own", l.callback(l.own, s), planted)
	l.check(l.isIn(second) && cookiesOf(second).Get("Cookie") != cookiesOf(first).Get("Cookie"), "a session that was there before is gone on with: %s", second)
	own := cookiesOf(second)
	l.check(!l.isSession(tampered(own)), "a changed session cookie is taken")
	l.check(!l.isSession(s.cookies), "the cookie of a sign-in that began is taken for a session")
	for _, cookie := range second.header["Set-Cookie"] {
		l.check(strings.Contains(cookie, "HttpOnly") && strings.Contains(cookie, "SameSite=") && strings.Contains(cookie, "Path=/") && !strings.Contains(strings.ToLower(cookie), "domain="), "the cookie %s", cookie)
	}
	cross := l.do(l, http.MethodPost, l.gateway.address()+"/signout", merge(own, formHeader, http.Header{"Origin": {"https://evil.example"}, "Sec-Fetch-Site": {"cross-site"}}), "")
	l.check(cross.status == http.StatusForbidden && l.isSession(own), "another site signs somebody out: %s", cross)
	out := l.do(l, http.MethodPost, l.gateway.address()+"/signout", merge(own, formHeader, http.Header{"Origin": {l.url}, "Sec-Fetch-Site": {"same-origin"}}), "")
	l.check(out.status == http.StatusOK && !l.isSession(own), "after signing out the session lives: %s", out)
}

// returnPaths tries to have somebody sent elsewhere after a sign-in.
func (l *lab) returnPaths() {
	for _, path := range []string{
		"//evil.example", "///evil.example", "https://evil.example", "http:evil.example", "/\\evil.example", "\\\\evil.example", "/\t/evil.example", "/\n/evil.example",
		"javascript:alert(1)", "data:text/html,x", "evil.example", ".evil.example", "@evil.example", "//evil.example/%2f..", "/%5cevil.example/..//evil.example\\", "%2f%2fevil.example", "\u2044/evil.example", " //evil.example", "",
	} {
		got := l.do(l, http.MethodGet, l.gateway.address()+"/signin/start/own?return_to="+url.QueryEscape(path), nil, "")
		location, err := url.Parse(got.header.Get("Location"))
		l.must(err)
		s := signIn{cookiesOf(got), location.Query()}
		got = l.arrive("own", l.callback(l.own, s), s.cookies)
		target := got.header.Get("Location")
		l.check(got.status == http.StatusSeeOther && strings.HasPrefix(target, "/") && !strings.HasPrefix(target, "//") && !strings.ContainsAny(target, "\\\t\n"), "return_to=%q leads to %q", path, target)
	}
}
