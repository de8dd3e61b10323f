package logtailf

import (
	"fmt"
	"os"
	"testing"
)

// A source's own patterns hold for the file that a link leads to as well.
func TestOwnPatternsBehindALink(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world) {
		w.cfg.Rotated = []string{"{name}.*"}
		w.must(os.Mkdir(w.path("data"), 0o755))
		w.write("data/app.log", "1\n")
		w.must(os.Symlink(w.path("data/app.log"), w.path("current.log")))
		w.start()
		w.expect("1")
		w.stop()
		w.write("data/app.log", "2\n")
		w.rename("data/app.log", "data/app.log.2")
		w.write("data/app.log", "3\n") // nobody saw this file before it was rotated
		w.rename("data/app.log", "data/app.log.1")
		w.write("data/app.log", "4\n")
		w.start()
		w.expect("1", "2", "3", "4")
	}, "current.log")
}

// app-web-1.log is app-web.log's although app.log's pattern matches it too: or else it
// would be a log of its own, in no order with the others.
func TestOwnPatternsOfTwoLogs(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world) {
		w.cfg.Exclude = []string{"*-2*"}
		w.cfg.Rotated = []string{"{stem}-*{ext}"}
		w.write("app.log", "")
		w.write("app-web.log", "1\n")
		w.start()
		w.expect("1")
		w.stop()
		want := []string{"1"}
		for i := 2; i < 8; i++ {
			w.write("app-web.log", fmt.Sprintf("%d\n", i))
			w.rename("app-web.log", fmt.Sprintf("app-web-2026010%d.log", i))
			want = append(want, fmt.Sprint(i))
		}
		w.write("app-web.log", "8\n")
		w.start()
		w.expect(append(want, "8")...)
		for _, d := range w.sink.accepted {
			if d.file != w.path("app-web.log") {
				t.Errorf("%s was delivered as a line of %s", d.text, d.file)
			}
		}
	}, "*.log")
}

// A file that lost the name under which it was found is where its other name is.
func TestHardLinkOutlivesTheFirstName(t *testing.T) {
	w := newWorld(t, "*.log")
	w.write("a.log", "1\n")
	w.start()
	w.expect("1")
	late, err := os.OpenFile(w.path("a.log"), os.O_APPEND|os.O_WRONLY, 0)
	w.must(err)
	defer late.Close()
	w.must(os.Link(w.path("a.log"), w.path("b.log")))
	w.write("x.log", "both names were seen\n")
	w.expect("1", "both names were seen")
	w.remove("a.log")
	w.write("x.log", "one is gone\n")
	w.expect("1", "both names were seen", "one is gone")
	w.eventually("it to be let go", func() bool { return w.handles.Open() == 1 })
	_, err = late.WriteString("2\n") // no notification tells of it under the other name
	w.must(err)
	w.hub.loseAll()
	w.expect("1", "both names were seen", "one is gone", "2")
}

func BenchmarkOwnPatterns(b *testing.B) {
	h, err := newHabits([]string{"{name}-*"})
	if err != nil {
		b.Fatal(err)
	}
	f := &Follower{habits: h, trails: map[string]*trail{}}
	for i := range 10000 {
		path := fmt.Sprintf("/var/log/app/l%d.log", i)
		f.trails[path] = &trail{path: path, patterns: h.patternsOf(path)}
	}
	for b.Loop() {
		if len(f.trailsOf("/var/log/app/l77.log-1")) != 1 {
			b.Fatal("not found")
		}
	}
}
