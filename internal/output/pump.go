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
}

// PumpConfig is what a Pump needs. All but Hooks is required.
type PumpConfig struct {
	Name         string
	Output       Output
	Ledger       Ledger
	Format       *record.Format
	Log          *slog.Logger
	Hooks        Hooks
	RetryInitial time.Duration // the first pause after an error; 0: 100 ms
	RetryMax     time.Duration // pauses double up to this; 0: 30 s
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

	idle, busy time.Duration // between commits
	syncs      bool          // a flush waits for the disk, and so would a backlog with each

	put sync.Mutex // Take and enqueue are one step: the ledger's order is the queue's

	// Run's own.
	pending   pending
	noted     bool          // the output gave something to undo by
	committed time.Time     // when the last commit ended
	cost      time.Duration // of the last commit
}

// NewPump gives a pump that waits for Run. It takes the output over: Run closes it.
func NewPump(cfg PumpConfig) *Pump {
	if cfg.RetryInitial <= 0 {
		cfg.RetryInitial = 100 * time.Millisecond
	}
	if cfg.RetryMax <= 0 {
		cfg.RetryMax = 30 * time.Second
	}
	s, ok := cfg.Output.(syncer)
	p := &Pump{
		cfg:     cfg,
		syncs:   ok && s.Syncs(),
		free:    make(chan *record.Batch, batches),
		idle:    commitIdle,
		busy:    commitBusy,
		queue:   make(chan *record.Batch, batches),
		pending: newPending(),
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

// Put hands b over to be written after all that were put before it. It encodes b
// on the caller's goroutine and never blocks on the output.
func (p *Pump) Put(b *record.Batch) {
	p.cfg.Format.Encode(b)
	p.put.Lock()
	defer p.put.Unlock()
	if b.Key != "" { // a pipe has no positions
		p.cfg.Ledger.Take(b.Key, b.Mark)
	}
	p.queue <- b // has room for every batch there is
}

// Run delivers until ctx ends, and then what was put by that time: nil says that all
// of it is written, flushed and committed. When drain ends too, it gives up what is
// not written and says so. The followers must have stopped before ctx ends.
//
// An error of type *GoneError or *LostError ends it at once; what was written before
// a *GoneError is committed. Run closes the output. A Write that hangs in the kernel
// outlives drain: the owner who cannot wait leaves Run behind.
func (p *Pump) Run(ctx, drain context.Context) error {
	err := p.deliver(ctx, drain)
	var lost *LostError
	if err != nil && !errors.As(err, &lost) {
		// A last try, without pauses, to keep what is written from being repeated.
		if cerr := p.commit(drain); cerr != nil {
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
// meanwhile wait for it, and that shall happen to far fewer than one in a hundred.
func (p *Pump) due() time.Time {
	every := min(max(p.idle, 300*p.cost), p.busy)
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
	settled := false
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
