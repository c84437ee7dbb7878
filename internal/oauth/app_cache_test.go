package oauth_test

import (
	"testing"
	"time"
)

func TestAnAppIsLookedUpOnceASecond(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, token := w.connect("alice", public)
	before := w.store.count("App")
	for range 3 {
		answer := w.refresh(public, token)
		if answer.status != 200 {
			t.Fatalf("refresh: %d %s", answer.status, answer.text)
		}
		token = answer.string("refresh_token")
	}
	if got := w.store.count("App") - before; got > 1 {
		t.Errorf("three refreshes in a second looked the app up %d times", got)
	}
	w.pass(time.Second)
	before = w.store.count("App")
	if answer := w.refresh(public, token); answer.status != 200 {
		t.Fatalf("refresh: %d %s", answer.status, answer.text)
	}
	if got := w.store.count("App") - before; got != 1 {
		t.Errorf("a second later the app was looked up %d times, want once", got)
	}
}
