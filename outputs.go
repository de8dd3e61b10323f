package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/daemon"
	"github.com/logcatchsys/logcatchsys/internal/output"
	"github.com/logcatchsys/logcatchsys/logconfig"
)

// laneFor is the output of that name if it is at work as it shall be, else nil.
func (c *collector) laneFor(name string) *daemon.Lane {
	want, ok := c.plan.Outputs[name]
	if l := c.lanes[name]; ok && l != nil && !l.Stopping() && l.Spec.Equal(want) {
		return l
	}
	return nil
}

// openNew opens the outputs of a plan that are new and write where no other one does.
// The rest has to wait until those before have ended.
func (c *collector) openNew(plan daemon.Plan) (opened []*daemon.Lane, err error) {
	for name, spec := range plan.Outputs {
		if c.inTheWay(spec, func(*daemon.Lane) bool { return true }) {
			continue
		}
		l, err := c.env.Open(spec, c.metrics.Output(name))
		if err != nil {
			return opened, err
		}
		opened = append(opened, l)
	}
	return opened, nil
}

// inTheWay reports whether there is a lane of that name, or one of those that has to
// end before spec is opened.
func (c *collector) inTheWay(spec logconfig.Output, those func(*daemon.Lane) bool) bool {
	for name, l := range c.lanes {
		if name == spec.Name || those(l) && l.SharesWith(spec) {
			return true
		}
	}
	return false
}

func (c *collector) startLane(l *daemon.Lane) {
	for k := range c.plan.Tails {
		if k.Output == l.Spec.Name {
			c.metrics.Tail(k).Dropped() // what the lane before did not deliver is read again
		}
	}
	c.lanes[l.Spec.Name] = l
	l.Start(c.deadline, c.poke)
}

// startLanes opens the outputs that shall run and do not.
func (c *collector) startLanes() {
	for name, spec := range c.plan.Outputs {
		if c.inTheWay(spec, (*daemon.Lane).Stopping) || !c.lanePauses.Over(name) {
			continue
		}
		l, err := c.env.Open(spec, c.metrics.Output(name))
		if err != nil {
			c.laneFailed(name, 0, err)
			continue
		}
		c.startLane(l)
	}
}

// stopLanes ends the outputs that shall not run, or not as they do. Their tails have
// ended. It does not wait: an output that is down must not hold up the others.
func (c *collector) stopLanes() {
	timeout := time.Duration(c.timeout.Load())
	for name, l := range c.lanes {
		if !l.Stopping() && c.laneFor(name) == nil {
			l.Stop()
			l.GiveUpAfter(timeout)
		}
	}
}

// reapLanes takes note of the outputs that have ended. The error ends the daemon.
func (c *collector) reapLanes() error {
	for name, l := range c.lanes {
		select {
		case <-l.Ended():
		default:
			continue
		}
		delete(c.lanes, name)
		err := l.Err()
		gone := (*output.GoneError)(nil)
		switch {
		case errors.As(err, &gone):
			return fmt.Errorf("the reader of %s has gone: %w", gone.Output, gone.Err)
		case !l.Stopping():
			c.laneFailed(name, time.Since(l.Started), err)
		case err != nil:
			c.log.Warn("an output was stopped before everything was delivered; its sources go on from their positions", "output", name, "error", err)
		}
		if _, again := c.plan.Outputs[name]; !again {
			c.metrics.RemoveOutput(name)
		}
	}
	return nil
}

// laneFailed has an output opened again after a pause, and its sources with it.
func (c *collector) laneFailed(name string, ran time.Duration, err error) {
	pause := c.lanePauses.Failed(name, ran)
	time.AfterFunc(pause, c.poke)
	c.log.Error("an output failed; it is opened again and goes on from the last commit", "output", name, "error", err, "pause", pause)
	for k := range c.finished {
		if k.Output == name {
			delete(c.finished, k) // with --once: it is read again from there
		}
	}
}
