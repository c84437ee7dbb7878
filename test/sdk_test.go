package test

import (
	"os/exec"
	"testing"
)

// The clients are a module of their own, so that the product does not depend on them; here they run
// with everything else.
func TestAWSsOwnClientsForGoUnderstandTheTwin(t *testing.T) {
	t.Parallel()
	run := exec.CommandContext(t.Context(), "go", "test", "-timeout", "5m", "./...")
	run.Dir = "sdk"
	if output, err := run.CombinedOutput(); err != nil {
		t.Fatalf("go test in test/sdk: %v\n%s", err, output)
	}
}
