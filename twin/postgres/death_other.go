//go:build !linux

package postgres

import "syscall"

// dieWithUs cannot be had here: a server outlives a parent that was killed.
func dieWithUs(*syscall.SysProcAttr) (unlock func()) { return func() {} }
