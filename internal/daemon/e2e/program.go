package e2e

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Long has tests do more of the same.
var Long = flag.Bool("long", false, "more edits, more rounds, longer lines")

// Binary is the real program, once Build has made it.
var Binary string

// Build makes Binary; remove deletes it.
func Build() (remove func(), err error) {
	dir, err := os.MkdirTemp("", "logcatchsys")
	if err != nil {
		return nil, err
	}
	Binary = filepath.Join(dir, "logcatchsys.exe")
	out, err := exec.Command("go", "build", "-o", Binary, "github.com/logcatchsys/logcatchsys").CombinedOutput()
	if err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return func() { os.RemoveAll(dir) }, nil
}

// A Program is one run, in this process or in its own.
type Program struct {
	Out, Err *Screen // stdout (unless it was given) and stderr
	Cmd      *exec.Cmd

	t    *testing.T
	stop context.CancelFunc
	done chan struct{}
	code int
}

// Inside runs the program's main function in this process.
func Inside(t *testing.T, run func(context.Context, []string, io.Reader, *os.File, io.Writer) int, args ...string) *Program {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	p := &Program{t: t, Out: NewScreen(), Err: NewScreen(), stop: stop, done: make(chan struct{})}
	r, w, err := os.Pipe()
	Must(t, err)
	var copied sync.WaitGroup
	copied.Go(func() { io.Copy(p.Out, r); r.Close() })
	go func() {
		defer close(p.done)
		p.code = run(ctx, args, strings.NewReader(""), w, p.Err)
		w.Close()
		copied.Wait()
	}()
	t.Cleanup(func() { p.End() })
	return p
}

// Start runs the real program in a folder; stdout may be nil.
func Start(t *testing.T, dir string, stdout *os.File, args ...string) *Program {
	t.Helper()
	cmd := exec.Command(Binary, args...)
	cmd.Dir = dir
	if stdout != nil {
		cmd.Stdout = stdout
	}
	return StartCommand(t, cmd)
}

// StartCommand runs a command that is the program, or becomes it by exec. Stdout and
// stderr that are not set become screens.
func StartCommand(t *testing.T, cmd *exec.Cmd) *Program {
	t.Helper()
	p := &Program{t: t, Out: NewScreen(), Err: NewScreen(), Cmd: cmd, done: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = p.Out
	}
	if cmd.Stderr == nil {
		cmd.Stderr = p.Err
	}
	Must(t, cmd.Start())
	p.stop = func() { p.Signal(os.Interrupt) }
	go func() {
		defer close(p.done)
		cmd.Wait()
		p.code = cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(p.Kill)
	return p
}

// Signal sends a signal to the program's process.
func (p *Program) Signal(s os.Signal) { p.Cmd.Process.Signal(s) }

// Kill ends the process as kill -9 does, and waits for that.
func (p *Program) Kill() {
	p.Cmd.Process.Kill()
	<-p.done
}

// Wait waits for the end and returns the exit code.
func (p *Program) Wait() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(Patience):
		p.t.Fatalf("does not end; its log:\n%s", Last(p.Err.String(), 3000))
	}
	return p.code
}

// End stops the program and returns the exit code.
func (p *Program) End() int {
	p.t.Helper()
	p.stop()
	return p.Wait()
}

// Term stops the program with SIGTERM, which must end it with exit code 0.
func (p *Program) Term() {
	p.t.Helper()
	p.Signal(syscall.SIGTERM)
	if code := p.Wait(); code != 0 {
		p.t.Errorf("exit code %d; its log:\n%s", code, Last(p.Err.String(), 2000))
	}
}

var httpAddr = regexp.MustCompile(`msg=started .* http=(\S+)`)

// Started waits for the start and returns the status address.
func (p *Program) Started() string {
	p.t.Helper()
	p.Err.Until(p.t, "the start", func(text string) bool {
		select {
		case <-p.done:
			p.t.Fatalf("ended with code %d:\n%s", p.code, text)
		default:
		}
		return httpAddr.MatchString(text)
	})
	return httpAddr.FindStringSubmatch(p.Err.String())[1]
}

// Ready waits until all sources are followed and returns the status address.
func (p *Program) Ready() string {
	p.t.Helper()
	addr := p.Started()
	Eventually(p.t, "readiness", func() bool { code, _ := Fetch(addr, "/readyz"); return code == 200 })
	return addr
}

// Edits waits until the log tells of n configurations that were taken.
func (p *Program) Edits(n int) {
	p.t.Helper()
	p.Err.Until(p.t, fmt.Sprintf("edit %d", n), func(text string) bool { return strings.Count(text, Edited) >= n })
}

// Edited is what the log says when a configuration was taken.
const Edited = "the configuration was taken"

// Eventually asks again and again: for what tells nobody when it changes.
func Eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Must ends the test on an error.
func Must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Fetch gets a page of the status listener; code 0: there is none, which is known at once.
func Fetch(addr, path string) (code int, body string) {
	client := http.Client{Timeout: Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get("http://" + addr + path)
	if err != nil {
		return 0, err.Error()
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(r.Body)
	return r.StatusCode, string(b)
}

// Metric is the value of the first metric with that beginning, as text.
func Metric(addr, name string) string {
	_, body := Fetch(addr, "/metrics")
	lines := bufio.NewScanner(strings.NewReader(body))
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return value
		}
	}
	return ""
}

// Figure is a metric of an output and a source, such as lag_bytes; -1: there is none.
func Figure(addr, name, output, source string) int64 {
	text := Metric(addr, fmt.Sprintf("logcatchsys_%s{output=%q,source=%q}", name, output, source))
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return -1
	}
	return int64(n)
}
