package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/shiftgrant/shiftgrant/connect"
)

// signInTime is how long a person may take in the browser.
const signInTime = 10 * time.Minute

// signInByBrowser is the sign-in of a program on the person's machine (RFC 8252): a web app for as
// long as it takes, on a port of loopback, built from package connect like any other. The browser
// begins here and is sent on, so that no URL that a gateway chose is ever given to a program.
func signInByBrowser(ctx context.Context, issuer string, scopes []string, messages io.Writer) (signedIn, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return signedIn{}, fmt.Errorf("wait for the browser: %w; try --no-browser", err)
	}
	self := "http://" + listener.Addr().String()
	visit := &browserVisit{ended: make(chan error, 1)}
	client, err := commandLineClient(issuer, scopes, self+"/callback", visit.use)
	if err != nil {
		return signedIn{}, errors.Join(err, listener.Close())
	}
	// Another account on this machine can reach the port, but does not know where to begin.
	start := "/start/" + rand.Text()
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+start, client.Login)
	mux.HandleFunc("GET /callback", client.Callback)
	mux.HandleFunc("GET /done", visit.done)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 64 << 10}
	go func() { _ = server.Serve(listener) }() // ends by Shutdown
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if server.Shutdown(ending) != nil {
			_ = server.Close()
		}
	}()
	fmt.Fprintf(messages, "Sign in in your browser. If none opens, open this there:\n\n  %s\n\n", self+start)
	if err := openBrowser(ctx, self+start); err != nil {
		fmt.Fprintln(messages, "No browser could be opened here. On a machine without one, use --no-browser.")
	}
	return visit.wait(ctx)
}

// A browserVisit is one sign-in in the browser.
type browserVisit struct {
	mu    sync.Mutex
	in    signedIn
	ended chan error
}

func (v *browserVisit) keep(_ context.Context, identity connect.Identity, tokens connect.Tokens) (bool, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.in = signedIn{identity, tokens}
	return true, nil
}

func (v *browserVisit) kept() signedIn {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.in
}

func (v *browserVisit) use(config *connect.Config) {
	config.KeepTokens, config.OnError = v.keep, v.failed
}

func (v *browserVisit) wait(ctx context.Context) (signedIn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, signInTime, errors.New("nobody signed in within ten minutes"))
	defer cancel()
	select {
	case err := <-v.ended:
		return v.kept(), err
	case <-ctx.Done():
		return signedIn{}, fmt.Errorf("sign in: %w", context.Cause(ctx))
	}
}

// end ends the visit once; the browser may come again.
func (v *browserVisit) end(err error) {
	select {
	case v.ended <- err:
	default:
	}
}

func (v *browserVisit) done(w http.ResponseWriter, r *http.Request) {
	if v.kept().tokens == (connect.Tokens{}) {
		http.NotFound(w, r)
		return
	}
	plainPage(w, http.StatusOK, "You are signed in", "Close this window and go back to the terminal.")
	v.end(nil)
}

// failed ends the visit, unless the answer was not one to this sign-in: that can come from anybody.
func (v *browserVisit) failed(w http.ResponseWriter, _ *http.Request, failure *connect.Error) {
	switch failure.Kind {
	case connect.Foreign, connect.Expired, connect.TooLong:
		plainPage(w, http.StatusBadRequest, "This sign-in is not known here", "Start again from the terminal.")
	case connect.Denied:
		plainPage(w, http.StatusForbidden, "Access was denied", "Nothing was connected. Go back to the terminal.")
		v.end(errors.New("sign in: access was denied in the browser"))
	default:
		plainPage(w, http.StatusBadGateway, "You could not be signed in", "The terminal says why.")
		v.end(failure)
	}
}

// plainPage shows a fixed text.
func plainPage(w http.ResponseWriter, status int, title, text string) {
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; frame-ancestors 'none'")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark"><title>%[1]s</title><main><h1>%[1]s</h1><p>%[2]s</p></main></html>`, title, text)
}

// openBrowser starts the person's browser, without a shell, at a URL of our own.
func openBrowser(ctx context.Context, address string) error {
	ctx = context.WithoutCancel(ctx) // it may stay open for as long as the person likes
	program := []string{"xdg-open"}
	if runtime.GOOS == "linux" && os.Getenv("BROWSER") == "" && os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "" {
		return errors.New("open a browser: there is no display") // xdg-open would take one that fills the terminal
	}
	switch browser := strings.Fields(os.Getenv("BROWSER")); {
	case len(browser) > 0:
		program = browser
	case runtime.GOOS == "darwin":
		program = []string{"open"}
	case runtime.GOOS == "windows":
		program = []string{"rundll32", "url.dll,FileProtocolHandler"}
	}
	command := exec.CommandContext(ctx, program[0], append(program[1:], address)...)
	if err := command.Start(); err != nil {
		return fmt.Errorf("open a browser: %w", err)
	}
	go func() { _ = command.Wait() }()
	return nil
}
