package logtailf

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fsnotify/fsnotify"
)

// read hands out what fsnotify tells until it is closed. It may never wait for
// change: see Hub.
func (h *Hub) read(w *fsnotify.Watcher) {
	events, errs := w.Events, w.Errors
	for events != nil || errs != nil {
		select {
		case ev, ok := <-events:
			if !ok {
				events = nil
				continue
			}
			h.handle(ev)
		case err, ok := <-errs:
			switch {
			case !ok:
				errs = nil
			case errors.Is(err, fsnotify.ErrEventOverflow):
				h.log.Warn("the queue of file notifications overflowed, looking at everything")
				h.loseAll()
			default:
				// EINVAL for a watch that the kernel ended a moment before, mostly.
				h.log.Debug("file notifications", "error", err)
			}
		}
	}
}

// handle wakes those whom an event concerns. It allocates nothing for a path that
// they have not taken yet.
func (h *Hub) handle(ev fsnotify.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if dir, name := splitEvent(ev.Name); name != "" {
		if w := h.byPath[dir]; w != nil {
			for ref := range w.refs {
				ref.sub.notePath(ref.pathOf(w, name, ev.Name))
			}
		}
	}
	w := h.byPath[ev.Name]
	switch {
	case w == nil:
	case ev.Has(fsnotify.Remove) || ev.Has(fsnotify.Rename):
		h.lose(w)
	default: // its mode, mostly
		for ref := range w.refs {
			ref.sub.notePath(ref.dir)
		}
	}
}

// pathOf is what the subscriber calls the file name in w.
func (r dirRef) pathOf(w *watchedDir, name, full string) string {
	if r.dir == w.path && len(full) == len(r.dir)+1+len(name) {
		return full
	}
	return filepath.Join(r.dir, name)
}

// splitEvent cuts a path at its last separator. Not filepath.Split and Clean,
// which would allocate for every event.
func splitEvent(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/')
	if os.PathSeparator != '/' {
		i = max(i, strings.LastIndexByte(path, os.PathSeparator))
	}
	if i < 0 {
		return "", ""
	}
	return path[:max(i, 1)], path[i+1:]
}

// lose ends a watch whose folder is not where it was. Under mu.
func (h *Hub) lose(w *watchedDir) {
	h.forget(w)
	h.stale = append(h.stale, w.path)
	for ref := range w.refs {
		delete(ref.sub.dirs, ref.dir)
		ref.sub.noteDir(ref.dir)
	}
}

// loseAll: events were lost, perhaps that of a folder's end, so no watch can be
// trusted any more.
func (h *Hub) loseAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range slices.Collect(maps.Values(h.byKey)) {
		for ref := range w.refs {
			ref.sub.noteAll()
		}
		h.lose(w)
	}
}

// forget takes w off the maps. Under mu.
func (h *Hub) forget(w *watchedDir) {
	delete(h.byKey, w.key)
	if h.byPath[w.path] == w {
		delete(h.byPath, w.path)
	}
}
