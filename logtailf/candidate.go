package logtailf

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/hpcloud/tail"
	"github.com/klauspost/compress/zstd"
)

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
// of another generation, or is by all signs its compressed form: logs with a
// constant header all begin alike.
func (f *Follower) anothers(c *candidate, g *generation) bool {
	if g.read > littleRead || c.looksCompressedFrom(g) {
		return false
	}
	// What is in c was written last before g's file was made.
	if c.stat.mtime%1e9 != 0 && c.stat.mtime < g.ident.born && g.ident.born <= g.mtime {
		return true
	}
	return slices.ContainsFunc(g.trail.known, func(k *generation) bool {
		return k != g && k.copyOf != g && k.head == g.head && (k.read > g.read || c.looksCompressedFrom(k)) &&
			f.holdsRead(c, k) && f.mayBeOf(c, k)
	})
}

// mayBeOf reports whether c may be all that is left of k, or is its copy: of a file
// that is there and goes on differently it is neither.
func (f *Follower) mayBeOf(c *candidate, k *generation) bool {
	if there, err := f.stillThere(k); err != nil || !there {
		return true
	}
	copied, err := f.copiedFrom(c, k)
	return err != nil || copied
}

func (f *Follower) holdsRead(c *candidate, g *generation) bool {
	end, last := g.read, g.tail
	if g.head.n == 0 && g.tail.n == 0 { // as behind a hole: by what was only seen of it
		end, last = g.seenTo, g.seen
	}
	if f.owner(c.stat) == g || g.head.n == 0 && last.n == 0 || g.head.n > 0 && !c.headIs(g.head) {
		return false
	}
	if c.kind == "" {
		if g.kind != "" || c.stat.size < end || older(c.stat, g, time.Now()) {
			return false
		}
		same, err := last.matches(c.file, end, f.reader.tail[:])
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
	same, err := s.seek(end, last)
	return err == nil && same
}

// compressedFrom reports whether c is known to be the compressed form of g without
// looking through all of it: g was read to its end, its content begins alike and is
// as long, and the name or the time of the last write, which compressing keeps, are g's.
func (f *Follower) compressedFrom(c *candidate, g *generation) bool {
	return g.size == g.read && c.looksCompressedFrom(g) &&
		!slices.ContainsFunc(g.trail.known, func(k *generation) bool { return k != g && !k.skip && k.head == g.head })
}

// looksCompressedFrom is compressedFrom for a generation of which little may have been read.
func (c *candidate) looksCompressedFrom(g *generation) bool {
	return c.kind != "" && g.kind == "" && !g.skip && c.headIs(g.head) && c.holds(g.size) &&
		(trimCompression(c.path) == g.last || sameSecond(c.stat.mtime, g.mtime))
}

// shortOf reports whether c is the compressed form of g without its end: the writer went
// on while the file was compressed, and what it wrote was read from the file. If that is
// gone too, signs must do: c begins alike, holds no more than was read, and was written
// last in g's time, which compressing keeps.
func (f *Follower) shortOf(c *candidate, g *generation) (bool, error) {
	if c.kind == "" || g.kind != "" || !c.headIs(g.head) {
		return false, nil
	}
	written, there := g.wrote, g.held() // if it was truncated, its mtime is that of what came after
	if there {
		if st, err := statFile(g.handle.file); err == nil {
			written = st.mtime
		}
		f.rest(g)
	}
	if c.stat.mtime < g.ident.born || c.stat.mtime > written {
		return false, nil
	}
	if there || g.place != "" {
		return f.copiedFrom(c, g)
	}
	size, _, err := c.end(f.reader.join[:tailMax])
	return err == nil && size <= g.read, err
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

// beingCompressed reports whether the file that c is named after is still there, and is
// by all signs what c is made of.
func (c *candidate) beingCompressed() bool {
	if c.kind == "" {
		return false
	}
	original := trimCompression(c.path)
	if st, err := statPath(original); err != nil || !st.kept() {
		return false
	}
	file, err := tail.OpenFile(original)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	defer file.Close()
	var scratch [headMax]byte
	same, err := sumOf(c.first[:c.n]).matches(file, int64(c.n), scratch[:])
	return err != nil || same
}

// older reports whether the file of st was there before g's, of which it so cannot be a
// copy. A clock that was set back dates a copy before what it is made of: that shows in
// an original that was written before it was made, or is yet to be made.
func older(st fileStat, g *generation, now time.Time) bool {
	return st.born != 0 && st.born < g.ident.born && g.ident.born <= min(g.mtime, now.UnixNano())
}

func sameSecond(a, b int64) bool { return a/1e9 == b/1e9 }

// copiedFrom reports whether c is a copy of the first part of g's file, which is there.
func (f *Follower) copiedFrom(c *candidate, g *generation) (bool, error) {
	if c.n == 0 || g.kind != "" || older(c.stat, g, time.Now()) {
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
	same, err = last.matches(g.handle.file, size, f.reader.tail[:])
	if same && c.kind == "" && f.reader.tail[last.n-1] != 0 { // NULs may still be overwritten
		g.saw(size, last)
	}
	return same, err
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
