package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/checkpoint"
	"github.com/logcatchsys/logcatchsys/internal/daemon"
	"github.com/logcatchsys/logcatchsys/logconfig"
)

// The test is the main goroutine here, and takes an output's right to write away in
// the middle: what an output does that has lost what it wrote looks like this.
func TestFailedOutputIsOpenedAgain(t *testing.T) {
	y := newYard(t, "configpath: {a: ./a.log, b: {path: ./b.log, outputs: [g]}}\n"+
		"outputs:\n  f: {type: file, path: ./f.log, format: text}\n  g: {type: file, path: ./g.log, format: text}")
	config, err := logconfig.Load(y.config)
	must(t, err)
	said := newScreen()
	log, settings := daemon.NewLog(said)
	store, err := checkpoint.Open(config.State, log)
	must(t, err)
	starts := hook(t, func(key) {})
	c := newCollector(t.Context(), y.config, false, log)
	c.settings, c.state, c.env.Store = settings, config.State, store
	must(t, c.take(config))
	until := func(what string, ok func() bool) {
		t.Helper()
		deadline := time.Now().Add(patience)
		for !ok() {
			must(t, c.reconcile())
			select {
			case <-c.wake:
			case <-time.After(5 * time.Millisecond):
			}
			if time.Now().After(deadline) {
				t.Fatalf("waited in vain for %s:\n%s", what, said)
			}
		}
	}
	holds := func(name, want string) func() bool {
		return func() bool { text, _ := os.ReadFile(y.path(name)); return string(text) == want }
	}
	ready := func() bool { return len(c.metrics.NotReady()) == 0 }
	until("the start", ready)
	y.append("a.log", "one\n")
	until("the first line", holds("f.log", "a: one\n"))

	c.lanes["f"].GiveUpAfter(0)
	y.append("a.log", "two\n")
	until("the failure", func() bool { return strings.Contains(said.String(), "an output failed") })
	until("its sources to wait", func() bool {
		return strings.Contains(strings.Join(c.metrics.NotReady(), "\n"), "source a, output f: its output is not open")
	})
	y.append("a.log", "three\n")
	y.append("b.log", "other\n")
	until("the other output", holds("g.log", "a: one\na: two\na: three\nb: other\n"))
	until("the lines after it", holds("f.log", "a: one\na: two\na: three\n"))
	until("readiness", ready)
	if starts("a") != 3 || starts("b") != 1 { // a for f, again for f, and for g
		t.Errorf("%d and %d starts", starts("a"), starts("b"))
	}
	c.shutdown()
	if _, err := checkpoint.Open(config.State, log); err != nil {
		t.Errorf("the checkpoint is not closed: %v", err)
	}
}
