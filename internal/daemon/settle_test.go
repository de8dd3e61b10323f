package daemon

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/checkpoint"
	"github.com/logcatchsys/logcatchsys/internal/output"
	"github.com/logcatchsys/logcatchsys/internal/record"
	"github.com/logcatchsys/logcatchsys/internal/status"
	"github.com/logcatchsys/logcatchsys/logconfig"
)

// A process is one life of the daemon's outputs; state and file outlive it.
type process struct {
	t     *testing.T
	store *checkpoint.Store
	lanes *Lanes
}

func begin(t *testing.T, state string) *process {
	t.Helper()
	store, err := checkpoint.Open(state, quiet)
	if err != nil {
		t.Fatal(err)
	}
	deadline := NewDeadline(t.Context())
	deadline.Set(time.Minute)
	env := LaneEnv{Host: "host", Store: store, Log: quiet}
	return &process{t, store, NewLanes(env, status.New(), deadline, NewUnended(func() {}), func() {})}
}

func (p *process) end() {
	p.t.Helper()
	if err := p.store.Close(); err != nil {
		p.t.Fatal(err)
	}
}

// killed has an output commit a line, write another one, and die.
func (p *process) killed(spec logconfig.Output) {
	p.t.Helper()
	ledger, err := p.store.Ledger(spec.Name)
	note := func(undo []byte) error { return ledger.Commit(nil, undo) }
	if err == nil {
		var o output.Output
		o, err = output.Open(spec, output.Env{Undo: ledger.Undo(), Note: note, Log: quiet})
		for _, line := range []string{spec.Name + ", committed\n", spec.Name + ", not committed\n"} {
			if err == nil {
				err = o.Write(p.t.Context(), &record.Batch{Source: "a", Out: []byte(line), Count: 1, Read: time.Now()})
			}
			var undo []byte
			if err == nil && line == spec.Name+", committed\n" {
				if undo, err = o.Flush(p.t.Context()); err == nil {
					err = note(undo)
				}
			}
		}
		defer o.Close()
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// runs opens the outputs of a plan, delivers a line to one, and ends in order.
func (p *process) runs(plan Plan, name string) {
	p.t.Helper()
	opened, err := p.lanes.OpenNew(plan)
	if err != nil {
		p.t.Fatal(err)
	}
	p.lanes.Take(plan, opened)
	p.lanes.At(plan, name).put(name + "\n")
	if p.lanes.Shutdown() {
		p.t.Error("something stays undelivered")
	}
}

// rawPlan is a plan with one file output.
func rawPlan(t *testing.T, name, path string) Plan {
	t.Helper()
	plan := planOf(t, map[string]string{name: path})
	spec := plan.Outputs[name]
	spec.Format = "raw"
	plan.Outputs[name] = spec
	return plan
}

// An output is killed, renamed, and renamed back: its note must not undo what was
// delivered in between.
func TestRenamedOutputAndBack(t *testing.T) {
	for what, crash := range map[string]func(p *process){
		"no crash": func(*process) {},
		"killed between the cut and the end of the note": func(p *process) {
			ledger, err := p.store.Ledger("archive")
			if err != nil {
				t.Fatal(err)
			}
			output.CutBack("archive", ledger.Undo(), quiet)
		},
		"killed after the end of the note": func(p *process) {
			if err := p.lanes.env.settle(func(string) bool { return false }); err != nil {
				t.Fatal(err)
			}
		},
	} {
		dir := t.TempDir()
		path, state := filepath.Join(dir, "out"), filepath.Join(dir, "state")
		archive, archive2 := rawPlan(t, "archive", path), rawPlan(t, "archive2", path)
		for _, do := range []func(p *process){
			func(p *process) { p.killed(archive.Outputs["archive"]) },
			crash,
			func(p *process) { p.runs(archive2, "archive2") },
			func(p *process) { p.killed(archive2.Outputs["archive2"]) },
			func(p *process) { p.runs(archive, "archive") },
			func(p *process) { p.runs(archive2, "archive2") },
		} {
			p := begin(t, state)
			do(p)
			p.end()
		}
		const want = "archive, committed\narchive2\narchive2, committed\narchive\narchive2\n"
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s: %v, got\n%swant\n%s", what, err, got, want)
		}
	}
}

// The note of an output that is configured, or not at its end yet, is its own.
func TestNotesInUseAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	both := planOf(t, map[string]string{"f": at("f"), "g": at("g")})
	p := begin(t, at("state"))
	defer p.end()
	p.killed(both.Outputs["f"])
	p.killed(both.Outputs["g"])
	noted := func(want ...string) {
		t.Helper()
		if got, err := p.store.Noted(); err != nil || !slices.Equal(got, want) {
			t.Errorf("notes of %q, %v, want %q", got, err, want)
		}
	}
	noted("f", "g")
	p.lanes.all["g"] = &Lane{Spec: both.Outputs["g"], stopping: true} // in its last write
	next := planOf(t, map[string]string{"f": at("f2"), "h": at("h")})
	opened, err := p.lanes.OpenNew(next)
	if err != nil || len(opened) != 2 {
		t.Fatalf("%d are open, %v", len(opened), err)
	}
	noted("f", "g")
	if err := p.lanes.Discard(opened); err != nil {
		t.Error(err)
	}
	if got, _ := os.ReadFile(at("g")); string(got) != "g, committed\ng, not committed\n" {
		t.Errorf("cut under the output: %q", got)
	}
	delete(p.lanes.all, "g")
	if opened, err = p.lanes.OpenNew(next); err != nil {
		t.Fatal(err)
	}
	noted("f")
	if err := p.lanes.Discard(opened); err != nil {
		t.Error(err)
	}
	if got, _ := os.ReadFile(at("g")); string(got) != "g, committed\n" {
		t.Errorf("not cut: %q", got)
	}
}
