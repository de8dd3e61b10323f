// Command logcatchsys follows the log files that config.yaml names and delivers each
// of their lines, once and in order, to where it is wanted.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/checkpoint"
	"github.com/logcatchsys/logcatchsys/internal/command"
	"github.com/logcatchsys/logcatchsys/internal/daemon"
	"github.com/logcatchsys/logcatchsys/internal/output"
	"github.com/logcatchsys/logcatchsys/internal/status"
	"github.com/logcatchsys/logcatchsys/logconfig"
	"github.com/logcatchsys/logcatchsys/logtailf"
)

// How long an exit may take beyond what it waits for: the reader of stderr may stand
// still.
const (
	sayTime  = time.Second / 2 // for the last words where the process ends at once: sooner than logTime
	logTime  = time.Second     // for what was logged
	lastTime = 5 * time.Second // from the deadline of a stop to the end of the process
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program; it returns the exit code. The end of ctx stops it as
// SIGTERM does.
func run(ctx context.Context, args []string, stdin io.Reader, stdout *os.File, stderr io.Writer) int {
	return command.Run(ctx, args, stdin, stdout, stderr, follow)
}

type key = status.Key

// A tail is one tail goroutine: a source that is followed for an output.
type tail struct {
	cancel   context.CancelFunc
	done     chan struct{} // closed when the goroutine has ended
	err      error         // why it ended by itself; read after done
	config   logtailf.Config
	follower *logtailf.Follower
	lane     *daemon.Lane
	started  time.Time
}

// A collector is what the main goroutine works with; nobody else touches it.
type collector struct {
	file, state, host string
	once              bool
	load              func() (*logconfig.Config, error)
	log               *slog.Logger
	settings          *daemon.LogSettings
	store             *checkpoint.Store
	metrics           *status.Metrics
	http              *daemon.HTTP
	hub               *logtailf.Hub
	handles           *logtailf.Handles

	plan  daemon.Plan   // what shall run
	tails map[key]*tail // what runs, each with its cancel function
	lanes *daemon.Lanes // the outputs

	unended  *daemon.Unended            // tails that are stopped
	before   map[key]*logtailf.Follower // ended ones that hold files for their successors
	pauses   daemon.Pauses[key]
	finished map[key]bool // with --once
	summary  *daemon.Summary
	wake     chan struct{}    // something has ended, or a pause is over
	deadline *daemon.Deadline // shutdown_timeout after the stop was asked for
	aside    sync.WaitGroup
	lost     chan error // the checkpoint is gone
}

// wrapMetrics lets a test into a tail goroutine.
var wrapMetrics = func(_ key, m logtailf.Metrics) logtailf.Metrics { return m }

// follow is the daemon: the main goroutine from the first look at the configuration
// to the last commit.
func follow(ctx context.Context, file string, once bool, stdout *os.File, stderr io.Writer) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	log, settings := daemon.NewLog(stderr)
	hangup, release := handleSignals(stop, once, log, settings, stderr)
	defer release()
	defer settings.Flush(logTime)

	var changed <-chan struct{}
	load := func() (*logconfig.Config, error) { return logconfig.Load(file) }
	if !once {
		changed, load = logconfig.Watch(ctx, file, log)
	}
	config, err := load()
	if err != nil {
		return err
	}
	settings.Set(config.Log)
	store, err := checkpoint.Open(config.State, log)
	if err != nil {
		return err
	}
	c := newCollector(ctx, file, once, store, stdout, log)
	defer c.deadline.Beyond(lastTime, func() {
		settings.Flush(sayTime)
		os.Exit(command.Failed)
	})()
	c.load, c.settings, c.state = load, settings, config.State
	aside, end := context.WithCancel(ctx)
	c.aside.Go(func() {
		daemon.Expire(aside, store, c.metrics.Looked, log)
	})
	c.aside.Go(func() { daemon.WatchState(aside, store, func(err error) { c.lost <- err }) })
	if err = c.take(config); err == nil {
		c.metrics.Loaded()
		log.Info("started", "version", daemon.Version(), "config", config.File, "sources", len(config.Sources),
			"state", config.State, "http", c.http.Addr())
		err = c.loop(ctx, changed, hangup)
	}
	if err != nil || !once {
		stop() // from here on there is a deadline
	}
	end()
	undelivered := c.shutdown()
	if !once || err != nil {
		return err
	}
	settings.Flush(logTime)
	dropped := c.summary.Write(stderr, c.plan, c.metrics)
	if undelivered || dropped || len(c.summary.Unread) > 0 {
		return errors.New("not everything was read and delivered")
	}
	return nil
}

// handleSignals calls stop at the first SIGINT or SIGTERM; the second ends the
// process at once.
func handleSignals(stop func(), once bool, log *slog.Logger, settings *daemon.LogSettings, stderr io.Writer) (
	hangup chan os.Signal, release func(),
) {
	// Ignored, a write to a pipe without a reader fails instead of killing the process.
	signal.Ignore(syscall.SIGPIPE)
	hangup = make(chan os.Signal, 1)
	if !once {
		signal.Notify(hangup, syscall.SIGHUP)
	}
	ends := make(chan os.Signal, 2)
	signal.Notify(ends, os.Interrupt, syscall.SIGTERM)
	go func() {
		s, ok := <-ends
		if !ok {
			return
		}
		log.Info("stopping", "signal", s.String())
		stop()
		exitAt(ends, settings, stderr)
	}()
	return hangup, func() {
		signal.Stop(hangup)
		signal.Stop(ends)
		close(ends)
	}
}

// exitAt ends the process at the next signal.
func exitAt(ends <-chan os.Signal, settings *daemon.LogSettings, stderr io.Writer) {
	s, ok := <-ends
	if !ok {
		return
	}
	time.AfterFunc(sayTime, func() { os.Exit(command.Failed) })
	settings.Flush(sayTime)
	fmt.Fprintf(stderr, "logcatchsys: %s again: exiting at once; what was not delivered comes at the next start\n", s)
	os.Exit(command.Failed)
}

func newCollector(ctx context.Context, file string, once bool, store *checkpoint.Store, stdout *os.File, log *slog.Logger) *collector {
	c := &collector{
		file: file, once: once, log: log, host: daemon.Hostname(log), store: store, metrics: status.New(),
		hub: logtailf.NewHub(log), handles: logtailf.NewHandles(0),
		tails: map[key]*tail{}, before: map[key]*logtailf.Follower{}, pauses: daemon.Pauses[key]{},
		finished: map[key]bool{}, summary: daemon.NewSummary(),
		wake: make(chan struct{}, 1), lost: make(chan error, 1), deadline: daemon.NewDeadline(ctx),
	}
	c.http = daemon.NewHTTP(c.metrics, log)
	c.unended = daemon.NewUnended(c.poke)
	c.lanes = daemon.NewLanes(daemon.LaneEnv{Host: c.host, Store: store, Stdout: &output.Stdout{File: stdout}, Log: log},
		c.metrics, c.deadline, c.unended, c.poke)
	return c
}

// loop is the main goroutine at work: whatever happens, it brings what runs in line
// with what shall run.
func (c *collector) loop(ctx context.Context, changed <-chan struct{}, hangup <-chan os.Signal) error {
	for {
		if err := c.reconcile(); err != nil {
			return err
		}
		if c.once && len(c.finished) == len(c.plan.Tails) {
			return nil
		}
		select {
		case <-ctx.Done():
			if c.once {
				return errors.New("stopped before everything was read; the next run goes on from there")
			}
			return nil
		case <-changed:
			c.reload()
		case <-hangup:
			c.reload()
		case err := <-c.lost:
			c.lanes.Hurry()
			return fmt.Errorf("%w; nothing that is delivered could be noted any more", err)
		case <-c.wake:
		}
	}
}

// moveHTTP has the listener where next wants it. A backfill has none: it may run
// beside the daemon that listens there.
func (c *collector) moveHTTP(next *logconfig.Config) error {
	if c.once {
		return nil
	}
	return c.http.Move(next.HTTP, next.HTTPSet)
}

// poke makes loop look at everything again.
func (c *collector) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// reconcile takes note of what has ended, stops what shall not run and starts what
// shall. What is as it shall be is not touched. The error ends the daemon.
func (c *collector) reconcile() error {
	c.reapTails()
	failed, err := c.lanes.Reap(c.plan)
	if err != nil {
		return err
	}
	if name := c.lanes.Fenced(); c.once && name != "" {
		return fmt.Errorf("output %s was taken over by another process", name)
	}
	c.stopTails(c.unended.Moment(), func(k key, t *tail) bool {
		want, ok := c.plan.Tails[k]
		return c.unended.Has(k) || ok && daemon.SameTail(want, t.config) && t.lane == c.lanes.At(c.plan, k.Output)
	})
	c.lanes.Stop(c.plan)
	failed = append(failed, c.lanes.Start(c.plan)...)
	maps.DeleteFunc(c.finished, func(k key, _ bool) bool { // what failed is read again from its last commit
		return slices.Contains(failed, k.Output)
	})
	for k, config := range c.plan.Tails {
		switch {
		case c.unended.Has(k):
			c.metrics.Tail(k).Stopped(daemon.NotEnded)
		case c.tails[k] == nil && !c.finished[k] && c.pauses.Over(k):
			c.startTail(k, config)
		}
	}
	c.lanes.SayWaiting(c.plan)
	return nil
}

// startTail writes the `go` of one source for one output, once the output is there.
func (c *collector) startTail(k key, config logtailf.Config) {
	lane := c.lanes.At(c.plan, k.Output)
	figures := c.metrics.Tail(k)
	if why := c.lanes.Idle(c.plan, k.Output); why != "" {
		figures.Stopped(why)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	t := &tail{config: config, lane: lane, cancel: cancel, done: make(chan struct{}), started: time.Now()}
	t.err = daemon.Guard(func() (err error) {
		t.follower, err = logtailf.New(config, logtailf.Deps{
			Inlet: lane.Pump, Ledger: lane.Ledger, Hub: c.hub, Handles: c.handles,
			Metrics: wrapMetrics(k, figures), Log: c.log.With("output", k.Output),
		}, c.before[k])
		return err
	})
	delete(c.before, k)
	c.tails[k] = t
	if t.follower == nil {
		close(t.done)
		c.poke()
		return
	}
	figures.Started(daemon.StatsOf(t.follower))
	go func() {
		defer c.poke()
		defer close(t.done)
		t.err = daemon.Guard(func() error { return t.follower.Run(ctx) })
	}()
}

// stopTails cancels all tails but those to keep. Those that have not ended when await
// gives them up stay among the tails, so that no other one starts in their place, until
// they are reaped; or the process ends without them.
func (c *collector) stopTails(await func(done <-chan struct{}) bool, keep func(key, *tail) bool) {
	going := map[key]*tail{}
	for k, t := range c.tails {
		if !keep(k, t) {
			t.cancel()
			c.unended.Add(k)
			going[k] = t
		}
	}
	for k, t := range going {
		if await(t.done) {
			c.reap(k, t)
		} else {
			c.unended.Tarries(k)
		}
	}
}

// leave keeps what an ended follower holds for its successor, if there is to be one.
func (c *collector) leave(k key, f *logtailf.Follower) {
	_, again := c.plan.Tails[k]
	switch {
	case f == nil:
	case again && !c.finished[k]:
		c.before[k] = f
		c.metrics.Tail(k).Stopped("is being started again")
	default:
		if !again {
			daemon.SayLeft(c.log, k, f)
		}
		f.Close()
	}
}

// reapTails takes note of the tail goroutines that have ended.
func (c *collector) reapTails() {
	for k, t := range c.tails {
		select {
		case <-t.done:
			c.reap(k, t)
		default:
		}
	}
}

// reap takes note of a tail goroutine that has ended. One that failed by itself starts
// again after a pause, from its position.
func (c *collector) reap(k key, t *tail) {
	t.cancel()
	delete(c.tails, k)
	asked := c.unended.Has(k)
	c.unended.Ended(k)
	if c.once && !asked {
		c.finished[k] = true
		c.summary.Ended(k.Source, t.err, t.follower)
	}
	c.leave(k, t.follower)
	if _, wanted := c.plan.Tails[k]; wanted && !asked && !c.once {
		c.tailFailed(k, t)
	}
}

func (c *collector) tailFailed(k key, t *tail) {
	pause := c.pauses.Failed(k, time.Since(t.started))
	time.AfterFunc(pause, c.poke)
	daemon.TailFailed(c.log, c.metrics, k, t.err, pause)
}

// reload loads the configuration again. One that is wrong, or cannot be had as a
// whole, leaves everything as it is.
func (c *collector) reload() {
	next, err := c.load()
	if err == nil {
		err = c.take(next)
	}
	c.metrics.Reloaded(err == nil)
	if err != nil {
		daemon.LogLines(c.log, err)
		c.log.Error("the configuration was not taken; what runs runs on")
	}
}

// take makes next the configuration, after it has opened all of the new that can be
// opened beside the old. reconcile does the rest.
func (c *collector) take(next *logconfig.Config) error {
	if next.State != c.state {
		return fmt.Errorf("%s: state cannot be changed while running: restart for that", c.file)
	}
	plan := daemon.NewPlan(next, c.host, c.once)
	address := c.http.Addr()
	opened, err := c.lanes.OpenNew(plan)
	if err == nil {
		if err = c.moveHTTP(next); err != nil {
			err = errors.Join(err, c.lanes.Discard(opened))
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.file, err)
	}
	c.lanes.Take(plan, opened)
	for _, w := range next.Warnings {
		c.log.Warn(w)
	}
	c.plan.HandOver(plan, c.metrics)
	for k, f := range c.before {
		if _, ok := plan.Tails[k]; !ok {
			daemon.SayLeft(c.log, k, f)
			f.Close()
			delete(c.before, k)
		}
	}
	if c.plan.Tails != nil {
		attrs := c.plan.Changes(plan)
		if now := c.http.Addr(); now != address {
			attrs = append(attrs, "http", now)
		}
		c.log.Info("the configuration was taken", attrs...)
	}
	c.settings.Set(next.Log)
	c.deadline.Set(next.ShutdownTimeout)
	clear(c.pauses) // an edit may have mended what failed
	c.plan = plan
	return nil
}

// shutdown ends everything in order: tails, outputs, the checkpoint, and HTTP last. It
// reports whether something that was read stays undelivered.
func (c *collector) shutdown() (undelivered bool) {
	c.stopTails(c.deadline.Waiter(), func(key, *tail) bool { return false })
	for _, f := range c.before {
		f.Close()
	}
	undelivered = c.lanes.Shutdown()
	daemon.SayUndelivered(c.log, c.plan, c.metrics)
	// A checkpoint on a disk that does not answer must not keep the process.
	if !c.deadline.Do(func() {
		c.aside.Wait()
		if err := errors.Join(c.hub.Close(), c.store.Close()); err != nil {
			c.log.Warn("closing", "error", err)
		}
	}) {
		c.log.Warn("the checkpoint cannot be closed; the process ends without that", "state", c.state)
	}
	c.http.Close()
	c.log.Info("stopped")
	return undelivered
}
