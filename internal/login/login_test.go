package login_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/connect"
	"github.com/shiftgrant/shiftgrant/internal/login"
)

// The environment that makes this test a process that uses a login: the folder, the issuer's
// address, whether it is killed between the answer and writing it down, and how often it refreshes
// although it need not.
const (
	childFolder = "LOGIN_TEST_FOLDER"
	childIssuer = "LOGIN_TEST_ISSUER"
	childDies   = "LOGIN_TEST_DIES"
	childRenews = "LOGIN_TEST_RENEWS"
)

func TestMain(m *testing.M) {
	if folder := os.Getenv(childFolder); folder != "" {
		useLogin(folder)
		return
	}
	os.Exit(m.Run())
}

func useLogin(folder string) {
	session := &login.Session{Shelf: &login.Shelf{Folder: folder}, Issuer: remote{}, Now: time.Now, HTTP: http.DefaultClient}
	err := session.Open("work")
	var tokens connect.Tokens
	if err == nil {
		tokens, err = session.Token(context.Background())
	}
	for renews, _ := strconv.Atoi(os.Getenv(childRenews)); err == nil && renews > 0; renews-- {
		tokens, err = session.Renew(context.Background(), tokens.Access)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// remote is an issuer in the parent process.
type remote struct{}

func (remote) Refresh(_ context.Context, refresh string) (connect.Tokens, error) {
	response, err := http.Get(os.Getenv(childIssuer) + "/?refresh=" + refresh)
	if err != nil {
		return connect.Tokens{}, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return connect.Tokens{}, connect.ErrSignedOut
	}
	var tokens connect.Tokens
	if err := json.NewDecoder(response.Body).Decode(&tokens); err != nil {
		return connect.Tokens{}, err
	}
	if os.Getenv(childDies) != "" {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	return tokens, nil
}

func (remote) Revoke(context.Context, connect.Tokens) error { return nil }

// An issuer rotates as the gateway does: it answers the newest refresh token, repeats its last
// answer to the one before, and ends everything for an older one.
type issuer struct {
	mu         sync.Mutex
	generation int
	ended      bool
	refreshed  int
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	presented, err := strconv.Atoi(strings.TrimPrefix(r.URL.Query().Get("refresh"), "refresh-"))
	switch {
	case err != nil || i.ended || presented < i.generation-1:
		i.ended = true
		w.WriteHeader(http.StatusBadRequest)
		return
	case presented == i.generation:
		i.generation++
		i.refreshed++
	}
	_ = json.NewEncoder(w).Encode(connect.Tokens{Access: fmt.Sprintf("access-%d", i.generation), Refresh: fmt.Sprintf("refresh-%d", i.generation), Expires: time.Now().Add(time.Hour)})
}

// world is a shelf with a login whose access token has expired, and its issuer.
func world(t *testing.T) (*login.Shelf, *issuer, []string) {
	t.Helper()
	shelf, gateway := &login.Shelf{Folder: t.TempDir()}, &issuer{}
	server := httptest.NewServer(gateway)
	t.Cleanup(server.Close)
	put(t, shelf, connect.Tokens{Access: "access-0", Refresh: "refresh-0", Expires: time.Now()})
	return shelf, gateway, append(os.Environ(), childFolder+"="+shelf.Folder, childIssuer+"="+server.URL)
}

func put(t *testing.T, shelf *login.Shelf, tokens connect.Tokens) {
	t.Helper()
	if _, err := shelf.Put(login.Login{Profile: "work", Gateway: "https://grants.example.com", Tokens: tokens}); err != nil {
		t.Fatal(err)
	}
}

func start(t *testing.T, environment []string) *exec.Cmd {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env, command.Stderr = environment, t.Output()
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	return command
}

func TestManyProcessesRefreshOnce(t *testing.T) {
	t.Parallel()
	shelf, gateway, environment := world(t)
	var processes []*exec.Cmd
	for range 24 {
		processes = append(processes, start(t, environment))
	}
	for _, process := range processes {
		if err := process.Wait(); err != nil {
			t.Error(err)
		}
	}
	kept, err := shelf.Load("work")
	if err != nil || kept.Tokens.Refresh != "refresh-1" || gateway.refreshed != 1 {
		t.Errorf("kept %q after %d refreshes, %v; want refresh-1 after one", kept.Tokens.Refresh, gateway.refreshed, err)
	}
}

func TestAProcessKilledBeforeItWroteLosesNothing(t *testing.T) {
	t.Parallel()
	shelf, gateway, environment := world(t)
	if err := start(t, append(environment, childDies+"=yes")).Wait(); err == nil {
		t.Fatal("the process was not killed")
	}
	kept, err := shelf.Load("work")
	if err != nil || kept.Tokens.Refresh != "refresh-0" {
		t.Fatalf("kept %q, %v; want what there was before", kept.Tokens.Refresh, err)
	}
	if err := start(t, environment).Wait(); err != nil {
		t.Fatal(err)
	}
	kept, err = shelf.Load("work")
	if err != nil || kept.Tokens.Refresh != "refresh-1" || gateway.ended {
		t.Errorf("kept %q, ended %v, %v; want refresh-1 of a login that goes on", kept.Tokens.Refresh, gateway.ended, err)
	}
}

// Twenty processes refresh again and again, and as many as can be are killed at whatever they are
// doing: asking, writing, holding the lock.
func TestProcessesThatAreKilledAtAnyMomentLoseNothing(t *testing.T) {
	t.Parallel()
	shelf, gateway, environment := world(t)
	environment = append(environment, childRenews+"=40")
	var killed atomic.Int32
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			for round := range 4 {
				process := start(t, environment)
				if round < 3 {
					time.Sleep(time.Duration(5+(i*37+round*61)%90) * time.Millisecond)
					_ = process.Process.Kill() // it may have ended
				}
				err := process.Wait()
				switch ended := process.ProcessState.Sys().(syscall.WaitStatus); {
				case ended.Signaled():
					killed.Add(1)
				case err != nil:
					t.Errorf("process %d, round %d: %v", i, round, err)
				}
			}
		})
	}
	all.Wait()
	if err := start(t, environment).Wait(); err != nil {
		t.Error(err)
	}
	kept, err := shelf.Load("work")
	if err != nil || gateway.ended || kept.Tokens.Refresh != fmt.Sprintf("refresh-%d", gateway.generation) {
		t.Errorf("kept %q of generation %d, ended %t, %v", kept.Tokens.Refresh, gateway.generation, gateway.ended, err)
	}
	left, err := filepath.Glob(filepath.Join(shelf.Folder, ".new-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	t.Logf("%d processes were killed among %d refreshes", killed.Load(), gateway.refreshed)
	if killed.Load() < 10 || gateway.refreshed < 50 {
		t.Errorf("%d processes were killed among %d refreshes: the test shows little", killed.Load(), gateway.refreshed)
	}
}

func TestAnEndedConnectionForgetsTheLogin(t *testing.T) {
	t.Parallel()
	shelf, gateway, environment := world(t)
	gateway.ended = true
	if err := start(t, environment).Wait(); err == nil {
		t.Error("a refused login was used")
	}
	if _, err := shelf.Load("work"); !errors.Is(err, login.ErrNone) {
		t.Errorf("load: %v, want %v", err, login.ErrNone)
	}
}

// A keyring that is held in memory, and may be locked.
type keyring struct {
	secrets map[string]string
	locked  bool
}

func (k *keyring) Get(name string) (string, error) {
	if secret, ok := k.secrets[name]; ok {
		return secret, nil
	}
	return "", login.ErrNone
}

func (k *keyring) Set(name, secret string) error {
	if k.locked {
		return errors.New("the keyring is locked")
	}
	k.secrets[name] = secret
	return nil
}

func (k *keyring) Delete(name string) error {
	delete(k.secrets, name)
	return nil
}

func TestTokensAreInTheKeyringAndInNoFile(t *testing.T) {
	t.Parallel()
	ring := &keyring{secrets: map[string]string{}}
	shelf := &login.Shelf{Folder: t.TempDir(), Keyring: ring}
	tokens := connect.Tokens{Access: "an access token", Refresh: "a refresh token"}
	put(t, shelf, tokens)
	content, err := os.ReadFile(filepath.Join(shelf.Folder, "work.json"))
	if err != nil || strings.Contains(string(content), "token\"") || strings.Contains(string(content), tokens.Refresh) {
		t.Errorf("the file holds tokens, or cannot be read (%v): %s", err, content)
	}
	kept, err := shelf.Load("work")
	if err != nil || kept.KeptIn != login.InKeyring || kept.Tokens != tokens {
		t.Errorf("kept %+v, %v", kept, err)
	}
	if err := shelf.Delete(kept); err != nil || len(ring.secrets) != 0 {
		t.Errorf("delete: %v, and the keyring holds %d secrets", err, len(ring.secrets))
	}
}

func TestALockedKeyringIsNoObstacle(t *testing.T) {
	t.Parallel()
	shelf := &login.Shelf{Folder: t.TempDir(), Keyring: &keyring{locked: true}}
	put(t, shelf, connect.Tokens{Access: "an access token"})
	kept, err := shelf.Load("work")
	if err != nil || kept.KeptIn != login.InFile || kept.Tokens.Access == "" {
		t.Errorf("kept %+v, %v", kept, err)
	}
	info, err := os.Stat(filepath.Join(shelf.Folder, "work.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v, %v; want 0600", info.Mode(), err)
	}
}

func TestAProfilesNameIsNoPath(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", ".", "..", "../x", "a/b", `a\b`, ".hidden", "x.lock", strings.Repeat("a", 65)} {
		if login.CheckProfile(name) == nil {
			t.Errorf("%q passes for a profile's name", name)
		}
	}
}

func TestWhoWaitsForTheLockCanGiveUp(t *testing.T) {
	t.Parallel()
	shelf := &login.Shelf{Folder: t.TempDir()}
	unlock, err := shelf.Lock(t.Context(), "work")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := shelf.Lock(ctx, "work"); !errors.Is(err, context.Canceled) {
		t.Errorf("lock: %v, want %v", err, context.Canceled)
	}
	unlock()
	again, err := shelf.Lock(t.Context(), "work")
	if err != nil {
		t.Fatal(err)
	}
	again()
}
