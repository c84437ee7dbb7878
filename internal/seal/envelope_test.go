package seal

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
)

func keyOf(version uint32) Key {
	return Key{Version: version, Bytes: bytes.Repeat([]byte{byte(version)}, KeySize)}
}

func ringOf(t testing.TB, versions ...uint32) *Ring {
	t.Helper()
	var keys []Key
	for _, version := range versions {
		keys = append(keys, keyOf(version))
	}
	ring, err := NewRing(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

var token = Place{Tenant: "default", Owner: "per_1", Purpose: "upstream token", Generation: 7}

func TestEnvelopeOpensInItsPlaceOnly(t *testing.T) {
	t.Parallel()
	e := Envelope{ringOf(t, 1)}
	sealed, version, err := e.Seal(t.Context(), []byte("secret"), token)
	if err != nil || version != 1 || bytes.Contains(sealed, []byte("secret")) {
		t.Fatalf("version %d, %v", version, err)
	}
	if plain, err := e.Open(t.Context(), sealed, token); err != nil || string(plain) != "secret" {
		t.Fatalf("%q, %v", plain, err)
	}
	for name, change := range map[string]func(*Place){
		"another tenant":     func(p *Place) { p.Tenant = "other" },
		"another person":     func(p *Place) { p.Owner = "per_2" },
		"another purpose":    func(p *Place) { p.Purpose = "session" },
		"a later generation": func(p *Place) { p.Generation++ },
		"no generation":      func(p *Place) { p.Generation = 0 },
	} {
		place := token
		change(&place)
		if _, err := e.Open(t.Context(), sealed, place); !errors.Is(err, ErrOpen) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range sealed {
		altered := slices.Clone(sealed)
		altered[i] ^= 1
		if _, err := e.Open(t.Context(), altered, token); !errors.Is(err, ErrOpen) {
			t.Errorf("byte %d altered: %v", i, err)
		}
		if _, err := e.Open(t.Context(), sealed[:i], token); !errors.Is(err, ErrOpen) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
}

func TestRewrappedValueOpensWithTheNewKeyAlone(t *testing.T) {
	t.Parallel()
	ring := ringOf(t, 1)
	e := Envelope{ring}
	sealed, _, err := e.Seal(t.Context(), []byte("secret"), token)
	if err != nil {
		t.Fatal(err)
	}
	if err := ring.Replace(keyOf(1), keyOf(2)); err != nil {
		t.Fatal(err)
	}
	again, version, err := e.Rewrap(t.Context(), sealed, token)
	if err != nil || version != 2 {
		t.Fatalf("version %d, %v", version, err)
	}
	if _, err := e.Open(t.Context(), sealed, token); err != nil {
		t.Errorf("the old value, while both keys are there: %v", err)
	}
	if err := ring.Replace(keyOf(2)); err != nil {
		t.Fatal(err)
	}
	if plain, err := e.Open(t.Context(), again, token); err != nil || string(plain) != "secret" {
		t.Errorf("rewrapped: %q, %v", plain, err)
	}
	if _, err := e.Open(t.Context(), sealed, token); !errors.Is(err, ErrOpen) {
		t.Errorf("the old value, without its key: %v", err)
	}
}

// keyService is a wrapper that is away.
type keyService struct{ Wrapper }

var errAway = errors.New("key service is away")

func (keyService) Unwrap(context.Context, []byte, Place) ([]byte, error) { return nil, errAway }

func TestKeyServiceThatIsAwayIsNoRefusal(t *testing.T) {
	t.Parallel()
	e := Envelope{ringOf(t, 1)}
	sealed, _, err := e.Seal(t.Context(), []byte("secret"), token)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (Envelope{keyService{e.Wrapper}}).Open(t.Context(), sealed, token); !errors.Is(err, errAway) || errors.Is(err, ErrOpen) {
		t.Errorf("%v, want the service's error", err)
	}
}

func TestRingReadsItsKeysAgainForAVersionThatItDoesNotHave(t *testing.T) {
	t.Parallel()
	here, there := ringOf(t, 1), ringOf(t, 1, 2)
	sealed, err := there.Seal([]byte("secret"), token)
	if err != nil {
		t.Fatal(err)
	}
	reads := 0
	here.ReloadBy(func() ([]Key, error) {
		reads++
		return []Key{keyOf(1), keyOf(2)}, nil
	})
	if plain, err := here.Open(sealed, token); err != nil || string(plain) != "secret" {
		t.Fatalf("%q, %v", plain, err)
	}
	if newest := here.Newest(); newest != 2 || !slices.Equal(here.Versions(), []uint32{1, 2}) {
		t.Errorf("newest %d of %v", newest, here.Versions())
	}
	made, err := ringOf(t, 9).Seal([]byte("junk"), token)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if _, err := here.Open(made, token); !errors.Is(err, ErrOpen) {
			t.Fatal(err)
		}
	}
	if reads != 1 {
		t.Errorf("%d reads for made-up versions, want none within a second", reads)
	}
}

func TestKeysThatCannotBeReadChangeNothing(t *testing.T) {
	t.Parallel()
	ring := ringOf(t, 1)
	ring.ReloadBy(func() ([]Key, error) { return []Key{{Version: 2}}, nil })
	foreign, err := ringOf(t, 2).Seal([]byte("secret"), token)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ring.Open(foreign, token); !errors.Is(err, ErrOpen) {
		t.Error(err)
	}
	if err := ring.Replace(); err == nil || ring.Newest() != 1 {
		t.Errorf("replaced by nothing: %v, newest %d", err, ring.Newest())
	}
}

func FuzzEnvelopeOpensNothingThatItDidNotSeal(f *testing.F) {
	e := Envelope{ringOf(f, 1)}
	sealed, _, err := e.Seal(f.Context(), []byte("secret"), token)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed[1:])
	f.Add([]byte{enveloped, 0, 0})
	f.Fuzz(func(t *testing.T, value []byte) {
		if bytes.Equal(value, sealed) {
			return
		}
		if _, err := e.Open(t.Context(), value, token); !errors.Is(err, ErrOpen) {
			t.Errorf("%x: %v", value, err)
		}
	})
}
