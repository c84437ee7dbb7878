package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// T12. What is taken away is refused by every replica within a second, and what runs is cancelled
// within five.
func revocationReaches(a *attempt) {
	one := a.world.gateways[0]
	output, err := one.admin(a, "apps", "add", "guest", "--public", "--redirect", loopbackRedirect)
	if err != nil {
		a.Fatal(output)
	}
	guest := client{id: "guest", redirect: loopbackRedirect}
	operator := func(arguments ...string) func(reply) {
		return func(reply) {
			if output, err := one.admin(a, arguments...); err != nil {
				a.Errorf("%v: %s", arguments, output)
			}
		}
	}
	for what, c := range map[string]struct {
		app    client
		revoke func(held reply)
		after  func(held reply)
	}{
		"person disabled":            {a.phone, operator("people", "disable", "bob"), operator("people", "enable", "bob")},
		"grants revoked by operator": {a.phone, operator("grants", "revoke", "--person", "bob"), nil},
		"consent taken back":         {a.tablet, func(reply) { a.disconnect("bob") }, nil},
		"refresh token revoked":      {a.phone, func(held reply) { a.post(a, "/oauth2/revoke", a.phone.sign(url.Values{"token": {held.Refresh}})) }, nil},
		"access token revoked":       {a.phone, func(held reply) { a.post(a, "/oauth2/revoke", a.phone.sign(url.Values{"token": {held.Access}})) }, nil},
		"app removed":                {guest, operator("apps", "remove", "guest"), nil},
	} {
		held := a.connect(a, "bob", c.app, a.scope)
		mark := "acceptance_" + strings.ReplaceAll(what, " ", "_")
		ended := make(chan reply, 2)
		for _, replica := range a.replicas() {
			go func() {
				// The error of a request that is cut short is an end, too.
				got, _ := a.query(context.WithoutCancel(a.Context()), replica, held.Access, endless(mark))
				ended <- got
			}()
		}
		if !a.within(10*time.Second, func() bool { return a.running(mark) == 2 }) {
			a.Fatalf("%s: %d of 2 statements run", what, a.running(mark))
		}
		for _, replica := range a.replicas() {
			a.check(a.works(a, replica, held.Access), "%s: the token does not work before", what)
		}
		started := time.Now()
		c.revoke(held)
		done := time.Now()
		for _, replica := range a.replicas() {
			dead := a.within(bar(time.Second), func() bool { return !a.works(a, replica, held.Access) })
			a.check(dead, "%s: a replica takes the token after %s", what, time.Since(done))
		}
		if what != "access token revoked" {
			got := a.token(a, c.app.refresh(held.Refresh))
			a.check(got.status/100 == 4 && got.Access == "", "%s: refresh: %s", what, got)
		}
		a.check(a.within(time.Until(started.Add(bar(5*time.Second))), func() bool { return a.running(mark) == 0 }), "%s: %d statements run after five seconds", what, a.running(mark))
		for range a.replicas() {
			got := <-ended
			a.check(got.status != http.StatusOK, "%s: a cancelled statement ended with %s", what, got)
		}
		if c.after != nil {
			c.after(held)
		}
	}
}

// endless runs until somebody stops it, and mark is what to find it by.
func endless(mark string) string {
	return "select count(*) as " + mark + " from tickit.sales a, tickit.sales b, tickit.sales c"
}

// running counts what the database itself says that it runs with a mark.
func (a *attempt) running(mark string) int {
	a.Helper()
	var count int
	a.must(a.world.superuser(a).QueryRow(context.Background(),
		"select count(*) from pg_stat_activity where state = 'active' and pid <> pg_backend_pid() and query like '%as ' || $1 || ' from%'", mark).Scan(&count))
	return count
}

// query posts a statement in the short form.
func (g *target) query(ctx context.Context, replica, token, sql string) (reply, error) {
	header := bearer(token)
	header.Set("Content-Type", "application/sql")
	return g.send(ctx, http.MethodPost, replica+"/v1/query", header, sql)
}

// submit begins a statement that outlives its request, and gives its path.
func (a *attempt) submit(replica, token, warehouse, sql string) (path string, got reply) {
	a.Helper()
	body, err := json.Marshal(map[string]string{"sql": sql, "wait": "0s", "warehouse": warehouse})
	a.must(err)
	header := bearer(token)
	header.Set("Content-Type", "application/json")
	got = a.do(a, http.MethodPost, replica+"/v1/statements", header, string(body))
	var document struct {
		ID string `json:"statement_id"`
	}
	a.must(json.Unmarshal([]byte(got.body), &document))
	return "/v1/statements/" + document.ID, got
}

// disconnect presses the buttons of the page of connected apps.
func (a *attempt) disconnect(name string) {
	a.Helper()
	signedIn := a.signedIn(a, name)
	page := a.do(a, http.MethodGet, a.url+"/connections", signedIn, "")
	forms := sealedForms(page.body)
	if len(forms) == 0 {
		a.Fatalf("no app is connected: %s", page)
	}
	header := merge(signedIn, formHeader, http.Header{"Origin": {a.url}, "Sec-Fetch-Site": {"same-origin"}})
	for _, form := range forms {
		got := a.do(a, http.MethodPost, a.url+"/connections", header, url.Values{"request": {form}}.Encode())
		if got.status != http.StatusOK {
			a.Fatalf("disconnect: %s", got)
		}
	}
}

// sealedForms are the sealed fields of a page's forms.
func sealedForms(page string) []string {
	var found []string
	for _, piece := range strings.Split(page, `name="request" value="`)[1:] {
		value, _, _ := strings.Cut(piece, `"`)
		found = append(found, value)
	}
	return found
}

// T17. Nobody revokes what is another's, an answer says nothing of tokens that are not the asker's,
// and a store that cannot tell is never a success.
func revocationEndpoint(a *attempt) {
	held := a.connect(a, "alice", a.phone, a.scope)
	revoke := func(form url.Values) reply { return a.post(a, "/oauth2/revoke", form) }
	for what, form := range map[string]url.Values{
		"nobody":                     {"token": {held.Access}},
		"an app that does not exist": {"token": {held.Access}, "client_id": {"nobody"}},
		"a public app with a secret": {"token": {held.Access}, "client_id": {a.phone.id}, "client_secret": {"x"}},
	} {
		got := revoke(form)
		a.check(got.status == http.StatusUnauthorized && got.header.Get("WWW-Authenticate") != "", "%s revokes: %s", what, got)
		a.check(a.works(a, a.url, held.Access), "%s has revoked the token", what)
	}
	if a.portal.id != "" {
		got := revoke(url.Values{"token": {held.Access}, "client_id": {a.portal.id}})
		a.check(got.status == http.StatusUnauthorized, "a confidential app without its secret revokes: %s", got)
	}
	foreign := revoke(a.tablet.sign(url.Values{"token": {held.Access}}))
	a.check(foreign.status == http.StatusBadRequest && a.works(a, a.url, held.Access), "another app revokes: %s", foreign)
	for what, token := range map[string]string{"made up": wellFormed("sg_at_"), "junk": "x", "of another kind": wellFormed("sg_cs_"), "made up, refresh": wellFormed("sg_rt_")} {
		got := revoke(a.phone.sign(url.Values{"token": {token}}))
		a.check(got.status == http.StatusOK && got.body == "", "a token that is %s: %s", what, got)
	}
	for _, path := range []string{"/oauth2/introspect", "/oauth2/introspection"} {
		got := a.post(a, path, a.phone.sign(url.Values{"token": {held.Access}}))
		a.check(got.status == http.StatusNotFound && !strings.Contains(got.body, "active"), "introspection, which there is not: %s", got)
	}
	if a.world != nil {
		a.revokeWithoutStore(held)
	}
	got := revoke(a.phone.sign(url.Values{"token": {held.Access}, "token_type_hint": {"refresh_token"}}))
	a.check(got.status == http.StatusOK && a.isDead(held.Access), "the app revokes its access token, with a wrong hint: %s", got)
	got = revoke(a.phone.sign(url.Values{"token": {held.Refresh}}))
	refreshed := a.token(a, a.phone.refresh(held.Refresh))
	a.check(got.status == http.StatusOK && refreshed.Error == "invalid_grant", "the app revokes its refresh token: %s, then %s", got, refreshed)
}

func (a *attempt) revokeWithoutStore(held reply) {
	a.Helper()
	a.world.link.setCut(true)
	for kind, token := range map[string]string{"access": held.Access, "refresh": held.Refresh} {
		got := a.post(a, "/oauth2/revoke", a.phone.sign(url.Values{"token": {token}}))
		a.check(got.status == http.StatusServiceUnavailable && got.header.Get("Retry-After") != "", "revoke the %s token while the store is down: %s", kind, got)
	}
	a.world.mend(a)
	for _, replica := range a.replicas() {
		a.check(a.works(a, replica, held.Access), "a revocation that was answered with 503 was done: %s", fmt.Sprint(replica))
	}
}
