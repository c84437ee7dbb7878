package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// What a gateway, or a table in Redshift, says is shown on a terminal and given to shells and files.
func TestOthersGiveNoOrders(t *testing.T) {
	t.Parallel()
	if got, want := printableLines("ERROR: \x1b]0;x\a\u009b2J\u202e\u2066\n\thint"), "ERROR: \ufffd]0;x\ufffd\ufffd2J\ufffd\ufffd\n\thint"; got != want {
		t.Errorf("%q is shown, want %q", got, want)
	}
	for _, name := range []string{"$(id)", "a b", "a\nb", "-x", ""} {
		if got := completion(name, ""); got != nil {
			t.Errorf("%q is completed as %q", name, got)
		}
	}
	if got := completion("sales", "Sales\n$(id)\x1b[2J"); len(got) != 1 || strings.ContainsAny(got[0], "\n\x1b") {
		t.Errorf("completed as %q", got)
	}
	good := databaseLogin{Host: "h", Database: "dev", User: "IAM:ann", Password: "p:\\"}
	if err := good.check(); err != nil {
		t.Error(err)
	}
	for _, bad := range []databaseLogin{{Host: "h\n*"}, {User: "ann\x1b[2J"}, {Password: "p\n*:*:*:*:p"}, {Token: "t\r"}} {
		if bad.check() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

// A service of libpq's wins over the host and the certificate that are asked for by variables.
func TestThePasswordGoesToTheWarehouseAlone(t *testing.T) {
	t.Setenv("PGSERVICE", "other")
	t.Setenv("PGHOSTADDR", "192.0.2.1")
	command := &cobra.Command{}
	command.SetContext(t.Context())
	var environment strings.Builder
	command.SetOut(&environment)
	if err := execWithPassword(command, []string{"env"}, databaseLogin{Host: "warehouse.example", Port: 5439, Password: "secret"}); err != nil {
		t.Fatal(err)
	}
	variables := strings.Split(environment.String(), "\n")
	if !slices.Contains(variables, "PGHOST=warehouse.example") || !slices.Contains(variables, "PGSSLMODE=verify-full") {
		t.Errorf("the program has not got where to go:\n%s", &environment)
	}
	for _, line := range variables {
		if strings.HasPrefix(line, "PGSERVICE=") || strings.HasPrefix(line, "PGHOSTADDR=") {
			t.Errorf("the program is led elsewhere: %s", line)
		}
	}
}

// A page in a browser may reach loopback, by a name of its own too, and may have been told the path.
func TestTokensAreForProgramsAlone(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	var messages strings.Builder
	endpoint, err := openTokenEndpoint("default", &messages)
	if err != nil {
		t.Fatal(err)
	}
	defer endpoint.close()
	for _, c := range []struct {
		name   string
		change func(*http.Request)
		want   int
	}{
		{"the program", func(*http.Request) {}, http.StatusBadGateway}, // nobody is signed in
		{"another name for this machine", func(r *http.Request) { r.Host = "rebound.example" }, http.StatusForbidden},
		{"a page", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, http.StatusForbidden},
		{"a page without an origin", func(r *http.Request) { r.Header.Set("Origin", "null") }, http.StatusForbidden},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint.url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		c.change(request)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != c.want {
			t.Errorf("%s got status %d, want %d", c.name, response.StatusCode, c.want)
		}
	}
}
