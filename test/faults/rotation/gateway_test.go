package rotation

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
)

// A cluster is one or more gateways behind one address, on one store.
type cluster struct {
	t        *testing.T
	url      string
	front    *proxy // between the apps and the gateways
	link     *proxy // between the gateways and PostgreSQL; nil on SQLite
	gateways []*gateway
	dsn      string // as the gateways see the database
	direct   string // past the proxy
	name     string // of the database
	logs     *os.File

	mu   sync.Mutex
	next int
}

// A gateway is a process that may be dead.
type gateway struct {
	cluster *cluster
	data    string
	config  string

	mu      sync.Mutex
	command *exec.Cmd
	address string // "" while it is dead
	ended   chan struct{}
}

type clusterOptions struct {
	gateways int    // 0: one
	postgres bool   // in place of SQLite
	data     string // of the first; default one that is made
	extra    string // configuration
}

func startCluster(t *testing.T, options clusterOptions) *cluster {
	t.Helper()
	listener := <-fronts
	c := &cluster{t: t, url: urlOf(listener)}
	c.front = startProxy(t, listener, c.dial)
	var err error
	if c.logs, err = os.Create(filepath.Join(t.TempDir(), "log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.tellLogs() })
	if options.postgres {
		c.openDatabase()
	}
	keys := t.TempDir()
	for i := range max(options.gateways, 1) {
		data := options.data
		if data == "" || i > 0 {
			data = t.TempDir()
		}
		g := &gateway{cluster: c, data: data, config: filepath.Join(t.TempDir(), "shiftgrant.yaml")}
		if err := os.WriteFile(g.config, []byte(c.configuration(g.data, keys)+options.extra), 0o600); err != nil {
			t.Fatal(err)
		}
		c.gateways = append(c.gateways, g)
	}
	c.startAll()
	t.Cleanup(func() {
		for _, g := range c.gateways {
			g.kill()
		}
	})
	return c
}

// startAll starts the gateways at the same instant, which is on an empty database the first time.
func (c *cluster) startAll() {
	c.t.Helper()
	var group sync.WaitGroup
	errs := make([]error, len(c.gateways))
	for i, g := range c.gateways {
		group.Go(func() { errs[i] = g.start() })
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) configuration(data, keys string) string {
	config := fmt.Sprintf(`
issuer: %s
listen: 127.0.0.1:0
data: %s
log: {level: info, format: json}
upstreams:
  - {name: twin, issuer: %q, client_id: gateway, client_secret: env:FAULTS_IDP_SECRET}
warehouses:
  - {name: tickit, region: us-east-1, cluster: tickit, database: dev, identity: {role_arn: "arn:aws:iam::123456789012:role/r"}}
apps:
  - {id: phone, name: Phone, type: public, redirect_uris: ["http://127.0.0.1/callback"]}
limits: {token_requests_per_minute: 100000000}
`, c.url, data, upstream.URL+"/idp")
	if c.dsn != "" {
		config += fmt.Sprintf("store: {dsn: env:FAULTS_DSN}\nkeys: {seal: env:FAULTS_SEAL, rotation: env:FAULTS_ROTATION, issuer: %s}\n", keys)
	}
	return config
}

// openDatabase makes an empty database and a proxy before it. Each query carries its text, so
// that the proxy sees which one it is.
func (c *cluster) openDatabase() {
	c.t.Helper()
	database.running(c.t)
	database.mu.Lock()
	database.made++
	c.name = fmt.Sprint("gateway", database.made)
	database.mu.Unlock()
	conn, err := pgx.Connect(c.t.Context(), database.address("postgres"))
	if err == nil {
		_, err = conn.Exec(c.t.Context(), "CREATE DATABASE "+c.name+" TEMPLATE template0")
		err = errors.Join(err, conn.Close(c.t.Context()))
	}
	if err != nil {
		c.t.Fatal(err)
	}
	listener := freeListener(c.t)
	c.link = startProxy(c.t, listener, database.dial)
	c.dsn = "postgres://rdsdb@127.0.0.1:" + portOf(listener) + "/" + c.name + "?sslmode=disable&default_query_exec_mode=exec"
	c.direct = database.address(c.name)
}

// dial reaches one gateway after the other, of those that live.
func (c *cluster) dial() (net.Conn, error) {
	for range c.gateways {
		c.mu.Lock()
		g := c.gateways[c.next%len(c.gateways)]
		c.next++
		c.mu.Unlock()
		if address := g.alive(); address != "" {
			if connection, err := net.Dial("tcp", address); err == nil {
				return connection, nil
			}
		}
	}
	return nil, errors.New("no gateway lives")
}

func (c *cluster) tellLogs() {
	if c.t.Failed() {
		if content, err := os.ReadFile(c.logs.Name()); err == nil {
			lines := strings.Split(string(content), "\n")
			c.t.Logf("the gateways' last words:\n%s", strings.Join(lines[max(0, len(lines)-25):], "\n"))
		}
	}
	_ = c.logs.Close()
}

func (g *gateway) alive() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.address
}

var testKey = "1 " + base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))

// start runs the gateway until it listens.
func (g *gateway) start() error {
	command := exec.Command(binary, "serve", "--config", g.config)
	command.Env = append(os.Environ(), "FAULTS_IDP_SECRET="+idpSecret, "FAULTS_DSN="+g.cluster.dsn, "FAULTS_SEAL="+testKey, "FAULTS_ROTATION="+testKey)
	output, err := command.StderrPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	listening, ended := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		lines := bufio.NewScanner(io.TeeReader(output, g.cluster.logs))
		for lines.Scan() {
			var line struct{ Msg, What, Address string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" && line.What == "gateway" {
				listening <- line.Address
			}
		}
		_ = command.Wait() // killed
	}()
	select {
	case address := <-listening:
		g.mu.Lock()
		defer g.mu.Unlock()
		g.command, g.address, g.ended = command, address, ended
		return awaitAnswer(address)
	case <-ended:
		content, _ := os.ReadFile(g.cluster.logs.Name())
		return fmt.Errorf("the gateway ended at its start:\n%s", content)
	case <-time.After(time.Minute):
		return errors.Join(errors.New("the gateway does not listen after a minute"), command.Process.Kill())
	}
}

// awaitAnswer waits until what listens also serves.
func awaitAnswer(address string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/healthz", nil)
		if err != nil {
			return err
		}
		request.Close = true
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			return response.Body.Close()
		}
		if ctx.Err() != nil {
			return err
		}
	}
}

// kill ends the process at once, as a power cut or the kernel does. It may be dead already.
func (g *gateway) kill() { g.end(syscall.SIGKILL) }

func (g *gateway) end(signal syscall.Signal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.address == "" {
		return
	}
	g.address = ""
	_ = g.command.Process.Signal(signal)
	<-g.ended
}

// killAll ends every gateway, whichever had the request.
func (c *cluster) killAll() {
	for _, g := range c.gateways {
		g.kill()
	}
}

// restart starts those that are dead.
func (c *cluster) restart() {
	c.t.Helper()
	for _, g := range c.gateways {
		if g.alive() == "" {
			if err := g.start(); err != nil {
				c.t.Fatal(err)
			}
		}
	}
}
