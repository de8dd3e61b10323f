package output

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

// A courier carries records to a far end that answers each request: it collects them,
// sends them in order, one request at a time, and goes on from what was accepted.
// Outputs embed it: it is their Write and Flush.
type courier struct {
	spec Spec
	dead *deadLetter

	// send tries to deliver r.body() once. nil: all that was not rejected is accepted.
	// An error leaves what was not accepted to the next try; a *refusal is about the
	// request as a whole, and has the culprit looked for.
	send func(ctx context.Context, r *request) error

	parcel
	scratch  []byte
	rejected []rejection // not in the dead letter yet
	width    int         // most items of a request: halved to find what is refused
	streak   int         // items refused one by one since the far end has accepted one
}

// longestStreak is how many items in a row may be refused, each by itself, before that is
// taken for a fault of the far end, or of what stands before it: nothing more is given up
// until it has accepted one.
const longestStreak = 1000

// A refusal is an answer that says that the request is wrong: sent again as it is, it
// would be refused again.
type refusal struct {
	label  string // of the metric
	reason string
}

func (e *refusal) Error() string { return "refused: " + e.reason }

const (
	refused  = "refused"   // the far end does not take it as it is
	tooLarge = "too_large" // larger than the far end takes
	partly   = "partial"   // one of a batch that was not taken whole, and the answer does not say which
)

func newCourier(spec Spec, env Env, send func(context.Context, *request) error) (*courier, error) {
	dead, err := newDeadLetter(spec, env)
	if err != nil {
		return nil, err
	}
	return &courier{spec: spec, dead: dead, send: send, width: spec.Batch.Records}, nil
}

// Write takes b once there is room for it.
func (c *courier) Write(ctx context.Context, b *record.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(c.items) > 0 && c.full(b) {
		if err := c.ship(ctx); err != nil {
			return err
		}
	}
	c.add(b)
	return nil
}

func (c *courier) full(b *record.Batch) bool {
	return len(c.out)+len(b.Out) > c.spec.Batch.Bytes || len(c.items)+len(b.Spans) > c.spec.Batch.Records
}

// Flush sends all that was taken.
func (c *courier) Flush(ctx context.Context) ([]byte, error) {
	if err := c.ship(ctx); err != nil {
		return nil, err
	}
	return c.dead.Flush(ctx)
}

// Close gives up what was not sent.
func (c *courier) Close() error {
	c.clear()
	return c.dead.Close()
}

// ship sends until every item is settled.
func (c *courier) ship(ctx context.Context) error {
	for {
		if err := c.bury(ctx); err != nil {
			return err
		}
		c.skip()
		if len(c.items) == 0 {
			return nil
		}
		if err := c.try(ctx, c.next()); err != nil {
			return err
		}
	}
}

// next is the request that is due: as much as one may hold, at least an item.
func (c *courier) next() *request {
	r := &request{parcel: &c.parcel, from: c.first, to: c.first, scratch: &c.scratch}
	for n := 0; r.to < len(c.items) && n < c.width; r.to++ {
		if c.items[r.to].end-c.start(c.first) > c.spec.Batch.Bytes && r.to > r.from {
			break
		}
		if !c.items[r.to].settled {
			n++
		}
	}
	return r
}

// try sends r once.
func (c *courier) try(ctx context.Context, r *request) error {
	limited, cancel := context.WithTimeout(ctx, c.spec.Timeout)
	defer cancel()
	err := c.send(limited, r)
	c.rejected = append(c.rejected, r.rejected...)
	var no *refusal
	switch n := r.count(); {
	case errors.As(err, &no) && n > 1:
		c.width = n / 2
		return nil
	case errors.As(err, &no) && no.label == refused && c.streak >= longestStreak:
		return fmt.Errorf("%d records in a row were refused, so it is not the records; nothing more is given up until one is accepted: %s", c.streak, no.reason)
	case errors.As(err, &no):
		c.streak++
		r.each(func(i int) { c.rejected = append(c.rejected, rejection{i, no.reason, no.label}) })
		return nil
	case err != nil && ctx.Err() == nil && limited.Err() != nil:
		return late(explained(err), c.spec.Timeout)
	case err != nil:
		return explained(err)
	}
	c.width, c.streak = min(2*c.width, c.spec.Batch.Records), 0
	c.settle(r)
	return nil
}

// late is err with the time that was waited in the place of noAnswer.
func late(err error, waited time.Duration) error {
	text := err.Error()
	if !strings.Contains(text, noAnswer) {
		return err
	}
	return &explanation{strings.Replace(text, noAnswer, "no answer within "+waited.String(), 1), err}
}

// settle accepts all of r but what was rejected: that stands in c.rejected.
func (c *courier) settle(r *request) {
	r.each(r.accept)
	for _, j := range r.rejected {
		r.items[j.item].settled = false
	}
}

// bury puts what was rejected into the dead letter.
func (c *courier) bury(ctx context.Context) error {
	for len(c.rejected) > 0 {
		j := c.rejected[0]
		b, n := c.origin(j.item)
		if err := c.dead.put(ctx, &b, n, j.label, j.reason); err != nil {
			return err
		}
		c.items[j.item].settled = true
		c.rejected = c.rejected[1:]
	}
	c.rejected = nil
	return nil
}
