package output

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/checkpoint"
	"github.com/logcatchsys/logcatchsys/internal/record"
)

func TestPumpCommitsAfterFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var bytes, records int
		var woken string
		r.cfg.Hooks.Delivered = func(_ string, b, n int) { bytes += b; records += n }
		r.cfg.Hooks.Committed = func(source string) { woken += source }
		r.out.onFlush = func() error {
			if r.ledger.at("a") != "" {
				t.Error("committed before the flush")
			}
			return nil
		}
		r.committed = time.Now() // one commit, of both
		r.give("a", "1\n")
		last := r.give("a", "2\n")
		r.run()
		must(t, r.end(t))
		// The last note says that after a clean end there is nothing to undo.
		if r.ledger.at("a") != "2\n" || !slices.Equal(r.ledger.notes, []string{"1\n2\n", ""}) || last.Load() != 2 {
			t.Errorf("position %q, notes %q, accepted %d", r.ledger.at("a"), r.ledger.notes, last.Load())
		}
		if bytes != 4 || records != 2 || woken != "a" {
			t.Errorf("told of %d bytes, %d records, sources %q", bytes, records, woken)
		}
		if e := r.out.events.String(); e != "wwfc" {
			t.Errorf("events %q", e)
		}
	})
}

func TestPumpGroupsCommits(t *testing.T) {
	for _, c := range []struct {
		name        string
		every, busy time.Duration // a batch comes; the write takes
		cost        time.Duration // the flush takes
		syncs       bool          // and is one that may wait for the disk
		min, max    time.Duration // between commits
	}{
		{"a line now and then", 300 * time.Millisecond, 0, 0, true, 300 * time.Millisecond, 300 * time.Millisecond},
		{"a trickle", 10 * time.Millisecond, 0, 0, true, 100 * time.Millisecond, 110 * time.Millisecond},
		{"a flood", 0, 7 * time.Millisecond, 0, true, time.Second, 1007 * time.Millisecond},
		{"a flood, nothing to sync", 0, 7 * time.Millisecond, 0, false, 100 * time.Millisecond, 107 * time.Millisecond},
		{"a trickle, slow disk", 10 * time.Millisecond, 0, 2 * time.Millisecond, true, 600 * time.Millisecond, 620 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.syncs = c.syncs
				r.out.onWrite = func(context.Context, *record.Batch) error { time.Sleep(c.busy); return nil }
				r.out.onFlush = func() error { time.Sleep(c.cost); return nil }
				r.run()
				for start := time.Now(); time.Since(start) < 5*time.Second; time.Sleep(c.every) {
					r.give("a", "1\n")
				}
				n := r.ledger.times()
				must(t, r.end(t))
				if len(n) < 3 {
					t.Fatal(len(n), "commits in 5 s")
				}
				for i := 2; i < len(n); i++ {
					if d := n[i].Sub(n[i-1]); d < c.min || d > c.max {
						t.Errorf("%v between commits", d)
					}
				}
			})
		})
	}
}

func TestPumpOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var down atomic.Bool
		r.out.onWrite = func(context.Context, *record.Batch) error {
			if down.Load() {
				return errFull
			}
			return nil
		}
		r.run()
		r.give("a", "1\n")
		synctest.Wait()
		r.give("a", "2\n")
		synctest.Wait() // written, but the commit is due later
		down.Store(true)
		accepted := r.give("b", "3\n")
		r.give("a", "4\n")
		time.Sleep(time.Minute + time.Millisecond)
		if r.ledger.at("a") != "2\n" || r.ledger.at("b") != "" || accepted.Load() != 0 {
			t.Errorf("during the outage committed: a %q b %q", r.ledger.at("a"), r.ledger.at("b"))
		}
		writes := r.out.times()
		for i := 5; i < len(writes); i++ {
			if d := writes[i].Sub(writes[i-1]); d > 30*time.Second || d < 100*time.Millisecond {
				t.Errorf("pause %d is %v", i, d)
			}
		}
		down.Store(false)
		must(t, r.end(t))
		if r.out.text() != "1\n2\n3\n4\n" || r.ledger.at("a") != "4\n" || accepted.Load() != 2 {
			t.Errorf("after it: %q, a %q", r.out.text(), r.ledger.at("a"))
		}
		if n := strings.Count(r.log(), "retrying"); n != 1 || !strings.Contains(r.log(), "output x: write works again after") {
			t.Errorf("log says %d times that it fails:\n%s", n, r.log())
		}
		if n := r.retry.Load(); n < 8 || n > 16 {
			t.Errorf("%d tries in a minute", n)
		}
	})
}

// A far end that limits the rate is not logged with each refusal; one that stays away is.
func TestPumpShortOutages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var away atomic.Bool
		refuse := false
		r.out.onWrite = func(context.Context, *record.Batch) error {
			if refuse = !refuse; refuse || away.Load() {
				return errFull
			}
			return nil
		}
		r.run()
		said := func(text string) int { return strings.Count(r.log(), text) }
		const minutes = 5
		for i := range minutes * 60 {
			r.give("a", fmt.Sprintf("%d\n", i))
			time.Sleep(time.Second)
		}
		if n, m := said("retrying"), said("works again"); n != minutes || m != minutes {
			t.Errorf("said %d and %d times in %d minutes:\n%s", n, m, minutes, r.log())
		}
		if !strings.Contains(r.log(), "retrying; 60 short outages since") {
			t.Errorf("the others are not counted:\n%s", r.log())
		}
		before := said("retrying")
		away.Store(true)
		r.give("a", "last\n")
		time.Sleep(40 * time.Second)
		if n := said("retrying") - before; n != 1 {
			t.Errorf("an outage that lasts was said %d times", n)
		}
		away.Store(false)
		must(t, r.end(t))
	})
}

// What Flush handed back must be committed before anything else is written: a note
// that the output commits by itself would else be ahead of the positions.
func TestPumpWritesNothingBetweenFlushAndCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.committed = time.Now() // so that 1 is not committed yet when 2 fails
		fails, downs := 0, 0
		r.ledger.fail = func() error {
			if fails++; fails%4 != 0 {
				return errFull
			}
			return nil
		}
		r.out.onWrite = func(_ context.Context, b *record.Batch) error {
			if r.pending.flushed {
				t.Error("written between flush and commit")
			}
			if downs++; string(b.Out) == "2\n" && downs < 6 {
				return errors.New("down")
			}
			return nil
		}
		r.give("a", "1\n")
		r.give("a", "2\n")
		r.give("a", "3\n")
		r.run()
		must(t, r.end(t))
		if r.out.text() != "1\n2\n3\n" || r.ledger.at("a") != "3\n" || fails < 4 {
			t.Errorf("%q, position %q, %d commits tried", r.out.text(), r.ledger.at("a"), fails)
		}
	})
}

// What comes from a pipe is delivered and counted by its source, but has no position.
func TestPumpWithoutPositions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		counted := map[string]int{}
		r.cfg.Hooks.Delivered = func(source string, _, n int) { counted[source] += n }
		for _, source := range []string{"p", "q"} {
			b := <-r.Free()
			b.Source, b.Gen, b.Data, b.Count = source, "gen-"+source, append(b.Data[:0], "line\n"...), 1
			r.Put(b)
		}
		r.run()
		must(t, r.end(t))
		if r.out.text() != "line\nline\n" || counted["p"] != 1 || counted["q"] != 1 {
			t.Errorf("%q, counted %v", r.out.text(), counted)
		}
		if len(r.ledger.pos) != 0 || len(r.ledger.taken) != 0 {
			t.Errorf("positions %v, taken %v", r.ledger.pos, r.ledger.taken)
		}
	})
}

func TestPumpFinalErrors(t *testing.T) {
	for _, c := range []struct {
		name     string
		err      error
		position string
	}{
		{"gone", &GoneError{"x", errFull}, "1\n"},
		{"lost", &LostError{"x", errFull}, ""},
		{"fenced", &FencedError{"x", errFull}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.committed = time.Now() // the first commit is not at once
				r.out.onWrite = func(_ context.Context, b *record.Batch) error {
					if string(b.Out) == "2\n" {
						return c.err
					}
					return nil
				}
				r.give("a", "1\n")
				r.give("a", "2\n")
				r.give("a", "3\n")
				r.run()
				if err := <-r.ended; !errors.Is(err, errFull) || !final(err) {
					t.Errorf("ended with %v", err)
				}
				r.stop()
				r.kill(nil)
				if r.ledger.at("a") != c.position || r.out.text() != "1\n" || !strings.HasSuffix(r.out.events.String(), "c") {
					t.Errorf("position %q, written %q, events %s", r.ledger.at("a"), r.out.text(), &r.out.events)
				}
			})
		})
	}
}

func TestPumpGivesUpWhenDrainEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.committed = time.Now()
		r.out.onWrite = func(ctx context.Context, b *record.Batch) error {
			if string(b.Out) != "1\n" {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		r.give("a", "1\n")
		r.give("a", "2\n")
		r.give("a", "3\n")
		r.run()
		r.stop()
		time.Sleep(10 * time.Second)
		select {
		case err := <-r.ended:
			t.Fatal("ended before drain did:", err)
		default:
		}
		r.kill(nil)
		if err := <-r.ended; !errors.Is(err, context.Canceled) {
			t.Error("ended with", err)
		}
		if r.ledger.at("a") != "1\n" {
			t.Errorf("position %q", r.ledger.at("a"))
		}
	})
}

// An output that is down and about to be replaced is not waited for.
func TestPumpInAHurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.committed = time.Now()
		r.out.onWrite = func(_ context.Context, b *record.Batch) error {
			if string(b.Out) != "1\n" {
				return errFull
			}
			return nil
		}
		r.give("a", "1\n")
		r.give("a", "2\n")
		r.run()
		time.Sleep(time.Minute) // within a long pause
		start := time.Now()
		r.Hurry()
		r.Hurry()
		if err := r.end(t); !errors.Is(err, errFull) || time.Since(start) > 0 {
			t.Errorf("ended with %v after %v", err, time.Since(start))
		}
		if r.ledger.at("a") != "1\n" {
			t.Errorf("position %q", r.ledger.at("a"))
		}
	})
}

// A keeper is an output that keeps positions, and tells them at its third try.
type keeper struct {
	*scripted
	asked int
}

func (k *keeper) Positions(context.Context, func(string) bool) ([]checkpoint.Entry, error) {
	if k.asked++; k.asked < 3 {
		return nil, errors.New("no broker")
	}
	return position("a", k.asked), nil
}

func TestPumpAsksForPositionsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		k := &keeper{scripted: r.out}
		r.cfg.Output = k
		var restored []checkpoint.Entry
		r.cfg.Restore = func(ctx context.Context, k Keeper) (err error) {
			restored, err = k.Positions(ctx, nil)
			return err
		}
		r.Pump = NewPump(r.cfg)
		if isClosed(r.Ready()) {
			t.Error("ready before it was asked")
		}
		r.run()
		<-r.Ready()
		if k.asked != 3 || len(restored) != 1 || r.retry.Load() != 2 {
			t.Errorf("asked %d times, got %v", k.asked, restored)
		}
		r.give("a", "1\n")
		must(t, r.end(t))
		if r.out.text() != "1\n" {
			t.Errorf("wrote %q", r.out.text())
		}
	})
}

// One that never tells is left without an error: nothing was taken.
func TestPumpEndsWhileItAsksForPositions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.Output = &keeper{scripted: r.out, asked: -1000}
		r.cfg.Restore = func(ctx context.Context, k Keeper) error { _, err := k.Positions(ctx, nil); return err }
		r.Pump = NewPump(r.cfg)
		r.run()
		time.Sleep(time.Minute)
		must(t, r.end(t))
		if e := r.out.events.String(); e != "c" {
			t.Errorf("events %q", e)
		}
	})
}

func TestPumpBoundsBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for range batches {
			r.give("a", "1\n")
		}
		select {
		case <-r.Free():
			t.Fatal("more than", batches)
		default:
		}
		r.run()
		b := <-r.Free()
		b.Data = append(b.Data, "not used"...)
		r.Return(b)
		must(t, r.end(t))
		for range batches {
			if b := <-r.Free(); len(b.Data) != 0 || cap(b.Data) != batchSize {
				t.Errorf("given back with %d of %d", len(b.Data), cap(b.Data))
			}
		}
	})
}

// The ledger must see marks in the order in which they are written.
func TestPumpKeepsOrderOfManyFollowers(t *testing.T) {
	r := newRig(t)
	r.run()
	var wg sync.WaitGroup
	for _, key := range []string{"a", "b", "c", "d"} {
		wg.Go(func() {
			for i := range 500 {
				r.give(key, numbered("", i, 1))
			}
		})
	}
	wg.Wait()
	must(t, r.end(t))
	written := strings.SplitAfter(r.out.text(), "\n")
	if len(written) != 2001 {
		t.Fatal(len(written), "lines")
	}
	for i, taken := range r.ledger.taken {
		if taken[1:] != written[i] {
			t.Fatalf("taken %q, written %q", taken, written[i])
		}
	}
	for _, key := range []string{"a", "b", "c", "d"} {
		if r.ledger.at(key) != numbered("", 499, 1) {
			t.Errorf("position of %s: %q", key, r.ledger.at(key))
		}
	}
}
