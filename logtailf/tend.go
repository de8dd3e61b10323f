package logtailf

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// tick looks after what no notification tells of: files that may have become quiet,
// paths that failed, folders without notifications, links.
func (f *Follower) tick() {
	now := time.Now()
	if now.Sub(f.swept) >= sweepEvery {
		f.lookEverywhere()
		f.forget()
		f.touch()
	}
	if now.Sub(f.polled) >= f.cfg.Poll*9/10 { // a tick may come a little early
		f.polled = now
		f.poll()
	}
	for path := range f.later {
		f.lookAt(path)
	}
	maps.Copy(f.listing, f.unlisted)
	for t := range f.waiting {
		f.tend(t)
	}
	f.list()
	f.classify()
	f.rewrite()
	if f.calm && len(f.waiting) == 0 && f.unreadable() == f.stats.Unread {
		return // ten thousand idle files cost nothing
	}
	f.boundDeleted()
	f.publish()
}

// poll looks at the folders that no notification tells of, and at the links.
func (f *Follower) poll() {
	deaf := map[string]bool{}
	for dir, d := range f.folders {
		if !d.watched || !f.sub.Check(dir) {
			d.watched = false
			deaf[dir] = true
		}
	}
	for dir := range deaf {
		f.enter(dir)
	}
	for _, t := range f.links {
		f.lookLiving(t)
	}
	if len(deaf) == 0 {
		return
	}
	for path, t := range f.trails {
		if deaf[filepath.Dir(path)] {
			f.lookLiving(t)
		}
	}
}

// tend looks after the rotated generations of t.
func (f *Follower) tend(t *trail) {
	for i := 0; i < len(t.queue); i++ {
		g := t.queue[i]
		if !g.rotated {
			continue
		}
		f.recheck(g)
		if f.letGo(g) {
			i--
		}
	}
	f.wake(t)
}

// settle decides whether t needs to be looked at with each tick.
func (f *Follower) settle(t *trail) {
	for _, g := range t.queue {
		if g.rotated || !g.atEnd {
			f.waiting[t] = true
			return
		}
	}
	delete(f.waiting, t)
}

// recheck looks whether the rotated file of g has grown.
func (f *Follower) recheck(g *generation) {
	var st fileStat
	var err error
	switch {
	case g.held():
		st, err = statFile(g.handle.file)
		if g.place != "" {
			g.handle.lay()
		}
	case g.place != "":
		st, err = statPath(g.place)
		if err == nil && f.owner(st) != g {
			err = fs.ErrNotExist
		}
	default:
		return
	}
	if errors.Is(err, fs.ErrNotExist) {
		place := g.place
		f.leave(g)
		f.lookAt(place) // it may be compressed, or another's
		return
	}
	if err != nil {
		return
	}
	if st.size < g.size && g.kind == "" || st.size != g.size || st.mtime != g.mtime {
		f.grown(g, st)
	}
	if st.links == 0 && !g.deleted {
		f.leave(g)
	}
}

// lookLetGo looks whether generations of t that were let go have grown. Where no
// notification tells it, nothing else would: their names stay the same.
func (f *Follower) lookLetGo(t *trail) {
	for _, g := range t.known {
		if g.done && g.place != "" && g.kind == "" {
			f.recheck(g)
		}
	}
}

// letGo ends the reading of a rotated generation that was quiet for long enough and
// whose every byte the output has accepted.
func (f *Follower) letGo(g *generation) bool {
	if !g.atEnd || g.unfinished() || !f.quiet(g) || !f.delivered(g) {
		return false
	}
	f.finish(g)
	return true
}

// delivered reports whether the output has accepted all that was read of g, by this
// follower or one before it whose batches are still on their way.
func (f *Follower) delivered(g *generation) bool {
	return g.accepted.Load() >= g.read && !f.d.Ledger.Taken(g.key)
}

// finish takes g out of what is read. Its position is kept.
func (f *Follower) finish(g *generation) {
	g.done = true
	f.moved = append(f.moved, g)
	g.trail.drop(g)
	f.endStream(g)
	g.close()
}

// abandon gives up what is unread of g, whose file is gone.
func (f *Follower) abandon(g *generation, reason string) {
	lost := g.size - g.read
	if reason == "truncated" { // size may be that of what came after
		lost = g.known - g.read
	}
	f.finish(g)
	if lost <= 0 || g.kind != "" {
		return
	}
	f.d.Metrics.Abandoned(reason, lost)
	f.log.Warn("lines were not delivered: their file is gone", "file", g.trail.path, "reason", reason,
		"offset", g.read, "bytes", lost)
}

// boundDeleted lets go of deleted files, the oldest first, when what is held of
// them for an output that is behind exceeds max_deleted.
func (f *Follower) boundDeleted() {
	var held int64
	var of []*generation
	for _, t := range f.trails {
		for _, g := range t.queue {
			if g.deleted {
				held += g.behind()
				of = append(of, g)
			}
		}
	}
	f.statsMu.Lock()
	f.stats.Held = held
	f.statsMu.Unlock()
	f.sayHeld(held)
	slices.SortStableFunc(of, func(a, b *generation) int { return cmp.Compare(a.mtime, b.mtime) })
	for i := 0; f.cfg.MaxDeleted > 0 && held > f.cfg.MaxDeleted && i < len(of); i++ {
		held -= of[i].behind()
		f.abandon(of[i], "max_deleted")
	}
}

// heldWarning is how much of deleted files may be held before it is said.
const heldWarning = 1 << 20

func (f *Follower) sayHeld(held int64) {
	const key = remark + "held"
	_, said := f.said[key]
	switch {
	case held >= heldWarning && !said:
		f.said[key] = ""
		f.log.Warn("deleted files are held open for an output that is behind: their disk space is not free yet",
			"bytes", held, "max_deleted", f.cfg.MaxDeleted)
	case held < heldWarning && said:
		delete(f.said, key)
		f.log.Info("deleted files were let go")
	}
}

// errGone says that no path leads to a file that is not open either.
var errGone = errors.New("the file is gone")

// ensureOpen opens g's file if it is not open.
func (f *Follower) ensureOpen(g *generation) error {
	if g.held() {
		return nil
	}
	if g.place == "" {
		return errGone
	}
	h, err := f.d.Handles.openFile(g.place)
	if errors.Is(err, fs.ErrNotExist) {
		f.leave(g)
		return errGone
	}
	if err != nil {
		return err
	}
	st, err := statFile(h.file)
	if err != nil {
		h.close()
		return err
	}
	if st.identity != g.ident {
		h.close()
		place := g.place
		f.leave(g)
		f.lookAt(place)
		return errGone
	}
	g.handle = h
	return nil
}

// settleGone looks where the file of g went, which is neither open nor at its place,
// and gives g up if that is nowhere. It reports whether that is known now.
func (f *Follower) settleGone(g *generation) bool {
	f.lookLiving(g.trail)
	f.listLater(g.trail)
	f.list()
	f.classify()
	if g.place != "" || g.done {
		return true
	}
	if f.unsure(g.trail) {
		return false
	}
	g.trail.drop(g)
	if !f.findHeir(g) {
		f.abandon(g, "gone")
	}
	return true
}

// errWait says that another compressed generation is being read.
var errWait = errors.New("waiting for another compressed file")

// openContent opens the content of a compressed generation at its position.
func (f *Follower) openContent(g *generation) error {
	if s := f.streaming; s != nil && s != g && s.stream != nil {
		if s.trail != g.trail {
			f.awaiting[g.trail] = true
			return errWait
		}
		// g was found after s had been opened, and is older: s, whose turn comes
		// after g's, would never end.
		s.stream.close()
		s.stream = nil
	}
	s, err := openStream(g.handle.file, g.kind)
	if err != nil {
		return err
	}
	same, err := s.seek(g.read, g.tail)
	if err == nil && !same {
		err = fmt.Errorf("%w: holds other content before byte %d than was read there", ErrDamaged, g.read)
	}
	if err != nil {
		s.close()
		return err
	}
	g.stream, f.streaming = s, g
	return nil
}

// damaged reports a compressed generation that cannot be read further.
func (f *Follower) damaged(g *generation, err error) {
	f.d.Metrics.Abandoned("damaged", 0)
	f.log.Error("a compressed file is damaged: what came before is delivered, the rest is not",
		"path", g.place, "file", g.trail.path, "offset", g.read, "error", err)
	g.atEnd, g.scanned = true, g.read
}

// ensureRegistered makes sure that g's id is in the checkpoint before a record of it leaves.
func (f *Follower) ensureRegistered(g *generation) (empty bool, err error) {
	if g.registered {
		if f.orderBefore(g) {
			return false, errOlder
		}
		return false, nil
	}
	st, err := statFile(g.handle.file)
	if err != nil {
		return false, err
	}
	g.see(st, time.Now())
	if st.size == 0 && g.head.n == 0 && g.seenTo == 0 { // or else it was truncated
		return true, nil
	}
	if err := f.readFirst(g); err != nil {
		return false, err
	}
	if f.orderBefore(g) {
		return false, errOlder
	}
	return false, f.register(g)
}

// errOlder says that a generation to be read before this one was found.
var errOlder = errors.New("an older generation was found")

// orderBefore looks, now that the first bytes of g are known, for what was made
// before it and is not known yet: between a notification and the look at the file
// that it names, a log can be made, copied away and truncated, or made and renamed.
// What happens to g from here on, its first bytes show. It reports whether one was found.
func (f *Follower) orderBefore(g *generation) bool {
	if g.ordered {
		return false
	}
	g.ordered = true
	f.relocate(g.trail)
	for _, dir := range g.trail.folder {
		if d := f.folders[dir]; d != nil && !d.holdsOlder(g) && !d.unchanged() {
			f.listing[dir] = true
		}
	}
	for path := range f.later { // which was empty when it was seen, or not whole
		f.lookAt(path)
	}
	queue := slices.Clone(g.trail.queue)
	f.list()
	f.classify()
	// To hold it takes it back from rest.
	return !slices.Equal(queue, g.trail.queue) || !g.held() || !g.rotated && g.trail.blocked > 0
}

// readFirst reads the first bytes of the open file of g, by which its copy is
// known, should it be gone after a crash.
func (f *Follower) readFirst(g *generation) (err error) {
	if g.kind != "" {
		return nil
	}
	if g.head.n == 0 {
		if g.head, err = readHead(g.handle.file, f.reader.head[:]); err != nil {
			return err
		}
		if g.deleted || !g.rotated {
			// It may have been copied and truncated since it was seen to be empty.
			g.began = max(g.began, g.mtime)
		}
	}
	f.seeEnd(g)
	return nil
}

// seeEnd takes note of the last bytes of the open file of g where the first ones may be
// a header that all generations have: should it be truncated before it is read, and be
// longer again by then, nothing else would show it.
func (f *Follower) seeEnd(g *generation) {
	if g.head.n < headMax || g.read > 0 || g.seenTo > 0 {
		return
	}
	size := max(g.size, int64(g.head.n))
	b := f.reader.join[:min(size, tailMax)]
	n, err := g.handle.file.ReadAt(b, size-int64(len(b)))
	if err == nil && n == len(b) && b[n-1] != 0 { // NULs may still be overwritten
		g.saw(size, sumOf(b))
	}
}

// finishOnce reports whether all there is has been read; before that, the unfinished
// last lines are made ready to be delivered.
func (f *Follower) finishOnce() bool {
	more := len(f.blocked) > 0 || len(f.awaiting) > 0
	for _, t := range f.trails {
		for _, g := range t.queue {
			if g.unfinished() && g.atEnd && !g.rotated {
				g.rotated = true
				f.wake(t)
				more = true
			}
		}
	}
	return !more
}

// Unread names the paths that could not be read, with the reason.
func (f *Follower) Unread() map[string]string {
	unread := maps.Clone(f.said)
	maps.DeleteFunc(unread, func(key, _ string) bool { return strings.HasPrefix(key, remark) })
	return unread
}

// remark begins the keys in said of what is no failure to read.
const remark = "\x00"

// publish makes what the follower knows of itself known to others.
func (f *Follower) publish() {
	s := Stats{Ready: f.looked, Unread: f.unreadable()}
	var underway int64
	for _, t := range f.trails {
		for _, g := range t.queue {
			s.LagBytes += g.behind()
			underway += g.read - g.accepted.Load()
			if g.rotated {
				s.Pending++
			}
			if g.handle != nil {
				s.OpenFiles++
			}
		}
	}
	f.calm = s.LagBytes == 0
	s.LagSince = f.lag.since(f.handed-underway, s.LagBytes)
	f.statsMu.Lock()
	defer f.statsMu.Unlock()
	s.Held = f.stats.Held
	f.stats = s
}

// A lagClock tells for how long there has been something that is not accepted yet,
// under steady traffic too, where there always is something.
type lagClock struct {
	at time.Time
	to int64 // what has to be accepted for what was there at that time to be
}

// since takes note that so many bytes were accepted in all, and that behind are not.
func (l *lagClock) since(accepted, behind int64) time.Time {
	switch {
	case behind == 0:
		l.at = time.Time{}
	case l.at.IsZero() || accepted >= l.to:
		l.at, l.to = time.Now(), accepted+behind
	}
	return l.at
}

func folderOf(path string) string { return filepath.Dir(path) }
