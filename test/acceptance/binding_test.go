package acceptance

import (
	"net/http"
	"net/url"
)

// T04. What one app holds is worth nothing to another, with whatever client_id it comes, and the
// attempt takes nothing from its owner.
func crossClientBinding(a *attempt) {
	a.bindCode()
	a.bindRefresh()
	a.bindRevocation()
}

// bound says that a redemption by somebody else failed.
func (a *attempt) bound(what string, form url.Values) {
	a.Helper()
	got := a.token(a, form)
	a.check(got.status/100 == 4 && got.Access == "" && got.Refresh == "", "%s: %s", what, got)
}

func (a *attempt) bindCode() {
	q := a.ask(a.phone, a.scope)
	code := a.code(a, "alice", q)
	form := q.redemption(code)
	a.bound("another public app redeems the code", with(form, "client_id", a.tablet.id))
	a.bound("nobody redeems the code", with(form, "client_id", ""))
	a.bound("an app that does not exist redeems the code", with(form, "client_id", "nobody"))
	a.bound("another app redeems the code for its own redirect URI", with(with(form, "client_id", a.tablet.id), "redirect_uri", a.tablet.redirect))
	a.bound("the app gives another redirect URI", with(form, "redirect_uri", a.phone.redirect+"/x"))
	a.bound("the app gives no redirect URI", with(form, "redirect_uri", ""))
	if a.portal.id != "" {
		a.bound("a confidential app redeems the code", a.portal.sign(with(form, "client_id", "")))
		a.bound("the confidential app's secret beside the public app's id", with(form, "client_secret", a.portal.secret))
	}
	got := a.token(a, form)
	a.check(got.status == http.StatusOK && got.Access != "", "the app itself, after all that: %s", got)

	if a.portal.id == "" {
		return
	}
	q = a.ask(a.portal, a.scope)
	code = a.code(a, "alice", q)
	form = q.redemption(code)
	a.bound("a confidential app without its secret", with(form, "client_secret", ""))
	a.bound("a confidential app with a wrong secret", with(form, "client_secret", a.portal.secret+"x"))
	a.bound("a public app redeems a confidential app's code", a.phone.sign(with(form, "client_secret", "")))
	basic := http.Header{"Content-Type": formHeader["Content-Type"]}
	request := http.Request{Header: http.Header{}}
	request.SetBasicAuth(a.portal.id, a.portal.secret)
	basic["Authorization"] = request.Header["Authorization"]
	both := a.do(a, http.MethodPost, a.url+"/oauth2/token", basic, form.Encode())
	a.check(both.status/100 == 4 && both.Access == "", "two ways of client authentication: %s", both)
	other := a.do(a, http.MethodPost, a.url+"/oauth2/token", basic, with(with(form, "client_secret", ""), "client_id", a.phone.id).Encode())
	a.check(other.status/100 == 4 && other.Access == "", "another client_id beside the Authorization header: %s", other)
	got = a.token(a, form)
	a.check(got.status == http.StatusOK && got.Access != "", "the confidential app itself, after all that: %s", got)
}

func (a *attempt) bindRefresh() {
	held := a.connect(a, "alice", a.phone, a.scope)
	form := a.phone.refresh(held.Refresh)
	a.bound("another public app refreshes", with(form, "client_id", a.tablet.id))
	a.bound("nobody refreshes", with(form, "client_id", ""))
	a.bound("the access token as refresh token", with(form, "refresh_token", held.Access))
	a.bound("the refresh token as code", with(with(form, "grant_type", "authorization_code"), "code", held.Refresh))
	a.bound("a wider scope", with(form, "scope", a.scope+" sql:write"))
	if a.portal.id != "" {
		a.bound("a confidential app refreshes", a.portal.sign(with(form, "client_id", "")))
	}
	a.check(a.works(a, a.url, held.Access), "the app's access token is dead after the attempts")
	got := a.token(a, form)
	a.check(got.status == http.StatusOK && got.Refresh != "", "the app itself refreshes, after all that: %s", got)
}

func (a *attempt) bindRevocation() {
	held := a.connect(a, "alice", a.phone, a.scope)
	for what, token := range map[string]string{"access token": held.Access, "refresh token": held.Refresh} {
		got := a.post(a, "/oauth2/revoke", a.tablet.sign(url.Values{"token": {token}}))
		a.check(a.works(a, a.url, held.Access), "another app revoked the %s: %s", what, got)
	}
	got := a.token(a, a.phone.refresh(held.Refresh))
	a.check(got.status == http.StatusOK, "the app refreshes after another has tried to revoke: %s", got)
}
