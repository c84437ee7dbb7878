package test

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// admin runs a command of the operator against the gateway of a world.
func (w *world) admin(t *testing.T, arguments ...string) string {
	t.Helper()
	output, err := exec.Command(binary, append(arguments, "--data", w.dataFolder())...).CombinedOutput()
	if err != nil {
		t.Fatalf("shiftgrant %s: %v\n%s", strings.Join(arguments, " "), err, output)
	}
	return string(output)
}

// status is that of a query with a token.
func (w *world) status(t *testing.T, token string) string {
	t.Helper()
	return strconv.Itoa(w.query(t, token, "select 1").Status)
}

// One second is promised until a revoked token is refused, and five until its statements have ended.
// `make acceptance` holds the gateway to that (T12), alone on its machine; here all packages' tests
// share it, and a process may not be given its turn for seconds.
const (
	revoked   = 10 * time.Second
	cancelled = 20 * time.Second
)

// T12, with a real database behind it: what is taken away is refused, and what runs is
// cancelled. It has a world of its own, because it keeps people out.
func TestT12RevocationReachesRunningStatements(t *testing.T) {
	t.Parallel()
	w, err := startWorld(filepath.Join(filepath.Dir(sharedFolder), "revoked"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := w.stop(); err != nil {
			t.Error(err)
		}
	})
	admin := w.token(t, "admin")

	alice := w.token(t, "alice")
	ended := make(chan answer, 1)
	go func() { ended <- w.query(t, alice, long("person_gone")) }()
	eventually(t, 10*time.Second, "1", func() string { return w.running(t, admin, "person_gone") })
	if out := w.admin(t, "people", "disable", "alice"); !strings.Contains(out, "alice is disabled") {
		t.Errorf("people disable: %q", out)
	}
	eventually(t, revoked, "401", func() string { return w.status(t, alice) })
	eventually(t, cancelled, "0", func() string { return w.running(t, admin, "person_gone") })
	if got := <-ended; got.Status != http.StatusUnauthorized || !strings.Contains(got.Body, "invalid-token") {
		t.Errorf("the cancelled statement: %d %s", got.Status, got.Body)
	}
	w.admin(t, "people", "enable", "alice")
	eventually(t, revoked, "200", func() string { return w.status(t, alice) })

	body := string(mustJSON(t, map[string]string{"sql": long("grant_gone"), "wait": "0s"}))
	if begun := w.call(t, http.MethodPost, "/v1/statements", alice, body, map[string]string{"Content-Type": "application/json"}); begun.Status != http.StatusAccepted {
		t.Fatalf("submit: %d %s", begun.Status, begun.Body)
	}
	eventually(t, 10*time.Second, "1", func() string { return w.running(t, admin, "grant_gone") })
	if out := w.admin(t, "grants", "revoke", "--person", "alice"); !strings.HasPrefix(out, "revoked 1 grant") {
		t.Errorf("grants revoke: %q", out)
	}
	eventually(t, revoked, "401", func() string { return w.status(t, alice) })
	eventually(t, cancelled, "0", func() string { return w.running(t, admin, "grant_gone") })
	if out := w.admin(t, "grants", "list", "--person", "alice"); strings.Contains(out, "gra_") {
		t.Errorf("grants list: %q", out)
	}

	// Keys are rotated while all this goes on.
	if out := w.admin(t, "keys", "rotate"); !strings.Contains(out, "new seal key 2, in use") {
		t.Errorf("keys rotate: %q", out)
	}
	if out := w.admin(t, "keys", "rotate", "--issuer"); !strings.Contains(out, "published now") {
		t.Errorf("keys rotate --issuer: %q", out)
	}
	if again := w.token(t, "alice"); w.status(t, again) != "200" {
		t.Error("nobody gets a token after the rotation")
	}
}
