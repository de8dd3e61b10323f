package logtailf

import (
	"context"
	"os"
	"testing"
	"time"
)

// A clock that was set back dates what is done from then on before what was done until
// then. No test can set it: writeBack writes to a log as after that, and copyBack makes
// its copy in a file that was there before the log was.

const spare = "spare"

func (w *world) setBack(name string) {
	w.t.Helper()
	back := time.Now().Add(-time.Hour)
	w.must(os.Chtimes(w.path(name), back, back))
}

func (w *world) writeBack(name, text string) {
	w.t.Helper()
	w.write(name, text)
	w.setBack(name)
}

// makeBehind makes a log later than the spare file.
func (w *world) makeBehind(name, text string) {
	w.t.Helper()
	w.write(spare, "")
	before, err := statPath(w.path(spare))
	w.must(err)
	w.eventually("a later time", func() bool {
		w.write(name, text)
		st, err := statPath(w.path(name))
		if err == nil && st.born == 0 {
			w.t.Skip("files have no birth times here")
		}
		if err == nil && st.born > before.born {
			return true
		}
		w.remove(name)
		return false
	})
}

func (w *world) copyBack(from, to string) {
	w.t.Helper()
	w.copy(from, spare)
	w.setBack(spare)
	w.rename(spare, to)
}

func TestClockSetBackThenCopytruncate(t *testing.T) {
	t.Run("running", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, "log.txt")
		w.makeBehind("log.txt", "one\n")
		f := w.still()
		f.lookFirst(context.Background())
		w.readAll(f, "one")
		w.write("log.txt", "two\n")
		w.copyBack("log.txt", "log.txt.1")
		w.truncate("log.txt", 0)
		w.writeBack("log.txt", "three\n")
		f.lookEverywhere()
		w.readAll(f, "one", "two", "three")
	})
	eachWay(t, func(t *testing.T, w *world) {
		w.makeBehind("log.txt", "one\n")
		w.start()
		w.expect("one")
		w.kill()
		w.write("log.txt", "two\n")
		w.copyBack("log.txt", "log.txt.1")
		w.truncate("log.txt", 0)
		w.writeBack("log.txt", "three\n")
		w.start()
		w.expect("one", "two", "three")
		w.stop()
		w.start()
		w.write("log.txt", "four\n")
		w.expect("one", "two", "three", "four")
	}, "log.txt")
}

// A copy of a living file is no generation.
func TestClockSetBackThenCopied(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "log.txt")
	w.makeBehind("log.txt", "one\n")
	f := w.still()
	f.lookFirst(context.Background())
	w.readAll(f, "one")
	w.writeBack("log.txt", "two\n")
	w.copyBack("log.txt", "log.txt.1")
	f.lookEverywhere()
	w.readAll(f, "one", "two")
}

// How long a file has been quiet is not asked of the clock, which may be set back meanwhile.
func TestLastWrite(t *testing.T) {
	now := time.Now()
	for _, ago := range []time.Duration{0, time.Second, time.Hour, -time.Hour} {
		got := lastWrite(now.Add(-ago).UnixNano(), now)
		if want := max(ago, 0); now.Sub(got) != want || now.UnixNano()-got.UnixNano() != int64(want) {
			t.Errorf("%s ago became %s", ago, now.Sub(got))
		}
		if got == got.Round(0) {
			t.Errorf("%s ago: without a monotonic reading", ago)
		}
	}
	if got := lastWrite(0, now); got.UnixNano() != 0 {
		t.Errorf("1970 became %s", got)
	}
}
