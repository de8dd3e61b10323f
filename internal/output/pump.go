package output

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/checkpoint"
	"github.com/logcatchsys/logcatchsys/internal/record"
	"github.com/logcatchsys/logcatchsys/logconfig"
)

const (
	batches   = 8         // in all: they bound an output's memory
	batchSize = 256 << 10 // bytes read at once

	commitIdle = 100 * time.Millisecond // between commits when nothing waits
	commitBusy = time.Second            // between commits while batches keep coming
)

// Ledger is the part of the checkpoint that belongs to one output.
type Ledger interface {
	Take(key string, value []byte)
	Commit(pos []checkpoint.Entry, undo []byte) error
}

// Hooks tell what happens; each may be nil. They are called on Run's goroutine
// and must not block.
type Hooks struct {
	Delivered func(source string, bytes, records int) // committed since the last call
	Committed func(source string)                     // after that: files may be let go of
	Retry     func()                                  // a write, flush or commit failed and will be tried again
	Works     func(bool)                              // what was tried last has failed, or works again
}

// PumpConfig is what a Pump needs. All but Hooks is required.
type PumpConfig struct {
	Name    string
	Output  Output
	Ledger  Ledger
	Encoder Encoder // what the output gets; one that is an Encoder itself needs none
	Log     *slog.Logger
	Hooks   Hooks
	Retry   logconfig.Retry // zero: from 100 ms to 30 s
	Age     time.Duration   // how long a record waits for others before it is flushed; 0: a second

	// Restore asks an output that keeps positions itself for them and puts them into the
	// ledger, before anything else happens. Only a Keeper needs it.
	Restore func(ctx context.Context, k Keeper) error
}

// A syncer is an output whose Flush may wait for the disk. It is flushed less often
// while batches keep coming; where a flush costs nothing, a crash repeats less.
type syncer interface{ Syncs() bool }

// A Pump drives one output: it takes batches from many followers, writes them in
// the order of Put, flushes by time, and only then commits their positions.
//
// There is a fixed number of batches. An output that is slow or down keeps them,
// and its followers stop for want of one: that is all the back-pressure there is.
type Pump struct {
	cfg   PumpConfig
	free  chan *record.Batch
	queue chan *record.Batch

	ready chan struct{} // closed when positions are known and followers may start

	hurry   chan struct{} // closed when nothing is to be tried again
	hurried sync.Once

	idle, busy time.Duration // between commits
	syncs      bool          // a flush waits for the disk, and so would a backlog with each

	put sync.Mutex // Take and enqueue are one step: the ledger's order is the queue's

	// Run's own.
	pending   pending
	noted     bool          // the output gave something to undo by
	committed time.Time     // when the last commit ended
	cost      time.Duration // of the last commit
	said      time.Time     // when the last outage that was logged was over
	unsaid    int           // others since
}

// NewPump gives a pump that waits for Run. It takes the output over: Run closes it.
func NewPump(cfg PumpConfig) *Pump {
	if cfg.Retry.Initial <= 0 {
		cfg.Retry.Initial = 100 * time.Millisecond
	}
	if cfg.Retry.Max <= 0 {
		cfg.Retry.Max = 30 * time.Second
	}
	if cfg.Age <= 0 {
		cfg.Age = commitBusy
	}
	if e, ok := cfg.Output.(Encoder); ok {
		cfg.Encoder = e
	}
	s, ok := cfg.Output.(syncer)
	p := &Pump{
		cfg:     cfg,
		syncs:   ok && s.Syncs(),
		free:    make(chan *record.Batch, batches),
		ready:   make(chan struct{}),
		hurry:   make(chan struct{}),
		idle:    min(commitIdle, cfg.Age),
		busy:    cfg.Age,
		queue:   make(chan *record.Batch, batches),
		pending: newPending(),
	}
	if _, ok := cfg.Output.(Keeper); !ok {
		close(p.ready)
	}
	for range batches {
		p.free <- record.NewBatch(batchSize)
	}
	return p
}

// Free gives empty batches. To hold one is the right to read one; who asked first
// gets the next. It goes back through Put or Return.
func (p *Pump) Free() <-chan *record.Batch { return p.free }

// Return gives back a batch that is not used.
func (p *Pump) Return(b *record.Batch) {
	b.Recycle(batchSize)
	p.free <- b
}

// Ready is closed when followers may start: an output that keeps positions itself has
// given them.
func (p *Pump) Ready() <-chan struct{} { return p.ready }

// Hurry has Run try nothing again: what fails is given up. It is for an output that
// another one waits to replace.
func (p *Pump) Hurry() { p.hurried.Do(func() { close(p.hurry) }) }

// Put hands b over to be written after all that were put before it. It encodes b
// on the caller's goroutine and never blocks on the output.
func (p *Pump) Put(b *record.Batch) {
	p.cfg.Encoder.Encode(b)
	p.put.Lock()
	defer p.put.Unlock()
	if b.Key != "" { // a pipe has no positions
		p.cfg.Ledger.Take(b.Key, b.Mark)
	}
	p.queue <- b // has room for every batch there is
}

// Run asks an output that keeps positions for them; until it has them, the end of ctx
// ends it. It delivers until ctx ends, and then what was put by that time: nil says that all
// of it is written, flushed and committed. When drain ends too, it gives up what is
// not written and says so. The followers must have stopped before ctx ends.
//
// An error of type *GoneError, *LostError or *FencedError ends it at once; what was
// written before a *GoneError is committed. Run closes the output. A Write that hangs in the kernel
// outlives drain: the owner who cannot wait leaves Run behind.
func (p *Pump) Run(ctx, drain context.Context) error {
	if err := p.restore(ctx); err != nil {
		return errors.Join(unlessEnded(ctx, err), p.cfg.Output.Close())
	}
	err := p.deliver(ctx, drain)
	var lost *LostError
	var fenced *FencedError
	if err != nil && !errors.As(err, &lost) && !errors.As(err, &fenced) {
		// A last try, without pauses, to keep what is written from being repeated.
		if cerr := p.commit(drain); cerr != nil && drain.Err() == nil {
			err = fmt.Errorf("%w; %w", err, cerr)
		}
	}
	if err == nil && p.noted {
		// All of it is committed: there is nothing to undo, also not for another
		// output that will write to the same file.
		err = p.retry(drain, "commit", func() error { return p.cfg.Ledger.Commit(nil, []byte{}) })
	}
	return errors.Join(err, p.cfg.Output.Close())
}

// restore asks a Keeper for its positions, however long it takes.
func (p *Pump) restore(ctx context.Context) error {
	keeper, ok := p.cfg.Output.(Keeper)
	if !ok {
		return nil
	}
	err := p.retry(ctx, "reading positions", func() error { return p.cfg.Restore(ctx, keeper) })
	if err == nil {
		close(p.ready)
	}
	return err
}

// unlessEnded is err, or nil if ctx has ended: then nothing was taken, and nothing is
// missed.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil && !final(err) {
		return nil
	}
	return err
}

func (p *Pump) deliver(ctx, drain context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var due <-chan time.Time
		if !p.pending.empty() {
			timer.Reset(time.Until(p.due()))
			due = timer.C
		}
		select {
		case b := <-p.queue:
			if err := p.write(drain, b); err != nil {
				return err
			}
		case <-due:
		case <-ctx.Done():
			return p.finish(drain)
		}
		if !p.pending.empty() && !time.Now().Before(p.due()) {
			if err := p.commitRetrying(drain); err != nil {
				return err
			}
		}
	}
}

// due is when the next commit is. One that is slow comes less often: lines that come
// meanwhile wait for it. Where a Write is all that a reader needs to see them, that
// shall happen to far fewer than one in a hundred; elsewhere they wait for the flush
// in any case.
func (p *Pump) due() time.Time {
	times := time.Duration(4)
	if p.syncs {
		times = 300
	}
	every := min(max(p.idle, times*p.cost), p.busy)
	if len(p.queue) > 0 && p.syncs {
		every = p.busy
	}
	return p.committed.Add(every)
}

func (p *Pump) finish(drain context.Context) error {
	for len(p.queue) > 0 {
		if err := p.write(drain, <-p.queue); err != nil {
			return err
		}
	}
	return p.commitRetrying(drain)
}

// write writes b, however long it takes, and gives it back to the followers.
func (p *Pump) write(ctx context.Context, b *record.Batch) error {
	_, settled := p.cfg.Output.(Encoder) // over a network: its Flush would fail as its Write did
	err := p.retry(ctx, "write", func() error {
		if p.pending.flushed {
			if err := p.commit(ctx); err != nil {
				return err
			}
		}
		err := p.cfg.Output.Write(ctx, b)
		if err != nil && !settled && !final(err) {
			// An outage may be long: what was written before it shall not be repeated
			// after a crash. If this fails too, it is tried again before the next Write.
			settled = true
			if cerr := p.commit(ctx); final(cerr) {
				return cerr
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	p.pending.add(b)
	p.Return(b)
	return nil
}

// commitRetrying makes durable what was written, then its positions, however long
// it takes.
func (p *Pump) commitRetrying(ctx context.Context) error {
	return p.retry(ctx, "commit", func() error { return p.commit(ctx) })
}

// commit is one try of that.
func (p *Pump) commit(ctx context.Context) error {
	if p.pending.empty() {
		return nil
	}
	start := time.Now()
	if !p.pending.flushed {
		undo, err := p.cfg.Output.Flush(ctx)
		if err != nil {
			return err
		}
		p.pending.undo, p.pending.flushed = undo, true
		p.noted = p.noted || undo != nil
	}
	if err := p.cfg.Ledger.Commit(p.pending.entries(), p.pending.undo); err != nil {
		return fmt.Errorf("committing positions: %w", err)
	}
	p.committed = time.Now()
	p.cost = p.committed.Sub(start)
	p.pending.done(p.cfg.Hooks)
	return nil
}
