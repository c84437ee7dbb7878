package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/oauth2"

	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/person"
	"github.com/shiftgrant/shiftgrant/twin/wire"
)

// A world is the twin, with one more port that takes a password which psql can send, and the
// programs to measure.
type world struct {
	folder   string
	remove   bool
	binary   string
	self     string
	twin     *twin.Twin
	port     *wire.Server
	password string
	rows     int

	address string // of the gateway, host:port
	gateway *process
	naive   *process
	naiveAt string // host:port
	token   string
}

const (
	clientID     = "bench"
	clientSecret = "a-secret-of-the-benchmark-and-of-nothing-else"
	redirectURI  = "https://app.example/callback"
	databaseUser = "alice"
	table        = "sandbox.bench_rows"
	patience     = 15 * time.Second // of starting anything
)

func newWorld(ctx context.Context, o options) (*world, error) {
	w := &world{folder: o.folder, rows: o.rows, password: rand.Text()}
	if o.folder == "" {
		made, err := os.MkdirTemp("", "shiftgrant-bench-")
		if err != nil {
			return nil, err
		}
		w.folder, w.remove = made, true
	}
	// PostgreSQL does not run as root, and has to get through.
	if err := os.Chmod(w.folder, 0o711); err != nil {
		return w, err
	}
	var err error
	if w.self, err = os.Executable(); err != nil {
		return w, err
	}
	w.binary = filepath.Join(w.folder, "shiftgrant")
	build := exec.CommandContext(ctx, "go", "build", "-o", w.binary, "github.com/shiftgrant/shiftgrant/cmd/shiftgrant")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return w, fmt.Errorf("build the gateway: %w\n%s", err, output)
	}
	if w.address, err = freeAddress(); err != nil {
		return w, err
	}
	w.twin, err = twin.Start(ctx, twin.Config{
		Listen: "127.0.0.1:0", Dir: filepath.Join(w.folder, "twin"), Issuer: "http://" + w.address,
		GatewayRedirectURIs: []string{"http://" + w.address + "/signin/callback/twin"},
	})
	if err != nil {
		return w, err
	}
	if err := w.openPort(ctx); err != nil {
		return w, err
	}
	if err := w.fill(ctx); err != nil {
		return w, err
	}
	if err := w.startNaive(ctx); err != nil {
		return w, err
	}
	if err := w.startGateway(ctx, ""); err != nil {
		return w, err
	}
	w.token, err = w.signIn(ctx)
	return w, err
}

func (w *world) close() error {
	var errs []error
	for _, p := range []*process{w.gateway, w.naive} {
		if p != nil {
			errs = append(errs, p.stop())
		}
	}
	if w.port != nil {
		errs = append(errs, w.port.Close())
	}
	if w.twin != nil {
		errs = append(errs, w.twin.Close())
	}
	if w.remove {
		errs = append(errs, os.RemoveAll(w.folder))
	}
	return errors.Join(errs...)
}

// openPort opens a port like Redshift's whose password psql and pgx can send.
func (w *world) openPort(ctx context.Context) error {
	certificate, _, authority, err := wire.NewCertificate(time.Now())
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(w.folder, "port.pem"), authority, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(w.folder, "twin.pem"), w.twin.Authority(), 0o600); err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	w.port = wire.Serve(listener, wire.Config{
		Database: w.twin.Postgres, Certificate: certificate, Method: wire.MD5,
		Password: func(login string, right func(string) bool) (string, error) {
			if login != databaseUser || !right(w.password) {
				return "", &wire.Denial{Message: "wrong password"}
			}
			return login, nil
		},
	})
	return nil
}

// dsn is how psql and pgx get to the port.
func (w *world) dsn() string {
	query := url.Values{"sslmode": {"verify-full"}, "sslrootcert": {filepath.Join(w.folder, "port.pem")}}
	port := w.port.Address().(*net.TCPAddr).Port
	return (&url.URL{
		Scheme: "postgres", User: url.UserPassword(databaseUser, w.password), Host: net.JoinHostPort("localhost", strconv.Itoa(port)), Path: "/dev", RawQuery: query.Encode(),
	}).String()
}

// socket is how psql gets to PostgreSQL itself.
func (w *world) socket() string {
	folder, port := w.twin.Postgres.Socket()
	return (&url.URL{Scheme: "postgres", User: url.User(databaseUser), Path: "/dev", RawQuery: url.Values{"host": {folder}, "port": {strconv.Itoa(port)}, "sslmode": {"disable"}}.Encode()}).String()
}

// fill makes the table: eight columns of as many types, with a few NULLs and quotes.
func (w *world) fill(ctx context.Context) error {
	connection, err := w.twin.Postgres.Connect(ctx, databaseUser, "dev")
	if err != nil {
		return err
	}
	defer connection.Close(ctx)
	for _, sql := range []string{
		"create table " + table + ` as select
			n::bigint as id,
			(n::bigint * 7919 % 1000003)::integer as customer,
			(n % 100000 / 100.0)::numeric(12,2) as price,
			n / 7.0::double precision as ratio,
			n % 3 = 0 as paid,
			date '2020-01-01' + (n % 2000)::integer as day,
			timestamp '2020-01-01' + n * interval '37.25 seconds' as at,
			case when n % 50 = 0 then null when n % 1000 = 1 then 'a "quoted", line' else 'order number ' || n end::varchar(64) as note
		from generate_series(1, ` + strconv.Itoa(w.rows) + ") as n",
		"alter table " + table + " add primary key (id)",
		"vacuum analyze " + table,
	} {
		if _, err := connection.Exec(ctx, sql).ReadAll(); err != nil {
			return fmt.Errorf("make the table: %w", err)
		}
	}
	return nil
}

func (w *world) startNaive(ctx context.Context) error {
	var err error
	if w.naiveAt, err = freeAddress(); err != nil {
		return err
	}
	w.naive, err = start(ctx, w.naiveAt, []string{"BENCH_DSN=" + w.dsn()}, w.self, "-serve-naive", w.naiveAt)
	return err
}

// startGateway starts the gateway, its audit record in the data folder or elsewhere.
func (w *world) startGateway(ctx context.Context, auditFile string) error {
	config := fmt.Sprintf(`
issuer: http://%s
listen: 127.0.0.1:%s
data: %s
log: {level: warn}
upstreams:
  - {name: twin, issuer: %s, client_id: %s, client_secret: env:BENCH_IDP_SECRET}
warehouses:
  - {name: tickit, region: us-east-1, cluster: tickit, database: dev, transport: wire, host: %q, ca: %q,
     data_api_endpoint: %q, redshift_endpoint: %q, identity: {role_arn: %q, sts_endpoint: %q}}
apps:
  - {id: %s, name: Benchmark, type: confidential, redirect_uris: [%s], secret: env:BENCH_APP_SECRET, access_token_lifetime: 1h}
limits: {statements_per_person: 64, statements_per_person_minute: 100000000, token_requests_per_minute: 1000000}
`, w.address, w.address[strings.LastIndexByte(w.address, ':')+1:], filepath.Join(w.folder, "gateway"), w.twin.IdPIssuer(), twin.ClientID,
		w.twin.WireAddress(), filepath.Join(w.folder, "twin.pem"), w.twin.URL(), w.twin.URL(), twin.RoleARN, w.twin.URL(), clientID, redirectURI)
	if auditFile != "" {
		config += fmt.Sprintf("audit: {file: %q}\n", auditFile)
	}
	path := filepath.Join(w.folder, "gateway.yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return err
	}
	var err error
	w.gateway, err = start(ctx, w.address, []string{"BENCH_IDP_SECRET=" + twin.DefaultClientSecret, "BENCH_APP_SECRET=" + clientSecret}, w.binary, "serve", "--config", path)
	return err
}

// signIn gives an access token of a person who signed in and consented.
func (w *world) signIn(ctx context.Context) (string, error) {
	app := oauth2.Config{
		ClientID: clientID, ClientSecret: clientSecret, RedirectURL: redirectURI, Scopes: []string{"sql:read", "sql:write"},
		Endpoint: oauth2.Endpoint{AuthURL: "http://" + w.address + "/oauth2/authorize", TokenURL: "http://" + w.address + "/oauth2/token", AuthStyle: oauth2.AuthStyleInHeader},
	}
	verifier := oauth2.GenerateVerifier()
	back, err := person.New(databaseUser, twin.Password).Authorize(ctx, app.AuthCodeURL("state", oauth2.S256ChallengeOption(verifier)), person.Allow)
	if err != nil {
		return "", fmt.Errorf("sign in: %w: %s", err, w.gateway.log.String())
	}
	token, err := app.Exchange(ctx, back.Query().Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		return "", fmt.Errorf("exchange the code: %w", err)
	}
	return token.AccessToken, w.checkTransport(ctx, token.AccessToken)
}

// checkTransport makes sure that what is measured is what the table says.
func (w *world) checkTransport(ctx context.Context, token string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.address+"/v1/warehouses", nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var listed struct{ Warehouses []struct{ Transport string } }
	if err := json.NewDecoder(response.Body).Decode(&listed); err != nil {
		return err
	}
	if len(listed.Warehouses) != 1 || listed.Warehouses[0].Transport != "wire" {
		return fmt.Errorf("the gateway does not use the wire: %+v", listed)
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

// A process is a server.
type process struct {
	command *exec.Cmd
	log     *strings.Builder
}

func (p *process) pid() int { return p.command.Process.Pid }

// start runs a program until it answers.
func start(ctx context.Context, address string, environment []string, program string, arguments ...string) (*process, error) {
	p := &process{exec.Command(program, arguments...), &strings.Builder{}}
	p.command.Env = append(os.Environ(), environment...)
	p.command.Stderr = p.log
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	for begun := time.Now(); time.Since(begun) < patience && ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
		response, err := http.Get("http://" + address + "/healthz")
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return p, nil
			}
		}
	}
	return nil, errors.Join(fmt.Errorf("%s does not answer: %s", program, p.log.String()), p.stop())
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
