package rotation

import (
	"errors"
	"os"
	"syscall"
	"testing"
)

// smallDisk mounts a file system of 8 MiB.
func smallDisk(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=8m,mode=0700")
	if errors.Is(err, syscall.EPERM) && os.Getenv("CI") == "" {
		t.Skip("a full disk needs a file system of its own, which only root can mount: run this test as root")
	}
	if err != nil {
		t.Fatalf("mount a small file system: %v; run this test as root", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(folder, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return folder
}
