package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/checkpoint"
	"github.com/logcatchsys/logcatchsys/internal/leak"
	"github.com/logcatchsys/logcatchsys/internal/output"
	"github.com/logcatchsys/logcatchsys/internal/status"
	"github.com/logcatchsys/logcatchsys/logconfig"
)

func TestMain(m *testing.M) { leak.Main(m) }

var quiet = slog.New(slog.DiscardHandler)

func TestLogChangesUnderLoggersInUse(t *testing.T) {
	var b bytes.Buffer
	log, settings := NewLog(&b)
	old := log.With("source", "a").WithGroup("g").With("n", 1)
	old.Debug("silent")
	old.Info("first")
	settings.Set(logconfig.Log{Level: slog.LevelDebug, Format: "json"})
	old.Debug("second")
	settings.Set(logconfig.Log{Level: slog.LevelError, Format: "text"})
	old.Warn("silent")
	settings.Flush(time.Minute)
	lines := strings.Split(b.String(), "\n")
	if len(lines) != 3 || !strings.HasSuffix(lines[0], "level=INFO msg=first source=a g.n=1") ||
		!strings.HasSuffix(lines[1], `"level":"DEBUG","msg":"second","source":"a","g":{"n":1}}`) {
		t.Errorf("%q", lines)
	}
}

func TestGuard(t *testing.T) {
	plain := errors.New("plain")
	if err := Guard(func() error { return plain }); err != plain {
		t.Errorf("an error became %v", err)
	}
	if err := Guard(func() error { return nil }); err != nil {
		t.Errorf("nothing became %v", err)
	}
	var none map[string]int
	for what, f := range map[string]func() error{
		"a test":                     func() error { panic("a test") },
		"assignment to entry in nil": func() error { none["x"] = 1; return nil },
		"invalid memory address":     func() error { return (*Lane)(nil).err },
	} {
		var p *PanicError
		if err := Guard(f); !errors.As(err, &p) {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if text := p.Error(); !strings.Contains(text, "panic in daemon.TestGuard.func") ||
			!strings.Contains(text, "(daemon_test.go:") || !strings.Contains(text, what) || strings.Contains(text, "\n") {
			t.Errorf("%s: %q", what, text)
		}
		if !strings.Contains(p.Stack, "daemon_test.go") {
			t.Errorf("%s: stack %q", what, p.Stack)
		}
	}
}

func TestPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := Pauses[string]{}
		if !p.Over("a") {
			t.Error("waits before it failed")
		}
		for _, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
			want *= time.Second
			if got := p.Failed("a", time.Second); got != want {
				t.Errorf("pause of %s, want %s", got, want)
			}
			time.Sleep(want - 1)
			if p.Over("a") {
				t.Errorf("over before %s", want)
			}
			time.Sleep(time.Nanosecond)
			if !p.Over("a") || !p.Over("b") {
				t.Errorf("not over after %s", want)
			}
		}
		if got := p.Failed("a", time.Minute); got != time.Second {
			t.Errorf("pause of %s after a minute of health", got)
		}
	})
}

func load(t *testing.T, text string) *logconfig.Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := logconfig.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPlan(t *testing.T) {
	c := load(t, `
configpath:
  a:
    path: /logs/**/*.log
    exclude: ['*.gz']
    rotated: ['{name}-*']
    start: beginning
    symlinks: true
    max_line: 1KiB
    labels: {z: '<é>', b: 'q"'}
    outputs: [f]
  b: '/logs/\[b]'
outputs: {f: {type: file, path: /out}, s: {type: stdout}}
poll: 2s
rotate_wait: 3s
max_deleted: 4
`)
	p := NewPlan(c, "host", true)
	if len(p.Tails) != 3 || len(p.Outputs) != 2 || p.Outputs["f"].Path != "/out" {
		t.Fatalf("%+v", p)
	}
	if keys := fmt.Sprint(p.Keys()); keys != "[{a f} {b f} {b s}]" {
		t.Errorf("keys %s", keys)
	}
	a, b := p.Tails[status.Key{Source: "a", Output: "f"}], p.Tails[status.Key{Source: "b", Output: "s"}]
	if got := fmt.Sprintf("%+v", a); got != "{Source:a Path:/logs/**/*.log Literal:false Exclude:[*.gz] Rotated:[{name}-*] FromEnd:false "+
		`Symlinks:true MaxLine:1024 Labels:{"b":"q\"","z":"<é>"} Host:host Poll:2s RotateWait:3s MaxDeleted:4 Once:true}` {
		t.Errorf("a: %s", got)
	}
	if b.Path != "/logs/[b]" || !b.Literal || !b.FromEnd || b.Labels != "" || b.Rotated != nil || b.MaxLine != 1<<20 {
		t.Errorf("b: %+v", b)
	}
}

func TestChanges(t *testing.T) {
	plan := func(text string) Plan { return NewPlan(load(t, text), "host", false) }
	sources := func(n int, poll string) string {
		var b strings.Builder
		b.WriteString("poll: " + poll + "\nconfigpath:\n")
		for i := range n {
			fmt.Fprintf(&b, "  s%02d: /logs/%d\n", i, i)
		}
		return b.String()
	}
	two := "configpath: {a: /a, b: {path: /b, outputs: [y]}}\noutputs:\n  x: {type: stdout}\n  y: {type: file, path: /%s}\n"
	for _, c := range []struct{ from, to, want string }{
		{"configpath: {a: /a}", "\n\nconfigpath: {a: /a}\nlog: {level: debug}", "[]"},
		{"configpath: {a: /a, b: /b, c: /c}", "configpath: {a: /a, b: /B, d: /d}", "[started d restarted b stopped c]"},
		{fmt.Sprintf(two, "y"), fmt.Sprintf(two, "z"), "[restarted a/y, b/y outputs y]"},
		{"configpath: {a: /a}", fmt.Sprintf(two, "y"), "[started a/x, a/y, b/y stopped a outputs stdout, x, y]"},
		{sources(12, "1s"), sources(12, "2s"), "[restarted s00, s01, s02, s03, s04, s05, s06, s07, s08, s09 and 2 more]"},
	} {
		if got := fmt.Sprint(plan(c.from).Changes(plan(c.to))); got != c.want {
			t.Errorf("%s\nto %s\ngives %s\nwant %s", c.from, c.to, got, c.want)
		}
	}
}

func TestHTTPMove(t *testing.T) {
	h := NewHTTP(status.New(), quiet)
	defer h.Close()
	move := func(addr string, must bool) string {
		t.Helper()
		if err := h.Move(addr, must); err != nil {
			t.Fatal(err)
		}
		return h.Addr()
	}
	if got := move("", true); got != "" {
		t.Errorf("off, and listens on %s", got)
	}
	first := move("127.0.0.1:0", true)
	if got := move("127.0.0.1:0", true); got != first {
		t.Errorf("moved from %s to %s without a change", first, got)
	}
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := h.Move(other.Addr().String(), true); err == nil || h.Addr() != first {
		t.Errorf("a taken address: %v, listens on %s", err, h.Addr())
	}
	_, port, _ := net.SplitHostPort(first)
	if got := move("0.0.0.0:"+port, true); !strings.HasSuffix(got, ":"+port) || got == first {
		t.Errorf("the same port on all addresses: %s", got)
	}
	// Its own port, on an address that is nowhere: the one before comes back.
	before := h.Addr()
	if err := h.Move("192.0.2.1:"+port, true); err == nil || h.Addr() != before {
		t.Errorf("an impossible address: %v, listens on %s, before on %s", err, h.Addr(), before)
	}
	if got := move(other.Addr().String(), false); got != "" {
		t.Errorf("the default is taken, and it listens on %s", got)
	}
	other.Close()
	if got := move(other.Addr().String(), false); got == "" {
		t.Error("the default is free again, and it does not listen")
	}
	if got := move("", false); got != "" {
		t.Errorf("switched off, and listens on %s", got)
	}
}

func openStore(t *testing.T) *checkpoint.Store {
	t.Helper()
	s, err := checkpoint.Open(t.TempDir(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestAlive(t *testing.T) {
	for key, want := range map[string]bool{
		"a\x00\x00seen\x00/a": true,
		"no source":           true,
		"a\x00id":             false, // not a position of a file that is there
	} {
		if got := alive(key, []byte("x")); got != want {
			t.Errorf("%q: %v", key, got)
		}
	}
}

func TestExpire(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		store, err := checkpoint.Open(dir, quiet)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		ledger, err := store.Ledger("out")
		if err != nil {
			t.Fatal(err)
		}
		left := func() string {
			entries, err := ledger.Load("")
			if err != nil {
				t.Fatal(err)
			}
			var keys []string
			for _, e := range entries {
				keys = append(keys, fmt.Sprintf("%q", e.Key))
			}
			slices.Sort(keys)
			return strings.Join(keys, " ")
		}
		const all, notes = `"a\x00\x00seen" "a\x00id"`, `"a\x00\x00seen"`
		if err := ledger.Register([]checkpoint.Entry{{Key: "a\x00id"}, {Key: "a\x00\x00seen"}}, nil); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		var ready atomic.Bool
		go func() {
			defer close(done)
			Expire(ctx, store, ready.Load, quiet)
		}()
		time.Sleep(expireAge + time.Hour)
		if got := left(); got != all {
			t.Errorf("while not ready, %s are left", got)
		}
		ready.Store(true)
		time.Sleep(expireSoon)
		if synctest.Wait(); left() != notes {
			t.Errorf("%s are left", left())
		}
		if err := ledger.Register([]checkpoint.Entry{{Key: "a\x00id"}}, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(expireAge - expireEvery)
		if synctest.Wait(); left() != all {
			t.Errorf("too early, %s are left", left())
		}
		time.Sleep(2 * expireEvery)
		if synctest.Wait(); left() != notes {
			t.Errorf("a day later, %s are left", left())
		}
		cancel()
		<-done
	})
}

func TestSummary(t *testing.T) {
	p := NewPlan(load(t, "configpath: {a: /a, b: /b}"), "host", true)
	m := status.New()
	for _, k := range p.Keys() {
		m.Tail(k)
	}
	m.Output("stdout").Delivered("b", 50, 5)
	s := NewSummary()
	s.unread("a", map[string]string{"/y": "no", "/x": "never", "\x00held": ""})
	s.unread("a", map[string]string{"/x": "never"})
	s.Ended("b", errors.New("broken"), nil)
	var b strings.Builder
	m.Output("stdout").Dropped("a", "refused", 2)
	if !s.Write(&b, p, m) {
		t.Error("it says nothing of what was refused")
	}
	lines := slices.Collect(strings.Lines(b.String()))
	if len(lines) != 7 || lines[0] != "a: 0 records, 0 bytes\n" || lines[1] != "a: 2 records refused for good; there is no dead_letter\n" ||
		lines[2] != "b: 5 records, 50 bytes\n" ||
		!strings.HasPrefix(lines[3], "delivered 5 records, 50 bytes in ") || lines[4] != "not read: source a: /x: never\n" ||
		lines[5] != "not read: source a: /y: no\n" || lines[6] != "not read: source b: broken\n" {
		t.Errorf("%q", lines)
	}
}

func TestLane(t *testing.T) {
	store := openStore(t)
	out := filepath.Join(t.TempDir(), "out")
	env := LaneEnv{Host: "host", Store: store, Log: quiet, Stdout: &output.Stdout{File: os.Stdout}}
	spec := logconfig.Output{Name: "f", Type: "file", Path: out, Format: "text", Keep: 1}
	figures := status.New().Output("f")
	lane, err := env.Open(spec, figures)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	lane.Start(t.Context(), func() { close(done) })
	lane.put("a line\n")
	lane.Stop()
	<-done
	<-lane.Ended()
	if err := lane.Err(); err != nil || !lane.Stopping() {
		t.Errorf("%v, stopping %v", err, lane.Stopping())
	}
	if text, err := os.ReadFile(out); err != nil || string(text) != "a: a line\n" {
		t.Errorf("%q, %v", text, err)
	}

	lane, err = env.Open(spec, figures) // with the note of the first
	if err != nil {
		t.Fatal(err)
	}
	if err := lane.Discard(); err != nil {
		t.Error(err)
	}
	spec.Format = "nonsense"
	if _, err := env.Open(spec, figures); err == nil || !strings.Contains(err.Error(), "output f: ") {
		t.Errorf("%v", err)
	}
}

func (l *Lane) put(line string) {
	b := <-l.Pump.Free()
	b.Source, b.Key, b.Data, b.Count = "a", "a\x00id", append(b.Data[:0], line...), 1
	l.Pump.Put(b)
}

func TestLaneIsGivenUp(t *testing.T) {
	env := LaneEnv{Store: openStore(t), Log: quiet}
	// Its folder is a file: every write fails and is tried again.
	spec := logconfig.Output{Name: "f", Type: "file", Path: "/dev/null/out", Format: "raw", Keep: 1}
	lane, err := env.Open(spec, status.New().Output("f"))
	if err != nil {
		t.Fatal(err)
	}
	lane.Start(t.Context(), func() {})
	lane.put("a line\n")
	lane.Stop()
	lane.GiveUpAfter(time.Millisecond)
	<-lane.Ended()
	if err := lane.Err(); err == nil || !strings.Contains(err.Error(), "given up") {
		t.Errorf("%v", err)
	}
}

// A panicking output must not end the process.
func TestLaneSurvivesPanic(t *testing.T) {
	env := LaneEnv{Store: openStore(t), Log: quiet}
	lane, err := env.Open(logconfig.Output{Name: "f", Type: "file", Path: "/dev/null/out", Format: "raw", Keep: 1}, status.New().Output("f"))
	if err != nil {
		t.Fatal(err)
	}
	broken := &panics{}
	lane.Pump = output.NewPump(output.PumpConfig{Name: "f", Output: broken, Ledger: lane.Ledger, Log: quiet})
	lane.out = broken
	lane.Start(t.Context(), func() {})
	lane.Pump.Return(<-lane.Pump.Free())
	lane.stop()
	<-lane.Ended()
	if err := new(PanicError); !errors.As(lane.Err(), &err) || broken.closed != 2 {
		t.Errorf("%v, closed %d times", lane.Err(), broken.closed)
	}
}

type panics struct {
	output.Output
	closed int
}

func (p *panics) Close() error {
	if p.closed++; p.closed == 1 {
		panic("a test")
	}
	return nil
}

func TestSharesWith(t *testing.T) {
	lane := Lane{Spec: logconfig.Output{Name: "f", Type: "file", Path: "/x"}}
	for _, c := range []struct {
		spec logconfig.Output
		want bool
	}{
		{logconfig.Output{Name: "f", Type: "stdout"}, true},
		{logconfig.Output{Name: "g", Type: "file", Path: "/x"}, true},
		{logconfig.Output{Name: "g", Type: "file", Path: "/y"}, false},
		{logconfig.Output{Name: "g", Type: "stdout"}, false},
		{logconfig.Output{Name: "g", Type: "http", DeadLetter: "/x"}, true}, // what was a file may become a dead letter
		{logconfig.Output{Name: "g", Type: "http", DeadLetter: "/y"}, false},
	} {
		if lane.SharesWith(c.spec) != c.want {
			t.Errorf("%+v: %v", c.spec, !c.want)
		}
	}
}
