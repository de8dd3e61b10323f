package logtailf

import (
	"errors"
	"io/fs"
	"slices"
	"time"
)

// found takes note that g's file is at path, unless it only has its inode.
func (f *Follower) found(g *generation, path string, st fileStat) {
	if g.place != path && !f.sameFile(g, path, st) {
		delete(f.files, st.identity)
		f.unknown[path] = st
		return
	}
	if g.place != "" && g.place != path {
		if old, err := statPath(g.place); err == nil && old.identity == st.identity {
			g.alias = path
			f.grown(g, st) // a second name of one file
			return
		}
		f.log.Debug("renamed", "file", g.trail.path, "id", g.id, "from", g.place, "to", path)
		delete(f.places, g.place)
		if t := f.trails[g.place]; t != nil && t.living == g {
			f.displace(t)
		}
	}
	if g.place != path {
		g.place, g.placed = path, f.listings
	}
	g.deleted = false
	f.settleAt(g, path)
	t := g.trail
	switch {
	case t.path == path && t.living != g:
		f.displace(t)
		t.living = g
		f.readAgain(t)
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

// readAgain has what t's path named until lately read to its end once more, before the
// file that it names now: a writer may have added lines to it in between. Two at most:
// in a storm of rotations there are thousands.
func (f *Follower) readAgain(t *trail) {
	left := 2
	for _, g := range slices.Backward(t.queue) {
		if g.rotated && g.kind == "" && !g.done && !g.skip && (g.held() || g.place != "") && left > 0 {
			g.atEnd = false
			left--
		}
	}
}

// settleAt has g at path, and nothing else: what was there is somewhere else, or nowhere.
func (f *Follower) settleAt(g *generation, path string) {
	if old := f.places[path]; old != nil && old != g && old.place == path {
		old.lose()
	}
	f.places[path] = g
}

// leave takes note that g's file is not at its place any more.
func (f *Follower) leave(g *generation) {
	if f.places[g.place] == g {
		delete(f.places, g.place)
	}
	f.relist(g.place)
	if g.alias != "" { // known already, it would not be looked at
		f.relist(g.alias)
		g.alias = ""
	}
	g.lose()
}

// lose takes note that g's file is at no place that is known.
func (g *generation) lose() {
	g.last, g.place = g.place, ""
	if g.held() { // and is kept from being closed
		st, err := statFile(g.handle.file)
		g.deleted = err == nil && st.links == 0
	}
}

// relist has path's folder listed, and whatever is at path by then looked at: another
// file may have the name already, even with the inode of the one before.
func (f *Follower) relist(path string) {
	if d := f.folders[folderOf(path)]; d != nil {
		delete(d.names, baseName(path))
		f.listing[d.path] = true
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
