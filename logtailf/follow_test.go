package logtailf

import (
	"errors"
	"os"
	"testing"

	"github.com/fsnotify/fsnotify"
)

// deafen takes the notifications away, as a system without an inotify instance left.
func deafen(h *Hub) {
	h.newWatcher = func() (*fsnotify.Watcher, error) { return nil, errors.New("no inotify instance left") }
}

// eachWay runs a test with notifications and with polling only.
func eachWay(t *testing.T, test func(t *testing.T, w *world), pattern string) {
	for name, deaf := range map[string]bool{"notified": false, "polling": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, pattern)
			w.deaf = deaf
			test(t, w)
		})
	}
}

func TestFileThatAppearsIsReadFromItsBeginning(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world) {
		w.cfg.FromEnd = true
		w.start()
		w.write("log.txt", "one\ntwo\n")
		w.expect("one", "two")
		w.write("log.txt", "thr")
		w.write("log.txt", "ee\nfour\n")
		w.expect("one", "two", "three", "four")
	}, "log.txt")
}

func TestStartAtEndKeepsHalfLineWhole(t *testing.T) {
	w := newWorld(t, "log.txt")
	w.cfg.FromEnd = true
	w.write("log.txt", "old\nhalf")
	w.start()
	w.write("log.txt", " whole\n")
	w.expect("half whole")
}

func TestRename(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world) {
		w.start()
		w.write("log.txt", "one\n")
		w.expect("one")
		w.write("log.txt", "two\n")
		w.rename("log.txt", "log.txt.1")
		w.write("log.txt", "three\n")
		w.write("log.txt.1", "late\n")
		w.eventually("four lines", func() bool { return len(w.sink.texts()) == 4 })
	}, "log.txt")
}

func TestTwoRenamesBetweenTwoLooks(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world) {
		w.write("log.txt", "one\n")
		w.start()
		w.expect("one")
		w.halt()
		w.rename("log.txt", "log.txt.2")
		w.write("log.txt.1", "two\n")
		w.write("log.txt", "three\n")
		w.start()
		w.expect("one", "two", "three")
	}, "log.txt")
}

func TestDownWhileRotatedFiveTimesAndCompressed(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world) {
		w.write("log.txt", "one\n")
		w.start()
		w.expect("one")
		w.kill()
		w.write("log.txt", "two\n")
		for i, line := range []string{"three", "four", "five", "six", "seven"} {
			for n := i; n > 0; n-- {
				w.rename("log.txt."+string(rune('0'+n)), "log.txt."+string(rune('1'+n)))
			}
			w.rename("log.txt", "log.txt.1")
			w.write("log.txt", line+"\n")
		}
		w.compress("log.txt.5", ".gz")
		w.compress("log.txt.4", ".gz")
		w.compress("log.txt.3", ".zst")
		w.start()
		w.expect("one", "two", "three", "four", "five", "six", "seven")
		w.stop()
		w.start()
		w.write("log.txt", "eight\n")
		w.expect("one", "two", "three", "four", "five", "six", "seven", "eight")
	}, "log.txt")
}

func TestCopytruncate(t *testing.T) {
	for _, pattern := range []string{"log.txt", "log*"} {
		eachWay(t, func(t *testing.T, w *world) {
			w.write("log.txt", "one\n")
			w.start()
			w.expect("one")
			w.halt()
			w.write("log.txt", "two\n")
			w.copy("log.txt", "log.txt.1")
			w.truncate("log.txt", 0)
			w.write("log.txt", "three\nfour\nfive\n")
			w.start()
			w.expect("one", "two", "three", "four", "five")
			w.copy("log.txt", "log.txt.2")
			w.truncate("log.txt", 0)
			w.write("log.txt", "six\n")
			w.expect("one", "two", "three", "four", "five", "six")
		}, pattern)
	}
}

func TestDeletedAndMadeAgain(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world) {
		w.start()
		w.write("log.txt", "one\n")
		w.expect("one")
		w.remove("log.txt")
		w.write("log.txt", "one\n")
		w.expect("one", "one")
	}, "log.txt")
}

func TestDeletedWhileTheOutputIsBlocked(t *testing.T) {
	w := newWorld(t, "log.txt")
	w.sink.late = true
	w.start()
	w.write("log.txt", "one\n")
	w.eventually("the file to be read", func() bool { return w.handles.Open() == 1 })
	_ = os.Remove(w.path("log.txt"))
	w.write("log.txt", "two\n")
	w.eventually("both to be taken", func() bool { w.sink.mu.Lock(); defer w.sink.mu.Unlock(); return len(w.sink.taken) == 2 })
	w.sink.accept()
	w.expect("one", "two")
}

// mute makes notifications seem to work and tell nothing.
func mute(h *Hub) {
	h.addWatch = func(*fsnotify.Watcher, string) error { return nil }
}

// logrotate's createolddir makes the folder of the generations with the first
// rotation: one that came to lie there and was never seen goes before the newer ones.
func TestTwoRenamesIntoAFolderMadeSinceTheLastLook(t *testing.T) {
	w := newWorld(t, "log.txt")
	w.cfg.Rotated, w.onHub = []string{"old/{name}-*"}, mute
	w.write("log.txt", "one\n")
	w.start()
	w.expect("one")
	w.must(os.Mkdir(w.path("old"), 0o755))
	w.rename("log.txt", "old/log.txt-20261122")
	w.write("log.txt", "two\n")
	w.rename("log.txt", "old/log.txt-20261123")
	w.write("log.txt", "three\n")
	w.follower.sub.notePath(w.path("log.txt"))
	w.expect("one", "two", "three")
}

// A file that was let go grows, and no notification tells: looking at everything finds it.
func TestLateLineOfAFileThatWasLetGo(t *testing.T) {
	w := newWorld(t, "log.txt")
	w.onHub = mute
	w.write("log.txt", "one\n")
	w.start()
	w.expect("one")
	w.rename("log.txt", "log.txt-20261122")
	w.write("log.txt", "two\n")
	w.hub.loseAll()
	w.expect("one", "two")
	w.eventually("the rotated file to be let go", func() bool { return w.handles.Open() == 1 })
	w.write("log.txt-20261122", "late\n")
	w.hub.loseAll()
	w.expect("one", "two", "late")
}
