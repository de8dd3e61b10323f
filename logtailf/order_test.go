package logtailf

import (
	"context"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What a follower before handed over is not delivered before the output says so: the
// file that it came from is not let go, and comes again after a crash.
func TestRestartedWhileLinesAreOnTheirWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "*.log")
	w.deaf, w.cfg.RotateWait = true, time.Millisecond
	w.sink.late = true
	taken := func(n int) {
		w.eventually("lines to be taken", func() bool {
			w.sink.mu.Lock()
			defer w.sink.mu.Unlock()
			return len(w.sink.taken) >= n
		})
	}
	w.write("a.log", "one\n")
	w.start()
	taken(1)
	w.halt()
	w.start()
	w.rename("a.log", "a.log.1")
	w.eventually("the rotation to be seen", func() bool { return w.follower.Stats().Pending == 1 })
	for i, name := range []string{"b.log", "c.log", "d.log"} { // each is found by another tick
		w.write(name, "more\n")
		taken(2 + i)
	}
	w.kill()
	w.sink.setLate(false)
	w.start()
	w.eventually("four lines", func() bool { return len(w.sink.texts()) >= 4 })
	if got := w.sink.texts(); !slices.Contains(got, "one") || len(got) != 4 {
		t.Errorf("delivered %q", got)
	}
}

// A glob that matches both finds a file beside what it is compressed to.
func TestFirstSeenWhileItIsCompressed(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world) {
		w.write("app.log", "three\n")
		w.write("app.log.1", "one\ntwo\n")
		w.copy("app.log.1", "copy")
		w.compress("app.log.1", ".gz")
		w.rename("copy", "app.log.1")
		w.start()
		w.expect("one", "two", "three")
		w.remove("app.log.1")
		w.write("app.log", "four\n")
		w.expect("one", "two", "three", "four")
	}, "app.log*")
}

// still makes a follower that does not run: a test moves it on, step by step.
func (w *world) still() *Follower {
	w.t.Helper()
	hub := NewHub(w.logger())
	deafen(hub)
	f, err := New(w.cfg, Deps{Inlet: w.sink, Ledger: w.sink, Hub: hub, Handles: w.handles,
		Metrics: w.sink, Log: w.logger()}, nil)
	w.must(err)
	f.sub = hub.Subscribe()
	w.t.Cleanup(func() {
		f.Close()
		f.sub.Close()
		hub.Close()
	})
	w.must(f.load())
	f.watch(w.dir)
	return f
}

// readAll reads all that f has ready and compares all that was read with want.
func (w *world) readAll(f *Follower, want ...string) {
	w.t.Helper()
	for len(f.ready) > 0 {
		f.readOne(<-w.sink.free)
	}
	if got := w.sink.texts(); !slices.Equal(got, want) {
		w.t.Errorf("delivered %q", got)
	}
}

// A log whose files all begin alike, for longer than the fingerprint, is copied and
// truncated between the last look around and the first read, and is longer again by then.
func TestCopytruncateBehindALongHeader(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "log.txt")
	header := strings.Repeat("h", 2*headMax)
	w.write("log.txt", header+"\none\n")
	f := w.still()
	f.lookFirst(context.Background())
	g := f.trails[w.path("log.txt")].living
	w.must(f.ensureOpen(g))
	_, err := f.ensureRegistered(g)
	w.must(err)
	w.copy("log.txt", "log.txt.1")
	w.truncate("log.txt", 0)
	w.write("log.txt", header+"\ntwo\nthree\n")
	w.readAll(f, header, "one", header, "two", "three")
}

// At a start, numbered files are found while they are renamed: some names are of
// before, some of after.
func TestOrderOfNumberedFilesThatAreBeingRenamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "app.log")
	w.sink.late = true
	w.start()
	w.stop()
	w.write("app.log.2", "one\n")
	w.write("app.log.1", "two\n")
	w.start()
	w.eventually("both to be registered", func() bool {
		entries, err := w.sink.Load("")
		return err == nil && len(entries) == 3 // and that the source was seen
	})
	w.kill()
	w.sink.setLate(false)
	f := w.still()
	f.lookAt(w.path("app.log.2"))
	w.rename("app.log.2", "app.log.4")
	w.rename("app.log.1", "app.log.3")
	f.lookAt(w.path("app.log.3"))
	w.readAll(f, "one", "two")
}

// A file is renamed between the listing and the look into it: it is found under its new
// name in the same look.
func TestRenamedBeforeItIsLookedInto(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "app.log")
	w.write("app.log", "zero\n")
	w.start()
	w.expect("zero")
	w.stop()
	f := w.still()
	f.lookFirst(context.Background())
	w.write("app.log.1", "one\n")
	f.listing[w.dir] = true
	f.list()
	w.rename("app.log.1", "app.log.2")
	w.write("app.log.1", "two\n")
	f.classify()
	w.readAll(f, "zero", "one", "two")
}

// A copy that copytruncate made is compressed while it is looked into: it is not there any
// more by the time that it is known what it was.
func TestCompressedWhileItIsLookedInto(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "log.txt")
	w.write("log.txt", "one\n")
	f := w.still()
	f.lookFirst(context.Background())
	w.readAll(f, "one")
	const copied = "log.txt-20261122"
	w.copy("log.txt", copied)
	w.truncate("log.txt", 0)
	w.write("log.txt", "two\nthree\n")
	st, err := statPath(w.path(copied))
	w.must(err)
	c, err := f.inspect(w.path(copied), st, "")
	w.must(err)
	w.compress(copied, ".gz")
	f.judgeContent(c, f.trailsOf(c.path), false)
	c.close()
	f.list()
	f.classify()
	w.readAll(f, "one", "two", "three")
	f = w.still()
	f.lookFirst(context.Background())
	w.readAll(f, "one", "two", "three")
}

// A copy that became what is left of a log is, after a restart too, that log's and no copy.
func TestCopyThatWasTakenOverIsOwned(t *testing.T) {
	t.Parallel()
	for range 8 { // in which order the checkpoint has the two is at random
		w := newWorld(t, "log.txt")
		w.write("log.txt", "one\n")
		f := w.still()
		f.lookFirst(context.Background())
		w.readAll(f, "one")
		log := f.trails[w.path("log.txt")].living
		w.copy("log.txt", "copy")
		w.compress("copy", ".gz")
		w.rename("copy.gz", "log.txt.1.gz")
		f.lookEverywhere()
		w.readAll(f, "one")
		w.remove("log.txt")
		w.write("log.txt", "two\n")
		f.lookEverywhere()
		w.readAll(f, "one", "two")
		log.done = true // its time was up
		f.moved = append(f.moved, log)
		f.rewrite()
		again := w.still() // does not hold the file: the copy is all that is left
		again.lookFirst(context.Background())
		again.rewrite()
		again = w.still()
		again.lookFirst(context.Background())
		st, err := statPath(w.path("log.txt.1.gz"))
		w.must(err)
		if g := again.owner(st); g == nil || g.id != log.id {
			t.Fatalf("%+v is the owner, not %s", g, log.id)
		}
		w.readAll(again, "one", "two")
	}
}

// A folder cannot be listed while a file that was renamed in it is looked for, as without
// a descriptor left: the file is not given up.
func TestRenamedWhileItsFolderCannotBeListed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "app.log")
	w.write("app.log", "one\n")
	f := w.still()
	f.lookFirst(context.Background())
	w.readAll(f, "one")
	w.write("app.log", "two\n")
	f.lookAt(w.path("app.log"))
	g := f.trails[w.path("app.log")].living
	g.close() // others needed the descriptor
	w.rename("app.log", "app.log.1")
	f.listNames = func(string) (map[string]uint64, error) { return nil, syscall.EMFILE }
	f.tick()
	w.readAll(f, "one")
	f.listNames = listNames
	f.tick()
	w.readAll(f, "one", "two")
	if n := w.sink.lost("gone"); n > 0 {
		t.Errorf("%d bytes were given up", n)
	}
}

// gzip reads a rotated file while its writer, not told yet, goes on writing to it: what
// comes of that holds less than was delivered, and is no file of its own.
func TestCompressedWithoutItsLastLines(t *testing.T) {
	for name, less := range map[string]int{"whole lines": 24, "torn": 17} {
		t.Run(name, func(t *testing.T) {
			eachWay(t, func(t *testing.T, w *world) {
				all, text := lines("line", 1, 500)
				w.start()
				w.write("log.txt", text)
				w.expect(all...)
				w.rename("log.txt", "log.txt.1")
				fi, err := os.Stat(w.path("log.txt.1"))
				w.must(err)
				late, more := lines("line", 501, 502)
				w.write("log.txt.1", more)
				w.expect(append(all, late...)...)
				w.write("part", (text + more)[:len(text+more)-less])
				w.must(os.Chtimes(w.path("part"), fi.ModTime(), fi.ModTime()))
				w.compress("part", ".gz")
				w.rename("part.gz", "log.txt.1.gz")
				w.remove("log.txt.1")
				w.write("log.txt", "line 000503\n")
				all, _ = lines("line", 1, 503)
				w.expect(all...)
				w.stop()
				w.start()
				w.write("log.txt", "line 000504\n")
				all, _ = lines("line", 1, 504)
				w.expect(all...)
			}, "log.txt")
		})
	}
}
