package test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestCommandLine runs the scripts of testdata/cli, which use the command as people do, at a gateway
// of the development world. Each has a home of its own. Beside the commands of testscript there are:
//
//	capture NAME REGEXP FILE   put what the first group of a pattern finds into the environment
//	mode OCTAL FILE…           fail unless the files have these permissions
//	serves URL STATUS          fail unless it answers so
func TestCommandLine(t *testing.T) {
	t.Parallel()
	w := development(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/cli",
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
			"capture": capture, "mode": checkMode, "serves": serves,
		},
	})
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
