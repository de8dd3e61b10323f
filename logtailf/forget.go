package logtailf

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"
)

// forgetAfter is how long what was let go and is nowhere on disk stays in memory.
var forgetAfter = 10 * time.Minute

// forget drops from memory what was let go and is nowhere on disk, then paths and
// folders that are gone: where containers come and go there is no end of them. The
// checkpoint keeps the positions for a while.
func (f *Follower) forget() {
	for _, t := range f.trails {
		t.known = slices.DeleteFunc(t.known, func(g *generation) bool {
			old := g.place == "" && !g.queued && (g.done || g.skip && g.registered) && time.Since(g.grew) > forgetAfter
			if old {
				f.forgetGeneration(g)
			}
			return old
		})
		if f.over(t) {
			f.forgetTrail(t)
		}
	}
	f.fresh = slices.DeleteFunc(f.fresh, func(g *generation) bool { return f.byID[g.id] != g })
	f.forgetFolders()
}

func (f *Follower) forgetGeneration(g *generation) {
	f.forgot = true
	delete(f.byID, g.id)
	if f.files[g.ident] == g {
		delete(f.files, g.ident)
		f.d.Hub.claims.release(f, g.ident)
	}
	if of := slices.DeleteFunc(f.claims[g.ident], func(k *generation) bool { return k == g }); len(of) > 0 {
		f.claims[g.ident] = of
	} else {
		delete(f.claims, g.ident)
	}
}

// over reports whether nothing is left of t, and nothing was written out to wait for.
func (f *Follower) over(t *trail) bool {
	if t.path == f.finder.path || t.living != nil || len(t.known) > 0 || t.ready || t.piped || t.blocked > 0 {
		return false
	}
	_, err := statPath(t.path)
	return errors.Is(err, fs.ErrNotExist)
}

func (f *Follower) forgetTrail(t *trail) {
	is := func(k *trail) bool { return k == t }
	delete(f.trails, t.path)
	delete(f.waiting, t)
	delete(f.awaiting, t)
	delete(f.said, t.path)
	delete(f.unseen, t)
	f.links = slices.DeleteFunc(f.links, is)
	dir := folderOf(t.path)
	if f.inFolder[dir] = slices.DeleteFunc(f.inFolder[dir], is); len(f.inFolder[dir]) == 0 {
		delete(f.inFolder, dir)
	}
	f.d.Hub.claims.leave(f, t.path)
}

// forgetFolders drops the folders that are gone and in which nothing is waited for. One
// that is made again is found by what happens in the folder that holds it.
func (f *Follower) forgetFolders() {
	needed := map[string]bool{f.finder.base: true}
	for _, t := range f.trails {
		for _, dir := range t.folder {
			needed[dir] = true
		}
	}
	for dir := range f.folders {
		if needed[dir] {
			continue
		}
		if _, err := statPath(dir); errors.Is(err, fs.ErrNotExist) {
			f.sub.Unwatch(dir)
			delete(f.folders, dir)
			delete(f.unlisted, dir)
			delete(f.said, dir)
			delete(f.said, remark+dir)
		}
	}
}

// remember takes what was forgotten from the checkpoint again, if the file st at path is
// old enough to be among it: a folder may be away for longer than that, and come back.
func (f *Follower) remember(path string, st fileStat) error {
	if !f.forgot || st.born != 0 && time.Since(time.Unix(0, st.born)) < forgetAfter {
		return nil
	}
	entries, err := f.d.Ledger.Load(f.cfg.Source + "\x00")
	if err != nil {
		return fmt.Errorf("load the position of %s: %w", path, err)
	}
	for _, e := range entries {
		id := e.Key[len(f.cfg.Source)+1:]
		if p, err := parsePosition(e.Value); err == nil && f.byID[id] == nil {
			f.recall(id, p)
		}
	}
	f.forgot = false
	f.settleClaims(path, st)
	return nil
}
