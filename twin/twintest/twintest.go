// Package twintest starts the twin for a test and ends it with the test. It is apart from
// package twin so that no program links package testing.
package twintest

import (
	"log/slog"
	"testing"

	"github.com/shiftgrant/shiftgrant/twin"
)

// Start starts a twin on free ports of loopback, and ends it with the test. What the configuration
// leaves out is chosen for a test: a temporary database, and no log; without one the twin plays
// alone and trusts nobody's tokens. A machine without PostgreSQL fails the test with the remedy.
func Start(t testing.TB, config ...twin.Config) *twin.Twin {
	t.Helper()
	var chosen twin.Config
	if len(config) > 1 {
		t.Fatal("start twin: one configuration is enough")
	}
	if len(config) == 1 {
		chosen = config[0]
	}
	if chosen.Listen == "" {
		chosen.Listen = "127.0.0.1:0"
	}
	if chosen.Logger == nil {
		chosen.Logger = slog.New(slog.DiscardHandler)
	}
	started, err := twin.Start(t.Context(), chosen)
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
