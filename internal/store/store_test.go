package store_test

import (
	"path/filepath"
	"testing"

	"github.com/shiftgrant/shiftgrant/internal/store"
)

func TestOpen(t *testing.T) {
	s, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "d", "a b#?%.db")})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
