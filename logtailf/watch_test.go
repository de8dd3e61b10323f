package logtailf

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/goleak"

	"github.com/logcatchsys/logcatchsys/internal/leak"
)

// testHub returns a hub that is closed, and seen to be empty, with the test.
func testHub(t *testing.T) *Hub {
	t.Helper()
	h := NewHub(slog.New(slog.DiscardHandler))
	h.checkLocal = func(string) error { return nil } // wherever the tests run
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		leak.None(t, before)
	})
	return h
}

func watchAll(t *testing.T, s *Subscription, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		if err := s.Watch(dir); err != nil {
			t.Fatal(err)
		}
	}
}

// await takes events until done says that it has seen enough.
func await(t *testing.T, s *Subscription, what string, done func(Events) bool) {
	t.Helper()
	limit := time.After(patience)
	for {
		select {
		case <-s.C():
			if done(s.Take()) {
				return
			}
		case <-limit:
			t.Fatalf("no event: %s", what)
		}
	}
}

func awaitPath(t *testing.T, s *Subscription, path string) {
	t.Helper()
	await(t, s, path, func(ev Events) bool { _, ok := ev.Paths[path]; return ok })
}

func awaitDir(t *testing.T, s *Subscription, dir string) {
	t.Helper()
	await(t, s, dir+" lost", func(ev Events) bool { return slices.Contains(ev.Dirs, dir) })
}

func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func touch(t *testing.T, path string) { t.Helper(); do(t, os.WriteFile(path, []byte("x\n"), 0o600)) }

// tempDir is a temporary folder under a path without symbolic links.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	do(t, err)
	return dir
}

// watches is how many the hub and fsnotify hold, which must be the same.
func watches(t *testing.T, h *Hub) int {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.byKey) != len(h.byPath) {
		t.Errorf("%d watches by key, %d by path", len(h.byKey), len(h.byPath))
	}
	if list := h.watcher.WatchList(); len(list) != len(h.byKey) {
		t.Errorf("fsnotify has %v, the hub %d watches", list, len(h.byKey))
	}
	return len(h.byKey)
}

func TestHubTells(t *testing.T) {
	h, dir := testHub(t), tempDir(t)
	s := h.Subscribe()
	watchAll(t, s, dir, dir+"/", dir)
	file, moved := filepath.Join(dir, "log.txt"), filepath.Join(dir, "log.txt.1")
	touch(t, file)
	awaitPath(t, s, file)
	do(t, os.Rename(file, moved))
	seen := map[string]bool{}
	await(t, s, "both names of a rename", func(ev Events) bool {
		for p := range ev.Paths {
			seen[p] = true
		}
		return seen[file] && seen[moved]
	})
	do(t, os.Chmod(moved, 0))
	awaitPath(t, s, moved)
	do(t, os.Remove(moved))
	awaitPath(t, s, moved)
	if runtime.GOOS == "linux" {
		do(t, os.Chmod(dir, 0o750)) // permission given back
		awaitPath(t, s, dir)
	}
	if n := watches(t, h); n != 1 {
		t.Errorf("%d watches for one folder", n)
	}
}

// A second event for a path that was not taken yet makes no second entry, and the
// sets that Take hands out do not mix.
func TestHubOncePerPath(t *testing.T) {
	s := NewHub(slog.New(slog.DiscardHandler)).Subscribe()
	for range 3 {
		s.notePath("/a")
		s.notePath("/b")
	}
	first := s.Take()
	s.notePath("/c")
	if len(first.Paths) != 2 || first.All {
		t.Errorf("first: %v", first)
	}
	if second := s.Take(); len(second.Paths) != 1 || len(second.Dirs) != 0 {
		t.Errorf("second: %v", second)
	}
	if none := s.Take(); len(none.Paths) != 0 || none.All || len(none.Dirs) != 0 {
		t.Errorf("third: %v", none)
	}
}

func TestHubTooManyPaths(t *testing.T) {
	s := NewHub(slog.New(slog.DiscardHandler)).Subscribe()
	for i := range maxPaths {
		s.notePath(fmt.Sprint("/", i))
	}
	s.notePath("/0")
	if s.mu.Lock(); s.pending.All {
		t.Error("All although every path is known")
	}
	s.mu.Unlock()
	s.notePath("/one more")
	s.notePath("/and another")
	if ev := s.Take(); !ev.All || len(ev.Paths) != 0 {
		t.Errorf("All %v, %d paths", ev.All, len(ev.Paths))
	}
	s.notePath("/a")
	if ev := s.Take(); ev.All || len(ev.Paths) != 1 {
		t.Errorf("afterwards: All %v, %d paths", ev.All, len(ev.Paths))
	}
}

func TestHubFolderReplaced(t *testing.T) {
	for name, replace := range map[string]func(dir string) error{
		"removed":           func(dir string) error { return os.RemoveAll(dir) },
		"moved":             func(dir string) error { return os.Rename(dir, dir+".old") },
		"moved and removed": func(dir string) error { return errors.Join(os.Rename(dir, dir+".old"), os.RemoveAll(dir+".old")) },
	} {
		for _, parentToo := range []bool{false, true} {
			t.Run(fmt.Sprint(name, parentToo), func(t *testing.T) {
				h, parent := testHub(t), tempDir(t)
				dir := filepath.Join(parent, "logs")
				s := h.Subscribe()
				for range 20 {
					do(t, os.MkdirAll(dir, 0o700))
					watchAll(t, s, dir)
					if parentToo {
						watchAll(t, s, parent)
					}
					do(t, replace(dir))
					awaitDir(t, s, dir)
					if s.Check(dir) {
						t.Fatal("Check takes what is not there for the folder")
					}
					do(t, os.Mkdir(dir, 0o700))
					awaitHeard(t, s, dir)
					do(t, os.RemoveAll(dir))
					do(t, os.RemoveAll(dir+".old"))
					awaitDir(t, s, dir)
				}
				s.Close()
				if n := watches(t, h); n != 0 {
					t.Errorf("%d watches left", n)
				}
				kernelWatches(t, 0)
			})
		}
	}
}

// Nothing tells of a parent that was moved: Check has to, and Watch then hears the
// folder that is there now and not the one that left.
func TestHubParentReplaced(t *testing.T) {
	h, top := testHub(t), tempDir(t)
	dir := filepath.Join(top, "a", "b")
	do(t, os.MkdirAll(dir, 0o700))
	s, other := h.Subscribe(), h.Subscribe()
	watchAll(t, s, dir)
	watchAll(t, other, dir)
	do(t, os.Rename(filepath.Join(top, "a"), filepath.Join(top, "a.old")))
	if s.Check(dir) {
		t.Fatal("Check does not see that the folder is gone")
	}
	do(t, os.MkdirAll(dir, 0o700))
	if s.Check(dir) {
		t.Fatal("Check takes another folder for the same")
	}
	watchAll(t, s, dir)
	awaitDir(t, other, dir) // found out with the first
	watchAll(t, other, dir)
	if !s.Check(dir) || watches(t, h) != 1 {
		t.Errorf("check %v, %d watches", s.Check(dir), watches(t, h))
	}
	kernelWatches(t, 1)
	touch(t, filepath.Join(top, "a.old", "b", "old.txt"))
	touch(t, filepath.Join(dir, "new.txt"))
	for _, s := range []*Subscription{s, other} {
		await(t, s, "new.txt", func(ev Events) bool {
			if _, ok := ev.Paths[filepath.Join(dir, "old.txt")]; ok {
				t.Error("heard of a file in the folder that left")
			}
			_, ok := ev.Paths[filepath.Join(dir, "new.txt")]
			return ok
		})
	}
}

// fsnotify gives two paths of one folder one watch, and only the first hears.
func TestHubTwoPathsOfOneFolder(t *testing.T) {
	h, top := testHub(t), tempDir(t)
	real, link, next := filepath.Join(top, "real"), filepath.Join(top, "link"), filepath.Join(top, "next")
	do(t, os.Mkdir(real, 0o700))
	do(t, os.Mkdir(next, 0o700))
	if err := os.Symlink("real", link); err != nil {
		t.Skip(err)
	}
	one, two := h.Subscribe(), h.Subscribe()
	watchAll(t, one, link)
	watchAll(t, two, real, link)
	touch(t, filepath.Join(real, "x"))
	awaitPath(t, one, filepath.Join(link, "x"))
	seen := map[string]bool{}
	await(t, two, "both paths", func(ev Events) bool {
		for p := range ev.Paths {
			seen[p] = true
		}
		return seen[filepath.Join(link, "x")] && seen[filepath.Join(real, "x")]
	})
	if n := watches(t, h); n != 1 {
		t.Errorf("%d watches", n)
	}
	one.Close()
	two.Unwatch(link)
	touch(t, filepath.Join(real, "y"))
	awaitPath(t, two, filepath.Join(real, "y"))

	// A link that is swapped, as Kubernetes does.
	watchAll(t, one, link)
	do(t, os.Symlink("next", link+".tmp"))
	do(t, os.Rename(link+".tmp", link))
	if one.Check(link) {
		t.Error("Check does not see that the link leads elsewhere")
	}
	watchAll(t, one, link)
	touch(t, filepath.Join(next, "z"))
	awaitPath(t, one, filepath.Join(link, "z"))
	touch(t, filepath.Join(real, "z"))
	awaitPath(t, two, filepath.Join(real, "z"))
}

func TestHubErrors(t *testing.T) {
	h, dir := testHub(t), tempDir(t)
	s := h.Subscribe()
	if err := s.Watch(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	touch(t, filepath.Join(dir, "file"))
	if err := s.Watch(filepath.Join(dir, "file")); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("a file: %v", err)
	}
	h.checkLocal = func(string) error { return ErrNotLocal }
	if err := s.Watch(dir); !errors.Is(err, ErrNotLocal) {
		t.Errorf("remote: %v", err)
	}
	if s.Check(dir) || len(s.dirs) != 0 || len(h.byKey) != 0 {
		t.Error("something of the failures is left")
	}
	// A folder that was watched and is gone when it is watched again.
	h.checkLocal = func(string) error { return nil }
	sub := filepath.Join(dir, "sub")
	do(t, os.Mkdir(sub, 0o700))
	watchAll(t, s, sub)
	do(t, os.Remove(sub))
	if err := s.Watch(sub); !errors.Is(err, fs.ErrNotExist) || len(s.dirs) != 0 {
		t.Errorf("gone: %v, %d folders", err, len(s.dirs))
	}
}

// Ten watches in all: the eleventh folder is refused, until one is free.
func TestHubTenWatches(t *testing.T) {
	h, top := testHub(t), tempDir(t)
	h.addWatch = func(w *fsnotify.Watcher, path string) error {
		if len(w.WatchList()) == 10 {
			return syscall.ENOSPC
		}
		return w.Add(path)
	}
	s := h.Subscribe()
	var refused []string
	for i := range 20 {
		dir := filepath.Join(top, fmt.Sprint(i))
		do(t, os.Mkdir(dir, 0o700))
		if err := s.Watch(dir); errors.Is(err, syscall.ENOSPC) && strings.Contains(err.Error(), "max_user_watches") {
			refused = append(refused, dir)
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if len(refused) != 10 || watches(t, h) != 10 || s.Check(refused[0]) {
		t.Fatalf("%d refused, %d watches", len(refused), watches(t, h))
	}
	s.Unwatch(filepath.Join(top, "0"))
	watchAll(t, s, refused[0])
	touch(t, filepath.Join(refused[0], "x"))
	awaitPath(t, s, filepath.Join(refused[0], "x"))
}

// Without an inotify instance the hub says so once and goes on asking for one.
func TestHubDeaf(t *testing.T) {
	h, dir := testHub(t), tempDir(t)
	var said strings.Builder
	h.log = slog.New(slog.NewTextHandler(&said, nil))
	h.newWatcher = func() (*fsnotify.Watcher, error) { return nil, syscall.EMFILE }
	s := h.Subscribe()
	for range 3 {
		if err := s.Watch(dir); !errors.Is(err, ErrDeaf) || !errors.Is(err, syscall.EMFILE) {
			t.Fatalf("deaf: %v", err)
		}
	}
	if n := strings.Count(said.String(), "level=WARN"); n != 1 {
		t.Errorf("said %d times: %s", n, said.String())
	}
	h.newWatcher = fsnotify.NewWatcher
	watchAll(t, s, dir)
	touch(t, filepath.Join(dir, "x"))
	awaitPath(t, s, filepath.Join(dir, "x"))
	do(t, h.Close())
	awaitDir(t, s, dir)
	if err := s.Watch(dir); !errors.Is(err, ErrDeaf) {
		t.Errorf("closed: %v", err)
	}
	s.Close()
}

// After an overflow the end of a folder may have gone unheard: everybody looks at
// everything and watches everything anew.
func TestHubOverflow(t *testing.T) {
	h, top := testHub(t), tempDir(t)
	dirs := []string{filepath.Join(top, "a"), filepath.Join(top, "b")}
	subs := []*Subscription{h.Subscribe(), h.Subscribe()}
	for _, dir := range dirs {
		do(t, os.Mkdir(dir, 0o700))
		for _, s := range subs {
			watchAll(t, s, dir)
		}
	}
	h.watcher.Errors <- fsnotify.ErrEventOverflow
	for _, s := range subs {
		var lost []string
		all := false
		await(t, s, "the overflow", func(ev Events) bool {
			all = all || ev.All
			lost = append(lost, ev.Dirs...)
			return all && len(lost) == len(dirs)
		})
		watchAll(t, s, dirs...)
	}
	touch(t, filepath.Join(dirs[0], "x"))
	for _, s := range subs {
		awaitPath(t, s, filepath.Join(dirs[0], "x"))
	}
	kernelWatches(t, 2)
}

func TestHubNothingLeft(t *testing.T) {
	h, top := testHub(t), tempDir(t)
	for i := range 1000 {
		dir := filepath.Join(top, fmt.Sprint(i%3))
		do(t, os.MkdirAll(dir, 0o700))
		s, other := h.Subscribe(), h.Subscribe()
		watchAll(t, s, dir, top)
		watchAll(t, other, dir)
		if i%2 == 0 {
			s.Unwatch(dir)
			s.Unwatch(dir)
		}
		if i%5 == 0 {
			do(t, os.Remove(dir))
		}
		s.Close()
		if i%3 == 0 {
			s.Close()
		}
		other.Close()
	}
	// What is told late of a folder's end takes the watch of its successor away: until the
	// hub has come to all of it, that may be left to do.
	last := h.Subscribe()
	awaitHeard(t, last, top)
	last.Close()
	if n := watches(t, h); n != 0 || len(h.stale) != 0 {
		t.Errorf("%d watches and %d stale paths left", n, len(h.stale))
	}
	kernelWatches(t, 0)
}

// Everything at once, for the race detector; at the end all still works.
func TestHubConcurrent(t *testing.T) {
	h, top := testHub(t), tempDir(t)
	dirs := make([]string, 4)
	for i := range dirs {
		dirs[i] = filepath.Join(top, fmt.Sprint(i))
		do(t, os.Mkdir(dirs[i], 0o700))
	}
	var followers, mover sync.WaitGroup
	stop := make(chan struct{})
	mover.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			dir := dirs[i%len(dirs)]
			if os.Rename(dir, dir+".old") == nil && i%2 == 0 {
				os.RemoveAll(dir + ".old") // EINVAL comes from fsnotify for this
			}
			os.Mkdir(dir, 0o700)
			os.RemoveAll(dir + ".old")
			os.WriteFile(filepath.Join(dir, "x"), nil, 0o600)
		}
	})
	for i := range 4 {
		followers.Go(func() {
			s := h.Subscribe()
			defer s.Close()
			for n := range 300 {
				dir := dirs[(i+n)%len(dirs)]
				_ = s.Watch(dir) // it may be away
				_ = s.Check(dir)
				if n%7 == 0 {
					s.Unwatch(dir)
				}
				for p := range s.Take().Paths {
					_ = p
				}
			}
		})
	}
	followers.Wait()
	close(stop)
	mover.Wait()
	s := h.Subscribe()
	for _, dir := range dirs {
		awaitHeard(t, s, dir)
	}
	s.Close()
	if n := watches(t, h); n != 0 {
		t.Errorf("%d watches left", n)
	}
}

// awaitHeard sees that a folder is heard. A late event of a folder that was there
// before may take the watch away once more: then it is watched again, as told.
func awaitHeard(t *testing.T, s *Subscription, dir string) {
	t.Helper()
	for try, heard := 0, false; !heard; try++ {
		watchAll(t, s, dir)
		file := filepath.Join(dir, fmt.Sprint("heard", try))
		touch(t, file)
		await(t, s, file, func(ev Events) bool {
			_, heard = ev.Paths[file]
			return heard || slices.Contains(ev.Dirs, dir)
		})
	}
}

func BenchmarkHubEvent(b *testing.B) {
	h := NewHub(slog.New(slog.DiscardHandler))
	s := h.Subscribe()
	w := &watchedDir{path: "/var/log/app", refs: map[dirRef]struct{}{{s, "/var/log/app"}: {}}}
	h.byPath[w.path] = w
	events := [2]fsnotify.Event{
		{Name: "/var/log/app/log.txt", Op: fsnotify.Write},
		{Name: "/var/log/app/other.txt", Op: fsnotify.Write},
	}
	b.ReportAllocs()
	for i := range b.N {
		h.handle(events[i%2])
		if i%16 == 0 {
			s.Take()
		}
	}
}
