package test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/shiftgrant/shiftgrant/internal/secret"
	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
	"github.com/shiftgrant/shiftgrant/redshift/wire"
	"github.com/shiftgrant/shiftgrant/twin"
)

// TestCommandLine runs the scripts of testdata/cli, which use the command as people do, at a gateway
// of the development world. Each has a home of its own. Beside the commands of testscript there are:
//
//	capture NAME REGEXP FILE   put what the first group of a pattern finds into the environment
//	logsin TOKEN TYPE USER     fail unless a token opens Redshift's port for a database user
//	mode OCTAL FILE…           fail unless the files have these permissions
//	serves URL STATUS          fail unless it answers so
func TestCommandLine(t *testing.T) {
	t.Parallel()
	development(t).runScripts(t, "testdata/cli")
}

// TestCommandLineWithIdentityCenter runs those of testdata/center, where people are known by it.
func TestCommandLineWithIdentityCenter(t *testing.T) {
	t.Parallel()
	w, err := startWorld(filepath.Join(filepath.Dir(sharedFolder), "center-cli"), "--chain", "identity_center")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // after the scripts, which are parallel tests beneath this one
		if _, err := w.stop(); err != nil {
			t.Error(err)
		}
	})
	w.runScripts(t, "testdata/center")
}

func (w *world) runScripts(t *testing.T, folder string) {
	t.Helper()
	testscript.Run(t, testscript.Params{
		Dir: folder,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("GATEWAY", w.gateway)
			env.Setenv("TWIN", w.twin)
			env.Setenv("DATA", w.dataFolder())
			env.Setenv("WORLD", w.folder)
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "config"))
			env.Setenv("LOGINS", filepath.Join(env.WorkDir, "config", "shiftgrant", "logins"))
			env.Setenv("BROWSER", "shiftgrant dev browse alice")
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"capture": capture, "logsin": w.logsIn, "mode": checkMode, "serves": serves,
		},
	})
}

// logsIn is a program with a driver that sends tokens.
func (w *world) logsIn(ts *testscript.TestScript, neg bool, args []string) {
	user, err := w.userByToken(args[0], args[1])
	switch {
	case neg && err == nil:
		ts.Fatalf("the token opens the port for %s", user)
	case !neg && (err != nil || user != args[2]):
		ts.Fatalf("the token opens the port for %q, %v; want %s", user, err, args[2])
	}
}

func (w *world) userByToken(token, kind string) (user string, err error) {
	var config struct {
		Warehouses []struct{ Host, CA string }
	}
	content, err := os.ReadFile(filepath.Join(w.folder, "shiftgrant.yaml"))
	if err != nil {
		return "", err
	}
	if err := yaml.Unmarshal(content, &config); err != nil {
		return "", err
	}
	authority, err := os.ReadFile(config.Warehouses[0].CA)
	if err != nil {
		return "", err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	host, port, err := net.SplitHostPort(config.Warehouses[0].Host)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	session, err := wire.Connect(ctx, wire.Config{
		Host: host, Port: port, Database: twin.Database, TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		Login: identity.Login{Token: &identity.Token{Value: secret.New(token), Type: kind, IdentityProvider: "AwsIdc"}},
	})
	if err != nil {
		return "", err
	}
	defer session.Close()
	rows, err := session.Query(ctx, redshift.Statement{SQL: "select current_user"})
	if err != nil {
		return "", err
	}
	defer rows.Close()
	for rows.Next() {
		user = string(rows.Values()[0])
	}
	return user, rows.Err()
}

func capture(ts *testscript.TestScript, _ bool, args []string) {
	found := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile(args[2]))
	if len(found) < 2 {
		ts.Fatalf("%s has nothing that matches %s:\n%s", args[2], args[1], ts.ReadFile(args[2]))
	}
	ts.Setenv(args[0], found[1])
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

func serves(ts *testscript.TestScript, _ bool, args []string) {
	response, err := http.Get(args[0])
	ts.Check(err)
	ts.Check(response.Body.Close())
	if got := fmt.Sprint(response.StatusCode); got != args[1] {
		ts.Fatalf("%s answers %s, want %s", args[0], got, args[1])
	}
}
