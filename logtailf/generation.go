package logtailf

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
)

// A generation is one file on disk that is, or once was, what a followed path
// named. It belongs to its follower's goroutine; only accepted is shared.
type generation struct {
	id    string // record ids are made from it; never changes
	key   string // what the checkpoint knows it by
	trail *trail

	// What has been handed to the output.
	read  int64
	piece int // of the over-long line that read stands in
	tail  sum // of the bytes before read
	head  sum // of the content's first bytes

	accepted atomic.Int64 // what the output has durably accepted; the output's goroutine writes it

	// What is known of the file.
	ident   identity
	began   int64 // birth time of its first file, or a later truncation
	size    int64 // when last seen; the compressed size of a compressed one
	mtime   int64
	wrote   int64  // mtime when the file was last known to hold what was read of it
	place   string // path it is at now; "" once no known path leads to it
	last    string // path it was at before it had none
	alias   string // another path of its file: a hard link
	placed  int    // number of the listing after which it was found at its place
	kind    string // "", "gz" or "zst"
	scanned int64  // [read, scanned) holds no line end
	known   int64  // the content is known to have been at least so long
	nulTo   int64  // NULs behind the data reach at least to here
	startBy int64  // it begins at the last line end before here, which could not be looked for yet; 0: it begins at read
	seen    sum    // of bytes behind read, which were looked at and not delivered yet
	seenTo  int64  // where these end
	handle  *handle
	stream  *stream // open content of a compressed one

	refused    error       // why it could not be read the last time
	queued     bool        // is in its trail's queue
	rotated    bool        // its trail's path names another file now, or none
	deleted    bool        // no path leads to it: it lives as long as it is held open
	late       bool        // was let go once and grew again: the lines after it do not wait
	more       bool        // the last block held more than was taken
	atEnd      bool        // nothing unread was there at the last look
	done       bool        // drained and let go
	skip       bool        // never to be delivered: there before its source was, or a copy
	copyOf     *generation // of which it is a copy, if that is why it is skipped
	copied     *generation // its copy, by whose name it goes if it has none
	registered bool        // its id is in the checkpoint
	ordered    bool        // what was made before it is known
	grew       time.Time   // when it was last seen to grow, or to be rotated
}

// newID makes the id of a generation that is first seen now. The time keeps ids
// apart that nothing else does: a file truncated twice while it was empty.
func newID(host, source string, st fileStat, head sum, now time.Time) string {
	h := xxhash.New()
	fmt.Fprintf(h, "%s\x00%s\x00%d\x00%d\x00%d\x00%d\x00%d\x00%d", host, source,
		st.dev, st.ino, st.born, head.n, head.hash, now.UnixNano())
	return hex.EncodeToString(binary.BigEndian.AppendUint64(nil, h.Sum64()))
}

// unfinished reports whether an unfinished line waits behind the position.
func (g *generation) unfinished() bool { return g.scanned > g.read }

// behind is how many bytes are known to be there and not accepted yet.
func (g *generation) behind() int64 {
	if g.skip || g.done {
		return 0
	}
	end := max(g.read, g.scanned)
	if g.kind == "" && !g.atEnd {
		end = max(end, g.size)
	}
	return max(0, end-g.accepted.Load())
}

// position is g as the checkpoint keeps it.
func (g *generation) position() position {
	return position{
		offset: g.read, piece: g.piece, head: g.head, tail: g.tail,
		ident: g.ident, began: g.began, size: g.size, mtime: g.mtime,
		file: g.trail.path, place: cmp.Or(g.place, g.last), kind: g.kind, skip: g.skip, done: g.done,
	}
}

// see takes note of what a look at the file showed.
func (g *generation) see(st fileStat, now time.Time) {
	if st.size != g.size || st.mtime != g.mtime {
		g.grew = now
	}
	g.ident, g.size, g.mtime = st.identity, st.size, st.mtime
}

// saw takes note that the bytes before offset, which may lie behind the position,
// have the sum s: where all generations begin alike, what was read of one may not
// show that it was truncated.
func (g *generation) saw(offset int64, s sum) {
	if offset > max(g.read, g.seenTo) {
		g.seen, g.seenTo = s, offset
	}
}

// close gives up the open file.
func (g *generation) close() {
	if g.stream != nil {
		g.stream.close()
		g.stream = nil
	}
	if g.handle != nil {
		g.handle.close()
		g.handle = nil
	}
}

// held reports whether the file is open.
func (g *generation) held() bool {
	if g.handle != nil && !g.handle.use() {
		g.handle = nil
	}
	return g.handle != nil
}

// A trail is one followed path and the generations that were found under it.
type trail struct {
	path       string
	link       bool          // path leads through a symbolic link: no notification tells when it is repointed
	folder     []string      // where its generations are looked for
	patterns   []pattern     // of their names, if these are the source's own
	living     *generation   // what path names now
	queue      []*generation // not let go yet, oldest first; the living one is the last
	known      []*generation // all that were ever seen and may still be on disk
	ready      bool          // is in the follower's ready list
	disordered bool          // names that can change may tell the wrong age by now
	blocked    int           // files that may be its generations and could not be looked into yet
	checked    int           // round of classify in which its files were looked at for truncation
	followed   bool          // the source stands for path; not so for a stray generation
	piped      bool          // has no positions: a goroutine reads it
}

// enqueue puts g where it belongs, by what is known of it now, among the
// generations that are to be read.
func (t *trail) enqueue(g *generation) {
	t.drop(g)
	i := len(t.queue)
	for i > 0 && before(t, g, t.queue[i-1]) {
		i--
	}
	t.queue = slices.Insert(t.queue, i, g)
	g.queued = true
	t.disordered = t.disordered || g.rotated && !dated(baseName(g.place))
	if l := t.living; l != nil && l != g && l.began <= g.began {
		l.began = g.began + 1 // what is in it now came after the copy that g is
	}
}

// named reports whether g's file is still where it was seen, if it is anywhere.
func (g *generation) named() bool {
	if g.place == "" {
		return g.deleted
	}
	st, err := statPath(g.place)
	return err == nil && st.identity == g.ident
}

// name is what g's file is called, or else its copy, if anything is.
func (g *generation) name() string {
	switch {
	case g.place != "":
		return baseName(g.place)
	case g.copied != nil && g.copied.place != "":
		return baseName(g.copied.place)
	}
	return ""
}

// before reports whether a was made before b.
func before(t *trail, a, b *generation) bool {
	if a.rotated != b.rotated {
		return a.rotated
	}
	if an, bn := a.name(), b.name(); an != "" && bn != "" {
		if c := compareNames(t.name(), an, bn); c != 0 {
			return c < 0
		}
	}
	if a.kind == "" && b.kind == "" && a.began != b.began && a.began > 1 && b.began > 1 {
		return a.began < b.began
	}
	if a.mtime != b.mtime {
		return a.mtime < b.mtime
	}
	return a.began < b.began
}

// drop takes g out of the queue.
func (t *trail) drop(g *generation) {
	if !g.queued {
		return
	}
	g.queued = false
	if i := slices.Index(t.queue, g); i >= 0 {
		t.queue = slices.Delete(t.queue, i, i+1)
	}
}
