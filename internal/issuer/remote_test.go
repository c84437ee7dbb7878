package issuer

import (
	"context"
	"crypto"
	"crypto/rsa"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A vault keeps a key that nobody sees.
type vault struct {
	private *rsa.PrivateKey
	signs   *rsa.PrivateKey // if it is another one
	fault   error
	asked   int // for the public half
}

func newVault(t *testing.T) *vault {
	t.Helper()
	private, err := generateKey()
	if err != nil {
		t.Fatal(err)
	}
	return &vault{private: private, signs: private}
}

func (v *vault) PublicKey(context.Context) (*rsa.PublicKey, error) {
	v.asked++
	return &v.private.PublicKey, v.fault
}

func (v *vault) Sign(ctx context.Context, digest []byte) ([]byte, error) {
	if err := errors.Join(ctx.Err(), v.fault); err != nil {
		return nil, err
	}
	return rsa.SignPKCS1v15(nil, v.signs, crypto.SHA256, digest)
}

func openBoth(t *testing.T, folder string, now *time.Time, remote ...RemoteKey) (*Issuer, *Keys) {
	t.Helper()
	keys, err := KeyPlaces{Folder: folder, Remote: remote}.Open(t.Context(), *now)
	if err != nil {
		t.Fatal(err)
	}
	made, err := New(Config{URL: issuerURL, Keys: keys, ReservedAudiences: []string{audience}, Now: func() time.Time { return *now }})
	if err != nil {
		t.Fatal(err)
	}
	return made, keys
}

// The move from files to KMS is a rotation like any other: what is published ahead signs later.
func TestKeysMoveFromAFileToKMSAndOn(t *testing.T) {
	t.Parallel()
	folder, now := filepath.Join(t.TempDir(), "keys"), start
	file, err := OpenKeys(folder, now)
	if err != nil {
		t.Fatal(err)
	}
	first, second := newVault(t), newVault(t)
	move, next := start.Add(2*day), start.Add(90*day)
	i, keys := openBoth(t, folder, &now, RemoteKey{"arn:first", move, first}, RemoteKey{"arn:second", next, second})
	places := []string{file.List(now)[0].Place, "arn:first", "arn:second"}
	for _, row := range []struct {
		at     time.Time
		states string
	}{
		{start, "signs published published"},
		{move.Add(-time.Second), "signs published published"},
		{move, "verifies signs published"},
		{move.Add(keepPublished), "over signs published"},
		{next, "over verifies signs"},
		{next.Add(keepPublished), "over over signs"},
	} {
		now = row.at
		var states []string
		for n, key := range keys.List(now) {
			states = append(states, string(key.State))
			if key.Place != places[n] {
				t.Errorf("key %d is in %s", n, key.Place)
			}
		}
		if got := strings.Join(states, " "); got != row.states {
			t.Errorf("at %s: %s, want %s", now, got, row.states)
		}
		token, err := i.Assertion(t.Context(), Subject{ID: "per_1", Audience: audience})
		if err != nil {
			t.Fatal(err)
		}
		verify(t, i, token)
		// Another minute changes nothing, and asks nobody.
		if err := keys.Reload(now); err != nil {
			t.Error(err)
		}
	}
	if first.asked != 1 || second.asked != 1 {
		t.Errorf("the public halves were asked for %d and %d times", first.asked, second.asked)
	}
	// At a later start the first is over: it may have been deleted.
	first.fault = errors.New("deleted")
	i, keys = openBoth(t, folder, &now, RemoteKey{"arn:first", move, first}, RemoteKey{"arn:second", next, second})
	if list := keys.List(now); list[1].State != Over || list[1].ID != "" || strings.Contains(string(i.JWKS()), ",,") {
		t.Errorf("%+v", list)
	}
	if _, err := i.IDToken(t.Context(), IDToken{Subject: "per_1", Audience: "app"}); err != nil {
		t.Error(err)
	}
	now = move // a clock that was set back
	if _, err := i.IDToken(t.Context(), IDToken{Subject: "per_1", Audience: "app"}); err == nil || !strings.Contains(err.Error(), "clock") {
		t.Errorf("%v", err)
	}
	if set := string(i.JWKS()); strings.Contains(set, ",,") || strings.Contains(set, "[,") {
		t.Errorf("published %s", set)
	}
}

func TestWithAKeyInKMSNoFileIsMade(t *testing.T) {
	t.Parallel()
	folder, now := filepath.Join(t.TempDir(), "keys"), start
	i, keys := openBoth(t, folder, &now, RemoteKey{"arn:one", start.Add(-time.Hour), newVault(t)})
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("the folder: %v", err)
	}
	if err := keys.Reload(now); err != nil || len(keys.List(now)) != 1 {
		t.Error(err)
	}
	token, err := i.Assertion(t.Context(), Subject{ID: "per_1", Audience: audience})
	if err != nil {
		t.Fatal(err)
	}
	verify(t, i, token)
	if _, err := i.Export(t.TempDir()); err != nil {
		t.Error(err)
	}
}

func TestWhatIsWrongWithAKeyInKMSIsSaid(t *testing.T) {
	t.Parallel()
	now := start
	folder := filepath.Join(t.TempDir(), "keys")
	gone, ahead := newVault(t), newVault(t)
	gone.fault = errors.New("no such key")
	if _, err := (KeyPlaces{Folder: folder, Remote: []RemoteKey{{"arn:gone", start, gone}}}).Open(t.Context(), now); err == nil || err.Error() != "read signing key arn:gone: no such key" {
		t.Errorf("a key that cannot be read: %v", err)
	}
	if _, err := (KeyPlaces{Folder: folder, Remote: []RemoteKey{{"arn:ahead", start.Add(day), ahead}}}).Open(t.Context(), now); err == nil || !strings.Contains(err.Error(), "begin in the past") {
		t.Errorf("no key whose time has come: %v", err)
	}

	kept := newVault(t)
	i, _ := openBoth(t, folder, &now, RemoteKey{"arn:kept", start, kept})
	ask := func() error {
		_, err := i.Assertion(t.Context(), Subject{ID: "per_1", Audience: audience})
		return err
	}
	kept.fault = errors.New("try again in a moment")
	if err := ask(); err == nil || err.Error() != "sign with key arn:kept: try again in a moment" {
		t.Errorf("a key that does not sign: %v", err)
	}
	kept.fault, kept.signs = nil, ahead.private
	if err := ask(); err == nil || !strings.Contains(err.Error(), "no signature by the key that is published") {
		t.Errorf("another key's signature: %v", err)
	}
	kept.signs = kept.private
	if err := ask(); err != nil {
		t.Error(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := i.Assertion(ended, Subject{ID: "per_1", Audience: audience}); !errors.Is(err, context.Canceled) {
		t.Errorf("for nobody: %v", err)
	}
}
