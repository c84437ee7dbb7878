// Package postgres starts a private, real PostgreSQL that plays the part of an Amazon
// Redshift database in development and tests.
//
// It is a stand-in and says so: select version() answers PostgreSQL. What is real are the
// database users, their rights and row-level security, so that "bob may not read this" is
// decided by a database and not by our code. A few of Redshift's own words are translated
// ([Translate]) or given as functions.
//
// It is no production database. Whoever can open the folder of its unix socket can connect as
// anybody, which is why that folder belongs to one user and nothing listens on the network.
package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Database is the name of the database that Start prepares, Redshift's default.
const Database = "dev"

// superuser owns the cluster and the sample data. Nobody may log in as it from outside.
const superuser = "rdsdb"

// startPatience ends a start that hangs, also where the caller gave no limit.
const startPatience = 2 * time.Minute

// port only names the socket file: nothing listens on TCP.
const port = 5439

var (
	// ErrNotInstalled says that this machine has no PostgreSQL server.
	ErrNotInstalled = errors.New("PostgreSQL's server is not installed: install it (Debian, Ubuntu: apt-get install postgresql) or set BinDir to the folder of postgres and initdb")
	// ErrFolder says that the data folder cannot be used; the text says why and the remedy.
	ErrFolder = errors.New("the database's folder cannot be used")
	// ErrClosed says that the server was closed, or ended.
	ErrClosed = errors.New("the database is closed")
)

// A LoginError says that there is no such user, or none who may log in from outside. Its text
// is the one that Redshift's clients get to see.
type LoginError struct{ User string }

func (e *LoginError) Error() string {
	return fmt.Sprintf("FATAL: password authentication failed for user %q", e.User)
}

// Config says where the database lives.
type Config struct {
	// Dir keeps the data from one start to the next. Empty: a temporary folder, removed by
	// Close, with the durability switched off that a throw-away database does not need.
	Dir string
	// BinDir is where initdb and postgres are. Empty: PATH, then /usr/lib/postgresql.
	BinDir string
	// Logger gets PostgreSQL's own log at debug level; nil discards it.
	Logger *slog.Logger
}

// A Server is a running PostgreSQL.
type Server struct {
	log       *slog.Logger
	bin       string
	account   *account // whom it runs as; nil: ourselves
	data      string
	sockets   string
	address   *pgconn.Config // of the socket
	temporary []string       // removed by Close
	durable   bool

	process *os.Process
	output  *tail
	ended   chan struct{} // closed when the process has ended
	closing sync.Once
	failure error // of Close
}

// Start makes or reuses a database cluster, starts it, and loads the sample data if it has
// none. ctx limits the start only, which takes seconds; Close ends the server.
func Start(ctx context.Context, config Config) (*Server, error) {
	bin, err := findBinaries(config.BinDir)
	if err != nil {
		return nil, err
	}
	log := config.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Server{log: log, bin: bin, output: &tail{log: log}, ended: make(chan struct{})}
	if s.account, err = unprivileged(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	if err := s.start(ctx, config.Dir); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) start(ctx context.Context, dir string) error {
	if err := s.prepareFolders(dir); err != nil {
		return err
	}
	if err := s.parseAddress(); err != nil {
		return err
	}
	if err := s.initialise(ctx); err != nil {
		return err
	}
	if err := s.launch(); err != nil {
		return err
	}
	if err := s.awaitReady(ctx); err != nil {
		return err
	}
	if err := s.load(ctx); err != nil {
		return fmt.Errorf("load the sample data: %w", err)
	}
	return nil
}

// findBinaries returns the folder that holds both initdb and postgres, the newest of several.
func findBinaries(dir string) (string, error) {
	if dir != "" {
		if !hasBinaries(dir) {
			return "", fmt.Errorf("%w (there is no initdb and postgres in %s)", ErrNotInstalled, dir)
		}
		return dir, nil
	}
	if path, err := exec.LookPath("postgres"); err == nil && hasBinaries(filepath.Dir(path)) {
		return filepath.Dir(path), nil
	}
	candidates, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", fmt.Errorf("look for PostgreSQL: %w", err)
	}
	slices.SortFunc(candidates, func(a, b string) int { return majorOf(b) - majorOf(a) })
	for _, candidate := range candidates {
		if hasBinaries(candidate) {
			return candidate, nil
		}
	}
	return "", ErrNotInstalled
}

func hasBinaries(dir string) bool {
	for _, name := range []string{"initdb", "postgres"} {
		if _, err := exec.LookPath(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}

// majorOf reads 15 from /usr/lib/postgresql/15/bin.
func majorOf(bin string) int {
	major, err := strconv.Atoi(filepath.Base(filepath.Dir(bin)))
	if err != nil {
		return 0
	}
	return major
}

// prepareFolders makes the data folder, and a folder for the socket whose path is short: the
// kernel takes 107 bytes, which the folder of --keep may well exceed.
func (s *Server) prepareFolders(dir string) error {
	root, err := temporaryFolder(s.account)
	if err != nil {
		return err
	}
	s.temporary = append(s.temporary, root)
	s.sockets = filepath.Join(root, "run")
	if err := s.account.makeFolder(s.sockets); err != nil {
		return err
	}
	if dir == "" {
		s.data = filepath.Join(root, "data")
		return s.account.makeFolder(s.data)
	}
	s.durable = true
	if s.data, err = filepath.Abs(dir); err != nil {
		return fmt.Errorf("%w: %w", ErrFolder, err)
	}
	if err := os.MkdirAll(filepath.Dir(s.data), 0o755); err != nil {
		return unusable(err)
	}
	if err := s.account.mayEnter(filepath.Dir(s.data)); err != nil {
		return err
	}
	return s.account.makeFolder(s.data)
}

// initialise runs initdb in an empty folder. A folder with a cluster is left as it is; one with
// anything else is not ours to fill.
func (s *Server) initialise(ctx context.Context) error {
	entries, err := os.ReadDir(s.data)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFolder, err)
	}
	if len(entries) > 0 {
		if _, err := os.Stat(filepath.Join(s.data, "PG_VERSION")); err != nil {
			return fmt.Errorf("%w: %s is not empty and holds no database: choose another folder", ErrFolder, s.data)
		}
		return s.checkVersion(ctx)
	}
	initdb := exec.CommandContext(ctx, filepath.Join(s.bin, "initdb"), "--pgdata="+s.data, "--username="+superuser,
		"--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions", "--wal-segsize=4")
	initdb.SysProcAttr = s.account.attributes()
	initdb.Dir = "/"
	initdb.Env = environment()
	if output, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("run initdb in %s: %w: %s", s.data, err, bytes.TrimSpace(output))
	}
	return nil
}

// checkVersion gives a clear line in place of PostgreSQL's FATAL one.
func (s *Server) checkVersion(ctx context.Context) error {
	kept, err := os.ReadFile(filepath.Join(s.data, "PG_VERSION"))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFolder, err)
	}
	// "postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)"
	output, err := exec.CommandContext(ctx, filepath.Join(s.bin, "postgres"), "--version").Output()
	if err != nil {
		return fmt.Errorf("ask PostgreSQL for its version: %w", err)
	}
	_, version, _ := strings.Cut(strings.TrimSpace(string(output)), ") ")
	major := strings.TrimSpace(string(kept))
	if !strings.HasPrefix(version, major+".") && version != major {
		return fmt.Errorf("%w: %s was made by PostgreSQL %s, and %s has version %s: use that version or remove the folder", ErrFolder, s.data, major, s.bin, version)
	}
	return nil
}

// settings of the server. Nothing listens on the network; the socket's folder is private.
func (s *Server) settings() []string {
	settings := map[string]string{
		"listen_addresses":                "",
		"unix_socket_directories":         s.sockets,
		"unix_socket_permissions":         "0700",
		"port":                            strconv.Itoa(port),
		"max_connections":                 "600", // 500 sessions of the Data API, and their waiting room
		"shared_buffers":                  "64MB",
		"dynamic_shared_memory_type":      "mmap", // /dev/shm is tiny in containers
		"max_parallel_workers_per_gather": "0",
		"wal_level":                       "minimal", // lets the bulk load skip the log
		"max_wal_senders":                 "0",
		"synchronous_commit":              "off",
		"timezone":                        "UTC",
		"log_timezone":                    "UTC",
		"datestyle":                       "ISO, MDY",
		"jit":                             "off",
		"logging_collector":               "off",
		"log_statement":                   "none",
		"log_min_messages":                "fatal",
		"log_min_error_statement":         "panic", // never write people's SQL to the log
		"autovacuum_naptime":              "5min",
	}
	if !s.durable {
		settings["fsync"] = "off"
		settings["full_page_writes"] = "off"
	}
	arguments := []string{"-D", s.data}
	for name, value := range settings {
		arguments = append(arguments, "-c", name+"="+value)
	}
	return arguments
}

// launch starts the postmaster in a process group of its own, so that Ctrl-C in the terminal
// reaches us first.
func (s *Server) launch() error {
	command := exec.Command(filepath.Join(s.bin, "postgres"), s.settings()...)
	command.SysProcAttr = s.account.attributes()
	command.SysProcAttr.Setpgid = true
	command.Dir = "/"
	command.Env = environment()
	command.Stdout, command.Stderr = s.output, s.output
	// A server that does not close its output in time must not keep Wait, and with it Close.
	command.WaitDelay = time.Second

	started := make(chan error)
	go func() {
		// The kernel sends the parent-death signal when the *thread* that started the child
		// ends, so this one has to stay.
		unlock := dieWithUs(command.SysProcAttr)
		defer unlock()
		err := command.Start()
		started <- err
		if err != nil {
			return
		}
		if err := command.Wait(); err != nil {
			s.log.Debug("postgres ended", "error", err)
		}
		close(s.ended)
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", command.Path, err)
	}
	s.process = command.Process
	return nil
}

// awaitReady asks until the server answers, or has ended.
func (s *Server) awaitReady(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := s.greet(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.ended:
			return fmt.Errorf("PostgreSQL ended while starting: %s", s.output.text())
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL was not ready in time: %w: %w: %s", ctx.Err(), err, s.output.text())
		case <-tick.C:
		}
	}
}

// greet connects once. A server that accepts while it starts, and then says nothing, must not hold
// up the next try.
func (s *Server) greet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := s.connect(ctx, superuser, "postgres")
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// Connect opens a connection as a database user, with the rights of that user and no more. An
// unknown user is a *LoginError.
func (s *Server) Connect(ctx context.Context, user, database string) (*pgconn.PgConn, error) {
	if user == superuser || user == "" {
		return nil, &LoginError{User: user}
	}
	conn, err := s.connect(ctx, user, database)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "28000" { // invalid_authorization_specification
		return nil, &LoginError{User: user}
	}
	return conn, err
}

func (s *Server) connect(ctx context.Context, user, database string) (*pgconn.PgConn, error) {
	select {
	case <-s.ended:
		return nil, ErrClosed
	default:
	}
	config := s.address.Copy()
	config.User, config.Database = user, database
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect to database %s: %w", database, err)
	}
	return conn, nil
}

// parseAddress makes the template of all connections. ParseConfig also reads the environment's
// PG… variables: what they may have brought in is overwritten.
func (s *Server) parseAddress() error {
	address, err := pgconn.ParseConfig(fmt.Sprintf("host=%s port=%d user=x database=x sslmode=disable", s.sockets, port))
	if err != nil {
		return fmt.Errorf("read the environment's PG… variables: %w", err)
	}
	address.Password = ""
	address.Fallbacks, address.ValidateConnect = nil, nil
	address.RuntimeParams = map[string]string{"application_name": "twin"}
	s.address = address
	return nil
}

// Socket is the folder and the port by which psql finds the server: psql -h folder -p port.
func (s *Server) Socket() (folder string, number int) { return s.sockets, port }

// Done is closed when the server has ended, by Close or by itself.
func (s *Server) Done() <-chan struct{} { return s.ended }

// Close stops the server and removes every temporary folder it made. It may be called twice.
func (s *Server) Close() error {
	s.closing.Do(func() {
		s.stop()
		for _, folder := range s.temporary {
			s.failure = errors.Join(s.failure, os.RemoveAll(folder))
		}
	})
	return s.failure
}

// stop asks for PostgreSQL's fast shutdown, which ends sessions and writes a checkpoint, then
// for the immediate one, then kills.
func (s *Server) stop() {
	if s.process == nil {
		return
	}
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT} {
		_ = s.process.Signal(signal) // it may have ended: then ended is closed
		select {
		case <-s.ended:
			return
		case <-time.After(10 * time.Second):
			s.log.Warn("postgres does not stop", "signal", signal)
		}
	}
	_ = syscall.Kill(-s.process.Pid, syscall.SIGKILL) // as above
	<-s.ended
}

// environment is small and fixed: PG… variables of the caller must not reach the server.
func environment() []string {
	return []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
}

// tail keeps the last lines that PostgreSQL wrote, for the error of a failed start.
type tail struct {
	log  *slog.Logger
	mu   sync.Mutex
	kept []byte
}

func (t *tail) Write(p []byte) (int, error) {
	const most = 4 << 10
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if excess := len(t.kept) - most; excess > 0 {
		t.kept = append(t.kept[:0], t.kept[excess:]...)
	}
	t.log.Debug("postgres", "log", string(bytes.TrimSpace(p)))
	return len(p), nil
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.kept))
}
