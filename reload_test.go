package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const edited = "the configuration was taken"

// edits waits until n edits were taken.
func (p *program) edits(n int) {
	p.t.Helper()
	p.err.until(p.t, fmt.Sprintf("edit %d", n), func(text string) bool { return strings.Count(text, edited) >= n })
}

func TestEditsLeaveOthersAlone(t *testing.T) {
	for name, edit := range map[string]func(y *yard, config string){
		"in place": func(y *yard, config string) { y.write("conf/v1/config.yaml", config) },
		"rename": func(y *yard, config string) {
			y.write("conf/v1/new", config)
			must(y.t, os.Rename(y.path("conf/v1/new"), y.path("conf/v1/config.yaml")))
		},
		"removed and made again": func(y *yard, config string) {
			must(y.t, os.Remove(y.path("conf/v1/config.yaml")))
			y.write("conf/v1/config.yaml", config)
		},
		"symlink swap": func(y *yard, config string) {
			y.write("conf/v2/config.yaml", config)
			must(y.t, os.Symlink("v2", y.path("conf/next")))
			must(y.t, os.Rename(y.path("conf/next"), y.path("conf/now")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			y := newYard(t, "")
			config := func(other string) string {
				return fmt.Sprintf("configpath: {a: %q, %s: %q}\nhttp: 127.0.0.1:0\nstate: %q\n",
					y.path("a/log.txt"), other, y.path(other+".log"), y.path("state"))
			}
			y.write("conf/v1/config.yaml", config("b"))
			must(t, os.Symlink("v1", y.path("conf/now")))
			starts := hook(t, func(key) {})
			p := inside(t, "-c", filepath.Join(y.dir, "conf", "now", "config.yaml"))
			p.ready()
			s := y.flow("a", "a/log.txt")
			y.append("b.log", "before\n")
			p.out.waitFor(t, "b: before\n")
			edit(y, config("c"))
			p.edits(1)
			p.ready()
			y.append("c.log", "after\n")
			p.out.waitFor(t, "c: after\n")
			s.end(t, p.out)
			s.check(t, strings.NewReader(without(p.out.String(), "b: ", "c: ")))
			if starts("a") != 1 || starts("c") != 1 {
				t.Errorf("a was started %d times, c %d times", starts("a"), starts("c"))
			}
			p.err.waitFor(t, "started=c stopped=b")
			if code := p.end(); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
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
	if *long {
		n = 200
	}
	y := newYard(t, "configpath: {a: ./a/log.txt, b: ./b.log}")
	starts := hook(t, func(key) {})
	p := inside(t, "-c", y.config)
	p.ready()
	s := y.flow("a", "a/log.txt")
	for i := range n {
		y.edit(fmt.Sprintf("configpath: {a: ./a/log.txt, %c: ./%d.log}", 'b'+i%2, i))
		p.edits(i + 1)
	}
	s.end(t, p.out)
	s.check(t, strings.NewReader(p.out.String()))
	if starts("a") != 1 || starts("b")+starts("c") != int64(n)+1 {
		t.Errorf("a was started %d times, b and c %d times", starts("a"), starts("b")+starts("c"))
	}
}

func TestBrokenEditThenGoodOne(t *testing.T) {
	y := newYard(t, "configpath: {a: ./a.log}")
	starts := hook(t, func(key) {})
	p := inside(t, "-c", y.config)
	addr := p.ready()
	gauge := "logcatchsys_config_last_reload_successful"
	if v := metric(addr, gauge); v != "1" {
		t.Errorf("the gauge is %q after the start", v)
	}
	y.edit("configpath: {a: ./a.log}\npol: 2s\nrotate_wait: never")
	p.err.waitFor(t, "what runs runs on")
	p.err.waitFor(t, "config.yaml:2: pol: ")
	p.err.waitFor(t, "config.yaml:3: rotate_wait: ")
	eventually(t, "the gauge to fall", func() bool { return metric(addr, gauge) == "0" })
	y.append("a.log", "still here\n")
	p.out.waitFor(t, "a: still here\n")
	y.edit("configpath: {a: ./a.log, b: ./b.log}")
	p.edits(1)
	eventually(t, "the gauge to rise", func() bool { return metric(addr, gauge) == "1" })
	for result, want := range map[string]string{"taken": "1", "failed": "1"} {
		if v := metric(addr, fmt.Sprintf("logcatchsys_config_reloads_total{result=%q}", result)); v != want {
			t.Errorf("%s reloads: %q", result, v)
		}
	}
	if starts("a") != 1 {
		t.Errorf("a was started %d times", starts("a"))
	}
}

func TestRefusedEdits(t *testing.T) {
	y := newYard(t, "configpath: {a: ./a.log}")
	busy := newYard(t, "configpath: {a: ./a.log}")
	taken := inside(t, "-c", busy.config).ready()
	p := inside(t, "-c", y.config)
	addr := p.ready()
	y.edit("configpath: {a: ./a.log, b: ./b.log}\nstate: ./elsewhere")
	p.err.waitFor(t, "state cannot be changed while running: restart")
	y.write("config.yaml", "configpath: {a: ./a.log, b: ./b.log}\nhttp: "+taken)
	p.err.waitFor(t, "address already in use")
	if code, _ := fetch(addr, "/readyz"); code != 200 {
		t.Errorf("the listener before answers %d", code)
	}
	if strings.Contains(p.err.String(), edited) {
		t.Error("taken all the same")
	}
}

func TestHangupReloads(t *testing.T) {
	y := newYard(t, "configpath: {a: ./a.log}")
	p := outside(t, y.dir, nil)
	p.ready()
	p.cmd.Process.Signal(syscall.SIGHUP)
	p.edits(1) // nobody touched the file
	y.append("a.log", "undisturbed\n")
	p.out.waitFor(t, "a: undisturbed\n")
	if code := p.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestChangedOutputRestartsAlone(t *testing.T) {
	config := func(format string) string {
		return "configpath:\n  a: {path: ./a/log.txt, outputs: [f, s]}\n" +
			"outputs:\n  f: {type: file, path: ./out.log, format: " + format + "}\n  s: {type: stdout}"
	}
	y := newYard(t, config("text"))
	starts := hook(t, func(key) {})
	p := inside(t, "-c", y.config)
	p.ready()
	s := y.flow("a", "a/log.txt")
	p.out.waitFor(t, "a: ")
	y.edit(config("raw"))
	p.edits(1)
	p.err.waitFor(t, "restarted=a/f outputs=f")
	eventually(t, "the restart", func() bool { return starts("a") == 3 })
	s.end(t, p.out)
	s.check(t, strings.NewReader(p.out.String()))
	if code := p.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	out, err := os.ReadFile(y.path("out.log"))
	must(t, err)
	s.check(t, strings.NewReader(strings.ReplaceAll(string(out), "a: ", "")))
	if !strings.Contains(string(out), "a: ") {
		t.Error("nothing as text")
	}
}

func TestOutputsComeAndGo(t *testing.T) {
	y := newYard(t, "configpath: {a: ./a.log}\noutputs:\n  s: {type: stdout}")
	p := inside(t, "-c", y.config)
	addr := p.ready()
	y.append("a.log", "one\n")
	p.out.waitFor(t, "a: one\n")
	y.edit("configpath: {a: {path: ./a.log, start: beginning}}\noutputs:\n  f: {type: file, path: ./out.log, format: text}")
	p.edits(1)
	y.append("a.log", "two\n")
	eventually(t, "both lines in the file", func() bool {
		out, _ := os.ReadFile(y.path("out.log"))
		return string(out) == "a: one\na: two\n"
	})
	if strings.Contains(p.out.String(), "two") {
		t.Error("the output that is gone has got a line")
	}
	eventually(t, "the metrics to go", func() bool { _, body := fetch(addr, "/metrics"); return !strings.Contains(body, `output="s"`) })
	y.edit("configpath: {a: ./a.log}\noutputs:\n  s: {type: stdout}")
	p.out.waitFor(t, "a: two\n") // goes on at its position
	if got := p.out.String(); got != "a: one\na: two\n" {
		t.Errorf("delivered %q", got)
	}
}

func TestRemovedSourceGoesOnAtItsPosition(t *testing.T) {
	y := newYard(t, "configpath: {a: ./a.log, b: ./b.log}")
	p := inside(t, "-c", y.config)
	p.ready()
	y.append("a.log", "one\n")
	p.out.waitFor(t, "a: one\n")
	y.edit("configpath: {b: ./b.log}")
	p.edits(1)
	y.append("a.log", "two\n")
	y.append("b.log", "other\n")
	p.out.waitFor(t, "b: other\n")
	y.edit("configpath: {a: ./a.log, b: ./b.log}")
	p.out.waitFor(t, "a: two\n")
	if got := p.out.String(); strings.Count(got, "a: one\n") != 1 || strings.Count(got, "a: two\n") != 1 {
		t.Errorf("delivered:\n%s", got)
	}
}

func TestLogChangesAtOnce(t *testing.T) {
	y := newYard(t, "configpath: {a: ./a.log}")
	p := inside(t, "-c", y.config)
	p.ready()
	y.edit("configpath: {a: ./a.log}\nlog: {format: json}")
	p.edits(1)
	y.edit("configpath: {a: ./a.log, b: ./b.log}\nlog: {format: json}")
	p.err.waitFor(t, `"msg":"`+edited+`","started":"b"`)
}

func TestHTTPMoves(t *testing.T) {
	y := newYard(t, "configpath: {a: ./a.log}")
	p := inside(t, "-c", y.config)
	addr := p.ready()
	port := addr[strings.LastIndexByte(addr, ':'):]
	for path, want := range map[string]int{"/": 200, "/healthz": 200, "/readyz": 200, "/metrics": 200, "/nonsense": 404} {
		if code, body := fetch(addr, path); code != want {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	// The same port on all addresses: the old listener is in the way of the new.
	y.write("config.yaml", "configpath: {a: ./a.log}\nhttp: 0.0.0.0"+port)
	p.edits(1)
	if code, _ := fetch("127.0.0.2"+port, "/healthz"); code != 200 {
		t.Errorf("on the new address: %d", code)
	}
	y.write("config.yaml", "configpath: {a: ./a.log}\nhttp: ''")
	p.edits(2)
	if code, _ := fetch("127.0.0.1"+port, "/healthz"); code != 0 {
		t.Errorf("switched off, and answers %d", code)
	}
}
