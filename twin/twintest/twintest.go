// Package twintest starts the twin for a test and ends it with the test. It is apart from
// package twin so that no program links package testing.
package twintest

import (
	"log/slog"
	"testing"

	"github.com/shiftgrant/shiftgrant/twin"
)

// Start starts a twin on a free port. What config leaves out is chosen for a test: a
// temporary database, and no log. A machine without PostgreSQL fails the test with the remedy.
func Start(t testing.TB, config twin.Config) *twin.Twin {
	t.Helper()
	if config.Listen == "" {
		config.Listen = "127.0.0.1:0"
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	started, err := twin.Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := started.Close(); err != nil {
			t.Errorf("close twin: %v", err)
		}
	})
	return started
}
