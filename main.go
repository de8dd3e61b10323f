// Command logcatchsys follows the log files that config.yaml names and delivers each
// of their lines, once and in order, to where it is wanted.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/checkpoint"
	"github.com/logcatchsys/logcatchsys/internal/daemon"
	"github.com/logcatchsys/logcatchsys/internal/status"
	"github.com/logcatchsys/logcatchsys/logconfig"
	"github.com/logcatchsys/logcatchsys/logtailf"
)

// The exit codes.
const (
	exitStopped = 0 // stopped as asked; --once: everything was read and delivered
	exitFailed  = 1
	exitUsage   = 2 // wrong usage or configuration
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program; it returns the exit code. The end of ctx stops it as
// SIGTERM does.
func run(ctx context.Context, args []string, stdin io.Reader, stdout *os.File, stderr io.Writer) int {
	cmd := rootCommand(stdout)
	cmd.SetArgs(args)
	cmd.SetIn(stdin)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return exitStopped
	}
	if wrong := (*logconfig.Error)(nil); errors.As(err, &wrong) {
		fmt.Fprintln(stderr, wrong) // a line for each problem, each with its place
		return exitUsage
	}
	fmt.Fprintf(stderr, "logcatchsys: %v\n", err)
	if errors.As(err, new(usageError)) {
		return exitUsage
	}
	return exitFailed
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
	file     string
	state    string
	once     bool
	log      *slog.Logger
	settings *daemon.LogSettings
	metrics  *status.Metrics
	http     *daemon.HTTP
	hub      *logtailf.Hub
	handles  *logtailf.Handles
	env      daemon.LaneEnv

	config *logconfig.Config
	plan   daemon.Plan             // what shall run
	tails  map[key]*tail           // what runs, each with its cancel function
	lanes  map[string]*daemon.Lane // the outputs, those that are ending among them

	before     map[key]*logtailf.Follower // ended ones that hold files for their successors
	tailPauses daemon.Pauses[key]
	lanePauses daemon.Pauses[string]
	finished   map[key]bool // with --once
	summary    *daemon.Summary

	wake     chan struct{}   // something has ended, or a pause is over
	timeout  atomic.Int64    // shutdown_timeout
	deadline context.Context // ends shutdown_timeout after the stop was asked for
	aside    sync.WaitGroup
}

// wrapMetrics lets a test into a tail goroutine.
var wrapMetrics = func(_ key, m logtailf.Metrics) logtailf.Metrics { return m }

// follow is the daemon: the main goroutine from the first look at the configuration
// to the last commit.
func follow(ctx context.Context, file string, once bool, stdout *os.File, stderr io.Writer) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	log, settings := daemon.NewLog(stderr)
	hangup, release := handleSignals(stop, once, log, stderr)
	defer release()

	var changed <-chan struct{}
	if !once {
		changed = logconfig.Watch(ctx, file, log) // before Load, to miss no change in between
	}
	config, err := logconfig.Load(file)
	if err != nil {
		return err
	}
	settings.Set(config.Log)
	store, err := checkpoint.Open(config.State, log)
	if err != nil {
		return err
	}
	c := newCollector(ctx, file, once, log)
	c.settings, c.state, c.env.Store, c.env.Stdout = settings, config.State, store, stdout
	aside, end := context.WithCancel(ctx)
	c.aside.Go(func() {
		daemon.Expire(aside, store, func() bool { return len(c.metrics.NotReady()) == 0 }, log)
	})
	if err = c.take(config); err == nil {
		c.metrics.Loaded()
		log.Info("started", "version", version(), "config", config.File, "sources", len(config.Sources),
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
	c.summary.Write(stderr, c.plan, c.metrics)
	if undelivered || len(c.summary.Unread) > 0 {
		return errors.New("not everything was read and delivered")
	}
	return nil
}

// handleSignals calls stop at the first SIGINT or SIGTERM; the second ends the
// process at once.
func handleSignals(stop func(), once bool, log *slog.Logger, stderr io.Writer) (hangup chan os.Signal, release func()) {
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
		stop()
		log.Info("stopping", "signal", s.String())
		if s, ok = <-ends; ok {
			fmt.Fprintf(stderr, "logcatchsys: %s again: exiting at once; what was not delivered comes at the next start\n", s)
			os.Exit(exitFailed)
		}
	}()
	return hangup, func() {
		signal.Stop(hangup)
		signal.Stop(ends)
		close(ends)
	}
}

func newCollector(ctx context.Context, file string, once bool, log *slog.Logger) *collector {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
		log.Warn("the machine's name is unknown", "using", host, "error", err)
	}
	deadline, expire := context.WithCancel(context.Background())
	c := &collector{
		file: file, once: once, log: log, metrics: status.New(),
		hub: logtailf.NewHub(log), handles: logtailf.NewHandles(0),
		env:   daemon.LaneEnv{Host: host, Log: log},
		tails: map[key]*tail{}, lanes: map[string]*daemon.Lane{}, before: map[key]*logtailf.Follower{},
		tailPauses: daemon.Pauses[key]{}, lanePauses: daemon.Pauses[string]{},
		finished: map[key]bool{}, summary: daemon.NewSummary(),
		wake: make(chan struct{}, 1), deadline: deadline,
	}
	c.http = daemon.NewHTTP(c.metrics, log)
	context.AfterFunc(ctx, func() { time.AfterFunc(time.Duration(c.timeout.Load()), expire) })
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
		case <-c.wake:
		}
	}
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
	if err := c.reapLanes(); err != nil {
		return err
	}
	c.stopTails(func(k key, t *tail) bool {
		want, ok := c.plan.Tails[k]
		return ok && daemon.SameTail(want, t.config) && t.lane == c.laneFor(k.Output)
	})
	c.stopLanes()
	c.startLanes()
	for k, config := range c.plan.Tails {
		if c.tails[k] == nil && !c.finished[k] && c.tailPauses.Over(k) {
			c.startTail(k, config)
		}
	}
	return nil
}

// startTail writes the `go` of one source for one output, once the output is there.
func (c *collector) startTail(k key, config logtailf.Config) {
	lane := c.laneFor(k.Output)
	figures := c.metrics.Tail(k)
	if lane == nil {
		figures.Stopped("its output is not open")
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

// stopTails cancels all tails but those to keep, and waits for them.
func (c *collector) stopTails(keep func(key, *tail) bool) {
	going := map[key]*tail{}
	for k, t := range c.tails {
		if !keep(k, t) {
			t.cancel()
			going[k] = t
		}
	}
	for k, t := range going {
		if !c.await(t.done) {
			continue // on a file system that does not answer; the process ends without it
		}
		delete(c.tails, k)
		c.leave(k, t.follower)
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
		f.Close()
	}
}

// reapTails takes note of the tail goroutines that have ended by themselves: those
// that failed start again after a pause, from their positions.
func (c *collector) reapTails() {
	for k, t := range c.tails {
		select {
		case <-t.done:
		default:
			continue
		}
		t.cancel()
		delete(c.tails, k)
		if c.once {
			c.finished[k] = true
			if t.err != nil {
				c.summary.Fail(k.Source, t.err)
			} else {
				c.summary.Add(k.Source, t.follower.Unread())
			}
			c.leave(k, t.follower)
			continue
		}
		c.leave(k, t.follower)
		c.tailFailed(k, t)
	}
}

func (c *collector) tailFailed(k key, t *tail) {
	figures := c.metrics.Tail(k)
	figures.Restarted()
	pause := c.tailPauses.Failed(k, time.Since(t.started))
	figures.Stopped(fmt.Sprintf("failed and waits for its next start: %v", t.err))
	time.AfterFunc(pause, c.poke)
	c.log.Error("a tail goroutine failed; it starts again from its position",
		"source", k.Source, "output", k.Output, "error", t.err, "pause", pause)
	if p := (*daemon.PanicError)(nil); errors.As(t.err, &p) {
		c.log.Debug("where it panicked", "source", k.Source, "output", k.Output, "stack", p.Stack)
	}
}
