package logtailf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

// An outcome is what came of one look at a generation.
type outcome int

const (
	gotBatch outcome = iota
	atEnd            // no finished line left; an unfinished one may wait
	replaced         // the bytes before the position are not the ones that were read: the file was truncated
)

// A reader cuts generations into batches. It has no state of its own but scratch
// memory, and belongs to one follower.
type reader struct {
	maxLine int
	tail    [tailMax]byte     // the bytes before the position of the generation at hand
	head    [headMax]byte     //
	join    [2 * tailMax]byte //
	zero    [64 << 10]byte    // to look for what comes behind NULs
}

// next reads the next batch of g into b. Final: g will not grow any more, its
// unfinished last line is delivered too.
func (r *reader) next(g *generation, b *record.Batch, final bool) (outcome, error) {
	if g.stream != nil {
		return r.nextOfStream(g, b)
	}
	f := g.handle.file
	if g.scanned > g.read && g.scanned-g.read <= int64(r.maxLine) && !final {
		found, err := r.scan(g, f, b.Data[:cap(b.Data)])
		if err != nil || !found {
			return r.ended(g, f, err)
		}
	}
	for {
		data, eof, err := readAt(f, b.Data[:cap(b.Data)], g.read)
		if err != nil {
			return atEnd, err
		}
		// Only now look at the bytes before: what was read before a truncation
		// is good, and a truncation cannot be undone.
		intact, err := r.intact(g, f)
		if err != nil {
			return atEnd, err
		}
		if !intact {
			return replaced, nil
		}
		g.known = max(g.known, g.read+int64(len(data)))
		if !eof {
			if size, err := f.Seek(0, io.SeekEnd); err == nil {
				g.known = max(g.known, size) // for the count, should the rest be truncated
			}
		}
		data, eof, skipped, err := r.behindNULs(g, f, data, eof)
		if err != nil {
			return atEnd, err
		}
		if skipped {
			continue
		}
		n, kind := cut(data, g.piece, r.maxLine, eof, final)
		switch kind {
		case cutGrow:
			b.Data = make([]byte, 0, r.grown(cap(b.Data)))
			continue
		case cutNone:
			r.searched(g, data)
			return atEnd, nil
		}
		rest := data[n:]
		r.take(g, b, data[:n], kind)
		g.more = !eof || len(rest) > r.maxLine || bytes.IndexByte(rest, '\n') >= 0
		if !g.more {
			r.searched(g, rest)
		}
		return gotBatch, nil
	}
}

// searched takes note that data, which is at g's position, holds no line end.
func (r *reader) searched(g *generation, data []byte) {
	g.scanned = g.read + int64(len(data))
	g.saw(g.scanned, sumOf(data[max(0, len(data)-tailMax):]))
}

// grown is the size of the buffer for a line that did not fit into have bytes.
func (r *reader) grown(have int) int { return max(r.maxLine+1, 2*have) }

// readAt fills buf from offset on; eof: the file ends within buf.
func readAt(f *os.File, buf []byte, offset int64) (data []byte, eof bool, err error) {
	n, err := f.ReadAt(buf, offset)
	if err == io.EOF {
		return buf[:n], true, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read at byte %d: %w", offset, err)
	}
	return buf[:n], false, nil
}

// scan looks for a line end in what has come behind g.scanned, so that a line that
// is written byte by byte is not read again with each byte.
func (r *reader) scan(g *generation, f *os.File, buf []byte) (found bool, err error) {
	data, eof, err := readAt(f, buf, g.scanned)
	if err != nil {
		return false, err
	}
	if !eof || bytes.IndexByte(data, '\n') >= 0 {
		return true, nil
	}
	g.scanned += int64(len(trimNUL(data)))
	return g.scanned-g.read > int64(r.maxLine), nil
}

// ended makes sure that the end which was seen is that of the same content.
func (r *reader) ended(g *generation, f *os.File, err error) (outcome, error) {
	if err != nil {
		return atEnd, err
	}
	intact, err := r.intact(g, f)
	if err == nil && !intact {
		return replaced, nil
	}
	return atEnd, err
}

// intact reports whether f still starts with the bytes that g started with, and has
// before g.read those that were read there. It leaves these in r.tail.
func (r *reader) intact(g *generation, f *os.File) (bool, error) {
	head := g.head
	if g.head.n < headMax || g.read < headMax {
		n, err := f.ReadAt(r.head[:], 0)
		if err != nil && err != io.EOF {
			return false, fmt.Errorf("read the first bytes: %w", err)
		}
		if n < g.head.n || g.head.n > 0 && sumOf(r.head[:g.head.n]) != g.head {
			return false, nil
		}
		if longer := headOf(r.head[:n]); longer.n > head.n {
			head = longer
		}
	}
	if g.seenTo > g.read {
		if same, err := g.seen.matches(f, g.seenTo, r.head[:]); err != nil || !same {
			return false, err
		}
	}
	same, err := g.tail.matches(f, g.read, r.tail[:])
	if err == nil && same {
		g.head = head // not before: that of other content would hide g's own copy
	}
	return same, err
}

// behindNULs deals with the NULs that data ends in. A preallocated file ends in
// NULs that are still to be overwritten: data ends before them. Behind the hole that
// copytruncate leaves under a writer that does not append, more data follows:
// g is moved behind the hole (skipped), or data left as it is.
func (r *reader) behindNULs(g *generation, f *os.File, data []byte, eof bool) (_ []byte, ended, skipped bool, err error) {
	kept := trimNUL(data)
	if len(kept) == len(data) {
		return data, eof, false, nil
	}
	if eof {
		return kept, true, false, nil
	}
	next, found, err := r.dataBehind(g, f, g.read+int64(len(data)))
	switch {
	case err != nil:
		return nil, false, false, err
	case !found:
		return kept, true, false, nil
	case len(kept) > 0 || g.piece > 0:
		return data, false, false, nil
	}
	g.tail, err = r.tailAt(f, next)
	if err != nil {
		return nil, false, false, err
	}
	g.read = next
	return nil, false, true, nil
}

// dataBehind finds the first byte at or behind offset that is not NUL.
func (r *reader) dataBehind(g *generation, f *os.File, offset int64) (int64, bool, error) {
	offset = seekData(f, max(offset, g.nulTo))
	for {
		data, eof, err := readAt(f, r.zero[:], offset)
		if err != nil {
			return 0, false, err
		}
		if rest := bytes.TrimLeft(data, "\x00"); len(rest) > 0 {
			return offset + int64(len(data)-len(rest)), true, nil
		}
		offset += int64(len(data))
		g.nulTo = offset
		if eof {
			return 0, false, nil
		}
	}
}

// tailAt makes the tail sum of the bytes before offset.
func (r *reader) tailAt(f *os.File, offset int64) (sum, error) {
	b := r.tail[:min(offset, tailMax)]
	if _, err := f.ReadAt(b, offset-int64(len(b))); err != nil {
		return sum{}, fmt.Errorf("read before byte %d: %w", offset, err)
	}
	return sumOf(b), nil
}

// take makes data the content of b and moves g behind it. r.tail holds the bytes
// that came before.
func (r *reader) take(g *generation, b *record.Batch, data []byte, kind cutKind) {
	b.Data = data
	b.From = g.read
	b.Partial = nil
	switch kind {
	case cutLines:
		b.Count = bytes.Count(data, newline)
		if data[len(data)-1] != '\n' {
			b.Count++
		}
		g.piece = 0
	default:
		b.Count = 1
		b.Partial = &record.Partial{Piece: g.piece, Last: kind == cutLastPiece}
		g.piece++
		if kind == cutLastPiece {
			g.piece = 0
		}
	}
	r.pass(g, data)
}

var newline = []byte{'\n'}

// pass moves g behind data, the bytes at its position.
func (r *reader) pass(g *generation, data []byte) {
	before := r.tail[:g.tail.n]
	if g.stream != nil {
		before = g.stream.tail
	}
	last := data
	if len(data) < tailMax {
		last = append(append(r.join[:0], before...), data...)
	}
	last = last[max(0, len(last)-tailMax):]
	g.tail = sumOf(last)
	if g.stream != nil {
		g.stream.tail = append(g.stream.tail[:0], last...)
	}
	g.read += int64(len(data))
	g.scanned = g.read
}

// nextOfStream is next for a compressed generation, which is read once from its
// start to its end: nothing can be added to it.
func (r *reader) nextOfStream(g *generation, b *record.Batch) (outcome, error) {
	s := g.stream
	from, tail := g.read, g.tail
	for {
		data, err := s.fill(b.Data[:cap(b.Data)])
		eof := errors.Is(err, io.EOF) || errors.Is(err, ErrDamaged)
		if err != nil && !eof {
			return atEnd, err
		}
		if rest := bytes.TrimLeft(data, "\x00"); len(rest) == 0 && g.piece == 0 {
			if eof { // nothing behind the hole: no batch will tell that it was passed
				g.read, g.scanned, g.tail = from, from, tail
				return atEnd, endOf(err)
			}
			r.pass(g, data) // a hole: in no format
			continue
		}
		n, kind := cut(data, g.piece, r.maxLine, eof, true)
		switch kind {
		case cutGrow:
			s.putBack(data)
			b.Data = make([]byte, 0, r.grown(cap(b.Data)))
			continue
		case cutNone:
			return atEnd, endOf(err)
		}
		s.putBack(data[n:])
		r.take(g, b, data[:n], kind)
		g.more = true
		return gotBatch, nil
	}
}

// endOf is the error to report at the end of a stream: none, or the damage.
func endOf(err error) error {
	if errors.Is(err, ErrDamaged) {
		return err
	}
	return nil
}
