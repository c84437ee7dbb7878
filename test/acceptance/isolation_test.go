package acceptance

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// T22. An id is worth nothing to anybody but the person and the app that it was given to: the
// answer is the same 404 as for an id that never was. A gateway serves one tenant, so these are
// people and apps of one, and a second gateway with a store of its own.
func isolation(a *attempt) {
	const scope = "sql:read sql:write warehouse:slow offline_access"
	owner := a.connect(a, "alice", a.phone, scope)
	strangers := map[string]string{
		"another person":                       a.connect(a, "bob", a.phone, scope).Access,
		"another person at another app":        a.connect(a, "bob", a.tablet, scope).Access,
		"the same person at another app":       a.connect(a, "alice", a.tablet, scope).Access,
		"an administrator of the warehouse":    a.connect(a, "admin", a.phone, scope).Access,
		"the same person's other connection":   a.connect(a, "alice", a.phone, scope).Access,
		"the same person on another warehouse": a.connect(a, "alice", a.phone, a.scope).Access,
	}
	path, begun := a.submit(a.url, owner.Access, "slow", endless("isolation"))
	if begun.status != http.StatusAccepted {
		a.Fatalf("submit: %s", begun)
	}
	never := a.do(a, http.MethodGet, a.url+"/v1/statements/st_0000000000000000000000", bearer(owner.Access), "")
	var group sync.WaitGroup
	for range long(3, 20) {
		for what, token := range strangers {
			for _, route := range []string{"GET ", "GET /rows", "POST /cancel"} {
				for _, replica := range a.replicas() {
					method, suffix, _ := strings.Cut(route, " ")
					group.Go(func() {
						got, err := a.send(a.Context(), method, replica+path+suffix, bearer(token), "")
						a.mu.Lock()
						defer a.mu.Unlock()
						a.check(err == nil && got.status == http.StatusNotFound && sameProblem(got, never), "%s by %s: %s, %v", route, what, got, err)
					})
				}
			}
		}
	}
	group.Wait()
	a.check(a.running("isolation") == 1, "somebody else has cancelled the statement")
	got := a.do(a, http.MethodPost, a.url+path+"/cancel", bearer(owner.Access), "")
	a.check(got.status/100 == 2, "its owner cancels it: %s", got)
	a.sameNames(owner.Access, strangers)
	a.forms()
	foreign := a.foreignToken()
	for _, replica := range a.replicas() {
		a.check(!a.works(a, replica, foreign), "a token of a gateway with another store works")
	}
}

// sameProblem compares all but the request id.
func sameProblem(one, other reply) bool {
	var problems [2]map[string]any
	if json.Unmarshal([]byte(one.body), &problems[0]) != nil || json.Unmarshal([]byte(other.body), &problems[1]) != nil {
		return false
	}
	return problems[0]["type"] == problems[1]["type"] && problems[0]["detail"] == problems[1]["detail"] && problems[0]["title"] == problems[1]["title"]
}

// sameNames gives statements of several people the same request_id: each gets their own.
func (a *attempt) sameNames(owner string, strangers map[string]string) {
	a.Helper()
	ask := func(token string) reply {
		header := merge(bearer(token), http.Header{"Content-Type": {"application/json"}})
		return a.do(a, http.MethodPost, a.url+"/v1/statements", header, `{"sql": "select current_user", "request_id": "shared", "warehouse": "slow"}`)
	}
	first := ask(owner)
	a.check(first.status == http.StatusOK && strings.Contains(first.body, "alice"), "a statement with a request_id: %s", first)
	for what, token := range strangers {
		if what == "the same person on another warehouse" {
			continue
		}
		got := ask(token)
		own := strings.Contains(got.body, `"alice"`) == strings.HasPrefix(what, "the same person")
		a.check(got.status == http.StatusOK && own && statementID(got) != statementID(first), "the request_id of somebody else, by %s: %s", what, got)
	}
}

func statementID(got reply) string {
	var document struct {
		ID string `json:"statement_id"`
	}
	_ = json.Unmarshal([]byte(got.body), &document) // no id is another id
	return document.ID
}

// forms posts the sealed forms of one person's pages with another's session, and without any.
func (a *attempt) forms() {
	a.Helper()
	alice, bob := a.signedIn(a, "alice"), a.signedIn(a, "bob")
	held := a.connect(a, "alice", a.phone, a.scope)
	page := a.do(a, http.MethodGet, a.url+"/connections", alice, "")
	consent := a.do(a, http.MethodGet, a.ask(a.phone, a.scope).url(a.target), alice, "")
	same := http.Header{"Origin": {a.url}, "Sec-Fetch-Site": {"same-origin"}}
	cross := http.Header{"Origin": {"https://evil.example"}, "Sec-Fetch-Site": {"cross-site"}}
	sealed := map[string]string{}
	for _, form := range sealedForms(page.body) {
		sealed[form] = "/connections"
	}
	for _, form := range sealedForms(consent.body) {
		sealed[form] = "/oauth2/authorize/decision"
	}
	if len(sealed) < 2 {
		a.Fatalf("pages have %d forms: %s", len(sealed), consent)
	}
	for form, path := range sealed {
		body := url.Values{"request": {form}, "decision": {"allow"}}.Encode()
		for what, header := range map[string]http.Header{
			"with another's session": merge(bob, same, formHeader), "without a session": merge(same, formHeader), "from another site": merge(alice, cross, formHeader),
		} {
			got := a.do(a, http.MethodPost, a.url+path, header, body)
			a.check(got.status/100 == 4 && got.header.Get("Location") == "", "%s %s: %s", path, what, got)
		}
		got := a.do(a, http.MethodPost, a.url+path, merge(alice, same, formHeader), url.Values{"request": {swapCase(form)}, "decision": {"allow"}}.Encode())
		a.check(got.status/100 == 4, "%s with a changed form: %s", path, got)
		other := "/connections"
		if path == other {
			other = "/oauth2/authorize/decision"
		}
		got = a.do(a, http.MethodPost, a.url+other, merge(alice, same, formHeader), body)
		a.check(got.status/100 == 4, "a form of %s at %s: %s", path, other, got)
	}
	a.check(a.works(a, a.url, held.Access), "somebody's connection was ended by others")
}
