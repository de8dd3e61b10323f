package output

import (
	"slices"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

// A parcel is encoded records on their way to a far end that answers: copied out of
// batches, so that the followers can go on, and kept until each of them is settled.
type parcel struct {
	parts []part
	items []item
	data  []byte // of all parts, as it stands in the files: for the dead letter
	out   []byte // of all items
	first int    // items before it are settled
}

// A part is what came in one batch.
type part struct {
	batch    record.Batch // without its bytes
	from, to int          // its bytes in data
	item     int          // the first of its items
}

// An item is one record.
type item struct {
	offset  int64
	part    int
	end     int // of its encoded form in out
	settled bool
}

// Memory that an empty parcel may keep.
const maxParcel = 16 << 20

// add takes a copy of b.
func (p *parcel) add(b *record.Batch) {
	origin := record.Batch{
		Source: b.Source, File: b.File, Labels: b.Labels, Gen: b.Gen, From: b.From,
		Partial: b.Partial, Read: b.Read,
	}
	from, base := len(p.data), len(p.out)
	p.data = append(p.data, b.Data...)
	p.out = append(p.out, b.Out...)
	p.parts = append(p.parts, part{origin, from, len(p.data), len(p.items)})
	p.items = slices.Grow(p.items, len(b.Spans))
	for _, s := range b.Spans {
		p.items = append(p.items, item{s.Offset, len(p.parts) - 1, base + s.End, false})
	}
}

// origin is the batch that item i came in, with its bytes, and the number of the
// record in it. It is valid until the parcel changes.
func (p *parcel) origin(i int) (b record.Batch, n int) {
	at := p.parts[p.items[i].part]
	b = at.batch
	b.Data = p.data[at.from:at.to]
	return b, i - at.item
}

// head is the batch that item i came in, without its bytes.
func (p *parcel) head(i int) *record.Batch { return &p.parts[p.items[i].part].batch }

// start is where the encoded form of item i begins in out.
func (p *parcel) start(i int) int {
	if i == 0 {
		return 0
	}
	return p.items[i-1].end
}

// encoded is the encoded form of item i.
func (p *parcel) encoded(i int) []byte { return p.out[p.start(i):p.items[i].end] }

// skip moves first over what is settled, and empties the parcel when all of it is.
func (p *parcel) skip() {
	for p.first < len(p.items) && p.items[p.first].settled {
		p.first++
	}
	if p.first == len(p.items) {
		p.clear()
	}
}

func (p *parcel) clear() {
	if cap(p.data)+cap(p.out) > maxParcel {
		*p = parcel{}
		return
	}
	clear(p.parts) // lets go of their strings
	*p = parcel{parts: p.parts[:0], items: p.items[:0], data: p.data[:0], out: p.out[:0]}
}

// A request is a run of a parcel's items that are to be sent at once. Items in it that
// are settled already are passed over.
type request struct {
	*parcel
	from, to int
	scratch  *[]byte
	rejected []rejection
}

// A rejection is an item that the far end will never take.
type rejection struct {
	item   int
	reason string
	label  string // of the metric: one of a few words
}

// each calls do for the items that are not settled.
func (r *request) each(do func(i int)) {
	for i := r.from; i < r.to; i++ {
		if !r.items[i].settled {
			do(i)
		}
	}
}

// count is how many those are.
func (r *request) count() (n int) {
	r.each(func(int) { n++ })
	return n
}

// body is their encoded forms, one after another, valid until the next request.
func (r *request) body() []byte {
	if r.count() == r.to-r.from {
		return r.out[r.start(r.from):r.items[r.to-1].end]
	}
	body := (*r.scratch)[:0]
	r.each(func(i int) { body = append(body, r.encoded(i)...) })
	*r.scratch = body
	return body
}

// accept settles item i: the far end has it.
func (r *request) accept(i int) { r.items[i].settled = true }

// reject gives item i to the dead letter once the request has been sent.
func (r *request) reject(i int, label, reason string) {
	r.rejected = append(r.rejected, rejection{i, reason, label})
}
