package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/checkpoint"
	"github.com/logcatchsys/logcatchsys/internal/daemon"
	"github.com/logcatchsys/logcatchsys/internal/daemon/e2e"
	"github.com/logcatchsys/logcatchsys/internal/traffic"
	"github.com/logcatchsys/logcatchsys/logconfig"
)

func TestEditsLeaveOthersAlone(t *testing.T) {
	for name, edit := range map[string]func(y *e2e.Yard, config string){
		"in place": func(y *e2e.Yard, config string) { y.Write("conf/v1/config.yaml", config) },
		"rename": func(y *e2e.Yard, config string) {
			y.Write("conf/v1/new", config)
			e2e.Must(t, os.Rename(y.Path("conf/v1/new"), y.Path("conf/v1/config.yaml")))
		},
		"removed and made again": func(y *e2e.Yard, config string) {
			e2e.Must(t, os.Remove(y.Path("conf/v1/config.yaml")))
			y.Write("conf/v1/config.yaml", config)
		},
		"symlink swap": func(y *e2e.Yard, config string) {
			y.Write("conf/v2/config.yaml", config)
			e2e.Must(t, os.Symlink("v2", y.Path("conf/next")))
			e2e.Must(t, os.Rename(y.Path("conf/next"), y.Path("conf/now")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			y := e2e.NewYard(t, "")
			config := func(other string) string {
				return fmt.Sprintf("configpath: {a: %q, %s: %q}\nhttp: 127.0.0.1:0\nstate: %q\n",
					y.Path("a/log.txt"), other, y.Path(other+".log"), y.Path("state"))
			}
			y.Write("conf/v1/config.yaml", config("b"))
			e2e.Must(t, os.Symlink("v1", y.Path("conf/now")))
			starts := hook(t, func(key) {})
			p := inside(t, "-c", filepath.Join(y.Dir, "conf", "now", "config.yaml"))
			p.Ready()
			s := y.Flow("a", "a/log.txt")
			y.Append("b.log", "before\n")
			p.Out.WaitFor(t, "b: before\n")
			edit(y, config("c"))
			p.Edits(1)
			p.Ready()
			y.Append("c.log", "after\n")
			p.Out.WaitFor(t, "c: after\n")
			s.End(t, p.Out)
			s.Check(t, strings.NewReader(without(p.Out.String(), "b: ", "c: ")))
			if starts("a") != 1 || starts("c") != 1 {
				t.Errorf("a was started %d times, c %d times", starts("a"), starts("c"))
			}
			p.Err.WaitFor(t, "started=c stopped=b")
			if code := p.End(); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// without drops the lines that begin so.
func without(text string, prefixes ...string) string {
	var b strings.Builder
next:
	for line := range strings.Lines(text) {
		for _, p := range prefixes {
			if strings.HasPrefix(line, p) {
				continue next
			}
		}
		b.WriteString(line)
	}
	return b.String()
}

func TestManyEditsUnderTraffic(t *testing.T) {
	n := 20
	if *e2e.Long {
		n = 200
	}
	y := e2e.NewYard(t, "configpath: {a: ./a/log.txt, b: ./b.log}")
	starts := hook(t, func(key) {})
	p := inside(t, "-c", y.Config)
	p.Ready()
	s := y.Flow("a", "a/log.txt")
	for i := range n {
		y.Edit(fmt.Sprintf("configpath: {a: ./a/log.txt, %c: ./%d.log}", 'b'+i%2, i))
		p.Edits(i + 1)
	}
	s.End(t, p.Out)
	s.Check(t, strings.NewReader(p.Out.String()))
	e2e.Eventually(t, "the last of b and c to be started", func() bool { return starts("b")+starts("c") >= int64(n)+1 })
	if starts("a") != 1 || starts("b")+starts("c") != int64(n)+1 {
		t.Errorf("a was started %d times, b and c %d times", starts("a"), starts("b")+starts("c"))
	}
}

func TestBrokenEditThenGoodOne(t *testing.T) {
	y := e2e.NewYard(t, "configpath: {a: ./a.log}")
	starts := hook(t, func(key) {})
	p := inside(t, "-c", y.Config)
	addr := p.Ready()
	gauge := "logcatchsys_config_last_reload_successful"
	if v := e2e.Metric(addr, gauge); v != "1" {
		t.Errorf("the gauge is %q after the start", v)
	}
	y.Edit("configpath: {a: ./a.log}\npol: 2s\nrotate_wait: never")
	p.Err.WaitFor(t, "what runs runs on")
	p.Err.WaitFor(t, "config.yaml:2: pol: ")
	p.Err.WaitFor(t, "config.yaml:3: rotate_wait: ")
	e2e.Eventually(t, "the gauge to fall", func() bool { return e2e.Metric(addr, gauge) == "0" })
	y.Append("a.log", "still here\n")
	p.Out.WaitFor(t, "a: still here\n")
	y.Edit("configpath: {a: ./a.log, b: ./b.log}")
	p.Edits(1)
	e2e.Eventually(t, "the gauge to rise", func() bool { return e2e.Metric(addr, gauge) == "1" })
	for result, want := range map[string]string{"taken": "1", "failed": "1"} {
		if v := e2e.Metric(addr, fmt.Sprintf("logcatchsys_config_reloads_total{result=%q}", result)); v != want {
			t.Errorf("%s reloads: %q", result, v)
		}
	}
	if starts("a") != 1 {
		t.Errorf("a was started %d times", starts("a"))
	}
}

func TestRefusedEdits(t *testing.T) {
	y := e2e.NewYard(t, "configpath: {a: ./a.log}")
	busy := e2e.NewYard(t, "configpath: {a: ./a.log}")
	taken := inside(t, "-c", busy.Config).Ready()
	p := inside(t, "-c", y.Config)
	addr := p.Ready()
	y.Edit("configpath: {a: ./a.log, b: ./b.log}\nstate: ./elsewhere")
	p.Err.WaitFor(t, "state cannot be changed while running: restart")
	y.Write("config.yaml", "configpath: {a: ./a.log, b: ./b.log}\nhttp: "+taken)
	p.Err.WaitFor(t, "address already in use")
	if code, _ := e2e.Fetch(addr, "/readyz"); code != 200 {
		t.Errorf("the listener before answers %d", code)
	}
	if strings.Contains(p.Err.String(), e2e.Edited) {
		t.Error("taken all the same")
	}
}

func TestHangupReloads(t *testing.T) {
	y := e2e.NewYard(t, "configpath: {a: ./a.log}")
	p := y.Start()
	p.Ready()
	p.Signal(syscall.SIGHUP)
	p.Edits(1) // nobody touched the file
	y.Append("a.log", "undisturbed\n")
	p.Out.WaitFor(t, "a: undisturbed\n")
	if code := p.End(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestChangedOutputRestartsAlone(t *testing.T) {
	config := func(format string) string {
		return "configpath:\n  a: {path: ./a/log.txt, outputs: [f, s]}\n" +
			"outputs:\n  f: {type: file, path: ./out.log, format: " + format + "}\n  s: {type: stdout}"
	}
	y := e2e.NewYard(t, config("text"))
	starts := hook(t, func(key) {})
	p := inside(t, "-c", y.Config)
	p.Ready()
	s := y.Flow("a", "a/log.txt")
	p.Out.WaitFor(t, "a: ")
	y.Edit(config("raw"))
	p.Edits(1)
	p.Err.WaitFor(t, "restarted=a/f outputs=f")
	e2e.Eventually(t, "the restart", func() bool { return starts("a") == 3 })
	s.End(t, p.Out)
	s.Check(t, strings.NewReader(p.Out.String()))
	e2e.Eventually(t, "the file to hold as much", func() bool {
		out, err := os.ReadFile(y.Path("out.log"))
		return err == nil && strings.Count(string(out), "\n") >= strings.Count(p.Out.String(), "\n")
	})
	if code := p.End(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	out, err := os.ReadFile(y.Path("out.log"))
	e2e.Must(t, err)
	s.Check(t, strings.NewReader(strings.ReplaceAll(string(out), "a: ", "")))
	if !strings.Contains(string(out), "a: ") {
		t.Error("nothing as text")
	}
}

// The reader of stdout stands still for longer than a stop may take, in the middle of a
// line; then there is another output. No whole line may begin behind half of one.
func TestStdoutReplacedInALine(t *testing.T) {
	config := "configpath: {a: {path: ./a.log, start: beginning}}\nshutdown_timeout: 100ms\noutputs:\n  s: {type: stdout, format: %s}"
	y := e2e.NewYard(t, fmt.Sprintf(config, "text"))
	id, lines := traffic.SequenceID("a", 1), 2000
	var in []byte
	for n := range lines {
		in = traffic.AppendNumbered(in, id, uint64(n+1), 1000)
	}
	y.Write("a.log", string(in))
	r, w, err := os.Pipe()
	e2e.Must(t, err)
	defer r.Close()
	p := e2e.Start(t, y.Dir, w)
	w.Close()
	p.Started()
	head := make([]byte, 100) // it writes
	_, err = io.ReadFull(r, head)
	e2e.Must(t, err)
	y.Edit(fmt.Sprintf(config, "raw"))
	p.Err.WaitFor(t, "an output was stopped before everything was delivered")
	out := e2e.NewScreen()
	out.Write(head)
	go io.Copy(out, r)
	out.WaitFor(t, "\n"+string(in[len(in)-1000:]))
	torn := 0
	for line := range strings.Lines(out.String()) {
		line = strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "a: ")
		if _, _, whole := traffic.ParseNumbered([]byte(line)); !whole {
			torn++
			if !strings.Contains(string(in), line) {
				t.Errorf("half a line and another one: %q", line)
			}
		}
	}
	if !strings.HasSuffix(out.String(), "\n"+string(in[len(in)-1000:])) || torn > 1 {
		t.Errorf("%d halves, %d bytes", torn, len(out.String()))
	}
	p.Term()
}

func TestOutputsComeAndGo(t *testing.T) {
	y := e2e.NewYard(t, "configpath: {a: ./a.log}\noutputs:\n  s: {type: stdout}")
	p := inside(t, "-c", y.Config)
	addr := p.Ready()
	y.Append("a.log", "one\n")
	p.Out.WaitFor(t, "a: one\n")
	y.Edit("configpath: {a: {path: ./a.log, start: beginning}}\noutputs:\n  f: {type: file, path: ./out.log, format: text}")
	p.Edits(1)
	e2e.Eventually(t, "the output and its metrics to go", func() bool { _, body := e2e.Fetch(addr, "/metrics"); return !strings.Contains(body, `output="s"`) })
	y.Append("a.log", "two\n")
	e2e.Eventually(t, "both lines in the file", func() bool {
		out, _ := os.ReadFile(y.Path("out.log"))
		return string(out) == "a: one\na: two\n"
	})
	if strings.Contains(p.Out.String(), "two") {
		t.Error("the output that is gone has got a line")
	}
	y.Edit("configpath: {a: ./a.log}\noutputs:\n  s: {type: stdout}")
	p.Out.WaitFor(t, "a: two\n") // goes on at its position
	if got := p.Out.String(); got != "a: one\na: two\n" {
		t.Errorf("delivered %q", got)
	}
}

func TestRemovedSourceGoesOnAtItsPosition(t *testing.T) {
	y := e2e.NewYard(t, "configpath: {a: ./a.log, b: ./b.log}")
	p := inside(t, "-c", y.Config)
	p.Ready()
	y.Append("a.log", "one\n")
	p.Out.WaitFor(t, "a: one\n")
	y.Edit("configpath: {b: ./b.log}")
	p.Edits(1)
	y.Append("a.log", "two\n")
	y.Append("b.log", "other\n")
	p.Out.WaitFor(t, "b: other\n")
	y.Edit("configpath: {a: ./a.log, b: ./b.log}")
	p.Out.WaitFor(t, "a: two\n")
	if got := p.Out.String(); strings.Count(got, "a: one\n") != 1 || strings.Count(got, "a: two\n") != 1 {
		t.Errorf("delivered:\n%s", got)
	}
}

func TestLogChangesAtOnce(t *testing.T) {
	y := e2e.NewYard(t, "configpath: {a: ./a.log}")
	p := inside(t, "-c", y.Config)
	p.Ready()
	y.Edit("configpath: {a: ./a.log}\nlog: {format: json}")
	p.Edits(1)
	y.Edit("configpath: {a: ./a.log, b: ./b.log}\nlog: {format: json}")
	p.Err.WaitFor(t, `"msg":"`+e2e.Edited+`","started":"b"`)
}

func TestHTTPMoves(t *testing.T) {
	y := e2e.NewYard(t, "configpath: {a: ./a.log}")
	p := inside(t, "-c", y.Config)
	addr := p.Ready()
	port := addr[strings.LastIndexByte(addr, ':'):]
	for path, want := range map[string]int{"/": 200, "/healthz": 200, "/readyz": 200, "/metrics": 200, "/nonsense": 404} {
		if code, body := e2e.Fetch(addr, path); code != want {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	// The same port on all addresses: the old listener is in the way of the new.
	y.Write("config.yaml", "configpath: {a: ./a.log}\nhttp: 0.0.0.0"+port)
	p.Edits(1)
	if code, _ := e2e.Fetch("127.0.0.2"+port, "/healthz"); code != 200 {
		t.Errorf("on the new address: %d", code)
	}
	y.Write("config.yaml", "configpath: {a: ./a.log}\nhttp: ''")
	p.Edits(2)
	if code, _ := e2e.Fetch("127.0.0.1"+port, "/healthz"); code != 0 {
		t.Errorf("switched off, and answers %d", code)
	}
}

// The test is the main goroutine here, and takes an output's right to write away in
// the middle: what an output does that has lost what it wrote looks like this.
func TestFailedOutputIsOpenedAgain(t *testing.T) {
	y := e2e.NewYard(t, "configpath: {a: ./a.log, b: {path: ./b.log, outputs: [g]}}\n"+
		"outputs:\n  f: {type: file, path: ./f.log, format: text}\n  g: {type: file, path: ./g.log, format: text}")
	config, err := logconfig.Load(y.Config)
	e2e.Must(t, err)
	said := e2e.NewScreen()
	log, settings := daemon.NewLog(said)
	store, err := checkpoint.Open(config.State, log)
	e2e.Must(t, err)
	starts := hook(t, func(key) {})
	c := newCollector(t.Context(), y.Config, false, store, nil, log)
	c.settings, c.state = settings, config.State
	e2e.Must(t, c.take(config))
	until := func(what string, ok func() bool) {
		t.Helper()
		deadline := time.Now().Add(e2e.Patience)
		for !ok() {
			e2e.Must(t, c.reconcile())
			select {
			case <-c.wake:
			case <-time.After(5 * time.Millisecond):
			}
			if time.Now().After(deadline) {
				t.Fatalf("waited in vain for %s:\n%s", what, said)
			}
		}
	}
	holds := func(name, want string) func() bool {
		return func() bool { return y.Read(name) == want }
	}
	ready := func() bool { return len(c.metrics.NotReady()) == 0 }
	until("the start", ready)
	y.Append("a.log", "one\n")
	until("the first line", holds("f.log", "a: one\n"))

	c.lanes.At(c.plan, "f").GiveUpAfter(0)
	y.Append("a.log", "two\n")
	until("the failure", func() bool { return strings.Contains(said.String(), "an output failed") })
	until("its sources to wait", func() bool {
		return strings.Contains(strings.Join(c.metrics.NotReady(), "\n"), "source a, output f: its output is not open")
	})
	y.Append("a.log", "three\n")
	y.Append("b.log", "other\n")
	until("the other output", func() bool { // two sources: each is in order
		text := y.Read("g.log")
		return without(text, "b: ") == "a: one\na: two\na: three\n" && without(text, "a: ") == "b: other\n"
	})
	until("the lines after it", holds("f.log", "a: one\na: two\na: three\n"))
	until("readiness", ready)
	if starts("a") != 3 || starts("b") != 1 { // a for f, again for f, and for g
		t.Errorf("%d and %d starts", starts("a"), starts("b"))
	}
	c.shutdown()
	if _, err := checkpoint.Open(config.State, log); err != nil {
		t.Errorf("the checkpoint is not closed: %v", err)
	}
}
