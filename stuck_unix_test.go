//go:build unix

package main

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A write to a socket that nobody reads stands in the kernel and cannot be called
// back. The exit must not wait for it, and nothing is lost.
func TestStopWithStuckWrite(t *testing.T) {
	y := newYard(t, "configpath: {a: {path: ./a.log, start: beginning}}\nshutdown_timeout: 200ms")
	y.write("a.log", strings.Repeat(strings.Repeat("x", 1023)+"\n", 4096))
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	must(t, err)
	near, far := os.NewFile(uintptr(fds[0]), "near"), os.NewFile(uintptr(fds[1]), "far")
	defer near.Close()
	p := outside(t, y.dir, far)
	far.Close()
	addr := p.ready()
	eventually(t, "reading", func() bool {
		n := metric(addr, `logcatchsys_read_records_total{output="stdout",source="a"}`)
		return n != "" && n != "0"
	})
	began := time.Now()
	p.cmd.Process.Signal(syscall.SIGTERM)
	if code := p.wait(); code != exitStopped || time.Since(began) > 3*time.Second {
		t.Errorf("exit code %d after %s", code, time.Since(began))
	}
	p.err.waitFor(t, "stands in a write that does not end")
	q := outside(t, y.dir, nil, "--once")
	if code := q.wait(); code != 0 || strings.Count(q.out.String(), "\n") != 4096 {
		t.Errorf("exit code %d, %d lines", code, strings.Count(q.out.String(), "\n"))
	}
}
