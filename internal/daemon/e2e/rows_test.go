//go:build unix

package e2e

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/traffic"
)

// sameFiles compares two files byte for byte.
func sameFiles(t *testing.T, a, b string) {
	t.Helper()
	f, err := os.Open(a)
	Must(t, err)
	defer f.Close()
	g, err := os.Open(b)
	Must(t, err)
	defer g.Close()
	p, q := make([]byte, 1<<16), make([]byte, 1<<16)
	for at := int64(0); ; at += int64(len(p)) {
		n, err := io.ReadFull(f, p)
		m, _ := io.ReadFull(g, q)
		if !bytes.Equal(p[:n], q[:m]) {
			t.Fatalf("%s and %s differ after byte %d", a, b, at)
		}
		if err != nil {
			return
		}
	}
}

// said is how often a log has a text.
func (p *Program) said(text string) int { return strings.Count(p.Err.String(), text) }

func TestFolderTakenAway(t *testing.T) {
	for what, c := range map[string]struct{ take, give func(y *Yard) }{
		"permission": {
			func(y *Yard) { Must(y.t, os.Chmod(y.Path("logs"), 0)) },
			func(y *Yard) { Must(y.t, os.Chmod(y.Path("logs"), 0o755)) },
		},
		"replaced by a file": {
			func(y *Yard) { Must(y.t, os.Rename(y.Path("logs"), y.Path("gone"))); y.Write("logs", "no folder\n") },
			func(y *Yard) {
				Must(y.t, os.Remove(y.Path("logs")))
				Must(y.t, os.Rename(y.Path("gone"), y.Path("logs")))
			},
		},
		"removed": {
			func(y *Yard) { Must(y.t, os.RemoveAll(y.Path("logs"))) },
			func(y *Yard) { Must(y.t, os.Mkdir(y.Path("logs"), 0o755)) },
		},
		"the path a folder": {
			func(y *Yard) {
				Must(y.t, os.Rename(y.Path("logs/a.log"), y.Path("logs/a.log.1")))
				Must(y.t, os.Mkdir(y.Path("logs/a.log"), 0o755))
			},
			func(y *Yard) { Must(y.t, os.Remove(y.Path("logs/a.log"))) },
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			y := NewYard(t, "configpath: {a: ./logs/a.log, all: './logs/*.log', b: ./b/log.txt}\npoll: 100ms")
			y.Write("logs/a.log", "")
			p := y.startAsNobody()
			p.Ready()
			y.Append("logs/a.log", "one\n")
			p.Out.WaitFor(t, "a: one\n")
			p.Out.WaitFor(t, "all: one\n")
			c.take(y)
			s := y.Flow("b", "b/log.txt")
			s.Turns(3)
			c.give(y)
			y.Append("logs/a.log", "two\n")
			p.Out.WaitFor(t, "a: two\n")
			p.Out.WaitFor(t, "all: two\n")
			s.End(t, p.Out)
			s.Check(t, strings.NewReader(withoutSources(p.Out.String(), "a", "all")))
			for _, line := range []string{"a: one\n", "a: two\n", "all: one\n", "all: two\n"} {
				if n := strings.Count("\n"+p.Out.String(), "\n"+line); n != 1 {
					t.Errorf("%q came %d times", line, n)
				}
			}
			if n := p.said("level=WARN") + p.said("level=ERROR"); n > 10 { // and there were more polls
				t.Errorf("said %d times:\n%s", n, p.Err.String())
			}
			p.Term()
		})
	}
}

// withoutSources drops the lines of these sources.
func withoutSources(text string, names ...string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		source, _, _ := strings.Cut(line, ": ")
		keep := true
		for _, name := range names {
			keep = keep && source != name
		}
		if keep {
			b.WriteString(line)
		}
	}
	return b.String()
}

// startAsNobody runs the program as a user whom permissions bind: root may all.
func (y *Yard) startAsNobody() *Program {
	y.t.Helper()
	if os.Getuid() != 0 {
		return y.Start()
	}
	const nobody = 65534
	for _, dir := range []string{filepath.Dir(Binary), filepath.Dir(y.Dir)} {
		Must(y.t, os.Chmod(dir, 0o755))
	}
	Must(y.t, os.Chmod(y.Dir, 0o777))
	cmd := exec.Command(Binary, "-c", "config.yaml")
	cmd.Dir = y.Dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	return StartCommand(y.t, cmd)
}

func TestSymlinkLoop(t *testing.T) {
	t.Parallel()
	y := NewYard(t, "configpath: {a: {path: './logs/**/*.log', symlinks: true}, b: './logs/**/*.log'}")
	y.Write("logs/x/y/one.log", "")
	Must(t, os.Symlink("..", y.Path("logs/x/up")))
	Must(t, os.Symlink(".", y.Path("logs/x/y/here")))
	Must(t, os.Symlink("me.log", y.Path("logs/me.log")))
	p := y.Start()
	p.Ready()
	y.Append("logs/x/y/one.log", "first\n")
	y.Write("logs/x/two.log", "second\n")
	p.wantSoon("a: first\n", "a: second\n", "b: first\n", "b: second\n")
	p.Term()
}

// wantSoon waits for these lines; there must be no others.
func (p *Program) wantSoon(lines ...string) {
	p.t.Helper()
	for _, line := range lines {
		p.Out.WaitFor(p.t, line)
	}
	if n := strings.Count(p.Out.String(), "\n"); n != len(lines) {
		p.t.Errorf("delivered:\n%s", p.Out.String())
	}
}

func TestTwoSourcesOneFile(t *testing.T) {
	t.Parallel()
	y := NewYard(t, "configpath: {a: ./log.txt, b: './*.txt'}")
	p := y.Start()
	p.Ready()
	s := y.Flow("a", "log.txt")
	s.Turns(3)
	s.End(t, p.Out)
	// The glob matches the generations, too: each is still delivered once.
	last := traffic.AppendNumbered(nil, traffic.SequenceID("a", 1), s.Stats.Writers[0].Last, 0)
	p.Out.WaitFor(t, "b: "+string(last))
	for _, source := range []string{"a", "b"} {
		other := string('a' + 'b' - source[0])
		text := withoutSources(p.Out.String(), other)
		s.Check(t, strings.NewReader(strings.ReplaceAll(text, source+": ", "")))
	}
	p.Term()
}

func TestGarbage(t *testing.T) {
	t.Parallel()
	y := NewYard(t, "configpath: {a: {path: ./a.log, start: beginning}}\n"+
		"outputs:\n  raw: {type: file, path: ./out, format: raw}\n  json: {type: file, path: ./json, format: json}")
	garbage := make([]byte, 4<<20)
	source := rand.New(rand.NewPCG(1, 2))
	for i := range garbage {
		garbage[i] = byte(source.UintN(256))
	}
	garbage = append(garbage, '\n')
	for bytes.Contains(garbage, []byte("\n\x00")) { // those are in no format
		garbage = bytes.ReplaceAll(garbage, []byte("\n\x00"), []byte("\nx"))
	}
	if garbage[0] == 0 {
		garbage[0] = 'x'
	}
	hole := strings.Repeat("\x00", 3<<20)
	y.Write("a.log", string(garbage)+hole+"after the hole\n")
	p := y.Start()
	want := string(garbage) + "after the hole\n"
	Eventually(t, "all of it", func() bool { return len(y.Read("out")) >= len(want) })
	if y.Read("out") != want {
		t.Error("not what went in")
	}
	Eventually(t, "the JSON", func() bool { return strings.HasSuffix(y.Read("json"), "\"message\":\"after the hole\"}\n") })
	p.Term()
}

func TestDamagedCheckpoint(t *testing.T) {
	t.Parallel()
	y := NewYard(t, "configpath: {a: {path: ./a.log, start: beginning}}")
	y.Write("a.log", "one\n")
	p := y.Start()
	p.Out.WaitFor(t, "a: one\n")
	p.Term()
	list, _ := filepath.Glob(y.Path("state/*.db"))
	if len(list) != 1 {
		t.Fatalf("in the state folder: %q", list)
	}
	good, err := os.ReadFile(list[0])
	Must(t, err)
	for what, bad := range map[string][]byte{
		"cut":     good[:len(good)/2],
		"zeroed":  make([]byte, len(good)),
		"garbage": bytes.Repeat([]byte("garbage "), len(good)/8),
	} {
		Must(t, os.WriteFile(list[0], bad, 0o600))
		p := y.Start()
		if code := p.Wait(); code != 1 {
			t.Errorf("%s: exit code %d", what, code)
		}
		if p.said("is damaged") != 1 || p.said("set it aside with: ") != 1 || p.said("goroutine") > 0 {
			t.Errorf("%s: said %s", what, p.Err)
		}
		if now, _ := os.ReadFile(list[0]); !bytes.Equal(now, bad) {
			t.Errorf("%s: the damaged file was changed", what)
		}
	}
	Must(t, os.WriteFile(list[0], good, 0o600))
	y.Append("a.log", "two\n")
	q := y.Start()
	q.wantSoon("a: two\n")
	q.Term()
}

// What was not written when the reader of stdout went comes at the next start; what
// the pipe held, 64 KiB at most, went with the reader.
func TestReaderGoneUnderTraffic(t *testing.T) {
	t.Parallel()
	y := NewYard(t, "configpath: {a: ./a/log.txt}")
	out := NewScreen()
	var s *Stream
	for range 4 {
		r, w, err := os.Pipe()
		Must(t, err)
		p := Start(t, y.Dir, w)
		w.Close()
		p.Ready()
		if s == nil {
			s = y.Flow("a", "a/log.txt")
		}
		_, err = io.CopyN(out, r, 50000+rand.Int64N(50000))
		Must(t, err)
		out.CutToLine()
		r.Close()
		if code := p.Wait(); code != 1 || p.said("the reader of stdout has gone") != 1 {
			t.Errorf("exit code %d: %s", code, Last(p.Err.String(), 1000))
		}
	}
	s.Stop()
	p := Start(t, y.Dir, nil, "--once")
	if code := p.Wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	out.Write([]byte(p.Out.String()))
	r := Count([]*Stream{s}, strings.NewReader(out.String()))
	Check(t, r, traffic.Repeated, traffic.OutOfOrder, traffic.Lost)
	line := s.Stats.Bytes/s.Stats.Lines + int64(len("a: "))
	if lost := int64(r.Count(traffic.Lost)); lost*line > 4*(1<<16+line) { // with the line that was cut
		t.Errorf("%d lines of %d bytes were lost, over 4 readers", lost, line)
	}
}

// A write to a socket that nobody reads stands in the kernel and cannot be called
// back. The exit must not wait for it, and nothing is lost.
func TestStopWithStuckWrite(t *testing.T) {
	t.Parallel()
	y := NewYard(t, "configpath: {a: {path: ./a.log, start: beginning}}\nshutdown_timeout: 200ms")
	y.Write("a.log", strings.Repeat(strings.Repeat("x", 1023)+"\n", 4096))
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	Must(t, err)
	near, far := os.NewFile(uintptr(fds[0]), "near"), os.NewFile(uintptr(fds[1]), "far")
	defer near.Close()
	p := Start(t, y.Dir, far)
	far.Close()
	Eventually(t, "the write to begin, which is of more than a socket holds", func() bool {
		n, _, err := syscall.Recvfrom(fds[0], make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return n > 0 && err == nil
	})
	began := time.Now()
	p.Signal(syscall.SIGTERM)
	if code := p.Wait(); code != 0 || time.Since(began) > 8*time.Second { // it has not waited for the default of 10 s
		t.Errorf("exit code %d after %s", code, time.Since(began))
	}
	p.Err.WaitFor(t, "stands in a write that does not end")
	q := Start(t, y.Dir, nil, "--once")
	if code := q.Wait(); code != 0 || strings.Count(q.Out.String(), "\n") != 4096 {
		t.Errorf("exit code %d, %d lines", code, strings.Count(q.Out.String(), "\n"))
	}
}
