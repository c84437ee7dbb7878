package admin_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/admin"
)

// ring has one kind of key.
type ring struct{ keys []admin.Key }

func (r *ring) Keys() []admin.Key { return r.keys }

func (r *ring) Rotate(kind string, after time.Duration) (admin.Key, error) {
	if kind != "issuer" {
		return admin.Key{}, fmt.Errorf("%w: there is only issuer", admin.ErrRefused)
	}
	key := admin.Key{Kind: kind, ID: after.String()}
	r.keys = append(r.keys, key)
	return key, nil
}

func TestKeysAreRotatedOnRecord(t *testing.T) {
	t.Parallel()
	f := start(t)
	key, err := f.RotateKey(t.Context(), "issuer", 24*time.Hour)
	if err != nil || key.ID != "24h0m0s" {
		t.Fatalf("%+v, %v", key, err)
	}
	if keys, err := f.Keys(t.Context()); err != nil || !slices.Equal(keys, []admin.Key{key}) {
		t.Errorf("%+v, %v", keys, err)
	}
	if !slices.Equal(f.audit, []string{"key.rotated"}) {
		t.Errorf("audit %q", f.audit)
	}
	if _, err := f.RotateKey(t.Context(), "seal", 0); err == nil || !strings.Contains(err.Error(), "there is only issuer") {
		t.Errorf("a kind that there is not: %v", err)
	}
	if _, err := f.RotateKey(t.Context(), "issuer", -time.Hour); err == nil || !strings.Contains(err.Error(), "names no key") {
		t.Errorf("a time ago: %v", err)
	}
	f.auditFails = true
	if _, err := f.RotateKey(t.Context(), "issuer", 0); err == nil || len(f.store.keys.keys) != 1 {
		t.Errorf("without a record: %v", err)
	}
}
