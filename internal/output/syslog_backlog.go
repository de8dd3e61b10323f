package output

import (
	"cmp"
	"slices"
	"time"
)

// What was flushed is kept until it is older than syslogKeepFor, or more than
// syslogKeep bytes came after it. A receiver that goes away may have left so much unread
// in its socket: with the usual settings of Linux a socket holds up to 6 MiB, of which
// about half is data.
const (
	syslogKeep    = 4 << 20
	syslogKeepFor = 5 * time.Second
)

// syslogChunkSize is how many bytes are flushed, kept and let go together.
const syslogChunkSize = 256 << 10

// A syslogBacklog is the stream of messages to a receiver, as far as it may have to be
// sent (again): what was flushed last, what was sent, and what was not. Positions in it
// count all bytes from the beginning.
type syslogBacklog struct {
	chunks  []syslogChunk // each is whole messages
	start   int64         // of the first chunk
	sent    int64         // on the connection of now
	current int           // the chunk that holds sent
	flushed int64         // the end of a chunk
	highest int64         // that sent ever was
	end     int64

	spare [][]byte // memory of former chunks
}

type syslogChunk struct {
	data    []byte
	end     int64
	flushed time.Time
}

func (b *syslogBacklog) empty() bool { return len(b.chunks) == 0 }

// add appends a copy of data: whole messages.
func (b *syslogBacklog) add(data []byte) {
	var buf []byte
	if n := len(b.spare); n > 0 && len(data) >= syslogChunkSize/4 { // a small one shall not hold so much
		buf, b.spare = b.spare[n-1], b.spare[:n-1]
	}
	b.end += int64(len(data))
	b.chunks = append(b.chunks, syslogChunk{data: append(buf[:0], data...), end: b.end})
}

// next is what is to be sent next; nothing if all is sent. It stays as it is until it is
// flushed.
func (b *syslogBacklog) next() []byte {
	if b.sent == b.end {
		return nil
	}
	c := &b.chunks[b.current]
	return c.data[int64(len(c.data))-(c.end-b.sent):]
}

// advance moves sent over n bytes of next.
func (b *syslogBacklog) advance(n int) {
	b.sent += int64(n)
	if b.current < len(b.chunks) && b.sent == b.chunks[b.current].end {
		b.current++
	}
	b.highest = max(b.highest, b.sent)
}

// rewind has all of it sent again. The time for which it is kept begins anew.
func (b *syslogBacklog) rewind(now time.Time) {
	b.sent, b.current = b.start, 0
	for i := range b.chunks {
		b.chunks[i].flushed = now
	}
}

// flush says that the chunks up to a position have arrived.
func (b *syslogBacklog) flush(to int64, now time.Time) {
	i, _ := slices.BinarySearchFunc(b.chunks, b.flushed+1, func(c syslogChunk, at int64) int { return cmp.Compare(c.end, at) })
	for ; i < len(b.chunks) && b.chunks[i].end <= to; i++ {
		b.chunks[i].flushed = now
		b.flushed = b.chunks[i].end
	}
}

// trim lets go of what was flushed and need not be kept at that time. With each step of
// haste half as much is kept.
func (b *syslogBacklog) trim(now time.Time, haste int) {
	n := 0
	for n < len(b.chunks) {
		c := &b.chunks[n]
		kept := b.flushed-c.end < syslogKeep>>haste && now.Sub(c.flushed) < syslogKeepFor>>haste
		if kept || c.end > b.flushed || c.end > b.sent { // or is being sent, again
			break
		}
		if len(b.spare) < syslogKeep/syslogChunkSize && cap(c.data) >= syslogChunkSize/4 {
			b.spare = append(b.spare, c.data)
		}
		b.start = c.end
		n++
	}
	b.chunks = slices.Delete(b.chunks, 0, n)
	b.current -= n
}
