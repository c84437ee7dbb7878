package grant_test

import (
	"os"
	"strings"
	"testing"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

func TestRedirectURIMatchesExactly(t *testing.T) {
	t.Parallel()
	file, err := os.ReadFile("testdata/redirect_uris.tsv")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(file)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(fields) != 4 {
			t.Fatalf("row %q has %d fields, want 4", line, len(fields))
		}
		rows++
		registered, requested, expect, why := fields[0], fields[1], fields[2], fields[3]
		got := "allow"
		if grant.CheckRedirectURI(registered) != nil || !grant.MatchRedirectURI([]string{registered}, requested) {
			got = "reject"
		}
		if got != expect {
			t.Errorf("registered %q, requested %q: %s, want %s (%s)", registered, requested, got, expect, why)
		}
	}
	if rows < 28 {
		t.Errorf("read %d rows, want all 28 of the vectors", rows)
	}
}

func TestRedirectURIThatMayNotBeRegistered(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{
		"", "/cb", "//good.example/cb", "https:good.example/cb", "https:///cb", "https://good.example/cb#",
		"https://good.example/a/../cb", "https://good.example/./cb", "https://a@good.example/cb",
		"https://good.example/cb\n", "https://good.example/ä", "javascript:alert(1)", "data:text/html,x",
		"http://10.0.0.1/cb", "http://127.0.0.1.evil.example/cb", "myapp:/cb", `https://good.example\@evil/cb`,
		"https://good.example/%2e%2e/cb",
	} {
		if err := grant.CheckRedirectURI(uri); err == nil {
			t.Errorf("CheckRedirectURI(%q) = nil, want a refusal", uri)
		}
	}
	for _, uri := range []string{
		"https://good.example/cb", "https://good.example", "https://good.example:8443/cb?x=1",
		"http://localhost:3000/cb", "http://[::1]/cb", "com.example.app:/cb",
	} {
		if err := grant.CheckRedirectURI(uri); err != nil {
			t.Errorf("CheckRedirectURI(%q) = %v, want nil", uri, err)
		}
	}
}

func FuzzMatchRedirectURI(f *testing.F) {
	f.Add("http://127.0.0.1:3000/cb", "http://127.0.0.1:51004/cb")
	f.Add("http://localhost/cb", "http://localhost:password@evil.example/cb")
	f.Fuzz(func(t *testing.T, registered, requested string) {
		if !grant.MatchRedirectURI([]string{registered}, requested) || registered == requested {
			return
		}
		if !grant.IsLoopbackURI(registered) || !grant.IsLoopbackURI(requested) {
			t.Errorf("%q matches %q, and they are not both loopback", requested, registered)
		}
		if strings.ContainsAny(strings.TrimPrefix(requested, "http://")[:strings.IndexAny(requested[7:]+"/", "/?")], "@\\#") {
			t.Errorf("%q matches %q with a strange authority", requested, registered)
		}
	})
}
