//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// sample notes the peak of the memory. The figure of wait4 would not do: Linux hands the peak of the
// process that forked down to the one that was forked.
func (p *child) sample() {
	if n, err := statusBytes(p.pid(), "VmHWM"); err == nil {
		p.peak = n
	}
}

// statusBytes reads a size, in bytes, from /proc/PID/status.
func statusBytes(pid int, key string) (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(data) {
		if fields := bytes.Fields(line); len(fields) == 3 && string(fields[0]) == key+":" {
			kib, err := strconv.ParseInt(string(fields[1]), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("process %d has no %s", pid, key)
}

// cpuSoFar is the processor time of a running process, in nanoseconds' resolution where
// /proc/PID/stat counts in hundredths of a second. Threads that have ended are not in it.
func cpuSoFar(pid int) (time.Duration, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(tasks) == 0 {
		return 0, fmt.Errorf("process %d has no schedstat: %w", pid, os.ErrNotExist)
	}
	var sum time.Duration
	for _, task := range tasks {
		data, err := os.ReadFile(task)
		if err != nil {
			continue // the thread has just ended
		}
		if fields := bytes.Fields(data); len(fields) > 0 {
			ns, err := strconv.ParseInt(string(fields[0]), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", task, err)
			}
			sum += time.Duration(ns)
		}
	}
	return sum, nil
}
