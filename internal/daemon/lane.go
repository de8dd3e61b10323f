package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/term"

	"github.com/logcatchsys/logcatchsys/internal/checkpoint"
	"github.com/logcatchsys/logcatchsys/internal/output"
	"github.com/logcatchsys/logcatchsys/internal/record"
	"github.com/logcatchsys/logcatchsys/internal/status"
	"github.com/logcatchsys/logcatchsys/logconfig"
	"github.com/logcatchsys/logcatchsys/logtailf"
)

// A Lane is one output at work: its ledger, and the pump with its goroutine.
type Lane struct {
	Spec    logconfig.Output
	Ledger  *checkpoint.Ledger
	Pump    *output.Pump
	Started time.Time

	out      output.Output
	stop     context.CancelFunc // nothing more is put
	giveUp   context.CancelFunc // what is not written by now is not delivered
	stopping bool
	ended    chan struct{}
	err      error
}

// LaneEnv is what lanes get from the process around them.
type LaneEnv struct {
	Host   string
	Store  *checkpoint.Store
	Stdout *output.Stdout // the process's
	Log    *slog.Logger
}

// Open opens the output that spec describes. What an earlier lane of that name took
// and did not commit is forgotten, so that one must have ended.
func (e LaneEnv) Open(spec logconfig.Output, figures *status.Output) (*Lane, error) {
	ledger, err := e.Store.Ledger(spec.Name)
	if err != nil {
		return nil, err
	}
	ledger.Reset()
	figures.Works(true)
	out, err := output.Open(spec, output.Env{
		Host: e.Host, Undo: ledger.Undo(), Log: e.Log, Stdout: e.Stdout,
		Note: func(undo []byte) error { return ledger.Commit(nil, undo) }, Dropped: figures.Dropped,
	})
	if err != nil {
		return nil, err
	}
	encoder, ok := out.(output.Encoder)
	if !ok {
		if encoder, err = record.NewFormat(e.format(spec), e.Host); err != nil {
			return nil, fmt.Errorf("output %s: %w", spec.Name, errors.Join(err, out.Close()))
		}
	}
	pump := output.NewPump(output.PumpConfig{
		Name: spec.Name, Output: out, Ledger: ledger, Encoder: encoder, Log: e.Log,
		Hooks: output.Hooks{Delivered: figures.Delivered, Retry: figures.Retry, Works: figures.Works},
		Retry: spec.Retry, Age: spec.Batch.Age,
		Restore: func(ctx context.Context, k output.Keeper) error { return restore(ctx, ledger, k) },
	})
	return &Lane{Spec: spec, Ledger: ledger, Pump: pump, out: out, ended: make(chan struct{})}, nil
}

// settle cuts back what outputs of which no lane is left, and that are not kept, wrote
// after their last commits, and drops their notes: once another output has written to
// those files, the notes would undo its lines.
func (e LaneEnv) settle(kept func(output string) bool) error {
	names, err := e.Store.Noted()
	if err != nil {
		return err
	}
	for _, name := range names {
		if kept(name) {
			continue
		}
		ledger, err := e.Store.Ledger(name)
		if err != nil {
			return err
		}
		output.CutBack(name, ledger.Undo(), e.Log)
		if err := ledger.Commit(nil, []byte{}); err != nil {
			return err
		}
	}
	return nil
}

// format is the one for the eye where text goes to a terminal.
func (e LaneEnv) format(spec logconfig.Output) string {
	if spec.Type != "stdout" || spec.Format != "text" || e.Stdout == nil {
		return spec.Format
	}
	// Not through File.Fd, which would make the descriptor block.
	raw, err := e.Stdout.File.SyscallConn()
	if err != nil {
		return spec.Format
	}
	format := spec.Format
	_ = raw.Control(func(fd uintptr) {
		if term.IsTerminal(int(fd)) {
			format = "terminal"
		}
	})
	return format
}

// restore takes the positions that an output keeps with its records: they win over those
// in the checkpoint that are not as far, or lost. It may have been written before the last
// records were accepted.
func restore(ctx context.Context, ledger *checkpoint.Ledger, k output.Keeper) error {
	entries, err := ledger.Load("")
	if err != nil {
		return err
	}
	local := make(map[string][]byte, len(entries))
	for _, e := range entries {
		local[e.Key] = e.Value
	}
	kept, err := k.Positions(ctx, func(key string) bool {
		return local[key] != nil || len(local) == 0 // one that is lost would have known it
	})
	if err != nil {
		return err
	}
	news := kept[:0] // without those that are there: a commit would keep them from ever expiring
	for _, e := range kept {
		own := local[e.Key]
		if e.Value, err = logtailf.Prefer(e.Value, own); err != nil {
			return fmt.Errorf("position %q: %w", e.Key, err)
		}
		if !bytes.Equal(e.Value, own) {
			news = append(news, e)
		}
	}
	if len(news) == 0 {
		return nil
	}
	return ledger.Commit(news, nil)
}

// Start begins to deliver; once drain has ended, what is not written is given up.
// changed is called when followers may start, and when it has ended.
func (l *Lane) Start(drain context.Context, changed func()) {
	ctx, stop := context.WithCancel(context.Background())
	drain, giveUp := context.WithCancel(drain)
	l.stop, l.giveUp, l.Started = stop, giveUp, time.Now()
	if !l.Ready() {
		go func() {
			select {
			case <-l.Pump.Ready():
				changed()
			case <-l.ended:
			}
		}()
	}
	go func() {
		defer changed()
		defer close(l.ended)
		defer giveUp()
		defer stop()
		l.err = Guard(func() error { return l.Pump.Run(ctx, drain) })
		if _, ok := l.err.(*PanicError); ok {
			_ = l.out.Close() // Run did not come to it
		}
	}()
}

// Stop lets the lane end when it has delivered what was put. Its followers must have
// stopped.
func (l *Lane) Stop() {
	l.stopping = true
	l.stop()
}

// Replace is Stop where another lane waits for the end: what fails is not tried again.
// It stays where it is, and the next lane's followers read it from their positions.
func (l *Lane) Replace() {
	l.Pump.Hurry()
	l.Stop()
}

// GiveUpAfter bounds the time that the rest may take after Stop. With 0 it has none by
// the time that this returns.
func (l *Lane) GiveUpAfter(d time.Duration) {
	if d <= 0 {
		l.giveUp()
		return
	}
	time.AfterFunc(d, l.giveUp)
}

// Ready reports whether followers may start.
func (l *Lane) Ready() bool {
	select {
	case <-l.Pump.Ready():
		return true
	default:
		return false
	}
}

// Stopping reports whether Stop was called.
func (l *Lane) Stopping() bool { return l.stopping }

// Discard closes a lane that was never started.
func (l *Lane) Discard() error { return l.out.Close() }

// Ended is closed when nothing of the lane is left.
func (l *Lane) Ended() <-chan struct{} { return l.ended }

// Err is why the lane ended; only after Ended.
func (l *Lane) Err() error { return l.err }

// SharesWith reports whether both write to one place: then one must have ended before
// the other may start.
func (l *Lane) SharesWith(spec logconfig.Output) bool {
	mine, its := []string{l.Spec.Path, l.Spec.DeadLetter}, []string{spec.Path, spec.DeadLetter}
	return l.Spec.Name == spec.Name || l.Spec.Type == "stdout" && spec.Type == "stdout" ||
		slices.ContainsFunc(mine, func(path string) bool { return path != "" && slices.Contains(its, path) })
}
