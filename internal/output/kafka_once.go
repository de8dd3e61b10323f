package output

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

// kafkaOnce sends records and the positions behind them in one transaction, as Kafka
// Connect's exactly-once sources do (KIP-618): a reader that reads only what is
// committed sees each record once. Its transactions are made of whole batches, and kept
// in memory until they are committed: one that was aborted is sent again.
//
// What is known of a transaction decides. Not committed for sure: the client is replaced,
// which aborts what it left open, and the transaction is sent anew. Not known: the
// output is lost, and opened anew from the positions that the brokers hold.
type kafkaOnce struct {
	*kafka
	id       string // transactional
	instance string // who we are, in the owner record
	timeout  time.Duration
	ended    error // a *LostError or *FencedError: nothing is sent any more

	// The transaction.
	marks   map[string][]byte // of what was taken: by key the last mark
	old     []string          // keys of positions that are to be forgotten
	noted   string            // the dead letter's note that the brokers hold
	undo    []byte            // the one that is current
	begun   bool
	sent    int   // items of it that are acknowledged
	stage   stage // what is sent
	cuts    []int // ends of the requests that it was divided into at the last try, as far as they passed
	calm    int   // transactions since something was refused
	grow    bool  // a record was rejected: requests become larger again as they pass
	pid     int64 // that it was begun with
	epoch   int16
	owned   bool  // we have taken the name over
	placed  place // of our owner record, or of the last position since then: the name was ours there
	checked bool  // the positions topic is there and was looked at
}

// A stage of a transaction.
type stage int

const (
	sendingRecords stage = iota
	sendingPositions
	sentAll
)

// The brokers abort a transaction that is open for so long. They allow no more than 15
// minutes (transaction.max.timeout.ms).
const shortestTransaction, longestTransaction = time.Minute, 15 * time.Minute

func newKafkaOnce(k *kafka) *kafkaOnce {
	return &kafkaOnce{
		kafka: k, id: transactionalID(k.env.Host, k.spec.Name), instance: processInstance,
		timeout: min(max(shortestTransaction, 2*(k.spec.Batch.Age+k.spec.Timeout)), longestTransaction),
		marks:   map[string][]byte{},
	}
}

// Write takes b. When there is no room for it, what was taken is committed before.
func (o *kafkaOnce) Write(ctx context.Context, b *record.Batch) error {
	if err := errors.Join(o.ended, ctx.Err()); err != nil {
		return err
	}
	if len(o.items) > 0 && o.full(b) {
		if err := o.commit(ctx); err != nil {
			return err
		}
	}
	if o.begun { // a flush was given up; what it began must not grow
		if err := o.commit(ctx); err != nil {
			return err
		}
	}
	o.add(b)
	if b.Key != "" {
		o.marks[b.Key] = append(o.marks[b.Key][:0], b.Mark...)
	}
	return nil
}

// Flush commits what was taken, with the positions behind it.
func (o *kafkaOnce) Flush(ctx context.Context) ([]byte, error) {
	if o.ended != nil {
		return nil, o.ended
	}
	if err := o.commit(ctx); err != nil {
		return nil, err
	}
	return o.undo, nil
}

// commit delivers all that was taken in one transaction. After an error that is not
// final it goes on where it stopped.
func (o *kafkaOnce) commit(ctx context.Context) error {
	for len(o.items) > 0 || len(o.marks) > 0 {
		err := o.transact(ctx)
		var no *refusal
		switch {
		case errors.As(err, &no) && o.stage == sendingRecords:
			o.narrow(no)
		case err != nil:
			return err
		default:
			o.done()
		}
	}
	return nil
}

// transact sends the transaction and commits it.
func (o *kafkaOnce) transact(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, o.spec.Timeout)
	defer cancel()
	if !o.begun {
		if err := o.begin(ctx, limited); err != nil {
			return err
		}
	}
	for o.stage != sentAll {
		if !o.flight.aloft {
			if err := o.load(ctx); err != nil {
				return err
			}
			o.launch()
		}
		if err := o.land(limited); err != nil {
			return o.late(ctx, err)
		}
		if err := o.judge(ctx); err != nil {
			return err
		}
	}
	return o.end(ctx, limited)
}

// begin begins a transaction, under a producer id that is good.
func (o *kafkaOnce) begin(ctx, limited context.Context) error {
	if !o.owned {
		if err := o.takeBack(limited); err != nil {
			return o.late(ctx, err)
		}
	}
	var err error
	if o.pid, o.epoch, err = o.client.ProducerID(limited); err != nil {
		if limited.Err() != nil {
			return o.late(ctx, o.trouble.with(err))
		}
		return o.lost(ctx, err)
	}
	if err := o.client.BeginTransaction(); err != nil {
		return o.lost(ctx, err)
	}
	o.begun, o.sent, o.stage = true, 0, sendingRecords
	return nil
}

// load loads what is sent next: records, and when all of them are acknowledged, positions.
func (o *kafkaOnce) load(ctx context.Context) error {
	for o.sent < len(o.items) {
		r := &request{parcel: &o.parcel, from: o.sent, to: o.next()}
		loaded := o.kafka.load(r)
		o.rejected = append(o.rejected, r.rejected...)
		if loaded {
			return nil
		}
		o.passed(r.to)
	}
	// What does not go there must be safe elsewhere before the positions move over it.
	if err := o.bury(ctx); err != nil {
		return err
	}
	var err error
	if o.undo, err = o.dead.Flush(ctx); err != nil {
		return err
	}
	o.stage = sendingPositions
	o.loadPositions()
	return nil
}

// next is the end of the request that is due: the same as at the last try, as far as
// that passed, and then no more items at once than may be tried.
func (o *kafkaOnce) next() int {
	if i, _ := slices.BinarySearch(o.cuts, o.sent+1); i < len(o.cuts) {
		return o.cuts[i]
	}
	return min(o.sent+o.width, len(o.items))
}

// passed notes that all items before to are acknowledged, or not to be sent.
func (o *kafkaOnce) passed(to int) {
	o.sent = to
	if n := len(o.cuts); n == 0 || o.cuts[n-1] < to {
		o.cuts = append(o.cuts, to)
		if o.grow {
			o.width = min(2*o.width, o.spec.Batch.Records)
		}
	}
}

// loadPositions loads what the transaction says of itself; nothing, if all of it came
// from pipes.
func (o *kafkaOnce) loadPositions() {
	now := o.env.Now()
	o.flight.clear()
	for key, mark := range o.marks {
		o.flight.put(o.spec.PositionsTopic, o.name(positionRecord, key), mark, now)
	}
	for _, key := range o.old {
		o.flight.put(o.spec.PositionsTopic, o.name(positionRecord, key), nil, now)
	}
	if string(o.undo) != o.noted {
		o.flight.put(o.spec.PositionsTopic, o.name(noteRecord, ""), o.undo, now)
	}
}

// judge looks at what was answered.
func (o *kafkaOnce) judge(ctx context.Context) error {
	err := o.flight.first()
	switch {
	case err == nil && o.flight.acked > 0 && (o.flight.mixed || o.flight.pid != o.pid || o.flight.epoch != o.epoch):
		// The client took a new id in the middle: what it sent before is aborted.
		return o.lost(ctx, errors.New("the transaction was begun under another producer id"))
	case err == nil && o.stage == sendingPositions:
		o.stage = sentAll
		return nil
	case err == nil:
		o.passed(o.flight.items[len(o.flight.items)-1] + 1)
		return nil
	case fatal(err):
		return o.lost(ctx, err)
	}
	o.restart()
	if o.stage == sendingPositions {
		return fmt.Errorf("the positions are not taken: %w", err)
	}
	return explained(o.trouble.with(err))
}

// end commits. If that fails, nobody knows whether it did.
func (o *kafkaOnce) end(ctx, limited context.Context) error {
	pid, epoch, err := o.client.ProducerID(limited)
	if err == nil && (pid != o.pid || epoch != o.epoch) {
		err = errors.New("the transaction was begun under another producer id")
	}
	if err == nil {
		err = o.client.EndTransaction(limited, kgo.TryCommit)
	}
	if err != nil {
		return o.lost(ctx, fmt.Errorf("committing the transaction: %w", o.trouble.with(err)))
	}
	return nil
}

// done forgets what is committed.
func (o *kafkaOnce) done() {
	o.noted, o.old, o.begun, o.cuts = string(o.undo), nil, false, o.cuts[:0]
	if n := len(o.flight.records); n > 0 { // the positions
		last := &o.flight.records[n-1]
		o.placed = place{last.Partition, last.Offset}
	}
	o.parcel.clear()
	clear(o.marks)
	const enough = 100 // a topic that takes only small batches is not asked for large ones each time
	if o.calm++; o.calm >= enough {
		o.width = o.spec.Batch.Records
	}
}

// narrow halves what was refused, or rejects what stood alone.
func (o *kafkaOnce) narrow(no *refusal) {
	o.calm = 0
	end := min(o.sent+o.width, len(o.items))
	for len(o.cuts) > 0 && o.cuts[len(o.cuts)-1] > o.sent {
		end = o.cuts[len(o.cuts)-1] // it passed before, and does not any more
		o.cuts = o.cuts[:len(o.cuts)-1]
	}
	r := request{parcel: &o.parcel, from: o.sent, to: end}
	if n := r.count(); n > 1 {
		o.width, o.grow = max((end-o.sent)/2, 1), false
		return
	}
	r.each(func(i int) {
		o.rejected = append(o.rejected, rejection{i, no.reason, no.label})
		o.items[i].settled = true // in the dead letter before the positions are sent
	})
	o.width, o.grow = 1, true // others that are refused often stand beside it
}

// restart gives the transaction up: nothing of it is committed. The next one begins
// with a new client, under whose eyes the brokers abort it.
func (o *kafkaOnce) restart() {
	o.begun, o.owned = false, false
	o.disconnect()
}

// late is why something has not happened by now; it goes on.
func (o *kafkaOnce) late(ctx context.Context, err error) error {
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return late(explained(err), o.spec.Timeout)
	}
	return explained(err)
}
