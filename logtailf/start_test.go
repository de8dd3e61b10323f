package logtailf

import (
	"os"
	"runtime"
	"testing"
)

// The end of a preallocated file is where its NULs begin.
func TestStartAtTheEndOfAPreallocatedFile(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world) {
		w.cfg.FromEnd = true
		w.write("app.log", "old\nhal"+string(make([]byte, 3<<16)))
		w.start()
		f, err := os.OpenFile(w.path("app.log"), os.O_WRONLY, 0)
		w.must(err)
		defer f.Close()
		_, err = f.WriteAt([]byte("half\nnew\n"), 4)
		w.must(err)
		w.expect("half", "new")
	}, "app.log")
}

// A file that may not be read yet when its source is first seen begins at its end too.
func TestStartAtTheEndOfAnUnreadableFile(t *testing.T) {
	if runtime.GOOS == "windows" || os.Geteuid() == 0 {
		t.Skip("rights do not bite here")
	}
	eachWay(t, func(t *testing.T, w *world) {
		w.cfg.FromEnd = true
		w.write("app.log", "old\nhal")
		w.must(os.Chmod(w.path("app.log"), 0))
		w.start()
		w.must(os.Chmod(w.path("app.log"), 0o644))
		w.write("app.log", "f\nnew\n")
		w.expect("half", "new")
	}, "app.log")
}

// What was written while the folder could not be looked into is read when it can be again.
func TestFolderRightsGivenBack(t *testing.T) {
	if runtime.GOOS == "windows" || os.Geteuid() == 0 {
		t.Skip("rights do not bite here")
	}
	eachWay(t, func(t *testing.T, w *world) {
		w.must(os.Mkdir(w.path("d"), 0o755))
		w.write("d/app.log", "1\n")
		w.start()
		w.expect("1")
		f, err := os.OpenFile(w.path("d/app.log"), os.O_APPEND|os.O_WRONLY, 0)
		w.must(err)
		defer f.Close()
		w.must(os.Chmod(w.path("d"), 0))
		_, err = f.WriteString("2\n")
		w.must(err)
		w.eventually("the events to be taken", func() bool {
			w.follower.sub.mu.Lock()
			defer w.follower.sub.mu.Unlock()
			return len(w.follower.sub.pending.Paths) == 0
		})
		w.must(os.Chmod(w.path("d"), 0o755))
		w.expect("1", "2")
	}, "d/app.log")
}
