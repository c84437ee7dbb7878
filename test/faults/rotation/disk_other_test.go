//go:build !linux

package rotation

import "testing"

func smallDisk(t *testing.T) string {
	t.Helper()
	t.Skip("a full disk needs a small file system, which this test mounts on Linux only")
	return ""
}
