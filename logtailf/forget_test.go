package logtailf

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// forgotten ends the follower and has it forget what it may forget after a while.
func (w *world) forgotten() *Follower {
	w.t.Helper()
	w.eventually("all to be let go", func() bool { return w.handles.Open() == 0 })
	w.halt()
	w.follower.lookEverywhere() // as before each time that it forgets
	for len(w.follower.ready) > 0 {
		w.follower.readOne(<-w.sink.free)
	}
	for _, g := range w.follower.byID {
		g.grew = time.Now().Add(-2 * forgetAfter)
	}
	w.follower.forget()
	return w.follower
}

// Nothing stays of containers that have gone.
func TestForgetWhatIsGone(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world) {
		for i := range 20 {
			w.must(os.MkdirAll(w.path(fmt.Sprintf("pod%d/c", i)), 0o755))
			w.write(fmt.Sprintf("pod%d/c/x.log", i), "l\n")
		}
		w.start()
		w.eventually("20 lines", func() bool { return len(w.sink.texts()) == 20 })
		for i := range 20 {
			w.must(os.RemoveAll(w.path(fmt.Sprintf("pod%d", i))))
		}
		f := w.forgotten()
		if n := len(f.byID) + len(f.files) + len(f.trails) + len(f.inFolder) + len(f.links) + len(f.fresh); n > 0 || len(f.folders) > 1 {
			t.Errorf("%d things and %d folders are left", n, len(f.folders))
		}
		if len(f.Unread()) > 0 {
			t.Errorf("it complains of %v", f.Unread())
		}
	}, "*/*/*.log")
}

// A folder that comes back after it was forgotten holds what was delivered already.
func TestForgottenFolderComesBack(t *testing.T) {
	w := newWorld(t, "sub/app.log")
	w.must(os.Mkdir(w.path("sub"), 0o755))
	w.write("sub/app.log", "1\n")
	w.start()
	w.expect("1")
	w.rename("sub/app.log", "sub/app.log.1")
	w.write("sub/app.log", "2\n")
	w.expect("1", "2")
	w.rename("sub", "away")
	f := w.forgotten()
	if len(f.byID) > 0 {
		t.Fatal("nothing was forgotten")
	}
	w.rename("away", "sub")
	w.write("sub/app.log", "3\n")
	defer func(d time.Duration) { forgetAfter = d }(forgetAfter)
	forgetAfter = 0
	f.lookEverywhere()
	for len(f.ready) > 0 {
		f.readOne(<-w.sink.free)
	}
	w.expect("1", "2", "3")
}
