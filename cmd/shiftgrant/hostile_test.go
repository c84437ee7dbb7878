package main

import (
	"net/http"
	"strings"
	"testing"
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
