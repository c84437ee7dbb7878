package issuer

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// What is exported is served by a web server that knows nothing of us, and verifies what we sign.
func TestExportedFilesVerifyAssertions(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	server := httptest.NewServer(http.FileServer(http.Dir(folder)))
	t.Cleanup(server.Close)
	keys, err := OpenKeys(filepath.Join(t.TempDir(), "keys"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	made, err := New(Config{URL: server.URL, Keys: keys, ReservedAudiences: []string{"redshift-gateway"}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it replaces what is there
		written, err := made.Export(folder)
		if err != nil || len(written) != 2 {
			t.Fatal(written, err)
		}
		for _, path := range written {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o644 {
				t.Errorf("%s: %v, %v", path, info.Mode(), err)
			}
			if around, err := os.ReadDir(filepath.Dir(path)); err != nil || len(around) != 1 {
				t.Errorf("%v beside it, %v", around, err)
			}
		}
	}
	assertion, err := made.Assertion(t.Context(), Subject{ID: "per_1", Audience: "redshift-gateway", DatabaseUser: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	provider, err := oidc.NewProvider(context.Background(), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	verified, err := provider.Verifier(&oidc.Config{ClientID: "redshift-gateway"}).Verify(t.Context(), assertion.Reveal())
	if err != nil || verified.Subject != "per_1" {
		t.Errorf("%+v, %v", verified, err)
	}
}

func TestAFolderThatCannotBeWrittenIsSaid(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := OpenKeys(filepath.Join(t.TempDir(), "keys"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	made, err := New(Config{URL: "https://gateway.example", Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	if written, err := made.Export(file); err == nil || len(written) != 0 {
		t.Errorf("%v, %v", written, err)
	}
}
