package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/logcatchsys/logcatchsys/internal/traffic"
)

// wants waits until each line has come, and nothing but these, each once.
func (p *Program) wants(lines map[string]bool) {
	p.t.Helper()
	p.Out.Until(p.t, fmt.Sprintf("%d lines", len(lines)), func(text string) bool {
		return strings.Count(text, "\n") >= len(lines)
	})
	for line := range strings.Lines(p.Out.String()) {
		if !lines[line] {
			p.t.Errorf("delivered twice, or never written: %q", line)
		}
		delete(lines, line)
	}
	if len(lines) > 0 {
		p.t.Errorf("%d lines are missing", len(lines))
	}
}

func TestMoreFilesThanDescriptors(t *testing.T) {
	for _, c := range []struct{ files, limit, busy int }{{500, 64, 500}, {10000, 1024, 200}} {
		t.Run(fmt.Sprintf("%d files, %d descriptors", c.files, c.limit), func(t *testing.T) {
			t.Parallel()
			y := NewYard(t, "configpath: {a: {path: ./logs/*.log, start: end}}")
			Must(t, os.Mkdir(y.Path("logs"), 0o755))
			name := func(i int) string { return fmt.Sprintf("logs/%d.log", i) }
			for i := range c.files {
				Must(t, os.WriteFile(y.Path(name(i)), fmt.Appendf(nil, "old %d\n", i), 0o644))
			}
			p := y.startShell(fmt.Sprintf("ulimit -n %d", c.limit), nil)
			p.Ready()
			lines := map[string]bool{}
			for round := range 3 {
				for i := range c.busy + 50 {
					n := i * (c.files / c.busy) // the last 50 are new files
					line := fmt.Sprintf("line %d of %d\n", round, n)
					lines["a: "+line] = true
					y.Append(name(n), line)
				}
			}
			p.wants(lines)
			open := p.descriptors()
			t.Logf("%d descriptors open, %d MiB at most", open, p.peakKiB()/1024)
			if open > c.limit {
				t.Errorf("%d descriptors open", open)
			}
			p.Term()
		})
	}
}

// Without notifications folders are looked at, which must come to the same.
func TestNoNotificationsLeft(t *testing.T) {
	for what, limit := range map[string]string{
		"no instance": "echo 0 >/proc/sys/user/max_inotify_instances",
		"few watches": "echo 2 >/proc/sys/user/max_inotify_watches",
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			y := NewYard(t, "configpath: {a: './a/**/*.log', b: ./b/log.txt}\npoll: 100ms")
			for i := range 5 {
				y.Write(fmt.Sprintf("a/%d/x.log", i), "")
			}
			p := y.inNamespace(limit)
			addr := p.Ready()
			s := y.Flow("b", "b/log.txt")
			lines := map[string]bool{}
			for i := range 5 {
				y.Append(fmt.Sprintf("a/%d/x.log", i), fmt.Sprintf("line %d\n", i))
				lines[fmt.Sprintf("a: line %d\n", i)] = true
			}
			s.Turns(5)
			s.End(t, p.Out)
			var a, b strings.Builder
			p.Out.Until(t, "five lines", func(text string) bool { return strings.Count(text, "a: line") == len(lines) })
			for line := range strings.Lines(p.Out.String()) {
				if lines[line] {
					a.WriteString(line)
				} else {
					b.WriteString(line)
				}
			}
			if strings.Count(a.String(), "\n") != 5 {
				t.Errorf("delivered %q", a.String())
			}
			s.Check(t, strings.NewReader(b.String()))
			if n := p.said("no notifications of changes") + p.said("no file notifications, folders are polled"); n == 0 || n > 6 {
				t.Errorf("said %d times:\n%s", n, p.Err.String())
			}
			if code, _ := Fetch(addr, "/readyz"); code != 200 {
				t.Error("not ready")
			}
			p.Term()
		})
	}
}

// Sources that come and go leave nothing behind.
func TestReloadsLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	n := 100
	if *Long {
		n = 1000
	}
	y := NewYard(t, "configpath: {a: ./a/log.txt}")
	p := y.Start()
	addr := p.Ready()
	s := y.Flow("a", "a/log.txt")
	cycle := func(i int) {
		y.Write(fmt.Sprintf("b%d/log.txt", i%7), "one\n")
		y.Edit(fmt.Sprintf("configpath: {a: ./a/log.txt, b: ./b%d/log.txt, c: './b%d/**/*.txt'}", i%7, i%7))
		p.Edits(2*i + 1)
		y.Edit("configpath: {a: ./a/log.txt}")
		p.Edits(2*i + 2)
	}
	const warm = 10 // what is made once, such as metrics and buffers, is there then
	for i := range warm {
		cycle(i)
	}
	goroutines := func() string { return Metric(addr, "go_goroutines") }
	fds, routines, memory := p.descriptors(), goroutines(), p.residentKiB()
	for i := range n {
		cycle(warm + i)
	}
	s.End(t, p.Out)
	s.Check(t, strings.NewReader(p.Out.String()))
	Eventually(t, fmt.Sprintf("descriptors and goroutines to be %d and %s again, not %d and %s",
		fds, routines, p.descriptors(), goroutines()), func() bool {
		return p.descriptors() <= fds && len(goroutines()) <= len(routines) && goroutines() <= routines
	})
	now := p.residentKiB()
	t.Logf("%d cycles: %d descriptors, %s goroutines, %d -> %d KiB", n, fds, routines, memory, now)
	if now > memory+16<<10 {
		t.Errorf("resident memory grew from %d to %d KiB", memory, now)
	}
	p.Term()
}

// A line that does not end costs the same memory, however long it is.
func TestEndlessLine(t *testing.T) {
	for _, format := range []string{"raw", "json"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			size := 40 << 20
			if *Long {
				size = 300 << 20
			}
			y := NewYard(t, "configpath: {a: {path: ./a.log, start: beginning}, b: ./b/log.txt}\n"+
				"outputs:\n  out: {type: file, path: './{source}.out', format: "+format+"}")
			p := y.Start()
			p.Ready()
			s := y.Flow("b", "b/log.txt")
			y.endless("a.log", size)
			Eventually(t, "what comes after the long line", func() bool { return strings.Contains(y.tail("a.out"), "last") })
			s.Stop()
			Eventually(t, "the other lines", func() bool { return y.Delivered([]*Stream{s}, "b.out").Count(traffic.Lost) == 0 })
			Check(t, y.Delivered([]*Stream{s}, "b.out"))
			peak := p.peakKiB()
			t.Logf("a line of %d MiB: at most %d MiB resident", size>>20, peak>>10)
			if peak > 80<<10 {
				t.Errorf("%d KiB resident", peak)
			}
			if n := p.said("longer than max_line"); n != 1 {
				t.Errorf("said %d times", n)
			}
			if format == "raw" {
				sameFiles(t, y.Path("a.log"), y.Path("a.out"))
			} else if n := y.messageBytes("a.out"); n != size+len("last") {
				t.Errorf("%d bytes in the messages", n)
			}
			p.Term()
		})
	}
}

// endless writes a line of that many bytes, and a short one.
func (y *Yard) endless(name string, size int) {
	y.t.Helper()
	f, err := os.Create(y.Path(name))
	Must(y.t, err)
	defer f.Close()
	block := []byte(strings.Repeat("x", 1<<20))
	for range size >> 20 {
		_, err := f.Write(block)
		Must(y.t, err)
	}
	_, err = f.WriteString("\nlast\n")
	Must(y.t, err)
}

// messageBytes is how long the messages of a file of JSON are together.
func (y *Yard) messageBytes(name string) (n int) {
	y.t.Helper()
	f, err := os.Open(y.Path(name))
	Must(y.t, err)
	defer f.Close()
	for d := json.NewDecoder(f); ; {
		var record struct{ Message string }
		switch err := d.Decode(&record); err {
		case nil:
			n += len(record.Message)
		case io.EOF:
			return n
		default:
			y.t.Fatal(err)
		}
	}
}

// tail is the end of a file, empty if there is none yet.
func (y *Yard) tail(name string) string {
	f, err := os.Open(y.Path(name))
	if err != nil {
		return ""
	}
	defer f.Close()
	if _, err := f.Seek(-500, io.SeekEnd); err != nil {
		return ""
	}
	b, _ := io.ReadAll(f)
	return string(b)
}
