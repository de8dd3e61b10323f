package logtailf

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

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
		f.lookLiving(t)
		f.listLater(t)
		f.lookLetGo(t)
	}
	for dir := range f.listing {
		f.watch(dir)
	}
	f.list()
	f.classify()
}

// lookAt looks at whatever path is to this source.
func (f *Follower) lookAt(path string) {
	delete(f.later, path)
	f.unblock(path)
	if t := f.trails[path]; t != nil {
		f.lookLiving(t)
		return
	}
	st, err := statPath(path)
	switch {
	case err != nil:
		f.vanished(path, err)
		return
	case st.mode.IsDir() && f.folders[path] != nil:
		f.lookFolder(path)
		return
	case st.mode.IsDir() && f.finder.reaches(path):
		f.enter(path)
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

// lookFolder looks at what is followed in dir, whose rights have changed: what was
// written while it could not be looked into was told of in vain.
func (f *Follower) lookFolder(dir string) {
	f.listing[dir] = true
	for _, t := range f.inFolder[dir] {
		f.lookLiving(t)
	}
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
		// A copy that is what is left of its original is that one's.
		if g.mtime > best.mtime || g.mtime == best.mtime && best.skip && !g.skip {
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

// lookLiving looks at what t's path names now.
func (f *Follower) lookLiving(t *trail) {
	if !t.followed {
		return
	}
	st, err := statPath(t.path)
	delete(f.unseen, t)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.displace(t)
		f.noteLink(t)
		return
	case err != nil:
		f.say(t.path, err) // what was followed goes on being followed
		f.unseen[t] = err
		return
	case st.pipelike():
		f.displace(t)
		f.startPipe(t)
		return
	case !st.kept():
		f.displace(t)
		f.say(t.path, fmt.Errorf("is not a file but %s: waiting for one", kindOf(st.mode)))
		return
	}
	f.silence(t.path)
	f.settleClaims(t.path, st)
	if g := t.living; g != nil && f.owner(st) == g {
		f.grown(g, st)
		return
	}
	if t.link { // which may lead elsewhere now
		f.locate(t)
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
