package main

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/command"
	"github.com/logcatchsys/logcatchsys/internal/daemon/e2e"
)

// stick has the tail of k stand still with what it reads first, as on a file system that
// does not answer, until release.
func stick(t *testing.T, k key) (starts func(source string) int64, stuck chan struct{}, release func()) {
	t.Helper()
	stuck, free := make(chan struct{}), make(chan struct{})
	var first sync.Once
	starts = hook(t, func(other key) {
		if other == k {
			first.Do(func() { close(stuck); <-free })
		}
	})
	release = sync.OnceFunc(func() { close(free) })
	t.Cleanup(release) // before the program's end is waited for, if that is started first
	return starts, stuck, release
}

const notEnded = "sources that were stopped have not ended"

// A source that does not end when it is removed holds up nothing but itself.
func TestStuckSourceIsRemovedAndAddedAgain(t *testing.T) {
	y := e2e.NewYard(t, "configpath: {good: ./good.log, bad: ./bad.log}")
	starts, stuck, release := stick(t, key{Source: "bad", Output: "stdout"})
	p := inside(t, "-c", y.Config)
	t.Cleanup(release)
	addr := p.Ready()
	y.Append("bad.log", "one\n")
	<-stuck

	y.Edit("configpath: {good: ./good.log}")
	p.Edits(1)
	p.Ready() // nothing that is wanted waits
	y.Edit("configpath: {good: ./good.log, a: ./a.log}")
	p.Edits(2)
	p.Ready()
	y.Append("a.log", "new\n")
	y.Append("good.log", "old\n")
	p.Out.WaitFor(t, "a: new\n")
	p.Out.WaitFor(t, "good: old\n")
	if said := p.Err.String(); strings.Contains(said, notEnded) {
		t.Errorf("nothing waits, and it says:\n%s", said)
	}

	both := "configpath: {good: ./good.log, a: ./a.log, bad: ./bad.log}"
	y.Edit(both)
	p.Edits(3)
	y.Edit("configpath: {good: ./good.log, a: ./a.log}")
	p.Edits(4)
	// If those edits took so long that it was late by then, it was said, and is news again.
	said := strings.Count(p.Err.String(), notEnded)
	y.Edit(both)
	p.Edits(5)
	p.Err.Until(t, notEnded, func(text string) bool { return strings.Count(text, notEnded) > said })
	p.Err.WaitFor(t, `stopped=bad/stdout waiting="source bad/stdout"`)
	if code, body := e2e.Fetch(addr, "/readyz"); code != 503 || !strings.Contains(body, "source bad, output stdout: was stopped and has not ended") {
		t.Errorf("readyz: %d %s", code, body)
	}
	labels := `{output="stdout",source="bad"}`
	if lag := e2e.Metric(addr, "logcatchsys_lag_seconds"+labels); lag == "0" || lag == "" || e2e.Metric(addr, "logcatchsys_lag_bytes"+labels) != "" {
		t.Errorf("lag_seconds %q", lag)
	}
	if n := starts("bad"); n != 1 {
		t.Errorf("%d starts beside the old one", n)
	}

	release()
	p.Ready()
	y.Append("bad.log", "two\n")
	p.Out.WaitFor(t, "bad: two\n")
	if out := p.Out.String(); !strings.Contains(out, "bad: one\nbad: two\n") || strings.Count(out, "\n") != 4 {
		t.Errorf("delivered:\n%s", out)
	}
	if starts("bad") != 2 || starts("good") != 1 || starts("a") != 1 {
		t.Errorf("starts: bad %d, good %d, a %d", starts("bad"), starts("good"), starts("a"))
	}
	if n := strings.Count(p.Err.String(), notEnded) - said; n != 1 {
		t.Errorf("said %d times:\n%s", n, p.Err)
	}
	if n := e2e.Metric(addr, "logcatchsys_tailer_restarts_total"+labels); n != "0" {
		t.Errorf("%s failures counted", n)
	}
	if code := p.End(); code != command.Stopped {
		t.Errorf("exit code %d", code)
	}
}

// An output is replaced when all that write into it have ended; the others do not wait.
func TestStuckSourceKeepsItsOutput(t *testing.T) {
	config := func(sources, format string) string {
		return "configpath: {good: {path: ./good.log, outputs: [f, g]}" + sources + "}\n" +
			"outputs:\n  f: {type: file, path: ./f.log, format: " + format + "}\n  g: {type: file, path: ./g.log, format: text}"
	}
	y := e2e.NewYard(t, config(", bad: {path: ./bad.log, outputs: [f]}", "text"))
	starts, stuck, release := stick(t, key{Source: "bad", Output: "f"})
	p := inside(t, "-c", y.Config)
	t.Cleanup(release)
	addr := p.Ready()
	holds := func(name string, lines ...string) {
		t.Helper()
		e2e.Eventually(t, name, func() bool { return y.Read(name) == strings.Join(lines, "\n")+"\n" })
	}
	y.Append("good.log", "one\n")
	holds("f.log", "good: one")
	holds("g.log", "good: one")
	y.Append("bad.log", "one\n")
	<-stuck

	y.Edit(config("", "raw"))
	p.Edits(1)
	y.Edit(config(", a: {path: ./a.log, start: beginning, outputs: [g]}", "raw"))
	p.Edits(2)
	y.Append("a.log", "new\n")
	holds("g.log", "good: one", "a: new")
	y.Append("good.log", "two\n")
	holds("g.log", "good: one", "a: new", "good: two")
	p.Err.WaitFor(t, `stopped=bad/f waiting="output f"`)
	if code, body := e2e.Fetch(addr, "/readyz"); code != 503 || !strings.Contains(body, "source good, output f: its output waits for what was stopped and has not ended yet: bad/f") {
		t.Errorf("readyz: %d %s", code, body)
	}
	holds("f.log", "good: one")

	release()
	holds("f.log", "good: one", "bad: one", "two")
	p.Ready()
	if starts("bad") != 1 || starts("a") != 1 || starts("good") != 3 {
		t.Errorf("starts: bad %d, a %d, good %d", starts("bad"), starts("a"), starts("good"))
	}
	if n := strings.Count(p.Err.String(), notEnded); n != 1 {
		t.Errorf("said %d times:\n%s", n, p.Err)
	}
	if code := p.End(); code != command.Stopped {
		t.Errorf("exit code %d", code)
	}
}

// A tail that does not end bounds neither a stop nor the exit code.
func TestStopsWithStuckSource(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		code int
	}{
		"followed": {nil, command.Stopped},
		"removed":  {nil, command.Stopped},
		"once":     {[]string{"--once"}, command.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			y := e2e.NewYard(t, "configpath: {good: ./good.log, bad: {path: ./bad.log, start: beginning}}\nshutdown_timeout: 100ms")
			_, stuck, release := stick(t, key{Source: "bad", Output: "stdout"})
			y.Append("bad.log", "one\n")
			y.Append("good.log", "")
			p := inside(t, slices.Concat([]string{"-c", y.Config}, c.args)...)
			t.Cleanup(release)
			<-stuck
			if name == "removed" {
				y.Edit("configpath: {good: ./good.log}\nshutdown_timeout: 100ms")
				p.Edits(1)
				p.Ready()
			}
			began := time.Now()
			if code := p.End(); code != c.code {
				t.Errorf("exit code %d", code)
			}
			if took := time.Since(began); took > inTime {
				t.Errorf("took %s", took)
			}
			release()
			next := e2e.Start(t, y.Dir, nil, "--once")
			if code := next.Wait(); code != command.Stopped || next.Out.String() != "bad: one\n" && name != "removed" {
				t.Errorf("exit code %d, delivered %q", code, next.Out)
			}
		})
	}
}
