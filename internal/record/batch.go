// Package record turns bytes into records and records into bytes. It knows
// nothing of files and networks.
package record

import (
	"bytes"
	"slices"
	"strconv"
	"sync/atomic"
	"time"
)

// A Batch is a run of whole records of one file: the contiguous bytes [From, To)
// in one pooled buffer. Either it holds one or more whole lines, or exactly one
// piece of an over-long line (Partial is set then).
//
// A batch has one owner at a time: the follower that fills it, then the output
// that writes it, then the pool again.
type Batch struct {
	Source  string    // name of the source
	File    string    // absolute path the file is followed under, also after a rotation
	Labels  string    // the source's labels as one JSON object, or empty
	Gen     string    // id of the generation: a record's id is Gen + ":" + its offset
	From    int64     // byte offset of Data[0] in the generation's content
	Data    []byte    // the bytes as they stand in the file; only the last line may lack its '\n'
	Count   int       // number of records in Data
	Partial *Partial  // set when Data is one piece of an over-long line
	Read    time.Time // when the bytes were read

	// Out is Data in the output's format. It may share memory with Data.
	Out []byte
	buf []byte // memory of Out, kept for reuse
	old []byte // memory of what Wrap has wrapped

	// Spans are the records in Out, one after another without a gap. Only encoders of
	// outputs that take single records fill them in.
	Spans []Span

	// Key and Mark are what the checkpoint stores once the output has durably
	// accepted the batch. Neither this package nor an output looks inside.
	Key  string
	Mark []byte

	// Accepted, if not nil, is set to To once the batch is accepted.
	Accepted *atomic.Int64
}

// A Span is one record in a batch's Out: it begins where the one before it ends.
type Span struct {
	Offset int64 // where the record's message starts in the generation
	End    int   // of the record in Out
}

// A Partial marks one piece of an over-long line.
type Partial struct {
	Piece int  // 0 for the first
	Last  bool // the line ends with this piece
}

// To is the offset of the byte after the batch.
func (b *Batch) To() int64 { return b.From + int64(len(b.Data)) }

// Memory a batch may keep when it is used again: a follower that met one line
// of many MiB must not hold that memory for ever.
const (
	maxData = 1 << 20
	maxOut  = 4 << 20
)

// NewBatch gives an empty batch with room for size bytes of Data.
func NewBatch(size int) *Batch { return &Batch{Data: make([]byte, 0, size)} }

// Recycle makes b empty for its next use. It keeps the memory of Data (or takes
// size bytes if there is none, or too much), of Mark, of Out and of Spans.
func (b *Batch) Recycle(size int) {
	data, mark, buf, old, spans := b.Data[:0], b.Mark[:0], b.buf, b.old, b.Spans[:0]
	if cap(data) > maxData || cap(data) == 0 {
		data = make([]byte, 0, size)
	}
	if cap(buf) > maxOut {
		buf = nil
	}
	if cap(old) > maxOut {
		old = nil
	}
	*b = Batch{Data: data, Mark: mark, buf: buf, old: old, Spans: spans}
}

// AppendID appends the id of the record at offset: the same on every attempt, and of
// no other record.
func (b *Batch) AppendID(dst []byte, offset int64) []byte {
	dst = append(dst, b.Gen...)
	dst = append(dst, ':')
	return strconv.AppendInt(dst, offset, 10)
}

// Encode sets Out and Spans to what one appends for each record. It allocates nothing
// once the memory has grown to what such batches need.
func (b *Batch) Encode(size int, one func(dst []byte, offset int64, message []byte) []byte) {
	out, spans := slices.Grow(b.buf[:0], size), b.Spans[:0]
	b.Each(func(offset int64, message []byte) bool {
		out = one(out, offset, message)
		spans = append(spans, Span{offset, len(out)})
		return true
	})
	b.Spans = spans
	b.set(out)
}

// Wrap replaces each record in Out, as the Spans have it, by what one appends for it.
func (b *Batch) Wrap(one func(dst []byte, offset int64, encoded []byte) []byte) {
	out, from := b.old[:0], 0
	for i, s := range b.Spans {
		out = one(out, s.Offset, b.Out[from:s.End])
		from = s.End
		b.Spans[i].End = len(out)
	}
	b.old = b.Out
	b.set(out)
}

// Each yields the batch's records until yield returns false. The message has no
// line end and no NUL run at its start; offset is where it starts in the
// generation. A message is valid until the batch is used again.
func (b *Batch) Each(yield func(offset int64, message []byte) bool) {
	if b.Partial != nil {
		line := b.Data
		if b.Partial.Piece == 0 {
			line = line[nuls(line):]
		}
		offset := b.To() - int64(len(line))
		if b.Partial.Last {
			line = trimEnd(line)
		}
		yield(offset, line)
		return
	}
	for at := 0; at < len(b.Data); {
		line := b.Data[at:]
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			line = line[:i+1]
		}
		skip := nuls(line)
		if skip < len(line) && !yield(b.From+int64(at+skip), trimEnd(line[skip:])) {
			return
		}
		at += len(line)
	}
}

// CountLines says how many records whole lines hold, as Each counts them: a last
// line may lack its '\n', but a last line of NULs alone is no record.
func CountLines(data []byte) int {
	n := bytes.Count(data, []byte{'\n'})
	tail := data[bytes.LastIndexByte(data, '\n')+1:]
	if nuls(tail) < len(tail) {
		n++
	}
	return n
}

// nuls is the length of the NUL run at the start of line: what a copytruncate
// leaves under a writer that does not append, or a file that was made longer
// before it was written.
func nuls(line []byte) int {
	for i, c := range line {
		if c != 0 {
			return i
		}
	}
	return len(line)
}

// trimEnd takes the line end off: '\n', and a '\r' only if it stands before one.
func trimEnd(line []byte) []byte {
	n := len(line)
	if n == 0 || line[n-1] != '\n' {
		return line
	}
	n--
	if n > 0 && line[n-1] == '\r' {
		n--
	}
	return line[:n]
}
