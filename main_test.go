package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/command"
	"github.com/logcatchsys/logcatchsys/internal/daemon/e2e"
	"github.com/logcatchsys/logcatchsys/internal/traffic"
)

func TestShippedConfiguration(t *testing.T) {
	shipped, err := os.ReadFile("config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	y := e2e.NewYard(t, "")
	y.Write("config.yaml", strings.Replace(string(shipped), "#~http: 127.0.0.1:9477", "http: 127.0.0.1:0", 1))
	for _, name := range []string{"logdir1", "logdir2", "logdir3"} {
		y.Write(name+"/.gitkeep", "")
	}
	p := y.Start()
	addr := p.Ready()
	for _, name := range []string{"logdir1", "logdir2", "logdir3"} {
		y.Write(name+"/log.txt", "Hello current time is 2026-11-22 10:11:12\n")
		p.Out.WaitFor(t, name+": Hello current time is 2026-11-22 10:11:12\n")
	}
	if code, body := e2e.Fetch(addr, "/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("healthz: %d %q", code, body)
	}
	p.Signal(syscall.SIGTERM)
	if code := p.Wait(); code != command.Stopped {
		t.Errorf("exit code %d", code)
	}
	if n := strings.Count(p.Out.String(), "\n"); n != 3 {
		t.Errorf("%d lines:\n%s", n, p.Out.String())
	}
}

func TestExitCodes(t *testing.T) {
	good := e2e.NewYard(t, "configpath: {a: ./a.log}")
	bad := e2e.NewYard(t, "configpath: {a: ./a.log}\npoll: never")
	noState := e2e.NewYard(t, "configpath: {a: ./a.log}\nstate: ./file")
	noState.Write("file", "")
	busy := e2e.Start(t, good.Dir, nil)
	addr := busy.Ready()
	taken := e2e.NewYard(t, "")
	taken.Write("config.yaml", "configpath: {a: ./a.log}\nhttp: "+addr)
	for _, c := range []struct {
		args []string
		code int
		says string // on stderr, or on stdout for 0
	}{
		{[]string{"version"}, 0, "logcatchsys "},
		{[]string{"--help"}, 0, "Usage:"},
		{[]string{"completion", "bash"}, 0, "complete"},
		{[]string{"check", "-c", good.Config}, 0, "a -> stdout"},
		{[]string{"check", "-c", bad.Config}, 2, "config.yaml:2: poll: "},
		{[]string{"-c", bad.Config}, 2, "config.yaml:2: poll: "},
		{[]string{"run", "-c", good.Path("none.yaml")}, 2, "none.yaml"},
		{[]string{"--nonsense"}, 2, "unknown flag: --nonsense; see --help"},
		{[]string{"nonsense"}, 2, "; see --help"},
		{[]string{"run", "nonsense"}, 2, "unknown command"},
		{[]string{"run", "-c", noState.Config}, 1, "state folder"},
		{[]string{"run", "-c", good.Config}, 1, "held by another process"},
		{[]string{"run", "-c", taken.Config}, 1, "address already in use; choose another address, or '' for none"},
	} {
		p := inside(t, c.args...)
		if code := p.Wait(); code != c.code {
			t.Errorf("%v: exit code %d, want %d", c.args, code, c.code)
		}
		text := p.Err.String()
		if c.code == 0 {
			text = p.Out.String()
		}
		if !strings.Contains(text, c.says) {
			t.Errorf("%v says %q, want %q", c.args, text, c.says)
		}
	}
}

func TestCheckListsWhatWouldBeFollowed(t *testing.T) {
	y := e2e.NewYard(t, "configpath:\n  all: ./logs/*.log\n  one: ./logs/b.log\n  none: ./logs/none.log\n  odd: './logs/\\[x].log'")
	y.Write("logs/a.log", "12345\n")
	y.Write("logs/b.log", "")
	y.Write("logs/[x].log", "123\n")
	p := inside(t, "check", "-c", y.Config)
	if code := p.Wait(); code != 0 {
		t.Fatalf("exit code %d: %s", code, p.Err.String())
	}
	for _, want := range []string{
		"/logs/a.log  6 bytes\n",
		"/logs/b.log  0 bytes; remark: followed by one too",
		"/logs/none.log  nothing there yet",
		"odd -> stdout\n  " + y.Path("logs/[x].log") + "  4 bytes; remark: followed by all too",
	} {
		if !strings.Contains(p.Out.String(), want) {
			t.Errorf("lacks %q:\n%s", want, p.Out.String())
		}
	}
}

func TestPanicIsRestartedFromItsPosition(t *testing.T) {
	y := e2e.NewYard(t, "configpath: {bad: ./bad.log, good: ./good.log}\nlog: {level: debug}")
	var broken atomic.Int64
	starts := hook(t, func(k key) {
		if k.Source == "bad" && broken.Add(1) == 2 {
			panic("a test")
		}
	})
	p := inside(t, "-c", y.Config)
	addr := p.Ready()
	y.Append("bad.log", "one\n")
	p.Out.WaitFor(t, "bad: one\n")
	y.Append("bad.log", "two\n")
	p.Err.WaitFor(t, `error="panic in `)
	y.Append("bad.log", "three\n")
	y.Append("good.log", "alive\n")
	p.Out.WaitFor(t, "bad: three\n")
	p.Out.WaitFor(t, "good: alive\n")
	if got := p.Out.String(); strings.Count(got, "bad: ") != 3 || !strings.Contains(got, "bad: two\n") {
		t.Errorf("delivered:\n%s", got)
	}
	if n := e2e.Metric(addr, `logcatchsys_tailer_restarts_total{output="stdout",source="bad"}`); n != "1" {
		t.Errorf("%q restarts counted", n)
	}
	if starts("good") != 1 || starts("bad") != 2 {
		t.Errorf("%d and %d starts", starts("good"), starts("bad"))
	}
	for _, part := range []string{"main_test.go:", "msg=\"where it panicked\"", "goroutine "} {
		p.Err.WaitFor(t, part)
	}
	if code := p.End(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestStopWithBlockedStdout(t *testing.T) {
	y := e2e.NewYard(t, "configpath: {a: {path: ./a.log, start: beginning}}\nshutdown_timeout: 300ms")
	o := traffic.Default()
	o.Lines, o.Rate, o.Numbered, o.Rotate, o.Batch = 60000, 0, true, traffic.None, 1000
	stats, err := traffic.Writer{Source: traffic.Source{Name: "a", Path: y.Path("a.log")}, Options: o}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := e2e.Start(t, y.Dir, w)
	w.Close()
	reads(t, p.Ready(), "a")
	began := time.Now()
	p.Signal(syscall.SIGTERM)
	if code := p.Wait(); code != command.Stopped || time.Since(began) > inTime {
		t.Errorf("exit code %d after %s", code, time.Since(began))
	}
	p.Err.WaitFor(t, "comes at the next start")
	p.Err.WaitFor(t, "did not deliver everything in time")
	all := e2e.NewScreen()
	if _, err := io.Copy(all, r); err != nil {
		t.Fatal(err)
	}

	// What came out before may end within a line; the next start repeats that line.
	all.CutToLine()
	q := e2e.Start(t, y.Dir, nil, "--once")
	if code := q.Wait(); code != 0 {
		t.Errorf("exit code %d: %s", code, q.Err.String())
	}
	all.Write([]byte(q.Out.String()))
	(&e2e.Stream{Stats: stats}).Check(t, strings.NewReader(all.String()), traffic.Repeated, traffic.OutOfOrder)
}

// inTime is when a stop with a short shutdown_timeout is over, on a busy machine: it has not
// waited for the default one, of 10 s.
const inTime = 8 * time.Second

// reads waits until lines of a source were read for stdout.
func reads(t *testing.T, addr, source string) {
	t.Helper()
	e2e.Eventually(t, "reading", func() bool {
		n := e2e.Metric(addr, fmt.Sprintf(`logcatchsys_read_records_total{output="stdout",source=%q}`, source))
		return n != "" && n != "0"
	})
}

func TestReaderOfStdoutGone(t *testing.T) {
	y := e2e.NewYard(t, "configpath: {a: ./a.log}")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := e2e.Start(t, y.Dir, w)
	w.Close()
	p.Ready()
	r.Close()
	y.Append("a.log", "nobody reads this\n")
	if code := p.Wait(); code != command.Failed {
		t.Errorf("exit code %d", code)
	}
	p.Err.WaitFor(t, "logcatchsys: the reader of stdout has gone")
	q := y.Start()
	q.Out.WaitFor(t, "a: nobody reads this\n")
}

// Its own log is worth less than the lines: without a reader of it, it goes on.
func TestReaderOfStderrGone(t *testing.T) {
	y := e2e.NewYard(t, "configpath: {a: {path: ./a.log, start: beginning}}")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	cmd := exec.Command(e2e.Binary, "-c", y.Config)
	cmd.Stderr = w
	p := e2e.StartCommand(t, cmd)
	w.Close()
	y.Append("a.log", "still delivered\n")
	p.Out.WaitFor(t, "a: still delivered\n")
	if code := p.End(); code != command.Stopped {
		t.Errorf("exit code %d", code)
	}
}

func TestSecondSignalExitsAtOnce(t *testing.T) {
	y := e2e.NewYard(t, "configpath: {a: {path: ./a.log, start: beginning}}\nshutdown_timeout: 1h")
	y.Write("a.log", strings.Repeat(strings.Repeat("x", 1023)+"\n", 2048))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := e2e.Start(t, y.Dir, w)
	w.Close()
	reads(t, p.Ready(), "a") // there is something to wait for
	p.Signal(syscall.SIGTERM)
	p.Err.WaitFor(t, "stopping")
	p.Signal(syscall.SIGTERM)
	if code := p.Wait(); code != command.Failed {
		t.Errorf("exit code %d", code)
	}
	p.Err.WaitFor(t, "exiting at once")
}

func TestOnce(t *testing.T) {
	y := e2e.NewYard(t, "configpath: {a: ./a.log, b: ./b/*.log}\noutputs:\n  o: {type: file, path: ./out.jsonl}\n  s: {type: stdout}")
	y.Write("a.log", "one\ntwo\nthree")
	y.Write("b/b.log", "four\n")
	p := inside(t, "--once", "-c", y.Config)
	if code := p.Wait(); code != 0 {
		t.Fatalf("exit code %d: %s", code, p.Err.String())
	}
	for _, want := range []string{"a/o: 3 records, 13 bytes\n", "a/s: 3 records", "b/s: 1 records, 5 bytes\n", "delivered 8 records, 36 bytes in "} {
		if !strings.Contains(p.Err.String(), want) {
			t.Errorf("lacks %q:\n%s", want, p.Err.String())
		}
	}
	if out, err := os.ReadFile(y.Path("out.jsonl")); err != nil || strings.Count(string(out), "\n") != 4 {
		t.Errorf("%v, %q", err, out)
	}
	if out := p.Out.String(); strings.Count(out, "\n") != 4 || !strings.Contains(out, "a: three\n") {
		t.Errorf("stdout: %q", out)
	}

	p = inside(t, "run", "--once", "-c", y.Config)
	if code := p.Wait(); code != 0 || p.Out.String() != "" {
		t.Errorf("the second time: exit code %d, %q", code, p.Out.String())
	}
}

func TestOnceSaysWhatCouldNotBeRead(t *testing.T) {
	y := e2e.NewYard(t, "configpath: {a: ./a.log, b: ./b.log}")
	y.Write("a.log", "one\n")
	if err := os.Mkdir(y.Path("b.log"), 0o755); err != nil {
		t.Fatal(err)
	}
	p := inside(t, "--once", "-c", y.Config)
	if code := p.Wait(); code != command.Failed {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(p.Err.String(), "not read: source b: "+filepath.Join(y.Dir, "b.log")) {
		t.Errorf("says:\n%s", p.Err.String())
	}
	if p.Out.String() != "a: one\n" {
		t.Errorf("delivered %q", p.Out.String())
	}
}

// A path that is misspelt must not look like one that was read. A log that is empty, or
// was read before, is there.
func TestOnceSaysWhatIsNotThere(t *testing.T) {
	y := e2e.NewYard(t, `configpath: {a: ./a.log, b: './b/*.log', c: './none/*.log', d: ./none/d.log, e: ./e.log, f: './f/*'}
outputs: {s: {type: stdout}, o: {type: file, path: ./out.jsonl}}`)
	y.Write("e.log", "")
	y.Write("b/b.txt", "other\n")
	y.Write("f/g/h.log", "deeper\n")
	p := inside(t, "--once", "-c", y.Config)
	if code := p.Wait(); code != command.Failed {
		t.Errorf("exit code %d", code)
	}
	for name, path := range map[string]string{"a": "a.log", "b": "b/*.log", "c": "none", "d": "none/d.log", "f": "f/*"} {
		if n := strings.Count(p.Err.String(), "not read: source "+name+": "+filepath.Join(y.Dir, path)); n != 1 {
			t.Errorf("%s is named %d times:\n%s", name, n, p.Err.String())
		}
	}
	if n := strings.Count(p.Err.String(), "not read: "); n != 5 {
		t.Errorf("%d are named:\n%s", n, p.Err.String())
	}

	y.Edit("configpath: {a: ./a.log, e: ./e.log}")
	y.Write("a.log", "one\n")
	for range 2 {
		p = inside(t, "--once", "-c", y.Config)
		if code := p.Wait(); code != 0 || strings.Contains(p.Err.String(), "not read") {
			t.Errorf("exit code %d:\n%s", code, p.Err.String())
		}
	}
}

func TestOnceStoppedHalfway(t *testing.T) {
	y := e2e.NewYard(t, "configpath: {a: {path: ./a.log}}\nshutdown_timeout: 100ms")
	y.Write("a.log", strings.Repeat(strings.Repeat("x", 1023)+"\n", 8192))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := e2e.Start(t, y.Dir, w, "--once")
	w.Close()
	p.Err.WaitFor(t, "msg=started")
	p.Signal(syscall.SIGTERM)
	if code := p.Wait(); code != command.Failed {
		t.Errorf("exit code %d", code)
	}
	p.Err.WaitFor(t, "logcatchsys: stopped before everything was read")
}
