package logtailf

import (
	"context"
	"errors"
	"fmt"
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
}

// lookFirst looks at everything for the first time in this process.
func (f *Follower) lookFirst(ctx context.Context) {
	f.adopt()
	f.lookEverywhere()
	f.missing()
	if f.baseline {
		f.begin(ctx)
	}
	f.touch()
	f.looked = true
	f.publish()
}

// look follows up what the notifications told.
func (f *Follower) look(ev Events) {
	for _, dir := range ev.Dirs {
		if d := f.folders[dir]; d != nil {
			d.watched = false
		}
		f.enter(dir)
	}
	if ev.All {
		f.lookEverywhere()
		return
	}
	for path := range ev.Paths {
		f.lookAt(path)
	}
	f.list()
	f.classify()
}

// lookEverywhere looks at every folder and file anew.
func (f *Follower) lookEverywhere() {
	f.swept = time.Now()
	f.calm = false
	f.enter(f.finder.base)
	for _, t := range f.trails {
		if t.followed && f.cfg.Rotated != nil {
			f.locate(t) // a folder for its generations may have been made
		}
		f.lookLiving(t)
		f.listLater(t)
	}
	for dir := range f.listing {
		f.watch(dir)
	}
	f.list()
	f.classify()
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
		func(dir string, err error) { f.say(dir, err) })
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
	f.listed = true
	defer func() { f.listed = false }()
	names, err := listNames(dir)
	if err != nil {
		if !d.gone && !errors.Is(err, fs.ErrNotExist) {
			f.say(dir, err)
		}
		d.gone = true
		names = nil
		if !errors.Is(err, fs.ErrNotExist) {
			return false // it may all still be there
		}
	} else if d.gone {
		d.gone = false
		f.silence(dir)
	}
	changed := false
	old := d.names
	d.names = names
	for name, ino := range names {
		path := filepath.Join(dir, name)
		if was, ok := old[name]; !ok || was != ino || f.replacedUnseen(path) {
			changed = true
			f.lookAt(path)
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

// coarse is how much later a change may be dated the same: file systems count in
// ticks of the kernel.
const coarse = 20 * time.Millisecond

// date notes the state of d that a listing which begins now is of.
func (d *folder) date() {
	st, err := statPath(d.path)
	d.mtime, d.settled = st.mtime, err == nil && time.Since(time.Unix(0, st.mtime)) > coarse
}

// unchanged reports whether d holds the names that were listed last.
func (d *folder) unchanged() bool {
	st, err := statPath(d.path)
	return err == nil && d.settled && st.mtime == d.mtime
}

// replacedUnseen reports whether path, a numbered generation, is a new file that got
// the inode of the one that had its name. Dated names are not given twice.
func (f *Follower) replacedUnseen(path string) bool {
	if digits(path) >= len("20060102") {
		return false
	}
	g := f.places[path]
	if g == nil {
		return len(f.habits.bases(baseName(path))) > 0
	}
	if !g.rotated {
		return false
	}
	st, err := statPath(path)
	return err == nil && st.identity != g.ident
}

func digits(path string) (n int) {
	for _, c := range []byte(baseName(path)) {
		if '0' <= c && c <= '9' {
			n++
		}
	}
	return n
}

// lookAt looks at whatever path is to this source.
func (f *Follower) lookAt(path string) {
	delete(f.later, path)
	f.unblock(path)
	if t := f.trails[path]; t != nil {
		f.lookLiving(t)
		return
	}
	if f.finder.glob && f.finder.reaches(path) {
		if st, err := statPath(path); err == nil && st.mode.IsDir() && f.folders[path] == nil {
			f.enter(path)
			return
		}
	}
	st, err := statPath(path)
	if err != nil {
		f.vanished(path, err)
		return
	}
	f.settleClaims(path, st)
	if g := f.owner(st); g != nil {
		f.found(g, path, st)
		return
	}
	if st.pipelike() && f.finder.matches(path) {
		f.follow(path)
		return
	}
	if !st.kept() || f.isLink(path) || !f.finder.matches(path) && len(f.trailsOf(path)) == 0 {
		return
	}
	if !f.listed {
		f.listing[filepath.Dir(path)] = true // it may have had predecessors since the last look
	}
	f.unknown[path] = st
}

// isLink reports whether a glob found path and must not follow it.
func (f *Follower) isLink(path string) bool {
	if f.cfg.Symlinks || !f.finder.glob {
		return false
	}
	fi, err := os.Lstat(path)
	return err == nil && fi.Mode()&fs.ModeSymlink != 0
}

// owner is the generation whose file st is of, or nil.
func (f *Follower) owner(st fileStat) *generation { return f.files[st.identity] }

// settleClaims decides whose file the one at path is, of the generations that the
// checkpoint knows by its identity: a file that was truncated was several in turn.
func (f *Follower) settleClaims(path string, st fileStat) {
	claims := f.claims[st.identity]
	if len(claims) == 0 {
		return
	}
	delete(f.claims, st.identity)
	if f.files[st.identity] != nil {
		return
	}
	best := claims[0]
	for _, g := range claims[1:] {
		if g.mtime > best.mtime {
			best = g
		}
	}
	if len(claims) > 1 {
		if c, err := f.inspect(path, st, ""); err == nil {
			for _, g := range claims {
				if same, err := f.reader.intact(g, c.file); err == nil && same && g.head.n > 0 {
					best = g
				}
			}
			c.close()
		}
	}
	f.files[st.identity] = best
}

// follow makes path one that is followed.
func (f *Follower) follow(path string) {
	f.lookLiving(f.trailOf(path))
}

// trailOf is the trail of path, made if need be.
func (f *Follower) trailOf(path string) *trail {
	t := f.trails[path]
	if t != nil {
		return t
	}
	t = &trail{path: path, followed: f.finder.matches(path)}
	f.trails[path] = t
	if t.followed {
		dir := filepath.Dir(path)
		f.inFolder[dir] = append(f.inFolder[dir], t)
		f.locate(t)
	}
	return t
}

// locate finds out in which folders t's generations appear.
func (f *Follower) locate(t *trail) {
	places := []string{t.path}
	real, err := filepath.EvalSymlinks(t.path)
	if err == nil && real != t.path {
		places = append(places, real)
		f.noteLink(t)
	}
	for _, p := range places {
		for _, rel := range f.habits.globs(filepath.Base(p)) {
			for _, dir := range foldersOf(filepath.Dir(p), rel) {
				if !slices.Contains(t.folder, dir) {
					t.folder = append(t.folder, dir)
					if f.folders[dir] == nil {
						f.listing[dir] = true
					}
					f.watch(dir)
				}
			}
		}
	}
}

// noteLink has t looked at with every poll if its path is, or goes through, a link,
// even one that leads nowhere yet.
func (f *Follower) noteLink(t *trail) {
	if t.link {
		return
	}
	real, err := filepath.EvalSymlinks(t.path)
	if t.link = err == nil && real != t.path; !t.link {
		fi, err := os.Lstat(t.path)
		t.link = err == nil && fi.Mode()&fs.ModeSymlink != 0
	}
	if t.link {
		f.links = append(f.links, t)
	}
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

// lookLiving looks at what t's path names now.
func (f *Follower) lookLiving(t *trail) {
	if !t.followed {
		return
	}
	st, err := statPath(t.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.displace(t)
		f.noteLink(t)
		return
	case err != nil:
		f.say(t.path, err) // what was followed goes on being followed
		return
	case st.pipelike():
		f.displace(t)
		f.startPipe(t)
		return
	case !st.kept():
		f.displace(t)
		f.say(t.path, fmt.Errorf("is not a file but %s", st.mode.Type()))
		return
	}
	if t.link {
		f.locate(t)
	}
	f.silence(t.path)
	f.settleClaims(t.path, st)
	if g := t.living; g != nil && f.owner(st) == g {
		f.grown(g, st)
		return
	}
	f.displace(t)
	if g := f.owner(st); g != nil {
		f.found(g, t.path, st)
		return
	}
	f.unknown[t.path] = st
	f.listLater(t)
}

// grown follows up a look at the living or rotated file of g.
func (f *Follower) grown(g *generation, st fileStat) {
	if g.atEnd && st.mtime == g.mtime && (st.size == max(g.read, g.scanned) || g.kind != "" && st.size == g.size) {
		return
	}
	g.see(st, time.Now())
	if g.skip && g.trail.living != g {
		return
	}
	g.atEnd = false
	if g.done {
		g.done, g.late = false, true
		f.waiting[g.trail] = true
		g.trail.enqueue(g)
	}
	f.hold(g)
	f.wake(g.trail)
}

// hold opens g's file ahead of its turn if it has something to read: while the
// output is blocked the file may be deleted.
func (f *Follower) hold(g *generation) {
	if g.kind == "" && g.size > g.read && !g.skip && f.ensureOpen(g) == nil {
		if err := f.readFirst(g); err != nil {
			f.complain(g, err)
		}
		f.rest(g)
	}
}

// found takes note that g's file is at path, unless it only has its inode.
func (f *Follower) found(g *generation, path string, st fileStat) {
	if g.place != path && !f.sameFile(g, path, st) {
		delete(f.files, st.identity)
		f.unknown[path] = st
		return
	}
	if g.place != "" && g.place != path {
		if old, err := statPath(g.place); err == nil && old.identity == st.identity {
			f.grown(g, st) // a second name of one file
			return
		}
		f.log.Debug("renamed", "file", g.trail.path, "id", g.id, "from", g.place, "to", path)
		delete(f.places, g.place)
		if t := f.trails[g.place]; t != nil && t.living == g {
			f.displace(t)
		}
	}
	g.place, g.deleted = path, false
	f.places[path] = g
	t := g.trail
	switch {
	case t.path == path && t.living != g:
		f.displace(t)
		t.living = g
		g.rotated, g.late, g.done, g.skip = false, false, false, false
		t.enqueue(g)
	case t.path != path:
		g.rotated = true
		if !g.queued && !g.done && !g.skip {
			t.enqueue(g)
			f.waiting[t] = true
		}
	}
	f.grown(g, st)
}

// sameFile makes sure that the file at path, which has the inode and the birth time
// of g's, is g's: birth times are so coarse that an inode that is used anew at once
// has the old one.
func (f *Follower) sameFile(g *generation, path string, st fileStat) bool {
	if g.held() || st.size == g.size && st.mtime == g.mtime {
		return true // an inode is not used anew while it is open
	}
	if compression(path) != g.kind {
		return false
	}
	if t := f.trails[path]; g.kind != "" || t != nil && t == g.trail {
		return true // shows when it is read
	}
	c, err := f.inspect(path, st, "")
	if err != nil {
		return true
	}
	defer c.close()
	same, err := f.reader.intact(g, c.file)
	return err != nil || same
}

// displace takes note that t's path does not name its living file any more. What
// was written up to that moment is still to be read, and other generations may
// have come and gone since: the folders are listed before anything newer is read.
func (f *Follower) displace(t *trail) {
	g := t.living
	if g == nil {
		return
	}
	t.living = nil
	g.rotated, g.atEnd = true, false
	g.grew = time.Now()
	f.log.Debug("rotated", "file", t.path, "id", g.id, "offset", g.read)
	f.leave(g)
	f.waiting[t] = true
	f.wake(t)
	f.listLater(t)
}

// listLater has the folders of t's generations listed before anything is read: some
// may have come and gone since the last look.
func (f *Follower) listLater(t *trail) {
	for _, dir := range t.folder {
		f.listing[dir] = true
	}
}

// leave takes note that g's file is not at its place any more.
func (f *Follower) leave(g *generation) {
	if f.places[g.place] == g {
		delete(f.places, g.place)
	}
	if d := f.folders[folderOf(g.place)]; d != nil {
		// Another file may have the name already, even with the inode: it is looked at.
		delete(d.names, baseName(g.place))
		f.listing[d.path] = true
	}
	g.last, g.place = g.place, ""
	if g.held() { // and is kept from being closed
		st, err := statFile(g.handle.file)
		g.deleted = err == nil && st.links == 0
	}
}

// vanished takes note that nothing is at path.
func (f *Follower) vanished(path string, err error) {
	delete(f.unknown, path)
	f.unblock(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return
	}
	f.silence(path)
	g := f.places[path]
	if g == nil {
		return
	}
	f.leave(g)
	if g.kind == "" { // perhaps it was compressed
		for _, ext := range [...]string{".gz", ".zst"} {
			f.lookAt(path + ext)
		}
	}
	f.wake(g.trail)
	f.waiting[g.trail] = true
}

// trailsOf are the trails of which path, by its name, may be a generation.
func (f *Follower) trailsOf(path string) []*trail {
	var found []*trail
	if f.cfg.Rotated != nil {
		for _, t := range f.trails {
			if rel, err := filepath.Rel(filepath.Dir(t.path), path); err == nil && f.habits.matches(t.name(), filepath.ToSlash(rel)) {
				found = append(found, t)
			}
		}
		return found
	}
	dir, name := filepath.Split(path)
	dir = filepath.Clean(dir)
	bases := f.habits.bases(name)
	for _, base := range bases {
		if base == "" {
			found = append(found, f.inFolder[dir]...)
		} else if t := f.trails[filepath.Join(dir, base)]; t != nil {
			found = append(found, t)
		}
		for _, t := range f.links {
			if t.holds(dir, base) {
				found = append(found, t)
			}
		}
	}
	if len(found) == 0 && f.finder.glob {
		if base := f.unseenBase(dir, bases); base != "" {
			found = append(found, f.trailOf(base)) // it was rotated before it was ever seen
		}
	}
	return found
}

// unseenBase is the log that is followed, though no file of its was seen yet, of
// which a file may be a generation: the shortest name, as of app.log.2.gz app.log.
func (f *Follower) unseenBase(dir string, bases []string) string {
	shortest := ""
	for _, base := range bases {
		path := filepath.Join(dir, base)
		if base != "" && f.finder.matches(path) && (shortest == "" || len(path) < len(shortest)) {
			shortest = path
		}
	}
	return shortest
}

// holds reports whether t, a link, leads to the file called base in dir.
func (t *trail) holds(dir, base string) bool {
	real, err := filepath.EvalSymlinks(t.path)
	return err == nil && filepath.Dir(real) == dir && (base == "" || filepath.Base(real) == base)
}
