package main

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/logcatchsys/logcatchsys/internal/traffic"
)

var long = flag.Bool("long", false, "200 edits instead of 20")

// patience is how long a test waits for what must come.
const patience = 10 * time.Second

// binary is the real program, built once.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "logcatchsys")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "logcatchsys.exe")
		if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
			panic(fmt.Sprintf("%v: %s", err, out))
		}
		code := m.Run()
		// Viper's watch has no stop; all else must have ended.
		// Its fsnotify goroutine looks like the hub's; but that one has a reader besides.
		if err := goleak.Find(goleak.IgnoreAnyFunction("github.com/spf13/viper.(*Viper).WatchConfig.func1"),
			goleak.IgnoreAnyFunction("github.com/spf13/viper.(*Viper).WatchConfig.func1.1"),
			goleak.IgnoreAnyFunction("github.com/fsnotify/fsnotify.(*inotify).readEvents")); err != nil && code == 0 {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}())
}

// A screen is what a program prints; tests wait for parts of it.
type screen struct {
	mu      sync.Mutex
	changed chan struct{}
	text    []byte
}

func newScreen() *screen { return &screen{changed: make(chan struct{})} }

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = append(s.text, p...)
	close(s.changed)
	s.changed = make(chan struct{})
	return len(p), nil
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.text)
}

// until waits for the text to be what ok wants.
func (s *screen) until(t *testing.T, what string, ok func(text string) bool) {
	t.Helper()
	timeout := time.After(patience)
	for {
		s.mu.Lock()
		good, changed := ok(string(s.text)), s.changed
		s.mu.Unlock()
		if good {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("waited in vain for %s in:\n%s", what, last(s.String(), 2000))
		}
	}
}

func (s *screen) waitFor(t *testing.T, part string) {
	t.Helper()
	s.until(t, part, func(text string) bool { return strings.Contains(text, part) })
}

func last(s string, n int) string { return s[max(0, len(s)-n):] }

// A program is one run, in this process or in its own.
type program struct {
	t        *testing.T
	out, err *screen
	stop     context.CancelFunc
	cmd      *exec.Cmd
	done     chan struct{}
	code     int
}

// inside runs the program in this process.
func inside(t *testing.T, args ...string) *program {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	p := &program{t: t, out: newScreen(), err: newScreen(), stop: stop, done: make(chan struct{})}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var copied sync.WaitGroup
	copied.Go(func() { io.Copy(p.out, r); r.Close() })
	go func() {
		defer close(p.done)
		p.code = run(ctx, args, strings.NewReader(""), w, p.err)
		w.Close()
		copied.Wait()
	}()
	t.Cleanup(func() { p.end() })
	return p
}

// outside runs the real program; stdout may be nil.
func outside(t *testing.T, dir string, stdout *os.File, args ...string) *program {
	t.Helper()
	return outsideWith(t, dir, stdout, nil, args...)
}

func outsideWith(t *testing.T, dir string, stdout, stderr *os.File, args ...string) *program {
	t.Helper()
	p := &program{t: t, out: newScreen(), err: newScreen(), done: make(chan struct{})}
	p.cmd = exec.Command(binary, args...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, p.out, p.err
	if stdout != nil {
		p.cmd.Stdout = stdout
	}
	if stderr != nil {
		p.cmd.Stderr = stderr
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.stop = func() { p.cmd.Process.Signal(os.Interrupt) }
	go func() {
		defer close(p.done)
		p.cmd.Wait()
		p.code = p.cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.done
	})
	return p
}

// wait waits for the end and returns the exit code.
func (p *program) wait() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("does not end; its log:\n%s", last(p.err.String(), 3000))
	}
	return p.code
}

// end stops the program and returns the exit code.
func (p *program) end() int {
	p.t.Helper()
	p.stop()
	return p.wait()
}

var httpAddr = regexp.MustCompile(`msg=started .* http=(\S+)`)

// ready waits until all sources are followed and returns the status address.
func (p *program) ready() string {
	p.t.Helper()
	p.err.until(p.t, "the start", func(text string) bool {
		select {
		case <-p.done:
			p.t.Fatalf("ended with code %d:\n%s", p.code, text)
		default:
		}
		return httpAddr.MatchString(text)
	})
	addr := httpAddr.FindStringSubmatch(p.err.String())[1]
	eventually(p.t, "readiness", func() bool { code, _ := fetch(addr, "/readyz"); return code == 200 })
	return addr
}

// eventually asks again and again: for what tells nobody when it changes.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func fetch(addr, path string) (code int, body string) {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get("http://" + addr + path)
	if err != nil {
		return 0, err.Error()
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(r.Body)
	return r.StatusCode, string(b)
}

// metric is the value of the first metric with that beginning, as text.
func metric(addr, name string) string {
	_, body := fetch(addr, "/metrics")
	lines := bufio.NewScanner(strings.NewReader(body))
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return value
		}
	}
	return ""
}

// A yard is a folder with a configuration.
type yard struct {
	t      *testing.T
	dir    string
	config string // path of the configuration
}

// newYard makes a folder with this configuration; the status page is on a free port.
func newYard(t *testing.T, config string) *yard {
	t.Helper()
	dir := t.TempDir()
	y := &yard{t, dir, filepath.Join(dir, "config.yaml")}
	y.write("config.yaml", config+"\nhttp: 127.0.0.1:0\n")
	return y
}

func (y *yard) path(name string) string { return filepath.Join(y.dir, name) }

func (y *yard) write(name, text string) {
	y.t.Helper()
	if err := os.MkdirAll(filepath.Dir(y.path(name)), 0o755); err != nil {
		y.t.Fatal(err)
	}
	if err := os.WriteFile(y.path(name), []byte(text), 0o644); err != nil {
		y.t.Fatal(err)
	}
}

func (y *yard) append(name, text string) {
	y.t.Helper()
	f, err := os.OpenFile(y.path(name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		y.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		y.t.Fatal(err)
	}
}

func (y *yard) edit(config string) { y.write("config.yaml", config+"\nhttp: 127.0.0.1:0\n") }

// A stream is numbered traffic under way.
type stream struct {
	stop  context.CancelFunc
	done  chan struct{}
	stats traffic.Stats
	err   error
}

// flow writes numbered lines to a log of the yard, with rotations, until stopped.
func (y *yard) flow(source, path string) *stream {
	y.t.Helper()
	o := traffic.Default()
	o.Lines, o.Rounds, o.Rate, o.Numbered, o.Batch = 1<<40, 1, 5000, true, 10
	o.Every = 300 * time.Millisecond
	ctx, stop := context.WithCancel(context.Background())
	s := &stream{stop: stop, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		s.stats, s.err = traffic.Writer{Source: traffic.Source{Name: source, Path: y.path(path)}, Options: o}.Run(ctx)
	}()
	y.t.Cleanup(func() { stop(); <-s.done })
	return s
}

// end stops the traffic and waits until its last line is in what was delivered.
func (s *stream) end(t *testing.T, out *screen) {
	t.Helper()
	s.stop()
	<-s.done
	if s.err != nil {
		t.Fatal(s.err)
	}
	seen := 0
	out.until(t, "the last line", func(text string) bool {
		v := traffic.Verifier{}
		v.ExpectStats(s.stats)
		if len(text) == seen {
			return false
		}
		seen = len(text)
		v.Read("out", strings.NewReader(text), traffic.Auto)
		return v.Report().Count(traffic.Lost) == 0
	})
}

// check reports every fault in what was delivered but those allowed.
func (s *stream) check(t *testing.T, out io.Reader, allowed ...traffic.Kind) {
	t.Helper()
	v := traffic.Verifier{}
	v.ExpectStats(s.stats)
	if err := v.Read("out", out, traffic.Auto); err != nil {
		t.Fatal(err)
	}
	r := v.Report()
	if r.Count() > r.Count(allowed...) || len(allowed) == 0 && r.Count() > 0 {
		var b bytes.Buffer
		r.WriteTo(&b)
		t.Errorf("%d lines written:\n%s", s.stats.Lines, b.String())
	}
}
