package logtailf

import (
	"bytes"
	"compress/gzip"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/logcatchsys/logcatchsys/internal/checkpoint"
	"github.com/logcatchsys/logcatchsys/internal/record"
)

var verbose = flag.Bool("followlog", false, "print the followers' own log")

// patience is how long a test waits for what must come. What is written to a file that was
// let go before comes with the next look at everything only, where nothing is told.
const patience = 4 * sweepEvery

// A sink is the output and the checkpoint of a test: what it accepted survives a
// crash, what it only took does not.
type sink struct {
	mu        sync.Mutex
	changed   *sync.Cond
	free      chan *record.Batch
	late      bool            // accept only when told
	taken     []*record.Batch // copies, not accepted yet
	accepted  []delivered
	entries   map[string]checkpoint.Entry
	overlay   map[string][]byte
	abandoned map[string]int64
	damaged   int             // how often damage was reported
	refuse    error           // what Register answers
	hidden    []*record.Batch // kept from the follower
	pace      chan struct{}   // if not nil, each batch waits for it
}

type delivered struct {
	gen     string
	file    string
	offset  int64
	text    string
	partial *record.Partial
}

func newSink() *sink {
	s := &sink{entries: map[string]checkpoint.Entry{}, overlay: map[string][]byte{}, abandoned: map[string]int64{}}
	s.changed = sync.NewCond(&s.mu)
	s.refill()
	return s
}

func (s *sink) refill() {
	s.free = make(chan *record.Batch, 4)
	for range 4 {
		s.free <- &record.Batch{Data: make([]byte, 0, 4096)}
	}
}

func (s *sink) Free() <-chan *record.Batch { return s.free }
func (s *sink) Return(b *record.Batch)     { s.free <- b }

func (s *sink) Put(b *record.Batch) {
	if s.pace != nil {
		<-s.pace
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := *b
	c.Data, c.Mark = bytes.Clone(b.Data), bytes.Clone(b.Mark)
	s.taken = append(s.taken, &c)
	s.overlay[c.Key] = c.Mark
	if !s.late {
		s.acceptLocked()
	}
	s.free <- b
	s.changed.Broadcast()
}

// accept accepts all that was taken.
func (s *sink) accept() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acceptLocked()
	s.changed.Broadcast()
}

func (s *sink) acceptLocked() {
	for _, b := range s.taken {
		s.entries[b.Key] = checkpoint.Entry{Key: b.Key, Value: b.Mark, Seen: time.Now()}
		delete(s.overlay, b.Key)
		if b.Accepted != nil {
			b.Accepted.Store(b.To())
		}
		s.accepted = append(s.accepted, split(b)...)
	}
	s.taken = nil
}

func split(b *record.Batch) []delivered {
	var out []delivered
	offset := b.From
	for _, line := range bytes.SplitAfter(b.Data, []byte{'\n'}) {
		if len(line) == 0 {
			continue
		}
		text := strings.TrimSuffix(string(line), "\n")
		trimmed := strings.TrimLeft(text, "\x00")
		out = append(out, delivered{b.Gen, b.File, offset + int64(len(text)-len(trimmed)), trimmed, b.Partial})
		offset += int64(len(line))
	}
	return out
}

func (s *sink) Load(prefix string) ([]checkpoint.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []checkpoint.Entry
	for _, k := range slices.Sorted(maps.Keys(s.entries)) {
		e := s.entries[k]
		if v, ok := s.overlay[k]; ok {
			e.Value = v
		}
		if strings.HasPrefix(k, prefix) {
			out = append(out, e)
		}
	}
	return out, nil
}

func (s *sink) Register(put []checkpoint.Entry, del []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		return s.refuse
	}
	for _, k := range del {
		delete(s.entries, k)
	}
	for _, e := range put {
		if _, ok := s.entries[e.Key]; !ok {
			e.Seen = time.Now()
			s.entries[e.Key] = e
		}
	}
	return nil
}

func (s *sink) Touch([]string) error { return nil }

func (s *sink) Taken(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, taken := s.overlay[key]
	return taken
}

func (s *sink) Read(bytes, records int) {}
func (s *sink) Abandoned(reason string, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.abandoned[reason] += n
	if reason == "damaged" {
		s.damaged++
	}
}

// crash forgets what was taken and not accepted, as the outputs' undo does.
func (s *sink) crash() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken = nil
	clear(s.overlay)
	s.refill()
}

// batches tells in which order the generations were delivered.
func (s *sink) batches() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for i, d := range s.accepted {
		if i == 0 || s.accepted[i-1].gen != d.gen {
			fmt.Fprintf(&b, " %s@%d:%.8s", d.gen, d.offset, d.text)
		}
	}
	return b.String()
}

func (s *sink) texts() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, d := range s.accepted {
		out = append(out, d.text)
	}
	return out
}

// A world is a folder with logs, a follower and a sink.
type world struct {
	t        testing.TB
	dir      string
	cfg      Config
	sink     *sink
	hub      *Hub
	handles  *Handles
	follower *Follower
	cancel   context.CancelFunc
	done     chan error
	deaf     bool       // no notifications: poll only
	onHub    func(*Hub) // done to each hub
	diary    io.Writer  // gets the log, if not nil
	shared   *Hub       // another world's, which closes it
}

func newWorld(t testing.TB, pattern string) *world {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: dir, sink: newSink(), handles: NewHandles(0)}
	w.cfg = Config{
		Source: "src", Path: filepath.Join(dir, pattern), MaxLine: 1 << 16, Host: "h",
		Poll: 20 * time.Millisecond, RotateWait: 50 * time.Millisecond,
	}
	t.Cleanup(func() { w.stop() })
	return w
}

func (w *world) logger() *slog.Logger {
	out := io.Discard
	if w.diary != nil {
		out = w.diary
	}
	if *verbose {
		out = io.MultiWriter(out, w.t.Output())
	}
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// start starts the follower and waits until it has looked at everything once.
func (w *world) start() *world {
	w.t.Helper()
	f := w.launch()
	w.eventually("the follower to be ready", func() bool { return f.Stats().Ready })
	return w
}

// launch starts the follower.
func (w *world) launch() *Follower {
	w.t.Helper()
	w.hub = w.shared
	if w.hub == nil {
		w.hub = NewHub(w.logger())
	}
	if w.deaf && w.shared == nil { // else it is already, and in use
		deafen(w.hub)
	}
	if w.onHub != nil {
		w.onHub(w.hub)
	}
	f, err := New(w.cfg, Deps{Inlet: w.sink, Ledger: w.sink, Hub: w.hub, Handles: w.handles,
		Metrics: w.sink, Log: w.logger()}, w.follower)
	if err != nil {
		w.t.Fatal(err)
	}
	w.follower = f
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel, w.done = cancel, make(chan error, 1)
	go func() { w.done <- f.Run(ctx) }()
	return f
}

// halt stops the follower and keeps it for the next start.
func (w *world) halt() {
	w.t.Helper()
	if w.cancel == nil {
		return
	}
	w.cancel()
	if err := <-w.done; err != nil {
		w.t.Errorf("follower: %v", err)
	}
	w.cancel = nil
	if w.shared == nil {
		w.hub.Close()
	}
}

// stop stops the follower as the end of the process does.
func (w *world) stop() {
	w.t.Helper()
	w.halt()
	if w.follower != nil {
		w.follower.Close()
		w.follower = nil
	}
}

// kill is stop as kill -9 does it: what was not accepted never was.
func (w *world) kill() {
	w.t.Helper()
	w.stop()
	w.sink.crash()
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) write(name, text string) {
	w.t.Helper()
	f, err := os.OpenFile(w.path(name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	w.must(err)
	_, err = f.WriteString(text)
	w.must(err)
	w.must(f.Close())
}

func (w *world) rename(from, to string) {
	w.t.Helper()
	w.must(os.Rename(w.path(from), w.path(to)))
}
func (w *world) remove(name string) { w.t.Helper(); w.must(os.Remove(w.path(name))) }

func (w *world) truncate(name string, size int64) {
	w.t.Helper()
	w.must(os.Truncate(w.path(name), size))
}

func (w *world) copy(from, to string) {
	w.t.Helper()
	b, err := os.ReadFile(w.path(from))
	w.must(err)
	w.must(os.WriteFile(w.path(to), b, 0o644))
}

// compress does what gzip and zstd do: a new file with the time of the old one,
// then the old one goes.
func (w *world) compress(name, ext string) {
	w.t.Helper()
	fi, err := os.Stat(w.path(name))
	w.must(err)
	b, err := os.ReadFile(w.path(name))
	w.must(err)
	var buf bytes.Buffer
	var c io.WriteCloser = gzip.NewWriter(&buf)
	if ext == ".zst" {
		c, err = zstd.NewWriter(&buf)
		w.must(err)
	}
	_, err = c.Write(b)
	w.must(err)
	w.must(c.Close())
	w.must(os.WriteFile(w.path(name+ext), buf.Bytes(), 0o644))
	w.must(os.Chtimes(w.path(name+ext), fi.ModTime(), fi.ModTime()))
	w.must(os.Remove(w.path(name)))
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// eventually waits for a condition that the follower's work makes true.
func (w *world) eventually(what string, cond func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	for !cond() {
		if time.Now().After(deadline) {
			w.t.Fatalf("waited in vain for %s; delivered: %s", what, brief(w.sink.texts()))
		}
		time.Sleep(time.Millisecond)
	}
}

func brief(lines []string) string {
	if len(lines) > 60 {
		return fmt.Sprintf("%d lines, the last %q", len(lines), lines[len(lines)-20:])
	}
	return fmt.Sprintf("%q", lines)
}

// expect waits until exactly these lines were delivered, in this order.
func (w *world) expect(lines ...string) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("%d lines", len(lines)), func() bool { return len(w.sink.texts()) >= len(lines) })
	if got := w.sink.texts(); !slices.Equal(got, lines) {
		w.t.Fatalf("delivered\n%s\nnot\n%s", brief(got), brief(lines))
	}
}

func lines(prefix string, from, to int) (all []string, text string) {
	for i := from; i <= to; i++ {
		all = append(all, fmt.Sprintf("%s %06d", prefix, i))
	}
	return all, strings.Join(all, "\n") + "\n"
}

func (s *sink) damage() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.damaged
}
