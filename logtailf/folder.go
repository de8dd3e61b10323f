package logtailf

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/bmatcuk/doublestar/v4"
)

// A folder is one that holds followed files or their generations.
type folder struct {
	path    string
	names   map[string]uint64 // what it held when it was listed last, with inode numbers
	watched bool              // notifications tell of changes in it
	gone    bool              // could not be listed the last time
	mtime   int64             // when it was listed last, before the listing; Unix nanoseconds
	settled bool              // mtime was old enough then to tell of every change since
	listing int               // number of the last listing, among all of the follower's
}

// enter watches dir, or the folders below it that the glob reaches, and looks at
// what they hold: first the watch, then the look, or what comes between is missed.
func (f *Follower) enter(dir string) {
	if !f.finder.glob || !f.finder.reaches(dir) {
		f.watch(dir)
		if !f.finder.glob && dir == f.finder.base {
			f.trailOf(f.finder.path)
			f.lookAt(f.finder.path)
		}
		f.listing[dir] = true
		return
	}
	if dir == f.finder.base { // which may be missing: then it is looked for
		f.watch(dir)
		f.listing[dir] = true
	}
	f.finder.walk(dir,
		func(dir string) { f.watch(dir); f.listing[dir] = true },
		func(path string) {},
		func(dir string, err error) {
			if dir == f.finder.base || !errors.Is(err, fs.ErrNotExist) { // or else there is nothing to wait for
				f.say(dir, err)
			}
		})
}

// watch asks for notifications of dir; without them it is listed at every poll.
func (f *Follower) watch(dir string) {
	d := f.folders[dir]
	if d == nil {
		d = &folder{path: dir, names: map[string]uint64{}}
		f.folders[dir] = d
	}
	if d.watched && f.sub.Check(dir) {
		return
	}
	d.watched = false
	if err := f.sub.Watch(dir); err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			f.remarkDeaf(dir, err)
		}
		return
	}
	d.watched = true
}

// remarkDeaf says once that a folder is polled. That all are is the hub's to say, once.
func (f *Follower) remarkDeaf(dir string, err error) {
	if key := remark + dir; f.said[key] != err.Error() && !errors.Is(err, ErrDeaf) {
		f.said[key] = err.Error()
		f.log.Warn("no notifications of changes: looking for them instead", "folder", dir, "every", f.cfg.Poll, "error", err)
	}
}

// list lists the folders that are due until nothing new is found: a listing made
// while files are renamed may miss one.
func (f *Follower) list() {
	for round := 0; round < 5 && len(f.listing) > 0; round++ {
		due := f.listing
		f.listing = map[string]bool{}
		for dir := range due {
			if f.listFolder(dir) {
				f.listing[dir] = true
			}
		}
	}
	clear(f.listing)
}

// listFolder looks at every name in dir that was not there the last time, names
// another file now, or is gone. It reports whether there was one.
func (f *Follower) listFolder(dir string) bool {
	d := f.folders[dir]
	if d == nil {
		return false
	}
	d.date()
	f.listings++
	d.listing = f.listings
	f.listed = true
	defer func() { f.listed = false }()
	names, err := f.listNames(dir)
	if err != nil {
		if !d.gone && !errors.Is(err, fs.ErrNotExist) {
			f.say(dir, err)
		}
		d.gone = true
		names = nil
		if !errors.Is(err, fs.ErrNotExist) {
			f.unlisted[dir] = true
			return false // it may all still be there
		}
	} else if d.gone {
		d.gone = false
		f.silence(dir)
	}
	delete(f.unlisted, dir)
	changed := false
	old := d.names
	d.names = names
	for name, ino := range names {
		if was, ok := old[name]; !ok || was != ino || f.replacedUnseen(dir, name) {
			changed = true
			f.lookAt(filepath.Join(dir, name))
		}
	}
	for name := range old {
		if _, ok := names[name]; !ok {
			changed = true
			f.lookAt(filepath.Join(dir, name))
		}
	}
	return changed
}

// unsure reports whether a file of t's may be where it cannot be looked for now.
func (f *Follower) unsure(t *trail) bool {
	return slices.ContainsFunc(t.folder, func(dir string) bool { return f.unlisted[dir] })
}

// coarse is how much later a change may be dated the same: file systems count in
// ticks of the kernel.
const coarse = 20 * time.Millisecond

// date notes the state of d that a listing which begins now is of.
func (d *folder) date() {
	st, err := statPath(d.path)
	d.mtime, d.settled = st.mtime, err == nil && time.Since(time.Unix(0, st.mtime)) > coarse
}

// holdsOlder reports whether d was listed after g was found where its file will stay:
// what is older, and stays too, was there by then. In a storm of rotations no listing
// shows nothing new, and one for each of thousands of generations would take longer
// than the next rotation.
func (d *folder) holdsOlder(g *generation) bool {
	return g.rotated && g.place != "" && dated(baseName(g.place)) && d.listing > g.placed
}

// unchanged reports whether d holds the names that were listed last.
func (d *folder) unchanged() bool {
	st, err := statPath(d.path)
	return err == nil && d.settled && st.mtime == d.mtime
}

// replacedUnseen reports whether the file called name, a numbered generation, is a new
// one that got the inode of the one that had its name.
func (f *Follower) replacedUnseen(dir, name string) bool {
	if dated(name) {
		return false
	}
	path := filepath.Join(dir, name)
	g := f.places[path]
	if g == nil {
		return len(f.habits.bases(name)) > 0
	}
	if !g.rotated {
		return false
	}
	st, err := statPath(path)
	return err == nil && st.identity != g.ident
}

// dated reports whether name holds enough digits for a date. Dated names are not
// given twice, and not changed.
func dated(name string) bool {
	n := 0
	for i := range len(name) {
		if '0' <= name[i] && name[i] <= '9' {
			n++
		}
	}
	return n >= len("20060102")
}

// foldersOf are the folders below dir that rel, "." or a pattern, stands for.
func foldersOf(dir, rel string) []string {
	if rel == "." {
		return []string{dir}
	}
	var found []string
	names, _ := doublestar.Glob(os.DirFS(dir), rel) // an unreadable folder is no folder
	for _, name := range names {
		found = append(found, filepath.Join(dir, filepath.FromSlash(name)))
	}
	return found
}

// listLater has the folders of t's generations listed before anything is read: some
// may have come and gone since the last look.
func (f *Follower) listLater(t *trail) {
	f.relocate(t)
	for _, dir := range t.folder {
		f.listing[dir] = true
	}
}
