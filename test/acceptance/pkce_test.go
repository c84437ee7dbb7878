package acceptance

import (
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"
)

// T02. Nobody gets a code without a challenge by S256, or tokens without its verifier.
func pkceMatrix(a *attempt) {
	good := a.ask(a.phone, a.scope)
	challenge := good.query.Get("code_challenge")
	signedIn := a.signedIn(a, "alice")
	for what, query := range map[string]url.Values{
		"no challenge":               with(with(good.query, "code_challenge", ""), "code_challenge_method", ""),
		"no challenge, S256":         with(good.query, "code_challenge", ""),
		"no method, which is plain":  with(good.query, "code_challenge_method", ""),
		"plain":                      with(with(good.query, "code_challenge_method", "plain"), "code_challenge", good.verifier),
		"s256 in small letters":      with(good.query, "code_challenge_method", "s256"),
		"another method":             with(good.query, "code_challenge_method", "S512"),
		"a short challenge":          with(good.query, "code_challenge", challenge[:42]),
		"a long challenge":           with(good.query, "code_challenge", challenge+"A"),
		"a challenge with padding":   with(good.query, "code_challenge", challenge+"="),
		"a challenge of other base":  with(good.query, "code_challenge", "+/"+challenge[2:]),
		"a challenge with a newline": with(good.query, "code_challenge", challenge+"\n"),
	} {
		got := a.do(a, http.MethodGet, a.url+"/oauth2/authorize?"+query.Encode(), signedIn, "")
		a.check(a.toldTheApp(got, "invalid_request"), "%s, signed in: %s", what, got)
		got = a.do(a, http.MethodGet, a.url+"/oauth2/authorize?"+query.Encode(), nil, "")
		a.check(isErrorPage(got, ""), "%s, signed out: %s", what, got)
	}

	q := a.ask(a.phone, a.scope)
	code := a.code(a, "alice", q)
	form := q.redemption(code)
	for what, wrong := range map[string]url.Values{
		"no verifier":                                                 with(form, "code_verifier", ""),
		"another verifier":                                            with(form, "code_verifier", oauth2.GenerateVerifier()),
		"the challenge in place of it":                                with(form, "code_verifier", oauth2.S256ChallengeFromVerifier(q.verifier)),
		"the verifier in other letters":                               with(form, "code_verifier", swapCase(q.verifier)),
		"the verifier with a space":                                   with(form, "code_verifier", q.verifier+" "),
		"the beginning of the verifier":                               with(form, "code_verifier", q.verifier[:42]),
		"a verifier for a code of an app that sent another challenge": with(a.ask(a.phone, a.scope).redemption(code), "code", code),
	} {
		got := a.token(a, wrong)
		a.check(got.status == http.StatusBadRequest && got.Access == "" && (got.Error == "invalid_grant" || got.Error == "invalid_request"), "%s: %s", what, got)
	}
	got := a.token(a, form)
	a.check(got.status == http.StatusOK && got.Access != "", "the right verifier after wrong ones: %s", got)
}

// toldTheApp says that a fault went back to the app that is registered, with state and iss.
func (a *attempt) toldTheApp(got reply, code string) bool {
	location, err := url.Parse(got.header.Get("Location"))
	if err != nil || got.status != http.StatusSeeOther {
		return false
	}
	answer := location.Query()
	return strings.HasPrefix(location.String(), a.phone.redirect+"?") && answer.Get("error") == code && answer.Get("iss") == a.url && !answer.Has("code")
}

func swapCase(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		}
		return r
	}, text)
}
