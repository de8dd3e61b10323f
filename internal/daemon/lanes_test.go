package daemon

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/logcatchsys/logcatchsys/internal/checkpoint"
	"github.com/logcatchsys/logcatchsys/internal/output"
	"github.com/logcatchsys/logcatchsys/internal/record"
	"github.com/logcatchsys/logcatchsys/internal/status"
)

// newLanes makes outputs for a test; woken hears of their ends.
func newLanes(t *testing.T) (lanes *Lanes, woken chan struct{}) {
	t.Helper()
	deadline := NewDeadline(t.Context())
	deadline.Set(time.Minute)
	woken = make(chan struct{}, 100)
	env := LaneEnv{Host: "host", Store: openStore(t), Log: quiet}
	poke := func() { woken <- struct{}{} }
	return NewLanes(env, status.New(), deadline, NewUnended(poke), poke), woken
}

// planOf is a plan of one source with file outputs at these paths.
func planOf(t *testing.T, paths map[string]string) Plan {
	t.Helper()
	text := "configpath: {a: /a}\noutputs:\n"
	for name, path := range paths {
		text += "  " + name + ": {type: file, path: '" + path + "'}\n"
	}
	return NewPlan(load(t, text), "host", false)
}

func TestLanesFollowThePlan(t *testing.T) {
	lanes, woken := newLanes(t)
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	first := planOf(t, map[string]string{"f": one, "g": two})
	opened, err := lanes.OpenNew(first)
	if err != nil || len(opened) != 2 {
		t.Fatalf("%d are open, %v", len(opened), err)
	}
	lanes.Take(first, opened)
	f, g := lanes.At(first, "f"), lanes.At(first, "g")
	if f == nil || g == nil || lanes.At(first, "none") != nil || lanes.Start(first) != nil || lanes.At(first, "f") != f {
		t.Fatal("not as the plan wants it")
	}

	// g takes over the file of f, which must have ended before.
	second := planOf(t, map[string]string{"g": one})
	if opened, err := lanes.OpenNew(second); err != nil || len(opened) != 0 {
		t.Fatalf("%d were opened beside the old, %v", len(opened), err)
	}
	lanes.Stop(second)
	if lanes.Start(second); lanes.At(second, "g") != nil {
		t.Fatal("started beside the old")
	}
	<-f.Ended()
	<-g.Ended()
	<-woken
	if failed, err := lanes.Reap(second); failed != nil || err != nil {
		t.Fatalf("%q failed, %v", failed, err)
	}
	if lanes.Start(second); lanes.At(second, "g") == nil || lanes.At(second, "g") == g {
		t.Fatal("not started")
	}
	if lanes.Shutdown() {
		t.Error("something stays undelivered")
	}
}

// An output that another process has taken over stays closed until its configuration
// changes; its sources are not ready and say why.
func TestFencedOutputStaysClosed(t *testing.T) {
	lanes, woken := newLanes(t)
	dir := t.TempDir()
	p := planOf(t, map[string]string{"f": filepath.Join(dir, "one"), "g": filepath.Join(dir, "two")})
	opened, err := lanes.OpenNew(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range opened {
		if l.Spec.Name == "f" {
			f := &fails{err: &output.FencedError{Output: "f", Err: errors.New("a test")}}
			l.Pump = output.NewPump(output.PumpConfig{Name: "f", Output: f, Ledger: l.Ledger, Log: quiet, Encoder: f})
			l.out = f
		}
	}
	lanes.Take(p, opened)
	f := lanes.At(p, "f")
	f.put("a line\n")
	<-f.Ended()
	<-woken
	if failed, err := lanes.Reap(p); err != nil || !slices.Equal(failed, []string{"f"}) {
		t.Fatalf("%q failed, %v", failed, err)
	}
	if lanes.Start(p); lanes.At(p, "f") != nil || lanes.Fenced() != "f" || !strings.Contains(lanes.Idle(p, "f"), "taken over") {
		t.Errorf("it runs: %q", lanes.Idle(p, "f"))
	}
	if lanes.Idle(p, "g") != "" {
		t.Errorf("the other one: %q", lanes.Idle(p, "g"))
	}
	if opened, err := lanes.OpenNew(p); err != nil || len(opened) != 0 {
		t.Errorf("%d are opened again, %v", len(opened), err)
	}
	without := planOf(t, map[string]string{"g": filepath.Join(dir, "two")})
	lanes.Take(without, nil)
	if name := lanes.Fenced(); name != "" {
		t.Errorf("%s was removed and counts as fenced", name)
	}
	if lanes.Start(p); lanes.Idle(p, "f") != "" {
		t.Fatalf("removed and added again: %q", lanes.Idle(p, "f"))
	}
	next := planOf(t, map[string]string{"f": filepath.Join(dir, "three"), "g": filepath.Join(dir, "two")})
	lanes.Stop(next)
	f = lanes.all["f"]
	<-f.Ended()
	if _, err := lanes.Reap(next); err != nil {
		t.Fatal(err)
	}
	if lanes.Start(next); lanes.Idle(next, "f") != "" {
		t.Errorf("after a change: %q", lanes.Idle(next, "f"))
	}
	lanes.Shutdown()
}

// fails is an output whose writes fail.
type fails struct {
	output.Output
	err error
}

func (f *fails) Encode(*record.Batch)                       {}
func (f *fails) Write(context.Context, *record.Batch) error { return f.err }
func (f *fails) Close() error                               { return nil }

// Positions that an output keeps win over those of the checkpoint.
func TestRestore(t *testing.T) {
	ledger, err := openStore(t).Ledger("k")
	if err != nil {
		t.Fatal(err)
	}
	k := keeps{{Key: "a\x00id", Value: []byte("nonsense")}}
	if err := restore(t.Context(), ledger, k); err == nil || !strings.Contains(err.Error(), `"a\x00id"`) {
		t.Errorf("what is no position was taken: %v", err)
	}
	if entries, _ := ledger.Load(""); len(entries) != 0 {
		t.Errorf("%v", entries)
	}
}

type keeps []checkpoint.Entry

func (k keeps) Positions(context.Context, func(string) bool) ([]checkpoint.Entry, error) {
	return k, nil
}

// A checkpoint that knows nothing is new or lost: then no position is to be forgotten,
// however old; the file of one may still be there.
func TestRestoreForgetsNothingWithoutState(t *testing.T) {
	ledger, err := openStore(t).Ledger("k")
	if err != nil {
		t.Fatal(err)
	}
	k := &asks{}
	for _, want := range []bool{true, false} {
		if err := restore(t.Context(), ledger, k); err != nil || k.known != want {
			t.Errorf("known: %t, want %t, %v", k.known, want, err)
		}
		if err := ledger.Register([]checkpoint.Entry{{Key: "a\x00other", Value: []byte{1}}}, nil); err != nil {
			t.Fatal(err)
		}
	}
}

type asks struct{ known bool }

func (k *asks) Positions(_ context.Context, known func(string) bool) ([]checkpoint.Entry, error) {
	k.known = known("a\x00id")
	return nil, nil
}

func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, ask := context.WithCancel(t.Context())
		d := NewDeadline(ctx)
		d.Set(time.Minute)
		if !d.Do(func() { time.Sleep(time.Hour) }) {
			t.Error("a deadline before the stop was asked for")
		}
		ask()
		began := time.Now()
		if d.Do(func() { time.Sleep(time.Hour) }) {
			t.Error("no deadline")
		}
		if took := time.Since(began); took != time.Minute+grace {
			t.Errorf("waited %s", took)
		}
		if !d.Do(func() {}) {
			t.Error("what ends at once after the deadline has not ended")
		}
		time.Sleep(time.Hour)
	})
}

func TestWaiterSharesTheGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, ask := context.WithCancel(t.Context())
		d := NewDeadline(ctx)
		d.Set(time.Minute)
		ask()
		began := time.Now()
		await := d.Waiter()
		ended, never := make(chan struct{}), make(chan struct{})
		close(ended)
		for range 100 {
			if await(never) || !await(ended) {
				t.Fatal("what has ended is not told from what has not")
			}
		}
		if took := time.Since(began); took != time.Minute+grace {
			t.Errorf("waited %s", took)
		}
	})
}

func TestBeyondTheDeadline(t *testing.T) {
	for _, stopped := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			ctx, ask := context.WithCancel(t.Context())
			d := NewDeadline(ctx)
			d.Set(time.Minute)
			began := time.Now()
			var after atomic.Int64
			stop := d.Beyond(time.Second, func() { after.Store(int64(time.Since(began))) })
			ask()
			time.Sleep(time.Minute + time.Millisecond)
			if stopped {
				stop()
			}
			time.Sleep(time.Hour)
			stop()
			took := time.Duration(after.Load())
			if want := time.Minute + time.Second; stopped != (took == 0) || !stopped && took != want {
				t.Errorf("stopped: %t; called after %s", stopped, took)
			}
		})
	}
}

// An output that cannot be opened is not up.
func TestFailedOutputIsNotUp(t *testing.T) {
	lanes, _ := newLanes(t)
	p := planOf(t, map[string]string{"f": "/out"})
	spec := p.Outputs["f"]
	spec.Type = "nonsense"
	p.Outputs["f"] = spec
	if failed := lanes.Start(p); !slices.Equal(failed, []string{"f"}) {
		t.Fatalf("%q failed", failed)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(lanes.metrics)
	all, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range all {
		if family.GetName() == "logcatchsys_output_up" && family.Metric[0].GetGauge().GetValue() == 0 {
			return
		}
	}
	t.Errorf("%v", all)
}

// Positions that the checkpoint has are not written again: they would never expire.
func TestRestoreLeavesWhatIsThere(t *testing.T) {
	ledger, err := openStore(t).Ledger("k")
	if err != nil {
		t.Fatal(err)
	}
	// What a position looks like is logtailf's own affair; version, 13 numbers, 2 texts.
	here := checkpoint.Entry{Key: "a\x00here", Value: append([]byte{1, 0, 9}, make([]byte, 13)...)}
	lost := checkpoint.Entry{Key: "a\x00lost", Value: here.Value}
	// While exactly_once was off, the output's own position stayed where it was.
	ahead := checkpoint.Entry{Key: "a\x00ahead", Value: here.Value}
	stale := checkpoint.Entry{Key: ahead.Key, Value: append([]byte{1, 0, 8}, make([]byte, 13)...)}
	if err := ledger.Register([]checkpoint.Entry{here, ahead}, nil); err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	if err := restore(t.Context(), ledger, keeps{here, lost, stale}); err != nil {
		t.Fatal(err)
	}
	entries, err := ledger.Load("")
	if err != nil || len(entries) != 3 {
		t.Fatalf("%v, %v", entries, err)
	}
	for _, e := range entries {
		if again := !e.Seen.Before(before); again != (e.Key == lost.Key) || !bytes.Equal(e.Value, here.Value) {
			t.Errorf("%q: %v, written again: %t", e.Key, e.Value, again)
		}
	}
}
