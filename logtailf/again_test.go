package logtailf

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
)

// A log is truncated when all of it was read, and grows to less than it was, as much, and
// more; it begins as before, or not, for less than the fingerprint or more.
func TestTruncatedAThousandTimes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "log.txt")
	heads := []string{"", "head\n", strings.Repeat("h", 2*headMax) + "\n"}
	f := w.still()
	f.lookFirst(context.Background())
	var want []string
	have := 0
	for round := range 1000 {
		head, more := heads[rand.IntN(len(heads))], 0
		switch rand.IntN(3) {
		case 0: // as long as it was, if that is enough for a line
			more = max(0, have-len(head)-len("000000\n"))
		case 1:
			more = have + rand.IntN(100)
		}
		number := fmt.Sprintf("%06d", round)
		text := head + number + strings.Repeat(number, more%5000/len(number)) + strings.Repeat("x", more%5000%len(number)) + "\n"
		if round > 0 {
			w.truncate("log.txt", 0)
			if rand.IntN(2) == 0 {
				f.lookAt(w.path("log.txt")) // or it is not seen to be empty
			}
		}
		w.write("log.txt", text)
		have = len(text)
		want = append(want, strings.Split(strings.TrimSuffix(text, "\n"), "\n")...)
		f.lookAt(w.path("log.txt"))
		f.list()
		f.classify()
		for len(f.ready) > 0 {
			f.readOne(<-w.sink.free)
		}
		if n := len(w.sink.texts()); n != len(want) {
			t.Fatalf("round %d: %d lines, not %d", round, n, len(want))
		}
	}
	w.readAll(f, want...)
}

// Down while a log is deleted and made again, until its inode has the number and the birth
// time of before, or there are no birth times: what is in it tells.
func TestInodeUsedAgainWhileDown(t *testing.T) {
	for _, head := range []string{"", strings.Repeat("h", 2*headMax) + "\n"} {
		for what, text := range map[string]string{
			"shorter": "x\n", "as long": "eno\nowt\n", "longer": "three\nfour\nfive\n", "empty": "",
		} {
			t.Run(fmt.Sprintf("%s, %d", what, len(head)), func(t *testing.T) {
				eachWay(t, func(t *testing.T, w *world) {
					w.write("log.txt", head+"one\ntwo\n")
					w.start()
					want := strings.SplitAfter(head+"one\ntwo\n", "\n")
					w.expect(trimmed(want)...)
					w.kill()
					w.remove("log.txt")
					w.write("log.txt", head+text)
					w.claimInode("log.txt")
					want = append(want, strings.SplitAfter(head+text, "\n")...)
					w.start()
					w.expect(trimmed(want)...)
					w.write("log.txt", "end\n")
					w.expect(trimmed(append(want, "end\n"))...)
				}, "log.txt")
			})
		}
	}
}

// trimmed drops what is empty, and the line ends.
func trimmed(lines []string) (out []string) {
	for _, l := range lines {
		if l != "" {
			out = append(out, strings.TrimSuffix(l, "\n"))
		}
	}
	return out
}

// claimInode makes all positions be of the file called name, by its identity.
func (w *world) claimInode(name string) {
	w.t.Helper()
	st, err := statPath(w.path(name))
	w.must(err)
	w.sink.mu.Lock()
	defer w.sink.mu.Unlock()
	n := 0
	for key, e := range w.sink.entries {
		p, err := parsePosition(e.Value)
		if err != nil {
			continue // the note that the source was seen
		}
		p.ident = st.identity
		e.Value = p.append(nil)
		w.sink.entries[key] = e
		n++
	}
	if n != 1 {
		w.t.Fatalf("%d positions", n)
	}
}

// Fifty logs begin with the same 2 KiB; some are renamed while there is nobody.
func TestFiftyFilesThatBeginAlike(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world) {
		head := strings.Repeat("h", 2048)
		name := func(i int) string { return fmt.Sprintf("f%02d.log", i) }
		want := map[string]bool{}
		line := func(name, text string) {
			want[text] = true
			w.write(name, text+"\n")
		}
		lines := func() map[string]bool { // without the heads, which are all the same
			got := map[string]bool{}
			for _, l := range w.sink.texts() {
				if l != head && got[l] {
					t.Fatalf("%q came twice", l)
				}
				got[l] = l != head
			}
			delete(got, head)
			return got
		}
		for i := range 50 {
			w.write(name(i), head+"\n")
			line(name(i), fmt.Sprint("one ", i))
		}
		w.start()
		w.eventually("the first lines", func() bool { return len(lines()) == len(want) })
		w.kill()
		for i := range 50 {
			line(name(i), fmt.Sprint("two ", i))
			if i%5 == 0 {
				w.rename(name(i), name(i)+".1")
				line(name(i), fmt.Sprint("three ", i))
			}
		}
		w.start()
		w.eventually("all lines", func() bool { return len(lines()) >= len(want) })
		for l := range lines() {
			if !want[l] {
				t.Errorf("%q was not expected", l)
			}
		}
		heads := 0
		for _, l := range w.sink.texts() {
			if l == head {
				heads++
			}
		}
		if heads != 50 {
			t.Errorf("%d heads", heads)
		}
	}, "*.log")
}

// A backlog is rotated, and rotated again, before its end was ever reached.
func TestRotatedBeforeTheFirstEnd(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world) {
		var want []string
		add := func(prefix string) {
			all, text := lines(prefix, 1, 3000)
			want = append(want, all...)
			w.write("log.txt", text)
		}
		w.sink.pace = make(chan struct{})
		add("one")
		w.start()
		w.sink.pace <- struct{}{} // one block of it
		w.rename("log.txt", "log.txt.1")
		add("two")
		w.sink.pace <- struct{}{}
		w.rename("log.txt.1", "log.txt.2")
		w.rename("log.txt", "log.txt.1")
		w.compress("log.txt.2", ".gz")
		add("three")
		close(w.sink.pace)
		w.expect(want...)
	}, "log.txt")
}

// hears is less than any look around takes to come: what is delivered within it was told.
const hears = sweepEvery * 5 / 6

// A source that is removed and added again at once hears of what is written, and goes on at
// its position. What is written while it begins to follow does not wait for the next write.
func TestAddedAgainHears(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "log.txt")
	w.cfg.Poll = time.Hour
	w.shared = NewHub(w.logger())
	defer w.shared.Close()
	var want []string
	write := func() {
		text := fmt.Sprint(len(want))
		want = append(want, text)
		w.write("log.txt", text+"\n")
	}
	for i := range 100 {
		written := make(chan struct{})
		go func() {
			defer close(written)
			for range rand.IntN(300) {
				_, _ = os.Stat(w.path("log.txt")) // a little later, or not
			}
			write()
		}()
		w.launch()
		<-written
		soon(t, w, want)
		write()
		soon(t, w, want)
		if i%2 == 0 {
			w.halt()
		} else {
			w.stop()
		}
	}
	w.expect(want...)
}

// soon waits until as many lines came as were written.
func soon(t *testing.T, w *world, want []string) {
	t.Helper()
	deadline := time.Now().Add(hears)
	for len(w.sink.texts()) < len(want) {
		if time.Now().After(deadline) {
			t.Fatalf("deaf: %d of %d lines", len(w.sink.texts()), len(want))
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// Files that do not live long, in folders that were just made: notifications tell of them at
// once, and nothing comes of it that they are gone right after they were read.
func TestFilesThatLiveShortly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "logs/**/*.log")
	w.cfg.Poll = time.Hour
	w.must(os.Mkdir(w.path("logs"), 0o755))
	w.start()
	var written []string
	for i := range 20 {
		dir := fmt.Sprintf("logs/%d/deep", i)
		written = append(written, fmt.Sprint("line ", i))
		w.must(os.MkdirAll(w.path(dir), 0o755))
		w.write(dir+"/x.log", written[i]+"\n")
		if i%2 == 0 {
			soon(t, w, written)
			w.must(os.RemoveAll(w.path(fmt.Sprintf("logs/%d", i))))
		}
	}
	soon(t, w, written)
	want := map[string]bool{}
	for _, line := range written {
		want[line] = true
	}
	w.all(want)
}
