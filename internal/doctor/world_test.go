package doctor_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/shiftgrant/shiftgrant/internal/doctor"
	"github.com/shiftgrant/shiftgrant/internal/gateway"
	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/store"
	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/sts"
	"github.com/shiftgrant/shiftgrant/twin/twintest"
)

// TestMain gives the gateway AWS credentials of its own, where its process has them: in the environment.
func TestMain(m *testing.M) {
	own := twin.DeveloperKeys("admin")
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": own.AccessKeyID, "AWS_SECRET_ACCESS_KEY": own.SecretAccessKey, "AWS_SESSION_TOKEN": ""} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// A world is a gateway and the twin, each behind a front that a test can tell to misbehave. In it
// everything is whole for dora, who may read the schema tickit and nothing else.
type world struct {
	twin   *twin.Twin
	folder string
	issuer *front // what AWS and doctor see of the gateway
	aws    *front
	yaml   string // the configuration
}

func newWorld(t *testing.T) *world {
	t.Helper()
	// The path of a unix socket is limited to about 100 bytes.
	folder, err := os.MkdirTemp("", "sg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	w := &world{folder: folder}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.issuer = newFront(t, "http://"+listener.Addr().String())
	w.twin = twintest.Start(t, twin.Config{Issuer: w.issuer.url, GatewayRedirectURIs: []string{w.issuer.url + "/signin/callback/twin"}})
	w.aws = newFront(t, w.twin.URL())
	w.write(t, "client.secret", twin.DefaultClientSecret)
	w.write(t, "ca.pem", string(w.twin.Authority()))
	w.sql(t, `CREATE ROLE dora LOGIN; GRANT USAGE ON SCHEMA tickit TO dora; GRANT SELECT ON ALL TABLES IN SCHEMA tickit TO dora;
		REVOKE TEMP ON DATABASE dev FROM PUBLIC; GRANT TEMP ON DATABASE dev TO bob;
		CREATE ROLE "IAMR:shiftgrant-tickit" LOGIN; GRANT USAGE ON SCHEMA tickit TO "IAMR:shiftgrant-tickit"; GRANT SELECT ON ALL TABLES IN SCHEMA tickit TO "IAMR:shiftgrant-tickit";
		CREATE ROLE "IAMR:shiftgrant-partner" LOGIN; GRANT USAGE ON SCHEMA tickit TO "IAMR:shiftgrant-partner"; GRANT SELECT ON ALL TABLES IN SCHEMA tickit TO "IAMR:shiftgrant-partner";
		CREATE ROLE carol LOGIN; CREATE ROLE sue LOGIN SUPERUSER`)
	w.yaml = fmt.Sprintf(`issuer: %[1]s
data: %[2]s/data
log: {level: error}
upstreams:
  - {name: twin, issuer: "%[3]s", client_id: shiftgrant, client_secret: "file:%[2]s/client.secret"}
warehouses:
  - name: tickit
    region: us-east-1
    cluster: tickit
    database: dev
    transport: auto
    host: %[4]s
    ca: %[2]s/ca.pem
    data_api_endpoint: %[5]s
    redshift_endpoint: %[5]s
    identity: {chain: web_identity, role_arn: "%[6]s", audience: redshift-gateway, sts_endpoint: "%[5]s"}
`, w.issuer.url, folder, w.twin.IdPIssuer(), w.twin.WireAddress(), w.aws.url, twin.RoleARN)
	w.runGateway(t, listener)
	w.signIn(t)
	return w
}

// signIn has dora known to the gateway, by an identity provider that tells no e-mail address.
func (w *world) signIn(t *testing.T) {
	t.Helper()
	opened, err := store.Open(t.Context(), store.Config{Path: filepath.Join(w.folder, "data", gateway.DatabaseFile)})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	_, err = opened.SignIn(t.Context(), grant.Person{ID: "per_dora", Tenant: grant.DefaultTenant, Issuer: w.twin.IdPIssuer(), Subject: "idp|d0", DatabaseUser: "dora", CreatedAt: now, SeenAt: now})
	if err := errors.Join(err, opened.Close()); err != nil {
		t.Fatal(err)
	}
}

func (w *world) runGateway(t *testing.T, listener net.Listener) {
	t.Helper()
	config, err := gateway.ReadConfig(w.write(t, "gateway.yaml", w.yaml))
	if err != nil {
		t.Fatal(err)
	}
	server, err := gateway.New(t.Context(), *config, gateway.Options{Listener: listener, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the gateway ended with %v", err)
		}
	})
}

// write makes a file in the world's folder.
func (w *world) write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(w.folder, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// sql runs statements as the owner of the twin's database.
func (w *world) sql(t *testing.T, statements string) {
	t.Helper()
	folder, port := w.twin.Postgres.Socket()
	ctx := context.WithoutCancel(t.Context()) // it also cleans up
	connection, err := pgconn.Connect(ctx, fmt.Sprintf("host=%s port=%d user=rdsdb dbname=dev", folder, port))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close(ctx)
	if _, err := connection.Exec(ctx, statements).ReadAll(); err != nil {
		t.Fatal(err)
	}
}

// examine runs doctor on the world's configuration with changes, which are pairs of old and new.
func (w *world) examine(t *testing.T, config doctor.Config, changes ...string) *doctor.Report {
	t.Helper()
	if config.File == "" {
		config.File = w.write(t, "changed.yaml", strings.NewReplacer(changes...).Replace(w.yaml))
	}
	report, err := doctor.Examine(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// sts starts a second STS over the same keys, which has asked nobody for anything yet.
func (w *world) sts(t *testing.T, change func(*sts.Config)) string {
	t.Helper()
	_, name, _ := strings.Cut(w.issuer.url, "://")
	config := sts.Config{
		Account: twin.Account, Region: twin.Region, Registry: w.twin.Registry,
		Providers: []sts.Provider{{URL: w.issuer.url, ClientIDs: []string{twin.Audience}}},
		Roles: []sts.Role{{Name: twin.RoleName, ID: "AROATWINDOCTOR0000000", TrustPolicy: fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
			"Principal":{"Federated":"arn:aws:iam::%s:oidc-provider/%s"},"Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession","sts:SetSourceIdentity"]}]}`, twin.Account, name)}},
	}
	change(&config)
	service, err := sts.New(config)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(service)
	t.Cleanup(func() { server.Close(); service.Close() })
	return server.URL
}

// A front passes requests on, except those that a test takes.
type front struct {
	url string

	mu   sync.Mutex
	take func(http.ResponseWriter, *http.Request) bool
}

func newFront(t *testing.T, behind string) *front {
	t.Helper()
	target, err := url.Parse(behind)
	if err != nil {
		t.Fatal(err)
	}
	f := &front{}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // it is signed
		},
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		take := f.take
		f.mu.Unlock()
		if take == nil || !take(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	f.url = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	return f
}

// misbehave takes requests until the test ends.
func (f *front) misbehave(t *testing.T, take func(http.ResponseWriter, *http.Request) bool) {
	t.Helper()
	set := func(take func(http.ResponseWriter, *http.Request) bool) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.take = take
	}
	set(take)
	t.Cleanup(func() { set(nil) })
}

// hangUp ends the connection without an answer.
func hangUp(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }

// closedPort is an address where nobody listens. The port is bound for the length of the test and does
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
	return "localhost:" + strconv.Itoa(address.(*syscall.SockaddrInet4).Port)
}

// silentPort is an address that answers nobody: its queue of connections is full, and nobody takes one.
func silentPort(t *testing.T) string {
	t.Helper()
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { _ = syscall.Close(socket) })
	must(t, syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(t, syscall.Listen(socket, 0))
	bound, err := syscall.Getsockname(socket)
	must(t, err)
	address := "127.0.0.1:" + strconv.Itoa(bound.(*syscall.SockaddrInet4).Port)
	for {
		connection, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		if err != nil {
			return address
		}
		t.Cleanup(func() { _ = connection.Close() })
	}
}

// serveRaw answers each connection to an address of loopback by a function, until the test ends.
func serveRaw(t *testing.T, address string, answer func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				defer connection.Close()
				if err := connection.SetDeadline(time.Now().Add(10 * time.Second)); err == nil {
					answer(connection)
				}
			})
		}
	})
	t.Cleanup(func() {
		if err := listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		group.Wait()
	})
	return listener.Addr().String()
}
