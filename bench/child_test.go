//go:build linux

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func begin(t *testing.T, text string) (*child, job) {
	t.Helper()
	b := testBench(t)
	j, release, err := b.job(script(text))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	p, err := script(text).begin(j)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p, j
}

func TestEndReachesTheWholeGroup(t *testing.T) {
	p, j := begin(t, `sleep 60 & echo $! > "$OUT"; echo done >> "$OUT"; wait`)
	if err := waitFor(t.Context(), p, j.out, []byte("done"), patience); err != nil {
		t.Fatal(err)
	}
	if err := p.end(); err != nil {
		t.Error(err)
	}
	if err := p.end(); err != nil {
		t.Errorf("again: %v", err)
	}
	sleeper, _, _ := strings.Cut(read(t, j.out), "\n")
	for deadline := time.Now().Add(10 * time.Second); alive(sleeper); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("what the child had started lives on")
		}
	}
	if p.peak < 1<<10 {
		t.Errorf("peak %d bytes", p.peak)
	}
}

// alive is whether a process is there, and not only waits for its parent to take note of its end.
func alive(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestGoneSaysWhatWasSaidLast(t *testing.T) {
	p, _ := begin(t, `echo first >&2; echo last >&2; exit 7`)
	<-p.done
	err := p.end()
	if err == nil || !strings.Contains(err.Error(), "exit status 7: last") {
		t.Errorf("got %v", err)
	}
}

func TestCPUIsCounted(t *testing.T) {
	p, j := begin(t, `i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done > "$OUT"; exec sleep 60`)
	if err := waitFor(t.Context(), p, j.out, []byte("done"), patience); err != nil {
		t.Fatal(err)
	}
	if so, err := cpuSoFar(p.pid()); err != nil || so <= 0 {
		t.Errorf("so far %v, %v", so, err)
	}
	if n, err := statusBytes(p.pid(), "VmRSS"); err != nil || n <= 0 {
		t.Errorf("RSS %d, %v", n, err)
	}
	if err := p.end(); err != nil || p.cpu() <= 0 {
		t.Errorf("in all %v, %v", p.cpu(), err)
	}
	if _, err := cpuSoFar(p.pid()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of a process that has ended: %v", err)
	}
}

func TestWaitForGivesUp(t *testing.T) {
	p, j := begin(t, `printf 'half a line' > "$OUT"; exec sleep 60`)
	err := waitFor(t.Context(), p, j.out, []byte("half"), 50*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "stood still") {
		t.Errorf("a line without its end: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := waitFor(ctx, p, j.out, []byte("x"), patience); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	p.kill()
	if err := waitFor(t.Context(), p, j.out, []byte("x"), patience); err == nil || !strings.Contains(err.Error(), "ended before") {
		t.Errorf("killed: %v", err)
	}
}

func TestCountLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte(strings.Repeat("line\n", 100_000)+"rest"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := countLines(path); n != 100_000 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := countLines(path + "x"); err == nil {
		t.Error("no error for a file that is not there")
	}
}
