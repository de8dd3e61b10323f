package e2e

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/traffic"
)

// A Yard is a folder with a configuration.
type Yard struct {
	Dir    string
	Config string // path of the configuration

	t *testing.T
}

// NewYard makes a folder with this configuration; the status page is on a free port.
func NewYard(t *testing.T, config string) *Yard {
	t.Helper()
	dir := t.TempDir()
	y := &Yard{dir, filepath.Join(dir, "config.yaml"), t}
	y.Edit(config)
	return y
}

// Path is a path in the folder.
func (y *Yard) Path(name string) string { return filepath.Join(y.Dir, name) }

// Write writes a file in the folder.
func (y *Yard) Write(name, text string) {
	y.t.Helper()
	Must(y.t, os.MkdirAll(filepath.Dir(y.Path(name)), 0o755))
	Must(y.t, os.WriteFile(y.Path(name), []byte(text), 0o644))
}

// Append appends to a file in the folder.
func (y *Yard) Append(name, text string) {
	y.t.Helper()
	f, err := os.OpenFile(y.Path(name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	Must(y.t, err)
	defer f.Close()
	_, err = f.WriteString(text)
	Must(y.t, err)
}

// Read is the text of a file in the folder, empty if there is none.
func (y *Yard) Read(name string) string {
	text, _ := os.ReadFile(y.Path(name))
	return string(text)
}

// Edit writes the configuration in place.
func (y *Yard) Edit(config string) { y.Write("config.yaml", config+"\nhttp: 127.0.0.1:0\n") }

// Start runs the real program on the configuration.
func (y *Yard) Start() *Program {
	y.t.Helper()
	return Start(y.t, y.Dir, nil)
}

// Traffic is that of most tests: numbered lines, a rename every 300 ms.
func Traffic() traffic.Options {
	o := traffic.Default()
	o.Lines, o.Rounds, o.Rate, o.Numbered, o.Batch = 1<<40, 1, 5000, true, 10
	o.Every = 300 * time.Millisecond
	return o
}

// A Stream is numbered traffic under way.
type Stream struct {
	Stats traffic.Stats // once it has ended

	t     *testing.T
	wrote atomic.Int64
	turns atomic.Int64
	stop  context.CancelFunc
	done  chan struct{}
	err   error
}

// Flow writes the usual traffic to a log of the yard until stopped.
func (y *Yard) Flow(source, path string) *Stream {
	y.t.Helper()
	return y.FlowWith(source, path, Traffic())
}

// FlowWith writes until stopped, or all is written.
func (y *Yard) FlowWith(source, path string, o traffic.Options) *Stream {
	y.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	s := &Stream{t: y.t, stop: stop, done: make(chan struct{})}
	o.Wrote = func(lines int) { s.wrote.Add(int64(lines)) }
	o.Rotated = func(traffic.Turn) { s.turns.Add(1) }
	go func() {
		defer close(s.done)
		s.Stats, s.err = traffic.Writer{Source: traffic.Source{Name: source, Path: y.Path(path)}, Options: o}.Run(ctx)
	}()
	y.t.Cleanup(func() { stop(); <-s.done })
	return s
}

// Stop ends the traffic.
func (s *Stream) Stop() {
	s.t.Helper()
	s.stop()
	s.Drain()
}

// Drain waits until all is written.
func (s *Stream) Drain() {
	s.t.Helper()
	<-s.done
	Must(s.t, s.err)
}

// Lines waits until n more lines are written.
func (s *Stream) Lines(n int64) {
	s.t.Helper()
	want := s.wrote.Load() + n
	Eventually(s.t, "lines to be written", func() bool { return s.wrote.Load() >= want })
}

// Turns waits for n more rotations.
func (s *Stream) Turns(n int64) {
	s.t.Helper()
	want := s.turns.Load() + n
	Eventually(s.t, "rotations", func() bool { return s.turns.Load() >= want })
}

// End stops the traffic and waits until its last line is in what was delivered.
func (s *Stream) End(t *testing.T, out *Screen) {
	t.Helper()
	s.Stop()
	seen := 0
	out.Until(t, "the last line", func(text string) bool {
		if len(text) == seen {
			return false
		}
		seen = len(text)
		return Count([]*Stream{s}, strings.NewReader(text)).Count(traffic.Lost) == 0
	})
}

// Check reports every fault in what was delivered but those allowed.
func (s *Stream) Check(t *testing.T, out io.Reader, allowed ...traffic.Kind) {
	t.Helper()
	Check(t, Count([]*Stream{s}, out), allowed...)
}

// Count compares what was delivered with what the streams wrote.
func Count(streams []*Stream, outs ...io.Reader) traffic.Report {
	v := traffic.Verifier{}
	for _, s := range streams {
		v.ExpectStats(s.Stats)
	}
	for _, out := range outs {
		if err := v.Read("out", out, traffic.Auto); err != nil {
			panic(err) // the readers are files and texts
		}
	}
	return v.Report()
}

// Check fails the test for every fault but those allowed.
func Check(t *testing.T, r traffic.Report, allowed ...traffic.Kind) {
	t.Helper()
	faults := r.Count()
	if len(allowed) > 0 {
		faults -= r.Count(allowed...)
	}
	if faults > 0 || r.Lines() == 0 {
		var b bytes.Buffer
		r.WriteTo(&b)
		t.Errorf("what was delivered:\n%s", b.String())
	}
}

// Delivered counts what lies in files of the yard, against what the streams wrote.
// Each glob's files are read as the file output rotates them: the oldest first.
func (y *Yard) Delivered(streams []*Stream, globs ...string) traffic.Report {
	y.t.Helper()
	v := traffic.Verifier{}
	for _, s := range streams {
		v.ExpectStats(s.Stats)
	}
	for _, glob := range globs {
		paths, err := filepath.Glob(y.Path(glob))
		Must(y.t, err)
		traffic.OldestFirst(paths)
		for _, path := range paths {
			Must(y.t, v.ReadFile(path, traffic.Auto))
		}
	}
	return v.Report()
}
