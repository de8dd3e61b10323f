package logtailf

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/fsnotify/fsnotify"

	"github.com/logcatchsys/logcatchsys/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// together makes a second follower, with an output of its own, in the folder of w.
func together(w *world, pattern string) *world {
	o := newWorld(w.t, pattern)
	o.dir, o.cfg.Path, o.deaf = w.dir, filepath.Join(w.dir, pattern), w.deaf
	return o
}

// all waits until the output has accepted exactly these, in any order.
func (w *world) all(want map[string]bool) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("%d lines", len(want)), func() bool { return len(w.sink.texts()) >= len(want) })
	got := w.sink.texts()
	if len(got) != len(want) {
		w.t.Fatalf("%d lines, not %d", len(got), len(want))
	}
	for _, l := range got {
		if !want[l] {
			w.t.Fatalf("%q was not expected, or came twice", l)
		}
		delete(want, l)
	}
}

// 500 files with 32 descriptors: the idle ones are closed and opened again.
func TestManyFilesWithFewDescriptors(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world) {
		w.handles = NewHandles(32)
		want := map[string]bool{}
		line := func(i int, text string) {
			text = fmt.Sprintf("%d %s", i, text)
			want[text] = true
			w.write(fmt.Sprintf("f%d.log", i), text+"\n")
		}
		for i := range 500 {
			line(i, "one")
		}
		w.start()
		for i := range 500 {
			line(i, "two")
		}
		for i := 0; i < 500; i += 7 {
			w.rename(fmt.Sprintf("f%d.log", i), fmt.Sprintf("f%d.log.1", i))
			line(i, "three")
		}
		w.all(want)
		if n := w.handles.Open(); n > 32+4 {
			t.Errorf("%d open files", n)
		}
	}, "*.log")
}

// fewWatches lets a hub have so many watches only.
func fewWatches(h *Hub, n int) {
	add := h.addWatch
	h.addWatch = func(w *fsnotify.Watcher, path string) error {
		if n--; n < 0 {
			return syscall.ENOSPC
		}
		return add(w, path)
	}
}

func TestTenWatchesInAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "*/x.log")
	w.onHub = func(h *Hub) { fewWatches(h, 10) }
	want := map[string]bool{}
	for round := range 3 {
		for i := range 30 {
			text := fmt.Sprintf("%d of %d", i, round)
			want[text] = true
			w.must(os.MkdirAll(w.path(fmt.Sprint(i)), 0o755))
			w.write(fmt.Sprintf("%d/x.log", i), text+"\n")
		}
		if round == 0 {
			w.start()
		}
	}
	w.all(want)
}

// What a full queue swallowed is found by looking at everything.
func TestQueueOverflow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "log.txt")
	w.start()
	w.write("log.txt", "one\n")
	w.expect("one")
	for i := range 3 {
		w.rename("log.txt", fmt.Sprintf("log.txt-2026112200000%d", i))
		w.write("log.txt", fmt.Sprintf("%d\n", i))
	}
	sub := w.follower.sub
	sub.mu.Lock()
	sub.pending = Events{Paths: map[string]struct{}{}} // the events are lost
	sub.mu.Unlock()
	w.hub.loseAll()
	w.expect("one", "0", "1", "2")
}

func TestUnreadableFolder(t *testing.T) {
	if runtime.GOOS == "windows" || os.Geteuid() == 0 {
		t.Skip("rights do not bite here")
	}
	eachWay(t, func(t *testing.T, w *world) {
		w.must(os.Mkdir(w.path("sub"), 0o000))
		w.start()
		w.must(os.Chmod(w.path("sub"), 0o755))
		w.write("sub/log.txt", "one\n")
		w.expect("one")
		w.must(os.Chmod(w.path("sub"), 0o000))
		w.must(os.Chmod(w.path("sub"), 0o755))
		w.write("sub/log.txt", "two\n")
		w.expect("one", "two")
	}, "sub/log.txt")
}

func TestTwoSourcesOfOneFile(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world) {
		o := together(w, "*.txt")
		w.start()
		o.start()
		w.write("log.txt", "one\n")
		w.expect("one")
		o.expect("one")
		w.stop()
		w.write("log.txt", "two\n")
		o.expect("one", "two")
		w.start()
		w.expect("one", "two")
	}, "log.txt")
}

// A rename from one source's path to another's is a new file to the other.
func TestRenameToAnotherSource(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world) {
		o := together(w, "b.log")
		w.start()
		o.start()
		w.write("a.log", "one\n")
		w.expect("one")
		w.rename("a.log", "b.log")
		o.expect("one")
		w.write("b.log", "two\n")
		o.expect("one", "two")
	}, "a.log")
}

// A checkpoint that refuses holds the lines back, no more.
func TestCheckpointThatRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "log.txt")
	w.start()
	w.sink.setRefuse(errors.New("disk full"))
	w.write("log.txt", "one\n")
	w.eventually("the file to be tried", func() bool { return w.handles.Open() > 0 })
	w.rename("log.txt", "log.txt.1")
	w.write("log.txt", "two\n")
	w.sink.setRefuse(nil)
	w.expect("one", "two")
}

func (s *sink) setRefuse(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = err
}

// Deleted files are held for an output that is behind, up to max_deleted; what is
// let go is counted.
func TestMaxDeleted(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world) {
		w.cfg.MaxDeleted = 20000
		w.start()
		w.write("log.txt", "first\n")
		w.expect("first")
		w.sink.take()
		for i := range 5 {
			w.write("log.txt", strings.Repeat(fmt.Sprintf("%09d\n", i), 1000))
			w.eventually("the file to be held", func() bool { return w.follower.Stats().LagBytes > 0 && w.handles.Open() > 0 })
			w.eventually("its size to be seen", func() bool { s := w.follower.Stats(); return s.LagBytes-s.Held >= 10000 })
			w.remove("log.txt")
			w.eventually("the deletion to be seen", func() bool { s := w.follower.Stats(); return s.Held > 0 && s.LagBytes == s.Held })
		}
		w.eventually("the held bytes to be bounded", func() bool {
			return w.follower.Stats().Held <= 20000 && w.sink.lost("max_deleted") >= 20000
		})
		w.sink.untake()
		w.write("log.txt", "last\n")
		w.eventually("the last line", func() bool {
			got := w.sink.texts()
			return len(got) > 0 && got[len(got)-1] == "last"
		})
		lines := len(w.sink.texts()) - 2
		if lost := w.sink.lost("max_deleted"); int64(lines)*10+lost != 50000 {
			t.Errorf("%d lines came and %d bytes were abandoned, of 5000 lines", lines, lost)
		}
	}, "log.txt")
}

// take keeps all batches from the follower, as an output that is down does.
func (s *sink) take() {
	for range cap(s.free) {
		s.hidden = append(s.hidden, <-s.free)
	}
}

func (s *sink) untake() {
	for _, b := range s.hidden {
		s.free <- b
	}
	s.hidden = nil
}

func (s *sink) lost(reason string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.abandoned[reason]
}

// While a backlog is read the living files stay current.
func TestBacklogBesideLivingFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "*.log")
	_, text := lines("backlog", 1, 400000)
	w.write("big.log", text)
	for i := range 20 {
		w.write(fmt.Sprintf("live%d.log", i), "before\n")
	}
	w.sink.pace = make(chan struct{})
	w.start()
	told := w.hub.Subscribe()
	watchAll(t, told, w.dir)
	for i := range 20 {
		name := fmt.Sprintf("live%d.log", i)
		w.write(name, fmt.Sprintf("live %d\n", i))
		awaitPath(t, told, w.path(name))
	}
	told.Close() // by now the follower is told of all of them
	// Of some 1,700 batches that the backlog makes: it has to follow that up meanwhile.
	live := 0
	for n := 0; n < 1000 && live < 20; n++ {
		w.sink.pace <- struct{}{}
		live = 0
		w.sink.mu.Lock()
		for _, d := range w.sink.accepted {
			if strings.HasPrefix(d.text, "live") {
				live++
			}
		}
		w.sink.mu.Unlock()
	}
	close(w.sink.pace)
	if live != 20 {
		t.Errorf("only %d of 20 live lines came among the first 1,000 batches", live)
	}
}

// A thousand cycles leave no goroutine, descriptor or watch behind.
func TestManyCycles(t *testing.T) {
	w := newWorld(t, "log.txt")
	w.write("log.txt", "one\n")
	w.hub = NewHub(w.logger())
	defer w.hub.Close()
	cycle := func() {
		f, err := New(w.cfg, Deps{Inlet: w.sink, Ledger: w.sink, Hub: w.hub, Handles: w.handles, Metrics: w.sink, Log: w.logger()}, nil)
		w.must(err)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- f.Run(ctx) }()
		w.eventually("the follower to be ready", func() bool { return f.Stats().Ready })
		cancel()
		w.must(<-done)
		f.Close()
	}
	cycle()
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	n := 1000
	if testing.Short() {
		n = 50
	}
	for range n {
		cycle()
	}
	w.eventually("the goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines })
	if now := openFiles(t); now > files {
		t.Errorf("%d open files, %d before", now, files)
	}
	if w.handles.Open() != 0 {
		t.Errorf("%d handles", w.handles.Open())
	}
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	if len(w.hub.byKey) != 0 {
		t.Errorf("%d watches", len(w.hub.byKey))
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(fds)
}

// Every record leaves under an id that the checkpoint knew before, and keeps it
// when it is delivered again after a crash.
func TestIDsAreTheSameAfterACrash(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world) {
		w.sink.late = true
		w.start()
		_, text := lines("line", 1, 3000)
		w.write("log.txt", text)
		w.eventually("batches", func() bool { w.sink.mu.Lock(); defer w.sink.mu.Unlock(); return len(w.sink.taken) > 3 })
		w.halt()
		before := map[string]string{}
		w.sink.mu.Lock()
		for _, b := range w.sink.taken {
			if _, ok := w.sink.entries[b.Key]; !ok {
				t.Errorf("generation %s left before the checkpoint knew it", b.Gen)
			}
			for _, d := range split(b) {
				before[d.text] = fmt.Sprint(d.gen, d.offset)
			}
		}
		w.sink.mu.Unlock()
		w.kill()
		w.rename("log.txt", "log.txt.1")
		w.sink.setLate(false)
		w.start()
		want, _ := lines("line", 1, 3000)
		w.expect(want...)
		w.sink.mu.Lock()
		defer w.sink.mu.Unlock()
		for _, d := range w.sink.accepted {
			if id := before[d.text]; id != "" && id != fmt.Sprint(d.gen, d.offset) {
				t.Fatalf("%q was %s and is %s%d", d.text, id, d.gen, d.offset)
			}
		}
	}, "log.txt")
}
