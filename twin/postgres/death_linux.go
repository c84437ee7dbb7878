package postgres

import (
	"runtime"
	"syscall"
)

// dieWithUs makes the kernel end the server when we die without a chance to do so: by the fast
// shutdown, which leaves the data in order. The caller must keep its thread until the child has
// ended, and then call what is returned.
func dieWithUs(attributes *syscall.SysProcAttr) (unlock func()) {
	attributes.Pdeathsig = syscall.SIGINT
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}
