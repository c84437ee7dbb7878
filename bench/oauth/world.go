package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/person"
)

// A world is the twin, which signs people in and lends its PostgreSQL, and the programs to
// measure.
type world struct {
	folder  string
	remove  bool
	binary  string
	self    string
	twin    *twin.Twin
	gateway string // host:port
	secret  string
	dsn     string // of the gateway's PostgreSQL database, once made
}

// basic is the client's authentication, made by newWorld.
var basic string

func newWorld(ctx context.Context, folder string) (*world, error) {
	w := &world{folder: folder, secret: grant.NewToken(grant.ClientSecret).Reveal()}
	basic = basicAuth(w.secret)
	if folder == "" {
		made, err := os.MkdirTemp("", "shiftgrant-bench-")
		if err != nil {
			return nil, err
		}
		w.folder, w.remove = made, true
	}
	// PostgreSQL does not run as root, and has to get through.
	if err := os.Chmod(w.folder, 0o711); err != nil {
		return nil, err
	}
	var err error
	if w.self, err = os.Executable(); err != nil {
		return nil, err
	}
	w.binary = filepath.Join(w.folder, "shiftgrant")
	build := exec.CommandContext(ctx, "go", "build", "-o", w.binary, "github.com/shiftgrant/shiftgrant/cmd/shiftgrant")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the gateway: %w\n%s", err, output)
	}
	if w.gateway, err = freeAddress(); err != nil {
		return nil, err
	}
	// What this process starts, PostgreSQL among it, stays off the gateway's processor.
	if runtime.NumCPU() > 1 {
		if err := pin(os.Getpid(), 1); err != nil {
			return nil, err
		}
	}
	w.twin, err = twin.Start(ctx, twin.Config{
		Listen: "127.0.0.1:0", Dir: filepath.Join(w.folder, "twin"), Issuer: "http://" + w.gateway,
		GatewayRedirectURIs: []string{"http://" + w.gateway + "/signin/callback/twin"},
	})
	return w, err
}

func (w *world) close() error {
	var err error
	if w.twin != nil {
		err = w.twin.Close()
	}
	if w.remove {
		err = errors.Join(err, os.RemoveAll(w.folder))
	}
	return err
}

// pin keeps a process and what it starts on one processor.
func pin(pid, processor int) error {
	if output, err := exec.Command("taskset", "-a", "-cp", strconv.Itoa(processor), strconv.Itoa(pid)).CombinedOutput(); err != nil {
		return fmt.Errorf("pin to processor %d: %w: %s", processor, err, output)
	}
	return nil
}

func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	return "localhost:" + port, errors.Join(err, listener.Close())
}

// A process is a server on the first processor.
type process struct {
	world   *world
	store   string
	command *exec.Cmd
	log     strings.Builder
}

func (p *process) pid() int { return p.command.Process.Pid }

func (w *world) startGateway(ctx context.Context, store string) (*process, error) {
	config, environment, err := w.configure(ctx, store)
	if err != nil {
		return nil, err
	}
	p := &process{world: w, store: store}
	return p, p.start(ctx, "http://"+w.gateway+"/healthz", environment, w.binary, "serve", "--config", config)
}

// start runs a program on the first processor until it answers.
func (p *process) start(ctx context.Context, probe string, environment []string, program string, arguments ...string) error {
	if runtime.NumCPU() > 1 {
		program, arguments = "taskset", append([]string{"-c", "0", program}, arguments...)
	}
	p.command = exec.Command(program, arguments...)
	p.command.Env = append(os.Environ(), environment...)
	p.command.Stderr = &p.log
	if err := p.command.Start(); err != nil {
		return err
	}
	for begun := time.Now(); time.Since(begun) < patience && ctx.Err() == nil; time.Sleep(200 * time.Microsecond) {
		response, err := http.Get(probe)
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
	}
	return errors.Join(fmt.Errorf("%s does not answer: %s", program, p.log.String()), p.stop())
}

func (p *process) stop() error {
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := p.command.Wait(); err != nil {
		return fmt.Errorf("stop: %w: %s", err, p.log.String())
	}
	return nil
}

// configure writes the gateway's configuration for a store.
func (w *world) configure(ctx context.Context, store string) (path string, environment []string, err error) {
	data := filepath.Join(w.folder, "gateway-"+store)
	config := fmt.Sprintf(`
issuer: http://%s
listen: %s
data: %s
log: {level: warn}
upstreams:
  - {name: twin, issuer: %s, client_id: %s, client_secret: env:BENCH_IDP_SECRET}
warehouses:
  - {name: tickit, region: us-east-1, cluster: tickit, database: dev, data_api_endpoint: %q, identity: {role_arn: %q, sts_endpoint: %q}}
apps:
  - {id: %s, name: Benchmark, type: confidential, redirect_uris: [%s], secret: env:BENCH_APP_SECRET}
limits: {token_requests_per_minute: 100000000}
`, w.gateway, "127.0.0.1:"+w.gateway[strings.LastIndexByte(w.gateway, ':')+1:], data, w.twin.IdPIssuer(), twin.ClientID,
		w.twin.URL(), twin.RoleARN, w.twin.URL(), clientID, redirectURI)
	environment = []string{"BENCH_IDP_SECRET=" + twin.DefaultClientSecret, "BENCH_APP_SECRET=" + w.secret}
	if store == "postgres" {
		dsn, err := w.postgres(ctx)
		if err != nil {
			return "", nil, err
		}
		config += "store: {dsn: env:BENCH_DSN}\n"
		environment = append(environment, "BENCH_DSN="+dsn)
	}
	path = filepath.Join(w.folder, store+".yaml")
	return path, environment, os.WriteFile(path, []byte(config), 0o600)
}

// signIn gives one app connection for each of several browsers, in which somebody has signed in
// and consented.
func (w *world) signIn(ctx context.Context, g *process, count int) ([]*client, error) {
	names := []string{"alice", "bob", "admin"}
	base := &url.URL{Scheme: "http", Host: w.gateway}
	var clients []*client
	for i := range count {
		someone := person.New(names[i%len(names)], twin.Password)
		c := newClient(w.gateway, "")
		request := strings.Fields(string(c.authorize))[1]
		if _, err := someone.Authorize(ctx, base.String()+request, person.Allow); err != nil {
			return nil, fmt.Errorf("sign in: %w: %s", err, g.log.String())
		}
		var cookies []string
		for _, cookie := range someone.Cookies(base) {
			cookies = append(cookies, cookie.Name+"="+cookie.Value)
		}
		clients = append(clients, newClient(w.gateway, strings.Join(cookies, "; ")))
	}
	return clients, nil
}

// measureStart says how long a start with an existing store takes, and what it holds at rest.
func measureStart(ctx context.Context, w *world, store string) error {
	var fastest time.Duration
	var rss int64
	for range 5 {
		begun := time.Now()
		p, err := w.startGateway(ctx, store)
		if err != nil {
			return err
		}
		if took := time.Since(begun); fastest == 0 || took < fastest {
			fastest = took
		}
		time.Sleep(time.Second) // what a start leaves to be collected
		rss = rssOf(p.pid())
		if err := p.stop(); err != nil {
			return err
		}
	}
	fmt.Printf("  start, with this store: %s (the best of 5); at rest %d MB\n", fastest.Round(100*time.Microsecond), rss>>20)
	return nil
}

// postgres makes a database for the gateway in the twin's server, whose commits are durable where
// a session asks for it.
func (w *world) postgres(ctx context.Context) (dsn string, err error) {
	if w.dsn != "" {
		return w.dsn, nil
	}
	folder, port := w.twin.Postgres.Socket()
	address := func(database string) string {
		query := url.Values{"host": {folder}, "port": {strconv.Itoa(port)}, "sslmode": {"disable"}, "synchronous_commit": {"on"}}
		return "postgres://rdsdb@/" + database + "?" + query.Encode()
	}
	connection, err := pgx.Connect(ctx, address("postgres"))
	if err != nil {
		return "", fmt.Errorf("make the gateway's database: %w", err)
	}
	name := "gateway_" + strings.ToLower(rand.Text())
	_, err = connection.Exec(ctx, "CREATE DATABASE "+name+" TEMPLATE template0")
	if err := errors.Join(err, connection.Close(ctx)); err != nil {
		return "", fmt.Errorf("make the gateway's database: %w", err)
	}
	w.dsn = address(name)
	return w.dsn, nil
}
