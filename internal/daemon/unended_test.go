package daemon

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/logcatchsys/logcatchsys/internal/status"
)

// While a tail has not ended that writes into an output, nothing ends that output, takes
// its name or its place.
func TestLanesWaitForTheUnended(t *testing.T) {
	lanes, woken := newLanes(t)
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	first := planOf(t, map[string]string{"f": one})
	opened, err := lanes.OpenNew(first)
	if err != nil {
		t.Fatal(err)
	}
	lanes.Take(first, opened)
	f := lanes.At(first, "f")
	stuck := status.Key{Source: "b", Output: "f"}
	lanes.unended.Add(stuck)

	// g takes over the file of f, which moves.
	second := planOf(t, map[string]string{"f": two, "g": one})
	if opened, err := lanes.OpenNew(second); err != nil || len(opened) != 0 {
		t.Fatalf("%d were opened beside the old, %v", len(opened), err)
	}
	lanes.Take(second, nil)
	lanes.Stop(second)
	lanes.Start(second)
	if f.Stopping() || lanes.At(second, "f") != nil || lanes.At(second, "g") != nil {
		t.Fatal("the old one is stopped, or another started beside it")
	}
	for _, name := range []string{"f", "g"} {
		if why := lanes.Idle(second, name); !strings.HasSuffix(why, ": b/f") {
			t.Errorf("%s: %q", name, why)
		}
	}
	if lanes.At(first, "f") != f {
		t.Error("an edit that takes it back does not find it")
	}

	lanes.unended.Ended(stuck)
	lanes.Stop(second)
	<-f.Ended()
	<-woken
	if failed, err := lanes.Reap(second); failed != nil || err != nil {
		t.Fatalf("%q failed, %v", failed, err)
	}
	if lanes.Start(second); lanes.Idle(second, "f") != "" || lanes.Idle(second, "g") != "" {
		t.Errorf("not started: %q, %q", lanes.Idle(second, "f"), lanes.Idle(second, "g"))
	}
	lanes.Shutdown()
}

// An output that failed is not opened again while a tail has not ended: what that one
// hands to the old output would count as taken by the new.
func TestFailedLaneWaitsForTheUnended(t *testing.T) {
	lanes, woken := newLanes(t)
	p := planOf(t, map[string]string{"f": filepath.Join(t.TempDir(), "one")})
	opened, err := lanes.OpenNew(p)
	if err != nil {
		t.Fatal(err)
	}
	lanes.Take(p, opened)
	f := lanes.At(p, "f")
	f.GiveUpAfter(0)
	f.put("a line\n")
	<-f.Ended()
	<-woken
	stuck := status.Key{Source: "a", Output: "f"}
	lanes.unended.Add(stuck)
	if failed, err := lanes.Reap(p); len(failed) != 1 || err != nil {
		t.Fatalf("%q failed, %v", failed, err)
	}
	lanes.Take(p, nil) // no pause any more
	if lanes.Start(p); lanes.At(p, "f") != nil {
		t.Fatal("opened")
	}
	lanes.unended.Ended(stuck)
	if lanes.Start(p); lanes.At(p, "f") == nil {
		t.Error("not opened")
	}
	lanes.Shutdown()
}
