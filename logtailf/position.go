package logtailf

import (
	"encoding/binary"
	"errors"
)

// headMax is how many of a file's first bytes its fingerprint covers, and
// tailMax how many bytes before a position must still be the ones that were read.
const (
	headMax = 1024
	tailMax = 1024
)

// A sum is the xxhash of n bytes of content. The zero sum says nothing.
type sum struct {
	n    int
	hash uint64
}

// A position is what the checkpoint keeps of one generation for one output: who
// the generation is and how far the output has accepted it.
type position struct {
	offset int64 // bytes of content that the output has accepted
	piece  int   // number of the next piece if offset stands inside an over-long line
	head   sum   // of the content's first bytes, extended while the file is shorter than headMax
	tail   sum   // of the content's bytes just before offset

	ident identity
	began int64  // orders the generations of a path: its birth time, or a later truncation's
	size  int64  // of the file when last seen
	mtime int64  // of the file when last seen, Unix nanoseconds
	file  string // path the generation is followed under
	place string // path it was last seen at; differs from file once it is rotated
	kind  string // how it is compressed: "", "gz" or "zst"
	done  bool   // was read to its end and let go
	skip  bool   // was there before its source was first seen: never to be delivered
}

const positionVersion = 1

var errPosition = errors.New("not a position")

// append encodes p behind dst.
func (p *position) append(dst []byte) []byte {
	dst = append(dst, positionVersion)
	var flags uint64
	if p.skip {
		flags |= 1
	}
	if p.done {
		flags |= 2
	}
	switch p.kind {
	case "gz":
		flags |= 4
	case "zst":
		flags |= 8
	}
	for _, v := range [...]uint64{
		flags, uint64(p.offset), uint64(p.piece),
		uint64(p.head.n), p.head.hash, uint64(p.tail.n), p.tail.hash,
		p.ident.dev, p.ident.ino, uint64(p.ident.born), uint64(p.began), uint64(p.size), uint64(p.mtime),
	} {
		dst = binary.AppendUvarint(dst, v)
	}
	for _, s := range [...]string{p.file, p.place} {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
		dst = append(dst, s...)
	}
	return dst
}

// Prefer gives the position to go on from: what an output kept with its records, unless
// the checkpoint's own (nil: none) is of the same offset or further. Of the same offset, it
// may know better where the file is by now; further, what is between was delivered while
// the output did not keep positions. Within a generation no position ever goes back. An
// error says that kept is not a position.
func Prefer(kept, own []byte) ([]byte, error) {
	k, err := parsePosition(kept)
	if err != nil {
		return nil, err
	}
	if o, err := parsePosition(own); err == nil && (o.offset > k.offset || o.offset == k.offset && o.piece == k.piece) {
		return own, nil
	}
	return kept, nil
}

// parsePosition is the inverse of append.
func parsePosition(b []byte) (position, error) {
	var p position
	if len(b) == 0 || b[0] != positionVersion {
		return p, errPosition
	}
	b = b[1:]
	var v [13]uint64
	for i := range v {
		n, used := binary.Uvarint(b)
		if used <= 0 {
			return p, errPosition
		}
		v[i], b = n, b[used:]
	}
	for _, s := range [...]*string{&p.file, &p.place} {
		n, used := binary.Uvarint(b)
		if used <= 0 || n > uint64(len(b)-used) {
			return p, errPosition
		}
		*s, b = string(b[used:used+int(n)]), b[used+int(n):]
	}
	if len(b) > 0 || v[3] > headMax || v[5] > tailMax || int64(v[1]) < 0 {
		return p, errPosition
	}
	p.skip, p.done = v[0]&1 != 0, v[0]&2 != 0
	switch {
	case v[0]&4 != 0:
		p.kind = "gz"
	case v[0]&8 != 0:
		p.kind = "zst"
	}
	p.offset, p.piece = int64(v[1]), int(v[2])
	p.head, p.tail = sum{int(v[3]), v[4]}, sum{int(v[5]), v[6]}
	p.ident = identity{v[7], v[8], int64(v[9])}
	p.began, p.size, p.mtime = int64(v[10]), int64(v[11]), int64(v[12])
	return p, nil
}
