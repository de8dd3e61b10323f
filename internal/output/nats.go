package output

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

// natsOutput publishes each record as a message of its own to a JetStream stream: many
// under way at once, each acknowledged by the stream. The record's id is the message's
// Nats-Msg-Id, by which the stream drops what is sent again.
//
// What is not acknowledged is kept, in order. After any failure the connection is given
// up, and a new one goes on from the first message that is not acknowledged: the client
// library would send what it holds in an order of its own.
type natsOutput struct {
	*record.Format
	spec    Spec
	env     Env
	subject template
	dead    *deadLetter
	login   []nats.Option
	window  natsWindow
	conn    *natsConn // nil: none
	server  int       // of spec.Servers, to be tried first

	prepared bool      // the stream is there
	asked    *natsConn // the connection on which its settings were asked for last
	known    bool      // they are known, or nobody lets us ask
	batched  bool      // it takes batches
	replicas int
	proven   int // so many messages were acknowledged one by one, up to a window of them
}

func openNATS(spec Spec, env Env) (Output, error) {
	o := &natsOutput{spec: spec, env: env, window: newNATSWindow(spec.Batch)}
	var err error
	if o.Format, err = record.NewMessages(spec.Format, env.Host); err != nil {
		return nil, err
	}
	if o.subject, err = natsSubject(spec.Subject); err != nil {
		return nil, err
	}
	if o.login, err = natsLogin(spec); err != nil {
		return nil, err
	}
	o.dead, err = newDeadLetter(spec, env)
	return o, err
}

// Write takes b once less than the limits of spec.Batch is not acknowledged.
func (o *natsOutput) Write(ctx context.Context, b *record.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := o.deliver(ctx, o.window.room, false); err != nil {
		return err
	}
	o.window.add(b, o.subject.fill(b, o.env.Host, natsToken))
	if err := o.begin(ctx); err != nil {
		o.hangUp() // b was taken: the next call connects anew, and says what is wrong
	}
	return nil
}

// begin sends what the window allows, so that it is under way while the next batch is read.
func (o *natsOutput) begin(ctx context.Context) error {
	if o.conn == nil {
		return nil
	}
	if err := o.heed(); err != nil || len(o.window.rejected) > 0 {
		return err
	}
	if err := o.send(ctx); err != nil || o.spec.Batch.Age < natsIdle {
		return err
	}
	return o.settleBatch(true) // or the server gives the batch up before we do
}

// Flush waits until the stream has all that was taken.
func (o *natsOutput) Flush(ctx context.Context) ([]byte, error) {
	if err := o.deliver(ctx, o.window.empty, true); err != nil {
		return nil, err
	}
	if o.conn != nil {
		if err := o.settleBatch(true); err != nil {
			o.hangUp() // all is acknowledged: the next one connects anew
		}
	}
	return o.dead.Flush(ctx)
}

// Close gives up what is not acknowledged.
func (o *natsOutput) Close() error {
	o.hangUp()
	o.window = newNATSWindow(o.spec.Batch)
	return o.dead.Close()
}

// deliver sends, and settles what is answered, until enough of it is; last says that there
// is nothing more to come for now.
func (o *natsOutput) deliver(ctx context.Context, enough func() bool, last bool) error {
	for {
		if err := o.bury(ctx); err != nil {
			return err
		}
		if enough() {
			return nil
		}
		if err := o.step(ctx, last); err != nil {
			o.hangUp()
			return err
		}
	}
}

// step sends what the window allows and takes in the answers, at least one.
func (o *natsOutput) step(ctx context.Context, last bool) error {
	if o.conn == nil {
		conn, err := o.connect(ctx)
		if err != nil {
			return err
		}
		o.conn = conn
	}
	if err := o.send(ctx); err != nil {
		return err
	}
	if err := o.settleBatch(last); err != nil {
		return err
	}
	return o.await(ctx)
}

// hangUp gives the connection up. What is not acknowledged will be sent again.
func (o *natsOutput) hangUp() {
	if o.conn != nil {
		select {
		case <-o.conn.denied:
			o.known = true
		default:
		}
		o.conn.close()
		o.conn = nil
	}
	o.window.failure = nil
	o.window.rewind()
}

func (o *natsOutput) send(ctx context.Context) error {
	stop := context.AfterFunc(ctx, o.conn.cut)
	defer stop()
	for o.window.advance() && o.turn() {
		err := o.conn.publish(&o.window)
		switch {
		case errors.Is(err, errTooLong):
			o.window.reject(natsVerdict{label: tooLarge, reason: err.Error()})
		case err != nil:
			return o.conn.broken(err)
		}
	}
	return nil
}

// await waits for an answer and takes in all that are there.
func (o *natsOutput) await(ctx context.Context) error {
	if err := o.heed(); err != nil || o.window.flying == 0 {
		return err
	}
	patience := time.NewTimer(time.Until(o.conn.heard.Add(o.spec.Timeout)))
	defer patience.Stop()
	select {
	case m := <-o.conn.answers:
		o.answered(m)
		return o.heed()
	case err := <-o.conn.said:
		return err
	case <-o.conn.lost:
		if err := o.heed(); err != nil || o.window.flying == 0 {
			return err
		}
		return o.conn.broken(nats.ErrConnectionClosed)
	case <-ctx.Done():
		return ctx.Err()
	case <-patience.C:
		return fmt.Errorf("%s: no acknowledgement within %s", o.conn.host, o.spec.Timeout)
	}
}

// heed takes in the answers that are there. The error is that of a message which was not
// taken; it comes when all others are answered, for those may have been taken all the
// same (not so in a batch).
func (o *natsOutput) heed() error {
	for {
		select {
		case m := <-o.conn.answers:
			o.answered(m)
			continue
		default:
		}
		if o.window.failure != nil && (o.window.flying == 0 || o.conn.batch.open()) {
			return fmt.Errorf("%s: %w", o.conn.host, o.window.failure)
		}
		return nil
	}
}

// answered takes in one answer.
func (o *natsOutput) answered(m *nats.Msg) {
	if m.Subject == o.conn.info {
		o.heedSettings(m.Data)
		return
	}
	rest, ok := strings.CutPrefix(m.Subject, o.conn.inbox)
	slot, err := strconv.Atoi(rest)
	switch {
	case !ok:
	case err != nil:
		o.batchAnswered(rest, m)
	case slot >= 0:
		o.singleAnswered(slot, m)
	}
}

func (o *natsOutput) singleAnswered(slot int, m *nats.Msg) {
	v := natsAnswer(m)
	if errors.Is(v.err, errNoStream) && slot < len(o.window.slots) && o.window.slots[slot].load != nil {
		v.err = o.noStream(o.window.slots[slot].load.subject)
	}
	if o.window.settle(slot, v) {
		o.heard()
	}
	if v.err != nil || v.label != "" {
		return
	}
	o.proven = min(o.proven+1, len(o.window.slots))
	if !o.known && o.asked != o.conn {
		o.asked = o.conn
		o.askForSettings(m.Data)
	}
}

func (o *natsOutput) heard() { o.conn.heard = time.Now() }

// bury puts what the stream will never take into the dead letter.
func (o *natsOutput) bury(ctx context.Context) error {
	for len(o.window.rejected) > 0 {
		j := o.window.rejected[0]
		b, n := j.load.origin(j.item)
		if err := o.dead.put(ctx, &b, n, j.label, j.reason); err != nil {
			return err
		}
		j.load.items[j.item].settled = true
		o.window.rejected = o.window.rejected[1:]
	}
	o.window.rejected = nil
	o.window.tidy()
	return nil
}
