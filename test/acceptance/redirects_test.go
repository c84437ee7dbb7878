package acceptance

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
)

// A vector is a line of redirect_uris.tsv.
type vector struct{ registered, requested, expect, why string }

// readVectors reads a file of tab-separated fields, without its comments.
func readVectors(t testing.TB, path string) [][]string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var lines [][]string
	for line := range strings.Lines(string(content)) {
		if line = strings.TrimRight(line, "\r\n"); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, strings.Split(line, "\t"))
		}
	}
	return lines
}

func redirectURIs(t testing.TB) []vector {
	t.Helper()
	var vectors []vector
	for _, fields := range readVectors(t, "../../internal/grant/testdata/redirect_uris.tsv") {
		vectors = append(vectors, vector{fields[0], fields[1], fields[2], fields[3]})
	}
	return vectors
}

func (v vector) atRegistration() bool { return strings.HasPrefix(v.why, "at registration") }

// vectorApps are apps of the configuration, one for each redirect URI that the vectors register.
func vectorApps(t testing.TB) (yaml string, ids map[string]string) {
	t.Helper()
	ids = map[string]string{}
	for _, v := range redirectURIs(t) {
		if ids[v.registered] == "" && !v.atRegistration() {
			ids[v.registered] = fmt.Sprint("vector", len(ids)+1)
			yaml += fmt.Sprintf("  - {id: %s, name: Vector, type: public, redirect_uris: [%q]}\n", ids[v.registered], v.registered)
		}
	}
	return yaml, ids
}

// T01. Each vector is tried by a browser where somebody is signed in and by one where nobody is,
// alone and together with other faults, by GET and by POST.
func redirectVectors(a *attempt) {
	for _, requested := range mutations(a.phone.redirect) {
		a.check(a.refusesRedirect(a.phone.id, requested), "%s was taken for %s", requested, a.phone.redirect)
	}
	if a.world == nil {
		return
	}
	_, ids := vectorApps(a)
	for i, v := range redirectURIs(a) {
		switch {
		case v.atRegistration():
			output, err := a.world.gateways[0].admin(a, "apps", "add", fmt.Sprint("refused", i), "--redirect", v.registered)
			a.check(err != nil, "%s was registered: %s", v.registered, output)
		case v.expect == "allow":
			a.check(a.leadsTo(ids[v.registered], v.requested), "%s (%s) was refused", v.requested, v.why)
		default:
			a.check(a.refusesRedirect(ids[v.registered], v.requested), "%s was taken for %s (%s)", v.requested, v.registered, v.why)
		}
	}
}

// mutations of a registered URI, none of which is it.
func mutations(registered string) []string {
	scheme, rest, _ := strings.Cut(registered, "://")
	host, path, _ := strings.Cut(rest, "/")
	return []string{
		"", registered + "/", registered + "#f", registered + "?x=1", registered + "%00", registered + "/../x", registered + "%2f..%2fx",
		strings.ToUpper(scheme) + "://" + rest, scheme + "://evil.example/" + registered, scheme + "://" + host + "@evil.example/" + path,
		scheme + "://evil.example\\@" + rest, scheme + "://" + host + ".evil.example/" + path, "//" + rest, "javascript:alert(1)//" + rest,
	}
}

// refusesRedirect tries an unregistered URI in each way: a page with status 400, which leads
// nowhere and does not repeat the URI.
func (a *attempt) refusesRedirect(id, redirect string) bool {
	a.Helper()
	good := a.ask(client{id, "", redirect}, a.scope).query
	faulty := []url.Values{
		good, with(good, "response_type", "token"), with(good, "prompt", "none"), with(good, "code_challenge", ""),
		with(good, "scope", "no such scope"), with(good, "request_uri", "https://evil.example/"),
	}
	refused := true
	for _, header := range []http.Header{nil, a.signedIn(a, "alice")} {
		for _, query := range faulty {
			got := a.do(a, http.MethodGet, a.url+"/oauth2/authorize?"+query.Encode(), header, "")
			refused = refused && isErrorPage(got, redirect)
		}
	}
	posted := a.post(a, "/oauth2/authorize", good)
	if strings.HasPrefix(posted.header.Get("Location"), a.url+"/oauth2/authorize?") || strings.HasPrefix(posted.header.Get("Location"), "/oauth2/authorize?") {
		posted = a.do(a, http.MethodGet, a.url+"/oauth2/authorize?"+good.Encode(), nil, "")
	}
	return refused && isErrorPage(posted, redirect)
}

func isErrorPage(got reply, unwanted string) bool {
	return got.status == http.StatusBadRequest && got.header.Get("Location") == "" && got.header.Get("Refresh") == "" &&
		(len(unwanted) < 12 || !strings.Contains(got.body, unwanted))
}

// leadsTo goes all the way: a code comes to the URI that was asked for.
func (a *attempt) leadsTo(id, redirect string) bool {
	a.Helper()
	q := a.ask(client{id, "", redirect}, a.scope)
	callback, err := a.allow(a.Context(), "alice", q.url(a.target))
	if err != nil {
		a.Log(err)
		return false
	}
	got := a.token(a, q.redemption(a.keep("code", callback.Query().Get("code"))))
	return got.status == http.StatusOK && strings.HasPrefix(callback.String(), redirect+"?")
}

// with changes a parameter; an empty value takes it away.
func with(query url.Values, name, value string) url.Values {
	changed := url.Values{}
	for key, values := range query {
		changed[key] = slices.Clone(values)
	}
	changed.Del(name)
	if value != "" {
		changed.Set(name, value)
	}
	return changed
}
