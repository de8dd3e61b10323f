package daemon

import (
	"context"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/status"
)

// newLanes makes outputs for a test; woken hears of their ends.
func newLanes(t *testing.T) (lanes *Lanes, woken chan struct{}) {
	t.Helper()
	deadline := NewDeadline(t.Context())
	deadline.Set(time.Minute)
	woken = make(chan struct{}, 100)
	env := LaneEnv{Host: "host", Store: openStore(t), Log: quiet}
	return NewLanes(env, status.New(), deadline, func() { woken <- struct{}{} }), woken
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
