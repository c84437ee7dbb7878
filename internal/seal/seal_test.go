package seal_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/shiftgrant/shiftgrant/internal/seal"
)

func ring(t *testing.T, versions ...uint32) *seal.Ring {
	t.Helper()
	var keys []seal.Key
	for _, v := range versions {
		keys = append(keys, seal.Key{Version: v, Bytes: bytes.Repeat([]byte{byte(v)}, seal.KeySize)})
	}
	r, err := seal.NewRing(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var home = seal.Place{Tenant: "default", Owner: "per_1", Purpose: "upstream-token"}

func TestSealedValueOpensOnlyInItsPlace(t *testing.T) {
	t.Parallel()
	r := ring(t, 1)
	sealed, err := r.Seal([]byte("refresh"), home)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte("refresh")) {
		t.Fatal("sealed value shows the plain one")
	}
	plain, err := r.Open(sealed, home)
	if err != nil || string(plain) != "refresh" {
		t.Fatalf("Open in its place = %q, %v", plain, err)
	}
	for _, other := range []seal.Place{
		{Tenant: "other", Owner: "per_1", Purpose: "upstream-token"},
		{Tenant: "default", Owner: "per_2", Purpose: "upstream-token"},
		{Tenant: "default", Owner: "per_1", Purpose: "session"},
		{Tenant: "defaultper_1", Owner: "", Purpose: "upstream-token"},
	} {
		if _, err := r.Open(sealed, other); !errors.Is(err, seal.ErrOpen) {
			t.Errorf("Open in %+v = %v, want ErrOpen", other, err)
		}
	}
}

func TestEveryAlteredBitIsNoticed(t *testing.T) {
	t.Parallel()
	r := ring(t, 1)
	sealed, err := r.Seal([]byte("refresh"), home)
	if err != nil {
		t.Fatal(err)
	}
	for i := range sealed {
		for bit := range 8 {
			altered := bytes.Clone(sealed)
			altered[i] ^= 1 << bit
			if _, err := r.Open(altered, home); !errors.Is(err, seal.ErrOpen) {
				t.Fatalf("byte %d bit %d altered: %v, want ErrOpen", i, bit, err)
			}
		}
	}
	for n := range sealed {
		if _, err := r.Open(sealed[:n], home); !errors.Is(err, seal.ErrOpen) {
			t.Fatalf("cut to %d bytes: %v, want ErrOpen", n, err)
		}
	}
}

func TestNewestKeySealsAndOldOnesStillOpen(t *testing.T) {
	t.Parallel()
	old, err := ring(t, 1).SealText([]byte("x"), home)
	if err != nil {
		t.Fatal(err)
	}
	both := ring(t, 1, 2)
	if plain, err := both.OpenText(old, home); err != nil || string(plain) != "x" {
		t.Fatalf("open a value of key 1 with keys 1 and 2 = %q, %v", plain, err)
	}
	fresh, err := both.SealText([]byte("x"), home)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ring(t, 1).OpenText(fresh, home); !errors.Is(err, seal.ErrOpen) {
		t.Fatalf("key 1 opens what key 2 sealed: %v", err)
	}
	if _, err := both.OpenText(fresh+"\n", home); !errors.Is(err, seal.ErrOpen) {
		t.Fatalf("a second spelling of a value opens: %v", err)
	}
}

func TestRingRefusesBadKeys(t *testing.T) {
	t.Parallel()
	good := bytes.Repeat([]byte{1}, seal.KeySize)
	for name, keys := range map[string][]seal.Key{
		"none":      nil,
		"short":     {{Version: 1, Bytes: good[:31]}},
		"version 0": {{Version: 0, Bytes: good}},
		"twice":     {{Version: 1, Bytes: good}, {Version: 1, Bytes: good}},
	} {
		if _, err := seal.NewRing(keys...); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
