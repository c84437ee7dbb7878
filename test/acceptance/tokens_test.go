package acceptance

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
)

// T23. A token is good as it was given, and in no other spelling. What is none by its checksum
// costs no look-up.
func tokenMutations(a *attempt) {
	held := a.connect(a, "alice", a.phone, a.scope)
	q := a.ask(a.phone, a.scope)
	code := a.code(a, "alice", q)
	lookups := a.countLookups(func() {
		for _, mutated := range mutatedTokens(held.Access) {
			got := a.do(a, http.MethodGet, a.url+"/v1/warehouses", bearer(mutated), "")
			a.check(got.status == http.StatusUnauthorized && got.header.Get("WWW-Authenticate") != "", "%q for an access token: %s", mutated, got)
		}
		for _, mutated := range mutatedTokens(held.Refresh) {
			got := a.token(a, a.phone.refresh(mutated))
			a.check(got.status == http.StatusBadRequest && got.Refresh == "", "%q for a refresh token: %s", mutated, got)
		}
		for _, mutated := range mutatedTokens(code) {
			got := a.token(a, with(q.redemption(code), "code", mutated))
			a.check(got.status == http.StatusBadRequest && got.Access == "", "%q for a code: %s", mutated, got)
		}
	})
	if a.world != nil {
		a.check(lookups == 0, "the store was asked %d times about what is no token", lookups)
	}
	lookups = a.countLookups(func() {
		for range 20 {
			got := a.do(a, http.MethodGet, a.url+"/v1/warehouses", bearer(wellFormed("sg_at_")), "")
			a.check(got.status == http.StatusUnauthorized, "a made-up access token: %s", got)
			got = a.token(a, a.phone.refresh(wellFormed("sg_rt_")))
			a.check(got.Error == "invalid_grant", "a made-up refresh token: %s", got)
			got = a.token(a, q.redemption(wellFormed("sg_ac_")))
			a.check(got.Error == "invalid_grant", "a made-up code: %s", got)
		}
	})
	if a.world != nil {
		a.check(lookups >= 60, "only %d look-ups of 60 well-formed tokens were seen: the counter does not work", lookups)
	}
	a.check(a.works(a, a.url, held.Access), "the access token itself does not work")
	got := a.token(a, q.redemption(code))
	a.check(got.status == http.StatusOK, "the code itself: %s", got)
	got = a.token(a, a.phone.refresh(held.Refresh))
	a.check(got.status == http.StatusOK, "the refresh token itself: %s", got)
}

// mutatedTokens are all that differ a little: each prefix, each character, letters, spaces.
func mutatedTokens(token string) []string {
	var mutated []string
	for i := range token {
		mutated = append(mutated, token[:i], token[:i]+token[i+1:], token[:i]+string(token[i]^1)+token[i+1:], token[:i]+swapCase(token[i:i+1])+token[i+1:])
	}
	mutated = append(
		mutated, token+"0", token+token, "0"+token, token+"=", token+"%00", strings.ToLower(token), strings.ToUpper(token), swapCase(token),
		"sg_at_"+token[6:]+"x", "sg_rt_"+token[6:len(token)-1], strings.Replace(token, "_", "-", 1), token[6:], "Bearer "+token, token+","+token, strings.Repeat("A", 5000),
	)
	unlike := mutated[:0]
	for _, m := range mutated {
		if m != token && strings.TrimSpace(m) == m {
			unlike = append(unlike, m)
		}
	}
	return unlike
}

// countLookups counts the queries about tokens that go to the database.
func (a *attempt) countLookups(do func()) int64 {
	a.Helper()
	if a.world == nil {
		do()
		return 0
	}
	var count atomic.Int64
	a.world.link.watch(func(piece []byte) {
		for _, table := range []string{"FROM access_tokens", "FROM refresh_tokens", "FROM codes"} {
			if bytes.Contains(piece, []byte(table)) && !bytes.Contains(piece, []byte("UNION ALL")) && !bytes.Contains(piece, []byte("DELETE")) {
				count.Add(int64(bytes.Count(piece, []byte(table))))
			}
		}
	})
	defer a.world.link.watch(nil)
	do()
	return count.Load()
}

// T14. Every route, with everything that is no right to it, refuses; and each scope opens what it
// names and nothing else.
func accessMatrix(a *attempt) {
	reading := a.connect(a, "alice", a.phone, a.scope)
	naming := a.connect(a, "alice", a.phone, "openid "+a.scope)
	code := a.code(a, "alice", a.ask(a.phone, a.scope))
	wrong := map[string]http.Header{
		"no token":            {},
		"an empty token":      {"Authorization": {"Bearer "}},
		"a refresh token":     bearer(reading.Refresh),
		"a code":              bearer(code),
		"an ID token":         bearer(naming.ID),
		"a client secret":     bearer(wellFormed("sg_cs_")),
		"a made-up token":     bearer(wellFormed("sg_at_")),
		"another scheme":      {"Authorization": {"Basic " + reading.Access}},
		"no scheme":           {"Authorization": {reading.Access}},
		"DPoP":                {"Authorization": {"DPoP " + reading.Access}},
		"a cookie":            {"Cookie": {"access_token=" + reading.Access}},
		"another header":      {"X-Access-Token": {reading.Access}},
		"a browser's session": a.signedIn(a, "alice"),
	}
	if a.world != nil {
		wrong["a token of another issuer"] = bearer(a.foreignToken())
	}
	for _, route := range doors {
		for what, header := range wrong {
			got := a.door(route, header)
			challenge := got.header.Get("WWW-Authenticate")
			a.check(got.status == http.StatusUnauthorized && strings.HasPrefix(challenge, "Bearer ") && strings.Contains(challenge, "resource_metadata="), "%s with %s: %s", route, what, got)
		}
		a.Logf("%-40s refuses %d credentials", route, len(wrong))
	}
	a.scopes(reading, naming)
	a.resources()
}

// doors are the routes that take an access token.
var doors = []string{
	"POST /v1/query", "POST /v1/statements", "GET /v1/statements/st_0", "GET /v1/statements/st_0/rows", "POST /v1/statements/st_0/cancel", "GET /v1/warehouses",
	"GET /oauth2/userinfo", "POST /oauth2/userinfo",
}

func (a *attempt) door(route string, header http.Header) reply {
	a.Helper()
	method, path, _ := strings.Cut(route, " ")
	body := ""
	if method == http.MethodPost && strings.HasPrefix(path, "/v1/") && !strings.HasSuffix(path, "cancel") {
		body = "select 1"
		header = merge(header, http.Header{"Content-Type": {"application/sql"}})
	}
	return a.do(a, method, a.url+path, header, body)
}

func (a *attempt) scopes(reading, naming reply) {
	a.Helper()
	sql := func(token, statement string) reply {
		got, err := a.query(a.Context(), a.url, token, statement)
		a.must(err)
		return got
	}
	refused := func(what string, got reply, wants string) {
		a.Helper()
		challenge := got.header.Get("WWW-Authenticate")
		a.check(got.status == http.StatusForbidden && strings.Contains(challenge, `error="insufficient_scope"`) && strings.Contains(challenge, wants), "%s: %s %s", what, got, challenge)
	}
	refused("userinfo without openid", a.door("GET /oauth2/userinfo", bearer(reading.Access)), "openid")
	refused("writing with sql:read", sql(reading.Access, "create table x (a int)"), "sql:write")
	elsewhere := a.elsewhere(reading.Access, "slow")
	a.check(elsewhere.status == http.StatusForbidden || elsewhere.status == http.StatusNotFound, "another warehouse than the grant's: %s", elsewhere)
	for scope, expect := range map[string]bool{a.scope: true, "openid offline_access": false, "openid": false} {
		narrowed := a.token(a, with(a.phone.refresh(a.connect(a, "alice", a.phone, "openid "+a.scope).Refresh), "scope", scope))
		got := sql(narrowed.Access, "select 1")
		a.check((got.status == http.StatusOK) == expect, "select with scope %q: %s", scope, got)
	}
	got := a.door("GET /oauth2/userinfo", bearer(naming.Access))
	a.check(got.status == http.StatusOK && !strings.Contains(got.body, "alice"), "userinfo with openid alone tells more than sub: %s", got)
}

func (a *attempt) elsewhere(token, warehouse string) reply {
	a.Helper()
	got, err := a.elsewhereAt(a.url, token, warehouse, "select 1")
	a.must(err)
	return got
}

// elsewhereAt names a warehouse in the request.
func (g *target) elsewhereAt(replica, token, warehouse, sql string) (reply, error) {
	header := merge(bearer(token), http.Header{"Content-Type": {"application/json"}})
	return g.send(context.Background(), http.MethodPost, replica+"/v1/query", header, `{"query": "`+sql+`", "warehouse": "`+warehouse+`"}`)
}

// resources asks for tokens that would be for somebody else (RFC 8707).
func (a *attempt) resources() {
	a.Helper()
	signedIn := a.signedIn(a, "alice")
	for _, resource := range []string{"https://evil.example/", a.url + "/x", a.url + "/v1", strings.ToUpper(a.url), "x"} {
		query := with(a.ask(a.phone, a.scope).query, "resource", resource)
		got := a.do(a, http.MethodGet, a.url+"/oauth2/authorize?"+query.Encode(), signedIn, "")
		a.check(a.toldTheApp(got, "invalid_target"), "a code for the resource %s: %s", resource, got)
		held := a.connect(a, "alice", a.phone, a.scope)
		got = a.token(a, with(a.phone.refresh(held.Refresh), "resource", resource))
		a.check(got.Error == "invalid_target", "a token for the resource %s: %s", resource, got)
	}
	got := a.token(a, url.Values{"grant_type": {"client_credentials"}, "client_id": {a.phone.id}})
	a.check(got.Error == "unsupported_grant_type", "client credentials: %s", got)
	got = a.token(a, url.Values{"grant_type": {"password"}, "client_id": {a.phone.id}, "username": {"alice"}, "password": {"twin"}})
	a.check(got.Error == "unsupported_grant_type", "the password grant: %s", got)
}
