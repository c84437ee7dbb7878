package test

import (
	"bufio"
	"cmp"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/identitycenter"
	"github.com/shiftgrant/shiftgrant/twin/person"
)

// gatewayConfig is what a test varies in the configuration of `shiftgrant serve`.
type gatewayConfig struct {
	port         int    // 0 takes a free one
	upstream     string // issuer; "" for one that upstreamKeys describe
	clientSecret string
	upstreamKeys string   // lines of YAML besides; "" for the scopes openid, profile and email
	environment  []string // besides
	twin         string   // URL of the twin that plays AWS; "" for none
	redirect     string   // of the public app "test-app"
}

// servedGateway is a running `shiftgrant serve`.
type servedGateway struct {
	url     string
	data    string
	log     *lockedBuffer
	command *exec.Cmd
}

// startGateway runs `shiftgrant serve` with a configuration file, as an operator does.
func startGateway(t *testing.T, c gatewayConfig) *servedGateway {
	t.Helper()
	if c.port == 0 {
		c.port = freePort(t)
	}
	if c.twin == "" {
		c.twin = closedPort(t)
	}
	return serveConfig(t, fmt.Sprintf("http://localhost:%d", c.port), c.port, c.clientSecret, fmt.Sprintf(`upstreams:
  - name: company
    display_name: The company
%[1]s
warehouses:
  - name: tickit
    region: %[2]s
    cluster: tickit
    database: dev
    data_api_endpoint: %[3]s
    identity: {role_arn: "%[4]s", sts_endpoint: %[3]s}
apps:
  - {id: test-app, name: Test app, type: public, redirect_uris: ["%[5]s"]}
`, indent(c.upstreamLines()), twin.Region, c.twin, twin.RoleARN, c.redirect), c.environment...)
}

// serveConfig runs `shiftgrant serve` with what a configuration says beyond its addresses.
func serveConfig(t *testing.T, gatewayURL string, port int, upstreamSecret, rooms string, environment ...string) *servedGateway {
	t.Helper()
	// A unix socket's path is short.
	dir, err := os.MkdirTemp("", "sg-serve-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	g := &servedGateway{url: gatewayURL, data: filepath.Join(dir, "data"), log: &lockedBuffer{}}
	file := filepath.Join(dir, "shiftgrant.yaml")
	content := fmt.Sprintf("issuer: %s\nlisten: 127.0.0.1:%d\ndata: %s\noperations: {listen: \"127.0.0.1:%d\"}\n%s", g.url, port, g.data, freePort(t), rooms)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	g.command = exec.Command(binary, "serve", "--config", file)
	g.command.Env = append(append(os.Environ(), "UPSTREAM_SECRET="+cmp.Or(upstreamSecret, "unused")), environment...)
	g.command.Stderr = g.log
	if err := g.command.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- g.command.Wait() }()
	t.Cleanup(func() {
		_ = g.command.Process.Signal(os.Interrupt)
		select {
		case <-exited:
		case <-time.After(40 * time.Second):
			_ = g.command.Process.Kill()
			t.Errorf("shiftgrant serve did not stop:\n%s", g.log)
		}
	})
	waitFor(t, g.url+"/readyz", g.log)
	return g
}

// upstreamLines are the keys of the upstream.
func (c gatewayConfig) upstreamLines() string {
	if c.upstream == "" {
		return c.upstreamKeys
	}
	return fmt.Sprintf("issuer: %s\nclient_id: shiftgrant\nclient_secret: env:UPSTREAM_SECRET\n%s", c.upstream, cmp.Or(c.upstreamKeys, "scopes: [openid, profile, email]"))
}

func indent(lines string) string { return "    " + strings.ReplaceAll(lines, "\n", "\n    ") }

// waitFor waits until a URL answers 200.
func waitFor(t *testing.T, url string, log fmt.Stringer) {
	t.Helper()
	for range 300 {
		response, err := http.Get(url)
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("%s does not answer:\n%s", url, log)
}

// freePort is one that nobody listens on now.
func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// closedPort is the URL of a server that is down. The port is bound for the length of the test and does
// not listen, so that no server started meanwhile gets it.
func closedPort(t *testing.T) string {
	t.Helper()
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(socket) })
	if err := syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	address, err := syscall.Getsockname(socket)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("http://localhost:%d", address.(*syscall.SockaddrInet4).Port)
}

// startProvider runs npm oidc-provider, with its own pages, as the company's IdP.
func startProvider(t *testing.T, redirect, secret string) string {
	t.Helper()
	if _, err := os.Stat("clients/node_modules"); err != nil {
		t.Fatal("the npm clients are not installed: run `npm ci` in test/clients, or `make test`, which does")
	}
	port := freePort(t)
	command := exec.Command("node", "oidc-provider.mjs")
	command.Dir = "clients"
	command.Env = append(os.Environ(), fmt.Sprintf("PORT=%d", port), "CLIENT_ID=shiftgrant", "CLIENT_SECRET="+secret, "REDIRECT_URI="+redirect)
	log := &lockedBuffer{}
	command.Stderr = log
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		if lines.Text() == "READY" {
			go func() {
				for lines.Scan() { // keep its output from blocking it
				}
			}()
			return fmt.Sprintf("http://localhost:%d", port)
		}
	}
	t.Fatalf("oidc-provider did not start:\n%s", log)
	return ""
}

func TestRealIdPSignsPeopleIn(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	gatewayURL := fmt.Sprintf("http://localhost:%d", port)
	const secret = "a-secret-of-the-company-idp"
	provider := startProvider(t, gatewayURL+"/signin/callback/company", secret)
	world, err := twin.Start(t.Context(), twin.Config{Listen: "127.0.0.1:0", Issuer: gatewayURL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = world.Close() })
	startGateway(t, gatewayConfig{port: port, upstream: provider, clientSecret: secret, twin: world.URL(), redirect: "http://127.0.0.1/callback"})

	var result struct {
		Claims map[string]any
		Rows   [][]any
	}
	script(t, "oauth4webapi", person.New("bob", "anything"), map[string]string{
		"ISSUER": gatewayURL, "CLIENT_ID": "test-app", "CLIENT_SECRET": "", "REDIRECT_URI": "http://127.0.0.1:49153/callback", "SCOPE": everything,
	}, &result)
	if got := fmt.Sprint(result.Rows); got != "[[bob]]" {
		t.Errorf("rows %s, want bob's current_user", got)
	}
	if name, _ := result.Claims["name"].(string); !strings.Contains(name, "oidc-provider") {
		t.Errorf("claims %v, want the name from oidc-provider", result.Claims)
	}
}

func TestPeopleSignInAtIdentityCenter(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	gatewayURL := fmt.Sprintf("http://localhost:%d", port)
	world, err := twin.Start(t.Context(), twin.Config{Listen: "127.0.0.1:0", Issuer: gatewayURL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = world.Close() })
	application, err := world.Center.CreateApplication(identitycenter.CustomApplication, "sign-in", "")
	if err != nil {
		t.Fatal(err)
	}
	err = world.Center.Change(application.ARN, func(a *identitycenter.Application) error {
		a.AssignmentRequired, a.Actors = false, []string{twin.GatewayRoleARN}
		a.Grants[identitycenter.AuthorizationCode] = identitycenter.Grant{RedirectURIs: []string{gatewayURL + "/signin/callback/company"}}
		a.Grants[identitycenter.RefreshToken] = identitycenter.Grant{}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	keys := twin.GatewayKeys()
	startGateway(t, gatewayConfig{
		port: port, twin: world.URL(), redirect: "http://127.0.0.1/callback",
		upstreamKeys: fmt.Sprintf("preset: identity_center\nregion: %s\nclient_id: %s\nsso_oidc_endpoint: %[3]s\nidentitystore_endpoint: %[3]s\ndatabase_user: {local_part: true}",
			twin.Region, application.ARN, world.URL()),
		environment: []string{"AWS_ACCESS_KEY_ID=" + keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + keys.SecretAccessKey, "AWS_SESSION_TOKEN=" + keys.SessionToken},
	})
	var result struct {
		Rows [][]any
	}
	script(t, "oauth4webapi", person.New("alice", twin.Password), map[string]string{
		"ISSUER": gatewayURL, "CLIENT_ID": "test-app", "CLIENT_SECRET": "", "REDIRECT_URI": "http://127.0.0.1:49155/callback", "SCOPE": everything,
	}, &result)
	if got := fmt.Sprint(result.Rows); got != "[[alice]]" {
		t.Errorf("rows %s, want alice's current_user", got)
	}
}

func TestAWSCommandLineLooksPeopleUpInTheTwinsDirectory(t *testing.T) {
	t.Parallel()
	w := development(t)
	known, err := w.aws(t, "alice", "identitystore", "describe-user", "--identity-store-id", "d-90twin0001", "--user-id", "9067642ac7-7f3ac01e")
	if err != nil || known["UserName"] != "alice@example.com" || !strings.Contains(fmt.Sprint(known["Emails"]), "alice@example.com") {
		t.Errorf("%v, %v", known, err)
	}
	if _, err := w.aws(t, "alice", "identitystore", "describe-user", "--identity-store-id", "d-90twin0001", "--user-id", "9067642ac7-00000000"); err == nil || !strings.Contains(err.Error(), "ResourceNotFoundException") {
		t.Errorf("somebody unknown: %v", err)
	}
}
