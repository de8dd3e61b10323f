package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/checkpoint"
	"github.com/logcatchsys/logcatchsys/internal/command"
	"github.com/logcatchsys/logcatchsys/internal/daemon"
	"github.com/logcatchsys/logcatchsys/internal/daemon/e2e"
	"github.com/logcatchsys/logcatchsys/logconfig"
)

// An output has eight batches; a follower that panics with one must give it back.
func TestPanicsKeepNoBatch(t *testing.T) {
	config := "configpath:\n  good: ./good.log\n"
	for i := range 9 {
		config += fmt.Sprintf("  bad%d: ./bad%d.log\n", i, i)
	}
	y := e2e.NewYard(t, config)
	var once [9]sync.Once
	hook(t, func(k key) {
		var i int
		if _, err := fmt.Sscanf(k.Source, "bad%d", &i); err == nil {
			once[i].Do(func() { panic("a test") })
		}
	})
	p := inside(t, "-c", y.Config)
	p.Ready()
	for i := range 9 {
		y.Append(fmt.Sprintf("bad%d.log", i), "one\n")
	}
	p.Err.Until(t, "the panics", func(text string) bool { return strings.Count(text, "a tail goroutine failed") >= 8 })
	y.Append("good.log", "one\n")
	p.Out.WaitFor(t, "good: one\n")
}

// The own log may have a reader that stands still: lines are delivered all the same, and
// a stop ends in time.
func TestGoesOnWhileItsLogIsBlocked(t *testing.T) {
	for name, signals := range map[string]int{"one signal": 1, "two signals": 2} {
		t.Run(name, func(t *testing.T) {
			y := e2e.NewYard(t, "configpath: {a: {path: ./a.log, start: beginning, max_line: 1KiB}}\nshutdown_timeout: 100ms")
			r, w, err := os.Pipe()
			e2e.Must(t, err)
			defer r.Close()
			fill, err := os.OpenFile(fmt.Sprintf("/dev/fd/%d", w.Fd()), os.O_WRONLY|syscall.O_NONBLOCK, 0)
			e2e.Must(t, err)
			defer fill.Close()
			_, err = fill.Write(make([]byte, 60<<10)) // no room for more than the start's
			e2e.Must(t, err)
			cmd := exec.Command(e2e.Binary)
			cmd.Dir, cmd.Stderr = y.Dir, w
			p := e2e.StartCommand(t, cmd)
			y.Append("a.log", "one\n")
			p.Out.WaitFor(t, "a: one\n")
			e2e.Must(t, fill.SetWriteDeadline(time.Now().Add(100*time.Millisecond)))
			for err == nil {
				_, err = fill.Write([]byte{'x'})
			}
			y.Append("a.log", strings.Repeat("x", 2000)+"two\n") // its follower says that it is long
			p.Out.WaitFor(t, "two\n")
			began := time.Now()
			p.Signal(syscall.SIGTERM)
			for signals == 2 && p.Cmd.Process.Signal(syscall.SIGTERM) == nil { // two at once are one
				time.Sleep(50 * time.Millisecond)
			}
			want := map[int]int{1: command.Stopped, 2: command.Failed}[signals]
			if code := p.Wait(); code != want {
				t.Errorf("exit code %d, want %d", code, want)
			}
			if took := time.Since(began); took > lastTime {
				t.Errorf("ended after %s", took)
			}
		})
	}
}

// A pipe is read on a goroutine of its own.
func TestPanicAtAPipe(t *testing.T) {
	y := e2e.NewYard(t, "configpath: {bad: ./bad.pipe, good: ./good.log}")
	e2e.Must(t, syscall.Mkfifo(y.Path("bad.pipe"), 0o600))
	var once sync.Once
	hook(t, func(k key) {
		if k.Source == "bad" {
			once.Do(func() { panic("a test") })
		}
	})
	p := inside(t, "-c", y.Config)
	p.Ready()
	w, err := os.OpenFile(y.Path("bad.pipe"), os.O_WRONLY, 0)
	e2e.Must(t, err)
	defer w.Close()
	fmt.Fprintln(w, "one")
	p.Err.WaitFor(t, "panic while a line was delivered: a test")
	e2e.Eventually(t, "the next line", func() bool {
		fmt.Fprintln(w, "two") // an error while nobody reads
		return strings.Contains(p.Out.String(), "bad: two\n")
	})
	if code := p.End(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// A reload may read the file while an editor is at work, which then writes what was
// there before.
func TestReloadInTheMiddleOfAWrite(t *testing.T) {
	y := e2e.NewYard(t, "configpath:\n  a: ./a.log\n  b: ./b.log")
	y.Write("config.yaml", "http: 127.0.0.1:0\nconfigpath:\n  a: ./a.log\n  b: ./b.log\n")
	p := y.Start()
	p.Ready()
	y.Write("config.yaml", "http: 127.0.0.1:0\nconfigpath:\n  a: ./a.log\n")
	p.Signal(syscall.SIGHUP)
	p.Err.WaitFor(t, "stopped=b") // it may be taken twice: the file was seen to change, too
	y.Append("config.yaml", "  b: ./b.log\n")
	p.Err.WaitFor(t, "started=b")
	y.Append("b.log", "one\n")
	p.Out.WaitFor(t, "b: one\n")
}

// newStill is a collector whose main goroutine is the test.
func newStill(t *testing.T, y *e2e.Yard) (c *collector, said *e2e.Screen) {
	t.Helper()
	config, err := logconfig.Load(y.Config)
	e2e.Must(t, err)
	said = e2e.NewScreen()
	log, settings := daemon.NewLog(said)
	store, err := checkpoint.Open(config.State, log)
	e2e.Must(t, err)
	c = newCollector(t.Context(), y.Config, false, store, nil, log)
	c.settings, c.state = settings, config.State
	c.load = func() (*logconfig.Config, error) { return logconfig.Load(y.Config) }
	e2e.Must(t, c.take(config))
	return c, said
}

// A source that fails while it is taken out of the configuration is gone all the same.
func TestSourceFailsWhileItIsRemoved(t *testing.T) {
	y := e2e.NewYard(t, "configpath: {good: ./good.log, bad: ./bad.log}")
	hook(t, func(k key) {
		if k.Source == "bad" {
			panic("a test")
		}
	})
	c, said := newStill(t, y)
	defer c.shutdown()
	e2e.Must(t, c.reconcile())
	e2e.Eventually(t, "readiness", func() bool { return len(c.metrics.NotReady()) == 0 })
	y.Append("bad.log", "one\n")
	for _, tail := range c.tails {
		if tail.config.Source == "bad" {
			<-tail.done
		}
	}
	y.Edit("configpath: {good: ./good.log}")
	c.reload()
	e2e.Must(t, c.reconcile())
	if not := c.metrics.NotReady(); len(not) != 0 {
		t.Errorf("%q\n%s", not, said)
	}
}
