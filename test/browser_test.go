package test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// stepTime bounds one step of a browser.
const stepTime = time.Minute

// browser is one person's Chromium, with a profile of its own and without JavaScript, which no
// page of ours needs.
type browser struct {
	t   *testing.T
	ctx context.Context
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("chromium is not installed: run `make test`, or apt-get install chromium")
	}
	profile, err := os.MkdirTemp("", "shiftgrant-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(profile), chromedp.WindowSize(1280, 900),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true))
	allocated, endAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, end := chromedp.NewContext(allocated)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // waits for Chromium to be gone
		end()
		endAllocator()
		_ = os.RemoveAll(profile)
	})
	if _, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return &browser{t, ctx}
}

// step is the time that one step may take.
func (b *browser) step() (context.Context, context.CancelFunc) {
	return context.WithTimeout(b.ctx, stepTime)
}

func (b *browser) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := b.step()
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatalf("%s: %v\non a page that says: %s", what, err, b.text())
	}
}

// text is where the browser is, and what the page shows.
func (b *browser) text() string {
	ctx, cancel := context.WithTimeout(b.ctx, 10*time.Second)
	defer cancel()
	location, err := chromedp.Run(ctx, chromedp.Location())
	if err != nil {
		return err.Error()
	}
	text, err := chromedp.Run(ctx, chromedp.Text(chromedp.CSS("body")))
	if err != nil {
		return err.Error()
	}
	return location + "\n" + text
}

func (b *browser) open(url string) { b.t.Helper(); b.do("open "+url, chromedp.Navigate(url)) }

// leads takes an action that leads to another page, and waits for that page.
func (b *browser) leads(what string, action chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := b.step()
	defer cancel()
	if _, err := chromedp.RunResponse(ctx, action); err != nil {
		b.t.Fatalf("%s: %v\non a page that says: %s", what, err, b.text())
	}
}

// press clicks the button or link with a text.
func (b *browser) press(label string) {
	b.t.Helper()
	b.leads("press "+label, chromedp.Click(chromedp.Search(fmt.Sprintf(`//*[self::button or self::a][normalize-space(.)=%q]`, label))))
}

// sees waits until the page shows all texts.
func (b *browser) sees(texts ...string) {
	b.t.Helper()
	missing := ""
	for range 50 {
		shown := strings.ToLower(strings.Join(strings.Fields(b.text()), " "))
		missing = ""
		for _, text := range texts {
			if !strings.Contains(shown, strings.ToLower(text)) {
				missing = text
			}
		}
		if missing == "" {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	b.t.Fatalf("the page does not say %q:\n%s", missing, b.text())
}

// picture keeps screenshots where SHIFTGRANT_PICTURES names a folder: light, dark, and as on a
// phone.
func (b *browser) picture(name string) {
	b.t.Helper()
	folder := os.Getenv("SHIFTGRANT_PICTURES")
	if folder == "" {
		return
	}
	for _, look := range []struct {
		suffix, scheme string
		width          int64
	}{{"", "light", 1280}, {"-dark", "dark", 1280}, {"-phone", "light", 390}} {
		b.look(look.scheme, look.width)
		ctx, cancel := b.step()
		png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
		cancel()
		if err != nil {
			b.t.Fatalf("picture %s: %v", name, err)
		}
		if err := os.WriteFile(filepath.Join(folder, name+look.suffix+".png"), png, 0o644); err != nil {
			b.t.Fatal(err)
		}
	}
	b.look("", 0)
}

// look sets the browser's preferred colors and width; "" and 0 are its own.
func (b *browser) look(scheme string, width int64) {
	b.t.Helper()
	ctx, cancel := b.step()
	defer cancel()
	_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	if err == nil && width > 0 {
		_, err = chromedp.Call(ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
			Width: width, Height: 900, DeviceScaleFactor: 1, Mobile: width < 600,
		})
	} else if err == nil {
		_, err = chromedp.Call(ctx, emulation.ClearDeviceMetricsOverride, cdp.Empty{})
	}
	if err != nil {
		b.t.Fatalf("change the look: %v", err)
	}
}

// connectAs goes from Stargazer's landing page to its SQL page.
func (b *browser) connectAs(w *world, name string) {
	b.t.Helper()
	b.open(w.stargazer)
	b.press("Connect Amazon Redshift")
	b.signIn(name)
	b.sees("Stargazer", "Allow", "Deny")
	b.press("Allow")
}

func (b *browser) signIn(name string) {
	b.t.Helper()
	b.sees("twin", "password")
	b.do("type the password",
		chromedp.SendKeys(chromedp.CSS(`input[type="text"]`), name),
		chromedp.SendKeys(chromedp.CSS(`input[type="password"]`), "twin"))
	b.leads("sign in as "+name, chromedp.Submit(chromedp.CSS(`input[type="password"]`)))
}

// runs types SQL into Stargazer's box and runs it.
func (b *browser) runs(sql string) {
	b.t.Helper()
	b.do("type SQL", chromedp.SetValue(chromedp.CSS("textarea"), sql))
	b.press("Run")
}

func TestPersonConnectsQueriesAndDisconnects(t *testing.T) {
	t.Parallel()
	w, b := development(t), newBrowser(t)
	b.open(w.stargazer)
	b.sees("Connect Amazon Redshift")
	b.picture("1-stargazer")
	b.press("Connect Amazon Redshift")
	b.sees("twin", "password")
	b.picture("2-sign-in")
	b.signIn("alice")
	b.sees("Stargazer", "Allow", "Deny", "localhost", "alice")
	b.picture("3-consent")
	b.press("Allow")
	b.sees("Alice Anders", "alice", "Disconnect")
	b.picture("4-connected")

	b.runs("select current_user as me, count(*) as n from tickit.sales")
	b.sees("alice", "172456")
	b.runs("select catgroup, sum(pricepaid) as revenue from tickit.sales join tickit.event using (eventid) join tickit.category using (catid) group by 1 order by 1")
	b.sees("revenue", "Concerts", "Shows")
	b.do("see the chart", chromedp.WaitVisible(chromedp.CSS("svg[role=img]")))
	b.picture("5-chart")
	b.runs("select * from nowhere")
	b.sees("nowhere", "does not exist")
	b.picture("6-refused-sql")

	b.press("Disconnect")
	b.sees("Connect Amazon Redshift")
	b.picture("7-disconnected")
}

func TestBobSeesOtherRowsAndIsRefusedASchema(t *testing.T) {
	t.Parallel()
	w, b := development(t), newBrowser(t)
	b.connectAs(w, "bob")
	b.sees("Bob Berger", "bob")
	b.runs("select count(*) as n from tickit.sales")
	b.sees("Rows", "bob")
	if strings.Contains(b.text(), "172456") || strings.Contains(b.text(), "172,456") {
		t.Error("bob sees all rows")
	}
	b.runs("select * from finance.commission_ledger")
	b.sees("permission denied for schema finance", "42501")
	b.picture("8-bob-refused")
}

func TestDenyIsToldAndGivesNothing(t *testing.T) {
	t.Parallel()
	w, b := development(t), newBrowser(t)
	b.open(w.stargazer)
	b.press("Connect Amazon Redshift")
	b.signIn("alice")
	b.sees("Allow", "Deny")
	b.press("Deny")
	b.sees("denied")
	b.picture("9-denied")
	b.open(w.stargazer)
	b.sees("Connect Amazon Redshift")
}

// callbackOf connects a person and gives the URL that the app's redirect URI was called with.
func (b *browser) callbackOf(w *world, name string) string {
	b.t.Helper()
	var mu sync.Mutex
	callback := ""
	watched, cancel := context.WithCancel(b.ctx)
	defer cancel()
	if _, err := chromedp.Call(b.ctx, network.Enable, network.EnableParams{}); err != nil {
		b.t.Fatal(err)
	}
	go func() {
		for event, err := range chromedp.Events(watched, network.RequestWillBeSent) {
			if err != nil {
				return
			}
			if strings.HasPrefix(event.Request.URL, w.stargazer+"/callback?") {
				mu.Lock()
				callback = event.Request.URL
				mu.Unlock()
			}
		}
	}()
	b.connectAs(w, name)
	b.sees("Disconnect")
	for range 50 {
		mu.Lock()
		found := callback
		mu.Unlock()
		if found != "" {
			return found
		}
		time.Sleep(100 * time.Millisecond)
	}
	b.t.Fatal("no callback was seen")
	return ""
}

func TestReplayedCallbackIsRefused(t *testing.T) {
	t.Parallel()
	w, b := development(t), newBrowser(t)
	callback := b.callbackOf(w, "alice")
	b.open(callback)
	b.sees("again")
	b.picture("10-replayed")
	if code := mustQuery(t, callback, "code"); strings.Contains(b.text()[strings.Index(b.text(), "\n"):], code) {
		t.Error("the page shows the code")
	}
}

func TestForeignStateIsRefused(t *testing.T) {
	t.Parallel()
	w, alice, mallory := development(t), newBrowser(t), newBrowser(t)
	callback := alice.callbackOf(w, "alice")
	mallory.open(callback)
	mallory.sees("again")
	mallory.picture("11-foreign-state")
	mallory.open(w.stargazer)
	mallory.sees("Connect Amazon Redshift")
}

func TestExpiredSignInIsTold(t *testing.T) {
	t.Parallel()
	w, b := development(t), newBrowser(t)
	b.open(w.stargazer)
	b.press("Connect Amazon Redshift")
	b.sees("password")
	// Ten minutes later the browser has dropped the cookies of the transaction.
	if _, err := chromedp.Call(b.ctx, network.ClearBrowserCookies, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	b.signIn("alice")
	b.sees("again")
	b.picture("12-expired")
}

func TestStoppedIdPIsTold(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	g := startGateway(t, gatewayConfig{upstream: closedPort(t), redirect: "http://localhost:3000/callback"})
	b.open(g.url + "/connections")
	b.sees("does not answer", "Try again")
	b.picture("13-idp-down")
}

func mustQuery(t *testing.T, raw, name string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil || u.Query().Get(name) == "" {
		t.Fatalf("%s has no %s", raw, name)
	}
	return u.Query().Get(name)
}
