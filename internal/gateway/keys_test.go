package gateway

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/admin"
	"github.com/shiftgrant/shiftgrant/internal/seal"
)

func TestKeyFileIsMadeOnceAndReadAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "seal")
	made, err := new(keyFiles).readOrMake(path)
	if err != nil {
		t.Fatal(err)
	}
	read, err := new(keyFiles).readOrMake(path)
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
		if _, err := new(keyFiles).readOrMake(path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
}

func TestSealingKeyIsRotatedWhileItIsInUse(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	var here keyRing
	if err := here.open(folder, Keys{}, nil); err != nil {
		t.Fatal(err)
	}
	place := seal.Place{Tenant: "default", Owner: "per_1", Purpose: "test"}
	before, err := here.ring.Seal([]byte("secret"), place)
	if err != nil {
		t.Fatal(err)
	}
	sessions, _, err := here.derive("sessions")
	if err != nil {
		t.Fatal(err)
	}
	keys := adminKeys{&here, time.Now}
	if key, err := keys.Rotate(sealKey, 0); err != nil || key.ID != "2" || !key.InUse {
		t.Fatalf("%+v, %v", key, err)
	}
	after, err := here.ring.Seal([]byte("secret"), place)
	if err != nil {
		t.Fatal(err)
	}
	var restarted keyRing
	if err := restarted.open(folder, Keys{}, nil); err != nil {
		t.Fatal(err)
	}
	for name, sealed := range map[string][]byte{"before": before, "after": after} {
		for at, ring := range map[string]*keyRing{"here": &here, "after a restart": &restarted} {
			if _, err := ring.ring.Open(sealed, place); err != nil {
				t.Errorf("sealed %s the rotation, opened %s: %v", name, at, err)
			}
		}
	}
	if key, previous, err := restarted.derive("sessions"); err != nil || string(key) == string(sessions) || len(previous) != 1 || string(previous[0]) != string(sessions) {
		t.Errorf("sessions from before a rotation do not open after a restart: %v", err)
	}
}

func TestConfiguredKeysAreReadAgainAndNotRotatedHere(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "shared")
	one, two := newKey(1), newKey(2)
	if err := new(keyFiles).write(path, []seal.Key{one}); err != nil {
		t.Fatal(err)
	}
	content, err := resolveSecret("file:" + path)
	if err != nil {
		t.Fatal(err)
	}
	ref := SecretRef{content, "file:" + path}
	var here keyRing
	if err := here.open(t.TempDir(), Keys{Seal: ref, Rotation: ref}, nil); err != nil {
		t.Fatal(err)
	}
	keys := adminKeys{&here, time.Now}
	if _, err := keys.Rotate(sealKey, 0); !errors.Is(err, admin.ErrRefused) || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("rotated here: %v", err)
	}
	// Another gateway has read the new line before this one does.
	there, err := seal.NewRing(one, two)
	if err != nil {
		t.Fatal(err)
	}
	place := seal.Place{Tenant: "default", Owner: "per_1", Purpose: "test"}
	sealed, err := there.Seal([]byte("secret"), place)
	if err != nil {
		t.Fatal(err)
	}
	if err := new(keyFiles).write(path, []seal.Key{one, two}); err != nil {
		t.Fatal(err)
	}
	if _, err := here.ring.Open(sealed, place); err != nil {
		t.Error(err)
	}
}
