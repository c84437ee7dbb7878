package acceptance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// T18. JSON that two readers could take for different things is refused: where callers send it, and
// where the gateway reads what an IdP says.
func jsonStrictness(a *attempt) {
	vectors := readVectors(a, "../../internal/door/sqlapi/testdata/json_strictness.tsv")
	held := a.connect(a, "alice", a.phone, a.scope)
	for path, member := range map[string]string{"/v1/query": "query", "/v1/statements": "sql"} {
		post := func(body string) reply {
			return a.do(a, http.MethodPost, a.url+path, merge(bearer(held.Access), http.Header{"Content-Type": {"application/json"}}), body)
		}
		good := fmt.Sprintf(`{"%s":"select 1"}`, member)
		got := post(good)
		a.check(got.status == http.StatusOK, "%s with %s: %s", path, good, got)
		for _, fields := range vectors {
			body := shaped(fields[0], member, `"select 1"`, `"select 2"`)
			got := post(body)
			a.check(got.status == http.StatusBadRequest, "%s with %s (%s): %s", path, body, fields[1], got)
		}
		for _, body := range []string{`[` + good + `]`, good + good, `{"` + member + `":"select 1","unknown":1}`, "\xef\xbb\xbf" + good, `{"` + member + `":"\xff"}`, `{"` + member + `":"select 1",}`, `{'` + member + `':'select 1'}`, `null`, ``, `{"\u212aey":1,"` + member + `":"select 1"}`, `{"` + member + `":"select 1","Warehouse":"x"}`} {
			got := post(body)
			a.check(got.status == http.StatusBadRequest, "%s with %s: %s", path, body, got)
		}
	}
	if a.world != nil {
		a.upstreamReplies(vectors)
	}
}

// shaped turns a vector about "active" into one about another member: its true is good, and its
// false is other.
func shaped(vector, member, good, other string) string {
	capital := strings.ToUpper(member[:1]) + member[1:]
	return strings.NewReplacer("active", member, "Active", capital, "true", good, "false", other).Replace(vector)
}

// upstreamReplies puts the shapes of the vectors into each document that a sign-in reads. The
// changed document comes at the first sign-in at an IdP, before the gateway could keep a good one.
func (a *attempt) upstreamReplies(vectors [][]string) {
	a.Helper()
	type place struct {
		name, member string
		spoil        func(u *upstream, member string, spoil func([]byte) []byte)
	}
	places := []place{
		{"discovery", "issuer", spoilDiscovery},
		{"discovery", "token_endpoint", spoilDiscovery},
		{"discovery", "jwks_uri", spoilDiscovery},
		{"the key set", "keys", spoilKeys},
		{"the token answer", "id_token", spoilToken},
		{"the token answer", "access_token", spoilToken},
		{"the ID token", "sub", spoilClaims},
		{"the ID token", "iss", spoilClaims},
	}
	var upstreams []*upstream
	var whats []string
	for _, fields := range vectors {
		for _, at := range places {
			u := newUpstream(a)
			at.spoil(u, at.member, func(document []byte) []byte { return spoiled(fields[0], at.member, document) })
			upstreams, whats = append(upstreams, u), append(whats, fmt.Sprintf("%s of %s: %s", at.member, at.name, fields[1]))
		}
	}
	// Rewriting a document without spoiling it must not be what is refused.
	for _, at := range places {
		u := newUpstream(a)
		at.spoil(u, at.member, func(document []byte) []byte { return spoiled(`{"active":true}`, at.member, document) })
		upstreams, whats = append(upstreams, u), append(whats, fmt.Sprintf("%s of %s: good", at.member, at.name))
	}
	l := a.labOf(upstreams)
	for i, u := range upstreams {
		in, got := l.signsInAt(fmt.Sprint("idp-", i), u)
		a.check(in == strings.HasSuffix(whats[i], ": good"), "%s: signed in is %v: %s", whats[i], in, got)
	}
}

func spoilDiscovery(u *upstream, _ string, spoil func([]byte) []byte) {
	u.discovery = func(document map[string]any) []byte { return spoil(encoded(document)) }
}

func spoilKeys(u *upstream, _ string, spoil func([]byte) []byte) { u.keys = spoil }

func spoilToken(u *upstream, _ string, spoil func([]byte) []byte) {
	u.token = func(id string) []byte {
		return spoil(encoded(map[string]any{"access_token": upstreamAccess, "token_type": "Bearer", "expires_in": 300, "id_token": id}))
	}
}

func spoilClaims(u *upstream, _ string, spoil func([]byte) []byte) {
	u.idToken = func(nonce string) string { return u.sign(rs256(), spoil(encoded(u.claims(nonce)))) }
}

// spoiled gives a document's member the shape of a vector, and leaves the others as they are.
func spoiled(shape, member string, document []byte) []byte {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(document, &members); err != nil {
		return document
	}
	good := string(members[member])
	delete(members, member)
	rest := bytes.TrimSuffix(bytes.TrimPrefix(encoded(members), []byte("{")), []byte("}"))
	changed := shaped(shape, member, good, `"other"`)
	end := strings.LastIndex(changed, "}")
	separator := ","
	if strings.TrimSpace(changed[:end]) == "{" || len(rest) == 0 {
		separator = ""
	}
	return []byte(changed[:end] + separator + string(rest) + changed[end:])
}

// A trap is a listener that counts who connects.
type trap struct {
	listener net.Listener
	hits     atomic.Int64
	group    sync.WaitGroup
}

func (a *attempt) trap() *trap {
	a.Helper()
	t := &trap{listener: listen(a)}
	t.group.Go(func() {
		for {
			connection, err := t.listener.Accept()
			if err != nil {
				return
			}
			t.hits.Add(1)
			_ = connection.Close()
		}
	})
	a.Cleanup(func() {
		_ = t.listener.Close()
		t.group.Wait()
	})
	return t
}

// T13. The gateway connects to no address that a caller gives. It has no client id documents and no
// registration, so the addresses that others give are parameters, and what an IdP's documents say.
func outboundRequests(a *attempt) {
	t := a.trap()
	port := portOf(t.listener)
	addresses := []string{fmt.Sprintf("http://127.0.0.1:%d/x", port), fmt.Sprintf("https://127.0.0.1:%d/x", port), fmt.Sprintf("http://localhost:%d/x", port), fmt.Sprintf("http://[::ffff:127.0.0.1]:%d/x", port), fmt.Sprintf("//127.0.0.1:%d/x", port)}
	signedIn := a.signedIn(a, "alice")
	for _, address := range addresses {
		for _, name := range []string{"client_id", "redirect_uri", "request_uri", "request", "registration", "resource", "logo_uri", "jwks_uri", "sector_identifier_uri", "client_uri", "id_token_hint", "claims", "scope", "iss"} {
			query := with(a.ask(a.phone, a.scope).query, name, address)
			for _, header := range []http.Header{nil, signedIn} {
				a.do(a, http.MethodGet, a.url+"/oauth2/authorize?"+query.Encode(), header, "")
			}
			a.token(a, with(a.ask(a.phone, a.scope).redemption("x"), name, address))
			a.check(t.hits.Load() == 0, "%s=%s makes the gateway connect to it", name, address)
		}
		for _, path := range []string{"/oauth2/register", "/register", "/oauth2/par"} {
			got := a.do(a, http.MethodPost, a.url+path, http.Header{"Content-Type": {"application/json"}}, `{"redirect_uris":["`+address+`"],"jwks_uri":"`+address+`","logo_uri":"`+address+`"}`)
			a.check(got.status == http.StatusNotFound && t.hits.Load() == 0, "POST %s: %s", path, got)
		}
	}
	if a.world == nil {
		return
	}
	a.redirectedDocuments(t)
	a.plainAddresses()
}

// redirectedDocuments has an IdP redirect each of its documents to the trap, name the trap in a
// token's header, and give it as issuer.
func (a *attempt) redirectedDocuments(t *trap) {
	a.Helper()
	address := fmt.Sprintf("http://127.0.0.1:%d/x", portOf(t.listener))
	var upstreams []*upstream
	var whats []string
	for _, path := range []string{"/.well-known/openid-configuration", "/keys", "/token"} {
		u := newUpstream(a)
		u.redirect[path] = address
		upstreams, whats = append(upstreams, u), append(whats, path+" redirects")
	}
	for _, name := range []string{"jku", "x5u"} {
		u := newUpstream(a)
		u.idToken = func(nonce string) string {
			return u.sign(changed(rs256(), map[string]any{name: address, "kid": "other"}), encoded(u.claims(nonce)))
		}
		upstreams, whats = append(upstreams, u), append(whats, "a token with "+name)
	}
	l := a.labOf(upstreams)
	for i, u := range upstreams {
		in, got := l.signsInAt(fmt.Sprint("idp-", i), u)
		a.check(!in && t.hits.Load() == 0, "%s: %d connections, %s", whats[i], t.hits.Load(), got)
	}
}

// plainAddresses has IdPs give special addresses for their endpoints, by http: each is refused at
// once, before anybody connects. By https an IdP may be anywhere: a company's own is often inside.
func (a *attempt) plainAddresses() {
	a.Helper()
	var upstreams []*upstream
	var whats []string
	for _, fields := range readVectors(a, "testdata/ssrf_addresses.txt") {
		host := strings.TrimPrefix(fields[0], "!")
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		if host == "127.0.0.1" || host == "[::1]" {
			continue // where http is allowed, for development
		}
		for _, name := range []string{"token_endpoint", "jwks_uri"} {
			u := newUpstream(a)
			u.discovery = func(document map[string]any) []byte {
				document[name] = "http://" + host + "/x"
				return encoded(document)
			}
			upstreams, whats = append(upstreams, u), append(whats, name+" at "+host)
		}
	}
	l := a.labOf(upstreams)
	for i, u := range upstreams {
		started := time.Now()
		in, got := l.signsInAt(fmt.Sprint("idp-", i), u)
		a.check(!in && got.status == http.StatusServiceUnavailable && time.Since(started) < 5*time.Second, "%s: %s", whats[i], got)
	}
}
