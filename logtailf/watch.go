package logtailf

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/fsnotify/fsnotify"
)

// ErrNotLocal: the folder lies on a file system whose notifications do not tell
// of what others write to it.
var ErrNotLocal = errors.New("not a local file system, notifications would miss changes")

// ErrDeaf: there are no notifications at all, for want of an inotify instance or
// of support in the system, or because the hub is closed.
var ErrDeaf = errors.New("no file notifications")

// A Hub is the process's one fsnotify watcher. It watches folders and wakes their
// subscribers. It never fails as a whole: a folder that cannot be watched is
// polled by its followers.
//
// fsnotify keeps its watches by path, forgets moved folders silently if only a
// parent was moved, and gives two paths of one folder a single watch that only the
// first of them hears. So the hub keeps watches by the folder's identity, under its
// path without symbolic links, and drops a watch rather than trust a doubtful one.
//
// Two locks, since fsnotify may wait for its Errors to be read while it holds a
// lock that Add and Remove need: calls into fsnotify are made under change only,
// and the goroutine that reads its channels never takes change.
type Hub struct {
	log *slog.Logger

	claims claims // not of the watch: it is here since all followers share the hub

	change  sync.Mutex // one call into fsnotify at a time
	watcher *fsnotify.Watcher
	running sync.WaitGroup
	closed  bool
	deaf    bool // said so

	mu     sync.Mutex // held shortly, by the reading goroutine too
	byKey  map[dirKey]*watchedDir
	byPath map[string]*watchedDir
	stale  []string // paths that fsnotify may still hold for folders that are gone

	// What tests replace.
	newWatcher func() (*fsnotify.Watcher, error)
	addWatch   func(w *fsnotify.Watcher, path string) error
	checkLocal func(path string) error
}

// A watchedDir is one watch. A folder that is removed and made again is another.
type watchedDir struct {
	key  dirKey
	path string // as fsnotify knows it: without symbolic links
	refs map[dirRef]struct{}
}

// A dirRef is a subscriber and what it calls the folder.
type dirRef struct {
	sub *Subscription
	dir string
}

// A dirKey tells folders apart. The path is only set where the system has no
// identity for folders.
type dirKey struct {
	identity
	path string
}

// NewHub returns a hub that logs to log. The watcher is made with the first watch;
// if there is none to be had, the hub says so once and tries again with each Watch.
func NewHub(log *slog.Logger) *Hub {
	return &Hub{
		log:        log,
		byKey:      map[dirKey]*watchedDir{},
		byPath:     map[string]*watchedDir{},
		newWatcher: fsnotify.NewWatcher,
		addWatch:   (*fsnotify.Watcher).Add,
		checkLocal: checkLocal,
	}
}

// Close ends all watches, which their subscribers are told as lost, and waits for
// the hub's goroutine.
func (h *Hub) Close() error {
	h.change.Lock()
	defer h.change.Unlock()
	h.closed = true
	defer h.loseAll()
	if h.watcher == nil {
		return nil
	}
	err := h.watcher.Close()
	h.running.Wait()
	h.watcher = nil
	if err != nil {
		return fmt.Errorf("close file notifications: %w", err)
	}
	return nil
}

// Subscribe returns a subscription without folders.
func (h *Hub) Subscribe() *Subscription {
	return &Subscription{
		hub:     h,
		wake:    make(chan struct{}, 1),
		dirs:    map[string]*watchedDir{},
		pending: Events{Paths: map[string]struct{}{}},
		spare:   Events{Paths: map[string]struct{}{}},
	}
}

// watch makes dir wake s. What asks the file system about dir is done without a
// lock: on a dead network mount it may wait for ever, and others may not with it.
func (h *Hub) watch(s *Subscription, dir string) error {
	key, err := keyOf(dir)
	if err != nil {
		h.unwatch(s, dir)
		return err
	}
	if h.join(s, dir, key) {
		return nil
	}
	if err := h.checkLocal(dir); err != nil {
		return err
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	h.change.Lock()
	defer h.change.Unlock()
	if err := h.start(); err != nil {
		return err
	}
	if h.attach(s, dir, key) {
		return nil
	}
	return h.add(s, dir, real, key)
}

func (h *Hub) unwatch(s *Subscription, dir string) {
	h.change.Lock()
	defer h.change.Unlock()
	h.drop(s, dir)
}

// join puts s on the watch that the folder has already, if it has one, and takes
// it off any other folder that was at dir before.
func (h *Hub) join(s *Subscription, dir string, key dirKey) bool {
	h.change.Lock()
	defer h.change.Unlock()
	h.mu.Lock()
	old := s.dirs[dir]
	h.mu.Unlock()
	if old != nil && old.key != key {
		h.drop(s, dir)
	}
	h.purge()
	return h.attach(s, dir, key)
}

func (h *Hub) attach(s *Subscription, dir string, key dirKey) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := h.byKey[key]
	if w == nil {
		return false
	}
	w.refs[dirRef{s, dir}] = struct{}{}
	s.dirs[dir] = w
	return true
}

// add begins to watch a folder that nobody watches. It is entered before fsnotify
// has it, so that no event finds nobody; and its key is older than the watch, so
// that a folder replaced in between shows as a difference (Check), not as the same.
// Under change.
func (h *Hub) add(s *Subscription, dir, real string, key dirKey) error {
	w := &watchedDir{key: key, path: real, refs: map[dirRef]struct{}{{s, dir}: {}}}
	h.mu.Lock()
	if old := h.byPath[real]; old != nil {
		h.lose(old) // moved away with one of its parents, which nothing tells of
	}
	h.byKey[key], h.byPath[real], s.dirs[dir] = w, w, w
	h.mu.Unlock()

	h.purge()
	err := h.addWatch(h.watcher, real)
	if err == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.dirs[dir] == w {
		h.forget(w)
		delete(s.dirs, dir)
	}
	return fmt.Errorf("watch %s: %w", dir, explainWatch(err))
}

func explainWatch(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("no inotify watch left, see fs.inotify.max_user_watches: %w", err)
	}
	return err
}

// drop takes s off the folder that it calls dir. The last one ends the watch.
// Under change.
func (h *Hub) drop(s *Subscription, dir string) {
	h.mu.Lock()
	if w := s.dirs[dir]; w != nil {
		delete(s.dirs, dir)
		delete(w.refs, dirRef{s, dir})
		if len(w.refs) == 0 {
			h.forget(w)
			h.stale = append(h.stale, w.path)
		}
	}
	h.mu.Unlock()
	h.purge()
}

// purge makes fsnotify drop what it holds for folders that are gone. Without it a
// folder made again under its old path would inherit the dead watch. Under change.
func (h *Hub) purge() {
	h.mu.Lock()
	stale := h.stale
	h.stale = nil
	h.mu.Unlock()
	if h.watcher == nil {
		return
	}
	for _, path := range stale {
		// It fails where the kernel or fsnotify dropped the watch by themselves.
		_ = h.watcher.Remove(path)
	}
}

// start makes the watcher if there is none. Under change.
func (h *Hub) start() error {
	if h.closed {
		return fmt.Errorf("%w: closed", ErrDeaf)
	}
	if h.watcher != nil {
		return nil
	}
	w, err := h.newWatcher()
	if err != nil {
		if !h.deaf {
			h.deaf = true
			h.log.Warn("no file notifications, folders are polled", "error", err)
		}
		return fmt.Errorf("%w: %w", ErrDeaf, err)
	}
	if h.deaf {
		h.deaf = false
		h.log.Info("file notifications work again")
	}
	h.watcher = w
	h.running.Go(func() { h.read(w) })
	return nil
}

// keyOf looks at a folder.
func keyOf(dir string) (dirKey, error) {
	st, err := statPath(dir)
	if err != nil {
		return dirKey{}, err
	}
	if !st.mode.IsDir() {
		return dirKey{}, &os.PathError{Op: "watch", Path: dir, Err: syscall.ENOTDIR}
	}
	if st.identity != (identity{}) {
		return dirKey{identity: st.identity}, nil
	}
	real, err := filepath.EvalSymlinks(dir)
	return dirKey{path: real}, err
}
