package logtailf

import (
	"os"
	"slices"
	"testing"
	"time"
)

// sideBySide runs followers of two sources whose logs, a.log and b.log, lie in one folder.
func sideBySide(t *testing.T) (a, b *world) {
	a = newWorld(t, "a.log")
	a.start()
	b = together(a, "b.log")
	b.cfg.Source, b.shared = "other", a.hub
	b.start()
	return a, b
}

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

// A living log goes on as soon as it is known whose a file is, however often that file
// was looked at meanwhile.
func TestAFileOfUnknownOwnerHoldsUpALogOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a.log")
	w.cfg.Poll = time.Minute // a tick would look at what waits, and the truncation is to be seen before
	w.start()
	other := &Follower{cfg: Config{Source: "other"}} // which says nothing for now
	w.hub.claims.follow(other, w.path("b.log"))
	w.write("a.log", "1\nhalf")
	w.expect("1")
	w.write("20261122120001.txt", "whose is this?\n")
	w.eventually("it to be doubted", func() bool { return w.hub.claims.doubtedBy(w.follower) == 1 })
	w.truncate("a.log", 0)
	w.write("a.log", "something longer than before\n")
	w.write("20261122120002.txt", "and this?\n") // what is compared with it shows the truncation
	w.eventually("the truncation to be seen", func() bool {
		w.sink.mu.Lock()
		defer w.sink.mu.Unlock()
		return w.sink.abandoned["truncated"] > 0
	})
	for _, name := range []string{"20261122120001.txt", "20261122120002.txt"} {
		st, err := statPath(w.path(name))
		w.must(err)
		w.hub.claims.take(other, &generation{ident: st.identity, trail: &trail{path: w.path("b.log")}})
	}
	w.expect("1", "something longer than before")
}

// A rotated file that nobody saw may be older than one that is known: it is waited for.
func TestAFileOfUnknownOwnerIsReadInItsTurn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a.log")
	w.start()
	other := &Follower{cfg: Config{Source: "other"}} // which says nothing for now
	w.hub.claims.follow(other, w.path("b.log"))
	w.write("20261122120001.txt", "1\n")
	w.eventually("it to be doubted", func() bool { return w.hub.claims.doubtedBy(w.follower) == 1 })
	w.write("a.log", "2\n")
	w.eventually("the log to be looked at", func() bool { return w.follower.Stats().LagBytes > 0 })
	w.rename("a.log", "20261122120002.txt")
	w.write("a.log", "3\n")
	w.eventually("the rotation to be seen", func() bool { return w.follower.Stats().Pending > 0 })
	w.hub.claims.end(other)
	w.expect("1", "2", "3")
}

func (c *claims) doubtedBy(f *Follower) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.mine(f).doubts)
}

// The copy of a log that is there, and was read, is no lines of another log.
func TestCopyOfAnotherLogThatIsThere(t *testing.T) {
	t.Parallel()
	a, b := sideBySide(t)
	a.write("a.log", "a1\n")
	b.write("b.log", "b1\n")
	a.expect("a1")
	b.expect("b1")
	b.copy("b.log", "20261122120001.txt")
	a.write("a.log", "a2\n")
	a.expect("a1", "a2")
	b.write("b.log", "b2\n")
	b.expect("b1", "b2")
	b.copy("b.log", "20261122120002.txt")
	b.truncate("b.log", 0)
	b.write("b.log", "b3\n")
	b.expect("b1", "b2", "b3")
	a.write("a.log", "a3\n")
	a.expect("a1", "a2", "a3")
}

// A source whose output takes nothing still says which files are its own.
func TestFilesOfALogWhoseOutputIsDown(t *testing.T) {
	t.Parallel()
	a, b := sideBySide(t)
	b.sink.take()
	a.write("a.log", "a1\n")
	b.write("b.log", "b1\n")
	a.expect("a1")
	b.eventually("the log to be looked at", func() bool { return b.follower.Stats().LagBytes > 0 })
	b.copy("b.log", "20261122120001.txt")
	b.truncate("b.log", 0)
	b.write("b.log", "b2 which is longer\n")
	a.write("a.log", "a2\n")
	a.expect("a1", "a2")
	b.sink.untake()
	b.expect("b1", "b2 which is longer")
	a.write("a.log", "a3\n")
	a.expect("a1", "a2", "a3")
}

// What was rotated while nobody looked waits for the source that has yet to begin.
func TestFilesOfALogThatIsNotFollowedYet(t *testing.T) {
	t.Parallel()
	a, b := sideBySide(t)
	a.write("a.log", "a1\n")
	b.write("b.log", "b1\n")
	a.expect("a1")
	b.expect("b1")
	b.stop()
	a.stop()
	b.write("b.log", "b2\n")
	b.rename("b.log", "20261122120001.txt")
	b.write("b.log", "b3\n")
	hub := NewHub(a.logger())
	t.Cleanup(func() { a.must(hub.Close()) })
	a.shared, b.shared = hub, hub
	yet, err := New(b.cfg, Deps{Inlet: b.sink, Ledger: b.sink, Hub: hub, Handles: b.handles,
		Metrics: b.sink, Log: b.logger()}, nil)
	a.must(err)
	a.start()
	b.start()
	yet.Close()
	b.expect("b1", "b2", "b3")
	a.write("a.log", "a2\n")
	a.expect("a1", "a2")
}

// Who does not answer is not waited for without end, and a file that has grown has to be
// looked into again.
func TestDoubts(t *testing.T) {
	var c claims
	a, b := &Follower{cfg: Config{Source: "a"}}, &Follower{cfg: Config{Source: "b"}}
	c.follow(a, "/logs/a.log")
	c.follow(b, "/logs/b.log")
	b.sub = NewHub(nil).Subscribe()
	c.follow(b, "/logs/b.log")
	const path = "/logs/20261122120001.txt"
	st := fileStat{identity: identity{ino: 7}, size: 3}
	grown := st
	grown.size++
	if c.doubt(a, path, st) {
		t.Error("settled although b has not looked")
	}
	if _, told := b.sub.Take().Paths[path]; !told {
		t.Error("b was not told to look")
	}
	if !c.doubt(b, path, st) || !c.doubt(a, path, st) {
		t.Error("not settled although both have looked")
	}
	if c.doubt(a, path, grown) {
		t.Error("settled although b has not looked at all of it")
	}
	d := c.of[a].doubts[st.identity]
	d.since = time.Now().Add(-2 * claimLimit)
	c.of[a].doubts[st.identity] = d
	if !c.doubt(a, path, grown) {
		t.Error("waits for b without end")
	}
}
