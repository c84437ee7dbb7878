// Package test runs the real binary with clients that nobody here wrote: npm OAuth clients,
// an npm IdP, AWS's SDK and command line, and Chromium. `make test` installs them.
//
// What a test needs and does not find is a failure that names the remedy, never a skip.
package test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/twin/person"
)

// binary is the product, built by TestMain.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "shiftgrant-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	// The twin's PostgreSQL does not run as root, and has to get through to its folder.
	if err := os.Chmod(dir, 0o711); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	binary = filepath.Join(dir, "shiftgrant")
	build := exec.Command("go", "build", "-o", binary, "../cmd/shiftgrant")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build shiftgrant: %v\n%s", err, output)
		return 1
	}
	sharedFolder = filepath.Join(dir, "kept")
	code := m.Run()
	if shared.world != nil {
		if _, err := shared.world.stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

// world is a running `shiftgrant dev`.
type world struct {
	gateway, stargazer, twin string
	folder                   string // what --keep names
	command                  *exec.Cmd
	exited                   chan error
	log                      *lockedBuffer
}

// lockedBuffer collects what a process prints while a test may read it.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// shared is the world that most tests use: it is started by the first that needs it.
var (
	sharedFolder string
	shared       struct {
		sync.Once
		*world
		err error
	}
)

func development(t *testing.T) *world {
	t.Helper()
	shared.Do(func() { shared.world, shared.err = startWorld(sharedFolder) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.world
}

var urlLine = regexp.MustCompile(`(?m)^\s*(Stargazer|gateway|twin)\b.*?(http://localhost:\d+)\s*$`)

// startWorld runs `shiftgrant dev` on free ports and waits until it says that it is ready.
func startWorld(folder string, arguments ...string) (*world, error) {
	w := &world{folder: folder, exited: make(chan error, 1), log: &lockedBuffer{}}
	w.command = exec.Command(binary, append([]string{"dev", "--port", "0", "--keep", folder}, arguments...)...)
	output, err := w.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	w.command.Stderr = w.log
	if err := w.command.Start(); err != nil {
		return nil, err
	}
	ready := make(chan struct{})
	go func() {
		lines := bufio.NewScanner(output)
		for lines.Scan() {
			fmt.Fprintln(w.log, lines.Text())
			if strings.HasPrefix(lines.Text(), "ready") {
				close(ready)
			}
		}
		w.exited <- w.command.Wait()
	}()
	select {
	case <-ready:
	case err := <-w.exited:
		return nil, fmt.Errorf("shiftgrant dev ended with %w:\n%s", err, w.log)
	case <-time.After(2 * time.Minute):
		_ = w.command.Process.Kill()
		return nil, fmt.Errorf("shiftgrant dev is not ready after two minutes:\n%s", w.log)
	}
	for _, match := range urlLine.FindAllStringSubmatch(w.log.String(), -1) {
		switch match[1] {
		case "Stargazer":
			w.stargazer = match[2]
		case "gateway":
			w.gateway = match[2]
		case "twin":
			w.twin = match[2]
		}
	}
	if w.stargazer == "" || w.gateway == "" || w.twin == "" {
		_, _ = w.stop()
		return nil, fmt.Errorf("shiftgrant dev did not print its URLs:\n%s", w.log)
	}
	return w, nil
}

// stop ends a world as Ctrl-C does and gives its exit code.
func (w *world) stop() (int, error) {
	if err := w.command.Process.Signal(os.Interrupt); err != nil {
		return 0, fmt.Errorf("stop shiftgrant dev: %w", err)
	}
	select {
	case err := <-w.exited:
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return exit.ExitCode(), nil
		}
		return 0, err
	case <-time.After(time.Minute):
		_ = w.command.Process.Kill()
		return 0, fmt.Errorf("shiftgrant dev still runs a minute after Ctrl-C:\n%s", w.log)
	}
}

// dataFolder is the gateway's.
func (w *world) dataFolder() string { return filepath.Join(w.folder, "gateway") }

// token gets an access token by `shiftgrant dev token`.
func (w *world) token(t *testing.T, name string, scope ...string) string {
	t.Helper()
	arguments := []string{"dev", "token", name, "--gateway", w.gateway}
	if len(scope) > 0 {
		arguments = append(arguments, "--scope", strings.Join(scope, " "))
	}
	output, err := exec.Command(binary, arguments...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("dev token %s: %s", name, exit.Stderr)
		}
		t.Fatal(err)
	}
	return strings.TrimSpace(string(output))
}

// answer is a response of the SQL API.
type answer struct {
	Status  int            `json:"-"`
	Header  http.Header    `json:"-"`
	Body    string         `json:"-"`
	Rows    [][]any        `json:"rows"`
	Columns []any          `json:"columns"`
	Problem map[string]any `json:"-"`
}

// query posts one statement in the short form.
func (w *world) query(t *testing.T, token, sql string) answer {
	t.Helper()
	body, err := json.Marshal(map[string]string{"query": sql})
	if err != nil {
		t.Fatal(err)
	}
	return w.call(t, http.MethodPost, "/v1/query", token, string(body), map[string]string{"Content-Type": "application/json"})
}

func (w *world) call(t *testing.T, method, path, token, body string, header map[string]string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, w.gateway+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	for name, value := range header {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	received, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := answer{Status: response.StatusCode, Header: response.Header, Body: string(received)}
	switch response.Header.Get("Content-Type") {
	case "application/json":
		if err := json.Unmarshal(received, &got); err != nil {
			t.Fatalf("%s %s answered no JSON: %s", method, path, received)
		}
	case "application/problem+json":
		if err := json.Unmarshal(received, &got.Problem); err != nil {
			t.Fatalf("%s %s answered no problem document: %s", method, path, received)
		}
	}
	return got
}

// script runs one of test/clients under Node.js, with name and password of the person who sits
// in front of its browser, and decodes what it reports.
func script(t *testing.T, name string, who *person.Person, environment map[string]string, result any) {
	t.Helper()
	if _, err := os.Stat("clients/node_modules"); err != nil {
		t.Fatal("the npm clients are not installed: run `npm ci` in test/clients, or `make test`, which does")
	}
	command := exec.CommandContext(t.Context(), "node", name+".mjs")
	command.Dir = "clients"
	command.Env = os.Environ()
	for key, value := range environment {
		command.Env = append(command.Env, key+"="+value)
	}
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var complaints strings.Builder
	command.Stderr = &complaints
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	reported := false
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if authorize, ok := strings.CutPrefix(lines.Text(), "AUTHORIZE "); ok {
			callback, err := who.Authorize(t.Context(), authorize, person.Allow)
			if err != nil {
				_ = command.Process.Kill()
				t.Fatalf("%s: %v", name, err)
			}
			fmt.Fprintln(input, callback)
		}
		if report, ok := strings.CutPrefix(lines.Text(), "RESULT "); ok {
			reported = true
			if err := json.Unmarshal([]byte(report), result); err != nil {
				t.Fatalf("%s reported %s: %v", name, report, err)
			}
		}
	}
	if err := command.Wait(); err != nil || !reported {
		t.Fatalf("%s failed: %v\n%s", name, err, complaints.String())
	}
}
