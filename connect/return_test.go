package connect_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/shiftgrant/shiftgrant/connect"
)

func TestReturnPathsStayInTheApp(t *testing.T) {
	t.Parallel()
	long := "/" + strings.Repeat("a", 500)
	for path, local := range map[string]bool{
		"/": true, "/home": true, "/a/b?c=d&e=%2F": true, "/a#b": true, "/%20": true, "/a//b": true, "/~ann": true, "/a:b": true, "/@evil.example": true,
		"/?next=https://evil.example": true, "/ä": true, long: true,

		"": false, "home": false, "?a": false, "#a": false, "//evil.example": false, "///evil.example": false, "////evil.example": false,
		`/\evil.example`: false, `\/evil.example`: false, `\\evil.example`: false, `/a\b`: false, "/%5Cevil.example": false, "/%5cevil.example": false, "/%2Fevil.example": false,
		"/%2f%2fevil.example": false, "http://evil.example": false, "https://evil.example/": false, "https:evil.example": false, "https:/evil.example": false, "javascript:alert(1)": false,
		"data:text/html,x": false, "/\tevil": false, "/\t/evil.example": false, "/\n/evil.example": false, "\t//evil.example": false, "/\r//evil.example": false, " /home": false,
		"/home ": false, "/a b": false, "/\x00": false, "/\x7f": false, "/%zz": false, ".//evil.example": false, "..//evil.example": false,
		"evil.example/": false, ":80": false, "//user@evil.example": false, "/\v/evil.example": false, "\u2028//evil.example": false,
	} {
		if got := connect.IsLocalPath(path); got != local {
			t.Errorf("%q: %v, want %v", path, got, local)
		}
	}
}

func FuzzReturnPath(f *testing.F) {
	for _, seed := range []string{"/", "/home?x=y", "//evil.example", `/\evil.example`, "/\t/evil.example", "https://evil.example", "/%2f/evil.example"} {
		f.Add(seed)
	}
	base, err := url.Parse("https://app.example/callback")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if !connect.IsLocalPath(path) {
			return
		}
		// As browsers read it: they drop tabs and line ends, and take a backslash for a slash.
		seen := strings.NewReplacer("\t", "", "\n", "", "\r", "", `\`, "/").Replace(strings.TrimSpace(path))
		to, err := base.Parse(seen)
		if err != nil {
			t.Fatalf("%q is no URL: %v", path, err)
		}
		if to.Host != base.Host || to.Scheme != base.Scheme || to.User != nil {
			t.Errorf("%q leads to %s", path, to)
		}
	})
}

func TestWhereLoginReturnsTo(t *testing.T) {
	t.Parallel()
	for asked, want := range map[string]string{"/reports": "/reports", "//evil.example": "/home", "https://evil.example": "/home", "": "/home"} {
		i := newIssuer(t)
		a := newApp(t, i, nil)
		response := a.callback(i.authorize(a.login(t, "/login?"+url.Values{"return_to": {asked}}.Encode())))
		if got := response.Header.Get("Location"); response.StatusCode != http.StatusSeeOther || got != want {
			t.Errorf("%q: %q, want %q", asked, got, want)
		}
	}
}
