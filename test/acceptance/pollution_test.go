package acceptance

import (
	"net/http"
	"net/url"
	"strings"
)

// T19. A parameter that comes twice, or in the query where the body belongs, is refused: two
// readers of such a request could act on different values.
func parameterPollution(a *attempt) {
	a.polluteAuthorize()
	a.polluteToken()
	held := a.connect(a, "alice", a.phone, a.scope)
	a.polluteForm("/oauth2/token", a.phone.refresh(held.Refresh))
	a.polluteForm("/oauth2/revoke", a.phone.sign(url.Values{"token": {held.Refresh}, "token_type_hint": {"refresh_token"}}))
	a.check(a.works(a, a.url, held.Access), "a polluted revocation was done")
	for what, got := range map[string]reply{
		"a token in the query":                a.do(a, http.MethodGet, a.url+"/v1/warehouses?access_token="+held.Access, nil, ""),
		"a token in the form":                 a.do(a, http.MethodPost, a.url+"/v1/query", formHeader, url.Values{"access_token": {held.Access}, "query": {"select 1"}}.Encode()),
		"a token in header and query":         a.do(a, http.MethodGet, a.url+"/v1/warehouses?access_token="+held.Access, bearer(held.Access), ""),
		"two Authorization headers":           a.do(a, http.MethodGet, a.url+"/v1/warehouses", http.Header{"Authorization": {"Bearer " + held.Access, "Bearer " + held.Access}}, ""),
		"wait twice at a statement":           a.do(a, http.MethodGet, a.url+"/v1/statements/stm_0?wait=0s&wait=1s", bearer(held.Access), ""),
		"an upstream's answer with two codes": a.do(a, http.MethodGet, a.url+"/signin/callback/twin?code=a&code=b&state=c", nil, ""),
	} {
		a.check(got.status/100 == 4, "%s: %s", what, got)
	}
	got := a.token(a, a.phone.refresh(held.Refresh))
	a.check(got.status == http.StatusOK, "the refresh token after all that: %s", got)
}

// polluteAuthorize repeats each parameter, with another value, the same, and none.
func (a *attempt) polluteAuthorize() {
	good := a.ask(a.phone, a.scope).query
	good.Set("nonce", "n")
	good.Set("prompt", "consent")
	good.Set("max_age", "1000")
	good.Set("login_hint", "l")
	signedIn := a.signedIn(a, "alice")
	for name := range good {
		for _, second := range []string{good.Get(name), "other", ""} {
			query := good.Encode() + "&" + url.Values{name: {second}}.Encode()
			got := a.do(a, http.MethodGet, a.url+"/oauth2/authorize?"+query, nil, "")
			a.check(isErrorPage(got, ""), "%s twice, signed out: %s", name, got)
			got = a.do(a, http.MethodGet, a.url+"/oauth2/authorize?"+query, signedIn, "")
			refused := isErrorPage(got, "")
			if name != "client_id" && name != "redirect_uri" {
				refused = refused || a.toldTheApp(got, "invalid_request")
			}
			a.check(refused, "%s twice, signed in: %s", name, got)
		}
	}
}

func (a *attempt) polluteToken() {
	q := a.ask(a.phone, a.scope)
	form := q.redemption(a.code(a, "alice", q))
	a.polluteForm("/oauth2/token", form)
	got := a.token(a, form)
	a.check(got.status == http.StatusOK, "the code after all that: %s", got)
}

// polluteForm repeats each parameter of a form, moves it to the query, and changes the type.
func (a *attempt) polluteForm(path string, form url.Values) {
	a.Helper()
	post := func(query, contentType, body string) reply {
		return a.do(a, http.MethodPost, a.url+path+query, http.Header{"Content-Type": {contentType}}, body)
	}
	refuses := func(what string, got reply) {
		a.Helper()
		a.check(got.status/100 == 4 && got.Access == "", "%s: %s: %s", path, what, got)
	}
	const formType = "application/x-www-form-urlencoded"
	for name := range form {
		refuses(name+" twice", post("", formType, form.Encode()+"&"+url.Values{name: {form.Get(name)}}.Encode()))
		refuses(name+" twice, once empty", post("", formType, form.Encode()+"&"+name+"="))
		refuses(name+" in the query too", post("?"+url.Values{name: {form.Get(name)}}.Encode(), formType, form.Encode()))
		refuses(name+" in the query only", post("?"+url.Values{name: {form.Get(name)}}.Encode(), formType, with(form, name, "").Encode()))
	}
	refuses("all in the query", post("?"+form.Encode(), formType, ""))
	refuses("by GET", a.do(a, http.MethodGet, a.url+path+"?"+form.Encode(), nil, ""))
	refuses("another type", post("", "text/plain", form.Encode()))
	refuses("no type", post("", "", form.Encode()))
	refuses("as JSON", post("", "application/json", `{"grant_type":"refresh_token"}`))
	refuses("semicolons for ampersands", post("", formType, strings.ReplaceAll(form.Encode(), "&", ";")))
}
