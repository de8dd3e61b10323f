package output

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// A natsBatch is a run of messages that a stream takes in order and without a gap, or
// not on: the first one that is lost or refused ends it, so that none can overtake it.
// Without it, a stream whose leader changes may take the second of two messages that are
// under way and not the first. A stream must allow it (allow_batched), as one that we
// make does; servers have it since 2.14. It needs an acknowledgement for many messages
// only. https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-50.md
type natsBatch struct {
	id      string // "": none is open
	subject string // of its last message
	first   uint64 // number of its first message in the window
	size    uint64
	hole    bool // a message of it was refused for good: those behind it are not taken
	ended   bool // how much of it was taken will be answered

	replies []string // of the next messages
}

// natsFlow is after how many messages the stream acknowledges, at the latest.
const natsFlow = 64

// natsIdle is safely below the ten seconds after which a server gives up a batch to which
// nothing is added.
const natsIdle = 5 * time.Second

// What a message is to its batch: the last part but one of its reply subject.
const (
	natsStart  = "0"
	natsAppend = "1"
	natsEnd    = "3" // is not stored itself
)

func (b *natsBatch) open() bool { return b.id != "" }

// begin opens a batch.
func (c *natsConn) begin(w *natsWindow) {
	c.batches++
	c.batch = natsBatch{id: c.token + "-" + strconv.Itoa(c.batches), first: w.sent}
	w.width = len(w.slots)
}

// batchReply is the reply subject of the batch's next message. They are made many at a
// time: one string for all.
func (c *natsConn) batchReply() string {
	b := &c.batch
	if len(b.replies) == 0 {
		b.replies = c.batchReplies(b.size + 1)
	}
	return b.replies[0]
}

// added says that the message with that reply subject was sent.
func (b *natsBatch) added(subject string) {
	if b.open() {
		b.subject = subject
		b.size++
		b.replies = b.replies[1:]
	}
}

func (c *natsConn) batchReplies(seq uint64) []string {
	var all []byte
	var ends [natsFlow]int
	for i := range ends {
		op := natsAppend
		if seq+uint64(i) == 1 {
			op = natsStart
		}
		all = c.appendReply(all, seq+uint64(i), op)
		ends[i] = len(all)
	}
	text, from := string(all), 0
	replies := make([]string, len(ends))
	for i, end := range ends {
		replies[i], from = text[from:end], end
	}
	return replies
}

// appendReply appends <inbox>.<id>.<flow>.<gap mode>.<sequence>.<operation>.$FI.
func (c *natsConn) appendReply(dst []byte, seq uint64, op string) []byte {
	dst = append(dst, c.inbox...)
	dst = append(dst, c.batch.id...)
	dst = append(dst, '.')
	dst = strconv.AppendInt(dst, natsFlow, 10)
	dst = append(dst, ".fail."...)
	dst = strconv.AppendUint(dst, seq, 10)
	dst = append(dst, '.')
	dst = append(dst, op...)
	return append(dst, ".$FI"...)
}

// end asks how much of the batch was taken.
func (c *natsConn) end() error {
	b := &c.batch
	b.ended = true
	reply := string(c.appendReply(nil, b.size+1, natsEnd))
	return c.nc.PublishRequest(b.subject, reply, nil)
}

// over forgets the batch. What it left is sent again.
func (c *natsConn) over(w *natsWindow) {
	c.batch = natsBatch{}
	if w.flying > 0 {
		w.rewind()
	}
}

var errGap = errors.New("messages were lost on their way to the stream's leader")

// batchAnswered takes in an answer to a message of the batch: rest is what follows the
// inbox in its subject.
func (o *natsOutput) batchAnswered(rest string, m *nats.Msg) {
	c, w := o.conn, &o.window
	rest, ok := strings.CutPrefix(rest, c.batch.id+".")
	if !ok || !c.batch.open() {
		return // of an earlier batch
	}
	a := readNATSReply(m)
	switch {
	case a.Type == "ack":
		o.batchTaken(a.Seq)
	case a.Type == "gap":
		if c.batch.ended = true; !c.batch.hole {
			w.fail(errGap)
		}
	case a.none:
		w.fail(o.noStream(c.batch.subject))
	case a.Error != nil:
		if a.Type == "" {
			a.Seq = natsSeq(rest)
		}
		o.batchRefused(a)
	case a.Stream != "":
		o.batchTaken(a.Count)
		c.over(w)
	default:
		w.fail(errNotStream)
	}
	if c.batch.ended && w.flying == 0 {
		c.batch = natsBatch{} // nothing depends on the answer to its end
	}
}

// natsSeq reads the sequence in <flow>.<gap mode>.<sequence>.<operation>.$FI; 0: none.
func natsSeq(rest string) uint64 {
	if parts := strings.Split(rest, "."); len(parts) == 5 {
		seq, _ := strconv.ParseUint(parts[2], 10, 64)
		return seq
	}
	return 0
}

// batchTaken settles the first count messages of the batch.
func (o *natsOutput) batchTaken(count uint64) {
	b, w := &o.conn.batch, &o.window
	for n := w.oldest; n < b.first+min(count, b.size) && n < w.sent; n++ {
		if w.settle(int(n%uint64(len(w.slots))), natsVerdict{}) {
			o.heard()
		}
	}
}

// batchRefused takes in that message a.Seq was refused.
func (o *natsOutput) batchRefused(a *natsReply) {
	b, w := &o.conn.batch, &o.window
	v := a.verdict()
	switch {
	case slices.Contains(natsBatchOff, a.Error.ErrCode):
		o.batched = false
		w.fail(v.err)
	case a.Error.ErrCode == natsBatchUnknown && b.hole:
		o.conn.over(w) // its first message was refused, and so it has never begun
	case v.label == "":
		w.fail(v.err)
	case a.Seq >= 1 && a.Seq <= b.size:
		b.hole = true
		w.settle(int((b.first+a.Seq-1)%uint64(len(w.slots))), v)
		o.heard()
	}
}

// turn says whether the window's next message may be sent now. Messages that were sent
// before go one by one, and so do not change places whatever happens. They do not go in a
// batch: the stream may have one without having made it durable, and a batch passes over
// it as if it had. The same holds for the first ones of a process.
func (o *natsOutput) turn() bool {
	c, w := o.conn, &o.window
	again := w.again()
	switch batch := o.batched && !again && o.proven >= len(w.slots); {
	case again, o.careful():
		return w.flying == 0
	case !batch:
		return true
	case c.batch.open():
		return !c.batch.ended && !c.batch.hole
	case w.flying == 0:
		c.begin(w)
		return true
	}
	return false
}

// careful says whether the messages of a young process go one by one, too: where they will
// soon go in batches, and the leader may change before; and as long as that is not known.
func (o *natsOutput) careful() bool {
	if !o.known {
		return o.proven < natsFlow // if there is an answer, it has come by then
	}
	return o.batched && o.replicas > 1 && o.proven < len(o.window.slots)
}

// settleBatch sees to it that the answers we wait for come: without an end, the last
// messages of a batch have none.
func (o *natsOutput) settleBatch(last bool) error {
	c, w := o.conn, &o.window
	if c.batch.size == 0 || !c.batch.open() || c.batch.ended || !last && w.flying >= 2*natsFlow {
		return nil
	}
	err := c.end()
	if w.flying == 0 {
		c.batch = natsBatch{}
	}
	if err != nil {
		return fmt.Errorf("ending a batch: %w", c.broken(err))
	}
	return nil
}
