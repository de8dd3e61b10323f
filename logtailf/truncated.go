package logtailf

import (
	"cmp"
	"slices"
	"time"
)

// attach gives g, whose own file is gone, the file c that continues it.
func (f *Follower) attach(g *generation, c *candidate) {
	g.close()
	f.own(g, c.path, c.stat)
	g.kind, g.rotated, g.deleted = c.kind, true, false
	g.seen, g.seenTo = sum{}, 0 // a copy may hold less than was seen
	complete := c.kind != "" && g.done && g.size == g.read && c.holds(g.size)
	g.see(c.stat, time.Now())
	g.wrote = g.mtime
	if !g.skip {
		f.d.Hub.claims.take(f, g)
	}
	f.log.Debug("generation found again", "file", g.trail.path, "id", g.id, "inode", c.stat.ino, "at", c.path, "offset", g.read)
	if g.skip || complete {
		f.moved = append(f.moved, g)
		return
	}
	g.done = false
	g.began = max(g.began, madeBefore(g)) // comes behind the copies that were made before it
	f.enqueue(g)
	g.atEnd = false
	f.waiting[g.trail] = true
	f.wake(g.trail)
}

// takeOver gives g, which is not in its own file any more, the file c.
func (f *Follower) takeOver(g *generation, c *candidate) {
	f.unknown[c.path] = c.stat
	if g.place == "" && !g.held() {
		// A copy that was known while g's own file lived may be the better one: of
		// logs that begin alike, c may be a later generation.
		if !f.findHeir(g) {
			delete(f.unknown, c.path)
			f.attach(g, c)
		}
		return
	}
	f.truncated(g) // which finds c, or something better
}

// enqueue puts g, which was just found, among what is to be read.
func (f *Follower) enqueue(g *generation) {
	f.dateUnread(g.trail)
	g.trail.enqueue(g)
}

// arrange puts what is to be read of t in order before anything of it is read. Numbered
// files are renamed one after the other with each rotation: where names turn out to be
// out of date, the folders are listed again first.
func (f *Follower) arrange(t *trail) {
	for round := 0; t.disordered && round < 5; round++ {
		t.disordered = false
		for _, g := range t.queue {
			if g.rotated && g.place != "" && !g.named() {
				f.leave(g) // it is found where it is now, or nowhere: then its age tells
				t.disordered = true
			}
		}
		f.list()
		f.classify()
	}
	for _, g := range slices.Clone(t.queue) {
		t.enqueue(g)
	}
	t.disordered = false
}

// dateUnread takes note of when what is in the open files that were not looked into yet
// began: it may have come after a copy that is found only now.
func (f *Follower) dateUnread(t *trail) {
	for _, g := range slices.Clone(t.queue) {
		if g.kind != "" || g.head.n > 0 || g.read > 0 || !g.held() {
			continue
		}
		began := g.began
		if err := f.readFirst(g); err != nil {
			f.complain(g, err)
		}
		f.rest(g)
		if g.began != began {
			t.enqueue(g)
		}
	}
}

// own makes g the owner of the file st at path.
func (f *Follower) own(g *generation, path string, st fileStat) {
	if old := f.files[st.identity]; old != nil && old != g {
		old.place = ""
	}
	if f.files[g.ident] == g {
		delete(f.files, g.ident)
		f.d.Hub.claims.release(f, g.ident)
	}
	g.ident, g.place, g.placed = st.identity, path, f.listings
	f.files[st.identity] = g
	f.settleAt(g, path)
}

// truncated takes note that g's file does not hold what was read of it any more:
// from here on it is a new generation. What was unread of the old one is in the
// copy, if copytruncate made one.
func (f *Follower) truncated(g *generation) {
	t := g.trail
	st := fileStat{identity: g.ident}
	if f.ensureOpen(g) == nil {
		if now, err := statFile(g.handle.file); err == nil {
			st = now
		}
	}
	n := f.newGeneration(t, st, sum{})
	n.rotated, n.deleted, n.kind = g.rotated, g.deleted, g.kind
	n.handle, g.handle = g.handle, nil
	if n.held() {
		if err := f.readFirst(n); err != nil {
			f.complain(n, err)
		}
	}
	if t.living == g {
		t.living = n
	}
	n.place, n.placed = g.place, f.listings
	f.files[st.identity] = n
	if g.place != "" {
		f.places[g.place] = n
	}
	g.place, g.ident, g.rotated, g.atEnd = "", identity{born: g.ident.born}, true, true
	g.grew = time.Now()
	f.log.Debug("truncated: its content is a new generation from here on", "file", t.path, "old", g.id, "id", n.id,
		"inode", st.ino, "offset", g.read)
	f.waiting[t] = true
	f.wake(t)
	t.drop(g)
	// It may have been copied and truncated more than once: what is in it now began
	// behind all that, but not later than it was written.
	n.began = max(g.began+1, st.mtime)
	if f.findHeir(g) {
		n.began = max(n.began, madeBefore(g)+1) // the copy was made before the truncation
	} else {
		f.abandon(g, "truncated")
	}
	f.enqueue(n)
}

// madeBefore is a time at which g's file, a copy, had been made. A compressed one
// may have been made long after the copy that it was, but has that one's time.
func madeBefore(g *generation) int64 {
	if g.kind != "" {
		return g.mtime
	}
	return g.ident.born
}

// findHeir looks for the file that continues g, whose own is gone.
func (f *Follower) findHeir(g *generation) bool {
	f.listLater(g.trail)
	f.list()
	type place struct {
		path string
		stat fileStat
	}
	var places []place
	for path := range f.later {
		if st, err := statPath(path); err == nil && st.kept() && f.owner(st) == nil {
			f.unknown[path] = st
		}
	}
	for path, st := range f.unknown {
		if slices.Contains(f.trailsOf(path), g.trail) {
			places = append(places, place{path, st})
		}
	}
	for _, k := range g.trail.known {
		if k.skip && k.place != "" {
			if st, err := statPath(k.place); err == nil && st.identity == k.ident {
				places = append(places, place{k.place, st})
			}
		}
	}
	slices.SortFunc(places, func(a, b place) int {
		// While a copy is compressed both are there: the compressed one comes to be
		// known as the form of the other, but not the other way round.
		return cmp.Or(cmp.Compare(a.stat.mtime, b.stat.mtime),
			cmp.Compare(len(compression(a.path)), len(compression(b.path))))
	})
	for _, p := range places {
		c, err := f.inspect(p.path, p.stat, compression(p.path))
		if err != nil {
			continue
		}
		found := f.continues(c, g)
		if found {
			delete(f.unknown, p.path)
			delete(f.later, p.path)
			f.unblock(p.path)
			f.attach(g, c)
		}
		c.close()
		if found {
			return true
		}
	}
	return false
}
