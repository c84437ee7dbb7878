package acceptance

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// Secrets that our own IdP gives out, each with a word to search for.
const (
	upstreamClient  = "gateway"
	upstreamSecret  = "twin-client-secret-of-shiftgrant" // what every gateway of ours is given
	upstreamCode    = "canary-upstream-code-"
	upstreamAccess  = "canary-upstream-access-"
	upstreamRefresh = "canary-upstream-refresh-"
)

// An upstream is an IdP that does what a test wants. Left alone it is a good one, where everybody
// is alice at once and without a page.
type upstream struct {
	issuer string
	key    *rsa.PrivateKey

	person string // everybody's database user
	mu     sync.Mutex
	calls  map[string]int // by path
	nonces map[string]string
	made   int
	// Each may be replaced by a test; nil is good behaviour.
	discovery func(document map[string]any) []byte
	keys      func(document []byte) []byte
	token     func(idToken string) []byte
	idToken   func(nonce string) string
	redirect  map[string]string // from a path to elsewhere
}

// signingKey is one for all of ours: making one takes long.
var signingKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// newUpstream starts one whose person is alice, and nobody else's.
func newUpstream(t testing.TB) *upstream {
	t.Helper()
	key, err := signingKey()
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{key: key, person: "alice", calls: map[string]int{}, nonces: map[string]string{}, redirect: map[string]string{}}
	server := httptest.NewServer(u)
	t.Cleanup(server.Close)
	u.issuer = server.URL
	return u
}

// yaml configures a gateway to trust it.
func (u *upstream) yaml(name string) string {
	return fmt.Sprintf("  - {name: %s, issuer: %q, client_id: %s, client_secret: env:ACCEPTANCE_UPSTREAM, scopes: [openid, profile, email, offline_access], check_every: 1s}\n", name, u.issuer, upstreamClient)
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	defer u.mu.Unlock()
	call := r.URL.Path
	if call == "/token" && r.FormValue("grant_type") == "refresh_token" {
		call = "refresh"
	}
	u.calls[call]++
	if elsewhere := u.redirect[r.URL.Path]; elsewhere != "" {
		http.Redirect(w, r, elsewhere, http.StatusFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		_, _ = w.Write(u.discoveryDocument())
	case "/keys":
		_, _ = w.Write(u.keyDocument())
	case "/authorize":
		http.Redirect(w, r, u.answer(r.URL.Query()), http.StatusSeeOther)
	case "/token":
		_, _ = w.Write(u.tokenDocument(r.FormValue("code")))
	default:
		http.NotFound(w, r)
	}
}

// set changes its behaviour.
func (u *upstream) set(change func(*upstream)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change(u)
}

func (u *upstream) count(call string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.calls[call]
}

func (u *upstream) discoveryDocument() []byte {
	document := map[string]any{
		"issuer": u.issuer, "authorization_endpoint": u.issuer + "/authorize", "token_endpoint": u.issuer + "/token", "jwks_uri": u.issuer + "/keys",
		"authorization_response_iss_parameter_supported": true, "code_challenge_methods_supported": []string{"S256"},
	}
	if u.discovery != nil {
		return u.discovery(document)
	}
	return encoded(document)
}

func encoded(document any) []byte {
	text, err := json.Marshal(document)
	if err != nil {
		panic(err) // maps of strings
	}
	return text
}

const keyID = "key-1"

func (u *upstream) keyDocument() []byte {
	document := encoded(map[string]any{"keys": []any{jwk(&u.key.PublicKey, keyID)}})
	if u.keys != nil {
		return u.keys(document)
	}
	return document
}

func jwk(key *rsa.PublicKey, id string) map[string]any {
	return map[string]any{
		"kty": "RSA", "kid": id, "use": "sig", "alg": "RS256",
		"n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()), "e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()),
	}
}

// answer makes a code for an authorization request, and gives the address that the browser is sent to.
func (u *upstream) answer(query url.Values) string {
	u.made++
	code := fmt.Sprint(upstreamCode, u.made, "-", query.Get("state")[:8])
	u.nonces[code] = query.Get("nonce")
	return query.Get("redirect_uri") + "?" + url.Values{"code": {code}, "state": {query.Get("state")}, "iss": {u.issuer}}.Encode()
}

func (u *upstream) tokenDocument(code string) []byte {
	u.made++
	id := u.goodIDToken(u.nonces[code])
	if u.idToken != nil {
		id = u.idToken(u.nonces[code])
	}
	if u.token != nil {
		return u.token(id)
	}
	return encoded(map[string]any{
		"access_token": fmt.Sprint(upstreamAccess, u.made), "refresh_token": fmt.Sprint(upstreamRefresh, u.made), "token_type": "Bearer", "expires_in": 300, "id_token": id,
	})
}

// claims of a good ID token.
func (u *upstream) claims(nonce string) map[string]any {
	now := time.Now().Unix()
	return map[string]any{
		"iss": u.issuer, "sub": "own|" + u.person, "aud": upstreamClient, "exp": now + 300, "iat": now, "auth_time": now, "nonce": nonce,
		"name": "Alice", "preferred_username": u.person, "email": "alice@example.com", "email_verified": true,
	}
}

func (u *upstream) goodIDToken(nonce string) string {
	return u.sign(map[string]any{"alg": "RS256", "kid": keyID, "typ": "JWT"}, encoded(u.claims(nonce)))
}

// sign makes a JWS by RS256, whatever the header says.
func (u *upstream) sign(header map[string]any, claims []byte) string {
	input := signingInput(header, claims)
	hash := sha256.Sum256([]byte(input))
	signature, err := rsa.SignPKCS1v15(nil, u.key, crypto.SHA256, hash[:])
	if err != nil {
		panic(err) // the key is large enough
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func signingInput(header map[string]any, claims []byte) string {
	return base64.RawURLEncoding.EncodeToString(encoded(header)) + "." + base64.RawURLEncoding.EncodeToString(claims)
}

// changed is a copy of claims with some replaced; nil takes one away.
func changed(claims, changes map[string]any) map[string]any {
	result := maps.Clone(claims)
	for name, value := range changes {
		if value == nil {
			delete(result, name)
			continue
		}
		result[name] = value
	}
	return result
}

// A lab is a gateway of its own behind our own IdPs, for attacks on a sign-in.
type lab struct {
	*attempt
	gateway *gateway
	own     *upstream // named own
	other   *upstream // named other
}

func (a *attempt) lab() *lab {
	a.Helper()
	l := &lab{attempt: a, own: newUpstream(a), other: newUpstream(a)}
	l.gateway = a.world.startGateway(a, gatewayOptions{issuer: a.url, upstreams: l.own.yaml("own") + l.other.yaml("other")})
	return l
}

// A signIn is one that has begun: the browser is at the IdP.
type signIn struct {
	cookies http.Header
	query   url.Values // that the IdP gets
}

func (l *lab) begin(upstream string) signIn {
	l.Helper()
	got := l.do(l, http.MethodGet, l.gateway.address()+"/signin/start/"+upstream+"?return_to=/connections", nil, "")
	location, err := url.Parse(got.header.Get("Location"))
	if err != nil || got.status/100 != 3 || location.Query().Get("state") == "" {
		l.Fatalf("begin a sign-in: %s", got)
	}
	return signIn{cookiesOf(got), location.Query()}
}

// cookiesOf is the header by which a browser sends back what it was given.
func cookiesOf(got reply) http.Header {
	response := http.Response{Header: got.header}
	var pairs []string
	for _, cookie := range response.Cookies() {
		if cookie.MaxAge >= 0 && cookie.Value != "" {
			pairs = append(pairs, cookie.Name+"="+cookie.Value)
		}
	}
	if len(pairs) == 0 {
		return nil
	}
	return http.Header{"Cookie": {strings.Join(pairs, "; ")}}
}

// callback is the query with which the IdP sends the browser back.
func (l *lab) callback(u *upstream, s signIn) url.Values {
	u.mu.Lock()
	defer u.mu.Unlock()
	location, err := url.Parse(u.answer(s.query))
	l.must(err)
	return location.Query()
}

// arrive calls the gateway back.
func (l *lab) arrive(upstream string, query url.Values, cookies http.Header) reply {
	l.Helper()
	return l.do(l, http.MethodGet, l.gateway.address()+"/signin/callback/"+upstream+"?"+query.Encode(), cookies, "")
}

// isIn says whether an answer of the callback has let somebody in.
func (l *lab) isIn(got reply) bool {
	l.Helper()
	if got.status != http.StatusSeeOther {
		return false
	}
	return l.isSession(cookiesOf(got))
}

// isSession says whether somebody is signed in by cookies. The page of connected apps has a button
// for signing out.
func (l *lab) isSession(cookies http.Header) bool {
	l.Helper()
	page := l.do(l, http.MethodGet, l.gateway.address()+"/connections", cookies, "")
	return page.status == http.StatusOK && strings.Contains(page.body, `action="/signout"`)
}

// signsIn goes all the way.
func (l *lab) signsIn() (bool, reply) { return l.signsInAt("own", l.own) }

// signsInAt goes as far as the gateway lets somebody, at one IdP of several.
func (l *lab) signsInAt(name string, u *upstream) (bool, reply) {
	l.Helper()
	got := l.do(l, http.MethodGet, l.gateway.address()+"/signin/start/"+name+"?return_to=/connections", nil, "")
	if got.status != http.StatusSeeOther {
		return false, got
	}
	s := l.begin(name)
	got = l.arrive(name, l.callback(u, s), s.cookies)
	return l.isIn(got), got
}

// labOf has a gateway with many IdPs, named idp-0 and so on: what it keeps of one is not what it
// knows of another.
func (a *attempt) labOf(upstreams []*upstream) *lab {
	a.Helper()
	yaml := ""
	for i, u := range upstreams {
		yaml += u.yaml(fmt.Sprint("idp-", i))
		u.person = fmt.Sprint("somebody", i) // who is nobody else: that would be refused for itself
	}
	return &lab{attempt: a, gateway: a.world.startGateway(a, gatewayOptions{issuer: a.url, upstreams: yaml})}
}
