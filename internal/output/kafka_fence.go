package output

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// callAfter is when a transaction that failed asks who has its name now: by then, who
// took over has said so.
const callAfter = time.Second

// lost ends the output: what became of the transaction is not known, or its name is
// another's by now.
func (o *kafkaOnce) lost(ctx context.Context, err error) error {
	o.ended = &LostError{o.spec.Name, explained(err)}
	if fenced(err) && o.owned {
		o.ended = o.askWhoOwns(ctx, err)
	}
	o.restart()
	return o.ended
}

// askWhoOwns tells a process that took our name over from brokers that have given our
// transaction up for its age: both answer the same.
func (o *kafkaOnce) askWhoOwns(ctx context.Context, err error) error {
	timer := time.NewTimer(callAfter)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return &LostError{o.spec.Name, err}
	}
	limited, cancel := context.WithTimeout(ctx, o.spec.Timeout)
	defer cancel()
	if owner, rerr := o.ownerSince(limited); rerr == nil && owner != "" && owner != o.instance {
		return o.takenOver(err)
	}
	return &LostError{o.spec.Name, err}
}

func (o *kafkaOnce) takenOver(err error) error {
	return &FencedError{o.spec.Name, fmt.Errorf("%w; the transactional id %s is in use elsewhere: give each host and output a name of its own", err, o.id)}
}

// takeBack takes the name again that restart has let go. Not from another process that
// has taken it meanwhile: that one goes on from the positions, and has sent what we hold.
func (o *kafkaOnce) takeBack(ctx context.Context) error {
	if err := o.open(); err != nil {
		return err
	}
	owner, err := o.ownerSince(ctx)
	switch {
	case err != nil:
		return o.trouble.with(err)
	case owner != "" && owner != o.instance:
		o.ended = o.takenOver(errors.New("the last transaction was given up"))
		return o.ended
	}
	return o.takeOver(ctx)
}

// fenced is what is answered to one whose transactional id was given a new epoch.
func fenced(err error) bool {
	for _, e := range []error{
		kerr.ProducerFenced, kerr.InvalidProducerEpoch, kerr.InvalidProducerIDMapping, kerr.InvalidTxnState,
		kerr.UnknownProducerID, kerr.TransactionCoordinatorFenced,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// fatal ends a transaction whatever else is done.
func fatal(err error) bool {
	return fenced(err) || errors.Is(err, kerr.OutOfOrderSequenceNumber) || errors.Is(err, kerr.TransactionAbortable)
}
