package pages_test

import (
	"bytes"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/pages"
	"github.com/shiftgrant/shiftgrant/internal/web"
)

var update = flag.Bool("update", false, "write the golden files")

const gateway = "https://redshift.example.com"

func newPages(t *testing.T, base string) *pages.Pages {
	t.Helper()
	p, err := pages.New(pages.Config{BaseURL: base, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// render serves one page and gives the response.
func render(t *testing.T, handler http.HandlerFunc) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	handler(w, httptest.NewRequest(http.MethodGet, "/", nil))
	return w
}

var (
	until     = time.Date(2027, 2, 21, 12, 0, 0, 0, time.UTC)
	alice     = grant.Person{ID: "per_1", Name: "Alice Anders", Email: "alice@example.com", DatabaseUser: "alice"}
	viewer    = pages.Viewer{Person: alice, SignOut: pages.Form{Action: "/signout", Hidden: []pages.Field{{Name: "csrf", Value: "sealed"}}}}
	tickit    = pages.Warehouse{Name: "tickit", DisplayName: "TICKIT sales", Description: "Ticket sales, us-east-1"}
	stargazer = grant.App{
		ID: "stargazer", Name: "Stargazer", Homepage: "https://stargazer.example", Type: grant.Confidential,
		Origin: grant.FromConfig,
	}
)

func consent() pages.Consent {
	return pages.Consent{
		App: stargazer, RedirectURI: "https://app.stargazer.example/callback", Person: alice, Warehouse: tickit,
		Scopes:    grant.Scopes{grant.ScopeRead, grant.ScopeOffline, grant.ScopeOpenID, grant.ScopeEmail, grant.ScopeProfile},
		ExpiresAt: until, AccessLifetime: 10 * time.Minute,
		Form:         pages.Form{Action: "/oauth2/consent", Hidden: []pages.Field{{Name: "request", Value: "sealed"}}},
		SwitchPerson: pages.Form{Action: "/signout", Hidden: []pages.Field{{Name: "csrf", Value: "sealed"}}},
	}
}

func connections() pages.Connections {
	given := grant.Grant{Scopes: consent().Scopes, CreatedAt: until.AddDate(0, -3, 0), ExpiresAt: until}
	return pages.Connections{Viewer: viewer, Notice: "Nightly Export is disconnected.", Apps: []pages.Connection{{
		App: stargazer, Grant: given, Warehouse: tickit,
		Disconnect: pages.Form{Action: "/connections/disconnect", Hidden: []pages.Field{{Name: "grant", Value: "gra_1"}}},
	}}}
}

// everyPage is each page once, as a person would see it.
func everyPage(t *testing.T) map[string]http.HandlerFunc {
	p := newPages(t, gateway)
	return map[string]http.HandlerFunc{
		"consent": func(w http.ResponseWriter, r *http.Request) { p.Consent(w, r, consent()) },
		"consent_more": func(w http.ResponseWriter, r *http.Request) {
			page := consent()
			page.App = grant.App{ID: "cli-demo", Name: "Command-line demo", Type: grant.Public, Origin: grant.FromAdmin}
			page.RedirectURI = "http://127.0.0.1:51004/callback"
			page.Scopes = grant.Scopes{grant.ScopeRead, grant.ScopeWrite}
			page.Before = grant.Scopes{grant.ScopeRead}
			page.Limits = grant.Limits{Schemas: []string{"tickit", "sandbox"}, MaxRows: 100000}
			p.Consent(w, r, page)
		},
		"error": func(w http.ResponseWriter, r *http.Request) {
			p.Error(w, r, http.StatusBadGateway, pages.UpstreamDown("Example Identity", "/signin"))
		},
		"choose": func(w http.ResponseWriter, r *http.Request) {
			p.ChooseUpstream(w, r, pages.ChooseUpstream{For: "Stargazer", Upstreams: []pages.Upstream{
				{DisplayName: "Example Identity", Host: "login.example.com", URL: "/signin/start/example"},
				{DisplayName: "Contractors", URL: "/signin/start/contractors"},
			}})
		},
		"signedout": func(w http.ResponseWriter, r *http.Request) {
			p.SignedOut(w, r, pages.SignedOut{SignIn: "/signin", Upstream: "Example Identity"})
		},
		"home": func(w http.ResponseWriter, r *http.Request) {
			p.Home(w, r, pages.Home{
				Viewer: &viewer, Connections: "/connections", Connected: 2, Warehouses: []pages.Warehouse{tickit},
				MetadataURL: gateway + "/.well-known/oauth-authorization-server",
			})
		},
		"home_signed_out": func(w http.ResponseWriter, r *http.Request) {
			p.Home(w, r, pages.Home{SignIn: "/signin", MetadataURL: gateway + "/.well-known/oauth-authorization-server"})
		},
		"connections": func(w http.ResponseWriter, r *http.Request) { p.Connections(w, r, connections()) },
		"connections_empty": func(w http.ResponseWriter, r *http.Request) {
			p.Connections(w, r, pages.Connections{Viewer: viewer})
		},
		"not_found": p.NotFound,
		"method":    func(w http.ResponseWriter, r *http.Request) { p.MethodNotAllowed(w, r, http.MethodPost) },
		"too_large": func(w http.ResponseWriter, r *http.Request) {
			p.TooLarge(w, r, http.StatusRequestEntityTooLarge)
		},
		"internal":    p.Internal,
		"unavailable": p.Unavailable,
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	every := everyPage(t)
	for _, name := range []string{"consent", "consent_more", "error", "choose", "signedout", "home", "connections"} {
		got := render(t, every[name]).Body.Bytes()
		got = hashes(got)
		path := filepath.Join("testdata", name+".html")
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s (go test -update writes it anew):\n%s", name, diff)
		}
	}
}

// hashes takes the assets' hashes out, so that a change of style changes no golden page.
func hashes(page []byte) []byte {
	for _, name := range []string{"style-", "mark-"} {
		if start := bytes.Index(page, []byte("/assets/"+name)); start >= 0 {
			start += len("/assets/" + name)
			copy(page[start:start+12], "############")
		}
	}
	return page
}

func TestEveryPageIsConfined(t *testing.T) {
	t.Parallel()
	for name, handler := range everyPage(t) {
		header := render(t, handler).Header()
		for key, want := range map[string]string{
			"X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
			"Cross-Origin-Opener-Policy": "same-origin", "Cache-Control": "no-store",
			"Content-Type": "text/html; charset=utf-8", "Strict-Transport-Security": "max-age=31536000",
		} {
			if got := header.Get(key); got != want {
				t.Errorf("%s: %s is %q, want %q", name, key, got, want)
			}
		}
		policy := strings.Split(header.Get("Content-Security-Policy"), "; ")
		for _, want := range []string{"default-src 'none'", "style-src 'self'", "img-src 'self' data:", "base-uri 'none'", "frame-ancestors 'none'"} {
			if !slices.Contains(policy, want) {
				t.Errorf("%s: the policy %q lacks %q", name, policy, want)
			}
		}
	}
}

func TestFormsPostOnlyWhereTheyMust(t *testing.T) {
	t.Parallel()
	redirectingTo := func(uri string) http.HandlerFunc {
		p := newPages(t, gateway)
		page := consent()
		page.RedirectURI = uri
		return func(w http.ResponseWriter, r *http.Request) { p.Consent(w, r, page) }
	}
	every := everyPage(t)
	for name, test := range map[string]struct {
		page http.HandlerFunc
		want string
	}{
		"a page without a form":                {every["error"], "form-action 'none'"},
		"a page of the gateway alone":          {every["connections"], "form-action 'self'"},
		"consent, whose answer goes to an app": {redirectingTo("https://app.example:8443/cb?x=1"), "form-action 'self' https://app.example:8443"},
		"to a loopback port":                   {redirectingTo("http://127.0.0.1:51004/cb"), "form-action 'self' http://127.0.0.1:51004"},
		"to an IPv6 address, unknown to CSP":   {redirectingTo("http://[::1]:51004/cb"), "form-action 'self' http:"},
		"to a private-use scheme":              {redirectingTo("com.example.app:/cb"), "form-action 'self' com.example.app:"},
		"to a host that would end the policy":  {redirectingTo("https://a.example;script-src'unsafe-inline'/cb"), "form-action 'self' https:"},
		"to a host that would begin another":   {redirectingTo("https://a.example,default-src*/cb"), "form-action 'self' https:"},
	} {
		policy := strings.Split(render(t, test.page).Header().Get("Content-Security-Policy"), "; ")
		if !slices.Contains(policy, test.want) {
			t.Errorf("%s: the policy is %q, want %q in it", name, policy, test.want)
		}
	}
}

func TestPlainHTTPSendsNoTransportSecurity(t *testing.T) {
	t.Parallel()
	p := newPages(t, "http://localhost:7420")
	if got := render(t, p.NotFound).Header().Get("Strict-Transport-Security"); got != "" {
		t.Errorf("Strict-Transport-Security %q on http", got)
	}
}

func TestHostileNamesStayText(t *testing.T) {
	t.Parallel()
	const hostile = `"><svg onload=alert(1)>{{.}}<script>`
	page := consent()
	page.App.Name, page.App.ID, page.App.Homepage = hostile, hostile, "javascript:alert(1)"
	page.Person.Name, page.Person.Email, page.Person.DatabaseUser = hostile, hostile, hostile
	page.Warehouse = pages.Warehouse{Name: hostile, Description: hostile}
	page.Limits.Schemas = []string{hostile}
	page.Form.Hidden = []pages.Field{{Name: hostile, Value: hostile}}
	page.Form.Action = "javascript:alert(1)"
	p := newPages(t, gateway)
	body := render(t, func(w http.ResponseWriter, r *http.Request) { p.Consent(w, r, page) }).Body.String()
	if strings.Contains(body, "<svg onload") || strings.Contains(body, "<script") || strings.Contains(body, "javascript:") {
		t.Errorf("a hostile name became markup:\n%s", body)
	}
	assertSound(t, "hostile consent", body)
	if !strings.Contains(body, "&lt;svg onload=alert(1)&gt;") {
		t.Error("the name is not shown as it is")
	}
}

func TestMarkupIsSound(t *testing.T) {
	t.Parallel()
	for name, handler := range everyPage(t) {
		assertSound(t, name, render(t, handler).Body.String())
	}
}

// assertSound checks what a reader with a screen reader, and one with an enemy, need of a page.
func assertSound(t *testing.T, name, body string) {
	t.Helper()
	document, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	count, ids := map[string]int{}, map[string]bool{}
	var references []string
	for node := range document.Descendants() {
		if node.Type != html.ElementNode {
			continue
		}
		count[node.Data]++
		attributes := map[string]string{}
		for _, attribute := range node.Attr {
			attributes[attribute.Key] = attribute.Val
			if strings.HasPrefix(attribute.Key, "on") || attribute.Key == "style" || attribute.Key == "autofocus" {
				t.Errorf("%s: <%s> has %s", name, node.Data, attribute.Key)
			}
		}
		if id := attributes["id"]; id != "" {
			if ids[id] {
				t.Errorf("%s: id %q twice", name, id)
			}
			ids[id] = true
		}
		references = append(references, strings.Fields(attributes["aria-labelledby"]+" "+attributes["aria-describedby"])...)
		assertLocal(t, name, node.Data, attributes)
		switch node.Data {
		case "html":
			if attributes["lang"] != "en" {
				t.Errorf("%s: lang is %q", name, attributes["lang"])
			}
		case "form":
			if attributes["method"] != "post" || attributes["action"] == "" {
				t.Errorf("%s: form %v", name, attributes)
			}
		case "input":
			if attributes["type"] != "hidden" {
				t.Errorf("%s: input %v needs a label", name, attributes)
			}
		case "button", "a":
			if strings.TrimSpace(text(node)) == "" {
				t.Errorf("%s: <%s> without a name", name, node.Data)
			}
		case "svg":
			if attributes["aria-hidden"] != "true" {
				t.Errorf("%s: an ornament is read aloud", name)
			}
		}
	}
	for _, element := range []string{"h1", "title", "main", "header", "footer"} {
		if count[element] != 1 {
			t.Errorf("%s: %d of <%s>, want 1", name, count[element], element)
		}
	}
	if count["script"]+count["style"]+count["iframe"] > 0 {
		t.Errorf("%s: script, style or frame in the page", name)
	}
	for _, id := range references {
		if !ids[id] {
			t.Errorf("%s: aria refers to %q, which is not there", name, id)
		}
	}
}

// assertLocal refuses what is fetched, or leads, elsewhere.
func assertLocal(t *testing.T, name, element string, attributes map[string]string) {
	t.Helper()
	for _, key := range []string{"src", "href", "action", "formaction"} {
		target, ok := attributes[key]
		local := strings.HasPrefix(target, "/") && !strings.HasPrefix(target, "//") || strings.HasPrefix(target, "#") || strings.HasPrefix(target, gateway)
		if ok && !local {
			t.Errorf("%s: <%s> leads to %q", name, element, target)
		}
	}
}

func text(node *html.Node) string {
	var b strings.Builder
	for child := range node.Descendants() {
		if child.Type == html.TextNode {
			b.WriteString(child.Data)
		}
	}
	return b.String()
}

func TestDenyIsAsNearAsAllow(t *testing.T) {
	t.Parallel()
	body := render(t, everyPage(t)["consent"]).Body.String()
	document, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answers := map[string]*html.Node{}
	for node := range document.Descendants() {
		for _, attribute := range node.Attr {
			if attribute.Key == "value" && node.Data == "button" {
				answers[attribute.Val] = node.Parent
			}
		}
	}
	if len(answers) != 2 || answers[pages.Allow] == nil || answers[pages.Allow] != answers[pages.Deny] {
		t.Errorf("the answers are %v, want allow and deny side by side", answers)
	}
	if !strings.Contains(body, `name="`+pages.Decision+`" value="`+pages.Deny+`"`) {
		t.Errorf("no field %q", pages.Decision)
	}
}

func TestErrorShowsTheRequestID(t *testing.T) {
	t.Parallel()
	p := newPages(t, gateway)
	w := httptest.NewRecorder()
	web.Log(slog.New(slog.NewTextHandler(io.Discard, nil)), http.HandlerFunc(p.Unavailable)).
		ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	id := w.Header().Get(web.RequestIDHeader)
	if w.Code != http.StatusServiceUnavailable || id == "" || !strings.Contains(w.Body.String(), "<code>"+id+"</code>") {
		t.Errorf("status %d, request id %q, body:\n%s", w.Code, id, w.Body)
	}
}

func TestAssetsAreKeptForGood(t *testing.T) {
	t.Parallel()
	p := newPages(t, gateway)
	document, err := html.Parse(render(t, p.NotFound).Body)
	if err != nil {
		t.Fatal(err)
	}
	served := 0
	for node := range document.Descendants() {
		if node.Data != "link" {
			continue
		}
		for _, attribute := range node.Attr {
			if attribute.Key != "href" {
				continue
			}
			w := httptest.NewRecorder()
			p.Assets().ServeHTTP(w, httptest.NewRequest(http.MethodGet, attribute.Val, nil))
			if w.Code != http.StatusOK || w.Body.Len() == 0 || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
				t.Errorf("%s: %d, %d bytes, Cache-Control %q", attribute.Val, w.Code, w.Body.Len(), w.Header().Get("Cache-Control"))
			}
			served++
		}
	}
	if served != 2 {
		t.Errorf("%d assets linked, want the style sheet and the mark", served)
	}
	w := httptest.NewRecorder()
	p.Assets().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/assets/style.css", nil))
	if w.Code != http.StatusNotFound || strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
		t.Errorf("an unknown asset: %d, Cache-Control %q", w.Code, w.Header().Get("Cache-Control"))
	}
}
