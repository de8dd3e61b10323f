package logtailf

import (
	"path/filepath"
	"sync"
)

// maxPaths is how many different paths a subscription remembers between two
// Takes; beyond that, looking at everything is cheaper.
const maxPaths = 4096

// keptPaths: a larger set is not used again, since emptying a map costs what it
// once held, and would at every Take.
const keptPaths = 256

// Events is what happened between two calls of Take. The map and the slice belong
// to the subscriber until it calls Take again.
type Events struct {
	// Paths are files that were made, written, renamed, removed or given other
	// rights, each as the folder's path of Watch and the file's name. A path of
	// Watch itself stands for the folder's own rights.
	Paths map[string]struct{}
	// All says that some events are unknown: look at everything.
	All bool
	// Dirs are folders that are not watched any more, since they were removed or
	// moved, or may have been. Watch them again, or their successors.
	Dirs []string
}

// A Subscription is one follower's view of the hub, without a goroutine. C and
// Take are for one goroutine; the others may be called from several.
type Subscription struct {
	hub  *Hub
	wake chan struct{}
	dirs map[string]*watchedDir // by what the subscriber calls them; under hub.mu

	mu             sync.Mutex // after hub.mu
	pending, spare Events
}

// C tells that something happened: then Take. It may tell so when Take has
// nothing, never the other way round.
func (s *Subscription) C() <-chan struct{} { return s.wake }

// Take returns what happened since the last Take.
func (s *Subscription) Take() Events {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.pending
	if len(s.spare.Paths) > keptPaths {
		s.spare.Paths = map[string]struct{}{}
	}
	clear(s.spare.Paths)
	s.pending = Events{Paths: s.spare.Paths, Dirs: s.spare.Dirs[:0]}
	s.spare = taken
	return taken
}

// Watch makes what happens in dir wake the subscriber; watching a folder again is
// cheap, and takes the folder that is now at that path. What happened before it
// returns is not told: look at the folder after it.
//
// Errors mean that the folder has to be polled, and Watch tried again now and then:
// fs.ErrNotExist, fs.ErrPermission, syscall.ENOTDIR, syscall.ENOSPC (no watch
// left), ErrNotLocal, ErrDeaf.
func (s *Subscription) Watch(dir string) error {
	return s.hub.watch(s, filepath.Clean(dir))
}

// Unwatch ends Watch. It is no error if dir is not watched.
func (s *Subscription) Unwatch(dir string) {
	s.hub.unwatch(s, filepath.Clean(dir))
}

// Check reports whether the folder now at dir is the one that is watched. The
// moving of a folder's parent, a mount over it and a changed symbolic link are told
// by no event; so check now and then, and Watch again after false.
func (s *Subscription) Check(dir string) bool {
	dir = filepath.Clean(dir)
	s.hub.mu.Lock()
	w := s.dirs[dir]
	s.hub.mu.Unlock()
	if w == nil {
		return false
	}
	key, err := keyOf(dir)
	return err == nil && key == w.key
}

// Close ends all that the subscription watches.
func (s *Subscription) Close() {
	s.hub.change.Lock()
	defer s.hub.change.Unlock()
	s.hub.mu.Lock()
	dirs := make([]string, 0, len(s.dirs))
	for dir := range s.dirs {
		dirs = append(dirs, dir)
	}
	s.hub.mu.Unlock()
	for _, dir := range dirs {
		s.hub.drop(s, dir)
	}
	s.hub.purge() // also of folders that were lost before
}

// notePath remembers a path. With the set full, All replaces it.
func (s *Subscription) notePath(path string) {
	s.mu.Lock()
	s.pending.add(path)
	s.mu.Unlock()
	s.signal()
}

func (s *Subscription) noteAll() {
	s.mu.Lock()
	s.pending.setAll()
	s.mu.Unlock()
	s.signal()
}

func (s *Subscription) noteDir(dir string) {
	s.mu.Lock()
	s.pending.Dirs = append(s.pending.Dirs, dir)
	s.mu.Unlock()
	s.signal()
}

func (s *Subscription) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (e *Events) add(path string) {
	if e.All {
		return
	}
	if _, known := e.Paths[path]; !known && len(e.Paths) == maxPaths {
		e.setAll()
		return
	}
	e.Paths[path] = struct{}{}
}

func (e *Events) setAll() { e.All, e.Paths = true, map[string]struct{}{} }
