package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// cpuOf is the processor time of a process, from proc(5): fields 14 and 15 in hundredths of a
// second, which is what USER_HZ is on Linux.
func cpuOf(pid int) time.Duration {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(content[bytes.LastIndexByte(content, ')')+2:]))
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// forgetPeak begins a new peak of a process's memory, where the kernel can.
func forgetPeak(pid int) { _ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0) }

// peakOf is the most memory that a process held since (VmHWM), in bytes.
func peakOf(pid int) int64 {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(content)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kilobytes, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			if err != nil {
				return 0
			}
			return kilobytes << 10
		}
	}
	return 0
}

// record lets perf watch the gateway until it is stopped.
func (w *world) record(path string) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	perf := exec.Command("perf", "record", "-q", "-g", "-F", "997", "-o", path, "-p", strconv.Itoa(w.gateway.pid()))
	perf.Stderr = os.Stderr
	if err := perf.Start(); err != nil {
		return nil, err
	}
	return func() {
		_ = perf.Process.Signal(os.Interrupt)
		_ = perf.Wait() // it says how it was ended
	}, nil
}
