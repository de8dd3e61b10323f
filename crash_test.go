//go:build unix

package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/daemon/e2e"
	"github.com/logcatchsys/logcatchsys/internal/traffic"
)

var kills = flag.Int("kills", 8, "kill -9 so many times, over all ways to rotate")

// threeOutputs delivers both sources as raw, as JSON and to stdout.
const threeOutputs = `configpath:
  a: {path: ./a/log.txt, start: beginning}
  b: {path: ./b/log.txt, start: beginning}
outputs:
  raw: {type: file, path: './out/raw/{source}.log', format: raw, max_size: 256KiB, keep: 10000}
  json: {type: file, path: ./out/json/all.jsonl, format: json, max_size: 1MiB, keep: 10000}
  screen: {type: stdout}`

// A crashing is a daemon with threeOutputs that is stopped and started under traffic.
type crashing struct {
	*e2e.Yard
	t       *testing.T
	runs    int
	streams []*e2e.Stream
}

func crash(t *testing.T, rotate traffic.Rotation, naming traffic.Naming, every time.Duration) *crashing {
	t.Helper()
	c := &crashing{Yard: e2e.NewYard(t, threeOutputs), t: t}
	// What was rotated before a source was first seen is not read.
	p := c.run()
	p.Ready()
	p.Term()
	o := e2e.Traffic()
	o.Rate, o.Rotate, o.Naming, o.Every, o.Jitter = 10000, rotate, naming, every, true
	for _, name := range []string{"a", "b"} {
		o.Seed++
		c.streams = append(c.streams, c.FlowWith(name, name+"/log.txt", o))
	}
	return c
}

// run starts the daemon. Each run has a stdout of its own: a kill may tear a line.
func (c *crashing) run(args ...string) *e2e.Program {
	c.t.Helper()
	c.runs++
	out, err := os.Create(c.Path(fmt.Sprintf("std-%04d", c.runs)))
	e2e.Must(c.t, err)
	defer out.Close()
	return e2e.Start(c.t, c.Dir, out, args...)
}

// check stops the traffic, has the rest delivered, and counts.
func (c *crashing) check() {
	c.t.Helper()
	lines, turns := int64(0), int64(0)
	for _, s := range c.streams {
		s.Stop()
		lines, turns = lines+s.Stats.Lines, turns+s.Stats.Rotations
	}
	p := c.run("--once")
	if code := p.Wait(); code != 0 {
		c.t.Errorf("the last run: exit code %d:\n%s", code, e2e.Last(p.Err.String(), 3000))
	}
	e2e.Check(c.t, c.Delivered(c.streams, "out/raw/a.log*", "out/raw/b.log*"))
	e2e.Check(c.t, c.Delivered(c.streams, "out/json/*"))
	std := c.Delivered(c.streams, "std-*")
	e2e.Check(c.t, std, traffic.Repeated, traffic.OutOfOrder, traffic.Torn)
	c.t.Logf("%d lines, %d rotations, %d runs; stdout repeated %d", lines, turns, c.runs, std.Count(traffic.Repeated))
}

// often is how long a log of these tests lives, in the mean.
const often = 60 * time.Millisecond

// everyRotation runs a test for each way to rotate, two at a time.
func everyRotation(t *testing.T, every time.Duration, do func(t *testing.T, c *crashing)) {
	for _, way := range []struct {
		rotate traffic.Rotation
		naming traffic.Naming
	}{
		{traffic.RenameKeep, traffic.Timestamp}, {traffic.CopyTruncate, traffic.Timestamp},
		{traffic.Gzip, traffic.Timestamp}, {traffic.Rename, traffic.Index},
	} {
		t.Run(fmt.Sprintf("%s, %s", way.rotate, way.naming), func(t *testing.T) {
			t.Parallel()
			do(t, crash(t, way.rotate, way.naming, every))
		})
	}
}

func TestCrashByKill9(t *testing.T) {
	t.Parallel()
	everyRotation(t, often, func(t *testing.T, c *crashing) {
		for range (*kills + 3) / 4 {
			p := c.run()
			if rand.IntN(8) > 0 { // else it dies somewhere in its start
				p.Started()
			}
			time.Sleep(rand.N(500 * time.Millisecond)) // the moment of a crash is random
			p.Kill()
		}
		c.check()
	})
}

func TestCrashByManyTerms(t *testing.T) {
	t.Parallel()
	n := 5
	if *e2e.Long {
		n = 20
	}
	everyRotation(t, often, func(t *testing.T, c *crashing) {
		for range n {
			p := c.run()
			p.Started()
			time.Sleep(rand.N(300 * time.Millisecond))
			p.Term()
		}
		c.check()
	})
}

// A daemon that stands still sees several rotations at once, with lines unread. Of a
// thousand, the kernel drops notifications.
func TestCrashStandsStillOverRotations(t *testing.T) {
	t.Parallel()
	stops, turns, every := 3, int64(3), often
	if *e2e.Long {
		stops, turns, every = 1, 1000, 5*time.Millisecond
	}
	everyRotation(t, every, func(t *testing.T, c *crashing) {
		p := c.run()
		p.Ready()
		for range stops {
			c.streams[0].Lines(1000)
			p.Signal(syscall.SIGSTOP)
			for _, s := range c.streams {
				s.Turns(turns)
			}
			p.Signal(syscall.SIGCONT)
		}
		p.Term()
		c.check()
	})
}

func TestCrashDownOverFiveRotations(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"gzip", "zstd"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("not installed: ", program)
		}
	}
	y := e2e.NewYard(t, threeOutputs)
	c := &crashing{Yard: y, t: t}
	p := c.run()
	p.Ready()
	var want strings.Builder
	write := func(n int) {
		for range n {
			line := fmt.Sprintf("line %d\n", strings.Count(want.String(), "\n"))
			want.WriteString(line)
			y.Append("a/log.txt", line)
		}
	}
	e2e.Must(t, os.Mkdir(y.Path("a"), 0o755))
	write(1000)
	e2e.Eventually(t, "the first lines", func() bool { return y.Read("out/raw/a.log") == want.String() })
	p.Kill()
	write(10) // unread when it is rotated
	for n := range 5 {
		for i := n; i > 0; i-- {
			for _, ext := range []string{"", ".gz", ".zst"} {
				os.Rename(y.Path(fmt.Sprintf("a/log.txt.%d%s", i, ext)), y.Path(fmt.Sprintf("a/log.txt.%d%s", i+1, ext)))
			}
		}
		e2e.Must(t, os.Rename(y.Path("a/log.txt"), y.Path("a/log.txt.1")))
		if command := map[int][]string{0: {"gzip"}, 2: {"zstd", "-q", "--rm"}, 3: {"gzip"}}[n]; command != nil {
			out, err := exec.Command(command[0], append(command[1:], y.Path("a/log.txt.1"))...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		write(300)
	}
	if n, _ := os.ReadDir(y.Path("a")); len(n) != 6 {
		t.Fatalf("the test made %v", n)
	}
	q := c.run()
	lines := strings.Count(want.String(), "\n")
	e2e.Eventually(t, "the rest", func() bool {
		return len(y.Read("out/raw/a.log")) >= want.Len() && strings.Count(y.Read("out/json/all.jsonl"), "\n") >= lines
	})
	q.Term()
	if y.Read("out/raw/a.log") != want.String() {
		t.Error("lost, repeated or out of order")
	}
	if n := strings.Count(y.Read("out/json/all.jsonl"), "\n"); n != lines {
		t.Errorf("%d lines of JSON", n)
	}
}
