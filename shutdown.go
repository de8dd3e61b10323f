package main

import (
	"errors"
	"time"
)

// grace is how long the exit waits for what does not end at its deadline, such as a
// write that the kernel does not let go of.
const grace = 500 * time.Millisecond

// shutdown ends everything in order: tails, outputs, the checkpoint, and HTTP last. It
// reports whether something that was read stays undelivered.
func (c *collector) shutdown() (undelivered bool) {
	c.stopTails(func(key, *tail) bool { return false })
	for _, f := range c.before {
		f.Close()
	}
	for _, l := range c.lanes {
		if !l.Stopping() {
			l.Stop()
		}
	}
	for name, l := range c.lanes {
		if !c.await(l.Ended()) {
			undelivered = true
			c.log.Warn("an output stands in a write that does not end; the process ends without it", "output", name)
		} else if err := l.Err(); err != nil {
			undelivered = true
			c.log.Warn("an output did not deliver everything in time", "output", name, "error", err)
		}
	}
	c.sayUndelivered()
	c.closeAll()
	c.log.Info("stopped")
	return undelivered
}

func (c *collector) sayUndelivered() {
	for _, k := range c.plan.Keys() {
		if bytes, records := c.metrics.Tail(k).Underway(); records > 0 {
			c.log.Warn("not delivered yet; comes at the next start",
				"source", k.Source, "output", k.Output, "records", records, "bytes", bytes)
		}
	}
}

// closeAll closes what is left, the checkpoint after its last commit. One on a disk
// that does not answer must not keep the process.
func (c *collector) closeAll() {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		c.aside.Wait()
		if err := errors.Join(c.hub.Close(), c.env.Store.Close()); err != nil {
			c.log.Warn("closing", "error", err)
		}
	}()
	if !c.await(closed) {
		c.log.Warn("the checkpoint cannot be closed; the process ends without that", "state", c.state)
	}
	c.http.Close()
}

// await waits for done, at most to the deadline of a stop.
func (c *collector) await(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-c.deadline.Done():
	}
	select {
	case <-done:
		return true
	case <-time.After(grace):
		return false
	}
}
