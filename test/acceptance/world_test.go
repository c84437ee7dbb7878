package acceptance

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/person"
)

// Secrets that are given to the gateways, for the canaries to look for.
const (
	portalSecret = "canary-portal-secret-2d9f1c"
	upstreamName = "twin"
)

var sharedKey = base64.StdEncoding.EncodeToString([]byte("canary-of-a-sealing-key-32-bytes"))

// A world is what is started here: the twin, and two gateways on one PostgreSQL.
type world struct {
	twin     *twin.Twin
	front    *tunnel // before the gateways; its address is the issuer
	link     *tunnel // between the gateways and PostgreSQL
	keys     string  // folder of the signing keys that the gateways share
	ca       string  // file of the warehouse's authority
	gateways []*gateway

	mu        sync.Mutex
	next      int
	made      int // databases
	warehouse *pgx.Conn
}

// startWorld gives a target whose gateways both serve one issuer.
func startWorld(t *testing.T) *target {
	t.Helper()
	listener := listen(t)
	w := &world{keys: t.TempDir(), ca: filepath.Join(t.TempDir(), "ca.pem")}
	issuer := urlOf(listener)
	started, err := twin.Start(t.Context(), twin.Config{
		Listen: "127.0.0.1:0", Dir: filepath.Join(folder, "twin"), Issuer: issuer,
		GatewayRedirectURIs: []string{issuer + "/signin/callback/" + upstreamName}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.twin = started
	t.Cleanup(func() {
		if err := started.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		if w.warehouse != nil {
			_ = w.warehouse.Close(context.Background())
		}
	})
	if err := os.WriteFile(w.ca, started.Authority(), 0o600); err != nil {
		t.Fatal(err)
	}
	w.link = startTunnel(listen(t), w.dialDatabase)
	t.Cleanup(w.link.close)
	g := &target{
		url: issuer, scope: "sql:read warehouse:tickit offline_access", world: w,
		phone:  client{id: "phone", redirect: loopbackRedirect},
		tablet: client{id: "tablet", redirect: loopbackRedirect},
		portal: client{id: "portal", secret: portalSecret, redirect: "https://portal.example/callback"},
		people: map[string]*person.Person{}, secrets: map[string]string{},
	}
	dsn := w.newDatabase(t)
	apps, _ := vectorApps(t)
	for range 2 {
		one := w.startGateway(t, gatewayOptions{issuer: issuer, dsn: dsn, apps: apps})
		w.gateways = append(w.gateways, one)
	}
	w.front = startTunnel(listener, w.dialGateway)
	t.Cleanup(w.front.close)
	return g
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

func portOf(listener net.Listener) int { return listener.Addr().(*net.TCPAddr).Port }

func urlOf(listener net.Listener) string { return fmt.Sprintf("http://localhost:%d", portOf(listener)) }

// dialGateway reaches one gateway after the other, of those that live.
func (w *world) dialGateway() (net.Conn, error) {
	for range w.gateways {
		w.mu.Lock()
		one := w.gateways[w.next%len(w.gateways)]
		w.next++
		w.mu.Unlock()
		if connection, err := net.Dial("tcp", strings.TrimPrefix(one.address(), "http://")); err == nil {
			return connection, nil
		}
	}
	return nil, errors.New("no gateway lives")
}

func (w *world) dialDatabase() (net.Conn, error) {
	folder, port := w.twin.Postgres.Socket()
	return net.Dial("unix", filepath.Join(folder, fmt.Sprintf(".s.PGSQL.%d", port)))
}

// postgres connects to a database of the twin's server as its superuser, past the tunnel.
func (w *world) postgres(t testing.TB, database string) *pgx.Conn {
	t.Helper()
	folder, port := w.twin.Postgres.Socket()
	connection, err := pgx.Connect(context.Background(), fmt.Sprintf("postgres://rdsdb@/%s?host=%s&port=%d&sslmode=disable", database, folder, port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close(context.Background()) })
	return connection
}

// superuser is a connection to the warehouse's database that is kept.
func (w *world) superuser(t testing.TB) *pgx.Conn {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.warehouse == nil {
		folder, port := w.twin.Postgres.Socket()
		var err error
		if w.warehouse, err = pgx.Connect(context.Background(), fmt.Sprintf("postgres://rdsdb@/%s?host=%s&port=%d&sslmode=disable", twin.Database, folder, port)); err != nil {
			t.Fatal(err)
		}
	}
	return w.warehouse
}

// foreignToken is one that a gateway with another store has issued, and takes.
func (a *attempt) foreignToken() string {
	a.Helper()
	listener := listen(a)
	other := a.world.startGateway(a, gatewayOptions{issuer: urlOf(listener), upstreams: newUpstream(a).yaml("own")})
	front := startTunnel(listener, func() (net.Conn, error) { return net.Dial("tcp", strings.TrimPrefix(other.address(), "http://")) })
	a.Cleanup(front.close)
	elsewhere := &target{url: urlOf(listener), scope: a.scope, phone: a.phone, people: map[string]*person.Person{}, secrets: map[string]string{}, world: a.world}
	held := elsewhere.connect(a, "alice", a.phone, a.scope)
	if !elsewhere.works(a, elsewhere.url, held.Access) {
		a.Fatal("the other gateway does not take its own token")
	}
	return held.Access
}

// mend lets the gateways reach their database again, and waits until they have noticed.
func (w *world) mend(t testing.TB) {
	t.Helper()
	w.link.setCut(false)
	for _, one := range w.gateways {
		for deadline := time.Now().Add(30 * time.Second); !one.isReady(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("gateway %s is not ready again:\n%s", one.name, one.log.tail(10))
			}
		}
	}
}

// newDatabase makes an empty one for gateways to keep their store in. Each query carries its
// text, so that the tunnel can see which it is.
func (w *world) newDatabase(t testing.TB) (dsn string) {
	t.Helper()
	w.made++
	name := fmt.Sprint("gateway", w.made)
	if _, err := w.postgres(t, "postgres").Exec(t.Context(), "CREATE DATABASE "+name+" TEMPLATE template0"); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("postgres://rdsdb@127.0.0.1:%d/%s?sslmode=disable&default_query_exec_mode=exec", portOf(w.link.listener), name)
}

// A gateway is a process of the real program.
type gateway struct {
	name     string
	folder   string // its data
	config   string // its configuration file
	dsn      string
	out, log *buffer

	mu         sync.Mutex
	url        string // where it listens
	operations string
	command    *exec.Cmd
	ended      chan struct{}
}

// address is where it listens, or did when it last lived.
func (g *gateway) address() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.url
}

type gatewayOptions struct {
	issuer    string
	dsn       string // "" for SQLite
	upstreams string // YAML; "" is the twin's IdP
	more      string // YAML
	apps      string // YAML, beside ours
	aws       string // where AWS answers; "" is the twin
}

// startGateway starts one that ends with the test.
func (w *world) startGateway(t testing.TB, options gatewayOptions) *gateway {
	t.Helper()
	data := t.TempDir()
	g := &gateway{name: filepath.Base(data), folder: data, config: filepath.Join(t.TempDir(), "shiftgrant.yaml"), dsn: options.dsn, out: &buffer{}, log: &buffer{}}
	if err := os.WriteFile(g.config, []byte(w.configuration(g, options)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := g.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.end(syscall.SIGTERM)
		if t.Failed() {
			t.Logf("the last words of gateway %s:\n%s", g.name, g.log.tail(20))
		}
	})
	return g
}

func (w *world) configuration(g *gateway, options gatewayOptions) string {
	store := ""
	if options.dsn != "" {
		store = "store: {dsn: env:ACCEPTANCE_DSN}\n"
	}
	upstreams := options.upstreams
	if upstreams == "" {
		upstreams = fmt.Sprintf("  - {name: %s, issuer: %q, client_id: %s, client_secret: env:ACCEPTANCE_UPSTREAM, scopes: [openid, profile, email, offline_access]}\n",
			upstreamName, w.twin.IdPIssuer(), twin.ClientID)
	}
	aws := cmp.Or(options.aws, w.twin.URL())
	warehouse := fmt.Sprintf("region: %s, cluster: %s, database: %s, data_api_endpoint: %q, redshift_endpoint: %q, identity: {role_arn: %q, audience: %s, sts_endpoint: %q}",
		twin.Region, twin.Cluster, twin.Database, aws, aws, twin.RoleARN, twin.Audience, aws)
	return fmt.Sprintf(`issuer: %s
listen: 127.0.0.1:0
data: %s
operations: {listen: "127.0.0.1:0"}
log: {level: debug, format: json}
%skeys: {seal: env:ACCEPTANCE_KEY, rotation: env:ACCEPTANCE_KEY, issuer: %s}
upstreams:
%swarehouses:
  - {name: tickit, transport: wire, host: %q, ca: %q, %s}
  - {name: slow, transport: dataapi, %s}
apps:
  - {id: phone, name: Phone, type: public, redirect_uris: [%q]}
  - {id: tablet, name: Tablet, type: public, redirect_uris: [%q]}
  - {id: portal, name: Portal, type: confidential, secret: env:ACCEPTANCE_PORTAL, redirect_uris: ["https://portal.example/callback"]}
%slimits: {token_requests_per_minute: 1000000, failed_client_auth_per_hour: 1000000}
%s`, options.issuer, g.folder, store, w.keys, upstreams, w.twin.WireAddress(), w.ca, warehouse, warehouse,
		loopbackRedirect, loopbackRedirect, options.apps, options.more)
}

// start runs the gateway until it is ready.
func (g *gateway) start() error {
	from := len(g.log.String())
	g.command = exec.Command(binary, "serve", "--config", g.config)
	g.command.Env = append(os.Environ(), "ACCEPTANCE_UPSTREAM="+twin.DefaultClientSecret, "ACCEPTANCE_DSN="+g.dsn, "ACCEPTANCE_KEY=1 "+sharedKey, "ACCEPTANCE_PORTAL="+portalSecret)
	g.command.Stdout, g.command.Stderr = g.out, g.log
	if err := g.command.Start(); err != nil {
		return err
	}
	g.ended = make(chan struct{})
	go func() {
		defer close(g.ended)
		_ = g.command.Wait() // how it ends is for the test to say
	}()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		select {
		case <-g.ended:
			return fmt.Errorf("gateway %s ended at its start:\n%s", g.name, g.log)
		default:
		}
		if g.listening(g.log.String()[from:]) && g.isReady() {
			return nil
		}
	}
	g.end(syscall.SIGKILL)
	return fmt.Errorf("gateway %s is not ready after a minute:\n%s", g.name, g.log)
}

// listening reads the addresses from the log.
func (g *gateway) listening(log string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.url, g.operations = "", ""
	for text := range strings.Lines(log) {
		var line struct{ Msg, What, Address string }
		if json.Unmarshal([]byte(text), &line) != nil || line.Msg != "listening" {
			continue
		}
		switch line.What {
		case "gateway":
			g.url = "http://" + line.Address
		case "operations":
			g.operations = "http://" + line.Address
		}
	}
	return g.url != "" && g.operations != ""
}

func (g *gateway) isReady() bool {
	response, err := http.Get(g.address() + "/readyz")
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// end signals the process and waits for it. It may have ended before.
func (g *gateway) end(signal syscall.Signal) {
	_ = g.command.Process.Signal(signal)
	<-g.ended
}

// admin runs a command of the operator at this gateway.
func (g *gateway) admin(t testing.TB, arguments ...string) (string, error) {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), binary, append(arguments, "--data", g.folder)...).CombinedOutput()
	return string(output), err
}

// buffer collects what a process prints while a test may read it.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (b *buffer) tail(lines int) string {
	all := strings.Split(strings.TrimSpace(b.String()), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
