package gateway

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestKeyFileIsMadeOnceAndReadAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "seal")
	made, err := readKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	read, err := readKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(made) != 1 || len(read) != 1 || string(made[0].Bytes) != string(read[0].Bytes) {
		t.Errorf("made %v, read %v", made, read)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("%d files left, want the key file alone", len(entries))
	}
}

func TestKeyFileFaultsAreNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		content string
		mode    os.FileMode
		want    string
	}{
		"readable by others": {"1 AAAA\n", 0o644, "chmod 600"},
		"empty":              {"", 0o600, "restore it"},
		"no version":         {"AAAA\n", 0o600, "line 1"},
		"no base64":          {"# note\n1 ???\n", 0o600, "line 2"},
	} {
		path := filepath.Join(t.TempDir(), "seal")
		if err := os.WriteFile(path, []byte(c.content), c.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := readKeys(path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
}
