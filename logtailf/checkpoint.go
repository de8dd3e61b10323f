package logtailf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/checkpoint"
)

// touchEvery is how often the checkpoint is told that a file is still there.
const touchEvery = 24 * time.Hour

// seenKey is the checkpoint's note that the source was seen before, under this path.
func (f *Follower) seenKey() string { return f.cfg.Source + "\x00\x00seen\x00" + f.cfg.Path }

// load takes the positions from the checkpoint.
func (f *Follower) load() error {
	entries, err := f.d.Ledger.Load(f.cfg.Source + "\x00")
	if err != nil {
		return fmt.Errorf("load the positions of source %s: %w", f.cfg.Source, err)
	}
	f.baseline = true
	notes := 0
	f.seen = make(map[string]time.Time, len(entries))
	for _, e := range entries {
		id := e.Key[len(f.cfg.Source)+1:]
		if strings.HasPrefix(id, "\x00") {
			f.baseline = f.baseline && e.Key != f.seenKey()
			notes++
			continue
		}
		p, err := parsePosition(e.Value)
		if err != nil {
			return fmt.Errorf("position %s of source %s: %w", id, f.cfg.Source, err)
		}
		f.recall(id, p)
		f.seen[e.Key] = e.Seen
	}
	if notes == 0 && len(entries) > 0 {
		f.baseline = false // the output kept positions; the checkpoint that had the note is lost
	}
	return nil
}

// recall makes a generation from its position. Where its file is now is not known yet.
func (f *Follower) recall(id string, p position) {
	t := f.trailOf(p.file)
	g := &generation{
		id: id, key: f.cfg.Source + "\x00" + id, trail: t,
		read: p.offset, piece: p.piece, tail: p.tail, head: p.head,
		ident: p.ident, began: p.began, size: p.size, mtime: p.mtime, wrote: p.mtime, last: p.place, kind: p.kind,
		scanned: p.offset, rotated: true, skip: p.skip, registered: true, ordered: true,
		grew: lastWrite(p.mtime, time.Now()),
	}
	g.accepted.Store(p.offset)
	g.done, g.atEnd = p.done, p.done || g.kind == ""
	t.known = append(t.known, g)
	f.byID[id] = g
	f.claims[p.ident] = append(f.claims[p.ident], g)
	if !g.skip {
		f.d.Hub.claims.take(f, g)
	}
}

// adopt takes over the open files that only the follower before still holds.
func (f *Follower) adopt() {
	for _, h := range f.heirs {
		if h.place != "" && !f.finder.matches(h.trail.path) || !h.held() {
			h.close() // not followed any more and not gone, or opened again when needed
			continue
		}
		g := f.byID[h.id]
		if g == nil { // nothing of it was handed over
			h.place, h.trail = "", f.trailOf(h.trail.path)
			if !h.registered {
				f.fresh = append(f.fresh, h)
			}
			h.trail.known = append(h.trail.known, h)
			f.byID[h.id] = h
			g = h
		}
		g.handle, g.deleted, g.rotated, g.atEnd = h.handle, h.deleted, true, false
		g.trail.enqueue(g)
		f.files[h.ident] = g
		f.waiting[g.trail] = true
		f.wake(g.trail)
	}
	f.heirs = nil
}

// missing looks, once everything was looked at, for what became of the generations
// whose files were not found.
func (f *Follower) missing() {
	for _, g := range f.byID {
		if g.place != "" || g.skip || g.held() || f.unsure(g.trail) || !g.trail.followed && g.trail.living == nil && !f.watches(g) {
			continue
		}
		g.trail.drop(g)
		if !f.findHeir(g) && !g.done {
			f.abandon(g, "gone")
		}
	}
	f.classify()
}

// watches reports whether the folder that g was last seen in is looked at.
func (f *Follower) watches(g *generation) bool { return f.folders[folderOf(g.last)] != nil }

// begin writes down what was there when the source was first seen, all at once: a
// crash before leaves the source unseen, a crash after finds each file's start.
func (f *Follower) begin(ctx context.Context) {
	put := []checkpoint.Entry{{Key: f.seenKey(), Value: []byte(time.Now().UTC().Format(time.RFC3339Nano))}}
	for _, g := range f.fresh {
		put = append(put, entryOf(g))
	}
	for {
		err := f.d.Ledger.Register(put, nil)
		if err == nil {
			break
		}
		f.say("the checkpoint", fmt.Errorf("write the source's start: %w", err))
		select {
		case <-ctx.Done():
			return // seen for the first time again at the next start
		case <-time.After(time.Second):
		}
	}
	f.silence("the checkpoint")
	f.baseline = false
	f.registered()
}

func entryOf(g *generation) checkpoint.Entry {
	p := g.position()
	return checkpoint.Entry{Key: g.key, Value: p.append(nil)}
}

func (f *Follower) registered() {
	for _, g := range f.fresh {
		g.registered = true
	}
	f.fresh = f.fresh[:0]
}

// register writes the id of g into the checkpoint before its first record leaves,
// so that it is the same after a crash; those of other new generations go with it.
func (f *Follower) register(g *generation) error {
	var put []checkpoint.Entry
	var rest []*generation
	for _, n := range f.fresh {
		if n == g || n.head.n > 0 {
			put = append(put, entryOf(n))
		} else {
			rest = append(rest, n)
		}
	}
	if err := f.d.Ledger.Register(put, nil); err != nil {
		f.pause = time.Now().Add(time.Second)
		return fmt.Errorf("write the checkpoint: %w", err)
	}
	for _, n := range f.fresh {
		n.registered = n.registered || n == g || n.head.n > 0
	}
	f.fresh = rest
	return nil
}

// rewrite tells the checkpoint where the generations are that were let go: they
// were read to their ends, and are not looked into again.
func (f *Follower) rewrite() {
	var put []checkpoint.Entry
	var keys []string
	for _, g := range f.moved {
		if g.done && g.registered && f.delivered(g) {
			put = append(put, entryOf(g))
			keys = append(keys, g.key)
		}
	}
	f.moved = f.moved[:0]
	if len(put) == 0 {
		return
	}
	if err := f.d.Ledger.Register(put, keys); err != nil {
		f.log.Warn("the checkpoint could not be told what was let go", "error", err)
	}
}

// touch tells the checkpoint which of its entries are of files that are still
// there, so that they do not expire.
func (f *Follower) touch() {
	now := time.Now()
	if now.Sub(f.touched) < touchEvery {
		return
	}
	f.touched = now
	var keys []string
	for _, g := range f.byID {
		if g.place != "" && g.registered && now.Sub(f.seen[g.key]) > touchEvery {
			keys = append(keys, g.key)
			f.seen[g.key] = now
		}
	}
	if _, ok := f.seen[f.seenKey()]; !ok {
		keys = append(keys, f.seenKey())
	}
	if len(keys) > 0 {
		if err := f.d.Ledger.Touch(keys); err != nil {
			f.log.Warn("the checkpoint could not be told which files are still there", "error", err)
		}
	}
}

// StillThere reports whether a position in the checkpoint is of a file that still
// exists: it must not expire.
func StillThere(value []byte) bool {
	p, err := parsePosition(value)
	if err != nil {
		return false
	}
	st, err := statPath(p.place)
	return err == nil && st.identity == p.ident
}

// newGeneration makes the generation for a file that is seen for the first time.
func (f *Follower) newGeneration(t *trail, st fileStat, head sum) *generation {
	now := time.Now()
	id := newID(f.cfg.Host, f.cfg.Source, st, head, now)
	g := &generation{
		id: id, key: f.cfg.Source + "\x00" + id, trail: t, head: head,
		ident: st.identity, began: st.born, size: st.size, mtime: st.mtime, wrote: st.mtime,
		grew: lastWrite(st.mtime, now),
	}
	t.known = append(t.known, g)
	f.byID[id] = g
	f.files[st.identity] = g
	f.fresh = append(f.fresh, g)
	return g
}

// lastWrite is when a file with that mtime was written last. It is not in the future, and
// how long ago it is does not change with the clock: that may be set back by hours soon
// after the start of a machine.
func lastWrite(mtime int64, now time.Time) time.Time {
	return now.Add(min(0, time.Unix(0, mtime).Sub(now)))
}

// newLiving makes the generation that t's path names now.
func (f *Follower) newLiving(t *trail, st fileStat) {
	g := f.newGeneration(t, st, sum{})
	g.kind = compression(t.path)
	f.own(g, t.path, st)
	t.living = g
	f.readAgain(t)
	f.d.Hub.claims.take(f, g)
	f.log.Debug("a new file", "file", t.path, "id", g.id, "inode", st.ino, "size", st.size)
	if f.baseline && f.cfg.FromEnd && !f.cfg.Once {
		if err := f.startAtEnd(g); err != nil {
			f.complain(g, err)
			g.startBy = st.size
			g.read, g.scanned = st.size, st.size // for the checkpoint
			g.accepted.Store(st.size)
		}
	}
	if g.skip {
		return
	}
	t.enqueue(g)
	f.hold(g)
	f.wake(t)
}

// newRotated makes the generation for a file that was rotated before it was seen.
func (f *Follower) newRotated(t *trail, c *candidate) {
	g := f.newGeneration(t, c.stat, sum{})
	g.kind, g.rotated, g.head = c.kind, true, headOf(c.first[:c.n])
	if l := t.living; l != nil && g.kind == "" {
		l.began = max(l.began, g.began+1) // its inode may be older: it was copied from and truncated
	}
	f.own(g, c.path, c.stat)
	f.enqueue(g)
	f.hold(g)
	f.waiting[t] = true
	f.wake(t)
	f.d.Hub.claims.take(f, g)
	f.log.Debug("a generation was found", "file", t.path, "id", g.id, "inode", c.stat.ino, "at", c.path)
}

// newCopy makes the generation for a copy of g, which is there itself. Should g turn
// out to be truncated, the copy is what is left of it: so g's first bytes have to be
// known, and the checkpoint must not know of the copy without knowing of g.
func (f *Follower) newCopy(c *candidate, g *generation) {
	f.newSkipped(c, g.trail)
	g.copied = f.owner(c.stat)
	g.copied.copyOf = g
	g.trail.disordered = true // its name may tell g's age better
	if g.held() {
		if err := f.readFirst(g); err != nil {
			f.complain(g, err)
		}
		f.rest(g)
	}
	if !g.registered {
		f.fresh = f.fresh[:len(f.fresh)-1]
	}
}

// newSkipped makes the generation for a file that is never to be delivered.
func (f *Follower) newSkipped(c *candidate, t *trail) {
	g := f.newGeneration(t, c.stat, headOf(c.first[:c.n]))
	g.kind, g.rotated, g.skip, g.atEnd = c.kind, true, true, true
	f.own(g, c.path, c.stat)
	if c.kind == "" {
		if tail, err := f.reader.tailAt(c.file, c.stat.size); err == nil {
			g.read, g.scanned, g.tail = c.stat.size, c.stat.size, tail
		}
	}
	g.accepted.Store(g.read)
	f.log.Debug("not delivered: it is a copy, or was there before the source was", "path", c.path, "inode", c.stat.ino)
}

// startAtEnd puts the position behind the last finished line: one that is half
// written is delivered whole.
func (f *Follower) startAtEnd(g *generation) error {
	if g.kind != "" {
		g.skip = true
		return nil
	}
	if err := f.ensureOpen(g); err != nil {
		return err
	}
	defer f.rest(g)
	return f.startBehind(g, g.size)
}

// startBehind puts the position of the open file of g behind the last line that was
// finished when it had size bytes.
func (f *Follower) startBehind(g *generation, size int64) error {
	file := g.handle.file
	head, err := readHead(file, f.reader.head[:])
	if err != nil {
		return err
	}
	end, err := lastLineEnd(file, size, int64(f.cfg.MaxLine))
	if err != nil {
		return err
	}
	tail, err := f.reader.tailAt(file, end)
	if err != nil {
		return err
	}
	g.head, g.tail, g.read, g.scanned, g.startBy = head, tail, end, end, 0
	g.accepted.Store(end)
	return nil
}

// lastLineEnd is the offset behind the last line end in the last limit bytes of
// the first size bytes of r; size if there is none. NULs at the end do not count: in a
// preallocated file they are still to be overwritten.
func lastLineEnd(r io.ReaderAt, size, limit int64) (int64, error) {
	buf := make([]byte, 64<<10)
	data := false
	for end := size; end > 0 && size-end < limit; {
		b := buf[:min(end, int64(len(buf)))]
		if n, err := r.ReadAt(b, end-int64(len(b))); err != nil && n < len(b) {
			if errors.Is(err, io.EOF) {
				return 0, nil // truncated meanwhile
			}
			return 0, err
		}
		if n := len(trimNUL(b)); !data && n < len(b) {
			end -= int64(len(b) - n)
			size, data = end, n > 0
			continue
		}
		data = true
		if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
			return end - int64(len(b)) + int64(i) + 1, nil
		}
		end -= int64(len(b))
		if end == 0 {
			return 0, nil
		}
	}
	return size, nil
}
