package logtailf

import (
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/hpcloud/tail"
	"github.com/klauspost/compress/zstd"
)

// classify decides what the files are that no generation is known to own: the new
// living file of a path, a generation that came and went between two looks, the
// copy that copytruncate made, the compressed form of one that is known, or a
// copy that is none of these and is never delivered.
func (f *Follower) classify() {
	clear(f.rejudged)
	for len(f.unknown) > 0 {
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
			if len(f.listing) > 0 {
				break // something was rotated: first where to
			}
		}
		f.list()
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
	kind := compression(path)
	if kind != "" && !matched {
		if o, err := statPath(trimCompression(path)); err == nil && o.kept() {
			f.later[path] = true // it is being compressed: the original is still there
			return
		}
	}
	c, err := f.inspect(path, st, kind)
	if err != nil {
		f.say(path, err)
		f.block(path, trails, err)
		return
	}
	f.silence(path)
	defer c.close()
	f.judgeContent(c, trails, matched)
}

// block puts off what the file at path is. If the process has run out of
// descriptors, nothing newer is read before that is known.
func (f *Follower) block(path string, trails []*trail, err error) {
	f.later[path] = true
	if !exhausted(err) {
		return
	}
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
	if c.broken && time.Since(time.Unix(0, c.stat.mtime)) < f.cfg.RotateWait && !f.cfg.Once {
		f.later[c.path] = true // it may still be written
		return
	}
	t := trails[0]
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
		for _, g := range slices.Clone(t.queue) {
			if g.kind != "" || !g.held() && g.place == "" || g.atEnd && !f.changed(g) {
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
			}
			return copied, err
		}
	}
	return false, nil
}

// takeOver gives g, which is not in its own file any more, the file c.
func (f *Follower) takeOver(g *generation, c *candidate) {
	if g.place == "" && !g.held() {
		f.attach(g, c)
		return
	}
	f.unknown[c.path] = c.stat
	f.truncated(g) // which finds c, or something better
}

// isNamedAfter reports whether path's name is t's with something behind it, so that
// it cannot well be another log.
func isNamedAfter(path string, t *trail) bool {
	name, base := baseName(path), t.name()
	return len(name) > len(base) && name[:len(base)] == base
}

// A candidate is an unknown file that is looked into.
type candidate struct {
	path   string
	stat   fileStat
	kind   string
	file   *os.File
	first  [headMax]byte // of the content
	n      int           // bytes in first
	broken bool          // compressed and damaged, or not finished yet
}

func (c *candidate) close() {
	c.file.Close() // opened for reading: there is nothing to fail
}

// headOf is the sum of the first n bytes of the content.
func (c *candidate) headIs(s sum) bool {
	return s.n > 0 && s.n <= c.n && sumOf(c.first[:s.n]) == s
}

// inspect opens the file at path and reads its first bytes.
func (f *Follower) inspect(path string, st fileStat, kind string) (*candidate, error) {
	file, err := tail.OpenFile(path)
	if err != nil {
		return nil, err
	}
	c := &candidate{path: path, stat: st, kind: kind, file: file}
	now, err := statFile(file)
	if err == nil && now.identity != st.identity {
		err = errMoved
	}
	if err == nil && kind == "" {
		c.n, err = file.ReadAt(c.first[:], 0)
	} else if err == nil {
		c.n, err = c.inspectStream()
	}
	if err != nil && err != io.EOF {
		c.close()
		return nil, err
	}
	c.stat = now
	return c, nil
}

var errMoved = errors.New("another file took its place")

func (c *candidate) inspectStream() (int, error) {
	s, err := openStream(c.file, c.kind)
	if errors.Is(err, ErrDamaged) {
		c.broken = true
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer s.close()
	data, err := s.fill(c.first[:])
	if errors.Is(err, ErrDamaged) {
		c.broken, err = true, nil
	}
	return len(data), err
}

// continues reports whether c holds what was read of g, and so what comes behind it.
func (f *Follower) continues(c *candidate, g *generation) bool {
	return f.holdsRead(c, g) && !f.anothers(c, g)
}

// littleRead is how much of a file may be a header that other generations have too.
const littleRead = 4 * headMax

// anothers reports whether c, which holds the little that was read of g, holds more
// of another generation: logs with a constant header all begin alike.
func (f *Follower) anothers(c *candidate, g *generation) bool {
	return g.read <= littleRead && slices.ContainsFunc(g.trail.known, func(k *generation) bool {
		return k.read > g.read && k.head == g.head && f.holdsRead(c, k)
	})
}

func (f *Follower) holdsRead(c *candidate, g *generation) bool {
	if f.owner(c.stat) == g || g.head.n == 0 && g.tail.n == 0 || g.head.n > 0 && !c.headIs(g.head) {
		return false
	}
	if c.kind == "" {
		if g.kind != "" || c.stat.size < g.read || older(c.stat, g.ident) {
			return false
		}
		same, err := g.tail.matches(c.file, g.read, f.reader.tail[:])
		return err == nil && same
	}
	if g.kind != "" {
		return false
	}
	if f.compressedFrom(c, g) {
		return true
	}
	s, err := openStream(c.file, c.kind)
	if err != nil {
		return false
	}
	defer s.close()
	same, err := s.seek(g.read, g.tail)
	return err == nil && same
}

// compressedFrom reports whether c is known to be the compressed form of g without
// looking through all of it: g was read to its end, its content begins alike and is
// as long, and the name or the time of the last write, which compressing keeps, are g's.
func (f *Follower) compressedFrom(c *candidate, g *generation) bool {
	return c.kind != "" && g.kind == "" && g.size == g.read && c.headIs(g.head) && c.holds(g.size) &&
		(trimCompression(c.path) == g.last || sameSecond(c.stat.mtime, g.mtime))
}

// holds reports whether c says of itself that it was made of size bytes: a gzip file
// in its last four bytes, a zstd file in its header, if at all.
func (c *candidate) holds(size int64) bool {
	if c.kind == "gz" {
		var b [4]byte
		_, err := c.file.ReadAt(b[:], c.stat.size-4)
		return err == nil && binary.LittleEndian.Uint32(b[:]) == uint32(size)
	}
	var b [zstd.HeaderMaxSize]byte
	var h zstd.Header
	n, _ := c.file.ReadAt(b[:], 0)
	return h.Decode(b[:n]) == nil && h.HasFCS && h.FrameContentSize == uint64(size)
}

// older reports whether the file of st was there before the one of id, of which it
// so cannot be a copy.
func older(st fileStat, id identity) bool {
	return st.born != 0 && id.born != 0 && st.born < id.born
}

func sameSecond(a, b int64) bool { return a/1e9 == b/1e9 }

// copiedFrom reports whether c is a copy of the first part of g's file, which is there.
func (f *Follower) copiedFrom(c *candidate, g *generation) (bool, error) {
	if c.n == 0 || g.kind != "" || older(c.stat, g.ident) {
		return false, nil
	}
	if err := f.ensureOpen(g); err != nil {
		return false, unlessGone(err)
	}
	defer f.rest(g)
	// Before the comparison: should g be truncated after it, that must show, or
	// the copy would be left out although it holds what g did.
	if err := f.readFirst(g); err != nil {
		return false, err
	}
	size, last, err := c.end(f.reader.join[:tailMax])
	if err != nil || size == 0 {
		return false, err
	}
	same, err := sumOf(c.first[:c.n]).matches(g.handle.file, int64(c.n), f.reader.tail[:])
	if err != nil || !same {
		return false, err
	}
	return last.matches(g.handle.file, size, f.reader.tail[:])
}

func unlessGone(err error) error {
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// end finds the length of the content and the sum of its last bytes.
func (c *candidate) end(scratch []byte) (int64, sum, error) {
	if c.kind == "" {
		b := scratch[:min(c.stat.size, tailMax)]
		_, err := c.file.ReadAt(b, c.stat.size-int64(len(b)))
		return c.stat.size, sumOf(b), err
	}
	s, err := openStream(c.file, c.kind)
	if err != nil {
		return 0, sum{}, err
	}
	defer s.close()
	var size int64
	var last []byte
	buf := make([]byte, 64<<10)
	for {
		data, err := s.fill(buf)
		size += int64(len(data))
		last = append(last, data...)
		last = append(scratch[:0], last[max(0, len(last)-tailMax):]...)
		if err != nil {
			if err == io.EOF || errors.Is(err, ErrDamaged) {
				err = nil
			}
			return size, sumOf(last), err
		}
	}
}

// stillThere reports whether the file that g was read from still holds what was read.
func (f *Follower) stillThere(g *generation) (bool, error) {
	if err := f.ensureOpen(g); err != nil {
		return false, unlessGone(err)
	}
	defer f.rest(g)
	if g.kind != "" {
		return true, nil
	}
	return f.reader.intact(g, g.handle.file)
}

// attach gives g, whose own file is gone, the file c that continues it.
func (f *Follower) attach(g *generation, c *candidate) {
	g.close()
	f.own(g, c.path, c.stat)
	g.kind, g.rotated, g.deleted = c.kind, true, false
	complete := c.kind != "" && g.size == g.read && g.done
	g.see(c.stat, time.Now())
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

// enqueue puts g, which was just found, among what is to be read. Where names turn
// out to be out of date on the way, the folders are listed again first.
func (f *Follower) enqueue(g *generation) {
	for round := 0; !g.trail.enqueue(g) && round < 5; round++ {
		for _, dir := range g.trail.folder {
			f.listing[dir] = true
		}
		f.list()
	}
}

// own makes g the owner of the file st at path.
func (f *Follower) own(g *generation, path string, st fileStat) {
	if old := f.files[st.identity]; old != nil && old != g {
		old.place = ""
	}
	if f.files[g.ident] == g {
		delete(f.files, g.ident)
	}
	g.ident, g.place = st.identity, path
	f.files[st.identity] = g
	f.places[path] = g
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
	n.place = g.place
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
	slices.SortFunc(places, func(a, b place) int { return cmp.Compare(a.stat.mtime, b.stat.mtime) })
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
