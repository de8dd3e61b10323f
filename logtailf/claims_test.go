package logtailf

import (
	"slices"
	"testing"
)

// Two logs in one folder whose rotated files carry nothing but the time in their
// names: each file is delivered by the follower of its log, and one that nobody saw
// before by exactly one of them.
func TestTwoLogsInOneFolderWithBareDates(t *testing.T) {
	for name, deaf := range map[string]bool{"notified": false, "polling": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newWorld(t, "a.log")
			a.deaf = deaf
			a.start()
			b := together(a, "b.log")
			b.cfg.Source, b.deaf, b.shared = "other", deaf, a.hub
			b.start()

			a.write("a.log", "a1\n")
			a.write("b.log", "b1\n")
			a.expect("a1")
			b.expect("b1")
			a.rename("b.log", "20261122120001.txt")
			a.rename("a.log", "20261122120002.txt")
			a.write("20261122120003.txt", "nobody saw this log\n")
			a.write("b.log", "b2\n")
			a.write("a.log", "a2\n")
			b.expect("b1", "b2")
			a.expect("a1", "nobody saw this log", "a2")

			a.write("a.log", "a3\n")
			a.write("b.log", "b3\n")
			b.expect("b1", "b2", "b3")
			a.expect("a1", "nobody saw this log", "a2", "a3")
			if logs := a.hub.claims.logsIn(a.dir); !slices.Equal(logs, []string{a.path("a.log"), a.path("b.log")}) {
				t.Errorf("logs in the folder: %q", logs)
			}
		})
	}
}
