package logtailf

import (
	"os"
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
			if logs := a.hub.claims.logsOf(a.path("20260101000000.txt")); !slices.Equal(logs, []string{a.path("a.log"), a.path("b.log")}) {
				t.Errorf("logs in the folder: %q", logs)
			}
		})
	}
}

// What may be a generation of several logs by its name is that of one of those whose
// patterns it fits, whatever the others in the folder are called.
func TestTwoLogsWithPatternsOfTheirOwn(t *testing.T) {
	for name, patterns := range map[string][2][]string{
		"only the second takes bare dates": {{"{name}.*"}, nil},
		"both take anything":               {{"old/*"}, {"old/*"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newWorld(t, "a.log")
			a.cfg.Rotated = patterns[0]
			a.must(os.Mkdir(a.path("old"), 0o755))
			a.write("a.log", "a1\n")
			a.write("b.log", "b1\n")
			a.start()
			b := together(a, "b.log")
			b.cfg.Source, b.shared, b.cfg.Rotated = "other", a.hub, patterns[1]
			b.start()
			b.expect("b1")
			if patterns[1] == nil {
				b.halt()
				b.write("b.log", "b2\n")
				b.rename("b.log", "20260101000000.txt")
				b.write("b.log", "b3\n")
				b.rename("b.log", "20260101000001.txt")
				b.write("b.log", "b4\n")
				b.start()
				b.expect("b1", "b2", "b3", "b4")
			} else {
				b.rename("b.log", "old/x")
				b.write("b.log", "b2\n")
				b.expect("b1", "b2")
				a.rename("a.log", "old/y")
			}
			a.write("a.log", "a2\n")
			a.expect("a1", "a2")
		})
	}
}
