package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/logcatchsys/logcatchsys/internal/daemon"
	"github.com/logcatchsys/logcatchsys/logconfig"
)

// reload loads the configuration again. One that is wrong, or cannot be had as a
// whole, leaves everything as it is.
func (c *collector) reload() {
	next, err := logconfig.Load(c.file)
	if err == nil {
		err = c.take(next)
	}
	c.metrics.Reloaded(err == nil)
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			c.log.Error(line)
		}
		c.log.Error("the configuration was not taken; what runs runs on")
	}
}

// take makes next the configuration, after it has opened all of the new that can be
// opened beside the old. reconcile does the rest.
func (c *collector) take(next *logconfig.Config) error {
	if next.State != c.state {
		return fmt.Errorf("%s: state cannot be changed while running: restart for that", c.file)
	}
	plan := daemon.NewPlan(next, c.env.Host, c.once)
	opened, err := c.openNew(plan)
	address := c.http.Addr()
	if err == nil {
		err = c.http.Move(next.HTTP, next.HTTPSet)
	}
	if err != nil {
		for _, l := range opened {
			err = errors.Join(err, l.Discard())
			c.metrics.RemoveOutput(l.Spec.Name)
		}
		return fmt.Errorf("%s: %w", c.file, err)
	}
	for _, l := range opened {
		c.startLane(l)
	}
	for _, w := range next.Warnings {
		c.log.Warn(w)
	}
	c.forget(plan)
	for k := range plan.Tails {
		c.metrics.Tail(k) // not ready from now on, until it is
	}
	if c.config != nil {
		attrs := c.plan.Changes(plan)
		if now := c.http.Addr(); now != address {
			attrs = append(attrs, "http", now)
		}
		c.log.Info("the configuration was taken", attrs...)
	}
	c.settings.Set(next.Log)
	c.timeout.Store(int64(next.ShutdownTimeout))
	clear(c.tailPauses) // an edit may have mended what failed
	clear(c.lanePauses)
	c.config, c.plan = next, plan
	return nil
}

// forget drops what is kept for tails that a plan does not have any more.
func (c *collector) forget(next daemon.Plan) {
	for k := range c.plan.Tails {
		if _, ok := next.Tails[k]; ok {
			continue
		}
		c.metrics.Remove(k)
		if f := c.before[k]; f != nil {
			f.Close()
			delete(c.before, k)
		}
	}
}
