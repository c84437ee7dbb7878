package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// The scripts under testdata/script drive this program as a process of its own. Beside the
// commands of testscript they have:
//
//	freeport NAME…         put free ports of loopback into the environment
//	occupy PORT            listen on it until the script ends
//	answers URL            wait until it answers with 200
//	refuses PORT           fail if something listens there
//	mode OCTAL FILE…       fail unless the files have these permissions
//	oneline FILE           fail unless it is one line
//	stale SOCKET           leave a socket behind that nobody listens on
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"shiftgrant": main})
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			// A unix socket's path is limited to about 100 bytes, which a script's folder exceeds.
			short, err := os.MkdirTemp("", "sg")
			if err != nil {
				return err
			}
			env.Defer(func() { _ = os.RemoveAll(short) })
			env.Setenv("SHORT", short)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"freeport": freePort, "occupy": occupy, "answers": answers, "refuses": refuses,
			"mode": checkMode, "oneline": oneLine, "stale": staleSocket,
		},
	})
}

func freePort(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		// All are held until the last is found, so that they differ.
		defer listener.Close()
		_, port, err := net.SplitHostPort(listener.Addr().String())
		ts.Check(err)
		ts.Setenv(name, port)
	}
}

func occupy(ts *testscript.TestScript, _ bool, args []string) {
	listener, err := net.Listen("tcp", "127.0.0.1:"+args[0])
	ts.Check(err)
	ts.Defer(func() { _ = listener.Close() })
}

// answers polls: there is nothing else to wait on that a person starting the gateway would see.
func answers(ts *testscript.TestScript, _ bool, args []string) {
	client := http.Client{Timeout: time.Second}
	last := error(nil)
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		response, err := client.Get(args[0])
		if err != nil {
			last = err
			continue
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if response.StatusCode == http.StatusOK {
			return
		}
		last = fmt.Errorf("status %d", response.StatusCode)
	}
	ts.Fatalf("%s does not answer: %v", args[0], last)
}

func refuses(ts *testscript.TestScript, _ bool, args []string) {
	if conn, err := net.Dial("tcp", "127.0.0.1:"+args[0]); err == nil {
		_ = conn.Close()
		ts.Fatalf("something listens on %s", args[0])
	}
}

func checkMode(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args[1:] {
		info, err := os.Stat(ts.MkAbs(name))
		ts.Check(err)
		if got := fmt.Sprintf("%o", info.Mode().Perm()); got != args[0] {
			ts.Fatalf("%s has mode %s, want %s", name, got, args[0])
		}
	}
}

func oneLine(ts *testscript.TestScript, _ bool, args []string) {
	if text := ts.ReadFile(args[0]); strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") {
		ts.Fatalf("%s is not one line: %q", args[0], text)
	}
}

func staleSocket(ts *testscript.TestScript, _ bool, args []string) {
	path := args[0]
	if !filepath.IsAbs(path) {
		path = ts.MkAbs(path)
	}
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	ts.Check(err)
	ts.Check(syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}))
	ts.Check(syscall.Close(fd)) // which leaves the file
}
