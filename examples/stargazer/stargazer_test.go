package stargazer_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/shiftgrant/shiftgrant/examples/stargazer"
)

// person is somebody's browser at a Stargazer.
type person struct {
	t    *testing.T
	app  string
	http *http.Client
	// stopAt holds a redirect back whose path it is, for looking at it or giving it to others.
	stopAt string
}

// start runs a Stargazer in front of the gateway and opens a browser.
func start(t *testing.T, gateway *fakeGateway) *person {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	app := "http://localhost:" + server.Listener.Addr().String()[strings.LastIndex(server.Listener.Addr().String(), ":")+1:]
	handler, err := stargazer.New(stargazer.Config{
		BaseURL: app, Issuer: gateway.URL, ClientID: clientID, ClientSecret: clientSecret, Warehouse: "tickit",
		Key: bytes.Repeat([]byte{7}, 32), Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = handler
	server.Start()
	t.Cleanup(server.Close)
	return browser(t, app)
}

func browser(t *testing.T, app string) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &person{t: t, app: app}
	p.http = &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if p.stopAt != "" && r.URL.Path == p.stopAt {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	return p
}

// page is what a browser shows.
type page struct {
	*http.Response
	body string
}

func (p *person) do(request *http.Request) page {
	p.t.Helper()
	response, err := p.http.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return page{response, string(body)}
}

func (p *person) open(address string) page {
	p.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = p.app + address
	}
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.do(request)
}

func (p *person) post(path, site string, form url.Values) page {
	p.t.Helper()
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.app+path, strings.NewReader(form.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Sec-Fetch-Site", site)
	return p.do(request)
}

func (p *person) ask(sql string) page {
	p.t.Helper()
	return p.post("/ask", "same-origin", url.Values{"sql": {sql}})
}

// shows checks status and words of a page, and that it is sound.
func (g page) shows(t *testing.T, status int, words ...string) {
	t.Helper()
	if g.StatusCode != status {
		t.Errorf("%s: status %d, want %d", g.Request.URL.Path, g.StatusCode, status)
	}
	for _, word := range words {
		if !strings.Contains(g.body, word) {
			t.Errorf("%s does not say %q:\n%s", g.Request.URL.Path, word, g.body)
		}
	}
	assertSound(t, g)
}

func TestPersonConnectsAsksAndDisconnects(t *testing.T) {
	t.Parallel()
	gateway := newGateway(t)
	gateway.answers["select 1"] = `{"columns":[{"name":"event","type":"varchar"},{"name":"revenue","type":"numeric"}]}
["Mamma <b>Mia</b>!","1135454.00"]
["Macbeth","862580.50"]
{"row_count":2,"truncated":false,"complete":true}
`
	alice := start(t, gateway)
	alice.open("/").shows(t, http.StatusOK, "Connect Amazon Redshift")
	alice.open("/login").shows(t, http.StatusOK, "<strong>Alice Anders</strong>, who in Redshift is <code>alice</code>")
	answer := alice.ask("select 1")
	answer.shows(t, http.StatusOK, "Mamma &lt;b&gt;Mia&lt;/b&gt;!", `<td class="number">1135454.00</td>`, "Rows: 2", `role="img"`, "revenue by event", "862,580.5")
	if again := alice.open("/"); again.Request.URL.Path != "/ask" {
		t.Errorf("the front page leads a connected person to %s, want /ask", again.Request.URL.Path)
	}

	alice.post("/logout", "same-origin", nil).shows(t, http.StatusOK, "You are disconnected", "Connect Amazon Redshift")
	gateway.mu.Lock()
	if len(gateway.revoked) == 0 {
		t.Error("nothing was revoked")
	}
	gateway.mu.Unlock()
	if after := alice.open("/ask"); after.Request.URL.Path != "/" {
		t.Errorf("after disconnecting /ask leads to %s, want the front page", after.Request.URL.Path)
	}
}

func TestNullIsNotTheEmptyString(t *testing.T) {
	t.Parallel()
	gateway := newGateway(t)
	gateway.answers["select nulls"] = `{"columns":[{"name":"a","type":"varchar"},{"name":"b","type":"varchar"},{"name":"c","type":"bigint"},{"name":"d","type":"boolean"}]}
[null,"",9007199254740993,true]
{"row_count":1,"truncated":false,"complete":true}
`
	alice := start(t, gateway)
	alice.open("/login")
	alice.ask("select nulls").shows(t, http.StatusOK, `<tr><td><span class="null">NULL</span></td><td></td><td class="number">9007199254740993</td><td>true</td></tr>`)
}

func TestLongResultIsCutAndSaysSo(t *testing.T) {
	t.Parallel()
	gateway := newGateway(t)
	var rows strings.Builder
	rows.WriteString(`{"columns":[{"name":"n","type":"integer"}]}` + "\n")
	for i := range 600 {
		fmt.Fprintf(&rows, "[%d]\n", i)
	}
	rows.WriteString(`{"row_count":600,"truncated":false,"complete":true}` + "\n")
	gateway.answers["select many"] = rows.String()
	alice := start(t, gateway)
	alice.open("/login")
	answer := alice.ask("select many")
	answer.shows(t, http.StatusOK, "Rows: 500", "These are the first 500 rows.")
	if strings.Contains(answer.body, "<td class=\"number\">500</td>") {
		t.Error("the page shows the 501st row")
	}
}

func TestCutAnswerIsNoAnswer(t *testing.T) {
	t.Parallel()
	gateway := newGateway(t)
	gateway.answers["select cut"] = "{\"columns\":[{\"name\":\"n\",\"type\":\"integer\"}]}\n[1]\n"
	alice := start(t, gateway)
	alice.open("/login")
	answer := alice.ask("select cut")
	answer.shows(t, http.StatusBadGateway, "The gateway does not answer", "select cut")
	if strings.Contains(answer.body, "<table>") {
		t.Error("half a result is shown")
	}
}

func TestRefusalOfRedshiftIsExplained(t *testing.T) {
	t.Parallel()
	gateway := newGateway(t)
	gateway.answers["select current_user"] = strings.Replace(gateway.answers["select current_user"], "alice", "bob", 1)
	gateway.answers["select money"] = `{"type":"urn:shiftgrant:problem:sql","title":"permission denied for schema finance","status":422,"sqlstate":"42501","request_id":"req_7"}`
	bob := start(t, gateway)
	bob.open("/login")
	bob.ask("select money").shows(t, http.StatusUnprocessableEntity, "Redshift refused", "permission denied for schema finance", "42501", "You are bob there", "req_7", "select money</textarea>")
	bob.ask("  ").shows(t, http.StatusBadRequest, "There is no question yet")
}

func TestSampleRunsAtOnce(t *testing.T) {
	t.Parallel()
	gateway := newGateway(t)
	alice := start(t, gateway)
	alice.open("/login")
	answer := alice.post("/ask", "same-origin", url.Values{"sql": {"select left_in_the_box"}, "sample": {"commission"}})
	answer.shows(t, http.StatusUnprocessableEntity, "finance.commission_ledger")
	gateway.mu.Lock()
	defer gateway.mu.Unlock()
	if asked := strings.Join(gateway.asked, "\n"); !strings.Contains(asked, "finance.commission_ledger") || strings.Contains(asked, "left_in_the_box") {
		t.Errorf("asked %q", asked)
	}
}

func TestDenyIsToldAndGivesNothing(t *testing.T) {
	t.Parallel()
	gateway := newGateway(t)
	gateway.set(&gateway.denies, true)
	alice := start(t, gateway)
	alice.open("/login").shows(t, http.StatusForbidden, "Access was denied", "Connect Amazon Redshift")
	alice.open("/").shows(t, http.StatusOK, "Connect Amazon Redshift")
}

func TestCallbackWorksOnceInItsOwnBrowser(t *testing.T) {
	t.Parallel()
	gateway := newGateway(t)
	alice := start(t, gateway)
	alice.stopAt = "/callback"
	callback := alice.open("/login").Header.Get("Location")
	if !strings.Contains(callback, "/callback?") {
		t.Fatalf("the gateway sent the browser to %q", callback)
	}
	alice.stopAt = ""

	mallory := browser(t, alice.app)
	mallory.open(callback).shows(t, http.StatusBadRequest, "onnect", "again")
	mallory.open("/").shows(t, http.StatusOK, "Connect Amazon Redshift")

	alice.open(callback).shows(t, http.StatusOK, "Alice Anders")
	replayed := alice.open(callback)
	replayed.shows(t, http.StatusBadRequest, "again")
	code := replayed.Request.URL.Query().Get("code")
	if code == "" || strings.Contains(replayed.body, code) {
		t.Error("the page shows the code")
	}
}

func TestGatewayThatIsDownIsTold(t *testing.T) {
	t.Parallel()
	gateway := newGateway(t)
	alice := start(t, gateway)
	gateway.set(&gateway.down, true)
	alice.open("/login").shows(t, http.StatusBadGateway, "does not answer", "Try again")
	gateway.set(&gateway.down, false)
	// A gateway that was down is asked again after a second at the earliest.
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if answer := alice.open("/login"); answer.StatusCode != http.StatusBadGateway {
			answer.shows(t, http.StatusOK, "Alice Anders")
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	alice.open("/").shows(t, http.StatusOK, "Alice Anders")
	gateway.set(&gateway.down, true)
	if answer := alice.ask("select 1"); answer.StatusCode < 400 || !strings.Contains(answer.body, "select 1</textarea>") {
		t.Errorf("status %d, and the question is lost:\n%s", answer.StatusCode, answer.body)
	}
	gateway.set(&gateway.down, false)
	alice.open("/ask").shows(t, http.StatusOK, "who in Redshift is")
}

func TestConnectionEndedElsewhereIsTold(t *testing.T) {
	t.Parallel()
	gateway := newGateway(t)
	alice := start(t, gateway)
	alice.open("/login")
	gateway.mu.Lock()
	clear(gateway.tokens)
	gateway.mu.Unlock()
	alice.ask("select 1").shows(t, http.StatusUnauthorized, "Your connection has ended", "Connect Amazon Redshift")
}

func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	t.Parallel()
	gateway := newGateway(t)
	alice := start(t, gateway)
	alice.open("/login")
	for _, path := range []string{"/ask", "/logout"} {
		if answer := alice.post(path, "cross-site", url.Values{"sql": {"select stolen"}}); answer.StatusCode != http.StatusForbidden {
			t.Errorf("%s from another site: %d, want 403", path, answer.StatusCode)
		}
	}
	alice.open("/ask").shows(t, http.StatusOK, "Alice Anders")
}

func TestQuestionHasALimit(t *testing.T) {
	t.Parallel()
	alice := start(t, newGateway(t))
	alice.open("/login")
	alice.ask("select '"+strings.Repeat("x", 200<<10)+"'").shows(t, http.StatusRequestEntityTooLarge, "That is a long question")
	alice.open("/nowhere").shows(t, http.StatusNotFound, "Nothing shines here")
}

// assertSound checks what each page owes to everybody: names for controls, one heading, no
// script, nothing from elsewhere.
func assertSound(t *testing.T, g page) {
	t.Helper()
	where := g.Request.URL.Path
	if policy := g.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") {
		t.Errorf("%s: policy %q", where, policy)
	}
	document, err := html.Parse(strings.NewReader(g.body))
	if err != nil {
		t.Fatal(err)
	}
	count, labels, controls := map[string]int{}, map[string]bool{}, []string{}
	for node := range document.Descendants() {
		if node.Type != html.ElementNode {
			continue
		}
		count[node.Data]++
		for _, attribute := range node.Attr {
			switch {
			case strings.HasPrefix(attribute.Key, "on") || attribute.Key == "style":
				t.Errorf("%s: <%s> has %s", where, node.Data, attribute.Key)
			case (attribute.Key == "href" || attribute.Key == "src" || attribute.Key == "action") && strings.Contains(attribute.Val, "//"):
				t.Errorf("%s: <%s> leads to %s", where, node.Data, attribute.Val)
			case attribute.Key == "lang" && node.Data == "html":
				count["lang"]++
			case attribute.Key == "for":
				labels[attribute.Val] = true
			case attribute.Key == "id" && (node.Data == "textarea" || node.Data == "input"):
				controls = append(controls, attribute.Val)
			}
		}
	}
	for _, one := range []string{"h1", "title", "main", "lang"} {
		if count[one] != 1 {
			t.Errorf("%s: %d of %s, want 1", where, count[one], one)
		}
	}
	if count["script"]+count["style"] > 0 || len(controls) != count["textarea"] {
		t.Errorf("%s: %v, controls %q", where, count, controls)
	}
	for _, control := range controls {
		if !labels[control] {
			t.Errorf("%s: %q has no label", where, control)
		}
	}
}
