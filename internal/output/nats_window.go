package output

import (
	"github.com/logcatchsys/logcatchsys/internal/record"
	"github.com/logcatchsys/logcatchsys/logconfig"
)

// A natsWindow is what was taken and is not settled, oldest first, and which of it is
// under way. Messages under way have slots, in the order in which they were sent; the
// answer to a message names its slot.
type natsWindow struct {
	limit    logconfig.Batch
	loads    []*natsLoad
	spare    []*natsLoad
	bytes    int // of loads
	items    int // of loads
	rejected []natsRejection

	// What is under way on the present connection.
	slots   []natsSlot
	oldest  uint64 // message number n is in slot n % len(slots); those before oldest are answered
	sent    uint64 // the next message's number
	flying  int    // not answered
	width   int    // sent - oldest stays below it
	load    int    // of the message to be sent next
	item    int
	failure error // of a message that was not taken: nothing more is sent
}

// natsSlots is how many messages are under way at most. A server has a bounded queue for
// each stream, which all who publish share (10,000 in some versions), and refuses more.
const natsSlots = 4096

// A natsLoad is what came in one batch.
type natsLoad struct {
	parcel
	subject string
	tried   int    // so many of its items were sent at least once
	ids     string // of all items: one string, so that not each line needs one
	idEnds  []int
	weight  int // in bytes
}

type natsSlot struct {
	load *natsLoad // nil: answered
	item int
}

type natsRejection struct {
	load          *natsLoad
	item          int
	label, reason string
}

func newNATSWindow(limit logconfig.Batch) natsWindow {
	return natsWindow{limit: limit, slots: make([]natsSlot, min(natsSlots, max(limit.Records, 1))), width: 1}
}

// room says whether one more batch may be taken.
func (w *natsWindow) room() bool { return w.bytes < w.limit.Bytes && w.items < w.limit.Records }

func (w *natsWindow) empty() bool { return len(w.loads) == 0 }

// add takes a copy of b.
func (w *natsWindow) add(b *record.Batch, subject string) {
	if len(b.Spans) == 0 {
		return
	}
	l := new(natsLoad)
	if n := len(w.spare); n > 0 {
		l, w.spare = w.spare[n-1], w.spare[:n-1]
	}
	l.parcel.add(b)
	l.subject, l.weight, l.tried = subject, len(l.data)+len(l.out), 0
	l.name()
	w.loads = append(w.loads, l)
	w.bytes += l.weight
	w.items += len(l.items)
}

// name makes the ids of all items.
func (l *natsLoad) name() {
	head := l.head(0)
	ids := make([]byte, 0, len(l.items)*(len(head.Gen)+12))
	l.idEnds = l.idEnds[:0]
	for _, it := range l.items {
		ids = head.AppendID(ids, it.offset)
		l.idEnds = append(l.idEnds, len(ids))
	}
	l.ids = string(ids)
}

// id is the id of item i, and the offset that it ends with.
func (l *natsLoad) id(i int) (id, offset string) {
	from := 0
	if i > 0 {
		from = l.idEnds[i-1]
	}
	id = l.ids[from:l.idEnds[i]]
	return id, id[len(l.head(i).Gen)+1:]
}

// advance makes the next message that is not settled the one to be sent; false: there is
// none, or too many are under way.
func (w *natsWindow) advance() bool {
	if w.failure != nil || w.sent-w.oldest >= uint64(w.width) {
		return false
	}
	for ; w.load < len(w.loads); w.load, w.item = w.load+1, 0 {
		for l := w.loads[w.load]; w.item < len(l.items); w.item++ {
			if !l.items[w.item].settled {
				return true
			}
		}
	}
	return false
}

// next is the message to be sent and its slot.
func (w *natsWindow) next() (l *natsLoad, item, slot int) {
	return w.loads[w.load], w.item, int(w.sent % uint64(len(w.slots)))
}

// again says whether it was sent before.
func (w *natsWindow) again() bool { return w.item < w.loads[w.load].tried }

// fail says that something was not taken that may be taken later.
func (w *natsWindow) fail(err error) {
	if w.failure == nil {
		w.failure = err
	}
}

// launched says that the message to be sent was.
func (w *natsWindow) launched() {
	l, item, slot := w.next()
	w.slots[slot] = natsSlot{l, item}
	l.tried = max(l.tried, item+1)
	w.sent++
	w.flying++
	w.item++
}

// reject says that the message to be sent cannot be.
func (w *natsWindow) reject(v natsVerdict) {
	w.rejected = append(w.rejected, natsRejection{w.loads[w.load], w.item, v.label, v.reason})
	w.item++
}

// settle takes in the answer to the message in slot; false: there is none.
func (w *natsWindow) settle(slot int, v natsVerdict) bool {
	if slot >= len(w.slots) || w.slots[slot].load == nil {
		return false
	}
	s := w.slots[slot]
	w.slots[slot] = natsSlot{}
	w.flying--
	for w.oldest < w.sent && w.slots[w.oldest%uint64(len(w.slots))].load == nil {
		w.oldest++
	}
	switch {
	case v.label != "":
		w.rejected = append(w.rejected, natsRejection{s.load, s.item, v.label, v.reason})
	case v.err != nil:
		w.fail(v.err)
	default:
		s.load.items[s.item].settled = true
		w.width = min(w.width+1, len(w.slots)) // doubles with each round trip
		w.tidy()
	}
	return true
}

// tidy lets go of the oldest loads when all of them is settled.
func (w *natsWindow) tidy() {
	for len(w.loads) > 0 {
		l := w.loads[0]
		n := len(l.items)
		if l.skip(); len(l.items) > 0 {
			return
		}
		w.bytes -= l.weight
		w.items -= n
		w.loads = append(w.loads[:0], w.loads[1:]...)
		if w.load > 0 {
			w.load--
		} else {
			w.item = 0
		}
		if len(w.spare) < 2 {
			w.spare = append(w.spare, l)
		}
	}
}

// rewind forgets what is under way: what is not settled will be sent again.
func (w *natsWindow) rewind() {
	clear(w.slots)
	w.oldest, w.sent, w.flying, w.width = 0, 0, 0, 1
	w.load, w.item = 0, 0
}
