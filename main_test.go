package main

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/traffic"
	"github.com/logcatchsys/logcatchsys/logtailf"
)

func TestShippedConfiguration(t *testing.T) {
	shipped, err := os.ReadFile("config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	y := newYard(t, "")
	y.write("config.yaml", strings.Replace(string(shipped), "#~http: 127.0.0.1:9477", "http: 127.0.0.1:0", 1))
	for _, name := range []string{"logdir1", "logdir2", "logdir3"} {
		y.write(name+"/.gitkeep", "")
	}
	p := outside(t, y.dir, nil)
	addr := p.ready()
	for _, name := range []string{"logdir1", "logdir2", "logdir3"} {
		y.write(name+"/log.txt", "Hello current time is 2026-11-22 10:11:12\n")
		p.out.waitFor(t, name+": Hello current time is 2026-11-22 10:11:12\n")
	}
	if code, body := fetch(addr, "/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("healthz: %d %q", code, body)
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	if code := p.wait(); code != exitStopped {
		t.Errorf("exit code %d", code)
	}
	if n := strings.Count(p.out.String(), "\n"); n != 3 {
		t.Errorf("%d lines:\n%s", n, p.out.String())
	}
}

func TestExitCodes(t *testing.T) {
	good := newYard(t, "configpath: {a: ./a.log}")
	bad := newYard(t, "configpath: {a: ./a.log}\npoll: never")
	noState := newYard(t, "configpath: {a: ./a.log}\nstate: ./file")
	noState.write("file", "")
	busy := outside(t, good.dir, nil)
	addr := busy.ready()
	taken := newYard(t, "")
	taken.write("config.yaml", "configpath: {a: ./a.log}\nhttp: "+addr)
	for _, c := range []struct {
		args []string
		code int
		says string // on stderr, or on stdout for 0
	}{
		{[]string{"version"}, 0, "logcatchsys "},
		{[]string{"--help"}, 0, "Usage:"},
		{[]string{"completion", "bash"}, 0, "complete"},
		{[]string{"check", "-c", good.config}, 0, "a -> stdout"},
		{[]string{"check", "-c", bad.config}, 2, "config.yaml:2: poll: "},
		{[]string{"-c", bad.config}, 2, "config.yaml:2: poll: "},
		{[]string{"run", "-c", good.path("none.yaml")}, 2, "none.yaml"},
		{[]string{"--nonsense"}, 2, "unknown flag"},
		{[]string{"nonsense"}, 2, "unknown command"},
		{[]string{"run", "nonsense"}, 2, "unknown command"},
		{[]string{"run", "-c", noState.config}, 1, "state folder"},
		{[]string{"run", "-c", good.config}, 1, "held by another process"},
		{[]string{"run", "-c", taken.config}, 1, "address already in use"},
	} {
		p := inside(t, c.args...)
		if code := p.wait(); code != c.code {
			t.Errorf("%v: exit code %d, want %d", c.args, code, c.code)
		}
		text := p.err.String()
		if c.code == 0 {
			text = p.out.String()
		}
		if !strings.Contains(text, c.says) {
			t.Errorf("%v says %q, want %q", c.args, text, c.says)
		}
	}
}

func TestCheckListsWhatWouldBeFollowed(t *testing.T) {
	y := newYard(t, "configpath:\n  all: ./logs/*.log\n  one: ./logs/b.log\n  none: ./logs/none.log\n  odd: './logs/\\[x].log'")
	y.write("logs/a.log", "12345\n")
	y.write("logs/b.log", "")
	y.write("logs/[x].log", "123\n")
	p := inside(t, "check", "-c", y.config)
	if code := p.wait(); code != 0 {
		t.Fatalf("exit code %d: %s", code, p.err.String())
	}
	for _, want := range []string{
		"/logs/a.log  6 bytes\n",
		"/logs/b.log  0 bytes; remark: followed by one too",
		"/logs/none.log  nothing there yet",
		"odd -> stdout\n  " + y.path("logs/[x].log") + "  4 bytes; remark: followed by all too",
	} {
		if !strings.Contains(p.out.String(), want) {
			t.Errorf("lacks %q:\n%s", want, p.out.String())
		}
	}
}

func TestPanicIsRestartedFromItsPosition(t *testing.T) {
	y := newYard(t, "configpath: {bad: ./bad.log, good: ./good.log}\nlog: {level: debug}")
	var broken atomic.Int64
	starts := hook(t, func(k key) {
		if k.Source == "bad" && broken.Add(1) == 2 {
			panic("a test")
		}
	})
	p := inside(t, "-c", y.config)
	addr := p.ready()
	y.append("bad.log", "one\n")
	p.out.waitFor(t, "bad: one\n")
	y.append("bad.log", "two\n")
	p.err.waitFor(t, `error="panic in `)
	y.append("bad.log", "three\n")
	y.append("good.log", "alive\n")
	p.out.waitFor(t, "bad: three\n")
	p.out.waitFor(t, "good: alive\n")
	if got := p.out.String(); strings.Count(got, "bad: ") != 3 || !strings.Contains(got, "bad: two\n") {
		t.Errorf("delivered:\n%s", got)
	}
	if n := metric(addr, `logcatchsys_tailer_restarts_total{output="stdout",source="bad"}`); n != "1" {
		t.Errorf("%q restarts counted", n)
	}
	if starts("good") != 1 || starts("bad") != 2 {
		t.Errorf("%d and %d starts", starts("good"), starts("bad"))
	}
	for _, part := range []string{"main_test.go:", "msg=\"where it panicked\"", "goroutine "} {
		p.err.waitFor(t, part)
	}
	if code := p.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// hook has do called with every batch that is read, and counts the followers made.
func hook(t *testing.T, do func(key)) (starts func(source string) int64) {
	t.Helper()
	counts := map[string]*atomic.Int64{}
	for _, name := range []string{"a", "b", "c", "bad", "good"} {
		counts[name] = &atomic.Int64{}
	}
	before := wrapMetrics
	t.Cleanup(func() { wrapMetrics = before })
	wrapMetrics = func(k key, m logtailf.Metrics) logtailf.Metrics {
		if n := counts[k.Source]; n != nil {
			n.Add(1)
		}
		return hooked{m, func() { do(k) }}
	}
	return func(source string) int64 { return counts[source].Load() }
}

type hooked struct {
	logtailf.Metrics
	do func()
}

func (h hooked) Read(bytes, records int) {
	h.do()
	h.Metrics.Read(bytes, records)
}

func TestStopWithBlockedStdout(t *testing.T) {
	y := newYard(t, "configpath: {a: {path: ./a.log, start: beginning}}\nshutdown_timeout: 300ms")
	o := traffic.Default()
	o.Lines, o.Rate, o.Numbered, o.Rotate, o.Batch = 60000, 0, true, traffic.None, 1000
	stats, err := traffic.Writer{Source: traffic.Source{Name: "a", Path: y.path("a.log")}, Options: o}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := outside(t, y.dir, w)
	w.Close()
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
	p.err.waitFor(t, "comes at the next start")
	p.err.waitFor(t, "did not deliver everything in time")
	all := newScreen()
	if _, err := (readAll{r}).WriteTo(all); err != nil {
		t.Fatal(err)
	}

	// What came out before may end within a line; the next start repeats that line.
	text := all.String()
	all.text = []byte(text[:strings.LastIndexByte(text, '\n')+1])
	q := outside(t, y.dir, nil, "--once")
	if code := q.wait(); code != 0 {
		t.Errorf("exit code %d: %s", code, q.err.String())
	}
	all.Write([]byte(q.out.String()))
	(&stream{stats: stats}).check(t, strings.NewReader(all.String()), traffic.Repeated, traffic.OutOfOrder)
}

// readAll reads a pipe to its end.
type readAll struct{ f *os.File }

func (r readAll) WriteTo(s *screen) (int64, error) { return r.f.WriteTo(s) }

func TestReaderOfStdoutGone(t *testing.T) {
	y := newYard(t, "configpath: {a: ./a.log}")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := outside(t, y.dir, w)
	w.Close()
	p.ready()
	r.Close()
	y.append("a.log", "nobody reads this\n")
	if code := p.wait(); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	p.err.waitFor(t, "logcatchsys: the reader of stdout has gone")
	q := outside(t, y.dir, nil)
	q.out.waitFor(t, "a: nobody reads this\n")
}

// Its own log is worth less than the lines: without a reader of it, it goes on.
func TestReaderOfStderrGone(t *testing.T) {
	y := newYard(t, "configpath: {a: {path: ./a.log, start: beginning}}")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	p := outsideWith(t, y.dir, nil, w)
	w.Close()
	y.append("a.log", "still delivered\n")
	p.out.waitFor(t, "a: still delivered\n")
	if code := p.end(); code != exitStopped {
		t.Errorf("exit code %d", code)
	}
}

func TestSecondSignalExitsAtOnce(t *testing.T) {
	y := newYard(t, "configpath: {a: {path: ./a.log, start: beginning}}\nshutdown_timeout: 1h")
	y.write("a.log", strings.Repeat(strings.Repeat("x", 1023)+"\n", 2048))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := outside(t, y.dir, w)
	w.Close()
	p.ready()
	p.cmd.Process.Signal(syscall.SIGTERM)
	p.err.waitFor(t, "stopping")
	p.cmd.Process.Signal(syscall.SIGTERM)
	if code := p.wait(); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	p.err.waitFor(t, "exiting at once")
}

func TestOnce(t *testing.T) {
	y := newYard(t, "configpath: {a: ./a.log, b: ./b/*.log}\noutputs:\n  o: {type: file, path: ./out.jsonl}\n  s: {type: stdout}")
	y.write("a.log", "one\ntwo\nthree")
	y.write("b/b.log", "four\n")
	p := inside(t, "--once", "-c", y.config)
	if code := p.wait(); code != 0 {
		t.Fatalf("exit code %d: %s", code, p.err.String())
	}
	for _, want := range []string{"a/o: 3 records, 13 bytes\n", "a/s: 3 records", "b/s: 1 records, 5 bytes\n", "delivered 8 records, 36 bytes in "} {
		if !strings.Contains(p.err.String(), want) {
			t.Errorf("lacks %q:\n%s", want, p.err.String())
		}
	}
	if out, err := os.ReadFile(y.path("out.jsonl")); err != nil || strings.Count(string(out), "\n") != 4 {
		t.Errorf("%v, %q", err, out)
	}
	if out := p.out.String(); strings.Count(out, "\n") != 4 || !strings.Contains(out, "a: three\n") {
		t.Errorf("stdout: %q", out)
	}

	p = inside(t, "run", "--once", "-c", y.config)
	if code := p.wait(); code != 0 || p.out.String() != "" {
		t.Errorf("the second time: exit code %d, %q", code, p.out.String())
	}
}

func TestOnceSaysWhatCouldNotBeRead(t *testing.T) {
	y := newYard(t, "configpath: {a: ./a.log, b: ./b.log}")
	if code := inside(t, "--once", "-c", y.config).wait(); code != 0 {
		t.Errorf("exit code %d where nothing is there to read", code)
	}
	y.write("a.log", "one\n")
	if err := os.Mkdir(y.path("b.log"), 0o755); err != nil {
		t.Fatal(err)
	}
	p := inside(t, "--once", "-c", y.config)
	if code := p.wait(); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(p.err.String(), "not read: source b: "+filepath.Join(y.dir, "b.log")) {
		t.Errorf("says:\n%s", p.err.String())
	}
	if p.out.String() != "a: one\n" {
		t.Errorf("delivered %q", p.out.String())
	}
}

func TestOnceStoppedHalfway(t *testing.T) {
	y := newYard(t, "configpath: {a: {path: ./a.log}}\nshutdown_timeout: 100ms")
	y.write("a.log", strings.Repeat(strings.Repeat("x", 1023)+"\n", 8192))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := outside(t, y.dir, w, "--once")
	w.Close()
	p.err.waitFor(t, "msg=started")
	p.cmd.Process.Signal(syscall.SIGTERM)
	if code := p.wait(); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	p.err.waitFor(t, "logcatchsys: stopped before everything was read")
}
