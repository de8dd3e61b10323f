package logtailf

import (
	"cmp"
	"errors"
	"io/fs"
	"slices"
	"syscall"
	"time"
)

// classifyListings is how often classify has the folders listed at most. Logs that are
// rotated faster than their folder can be listed always have something new in it: it
// is found by the next look, and what was found so far is read meanwhile.
const classifyListings = 10

// classify decides what the files are that no generation is known to own: the new
// living file of a path, a generation that came and went between two looks, the
// copy that copytruncate made, the compressed form of one that is known, or a
// copy that is none of these and is never delivered.
func (f *Follower) classify() {
	clear(f.rejudged)
	f.round++
	for left := classifyListings; len(f.unknown) > 0; left-- {
		paths := make([]string, 0, len(f.unknown))
		for path := range f.unknown {
			paths = append(paths, path)
		}
		slices.SortFunc(paths, func(a, b string) int {
			// What a path names now comes first: what was there before is displaced by it.
			if c := cmp.Compare(f.rank(a), f.rank(b)); c != 0 {
				return c
			}
			return cmp.Compare(f.unknown[a].mtime, f.unknown[b].mtime)
		})
		for _, path := range paths {
			st, ok := f.unknown[path]
			if !ok {
				continue // found an owner meanwhile
			}
			delete(f.unknown, path)
			f.judge(path, st)
			if len(f.listing) > 0 && left > 0 {
				break // something was rotated: first where to
			}
		}
		if left > 0 {
			f.list()
		}
	}
}

// rank puts files that were renamed before all others, which may be ordered by them.
func (f *Follower) rank(path string) int {
	switch {
	case f.owner(f.unknown[path]) != nil:
		return 0
	case f.trails[path] != nil:
		return 1
	}
	return 2
}

// judge decides what the unknown file at path is.
func (f *Follower) judge(path string, st fileStat) {
	f.unblock(path) // or what waits for it now would be counted again when it is put off again
	if err := f.remember(path, st); err != nil {
		f.say(path, err)
		f.later[path] = true
		return
	}
	if g := f.owner(st); g != nil {
		f.found(g, path, st)
		return
	}
	if t := f.trails[path]; t != nil && t.followed {
		f.newLiving(t, st)
		return
	}
	matched := f.finder.matches(path)
	trails := f.trailsOf(path)
	if len(trails) == 0 || matched && f.baseline && !isNamedAfter(path, trails[0]) {
		if matched {
			f.newLiving(f.trailOf(path), st)
		}
		return
	}
	if st.size == 0 {
		f.later[path] = true // nothing to tell it by yet
		return
	}
	c, err := f.inspect(path, st, compression(path))
	if errors.Is(err, errMoved) || errors.Is(err, fs.ErrNotExist) {
		f.relist(path) // it was renamed since it was listed: before anything newer is read, where to
		return
	}
	if err != nil {
		f.say(path, err)
		f.block(path, trails, err)
		return
	}
	f.silence(path)
	defer c.close()
	if c.beingCompressed() {
		f.later[path] = true // until the original is gone: then it is known what this is
		return
	}
	f.judgeContent(c, trails, matched)
}

// block puts off what the file at path is. If the process has run out of
// descriptors, nothing newer is read before that is known.
func (f *Follower) block(path string, trails []*trail, err error) {
	f.later[path] = true
	if exhausted(err) {
		f.putOff(path, trails)
	}
}

// putOff has the file at path looked at again before anything newer of trails is read.
func (f *Follower) putOff(path string, trails []*trail) {
	f.later[path] = true
	f.blocked[path] = trails
	for _, t := range trails {
		t.blocked++
	}
}

func (f *Follower) unblock(path string) {
	for _, t := range f.blocked[path] {
		t.blocked--
		f.wake(t)
	}
	delete(f.blocked, path)
	delete(f.doubted, path)
}

// doubts reports whether it will be known soon whether a file is one of t's generations:
// it may be older than those that were not begun.
func (f *Follower) doubts(t *trail) bool {
	for path := range f.doubted {
		if slices.Contains(f.blocked[path], t) {
			return true
		}
	}
	return false
}

// exhausted reports whether err says that no descriptor was left.
func exhausted(err error) bool {
	return errors.Is(err, errNoHandle) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

func (f *Follower) judgeContent(c *candidate, trails []*trail, matched bool) {
	if f.baseline {
		if t := trails[0]; matched && (!f.cfg.FromEnd || f.cfg.Once) {
			f.newRotated(t, c)
		} else {
			f.newSkipped(c, t)
		}
		return
	}
	if f.displaced(trails) {
		f.unknown[c.path] = c.stat // to be judged by what is known then
		return
	}
	f.unknown[c.path] = c.stat // for who looks for the rest of what was truncated
	_, err := f.checkTruncated(trails)
	delete(f.unknown, c.path)
	known := f.owner(c.stat) != nil
	if err == nil && !known {
		known, err = f.recognize(c, trails)
	}
	if err == nil && !known {
		// What it was compared with may have been truncated at that very moment, or
		// it was looked at while it was still being copied.
		var again bool
		again, err = f.checkTruncated(trails)
		grown := false
		if now, gone := statFile(c.file); gone == nil && now.size != c.stat.size && !f.rejudged[c.path] {
			f.rejudged[c.path] = true // but once: it may be one that is written late
			c.stat, grown = now, true
		}
		if again || grown {
			f.unknown[c.path] = c.stat
			return
		}
	}
	if err != nil {
		f.say(c.path, err)
		f.block(c.path, trails, err)
	}
	if known || err != nil {
		return
	}
	if now, err := statPath(c.path); err != nil || now.identity != c.stat.identity {
		f.relist(c.path) // gone meanwhile: renamed, or compressed, and then perhaps known by now
		return
	}
	if c.broken && time.Since(time.Unix(0, c.stat.mtime)).Abs() < f.cfg.RotateWait && !f.cfg.Once {
		f.later[c.path] = true // it may still be written
		return
	}
	t := trails[0]
	if !matched {
		anothers, wait := f.anotherLogs(c)
		if wait {
			f.putOff(c.path, trails)
			f.doubted[c.path] = true
			return
		}
		if anothers {
			f.newSkipped(c, t)
			return
		}
	}
	if matched && !isNamedAfter(c.path, t) || len(trails) > 1 {
		t = f.trailOf(c.path)
		if t.followed {
			f.newLiving(t, c.stat)
			return
		}
	}
	f.newRotated(t, c)
}

// displaced looks whether the paths of trails still name what they did, and reports
// whether one does not: what was looked at before was then rotated before c was.
func (f *Follower) displaced(trails []*trail) bool {
	found := false
	for _, t := range trails {
		living := t.living
		f.lookLiving(t)
		found = found || living != nil && t.living != living
	}
	return found
}

// checkTruncated looks whether the files that are followed have become others in
// their inodes, of which c may be the copy or the compressed form.
func (f *Follower) checkTruncated(trails []*trail) (found bool, err error) {
	for _, t := range trails {
		queue := []*generation{t.living} // the others once for all that is judged now
		if t.checked != f.round {
			queue = slices.Clone(t.queue)
			t.checked = f.round
		}
		for _, g := range queue {
			if g == nil || g.kind != "" || !g.held() && g.place == "" || g.atEnd && !f.changed(g) {
				continue
			}
			there, err := f.stillThere(g)
			if err != nil {
				return found, err
			}
			if !there && (g.held() || g.place != "") {
				f.truncated(g)
				found = true
			}
		}
	}
	return found, nil
}

// changed reports whether g's file was written to since it was looked at.
func (f *Follower) changed(g *generation) bool {
	var st fileStat
	var err error
	if g.held() {
		st, err = statFile(g.handle.file)
		f.rest(g)
	} else {
		st, err = statPath(g.place)
	}
	return err != nil || st.size != g.size || st.mtime != g.mtime
}

// recognize looks whether c is a copy or the continuation of a generation that is
// known, and deals with it.
func (f *Follower) recognize(c *candidate, trails []*trail) (bool, error) {
	for _, t := range trails {
		for _, g := range t.known {
			if g.queued && g.head.n == 0 && g.tail.n == 0 && g.held() {
				// Nothing to know it by, as in a file that begins with a hole.
				if copied, err := f.copiedFrom(c, g); err != nil || copied {
					if copied {
						f.newSkipped(c, t)
						f.claimCopy(c)
					}
					return copied, err
				}
			}
			if !f.continues(c, g) {
				continue
			}
			there, err := f.stillThere(g)
			if err != nil {
				return false, err
			}
			if !there {
				f.takeOver(g, c)
				return true, nil
			}
			copied := f.compressedFrom(c, g)
			if !copied {
				copied, err = f.copiedFrom(c, g)
			}
			if copied {
				f.newCopy(c, g)
				f.claimCopy(c)
			}
			if err != nil || copied {
				return copied, err
			}
			// it only starts with the same bytes
		}
		if t.living == nil {
			continue
		}
		if copied, err := f.copiedFrom(c, t.living); err != nil || copied {
			if copied {
				f.newCopy(c, t.living)
				f.claimCopy(c)
			}
			return copied, err
		}
	}
	return f.recognizeShort(c, trails)
}

// recognizeShort is recognize for a compressed form that holds less than was read.
func (f *Follower) recognizeShort(c *candidate, trails []*trail) (bool, error) {
	for _, t := range trails {
		for _, g := range t.known {
			if short, err := f.shortOf(c, g); err != nil || short {
				if short {
					f.newCopy(c, g)
					f.claimCopy(c)
				}
				return short, err
			}
		}
	}
	return false, nil
}

// claimCopy says that c, a copy that is not delivered, is none of another log's.
func (f *Follower) claimCopy(c *candidate) { f.d.Hub.claims.take(f, f.owner(c.stat)) }

// isNamedAfter reports whether path's name is t's with something behind it, so that
// it cannot well be another log.
func isNamedAfter(path string, t *trail) bool {
	name, base := baseName(path), t.name()
	return len(name) > len(base) && name[:len(base)] == base
}
